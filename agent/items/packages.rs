//! Packages: the kubelet and kubeadm call conntrack, iptables, mount and others by name, a cluster's
//! version is that of its packages, and an upgrade nobody asked for takes a node down.

mod needs;
mod package;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::Deserialize;

use super::{Explain, Kind, Stage};
use crate::boot::packages::version::Version;
use crate::boot::packages::{self, Installed};
use crate::error::Result;
use crate::finding::{Finding, State};
use crate::host::Host;
use crate::plan::ItemPlan;
use crate::step::{Manager, Step, Transaction};

use needs::{Name, Names};
use package::{Package, Wanted};

/// For so many seconds it is waited for another that uses the package manager: unattended-upgrades
/// on a slow disk takes minutes.
const WAIT: u64 = 300;

/// `[packages]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Section")]
pub struct Packages(Section);

/// As it is written; what only the whole shows is refused by [`Packages`].
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Section {
    /// Packages, or what they are needed for, that are installed.
    #[serde(default)]
    present: BTreeSet<Name>,
    /// Those that are not.
    #[serde(default)]
    absent: BTreeSet<Name>,
    /// Those of `present` that no upgrade touches.
    #[serde(default)]
    held: BTreeSet<Name>,
    /// Versions of those of `present` that can't be any.
    #[serde(default)]
    versions: BTreeMap<Name, Version>,
    /// What a need is called by each family, where the built-in table does not know.
    #[serde(default)]
    names: BTreeMap<Name, Names>,
    /// A directory of package files, for hosts without a network.
    directory: Option<PathBuf>,
    /// For how many seconds it is waited for another that uses the package manager.
    #[serde(default = "wait")]
    wait: u64,
}

fn wait() -> u64 {
    WAIT
}

impl TryFrom<Section> for Packages {
    type Error = String;

    fn try_from(section: Section) -> std::result::Result<Self, String> {
        let Section {
            present, absent, ..
        } = &section;
        if let Some(both) = present.intersection(absent).next() {
            return Err(format!(
                "{both} is in both present and absent: take it out of one"
            ));
        }
        let further = section.held.iter().map(|name| ("held", name));
        let mut further = further.chain(section.versions.keys().map(|name| ("versions", name)));
        if let Some((key, name)) = further.find(|(_, name)| !present.contains(*name)) {
            return Err(format!(
                "{key} names {name}, which is not in present: add it there"
            ));
        }
        if let Some(directory) = section.directory.as_ref().filter(|d| !d.is_absolute()) {
            let shown = directory.display();
            return Err(format!(
                "directory = \"{shown}\": give its whole path, from / on"
            ));
        }
        Ok(Self(section))
    }
}

/// What the host has.
#[derive(Debug)]
pub struct Observed {
    /// None where no package manager is known here.
    manager: Option<Manager>,
    packages: Vec<Package>,
    /// Packages that were begun with, by anyone.
    unfinished: Vec<String>,
}

impl Kind for Packages {
    type Observed = Observed;
    const STAGE: Stage = Stage::Install;
    const BOOTS_BY_SYSTEMD: bool = false;
    const EXPLAIN: Explain = Explain {
        why: "kubeadm's preflight looks for conntrack, ip, iptables, mount and nsenter, kube-proxy in \
              ipvs mode needs ipset, a `kubectl port-forward` socat. An upgrade of the kubelet past \
              its control plane, by unattended-upgrades, takes the node down: held packages stay.",
        looks_at: "dpkg: /var/lib/dpkg/status. rpm: what the last apply remembers of its database, if \
                   that still has the same inode, size and time; else one `rpm -qa`. What is installed \
                   is so after a boot as well.",
        changes: "one call of apt-get for all packages, new versions and removals together; of dnf and \
                  yum one for what comes, and before it one for what goes. It waits for whoever holds \
                  the lock; before that dpkg ends what was cut off, and lists that are older than the \
                  repositories' files, or have not what is wanted, are read anew. A package that \
                  would go without being named absent stops it. Holds by dpkg's selections or \
                  versionlock.",
        undo: "`apt-get remove`, `dnf remove`, or an install with the old version; `apt-mark unhold`. \
               What someone has upgraded, removed, held or asked for since stays.",
    };

    fn observe(&self, host: &Host) -> Result<Observed> {
        let Some(manager) = packages::manager(host)? else {
            return Ok(Observed {
                manager: None,
                packages: self.wanted(None),
                unfinished: Vec::new(),
            });
        };
        let mut wanted = self.wanted(Some(manager));
        let names: Vec<&str> = wanted
            .iter()
            .filter_map(|one| one.name.as_deref().ok())
            .collect();
        let mut found = packages::installed(host, manager, &names)?.into_iter();
        for one in wanted.iter_mut().filter(|one| one.name.is_ok()) {
            one.now = found.next().unwrap_or_default();
        }
        Ok(Observed {
            manager: Some(manager),
            packages: wanted,
            unfinished: packages::unfinished(host, manager)?,
        })
    }

    fn wants(&self, subject: &str) -> bool {
        let Self(section) = self;
        let locks = [Manager::Dnf, Manager::Yum].map(versionlock);
        if !section.held.is_empty() && locks.contains(&Some(subject)) {
            return true;
        }
        let all = section.present.iter().chain(&section.absent);
        all.into_iter()
            .any(|need| self.called(need).any(|name| name == subject))
    }

    /// What runs the node and its pods, by the names packages have for it.
    fn hurts_member(subject: &str) -> bool {
        const RUN: [&str; 8] = [
            "kubelet",
            "containerd",
            "containerd.io",
            "runc",
            "docker.io",
            "docker-ce",
            "cri-o",
            "crun",
        ];
        RUN.contains(&subject)
    }

    fn diff(&self, observed: &Observed) -> ItemPlan {
        let mut plan = ItemPlan::default();
        let manager = observed.manager.unwrap_or(Manager::Apt);
        let mut transaction = Transaction::new(manager, self.0.wait);
        transaction.directory.clone_from(&self.0.directory);
        let mut serves = Vec::new();
        for package in &observed.packages {
            let state = match observed.manager {
                Some(manager) => package.state(manager),
                None => State::unknown("neither dpkg nor rpm is here: install it by hand"),
            };
            let name = package.name.as_ref().unwrap_or_else(|need| need);
            if let (State::Differs { .. }, Ok(name)) = (&state, &package.name) {
                package.add(name, &mut transaction);
                serves.push(name.clone());
            }
            plan.findings.push(Finding::new(name, state.clone(), state));
        }
        if transaction.is_empty() {
            return plan;
        }
        if !observed.unfinished.is_empty() {
            let (names, wait) = (observed.unfinished.clone(), self.0.wait);
            plan.live(Step::FinishPackages { names, wait }, serves.clone());
        }
        if !transaction.install.is_empty() && manager == Manager::Apt {
            plan.live(Step::RefreshPackages(transaction.clone()), serves.clone());
        }
        plan.live(Step::Packages(transaction), serves);
        plan
    }
}

impl Packages {
    /// Each package with what is wanted of it, by the names this family has.
    fn wanted(&self, manager: Option<Manager>) -> Vec<Package> {
        let Self(section) = self;
        let present = section.present.iter().map(|need| {
            let version = section.versions.get(need).cloned();
            let held = section.held.contains(need);
            (need, Wanted::Present { version, held })
        });
        let absent = section.absent.iter().map(|need| (need, Wanted::Absent));
        let package = |(need, wanted): (&Name, Wanted)| Package {
            name: needs::called(need, &section.names, manager).ok_or_else(|| need.to_string()),
            wanted,
            now: Installed::default(),
        };
        let mut all: Vec<Package> = present.chain(absent).map(package).collect();
        let locks = manager
            .and_then(versionlock)
            .filter(|_| !section.held.is_empty());
        all.extend(locks.map(|plugin| Package {
            name: Ok(plugin.to_owned()),
            wanted: Wanted::Present {
                version: None,
                held: false,
            },
            now: Installed::default(),
        }));
        // Two needs may be one package (ip and tc are): the first one's version counts.
        let mut known = BTreeSet::new();
        all.retain(|one| known.insert(one.name.clone()));
        all
    }

    /// What a need may be called on some host.
    fn called<'a>(&'a self, need: &'a Name) -> impl Iterator<Item = String> + 'a {
        let families = [Manager::Apt, Manager::Dnf].into_iter();
        families.filter_map(move |one| needs::called(need, &self.0.names, Some(one)))
    }
}

/// The package that lets this one hold others, where it can't by itself.
fn versionlock(manager: Manager) -> Option<&'static str> {
    match manager {
        Manager::Apt | Manager::Dnf5 => None,
        Manager::Dnf => Some("python3-dnf-plugin-versionlock"),
        Manager::Yum => Some("yum-plugin-versionlock"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(text: &str) -> std::result::Result<Packages, String> {
        toml::from_str(text).map_err(|error: toml::de::Error| error.to_string())
    }

    #[allow(clippy::disallowed_methods, reason = "tests")]
    fn host(status: &str) -> (tempfile::TempDir, Host) {
        let top = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(top.path().join("var/lib/dpkg")).unwrap();
        std::fs::write(top.path().join("var/lib/dpkg/status"), status).unwrap();
        let host = Host::captured(top.path()).unwrap();
        (top, host)
    }

    fn planned(profile: &str, status: &str) -> Vec<String> {
        let packages = section(profile).unwrap();
        let (_top, host) = host(status);
        let plan = packages.diff(&packages.observe(&host).unwrap());
        plan.steps
            .iter()
            .map(|planned| planned.step.to_string())
            .collect()
    }

    const STATUS: &str = "Package: conntrack\nStatus: install ok installed\nVersion: 1:1.4.7-1\n\n\
        Package: kubelet\nStatus: hold ok installed\nVersion: 1.29.1-1.1\n\n\
        Package: kubectl\nStatus: install ok installed\nVersion: 1.30.4-1.1\n\n\
        Package: firewalld\nStatus: install ok installed\nVersion: 1.3\n";

    #[test]
    fn one_transaction_for_all() {
        let profile = "present = [\"conntrack\", \"ip\", \"kubelet\", \"kubectl\"]\n\
            absent = [\"firewalld\", \"postfix\"]\nheld = [\"kubelet\", \"kubectl\"]\n\
            versions = { kubelet = \"1.30\", kubectl = \"1.30\" }";
        assert_eq!(
            planned(profile, STATUS),
            [
                "read the repositories' lists, if too old",
                "packages: install iproute2, kubelet (1.30); remove firewalld; hold kubectl, kubelet"
            ]
        );
        assert_eq!(planned("present = [\"conntrack\"]", STATUS), [""; 0]);
    }

    #[test]
    fn what_dpkg_began_is_ended_first() {
        let status = format!("{STATUS}\nPackage: jq\nStatus: install ok unpacked\nVersion: 1\n");
        let steps = planned("present = [\"socat\"]", &status);
        assert_eq!(steps.first().unwrap(), "finish installing jq");
        assert_eq!(planned("present = [\"kubectl\"]", &status), [""; 0]);
    }

    #[test]
    fn contradictions_are_refused() {
        for (text, told) in [
            (
                "present = [\"a\"]\nabsent = [\"a\"]",
                "both present and absent",
            ),
            ("held = [\"a\"]", "held names a"),
            ("versions = { a = \"1\" }", "versions names a"),
            ("present = [\"-oX=y\"]", "no package name"),
            ("directory = \"debs\"", "whole path"),
        ] {
            let error = section(text).unwrap_err();
            assert!(error.contains(told), "{error}");
        }
    }

    #[test]
    fn what_left_the_profile_is_known_by_every_familys_name() {
        let packages = section("present = [\"conntrack\"]").unwrap();
        assert!(packages.wants("conntrack-tools") && packages.wants("conntrack"));
        assert!(!packages.wants("socat") && !packages.wants("yum-plugin-versionlock"));
        let held = section("present = [\"a\"]\nheld = [\"a\"]").unwrap();
        assert!(held.wants("yum-plugin-versionlock"));
    }
}
