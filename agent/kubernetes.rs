//! What differs between versions of Kubernetes: a node that was prepared for another one pulls images
//! that nobody starts, or has a kubelet that ends at a flag it no longer knows.
//!
//! Sources: kubernetes/kubernetes, cmd/kubeadm/app/constants/constants.go and
//! cmd/kubeadm/app/images/images.go, of each release; its CHANGELOG for what was removed.

mod tables;

use std::fmt;

use serde::Deserialize;

use tables::{COREDNS, ETCD, PAUSE, REMOVED_FLAGS, Since};

/// The registry of Kubernetes' own images.
pub const REGISTRY: &str = "registry.k8s.io";
/// What it was called before; frozen since April 2023.
const OLD_REGISTRY: &str = "k8s.gcr.io";
/// The first releases of a minor version that have [`REGISTRY`] as their default; all later ones do.
const FIRST_WITH_REGISTRY: [(u32, u32); 4] = [(22, 17), (23, 15), (24, 9), (25, 0)];

/// The oldest minor version whose facts are known.
const OLDEST: u32 = 20;

/// A version of Kubernetes: `1.31`, `v1.31.4`. The major one is 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Version {
    /// The second number.
    pub minor: u32,
    /// The third; none where any will do.
    pub patch: Option<u32>,
}

/// The apiVersion of kubeadm's configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum KubeadmApi {
    /// Up to 1.26.
    V1Beta2,
    /// 1.22 to 1.36.
    V1Beta3,
    /// From 1.31 on: arguments are lists, time limits have a table.
    V1Beta4,
}

/// What a node is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It runs the control plane, and etcd.
    ControlPlane,
    /// It runs workloads only.
    Worker,
}

/// Tags that are others than the known ones.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tags<'a> {
    /// etcd's.
    pub etcd: Option<&'a str>,
    /// CoreDNS's.
    pub coredns: Option<&'a str>,
}

impl Version {
    /// From what a package calls its version: `1.31.4-1.1`, `1.31.4-150500.1.1`, `0:1.24.0-0`.
    #[must_use]
    pub fn of_package(text: &str) -> Option<Self> {
        let text = text.rsplit(':').next()?;
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.' && c != 'v');
        Self::parse(text.get(..end.unwrap_or(text.len()))?)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.strip_prefix('v').unwrap_or(text).split('.');
        let mut next = || {
            let text = numbers.next()?;
            let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            plain.then(|| text.parse::<u32>().ok()).flatten()
        };
        let (1, minor) = (next()?, next()?) else {
            return None;
        };
        let more = text.matches('.').count();
        match (next(), more) {
            (None, 1) => Some(Self { minor, patch: None }),
            (Some(patch), 2) => Some(Self {
                minor,
                patch: Some(patch),
            }),
            _ => None,
        }
    }

    /// Whether an installed version is one that was asked for.
    #[must_use]
    pub fn is_met_by(self, installed: Self) -> bool {
        self.minor == installed.minor && (self.patch.is_none() || self.patch == installed.patch)
    }

    /// The tag of the image of each pod's first container.
    #[must_use]
    pub fn pause(self) -> &'static str {
        self.tag(&PAUSE)
    }

    /// The newest configuration that kubeadm of this version reads.
    #[must_use]
    pub fn kubeadm_api(self) -> KubeadmApi {
        match self.minor {
            ..22 => KubeadmApi::V1Beta2,
            22..31 => KubeadmApi::V1Beta3,
            31.. => KubeadmApi::V1Beta4,
        }
    }

    /// Whether kubeadm and the kubelet refuse a host with cgroup v1.
    #[must_use]
    pub fn refuses_cgroup_v1(self) -> bool {
        self.minor >= 35
    }

    /// Whether its default runtime is Docker, so that another has to be named to the kubelet.
    #[must_use]
    pub fn has_dockershim(self) -> bool {
        self.minor < 24
    }

    /// Since which version a kubelet's flag (`container-runtime`) is gone, where this one has it no
    /// more: it does not start with it.
    #[must_use]
    pub fn lacks_flag(self, flag: &str) -> Option<Self> {
        let (_, minor) = REMOVED_FLAGS.iter().find(|(name, _)| *name == flag)?;
        let since = Self {
            minor: *minor,
            patch: None,
        };
        (self.minor >= *minor).then_some(since)
    }

    /// Where its images come from unless told otherwise.
    #[must_use]
    pub fn registry(self) -> &'static str {
        let patch = self.patch.unwrap_or(u32::MAX);
        let first = FIRST_WITH_REGISTRY.iter().rfind(|f| f.0 <= self.minor);
        match first {
            Some((minor, first)) if self.minor > *minor || patch >= *first => REGISTRY,
            _ => OLD_REGISTRY,
        }
    }

    /// The images that kubeadm of this version wants on a node (`kubeadm config images list`), by
    /// their full names; none where the patch is not told, which is part of their tags.
    #[must_use]
    pub fn images(self, role: Role, repository: Option<&str>, tags: Tags<'_>) -> Vec<String> {
        let Some(patch) = self.patch else {
            return Vec::new();
        };
        let from = repository.unwrap_or(self.registry());
        let own = |name: &str| format!("{from}/{name}:v1.{}.{patch}", self.minor);
        let proxy = own("kube-proxy");
        let pause = format!("{from}/pause:{}", self.pause());
        if role == Role::Worker {
            return vec![proxy, pause];
        }
        let dns = match repository {
            None if self.minor > 20 => "coredns/coredns",
            _ => "coredns",
        };
        let coredns = tags.coredns.unwrap_or(self.tag(&COREDNS));
        let etcd = tags.etcd.unwrap_or(self.tag(&ETCD));
        vec![
            own("kube-apiserver"),
            own("kube-controller-manager"),
            own("kube-scheduler"),
            proxy,
            format!("{from}/{dns}:{coredns}"),
            pause,
            format!("{from}/etcd:{etcd}"),
        ]
    }

    fn tag(self, table: &[Since]) -> &'static str {
        // Without a patch the newest is meant.
        let at = (self.minor, self.patch.unwrap_or(u32::MAX));
        let last = table
            .iter()
            .rfind(|(minor, patch, _)| (*minor, *patch) <= at);
        last.or(table.first()).map_or("", |(.., tag)| tag)
    }
}

impl TryFrom<String> for Version {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match Self::parse(&text) {
            Some(version) if version.minor >= OLDEST => Ok(version),
            Some(_) => Err(format!(
                "\"{text}\" is too old: 1.{OLDEST} is the oldest known"
            )),
            None => Err(format!(
                "\"{text}\" is no version of Kubernetes: expected 1.34 or 1.34.2"
            )),
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "1.{}", self.minor)?;
        self.patch.map_or(Ok(()), |patch| write!(f, ".{patch}"))
    }
}

impl fmt::Display for KubeadmApi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V1Beta2 => "kubeadm.k8s.io/v1beta2",
            Self::V1Beta3 => "kubeadm.k8s.io/v1beta3",
            Self::V1Beta4 => "kubeadm.k8s.io/v1beta4",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn version(text: &str) -> Version {
        Version::try_from(text.to_owned()).unwrap()
    }

    #[test]
    fn versions_as_people_and_packages_write_them() {
        let of = |minor, patch| Version { minor, patch };
        assert_eq!(version("1.31"), of(31, None));
        assert_eq!(version("v1.31.4"), of(31, Some(4)));
        for text in [
            "",
            "1",
            "2.0",
            "1.31.",
            "1.31.4.1",
            "1.x",
            "1.31-rc.0",
            "stable",
            "1.+3",
            "1.19",
        ] {
            assert!(Version::try_from(text.to_owned()).is_err(), "{text}");
        }
        for (text, expected) in [
            ("1.31.4-1.1", Some(of(31, Some(4)))),
            ("0:1.24.0-0", Some(of(24, Some(0)))),
            ("1.36.0~rc.1-1", Some(of(36, Some(0)))),
            ("devel", None),
        ] {
            assert_eq!(Version::of_package(text), expected, "{text}");
        }
        assert!(version("1.31").is_met_by(version("1.31.4")));
        assert!(!version("1.31.4").is_met_by(version("1.31.5")));
        assert_eq!(version("v1.31.4").to_string(), "1.31.4");
    }

    #[test]
    fn what_each_version_wants() {
        for (text, pause, api, registry) in [
            ("1.20.15", "3.2", "v1beta2", "k8s.gcr.io"),
            ("1.22.16", "3.5", "v1beta3", "k8s.gcr.io"),
            ("1.22.17", "3.5", "v1beta3", "registry.k8s.io"),
            ("1.24.0", "3.7", "v1beta3", "k8s.gcr.io"),
            ("1.24", "3.7", "v1beta3", "registry.k8s.io"),
            ("1.30.1", "3.9", "v1beta3", "registry.k8s.io"),
            ("1.31.0", "3.10", "v1beta4", "registry.k8s.io"),
            ("1.35.1", "3.10.1", "v1beta4", "registry.k8s.io"),
            ("1.40.1", "3.10.2", "v1beta4", "registry.k8s.io"),
        ] {
            let version = version(text);
            assert_eq!(version.pause(), pause, "{text}");
            assert!(version.kubeadm_api().to_string().ends_with(api), "{text}");
            assert_eq!(version.registry(), registry, "{text}");
        }
        assert!(version("1.35").refuses_cgroup_v1() && !version("1.34").refuses_cgroup_v1());
        assert_eq!(version("1.26").lacks_flag("container-runtime"), None);
        assert_eq!(
            version("1.30").lacks_flag("container-runtime"),
            Some(version("1.27"))
        );
        assert_eq!(version("1.30").lacks_flag("node-ip"), None);
    }

    /// As `kubeadm config images list` prints them.
    #[test]
    fn images_are_kubeadms() {
        let all = |text, repository| {
            version(text).images(Role::ControlPlane, repository, Tags::default())
        };
        assert_eq!(
            all("1.34.1", None),
            [
                "registry.k8s.io/kube-apiserver:v1.34.1",
                "registry.k8s.io/kube-controller-manager:v1.34.1",
                "registry.k8s.io/kube-scheduler:v1.34.1",
                "registry.k8s.io/kube-proxy:v1.34.1",
                "registry.k8s.io/coredns/coredns:v1.12.1",
                "registry.k8s.io/pause:3.10.1",
                "registry.k8s.io/etcd:3.6.4-0",
            ]
        );
        let old = all("1.20.12", None);
        assert!(
            old.contains(&"k8s.gcr.io/coredns:1.7.0".to_owned()),
            "{old:?}"
        );
        let mirror = all("1.24.0", Some("registry.aliyuncs.com/google_containers"));
        for image in ["coredns:v1.8.6", "etcd:3.5.3-0", "pause:3.7"] {
            let image = format!("registry.aliyuncs.com/google_containers/{image}");
            assert!(mirror.contains(&image), "{mirror:?}");
        }
        assert!(all("1.30.4", None).contains(&"registry.k8s.io/etcd:3.5.12-0".to_owned()));
        assert!(all("1.30.5", None).contains(&"registry.k8s.io/etcd:3.5.15-0".to_owned()));
        assert!(all("1.30", None).is_empty(), "no patch, no tags");
        let worker = version("1.34.1").images(Role::Worker, None, Tags::default());
        assert_eq!(worker.len(), 2);
    }

    #[test]
    fn tables_are_in_order() {
        for table in [&PAUSE[..], &ETCD, &COREDNS] {
            let keys: Vec<_> = table
                .iter()
                .map(|(minor, patch, _)| (minor, patch))
                .collect();
            assert!(keys.is_sorted(), "{keys:?}");
            assert_eq!(table.first().unwrap().0, OLDEST);
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[v0-9.:~a-z-]{0,20}") {
            let _ = Version::of_package(&text);
            if let Ok(version) = Version::try_from(text) {
                prop_assert!(!version.pause().is_empty());
            }
        }
    }
}
