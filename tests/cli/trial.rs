//! Tests that are told apart by whom they need: libtest cannot skip a test at run time, and one that
//! cannot run here must be counted as ignored, never as passed.

use std::process::{Command, ExitCode};
use std::sync::LazyLock;

use libtest_mimic::{Arguments, Trial};

/// Lists a module's tests; the ones after `root` need root and namespaces of their own.
macro_rules! trials {
    (anyone: [$($any:ident),* $(,)?], root: [$($root:ident),* $(,)?]) => {
        pub fn trials() -> Vec<libtest_mimic::Trial> {
            vec![
                $($crate::trial::anyone(module_path!(), stringify!($any), $any),)*
                $($crate::trial::root(module_path!(), stringify!($root), $root),)*
            ]
        }
    };
}

/// Whether this process may make namespaces.
static PRIVILEGED: LazyLock<bool> = LazyLock::new(|| {
    let probe = Command::new("unshare")
        .args(["--mount", "--net", "true"])
        .output();
    nix::unistd::geteuid().is_root() && probe.is_ok_and(|output| output.status.success())
});

pub fn anyone(module: &str, name: &str, test: fn()) -> Trial {
    Trial::test(full_name(module, name), move || {
        test();
        Ok(())
    })
}

pub fn root(module: &str, name: &str, test: fn()) -> Trial {
    if !*PRIVILEGED {
        eprintln!(
            "SKIPPED (needs root and namespaces): {}",
            full_name(module, name)
        );
    }
    anyone(module, name, test).with_ignored_flag(!*PRIVILEGED)
}

pub fn run(trials: Vec<Trial>) -> ExitCode {
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn full_name(module: &str, name: &str) -> String {
    let module = module.rsplit("::").next().unwrap_or(module);
    format!("{module}::{name}")
}
