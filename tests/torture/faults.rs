//! Which faults are put where, and what is expected of each.

use std::path::Path;
use std::time::Instant;

use nix::errno::Errno;

use crate::case::{Case, Deed, Placed};
use crate::machine::Host;
use crate::program;
use crate::state::State;
use crate::trace::{Call, Fault, Moment, Ran};

/// Of the faults at calls that change something a sample takes one in so many, and of the others: what
/// those leave is what the change before them left. No multiple of how many faults a call gets, so that
/// a sample has of every sort.
const OF_KILLS: (usize, usize) = (3, 31);
/// The same of errors.
const OF_ERRORS: (usize, usize) = (11, 61);
/// Of the kills of a first run one in so many is followed by each kill of a second.
const TWICE: usize = 7;
/// After so many faults a trial says how far it is: one of every call takes its time.
const OFTEN: usize = 500;
/// Failures told of a trial: more say nothing new.
const TOLD: usize = 20;
/// The exit code where the profile cannot be read.
const PROFILE: i32 = 65;
/// What a report's exit code can be, and that.
const CODES: [i32; 5] = [0, 1, 2, 3, PROFILE];

/// How much of it is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// Some calls, mostly of those that change something.
    Sample,
    /// Every call.
    Whole,
}

impl Extent {
    /// What is tortured: for every call as it is handed out, which is built slowly and runs fast.
    pub fn program(self) -> &'static Path {
        match self {
            Self::Sample => program::path(),
            Self::Whole => program::optimised(),
        }
    }
}

/// One trial's figures.
pub struct Figures {
    name: String,
    begun: Instant,
    /// Faults that are to be put, where that is known before.
    of: String,
    faults: usize,
    failures: usize,
    /// Calls that were not made again.
    missed: usize,
    told: Vec<String>,
}

impl Figures {
    fn new(host: Host, deed: Deed, what: &str) -> Self {
        Self {
            name: format!("{} {deed:?} {what}", host.name),
            begun: Instant::now(),
            of: String::new(),
            faults: 0,
            failures: 0,
            missed: 0,
            told: Vec::new(),
        }
    }

    fn count(&mut self, fault: &str, bad: Vec<String>) {
        self.faults += 1;
        if self.faults.is_multiple_of(OFTEN) {
            let (faults, of, failures) = (self.faults, &self.of, self.failures);
            eprintln!(
                "torture: {}: {faults}{of} faults, {failures} failures",
                self.name
            );
        }
        if bad.is_empty() {
            return;
        }
        self.failures += 1;
        if self.told.len() < TOLD {
            let failure = format!("{fault}: {}", bad.join("; "));
            // Now, too: a trial of every call takes its time.
            eprintln!("torture: {}: {failure}", self.name);
            self.told.push(failure);
        }
    }

    fn miss(&mut self, fault: &str) {
        self.missed += 1;
        eprintln!("torture: {}: missed: {fault}", self.name);
    }

    /// Prints them; a trial with a failure fails.
    fn end(self, case: &Case) -> Result<(), libtest_mimic::Failed> {
        let seconds = self.begun.elapsed().as_secs();
        let (calls, states) = (case.calls.len(), case.states());
        println!(
            "torture: {:<28} {calls:>5} calls {:>6} faults {states:>5} states {:>4} failures {:>3} missed \
             {seconds:>5} s",
            self.name, self.faults, self.failures, self.missed
        );
        match self.told.is_empty() {
            true => Ok(()),
            false => Err(self.told.join("\n").into()),
        }
    }
}

/// A fault, with what is to be said of it.
struct Planned {
    fault: Placed,
    name: String,
    changes: bool,
}

impl Planned {
    fn new(call: &Call, fault: Fault) -> Self {
        Self {
            fault: (call.place, fault),
            name: format!("{fault:?} at {}", call.shown()),
            changes: call.changes(),
        }
    }
}

/// Kills at each call: where it changes something after it too, elsewhere that is the next one's entry.
fn kills(calls: &[Call]) -> Vec<Planned> {
    let of = |call: &Call| {
        let moments = [Moment::Entry, Moment::Exit];
        let most = if call.changes() { 2 } else { 1 };
        moments
            .map(|moment| Planned::new(call, Fault::Kill(moment)))
            .into_iter()
            .take(most)
    };
    calls.iter().flat_map(of).collect()
}

/// Every way in which each call can fail.
fn errors(calls: &[Call]) -> Vec<Planned> {
    let of = |call: &Call| -> Vec<Planned> {
        let errors = call.errors().iter().map(|errno| Fault::Error(*errno));
        let half = call.can_be_short().then_some(Fault::Half);
        errors
            .chain(half)
            .map(|fault| Planned::new(call, fault))
            .collect()
    };
    calls.iter().flat_map(of).collect()
}

/// Those that a trial puts.
fn chosen(
    mut all: Vec<Planned>,
    extent: Extent,
    (of_changing, of_others): (usize, usize),
) -> Vec<Planned> {
    if extent == Extent::Sample {
        let (mut changing, mut others) = (0, 0);
        all.retain(|planned| {
            let (count, of) = match planned.changes {
                true => (&mut changing, of_changing),
                false => (&mut others, of_others),
            };
            *count += 1;
            *count % of == 0
        });
    }
    all
}

/// Killed at each call: nothing is torn, and the next run finishes it.
pub fn killed(host: Host, deed: Deed, extent: Extent) -> Result<(), libtest_mimic::Failed> {
    let mut figures = Figures::new(host, deed, "killed");
    let case = Case::new(host, deed, extent.program());
    let all = chosen(kills(&case.calls), extent, OF_KILLS);
    figures.of = format!(" of {}", all.len());
    for planned in all {
        let Some(ran) = case.disturbed(planned.fault) else {
            figures.miss(&planned.name);
            continue;
        };
        figures.count(&planned.name, after_kill(&case, &ran));
    }
    figures.end(&case)
}

/// The run that finishes a killed one is killed too, before and after each change it makes.
pub fn killed_twice(host: Host, deed: Deed, extent: Extent) -> Result<(), libtest_mimic::Failed> {
    let mut figures = Figures::new(host, deed, "killed twice");
    let case = Case::new(host, deed, extent.program());
    let changing = |calls: &[Call]| kills(calls).into_iter().filter(|planned| planned.changes);
    for first in changing(&case.calls).step_by(TWICE) {
        case.begin();
        case.run(Some(first.fault));
        let killed = case.machine.state();
        let recovery = case.run(None);
        for second in changing(&recovery.calls) {
            match case.machine.is_tree() {
                true => case.machine.put_back(&killed),
                false => {
                    case.begin();
                    case.run(Some(first.fault));
                }
            }
            let ran = case.run(Some(second.fault));
            let name = format!("{}, then {}", first.name, second.name);
            if !ran.hit {
                figures.miss(&name);
                continue;
            }
            figures.count(&name, after_kill(&case, &ran));
        }
    }
    figures.end(&case)
}

/// Each call fails in each way it can: it is told, nothing is torn or left, and the next run
/// finishes it.
pub fn failing(host: Host, deed: Deed, extent: Extent) -> Result<(), libtest_mimic::Failed> {
    let mut figures = Figures::new(host, deed, "failing");
    let case = Case::new(host, deed, extent.program());
    let all = chosen(errors(&case.calls), extent, OF_ERRORS);
    figures.of = format!(" of {}", all.len());
    for planned in all {
        let Some(ran) = case.disturbed(planned.fault) else {
            figures.miss(&planned.name);
            continue;
        };
        let state = case.machine.state();
        let mut bad = answered(&case, &ran, planned.fault.1, &state);
        bad.extend(state.torn(&case.before, &case.after));
        bad.extend(state.temporary());
        bad.extend(case.follows(&state, 2));
        figures.count(&planned.name, bad);
    }
    figures.end(&case)
}

fn after_kill(case: &Case, ran: &Ran) -> Vec<String> {
    let state = case.machine.state();
    let mut bad = state.torn(&case.before, &case.after);
    if let Some(code) = ran.code {
        bad.push(format!("not killed: {code} {}", ran.said));
    }
    bad.extend(case.follows(&state, 1));
    bad
}

/// What is wrong with the answer of a run in which a call failed.
fn answered(case: &Case, ran: &Ran, fault: Fault, state: &State) -> Vec<String> {
    let mut bad = Vec::new();
    if ran.said.contains("panicked") || !ran.code.is_some_and(|code| CODES.contains(&code)) {
        bad.push(format!("ended with {:?}: {}", ran.code, ran.said));
    } else if ran.code == case.code {
        let differences = state.differences(&case.after);
        // Where something is not known anyway, that is the code of a failure too.
        let is_told = case.code == Some(1) && tells(ran, fault);
        if !differences.is_empty() && !is_told {
            bad.push(format!(
                "ended as if all were done: {}",
                differences.join("; ")
            ));
        }
    } else if !tells(ran, fault) {
        bad.push(format!("does not say what failed: {}", ran.said));
    }
    bad
}

/// Whether a line names the error and something it is about.
fn tells(ran: &Ran, fault: Fault) -> bool {
    let Fault::Error(errno) = fault else {
        return false;
    };
    let names = |line: &str| {
        let about = ["/", "stdout", "signal", "nf_tables", "nft", "systemctl"];
        said_as(errno).iter().any(|said| line.contains(said))
            && about.iter().any(|a| line.contains(a))
    };
    [Some(1), Some(PROFILE)].contains(&ran.code) && ran.said.lines().any(names)
}

/// How it is said: by the two libraries, and by us of a value of the kernel's.
fn said_as(errno: Errno) -> Vec<String> {
    let system = std::io::Error::from_raw_os_error(errno as i32).to_string();
    let mut said = vec![errno.desc().to_owned(), system];
    said.extend((errno == Errno::EROFS).then(|| "is read-only".to_owned()));
    said
}
