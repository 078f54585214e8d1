//! Taking back what runs did, as a plan like any other: from what they changed on each subject to
//! the steps that bring back what was there before.

mod change;
mod collect;
mod judge;
pub mod left;

use std::collections::BTreeSet;

use crate::error::Result;
use crate::host::Host;
use crate::items::Item;
use crate::plan::{ItemPlan, Plan};
use crate::runs::{Run, Runs};
use crate::step::{Due, Undo};

pub use change::{Change, Left, What};
pub use collect::changes;

/// What is done with what someone else has changed since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Others {
    /// It stays as it is.
    Stay,
    /// It goes too.
    Go,
}

/// The plan that takes changes back, and lays it over the host.
///
/// # Errors
/// Where what is there now cannot be read.
pub fn plan(host: &mut Host, changes: &[Change], runs: &[Run], others: Others) -> Result<Plan> {
    let mut plan = Plan::default();
    // What was made last goes first.
    for name in Item::NAMES.iter().rev() {
        let mut own: Vec<&Change> = changes.iter().filter(|c| c.item == *name).collect();
        own.reverse();
        own.sort_by_key(|change| change.what.turn());
        let mut one = ItemPlan {
            item: name,
            ..ItemPlan::default()
        };
        for change in own {
            judge::add(host, change, changes, others, &mut one)?;
        }
        if !one.steps.is_empty() {
            one.due = dues(host, runs, name);
        }
        if !one.findings.is_empty() {
            plan.items.push(one);
        }
    }
    Ok(plan)
}

/// What has to be done for an item after its files are what they were: a unit that ran is restarted,
/// one that did not is stopped. Nothing is asked of it: what it had may have been no good.
fn dues(host: &Host, runs: &[Run], item: &str) -> Vec<Due> {
    if host.no_live().is_some() {
        return Vec::new();
    }
    let mut dues = BTreeSet::new();
    let mut stopped: BTreeSet<String> = BTreeSet::new();
    let of = runs.iter().flat_map(Run::dues);
    for (_, due, ran) in of.filter(|(of, ..)| *of == item) {
        match due {
            Due::DaemonReload | Due::HardwareClock => drop(dues.insert(due.clone())),
            Due::Reload { unit } => drop(dues.insert(Due::Reload { unit: unit.clone() })),
            // The first run that touched it knows how it was.
            Due::Restart { unit, .. } if stopped.contains(unit) => {}
            Due::Restart { unit, .. } if ran => {
                let unit = unit.clone();
                dues.insert(Due::Restart { unit, ready: None });
            }
            Due::Restart { unit, .. } => {
                let is_known = |due: &Due| matches!(due, Due::Restart { unit: u, .. } if u == unit);
                if !dues.iter().any(is_known) {
                    stopped.insert(unit.clone());
                    dues.insert(Due::Stop { unit: unit.clone() });
                }
            }
            Due::Tmpfiles { .. } | Due::FlushJournal | Due::Stop { .. } => {}
        }
    }
    dues.into_iter().collect()
}

/// The last `apply` of which something is left to take back, or to finish taking back; none where
/// there is none.
#[must_use]
pub fn last(runs: &Runs) -> Option<usize> {
    let is_left = |index: &usize| {
        let rest = runs.0.get(*index..).unwrap_or_default();
        rest.first()
            .is_some_and(|run| run.purpose().command == "apply")
            && (runs.cut_off().is_some() || !changes(rest).is_empty())
    };
    (0..runs.0.len()).rev().find(is_left)
}

/// What may not come back exactly, in words: to be said before anything is done.
#[must_use]
pub fn reservations(changes: &[Change]) -> Vec<String> {
    let mut all = Vec::new();
    for change in changes {
        if let Undo::BestEffort(text) = change.what.undo() {
            all.push(format!("{}: {text}", change.what.subject()));
        }
    }
    all
}
