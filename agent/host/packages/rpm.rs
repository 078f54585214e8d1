//! rpm, dnf and yum: what is installed, and changing that.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::rc::Rc;

use serde::{Deserialize, Serialize};

use super::{COMPLAINT, explain};
use crate::boot::packages;
use crate::boot::packages::rpm::parse;
use crate::boot::packages::version::order;
use crate::error::{Result, trouble};
use crate::host::commands::first_of;
use crate::host::{Host, Origin};
use crate::step::{Manager, Transaction, Wish};

/// rpm's database, in either of its places and any of its forms, with sqlite's write-ahead log.
const DATABASE: [&str; 8] = [
    "/var/lib/rpm/rpmdb.sqlite",
    "/var/lib/rpm/rpmdb.sqlite-wal",
    "/var/lib/rpm/Packages",
    "/var/lib/rpm/Packages.db",
    "/usr/lib/sysimage/rpm/rpmdb.sqlite",
    "/usr/lib/sysimage/rpm/rpmdb.sqlite-wal",
    "/usr/lib/sysimage/rpm/Packages",
    "/usr/lib/sysimage/rpm/Packages.db",
];
/// What the last apply remembers of it.
const REMEMBERED: &str = "/var/lib/nodeprep/rpm.json";

/// rpm's packages, by the database they were in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Remembered {
    /// Device, inode, size and times of its files.
    stamp: Vec<String>,
    packages: BTreeMap<String, String>,
}

impl Host {
    /// The installed packages with their versions.
    ///
    /// # Errors
    /// Where rpm fails, or may not be run: in an image.
    pub fn rpm_packages(&self) -> Result<Rc<BTreeMap<String, String>>> {
        if let Some(known) = &*self.rpm.borrow() {
            return Ok(known.clone());
        }
        let packages = match self.origin {
            Origin::Image => {
                return Err(trouble!(
                    "rpm's database is read by rpm alone, and no program of an image is run"
                ));
            }
            Origin::Captured => self.answers()?.rpm,
            Origin::Live => self.rpm_packages_now()?,
        };
        let packages = Rc::new(packages);
        *self.rpm.borrow_mut() = Some(packages.clone());
        Ok(packages)
    }

    fn rpm_packages_now(&self) -> Result<BTreeMap<String, String>> {
        let before = stamp();
        if let Some(known) = self.remembered().filter(|known| known.stamp == before) {
            return Ok(known.packages);
        }
        Ok(parse(&self.words(&[
            "rpm",
            "-qa",
            "--qf",
            "%{NAME} %{EVR}\\n",
        ])?))
    }

    /// What is not ours to read, or is damaged, is not known.
    fn remembered(&self) -> Option<Remembered> {
        let text = self.bytes(Path::new(REMEMBERED)).ok()??;
        serde_json::from_slice(&text).ok()
    }

    /// Writes down what rpm said, where it was asked and a run has left a journal: the next check need
    /// not ask again.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn remember_packages(&self) -> Result<()> {
        let path = Path::new(REMEMBERED);
        let Some(packages) = self
            .rpm
            .borrow()
            .clone()
            .filter(|_| self.origin == Origin::Live)
        else {
            return Ok(());
        };
        let stamp = stamp();
        let packages = (*packages).clone();
        let new = Remembered { stamp, packages };
        let is_ours = path
            .parent()
            .is_some_and(|dir| self.is_directory(dir) == Ok(true));
        if !is_ours || self.remembered().as_ref() == Some(&new) {
            return Ok(());
        }
        let content =
            serde_json::to_vec(&new).map_err(|error| trouble!("{REMEMBERED}: {error}"))?;
        self.replace_ours(path, content)
    }

    /// dnf tells what it takes along in no form that stays the same; what it removes with a package
    /// that nobody else needs, it removes by itself.
    pub(super) fn rpm_foretells(
        &self,
        transaction: &Transaction,
    ) -> Result<BTreeMap<String, Option<String>>> {
        if !transaction.remove.is_empty() {
            let mut argv = vec!["rpm", "-e", "--test"];
            argv.extend(transaction.remove.iter().map(String::as_str));
            // Else dnf would take along what needs them.
            self.words(&argv).map_err(|error| {
                trouble!("{error}: name those that need it in [packages] absent if they may go")
            })?;
        }
        Ok(BTreeMap::new())
    }

    /// Does it: what goes first, as it may be in the way of what comes.
    pub(super) fn rpm_transacts(&self, transaction: &Transaction) -> Result<()> {
        let program = first_of(transaction.manager.programs());
        let call = |verb: &[&str], names: &[String]| {
            let mut argv = vec![program, "-y"];
            argv.extend(switches(transaction.manager));
            argv.extend(verb);
            argv.extend(names.iter().map(String::as_str));
            match names.is_empty() {
                true => Ok(()),
                false => self.manager_says(&argv, None).map(drop),
            }
        };
        // Looked up first: where what is to come can't be had, what is there stays.
        let (newer, older) = self.specs(program, transaction)?;
        call(&["remove"], &transaction.remove)?;
        call(&["install"], &newer)?;
        call(&["downgrade"], &older)?;
        let mut freed = transaction.release.clone();
        // A lock names the version it was made for.
        let wishes = transaction.hold.iter().filter(|name| {
            let installs = |wish: &Wish| wish.name == **name;
            transaction.install.iter().any(installs)
        });
        freed.extend(wishes.cloned());
        let lock = |verb: &str, names: &[String]| {
            let mut argv = vec![program, "-q", "-y", "versionlock", verb];
            argv.extend(names.iter().map(String::as_str));
            match names.is_empty() {
                true => Ok(()),
                false => self.manager_says(&argv, None).map(drop),
            }
        };
        // One that has no lock has nothing to be taken off.
        let _ = lock("delete", &freed);
        lock("add", &transaction.hold)
    }

    /// What is asked of dnf: names with the versions that fit, those that are older than what is there
    /// apart; and package files.
    fn specs(
        &self,
        program: &str,
        transaction: &Transaction,
    ) -> Result<(Vec<String>, Vec<String>)> {
        let (mut newer, mut older) = (self.rpm_files(transaction)?, Vec::new());
        let names: Vec<&str> = transaction
            .install
            .iter()
            .map(|wish| wish.name.as_str())
            .collect();
        let now = packages::installed(self, transaction.manager, &names)?;
        let said = self.rpm_lists(program, transaction)?;
        for (wish, now) in transaction.install.iter().zip(now) {
            let Some(wanted) = &wish.version else {
                newer.push(wish.name.clone());
                continue;
            };
            let versions = listed(&said, &wish.name);
            let fitting = versions.iter().find(|version| wanted.matches(version));
            match fitting {
                Some(version) if order(version, &now.version) == Ordering::Less => {
                    older.push(format!("{}-{version}", wish.name));
                }
                Some(version) => newer.push(format!("{}-{version}", wish.name)),
                None if transaction.partial => {
                    tracing::warn!("the repositories have no {wish} any more: it is left out");
                }
                None if versions.is_empty() => {
                    return Err(trouble!("the repositories have no package {}", wish.name));
                }
                None => {
                    let all: String = versions.join(", ").chars().take(COMPLAINT).collect();
                    return Err(trouble!("the repositories have no {wish}: they have {all}"));
                }
            }
        }
        Ok((newer, older))
    }

    /// What the repositories have of packages that are wanted at a version.
    fn rpm_lists(&self, program: &str, transaction: &Transaction) -> Result<String> {
        let versioned = transaction
            .install
            .iter()
            .filter(|wish| wish.version.is_some());
        let names: Vec<&str> = versioned.map(|wish| wish.name.as_str()).collect();
        if names.is_empty() {
            return Ok(String::new());
        }
        let mut argv = vec![program, "-q"];
        argv.extend(switches(transaction.manager));
        argv.extend(["list", "--showduplicates"]);
        argv.extend(names);
        // Where none of them is known at all, dnf fails.
        match self.run_long(&argv, None)? {
            Ok(said) => Ok(said),
            Err(failure) if failure.complaint.contains("No match") => Ok(String::new()),
            Err(failure) => Err(explain(&argv, &failure)),
        }
    }

    /// Every package file of the directory: dnf leaves out what is there already.
    fn rpm_files(&self, transaction: &Transaction) -> Result<Vec<String>> {
        let Some(directory) = &transaction.directory else {
            return Ok(Vec::new());
        };
        let names = self.list(directory)?;
        let files = names
            .iter()
            .filter(|name| name.ends_with(".rpm") && !name.starts_with('-'));
        Ok(files
            .map(|name| directory.join(name).display().to_string())
            .collect())
    }
}

/// Past excludes that keep an `upgrade` off Kubernetes' packages, and past our own locks; what was
/// installed for what goes stays, as nobody has named it.
fn switches(manager: Manager) -> &'static [&'static str] {
    match manager {
        Manager::Dnf5 => &[
            "--setopt=install_weak_deps=False",
            "--setopt=clean_requirements_on_remove=False",
            "--setopt=disable_excludes=*",
        ],
        Manager::Dnf => &[
            "--setopt=install_weak_deps=False",
            "--setopt=clean_requirements_on_remove=False",
            "--disableexcludes=all",
            "--disableplugin=versionlock",
        ],
        _ => &["--disableexcludes=all", "--disableplugin=versionlock"],
    }
}

/// `NAME.ARCH  VERSION  REPOSITORY` in dnf's and yum's lists, the newest version first.
fn listed(said: &str, name: &str) -> Vec<String> {
    let version = |line: &str| {
        let mut words = line.split_whitespace();
        let (package, version) = (words.next()?, words.next()?);
        let (found, _arch) = package.rsplit_once('.')?;
        (found == name).then(|| version.to_owned())
    };
    let mut versions: Vec<String> = said.lines().filter_map(version).collect();
    versions.sort_by(|a, b| order(b, a));
    versions.dedup();
    versions
}

/// Device, inode, size and times of each file of the database that is there.
fn stamp() -> Vec<String> {
    let one = |path: &&str| {
        let meta = std::fs::metadata(path).ok()?;
        let (dev, ino, size) = (meta.dev(), meta.ino(), meta.size());
        let (time, nanos) = (meta.mtime(), meta.mtime_nsec());
        Some(format!("{path} {dev} {ino} {size} {time}.{nanos:09}"))
    };
    DATABASE.iter().filter_map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::listed;

    #[test]
    fn what_dnf_lists() {
        let said = "Installed Packages\nkubelet.noarch  1.29.9-1  @lab\nAvailable Packages\n\
                    kubelet.noarch  1.30.4-1  lab\nkubelet.src 1.30.4-1 lab\nkubelet-x.noarch 9-1 lab\n";
        assert_eq!(listed(said, "kubelet"), ["1.30.4-1", "1.29.9-1"]);
    }
}
