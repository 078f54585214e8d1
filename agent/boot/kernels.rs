//! Which kernels are installed and which of them boots: what the next boot can load is decided by that
//! one, which need not be the one that runs.

use std::cmp::Ordering;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::loader;
use crate::error::{Result, trouble};
use crate::host::Host;

const DEFAULTS: &str = "/etc/default/grub";
/// GRUB's environment, by the distribution.
const ENVIRONMENTS: [&str; 2] = ["/boot/grub2/grubenv", "/boot/grub/grubenv"];
const SAVED: &str = "saved_entry";
/// What is before and behind the release in the paths of kernels' configurations.
const CONFIGURATIONS: [(&str, &str); 8] = [
    ("/boot/config-", ""),
    ("/usr/src/linux-", "/.config"),
    ("/lib/modules/", "/config"),
    ("/usr/lib/ostree-boot/config-", ""),
    ("/usr/lib/kernel/config-", ""),
    ("/usr/src/linux-headers-", "/.config"),
    ("/lib/modules/", "/build/.config"),
    ("/usr/lib/modules/", "/config"),
];
/// Ten times what distributions' are.
const LARGEST_CONFIGURATION: u64 = 4 << 20;

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

/// Whether GRUB goes by its saved entry (EL's default); the file it is in, with its text.
fn environment(host: &Host) -> Result<Option<(PathBuf, String)>> {
    let defaults = host.text(Path::new(DEFAULTS))?.unwrap_or_default();
    if setting(&defaults, "GRUB_DEFAULT") != Some("saved") {
        return Ok(None);
    }
    for path in ENVIRONMENTS.map(Path::new) {
        if let Some(text) = host.text(path)?
            && setting(&text, SAVED).is_some()
        {
            return Ok(Some((path.to_owned(), text)));
        }
    }
    Ok(None)
}

fn setting<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let mut values = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix(key)?.strip_prefix('='));
    Some(values.next_back()?.trim_matches(['"', '\'']))
}

/// The installed kernel that GRUB's saved entry names, where GRUB goes by it (the entry is a title, a
/// path of menu entries or a boot loader specification's id, and holds the release).
fn saved(host: &Host, installed: &[String]) -> Result<Option<String>> {
    let Some((_, text)) = environment(host)? else {
        return Ok(None);
    };
    let entry = setting(&text, SAVED).unwrap_or_default();
    let named = installed
        .iter()
        .filter(|release| entry.contains(release.as_str()));
    Ok(named.max_by_key(|release| release.len()).cloned())
}

/// What GRUB goes by, with another entry saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedEntry {
    /// GRUB's environment.
    pub path: PathBuf,
    /// Its new text.
    pub text: String,
}

/// GRUB's environment with the entry of this kernel saved; none where GRUB does not go by a saved
/// entry, or has none for it.
///
/// # Errors
/// Where a file of GRUB's exists and cannot be read.
pub fn saved_entry(host: &Host, release: &str) -> Result<Option<SavedEntry>> {
    let (Some((path, text)), Some(entry)) = (environment(host)?, entry(host, release)?) else {
        return Ok(None);
    };
    let text = loader::edit::set_in_environment(&text, SAVED, |_| Ok(entry.clone()));
    Ok(text.ok().map(|text| SavedEntry { path, text }))
}

/// What GRUB calls the entry of a kernel: its file's name, else its title.
fn entry(host: &Host, release: &str) -> Result<Option<String>> {
    for path in loader::entry_files(host)? {
        let id = path
            .file_stem()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        if id.ends_with(&format!("-{release}")) {
            return Ok(Some(id.to_owned()));
        }
    }
    for path in loader::menu_files(host)? {
        let text = host.text(&path)?.unwrap_or_default();
        if let Some(title) = title(&text, release) {
            return Ok(Some(title));
        }
    }
    Ok(None)
}

/// The first entry of a menu that is titled with this kernel, below the titles of the menus it is in
/// (GRUB's manual, "default").
fn title(menu: &str, release: &str) -> Option<String> {
    let quoted = |line: &str| {
        let quote = line.find(['\'', '"'])?;
        let mark = line.get(quote..quote + 1)?;
        let (title, _) = line.get(quote + 1..)?.split_once(mark)?;
        Some(title.to_owned())
    };
    let mut within: Vec<Option<String>> = Vec::new();
    for line in menu.lines().map(str::trim) {
        if line == "}" {
            within.pop();
            continue;
        }
        let title = quoted(line);
        let of_kernel = |title: &&String| {
            let mut words = title.split(|c: char| c.is_whitespace() || "(),".contains(c));
            words.any(|word| word == release)
                && !title.contains("rescue")
                && !title.contains("recovery")
        };
        if line.starts_with("menuentry ")
            && let Some(title) = title.as_ref().filter(of_kernel)
        {
            let above = within.iter().flatten().cloned();
            let all: Vec<String> = above.chain([title.clone()]).collect();
            return Some(all.join(">"));
        }
        if line.ends_with('{') {
            within.push(title.filter(|_| line.starts_with("submenu ")));
        }
    }
    None
}

/// What a kernel was built with (its `.config`), where its package tells, in the places kubeadm's
/// preflight looks into (k8s.io/system-validators, validators/kernel_validator.go); of the running
/// kernel the kernel itself can.
///
/// # Errors
/// Where the file exists and cannot be read.
pub fn configuration(host: &Host, release: &str) -> Result<Option<String>> {
    for (before, after) in CONFIGURATIONS {
        let path = format!("{before}{release}{after}");
        if let Some(text) = host.text(Path::new(&path))? {
            return Ok(Some(text));
        }
    }
    let path = Path::new("/proc/config.gz");
    match host.bytes(path)? {
        Some(bytes) if host.kernel_release()?.as_deref() == Some(release) => {
            let mut text = String::new();
            let mut unpacked = flate2::read::GzDecoder::new(&*bytes).take(LARGEST_CONFIGURATION);
            unpacked
                .read_to_string(&mut text)
                .map_err(|error| trouble!("{}: {error}", path.display()))?;
            Ok(Some(text))
        }
        _ => Ok(None),
    }
}

/// Whether a release is this version or a later one.
#[must_use]
pub fn is_at_least(release: &str, version: &str) -> bool {
    compare_releases(release, version).is_ge()
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

    #[test]
    fn versions() {
        for (release, version, expected) in [
            ("5.14.0-503.el9", "5.4", true),
            ("3.10.0-1160.el7.x86_64", "3.10", true),
            ("3.10.0-1160.el7.x86_64", "5.4", false),
            ("5.4.278-1.el7.elrepo.x86_64", "5.4", true),
            ("6.1.0-50-amd64", "6.1.1", false),
        ] {
            assert_eq!(
                is_at_least(release, version),
                expected,
                "{release} {version}"
            );
        }
    }

    #[test]
    fn titles_with_the_menus_they_are_in() {
        let debian = "function x {\n}\nmenuentry 'Debian' --class a {\n linux /v\n}\n\
                      submenu 'Advanced options' $id 'a' {\n\tmenuentry 'Debian, with Linux 6.1.0-5-amd64' {\n\t}\n\
                      \tmenuentry 'Debian, with Linux 6.1.0-5-amd64 (recovery mode)' {\n}\n}\n";
        let title = |menu, release| super::title(menu, release);
        let found = title(debian, "6.1.0-5-amd64").unwrap();
        assert_eq!(found, "Advanced options>Debian, with Linux 6.1.0-5-amd64");
        assert_eq!(title(debian, "6.1.0-5"), None);
        let centos = "menuentry 'CentOS Linux (5.4.1.el7.x86_64) 7 (Core)' --class x {\n}\n";
        let found = title(centos, "5.4.1.el7.x86_64").unwrap();
        assert_eq!(found, "CentOS Linux (5.4.1.el7.x86_64) 7 (Core)");
    }
}
