//! Arguments of the kernel's command line, wanted or not: the running kernel has them or not, and so
//! has every entry that the boot loader can start. The one way by which any item changes them.

use serde::Deserialize;

use crate::boot::cmdline;
use crate::boot::loader::edit::{Change, Place};
use crate::boot::loader::{self, Line};
use crate::error::Result;
use crate::finding::{Finding, Origin, State};
use crate::host::Host;
use crate::plan::ItemPlan;
use crate::step::{Owner, Step};

const REBOOT: &str = "the running kernel was started with other arguments";
const NO_LOADER: &str =
    "no boot loader's files are here: change it where this kernel is started from";

/// `name` or `name=value`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Argument(String);

impl Argument {
    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Argument {
    type Error = String;

    fn try_from(text: String) -> std::result::Result<Self, String> {
        // What neither a shell nor GRUB's own language reads as anything but itself.
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.=,:/@+%".contains(c);
        let named = text.starts_with(|c: char| c.is_ascii_alphanumeric());
        match named && text.chars().all(plain) {
            true => Ok(Self(text)),
            false => Err(format!(
                "\"{text}\" is no kernel argument: expected quiet, selinux=0 or alike, one by one"
            )),
        }
    }
}

/// What the host has.
#[derive(Debug)]
pub struct Arguments {
    running: Vec<(String, Option<String>)>,
    /// Those of each entry, and of the next menu's.
    pub lines: Vec<Line>,
    places: Vec<Place>,
    no_live: Option<&'static str>,
}

impl Arguments {
    /// Reads them.
    ///
    /// # Errors
    /// Where a file of the boot loader can't be read.
    pub fn read(host: &Host) -> Result<Self> {
        Ok(Self {
            running: cmdline::arguments(host)?,
            lines: loader::known(host)?,
            places: loader::places(host)?,
            no_live: host.no_live(),
        })
    }

    /// Adds what is found of each wanted and each unwanted argument, by its subject, and the steps.
    pub fn add(
        &self,
        with: Vec<(String, &Argument)>,
        without: Vec<(String, &Argument)>,
        plan: &mut ItemPlan,
    ) {
        let own = |all: &[(String, &Argument)]| all.iter().map(|(_, one)| one.0.clone()).collect();
        let change = Change {
            with: own(&with),
            without: own(&without),
        };
        let mut serves = Vec::new();
        let wanted = with.into_iter().map(|one| (true, one));
        for (is_wanted, (subject, argument)) in
            wanted.chain(without.into_iter().map(|one| (false, one)))
        {
            let (live, boot) = self.judge(&change, is_wanted, &argument.0);
            if matches!(boot, State::Differs { .. }) {
                serves.push(subject.clone());
            }
            plan.findings.push(Finding::new(subject, live, boot));
        }
        if !serves.is_empty() {
            self.steps(&change, &serves, plan);
        }
    }

    /// Adds the steps that make a change, for these subjects.
    pub fn steps(&self, change: &Change, serves: &[String], plan: &mut ItemPlan) {
        for place in &self.places {
            match place.edited(change) {
                Ok(text) if text == place.text => {}
                Ok(text) => {
                    let step = Step::WriteFile {
                        path: place.path.clone(),
                        content: text.into(),
                        owner: Owner::Shared,
                        access: None,
                    };
                    plan.boot(step, serves.iter().map(String::as_str));
                }
                Err(cause) => {
                    let ours = |finding: &&mut Finding| serves.contains(&finding.subject);
                    for finding in plan.findings.iter_mut().filter(ours) {
                        finding.boot = State::unknown(&cause);
                    }
                }
            }
        }
    }

    fn judge(&self, change: &Change, is_wanted: bool, argument: &str) -> (State, State) {
        let is_so = |line: &[(String, Option<String>)]| match is_wanted {
            true => change.has(line, argument),
            false => !line
                .iter()
                .any(|(key, value)| Change::forbids(argument, key, value.as_deref())),
        };
        let differs = |origin| match is_wanted {
            true => State::differs("absent", "present", origin),
            false => State::differs("present", "absent", origin),
        };
        let now = is_so(&self.running);
        let boot = match self.lines.iter().find(|line| !is_so(&pairs(line))) {
            Some(line) => differs(origin(line, is_wanted, argument)),
            None if !self.lines.is_empty() => State::InSync,
            // It will be started as it was.
            None if now && self.no_live.is_none() => State::InSync,
            None => differs(Some(Origin::Other(NO_LOADER.into()))),
        };
        let live = match (self.no_live, now) {
            (Some(reason), _) => State::not_applicable(reason),
            (None, true) => State::InSync,
            (None, false) if boot == State::InSync => State::AfterReboot {
                reason: REBOOT.into(),
            },
            (None, false) => differs(Some(Origin::Other("/proc/cmdline".into()))),
        };
        (live, boot)
    }
}

/// A line as names and values.
#[must_use]
pub fn pairs(line: &Line) -> Vec<(String, Option<String>)> {
    let pair = |argument: &loader::Argument| (argument.key.clone(), argument.value.clone());
    line.iter().map(pair).collect()
}

/// Where the argument is that should not be there; for one that is missing, where its line is.
fn origin(line: &Line, is_wanted: bool, argument: &str) -> Option<Origin> {
    let name = argument.split('=').next().unwrap_or_default();
    let same = line.iter().rev().find(|one| match is_wanted {
        true => one.key == name,
        false => Change::forbids(argument, &one.key, one.value.as_deref()),
    });
    same.or(line.first()).map(|one| one.origin.clone())
}
