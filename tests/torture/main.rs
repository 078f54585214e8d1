//! Apply is killed at every system call, and each call fails in every way it can: administrators run
//! this as root on machines they can't lose, and no other way shows that a half done run is safe.
//!
//! `cargo test --test torture` takes a sample, `make torture` all of them; each trial prints how many
//! faults it put and how many did harm.
#![cfg(target_arch = "x86_64")] // a call is made to fail through this processor's registers
#![allow(clippy::disallowed_methods)] // the fence is around the agent
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // how a test fails
#![allow(missing_docs)]

mod calls;
mod case;
mod faults;
mod machine;
#[path = "../portable/program.rs"]
mod program;
mod same;
mod state;
mod trace;

use std::process::{Command, ExitCode};

use libtest_mimic::{Arguments, Failed, Trial};

use case::Deed;
use faults::Extent;
use machine::Host;

type Kind = fn(Host, Deed, Extent) -> Result<(), Failed>;

fn main() -> ExitCode {
    let possible = is_possible();
    if !possible {
        eprintln!("SKIPPED: every trial: they need root, namespaces, nft and systemctl");
    }
    // With whether a sample of it is taken.
    let kinds: [(&str, Kind, bool); 3] = [
        ("killed", faults::killed, true),
        ("killed_twice", faults::killed_twice, false),
        ("failing", faults::failing, true),
    ];
    let mut trials = Vec::new();
    for host in Host::ALL {
        for (deed, done) in [(Deed::Apply, "apply"), (Deed::Rollback, "rollback")] {
            for (how, kind, sampled) in kinds {
                let mut add = |extent, shown, runs: bool| {
                    let name = format!("{}::{done}::{how}::{shown}", host.name);
                    let trial = Trial::test(name, move || alone(kind, host, deed, extent));
                    trials.push(trial.with_ignored_flag(!(possible && runs)));
                };
                if sampled && host.sampled {
                    add(Extent::Sample, "sample", true);
                }
                add(Extent::Whole, "whole", false);
            }
        }
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// In a thread whose namespaces end with it.
fn alone(kind: Kind, host: Host, deed: Deed, extent: Extent) -> Result<(), Failed> {
    // Where it will be, no compiler is found.
    extent.program();
    let trial = std::thread::spawn(move || kind(host, deed, extent));
    trial
        .join()
        .unwrap_or_else(|_| Err("see the panic above".into()))
}

fn is_possible() -> bool {
    let works = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output();
        output.is_ok_and(|output| output.status.success())
    };
    nix::unistd::geteuid().is_root()
        && works("unshare", &["--mount", "--net", "nft", "list", "ruleset"])
        && works("systemctl", &["--version"])
}
