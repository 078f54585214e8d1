//! A resolved profile as lints ask it: by what a setting means, with the place it is written at. A
//! section that is absent or not yet known has no settings.

use crate::items::ports::opening::Opening;
use crate::items::sysctl::{Key, Wanted};
use crate::kubernetes::Version;
use crate::profile::tree::{Node, Span, Table, Value};
use crate::profile::{Resolved, de};

/// What lints look at.
pub struct Settings<'a> {
    resolved: &'a Resolved,
    /// The host's memory in MiB, where the host was asked.
    pub memory: Option<u64>,
    /// `[sysctl.keys]`
    pub parameters: Vec<Parameter<'a>>,
}

/// A sysctl key, what it should be, and its place.
pub struct Parameter<'a> {
    pub key: Key,
    pub wanted: Wanted,
    pub at: &'a Span,
}

impl<'a> Settings<'a> {
    pub fn new(resolved: &'a Resolved, memory: Option<u64>) -> Self {
        let keys = resolved.section("sysctl").and_then(Node::as_table);
        let keys = keys.and_then(|section| section.get("keys")?.as_table());
        Self {
            resolved,
            memory,
            parameters: keys.map(parameters).unwrap_or_default(),
        }
    }

    /// A variable as text. Lints ask `kubernetes_version`, `kube_proxy_mode`, `cni` and `role`, which a
    /// profile may have.
    pub fn var(&self, name: &str) -> Option<(String, &'a Span)> {
        let node = self.resolved.vars.get(name)?;
        match &node.value {
            Value::String(text) => Some((text.clone(), &node.at)),
            // 1.34 is a version, and as a number it would be the same as 1.340.
            Value::Float(_) | Value::Integer(_) => Some((node.at.text().to_owned(), &node.at)),
            _ => None,
        }
    }

    /// The profile's Kubernetes, where it says so and is one that is known.
    pub fn kubernetes(&self) -> Option<Version> {
        let var = self.var("kubernetes_version").map(|(text, _)| text);
        let kubeadm = || Some(self.get("kubeadm", "version")?.as_str()?.to_owned());
        Version::try_from(var.or_else(kubeadm)?).ok()
    }

    /// How kube-proxy works, where the profile says so.
    pub fn proxy_mode(&self) -> Option<(String, &'a Span)> {
        let kubeadm = || {
            let node = self.get("kubeadm", "proxy_mode")?;
            Some((node.as_str()?.to_owned(), &node.at))
        };
        self.var("kube_proxy_mode").or_else(kubeadm)
    }

    /// The value of `key` in `section`.
    pub fn get(&self, section: &str, key: &str) -> Option<&'a Node> {
        self.resolved.section(section)?.as_table()?.get(key)
    }

    /// The strings of a list.
    pub fn strings(&self, section: &str, key: &str) -> Vec<(&'a str, &'a Span)> {
        let items = match self.get(section, key).map(|node| &node.value) {
            Some(Value::List(items)) => items.as_slice(),
            _ => &[],
        };
        items
            .iter()
            .filter_map(|item| Some((item.as_str()?, &item.at)))
            .collect()
    }

    /// `[ports]`, `open` or `node_ports`.
    pub fn openings(&self, key: &str) -> Vec<Opening> {
        let texts = self.strings("ports", key).into_iter();
        texts.filter_map(|(text, _)| text.parse().ok()).collect()
    }

    /// Where a section's name is written.
    pub fn section_at(&self, section: &str) -> Option<Span> {
        self.resolved.locate(&[section])
    }

    /// A key by any of its names.
    pub fn parameter(&self, name: &str) -> Option<&Parameter<'a>> {
        let key = Key::try_from(name.to_owned()).ok()?;
        let names = key.aliases();
        self.parameters
            .iter()
            .find(|parameter| names.contains(&parameter.key))
    }
}

impl Parameter<'_> {
    /// The value, if it is one number.
    pub fn number(&self) -> Option<i64> {
        self.wanted.value().parse().ok()
    }
}

fn parameters(keys: &Table) -> Vec<Parameter<'_>> {
    let parameter = |(key, node)| parameter(key, node);
    keys.iter().filter_map(parameter).collect()
}

fn parameter<'a>(key: &'a crate::profile::tree::Key, node: &'a Node) -> Option<Parameter<'a>> {
    Some(Parameter {
        key: Key::try_from(key.name.clone()).ok()?,
        wanted: de::from_node(node, "sysctl.keys").ok()?,
        at: &key.at,
    })
}
