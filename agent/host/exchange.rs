//! Putting a new file in the place of an old one without losing what somebody saves there meanwhile:
//! an editor asks nobody, and a name that was looked at is another file's a microsecond later.
//!
//! The two files change names in one step of the kernel (renameat2(2), RENAME_EXCHANGE, Linux 3.15),
//! and only what came out is looked at. If it is what the journal holds it goes; else they change
//! names again. At every moment the name is that of a whole file, and what was saved has a name.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, readlinkat};
use nix::sys::stat::{FileStat, Mode, fstat, fstatat};
use nix::unistd::{UnlinkatFlags, unlinkat};
use rustix::fs::{RenameFlags, renameat_with};

use super::files::{LARGEST_FILE, attributes, kind_of, no_file};
use super::write::{explain, sync, unsure};
use super::{Kind, Prior};
use crate::error::{Error, Result, trouble};

/// File systems that ask their server before they lend a file out, and refuse as if it were being
/// written where that does not let them (fs/nfs/nfs4proc.c, `nfs4_add_lease`; fs/smb/client/cifsfs.c,
/// `cifs_setlease`): the numbers of NFS, CIFS and SMB 2 by include/uapi/linux/magic.h.
const REMOTE: [u32; 3] = [0x6969, 0xFF53_4D42, 0xFE53_4D42];

/// A name whose file is to be another's, and the name beside it under which that is made.
#[derive(Debug)]
pub(super) struct Exchange {
    pub path: PathBuf,
    pub dir: OwnedFd,
    pub name: OsString,
    pub temporary: OsString,
}

impl Exchange {
    /// Makes a file, lets `fill` complete it, and gives it the name if that still is what `prior` saw.
    pub fn put(&self, prior: &Prior, fill: impl FnOnce(File) -> std::io::Result<()>) -> Result<()> {
        let new = self.make()?;
        let made = fstat(&new).map_err(|error| self.useless(error))?;
        let done = fill(new)
            .map_err(|error| self.failed(error))
            .and_then(|()| self.exchange(prior));
        self.finish(&made, done)
    }

    /// Makes the file under its temporary name; nobody else can read it before it has its mode.
    pub fn make(&self) -> Result<File> {
        let flags =
            OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let mode = Mode::from_bits_truncate(0o600);
        nix::fcntl::openat(&self.dir, &*self.temporary, flags, mode)
            .map(File::from)
            .map_err(|error| self.taken(error))
    }

    /// Gives what was made its name, one that nothing had unless it `replaces` a file.
    pub fn give(&self, replaces: bool) -> Result<()> {
        let flags = match replaces {
            true => RenameFlags::empty(),
            false => RenameFlags::NOREPLACE,
        };
        match self.rename(&self.temporary, &self.name, flags) {
            Ok(()) => {}
            Err(Errno::EINVAL | Errno::ENOSYS) => self.replace()?,
            Err(Errno::EEXIST) => return Err(changed(&self.path)),
            Err(error) => return Err(self.failed(error.into())),
        }
        sync(&self.dir).map_err(|error| unsure(&self.path, &error))
    }

    /// Takes away what has the temporary name; nothing is fine.
    pub fn discard(&self) -> Result<()> {
        match unlinkat(&self.dir, &*self.temporary, UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(error) => Err(self.failed(error.into())),
        }
    }

    /// Makes a link, and gives it the name if that still is what `prior` saw.
    pub fn put_link(&self, prior: &Prior, target: &Path) -> Result<()> {
        nix::unistd::symlinkat(target, &self.dir, &*self.temporary)
            .map_err(|error| self.taken(error))?;
        let made = self.stat(&self.temporary);
        let made = made.map_err(|error| self.useless(error))?;
        self.finish(&made, self.exchange(prior))
    }

    /// Takes a file or link away if it still is what `prior` saw.
    pub fn take_away(&self, prior: &Prior) -> Result<()> {
        self.unchanged(&self.name, prior)?;
        match self.rename(&self.name, &self.temporary, RenameFlags::NOREPLACE) {
            Ok(()) => {
                let gone = self
                    .unchanged(&self.temporary, prior)
                    .and_then(|()| self.unlink(&self.temporary));
                if let Err(error) = gone {
                    self.rename(&self.temporary, &self.name, RenameFlags::NOREPLACE)
                        .map_err(|error| self.stranded(error))?;
                    return Err(error);
                }
            }
            Err(Errno::EINVAL | Errno::ENOSYS) => self.unlink(&self.name)?,
            Err(error) => return Err(self.taken(error)),
        }
        sync(&self.dir).map_err(|error| unsure(&self.path, &error))
    }

    fn exchange(&self, prior: &Prior) -> Result<()> {
        self.unchanged(&self.name, prior)?;
        self.tell_of_other_names();
        let flags = match prior {
            Prior::Absent => RenameFlags::NOREPLACE,
            _ => RenameFlags::EXCHANGE,
        };
        match self.rename(&self.temporary, &self.name, flags) {
            Ok(()) if *prior == Prior::Absent => return Ok(()),
            Ok(()) => {}
            // An older kernel, or a file system that can't: what was just seen has to do.
            Err(Errno::EINVAL | Errno::ENOSYS) => return self.replace(),
            Err(Errno::EEXIST | Errno::ENOENT) => return Err(changed(&self.path)),
            Err(error) => return Err(self.failed(error.into())),
        }
        let gone = self
            .unchanged(&self.temporary, prior)
            .and_then(|()| self.unlink(&self.temporary));
        gone.or_else(|error| self.change_back().and(Err(error)))
    }

    fn replace(&self) -> Result<()> {
        nix::fcntl::renameat(&self.dir, &*self.temporary, &self.dir, &*self.name)
            .map_err(|error| self.failed(error.into()))
    }

    fn change_back(&self) -> Result<()> {
        match self.rename(&self.temporary, &self.name, RenameFlags::EXCHANGE) {
            // Ours has been taken away meanwhile.
            Err(Errno::ENOENT) => self.rename(&self.temporary, &self.name, RenameFlags::NOREPLACE),
            answer => answer,
        }
        .map_err(|error| self.stranded(error))
    }

    /// Fails where something else has the name than `prior` saw, or is being written.
    fn unchanged(&self, name: &OsStr, prior: &Prior) -> Result<()> {
        match there(&self.dir, name, &self.path) {
            Ok(now) if now == *prior => Ok(()),
            Ok(_) => Err(changed(&self.path)),
            Err(error) => Err(self.failed(error)),
        }
    }

    /// Whoever made a second name of a file wanted its content, not that of our file.
    fn tell_of_other_names(&self) {
        if let Ok(stat) = self.stat(&self.name)
            && kind_of(&stat) == Kind::File
            && stat.st_nlink > 1
        {
            tracing::warn!(
                "{} has {} names: the others keep what it was",
                self.path.display(),
                stat.st_nlink
            );
        }
    }

    /// Takes away what was made, if it was not used and is not somebody else's by now; makes the names
    /// durable.
    fn finish(&self, made: &FileStat, done: Result<()>) -> Result<()> {
        if done.is_err()
            && let Ok(left) = self.stat(&self.temporary)
            && (left.st_dev, left.st_ino) == (made.st_dev, made.st_ino)
        {
            // The failure that is reported is the one that came first.
            let _ = self.unlink(&self.temporary);
        }
        done.and(sync(&self.dir).map_err(|error| unsure(&self.path, &error)))
    }

    fn stat(&self, name: &OsStr) -> nix::Result<FileStat> {
        fstatat(&self.dir, name, AtFlags::AT_SYMLINK_NOFOLLOW)
    }

    fn rename(&self, from: &OsStr, to: &OsStr, flags: RenameFlags) -> nix::Result<()> {
        renameat_with(&self.dir, from, &self.dir, to, flags)
            .map_err(|error| Errno::from_raw(error.raw_os_error()))
    }

    fn unlink(&self, name: &OsStr) -> Result<()> {
        unlinkat(&self.dir, name, UnlinkatFlags::NoRemoveDir)
            .map_err(|error| self.failed(error.into()))
    }

    /// What was made a moment ago and can't be looked at goes.
    fn useless(&self, error: Errno) -> Error {
        let _ = self.unlink(&self.temporary);
        self.failed(error.into())
    }

    fn failed(&self, error: std::io::Error) -> Error {
        explain(&self.path, &error)
    }

    /// A temporary name that is taken is somebody else's: process ids can be guessed.
    fn taken(&self, error: Errno) -> Error {
        match error {
            Errno::EEXIST => trouble!(
                "{}: {} is in the way: remove it",
                self.path.display(),
                self.path.with_file_name(&self.temporary).display()
            ),
            error => self.failed(error.into()),
        }
    }

    fn stranded(&self, error: Errno) -> Error {
        trouble!(
            "{}: someone else changed it while we were about to, and giving it back failed: {}; what \
             they left is in {}",
            self.path.display(),
            error.desc(),
            self.path.with_file_name(&self.temporary).display()
        )
    }
}

/// What is said where somebody else was quicker.
pub fn changed(path: &Path) -> Error {
    trouble!(
        "{}: someone else changed it while we were about to; it is as they left it: run apply again",
        path.display()
    )
}

/// What has a name in a directory, complete enough to bring it back. `path` is its name for people.
///
/// # Errors
/// Where it is no file, link or directory, is larger than 16 MiB, cannot be read, or is being written.
pub(super) fn there(dir: &OwnedFd, name: &OsStr, path: &Path) -> std::io::Result<Prior> {
    let stat = match fstatat(dir, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
        Err(Errno::ENOENT) => return Ok(Prior::Absent),
        stat => stat?,
    };
    match kind_of(&stat) {
        Kind::Directory => Ok(Prior::Directory),
        Kind::Link => Ok(Prior::Link {
            target: readlinkat(dir, name)?.into(),
        }),
        Kind::File => file(dir, name).map(|file| Prior::File {
            path: path.to_owned(),
            file,
        }),
        Kind::Other => Err(no_file()),
    }
}

fn file(dir: &OwnedFd, name: &OsStr) -> std::io::Result<crate::step::File> {
    // O_NONBLOCK: it may have become a FIFO since.
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let fd = nix::fcntl::openat(dir, name, flags, Mode::empty())?;
    // Before it is read: what is written from here on, is written into a file opened by its name.
    if super::syscall::is_being_written(&fd) && !is_remote(&fd) {
        return Err(std::io::Error::other(
            "a process has it open for writing (see lsof)",
        ));
    }
    let stat = fstat(&fd)?;
    if kind_of(&stat) != Kind::File {
        return Err(no_file());
    }
    let attributes = attributes(&fd)?;
    let mut content = Vec::new();
    File::from(fd)
        .take(LARGEST_FILE + 1)
        .read_to_end(&mut content)?;
    if content.len() as u64 > LARGEST_FILE {
        return Err(std::io::Error::other(
            "is larger than 16 MiB: that is no configuration",
        ));
    }
    Ok(crate::step::File {
        content,
        mode: stat.st_mode & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
        attributes,
    })
}

fn is_remote(fd: &OwnedFd) -> bool {
    // The type is 32 bits wide; where it is kept in a signed word, more are set.
    rustix::fs::fstatfs(fd).is_ok_and(|stat| REMOTE.contains(&(stat.f_type as u32)))
}
