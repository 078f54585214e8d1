//! What can be applied and still hurts: settings that are each valid, but fight each other, another
//! component or the cluster. Nobody sees it in the profile; it shows weeks later as time-outs.

mod cluster;
mod ports;
mod settings;
mod sysctls;

use serde::{Deserialize, Serialize};

use super::Resolved;
use super::diagnostic::ProfileError;
use settings::Settings;

/// Looks at one thing; pure. What it finds is a warning with the line it is about.
type Lint = fn(&Settings<'_>) -> Vec<ProfileError>;

/// All lints, by the names that `[lint] allow` takes.
const LINTS: &[(&str, Lint)] = &[
    ("rp-filter", sysctls::rp_filter),
    ("ephemeral-ports", sysctls::ephemeral_ports),
    ("hung-task-timeout", sysctls::hung_task_timeout),
    ("limit-lowered", sysctls::limit_lowered),
    ("kubelet-keys", sysctls::kubelet_keys),
    ("forwarding-off", sysctls::forwarding_off),
    ("gone-key", sysctls::gone_key),
    ("key-without-module", sysctls::key_without_module),
    ("early-file", sysctls::early_file),
    ("proxy-modules", cluster::proxy_modules),
    ("sandbox-image", cluster::sandbox_image),
    ("cgroup-driver", cluster::cgroup_driver),
    ("swap-off-small-memory", cluster::swap_off_small_memory),
    ("role-ports", ports::role_ports),
    ("network-ports", ports::network_ports),
];

/// `[lint]`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Allowed {
    /// Lints that do not warn of this profile: whoever wrote it knows.
    #[serde(default)]
    allow: Vec<Name>,
}

/// The name of a lint.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
struct Name(String);

impl TryFrom<String> for Name {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        if LINTS.iter().any(|(known, _)| *known == name) {
            return Ok(Self(name));
        }
        let known: Vec<&str> = LINTS.iter().map(|(known, _)| *known).collect();
        Err(format!(
            "there is no lint \"{name}\": there are {}",
            known.join(", ")
        ))
    }
}

/// What a lint found.
#[derive(Debug, Clone, Serialize)]
pub struct Warning {
    /// The lint's name.
    pub lint: &'static str,
    /// What, where, and what to do.
    #[serde(flatten)]
    pub found: ProfileError,
}

impl Warning {
    /// Several lines for people, as an error is drawn; styled, without a newline at the end.
    #[must_use]
    pub fn render(&self) -> String {
        self.found.render_warning(self.lint)
    }
}

/// What is to be said of a profile, in the order of the lints. `memory` is the host's, in MiB.
#[must_use]
pub fn warnings(resolved: &Resolved, allowed: &Allowed, memory: Option<u64>) -> Vec<Warning> {
    let settings = Settings::new(resolved, memory);
    let is_allowed = |lint: &str| allowed.allow.iter().any(|name| name.0 == lint);
    let wanted = LINTS.iter().filter(|(lint, _)| !is_allowed(lint));
    wanted
        .flat_map(|&(lint, look)| {
            let found = look(&settings).into_iter();
            found.map(move |found| Warning { lint, found })
        })
        .collect()
}

#[cfg(test)]
#[path = "lint_test.rs"]
mod tests;
