//! Control groups: from Kubernetes 1.35 on the kubelet refuses version 1, and a controller that the
//! kernel was told to leave out makes it refuse to start on any.

use std::path::Path;

use serde::Deserialize;

use super::kernel::arguments::{Arguments, pairs};
use super::{Explain, Kind};
use crate::boot::cmdline;
use crate::boot::loader::Line;
use crate::boot::loader::edit::Change;
use crate::boot::units;
use crate::error::Result;
use crate::finding::{Finding, Origin, State};
use crate::host::Host;
use crate::plan::ItemPlan;

const MOUNT: &str = "/sys/fs/cgroup";
/// At the root of a version 2 hierarchy, and nowhere in version 1 (Documentation/admin-guide/cgroup-v2.rst).
const CONTROLLERS: &str = "/sys/fs/cgroup/cgroup.controllers";
/// Version 1: name, hierarchy, number of groups, whether enabled (cgroups(7)).
const V1_CONTROLLERS: &str = "/proc/cgroups";
/// The argument by which systemd chooses (kernel-command-line(7)); it is known from 226 on. Versions
/// before 231, EL 7's 219 among them, can't be told apart here, and count as too old for it.
const UNIFIED: &str = "systemd.unified_cgroup_hierarchy";
/// The first with which the families we know boot version 2 unasked: Debian 11 has 247, Ubuntu 21.10
/// 248, EL 9 252; EL 8 has 239 and Ubuntu 20.04 245, both with version 1.
const UNIFIED_BY_DEFAULT: u32 = 247;
/// The first that does not give version 1 for that argument alone: 256 does not boot with it, 257 boots
/// version 2 all the same, 258 is without version 1 (systemd's NEWS).
const UNIFIED_ALWAYS: u32 = 256;
/// What leaves a controller out (kernel-parameters.txt).
const DISABLE: &str = "cgroup_disable";
/// kubeadm takes these for given where version 2 is (system-validators, cgroup_validator_linux.go): the
/// freezer is part of every group, devices are ruled by BPF.
const GIVEN_IN_2: [&str; 3] = ["devices", "freezer", "cpuacct"];
const VERSION: &str = "version";

/// A controller by the kernel's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Controller {
    Cpu,
    Cpuacct,
    Cpuset,
    Devices,
    Freezer,
    Memory,
    Pids,
    Hugetlb,
    Io,
}

/// `[cgroups]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cgroups {
    /// The version of the hierarchy: 1 or 2.
    version: Option<Hierarchy>,
    /// What is needed; by default what kubeadm's preflight refuses to do without.
    #[serde(default = "required")]
    controllers: Vec<Controller>,
}

/// A version of control groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "i64")]
enum Hierarchy {
    One,
    Two,
}

impl TryFrom<i64> for Hierarchy {
    type Error = String;

    fn try_from(number: i64) -> std::result::Result<Self, String> {
        match number {
            1 => Ok(Self::One),
            2 => Ok(Self::Two),
            _ => Err(format!(
                "there is no version {number} of cgroups: expected 1 or 2"
            )),
        }
    }
}

impl Hierarchy {
    fn of(unified: bool) -> Self {
        if unified { Self::Two } else { Self::One }
    }

    fn shown(self) -> &'static str {
        match self {
            Self::One => "1",
            Self::Two => "2",
        }
    }
}

fn required() -> Vec<Controller> {
    use Controller::{Cpu, Cpuset, Devices, Freezer, Memory, Pids};
    vec![Cpu, Cpuset, Devices, Freezer, Memory, Pids]
}

impl Controller {
    fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cpuacct => "cpuacct",
            Self::Cpuset => "cpuset",
            Self::Devices => "devices",
            Self::Freezer => "freezer",
            Self::Memory => "memory",
            Self::Pids => "pids",
            Self::Hugetlb => "hugetlb",
            Self::Io => "io",
        }
    }
}

/// Whether the running system has version 2; none where no control groups are mounted, as in an image.
///
/// # Errors
/// Where it cannot be looked up.
pub fn is_unified(host: &Host) -> Result<Option<bool>> {
    if host.kind(Path::new(CONTROLLERS))?.is_some() {
        return Ok(Some(true));
    }
    // A hierarchy of version 1 is a directory here; some captures have the slices alone.
    let mounted = host.list(Path::new(MOUNT))?;
    let legacy = ["memory", "cpu", "systemd", "unified"];
    Ok(mounted
        .iter()
        .any(|name| legacy.contains(&name.as_str()))
        .then_some(false))
}

/// A command line's names and values.
type Words = Vec<(String, Option<String>)>;

/// What the host has.
#[derive(Debug)]
pub struct Observed {
    unified: Option<bool>,
    /// Those of the running kernel that can be used.
    controllers: Vec<String>,
    running: Words,
    arguments: Arguments,
    systemd: u32,
    no_live: Option<&'static str>,
}

impl Kind for Cgroups {
    type Observed = Observed;
    const EXPLAIN: Explain = Explain {
        why: "Kubernetes 1.35 refuses to run on cgroups of version 1, and kubeadm's preflight refuses a \
              host without the cpu, cpuset, devices, freezer, memory or pids controller.",
        looks_at: "live: /sys/fs/cgroup/cgroup.controllers, with version 1 /proc/cgroups. boot: \
                   systemd.unified_cgroup_hierarchy= and cgroup_disable= among the arguments of every \
                   entry of the boot loader; without the former systemd's default by its version (2 from \
                   247 on, never 1 from 256 on).",
        changes: "those two arguments, where the boot loader keeps them; true after a reboot.",
        undo: "`grubby --update-kernel=ALL --remove-args=systemd.unified_cgroup_hierarchy`, or take it \
               out of /etc/default/grub and run `update-grub`; then reboot.",
    };

    fn observe(&self, host: &Host) -> Result<Observed> {
        let unified = is_unified(host)?;
        Ok(Observed {
            unified,
            controllers: controllers(host, unified)?,
            running: cmdline::arguments(host)?,
            arguments: Arguments::read(host)?,
            systemd: units::systemd_version(host)?,
            no_live: host.no_live(),
        })
    }

    fn wants(&self, subject: &str) -> bool {
        match subject {
            VERSION => self.version.is_some(),
            name => self
                .controllers
                .iter()
                .any(|controller| controller.name() == name),
        }
    }

    fn diff(&self, observed: &Observed) -> ItemPlan {
        let mut plan = ItemPlan::default();
        let mut change = Change::default();
        let mut serves = Vec::new();
        if let Some(wanted) = self.version {
            let (live, boot) = observed.version(wanted);
            if matches!(boot, State::Differs { .. }) {
                observed.choose(wanted, &mut change);
                serves.push(VERSION.to_owned());
            }
            plan.findings.push(Finding::new(VERSION, live, boot));
        }
        for controller in &self.controllers {
            let (live, boot) = observed.controller(controller.name());
            if matches!(boot, State::Differs { .. }) {
                change
                    .without
                    .push(format!("{DISABLE}={}", controller.name()));
                serves.push(controller.name().to_owned());
            }
            plan.findings
                .push(Finding::new(controller.name(), live, boot));
        }
        if change != Change::default() {
            observed.arguments.steps(&change, &serves, &mut plan);
        }
        plan
    }
}

impl Observed {
    /// What a boot with these arguments makes, and what decides it.
    fn boots(&self, line: &[(String, Option<String>)]) -> Option<bool> {
        if self.systemd >= UNIFIED_ALWAYS {
            return Some(true);
        }
        if self.systemd == 0 {
            return self.unified;
        }
        match (cmdline::value(line, UNIFIED), self.unified) {
            (Some(value), _) => Some(["", "1", "yes", "y", "true", "t", "on"].contains(&value)),
            // What was not asked for then either is this systemd's default.
            (None, Some(now)) if cmdline::value(&self.running, UNIFIED).is_none() => Some(now),
            (None, _) if self.systemd >= UNIFIED_BY_DEFAULT => Some(true),
            (None, _) => Some(false),
        }
    }

    /// Every line the boot loader can start with, else that of the running kernel.
    fn lines(&self) -> Vec<(Words, Option<&Line>)> {
        match (self.arguments.lines.as_slice(), self.no_live) {
            ([], None) => vec![(self.running.clone(), None)],
            ([], Some(_)) => vec![(Vec::new(), None)],
            (lines, _) => lines.iter().map(|line| (pairs(line), Some(line))).collect(),
        }
    }

    fn version(&self, wanted: Hierarchy) -> (State, State) {
        let to = wanted.shown();
        let mut boot = State::InSync;
        for (words, line) in self.lines() {
            match self.boots(&words).map(Hierarchy::of) {
                Some(found) if found == wanted => {}
                Some(found) => {
                    boot = State::differs(found.shown(), to, self.origin(line, UNIFIED));
                    break;
                }
                None => boot = State::unknown("systemd's version is not to be seen"),
            }
        }
        let live = match (self.no_live, self.unified.map(Hierarchy::of)) {
            (Some(reason), _) => State::not_applicable(reason),
            (None, None) => State::not_applicable(format!("no control groups at {MOUNT}")),
            (None, Some(found)) if found == wanted => State::InSync,
            (None, Some(found)) => self.later(found.shown(), to, &boot),
        };
        (live, boot)
    }

    fn controller(&self, name: &str) -> (State, State) {
        let disables = |words: &[(String, Option<String>)]| {
            let mut values = cmdline::values(words, DISABLE).flat_map(|value| value.split(','));
            values.any(|value| value == name)
        };
        let mut boot = State::InSync;
        for (words, line) in self.lines() {
            if disables(&words) {
                boot = State::differs("disabled", "enabled", self.origin(line, DISABLE));
                break;
            }
        }
        let there = self.controllers.iter().any(|one| one == name)
            || self.unified == Some(true) && GIVEN_IN_2.contains(&name);
        let live = match (self.no_live, self.unified) {
            (Some(reason), _) => State::not_applicable(reason),
            (None, _) if there => State::InSync,
            // Nothing is known of it.
            (None, _) if self.controllers.is_empty() => {
                State::not_applicable(format!("no control groups at {MOUNT}"))
            }
            (None, _) if disables(&self.running) => self.later("disabled", "enabled", &boot),
            (None, _) => State::differs("not in this kernel", "enabled", None),
        };
        (live, boot)
    }

    fn later(&self, from: &str, to: &str, boot: &State) -> State {
        match boot {
            State::InSync => State::AfterReboot {
                reason: format!("cgroups: {from} now, {to} with the arguments of the next boot"),
            },
            _ => State::differs(from, to, None),
        }
    }

    fn origin(&self, line: Option<&Line>, name: &str) -> Option<Origin> {
        let line = line?;
        let named = line.iter().rev().find(|argument| argument.key == name);
        let by = match self.systemd {
            0 => "systemd is too old to choose".to_owned(),
            version => format!("systemd {version} by itself"),
        };
        Some(named.map_or(Origin::Other(by), |argument| argument.origin.clone()))
    }

    /// The arguments by which systemd makes this version.
    fn choose(&self, wanted: Hierarchy, change: &mut Change) {
        let unified = wanted == Hierarchy::Two;
        if self.systemd == 0 || self.systemd >= UNIFIED_ALWAYS {
            return;
        }
        // An argument that says the same as the default would only outlive its reason.
        match self.boots(&[]) == Some(unified) {
            true => change.without.push(UNIFIED.into()),
            false => change.with.push(format!("{UNIFIED}={}", u8::from(unified))),
        }
    }
}

/// The controllers of the running kernel.
fn controllers(host: &Host, unified: Option<bool>) -> Result<Vec<String>> {
    if unified == Some(true) {
        let text = host.text(Path::new(CONTROLLERS))?.unwrap_or_default();
        return Ok(text.split_whitespace().map(str::to_owned).collect());
    }
    let text = host.text(Path::new(V1_CONTROLLERS))?.unwrap_or_default();
    let enabled = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            [name, _, _, "1"] => Some(if *name == "blkio" { "io" } else { name }.to_owned()),
            _ => None,
        }
    };
    Ok(text.lines().filter_map(enabled).collect())
}

#[cfg(test)]
#[path = "cgroups/cgroups_test.rs"]
mod tests;
