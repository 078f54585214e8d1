//! The packages of an EL host by its own dnf 4 or dnf 5 and rpm, as Debian has them: what is said and
//! written of them here is theirs, not a picture of it. yum 3 is seen on captured hosts only: Debian has
//! no package of it.
#![allow(clippy::disallowed_methods)] // the fence is around the agent
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // how a test fails
#![allow(missing_docs)]

#[path = "../vm/cache.rs"]
mod cache;
mod machine;
mod packages;
#[path = "../cli/run.rs"]
#[allow(dead_code)] // shared with other tests
mod run;

use std::process::{Command, ExitCode};

use libtest_mimic::{Arguments, Failed, Trial};

use machine::{Machine, Manager};

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let missing = missing();
    let mut trials = Vec::new();
    for manager in [Manager::Dnf4, Manager::Dnf5] {
        // A trial that runs can only pass or fail.
        let missing = missing.clone().or_else(|| match arguments.list {
            true => None,
            false => manager.tree().err(),
        });
        for (name, test) in packages::TRIALS {
            let name = format!("{manager:?}::{name}").to_lowercase();
            if let Some(missing) = &missing {
                eprintln!("SKIPPED (needs {missing}): {name}");
            }
            let trial = Trial::test(name, move || alone(test, manager));
            trials.push(trial.with_ignored_flag(missing.is_some()));
        }
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// In a thread whose namespaces end with it.
fn alone(test: fn(&Machine), manager: Manager) -> Result<(), Failed> {
    let trial = std::thread::spawn(move || test(&Machine::new(manager)));
    trial.join().map_err(|_| "see the panic above".into())
}

/// What these tests need and is not here.
fn missing() -> Option<String> {
    let works = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output();
        output.is_ok_and(|output| output.status.success())
    };
    if !nix::unistd::geteuid().is_root() {
        return Some("root".into());
    }
    let layered = "mount -t tmpfs none /mnt && mkdir /mnt/a /mnt/b /mnt/c && \
                   mount -t overlay -o lowerdir=/,upperdir=/mnt/a,workdir=/mnt/b none /mnt/c";
    if !works("unshare", &["--mount", "--net", "sh", "-c", layered]) {
        return Some("namespaces and overlayfs".into());
    }
    let programs = ["dnf-3", "rpmbuild", "rpmsign", "createrepo_c", "gpg"];
    let missing = programs
        .iter()
        .find(|program| !works(program, &["--version"]));
    let missing = missing.map(|program| format!("{program}, which Debian has"));
    missing.or_else(|| {
        let plugin = works("dnf-3", &["versionlock", "--help"]);
        (!plugin).then(|| "dnf's plugin versionlock, which Debian has".into())
    })
}
