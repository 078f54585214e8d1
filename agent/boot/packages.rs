//! Which packages are installed, by the package manager's own files: its programs take long to start
//! and some take a lock.

pub mod dnf;
pub mod dpkg;
mod order;
pub mod rpm;
pub mod version;

use std::fmt;
use std::path::Path;

use crate::error::Result;
use crate::host::Host;
use crate::step::{Manager, Standing};

/// dpkg's database (dpkg(1), FILES): stanzas of `Name: value` lines, a blank line between.
const DPKG_STATUS: &str = "/var/lib/dpkg/status";
/// Changes of it that dpkg has not put into it yet, named by numbers.
const DPKG_UPDATES: &str = "/var/lib/dpkg/updates";

/// Which packages came along with others (apt-mark(8), FILES); stanzas as in dpkg's.
const APT_MARKS: &str = "/var/lib/apt/extended_states";
/// What distributions of dpkg's packages are, or are like.
const DPKG_FAMILY: [&str; 2] = ["debian", "ubuntu"];
/// The same of rpm's.
const RPM_FAMILY: [&str; 3] = ["rhel", "fedora", "centos"];

/// How a package stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Installed {
    /// Its version; empty where it is not installed.
    pub version: String,
    /// How far it is installed.
    pub stands: Stands,
    /// Whether upgrades leave it alone.
    pub held: bool,
}

/// How far a package is installed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Stands {
    /// Not at all; its configuration files may be there.
    #[default]
    Absent,
    /// Wholly.
    Installed,
    /// Begun and not finished, in the package manager's words.
    Half(String),
}

impl fmt::Display for Installed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version = &self.version;
        match &self.stands {
            Stands::Absent => f.write_str("not installed")?,
            Stands::Installed => f.write_str(version)?,
            Stands::Half(how) => write!(f, "{version}, {how}")?,
        }
        f.write_str(if self.held { ", held" } else { "" })
    }
}

/// Who installs packages here; none where it is not known. Debian has a package of rpm and of dnf, and
/// EL's kin one of dpkg: a program that is there manages nothing yet.
///
/// # Errors
/// Where that cannot be looked up.
pub fn manager(host: &Host) -> Result<Option<Manager>> {
    let has_dpkg = host.kind(Path::new(DPKG_STATUS))?.is_some();
    if is_of(host, &DPKG_FAMILY)? || has_dpkg && !is_of(host, &RPM_FAMILY)? {
        return Ok(has_dpkg.then_some(Manager::Apt));
    }
    // /usr/bin/dnf is whatever the release prefers: dnf 5 since Fedora 41, else dnf 4.
    for (manager, path) in [
        (Manager::Dnf5, "/usr/bin/dnf5"),
        (Manager::Dnf, "/usr/bin/dnf-3"),
        (Manager::Dnf, "/etc/dnf/dnf.conf"),
        (Manager::Yum, "/etc/yum.conf"),
    ] {
        if host.kind(Path::new(path))?.is_some() {
            return Ok(Some(manager));
        }
    }
    Ok(None)
}

/// Whether a distribution says that it is one of these, or like one (os-release(5), `ID_LIKE`).
fn is_of(host: &Host, family: &[&str]) -> Result<bool> {
    let own = host.os_release("ID")?.unwrap_or_default();
    let like = host.os_release("ID_LIKE")?.unwrap_or_default();
    let is_one = |word: &str| family.contains(&word);
    Ok(like.split_whitespace().any(is_one) || is_one(&own))
}

/// How these packages stand, in their order.
///
/// # Errors
/// Where the database exists and cannot be read.
pub fn installed(host: &Host, manager: Manager, names: &[&str]) -> Result<Vec<Installed>> {
    match manager {
        Manager::Apt => {
            let status = host.bytes(Path::new(DPKG_STATUS))?;
            Ok(dpkg::find(&status.unwrap_or_default(), names))
        }
        _ => rpm::installed(host, manager, names),
    }
}

/// How these packages stand for who takes them back, in their order.
///
/// # Errors
/// Where a database exists and cannot be read.
pub fn standing(host: &Host, manager: Manager, names: &[&str]) -> Result<Vec<Standing>> {
    let marks = match manager {
        Manager::Apt => host.bytes(Path::new(APT_MARKS))?.unwrap_or_default(),
        // dnf has it in a database that only dnf reads.
        _ => [].into(),
    };
    let automatic = dpkg::automatic(&marks, names);
    let all = installed(host, manager, names)?.into_iter().zip(automatic);
    let one = |(now, automatic): (Installed, bool)| {
        let version = Some(now.version).filter(|version| !version.is_empty());
        Standing {
            automatic: automatic && version.is_some(),
            version,
            held: now.held,
        }
    };
    Ok(all.map(one).collect())
}

/// Packages that were begun with and not finished: nothing can be installed before they are.
///
/// # Errors
/// Where the database exists and cannot be read.
pub fn unfinished(host: &Host, manager: Manager) -> Result<Vec<String>> {
    match manager {
        Manager::Apt => {
            let status = host.bytes(Path::new(DPKG_STATUS))?;
            let mut names = dpkg::unfinished(&status.unwrap_or_default());
            // What dpkg notes while it works; apt-get refuses as soon as one is there
            // (apt-pkg/deb/debsystem.cc, `CheckUpdates`).
            let noted = host.list(Path::new(DPKG_UPDATES))?;
            let is_note = |name: &String| name.bytes().all(|byte| byte.is_ascii_digit());
            if names.is_empty() && noted.iter().any(is_note) {
                names.push("what dpkg was cut off in".into());
            }
            Ok(names)
        }
        _ => Ok(Vec::new()),
    }
}

/// The version of the first of these packages that dpkg has installed.
///
/// # Errors
/// Where its database exists and cannot be read.
pub fn dpkg_version(host: &Host, names: &[&str]) -> Result<Option<String>> {
    let found = installed(host, Manager::Apt, names)?;
    let mut there = found
        .into_iter()
        .filter(|one| one.stands == Stands::Installed);
    Ok(there.next().map(|one| one.version))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::disallowed_methods, reason = "tests")]
    fn who_manages_the_packages_is_no_question_of_programs() {
        let dpkg = "var/lib/dpkg/status";
        let cases: [(&str, &[&str], Option<Manager>); 7] = [
            ("ID=debian", &["usr/bin/dnf-3", "etc/dnf/dnf.conf"], None),
            ("ID=debian", &[dpkg, "usr/bin/dnf-3"], Some(Manager::Apt)),
            ("ID=ubuntu\nID_LIKE=debian", &[dpkg], Some(Manager::Apt)),
            (
                "ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"",
                &[dpkg, "etc/dnf/dnf.conf"],
                Some(Manager::Dnf),
            ),
            (
                "ID=fedora",
                &[dpkg, "usr/bin/dnf5", "usr/bin/dnf-3"],
                Some(Manager::Dnf5),
            ),
            (
                "ID=centos\nID_LIKE=\"rhel fedora\"",
                &["etc/yum.conf"],
                Some(Manager::Yum),
            ),
            ("ID=arch", &[], None),
        ];
        for (release, files, expected) in cases {
            let top = tempfile::tempdir().unwrap();
            for (path, text) in files
                .iter()
                .map(|path| (*path, ""))
                .chain([("etc/os-release", release)])
            {
                std::fs::create_dir_all(top.path().join(path).parent().unwrap()).unwrap();
                std::fs::write(top.path().join(path), text).unwrap();
            }
            let host = Host::captured(top.path()).unwrap();
            assert_eq!(manager(&host).unwrap(), expected, "{release}");
        }
    }
}
