//! Hosts that are all in memory: a plan is made of files that an input gives, and must come true. What
//! is left of the host is an empty tree, so that nothing of this machine is read.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::rc::Rc;

use nodeprep::finding::{Origin, State};
use nodeprep::host::Host;
use nodeprep::items::Item;
use nodeprep::plan::{ItemPlan, Plan, PlannedStep};
use nodeprep::profile;
use nodeprep::step::{Aspect, Owner, Step};

/// A file and its text; a path with a final `/` is a directory, a text that begins with `-> ` a link.
pub type File = (&'static str, &'static str);

/// An item on a host.
#[derive(Debug)]
pub struct Case {
    /// Profiles; the length of an input chooses one.
    pub profiles: &'static [&'static str],
    /// The files that the parts of an input stand for, in order; those without a part are not there.
    pub fuzzed: &'static [&'static str],
    /// The files that are always there.
    pub fixed: &'static [File],
    /// What of a file that is edited must stay.
    pub keeps: Keeps,
    /// Files, by how their paths begin, in which some refusals are left to who wrote them there.
    pub theirs: &'static [&'static str],
}

/// What an edit may do to a file that others write too.
#[derive(Debug, Clone, Copy)]
pub enum Keeps {
    /// Add bytes, take none away.
    Everything,
    /// Change the lines that this is true of.
    Lines(fn(&[u8]) -> bool),
    /// What the item's own tests tell: its format knows no lines.
    Tested,
}

thread_local! {
    static ITEMS: RefCell<HashMap<&'static str, Rc<Vec<Item>>>> = RefCell::default();
    static EMPTY: tempfile::TempDir = tempfile::tempdir().unwrap();
}

impl Case {
    /// Plans for the host that an input makes, and again for the host that the plan makes of it: no
    /// step for the boot may be left, and what the first one's were for must be as wanted.
    pub fn settles(&self, input: &[u8]) {
        let items = self.items(input.len());
        let mut host = self.host(input);
        let plan = Plan::make(&mut host, &items, None);
        drop(format!("{:?}", plan.due()));
        self.keeps_foreign_bytes(input, &plan);
        let again = Plan::make(&mut host, &items, None);
        for (one, other) in plan.items.iter().zip(&again.items) {
            let boot = |plan: &ItemPlan| -> Vec<_> {
                let steps = plan.steps.iter().filter(|step| step.aspect == Aspect::Boot);
                steps.cloned().collect()
            };
            let (steps, left) = (boot(one), boot(other));
            assert!(
                left.is_empty(),
                "a second plan has work:{}\nfirst:{}",
                shown(&left),
                shown(&steps)
            );
            let served: BTreeSet<&String> = steps.iter().flat_map(|step| &step.serves).collect();
            for finding in &other.findings {
                let is_served = served.contains(&finding.subject);
                assert!(
                    !is_served || self.is_helped(&finding.boot, &steps),
                    "a step did not help {}: {:?}{}",
                    finding.subject,
                    finding.boot,
                    shown(&steps)
                );
            }
        }
    }

    /// The host: what is fixed and what the input gives.
    pub fn host(&self, input: &[u8]) -> Host {
        let mut host = EMPTY.with(|dir| Host::captured(dir.path()).unwrap());
        let mut lay = |step: Step| host.lay_over(&step).unwrap();
        lay(file(
            "/answers.json",
            br#"{"facts":{"node_ip":"192.0.2.7"},"cri":{}}"#,
        ));
        lay(directory("/run/systemd/system"));
        for (path, text) in self.fixed {
            lay(match (path.strip_suffix('/'), text.strip_prefix("-> ")) {
                (Some(path), _) => directory(path),
                (None, Some(target)) => link(path, target),
                (None, None) => file(path, text.as_bytes()),
            });
        }
        for (path, part) in self.fuzzed.iter().zip(super::parts(input)) {
            lay(file(path, part));
        }
        host
    }

    /// The items of the profile that an input's length chooses.
    pub fn items(&self, choice: usize) -> Rc<Vec<Item>> {
        let text = self.profiles[choice % self.profiles.len()];
        ITEMS.with_borrow_mut(|known| {
            known
                .entry(text)
                .or_insert_with(|| Rc::new(load(text)))
                .clone()
        })
    }

    /// Whether a subject is as wanted, or what it is not by is none of the files that were written.
    fn is_helped(&self, state: &State, steps: &[PlannedStep]) -> bool {
        let is_theirs = |path: &Path| {
            let path = path.to_string_lossy();
            self.theirs.iter().any(|begin| path.starts_with(begin))
        };
        let written: Vec<_> = steps.iter().filter_map(|one| one.step.file()).collect();
        let wrote = |path: &Path| written.contains(&path) && !is_theirs(path);
        match state {
            State::Differs {
                origin: Some(Origin::File { path, .. }),
                ..
            } => !wrote(path),
            State::Differs { origin, .. } => origin.is_some(),
            _ => true,
        }
    }

    fn keeps_foreign_bytes(&self, input: &[u8], plan: &Plan) {
        for (_, planned) in plan.steps() {
            let Step::WriteFile {
                path,
                content,
                owner,
                ..
            } = &planned.step
            else {
                continue;
            };
            let found = self
                .fuzzed
                .iter()
                .zip(super::parts(input))
                .find(|(old, _)| Path::new(old) == path);
            let (Some((_, old)), Keeps::Everything | Keeps::Lines(_)) = (found, self.keeps) else {
                continue;
            };
            assert!(
                content.len() < 4 * old.len() + 100_000,
                "{} is blown up",
                path.display()
            );
            let kept = match self.keeps {
                Keeps::Lines(ours) => is_within(&foreign(old, ours), &foreign(content, ours)),
                _ => is_within(old, content),
            };
            let texts = [old, content].map(|text| text.escape_ascii().to_string());
            assert!(
                kept,
                "{} {owner:?} lost foreign bytes:\n{}\n{}",
                path.display(),
                texts[0],
                texts[1]
            );
        }
    }
}

/// The items of a profile.
fn load(text: &str) -> Vec<Item> {
    let text = format!("schema = \"v1alpha1\"\n{text}");
    let mut read = |_: &Path| Ok(text.clone().into_bytes());
    let facts = || Ok(serde_json::Value::Object(serde_json::Map::new()));
    let resolved = profile::load("fuzz.toml", &[], &mut read, &facts).unwrap();
    let sections = resolved.sections();
    sections
        .map(|(key, node)| Item::from_section(&key.name, node).unwrap().unwrap())
        .collect()
}

pub fn file(path: &str, content: &[u8]) -> Step {
    Step::write(path, content, Owner::Shared)
}

fn directory(path: &str) -> Step {
    Step::MakeDirectory { path: path.into() }
}

fn link(path: &str, target: &str) -> Step {
    Step::WriteLink {
        path: path.into(),
        target: target.into(),
    }
}

/// The lines that are not ours, nor joined to the one before by its final `\\`; the last may get an end.
fn foreign(text: &[u8], ours: fn(&[u8]) -> bool) -> Vec<&[u8]> {
    let mut joined = false;
    let lines = text.split(|byte| *byte == b'\n');
    let lines = lines.filter(|line| {
        let follows = std::mem::replace(&mut joined, line.trim_ascii_end().ends_with(b"\\"));
        !follows && !line.is_empty() && !ours(line)
    });
    lines.collect()
}

/// Whether all of one list is in the other in its order.
fn is_within<T: PartialEq>(old: &[T], new: &[T]) -> bool {
    let mut new = new.iter();
    old.iter().all(|one| new.any(|other| other == one))
}

/// Steps as people read them, with what they write.
fn shown(steps: &[PlannedStep]) -> String {
    let one = |planned: &PlannedStep| match &planned.step {
        Step::WriteFile { path, content, .. } => {
            let content = String::from_utf8_lossy(content).into_owned();
            format!("\n{}: {:?}\n{content:?}", path.display(), planned.serves)
        }
        step => format!("\n{step}: {:?}", planned.serves),
    };
    steps.iter().map(one).collect()
}
