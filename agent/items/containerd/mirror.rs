//! Mirrors of registries: a node that can't reach docker.io, or pulls too much from it, starts no pod.
//!
//! containerd from 1.5 on reads `certs.d/REGISTRY/hosts.toml` at each pull (docs/hosts.md).

use std::path::PathBuf;

use serde::Deserialize;

use crate::template;

/// The directory that `config_path` names.
pub const DIRECTORY: &str = "/etc/containerd/certs.d";

/// `[containerd.mirrors."docker.io"]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mirror {
    /// The registry itself, asked where no mirror answers; `https://` and the registry's name where
    /// it is not given.
    server: Option<Url>,
    /// The mirrors, asked in this order.
    endpoints: Vec<Url>,
}

impl Mirror {
    /// What its hosts.toml says.
    pub fn content(&self) -> String {
        let mut text = template::header("hosts.toml");
        if let Some(Url(server)) = &self.server {
            text += &format!("server = \"{server}\"\n");
        }
        for Url(endpoint) in &self.endpoints {
            let table = format!("[host.\"{endpoint}\"]");
            text += &format!("\n{table}\ncapabilities = [\"pull\", \"resolve\"]\n");
        }
        text
    }
}

/// `http://` or `https://`, a host, perhaps a path.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
struct Url(String);

impl TryFrom<String> for Url {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let rest = text
            .strip_prefix("https://")
            .or(text.strip_prefix("http://"));
        let plain = |c: char| c.is_ascii_graphic() && !"\"\\".contains(c);
        match rest {
            Some(rest) if !rest.is_empty() && rest.chars().all(plain) => Ok(Self(text)),
            _ => Err(format!(
                "\"{text}\" is no address: expected https://mirror.example"
            )),
        }
    }
}

/// A registry as image names begin with it: `docker.io`, `registry.example:5000`, or `_default` for
/// every other.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Registry(String);

impl Registry {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.0
    }

    /// Where its hosts.toml is.
    pub fn path(&self) -> PathBuf {
        PathBuf::from(format!("{DIRECTORY}/{}/hosts.toml", self.0))
    }
}

impl TryFrom<String> for Registry {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
        match text.starts_with(|c: char| c.is_ascii_alphanumeric() || "_[".contains(c)) {
            true if text.chars().all(plain) => Ok(Self(text)),
            _ => Err(format!(
                "\"{text}\" is no registry: expected docker.io, registry.example:5000 or _default"
            )),
        }
    }
}
