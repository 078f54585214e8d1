//! When nothing is put right though it differs, and what is said of it.

use super::{Daemon, News};
use crate::error::Result;
use crate::items::Item;
use crate::reconcile::Account;
use crate::runs::Runs;
use crate::step::Step;

impl Daemon<'_> {
    /// Why this is not to be done now, though nobody else changes the host.
    pub(super) fn stands_against(&self, found: &Account) -> Result<Option<String>> {
        let runs = Runs::read(&self.host)?;
        let last = runs.0.last().map(|run| run.purpose().command);
        if let Some(command @ ("rollback" | "remove")) = last.as_deref() {
            return Ok(Some(format!(
                "the last run was `nodeprep {command}`: `nodeprep apply` begins anew"
            )));
        }
        let down = asks_systemd(found) && self.host.goes_down();
        Ok(down.then(|| "the system goes down".into()))
    }

    pub(super) fn hold(&mut self, items: &[Item], reason: String) {
        self.waiting.extend(items.iter().map(Item::name));
        // A pause's reason says what is left of it.
        let kind = |text: &str| text.split(' ').next().map(str::to_owned);
        let told = self.held.as_deref().and_then(kind);
        if told != kind(&reason) {
            self.tell(News::Held {
                reason: reason.clone(),
            });
        }
        self.held = Some(reason);
    }

    pub(super) fn resumed(&mut self) {
        if self.waiting.is_empty() && self.held.take().is_some() {
            self.tell(News::Resumed);
        }
    }
}

/// Whether units are started, stopped or read again, also by the scripts of packages.
pub(super) fn asks_systemd(found: &Account) -> bool {
    let is_of_kernel_or_file = |step: &Step| {
        matches!(
            step,
            Step::WriteFile { .. }
                | Step::RemoveFile { .. }
                | Step::MakeDirectory { .. }
                | Step::WriteKernel { .. }
                | Step::LoadModule { .. }
                | Step::SwapOff { .. }
        )
    };
    let mut steps = found.deeds.steps.iter().map(|step| &step.planned.step);
    !(found.deeds.due.is_empty() && steps.all(is_of_kernel_or_file))
}
