//! What a kernel was built with, against what kubeadm's preflight asks of it.

use crate::boot::kernels;
use crate::error::Result;
use crate::finding::{Finding, Origin, State};
use crate::host::Host;
use crate::plan::ItemPlan;

/// Built in or a module (k8s.io/system-validators, validators/types_unix.go, `DefaultSysSpec`).
const REQUIRED: [&str; 13] = [
    "NAMESPACES",
    "NET_NS",
    "PID_NS",
    "IPC_NS",
    "UTS_NS",
    "CPUSETS",
    "MEMCG",
    "INET",
    "EXT4_FS",
    "PROC_FS",
    "FAIR_GROUP_SCHED",
    "CGROUPS",
    "NETFILTER_XT_MATCH_COMMENT",
];
/// One of a pair of names will do: old kernels have the second.
const EITHER: [[&str; 2]; 1] = [["NETFILTER_XT_TARGET_REDIRECT", "IP_NF_TARGET_REDIRECT"]];
/// With cgroups of version 1.
const VERSION_1: [&str; 5] = [
    "CGROUP_CPUACCT",
    "CGROUP_DEVICE",
    "CGROUP_FREEZER",
    "CGROUP_PIDS",
    "CGROUP_SCHED",
];
/// With cgroups of version 2.
const VERSION_2: [&str; 3] = ["CGROUP_BPF", "CGROUP_PIDS", "CGROUP_SCHED"];

/// What the running and the booting kernel have.
#[derive(Debug)]
pub struct Configuration {
    running: Built,
    booting: Built,
}

#[derive(Debug)]
enum Built {
    /// Without these.
    Known(String, Vec<String>),
    /// Where nothing tells.
    NotTold(String),
    None,
}

impl Configuration {
    pub fn read(host: &Host) -> Result<Self> {
        let unified = super::super::cgroups::is_unified(host)?;
        let read = |release: Option<String>| -> Result<Built> {
            let Some(release) = release else {
                return Ok(Built::None);
            };
            Ok(match kernels::configuration(host, &release)? {
                Some(text) => Built::Known(release, missing(&text, unified.unwrap_or(true))),
                None => Built::NotTold(release),
            })
        };
        Ok(Self {
            running: read(host.kernel_release()?)?,
            booting: match host.no_boot() {
                Some(_) => Built::None,
                None => read(kernels::booting(host)?)?,
            },
        })
    }

    pub fn add(&self, subject: &str, plan: &mut ItemPlan) {
        let (live, boot) = (self.running.state(), self.booting.state());
        plan.findings.push(Finding::new(subject, live, boot));
    }
}

impl Built {
    fn state(&self) -> State {
        match self {
            Self::Known(_, missing) if missing.is_empty() => State::InSync,
            Self::Known(release, missing) => State::differs(
                format!("without {}", missing.join(", ")),
                "with them (another kernel)",
                Some(Origin::Other(format!("configuration of {release}"))),
            ),
            Self::NotTold(release) => State::unknown(format!(
                "nothing tells what {release} was built with: no /proc/config.gz, no /boot/config-{release}"
            )),
            Self::None => State::not_applicable("there is no kernel of its own here"),
        }
    }
}

/// What is neither built in nor a module.
fn missing(text: &str, unified: bool) -> Vec<String> {
    let has = |name: &str| {
        text.lines().any(|line| {
            let value = line
                .strip_prefix("CONFIG_")
                .and_then(|rest| rest.strip_prefix(name));
            matches!(value, Some("=y" | "=m"))
        })
    };
    let by_version: &[&str] = if unified { &VERSION_2 } else { &VERSION_1 };
    let all = REQUIRED.iter().chain(by_version);
    let mut missing: Vec<&str> = all.copied().filter(|name| !has(name)).collect();
    let either = EITHER
        .iter()
        .filter(|pair| !pair.iter().any(|name| has(name)));
    missing.extend(either.filter_map(|pair| pair.first().copied()));
    missing
        .iter()
        .map(|name| format!("CONFIG_{name}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_in_or_a_module() {
        let all = REQUIRED.iter().chain(&VERSION_2);
        let mut text: String = all.map(|name| format!("CONFIG_{name}=y\n")).collect();
        assert_eq!(
            missing(&text, true),
            ["CONFIG_NETFILTER_XT_TARGET_REDIRECT"]
        );
        text += "# CONFIG_X is not set\nCONFIG_IP_NF_TARGET_REDIRECT=m\n";
        assert_eq!(missing(&text, true), [""; 0]);
        let names = [
            "CONFIG_CGROUP_CPUACCT",
            "CONFIG_CGROUP_DEVICE",
            "CONFIG_CGROUP_FREEZER",
        ];
        assert_eq!(missing(&text, false), names);
        let without = text.replace("CONFIG_MEMCG=y", "CONFIG_MEMCG_KMEM=y");
        assert_eq!(missing(&without, true), ["CONFIG_MEMCG"]);
    }
}
