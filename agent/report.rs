//! What a run says, and the one place its exit code comes from; human and json are views of it.

pub mod human;

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::finding::{Finding, State};
use crate::host::{Facts, Host};
use crate::performer::Failures;
use crate::plan::{Plan, PlannedStep};
use crate::reconcile::Account;
use crate::step::hidden;

/// Version of the json view; a change that could break a reader raises it.
pub const SCHEMA_VERSION: u32 = 1;

/// How a subject stands when all is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was and is as wanted.
    InSync,
    /// This run made it so.
    Fixed,
    /// This host can't have it.
    NotApplicable,
    /// As wanted after a reboot.
    AfterReboot,
    /// Waits for something else.
    Blocked,
    /// Not as wanted; only looked at.
    Differs,
    /// Still not as wanted after apply.
    Unfixed,
    /// Could not be told.
    Unknown,
    /// A step for it failed.
    Failed,
}

impl Outcome {
    /// As people are told.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::InSync => "in sync",
            Self::Fixed => "fixed",
            Self::NotApplicable => "not applicable",
            Self::AfterReboot => "after a reboot",
            Self::Blocked => "blocked",
            Self::Differs => "differs",
            Self::Unfixed => "unfixed",
            Self::Unknown => "unknown",
            Self::Failed => "failed",
        }
    }
}

/// The outcome of an aspect that was only looked at.
impl From<&State> for Outcome {
    fn from(state: &State) -> Self {
        match state {
            State::InSync => Self::InSync,
            State::NotApplicable { .. } => Self::NotApplicable,
            State::AfterReboot { .. } => Self::AfterReboot,
            State::Blocked { .. } => Self::Blocked,
            State::Differs { .. } => Self::Differs,
            State::Unknown { .. } => Self::Unknown,
        }
    }
}

/// One subject of one item, judged. What another process told has names of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry<Name = &'static str> {
    /// The item's section name.
    pub item: Name,
    /// The subject.
    pub subject: String,
    /// How it stands.
    pub outcome: Outcome,
    /// As it is now; for a fixed subject, as it was found.
    pub live: State,
    /// What the next boot makes; for a fixed subject, as it was found.
    pub boot: State,
    /// Why a step for it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Entry {
    /// Entries of a host that was only looked at.
    #[must_use]
    pub fn found(plan: &Plan) -> Vec<Self> {
        let findings = plan
            .items
            .iter()
            .flat_map(|item| item.findings.iter().map(|f| (item.item, f)));
        findings
            .map(|(item, finding)| Self::new(item, finding, worst(finding)))
            .collect()
    }

    /// Entries of a host that was changed: what was found before, what is found now, what failed.
    /// A subject that is gone afterwards (a swap area) was fixed by going.
    #[must_use]
    pub fn judged(before: &Plan, after: &Plan, failures: &Failures) -> Vec<Self> {
        let mut entries = Vec::new();
        for (was, is) in before
            .items
            .iter()
            .map(|was| (was, after.items.iter().find(|i| i.item == was.item)))
        {
            let now: &[Finding] = is.map_or(&[], |is| &is.findings);
            for finding in &was.findings {
                let after = now.iter().find(|now| now.subject == finding.subject);
                let error = failures.get(&(was.item, finding.subject.clone()));
                entries.push(Self::judge(was.item, finding, after, error));
            }
            for new in now
                .iter()
                .filter(|now| was.findings.iter().all(|f| f.subject != now.subject))
            {
                if !(new.live.is_settled() && new.boot.is_settled()) {
                    entries.push(Self::judge(was.item, new, Some(new), None));
                }
            }
        }
        entries
    }

    fn judge(
        item: &'static str,
        was: &Finding,
        is: Option<&Finding>,
        error: Option<&String>,
    ) -> Self {
        let now = is.map_or(Outcome::InSync, worst);
        let untold = worst(was) == Outcome::Unknown;
        let outcome = match (now, error) {
            // Nothing was planned for what could not be looked at: the cause is why.
            (Outcome::Differs, None) if untold => Outcome::Unknown,
            (Outcome::InSync, None) if untold && is.is_none() => Outcome::Unknown,
            (Outcome::InSync, Some(_)) => Outcome::Failed,
            (Outcome::InSync | Outcome::NotApplicable, _)
                if worst(was) > Outcome::NotApplicable =>
            {
                Outcome::Fixed
            }
            (Outcome::Differs, Some(_)) => Outcome::Failed,
            (Outcome::Differs, None) => Outcome::Unfixed,
            (now, _) => now,
        };
        let of_before = outcome == Outcome::Fixed || outcome == Outcome::Unknown && untold;
        let shown = if of_before { was } else { is.unwrap_or(was) };
        let error = error.filter(|_| outcome == Outcome::Failed).cloned();
        Self {
            error,
            ..Self::new(item, shown, outcome)
        }
    }

    fn new(item: &'static str, finding: &Finding, outcome: Outcome) -> Self {
        let (live, boot) = (finding.live.clone(), finding.boot.clone());
        Self {
            item,
            subject: finding.subject.clone(),
            outcome,
            live,
            boot,
            error: None,
        }
    }
}

/// The outcome of the aspect that stands worse.
fn worst(finding: &Finding) -> Outcome {
    match (Outcome::from(&finding.live), Outcome::from(&finding.boot)) {
        // One aspect that does not exist here says nothing about the other.
        (Outcome::NotApplicable, other) | (other, Outcome::NotApplicable) => other,
        (live, boot) => live.max(boot),
    }
}

/// A whole run.
#[derive(Debug, Serialize)]
pub struct Report {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// `check`, `plan` or `apply`.
    pub command: &'static str,
    /// The profile's name.
    pub profile: String,
    /// The host.
    pub host: Facts,
    /// UTC, RFC 3339, when the run ended.
    pub time: String,
    /// One entry a subject.
    pub entries: Vec<Entry>,
    /// What may not come back exactly where things are taken back: a line a subject.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reservations: Vec<String>,
    /// What would be done, or was.
    pub steps: Vec<ReportedStep>,
    /// What would be due once after the steps, or was: in words.
    pub due: Vec<String>,
    /// Trouble that belongs to no subject.
    pub trouble: Vec<String>,
    /// Numbers of entries by outcome.
    pub summary: Summary,
    /// What the process exits with.
    pub exit_code: u8,
}

impl Report {
    /// The report of a run that ends now.
    #[must_use]
    pub fn new(
        command: &'static str,
        profile: &str,
        host: Facts,
        account: Account,
        accept_reboot: bool,
    ) -> Self {
        let summary = summary(&account.entries);
        Self {
            schema_version: SCHEMA_VERSION,
            command,
            profile: profile.to_owned(),
            host,
            time: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
            exit_code: exit_code(&summary, &account.deeds.trouble, accept_reboot),
            entries: account.entries,
            reservations: account.reservations,
            steps: account.deeds.steps,
            due: account.deeds.due.iter().map(ToString::to_string).collect(),
            trouble: account.deeds.trouble,
            summary,
        }
    }
}

/// A step with its item.
#[derive(Debug, Clone, Serialize)]
pub struct ReportedStep {
    /// The item's section name.
    pub item: &'static str,
    /// In words.
    pub text: String,
    /// The step; a file's content only where everyone may read the file.
    #[serde(flatten)]
    pub planned: PlannedStep,
    /// The content of its file before, for the difference.
    #[serde(skip)]
    pub before: Vec<u8>,
    /// Whether not everyone may read its file: a report is passed on, so its content is not in it.
    #[serde(skip)]
    pub is_private: bool,
}

impl ReportedStep {
    /// A step of an item.
    #[must_use]
    pub fn new(host: &Host, item: &'static str, planned: &PlannedStep, before: &[u8]) -> Self {
        let is_private = host.is_private(&planned.step);
        let mut planned = planned.clone();
        let mut before = before.to_vec();
        if is_private {
            planned.step.hide_content();
            before = hidden(&before);
        }
        Self {
            item,
            text: planned.step.to_string(),
            planned,
            before,
            is_private,
        }
    }
}

/// How many entries there are of each outcome, in the order of [`Outcome`].
pub type Summary = std::collections::BTreeMap<Outcome, usize>;

/// Counts the entries.
pub(crate) fn summary<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Summary {
    let mut summary = Summary::new();
    for entry in entries {
        *summary.entry(entry.outcome).or_default() += 1;
    }
    summary
}

/// The exit code: 1 trouble, 2 differs, 3 after a reboot, 0 matches; the first that holds.
pub(crate) fn exit_code(summary: &Summary, trouble: &[String], accept_reboot: bool) -> u8 {
    let any = |outcomes: &[Outcome]| outcomes.iter().any(|outcome| summary.contains_key(outcome));
    if !trouble.is_empty() || any(&[Outcome::Failed, Outcome::Unknown]) {
        1
    } else if any(&[Outcome::Differs, Outcome::Unfixed, Outcome::Blocked]) {
        2
    } else if any(&[Outcome::AfterReboot]) && !accept_reboot {
        3
    } else {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::ItemPlan;

    fn plan(subject: &str, boot: State) -> Plan {
        let finding = Finding::new(subject, State::InSync, boot);
        let item = ItemPlan {
            item: "swap",
            findings: vec![finding],
            ..ItemPlan::default()
        };
        Plan { items: vec![item] }
    }

    #[test]
    fn what_could_not_be_looked_at_is_not_fixed() {
        let before = plan("item", State::unknown("/etc/fstab: Input/output error"));
        let after = plan("/dev/vda2", State::differs("on", "off", None));
        let entries = Entry::judged(&before, &after, &Failures::new());
        let outcomes: Vec<Outcome> = entries.iter().map(|entry| entry.outcome).collect();
        assert_eq!(outcomes, [Outcome::Unknown, Outcome::Unfixed]);
    }
}
