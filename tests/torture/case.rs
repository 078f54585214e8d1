//! What an undisturbed run makes of a host, and what has to be true after a disturbed one.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::Path;
use std::process::{Command, Output};

use crate::machine::{Host, Machine};
use crate::state::State;
use crate::trace::{Call, Fault, Place, Ran, run};

/// A fault with the call it is put to.
pub type Placed = (Place, Fault);

/// How often a call is waited for that is not made each time.
const TRIES: usize = 5;
/// `rollback` where there is nothing that it could take back (EX_USAGE).
const NOTHING_LEFT: i32 = 64;

/// Which command is disturbed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    Apply,
    /// Of an apply that nothing disturbed.
    Rollback,
}

/// A host with the run that nothing disturbs.
pub struct Case {
    pub machine: Machine,
    deed: Deed,
    /// As it is at first.
    pub before: State,
    /// As the command leaves it.
    pub after: State,
    /// What the command asks of the kernel.
    pub calls: Vec<Call>,
    /// What it answers.
    pub code: Option<i32>,
    /// A tree as it is before the command, the agent's own files too.
    begun: Option<State>,
    /// What was wrong with what followed from a state.
    followed: RefCell<HashMap<u64, Vec<String>>>,
}

impl Case {
    pub fn new(host: Host, deed: Deed, program: &'static Path) -> Self {
        let machine = Machine::new(host, program);
        let mut case = Self {
            machine,
            deed,
            before: State::default(),
            after: State::default(),
            calls: Vec::new(),
            code: None,
            begun: None,
            followed: RefCell::default(),
        };
        case.begin();
        case.before = case.machine.state();
        case.begun = case.machine.is_tree().then(|| case.before.clone());
        let ran = case.run(None);
        (case.code, case.calls) = (ran.code, ran.calls);
        case.after = case.machine.state();
        assert!(
            case.code.is_some() && case.after != case.before,
            "{}",
            ran.said
        );
        let bad = [case.finish(), case.take_back(1)].concat();
        assert!(bad.is_empty(), "undisturbed: {bad:#?}");
        case
    }

    /// The host as it is before the command.
    pub fn begin(&self) {
        if let Some(begun) = &self.begun {
            return self.machine.put_back(begun);
        }
        self.machine.reset();
        if self.deed == Deed::Rollback {
            said(&mut self.machine.apply());
        }
    }

    /// The command on the host as it was, with a fault; none where the call was not made. Where
    /// threads wait for each other a call more or less is made each time.
    pub fn disturbed(&self, fault: Placed) -> Option<Ran> {
        let run = |_| {
            self.begin();
            self.run(Some(fault))
        };
        (0..TRIES).map(run).find(|ran| ran.hit)
    }

    /// The command on the host as it is.
    pub fn run(&self, fault: Option<Placed>) -> Ran {
        run(&mut self.command(), fault)
    }

    fn command(&self) -> Command {
        match self.deed {
            Deed::Apply => self.machine.apply(),
            Deed::Rollback => self.machine.rollback(),
        }
    }

    /// What is wrong with what follows from the state the host is in: the next run finishes it, and so
    /// many runs can then be taken back. What follows from a state is tried once.
    pub fn follows(&self, state: &State, runs: usize) -> Vec<String> {
        let key = state.key();
        if let Some(known) = self.followed.borrow().get(&key) {
            return known.clone();
        }
        let bad = [self.finish(), self.take_back(runs)].concat();
        self.followed.borrow_mut().insert(key, bad.clone());
        bad
    }

    /// From how many states it was tried what follows.
    pub fn states(&self) -> usize {
        self.followed.borrow().len()
    }

    /// The next run makes the host what it would have been.
    fn finish(&self) -> Vec<String> {
        let (next, text) = said(&mut self.command());
        let mut bad = self.is(&self.after);
        let nothing_left = self.deed == Deed::Rollback && next.status.code() == Some(NOTHING_LEFT);
        if next.status.code() != self.code && !nothing_left {
            bad.push(format!(
                "the next run: {}, expected {:?}: {text}",
                next.status, self.code
            ));
        }
        bad
    }

    /// What was applied by so many runs, those not counted that were cut off, can be taken back.
    fn take_back(&self, runs: usize) -> Vec<String> {
        if self.deed == Deed::Rollback {
            return Vec::new();
        }
        let mut bad = Vec::new();
        for _ in 0..runs {
            let (back, text) = said(&mut self.machine.rollback());
            // The run before may have done nothing.
            if back.status.code() != Some(0)
                && (runs == 1 || back.status.code() != Some(NOTHING_LEFT))
            {
                bad.push(format!("rollback: {}: {text}", back.status));
            }
        }
        let is = self.is(&self.before);
        bad.extend(is.iter().map(|bad| format!("rollback: {bad}")));
        bad
    }

    /// What is otherwise than in a state, and what is left over.
    fn is(&self, wanted: &State) -> Vec<String> {
        let state = self.machine.state();
        let mut bad = state.differences(wanted);
        bad.extend(state.temporary());
        bad
    }
}

fn said(command: &mut Command) -> (Output, String) {
    let output = command.output().unwrap();
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    (output, String::from_utf8_lossy(&text).into_owned())
}
