//! What is told of a daemon: its words, its exit code, its dates, and that another process reads them.

use super::*;
use crate::daemon::Textfile;
use crate::finding::State;
use crate::report::Outcome;

pub(in crate::daemon) const SECOND: Duration = Duration::from_secs(1);

/// What a daemon knows, to be viewed.
#[derive(Debug, Default)]
pub(in crate::daemon) struct Known {
    pub settings: Settings,
    pub standing: Standing,
    pub patience: Patience,
    pub tally: Tally,
}

impl Known {
    pub fn with(subjects: &[(&str, Outcome)]) -> Self {
        let mut known = Self::default();
        let entry = |(subject, outcome): &(&str, Outcome)| Entry {
            item: "sysctl",
            subject: (*subject).into(),
            outcome: *outcome,
            live: match outcome {
                Outcome::InSync => State::InSync,
                _ => State::differs("0", "1", None),
            },
            boot: State::InSync,
            error: None,
        };
        let found: Vec<Entry> = subjects.iter().map(entry).collect();
        known.tally.looked(&found, true, None, 20 * SECOND);
        known.standing.update(&["sysctl"].into(), found);
        known
    }

    pub fn view(&self) -> View<'_> {
        View {
            profile: "site",
            hash: "0123",
            settings: &self.settings,
            asked: None,
            standing: &self.standing,
            patience: &self.patience,
            tally: &self.tally,
            held: None,
            bad: None,
            since: 10 * SECOND,
            now: 30 * SECOND,
            clock: Duration::from_secs(1_800_000_030),
        }
    }
}

#[test]
fn what_is_not_well_is_told_with_its_reason() {
    let mut known = Known::with(&[
        ("a", Outcome::InSync),
        ("b", Outcome::Differs),
        ("c", Outcome::Failed),
    ]);
    let subject = ("sysctl", "b".to_owned());
    known.patience.failed(&subject, false, 29 * SECOND);
    let status = known.view().status();
    assert_eq!(status.summary, "1 in sync · 2 differs: sysctl b");
    assert_eq!(status.since, "2027-01-15T08:00:10Z");
    assert_eq!(status.last_look.as_deref(), Some("2027-01-15T08:00:20Z"));
    let subjects: Vec<&str> = status.entries.iter().map(|one| &*one.subject).collect();
    assert_eq!((subjects, status.left_off), (vec!["b", "c"], 0));
    let left = status.left_alone.first().unwrap();
    assert_eq!((left.subject.as_str(), left.contested), ("b", false));
    assert_eq!(left.until, "2027-01-15T08:00:31Z");
    assert_eq!((status.looks, status.failed, status.exit_code), (1, 1, 2));
    let sysctl = status.items.first().unwrap();
    assert_eq!((sysctl.item, sysctl.mode), ("sysctl", Mode::Enforce));
    assert_eq!(sysctl.counts, status.counts);
}

#[test]
fn the_exit_code_is_that_of_a_check() {
    let code = |outcome| Known::with(&[("a", outcome)]).view().status().exit_code;
    assert_eq!(code(Outcome::InSync), 0);
    assert_eq!(code(Outcome::Fixed), 0);
    assert_eq!(code(Outcome::Unfixed), 2);
    assert_eq!(code(Outcome::Blocked), 2);
    assert_eq!(code(Outcome::AfterReboot), 3);
    assert_eq!(code(Outcome::Unknown), 1);
    assert_eq!(
        Known::default().view().status().exit_code,
        1,
        "nothing is known"
    );
    let known = Known::with(&[("a", Outcome::InSync)]);
    let view = View {
        bad: Some("\u{1b}[1merror\u{1b}[0m: no"),
        held: Some("paused"),
        ..known.view()
    };
    let status = view.status();
    assert_eq!(status.exit_code, 1);
    assert_eq!(status.bad_profile.as_deref(), Some("error: no"));
    assert_eq!(status.summary, "1 in sync · held: paused");
}

#[test]
fn an_answer_is_bounded_whatever_differs() {
    let names: Vec<String> = (0..700).map(|number| format!("net.{number}")).collect();
    let all: Vec<(&str, Outcome)> = names
        .iter()
        .map(|name| (&**name, Outcome::Differs))
        .collect();
    let status = Known::with(&all).view().status();
    assert_eq!((status.entries.len(), status.left_off), (500, 200));
}

#[test]
fn another_process_reads_what_one_tells() {
    let mut known = Known::with(&[("a", Outcome::Differs), ("b", Outcome::Unknown)]);
    known
        .patience
        .failed(&("sysctl", "a".into()), true, 29 * SECOND);
    let told = serde_json::to_string(&known.view().status()).unwrap();
    let read: Status<String> = serde_json::from_str(&told).unwrap();
    assert_eq!(serde_json::to_string(&read).unwrap(), told);
}

#[test]
fn clocks_that_are_wrong_are_told_as_they_are() {
    let known = Known::default();
    for (clock, expected) in [
        (Duration::ZERO, "1970-01-01T00:00:00Z"),
        (Duration::MAX, "9999-12-31T23:59:59Z"),
    ] {
        let view = View {
            clock,
            ..known.view()
        };
        assert_eq!(view.date(view.since), expected);
        assert!(!view.metrics().is_empty());
    }
}

#[test]
fn the_file_is_written_now_and_then() {
    let mut file = Textfile::default();
    assert_eq!(file.due(), Moment::MAX);
    file.changed();
    assert_eq!(file.due(), Moment::ZERO);
    file.written(100 * SECOND);
    assert_eq!(file.due(), Moment::MAX);
    file.changed();
    assert_eq!(file.due(), 115 * SECOND);
}
