//! A captured host with as many kernel parameters as asked for: shows whether the time grows with
//! them or with their square.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// The captured host the parameters are added to.
pub const BASE: &str = "debian-12-prepared";

/// A host and a profile.
pub struct Generated {
    dir: TempDir,
}

impl Generated {
    /// One on which all is as wanted, or nothing is.
    pub fn new(keys: usize, prepared: bool) -> Self {
        let generated = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        let tree = generated.tree();
        let copied = Command::new("cp").arg("-a").arg(base()).arg(&tree).status();
        assert!(copied.unwrap().success());
        let kernel = tree.join("proc/sys/generated");
        std::fs::create_dir_all(&kernel).unwrap();
        let mut profile = String::from("schema = \"v1alpha1\"\n[sysctl.keys]\n");
        let mut dropin = String::new();
        for key in 0..keys {
            let live = if prepared { key } else { key + 1 };
            std::fs::write(kernel.join(format!("key{key}")), format!("{live}\n")).unwrap();
            writeln!(profile, "\"generated.key{key}\" = {key}").unwrap();
            writeln!(dropin, "generated.key{key} = {live}").unwrap();
        }
        std::fs::write(tree.join("etc/sysctl.d/50-generated.conf"), dropin).unwrap();
        std::fs::write(generated.profile(), profile).unwrap();
        generated
    }

    /// The check of it.
    pub fn check(&self) -> Command {
        check(&self.tree(), self.profile().to_str().unwrap())
    }

    fn tree(&self) -> PathBuf {
        self.dir.path().join("tree")
    }

    fn profile(&self) -> PathBuf {
        self.dir.path().join("profile.toml")
    }
}

/// The tree of the captured host.
pub fn base() -> PathBuf {
    let hosts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hosts");
    hosts.join(BASE).join("tree")
}

/// This program, checking a captured host.
pub fn check(tree: &Path, profile: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.arg("captured").arg(tree).arg(profile);
    command
}
