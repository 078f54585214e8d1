//! What the daemon costs and how soon it is there: idle, when something drifts, in a storm of events
//! and over many reloads. A daemon that grows by a little a day is noticed by nobody else in time.
//!
//! `cargo test --test soak` does a little of it and looks at what must never be otherwise; `make soak`
//! does all of it and writes the figures into BENCHMARKS.md.
#![allow(clippy::disallowed_methods)] // the fence is around the agent
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // how a test fails
#![allow(missing_docs)]

mod drift;
mod figures;
mod process;
mod space;

use std::process::ExitCode;
use std::time::Duration;

use libtest_mimic::{Arguments, Failed, Trial};

/// How much of each there is.
#[derive(Clone, Copy)]
struct Extent {
    /// What can't be told here, having no runtime, is looked at again after 1, 2, 4 … 600 s.
    calm: Duration,
    idle: Duration,
    drifts: usize,
    /// Where nothing tells of a drift it takes as long as a poll.
    polled: usize,
    storm: Duration,
    reloads: usize,
}

const SAMPLE: Extent = Extent {
    calm: Duration::ZERO,
    idle: Duration::from_secs(2),
    drifts: 2,
    polled: 1,
    storm: Duration::from_secs(2),
    reloads: 20,
};
const WHOLE: Extent = Extent {
    // Between the eighth of those looks and the ninth.
    calm: Duration::from_secs(260),
    idle: Duration::from_secs(240),
    drifts: 200,
    polled: 20,
    storm: Duration::from_secs(60),
    reloads: 1000,
};
/// What the allocator may keep of a storm, or of many reloads, in KiB.
const FLAT: u64 = 2048;

fn main() -> ExitCode {
    let figures = std::env::args().any(|argument| argument == "--figures");
    let possible = space::is_possible();
    if !possible {
        eprintln!("SKIPPED: every trial: they need root, namespaces and nft");
    } else {
        // Before there is another thread: all of them are in it then.
        space::enter();
    }
    if figures {
        assert!(possible, "nothing can be measured");
        figures::print(WHOLE);
        return ExitCode::SUCCESS;
    }
    let mut trials = vec![
        trial("idle", figures::idle),
        trial("drifts", drift::all),
        trial("storm", figures::storm),
        trial("reloads", figures::reloads),
    ];
    if !possible {
        let ignored = |trial: Trial| trial.with_ignored_flag(true);
        trials = trials.into_iter().map(ignored).collect();
    }
    // They share the machine.
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trial<T: 'static>(name: &str, measure: fn(Extent) -> T) -> Trial {
    let run = move || -> Result<(), Failed> {
        measure(SAMPLE);
        Ok(())
    };
    Trial::test(name, run)
}
