//! From plan to report: perform stage by stage, do what is due once, plan again, judge. Taking back
//! goes the same way.

use std::time::Duration;

use crate::error::Result;
use crate::finding::{Finding, State};
use crate::host::{Host, Signals};
use crate::items::{Item, Stage};
use crate::journal::Purpose;
use crate::performer::{Deeds, Performer};
use crate::plan::{ItemPlan, Plan, PlannedStep};
use crate::profile::History;
use crate::report::{Entry, ReportedStep};
use crate::runs::{self, Runs};
use crate::step::Step;
use crate::undo::{self, Others};

/// What a run that was cut off is reported under, beside the items.
pub const JOURNAL: &str = "journal";

/// What a host is to be brought to.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The profile's name.
    pub profile: &'a str,
    /// Its items, or those of them that were asked for.
    pub items: &'a [Item],
    /// How much of the past is kept.
    pub history: History,
    /// After which time everything is taken back unless it is confirmed.
    pub confirm: Option<Duration>,
    /// Whether what was done for this profile and is no longer in it is taken back.
    pub takes_back: bool,
}

impl<'a> Wanted<'a> {
    /// A whole profile.
    #[must_use]
    pub fn whole(profile: &'a str, items: &'a [Item]) -> Self {
        Self {
            profile,
            items,
            history: History::default(),
            confirm: None,
            takes_back: true,
        }
    }
}

/// What a run found and did, or would do.
#[derive(Debug, Default)]
pub struct Account {
    /// The judged subjects.
    pub entries: Vec<Entry>,
    /// What was done or tried, or would be.
    pub deeds: Deeds,
    /// What may not come back exactly where things are taken back.
    pub reservations: Vec<String>,
}

/// Looks at the host, judges it as it is, and says what apply would do.
///
/// # Errors
/// Where the journals cannot be read.
pub fn check(host: &mut Host, wanted: &Wanted<'_>) -> Result<Account> {
    let runs = match host.may_read_journals() {
        true => Runs::read(host)?,
        false => Runs::default(),
    };
    let plan = plan(host, wanted, None, &runs);
    Ok(foretell(host, &plan))
}

/// A run that has acted and has still to look again.
#[derive(Debug)]
pub struct Done {
    before: Plan,
    deeds: Deeds,
    acted: bool,
}

/// Brings the host to what is wanted, and looks again.
///
/// # Errors
/// As [`perform`] and [`prove`].
pub fn apply(host: &mut Host, wanted: &Wanted<'_>, signals: &Signals) -> Result<Account> {
    let done = perform(host, wanted, signals)?;
    prove(host, wanted, done)
}

/// Brings the host to what is wanted: each stage planned on the host as the one before left it. Where
/// the journal cannot be written the run stops there.
///
/// # Errors
/// Where the journals of earlier runs cannot be read; then nothing was done.
pub fn perform(host: &mut Host, wanted: &Wanted<'_>, signals: &Signals) -> Result<Done> {
    host.refresh();
    let past = Runs::read(host)?;
    let finishes = clear(host, &past)?;
    let purpose = Purpose {
        command: "apply".into(),
        profile: wanted.profile.into(),
        finishes: finishes.clone(),
        ..Purpose::default()
    };
    let mut performer = Performer::new(purpose, signals);
    if let Some(time) = wanted.confirm {
        host.guard(performer.run(), time)?;
    }
    let mut before = Plan::default();
    for stage in stages(wanted.items) {
        if performer.deeds.any() {
            host.refresh();
        }
        let plan = plan(host, wanted, Some(stage), &past);
        if plan.has_work() {
            // What was laid over for planning must not be taken for what is there.
            host.refresh();
            performer.perform(host, &plan);
        }
        before.items.extend(plan.items);
    }
    performer.end(host);
    if wanted.confirm.is_some() {
        match performer.deeds.any() {
            true => host.restart_guard()?,
            false => host.dismiss_guard()?,
        }
    }
    let acted = performer.deeds.any() || finishes.is_some();
    if acted {
        host.refresh();
    }
    if acted && let Err(error) = runs::fold(host, wanted.history.runs) {
        performer.deeds.trouble.push(error.to_string());
    }
    Ok(Done {
        before,
        deeds: performer.deeds,
        acted,
    })
}

/// Plans everything once more and judges what was done by that.
///
/// # Errors
/// Where the journals cannot be read.
pub fn prove(host: &mut Host, wanted: &Wanted<'_>, done: Done) -> Result<Account> {
    let Done {
        before,
        mut deeds,
        acted,
    } = done;
    // Where nothing was done, nothing can have changed: the first look is the last.
    let after = if acted {
        host.refresh();
        let past = Runs::read(host)?;
        plan(host, wanted, None, &past)
    } else {
        before.clone()
    };
    if let Err(error) = host.remember_packages() {
        deeds.trouble.push(error.to_string());
    }
    Ok(account(&before, &after, deeds))
}

/// Says what taking back the runs from `first` on would do.
///
/// # Errors
/// Where a journal is damaged, or what is there cannot be read.
pub fn foresee_rollback(host: &mut Host, first: usize, others: Others) -> Result<Account> {
    let runs = Runs::read(host)?;
    let (plan, reservations) = taking_back(host, &runs, first, others)?;
    Ok(Account {
        reservations,
        ..foretell(host, &plan)
    })
}

/// Takes back what the runs from `first` on did, and looks again.
///
/// # Errors
/// As [`foresee_rollback`]; then nothing was taken back.
pub fn rollback(
    host: &mut Host,
    command: &str,
    first: usize,
    others: Others,
    signals: &Signals,
) -> Result<Account> {
    host.refresh();
    let runs = Runs::read(host)?;
    // Before it is planned: a directory that is left with half of ours in it would not be empty.
    let finishes = clear(host, &runs)?;
    host.refresh();
    let (before, reservations) = taking_back(host, &runs, first, others)?;
    let profile = runs.0.get(first).map(|run| run.purpose().profile);
    let purpose = Purpose {
        command: command.into(),
        profile: profile.unwrap_or_default(),
        finishes,
        ..Purpose::default()
    };
    let mut performer = Performer::new(purpose, signals);
    host.refresh();
    if before.has_work() {
        performer.perform(host, &before);
    }
    performer.end(host);
    host.refresh();
    let (after, _) = taking_back(host, &Runs::read(host)?, first, others)?;
    Ok(Account {
        reservations,
        ..account(&before, &after, performer.deeds)
    })
}

fn taking_back(
    host: &mut Host,
    runs: &Runs,
    first: usize,
    others: Others,
) -> Result<(Plan, Vec<String>)> {
    let unfinished = unfinished(host, runs);
    let runs = runs.from(first)?;
    let changes = undo::changes(runs);
    let mut plan = undo::plan(host, &changes, runs, others)?;
    // First, as once this run has begun only its own journal tells what is due.
    plan.items.splice(0..0, unfinished);
    Ok((plan, undo::reservations(&changes)))
}

/// The stages that have items, or one for what is only taken back.
fn stages(items: &[Item]) -> impl Iterator<Item = Stage> {
    let has = |stage: &Stage| items.iter().any(|item| item.stage() == *stage);
    let with_items = Stage::ALL.into_iter().filter(has);
    with_items.chain(items.is_empty().then_some(Stage::Configure))
}

/// The items' plan, with what an earlier run left to be finished before it, and what the profile no
/// longer wants taken back.
fn plan(host: &mut Host, wanted: &Wanted<'_>, stage: Option<Stage>, past: &Runs) -> Plan {
    let mut plan = Plan::default();
    let first = stage.is_none_or(|stage| stages(wanted.items).next() == Some(stage));
    if first && let Some(unfinished) = unfinished(host, past) {
        plan.items.push(unfinished);
    }
    let all = if first && wanted.takes_back {
        with_left(host, wanted, stage, past)
    } else {
        Ok(Plan::make(host, wanted.items, stage))
    };
    match all {
        Ok(all) => plan.items.extend(all.items),
        Err(error) => {
            plan.items.push(unknown(&error));
            plan.items
                .extend(Plan::make(host, wanted.items, stage).items);
        }
    }
    plan
}

fn with_left(
    host: &mut Host,
    wanted: &Wanted<'_>,
    stage: Option<Stage>,
    past: &Runs,
) -> Result<Plan> {
    let runs = past.from(0)?;
    let gone = undo::left::gone(runs, wanted);
    let mut plan = gone.before(host, runs)?;
    for item in Plan::make(host, wanted.items, stage).items {
        plan.join(item);
    }
    gone.add_parts(host, &mut plan, wanted.items, runs)?;
    Ok(plan)
}

/// What a run that was cut off still has to be done for it.
fn unfinished(host: &Host, runs: &Runs) -> Option<ItemPlan> {
    let run = runs.cut_off()?;
    let state = State::differs("cut off", "finished", None);
    match run.pending(host) {
        Err(error) => Some(unknown(&error)),
        Ok(due) => Some(ItemPlan {
            item: JOURNAL,
            findings: vec![Finding::new(
                format!("run {}", run.id),
                state,
                State::InSync,
            )],
            due,
            ..ItemPlan::default()
        }),
    }
}

fn unknown(error: &crate::error::Error) -> ItemPlan {
    ItemPlan {
        item: JOURNAL,
        ..crate::plan::unknown(error)
    }
}

/// Takes away what a run that was cut off left lying about, and names it.
fn clear(host: &Host, runs: &Runs) -> Result<Option<String>> {
    let Some(run) = runs.cut_off() else {
        return Ok(None);
    };
    let process = run.id.rsplit('-').next().unwrap_or_default();
    for did in run.steps().iter().filter(|did| did.ended.is_none()) {
        host.recover(did.step, did.prior, process)?;
    }
    Ok(Some(run.id.clone()))
}

fn foretell(host: &mut Host, plan: &Plan) -> Account {
    // A file's difference is against what is there, not against what is planned.
    host.refresh();
    let before = |step: &Step| step.file().and_then(|path| host.bytes(path).ok()?);
    let report = |(item, planned): (&'static str, &PlannedStep)| {
        let before = before(&planned.step).unwrap_or_default();
        ReportedStep::new(host, item, planned, &before)
    };
    Account {
        entries: Entry::found(plan),
        deeds: Deeds {
            steps: plan.steps().map(report).collect(),
            due: plan.due(),
            ..Deeds::default()
        },
        reservations: Vec::new(),
    }
}

fn account(before: &Plan, after: &Plan, deeds: Deeds) -> Account {
    Account {
        entries: Entry::judged(before, after, &deeds.failed),
        deeds,
        reservations: Vec::new(),
    }
}
