//! The profiles shipped in the binary: a host is prepared with one file copied to it.

use super::diagnostic::ProfileError;
use super::document::Document;
use super::tree::Source;

/// Name and text of each shipped profile.
pub const BUILTIN: &[(&str, &str)] = &[
    (
        "kubeadm-base",
        include_str!("../../profiles/kubeadm-base.toml"),
    ),
    (
        "kubeadm-control-plane",
        include_str!("../../profiles/kubeadm-control-plane.toml"),
    ),
    (
        "kubeadm-worker",
        include_str!("../../profiles/kubeadm-worker.toml"),
    ),
    (
        "guide-kubernetes-1.24",
        include_str!("../../profiles/guide-kubernetes-1.24.toml"),
    ),
    (
        "guide-kubernetes-1.24-control-plane",
        include_str!("../../profiles/guide-kubernetes-1.24-control-plane.toml"),
    ),
    (
        "guide-kubernetes-1.24-worker",
        include_str!("../../profiles/guide-kubernetes-1.24-worker.toml"),
    ),
    ("mirrors-cn", include_str!("../../profiles/mirrors-cn.toml")),
    (
        "centos-7-vault",
        include_str!("../../profiles/centos-7-vault.toml"),
    ),
];

/// The names.
pub fn names() -> impl Iterator<Item = &'static str> {
    BUILTIN.iter().map(|(name, _)| *name)
}

/// The profile called `name`, with its own `&'static` name.
pub fn find(name: &str) -> Option<(&'static str, &'static str)> {
    BUILTIN.iter().copied().find(|(known, _)| *known == name)
}

/// Name and description of each shipped profile.
///
/// # Errors
/// None in a binary whose tests passed.
pub fn list() -> Result<Vec<(&'static str, String)>, ProfileError> {
    let entry = |&(name, text): &(&'static str, &'static str)| {
        let document = Document::parse(&Source::new(name, text))?;
        Ok((name, document.description.unwrap_or_default()))
    };
    BUILTIN.iter().map(entry).collect()
}
