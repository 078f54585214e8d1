//! A package as it is wanted and as it is here.

use crate::boot::packages::version::Version;
use crate::boot::packages::{Installed, Stands};
use crate::finding::{Origin, State};
use crate::step::{Manager, Transaction, Wish};

/// One package that is wanted or not.
#[derive(Debug)]
pub(super) struct Package {
    /// As this host calls it; none where its family has none for the need.
    pub name: std::result::Result<String, String>,
    pub wanted: Wanted,
    pub now: Installed,
}

/// What is wanted of a package.
#[derive(Debug, Clone)]
pub(super) enum Wanted {
    Absent,
    Present {
        version: Option<Version>,
        held: bool,
    },
}

impl Package {
    pub fn state(&self, manager: Manager) -> State {
        if self.name.is_err() {
            return State::not_applicable("this distribution has no package for it");
        }
        match (&self.wanted, &self.now.stands) {
            (Wanted::Absent, Stands::Absent) => State::InSync,
            (Wanted::Absent, _) => State::differs(self.now.to_string(), "not installed", None),
            (Wanted::Present { version, held }, stands) => {
                let is_it = *stands == Stands::Installed
                    && (self.now.held || !held)
                    && self.fits(manager, version.as_ref());
                match is_it {
                    true => State::InSync,
                    false => {
                        let to = version
                            .as_ref()
                            .map_or("installed".into(), ToString::to_string);
                        let to = if *held { format!("{to}, held") } else { to };
                        State::differs(self.now.to_string(), to, self.origin(manager))
                    }
                }
            }
        }
    }

    fn fits(&self, manager: Manager, version: Option<&Version>) -> bool {
        version.is_none_or(|version| version.matches(manager, &self.now.version))
    }

    /// A version stays for being held.
    fn origin(&self, manager: Manager) -> Option<Origin> {
        let by = match manager {
            Manager::Apt => "held by dpkg's selections",
            _ => "held by versionlock",
        };
        self.now.held.then(|| Origin::Other(by.into()))
    }

    pub fn add(&self, name: &str, transaction: &mut Transaction) {
        let name = name.to_owned();
        let Wanted::Present { version, held } = &self.wanted else {
            return transaction.remove.push(name);
        };
        let is_there = self.now.stands == Stands::Installed
            && self.fits(transaction.manager, version.as_ref());
        if !is_there {
            let (name, version) = (name.clone(), version.clone());
            transaction.install.push(Wish { name, version });
        }
        if *held {
            transaction.hold.push(name);
        }
    }
}
