//! A small image of a host, and photographs of trees to tell whether anything changed.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::run::{Ran, directory, file, nodeprep};

const KERNEL: &str = "6.1.0-9-amd64";

/// An image with one kernel, and a profile outside of it.
pub struct Image {
    dir: TempDir,
}

impl Image {
    pub fn new(profile: &str) -> Self {
        let image = Self { dir: directory() };
        let modules = format!("lib/modules/{KERNEL}");
        image.add(
            &format!("{modules}/modules.dep"),
            "kernel/fs/overlayfs/overlay.ko:\n",
        );
        image.add(&format!("{modules}/modules.builtin"), "");
        image.add(&format!("boot/vmlinuz-{KERNEL}"), "");
        file(&image.dir.path().join("profile.toml"), profile);
        image
    }

    pub fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    pub fn add(&self, path: &str, content: impl AsRef<[u8]>) {
        file(&self.root().join(path), content);
    }

    pub fn read(&self, path: &str) -> Vec<u8> {
        std::fs::read(self.root().join(path)).unwrap()
    }

    /// Arguments that run `command` on this image.
    pub fn arguments(&self, command: &str) -> Vec<String> {
        let path = |path: PathBuf| path.to_str().unwrap().to_owned();
        vec![
            command.into(),
            "--root".into(),
            path(self.root()),
            path(self.dir.path().join("profile.toml")),
        ]
    }

    pub fn run(&self, command: &str) -> Ran {
        nodeprep(self.arguments(command))
    }
}

/// All that can be seen of a file: mode, owner, inode, times of change, content. When it was last read
/// is not ours to keep.
type Seen = (u32, u32, u64, [(i64, i64); 2], Vec<u8>);

/// Every path below `top` as it is now.
pub fn photograph(top: &Path) -> BTreeMap<PathBuf, Seen> {
    let mut all = BTreeMap::new();
    let mut open = vec![top.to_owned()];
    while let Some(path) = open.pop() {
        let meta = std::fs::symlink_metadata(&path).unwrap();
        let mut content = Vec::new();
        if meta.is_dir() {
            let entries = std::fs::read_dir(&path).unwrap();
            open.extend(entries.map(|entry| entry.unwrap().path()));
        } else if meta.is_file() {
            content = std::fs::read(&path).unwrap();
        }
        let times = [
            (meta.mtime(), meta.mtime_nsec()),
            (meta.ctime(), meta.ctime_nsec()),
        ];
        let seen = (meta.mode(), meta.uid(), meta.ino(), times, content);
        all.insert(path, seen);
    }
    all
}

/// Names of files left over from writing: they begin with a dot and name the program.
pub fn leftovers(top: &Path) -> Vec<PathBuf> {
    let temporary = |path: &PathBuf| path.to_string_lossy().contains(".nodeprep-");
    photograph(top).into_keys().filter(temporary).collect()
}
