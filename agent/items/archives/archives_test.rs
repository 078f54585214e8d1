//! Which files are taken out again, and what a section cannot mean.

use super::*;

const SUM: &str = "AB12ab12ab12ab12ab12ab12ab12ab12ab12ab12ab12ab12ab12ab12ab12ab12";

fn section(text: &str) -> std::result::Result<Archives, String> {
    toml::from_str(text).map_err(|error: toml::de::Error| error.to_string())
}

fn cni(further: &str) -> String {
    format!(
        "[cni]\nsource = \"file:///srv/cni.tgz\"\nsha256 = \"{SUM}\"\nversion = \"v1.4.1\"\n\
         into = \"/opt/cni/bin\"\n{further}"
    )
}

fn diff(files: &[Extracted], is_there: bool) -> ItemPlan {
    let archives = section(&cni("members = [\"bridge\", \"loopback\"]")).unwrap();
    let archives_seen = vec![(is_there, files.to_vec())];
    archives.diff(&Observed {
        archives: archives_seen,
    })
}

#[test]
fn only_what_is_not_as_it_was_is_taken_out() {
    let plan = diff(&[Extracted::InPlace, Extracted::Other], true);
    let steps: Vec<String> = plan.steps.iter().map(|p| p.step.to_string()).collect();
    assert_eq!(
        steps,
        ["extract loopback from /srv/cni.tgz to /opt/cni/bin"]
    );
    let to = State::differs("of another archive", "of cni v1.4.1", None);
    let found: Vec<&State> = plan.findings.iter().map(|f| &f.boot).collect();
    assert_eq!(found, [&State::InSync, &to]);
    let step = &plan.steps.first().unwrap().step;
    let text = serde_json::to_string(step).unwrap();
    assert!(text.contains(&SUM.to_ascii_lowercase()), "{text}");
    assert_eq!(serde_json::from_str::<Step>(&text).unwrap(), *step);
}

#[test]
fn an_archive_that_is_gone_is_missed_only_where_it_is_needed() {
    let in_place = diff(&[Extracted::InPlace; 2], false);
    assert!(in_place.findings.iter().all(|f| f.boot.is_settled()) && in_place.steps.is_empty());
    for file in [
        Extracted::Absent,
        Extracted::Changed,
        Extracted::Foreign,
        Extracted::NoFile,
    ] {
        let plan = diff(&[Extracted::InPlace, file], false);
        let last = &plan.findings.last().unwrap().live;
        assert!(matches!(last, State::Blocked { .. }), "{last:?}");
        assert!(plan.steps.is_empty());
    }
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let members = "members = [\"a\"]";
    let with = |from: &str, to: &str| cni(members).replace(from, to);
    let twice = format!(
        "{}\n{}",
        cni(members),
        cni(members).replace("[cni]", "[cri]")
    );
    for (text, told) in [
        (cni(""), "members"),
        (cni("members = []"), "no members"),
        (cni("members = [\"../a\"]"), "is no member"),
        (cni("members = [\"/a\"]"), "is no member"),
        (cni("members = [\"./a\"]"), "is no member"),
        (cni("members = [\"\"]"), "is no member"),
        (with("file:///", "https://"), "nothing is downloaded"),
        (with("file:///", ""), "absolute path"),
        (with(SUM, "ab12"), "no SHA-256"),
        (with("v1.4.1", "v 1"), "no version"),
        (with("/opt/cni/bin", "opt"), "absolute path"),
        (with("/opt/cni/bin", "/proc"), "the kernel's"),
        (with("version", "verzion"), "verzion"),
        (twice, "in both cni and cri"),
    ] {
        let error = section(&text).unwrap_err();
        assert!(error.contains(told), "{text}: {error}");
    }
}

#[test]
fn subjects_are_the_files() {
    let archives = section(&cni("members = [\"bridge\"]")).unwrap();
    assert!(archives.wants("/opt/cni/bin/bridge") && !archives.wants("/opt/cni/bin/vlan"));
    assert!(Archives::hurts_member("/opt/cni/bin/bridge"));
    assert!(Archives::hurts_member("/usr/local/sbin/runc"));
    assert!(!Archives::hurts_member("/usr/local/bin/crictl"));
}
