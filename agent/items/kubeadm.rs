//! kubeadm's configuration file: flags typed by hand are other ones on each node, and a token among
//! them stays in the shell's history and in `ps`.

mod document;
mod value;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{Explain, Kind};
use crate::error::Result;
use crate::finding::{Finding, Origin, State};
use crate::host::Host;
use crate::kubernetes::Version;
use crate::plan::ItemPlan;
use crate::step::{Access, Owner, Step};

use value::{
    CertificateHash, CertificateKey, Documents, Duration, Endpoint, ProxyMode, Subnets, Token,
};
pub use value::{CgroupDriver, Plain};

/// Where kubeadm's own manual and most guides have it.
const PATH: &str = "/etc/kubernetes/kubeadm-config.yaml";
/// It may hold a token.
const ACCESS: Access = Access {
    mode: 0o600,
    uid: 0,
    gid: 0,
};

/// `[kubeadm]`, checked as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Settings")]
pub struct Kubeadm(Box<Settings>);

/// `[kubeadm]`: what goes into the file. What is not named is left to kubeadm.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// The file.
    #[serde(default = "default_path")]
    path: PathBuf,
    /// The cluster's version; the file's shape follows it.
    version: Version,
    /// What the file is for.
    #[serde(default)]
    role: Role,
    /// Where this node's API server listens; the node's address where it is not given.
    advertise_address: Option<IpAddr>,
    /// Its port.
    bind_port: Option<u16>,
    /// The node's name in the cluster.
    node_name: Option<Plain>,
    /// The container runtime's socket.
    cri_socket: Option<Plain>,
    /// Where kubeadm pulls Kubernetes' images from.
    image_repository: Option<Plain>,
    /// The address all nodes reach the control plane by; to join: where a node finds the cluster.
    control_plane_endpoint: Option<Endpoint>,
    /// Pods' addresses.
    pod_subnet: Option<Subnets>,
    /// Services' addresses.
    service_subnet: Option<Subnets>,
    /// The cluster's domain.
    dns_domain: Option<Plain>,
    /// Further names and addresses in the API server's certificate.
    #[serde(default)]
    cert_sans: Vec<Plain>,
    /// How kube-proxy works.
    proxy_mode: Option<ProxyMode>,
    /// Who manages the kubelet's cgroups.
    cgroup_driver: Option<CgroupDriver>,
    /// How long kubeadm waits: init for the control plane, join for the cluster.
    timeout: Option<Duration>,
    /// The bootstrap token: init makes it, join uses it.
    token: Option<Token>,
    /// The key the control plane's certificates are passed on with.
    certificate_key: Option<CertificateKey>,
    /// By which a node that joins knows the cluster's CA.
    #[serde(default)]
    ca_cert_hashes: Vec<CertificateHash>,
    /// Whether it joins a cluster it can't know.
    #[serde(default)]
    skip_ca_verification: bool,
    /// The kubelet's flags, without dashes.
    #[serde(default)]
    kubelet_args: BTreeMap<Plain, String>,
    /// kube-apiserver's.
    #[serde(default)]
    api_server_args: BTreeMap<Plain, String>,
    /// kube-controller-manager's.
    #[serde(default)]
    controller_manager_args: BTreeMap<Plain, String>,
    /// kube-scheduler's.
    #[serde(default)]
    scheduler_args: BTreeMap<Plain, String>,
    /// Further YAML documents, as they are.
    documents: Option<Documents>,
}

/// What kubeadm is to do with the file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Role {
    /// `kubeadm init`
    #[default]
    Init,
    /// `kubeadm join`
    Join,
    /// `kubeadm join`, as a further control plane.
    JoinControlPlane,
}

fn default_path() -> PathBuf {
    PATH.into()
}

impl TryFrom<Settings> for Kubeadm {
    type Error = String;

    fn try_from(settings: Settings) -> std::result::Result<Self, String> {
        settings.check().map(|()| Self(Box::new(settings)))
    }
}

impl Settings {
    fn check(&self) -> std::result::Result<(), String> {
        if !self.path.is_absolute() {
            return Err(format!("path: \"{}\" is not absolute", self.path.display()));
        }
        if self.version.patch.is_none() {
            return Err(format!(
                "version: \"{0}\" names no release: expected {0}.0 or another patch of it",
                self.version
            ));
        }
        for flag in self.kubelet_args.keys().map(|flag| &**flag) {
            if let Some(since) = self.version.lacks_flag(flag) {
                return Err(format!(
                    "kubelet_args: --{flag} is gone since {since}: kubelet {} does not start with it",
                    self.version
                ));
            }
        }
        if self.role == Role::Init {
            return Ok(());
        }
        let known = self.skip_ca_verification || !self.ca_cert_hashes.is_empty();
        let missing = match (&self.control_plane_endpoint, &self.token) {
            (None, _) => "control_plane_endpoint, where the cluster is",
            (_, None) => "token, as `kubeadm token create` prints it",
            _ if !known => {
                "ca_cert_hashes, as `kubeadm token create --print-join-command` prints them"
            }
            _ => return Ok(()),
        };
        Err(format!("to join it needs {missing}"))
    }
}

/// What the host has.
#[derive(Debug)]
pub struct Observed {
    content: Option<String>,
    access: Option<Access>,
    node_ip: Option<String>,
}

impl Kind for Kubeadm {
    type Observed = Observed;
    const BOOTS_BY_SYSTEMD: bool = false;
    const EXPLAIN: Explain = Explain {
        why: "kubeadm init and join take what a cluster is from one file; its shape follows the \
              version (kubeadm.k8s.io/v1beta2, v1beta3, v1beta4), and one of another version, or a \
              kubelet whose cgroup driver is not the runtime's, makes no cluster.",
        looks_at: "/etc/kubernetes/kubeadm-config.yaml (or `path`), byte by byte, with its mode and \
                   owner; kubeadm reads it when it is called, so live and boot are one.",
        changes: "the whole file: it is nodeprep's, mode 0600, as it may hold the token. What it \
                  says is never printed.",
        undo: "remove the file; a cluster that was made with it stays as it is.",
    };

    fn observe(&self, host: &Host) -> Result<Observed> {
        let path = &self.0.path;
        let content = host.bytes(path)?;
        Ok(Observed {
            content: content.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
            access: host.access(path)?,
            node_ip: match self.0.advertise_address {
                Some(_) => None,
                None => host.node_ip()?,
            },
        })
    }

    fn wants_file(&self, path: &Path) -> bool {
        self.0.path.starts_with(path)
    }

    fn hurts_member(_subject: &str) -> bool {
        true
    }

    fn diff(&self, observed: &Observed) -> ItemPlan {
        let mut plan = ItemPlan::default();
        let path = &self.0.path;
        let content = document::render(&self.0, observed.node_ip.as_deref());
        let states = [
            (
                "config",
                content_state(path, observed.content.as_deref(), &content),
            ),
            ("access", access_state(path, observed.access)),
        ];
        let mut serves = Vec::new();
        for (subject, state) in states {
            if state != State::InSync {
                serves.push(subject);
            }
            plan.findings
                .push(Finding::new(subject, state.clone(), state));
        }
        if !serves.is_empty() {
            let step = Step::WriteFile {
                path: path.clone(),
                content: content.into(),
                owner: Owner::Ours,
                access: Some(ACCESS),
            };
            plan.boot(step, serves);
        }
        plan
    }
}

/// By the first line that is another: what stands there may be a secret.
fn content_state(path: &Path, found: Option<&str>, wanted: &str) -> State {
    let to = "as the profile has it";
    match found {
        None => State::differs("absent", to, None),
        Some(found) if found == wanted => State::InSync,
        Some(found) => {
            let same = found.lines().zip(wanted.lines());
            let line = same.take_while(|(found, wanted)| found == wanted).count() + 1;
            State::differs("another", to, Some(Origin::line(path, line)))
        }
    }
}

fn access_state(path: &Path, found: Option<Access>) -> State {
    let shown = |access: Access| format!("{:04o} {}:{}", access.mode, access.uid, access.gid);
    match found {
        None => State::differs("absent", shown(ACCESS), None),
        Some(ACCESS) => State::InSync,
        Some(access) => State::differs(shown(access), shown(ACCESS), Some(Origin::file(path))),
    }
}

#[cfg(test)]
#[path = "kubeadm/kubeadm_test.rs"]
mod tests;
