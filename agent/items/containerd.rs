//! containerd: with the wrong cgroup driver the kubelet and systemd fight over the node's cgroups,
//! with CRI disabled, as packages ship it, kubeadm finds no runtime at all.

mod config;
mod draft;
mod edit;
mod key;
mod live;
mod mirror;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml_edit::Value;

use super::{Explain, Kind};
use crate::boot::enablement::{Boot, Unit};
use crate::boot::packages;
use crate::error::Result;
use crate::finding::{Finding, Origin, State};
use crate::host::{Cri, Host};
use crate::plan::ItemPlan;
use crate::step::{Due, Owner, Probe, Step};

use config::Config;
use draft::Draft;
use key::{Key, Version};
use live::Daemon;
use mirror::{Mirror, Registry};

const UNIT: &str = "containerd.service";
/// The packages it comes in: the distribution's and Docker's.
const PACKAGES: [&str; 2] = ["containerd", "containerd.io"];
/// Where it listens that is told of no other place (containerd's defaults/defaults_unix.go).
const SOCKET: &str = "/run/containerd/containerd.sock";
/// runc's shim since containerd 1.4.
const RUNC_SHIM: &str = "io.containerd.runc.v2";
const NOT_INSTALLED: &str =
    "containerd is not installed: install the package containerd, or Docker's containerd.io";

/// `[containerd]`: the service enabled and running with its CRI, and these settings.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Containerd {
    /// The image of each pod's first container, by the name `sandbox_image` that containerd 1 has
    /// for it (`pinned_images.sandbox` since 2.0).
    sandbox_image: Option<Image>,
    /// Whether runc leaves cgroups to systemd, as the kubelet's cgroupDriver = systemd wants it
    /// (`SystemdCgroup`). Also for the default runtime, where that is another one of runc's kind.
    systemd_cgroup: Option<bool>,
    /// Mirrors by registry.
    #[serde(default)]
    mirrors: BTreeMap<Registry, Mirror>,
}

/// An image's name.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
struct Image(String);

impl TryFrom<String> for Image {
    type Error = String;

    fn try_from(text: String) -> std::result::Result<Self, String> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-._:/@[]".contains(c);
        match !text.is_empty() && text.chars().all(plain) {
            true => Ok(Self(text)),
            false => Err(format!(
                "\"{text}\" is no image: expected registry.k8s.io/pause:3.10.1 or alike"
            )),
        }
    }
}

/// What the host has.
#[derive(Debug)]
pub enum Observed {
    /// No unit file: what it would do with its files can't be said.
    NotInstalled,
    /// No unit file yet.
    Coming,
    /// The mask of its unit, which is somebody's word against it.
    Masked(PathBuf),
    /// A containerd that can be started.
    Installed(Box<Installed>),
}

/// An installed containerd.
#[derive(Debug)]
pub struct Installed {
    unit: Unit,
    config: Config,
    socket: PathBuf,
    daemon: Daemon,
    /// Each hosts.toml as it is, in the order of the mirrors.
    hosts: Vec<Option<Vec<u8>>>,
}

/// One wanted key of the configuration.
#[derive(Debug)]
struct Setting {
    subject: String,
    key: Key,
    wanted: Value,
}

impl Kind for Containerd {
    type Observed = Observed;
    const EXPLAIN: Explain = Explain {
        why: "packages ship containerd with CRI disabled or with cgroups managed by itself: kubeadm \
              then finds no runtime, or the node's cgroups have two masters and pods die under \
              load. A sandbox image that can't be pulled lets no pod start.",
        looks_at: "boot: the file containerd's ExecStart names (/etc/containerd/config.toml) with \
                   its imports, as the installed version reads them (versions 1 to 4); \
                   disabled_plugins; the link that enables containerd.service. live: the answer of \
                   the running daemon on its CRI socket; what it does not tell (containerd 2 and \
                   its sandbox image) counts as in the files where it started after their last \
                   change.",
        changes: "the keys named, in that file: comments, order and other tables stay; takes CRI \
                  out of disabled_plugins; hosts.toml of the mirrors named; enables the service; \
                  restarts containerd once (containers keep running) and waits until its CRI \
                  answers. Where it does not, the old file comes back.",
        undo: "take the keys out of /etc/containerd/config.toml, remove \
               /etc/containerd/certs.d/REGISTRY/hosts.toml; `systemctl restart containerd`.",
    };

    fn observe(&self, host: &Host) -> Result<Observed> {
        let unit = Unit::read(host, UNIT)?;
        if let Some(mask) = unit.mask() {
            return Ok(Observed::Masked(mask.to_owned()));
        }
        let Some(service) = &unit.service else {
            return Ok(match PACKAGES.iter().any(|name| host.will_install(name)) {
                true => Observed::Coming,
                false => Observed::NotInstalled,
            });
        };
        let root = service.option(&["--config", "-c"]).unwrap_or(config::ROOT);
        let root = Path::new(root).to_owned();
        let config = Config::read(host, &root)?;
        let address = service.option(&["--address", "-a"]);
        let socket = PathBuf::from(address.or(config.address()).unwrap_or(SOCKET));
        let answer = host.cri(&socket);
        let config = config.for_daemon(version(host, &answer)?)?;
        let mut paths = config.paths.clone();
        paths.push(service.file.clone());
        let program = service.program().unwrap_or("containerd");
        let daemon = Daemon::look(host, UNIT, program, answer, &paths);
        let hosts = self.mirrors.keys().map(|registry| {
            let bytes = host.bytes(&registry.path())?;
            Ok(bytes.map(|bytes| bytes.to_vec()))
        });
        Ok(Observed::Installed(Box::new(Installed {
            hosts: hosts.collect::<Result<_>>()?,
            unit,
            config,
            socket,
            daemon,
        })))
    }

    fn wants(&self, subject: &str) -> bool {
        let of_mirrors = || {
            let mut registries = self.mirrors.keys();
            registries.any(|registry| subject == mirrors_of(registry.name()))
        };
        match subject {
            "sandbox_image" => self.sandbox_image.is_some(),
            "config_path" => !self.mirrors.is_empty(),
            _ if subject.starts_with("systemd_cgroup") => self.systemd_cgroup.is_some(),
            _ => !subject.starts_with(&mirrors_of("")) || of_mirrors(),
        }
    }

    /// Pods that run keep their cgroups where the other driver does not look.
    fn hurts_member(subject: &str) -> bool {
        subject.starts_with("systemd_cgroup")
    }

    fn diff(&self, observed: &Observed) -> ItemPlan {
        let absent = |state: State| ItemPlan {
            findings: vec![Finding::new("service", state.clone(), state)],
            ..ItemPlan::default()
        };
        match observed {
            Observed::NotInstalled => absent(State::blocked(NOT_INSTALLED)),
            Observed::Coming => absent(State::blocked("after [packages] has installed it")),
            Observed::Masked(path) => absent(State::differs(
                "masked",
                "enabled",
                Some(Origin::file(path)),
            )),
            Observed::Installed(installed) => self.plan(installed),
        }
    }
}

impl Containerd {
    fn plan(&self, host: &Installed) -> ItemPlan {
        let mut plan = ItemPlan::default();
        host.add_service(&mut plan);
        let mut draft = Draft::new(&host.config);
        plan.findings.push(Finding::new(
            "cri",
            host.daemon.cri(&host.socket),
            draft.enable_cri(),
        ));
        for setting in self.settings(&host.config) {
            let boot = draft.judge(&setting);
            let live = host.daemon.tells(&setting, &boot);
            plan.findings
                .push(Finding::new(setting.subject, live, boot));
        }
        self.add_mirrors(host, &mut plan);
        let edited = draft.add_to(&mut plan);
        let stale = |finding: &Finding| {
            finding.boot == State::InSync && matches!(finding.live, State::Differs { .. })
        };
        let old = host.daemon.is_older() && plan.findings.iter().any(stale);
        if host.daemon.is_stopped() || old || edited {
            plan.due.push(Due::Restart {
                unit: UNIT.into(),
                ready: Some(Probe::Cri {
                    socket: host.socket.clone(),
                }),
            });
        }
        plan
    }

    fn settings(&self, config: &Config) -> Vec<Setting> {
        let mut settings = Vec::new();
        let mut add = |subject: &str, key, wanted| {
            let subject = subject.to_owned();
            settings.push(Setting {
                subject,
                key,
                wanted,
            });
        };
        if let Some(Image(image)) = &self.sandbox_image {
            add("sandbox_image", Key::SandboxImage, image.into());
        }
        if let Some(wanted) = self.systemd_cgroup {
            for runtime in runtimes(config) {
                let subject = match runtime.as_str() {
                    "runc" => "systemd_cgroup".to_owned(),
                    other => format!("systemd_cgroup of {other}"),
                };
                add(&subject, Key::SystemdCgroup(runtime), wanted.into());
            }
        }
        if !self.mirrors.is_empty() {
            add("config_path", Key::ConfigPath, mirror::DIRECTORY.into());
        }
        settings
    }

    /// A hosts.toml is read at each pull, so live and boot are one.
    fn add_mirrors(&self, host: &Installed, plan: &mut ItemPlan) {
        for ((registry, mirror), old) in self.mirrors.iter().zip(&host.hosts) {
            let (path, content) = (registry.path(), mirror.content());
            let subject = mirrors_of(registry.name());
            let state = match old {
                Some(old) if *old == content.as_bytes() => State::InSync,
                Some(_) => State::differs("another", "as wanted", Some(Origin::file(&path))),
                None => State::differs("absent", "as wanted", None),
            };
            if state != State::InSync {
                let step = Step::write(path, content, Owner::Ours);
                plan.boot(step, [subject.as_str()]);
            }
            plan.findings
                .push(Finding::new(subject, state.clone(), state));
        }
    }
}

fn mirrors_of(registry: &str) -> String {
    format!("mirrors of {registry}")
}

impl Installed {
    fn add_service(&self, plan: &mut ItemPlan) {
        let (boot, steps) = self.unit.boot(Boot::Enabled);
        if !steps.is_empty() {
            plan.due.push(Due::DaemonReload);
        }
        for step in steps {
            plan.boot(step, ["service"]);
        }
        plan.findings
            .push(Finding::new("service", self.daemon.running(), boot));
    }
}

/// The version of the daemon that is there: what runs tells it, else the package.
fn version(host: &Host, answer: &Result<Cri>) -> Result<Option<Version>> {
    let told = match answer {
        Ok(Cri::Answers(answer)) => Version::parse(&answer.version),
        Ok(Cri::Off(_, version)) => version.as_deref().and_then(Version::parse),
        Ok(Cri::Absent) | Err(_) => None,
    };
    if told.is_some() {
        return Ok(told);
    }
    let package = packages::dpkg_version(host, &PACKAGES)?;
    Ok(package.as_deref().and_then(Version::parse))
}

/// runc, and the default runtime where it is another that takes runc's options.
fn runtimes(config: &Config) -> Vec<String> {
    let mut names = vec!["runc".to_owned()];
    let default = config.find(&Key::DefaultRuntime);
    if let Some(name) = default.and_then(|found| Some(found.item.as_str()?.to_owned())) {
        let shim = config.find(&Key::RuntimeType(name.clone()));
        let runcs = shim.is_some_and(|shim| {
            let shim = shim.item.as_str().unwrap_or_default();
            shim.starts_with("io.containerd.runc.")
        });
        if runcs && name != "runc" {
            names.push(name);
        }
    }
    names
}
