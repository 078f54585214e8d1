//! SELinux: without a policy for container runtimes an enforcing host refuses pods their volumes, so
//! installers ask for permissive or disabled; hardened hosts ask that it stays enforcing.

mod boot;
mod config;

use std::path::Path;
use std::rc::Rc;

use serde::Deserialize;

use super::{Explain, Kind};
use crate::boot::kernels;
use crate::boot::loader::{self, Line};
use crate::error::{Result, trouble};
use crate::finding::{Finding, Origin, State};
use crate::host::Host;
use crate::plan::ItemPlan;
use crate::step::{Owner, Step};

const CONFIG: &str = "/etc/selinux/config";
const ENFORCE: &str = "/sys/fs/selinux/enforce";
const SUBJECT: &str = "state";

/// `[selinux]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Selinux {
    /// What it should do.
    state: Mode,
}

/// As selinux(8) names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Mode {
    /// No policy is loaded.
    Disabled,
    /// The policy is loaded, and what it forbids is only logged.
    Permissive,
    /// The policy is loaded and holds.
    Enforcing,
}

impl Mode {
    const ALL: [Self; 3] = [Self::Disabled, Self::Permissive, Self::Enforcing];

    fn name(self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::Permissive => "permissive",
            Self::Enforcing => "enforcing",
        }
    }
}

/// What the host has.
#[derive(Debug)]
pub struct Observed {
    live: Mode,
    config: Option<Rc<[u8]>>,
    /// Whether a kernel takes SELinux when no argument chooses a security module.
    by_default: bool,
    /// What the next boot can be started with, or why that is not known.
    lines: std::result::Result<Vec<Line>, String>,
}

impl Kind for Selinux {
    type Observed = Observed;
    const EXPLAIN: Explain = Explain {
        why: "where containers run without a policy made for them (container-selinux), an enforcing \
              host refuses them files and sockets. kubeadm's own manual sets permissive; with the \
              policy installed, enforcing is the better choice.",
        looks_at: "live: /sys/fs/selinux/enforce; absent, or no policy loaded (/proc/self/attr/current \
                   is \"kernel\"), is disabled. boot: the first valid SELINUX= line of \
                   /etc/selinux/config, permissive where there is none; against it selinux=, \
                   enforcing=, security= and lsm= in the boot loader's entries, its menu and \
                   /etc/default/grub, or on the kernel command line where there is no menu.",
        changes: "the value in that one line; SELINUXTYPE= never. Permissive and enforcing at once; \
                  disabled, and back from it, with the next boot, enforcing becoming permissive at \
                  once. Kernel arguments are reported, not edited; files are not labelled.",
        undo: "set SELINUX= in /etc/selinux/config back; `setenforce 1`. After a time disabled: \
               `touch /.autorelabel`, then reboot.",
    };

    fn observe(&self, host: &Host) -> Result<Observed> {
        let running = host.text(Path::new("/proc/cmdline"))?.unwrap_or_default();
        let mut running = loader::running(&running);
        let lines = lines(host, &mut running).map_err(|error| error.to_string());
        Ok(Observed {
            live: live(host)?,
            config: host.bytes(Path::new(CONFIG))?,
            by_default: by_default(host, &running)?,
            lines,
        })
    }

    fn diff(&self, observed: &Observed) -> ItemPlan {
        let mut plan = ItemPlan::default();
        let wanted = self.state;
        if observed.has_none() {
            let state = none(wanted);
            plan.findings
                .push(Finding::new(SUBJECT, state.clone(), state));
            return plan;
        }
        let boot = observed.boot(wanted);
        let by_file = observed
            .readings()
            .iter()
            .any(|(mode, _)| *mode != Some(wanted));
        if by_file && matches!(boot, State::Differs { .. }) {
            let text = observed.config.as_deref().unwrap_or_default();
            let step = Step::write(CONFIG, config::set(text, wanted), Owner::Shared);
            plan.boot(step, [SUBJECT]);
        }
        if let Some(value) = observed.switch(wanted) {
            let step = Step::WriteKernel {
                path: ENFORCE.into(),
                value: value.into(),
            };
            plan.live(step, [SUBJECT]);
        }
        let live = observed.live(wanted);
        plan.findings.push(Finding::new(SUBJECT, live, boot));
        plan
    }
}

impl Observed {
    /// No policy is loaded and none is configured.
    fn has_none(&self) -> bool {
        self.live == Mode::Disabled && self.config.is_none()
    }

    /// What the file says, to libselinux from 3.4 on and to those before.
    fn readings(&self) -> [(Option<Mode>, Origin); 2] {
        let all = config::assignments(self.config.as_deref().unwrap_or_default());
        let reading = |found: Option<&config::Assignment>| match found {
            Some(found) => (
                Some(found.mode),
                Origin::line(Path::new(CONFIG), found.line),
            ),
            None => {
                let missing = format!("{CONFIG} has no valid SELINUX= line");
                (None, Origin::Other(missing))
            }
        };
        [
            reading(all.first()),
            reading(all.iter().find(|found| !found.blank)),
        ]
    }

    /// What the boot makes; a kernel argument that no file can outdo comes first.
    fn boot(&self, wanted: Mode) -> State {
        let lines = match &self.lines {
            Ok(lines) => lines,
            Err(cause) => return State::unknown(cause),
        };
        if let Some((mode, origin)) = self.overruled(wanted) {
            return State::differs(mode.name(), wanted.name(), Some(origin));
        }
        for (file, line) in self
            .readings()
            .iter()
            .flat_map(|file| lines.iter().map(move |line| (file, line)))
        {
            let (mode, argument) = boot::mode(line, file.0, self.by_default);
            if mode != wanted {
                let origin = argument.unwrap_or_else(|| file.1.clone());
                return State::differs(mode.name(), wanted.name(), Some(origin));
            }
        }
        State::InSync
    }

    /// The kernel argument that stands against `wanted` whatever the file says.
    fn overruled(&self, wanted: Mode) -> Option<(Mode, Origin)> {
        let lines = self.lines.as_ref().ok()?;
        lines.iter().find_map(|line| {
            let (mode, origin) = boot::mode(line, Some(wanted), self.by_default);
            Some((mode, origin?)).filter(|(mode, _)| *mode != wanted)
        })
    }

    fn live(&self, wanted: Mode) -> State {
        let differs = |to: &str, origin| State::differs(self.live.name(), to, origin);
        match (self.live, wanted) {
            (live, wanted) if live == wanted => State::InSync,
            (Mode::Enforcing, Mode::Disabled) => {
                differs("permissive now, disabled after a reboot", None)
            }
            (_, Mode::Disabled) => State::AfterReboot {
                reason: "permissive until then: a loaded policy cannot be taken out".into(),
            },
            (Mode::Disabled, _) => match self.overruled(wanted) {
                Some((_, origin)) => differs(wanted.name(), Some(origin)),
                None => State::AfterReboot {
                    reason:
                        "files made while it was disabled have no labels: see that /.autorelabel \
                             is there before it"
                            .into(),
                },
            },
            _ => differs(wanted.name(), None),
        }
    }

    /// What to write to `enforce` now; a policy that is to go stops being enforced at once.
    fn switch(&self, wanted: Mode) -> Option<&'static str> {
        match (self.live, wanted) {
            (Mode::Enforcing, Mode::Permissive | Mode::Disabled) => Some("0"),
            (Mode::Permissive, Mode::Enforcing) => Some("1"),
            _ => None,
        }
    }
}

/// A host without SELinux: nothing is enforced where nothing is there.
fn none(wanted: Mode) -> State {
    if wanted != Mode::Enforcing {
        return State::InSync;
    }
    let origin = Origin::Other(format!(
        "{CONFIG} is not there: install the distribution's SELinux policy first"
    ));
    State::differs("no SELinux", wanted.name(), Some(origin))
}

/// `0` or `1`. Where init loaded no policy (SELINUX=disabled on a kernel that can't switch it off,
/// which is any from 6.4 on) selinuxfs may be mounted all the same, and all that can be told is that
/// every process still has the initial context, bare `kernel` (security/selinux/ss/services.c,
/// `security_sid_to_context_core`).
fn live(host: &Host) -> Result<Mode> {
    let Some(text) = host.text(Path::new(ENFORCE))? else {
        return Ok(Mode::Disabled);
    };
    let context = host.text(Path::new("/proc/self/attr/current"))?;
    if context.is_some_and(|context| context.trim_end_matches(['\0', '\n']) == "kernel") {
        return Ok(Mode::Disabled);
    }
    match text.trim() {
        "0" => Ok(Mode::Permissive),
        "1" => Ok(Mode::Enforcing),
        other => Err(trouble!("{ENFORCE}: \"{other}\" is neither 0 nor 1")),
    }
}

/// The kernel lists the modules it took (kernel 4.11 on, where securityfs is mounted); that list is
/// its own choice where no argument has made it.
fn by_default(host: &Host, running: &Line) -> Result<bool> {
    let chosen = ["lsm", "security", "selinux"];
    if running
        .iter()
        .any(|argument| chosen.contains(&argument.key.as_str()))
    {
        return Ok(true);
    }
    let list = host.text(Path::new("/sys/kernel/security/lsm"))?;
    Ok(list.is_none_or(|list| list.trim().split(',').any(|name| name == "selinux")))
}

/// What the next boot can be started with; and without `selinux=`, there and in the running line, where
/// the kernel is built not to know it, as Debian's are (security/selinux/Kconfig,
/// SECURITY_SELINUX_BOOTPARAM).
fn lines(host: &Host, running: &mut Line) -> Result<Vec<Line>> {
    let switch = |argument: &loader::Argument| argument.key == "selinux";
    let mut lines = loader::lines(host)?;
    if lines.iter().flatten().chain(&*running).any(switch)
        && let Some(release) = kernels::booting(host)?
        && let Some(built) = kernels::configuration(host, &release)?
        && built.lines().any(|line| line == WITHOUT_SWITCH)
    {
        for line in lines.iter_mut().chain([running]) {
            line.retain(|argument| !switch(argument));
        }
    }
    Ok(lines)
}

const WITHOUT_SWITCH: &str = "# CONFIG_SECURITY_SELINUX_BOOTPARAM is not set";

#[cfg(test)]
#[path = "selinux/state_test.rs"]
mod tests;
