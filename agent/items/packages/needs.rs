//! What a need is called by each family of distributions: a profile names it once.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;

use crate::step::Manager;

/// Needs whose package has another name than the need, on one family or both: by Debian and kin,
/// and by EL and kin; none where that family has no such package. All others are called alike.
const NEEDS: [(&str, Option<&str>, Option<&str>); 22] = [
    ("apt-transport-https", Some("apt-transport-https"), None),
    ("conntrack", Some("conntrack"), Some("conntrack-tools")),
    ("container-selinux", None, Some("container-selinux")),
    ("dig", Some("dnsutils"), Some("bind-utils")),
    (
        "dm-thin",
        Some("thin-provisioning-tools"),
        Some("device-mapper-persistent-data"),
    ),
    ("gpg", Some("gnupg"), Some("gnupg2")),
    ("ip", Some("iproute2"), Some("iproute")),
    ("iscsi", Some("open-iscsi"), Some("iscsi-initiator-utils")),
    ("libseccomp", Some("libseccomp2"), Some("libseccomp")),
    ("modprobe", Some("kmod"), Some("kmod")),
    ("mount", Some("mount"), Some("util-linux")),
    (
        "multipath",
        Some("multipath-tools"),
        Some("device-mapper-multipath"),
    ),
    ("netstat", Some("net-tools"), Some("net-tools")),
    ("nfs", Some("nfs-common"), Some("nfs-utils")),
    ("nft", Some("nftables"), Some("nftables")),
    ("nsenter", Some("util-linux"), Some("util-linux")),
    ("ps", Some("procps"), Some("procps-ng")),
    (
        "selinux-tools",
        Some("policycoreutils"),
        Some("policycoreutils"),
    ),
    ("tc", Some("iproute2"), Some("iproute-tc")),
    ("vim", Some("vim"), Some("vim-enhanced")),
    ("xz", Some("xz-utils"), Some("xz")),
    ("yum-utils", None, Some("yum-utils")),
];

/// A package's name, or a need's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Name(String);

impl TryFrom<String> for Name {
    type Error = String;

    /// Letters, digits and `+ - . _` (Debian Policy 5.6.1; rpm's are as wide as their practice).
    fn try_from(name: String) -> Result<Self, String> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "+-._".contains(c);
        match name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.chars().all(plain) {
            true => Ok(Self(name)),
            false => Err(format!(
                "\"{name}\" is no package name: expected letters, digits and + - . _; versions have \
                 a table of their own, [packages.versions]"
            )),
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `[packages.names]`: what a need is called; a family that is left out has no package for it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Names {
    /// On Debian, Ubuntu and kin.
    apt: Option<Name>,
    /// On EL and kin, yum's included.
    dnf: Option<Name>,
}

/// The package for a need; none where the family has none. Where the family is not known, the need.
pub fn called(
    need: &Name,
    own: &BTreeMap<Name, Names>,
    manager: Option<Manager>,
) -> Option<String> {
    let Some(manager) = manager else {
        return Some(need.to_string());
    };
    let pick = |apt: Option<&str>, dnf: Option<&str>| match manager {
        Manager::Apt => apt.map(str::to_owned),
        Manager::Dnf | Manager::Dnf5 | Manager::Yum => dnf.map(str::to_owned),
    };
    if let Some(Names { apt, dnf }) = own.get(need) {
        let text = |name: &Option<Name>| name.as_ref().map(ToString::to_string);
        return pick(text(apt).as_deref(), text(dnf).as_deref());
    }
    match NEEDS.iter().find(|(name, ..)| *name == need.0) {
        Some((_, apt, dnf)) => pick(*apt, *dnf),
        None => Some(need.to_string()),
    }
}
