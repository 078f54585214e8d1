//! `check --output npd`: node-problem-detector runs a plugin every so often and makes a condition of
//! the node of its exit code, so that a cluster sees drift without anybody's credentials here.

use super::apply;
use super::args::{Cli, Target};
use crate::error::Result;
use crate::report::{Outcome, Report};

/// Exit codes as node-problem-detector knows them (its pkg/custompluginmonitor/types/types.go): OK, NonOK
/// and Unknown.
const WELL: u8 = 0;
const PROBLEM: u8 = 1;
const UNKNOWN: u8 = 2;
/// It cuts off what is longer, also in the middle of a character (`max_output_length`; its samples
/// have 80).
const LONGEST: usize = 80;

/// `check --output npd`: what can't be told is no problem of the node, but not known.
pub(super) fn check(cli: &Cli, target: &Target) -> Result<u8> {
    let (code, message) = match apply::report(cli, target, "check") {
        Ok(report) => verdict(&report),
        Err(error) => {
            // All of it, for the detector's log.
            super::tell(&error);
            (UNKNOWN, error.to_string())
        }
    };
    super::print(&(line(&message) + "\n"))?;
    Ok(code)
}

/// What is known to differ is a problem, whatever else is not known.
fn verdict(report: &Report) -> (u8, String) {
    let has = |outcomes: &[Outcome]| {
        let mut known = report.summary.keys();
        known.any(|outcome| outcomes.contains(outcome))
    };
    let code = match report.exit_code {
        0 => WELL,
        _ if has(&[Outcome::Differs, Outcome::Blocked]) => PROBLEM,
        1 => UNKNOWN,
        _ => PROBLEM,
    };
    (code, message(report))
}

/// `1 differs: sysctl net.ipv4.ip_forward, 41 in sync`: what is worst first.
fn message(report: &Report) -> String {
    let part = |(outcome, count): (&Outcome, &usize)| {
        let text = format!("{count} {}", outcome.words());
        let first = report.entries.iter().find(|one| one.outcome == *outcome);
        match first.filter(|_| *outcome > Outcome::NotApplicable) {
            Some(entry) => format!("{text}: {} {}", entry.item, entry.subject),
            None => text,
        }
    };
    // A difference is the reason for what waits for it, and counts for more than what is not known.
    let rank = |outcome: &Outcome| (*outcome == Outcome::Differs, *outcome);
    let mut counts: Vec<(&Outcome, &usize)> = report.summary.iter().collect();
    counts.sort_by_key(|(outcome, _)| std::cmp::Reverse(rank(outcome)));
    let trouble = report.trouble.iter().cloned();
    let parts: Vec<String> = trouble.chain(counts.into_iter().map(part)).collect();
    parts.join(", ")
}

/// One line, of characters that are whole.
fn line(message: &str) -> String {
    let plain = anstream::adapter::strip_str(message).to_string();
    let line = plain.lines().find(|line| !line.trim().is_empty());
    let line = line.unwrap_or("nothing to say").trim();
    let end = line.floor_char_boundary(LONGEST);
    line.get(..end).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::State;
    use crate::host::Facts;
    use crate::reconcile::Account;
    use crate::report::Entry;

    fn told(outcomes: &[Outcome], accept_reboot: bool) -> (u8, String) {
        let entry = |outcome: &Outcome| Entry {
            item: "sysctl",
            subject: "net.ipv4.ip_forward".into(),
            outcome: *outcome,
            live: State::InSync,
            boot: State::InSync,
            error: None,
        };
        let account = Account {
            entries: outcomes.iter().map(entry).collect(),
            ..Account::default()
        };
        verdict(&Report::new(
            "check",
            "p",
            Facts::default(),
            account,
            accept_reboot,
        ))
    }

    #[test]
    fn three_words_are_all_it_knows() {
        use Outcome::*;
        let is = |outcomes: &[Outcome]| told(outcomes, false);
        assert_eq!(is(&[]), (WELL, String::new()));
        assert_eq!(is(&[InSync, InSync]), (WELL, "2 in sync".into()));
        let first = "sysctl net.ipv4.ip_forward";
        let differs = format!("1 differs: {first}, 1 in sync");
        assert_eq!(is(&[InSync, Differs]), (PROBLEM, differs));
        let both = format!("1 differs: {first}, 1 unknown: {first}");
        assert_eq!(is(&[Differs, Unknown]), (PROBLEM, both));
        assert_eq!(is(&[Unknown]).0, UNKNOWN);
        assert_eq!(is(&[Blocked]).0, PROBLEM);
        assert_eq!(is(&[AfterReboot]).0, PROBLEM);
        assert_eq!(told(&[AfterReboot], true).0, WELL);
    }

    #[test]
    fn a_line_is_short() {
        assert_eq!(line(""), "nothing to say");
        assert_eq!(line("\u{1b}[1merror\u{1b}[0m: a\n  b"), "error: a");
        let long = line(&"→".repeat(50));
        assert_eq!(long, "→".repeat(26));
        assert_eq!(line(&"x".repeat(200)).len(), LONGEST);
    }
}
