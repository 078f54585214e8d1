//! The static program, as it is handed out but without its optimisations: tests that take it to other
//! machines need it, and cargo gives tests only the one for this machine.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// The program, built now if it is not up to date.
pub fn path() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| build(&["--bin", "nodeprep"]))
}

/// The same with its optimisations.
#[allow(dead_code)] // of the tests that share this file some need only the other
pub fn optimised() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| build(&["--bin", "nodeprep", "--release"]))
}

/// Builds a program as [`path`]'s; `which` is cargo's choice of one.
pub fn build(which: &[&str]) -> PathBuf {
    let cargo = Command::new(env!("CARGO"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["build", "--locked"])
        .args(which)
        .args(["--config", ".cargo/static.toml"])
        .args(["--message-format", "json-render-diagnostics"])
        // It would replace the flags of that file.
        .env_remove("RUSTFLAGS")
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(cargo.status.success(), "no static program: see above");
    let said = String::from_utf8(cargo.stdout).unwrap();
    let executable = |line: &str| -> Option<PathBuf> {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        Some(message["executable"].as_str()?.into())
    };
    said.lines().filter_map(executable).next_back().unwrap()
}
