//! A directory of package files, for hosts without a network: which of them are given to the package
//! manager.

use std::collections::BTreeMap;
use std::path::Path;

use crate::boot::packages::version::order;
use crate::boot::packages::{self, Stands};
use crate::error::{Result, trouble};
use crate::host::Host;
use crate::step::{Manager, Transaction};

/// A package file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct File {
    pub name: String,
    pub version: String,
    pub path: String,
}

impl Host {
    /// The package files that are given to the manager: of each package in the directory that is
    /// wanted, or not installed, the newest that fits.
    pub(super) fn package_files(&self, transaction: &Transaction) -> Result<Vec<File>> {
        let Some(directory) = &transaction.directory else {
            return Ok(Vec::new());
        };
        let manager = transaction.manager;
        let best = newest(self.all_files(manager, directory)?, transaction);
        let names: Vec<&str> = best.iter().map(|file| file.name.as_str()).collect();
        let now = packages::installed(self, manager, &names)?;
        let wanted = |name: &str| transaction.install.iter().any(|wish| wish.name == name);
        let goes = |name: &str| transaction.remove.iter().any(|other| other == name);
        let given = best.iter().zip(now).filter(|(file, now)| {
            !goes(&file.name) && (wanted(&file.name) || now.stands == Stands::Absent)
        });
        Ok(given.map(|(file, _)| file.clone()).collect())
    }

    /// Every package file with what it says of itself: a file's name may leave the epoch out.
    fn all_files(&self, manager: Manager, directory: &Path) -> Result<Vec<File>> {
        let (suffix, asks): (&str, &[&str]) = match manager {
            // NAME, a tabulator, VERSION (dpkg-deb(1), --show).
            Manager::Apt => (".deb", &["dpkg-deb", "--show"]),
            _ => (
                ".rpm",
                &["rpm", "-qp", "--nosignature", "--qf", "%{NAME}\\t%{EVR}\\n"],
            ),
        };
        let mut all = Vec::new();
        for name in self.list(directory)?.iter().filter(|n| n.ends_with(suffix)) {
            let path = directory.join(name).display().to_string();
            let mut argv = asks.to_vec();
            argv.push(&path);
            let said = self.words(&argv)?;
            let (name, version) =
                told(&said).ok_or_else(|| trouble!("{path}: no package file: take it out"))?;
            all.push(File {
                name,
                version,
                path,
            });
        }
        Ok(all)
    }
}

/// Name and version, behind whatever is warned of.
fn told(said: &str) -> Option<(String, String)> {
    let (name, version) = said.lines().rev().find_map(|line| line.split_once('\t'))?;
    Some((name.to_owned(), version.to_owned()))
}

/// Of each package the newest file that fits, by name.
fn newest(files: Vec<File>, transaction: &Transaction) -> Vec<File> {
    let manager = transaction.manager;
    let mut best: BTreeMap<String, File> = BTreeMap::new();
    for file in files {
        let mut wishes = transaction.install.iter();
        let wish = wishes.find(|wish| wish.name == file.name);
        let fits = wish.is_none_or(|wish| wish.fits(manager, &file.version));
        let newer = best
            .get(&file.name)
            .is_none_or(|other| order(manager, &file.version, &other.version).is_gt());
        if fits && newer {
            best.insert(file.name.clone(), file);
        }
    }
    best.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::packages::version::Version;
    use crate::step::Wish;

    #[test]
    fn the_newest_that_fits() {
        let file = |(name, version): (&str, &str)| File {
            name: name.into(),
            version: version.into(),
            path: format!("/srv/{name}_{version}"),
        };
        let files = [
            ("docker-ce", "5:23.0.6-1"),
            ("docker-ce", "5:24.0.7-1"),
            ("docker-ce", "5:25.0.1-1"),
            ("runc", "1.1"),
            ("runc", "1:0.9"),
        ];
        let mut transaction = Transaction::new(Manager::Apt, 1);
        transaction.install.push(Wish {
            name: "docker-ce".into(),
            version: Some(Version::try_from("5:24.0".to_owned()).unwrap()),
        });
        let chosen = newest(files.map(file).into(), &transaction);
        let paths: Vec<&str> = chosen.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(paths, ["/srv/docker-ce_5:24.0.7-1", "/srv/runc_1:0.9"]);
    }

    #[test]
    fn what_a_file_says_of_itself() {
        let said =
            "warning: a.rpm: Header V4 RSA/SHA256 Signature, key ID 1: NOKEY\nkubelet\t1.30-1\n";
        assert_eq!(told(said), Some(("kubelet".into(), "1.30-1".into())));
        assert_eq!(told("dpkg-deb: error"), None);
    }
}
