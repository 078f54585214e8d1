//! What a host has of its kubelet, and how that stands to what is wanted.

use std::path::{Path, PathBuf};

use yaml_rust2::YamlLoader;

use super::environment::{self, Assignment};
use super::{UNIT, VARIABLE, subject};
use crate::boot::dropins;
use crate::boot::enablement::{Boot, Unit};
use crate::boot::packages::{self, Stands};
use crate::error::{Result, trouble};
use crate::finding::{Finding, Origin, State};
use crate::host::{Cri, Host};
use crate::items::kubeadm::CgroupDriver;
use crate::kubernetes::Version;
use crate::plan::ItemPlan;
use crate::step::Due;

const PROGRAM: &str = "kubelet";
/// Where packages have the variable.
const FILES: [&str; 2] = ["/etc/default/kubelet", "/etc/sysconfig/kubelet"];
/// What kubeadm writes when the node joins: flags, settings, and by what it is known.
pub(super) const KUBEADM_FLAGS: &str = "/var/lib/kubelet/kubeadm-flags.env";
const KUBEADM_VARIABLE: &str = "KUBELET_KUBEADM_ARGS";
pub(super) const CONFIG: &str = "/var/lib/kubelet/config.yaml";
const MEMBER: &str = "/etc/kubernetes/kubelet.conf";
/// Where containerd listens (its defaults/defaults_unix.go).
const SOCKET: &str = "/run/containerd/containerd.sock";

/// What the host has.
#[derive(Debug)]
pub struct Observed {
    pub(super) unit: Unit,
    /// Whether it runs with its files as they are; none where it does not run.
    pub(super) running: Result<Option<Option<PathBuf>>>,
    pub(super) is_member: bool,
    installed: Result<Package>,
    pub(super) file: PathBuf,
    pub(super) text: String,
    pub(super) extra: Result<Option<Assignment>>,
    /// kubeadm's flags.
    kubeadms: Option<Assignment>,
    /// What its configuration says of the cgroup driver.
    driver: Option<Driver>,
    /// What the runtime says of it.
    runtime: Option<CgroupDriver>,
    pub(super) not_here: Option<&'static str>,
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

impl Observed {
    pub(super) fn read(host: &Host) -> Result<Self> {
        let unit = Unit::read(host, UNIT)?;
        let file = file(host, &unit)?;
        let text = host.exact_text(&file)?.unwrap_or_default();
        let kubeadms = host.text(Path::new(KUBEADM_FLAGS))?.unwrap_or_default();
        Ok(Self {
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

    pub(super) fn add_service(&self, plan: &mut ItemPlan) {
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

    pub(super) fn version(&self, wanted: Version) -> State {
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

    pub(super) fn arg(&self, old: Option<&Assignment>, flag: &str, wanted: &str) -> State {
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
    pub(super) fn live(&self, boot: &State) -> State {
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
    pub(super) fn flags(&self, wanted: Option<Version>) -> State {
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
    pub(super) fn cgroup_driver(&self, wanted: Option<CgroupDriver>) -> Option<(State, State)> {
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
mod tests {
    use super::*;

    #[test]
    fn the_runtime_has_to_agree() {
        let observed = |driver: &str, runtime| Observed {
            unit: Unit::default(),
            running: Ok(None),
            is_member: false,
            installed: Ok(Package::Absent),
            file: PathBuf::new(),
            text: String::new(),
            extra: Ok(None),
            kubeadms: None,
            driver: Some(Driver {
                name: driver.into(),
                line: Some(2),
            }),
            runtime,
            not_here: None,
        };
        let systemd = observed("systemd", Some(CgroupDriver::Systemd));
        assert_eq!(
            systemd.cgroup_driver(None),
            Some((State::InSync, State::InSync))
        );
        let other = observed("systemd", Some(CgroupDriver::Cgroupfs));
        let (live, boot) = other.cgroup_driver(Some(CgroupDriver::Systemd)).unwrap();
        assert_eq!(
            live,
            State::differs("cgroupfs in the runtime", "systemd", None)
        );
        assert_eq!(boot, State::InSync);
        assert_eq!(observed("systemd", None).cgroup_driver(None), None);
    }
}
