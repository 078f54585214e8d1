//! Images in the container runtime before anything asks for them: kubeadm pulls what is missing while a
//! cluster waits, and a node that reaches no registry learns of it only then.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::crictl::Endpoint;
use super::{Explain, Kind, Stage};
use crate::error::Result;
use crate::finding::{Finding, State};
use crate::host::{Cri, Host, Images as Found};
use crate::kubernetes::{Role, Tags, Version};
use crate::plan::ItemPlan;
use crate::step::Step;

/// A gigabyte over a slow line.
const TIMEOUT: u64 = 600;
/// As often as kubeadm tries it is seldom of use (its PullImageRetry is 5).
const TRIES: u32 = 3;
/// The subject of what the runtime calls the first image of each pod.
const SANDBOX: &str = "sandbox image";

/// `[images]`, checked as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Settings")]
pub struct Images {
    settings: Settings,
    /// All that are wanted, each once.
    wanted: Vec<String>,
}

/// `[images]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Where the runtime listens.
    #[serde(default = "default_endpoint")]
    runtime_endpoint: Endpoint,
    /// Those of kubeadm of this version.
    kubernetes: Option<Version>,
    /// Which of them.
    #[serde(default)]
    role: Node,
    /// Where they come from.
    repository: Option<Repository>,
    /// etcd's tag, where a patch has another than is known.
    etcd: Option<Tag>,
    /// CoreDNS's.
    coredns: Option<Tag>,
    /// Others, by their full names.
    #[serde(default)]
    list: Vec<Reference>,
    /// An archive they are in: then nothing is pulled.
    archive: Option<PathBuf>,
    /// What registries want to know: a file as docker's config.json.
    credentials: Option<PathBuf>,
    /// Seconds one try may take.
    #[serde(default = "default_timeout")]
    timeout: u64,
    /// How often a pull is tried.
    #[serde(default = "default_tries")]
    tries: u32,
}

fn default_endpoint() -> Endpoint {
    Endpoint::containerd()
}

fn default_timeout() -> u64 {
    TIMEOUT
}

fn default_tries() -> u32 {
    TRIES
}

/// What the node is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Node {
    /// One of a control plane.
    ControlPlane,
    /// One that runs workloads.
    #[default]
    Worker,
}

/// A full name with tag or digest: another would be told by the runtime under another name.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
struct Reference(String);

impl TryFrom<String> for Reference {
    type Error = String;

    fn try_from(text: String) -> std::result::Result<Self, String> {
        let (name, end) = match text.split_once('@') {
            Some((name, digest)) => (
                name,
                digest.strip_prefix("sha256:").filter(|hex| hex.len() == 64),
            ),
            None => match text.rsplit_once(':') {
                Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
                _ => (text.as_str(), None),
            },
        };
        let path = name.split_once('/').filter(|(registry, path)| {
            let full = registry.contains(['.', ':']) || *registry == "localhost";
            full && is_plain(registry) && is_plain(path) && (end.is_none() || !path.contains(':'))
        });
        match (path, end) {
            (Some(_), Some(end)) if is_plain(end) && !end.contains(['/', ':']) => Ok(Self(text)),
            _ => Err(format!(
                "\"{text}\" is no full name of an image: expected docker.io/library/busybox:1.36 or alike, with a tag or a digest"
            )),
        }
    }
}

/// A registry, perhaps with a path.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
struct Repository(String);

impl TryFrom<String> for Repository {
    type Error = String;

    fn try_from(text: String) -> std::result::Result<Self, String> {
        match is_plain(&text) && !text.ends_with('/') {
            true => Ok(Self(text)),
            false => Err(format!(
                "\"{text}\" is no repository: expected registry.example/kubernetes or alike"
            )),
        }
    }
}

/// An image's tag.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
struct Tag(String);

impl TryFrom<String> for Tag {
    type Error = String;

    fn try_from(text: String) -> std::result::Result<Self, String> {
        match is_plain(&text) && !text.contains(['/', ':']) {
            true => Ok(Self(text)),
            false => Err(format!("\"{text}\" is no tag: expected 3.6.4-0 or alike")),
        }
    }
}

fn is_plain(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._/:[]".contains(c);
    text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '[') && text.chars().all(plain)
}

impl TryFrom<Settings> for Images {
    type Error = String;

    fn try_from(settings: Settings) -> std::result::Result<Self, String> {
        let paths = [
            ("archive", &settings.archive),
            ("credentials", &settings.credentials),
        ];
        for (key, path) in paths {
            if let Some(path) = path.as_ref().filter(|path| !path.is_absolute()) {
                return Err(format!("{key}: \"{}\" is not absolute", path.display()));
            }
        }
        if let Some(version) = settings
            .kubernetes
            .filter(|version| version.patch.is_none())
        {
            return Err(format!(
                "kubernetes: \"{version}\" names no release, whose number is the images' tag: \
                 expected {version}.0 or another patch of it"
            ));
        }
        let wanted = settings.wanted();
        match wanted.is_empty() {
            true => Err("it names no image: expected kubernetes, or a list".into()),
            false => Ok(Self { settings, wanted }),
        }
    }
}

impl Settings {
    fn wanted(&self) -> Vec<String> {
        let role = match self.role {
            Node::ControlPlane => Role::ControlPlane,
            Node::Worker => Role::Worker,
        };
        let tag = |tag: &Option<Tag>| tag.as_ref().map(|tag| tag.0.clone());
        let (etcd, coredns) = (tag(&self.etcd), tag(&self.coredns));
        let tags = Tags {
            etcd: etcd.as_deref(),
            coredns: coredns.as_deref(),
        };
        let repository = self
            .repository
            .as_ref()
            .map(|repository| repository.0.as_str());
        let kubeadms = self
            .kubernetes
            .map(|version| version.images(role, repository, tags));
        let others = self.list.iter().map(|reference| reference.0.clone());
        let all = kubeadms.into_iter().flatten().chain(others);
        let mut seen = BTreeSet::new();
        all.filter(|image| seen.insert(image.clone())).collect()
    }

    /// The image that pods begin with, where Kubernetes' are wanted.
    fn pause(&self) -> Option<String> {
        let version = self.kubernetes?;
        let repository = self
            .repository
            .as_ref()
            .map(|repository| repository.0.as_str());
        let from = repository.unwrap_or(version.registry());
        Some(format!("{from}/pause:{}", version.pause()))
    }
}

/// What the host has.
#[derive(Debug)]
pub struct Observed {
    found: Found,
    /// What the runtime begins pods with, where it tells.
    sandbox: Option<String>,
    /// Whether the archive is there.
    archive: bool,
    /// Why there is no runtime to ask here.
    not_here: Option<&'static str>,
}

impl Kind for Images {
    type Observed = Observed;
    const STAGE: Stage = Stage::Use;
    const BOOTS_BY_SYSTEMD: bool = false;
    const EXPLAIN: Explain = Explain {
        why: "kubeadm init and join pull what is missing while the cluster waits, and fail on a node \
              that reaches no registry; a pause image that is not the one the runtime begins pods \
              with is pulled a second time, or can't be.",
        looks_at: "what the runtime tells on its CRI socket: its images, and, before containerd 2, \
                   the image it begins pods with. It keeps them over a reboot, so live and boot are \
                   one.",
        changes: "pulls what is missing, through the CRI, again where that may help; with an archive \
                  imports that instead (`ctr images import`). What the profile no longer names \
                  stays: the kubelet removes what nobody uses when the disk is full.",
        undo: "`crictl rmi IMAGE`, for each that nothing runs of.",
    };

    fn observe(&self, host: &Host) -> Result<Observed> {
        let socket = self.socket();
        let sandbox = match host.cri(socket) {
            Ok(Cri::Answers(answer)) => answer.sandbox_image,
            // What else there is to say of it, its images say.
            _ => None,
        };
        let archive = match &self.settings.archive {
            Some(path) => host.kind(path)?.is_some(),
            None => false,
        };
        Ok(Observed {
            found: host.images(socket)?,
            sandbox,
            archive,
            not_here: host.no_live(),
        })
    }

    fn diff(&self, observed: &Observed) -> ItemPlan {
        let mut plan = ItemPlan::default();
        let mut missing = Vec::new();
        for image in &self.wanted {
            let state = self.state(observed, image);
            if matches!(state, State::Differs { .. }) {
                missing.push(image.clone());
            }
            plan.findings
                .push(Finding::new(image, state.clone(), state));
        }
        if let (Some(pause), Some(sandbox)) = (self.settings.pause(), &observed.sandbox) {
            let state = match *sandbox == pause {
                true => State::InSync,
                false => State::differs(sandbox, pause, None),
            };
            plan.findings
                .push(Finding::new(SANDBOX, state.clone(), state));
        }
        self.add_steps(missing, &mut plan);
        plan
    }
}

impl Images {
    fn socket(&self) -> &Path {
        self.settings.runtime_endpoint.path()
    }

    fn state(&self, observed: &Observed, image: &str) -> State {
        let names = match &observed.found {
            Found::Has(names) => names,
            Found::Off(_) if observed.not_here.is_some() => {
                return State::not_applicable("no runtime to ask for images");
            }
            Found::Off(complaint) => return State::blocked(complaint),
        };
        match &self.settings.archive {
            _ if names.contains(image) => State::InSync,
            Some(path) if !observed.archive => {
                State::blocked(format!("{} is not there: copy it here", path.display()))
            }
            _ => State::differs("not there", "there", None),
        }
    }

    fn add_steps(&self, missing: Vec<String>, plan: &mut ItemPlan) {
        let socket = self.socket().to_owned();
        if let Some(archive) = self.settings.archive.clone() {
            if !missing.is_empty() {
                let images = missing.clone();
                let step = Step::ImportImages {
                    archive,
                    socket,
                    images,
                };
                plan.live(step, missing);
            }
            return;
        }
        for image in missing {
            let step = Step::PullImage {
                image: image.clone(),
                socket: socket.clone(),
                credentials: self.settings.credentials.clone(),
                timeout: self.settings.timeout,
                tries: self.settings.tries,
            };
            plan.live(step, [image]);
        }
    }
}

#[cfg(test)]
#[path = "images/images_test.rs"]
mod tests;
