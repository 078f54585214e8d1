//! Real machines: Debian with its own kernel, modules, systemd and containerd, booted in QEMU under
//! software emulation, because a captured tree can say what a host looks like but not what the next
//! boot makes of it.
//!
//! `cargo test --test vm` runs every scenario; a word after `--` picks those whose names hold it.
//! `cargo test --test vm -- --demo` shows the main job instead, on a machine nobody minds.
#![allow(clippy::disallowed_methods)] // the fence is for the program, this is the lab around it
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)] // as in every test

mod demo;
mod guest;
mod image;
mod machine;
mod scenarios;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

/// The suites of Debian whose images the lab can make.
const SUITES: [&str; 1] = ["bookworm"];

fn main() -> ExitCode {
    if std::env::args().any(|argument| argument == "--demo") {
        demo::run();
        return ExitCode::SUCCESS;
    }
    let mut arguments = Arguments::from_args();
    // Each machine has as many processors as this one.
    arguments.test_threads = Some(1);
    let trials = SUITES.iter().flat_map(|suite| {
        scenarios::ALL.iter().map(move |(name, run)| {
            Trial::test(format!("{suite}::{name}"), move || {
                let image = image::of(suite);
                run(&image);
                Ok(())
            })
        })
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}
