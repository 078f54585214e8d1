//! The agent's own files below /var/lib/nodeprep: appended and synced, for root's eyes only.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;

use super::Host;
use super::write::advice;
use crate::error::{Error, Result, trouble};

/// An append-only file.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    file: File,
}

impl Host {
    /// Makes a new append-only file (mode 0600) with the directories above it (mode 0700 for those
    /// that are missing).
    ///
    /// # Errors
    /// Where it exists already or cannot be made.
    pub fn store(&self, path: &Path) -> Result<Store> {
        let dirs: Vec<&Path> = path.ancestors().skip(1).collect();
        for dir in dirs.into_iter().rev().filter(|dir| dir.parent().is_some()) {
            let (parent, name) = self.beside(dir).map_err(|e| explain(dir, &e.into()))?;
            match nix::sys::stat::mkdirat(parent, &*name, Mode::from_bits_truncate(0o700)) {
                Ok(()) | Err(Errno::EEXIST) => {}
                Err(error) => return Err(explain(dir, &error.into())),
            }
        }
        let (dir, name) = self.beside(path).map_err(|e| explain(path, &e.into()))?;
        let flags =
            OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_APPEND | OFlag::O_CLOEXEC;
        let fd = nix::fcntl::openat(&dir, &*name, flags, Mode::from_bits_truncate(0o600))
            .map_err(|e| explain(path, &e.into()))?;
        let reopened =
            nix::fcntl::openat(&dir, ".", OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty());
        reopened
            .map_err(std::io::Error::from)
            .and_then(|dir| File::from(dir).sync_all())
            .map_err(|e| explain(path, &e))?;
        Ok(Store {
            path: path.to_owned(),
            file: File::from(fd),
        })
    }
}

impl Store {
    /// Appends bytes; when this returns they are on the disk.
    ///
    /// # Errors
    /// Where the disk is full or fails.
    pub fn append(&mut self, bytes: &[u8]) -> Result<()> {
        let path = &self.path;
        self.file
            .write_all(bytes)
            .and_then(|()| self.file.sync_data())
            .map_err(|error| explain(path, &error))
    }
}

/// Says which file, what stood in the way, and what to do.
fn explain(path: &Path, error: &std::io::Error) -> Error {
    trouble!("{}: {error}: {}", path.display(), advice(error))
}
