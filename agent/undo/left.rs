//! What left the profile: a key, module, port or file that an earlier run with this profile did
//! something for, and that it no longer names, goes back to what was there before.

use std::path::Path;

use super::{Change, What, changes};
use super::{Others, judge};
use crate::error::Result;
use crate::finding::{Finding, Origin, State};
use crate::host::Host;
use crate::items::Item;
use crate::items::ports::rule;
use crate::plan::{ItemPlan, Plan, PlannedStep};
use crate::reconcile::Wanted;
use crate::runs::Run;

/// What left: changes that go wholly, and files that also serve subjects that stay.
#[derive(Debug, Default)]
pub struct Gone {
    whole: Vec<Change>,
    in_part: Vec<(Change, Vec<String>)>,
}

/// What this profile's runs did and it no longer wants.
#[must_use]
pub fn gone(runs: &[Run], wanted: &Wanted<'_>) -> Gone {
    let mut all = Gone::default();
    for change in changes(runs) {
        let item = wanted.items.iter().find(|item| item.name() == change.item);
        let gone = unwanted(item, &change, wanted.profile);
        let stays = gone.len() < change.serves.len();
        let alone = change.served(change.item, wanted.profile).count() == change.serves.len();
        match &change.what {
            _ if gone.is_empty() => {}
            What::Path { .. } if stays && alone => all.in_part.push((change, gone)),
            What::Rules(tool, lines) if stays => {
                let of = |opening: &String| rule::removals(*tool, lines, opening);
                let parts = gone.iter().map(of).filter(|lines| !lines.is_empty());
                all.whole.extend(parts.map(|lines| Change {
                    what: What::Rules(*tool, lines),
                    ..change.clone()
                }));
            }
            // What still serves another stays, and a file in which other profiles or items have lines.
            _ if stays => {}
            _ => all.whole.push(change),
        }
    }
    all
}

impl Gone {
    /// The plan for what goes wholly; the items are planned on what it leaves.
    ///
    /// # Errors
    /// Where what is there cannot be read.
    pub fn before(&self, host: &mut Host, runs: &[Run]) -> Result<Plan> {
        let mut plan = super::plan(host, &self.whole, runs, Others::Stay)?;
        for finding in plan.items.iter_mut().flat_map(|one| &mut one.findings) {
            name_the_reason(&mut finding.live);
            name_the_reason(&mut finding.boot);
        }
        Ok(plan)
    }

    /// Adds to the items' plan what goes from files that stay.
    ///
    /// # Errors
    /// Where what is there cannot be read.
    pub fn add_parts(
        &self,
        host: &mut Host,
        plan: &mut Plan,
        items: &[Item],
        runs: &[Run],
    ) -> Result<()> {
        for (change, gone) in &self.in_part {
            let item = items.iter().find(|item| item.name() == change.item);
            if let (Some(item), What::Path { path, .. }) = (item, &change.what) {
                in_part(host, plan, item, change, path, gone, runs)?;
            }
        }
        Ok(())
    }
}

/// The subjects a change served for this profile that it no longer wants.
fn unwanted(item: Option<&Item>, change: &Change, profile: &str) -> Vec<String> {
    let is_wanted = |subject: &&String| {
        item.is_some_and(|item| match &change.what {
            What::Path { path, .. } => item.wants_file(path) && item.wants(subject),
            _ => item.wants(subject),
        })
    };
    let gone = change.served(change.item, profile);
    gone.filter(|subject| !is_wanted(subject))
        .cloned()
        .collect()
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
    for one in plan.items.iter_mut().filter(|one| one.item == new.item) {
        let other = |planned: &PlannedStep| planned.step.file() != Some(path);
        one.steps
            .retain(|planned| new.steps.is_empty() || other(planned));
    }
    plan.join(new);
    Ok(())
}

fn named(subject: &str, path: &Path) -> String {
    format!("{subject} in {}", path.display())
}

fn name_the_reason(state: &mut State) {
    if let State::Differs { origin, .. } = state {
        *origin = Some(Origin::Other("no longer in the profile".into()));
    }
}
