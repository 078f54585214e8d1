//! Keeping the last runs and, of all before them, one journal of what they changed together: the
//! space stays bounded, and everything can still be taken back.

use std::path::PathBuf;

use super::{Run, Runs};
use crate::error::Result;
use crate::host::{Host, Prior};
use crate::journal::{self, Purpose, Record};
use crate::step::{Owner, Step, Transaction};
use crate::undo::{Change, Left, What, changes};

/// The command a journal of several runs is shown with.
pub const FOLDED: &str = "folded";

/// Joins the oldest runs so that `keep` are left, that one included; where `keep` is 0 all are kept.
/// Cut off at any point, it is done again by the next run.
///
/// # Errors
/// Where a journal cannot be read, written or removed; the others are then as they were.
pub fn fold(host: &Host, keep: usize) -> Result<()> {
    let (runs, stale) = Runs::sorted_out(Runs::all(host)?);
    for id in stale {
        host.discard_journal(&id)?;
    }
    host.discard_torn_journals()?;
    let count = runs.0.len();
    if keep == 0 || count <= keep {
        return Ok(());
    }
    let old = runs.0.get(..=count - keep).unwrap_or_default();
    let Some(last) = old.last().filter(|run| run.has_ended()) else {
        return Ok(());
    };
    if old.iter().any(|run| run.damage.is_some()) {
        // Joining would take the damage for the end of what was done.
        return Ok(());
    }
    let folds: Vec<String> = old.iter().map(|run| run.id.clone()).collect();
    let folds: Vec<String> = folds.into_iter().filter(|id| *id != last.id).collect();
    let purpose = Purpose {
        command: FOLDED.into(),
        folds: folds.clone(),
        ..Purpose::default()
    };
    host.replace_journal(&last.id, journal::text(purpose, &records(old))?)?;
    for id in folds {
        host.discard_journal(&id)?;
    }
    Ok(())
}

/// What these runs changed together, as if one had done it.
fn records(runs: &[Run]) -> Vec<Record> {
    let mut records: Vec<Record> = Vec::new();
    for due in runs.iter().flat_map(|run| &run.records) {
        if matches!(due, Record::Due { item: Some(_), .. }) && !records.contains(due) {
            records.push(due.clone());
        }
    }
    let mut number = 0;
    for change in changes(runs) {
        // One for each item and profile; joined again, the first says whose the change is.
        let pairs = change.items.iter().zip(&change.profiles);
        let mut pairs: Vec<(&str, &String)> = pairs.map(|(item, by)| (*item, by)).collect();
        pairs.sort_unstable_by_key(|(item, by)| (*item != change.item, *item, *by));
        pairs.dedup();
        for (item, profile) in pairs {
            number += 1;
            let (step, prior) = step(&change);
            records.push(Record::Step {
                number,
                item: item.into(),
                serves: change.served(item, profile).cloned().collect(),
                profile: Some(profile.clone()),
                step,
                prior,
            });
            let error = None;
            records.push(Record::Done {
                number,
                error,
                left: Vec::new(),
            });
        }
    }
    records
}

fn extracted(path: PathBuf, before: Option<String>) -> (Step, Prior) {
    let step = What::extract_step(&path);
    let before = [(path, before)].into();
    (step, Prior::Extracted { before })
}

/// The one step that makes a change.
fn step(change: &Change) -> (Step, Prior) {
    match change.what.clone() {
        What::Path {
            path, before, left, ..
        } => {
            let step = match left {
                Left::File(content, access) => Step::WriteFile {
                    path,
                    content,
                    owner: Owner::Ours,
                    access,
                },
                Left::Restored(file) => Step::RestoreFile { path, file },
                Left::Link(target) => Step::WriteLink { path, target },
                Left::Directory => Step::MakeDirectory { path },
                Left::Nothing => Step::RemoveFile { path },
            };
            (step, before)
        }
        What::Access {
            path, before, left, ..
        } => {
            let step = Step::SetAccess { path, access: left };
            (step, Prior::Access(before))
        }
        What::Value {
            path, before, left, ..
        } => {
            let step = Step::WriteKernel { path, value: left };
            (step, Prior::Value { text: before })
        }
        What::Extracted { path, before } => extracted(path, before),
        What::Module(name) => {
            let missing = vec![name.clone()];
            (Step::LoadModule { name }, Prior::Modules { missing })
        }
        What::Swap(area) => {
            let path = area.path.clone();
            (Step::SwapOff { area: path }, Prior::Swap(area))
        }
        What::Unit { name, before, left } => {
            (Step::switch(&name, left), Prior::Unit { active: before })
        }
        What::Image(image, socket) => {
            let missing = vec![image.clone()];
            (What::image_step(image, socket), Prior::Images { missing })
        }
        What::Rules(tool, undo) => {
            let change = Vec::new();
            (Step::Firewall { tool, change, undo }, Prior::Absent)
        }
        What::Package {
            manager,
            before,
            wait,
        } => {
            let step = Step::Packages(Transaction::new(manager, wait));
            let packages = vec![before];
            (step, Prior::Packages { packages })
        }
    }
}
