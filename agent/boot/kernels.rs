//! Which kernels are installed and which of them boots: what the next boot can load is decided by that
//! one, which need not be the one that runs.

use std::cmp::Ordering;
use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::host::Host;

/// The kernels that are installed with their modules, newest first.
///
/// # Errors
/// Where `/lib/modules` or `/boot` cannot be read.
pub fn installed(host: &Host) -> Result<Vec<String>> {
    let boot = host.list(Path::new("/boot"))?;
    let mut releases = Vec::new();
    for release in host.list(Path::new("/lib/modules"))?.iter() {
        let image = format!("vmlinuz-{release}");
        if boot.contains(&image) || host.kind(&directory(release).join("vmlinuz"))?.is_some() {
            releases.push(release.clone());
        }
    }
    releases.sort_by(|a, b| compare_releases(b, a));
    Ok(releases)
}

/// The kernel the next boot takes: the one the boot loader was told to take, else the newest
/// installed one, as boot loaders do by default; the running one where none is found (a kernel that
/// the machine's maker boots from outside).
///
/// # Errors
/// As [`installed`].
pub fn booting(host: &Host) -> Result<Option<String>> {
    let installed = installed(host)?;
    match saved(host, &installed)?.or_else(|| installed.first().cloned()) {
        Some(release) => Ok(Some(release)),
        None => host.kernel_release(),
    }
}

/// The installed kernel that GRUB's saved entry names, where GRUB goes by it (EL's default; the entry
/// is a title, a path of menu entries or a boot loader specification's id, and holds the release).
fn saved(host: &Host, installed: &[String]) -> Result<Option<String>> {
    let setting = |path: &str, key: &str| -> Result<Option<String>> {
        let text = host.text(Path::new(path))?.unwrap_or_default();
        let mut values = text
            .lines()
            .filter_map(|line| line.trim().strip_prefix(key)?.strip_prefix('='));
        Ok(values
            .next_back()
            .map(|value| value.trim_matches(['"', '\'']).to_owned()))
    };
    if setting("/etc/default/grub", "GRUB_DEFAULT")?.as_deref() != Some("saved") {
        return Ok(None);
    }
    for environment in ["/boot/grub2/grubenv", "/boot/grub/grubenv"] {
        if let Some(entry) = setting(environment, "saved_entry")? {
            let named = installed
                .iter()
                .filter(|release| entry.contains(release.as_str()));
            return Ok(named.max_by_key(|release| release.len()).cloned());
        }
    }
    Ok(None)
}

/// What a kernel was built with (its `.config`), where its package tells: Debian and EL put it into
/// `/boot`, EL beside the modules too.
///
/// # Errors
/// Where the file exists and cannot be read.
pub fn configuration(host: &Host, release: &str) -> Result<Option<String>> {
    match host.text(Path::new(&format!("/boot/config-{release}")))? {
        Some(text) => Ok(Some(text)),
        None => host.text(&directory(release).join("config")),
    }
}

/// Where a kernel's modules are.
#[must_use]
pub fn directory(release: &str) -> PathBuf {
    Path::new("/lib/modules").join(release)
}

/// Compares release strings number by number, as `sort -V` and boot loaders do.
fn compare_releases(a: &str, b: &str) -> Ordering {
    let parts = |text: &str| -> Vec<(u64, String)> {
        text.split(['.', '-', '+', '_', '~'])
            .map(|part| {
                let digits = part.bytes().take_while(u8::is_ascii_digit).count();
                let (number, rest) = part.split_at(digits);
                (number.parse().unwrap_or(0), rest.to_owned())
            })
            .collect()
    };
    parts(a).cmp(&parts(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newest_release_first() {
        assert_eq!(
            compare_releases("6.1.0-9-amd64", "6.1.0-21-amd64"),
            Ordering::Less
        );
        assert_eq!(
            compare_releases("5.14.0-503.el9", "5.14.0-70.el9"),
            Ordering::Greater
        );
    }
}
