//! Findings and steps of every item on one host at one moment. `check` prints it, `apply` performs
//! it, and making it again afterwards is the verification.

mod blocked;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use serde::Serialize;

use self::blocked::{leave_alone, spare};
use crate::error::Result;
use crate::finding::{Finding, State};
use crate::host::{Host, Prior, changed};
use crate::items::{Item, Stage};
use crate::step::{Aspect, Due, Owner, Step, Transaction};

/// A step with the subjects it serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlannedStep {
    /// What is done.
    #[serde(flatten)]
    pub step: Step,
    /// Which truth it changes.
    pub aspect: Aspect,
    /// The subjects of the item that need it.
    pub serves: Vec<String>,
    /// The file's bytes it was planned on, where that matters: none or nothing is empty.
    #[serde(skip)]
    pub seen: Option<Rc<[u8]>>,
}

impl PlannedStep {
    /// Fails where the file is no longer what the step was planned on: an editor has saved it since.
    ///
    /// # Errors
    /// Then.
    pub fn still_fits(&self, prior: &Prior) -> Result<()> {
        match (&self.seen, prior) {
            (Some(seen), Prior::Absent | Prior::File { .. }) if prior.content() != &**seen => {
                Err(changed(self.step.file().unwrap_or(Path::new(""))))
            }
            _ => Ok(()),
        }
    }
}

impl PlannedStep {
    /// Whether a package manager can do this with what this step does, in one transaction.
    #[must_use]
    pub fn joins(&self, other: &Transaction) -> bool {
        matches!(&self.step, Step::Packages(own) if own.manager == other.manager)
    }

    /// Takes packages out of what a package manager is asked for: the others go on.
    fn leave_out(&mut self, packages: &BTreeSet<String>) {
        if let Step::Packages(own) | Step::RefreshPackages(own) = &mut self.step {
            own.leave_out(packages);
        }
        if let Step::Packages(_) | Step::RefreshPackages(_) | Step::FinishPackages { .. } =
            &self.step
        {
            self.serves.retain(|subject| !packages.contains(subject));
        }
    }

    /// Does it with what this step does.
    pub fn join(&mut self, other: Transaction, serves: String) {
        if let Step::Packages(own) = &mut self.step {
            own.join(other);
            self.serves.push(serves);
        }
    }
}

/// What one item found and would do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ItemPlan {
    /// The item's section name.
    pub item: &'static str,
    /// One finding a subject.
    pub findings: Vec<Finding>,
    /// In the order they are performed.
    pub steps: Vec<PlannedStep>,
    /// What is due once after the stage's steps, if any of this item's steps was performed or the
    /// item has none: then a daemon runs with what its files no longer say.
    pub due: Vec<Due>,
}

impl ItemPlan {
    /// Whether anything would be done.
    #[must_use]
    pub fn has_work(&self) -> bool {
        !(self.steps.is_empty() && self.due.is_empty())
    }

    /// Adds a step that changes the running system.
    pub fn live<S: Into<String>>(&mut self, step: Step, serves: impl IntoIterator<Item = S>) {
        self.add(step, Aspect::Live, serves);
    }

    /// Adds a step that changes what the next boot makes.
    pub fn boot<S: Into<String>>(&mut self, step: Step, serves: impl IntoIterator<Item = S>) {
        self.add(step, Aspect::Boot, serves);
    }

    fn add<S: Into<String>>(
        &mut self,
        step: Step,
        aspect: Aspect,
        serves: impl IntoIterator<Item = S>,
    ) {
        let serves = serves.into_iter().map(Into::into).collect();
        self.steps.push(PlannedStep {
            step,
            aspect,
            serves,
            seen: None,
        });
    }
}

/// The plan of a whole profile, or of one stage of it, in apply order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// One entry an item.
    pub items: Vec<ItemPlan>,
}

impl Plan {
    /// Plans the items of `stage`, or of all stages: each on the host as the steps planned before it
    /// would leave it. Reads only. An item that cannot be observed is Unknown and stops no other.
    pub fn make(host: &mut Host, items: &[Item], stage: Option<Stage>) -> Self {
        let mut plan = Self::default();
        for item in items
            .iter()
            .filter(|item| stage.is_none_or(|stage| item.stage() == stage))
        {
            host.read_for(Some(item.name()));
            let mut one = item.plan(host).unwrap_or_else(|error| unknown(&error));
            one.item = item.name();
            mask(&mut one, host, item.boots_by_systemd());
            leave_alone(&mut one, host);
            match host.spares_member() {
                Ok(Some(reason)) => spare(&mut one, reason),
                Ok(None) => {}
                Err(error) => {
                    one = ItemPlan {
                        item: item.name(),
                        ..unknown(&error)
                    }
                }
            }
            if let Err(error) = lay_over(host, &mut one, &plan) {
                one = ItemPlan {
                    item: item.name(),
                    ..unknown(&error)
                };
            }
            plan.items.push(one);
        }
        host.read_for(None);
        plan
    }

    /// Adds to what is planned for an item, or behind the others.
    pub fn join(&mut self, mut new: ItemPlan) {
        let Some(item) = self.items.iter_mut().find(|item| item.item == new.item) else {
            return self.items.push(new);
        };
        item.findings.append(&mut new.findings);
        item.steps.append(&mut new.steps);
        new.due.retain(|due| !item.due.contains(due));
        item.due.append(&mut new.due);
    }

    /// Whether anything would be done.
    #[must_use]
    pub fn has_work(&self) -> bool {
        self.items.iter().any(ItemPlan::has_work)
    }

    /// What would be due once after the steps.
    #[must_use]
    pub fn due(&self) -> Vec<Due> {
        let due: BTreeSet<&Due> = self.items.iter().flat_map(|item| &item.due).collect();
        once(due.into_iter().cloned())
    }

    /// Every step in order, with the item it belongs to.
    pub fn steps(&self) -> impl Iterator<Item = (&'static str, &PlannedStep)> {
        self.items
            .iter()
            .flat_map(|item| item.steps.iter().map(move |step| (item.item, step)))
    }
}

/// Of restarts of one unit only the last, which waits for the most.
pub(crate) fn once(due: impl Iterator<Item = Due>) -> Vec<Due> {
    let mut all: Vec<Due> = Vec::new();
    for due in due {
        all.retain(|other| !other.is_same_restart(&due));
        all.push(due);
    }
    all
}

/// The plan of what could not be observed.
pub(crate) fn unknown(error: &crate::error::Error) -> ItemPlan {
    let finding = Finding::new("item", State::unknown(error), State::unknown(error));
    ItemPlan {
        findings: vec![finding],
        ..ItemPlan::default()
    }
}

/// Takes away the aspect that this host does not have (an image has no running system, a container
/// without systemd no boot), findings and steps alike.
fn mask(plan: &mut ItemPlan, host: &Host, boots_by_systemd: bool) {
    if let Some(reason) = host.no_live() {
        plan.findings
            .iter_mut()
            .for_each(|f| f.live = State::not_applicable(reason));
        plan.steps.retain(|step| step.aspect != Aspect::Live);
        plan.due.clear();
    }
    if let Some(reason) = host.no_boot().filter(|_| boots_by_systemd) {
        plan.findings
            .iter_mut()
            .for_each(|f| f.boot = State::not_applicable(reason));
        plan.steps.retain(|step| step.aspect != Aspect::Boot);
        plan.due.clear();
    }
}

/// Completes an item's steps with the directories they need, refuses two owners of one file, and
/// lets the next item see the host as these steps would leave it.
fn lay_over(host: &mut Host, one: &mut ItemPlan, before: &Plan) -> Result<()> {
    let mut steps = Vec::with_capacity(one.steps.len());
    for mut planned in std::mem::take(&mut one.steps) {
        if let Some((other, path)) = owner_of(before, &planned.step) {
            return Err(crate::error::trouble!(
                "{} is written by [{other}] already: give one of the two another file name",
                path.display()
            ));
        }
        for path in missing_directories(host, &planned.step)? {
            let step = Step::MakeDirectory { path };
            host.lay_over(&step)?;
            steps.push(PlannedStep {
                step,
                ..planned.clone()
            });
        }
        if let Step::WriteFile { path, .. } = &planned.step {
            // What can't be read was not planned on, and the step will say so.
            planned.seen = host.bytes(path).ok().map(Option::unwrap_or_default);
        }
        host.lay_over(&planned.step)?;
        steps.push(planned);
    }
    one.steps = steps;
    Ok(())
}

fn owner_of<'a>(before: &'a Plan, step: &Step) -> Option<(&'static str, &'a PathBuf)> {
    let (Step::WriteFile {
        path,
        owner: Owner::Ours,
        ..
    }
    | Step::WriteLink { path, .. }
    | Step::RemoveFile { path }) = step
    else {
        return None;
    };
    before
        .steps()
        .find_map(|(item, planned)| match &planned.step {
            Step::WriteFile { path: other, .. } if other == path => Some((item, other)),
            _ => None,
        })
}

fn missing_directories(host: &Host, step: &Step) -> Result<Vec<PathBuf>> {
    let mut missing: Vec<PathBuf> = Vec::new();
    let paths: Vec<PathBuf> = match step {
        Step::Extract(extraction) => extraction.paths().collect(),
        step => step.file().map(Path::to_owned).into_iter().collect(),
    };
    for path in paths {
        let known = missing.len();
        for directory in path.ancestors().skip(1) {
            if missing.iter().any(|one| one == directory) || host.is_directory(directory)? {
                break;
            }
            missing.insert(known, directory.to_owned());
        }
    }
    Ok(missing)
}
