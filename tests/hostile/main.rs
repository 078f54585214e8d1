//! The built binary where everything around it is against it: what is planted on the paths it writes,
//! file systems that refuse, what a process inherits, fifty at once, an editor that saves meanwhile.
//! What is not ours survives whole; nothing is left beside it; the message says what to do.
#![allow(clippy::disallowed_methods)] // the fence is around the agent
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // how a test fails
#![allow(missing_docs)]

#[path = "../cli/trial.rs"]
#[macro_use]
mod trial;
#[path = "../cli/run.rs"]
#[allow(dead_code)] // shared with other tests, as the next ones
mod run;
#[path = "../cli/runtime.rs"]
#[allow(dead_code)]
mod runtime;
#[path = "../cli/space.rs"]
#[allow(dead_code)]
mod space;
#[path = "../cli/tree.rs"]
#[allow(dead_code)]
mod tree;

mod editor;
mod many;
mod mounts;
mod planted;
mod process;
mod promises;
mod secrets;

fn main() -> std::process::ExitCode {
    let trials = [
        planted::trials(),
        mounts::trials(),
        process::trials(),
        many::trials(),
        editor::trials(),
        secrets::trials(),
        promises::trials(),
    ];
    trial::run(trials.into_iter().flatten().collect())
}
