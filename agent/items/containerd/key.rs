//! Where a setting stands in a configuration file: containerd has moved its CRI settings twice, and
//! reads a key that stands where another version has it as if it were not there.

use std::fmt;

/// A containerd version as far as it decides anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32, pub u32);

impl Version {
    /// From what a daemon or a package calls its version: `v2.1.4`, `1.6.20~ds1-1`, `1:1.7.24`.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.rsplit(':').next()?.trim_start_matches('v');
        let mut parts = text.split(|c: char| !c.is_ascii_digit());
        Some(Self(
            parts.next()?.parse().ok()?,
            parts.next()?.parse().ok()?,
        ))
    }

    /// The newest configuration version it reads (containerd's releases.md and docs/PLUGINS.md).
    pub fn reads(self) -> i64 {
        match self {
            version if version < Self(2, 0) => 2,
            version if version < Self(2, 3) => 3,
            _ => 4,
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "containerd {}.{}", self.0, self.1)
    }
}

/// How a file spells the CRI's settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// No version or 1: `[plugins.cri]`.
    Bare,
    /// Version 2: `[plugins."io.containerd.grpc.v1.cri"]`.
    One,
    /// Version 3 and 4: one plugin for images, one for the runtime.
    Split,
}

impl Dialect {
    /// What a daemon makes of a file of this version; none where it ignores its CRI settings, as
    /// containerd 2 does with version 1.
    pub fn of(version: i64, daemon: Option<Version>) -> Option<Self> {
        match version {
            3.. => Some(Self::Split),
            2 => Some(Self::One),
            _ if daemon.is_some_and(|daemon| daemon >= Version(2, 0)) => None,
            _ => Some(Self::Bare),
        }
    }
}

/// A setting of the CRI plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key {
    /// The image of a pod's first container.
    SandboxImage,
    /// The directories with a hosts.toml a registry.
    ConfigPath,
    /// Mirrors as they were configured before that.
    Mirrors,
    /// The runtime of pods that ask for none.
    DefaultRuntime,
    /// The shim of a runtime.
    RuntimeType(String),
    /// Whether a runtime leaves cgroups to systemd.
    SystemdCgroup(String),
}

impl Key {
    /// The key's path from the top of a file.
    pub fn path(&self, dialect: Dialect) -> Vec<&str> {
        let (images, runtime) = match dialect {
            Dialect::Bare => ("cri", "cri"),
            Dialect::One => ("io.containerd.grpc.v1.cri", "io.containerd.grpc.v1.cri"),
            Dialect::Split => (
                "io.containerd.cri.v1.images",
                "io.containerd.cri.v1.runtime",
            ),
        };
        let (plugin, rest): (_, &[&str]) = match self {
            Self::SandboxImage if dialect == Dialect::Split => {
                (images, &["pinned_images", "sandbox"])
            }
            Self::SandboxImage => (images, &["sandbox_image"]),
            Self::ConfigPath => (images, &["registry", "config_path"]),
            Self::Mirrors => (images, &["registry", "mirrors"]),
            Self::DefaultRuntime => (runtime, &["containerd", "default_runtime_name"]),
            Self::RuntimeType(name) => (runtime, &["containerd", "runtimes", name, "runtime_type"]),
            Self::SystemdCgroup(name) => (
                runtime,
                &["containerd", "runtimes", name, "options", "SystemdCgroup"],
            ),
        };
        [&["plugins", plugin], rest].concat()
    }
}

/// The names by which `disabled_plugins` switches CRI off, in any version.
pub const CRI_PLUGINS: [&str; 4] = [
    "cri",
    "io.containerd.grpc.v1.cri",
    "io.containerd.cri.v1.images",
    "io.containerd.cri.v1.runtime",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_as_daemons_and_packages_write_them() {
        for (text, version) in [
            ("1.6.20~ds1", Some(Version(1, 6))),
            ("v2.1.4", Some(Version(2, 1))),
            ("1:1.7.24~ds1-6", Some(Version(1, 7))),
            ("2.3.0-rc.1", Some(Version(2, 3))),
            ("devel", None),
            ("", None),
        ] {
            assert_eq!(Version::parse(text), version, "{text}");
        }
    }
}
