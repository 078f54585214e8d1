//! The steps of a series of runs, joined subject by subject into what was there before the first of
//! them and what the last one left. What they took back themselves is no change.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::change::{Change, Left, What};
use crate::host::Prior;
use crate::items::Item;
use crate::items::sysctl::same_value;
use crate::runs::{Did, Run};
use crate::step::{FirewallTool, Package, Step, Transaction};

/// What these runs changed, in the order of the first steps.
#[must_use]
pub fn changes(runs: &[Run]) -> Vec<Change> {
    let mut changes = Changes::default();
    for run in runs {
        let done = |did: &Did<'_>| !matches!(did.ended, Some(Err(_))) || may_have_done(did.step);
        for did in run.steps().into_iter().filter(done) {
            for what in made(&did) {
                changes.join(&did, what);
            }
            if did.ended.is_some() {
                changes.take_out(&did);
            }
        }
    }
    changes.all.into_iter().flatten().collect()
}

/// Whether a step that failed may have changed something all the same: a file may have its new name
/// though that could not be made durable, a value be written that could not be read back, some of the
/// packages be installed, or some files of an archive be there. A tool that was started may have added its
/// rules though nobody could wait for it; those of firewalld carry no name, so that what looks like
/// them may be somebody else's.
fn may_have_done(step: &Step) -> bool {
    let writes = matches!(
        step,
        Step::WriteKernel { .. }
            | Step::Packages(_)
            | Step::Extract(_)
            | Step::Firewall {
                tool: FirewallTool::Nft | FirewallTool::Iptables { .. },
                ..
            }
    );
    writes || step.file().is_some()
}

/// Changes by subject.
#[derive(Default)]
struct Changes {
    /// What was taken back leaves its place empty.
    all: Vec<Option<Change>>,
    places: HashMap<String, usize>,
}

impl Changes {
    /// Adds a change to those before it on the same subject.
    fn join(&mut self, did: &Did<'_>, what: What) {
        let place = *self.places.entry(what.subject()).or_insert(self.all.len());
        if place == self.all.len() {
            self.all.push(None);
        }
        let Some(slot) = self.all.get_mut(place) else {
            return;
        };
        let Some(known) = slot else {
            *slot = change(did, what);
            return;
        };
        known.serve(did, &what);
        match (&mut known.what, what) {
            (
                What::Path {
                    before, left, or, ..
                },
                What::Path {
                    before: found,
                    left: l,
                    or: o,
                    ..
                },
            ) => {
                let is_ours = left.is_there(&found, before)
                    || or.as_ref().is_some_and(|or| or.is_there(&found, before));
                let takes_back = matches!(l, Left::Restored(_) | Left::Nothing);
                if !is_ours && !takes_back {
                    // What others saved in between stays, with what we had there by then.
                    *before = found;
                }
                (*left, *or) = (l.after(left), o);
            }
            (What::Value { left, or, .. }, What::Value { left: l, or: o, .. }) => {
                (*left, *or) = (l, o);
            }
            (What::Access { left, or, .. }, What::Access { left: l, or: o, .. }) => {
                (*left, *or) = (l, o);
            }
            (What::Unit { left, .. }, What::Unit { left: l, .. }) => *left = l,
            (What::Package { before, .. }, What::Package { before: found, .. }) => {
                before.left = found.left;
                before.dependency &= found.dependency;
            }
            _ => {}
        }
        if known.what.is_nothing() {
            *slot = None;
        }
    }

    /// Steps that take back what another did leave no change of it.
    fn take_out(&mut self, did: &Did<'_>) {
        let subject = match did.step {
            Step::UnloadModule { name } => What::Module(name.clone()).subject(),
            Step::SwapOn { area, .. } => area.display().to_string(),
            Step::RemoveImage { image, socket } => {
                What::Image(image.clone(), socket.clone()).subject()
            }
            Step::RemoveExtracted { path, .. } if did.ended == Some(Ok(())) => {
                path.display().to_string()
            }
            Step::RemoveRules { tool, rules } => return self.take_rules_out(*tool, rules),
            // What takes a package back serves that change.
            Step::Packages(_) if did.ended != Some(Ok(())) => return,
            Step::Packages(_) => return did.serves.iter().for_each(|at| self.forget(at)),
            _ => return,
        };
        self.forget(&subject);
    }

    fn forget(&mut self, subject: &str) {
        if let Some(slot) = self
            .places
            .get(subject)
            .and_then(|at| self.all.get_mut(*at))
        {
            *slot = None;
        }
    }

    fn take_rules_out(&mut self, from: FirewallTool, rules: &[String]) {
        for slot in &mut self.all {
            if let Some(Change {
                what: What::Rules(tool, lines),
                ..
            }) = slot
                && *tool == from
            {
                lines.retain(|line| is_frame(line) || !rules.contains(line));
                if lines.iter().all(|line| is_frame(line)) {
                    *slot = None;
                }
            }
        }
    }
}

impl Change {
    /// Adds the subjects of one more step for it.
    fn serve(&mut self, did: &Did<'_>, what: &What) {
        // Taking back serves what was changed, not a subject of the profile's.
        let itself = what.subject();
        let Some(item) = item(did) else { return };
        for subject in what.serves(did).iter().filter(|one| **one != itself) {
            let mut known = self.serves.iter().zip(&self.items);
            let known = known.position(|(other, of)| other == subject && *of == item);
            match known.and_then(|at| self.profiles.get_mut(at)) {
                Some(profile) => did.profile.clone_into(profile),
                None => {
                    self.serves.push(subject.clone());
                    self.profiles.push(did.profile.to_owned());
                    self.items.push(item);
                }
            }
        }
    }
}

/// What a later program's item did is that program's to take back.
fn item(did: &Did<'_>) -> Option<&'static str> {
    Item::NAMES.iter().find(|name| **name == did.item).copied()
}

fn change(did: &Did<'_>, what: What) -> Option<Change> {
    let item = item(did)?;
    (!what.is_nothing()).then(|| Change {
        item,
        serves: what.serves(did).to_vec(),
        profiles: vec![did.profile.to_owned(); what.serves(did).len()],
        items: vec![item; what.serves(did).len()],
        what,
    })
}

/// Lines of iptables-restore's input and arguments of firewall-cmd that name no rule.
fn is_frame(line: &str) -> bool {
    line.starts_with('*') || line == "COMMIT" || line.starts_with("--zone=")
}

/// What a step leaves at which path.
fn left(step: &Step) -> Option<(&Path, Left)> {
    Some(match step {
        Step::WriteFile {
            path,
            content,
            access,
            ..
        } => (path, Left::File(content.clone(), *access)),
        Step::RestoreFile { path, file } => (path, Left::Restored(file.clone())),
        Step::WriteLink { path, target } => (path, Left::Link(target.clone())),
        Step::MakeDirectory { path } => (path, Left::Directory),
        Step::RemoveFile { path } | Step::RemoveDirectory { path } => (path, Left::Nothing),
        _ => return None,
    })
}

fn made(did: &Did<'_>) -> Vec<What> {
    let unsure = did.ended != Some(Ok(()));
    if let Some((path, left)) = left(did.step) {
        let path = match did.prior {
            Prior::File { path, .. } => path,
            _ => path,
        };
        return vec![What::Path {
            path: path.to_owned(),
            before: did.prior.clone(),
            left,
            or: unsure.then(|| Left::found(did.prior)).flatten(),
        }];
    }
    match (did.step, did.prior) {
        (Step::SetAccess { path, access }, Prior::Access(before)) => vec![What::Access {
            path: path.clone(),
            before: *before,
            left: *access,
            or: unsure.then_some(*before),
        }],
        (Step::WriteKernel { path, value }, Prior::Value { text }) => vec![What::Value {
            path: path.clone(),
            before: text.clone(),
            left: value.clone(),
            or: unsure.then(|| text.clone()),
        }],
        (Step::LoadModule { .. }, Prior::Modules { missing }) => {
            // In load order, as all else is.
            missing.iter().rev().cloned().map(What::Module).collect()
        }
        (
            Step::PullImage { socket, .. } | Step::ImportImages { socket, .. },
            Prior::Images { missing },
        ) => {
            let image = |name: &String| What::Image(name.clone(), socket.clone());
            missing.iter().map(image).collect()
        }
        (Step::SwapOff { .. }, Prior::Swap(area)) => vec![What::Swap(area.clone())],
        (Step::StartUnit { unit } | Step::StopUnit { unit }, Prior::Unit { active }) => {
            vec![What::Unit {
                name: unit.clone(),
                before: *active,
                left: matches!(did.step, Step::StartUnit { .. }),
            }]
        }
        (Step::Firewall { tool, undo, .. }, _) => vec![What::Rules(*tool, undo.clone())],
        (Step::Packages(transaction), Prior::Packages { packages }) => match did.left {
            [] => of(transaction, packages),
            left => of(transaction, left),
        },
        (Step::Extract(_), Prior::Extracted { before }) => {
            let file = |(path, before): (&PathBuf, &Option<String>)| What::Extracted {
                path: path.clone(),
                before: before.clone(),
            };
            before.iter().map(file).collect()
        }
        _ => Vec::new(),
    }
}

fn of(transaction: &Transaction, packages: &[Package]) -> Vec<What> {
    let one = |before: &Package| What::Package {
        manager: transaction.manager,
        before: before.clone(),
        wait: transaction.wait,
    };
    packages.iter().map(one).collect()
}

impl What {
    /// The subjects it served: of all a transaction was for, a package that was asked for is for
    /// itself, one that was taken along for all.
    fn serves<'a>(&'a self, did: &Did<'a>) -> &'a [String] {
        match self {
            Self::Package { before, .. } if !before.dependency => {
                std::slice::from_ref(&before.name)
            }
            // Of all the files of an archive each is for itself.
            Self::Extracted { path, .. } => {
                let itself = path.display().to_string();
                let at = did.serves.iter().position(|subject| *subject == itself);
                at.and_then(|at| did.serves.get(at..=at))
                    .unwrap_or(did.serves)
            }
            _ => did.serves,
        }
    }

    /// Whether the last step left what was there before the first.
    fn is_nothing(&self) -> bool {
        match self {
            Self::Value {
                before, left, or, ..
            } => same_value(before, left) && or.as_ref().is_none_or(|or| same_value(before, or)),
            Self::Access {
                before, left, or, ..
            } => before == left && or.is_none_or(|or| or == *before),
            Self::Path {
                before, left, or, ..
            } => left.is_what_was(before) && or.as_ref().is_none_or(|or| or.is_what_was(before)),
            Self::Unit { before, left, .. } => before == left,
            Self::Package { before, .. } => before
                .left
                .as_ref()
                .is_some_and(|left| before.is_back(left)),
            Self::Module(_)
            | Self::Swap(_)
            | Self::Image(..)
            | Self::Rules(..)
            | Self::Extracted { .. } => false,
        }
    }
}

impl Left {
    /// What a step found, as if another had left it.
    fn found(prior: &Prior) -> Option<Self> {
        match prior {
            Prior::Absent => Some(Self::Nothing),
            Prior::File { file, .. } => Some(Self::Restored(file.clone())),
            Prior::Link { target } => Some(Self::Link(target.clone())),
            Prior::Directory => Some(Self::Directory),
            Prior::Access(_)
            | Prior::Value { .. }
            | Prior::Modules { .. }
            | Prior::Swap(_)
            | Prior::Unit { .. }
            | Prior::Images { .. }
            | Prior::Packages { .. }
            | Prior::Extracted { .. } => None,
        }
    }

    /// With mode and owner that an earlier step gave the file and this one kept.
    fn after(self, earlier: &Self) -> Self {
        match (self, earlier) {
            (Self::File(content, None), Self::File(_, kept)) => Self::File(content, *kept),
            (left, _) => left,
        }
    }

    fn is_what_was(&self, before: &Prior) -> bool {
        match (self, before) {
            (Self::Nothing, Prior::Absent) | (Self::Directory, Prior::Directory) => true,
            (Self::Link(target), Prior::Link { target: old }) => target == old,
            (Self::File(content, access), Prior::File { file, .. }) => {
                *content == file.content && access.is_none_or(|access| access == file.access())
            }
            (Self::Restored(restored), Prior::File { file, .. }) => restored == file,
            _ => false,
        }
    }
}

#[cfg(test)]
#[path = "collect_test.rs"]
mod tests;
