//! The agent's own files below /var/lib/nodeprep: appended and synced, for root's eyes only.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use nix::unistd::UnlinkatFlags;

use super::Host;
use super::write::{advice, sync};
use crate::error::{Error, Result, trouble};
use crate::journal;

/// An append-only file.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    file: File,
}

/// The directory that is ours, and what is in it.
const OURS: &str = "/var/lib/nodeprep";

impl Host {
    /// Makes a new append-only file (mode 0600) that begins with `first`, with the directories above
    /// it that are missing; ours have mode 0700. Where it can't be begun none is left.
    ///
    /// # Errors
    /// Where it exists already, or the disk is full, read-only or fails.
    pub fn store(&self, path: &Path, first: &[u8]) -> Result<Store> {
        let dirs: Vec<&Path> = path.ancestors().skip(1).collect();
        for dir in dirs.into_iter().rev().filter(|dir| dir.parent().is_some()) {
            self.make_directory_for_us(dir)
                .map_err(|error| explain(dir, &error))?;
        }
        let begin = || -> std::io::Result<Store> {
            let (dir, name) = self.beside(path)?;
            let flags = OFlag::O_WRONLY
                | OFlag::O_CREAT
                | OFlag::O_EXCL
                | OFlag::O_APPEND
                | OFlag::O_CLOEXEC;
            let fd = nix::fcntl::openat(&dir, &*name, flags, Mode::from_bits_truncate(0o600))?;
            let mut file = File::from(fd);
            if let Err(error) = file
                .write_all(first)
                .and_then(|()| file.sync_all())
                .and_then(|()| sync(&dir))
            {
                // The failure that is reported is the one that came first.
                let _ = nix::unistd::unlinkat(&dir, &*name, UnlinkatFlags::NoRemoveDir);
                return Err(error);
            }
            Ok(Store {
                path: path.to_owned(),
                file,
            })
        };
        begin().map_err(|error| explain(path, &error))
    }

    /// Whether the journals are ours to read: only root's runs write any, for root's eyes.
    #[must_use]
    pub fn may_read_journals(&self) -> bool {
        self.root.is_some() || nix::unistd::geteuid().is_root()
    }

    /// Replaces a journal as a whole.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn replace_journal(&self, id: &str, content: Vec<u8>) -> Result<()> {
        self.replace_ours(&journal::path(id), content)
    }

    /// Replaces a file that others read as a whole.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn publish(&self, path: &Path, content: Vec<u8>) -> Result<()> {
        self.replace_whole(path, content, 0o644)
    }

    /// Replaces a file of ours as a whole.
    pub(super) fn replace_ours(&self, path: &Path, content: Vec<u8>) -> Result<()> {
        self.replace_whole(path, content, 0o600)
    }

    fn replace_whole(&self, path: &Path, content: Vec<u8>, mode: u32) -> Result<()> {
        let file = crate::step::File {
            content,
            mode,
            uid: nix::unistd::geteuid().as_raw(),
            gid: nix::unistd::getegid().as_raw(),
            attributes: Vec::new(),
        };
        self.restore(path, &file, &self.found(path)?)
    }

    /// Removes what runs left that were cut off while they replaced a journal.
    ///
    /// # Errors
    /// Where something cannot be removed.
    pub fn discard_torn_journals(&self) -> Result<()> {
        let directory = Path::new(journal::DIRECTORY);
        for name in self.list(directory)?.iter().filter(|n| n.starts_with('.')) {
            self.remove(&directory.join(name), UnlinkatFlags::NoRemoveDir)?;
        }
        Ok(())
    }

    /// Removes a journal.
    ///
    /// # Errors
    /// Where it cannot be removed.
    pub fn discard_journal(&self, id: &str) -> Result<()> {
        self.remove(&journal::path(id), UnlinkatFlags::NoRemoveDir)
    }

    fn make_directory_for_us(&self, dir: &Path) -> std::io::Result<()> {
        let mode = if dir.starts_with(OURS) { 0o700 } else { 0o755 };
        let (parent, name) = self.beside(dir)?;
        match nix::sys::stat::mkdirat(&parent, &*name, Mode::from_bits_truncate(mode)) {
            Ok(()) => sync(&parent),
            Err(Errno::EEXIST) => Ok(()),
            Err(error) => Err(error.into()),
        }
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
