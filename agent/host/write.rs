//! Replacing a file so that at every moment it is either the old one whole or the new one whole.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag};
use nix::sys::stat::{FileStat, Mode};
use nix::unistd::{Gid, Uid, UnlinkatFlags};

use super::files::{attributes, kind_of};
use super::walk::Last;
use super::{Host, Kind};
use crate::error::{Error, Result, trouble};
use crate::step::Owner;

/// Mode of a file we make: configuration, nothing secret.
const NEW_FILE: u32 = 0o644;

impl Host {
    /// Gives `path` the bytes of `content`: written to a new file beside it, made durable, given
    /// mode, owner and attributes of the file it replaces, then renamed over it.
    pub(super) fn replace(&self, path: &Path, content: &[u8], owner: Owner) -> Result<()> {
        let path = match owner {
            Owner::Ours => path.to_owned(),
            Owner::Shared => self.follow(path)?,
        };
        let (dir, name) = self.writable_parent(&path)?;
        let old = regular(
            &path,
            nix::sys::stat::fstatat(&dir, &*name, AtFlags::AT_SYMLINK_NOFOLLOW),
            owner,
        )?;
        let temporary = temporary_name(&name);
        let made = make(
            &dir,
            &temporary,
            content,
            old.as_ref().map(|stat| (&*name, stat)),
        )
        .and_then(|()| Ok(nix::fcntl::renameat(&dir, &*temporary, &dir, &*name)?));
        self.finish(&path, dir, &temporary, made)
    }

    /// Makes a file what it was.
    pub(super) fn restore(&self, path: &Path, file: &crate::step::File) -> Result<()> {
        let (dir, name) = self.writable_parent(path)?;
        let temporary = temporary_name(&name);
        let made = create(&dir, &temporary)
            .and_then(|new| fill(new, file))
            .and_then(|()| Ok(nix::fcntl::renameat(&dir, &*temporary, &dir, &*name)?));
        self.finish(path, dir, &temporary, made)
    }

    /// Makes a symbolic link, replacing what has its name unless that is a directory.
    pub(super) fn replace_link(&self, path: &Path, target: &Path) -> Result<()> {
        let (dir, name) = self.writable_parent(path)?;
        let temporary = temporary_name(&name);
        let made = nix::unistd::symlinkat(target, &dir, &*temporary)
            .and_then(|()| nix::fcntl::renameat(&dir, &*temporary, &dir, &*name))
            .map_err(std::io::Error::from);
        self.finish(path, dir, &temporary, made)
    }

    /// Removes a file or link, or an empty directory; one that is gone already is fine.
    pub(super) fn remove(&self, path: &Path, what: UnlinkatFlags) -> Result<()> {
        let (dir, name) = self.writable_parent(path)?;
        match nix::unistd::unlinkat(&dir, &*name, what) {
            Ok(()) => sync(&dir).map_err(|error| explain(path, &error)),
            Err(Errno::ENOENT) => Ok(()),
            Err(error) => Err(explain(path, &error.into())),
        }
    }

    /// Makes one directory with mode 0755 whatever the umask; one that is there already is fine.
    pub(super) fn make_directory(&self, path: &Path) -> Result<()> {
        let (dir, name) = self.writable_parent(path)?;
        let mode = Mode::from_bits_truncate(0o755);
        match nix::sys::stat::mkdirat(&dir, &*name, mode) {
            Ok(()) => {}
            Err(Errno::EEXIST) => return Ok(()),
            Err(error) => return Err(explain(path, &error.into())),
        }
        let made = self.open(path, OFlag::O_RDONLY | OFlag::O_DIRECTORY);
        made.and_then(|fd| nix::sys::stat::fchmod(fd, mode))
            .map_err(|error| explain(path, &error.into()))?;
        sync(&dir).map_err(|error| explain(path, &error))
    }

    /// Removes what the process of a run that was cut off left beside a file it was to replace.
    ///
    /// # Errors
    /// Where it is there and cannot be removed.
    pub fn discard_temporary(&self, path: &Path, process: &str) -> Result<()> {
        for path in [path.to_owned(), self.follow(path)?] {
            if let (Some(dir), Some(name)) = (path.parent(), path.file_name())
                && self.is_directory(dir)?
            {
                let name = temporary_name_of(name, process);
                self.remove(&dir.join(name), UnlinkatFlags::NoRemoveDir)?;
            }
        }
        Ok(())
    }

    /// Cleans up after a failure, makes a success durable.
    fn finish(
        &self,
        path: &Path,
        dir: OwnedFd,
        temporary: &OsStr,
        made: std::io::Result<()>,
    ) -> Result<()> {
        if made.is_err() {
            // Best we can do: the failure that is reported is the one that came first.
            let _ = nix::unistd::unlinkat(&dir, temporary, UnlinkatFlags::NoRemoveDir);
        }
        made.and_then(|()| sync(&dir))
            .map_err(|error| explain(path, &error))
    }

    /// The file that a shared path really names.
    pub(super) fn follow(&self, path: &Path) -> Result<PathBuf> {
        Ok(self.place(path, Last::Follow)?.path)
    }

    /// The directory to write in, refused where others than root could swap names under us.
    fn writable_parent(&self, path: &Path) -> Result<(OwnedFd, OsString)> {
        let place = self.place(path, Last::Keep)?;
        let stat =
            nix::sys::stat::fstat(&place.dir).map_err(|error| explain(path, &error.into()))?;
        if stat.st_mode & 0o002 != 0 {
            let parent = path.parent().unwrap_or(path).display();
            return Err(trouble!(
                "{parent} can be written by everyone: nothing is written there"
            ));
        }
        Ok((place.dir, place.name))
    }
}

/// What is to be replaced, if it is something we may replace.
fn regular(path: &Path, stat: nix::Result<FileStat>, owner: Owner) -> Result<Option<FileStat>> {
    let stat = match stat {
        Err(Errno::ENOENT) => return Ok(None),
        Err(error) => return Err(explain(path, &error.into())),
        Ok(stat) => stat,
    };
    match kind_of(&stat) {
        Kind::File => Ok(Some(stat)),
        Kind::Link if owner == Owner::Ours => Ok(None),
        Kind::Directory => Err(trouble!("{} is a directory: move it away", path.display())),
        Kind::Link | Kind::Other => Err(trouble!(
            "{} is no regular file: move it away",
            path.display()
        )),
    }
}

/// Writes the new file under its temporary name, complete with mode, owner and attributes.
fn make(
    dir: &OwnedFd,
    temporary: &OsStr,
    content: &[u8],
    old: Option<(&OsStr, &FileStat)>,
) -> std::io::Result<()> {
    let mut file = create(dir, temporary)?;
    file.write_all(content)?;
    if let Some((name, stat)) = old {
        nix::unistd::fchown(
            &file,
            Some(Uid::from_raw(stat.st_uid)),
            Some(Gid::from_raw(stat.st_gid)),
        )?;
        let old = nix::fcntl::openat(
            dir,
            name,
            OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC,
            Mode::empty(),
        )?;
        for (name, value) in attributes(&old)? {
            rustix::fs::fsetxattr(&file, &name, &value, rustix::fs::XattrFlags::empty())?;
        }
    }
    // After the owner: chown(2) clears set-id bits.
    let mode = old.map_or(NEW_FILE, |(_, stat)| stat.st_mode & 0o7777);
    nix::sys::stat::fchmod(&file, Mode::from_bits_truncate(mode))?;
    file.sync_all()
}

/// A new file that nobody else can read yet.
fn create(dir: &OwnedFd, temporary: &OsStr) -> std::io::Result<File> {
    let flags =
        OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let fd = nix::fcntl::openat(dir, temporary, flags, Mode::from_bits_truncate(0o600))?;
    Ok(File::from(fd))
}

/// Gives a new file all that it had.
fn fill(mut new: File, file: &crate::step::File) -> std::io::Result<()> {
    new.write_all(&file.content)?;
    let (uid, gid) = (Uid::from_raw(file.uid), Gid::from_raw(file.gid));
    nix::unistd::fchown(&new, Some(uid), Some(gid))?;
    for (name, value) in &file.attributes {
        rustix::fs::fsetxattr(&new, name.as_str(), value, rustix::fs::XattrFlags::empty())?;
    }
    // After the owner: chown(2) clears set-id bits.
    nix::sys::stat::fchmod(&new, Mode::from_bits_truncate(file.mode))?;
    new.sync_all()
}

/// Makes a rename in a directory durable.
pub(super) fn sync(dir: &OwnedFd) -> std::io::Result<()> {
    // The descriptor was opened with O_PATH, which fsync(2) refuses: open it again through itself.
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let dir = nix::fcntl::openat(dir, ".", flags, Mode::empty())?;
    File::from(dir).sync_all()
}

fn temporary_name(name: &OsStr) -> OsString {
    temporary_name_of(name, &std::process::id().to_string())
}

/// The name by which the next run knows what a process left.
fn temporary_name_of(name: &OsStr, process: &str) -> OsString {
    let mut temporary = OsString::from(".");
    temporary.push(name);
    temporary.push(format!(".nodeprep-{process}"));
    temporary
}

/// Says which file, what stood in the way, that it is as it was, and what to do.
pub(super) fn explain(path: &Path, error: &std::io::Error) -> Error {
    let advice = advice(error);
    trouble!("{}: {error}; it is as it was: {advice}", path.display())
}

/// What to do about a file that can't be written.
pub(super) fn advice(error: &std::io::Error) -> &'static str {
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EROFS) => "mount its file system read-write",
        Some(Errno::ENOSPC | Errno::EDQUOT) => "free some space",
        Some(Errno::EACCES | Errno::EPERM) => "is it immutable (lsattr), or are we not root?",
        Some(Errno::EBUSY) => "it is a mount point: change it where it is mounted from",
        Some(Errno::EISDIR) => "it is a directory: move it away",
        Some(Errno::ENOTDIR) => "something on its path is no directory",
        Some(Errno::ELOOP) => "too many symbolic links: mend them",
        Some(Errno::ENAMETOOLONG) => "give it a shorter name",
        Some(Errno::EFBIG) => "raise the limit for the size of files (ulimit -f)",
        Some(Errno::EMFILE | Errno::ENFILE) => "raise the limit for open files (ulimit -n)",
        _ => "see the kernel's log",
    }
}
