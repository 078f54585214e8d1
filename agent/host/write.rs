//! Replacing a file so that at every moment it is either the old one whole or the new one whole.

use std::ffi::OsString;
use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag};
use nix::sys::stat::{FileStat, Mode, fstatat};
use nix::unistd::{Gid, Uid, UnlinkatFlags};

use super::exchange::{Exchange, changed};
use super::files::{access_of, kind_of};
use super::walk::Last;
use super::{Host, Kind, Prior};
use crate::error::{Error, Result, trouble};
use crate::step::{self, Access, Owner};

impl Host {
    /// Gives `path` the bytes of `content`: written to a new file beside it, given `access`, or mode
    /// and owner of the file it replaces, and that one's attributes, made durable, then put in its
    /// place.
    pub(super) fn replace(
        &self,
        path: &Path,
        content: &[u8],
        owner: Owner,
        access: Option<Access>,
        prior: &Prior,
    ) -> Result<()> {
        let path = match owner {
            Owner::Ours => path.to_owned(),
            Owner::Shared => self.follow(path)?,
        };
        let old = match prior {
            Prior::File { file, .. } => Some(file),
            Prior::Directory => return Err(is_directory(&path)),
            _ => None,
        };
        self.beside_it(&path)?
            .put(prior, |new| fill(new, content, old, access))
    }

    /// Makes a file what it was.
    pub(super) fn restore(&self, path: &Path, file: &step::File, prior: &Prior) -> Result<()> {
        if *prior == Prior::Directory {
            return Err(is_directory(path));
        }
        self.beside_it(path)?
            .put(prior, |new| fill(new, &file.content, Some(file), None))
    }

    /// Makes a symbolic link, replacing what has its name unless that is a directory.
    pub(super) fn replace_link(&self, path: &Path, target: &Path, prior: &Prior) -> Result<()> {
        if *prior == Prior::Directory {
            return Err(is_directory(path));
        }
        self.beside_it(path)?.put_link(prior, target)
    }

    /// Removes a file or link; one that is gone already is fine.
    pub(super) fn take_away(&self, path: &Path, prior: &Prior) -> Result<()> {
        match prior {
            Prior::Absent => Ok(()),
            Prior::Directory => Err(is_directory(path)),
            _ => self.beside_it(path)?.take_away(prior),
        }
    }

    /// Removes a file of our own, or an empty directory; one that is gone already is fine.
    pub(super) fn remove(&self, path: &Path, what: UnlinkatFlags) -> Result<()> {
        let (dir, name) = self.writable_parent(path)?;
        match nix::unistd::unlinkat(&dir, &*name, what) {
            Ok(()) => sync(&dir).map_err(|error| unsure(path, &error)),
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
            Err(Errno::EEXIST) if self.is_directory(path)? => return Ok(()),
            Err(error) => return Err(explain(path, &error.into())),
        }
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let made = nix::fcntl::openat(&dir, &*name, flags, Mode::empty());
        made.and_then(|fd| nix::sys::stat::fchmod(fd, mode))
            .map_err(|error| explain(path, &error.into()))?;
        sync(&dir).map_err(|error| unsure(path, &error))
    }

    /// Mode and owner of what is to get others. Of a link, or of what is no file or directory, nothing
    /// is changed; nor of a file with a second name, which may be somebody else's.
    pub(super) fn prior_access(&self, path: &Path) -> Result<Prior> {
        let place = self.place(path, Last::Keep)?;
        let stat = fstatat(&place.dir, &*place.name, AtFlags::AT_SYMLINK_NOFOLLOW);
        let stat = stat.map_err(|error| explain(path, &error.into()))?;
        changeable(path, &stat)?;
        Ok(Prior::Access(access_of(&stat)))
    }

    /// Gives a file or directory another mode and owner if it still has those of `prior`.
    pub(super) fn set_access(&self, path: &Path, access: Access, prior: &Prior) -> Result<()> {
        let place = self.place(path, Last::Keep)?;
        let refused = |error: Errno| explain(path, &error.into());
        let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let fd = nix::fcntl::openat(&place.dir, &*place.name, flags, Mode::empty());
        let fd = fd.map_err(refused)?;
        let stat = nix::sys::stat::fstat(&fd).map_err(refused)?;
        changeable(path, &stat)?;
        if *prior != Prior::Access(access_of(&stat)) {
            return Err(changed(path));
        }
        let (uid, gid) = (Uid::from_raw(access.uid), Gid::from_raw(access.gid));
        // Nobody gets more than both allow while it is neither; chown(2) clears set-id bits.
        let between = Mode::from_bits_truncate(stat.st_mode & access.mode);
        nix::sys::stat::fchmod(&fd, between)
            .and_then(|()| nix::unistd::fchown(&fd, Some(uid), Some(gid)))
            .and_then(|()| nix::sys::stat::fchmod(&fd, Mode::from_bits_truncate(access.mode)))
            .map_err(refused)?;
        File::from(fd)
            .sync_all()
            .map_err(|error| unsure(path, &error))
    }

    /// The place a file is to be put in.
    pub(super) fn beside_it(&self, path: &Path) -> Result<Exchange> {
        self.beside_for(path, &std::process::id().to_string())
    }

    /// The same for the process of an earlier run.
    pub(super) fn beside_for(&self, path: &Path, process: &str) -> Result<Exchange> {
        let (dir, name) = self.writable_parent(path)?;
        if is_append_only(&dir) {
            // What is made there could never be renamed, nor removed.
            return Err(explain(path, &Errno::EPERM.into()));
        }
        let mut temporary = OsString::from(".");
        temporary.push(&name);
        temporary.push(format!(".nodeprep-{process}"));
        Ok(Exchange {
            path: path.to_owned(),
            dir,
            name,
            temporary,
        })
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

/// Makes a new file complete, which nobody else can read yet: content, then owner, attributes and
/// mode, `access` or what the one it is to be has.
fn fill(
    mut new: File,
    content: &[u8],
    like: Option<&step::File>,
    access: Option<Access>,
) -> std::io::Result<()> {
    new.write_all(content)?;
    let access = access.or(like.map(step::File::access));
    if let Some(Access { uid, gid, .. }) = access {
        nix::unistd::fchown(&new, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
    }
    for (name, value) in like.iter().flat_map(|file| &file.attributes) {
        set_attribute(&new, name, value)?;
    }
    // After the owner: chown(2) clears set-id bits.
    let mode = access.unwrap_or(Access::NEW_FILE).mode;
    nix::sys::stat::fchmod(&new, Mode::from_bits_truncate(mode))?;
    new.sync_all()
}

/// Sets an extended attribute. A file system that shows one for all its files, as vfat under SELinux does
/// (the label of the mount), takes none, and the new file has it already.
fn set_attribute(new: &File, name: &str, value: &[u8]) -> std::io::Result<()> {
    let set = rustix::fs::fsetxattr(new, name, value, rustix::fs::XattrFlags::empty());
    let mut now = vec![0; value.len() + 1];
    match set {
        Err(rustix::io::Errno::NOTSUP) => match rustix::fs::fgetxattr(new, name, &mut now[..]) {
            Ok(length) if now.get(..length) == Some(value) => Ok(()),
            _ => Err(rustix::io::Errno::NOTSUP.into()),
        },
        done => done.map_err(Into::into),
    }
}

/// Fails for what is no file or directory, or has names that may be somebody else's.
fn changeable(path: &Path, stat: &FileStat) -> Result<()> {
    match kind_of(stat) {
        Kind::Directory => Ok(()),
        Kind::File if stat.st_nlink == 1 => Ok(()),
        Kind::File => Err(trouble!(
            "{} has {} names, and some may be others': remove those first",
            path.display(),
            stat.st_nlink
        )),
        Kind::Link | Kind::Other => Err(trouble!(
            "{} is neither a file nor a directory: move it away",
            path.display()
        )),
    }
}

fn is_directory(path: &Path) -> Error {
    trouble!("{} is a directory: move it away", path.display())
}

/// Whether a directory is append-only; kernels before 4.11 and some file systems don't tell (statx(2)).
fn is_append_only(dir: &OwnedFd) -> bool {
    let flags = rustix::fs::AtFlags::EMPTY_PATH;
    let stat = rustix::fs::statx(dir, "", flags, rustix::fs::StatxFlags::empty());
    stat.is_ok_and(|stat| {
        stat.stx_attributes
            .contains(rustix::fs::StatxAttributes::APPEND)
    })
}

/// Makes a rename in a directory durable.
pub(super) fn sync(dir: &OwnedFd) -> std::io::Result<()> {
    // The descriptor was opened with O_PATH, which fsync(2) refuses: open it again through itself.
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let dir = nix::fcntl::openat(dir, ".", flags, Mode::empty())?;
    File::from(dir).sync_all()
}

/// Says which file, what stood in the way, that it is as it was, and what to do.
pub(super) fn explain(path: &Path, error: &std::io::Error) -> Error {
    let advice = advice(error);
    trouble!("{}: {error}; it is as it was: {advice}", path.display())
}

/// Says which file was changed, and may be as it was after a power cut.
pub(super) fn unsure(path: &Path, error: &std::io::Error) -> Error {
    let advice = advice(error);
    trouble!(
        "{}: it is changed, but may not be on the disk: {error}: {advice}",
        path.display()
    )
}

/// What to do about a file that can't be written.
pub(super) fn advice(error: &std::io::Error) -> &'static str {
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EROFS) => "mount its file system read-write",
        Some(Errno::ENOSPC | Errno::EDQUOT) => "free some space",
        Some(Errno::EACCES | Errno::EPERM) => {
            "is it immutable or append-only (lsattr), or are we not root?"
        }
        Some(Errno::EBUSY) => "it is a mount point: change it where it is mounted from",
        Some(Errno::EISDIR) => "it is a directory: move it away",
        Some(Errno::ENOTDIR) => "something on its path is no directory",
        Some(Errno::ELOOP) => "too many symbolic links: mend them",
        Some(Errno::ENAMETOOLONG) => "give it a shorter name",
        Some(Errno::EFBIG) => "raise the limit for the size of files (ulimit -f)",
        Some(Errno::EMFILE | Errno::ENFILE) => "raise the limit for open files (ulimit -n)",
        // Not the kernel's word but ours, which names the cause.
        None => "then run apply again",
        _ => "see the kernel's log",
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;
    use crate::step::Step;

    #[test]
    fn a_mode_is_given_alone_and_taken_back() {
        let top = tempfile::tempdir().unwrap();
        let mut host = Host::image(top.path()).unwrap();
        let write = |mode| Step::WriteFile {
            path: "/f".into(),
            content: b"a\n".to_vec(),
            owner: Owner::Ours,
            access: Some(Access {
                mode,
                uid: nix::unistd::geteuid().as_raw(),
                gid: nix::unistd::getegid().as_raw(),
            }),
        };
        let mode = || top.path().join("f").metadata().unwrap().mode() & 0o7777;
        assert!(host.is_private(&write(0o640)));
        for wanted in [0o600, 0o4755, 0o640] {
            let prior = host.prior(&write(wanted)).unwrap();
            host.perform(&write(wanted), &prior).unwrap();
            assert_eq!(mode(), wanted);
        }
        let prior = host.prior(&write(0o644)).unwrap();
        host.perform(&write(0o644), &prior).unwrap();
        assert!(!host.is_private(&write(0o644)) && host.is_private(&write(0o640)));
        let Prior::File { file, .. } = prior else {
            panic!("{prior:?}")
        };
        let now = host.found(Path::new("/f")).unwrap();
        host.restore(Path::new("/f"), &file, &now).unwrap();
        assert_eq!(mode(), 0o640);
        host.lay_over(&write(0o751)).unwrap();
        let planned = host.access(Path::new("/f")).unwrap();
        assert_eq!(planned.map(|access| access.mode), Some(0o751));
    }

    #[test]
    fn journals_of_before_have_no_mode() {
        let old = r#"{"step":"write_file","path":"/f","content":"a","owner":"ours"}"#;
        let step: Step = serde_json::from_str(old).unwrap();
        assert_eq!(step, Step::write("/f", "a", Owner::Ours));
        assert_eq!(serde_json::to_string(&step).unwrap(), old);
    }
}
