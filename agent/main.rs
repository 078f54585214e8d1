//! The program: one call into the library, and the exit code it answers.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(nodeprep::cli::run(std::env::args_os()))
}
