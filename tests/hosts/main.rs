//! Captured hosts × shipped profiles against the expected plan: what a kernel 3.10 or a host with
//! everything against us needs is decided here, without one.
//!
//! `tests/hosts/HOST/tree` is the host, `tests/hosts/HOST/PROFILE.expected` the plan as people see
//! it and what is still not as wanted at boot after it was applied. UPDATE=1 rewrites the expected
//! files: read the difference before you commit it.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::panic,
    reason = "tests"
)]

mod captured;

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nodeprep::finding::State;
use nodeprep::host::{Host, Signals};
use nodeprep::items::Item;
use nodeprep::plan::Plan;
use nodeprep::reconcile::{self, Account, Wanted};
use nodeprep::report::human::{self, Detail};
use nodeprep::report::{Entry, Outcome, Report};
use nodeprep::step::Aspect;
use nodeprep::undo::Others;

use captured::{Captured, profile};

const SHOWN: Detail = Detail {
    all: true,
    diff: true,
    quiet: false,
};

#[test]
fn plans_are_as_expected() {
    let mut wrong = String::new();
    for captured in Captured::all() {
        for name in captured.profiles() {
            let found = planned(&captured, &name) + &left(&captured, &name);
            let path = captured.dir.join(format!("{name}.expected"));
            wrong += &compare(&path, &found);
        }
    }
    assert!(wrong.is_empty(), "UPDATE=1 rewrites\n{wrong}");
}

#[test]
fn an_image_is_done_in_one_apply() {
    for captured in Captured::all() {
        for name in captured.profiles() {
            let (_dir, tree) = captured.copy();
            let mut image = Host::image(&tree).unwrap();
            let items = profile(&image, &name).items;
            let mut apply = || {
                let signals = Signals::default();
                reconcile::apply(&mut image, &Wanted::whole(&name, &items), &signals).unwrap()
            };
            let what = format!("{} {name}", captured.name);
            assert_eq!(apply().deeds.trouble, [""; 0], "{what}");
            assert!(
                apply().deeds.steps.is_empty(),
                "{what}: the second apply did something"
            );
        }
    }
}

#[test]
fn what_an_image_got_is_taken_back() {
    for captured in Captured::all() {
        for name in captured.profiles() {
            let (_dir, tree) = captured.copy();
            let before = files(&tree);
            let mut image = Host::image(&tree).unwrap();
            let items = profile(&image, &name).items;
            let signals = Signals::default();
            let wanted = Wanted::whole(&name, &items);
            let done = reconcile::apply(&mut image, &wanted, &signals).unwrap();
            assert!(done.deeds.steps.is_empty() || files(&tree) != before);
            let what = format!("{} {name}", captured.name);
            if done.deeds.steps.is_empty() {
                continue;
            }
            let back = reconcile::rollback(&mut image, "rollback", 0, Others::Stay, &signals);
            let back = back.unwrap();
            assert_eq!(back.deeds.trouble, [""; 0], "{what}");
            let outcomes = back.entries.iter().filter(|e| e.outcome != Outcome::Fixed);
            assert_eq!(outcomes.collect::<Vec<_>>().len(), 0, "{what}: {back:?}");
            let after = files(&tree);
            let wrong = before
                .keys()
                .chain(after.keys())
                .find(|p| before.get(*p) != after.get(*p));
            assert_eq!(wrong, None, "{what}");
        }
    }
}

/// Every path of a tree but our own journals and what is above them, with mode and content or target.
fn files(tree: &Path) -> BTreeMap<PathBuf, (u32, Vec<u8>)> {
    let mut all = BTreeMap::new();
    let mut left = vec![tree.to_owned()];
    while let Some(directory) = left.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let meta = path.symlink_metadata().unwrap();
            if tree.join("var/lib/nodeprep").starts_with(&path) {
                left.extend((!path.ends_with("nodeprep")).then_some(path));
                continue;
            }
            let content = if meta.is_dir() {
                left.push(path.clone());
                Vec::new()
            } else if meta.is_symlink() {
                std::fs::read_link(&path)
                    .unwrap()
                    .into_os_string()
                    .into_vec()
            } else {
                std::fs::read(&path).unwrap()
            };
            all.insert(path, (meta.mode(), content));
        }
    }
    all
}

/// The plan for a host, as `nodeprep plan --diff -v` shows it.
fn planned(captured: &Captured, name: &str) -> String {
    let mut host = captured.host();
    let items = profile(&host, name).items;
    let account = reconcile::check(&mut host, &Wanted::whole(name, &items)).unwrap();
    render(&host, name, account)
}

/// What the boot of a copy is still not like after apply; its running system, which a tree does not
/// have, is left out. No step may be left.
fn left(captured: &Captured, name: &str) -> String {
    let (_dir, tree) = captured.copy();
    let mut host = Host::captured(&tree).unwrap();
    let items = profile(&host, name).items;
    let signals = Signals::default();
    reconcile::apply(&mut host, &Wanted::whole(name, &items), &signals).unwrap();
    host.refresh();
    let left = boot_only(&mut host, &items);
    assert_eq!(
        left.steps().collect::<Vec<_>>(),
        [],
        "{} {name}: apply left boot steps",
        captured.name
    );
    let entries = Entry::found(&left);
    let account = Account {
        entries,
        ..Account::default()
    };
    format!("\nat boot after apply:\n{}", render(&host, name, account))
}

fn boot_only(host: &mut Host, items: &[Item]) -> Plan {
    let mut plan = Plan::make(host, items, None);
    for item in &mut plan.items {
        item.steps.retain(|step| step.aspect == Aspect::Boot);
        item.findings.retain(|finding| !finding.boot.is_settled());
        for finding in &mut item.findings {
            finding.live = State::not_applicable("a tree");
        }
    }
    plan
}

fn render(host: &Host, name: &str, account: Account) -> String {
    let report = Report::new("plan", name, host.facts().unwrap(), account, false);
    anstream::adapter::strip_str(&human::render(&report, SHOWN)).to_string()
}

/// The difference as a unified diff; nothing where there is none, or where it was written down.
fn compare(path: &Path, found: &str) -> String {
    let expected = std::fs::read_to_string(path).unwrap_or_default();
    if expected == found {
        return String::new();
    }
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(path, found).unwrap();
        return String::new();
    }
    let name = path.display().to_string();
    let diff = similar::TextDiff::from_lines(expected.as_str(), found);
    diff.unified_diff().header(&name, "found").to_string()
}
