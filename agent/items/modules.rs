//! Kernel modules: without br_netfilter pod traffic bypasses the firewall's rules, without overlay
//! containerd cannot stack images, without ip_vs kube-proxy's ipvs mode does not start.

mod judge;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer};

use super::{Explain, Kind};
use crate::boot::dropins;
use crate::boot::modules as boot;
use crate::error::Result;
use crate::finding::{Finding, Origin, State};
use crate::host::Host;
use crate::items::sysctl::FileName;
use crate::plan::ItemPlan;
use crate::step::{Owner, Step};
use crate::template;

use judge::{Kernels, Module};

const DIRECTORY: &str = "/etc/modules-load.d";

/// `[modules]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Modules {
    /// The file in /etc/modules-load.d that names those nothing else loads at boot.
    #[serde(default)]
    file: FileName,
    /// The modules wanted.
    #[serde(deserialize_with = "each_once")]
    load: Vec<Name>,
}

/// A kernel module's name: letters, digits, `_` and `-`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
struct Name(String);

/// A module named twice, be it once with `-` and once with `_`, is one module.
fn each_once<'de, D: Deserializer<'de>>(from: D) -> std::result::Result<Vec<Name>, D::Error> {
    let mut names: Vec<Name> = Vec::new();
    for name in Vec::<Name>::deserialize(from)? {
        if names
            .iter()
            .all(|other| boot::normal(&other.0) != boot::normal(&name.0))
        {
            names.push(name);
        }
    }
    Ok(names)
}

impl TryFrom<String> for Name {
    type Error = String;

    fn try_from(name: String) -> std::result::Result<Self, String> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        if name.is_empty() || name.starts_with('-') || !name.bytes().all(plain) {
            return Err(format!(
                "\"{name}\" is no module name: expected letters, digits, `_` and `-`, as lsmod shows"
            ));
        }
        Ok(Self(name))
    }
}

/// What the host has.
#[derive(Debug)]
pub struct Observed {
    modules: Vec<Module>,
    path: PathBuf,
    text: Option<Vec<u8>>,
}

impl Kind for Modules {
    type Observed = Observed;
    const EXPLAIN: Explain = Explain {
        why: "overlay: containerd's snapshotter stacks image layers with it. br_netfilter: makes \
              bridged pod traffic visible to iptables and brings the net.bridge.* sysctls. ip_vs, \
              ip_vs_rr, ip_vs_wrr, ip_vs_sh: kube-proxy in ipvs mode. nf_conntrack: kube-proxy's NAT.",
        looks_at: "live: /sys/module/NAME (initstate live, or built in). boot: modules-load.d of \
                   /etc, /run, /usr/local/lib and /usr/lib, CentOS 7's /etc/sysconfig/modules, \
                   modules_load= ; against them blacklist and install lines in modprobe.d, \
                   modprobe.blacklist= and module_blacklist= ; and whether the kernel that boots has \
                   the module at all.",
        changes: "loads what is missing with modprobe; names in /etc/modules-load.d/FILE what no \
                  other file loads. A blacklist of someone else's is reported, never edited.",
        undo: "remove the names from /etc/modules-load.d/FILE; `modprobe -r NAME`.",
    };

    fn observe(&self, host: &Host) -> Result<Observed> {
        let path = self.file.within(DIRECTORY);
        let text = host.bytes(&path)?.map(|bytes| bytes.to_vec());
        let kernels = Kernels::read(host)?;
        let mut modules = kernels.judge(host, &self.load)?;
        for module in &mut modules {
            if let Some(other) = kernels.other_name(&module.boot_name) {
                module.look_for(other, &path, text.as_deref().unwrap_or_default());
            }
        }
        Ok(Observed {
            modules,
            path,
            text,
        })
    }

    fn wants(&self, subject: &str) -> bool {
        self.load.iter().any(|Name(name)| name == subject)
    }

    fn wants_file(&self, path: &Path) -> bool {
        self.file.within(DIRECTORY).starts_with(path)
    }

    fn diff(&self, observed: &Observed) -> ItemPlan {
        let mut plan = ItemPlan::default();
        let mut missing = Vec::new();
        for module in &observed.modules {
            if matches!(module.live, State::Differs { origin: None, .. }) && module.live_can_load()
            {
                let step = Step::LoadModule {
                    name: module.live_name.clone(),
                };
                plan.live(step, [&module.subject]);
            }
            if module.list {
                missing.push(module);
            }
            let (live, boot) = (module.live.clone(), module.boot.clone());
            plan.findings
                .push(Finding::new(&module.subject, live, boot));
        }
        if !missing.is_empty() {
            let content = with_names(observed.text.as_deref(), &missing);
            let step = Step::write(&observed.path, content, Owner::Ours);
            plan.boot(step, missing.iter().map(|module| &module.subject));
        }
        plan
    }
}

impl Module {
    /// systemd-modules-load fails on a name that the kernel has not: another kernel's goes.
    fn look_for(&mut self, other: String, path: &Path, text: &[u8]) {
        let mends = self.list || self.boot == State::InSync;
        let mut lines = (1..).zip(text.split(|byte| *byte == b'\n'));
        let found = lines.find(|(_, line)| named(line).as_ref() == Some(&other));
        if let Some((line, _)) = found.filter(|_| mends) {
            let from = format!("named {other}, which the kernel that boots has not");
            self.boot = State::differs(from, &self.boot_name, Some(Origin::line(path, line)));
            self.list = true;
            self.stale = Some(other);
        }
    }

    /// Its line in our file.
    fn line(&self) -> String {
        format!("{}\n", self.boot_name)
    }
}

/// The module that a line names.
fn named(line: &[u8]) -> Option<String> {
    let (_, name) = dropins::lines(str::from_utf8(line).ok()?).next()?;
    Some(boot::normal(name))
}

/// The file with names in the place of those that are stale, or at its end; every other byte kept.
fn with_names(text: Option<&[u8]>, missing: &[&Module]) -> Vec<u8> {
    let header = template::header("modules-load.conf");
    let text = text
        .filter(|text| !text.is_empty())
        .unwrap_or(header.as_bytes());
    let mut content = Vec::with_capacity(text.len() + 80);
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        let name = named(line);
        let stale = |module: &&&Module| name.is_some() && module.stale == name;
        match missing.iter().find(stale) {
            Some(module) => content.extend_from_slice(module.line().as_bytes()),
            None => content.extend_from_slice(line),
        }
    }
    if !content.ends_with(b"\n") {
        content.push(b'\n');
    }
    for module in missing.iter().filter(|module| module.stale.is_none()) {
        content.extend_from_slice(module.line().as_bytes());
    }
    content
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert!(Name::try_from("ip_vs-rr".to_owned()).is_ok());
        for bad in ["", "-r", "a/b", "../x", "a b", "x;y", "ü"] {
            assert!(Name::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }

    fn module(name: &str) -> Module {
        Module {
            subject: name.to_owned(),
            boot_name: name.to_owned(),
            live_name: name.to_owned(),
            live: State::InSync,
            boot: State::InSync,
            list: false,
            stale: None,
        }
    }

    #[test]
    fn foreign_lines_stay() {
        let overlay = module("overlay");
        assert_eq!(
            with_names(Some(b"# mine\r\nfoo"), &[&overlay]),
            b"# mine\r\nfoo\noverlay\n"
        );
        assert!(with_names(None, &[&overlay]).ends_with(b"\noverlay\n"));
    }

    #[test]
    fn the_name_of_another_kernel_is_replaced() {
        let text = b"# \xe9\nip_vs\n nf-conntrack-ipv4 \noverlay\n";
        let mut conntrack = module("nf_conntrack");
        conntrack.look_for("nf_conntrack_ipv4".into(), Path::new("/x"), text);
        assert!(conntrack.list, "{conntrack:?}");
        assert_eq!(
            with_names(Some(text), &[&conntrack]),
            b"# \xe9\nip_vs\nnf_conntrack\noverlay\n"
        );
        let mut conntrack = module("nf_conntrack");
        conntrack.look_for(
            "nf_conntrack_ipv4".into(),
            Path::new("/x"),
            b"# nf_conntrack_ipv4\nnf_conntrack\n",
        );
        assert!(
            !conntrack.list && conntrack.stale.is_none(),
            "{conntrack:?}"
        );
    }
}
