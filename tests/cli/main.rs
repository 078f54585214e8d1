//! Runs the built binary, because only that shows what a user meets: exit codes, messages, and what
//! is left on the disk after a bad input or a bad machine.
#![allow(clippy::disallowed_methods)] // the fence is around the agent: tests make files themselves
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // how a test fails
#![allow(missing_docs)]

#[macro_use]
mod trial;
mod run;
mod space;
mod tree;

mod archives;
mod container;
mod containerd;
mod daemon;
mod full;
mod history;
mod image;
mod kernel;
mod language;
mod lint;
mod live;
mod noise;
mod npd;
mod output;
mod profile_file;
mod runtime;
mod signal;
mod status;
mod usage;

fn main() -> std::process::ExitCode {
    let trials = [
        language::trials(),
        lint::trials(),
        profile_file::trials(),
        noise::trials(),
        usage::trials(),
        output::trials(),
        image::trials(),
        live::trials(),
        archives::trials(),
        container::trials(),
        containerd::trials(),
        runtime::trials(),
        full::trials(),
        history::trials(),
        kernel::trials(),
        signal::trials(),
        daemon::trials(),
        status::trials(),
        npd::trials(),
    ];
    trial::run(trials.into_iter().flatten().collect())
}
