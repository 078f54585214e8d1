//! Real machines: Debian with its own kernel, modules, systemd and containerd, booted in QEMU under
//! software emulation, because a captured tree can say what a host looks like but not what the next
//! boot makes of it.
//!
//! `cargo test --test vm` runs the scenarios that every submission has to pass, `-- --include-ignored`
//! all of them on every suite; a word after `--` picks those whose names hold it.
//! `cargo test --test vm -- --demo` shows the main job instead, on a machine nobody minds, and
//! `-- --bench NODEPREP BENCH` what a check costs; `-- --power` lets the power fail.
#![allow(clippy::disallowed_methods)] // the fence is for the program, this is the lab around it
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)] // as in every test

mod bench;
mod cache;
mod demo;
mod guest;
mod image;
mod machine;
mod power;
#[path = "../portable/program.rs"]
mod program;
mod scenarios;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

use scenarios::Scenario;

/// The releases of Debian: systemd 247, 252, 257; containerd 1.4, 1.6, 1.7.
const SUITES: [&str; 3] = ["bullseye", "bookworm", "trixie"];
/// What becomes the next one: newer than all that is released, and on some days not to be installed.
const TESTING: &str = "testing";

fn main() -> ExitCode {
    if std::env::args().any(|argument| argument == "--demo") {
        demo::run();
        return ExitCode::SUCCESS;
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [mode, nodeprep, bench] = arguments.as_slice()
        && mode == "--bench"
    {
        bench::run(nodeprep.as_ref(), bench.as_ref());
        return ExitCode::SUCCESS;
    }
    if let [mode, numbers @ ..] = arguments.as_slice()
        && mode == "--power"
    {
        power::run(numbers);
        return ExitCode::SUCCESS;
    }
    let mut arguments = Arguments::from_args();
    // Each machine has as many processors as this one, and uses little more than one of them.
    arguments.test_threads.get_or_insert(1);
    let mut trials: Vec<Trial> = SUITES.into_iter().flat_map(of_suite).collect();
    trials.extend(power::trials());
    match has_testing(&arguments) {
        Ok(()) => trials.extend(of_suite(TESTING)),
        Err(why) => {
            // Ignored whatever the arguments say: what did not run has not passed.
            eprintln!("SKIPPED: every scenario on {TESTING}: {why}");
            trials = chosen(&mut arguments, trials);
            trials.extend(
                of_suite(TESTING)
                    .into_iter()
                    .map(|trial| trial.with_ignored_flag(true)),
            );
        }
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    for (suite, versions) in guest::VERSIONS.lock().unwrap().iter() {
        println!("machine {suite}: {versions}");
    }
    conclusion.exit_code()
}

fn of_suite(suite: &'static str) -> Vec<Trial> {
    let trial = |scenario: &'static Scenario| {
        Trial::test(format!("{suite}::{}", scenario.name), move || {
            (scenario.run)(&image::of(suite)?);
            Ok(())
        })
        .with_ignored_flag(!scenario.always_on.contains(&suite))
    };
    let of = |scenario: &&'static Scenario| scenario.suites.contains(&suite);
    scenarios::ALL.iter().filter(of).map(trial).collect()
}

/// Makes testing's image, where something is to run on it, before the trials begin: a trial that runs
/// can only pass or fail.
fn has_testing(arguments: &Arguments) -> Result<(), String> {
    let runs = |trial: &Trial| !arguments.is_ignored(trial) && !arguments.is_filtered_out(trial);
    if arguments.list || !of_suite(TESTING).iter().any(runs) {
        return Ok(());
    }
    image::of(TESTING).map(drop)
}

/// The trials that `--ignored` or `--include-ignored` ask for; what is ignored after this stays so.
fn chosen(arguments: &mut Arguments, trials: Vec<Trial>) -> Vec<Trial> {
    let only = arguments.ignored;
    (arguments.ignored, arguments.include_ignored) = (false, false);
    let picked = trials
        .into_iter()
        .filter(|trial| !only || trial.has_ignored_flag());
    picked.map(|trial| trial.with_ignored_flag(false)).collect()
}
