//! Asking the host's package manager: what a transaction would touch, and doing it.

mod apt;
mod busy;
mod database;
mod directory;
mod long;
mod rpm;

use std::collections::BTreeMap;

use super::commands::Failure;
use super::{Host, Prior};
use crate::boot::packages;
use crate::error::{Error, Result, trouble};
use crate::step::{Manager, Package, Step, Transaction};

pub(super) use database::Database;

/// How much of what a package manager complained goes into an error.
const COMPLAINT: usize = 1500;

impl Host {
    /// Every package a transaction would touch, those it takes along included, as it is now.
    ///
    /// # Errors
    /// Where the package manager can't do it: a name or version that does not exist, or packages
    /// that would have to go and that nobody asked to.
    pub(super) fn packages_before(&self, transaction: &Transaction) -> Result<Vec<Package>> {
        let wait = transaction.wait;
        let mut touched: BTreeMap<String, Option<String>> = BTreeMap::new();
        if !(transaction.install.is_empty() && transaction.remove.is_empty()) {
            self.wait_for_manager(transaction.manager, wait)?;
            touched = match transaction.manager {
                Manager::Apt => self.apt_foretells(transaction)?,
                _ => self.rpm_foretells(transaction)?,
            };
        }
        let asked: Vec<&str> = transaction.names().collect();
        let others = touched.keys().map(String::as_str);
        let mut names: Vec<&str> = others.chain(asked.iter().copied()).collect();
        names.sort_unstable();
        names.dedup();
        let now = packages::installed(self, transaction.manager, &names)?;
        let before = names.iter().zip(now).map(|(name, now)| {
            // The manager's word is for the architecture it means.
            let known = touched.get(*name).cloned();
            let there = Some(now.version).filter(|version| !version.is_empty());
            Package {
                name: (*name).to_owned(),
                version: known.unwrap_or(there),
                held: now.held,
                dependency: !asked.contains(name),
                left: None,
            }
        });
        Ok(before.collect())
    }

    /// What a transaction changed, from what to what, those it took along included; nothing where
    /// the step is another or that can't be told.
    #[must_use]
    pub fn packages_left(&self, step: &Step, prior: &Prior) -> Vec<Package> {
        let (Step::Packages(transaction), Prior::Packages { packages }) = (step, prior) else {
            return Vec::new();
        };
        let left = self.packages_after(transaction.manager, packages);
        left.unwrap_or_else(|error| {
            tracing::warn!("{error}: what was installed is not known");
            Vec::new()
        })
    }

    fn packages_after(&self, manager: Manager, before: &[Package]) -> Result<Vec<Package>> {
        let mut all = before.to_vec();
        if manager != Manager::Apt {
            // Read last for `before`.
            let old = self.rpm_database()?;
            *self.rpm.borrow_mut() = None;
            let new = self.rpm_database()?;
            all.extend(rpm::took_along(&old.packages, &new.packages, before));
        }
        self.read.borrow_mut().clear();
        let names: Vec<&str> = all.iter().map(|one| one.name.as_str()).collect();
        let now = packages::standing(self, manager, &names)?;
        for (one, now) in all.iter_mut().zip(now) {
            one.left = Some(now);
        }
        Ok(all)
    }

    /// Does a transaction.
    ///
    /// # Errors
    /// Where another uses the package manager for too long, or it fails: its errors.
    pub(super) fn transact(&self, transaction: &Transaction) -> Result<()> {
        self.wait_for_manager(transaction.manager, transaction.wait)?;
        match transaction.manager {
            Manager::Apt => self.apt_transacts(transaction),
            _ => self.rpm_transacts(transaction),
        }
    }

    /// Reads the repositories' lists anew where that is needed for a transaction.
    ///
    /// # Errors
    /// Where a repository can't be reached or is not signed by a key that is trusted.
    pub(super) fn refresh_lists(&self, transaction: &Transaction) -> Result<()> {
        match transaction.manager {
            Manager::Apt => self.apt_refreshes(transaction),
            // dnf and yum do so by themselves, by the times their repositories have.
            _ => Ok(()),
        }
    }

    /// Ends what dpkg began.
    ///
    /// # Errors
    /// Where a package still can't be configured.
    pub(super) fn finish_packages(&self, wait: u64) -> Result<()> {
        self.wait_for_manager(Manager::Apt, wait)?;
        let argv = [
            "dpkg",
            "--configure",
            "-a",
            "--force-confdef",
            "--force-confold",
        ];
        self.manager_says(&argv, None).map(drop)
    }

    /// Runs a package manager; what it said.
    fn manager_says(&self, argv: &[&str], input: Option<&[u8]>) -> Result<String> {
        self.run_long(argv, input)?
            .map_err(|failure| explain(argv, &failure))
    }
}

/// The lines in which a package manager says what went wrong, the rest left out.
fn explain(argv: &[&str], failure: &Failure) -> Error {
    let program = argv.first().copied().unwrap_or_default();
    let said = complaints(&failure.complaint);
    trouble!("{program}: {}: {said}", failure.status)
}

fn complaints(said: &str) -> String {
    // apt's and dpkg's, then dnf's, yum's and rpm's.
    const TELLING: [&str; 12] = [
        "E: ",
        "W: ",
        "dpkg: ",
        "Err:",
        "Error",
        "error:",
        "No match",
        "No package",
        "Failed",
        "- Curl error",
        "- Status code",
        ">>> ",
    ];
    // The kernel's, through whichever; dnf's of packages.
    const INSIDE: [&str; 3] = [
        "No space left on device",
        " is not signed",
        "Public key for ",
    ];
    let is_telling = |line: &&str| {
        let begins = |begin: &&str| line.trim_start().starts_with(begin);
        TELLING.iter().any(begins) || INSIDE.iter().any(|text| line.contains(text))
    };
    let mut lines: Vec<&str> = said.lines().filter(is_telling).map(str::trim).collect();
    if lines.is_empty() {
        let all: Vec<&str> = said
            .lines()
            .filter(|line| !line.trim().is_empty())
            .collect();
        lines = all
            .get(all.len().saturating_sub(3)..)
            .unwrap_or_default()
            .to_vec();
    }
    lines.dedup();
    lines.join("; ").chars().take(COMPLAINT).collect()
}

#[cfg(test)]
mod tests {
    use super::complaints;

    #[test]
    fn what_went_wrong_is_told_without_the_rest() {
        let said = "Reading package lists...\nE: Unable to locate package conntrakc\n";
        assert_eq!(complaints(said), "E: Unable to locate package conntrakc");
        let said =
            "Package a-1.rpm is not signed\nThe packages were saved\nError: GPG check FAILED\n";
        assert_eq!(
            complaints(said),
            "Package a-1.rpm is not signed; Error: GPG check FAILED"
        );
        assert_eq!(complaints("a\nb\n\nc\nd\n"), "b; c; d");
    }
}
