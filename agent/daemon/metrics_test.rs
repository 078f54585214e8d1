//! Each metric by its line, and that no name of a profile breaks one.

use super::super::status::tests::{Known, SECOND};
use super::*;
use proptest::prelude::*;

/// The lines of one metric.
fn lines<'a>(page: &'a str, name: &str) -> Vec<&'a str> {
    let is_it = |line: &&str| {
        let rest = line
            .strip_prefix("nodeprep_")
            .and_then(|line| line.strip_prefix(name));
        rest.is_some_and(|rest| rest.starts_with([' ', '{']))
    };
    page.lines().filter(is_it).collect()
}

#[test]
fn each_number_has_its_line() {
    let mut known = Known::with(&[("a", Outcome::Differs), ("b", Outcome::InSync)]);
    for second in 21..26 {
        known
            .patience
            .fixed(&("sysctl", "a".into()), &[].into(), second * SECOND);
    }
    let page = known.view().metrics();
    assert_eq!(
        lines(&page, "profile_info"),
        ["nodeprep_profile_info{name=\"site\",hash=\"0123\"} 1"]
    );
    assert_eq!(
        lines(&page, "subjects"),
        [
            "nodeprep_subjects{item=\"sysctl\",outcome=\"in_sync\"} 1",
            "nodeprep_subjects{item=\"sysctl\",outcome=\"not_applicable\"} 0",
            "nodeprep_subjects{item=\"sysctl\",outcome=\"after_reboot\"} 0",
            "nodeprep_subjects{item=\"sysctl\",outcome=\"blocked\"} 0",
            "nodeprep_subjects{item=\"sysctl\",outcome=\"differs\"} 1",
            "nodeprep_subjects{item=\"sysctl\",outcome=\"unknown\"} 0",
        ]
    );
    for line in [
        "nodeprep_subject_states{item=\"sysctl\",aspect=\"live\",state=\"differs\"} 1",
        "nodeprep_subject_states{item=\"sysctl\",aspect=\"boot\",state=\"in_sync\"} 2",
        "nodeprep_contested 1",
        "nodeprep_looks_total 1",
        "nodeprep_fixed_total 0",
        "nodeprep_failed_total 0",
        "nodeprep_last_look_timestamp_seconds 1800000020",
        "nodeprep_reaction_seconds_bucket{le=\"0.001\"} 0",
        "nodeprep_reaction_seconds_bucket{le=\"60\"} 0",
        "nodeprep_reaction_seconds_bucket{le=\"+Inf\"} 0",
        "nodeprep_reaction_seconds_count 0",
        "# TYPE nodeprep_reaction_seconds histogram",
        "# TYPE nodeprep_looks_total counter",
    ] {
        assert!(page.lines().any(|one| one == line), "{line}:\n{page}");
    }
}

#[test]
fn labels_are_what_reports_call_them() {
    for (outcome, label) in OUTCOMES {
        assert_eq!(serde_json::to_value(outcome).unwrap(), label);
    }
}

proptest! {
    #[test]
    fn no_name_breaks_a_line(name in any::<String>()) {
        let known = Known::default();
        let view = View { profile: &name, ..known.view() };
        let page = view.metrics();
        let line = lines(&page, "profile_info").concat();
        let value = line.strip_prefix("nodeprep_profile_info{name=\"");
        let value = value.and_then(|rest| rest.strip_suffix("\",hash=\"0123\"} 1")).unwrap();
        let back = value.replace("\\\\", "\u{0}").replace("\\\"", "\"").replace("\\n", "\n");
        prop_assert_eq!(back.replace('\u{0}', "\\"), name.replace('\u{0}', "\\"));
    }
}
