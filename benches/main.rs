//! `make bench`: what a check costs, beside a floor program that asks the machine the same and does
//! nothing else, and beside a careful shell script, all in one run; printed as BENCHMARKS.md.
//!
//! An example and not a bench target: for those cargo builds the program again, with another panic
//! strategy than the one that is shipped.
#![allow(clippy::disallowed_methods)] // the fence is around the program
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // how a bench fails

mod floor;
mod generated;
mod page;
mod record;
mod run;
mod trace;

use std::path::Path;
use std::process::{Command, ExitCode};

use nodeprep::host::Host;
use nodeprep::profile::Profile;
use nodeprep::reconcile::{self, Wanted};
use nodeprep::report::Report;
use nodeprep::report::human::{self, Detail};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["traced", program, arguments @ ..] => {
            let mut command = Command::new(program);
            command.args(arguments);
            trace::become_traced(command)
        }
        ["asks", program, arguments @ ..] => {
            let mut command = Command::new(program);
            command.args(arguments);
            print!("{}", record::write(&record::record(&command).0));
        }
        ["floor", list] => floor::run(&std::fs::read_to_string(list).unwrap()),
        ["captured", tree, profile] => return captured(Path::new(tree), profile),
        ["emulated", program, script] => print!("{}", page::emulated(program, script)),
        [program, script] => print!("{}", page::write(program, script)),
        _ => panic!("unexpected {arguments:?}"),
    }
    ExitCode::SUCCESS
}

/// `nodeprep check`, of a captured host.
fn captured(tree: &Path, profile: &str) -> ExitCode {
    let mut host = Host::captured(tree).unwrap();
    let profile = Profile::load(&host, Some(profile), &[]).unwrap();
    let wanted = Wanted::whole(&profile.name, &profile.items);
    let account = reconcile::check(&mut host, &wanted).unwrap();
    let facts = host.facts().unwrap();
    let report = Report::new("check", &profile.name, facts, account, false);
    print!("{}", human::render(&report, Detail::default()));
    ExitCode::from(report.exit_code)
}
