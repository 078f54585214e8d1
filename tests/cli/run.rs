//! Starting the binary and asking what it answered.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// The program under test.
pub const NODEPREP: &str = env!("CARGO_BIN_EXE_nodeprep");
/// `nobody` on every distribution.
const NOBODY: u32 = 65534;

/// What a finished run answered.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    /// Asserts the exit code; a run that panicked or died of a signal never passes.
    #[track_caller]
    pub fn exits(&self, code: i32) -> &Self {
        let panicked = self.stderr.contains("panicked at");
        assert!(
            self.code == Some(code) && !panicked,
            "expected exit {code}: {self:#?}"
        );
        self
    }

    /// Asserts that stderr or stdout has each of these texts.
    #[track_caller]
    pub fn says(&self, texts: &[&str]) -> &Self {
        for text in texts {
            let said = self.stderr.contains(text) || self.stdout.contains(text);
            assert!(said, "expected \"{text}\": {self:#?}");
        }
        self
    }

    /// Asserts that neither has this text.
    #[track_caller]
    pub fn never_says(&self, text: &str) -> &Self {
        let said = self.stderr.contains(text) || self.stdout.contains(text);
        assert!(!said, "unexpected \"{text}\": {self:#?}");
        self
    }

    /// Stdout as the one JSON document it has to be.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }
}

/// Runs the binary to its end.
pub fn nodeprep<S: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = S>) -> Ran {
    finish(Command::new(NODEPREP).args(arguments))
}

/// Runs any command to its end.
pub fn finish(command: &mut Command) -> Ran {
    answer(command.stdin(Stdio::null()).output().unwrap())
}

pub fn answer(output: Output) -> Ran {
    Ran {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Runs a copy of the binary as somebody without rights, from a place everybody can reach.
pub fn as_nobody(arguments: &[&str]) -> Ran {
    let dir = directory();
    let copy = dir.path().join("nodeprep");
    // By a process of its own: a file that this one has open for writing can reach a child of
    // another test, and then nobody may run it.
    finish(Command::new("cp").arg(NODEPREP).arg(&copy)).exits(0);
    let mut command = Command::new(&copy);
    if nix::unistd::geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    finish(command.args(arguments).current_dir("/"))
}

/// A directory of our own that others can look into.
pub fn directory() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let everyone = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(dir.path(), everyone).unwrap();
    dir
}

/// A file with the mode a profile should have, whatever the umask.
pub fn file(path: &Path, content: impl AsRef<[u8]>) -> PathBuf {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut file = std::fs::File::create(path).unwrap();
    file.write_all(content.as_ref()).unwrap();
    let mode = std::fs::Permissions::from_mode(0o644);
    file.set_permissions(mode).unwrap();
    path.to_owned()
}
