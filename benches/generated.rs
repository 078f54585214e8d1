//! A captured host with as many kernel parameters as asked for: shows whether the time grows with
//! them or with their square.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// The captured host the parameters are added to.
pub const BASE: &str = "debian-12-prepared";
/// Modules in Debian 12's 6.1.0 for amd64, and about how many each needs.
const MODULES: usize = 4_000;
const NEEDS: usize = 2;

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
        add_modules(&tree);
        std::fs::write(generated.profile(), profile).unwrap();
        generated
    }

    /// The check of it.
    pub fn check(&self) -> Command {
        check(&self.tree(), self.profile().to_str().unwrap())
    }

    /// The check of a shipped profile on it.
    pub fn check_shipped(&self, profile: &str) -> Command {
        check(&self.tree(), profile)
    }

    fn tree(&self) -> PathBuf {
        self.dir.path().join("tree")
    }

    fn profile(&self) -> PathBuf {
        self.dir.path().join("profile.toml")
    }
}

/// Adds modules until there are as many as Debian's kernel has; those captured are the wanted ones.
fn add_modules(tree: &Path) {
    let path = tree.join("lib/modules/6.1.0-50-amd64/modules.dep");
    let mut text = std::fs::read_to_string(&path).unwrap();
    for module in 0..MODULES {
        let dir = format!("kernel/drivers/generated/group{}", module / 16);
        write!(text, "{dir}/module-{module}.ko:").unwrap();
        for needed in module.saturating_sub(NEEDS)..module {
            write!(text, " {dir}/module-{needed}.ko").unwrap();
        }
        text.push('\n');
    }
    std::fs::write(path, text).unwrap();
}

fn base() -> PathBuf {
    let hosts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hosts");
    hosts.join(BASE).join("tree")
}

/// This program, checking a captured host.
fn check(tree: &Path, profile: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.arg("captured").arg(tree).arg(profile);
    command
}
