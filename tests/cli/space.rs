//! A throwaway machine for runs without `--root`: mount and network namespaces of their own, with
//! directories of ours over all that the agent writes. /proc/sys/net is that of the namespace.

use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use crate::run::{NODEPREP, Ran, directory, file, finish};

/// Nothing of the real machine's /etc, /run and /var/lib can be reached once this has run. A namespace of
/// its own begins with the network's settings of the real machine, which may forward.
const ENTER: &str = r#"
    echo 0 >/proc/sys/net/ipv4/ip_forward
    mount -n --bind "$SPACE/run" /run
    mount -n --bind "$SPACE/var/lib" /var/lib
    mount -n --bind "$SPACE/etc" /etc
"#;

/// A profile that changes one file and needs nothing but a socket: [`Space::runtime`].
pub const CRICTL: &str = "schema = \"v1alpha1\"\n[crictl]\n\
                          runtime-endpoint = \"unix:///run/cri.sock\"\ntimeout = 10\n";

pub struct Space {
    dir: TempDir,
}

impl Space {
    /// A machine with this profile at the default path.
    pub fn new(profile: &str) -> Self {
        let space = Self { dir: directory() };
        for dir in ["run", "var/lib"] {
            std::fs::create_dir_all(space.path(dir)).unwrap();
        }
        file(&space.path("etc/nodeprep/profile.toml"), profile);
        space
    }

    /// Where a path of the machine is on the real one.
    pub fn path(&self, inside: &str) -> PathBuf {
        self.dir.path().join(inside)
    }

    /// A container runtime that is well, for as long as the tests run.
    pub fn runtime(&self) {
        crate::runtime::serve(&self.path("run/cri.sock"), "runtime.v1");
    }

    /// A command whose process becomes nodeprep once the machine is made and `prepare`d.
    pub fn command(&self, prepare: &str, arguments: &[&str]) -> Command {
        self.shell(
            &format!("{ENTER}\n{prepare}\nexec \"$0\" \"$@\""),
            arguments,
        )
    }

    /// Runs nodeprep.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        self.run_prepared("", arguments)
    }

    pub fn run_prepared(&self, prepare: &str, arguments: &[&str]) -> Ran {
        finish(&mut self.command(prepare, arguments))
    }

    /// Runs nodeprep and then, before the machine is gone, `after`.
    pub fn run_between(&self, prepare: &str, arguments: &[&str], after: &str) -> Ran {
        let between = "code=0; \"$0\" \"$@\" || code=$?";
        let script = format!("{ENTER}\n{prepare}\n{between}\n{after}\nexit $code");
        finish(&mut self.shell(&script, arguments))
    }

    fn shell(&self, script: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "--net", "--propagation", "private"])
            .args(["sh", "-euc", script, NODEPREP])
            .args(arguments)
            .env("SPACE", self.dir.path());
        command
    }
}
