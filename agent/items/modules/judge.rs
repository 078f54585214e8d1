//! What the running kernel has of the modules that are wanted, and what the boot makes of them.

use std::path::Path;
use std::rc::Rc;

use super::Name;
use crate::boot::kernels;
use crate::boot::modules::{self as boot, BootModules, Load};
use crate::error::Result;
use crate::finding::{Origin, State};
use crate::host::Host;
use crate::items::sysctl::brings_keys;

const NOT_LOADED: &str = "not loaded";
const LOADED: &str = "loaded";

/// One wanted module.
#[derive(Debug)]
pub(super) struct Module {
    /// As the profile names it.
    pub subject: String,
    /// As the kernel that boots names it.
    pub boot_name: String,
    /// As the running kernel names it.
    pub live_name: String,
    pub live: State,
    pub boot: State,
    /// Whether a line in our file mends its boot.
    pub list: bool,
    /// Another kernel's name for it in our file.
    pub stale: Option<String>,
}

impl Module {
    pub fn live_can_load(&self) -> bool {
        self.live == State::differs(NOT_LOADED, LOADED, None)
    }
}

/// The running kernel and the one that boots, with what they have and what boot loads.
pub(super) struct Kernels {
    running: Option<(String, Rc<boot::Modules>)>,
    booting: Option<(String, Rc<boot::Modules>)>,
    boot: BootModules,
    installed: Vec<String>,
}

impl Kernels {
    pub fn read(host: &Host) -> Result<Self> {
        let with_modules = |release: Option<String>| -> Result<_> {
            let Some(release) = release else {
                return Ok(None);
            };
            let modules = boot::Modules::read(host, &release)?;
            Ok(Some((release, modules)))
        };
        Ok(Self {
            running: with_modules(host.kernel_release()?)?,
            booting: with_modules(kernels::booting(host)?)?,
            boot: BootModules::read(host)?,
            installed: kernels::installed(host)?,
        })
    }

    pub fn judge(&self, host: &Host, wanted: &[Name]) -> Result<Vec<Module>> {
        wanted
            .iter()
            .map(|Name(subject)| {
                let resolve = |kernel: &Option<(String, Rc<boot::Modules>)>| match kernel {
                    Some((_, modules)) => modules.resolve(subject),
                    None => boot::normal(subject),
                };
                let (live_name, boot_name) = (resolve(&self.running), resolve(&self.booting));
                let (boot, list) = self.boot(&boot_name);
                let live = self.live(host, &live_name)?;
                Ok(Module {
                    subject: subject.clone(),
                    live,
                    boot,
                    live_name,
                    boot_name,
                    list,
                    stale: None,
                })
            })
            .collect()
    }

    pub fn other_name(&self, name: &str) -> Option<String> {
        let (_, modules) = self.booting.as_ref()?;
        modules.other_name(name)
    }

    /// A loadable module is there once its initstate is `live`; one without initstate is built in
    /// (Documentation/ABI/stable/sysfs-module).
    fn live(&self, host: &Host, name: &str) -> Result<State> {
        let dir = Path::new("/sys/module").join(name);
        match host.text(&dir.join("initstate"))? {
            Some(state) if state.trim() == "live" => return Ok(State::InSync),
            Some(state) => return Ok(State::differs(state.trim(), LOADED, None)),
            None if host.is_directory(&dir)? => return Ok(State::InSync),
            None => {}
        }
        let Some((release, modules)) = &self.running else {
            return Ok(State::unknown("the running kernel is not known"));
        };
        if modules.built_in(name) {
            return Ok(State::InSync);
        }
        if !modules.has(name) {
            return self.missing(host, release, modules, name);
        }
        let disabled = host.text(Path::new("/proc/sys/kernel/modules_disabled"))?;
        if disabled.is_some_and(|text| text.trim() == "1") {
            let reason = "kernel.modules_disabled is 1: no module can be loaded before a reboot";
            return Ok(State::AfterReboot {
                reason: reason.into(),
            });
        }
        Ok(match self.boot.load(name, modules) {
            Load::Refused(origin, true) => State::differs(NOT_LOADED, LOADED, Some(origin)),
            _ => State::differs(NOT_LOADED, LOADED, None),
        })
    }

    /// The running kernel has no such file: a newer kernel may have been installed over it.
    fn missing(
        &self,
        host: &Host,
        release: &str,
        modules: &boot::Modules,
        name: &str,
    ) -> Result<State> {
        for other in self.installed.iter().filter(|other| *other != release) {
            if boot::Modules::read(host, other)?.has(name) {
                let reason =
                    format!("{release} runs without it, {other} is installed with it: reboot");
                return Ok(State::AfterReboot { reason });
            }
        }
        Ok(absent(release, modules))
    }

    /// What the boot makes of it, and whether a line in our file mends that.
    fn boot(&self, name: &str) -> (State, bool) {
        let Some((release, modules)) = &self.booting else {
            let cause = "no installed kernel was found in /lib/modules and /boot";
            return (State::unknown(cause), false);
        };
        if !modules.has(name) {
            return (absent(release, modules), false);
        }
        match self.boot.load(name, modules) {
            Load::Loaded => (State::InSync, false),
            Load::Scripted(origin) if brings_keys(name) => {
                let from = "loaded by a script, maybe after systemd-sysctl";
                (State::differs(from, "loaded before", Some(origin)), true)
            }
            Load::Scripted(_) => (State::InSync, false),
            Load::NotListed => (State::differs("nothing loads it", LOADED, None), true),
            Load::Refused(origin, _) => (State::differs("refused", LOADED, Some(origin)), false),
        }
    }
}

/// EL 10 moved br_netfilter and others out of the kernel's own packages.
fn absent(release: &str, modules: &boot::Modules) -> State {
    if !modules.known {
        let dir = kernels::directory(release);
        return State::unknown(format!(
            "{}/modules.dep is missing, so nothing tells whether it is built in",
            dir.display()
        ));
    }
    let advice = match release.contains(".el") {
        true => format!(": install kernel-modules-extra-{release}"),
        false => String::new(),
    };
    let origin = Origin::file(&kernels::directory(release));
    State::differs(
        format!("not in kernel {release}{advice}"),
        LOADED,
        Some(origin),
    )
}
