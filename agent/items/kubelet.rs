//! The kubelet: one of another version than the cluster's is refused by it, one that nothing starts at
//! boot leaves the node NotReady after its first reboot, and one with a flag it no longer has ends at once.

mod environment;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use yaml_rust2::YamlLoader;

use super::kubeadm::{CgroupDriver, Plain};
use super::{Explain, Kind};
use crate::boot::dropins;
use crate::boot::enablement::{Boot, Unit};
use crate::boot::packages::{self, Stands};
use crate::error::{Result, trouble};
use crate::finding::{Finding, Origin, State};
use crate::host::{Cri, Host};
use crate::kubernetes::Version;
use crate::plan::ItemPlan;
use crate::step::{Due, Owner, Step};

use environment::Assignment;

const UNIT: &str = "kubelet.service";
const PROGRAM: &str = "kubelet";
/// The variable that kubeadm's unit drop-in leaves to the administrator, and where packages have it.
const VARIABLE: &str = "KUBELET_EXTRA_ARGS";
const FILES: [&str; 2] = ["/etc/default/kubelet", "/etc/sysconfig/kubelet"];
/// What kubeadm writes when the node joins: flags, settings, and by what it is known.
const KUBEADM_FLAGS: &str = "/var/lib/kubelet/kubeadm-flags.env";
const KUBEADM_VARIABLE: &str = "KUBELET_KUBEADM_ARGS";
const CONFIG: &str = "/var/lib/kubelet/config.yaml";
const MEMBER: &str = "/etc/kubernetes/kubelet.conf";
/// Where containerd listens (its defaults/defaults_unix.go).
const SOCKET: &str = "/run/containerd/containerd.sock";

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

/// What the host has.
#[derive(Debug)]
pub struct Observed {
    unit: Unit,
    /// Whether it runs with its files as they are; none where it does not run.
    running: Result<Option<Option<PathBuf>>>,
    is_member: bool,
    installed: Result<Package>,
    file: PathBuf,
    text: String,
    extra: Result<Option<Assignment>>,
    /// kubeadm's flags.
    kubeadms: Option<Assignment>,
    /// What its configuration says of the cgroup driver.
    driver: Option<Driver>,
    /// What the runtime says of it.
    runtime: Option<CgroupDriver>,
    not_here: Option<&'static str>,
}

/// Its package.
#[derive(Debug)]
enum Package {
    /// Nobody we know manages packages here.
    Unmanaged,
    Absent,
    Installed(String),
}

#[derive(Debug)]
struct Driver {
    name: String,
    line: Option<usize>,
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
        let unit = Unit::read(host, UNIT)?;
        let file = file(host, &unit)?;
        let text = host.exact_text(&file)?.unwrap_or_default();
        let kubeadms = host.text(Path::new(KUBEADM_FLAGS))?.unwrap_or_default();
        Ok(Observed {
            unit,
            running: running(host, &file),
            is_member: host.kind(Path::new(MEMBER))?.is_some(),
            installed: package(host),
            extra: environment::find(&text, VARIABLE)
                .map_err(|why| trouble!("{}: {why}", file.display())),
            // kubeadm writes it as we read it.
            kubeadms: environment::find(&kubeadms, KUBEADM_VARIABLE)
                .ok()
                .flatten(),
            driver: driver(host)?,
            runtime: runtime(host),
            not_here: host.no_live().or(host.no_boot()),
            file,
            text,
        })
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

impl Observed {
    fn add_service(&self, plan: &mut ItemPlan) {
        let (boot, steps) = self.unit.boot(Boot::Enabled);
        if !steps.is_empty() {
            plan.due.push(Due::DaemonReload);
        }
        for step in steps {
            plan.boot(step, ["service"]);
        }
        let live = match (&self.running, self.not_here) {
            (_, Some(reason)) => State::not_applicable(reason),
            (Ok(Some(_)), None) => State::InSync,
            (Ok(None), None) if self.is_member => State::differs("not running", "running", None),
            (Ok(None), None) => State::not_applicable("it runs once the node is in a cluster"),
            (Err(cause), None) => State::unknown(cause),
        };
        plan.findings.push(Finding::new("service", live, boot));
    }

    fn version(&self, wanted: Version) -> State {
        match &self.installed {
            Err(cause) => State::unknown(cause),
            Ok(Package::Unmanaged) => {
                State::not_applicable("it came by no package manager that is known")
            }
            Ok(Package::Absent) => State::blocked("the package kubelet is not installed"),
            Ok(Package::Installed(text)) => match Version::of_package(text) {
                Some(version) if wanted.is_met_by(version) => State::InSync,
                Some(_) => State::differs(text, wanted.to_string(), None),
                None => State::unknown(format!("\"{text}\" is no version of Kubernetes")),
            },
        }
    }

    fn arg(&self, old: Option<&Assignment>, flag: &str, wanted: &str) -> State {
        let found = old.and_then(|old| Some((environment::flag(&old.value, flag)?, old.line)));
        match found {
            Some((value, _)) if value == wanted => State::InSync,
            Some((value, line)) => {
                State::differs(value, wanted, Some(Origin::line(&self.file, line)))
            }
            None => State::differs("not set", wanted, None),
        }
    }

    /// It reads its flags when it starts.
    fn live(&self, boot: &State) -> State {
        match &self.running {
            _ if *boot != State::InSync => boot.clone(),
            Ok(Some(Some(path))) => {
                let from = format!("started before {} changed", path.display());
                State::differs(from, "started after", Some(Origin::file(path)))
            }
            Ok(Some(None)) => State::InSync,
            Ok(None) => State::not_applicable("it does not run"),
            Err(cause) => State::unknown(cause),
        }
    }

    /// Whether there is a flag it does not start with, as what is installed or else is wanted has them.
    fn flags(&self, wanted: Option<Version>) -> State {
        let installed = match &self.installed {
            Ok(Package::Installed(text)) => Version::of_package(text),
            _ => None,
        };
        let Some(version) = installed.or(wanted) else {
            return State::not_applicable("the kubelet's version is not known");
        };
        let extra = self.extra.as_ref().ok().and_then(Option::as_ref);
        let places = [
            (extra, self.file.as_path()),
            (self.kubeadms.as_ref(), Path::new(KUBEADM_FLAGS)),
        ];
        for (assignment, path) in places {
            let Some(found) = assignment else { continue };
            for flag in environment::names(&found.value) {
                if let Some(since) = version.lacks_flag(flag) {
                    let origin = Origin::line(path, found.line);
                    let to = format!("not given: it is gone since {since}");
                    return State::differs(subject(flag), to, Some(origin));
                }
            }
        }
        State::InSync
    }

    /// Live, whether the runtime agrees with it; boot, whether it is the wanted one.
    fn cgroup_driver(&self, wanted: Option<CgroupDriver>) -> Option<(State, State)> {
        let wanted = wanted.or(self.runtime)?.name();
        let Some(driver) = &self.driver else {
            let state =
                State::not_applicable(format!("kubeadm writes {CONFIG} when the node joins"));
            return Some((state.clone(), state));
        };
        let origin = match driver.line {
            Some(line) => Origin::line(Path::new(CONFIG), line),
            None => Origin::file(Path::new(CONFIG)),
        };
        let boot = match driver.name == wanted {
            true => State::InSync,
            false => State::differs(&driver.name, wanted, Some(origin)),
        };
        let live = match self.runtime.map(CgroupDriver::name) {
            Some(runtime) if runtime != driver.name => {
                State::differs(format!("{runtime} in the runtime"), &driver.name, None)
            }
            _ => boot.clone(),
        };
        Some((live, boot))
    }
}

/// The file that its unit reads the administrator's flags from.
fn file(host: &Host, unit: &Unit) -> Result<PathBuf> {
    let mut texts = Vec::new();
    if let Some(service) = &unit.service {
        texts.extend(host.text(&service.file)?);
    }
    for dropin in dropins::read(host, &format!("systemd/system/{UNIT}.d"))? {
        texts.push(dropin.text);
    }
    let lines = texts.iter().flat_map(|text| dropins::lines(text));
    let mut named = lines.filter_map(|(_, line)| {
        let path = line
            .strip_prefix("EnvironmentFile=")?
            .trim_start_matches('-');
        FILES.iter().find(|file| **file == path)
    });
    let [debian, other] = FILES;
    Ok(PathBuf::from(match named.next() {
        Some(file) => file,
        None if host.is_directory(Path::new("/etc/sysconfig"))? => other,
        None => debian,
    }))
}

/// The file that changed since it started, if it runs.
fn running(host: &Host, file: &Path) -> Result<Option<Option<PathBuf>>> {
    match host.started(UNIT, PROGRAM)? {
        None => Ok(None),
        Some(started) => host.changed_since(started, &[file.to_owned()]).map(Some),
    }
}

fn package(host: &Host) -> Result<Package> {
    let Some(manager) = packages::manager(host)? else {
        return Ok(Package::Unmanaged);
    };
    let found = packages::installed(host, manager, &["kubelet"])?;
    let mut whole = found
        .into_iter()
        .filter(|package| package.stands == Stands::Installed);
    Ok(match whole.next() {
        Some(package) => Package::Installed(package.version),
        None => Package::Absent,
    })
}

fn driver(host: &Host) -> Result<Option<Driver>> {
    let Some(text) = host.text(Path::new(CONFIG))? else {
        return Ok(None);
    };
    let documents = YamlLoader::load_from_str(&text)
        .map_err(|error| trouble!("{CONFIG} is no YAML ({error}): mend it by hand"))?;
    let told = documents
        .first()
        .and_then(|document| document["cgroupDriver"].as_str());
    let mut lines = text.lines().enumerate();
    Ok(Some(Driver {
        // The kubelet's own default (kubelet.config.k8s.io/v1beta1).
        name: told.unwrap_or("cgroupfs").to_owned(),
        line: lines
            .find(|(_, line)| line.starts_with("cgroupDriver:"))
            .map(|(index, _)| index + 1),
    }))
}

fn runtime(host: &Host) -> Option<CgroupDriver> {
    match host.cri(Path::new(SOCKET)) {
        Ok(Cri::Answers(answer)) => match answer.systemd_cgroup.get("runc")? {
            true => Some(CgroupDriver::Systemd),
            false => Some(CgroupDriver::Cgroupfs),
        },
        // [containerd] tells what is wrong with it.
        _ => None,
    }
}

#[cfg(test)]
#[path = "kubelet/kubelet_test.rs"]
mod tests;
