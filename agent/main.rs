//! The program: a call into the library, and the exit code it answers.

use std::process::ExitCode;

fn main() -> ExitCode {
    nodeprep::host::leave_surroundings();
    ExitCode::from(nodeprep::cli::run(std::env::args_os()))
}
