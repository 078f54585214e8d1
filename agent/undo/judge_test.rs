//! Packages against what runs left of them: what someone else did since is theirs.

use super::super::{Change, Others, What, plan};
use crate::finding::State;
use crate::host::Host;
use crate::step::{Manager, Package, Standing};

fn standing(text: &str) -> Standing {
    let mut words = text.split(' ');
    Standing {
        version: words.next().filter(|word| *word != "-").map(str::to_owned),
        held: text.contains("held"),
        automatic: text.contains("automatic"),
    }
}

fn change(before: &str, left: Option<&str>, dependency: bool) -> Change {
    let before = standing(before);
    let before = Package {
        name: "kubelet".into(),
        version: before.version,
        held: before.held,
        dependency,
        left: left.map(standing),
    };
    let serves = vec!["kubelet".to_owned()];
    Change {
        item: "packages",
        profiles: vec!["p".into()],
        items: vec!["packages"],
        serves,
        what: What::Package {
            manager: Manager::Apt,
            before,
            wait: 1,
        },
    }
}

#[allow(clippy::disallowed_methods, reason = "tests")]
fn host(now: &str) -> (tempfile::TempDir, Host) {
    let top = tempfile::tempdir().unwrap();
    let write = |path: &str, text: String| {
        let path = top.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    let now = standing(now);
    let want = if now.held { "hold" } else { "install" };
    let version = now.version.unwrap_or_default();
    let there = match version.is_empty() {
        true => "Package: other\nStatus: install ok installed\nVersion: 1\n".into(),
        false => format!("Package: kubelet\nStatus: {want} ok installed\nVersion: {version}\n"),
    };
    write("var/lib/dpkg/status", there);
    let mark = u8::from(now.automatic);
    write(
        "var/lib/apt/extended_states",
        format!("Package: kubelet\nArchitecture: all\nAuto-Installed: {mark}\n"),
    );
    let host = Host::captured(top.path()).unwrap();
    (top, host)
}

fn judged(change: &Change, now: &str, others: Others) -> String {
    let (_top, mut host) = host(now);
    let plan = plan(&mut host, std::slice::from_ref(change), &[], others).unwrap();
    let Some(item) = plan.items.first() else {
        return "back".into();
    };
    match &item.findings[0].live {
        State::Blocked { reason } => reason.clone(),
        _ => item.steps[0].step.to_string(),
    }
}

/// As it was, as it was left, whether it came along, as it is now, and what is told or done.
type Case = (
    &'static str,
    Option<&'static str>,
    bool,
    &'static str,
    &'static str,
);

const CASES: [Case; 14] = [
    ("-", Some("1.30"), false, "1.30", "packages: remove kubelet"),
    ("-", Some("1.30"), false, "-", "back"),
    (
        "-",
        Some("1.30"),
        false,
        "1.31",
        "changed since, to 1.31: it stays",
    ),
    (
        "-",
        Some("1.30 held"),
        false,
        "1.30",
        "changed since, to 1.30: it stays",
    ),
    (
        "-",
        Some("1.30"),
        false,
        "1.30 held",
        "changed since, to 1.30, held: it stays",
    ),
    (
        "1.29",
        Some("1.30"),
        false,
        "1.30",
        "packages: install kubelet (= 1.29)",
    ),
    (
        "1.29 held",
        Some("1.30"),
        false,
        "1.29",
        "changed since, to 1.29: it stays",
    ),
    (
        "1.29",
        Some("1.30"),
        false,
        "-",
        "changed since, to not installed: it stays",
    ),
    (
        "1.29",
        Some("1.29 held"),
        false,
        "1.29 held",
        "packages: release kubelet",
    ),
    (
        "1.29",
        Some("-"),
        false,
        "-",
        "packages: install kubelet (= 1.29)",
    ),
    (
        "-",
        Some("1.30 automatic"),
        true,
        "1.30 automatic",
        "packages: remove kubelet",
    ),
    (
        "-",
        Some("1.30 automatic"),
        true,
        "1.30",
        "someone has asked for it since: it stays",
    ),
    ("1.29", Some("1.30"), true, "1.30", "back"),
    // A journal of before this was written down, or a run that was cut off.
    ("-", None, false, "1.31", "packages: remove kubelet"),
];

#[test]
fn what_others_did_with_a_package_since_is_theirs() {
    for (before, left, dependency, now, expected) in CASES {
        let change = change(before, left, dependency);
        let told = judged(&change, now, Others::Stay);
        assert!(
            told.starts_with(expected),
            "{before} {left:?} {now}: {told}"
        );
    }
    let upgraded = change("-", Some("1.30"), false);
    let forced = judged(&upgraded, "1.31", Others::Go);
    assert_eq!(forced, "packages: remove kubelet");
}
