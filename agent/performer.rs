//! The one that does steps: what is not in the journal is not done, and what fails is said of the
//! subjects it was for.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::{Error, Result};
use crate::host::{Host, Prior, Signals};
use crate::journal::{Journal, Purpose};
use crate::plan::{ItemPlan, Plan, PlannedStep, once};
use crate::report::ReportedStep;
use crate::step::{Aspect, Due, Step};

/// Failures of steps by item and subject.
pub type Failures = BTreeMap<(&'static str, String), String>;

/// A step that was done, with what was there before.
#[derive(Debug)]
struct Done {
    item: &'static str,
    planned: PlannedStep,
    prior: Prior,
}

/// Does the steps of one run and keeps its journal.
#[derive(Debug)]
pub struct Performer<'a> {
    journal: Journal,
    signals: &'a Signals,
    /// What was done so far.
    pub deeds: Deeds,
    /// The steps of the stage that were done.
    done: Vec<Done>,
    /// Subjects of items whose files could not be written.
    unwritten: BTreeSet<(&'static str, String)>,
    /// Something due could not be done.
    owes: bool,
    stopped: bool,
}

/// What a run did, or would do.
#[derive(Debug, Default)]
pub struct Deeds {
    /// The steps that were done or tried, or would be, in order.
    pub steps: Vec<ReportedStep>,
    /// What was done or tried once after the steps, or would be, in order.
    pub due: Vec<Due>,
    /// Trouble that belongs to no subject: a daemon-reload that failed, a signal, a full disk.
    pub trouble: Vec<String>,
    /// What failed.
    pub failed: Failures,
}

impl Deeds {
    /// Whether the host may be another than before.
    #[must_use]
    pub fn any(&self) -> bool {
        !(self.steps.is_empty() && self.due.is_empty())
    }
}

impl<'a> Performer<'a> {
    /// A performer for one run.
    #[must_use]
    pub fn new(purpose: Purpose, signals: &'a Signals) -> Self {
        Self {
            journal: Journal::new(purpose),
            signals,
            deeds: Deeds::default(),
            done: Vec::new(),
            unwritten: BTreeSet::new(),
            owes: false,
            stopped: false,
        }
    }

    /// The run's name.
    #[must_use]
    pub fn run(&self) -> &str {
        self.journal.id()
    }

    /// Ends the run, unless it was stopped or something is due still: then the next one finishes it.
    pub fn end(&mut self, host: &Host) {
        if !self.stopped && !self.owes {
            let record = self.journal.end(host);
            self.written(record);
        }
    }

    /// Performs a plan: its steps, then what they made due. Where the journal cannot be written it
    /// stops there, and does no other.
    pub fn perform(&mut self, host: &Host, plan: &Plan) {
        if self.stopped {
            return;
        }
        let mut due = BTreeSet::new();
        self.done.clear();
        for item in plan.items.iter().filter(|item| item.has_work()) {
            if self.item(host, item, &due) {
                due.extend(item.due.iter().cloned());
            }
            if self.stopped {
                break;
            }
        }
        for due in &once(due.into_iter()) {
            if let Err(error) = self.settle(host, due) {
                self.put_back(host, plan, due, &error);
            }
        }
    }

    /// Does an item's steps; a failing one does not stop the others. Tells whether any was done,
    /// or none was to be.
    fn item(&mut self, host: &Host, item: &ItemPlan, noted: &BTreeSet<Due>) -> bool {
        for due in item.due.iter().filter(|due| !noted.contains(due)) {
            let of = (item.item != crate::reconcile::JOURNAL).then_some(item.item);
            let record = self.journal.due(host, of, due);
            if self.written(record).is_none() {
                return false;
            }
        }
        let mut any = item.steps.is_empty();
        for planned in &item.steps {
            if self.is_unwritten(item.item, planned) {
                continue;
            }
            any |= self.step(host, item.item, planned);
            if !self.stopped && self.signals.came() {
                self.stop("stopped by a signal: run apply again for the rest".into());
            }
            if self.stopped {
                break;
            }
        }
        any
    }

    /// Whether a file is only to add to another that could not be written, as one that outranks
    /// others does: the next run, that finds it there, would take the other for not needed.
    fn is_unwritten(&self, item: &'static str, planned: &PlannedStep) -> bool {
        let is = |subject: &String| self.unwritten.contains(&(item, subject.clone()));
        planned.aspect == Aspect::Boot && planned.serves.iter().all(is)
    }

    /// Does a step; tells whether it changed anything.
    fn step(&mut self, host: &Host, item: &'static str, planned: &PlannedStep) -> bool {
        let mut changed = false;
        let prior = host.prior(&planned.step);
        // Before it is done: what not everyone may read now is not shown, whoever may then.
        let before = prior.as_ref().map_or(&[][..], Prior::content);
        let reported = ReportedStep::new(host, item, planned, before);
        let done = match prior.and_then(|prior| planned.still_fits(&prior).map(|()| prior)) {
            Err(error) => Err(error),
            Ok(prior) => {
                let record = self.journal.step(host, item, planned, prior.clone());
                let Some(number) = self.written(record) else {
                    return false;
                };
                let done = host.perform(&planned.step, &prior);
                let left = host.packages_left(&planned.step, &prior);
                // A file has its new name even where that could then not be made durable.
                changed = done.is_ok() || host.prior(&planned.step).as_ref() != Ok(&prior);
                let error = done.as_ref().err().map(ToString::to_string);
                let record = self.journal.done(host, number, error, left);
                self.written(record);
                let planned = planned.clone();
                done.map(|()| {
                    self.done.push(Done {
                        item,
                        planned,
                        prior,
                    })
                })
            }
        };
        self.deeds.steps.push(reported);
        if let Err(error) = &done {
            self.failed(item, planned, error);
        }
        changed
    }

    fn failed(&mut self, item: &'static str, planned: &PlannedStep, error: &Error) {
        tracing::warn!("{}: {error}", planned.step);
        for subject in &planned.serves {
            let subject = (item, subject.clone());
            if planned.aspect == Aspect::Boot {
                self.unwritten.insert(subject.clone());
            }
            let failed = self.deeds.failed.entry(subject);
            failed.or_insert_with(|| error.to_string());
        }
    }

    /// A second signal leaves what is due to the next run.
    ///
    /// # Errors
    /// Where it was tried and failed.
    fn settle(&mut self, host: &Host, due: &Due) -> Result<()> {
        if self.stopped && self.signals.came() {
            self.stop(format!("{due} was not done: do it by hand"));
            return Ok(());
        }
        let done = host.settle(due);
        if !self.deeds.due.contains(due) {
            self.deeds.due.push(due.clone());
        }
        let error = done.as_ref().err().map(ToString::to_string);
        let record = self.journal.settled(host, due, error);
        self.written(record);
        done
    }

    /// A daemon that does not come back with what was written for it gets back what it had: the
    /// subjects have failed, the daemon runs. What else is due and failed is trouble.
    fn put_back(&mut self, host: &Host, plan: &Plan, due: &Due, error: &Error) {
        let asks = |name: &str| {
            let mut items = plan.items.iter().filter(|item| item.item == name);
            items.any(|item| {
                let mut dues = item.due.iter();
                dues.any(|other| other == due || other.is_same_restart(due))
            })
        };
        let is_its = |done: &Done| matches!(due, Due::Restart { .. }) && asks(done.item);
        let done = std::mem::take(&mut self.done).into_iter();
        let (its, others): (Vec<Done>, Vec<Done>) = done.partition(is_its);
        self.done = others;
        let mut any = false;
        for done in its.into_iter().rev() {
            any |= self.restore(host, done, error);
        }
        let text = if !any {
            format!("{due}: {error}")
        } else if let Err(error) = self.settle(host, due) {
            format!("{due}: {error} (with its old configuration)")
        } else {
            return;
        };
        self.deeds.trouble.push(text);
        self.owes = true;
    }

    /// Takes back a step that wrote a file, as a step of its own; tells whether it could.
    fn restore(&mut self, host: &Host, done: Done, error: &Error) -> bool {
        let Some(step) = restoring(&done.prior, &done.planned.step) else {
            return false;
        };
        let path = step.file().map(|path| path.display().to_string());
        let error = format!("{error}; {} is as it was", path.unwrap_or_default());
        let back = PlannedStep {
            seen: Some(done.planned.step.content().into()),
            step,
            ..done.planned
        };
        for subject in &back.serves {
            let failed = self.deeds.failed.entry((done.item, subject.clone()));
            failed.or_insert_with(|| error.clone());
        }
        self.step(host, done.item, &back)
    }

    /// Stops the run where the journal cannot be written: no step is done that it does not hold.
    fn written<T>(&mut self, record: Result<T>) -> Option<T> {
        record.map_err(|error| self.stop(error.to_string())).ok()
    }

    fn stop(&mut self, reason: String) {
        self.stopped = true;
        // The journal gives its reason each time it is asked.
        if !self.deeds.trouble.contains(&reason) {
            self.deeds.trouble.push(reason);
        }
    }
}

/// The step that gives a file its old content back, or takes it away where there was none.
fn restoring(prior: &Prior, step: &Step) -> Option<Step> {
    let (Step::WriteFile { path, .. } | Step::SetAccess { path, .. }) = step else {
        return None;
    };
    match prior {
        Prior::Access(access) => Some(Step::SetAccess {
            path: path.clone(),
            access: *access,
        }),
        Prior::Absent => Some(Step::RemoveFile { path: path.clone() }),
        Prior::File { path, file } => Some(Step::RestoreFile {
            path: path.clone(),
            file: file.clone(),
        }),
        _ => None,
    }
}
