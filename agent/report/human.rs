//! The report for people: a line an item, a line for each subject that is not as wanted.

use std::fmt::{self, Write};

use anstyle::{AnsiColor, Style};

use super::{Entry, Outcome, Report, ReportedStep};
use crate::finding::State;
use crate::step::Step;

/// How much is said.
#[derive(Debug, Clone, Copy, Default)]
pub struct Detail {
    /// Also subjects that are in sync, or that this host can't have.
    pub all: bool,
    /// Also the differences of files.
    pub diff: bool,
    /// Only the summary line.
    pub quiet: bool,
}

/// The report as text; colours are for the printer to strip.
#[must_use]
pub fn render(report: &Report, detail: Detail) -> String {
    let mut text = String::new();
    // A String takes everything: writing to it does not fail.
    let _ = write(&mut text, report, detail);
    text
}

fn write(text: &mut String, report: &Report, detail: Detail) -> fmt::Result {
    if !detail.quiet {
        for reservation in &report.reservations {
            writeln!(text, "best effort: {reservation}")?;
        }
        items(text, report, detail)?;
        steps(text, report, detail)?;
    }
    for trouble in &report.trouble {
        writeln!(text, "{} {trouble}", mark(Outcome::Failed))?;
    }
    summary(text, report)
}

fn items(text: &mut String, report: &Report, detail: Detail) -> fmt::Result {
    let mut names: Vec<&str> = Vec::new();
    for entry in &report.entries {
        if !names.contains(&entry.item) {
            names.push(entry.item);
        }
    }
    for name in names {
        let entries: Vec<&Entry> = report
            .entries
            .iter()
            .filter(|entry| entry.item == name)
            .collect();
        let outcomes = || entries.iter().map(|entry| entry.outcome);
        let applicable = outcomes().filter(|outcome| *outcome != Outcome::NotApplicable);
        let worst = applicable.max().unwrap_or(Outcome::NotApplicable);
        writeln!(text, "{} {name:<10} {}", mark(worst), counts(outcomes()))?;
        let quiet = [Outcome::InSync, Outcome::NotApplicable];
        let told = |entry: &&&Entry| detail.all || !quiet.contains(&entry.outcome);
        for entry in entries.iter().filter(told) {
            subject(text, entry)?;
        }
    }
    Ok(())
}

fn subject(text: &mut String, entry: &Entry) -> fmt::Result {
    let Entry {
        subject,
        outcome,
        live,
        boot,
        error,
        ..
    } = entry;
    if live.is_settled() && boot.is_settled() {
        let why = match (live, boot) {
            (State::NotApplicable { reason }, _) | (_, State::NotApplicable { reason })
                if *outcome == Outcome::NotApplicable =>
            {
                format!("  {reason}")
            }
            _ => String::new(),
        };
        return writeln!(text, "    {} {subject}{why}", mark(*outcome));
    }
    writeln!(text, "    {} {subject}", mark(*outcome))?;
    if live == boot {
        aspect(text, "live, boot", live)?;
    } else {
        aspect(text, "live", live)?;
        aspect(text, "boot", boot)?;
    }
    match error {
        Some(error) => writeln!(text, "        {error}"),
        None => Ok(()),
    }
}

fn aspect(text: &mut String, name: &str, state: &State) -> fmt::Result {
    match state {
        State::InSync | State::NotApplicable { .. } => Ok(()),
        State::Differs {
            from,
            to,
            origin: None,
        } => writeln!(text, "        {name}: {from} → {to}"),
        State::Differs {
            from,
            to,
            origin: Some(origin),
        } => {
            let dim = Style::new().dimmed();
            writeln!(
                text,
                "        {name}: {from} → {to}  {dim}({origin}){dim:#}"
            )
        }
        State::AfterReboot { reason } => writeln!(text, "        {name}: after a reboot: {reason}"),
        State::Unknown { reason } => writeln!(text, "        {name}: not known: {reason}"),
        State::Blocked { reason } => writeln!(text, "        {name}: blocked: {reason}"),
    }
}

fn steps(text: &mut String, report: &Report, detail: Detail) -> fmt::Result {
    let title = match report.command {
        "plan" => "would do:",
        // What apply did stands above as what was fixed.
        "apply" | "rollback" | "remove" if detail.all || detail.diff => "done:",
        _ => return Ok(()),
    };
    if report.steps.is_empty() && report.due.is_empty() {
        return Ok(());
    }
    writeln!(text, "{title}")?;
    for (index, step) in report.steps.iter().enumerate() {
        writeln!(text, "{:>4}. {}  ({})", index + 1, step.text, step.item)?;
        if detail.diff {
            difference(text, step)?;
        }
    }
    for due in &report.due {
        writeln!(text, "   then {due}")?;
    }
    Ok(())
}

/// How the step's file changes, if it writes one.
fn difference(text: &mut String, step: &ReportedStep) -> fmt::Result {
    let planned = &step.planned.step;
    let (Step::WriteFile { path, .. } | Step::RestoreFile { path, .. }) = planned else {
        return Ok(());
    };
    let (before, after) = (
        String::from_utf8_lossy(&step.before),
        String::from_utf8_lossy(planned.content()),
    );
    if step.is_private {
        return writeln!(text, "      from {before} to {after}");
    }
    let name = path.display().to_string();
    let diff = similar::TextDiff::from_lines(&*before, &*after);
    write!(text, "{}", diff.unified_diff().header(&name, &name))
}

fn summary(text: &mut String, report: &Report) -> fmt::Result {
    let all = report.entries.iter().map(|entry| entry.outcome);
    let host = report.host.hostname.as_deref().unwrap_or("image");
    writeln!(
        text,
        "{}: {host} against {}: {}",
        report.command,
        report.profile,
        counts(all)
    )
}

/// `42 in sync, 3 fixed, 1 after a reboot`
fn counts(outcomes: impl Iterator<Item = Outcome>) -> String {
    let mut numbers = std::collections::BTreeMap::new();
    for outcome in outcomes {
        *numbers.entry(outcome).or_insert(0usize) += 1;
    }
    let parts: Vec<String> = numbers
        .iter()
        .map(|(outcome, n)| format!("{n} {}", outcome.words()))
        .collect();
    parts.join(", ")
}

/// A sign that reads without colour, with one.
#[must_use]
pub fn mark(outcome: Outcome) -> String {
    let (sign, color) = match outcome {
        Outcome::InSync => ("ok", AnsiColor::Green),
        Outcome::Fixed => ("ok", AnsiColor::Cyan),
        Outcome::NotApplicable => ("--", AnsiColor::BrightBlack),
        Outcome::AfterReboot | Outcome::Blocked => ("..", AnsiColor::Yellow),
        Outcome::Differs | Outcome::Unfixed => ("!=", AnsiColor::Yellow),
        Outcome::Unknown => ("??", AnsiColor::Red),
        Outcome::Failed => ("XX", AnsiColor::Red),
    };
    let style = color.on_default();
    format!("{style}{sign}{style:#}")
}
