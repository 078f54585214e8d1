//! The Vagrantfile is one that Vagrant understands, with every box of the promise; what its machines
//! run is tested in tests/vm.
#![allow(clippy::disallowed_methods)] // the fence is around the agent
#![allow(clippy::unwrap_used)] // how a test fails
#![allow(missing_docs)]

use std::path::Path;
use std::process::{Command, ExitCode, Output};

use libtest_mimic::{Arguments, Trial};

const BOXES: [&str; 7] = [
    "centos7",
    "stream9",
    "rocky9",
    "alma10",
    "debian12",
    "debian13",
    "ubuntu2404",
];

fn main() -> ExitCode {
    let has_vagrant = Command::new("vagrant").arg("--version").output().is_ok();
    if !has_vagrant {
        eprintln!("SKIPPED (needs vagrant, which Debian has): vagrant::validates");
    }
    let trial = Trial::test("vagrant::validates", || {
        validates();
        Ok(())
    });
    let trials = vec![trial.with_ignored_flag(!has_vagrant)];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn validates() {
    // A provider would be VirtualBox or a plugin; each box is asked for all the same.
    let said = vagrant(&["validate", "--ignore-provider"]);
    assert!(
        said.contains("Vagrantfile validated successfully"),
        "{said}"
    );
    for name in BOXES {
        assert!(said.contains(&format!("==> {name}:")), "{name}: {said}");
    }
}

fn vagrant(arguments: &[&str]) -> String {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("vagrant");
    let home = tempfile::tempdir().unwrap();
    let Output {
        status,
        stdout,
        stderr,
    } = Command::new("vagrant")
        .args(arguments)
        .current_dir(here)
        .env("NODEPREP", env!("CARGO_BIN_EXE_nodeprep"))
        .env("VAGRANT_HOME", home.path())
        .env("VAGRANT_DOTFILE_PATH", home.path().join("machines"))
        .env("VAGRANT_CHECKPOINT_DISABLE", "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&stdout).into_owned() + &String::from_utf8_lossy(&stderr);
    assert!(status.success(), "vagrant {arguments:?}: {said}");
    said
}
