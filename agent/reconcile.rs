//! From plan to report: perform stage by stage, do what is due once, plan again, judge.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::{Error, Result};
use crate::host::{Host, Prior, Signals};
use crate::items::{Item, Stage};
use crate::journal::Journal;
use crate::plan::{ItemPlan, Plan, PlannedStep};
use crate::report::{Entry, ReportedStep};
use crate::step::{Due, Step};

/// What a run found and did, or would do.
#[derive(Debug, Default)]
pub struct Account {
    /// The judged subjects.
    pub entries: Vec<Entry>,
    /// The steps that were done or tried, or would be, in order.
    pub steps: Vec<ReportedStep>,
    /// What was done or tried once after the steps, or would be, in order.
    pub due: Vec<Due>,
    /// Trouble that belongs to no subject: a daemon-reload that failed, a signal, a full disk.
    pub trouble: Vec<String>,
}

impl Account {
    /// Whether the host may be another than before.
    fn did_any(&self) -> bool {
        !(self.steps.is_empty() && self.due.is_empty())
    }
}

/// Looks at the host, judges it as it is, and says what apply would do.
#[must_use]
pub fn check(host: &mut Host, items: &[Item]) -> Account {
    let plan = Plan::make(host, items, None);
    // A file's difference is against what is there, not against what is planned.
    host.refresh();
    let before = |step: &Step| step.file().and_then(|path| host.bytes(path).ok()?);
    let report = |(item, planned): (&'static str, &PlannedStep)| {
        let before = before(&planned.step).unwrap_or_default();
        ReportedStep::new(item, planned, before.to_vec())
    };
    Account {
        entries: Entry::found(&plan),
        steps: plan.steps().map(report).collect(),
        due: plan.due(),
        trouble: Vec::new(),
    }
}

/// Brings the host to what `items` want: each stage planned on the host as the one before left it,
/// everything planned again at the end. Where the journal cannot be written the run stops there.
pub fn apply(host: &mut Host, items: &[Item], profile: &str, signals: &Signals) -> Account {
    let mut run = Run {
        journal: Journal::new(profile),
        signals,
        account: Account::default(),
        failed: BTreeMap::new(),
        done: Vec::new(),
        stopped: false,
    };
    let mut before = Plan::default();
    host.refresh();
    for stage in Stage::ALL {
        if run.account.did_any() {
            host.refresh();
        }
        let plan = Plan::make(host, items, Some(stage));
        if !run.stopped && plan.has_work() {
            // What was laid over for planning must not be taken for what is there.
            host.refresh();
            run.stage(host, &plan);
        }
        before.items.extend(plan.items);
    }
    if !run.stopped {
        let record = run.journal.end(host);
        run.written(record);
    }
    let mut account = run.account;
    // Where nothing was done, nothing can have changed: the first look is the last.
    let after = if account.did_any() {
        host.refresh();
        Plan::make(host, items, None)
    } else {
        before.clone()
    };
    account.entries = Entry::judged(&before, &after, &run.failed);
    account
}

/// Failures of steps by item and subject.
pub type Failures = BTreeMap<(&'static str, String), String>;

/// A step that was done, with what was there before.
struct Done {
    item: &'static str,
    planned: PlannedStep,
    prior: Prior,
}

struct Run<'a> {
    journal: Journal,
    signals: &'a Signals,
    account: Account,
    failed: Failures,
    /// The steps of the stage that were done.
    done: Vec<Done>,
    stopped: bool,
}

impl Run<'_> {
    fn stage(&mut self, host: &Host, plan: &Plan) {
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
        for due in &due {
            if let Err(error) = self.settle(host, due) {
                self.put_back(host, plan, due, &error);
            }
        }
    }

    /// Does an item's steps; a failing one does not stop the others. Tells whether any was done,
    /// or none was to be.
    fn item(&mut self, host: &Host, item: &ItemPlan, noted: &BTreeSet<Due>) -> bool {
        for due in item.due.iter().filter(|due| !noted.contains(due)) {
            let record = self.journal.due(host, due);
            if self.written(record).is_none() {
                return false;
            }
        }
        let mut any = item.steps.is_empty();
        for planned in &item.steps {
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

    fn step(&mut self, host: &Host, item: &'static str, planned: &PlannedStep) -> bool {
        let mut before = Vec::new();
        let done = match host.prior(&planned.step) {
            Err(error) => Err(error),
            Ok(prior) => {
                before.extend_from_slice(prior.content());
                let record = self.journal.step(host, item, &planned.step, prior.clone());
                let Some(number) = self.written(record) else {
                    return false;
                };
                let done = host.perform(&planned.step);
                let error = done.as_ref().err().map(ToString::to_string);
                let record = self.journal.done(host, number, error);
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
        self.account
            .steps
            .push(ReportedStep::new(item, planned, before));
        if let Err(error) = &done {
            tracing::warn!("{}: {error}", planned.step);
            for subject in &planned.serves {
                self.failed
                    .entry((item, subject.clone()))
                    .or_insert_with(|| error.to_string());
            }
        }
        done.is_ok()
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
        if !self.account.due.contains(due) {
            self.account.due.push(due.clone());
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
            items.any(|item| item.due.contains(due))
        };
        let is_its = |done: &Done| matches!(due, Due::Restart { .. }) && asks(done.item);
        let done = std::mem::take(&mut self.done).into_iter();
        let (its, others): (Vec<Done>, Vec<Done>) = done.partition(is_its);
        self.done = others;
        let mut any = false;
        for done in its.into_iter().rev() {
            any |= self.restore(host, done, error);
        }
        if !any {
            self.account.trouble.push(format!("{due}: {error}"));
        } else if let Err(error) = self.settle(host, due) {
            let text = format!("{due}: {error} (with its old configuration)");
            self.account.trouble.push(text);
        }
    }

    /// Takes back a step that wrote a file, as a step of its own; tells whether it could.
    fn restore(&mut self, host: &Host, done: Done, error: &Error) -> bool {
        let Some(step) = done.prior.restore(&done.planned.step) else {
            return false;
        };
        let path = step.file().map(|path| path.display().to_string());
        let error = format!("{error}; {} is as it was", path.unwrap_or_default());
        let back = PlannedStep {
            step,
            ..done.planned
        };
        for subject in &back.serves {
            let failed = self.failed.entry((done.item, subject.clone()));
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
        if !self.account.trouble.contains(&reason) {
            self.account.trouble.push(reason);
        }
    }
}
