//! apt-get: what it would do, and doing that.

use std::collections::BTreeMap;
use std::path::Path;

use super::{COMPLAINT, explain};
use crate::boot::packages::version::order;
use crate::error::{Error, Result, trouble};
use crate::host::Host;
use crate::step::{Manager, Transaction, Wish};

/// Where apt keeps the lists of its repositories (apt(8), FILES).
const LISTS: &str = "/var/lib/apt/lists";
/// Both say when lists were asked for; a repository without news leaves the first as it is.
const REFRESHED: [&str; 2] = [LISTS, "/var/lib/apt/lists/partial"];
/// What names repositories and their keys (sources.list(5)).
const SOURCES: [&str; 5] = [
    "/etc/apt/sources.list",
    "/etc/apt/sources.list.d",
    "/etc/apt/keyrings",
    "/etc/apt/trusted.gpg.d",
    "/usr/share/keyrings",
];
/// How every call begins. A configuration file that was changed here stays as it is; what would be no
/// longer needed stays too, it may be somebody's.
const INSTALL: [&str; 14] = [
    "apt-get",
    "install",
    "-y",
    "-q",
    "--no-install-recommends",
    "--allow-downgrades",
    "--allow-change-held-packages",
    "-oDpkg::Options::=--force-confdef",
    "-oDpkg::Options::=--force-confold",
    // Its own waiting bridges the moment between our look at the lock and its taking it.
    "-oDPkg::Lock::Timeout=60",
    "-oAcquire::Retries=3",
    "-oAPT::Get::AutomaticRemove=false",
    "-oAPT::Install-Suggests=false",
    "-oDpkg::Use-Pty=false",
];
const UPDATE: [&str; 5] = [
    "apt-get",
    "update",
    "-q",
    "-oAcquire::Retries=3",
    // Else a repository that is gone is only warned about (apt 2.1.14).
    "-oAPT::Update::Error-Mode=any",
];

impl Host {
    /// What apt would install or remove, with the version that is there now.
    pub(super) fn apt_foretells(
        &self,
        transaction: &Transaction,
    ) -> Result<BTreeMap<String, Option<String>>> {
        let names = self.apt_names(transaction)?;
        let mut argv: Vec<&str> = INSTALL.to_vec();
        argv.push("-s");
        argv.extend(names.iter().map(String::as_str));
        let said = match self.run_long(&argv, None)? {
            Ok(said) => said,
            Err(failure) => {
                let error = explain(&argv, &failure);
                return Err(self.with_nearest(error, &failure.complaint));
            }
        };
        let foretold = foretold(&said);
        let unasked = |one: &&Foretold| one.goes && !transaction.remove.contains(&one.name);
        let unasked: Vec<&str> = foretold
            .iter()
            .filter(unasked)
            .map(|one| one.name.as_str())
            .collect();
        if !unasked.is_empty() {
            return Err(trouble!(
                "apt-get would remove {} as well: name them in [packages] absent if they may go",
                unasked.join(", ")
            ));
        }
        Ok(foretold
            .into_iter()
            .map(|one| (one.name, one.version))
            .collect())
    }

    /// Does it.
    pub(super) fn apt_transacts(&self, transaction: &Transaction) -> Result<()> {
        if !(transaction.install.is_empty() && transaction.remove.is_empty()) {
            let names = self.apt_names(transaction)?;
            let mut argv: Vec<&str> = INSTALL.to_vec();
            argv.extend(names.iter().map(String::as_str));
            self.manager_says(&argv, None)?;
        }
        let line = |mark: &'static str| move |name: &String| format!("{name} {mark}\n");
        let held = transaction.hold.iter().map(line("hold"));
        let marks: String = held
            .chain(transaction.release.iter().map(line("install")))
            .collect();
        match marks.is_empty() {
            true => Ok(()),
            false => self
                .manager_says(&["dpkg", "--set-selections"], Some(marks.as_bytes()))
                .map(drop),
        }
    }

    /// Asks the repositories for their lists where those that are here are older than what names the
    /// repositories, or do not have what is wanted. What they have can be installed without, too: a
    /// host may be cut off from its repositories.
    pub(super) fn apt_refreshes(&self, transaction: &Transaction) -> Result<()> {
        if self.are_lists_new()? && self.unlisted(transaction)?.is_empty() {
            return Ok(());
        }
        self.wait_for_manager(Manager::Apt, transaction.wait)?;
        let Err(error) = self.apt_updates() else {
            return Ok(());
        };
        match self.unlisted(transaction)?.as_slice() {
            [] => {
                tracing::warn!("{error}; the lists that are here have all that is wanted");
                Ok(())
            }
            missing => Err(trouble!(
                "{error}; the lists that are here have no {}",
                missing.join(", ")
            )),
        }
    }

    fn apt_updates(&self) -> Result<()> {
        let said = self.manager_says(&UPDATE, None)?;
        // Older ones end well whatever failed.
        let mut failed = said.lines().filter(|line| {
            line.starts_with("Err:") || line.starts_with("E: ") || line.starts_with("W: Failed")
        });
        match failed.next() {
            None => Ok(()),
            Some(line) => Err(trouble!("apt-get update: {line}")),
        }
    }

    fn are_lists_new(&self) -> Result<bool> {
        if !self
            .list(Path::new(LISTS))?
            .iter()
            .any(|name| name.contains("_Packages"))
        {
            return Ok(false);
        }
        let mut asked = None;
        for path in REFRESHED {
            asked = asked.max(self.changed(Path::new(path))?);
        }
        for path in SOURCES.map(Path::new) {
            let mut changed = self.changed(path)?;
            for name in self.list(path).unwrap_or_default().iter() {
                changed = changed.max(self.changed(&path.join(name))?);
            }
            if changed > asked {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// What is to be installed and is neither in the lists that are here nor in the directory.
    fn unlisted(&self, transaction: &Transaction) -> Result<Vec<String>> {
        let files = self.package_files(transaction)?;
        let versions = self.versions(transaction)?;
        let is_there = |wish: &&Wish| {
            files.iter().any(|file| file.name == wish.name) || newest(wish, &versions).is_some()
        };
        let missing = transaction.install.iter().filter(|wish| !is_there(wish));
        Ok(missing.map(ToString::to_string).collect())
    }

    /// What is asked of apt: names with versions, files, and names with `-` of what goes. A name that
    /// no package has would be an expression for several, where there is a point in it (apt-get(8)).
    fn apt_names(&self, transaction: &Transaction) -> Result<Vec<String>> {
        let files = self.package_files(transaction)?;
        let versions = self.versions(transaction)?;
        let mut names: Vec<String> = files.iter().map(|file| file.path.clone()).collect();
        for wish in &transaction.install {
            if files.iter().any(|file| file.name == wish.name) {
                continue;
            }
            match newest(wish, &versions) {
                Some(_) if wish.version.is_none() => names.push(wish.name.clone()),
                Some(newest) => names.push(format!("{}={newest}", wish.name)),
                None if transaction.partial => {
                    tracing::warn!("{}: it is left out", self.no_version(wish, &versions));
                }
                None => return Err(self.no_version(wish, &versions)),
            }
        }
        names.extend(transaction.remove.iter().map(|name| format!("{name}-")));
        Ok(names)
    }

    /// The versions the repositories have of what is to be installed, the newest first.
    fn versions(&self, transaction: &Transaction) -> Result<Versions> {
        let mut argv = vec!["apt-cache", "madison", "--"];
        argv.extend(transaction.install.iter().map(|wish| wish.name.as_str()));
        let mut versions = match transaction.install.as_slice() {
            [] => Versions::new(),
            _ => madison(&self.words(&argv)?),
        };
        for all in versions.values_mut() {
            all.sort_by(|a, b| order(Manager::Apt, b, a));
            all.dedup();
        }
        Ok(versions)
    }

    fn no_version(&self, wish: &Wish, versions: &Versions) -> Error {
        let Some(versions) = versions.get(&wish.name) else {
            let error = trouble!("the repositories have no package {}", wish.name);
            let said = format!("E: Unable to locate package {}", wish.name);
            return self.with_nearest(error, &said);
        };
        let all: String = versions.join(", ").chars().take(COMPLAINT).collect();
        trouble!("the repositories have no {wish}: they have {all}")
    }

    /// The error, with the nearest name that exists where one does not.
    fn with_nearest(&self, error: Error, said: &str) -> Error {
        let Some((_, name)) = said.split_once("Unable to locate package ") else {
            return error;
        };
        let name = name.lines().next().unwrap_or_default().trim();
        // Without a suggestion the error is as true.
        let known = self.words(&["apt-cache", "pkgnames"]).unwrap_or_default();
        match nearest(name, known.lines()) {
            Some(near) => trouble!("{error}: did you mean {near}?"),
            None => trouble!("{error}: is its repository in [repositories]?"),
        }
    }
}

/// The most likely one of many names, where one is likely.
fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    const LIKELY: f64 = 0.9;
    let scored = known.map(|other| (strsim::jaro_winkler(name, other), other));
    let best = scored.max_by(|(a, _), (b, _)| a.total_cmp(b))?;
    (best.0 >= LIKELY).then_some(best.1)
}

/// Versions by package.
type Versions = BTreeMap<String, Vec<String>>;

/// The newest of a package's versions that is wanted.
fn newest<'a>(wish: &Wish, versions: &'a Versions) -> Option<&'a String> {
    let mut versions = versions.get(&wish.name)?.iter();
    versions.find(|version| wish.fits(Manager::Apt, version))
}

/// The versions in `apt-cache madison`'s lines of NAME | VERSION | REPOSITORY (apt-cache(8)), without
/// those of source packages. A name with a point in it brings other packages' lines as well.
fn madison(said: &str) -> Versions {
    let mut all = Versions::new();
    for line in said.lines() {
        let mut parts = line.split(" | ").map(str::trim);
        if let (Some(name), Some(version), Some(from)) = (parts.next(), parts.next(), parts.next())
            && !from.ends_with("Sources")
        {
            all.entry(name.to_owned())
                .or_default()
                .push(version.to_owned());
        }
    }
    all
}

/// What apt-get -s says of one package.
#[derive(Debug, PartialEq, Eq)]
struct Foretold {
    name: String,
    /// The one that is there.
    version: Option<String>,
    goes: bool,
}

/// `Inst NAME [OLD] (NEW ...)`, `Remv NAME [OLD]` and `Purg NAME [OLD]` (apt-get(8), --simulate).
fn foretold(said: &str) -> Vec<Foretold> {
    let parse = |line: &str| {
        let (verb, rest) = line.split_once(' ')?;
        let goes = match verb {
            "Inst" => false,
            "Remv" | "Purg" => true,
            _ => return None,
        };
        let (name, rest) = rest.split_once(' ').unwrap_or((rest, ""));
        let old = rest.strip_prefix('[').and_then(|rest| rest.split_once(']'));
        Some(Foretold {
            name: name.to_owned(),
            version: old.map(|(version, _)| version.to_owned()),
            goes,
        })
    };
    said.lines().filter_map(parse).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_apt_foretells() {
        let said = "NOTE: This is only a simulation!\nReading package lists...\n\
                    Inst jq [1.6-2.1+deb12u1] (1.6-2.1+deb12u3 Debian-Security:12 [amd64]) []\n\
                    Inst socat (1.7.4.4-2 Debian:12.15/oldstable [amd64])\n\
                    Remv firewalld [1.3.3-1]\nConf socat (1.7.4.4-2 Debian [amd64])\n";
        let one = |name: &str, version: Option<&str>, goes| Foretold {
            name: name.into(),
            version: version.map(str::to_owned),
            goes,
        };
        assert_eq!(
            foretold(said),
            [
                one("jq", Some("1.6-2.1+deb12u1"), false),
                one("socat", None, false),
                one("firewalld", Some("1.3.3-1"), true),
            ]
        );
    }

    #[test]
    fn versions_and_near_names() {
        let said = "  kubelet | 1.30.4-1.1 | file:/srv ./ Packages\n   kubelet | 1.2-1 | http://x bookworm/main Sources\n\
                    N: Unable to locate package kubelte\n";
        let all = madison(said);
        assert_eq!(all.len(), 1);
        assert_eq!(all["kubelet"], ["1.30.4-1.1"]);
        assert_eq!(
            nearest("conntrakc", ["conntrack", "curl"].into_iter()),
            Some("conntrack")
        );
        assert_eq!(nearest("zzz", ["conntrack", "curl"].into_iter()), None);
    }

    proptest! {
        #[test]
        fn nothing_panics(said: String) {
            foretold(&said);
            madison(&said);
        }
    }
}
