//! `history`: the runs that changed a host, and what each did.

use std::fmt::Write;

use serde::Serialize;

use super::apply::{host, root_only};
use super::args::{Cli, History, HistoryCommand, Output};
use crate::error::Result;
use crate::runs::{Did, Run, Runs};
use crate::step::{Step, Undo};

/// A run in a list.
#[derive(Serialize)]
struct Line<'a> {
    run: &'a str,
    time: &'a str,
    command: String,
    profile: String,
    steps: usize,
    failed: usize,
    state: String,
    bytes: usize,
}

/// A step of a run that is shown.
#[derive(Serialize)]
struct Shown<'a> {
    item: &'a str,
    text: String,
    #[serde(flatten)]
    step: Step,
    undo: Undo,
    /// `done`, `cut off`, or why it failed.
    ended: &'a str,
}

/// `history` and `history show`
pub(super) fn history(cli: &Cli, args: &History) -> Result<u8> {
    let root = args.root.as_deref();
    root_only("history", root)?;
    let runs = Runs::read(&host(root)?)?;
    match &args.show {
        None => list(cli, &runs),
        Some(HistoryCommand::Show { run }) => {
            let run = runs.0.get(runs.find(run)?);
            run.map_or(Ok(0), |run| show(cli, &runs, run))
        }
    }
}

fn list(cli: &Cli, runs: &Runs) -> Result<u8> {
    let lines: Vec<Line<'_>> = runs.0.iter().map(|run| line(runs, run)).collect();
    if matches!(cli.output, Output::Json) {
        return super::print_json(&lines);
    }
    let mut text = String::new();
    for line in &lines {
        // A String takes everything: writing to it does not fail.
        let _ = writeln!(text, "{}", sentence(line));
    }
    let bytes: usize = lines.iter().map(|line| line.bytes).sum();
    let _ = writeln!(text, "{} runs, {} KiB", lines.len(), bytes.div_ceil(1024));
    super::print(&text)
}

fn show(cli: &Cli, runs: &Runs, run: &Run) -> Result<u8> {
    let steps: Vec<Shown<'_>> = run.steps().into_iter().map(shown).collect();
    if matches!(cli.output, Output::Json) {
        return super::print_json(&steps);
    }
    let mut text = sentence(&line(runs, run)) + "\n";
    for (index, step) in steps.iter().enumerate() {
        let Shown { item, ended, .. } = step;
        let undo = match &step.undo {
            Undo::Exact => "exact undo".to_owned(),
            Undo::BestEffort(what) => format!("best effort: {what}"),
        };
        let _ = writeln!(
            text,
            "{:>4}. {}  ({item}) {ended}; {undo}",
            index + 1,
            step.text
        );
    }
    super::print(&text)
}

fn line<'a>(runs: &Runs, run: &'a Run) -> Line<'a> {
    let purpose = run.purpose();
    let steps = run.steps();
    let finished = runs.0.iter().find(|other| {
        let finishes = other.purpose().finishes;
        finishes.as_ref() == Some(&run.id)
    });
    let state = match (&run.damage, run.has_ended(), finished) {
        (Some(damage), ..) => damage.clone(),
        (None, true, _) => "complete".into(),
        (None, false, Some(other)) => format!("cut off, finished by {}", other.id),
        (None, false, None) => "cut off: the next apply finishes it".into(),
    };
    Line {
        run: &run.id,
        time: run.time(),
        command: purpose.command,
        profile: purpose.profile,
        steps: steps.len(),
        failed: steps
            .iter()
            .filter(|did| matches!(did.ended, Some(Err(_))))
            .count(),
        state,
        bytes: run.bytes,
    }
}

fn sentence(line: &Line<'_>) -> String {
    let failed = match line.failed {
        0 => String::new(),
        n => format!(", {n} failed"),
    };
    let steps = match line.steps {
        1 => "1 step".into(),
        n => format!("{n} steps"),
    };
    format!(
        "{}  {} {}: {steps}{failed}; {}; {} KiB",
        line.run,
        line.command,
        line.profile,
        line.state,
        line.bytes.div_ceil(1024)
    )
}

fn shown(did: Did<'_>) -> Shown<'_> {
    // Journals hold whole files, also those that not everyone may read.
    let mut step = did.step.clone();
    step.hide_content();
    Shown {
        item: did.item,
        text: did.step.to_string(),
        step,
        undo: did.step.undo(),
        ended: match did.ended {
            Some(Ok(())) => "done",
            Some(Err(error)) => error,
            None => "cut off",
        },
    }
}
