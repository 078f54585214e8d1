//! The captured hosts and what is done with them: both the host tests and the registry tests walk
//! the same trees.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use nodeprep::host::Host;
use nodeprep::profile::{Profile, builtin};

/// One captured host.
#[derive(Debug)]
pub struct Captured {
    /// The directory's name.
    pub name: String,
    /// The directory that holds `tree/` and what is expected of it.
    pub dir: PathBuf,
}

impl Captured {
    /// All of them, by name.
    pub fn all() -> Vec<Self> {
        let hosts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hosts");
        let entries = fs::read_dir(hosts).unwrap().map(|entry| entry.unwrap());
        let mut all: Vec<Self> = entries
            .filter(|entry| entry.path().join("tree").is_dir())
            .map(|entry| Self {
                name: entry.file_name().into_string().unwrap(),
                dir: entry.path(),
            })
            .collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        assert!(!all.is_empty(), "no host in tests/hosts");
        all
    }

    /// The profiles it is held against: those its file `profiles` lists, else every shipped one.
    pub fn profiles(&self) -> Vec<String> {
        match fs::read_to_string(self.dir.join("profiles")) {
            Ok(names) => names.split_whitespace().map(str::to_owned).collect(),
            Err(_) => builtin::names().map(str::to_owned).collect(),
        }
    }

    /// The running host that was captured.
    pub fn host(&self) -> Host {
        Host::captured(&self.dir.join("tree")).unwrap()
    }

    /// A copy that may be changed; it goes with the returned directory.
    pub fn copy(&self) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let tree = dir.path().join("tree");
        let mut copy = Command::new("cp");
        copy.arg("-a").arg(self.dir.join("tree")).arg(&tree);
        assert!(copy.status().unwrap().success(), "{copy:?}");
        (dir, tree)
    }
}

/// A profile as this host resolves it: the one beside the hosts, else a shipped one.
pub fn profile(host: &Host, name: &str) -> Profile {
    let hosts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hosts");
    let path = hosts.join(format!("{name}.toml"));
    let named = match path.exists() {
        true => path.to_str().unwrap(),
        false => name,
    };
    Profile::load(host, Some(named), &[]).unwrap_or_else(|error| panic!("profile {name}: {error}"))
}
