//! dnf and yum: what they would do, and doing that.

use std::collections::{BTreeMap, BTreeSet};

use super::{COMPLAINT, explain};
use crate::boot::packages;
use crate::boot::packages::version::order;
use crate::error::{Error, Result, trouble};
use crate::host::Host;
use crate::host::commands::first_of;
use crate::step::{Manager, Package, Transaction, Wish};

impl Host {
    /// What dnf would take along is known only afterwards: [`took_along`].
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

    /// Does it: what goes first, as it may be in the way of what comes. Locks of ours are taken off
    /// for that, those of others hold for what is taken along.
    pub(super) fn rpm_transacts(&self, transaction: &Transaction) -> Result<()> {
        // Looked up first: where what is to come can't be had, what is there stays.
        let Specs { newer, older } = self.specs(transaction)?;
        let locked = self.locked(transaction)?;
        // One that has no lock has nothing to be taken off.
        let _ = self.versionlock(transaction.manager, "delete", &locked);
        let _ = self.versionlock(transaction.manager, "delete", &transaction.release);
        let remove = &transaction.remove;
        let done = self
            .rpm_calls(transaction, "remove", remove)
            .and_then(|()| self.rpm_calls(transaction, "install", &newer))
            .and_then(|()| self.rpm_calls(transaction, "downgrade", &older));
        let mut again = locked;
        if done.is_ok() {
            again.extend(transaction.hold.iter().cloned());
            again.sort_unstable();
            again.dedup();
        }
        let locked = self.versionlock(transaction.manager, "add", &again);
        done.and(locked)
    }

    fn rpm_calls(&self, transaction: &Transaction, verb: &str, names: &[String]) -> Result<()> {
        if names.is_empty() {
            return Ok(());
        }
        let mut argv = vec![first_of(transaction.manager.programs()), "-y"];
        let lifted = self.lifted_excludes(transaction)?;
        argv.extend(SWITCHES);
        argv.extend(lifted.iter().map(String::as_str));
        argv.push(verb);
        argv.extend(names.iter().map(String::as_str));
        self.manager_says(&argv, None).map(drop)
    }

    /// Those to be installed that are held now: a lock names the version it was made for.
    fn locked(&self, transaction: &Transaction) -> Result<Vec<String>> {
        let installs = transaction.install.iter();
        let names: Vec<&str> = installs.map(|wish| wish.name.as_str()).collect();
        let now = packages::installed(self, transaction.manager, &names)?;
        let held = names.iter().zip(now).filter(|(_, now)| now.held);
        Ok(held.map(|(name, _)| (*name).to_owned()).collect())
    }

    fn versionlock(&self, manager: Manager, verb: &str, names: &[String]) -> Result<()> {
        let program = first_of(manager.programs());
        let mut argv = vec![program, "-q", "-y", "versionlock", verb];
        argv.extend(names.iter().map(String::as_str));
        match names.is_empty() {
            true => Ok(()),
            false => self.manager_says(&argv, None).map(drop),
        }
    }

    /// Past those excludes that name what is to be installed, as Kubernetes' repository has them to
    /// keep upgrades off: of these sections whole, as what it needs is excluded there too.
    fn lifted_excludes(&self, transaction: &Transaction) -> Result<Vec<String>> {
        let installs = transaction.install.iter();
        let names: Vec<&str> = installs.map(|wish| wish.name.as_str()).collect();
        let sections = packages::dnf::excluding(self, &names)?;
        Ok(match transaction.manager {
            Manager::Dnf5 if sections.is_empty() => Vec::new(),
            Manager::Dnf5 => vec![format!("--setopt=disable_excludes={}", sections.join(","))],
            _ => {
                let switch = |section: String| format!("--disableexcludes={section}");
                sections.into_iter().map(switch).collect()
            }
        })
    }

    /// What is asked of dnf: names with the versions that fit, and package files.
    fn specs(&self, transaction: &Transaction) -> Result<Specs> {
        let mut specs = Specs::default();
        let manager = transaction.manager;
        let files = self.package_files(transaction)?;
        let database = self.rpm_database()?;
        let mut add = |name: &str, version: Option<&str>, spec: String| {
            let is_older = |(version, now): (&str, &String)| order(manager, version, now).is_lt();
            match version
                .zip(database.packages.get(name))
                .is_some_and(is_older)
            {
                true => specs.older.push(spec),
                false => specs.newer.push(spec),
            }
        };
        for file in &files {
            add(&file.name, Some(&file.version), file.path.clone());
        }
        let has_no_file = |wish: &&Wish| !files.iter().any(|file| file.name == wish.name);
        let wishes: Vec<&Wish> = transaction.install.iter().filter(has_no_file).collect();
        let said = self.rpm_lists(manager, &wishes)?;
        for wish in wishes {
            if wish.version.is_none() {
                add(&wish.name, None, wish.name.clone());
                continue;
            }
            let versions = listed(&said, &wish.name, manager);
            match versions.iter().find(|version| wish.fits(manager, version)) {
                Some(version) => {
                    add(
                        &wish.name,
                        Some(version),
                        format!("{}-{version}", wish.name),
                    );
                }
                None if transaction.partial => {
                    tracing::warn!("{}: it is left out", no_version(wish, &versions));
                }
                None => return Err(no_version(wish, &versions)),
            }
        }
        Ok(specs)
    }

    /// What the repositories have of packages that are wanted at a version, whatever is excluded or
    /// locked.
    fn rpm_lists(&self, manager: Manager, wishes: &[&Wish]) -> Result<String> {
        let versioned = wishes.iter().filter(|wish| wish.version.is_some());
        let names: Vec<&str> = versioned.map(|wish| wish.name.as_str()).collect();
        if names.is_empty() {
            return Ok(String::new());
        }
        let mut argv = vec![first_of(manager.programs()), "-q"];
        argv.extend(match manager {
            Manager::Dnf5 => ["--setopt=disable_excludes=*"].as_slice(),
            _ => &["--disableexcludes=all", "--disableplugin=versionlock"],
        });
        argv.extend(["list", "--showduplicates"]);
        argv.extend(names);
        // Where none of them is known at all, dnf fails.
        match self.run_long(&argv, None)? {
            Ok(said) => Ok(said),
            Err(failure) if failure.complaint.contains("No match") => Ok(String::new()),
            Err(failure) => Err(explain(&argv, &failure)),
        }
    }
}

/// What is asked of dnf.
#[derive(Debug, Default)]
struct Specs {
    newer: Vec<String>,
    /// Older than what is there.
    older: Vec<String>,
}

fn no_version(wish: &Wish, versions: &[String]) -> Error {
    if versions.is_empty() {
        return trouble!("the repositories have no package {}", wish.name);
    }
    let all: String = versions.join(", ").chars().take(COMPLAINT).collect();
    trouble!("the repositories have no {wish}: they have {all}")
}

/// What else is another than before: dnf says beforehand what it takes along in no form that stays
/// the same.
pub(super) fn took_along(
    before: &BTreeMap<String, String>,
    after: &BTreeMap<String, String>,
    asked: &[Package],
) -> Vec<Package> {
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let is_asked = |name: &String| asked.iter().any(|one| one.name == *name);
    let changed = names
        .into_iter()
        .filter(|name| before.get(*name) != after.get(*name) && !is_asked(name));
    let one = |name: &String| Package {
        name: name.clone(),
        version: before.get(name).cloned(),
        held: false,
        dependency: true,
        left: None,
    };
    changed.map(one).collect()
}

/// What was installed for what goes stays, as nobody has named it.
const SWITCHES: [&str; 2] = [
    "--setopt=install_weak_deps=False",
    "--setopt=clean_requirements_on_remove=False",
];

/// `NAME.ARCH  VERSION  REPOSITORY` in dnf's and yum's lists, the newest version first.
fn listed(said: &str, name: &str, manager: Manager) -> Vec<String> {
    let version = |line: &str| {
        let mut words = line.split_whitespace();
        let (package, version) = (words.next()?, words.next()?);
        let (found, _arch) = package.rsplit_once('.')?;
        (found == name).then(|| version.to_owned())
    };
    let mut versions: Vec<String> = said.lines().filter_map(version).collect();
    versions.sort_by(|a, b| order(manager, b, a));
    versions.dedup();
    versions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_dnf_lists() {
        let said = "Installed Packages\nkubelet.noarch  1.29.9-1  @lab\nAvailable Packages\n\
                    kubelet.noarch  1.30.4-1  lab\nkubelet.src 1.30.4-1 lab\nkubelet-x.noarch 9-1 lab\n";
        assert_eq!(
            listed(said, "kubelet", Manager::Dnf),
            ["1.30.4-1", "1.29.9-1"]
        );
    }
}
