//! What left the profile: a key, module, port or file that an earlier run with this profile did
//! something for, and that it no longer names, goes back to what was there before.

use std::path::Path;

use super::change::{Change, What, changes};
use super::{Others, judge};
use crate::error::Result;
use crate::finding::{Finding, Origin, State};
use crate::host::Host;
use crate::items::Item;
use crate::items::ports::rule;
use crate::plan::{ItemPlan, Plan};
use crate::reconcile::Wanted;
use crate::runs::{Run, Runs};

/// Adds to a plan what takes back what the profile no longer wants.
///
/// # Errors
/// Where a journal is damaged, or what is there cannot be read.
pub fn add(host: &mut Host, plan: &mut Plan, wanted: &Wanted<'_>, runs: &Runs) -> Result<()> {
    let runs = runs.from(0)?;
    let mut whole = Vec::new();
    let ours = |change: &Change| change.profile == wanted.profile;
    for change in changes(runs).into_iter().filter(ours) {
        let item = wanted.items.iter().find(|item| item.name() == change.item);
        let gone = unwanted(item, &change);
        match (item, &change.what) {
            _ if gone.is_empty() => {}
            (Some(item), What::Path { path, .. }) if gone.len() < change.serves.len() => {
                in_part(host, plan, item, &change, path, &gone, runs)?;
            }
            (_, What::Rules(tool, lines)) if gone.len() < change.serves.len() => {
                let of = |opening: &String| rule::removals(*tool, lines, opening);
                whole.extend(
                    gone.iter()
                        .map(of)
                        .filter(|lines| !lines.is_empty())
                        .map(|lines| Change {
                            what: What::Rules(*tool, lines),
                            ..change.clone()
                        }),
                );
            }
            _ if gone.len() < change.serves.len() => {}
            _ => whole.push(change),
        }
    }
    let back = super::plan(host, &whole, runs, Others::Stay)?;
    for mut one in back.items {
        for finding in &mut one.findings {
            name_the_reason(&mut finding.live);
            name_the_reason(&mut finding.boot);
        }
        join(plan, one);
    }
    Ok(())
}

/// The subjects a change served that are no longer wanted.
fn unwanted(item: Option<&Item>, change: &Change) -> Vec<String> {
    let is_wanted = |subject: &&String| {
        item.is_some_and(|item| match &change.what {
            What::Path { path, .. } => item.wants_file(path) && item.wants(subject),
            _ => item.wants(subject),
        })
    };
    let gone = change.serves.iter().filter(|subject| !is_wanted(subject));
    gone.cloned().collect()
}

/// A file that also serves subjects that stay: it gets back what it had, and from that on what the
/// item still wants.
fn in_part(
    host: &mut Host,
    plan: &mut Plan,
    item: &Item,
    change: &Change,
    path: &Path,
    gone: &[String],
    runs: &[Run],
) -> Result<()> {
    let What::Path { before, left, .. } = &change.what else {
        return Ok(());
    };
    let now = host.found(path)?;
    let mut new = ItemPlan {
        item: item.name(),
        ..ItemPlan::default()
    };
    let mut state = State::Blocked {
        reason: "the file was changed since: take it out by hand".into(),
    };
    if left.is_there(&now, before) {
        let back = judge::back(path, before, left);
        host.lay_over(&back)?;
        let mut again = item.plan(host)?;
        again
            .steps
            .retain(|planned| planned.step.file() == Some(path));
        let content = again
            .steps
            .last()
            .map_or(before.content(), |p| p.step.content());
        if content == now.content() {
            return Ok(());
        }
        state = State::differs("as nodeprep left it", "as it was", None);
        name_the_reason(&mut state);
        new.boot(back, gone.iter().map(|subject| named(subject, path)));
        for planned in again.steps {
            host.lay_over(&planned.step)?;
            new.steps.push(planned);
        }
        new.due = super::dues(host, runs, item.name());
    }
    let finding =
        |subject: &String| Finding::new(named(subject, path), State::InSync, state.clone());
    new.findings = gone.iter().map(finding).collect();
    // What the item planned for the file was for the file as it is.
    for planned in plan.items.iter_mut().filter(|other| other.item == new.item) {
        planned
            .steps
            .retain(|planned| planned.step.file() != Some(path) || new.steps.is_empty());
    }
    join(plan, new);
    Ok(())
}

fn named(subject: &str, path: &Path) -> String {
    format!("{subject} in {}", path.display())
}

/// Adds to an item's plan, or behind the others.
fn join(plan: &mut Plan, mut new: ItemPlan) {
    match plan.items.iter_mut().find(|item| item.item == new.item) {
        None => plan.items.push(new),
        Some(item) => {
            item.findings.append(&mut new.findings);
            item.steps.append(&mut new.steps);
            new.due.retain(|due| !item.due.contains(due));
            item.due.append(&mut new.due);
        }
    }
}

fn name_the_reason(state: &mut State) {
    if let State::Differs { origin, .. } = state {
        *origin = Some(Origin::Other("no longer in the profile".into()));
    }
}
