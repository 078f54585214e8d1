//! What is asked of a package manager, as data: all packages of a run go into one transaction, so
//! that no half of them is left behind by a name that does not exist.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::boot::packages::version::Version;

/// Who installs packages on a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Manager {
    /// apt-get and dpkg.
    Apt,
    /// dnf 4.
    Dnf,
    /// dnf 5.
    Dnf5,
    /// yum 3.
    Yum,
}

impl Manager {
    /// Its program, by the names it may have, the surest first.
    #[must_use]
    pub fn programs(self) -> &'static [&'static str] {
        match self {
            Self::Apt => &["apt-get"],
            Self::Dnf => &["dnf-3", "dnf"],
            Self::Dnf5 => &["dnf5"],
            Self::Yum => &["yum"],
        }
    }
}

/// A package to be installed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Wish {
    /// Its name.
    pub name: String,
    /// The version wanted; none for the one the manager chooses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
}

impl Wish {
    /// Whether a version is one that is wanted, by its manager's order.
    #[must_use]
    pub fn fits(&self, manager: Manager, version: &str) -> bool {
        let wanted = self.version.as_ref();
        wanted.is_none_or(|wanted| wanted.matches(manager, version))
    }
}

impl fmt::Display for Wish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.version {
            Some(version) => write!(f, "{} ({version})", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// What is done in one call of the package manager.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transaction {
    /// Who does it.
    pub manager: Manager,
    /// Packages that are there afterwards.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub install: Vec<Wish>,
    /// Packages that are not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<String>,
    /// Packages that no upgrade touches afterwards.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hold: Vec<String>,
    /// Packages that upgrades touch again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub release: Vec<String>,
    /// Where package files are taken from, beside the repositories.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<PathBuf>,
    /// Whether what no repository has is left out, and the rest done.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub partial: bool,
    /// For how many seconds it is waited for another that uses the package manager.
    pub wait: u64,
}

impl Transaction {
    /// One that does nothing yet.
    #[must_use]
    pub fn new(manager: Manager, wait: u64) -> Self {
        Self {
            manager,
            install: Vec::new(),
            remove: Vec::new(),
            hold: Vec::new(),
            release: Vec::new(),
            directory: None,
            partial: false,
            wait,
        }
    }

    /// Whether nothing would be done.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let Self {
            install, remove, ..
        } = self;
        let Self { hold, release, .. } = self;
        install.is_empty() && remove.is_empty() && hold.is_empty() && release.is_empty()
    }

    /// The names of all its packages.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let installed = self.install.iter().map(|wish| wish.name.as_str());
        let others = [&self.remove, &self.hold, &self.release];
        installed.chain(others.into_iter().flatten().map(String::as_str))
    }

    /// Takes packages out of it.
    pub fn leave_out(&mut self, packages: &std::collections::BTreeSet<String>) {
        self.install.retain(|wish| !packages.contains(&wish.name));
        for names in [&mut self.remove, &mut self.hold, &mut self.release] {
            names.retain(|name| !packages.contains(name));
        }
    }

    /// Adds what another one of the same manager does.
    pub fn join(&mut self, other: Self) {
        self.install.extend(other.install);
        self.remove.extend(other.remove);
        self.hold.extend(other.hold);
        self.release.extend(other.release);
    }
}

impl fmt::Display for Transaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let install: Vec<String> = self.install.iter().map(ToString::to_string).collect();
        let parts = [
            ("install", &install),
            ("remove", &self.remove),
            ("hold", &self.hold),
            ("release", &self.release),
        ];
        let parts = parts.into_iter().filter(|(_, names)| !names.is_empty());
        let texts: Vec<String> = parts
            .map(|(verb, names)| format!("{verb} {}", names.join(", ")))
            .collect();
        write!(f, "packages: {}", texts.join("; "))
    }
}

/// What of a package is looked at before it is taken back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// The version that is installed; none where it is not.
    pub version: Option<String>,
    /// Whether no upgrade touches it.
    pub held: bool,
    /// Whether apt knows it as one that nobody asked for.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub automatic: bool,
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let held = if self.held { ", held" } else { "" };
        match &self.version {
            Some(version) => write!(f, "{version}{held}"),
            None => f.write_str("not installed"),
        }
    }
}

/// One package as it was before a transaction, and as that left it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// The version that was installed; none where it was not.
    pub version: Option<String>,
    /// Whether no upgrade touched it.
    pub held: bool,
    /// Whether it came or went for another's sake.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dependency: bool,
    /// As the transaction left it; none where that is not known: it was cut off, or is to come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left: Option<Standing>,
}

impl Package {
    /// Whether a package that stands so is as it was before: what is not installed needs no hold.
    #[must_use]
    pub fn is_back(&self, now: &Standing) -> bool {
        let is_held = now.held == self.held || self.version.is_none();
        now.version == self.version && is_held
    }
}
