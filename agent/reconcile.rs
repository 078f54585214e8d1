//! From plan to report: perform stage by stage, do what is due once, plan again, judge.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::Result;
use crate::host::{Host, Signals};
use crate::items::{Item, Stage};
use crate::journal::Journal;
use crate::plan::{ItemPlan, Plan, PlannedStep};
use crate::report::Entry;
use crate::step::Due;

/// What one apply did.
#[derive(Debug, Default)]
pub struct Applied {
    /// The judged subjects.
    pub entries: Vec<Entry>,
    /// The steps that were done or tried, in order, with their items.
    pub steps: Vec<(&'static str, PlannedStep)>,
    /// Trouble that belongs to no subject: a daemon-reload that failed, a signal.
    pub trouble: Vec<String>,
}

/// Looks at the host and judges it as it is.
#[must_use]
pub fn check(host: &mut Host, items: &[Item]) -> (Vec<Entry>, Plan) {
    let plan = Plan::make(host, items, None);
    (Entry::found(&plan), plan)
}

/// Brings the host to what `items` want: each stage planned on the host as the one before left it,
/// everything planned again at the end.
///
/// # Errors
/// Where the journal cannot be written: then nothing was done that it does not hold.
pub fn apply(host: &mut Host, items: &[Item], profile: &str, signals: &Signals) -> Result<Applied> {
    let mut run = Run {
        journal: Journal::new(profile),
        signals,
        applied: Applied::default(),
        failed: BTreeMap::new(),
        stopped: false,
    };
    let mut before = Plan::default();
    for stage in Stage::ALL {
        host.refresh();
        let plan = Plan::make(host, items, Some(stage));
        if !run.stopped && plan.has_steps() {
            // What was laid over for planning must not be taken for what is there.
            host.refresh();
            run.stage(host, &plan)?;
        }
        before.items.extend(plan.items);
    }
    run.journal.end(host)?;
    let mut applied = run.applied;
    // Where nothing was done, nothing can have changed: the first look is the last.
    let after = if applied.steps.is_empty() {
        before.clone()
    } else {
        host.refresh();
        Plan::make(host, items, None)
    };
    applied.entries = Entry::judged(&before, &after, &run.failed);
    Ok(applied)
}

/// Failures of steps by item and subject.
pub type Failures = BTreeMap<(&'static str, String), String>;

struct Run<'a> {
    journal: Journal,
    signals: &'a Signals,
    applied: Applied,
    failed: Failures,
    stopped: bool,
}

impl Run<'_> {
    fn stage(&mut self, host: &Host, plan: &Plan) -> Result<()> {
        let mut due = BTreeSet::new();
        for item in plan.items.iter().filter(|item| !item.steps.is_empty()) {
            if self.item(host, item, &due)? {
                due.extend(item.due.iter().cloned());
            }
            if self.stopped {
                break;
            }
        }
        due.iter().try_for_each(|due| self.settle(host, due))
    }

    /// Does an item's steps; a failing one does not stop the others. Tells whether any was done.
    fn item(&mut self, host: &Host, item: &ItemPlan, noted: &BTreeSet<Due>) -> Result<bool> {
        for due in item.due.iter().filter(|due| !noted.contains(due)) {
            self.journal.due(host, due)?;
        }
        let mut any = false;
        for planned in &item.steps {
            any |= self.step(host, item.item, planned)?;
            if self.signals.came() {
                self.applied
                    .trouble
                    .push("stopped by a signal: run apply again for the rest".into());
                self.stopped = true;
                break;
            }
        }
        Ok(any)
    }

    fn step(&mut self, host: &Host, item: &'static str, planned: &PlannedStep) -> Result<bool> {
        let done = match host.prior(&planned.step) {
            Err(error) => Err(error),
            Ok(prior) => {
                let number = self.journal.step(host, item, &planned.step, prior)?;
                let done = host.perform(&planned.step);
                self.journal
                    .done(host, number, done.as_ref().err().map(ToString::to_string))?;
                done
            }
        };
        self.applied.steps.push((item, planned.clone()));
        if let Err(error) = &done {
            tracing::warn!("{}: {error}", planned.step);
            for subject in &planned.serves {
                self.failed
                    .entry((item, subject.clone()))
                    .or_insert_with(|| error.to_string());
            }
        }
        Ok(done.is_ok())
    }

    /// A second signal leaves what is due to the next run.
    fn settle(&mut self, host: &Host, due: &Due) -> Result<()> {
        if self.stopped && self.signals.came() {
            self.applied
                .trouble
                .push(format!("{due} is left to the next run"));
            return Ok(());
        }
        let done = host.settle(due);
        if let Err(error) = &done {
            self.applied.trouble.push(format!("{due}: {error}"));
        }
        self.journal
            .settled(host, due, done.err().map(|error| error.to_string()))
    }
}
