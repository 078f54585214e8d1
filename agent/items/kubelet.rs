//! The kubelet: one of another version than the cluster's is refused by it, one that nothing starts at
//! boot leaves the node NotReady after its first reboot, and one with a flag it no longer has ends at once.

mod environment;
mod observed;

use std::collections::BTreeMap;

use serde::Deserialize;

use super::kubeadm::{CgroupDriver, Plain};
use super::{Explain, Kind};
use crate::error::Result;
use crate::finding::{Finding, State};
use crate::host::Host;
use crate::kubernetes::Version;
use crate::plan::ItemPlan;
use crate::step::{Due, Owner, Step};

pub use observed::Observed;

const UNIT: &str = "kubelet.service";
/// The variable that kubeadm's unit drop-in leaves to the administrator.
const VARIABLE: &str = "KUBELET_EXTRA_ARGS";

/// `[kubelet]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Settings")]
pub struct Kubelet(Settings);

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// The version that is to be installed; any patch of it where none is named.
    version: Option<Version>,
    /// The cgroup driver of its configuration, which has to be the runtime's.
    cgroup_driver: Option<CgroupDriver>,
    /// Its flags, without dashes, in `KUBELET_EXTRA_ARGS`.
    #[serde(default)]
    args: BTreeMap<Plain, Plain>,
}

impl TryFrom<Settings> for Kubelet {
    type Error = String;

    fn try_from(settings: Settings) -> std::result::Result<Self, String> {
        let Some(version) = settings.version else {
            return Ok(Self(settings));
        };
        let mut flags = settings.args.keys().map(|flag| &**flag);
        match flags.find_map(|flag| Some((flag, version.lacks_flag(flag)?))) {
            None => Ok(Self(settings)),
            Some((flag, since)) => Err(format!(
                "args: --{flag} is gone since {since}: kubelet {version} does not start with it"
            )),
        }
    }
}

impl Kind for Kubelet {
    type Observed = Observed;
    const EXPLAIN: Explain = Explain {
        why: "a kubelet newer than the control plane, or more than three versions older, is refused; \
              one that is not enabled leaves the node NotReady after its first reboot; a flag that \
              was removed (--container-runtime, --pod-infra-container-image) ends it at once; and \
              with another cgroup driver than the runtime's pods die under load.",
        looks_at: "boot: the package's version by dpkg's or rpm's database, the link that enables \
                   kubelet.service, KUBELET_EXTRA_ARGS in /etc/default/kubelet or \
                   /etc/sysconfig/kubelet, as its unit names it, kubeadm-flags.env, cgroupDriver in \
                   /var/lib/kubelet/config.yaml. live: whether it started after its file changed, \
                   and the runtime's own word on its cgroup driver.",
        changes: "enables the service; the flags named, in KUBELET_EXTRA_ARGS: other flags, lines and \
                  comments stay. Restarts the kubelet where it runs; pods go on running.",
        undo: "take the flags out of /etc/default/kubelet or /etc/sysconfig/kubelet, `systemctl \
               restart kubelet`; `systemctl disable kubelet`.",
    };

    fn observe(&self, host: &Host) -> Result<Observed> {
        Observed::read(host)
    }

    fn wants(&self, subject: &str) -> bool {
        match subject.strip_prefix("--") {
            Some(flag) => self.0.args.contains_key(flag),
            None => true,
        }
    }

    fn diff(&self, observed: &Observed) -> ItemPlan {
        let mut plan = ItemPlan::default();
        observed.add_service(&mut plan);
        if let Some(version) = self.0.version {
            let state = observed.version(version);
            plan.findings
                .push(Finding::new("version", state.clone(), state));
        }
        let edited = self.add_args(observed, &mut plan);
        let state = observed.flags(self.0.version);
        plan.findings
            .push(Finding::new("flags", state.clone(), state));
        if let Some((live, boot)) = observed.cgroup_driver(self.0.cgroup_driver) {
            plan.findings
                .push(Finding::new("cgroup_driver", live, boot));
        }
        let runs = matches!(observed.running, Ok(Some(_)));
        let is_older = matches!(observed.running, Ok(Some(Some(_)))) && !self.0.args.is_empty();
        let has_stopped = matches!(observed.running, Ok(None)) && observed.is_member;
        let here = observed.not_here.is_none() && observed.unit.is_installed();
        if here && (runs && edited || is_older || has_stopped) {
            plan.due.push(Due::Restart {
                unit: UNIT.into(),
                ready: None,
            });
        }
        plan
    }
}

impl Kubelet {
    /// Tells whether the file is to be edited.
    fn add_args(&self, observed: &Observed, plan: &mut ItemPlan) -> bool {
        let args = &self.0.args;
        let old = match &observed.extra {
            Ok(old) => old.as_ref(),
            Err(cause) => {
                for flag in args.keys() {
                    let state = State::unknown(cause);
                    plan.findings
                        .push(Finding::new(subject(flag), state.clone(), state));
                }
                return false;
            }
        };
        let mut serves = Vec::new();
        for (flag, wanted) in args {
            let boot = match observed.unit.is_installed() {
                true => observed.arg(old, flag, wanted),
                false => observed.unit.absent(),
            };
            if matches!(boot, State::Differs { .. }) {
                serves.push(subject(flag));
            }
            plan.findings
                .push(Finding::new(subject(flag), observed.live(&boot), boot));
        }
        if serves.is_empty() {
            return false;
        }
        let value = old.map_or("", |old| &old.value);
        let pairs = args.iter().map(|(flag, wanted)| (&**flag, &**wanted));
        let value = environment::with_flags(value, pairs);
        let content = environment::set(&observed.text, VARIABLE, old, &value);
        plan.boot(Step::write(&observed.file, content, Owner::Shared), serves);
        true
    }
}

fn subject(flag: &str) -> String {
    format!("--{flag}")
}

#[cfg(test)]
#[path = "kubelet/kubelet_test.rs"]
mod tests;
