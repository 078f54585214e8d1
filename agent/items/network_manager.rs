//! Interfaces of pods are the CNI plugin's: NetworkManager or systemd-networkd, where it takes one of
//! them for its own, removes its routes and addresses, and the pods behind it are cut off.

mod interfaces;
mod networkd;
mod nm;

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{Explain, Kind};
use crate::boot::units;
use crate::error::Result;
use crate::finding::{Finding, Origin, State};
use crate::host::Host;
use crate::plan::ItemPlan;
use crate::step::{Due, Owner, Step};

use interfaces::Pattern;

/// `[network_manager]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkManager {
    /// Names of interfaces that are left to others; `*` and `?` stand for what they do in a shell.
    #[serde(default = "interfaces::usual")]
    interfaces: Vec<Pattern>,
}

/// What the host has of each of the two.
#[derive(Debug)]
pub struct Observed([Manager; 2]);

/// One that manages interfaces.
#[derive(Debug)]
struct Manager {
    name: &'static str,
    unit: &'static str,
    runs: bool,
    enabled: bool,
    /// For each interface, in their order, whether the next boot leaves it alone.
    boot: Vec<State>,
    /// Interfaces there are that it has taken.
    taken: Vec<String>,
    /// The file that makes it leave them alone, as it is and as it should be.
    path: PathBuf,
    old: Option<Vec<u8>>,
    new: Vec<u8>,
}

impl Kind for NetworkManager {
    type Observed = Observed;
    const EXPLAIN: Explain = Explain {
        why: "NetworkManager and systemd-networkd take every new interface for theirs: the routes a CNI \
              plugin gives its pods' interfaces go, and with them the pods' network.",
        looks_at: "where one of them runs or is enabled. boot: unmanaged-devices in NetworkManager.conf \
                   and conf.d as they are merged; the first .network file that matches. live: what they \
                   say of the interfaces there are, in /run.",
        changes: "/etc/NetworkManager/conf.d/zzz-nodeprep.conf, /etc/systemd/network/00-nodeprep.network; \
                  each reads its files again, connections stay.",
        undo: "remove both files; `systemctl reload NetworkManager`, `networkctl reload`.",
    };

    fn observe(&self, host: &Host) -> Result<Observed> {
        Ok(Observed([
            nm::look(host, &self.interfaces)?,
            networkd::look(host, &self.interfaces)?,
        ]))
    }

    fn wants(&self, subject: &str) -> bool {
        let names = [nm::NAME, networkd::NAME];
        let mut patterns = self.interfaces.iter();
        patterns.any(|pattern| names.iter().any(|name| named(pattern, name) == subject))
    }

    fn wants_file(&self, path: &Path) -> bool {
        [nm::FILE, networkd::FILE]
            .iter()
            .any(|file| Path::new(file).starts_with(path))
    }

    fn diff(&self, observed: &Observed) -> ItemPlan {
        let mut plan = ItemPlan::default();
        for manager in &observed.0 {
            manager.add(&self.interfaces, &mut plan);
        }
        plan
    }
}

impl Manager {
    fn add(&self, patterns: &[Pattern], plan: &mut ItemPlan) {
        if !self.runs && !self.enabled {
            let state = State::not_applicable("it neither runs nor is enabled");
            plan.findings
                .push(Finding::new(self.name, state.clone(), state));
            return;
        }
        let mut serves = Vec::new();
        for (pattern, boot) in patterns.iter().zip(&self.boot) {
            let subject = named(pattern, self.name);
            if *boot != State::InSync {
                serves.push(subject.clone());
            }
            plan.findings.push(Finding::new(
                subject,
                self.live(pattern, boot),
                boot.clone(),
            ));
        }
        if serves.is_empty() || self.old.as_ref() == Some(&self.new) {
            return;
        }
        plan.boot(
            Step::write(&self.path, self.new.clone(), Owner::Ours),
            serves,
        );
        if self.runs {
            let unit = self.unit.to_owned();
            plan.due.push(Due::Reload { unit });
        }
    }

    fn live(&self, pattern: &Pattern, boot: &State) -> State {
        let mut taken = self.taken.iter();
        match taken.find(|interface| pattern.matches(interface)) {
            _ if !self.runs => State::not_applicable("it does not run"),
            Some(interface) => {
                let from = format!("{interface} is managed");
                let origin = Origin::Other(format!("{} has taken it", self.name));
                State::differs(from, "left alone", Some(origin))
            }
            None => boot.clone(),
        }
    }
}

fn named(pattern: &Pattern, manager: &str) -> String {
    format!("{} in {manager}", pattern.name())
}

/// Whether a unit runs, and whether the boot starts it.
fn is_used(host: &Host, unit: &str) -> Result<(bool, bool)> {
    let runs = host.no_live().is_none() && host.has_processes(unit)?;
    let enabled = !units::wanted(host, |name| name == unit)?.is_empty();
    Ok((runs, enabled))
}

#[cfg(test)]
#[path = "network_manager/host_test.rs"]
mod tests;
