//! What holds for every item kind, the next one included: it is shipped, shown on captured hosts in
//! both states, explained, and does what its plan said, with an undo.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::panic,
    reason = "tests"
)]

#[path = "hosts/captured.rs"]
mod captured;

use std::collections::BTreeSet;
use std::path::Path;

use nodeprep::host::{Host, Signals};
use nodeprep::items::Item;
use nodeprep::journal::{self, Record};
use nodeprep::plan::{ItemPlan, Plan};
use nodeprep::reconcile::{self, Wanted};
use nodeprep::step::{Aspect, Step, Undo};

use captured::{Captured, profile};

/// Every captured host's plan, with the names to tell them apart.
fn plans() -> Vec<(String, Plan)> {
    let mut plans = Vec::new();
    for captured in Captured::all() {
        for name in captured.profiles() {
            let mut host = captured.host();
            let items = profile(&host, &name).items;
            let plan = Plan::make(&mut host, &items, None);
            plans.push((format!("{} {name}", captured.name), plan));
        }
    }
    plans
}

fn kinds(wanted: impl Fn(&ItemPlan) -> bool) -> BTreeSet<&'static str> {
    let plans = plans();
    let items = plans.iter().flat_map(|(_, plan)| &plan.items);
    items
        .filter(|item| wanted(item))
        .map(|item| item.item)
        .collect()
}

#[test]
fn every_kind_differs_somewhere_and_is_in_sync_somewhere() {
    let all: BTreeSet<_> = Item::NAMES.iter().copied().collect();
    let settled = |item: &ItemPlan| {
        let mut findings = item.findings.iter();
        findings.all(|finding| finding.live.is_settled() && finding.boot.is_settled())
    };
    assert_eq!(kinds(|_| true), all, "in a shipped profile");
    assert_eq!(kinds(settled), all, "in sync on a captured host");
    assert_eq!(
        kinds(|item| !item.steps.is_empty()),
        all,
        "with steps on a captured host"
    );
}

#[test]
fn every_kind_is_explained() {
    for name in Item::NAMES {
        let explain = Item::explain(name).unwrap();
        for text in [explain.why, explain.looks_at, explain.changes, explain.undo] {
            assert!(text.len() > 20, "{name}: {text}");
        }
    }
}

#[test]
fn every_step_serves_a_finding_and_says_how_it_is_undone() {
    for (what, plan) in plans() {
        for item in &plan.items {
            for step in &item.steps {
                let found = |subject: &String| item.findings.iter().any(|f| f.subject == *subject);
                assert!(
                    !step.serves.is_empty(),
                    "{what}: {} serves nothing",
                    step.step
                );
                assert!(step.serves.iter().all(found), "{what}: {}", step.step);
                match step.step.undo() {
                    Undo::Exact => {}
                    Undo::BestEffort(text) => assert!(text.len() > 20, "{what}: {text}"),
                }
            }
        }
    }
}

#[test]
fn no_step_changes_nothing() {
    for captured in Captured::all() {
        for name in captured.profiles() {
            let mut host = captured.host();
            let items = profile(&host, &name).items;
            let plan = Plan::make(&mut host, &items, None);
            host.refresh();
            for (item, planned) in plan.steps() {
                if let Step::WriteFile {
                    path,
                    content,
                    access: None,
                    ..
                } = &planned.step
                {
                    let before = host.bytes(path).unwrap();
                    let same = before.as_deref() == Some(content.as_slice());
                    assert!(!same, "{} {name}: {item}: {}", captured.name, planned.step);
                }
            }
        }
    }
}

#[test]
fn planned_is_performed() {
    for captured in Captured::all() {
        for name in captured.profiles() {
            let what = format!("{} {name}", captured.name);
            let (_dir, tree) = captured.copy();
            let mut image = Host::image(&tree).unwrap();
            let items = profile(&image, &name).items;
            let plan = Plan::make(&mut image, &items, None);
            let planned: Vec<_> = plan
                .steps()
                .map(|(item, step)| (item.to_owned(), step.step.clone()))
                .collect();
            assert!(
                plan.steps().all(|(_, step)| step.aspect == Aspect::Boot),
                "{what}"
            );

            // What was planned lies over the host until it is looked at anew.
            image.refresh();
            let signals = Signals::default();
            reconcile::apply(&mut image, &Wanted::whole(&name, &items), &signals).unwrap();
            assert_eq!(performed(&tree), planned, "{what}");
        }
    }
}

/// The steps a tree's journal holds, each of which ended well; none where there is no journal.
fn performed(tree: &Path) -> Vec<(String, Step)> {
    let mut steps = Vec::new();
    let Ok(journals) = std::fs::read_dir(tree.join("var/lib/nodeprep/journal")) else {
        return steps;
    };
    for entry in journals {
        let (records, damage) = journal::read(&std::fs::read(entry.unwrap().path()).unwrap());
        assert!(damage.is_none() && records.last() == Some(&Record::End));
        for record in records {
            match record {
                Record::Step { item, step, .. } => steps.push((item, step)),
                Record::Done {
                    error: Some(error), ..
                } => panic!("{error}"),
                _ => {}
            }
        }
    }
    steps
}
