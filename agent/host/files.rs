//! Reading files of a host, each once a run, without ever leaving its root or hanging on a FIFO.

mod bytes;

use std::fs::File;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag};
use nix::sys::stat::{FileStat, Mode, SFlag};

use super::walk::open_in;
use super::{Host, Origin};
use crate::error::{Result, trouble};
use crate::step::Access;

use bytes::{PROC_BUFFER, SYSCTL_BUFFER, read_all};
pub(super) use bytes::{attributes, read_kernel};

/// For the names in a directory: nearly all of those we list fit in one call.
const NAMES_BUFFER: usize = 8192;
/// Larger files are refused: nothing we read comes near (modules.dep is below 2 MiB), and a sparse
/// file must not take the machine's memory.
pub(super) const LARGEST_FILE: u64 = 16 << 20;

/// The device that masks are links to, as a number (Documentation/admin-guide/devices.txt).
const NULL_DEVICE: u64 = nix::sys::stat::makedev(1, 3);

/// What a path is, links not followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Link,
    /// A device, FIFO or socket.
    Other,
}

/// Opens the root of a tree.
pub(super) fn open_root(dir: &Path) -> Result<OwnedFd> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    nix::fcntl::open(dir, flags, Mode::empty())
        .map_err(|e| trouble!("{}: {}: give a directory", dir.display(), e.desc()))
}

impl Host {
    /// A file's bytes; none where it does not exist. A link to `/dev/null` reads as empty.
    ///
    /// # Errors
    /// Where it exists and cannot be read, is no regular file, or is larger than 16 MiB.
    pub fn bytes(&self, path: &Path) -> Result<Option<Rc<[u8]>>> {
        self.note_file(path);
        if let Some(planned) = self.overlay.file(path) {
            return Ok(planned);
        }
        if let Some(Some(target)) = self.overlay.link(path) {
            let target = path.parent().unwrap_or(path).join(target);
            // A planned link to itself leads nowhere.
            return match self.overlay.link(&target) {
                Some(Some(_)) => Ok(None),
                _ => self.bytes(&target),
            };
        }
        if self.origin == Origin::Image && is_runtime(path) {
            return Ok(None);
        }
        if let Some(known) = self.read.borrow().get(path) {
            return Ok(known.clone());
        }
        let bytes: Option<Rc<[u8]>> = self
            .read_now(path)
            .map_err(|e| trouble!("{}: {}", path.display(), e))?
            .map(Into::into);
        self.read
            .borrow_mut()
            .insert(path.to_owned(), bytes.clone());
        Ok(bytes)
    }

    /// A file's text, bytes that are not UTF-8 replaced; none where it does not exist.
    ///
    /// # Errors
    /// As [`Host::bytes`].
    pub fn text(&self, path: &Path) -> Result<Option<String>> {
        // Many times faster than the lossy way, which nearly no file needs.
        let text = |bytes: Rc<[u8]>| match str::from_utf8(&bytes) {
            Ok(text) => text.to_owned(),
            Err(_) => String::from_utf8_lossy(&bytes).into_owned(),
        };
        Ok(self.bytes(path)?.map(text))
    }

    /// A file's text, for one that is to be edited: bytes that are no text would be lost.
    ///
    /// # Errors
    /// As [`Host::bytes`], and where it is not UTF-8.
    pub fn exact_text(&self, path: &Path) -> Result<Option<String>> {
        let Some(bytes) = self.bytes(path)? else {
            return Ok(None);
        };
        match str::from_utf8(&bytes) {
            Ok(text) => Ok(Some(text.to_owned())),
            Err(_) => Err(trouble!(
                "{} is not UTF-8: mend it by hand, it is left as it is",
                path.display()
            )),
        }
    }

    /// The names in a directory, sorted by byte value; none where there is no such directory.
    ///
    /// # Errors
    /// Where the directory exists and cannot be read, or has a name that is not UTF-8: no
    /// configuration we know has one, but who reads the directory would not leave it out.
    pub fn list(&self, dir: &Path) -> Result<Rc<[String]>> {
        self.note_names(dir);
        if self.origin == Origin::Image && is_runtime(dir) {
            return Ok(Rc::from([]));
        }
        if let Some(known) = self.listed.borrow().get(dir) {
            return Ok(self.overlay.names_in(dir, known));
        }
        let mut names = self
            .list_now(dir)
            .map_err(|e| trouble!("{}: {}", dir.display(), e))?;
        names.sort_unstable();
        let names: Rc<[String]> = names.into();
        self.listed
            .borrow_mut()
            .insert(dir.to_owned(), names.clone());
        Ok(self.overlay.names_in(dir, &names))
    }

    /// Where a symbolic link points; none where `path` is no link.
    ///
    /// # Errors
    /// Where the path cannot be looked up.
    pub fn link(&self, path: &Path) -> Result<Option<PathBuf>> {
        self.note_path(path);
        match self.overlay.link(path) {
            Some(planned) => Ok(planned),
            None => self.link_there(path),
        }
    }

    /// The same, whatever is planned.
    pub(super) fn link_there(&self, path: &Path) -> Result<Option<PathBuf>> {
        let answer = match self.root {
            None => nix::fcntl::readlink(path),
            Some(_) => self
                .beside(path)
                .and_then(|(dir, name)| nix::fcntl::readlinkat(dir, &*name)),
        };
        match answer {
            Ok(target) => Ok(Some(target.into())),
            Err(Errno::EINVAL | Errno::ENOENT | Errno::ENOTDIR) => Ok(None),
            Err(error) => Err(trouble!("{}: {}", path.display(), error.desc())),
        }
    }

    /// Whether /lib is another name for /usr/lib, as nearly everywhere: what is in it has been seen.
    ///
    /// # Errors
    /// Where it cannot be looked up.
    pub fn is_usr_merged(&self) -> Result<bool> {
        if let Some(known) = self.usr_merged.get() {
            return Ok(*known);
        }
        let merged = self.link(Path::new("/lib"))?.is_some();
        Ok(*self.usr_merged.get_or_init(|| merged))
    }

    /// What a path is, links not followed; none where there is nothing.
    ///
    /// # Errors
    /// Where the path cannot be looked up.
    pub fn kind(&self, path: &Path) -> Result<Option<Kind>> {
        self.note_path(path);
        match self.overlay.kind(path) {
            Some(planned) => Ok(planned),
            None => self.kind_there(path),
        }
    }

    /// The same, whatever is planned.
    pub(super) fn kind_there(&self, path: &Path) -> Result<Option<Kind>> {
        if self.origin == Origin::Image && is_runtime(path) {
            return Ok(None);
        }
        match self.stat(path) {
            Ok(stat) => Ok(Some(kind_of(&stat))),
            Err(Errno::ENOENT | Errno::ENOTDIR) => Ok(None),
            Err(error) => Err(trouble!("{}: {}", path.display(), error.desc())),
        }
    }

    /// Mode and owner of a file or directory, links followed; none where there is nothing.
    ///
    /// # Errors
    /// Where the path cannot be looked up.
    pub fn access(&self, path: &Path) -> Result<Option<Access>> {
        self.note_file(path);
        if let Some(planned) = self.overlay.access(path) {
            return Ok(planned);
        }
        match self
            .open(path, OFlag::O_PATH)
            .and_then(nix::sys::stat::fstat)
        {
            Ok(stat) => self.captured_access(path, access_of(&stat)).map(Some),
            Err(Errno::ENOENT | Errno::ENOTDIR) => Ok(None),
            Err(error) => Err(trouble!("{}: {}", path.display(), error.desc())),
        }
    }

    /// What a captured tree tells where the file has what a checkout gives it.
    fn captured_access(&self, path: &Path, found: Access) -> Result<Access> {
        if self.origin != Origin::Captured || found.mode & 0o044 == 0 {
            return Ok(found);
        }
        Ok(self.answers()?.access.get(path).copied().unwrap_or(found))
    }

    /// Whether a path is a directory, links followed.
    ///
    /// # Errors
    /// Where the path cannot be looked up.
    pub fn is_directory(&self, path: &Path) -> Result<bool> {
        self.note_path(path);
        if self.overlay.kind(path) == Some(Some(Kind::Directory)) {
            return Ok(true);
        }
        match self.open(path, OFlag::O_PATH | OFlag::O_DIRECTORY) {
            Ok(_) => Ok(true),
            Err(Errno::ENOENT | Errno::ENOTDIR) => Ok(false),
            Err(error) => Err(trouble!("{}: {}", path.display(), error.desc())),
        }
    }

    /// Whether a path leads to something with an execute bit.
    ///
    /// # Errors
    /// Where the path cannot be looked up.
    pub fn is_executable(&self, path: &Path) -> Result<bool> {
        self.note_file(path);
        let stat = self
            .open(path, OFlag::O_PATH)
            .and_then(nix::sys::stat::fstat);
        match stat {
            Ok(stat) => Ok(stat.st_mode & 0o111 != 0),
            Err(Errno::ENOENT | Errno::ENOTDIR) => Ok(false),
            Err(error) => Err(trouble!("{}: {}", path.display(), error.desc())),
        }
    }

    /// Opens a path of the host; in a tree no link can lead outside its root.
    pub(super) fn open(&self, path: &Path, flags: OFlag) -> nix::Result<OwnedFd> {
        let Some((_, root)) = &self.root else {
            return nix::fcntl::open(path, flags | OFlag::O_CLOEXEC, Mode::empty());
        };
        match path.strip_prefix("/").unwrap_or(path) {
            inside if inside.as_os_str().is_empty() => open_in(root, Path::new("."), flags),
            inside => open_in(root, inside, flags),
        }
    }

    /// The opened directory a path is in, and the path's last name.
    pub(super) fn beside(&self, path: &Path) -> nix::Result<(OwnedFd, std::ffi::OsString)> {
        let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(Errno::EINVAL);
        };
        Ok((
            self.open(dir, OFlag::O_PATH | OFlag::O_DIRECTORY)?,
            name.to_owned(),
        ))
    }

    /// lstat(2) on a path of the host.
    pub(super) fn stat(&self, path: &Path) -> nix::Result<FileStat> {
        if self.root.is_none() {
            return nix::sys::stat::lstat(path);
        }
        if path.parent().is_none() {
            return nix::sys::stat::fstat(self.open(path, OFlag::O_PATH)?);
        }
        let (dir, name) = self.beside(path)?;
        nix::sys::stat::fstatat(dir, &*name, AtFlags::AT_SYMLINK_NOFOLLOW)
    }

    fn read_now(&self, path: &Path) -> std::io::Result<Option<Vec<u8>>> {
        // O_NONBLOCK: opening a FIFO that someone put there must not hang (open(2)).
        let fd = match self.open(path, OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY) {
            Ok(fd) => fd,
            // A live machine has a /dev/null to open.
            Err(Errno::ENOENT | Errno::ENOTDIR) if self.origin == Origin::Live => return Ok(None),
            Err(Errno::ENOENT | Errno::ENOTDIR) => return self.dangling(path),
            // A socket, or a device without a driver (open(2)).
            Err(Errno::ENXIO) => return Err(no_file()),
            Err(error) => return Err(error.into()),
        };
        let file = File::from(fd);
        let meta = file.metadata()?;
        if meta.file_type().is_char_device() && meta.rdev() == NULL_DEVICE {
            return Ok(Some(Vec::new()));
        }
        if !meta.is_file() {
            return Err(no_file());
        }
        if meta.len() > LARGEST_FILE {
            return Err(std::io::Error::other(
                "is larger than 16 MiB: that is no configuration",
            ));
        }
        let (first, whole) = match meta.len() {
            0 if path.starts_with("/proc/sys") => (SYSCTL_BUFFER, true),
            0 => (PROC_BUFFER, false),
            size => (usize::try_from(size).unwrap_or(PROC_BUFFER) + 1, true),
        };
        read_all(file, first, whole).map(Some)
    }

    /// What a path that leads to no file reads as: empty where it is a link to `/dev/null`.
    fn dangling(&self, path: &Path) -> std::io::Result<Option<Vec<u8>>> {
        let target = self.link(path).map_err(std::io::Error::other)?;
        Ok(target
            .filter(|target| target == Path::new("/dev/null"))
            .map(|_| Vec::new()))
    }

    fn list_now(&self, dir: &Path) -> std::io::Result<Vec<String>> {
        let fd = match self.open(dir, OFlag::O_RDONLY | OFlag::O_DIRECTORY) {
            Ok(fd) => fd,
            Err(Errno::ENOENT | Errno::ENOTDIR) => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        };
        let mut names = Vec::new();
        let mut buffer = [MaybeUninit::uninit(); NAMES_BUFFER];
        let mut entries = rustix::fs::RawDir::new(fd, &mut buffer);
        while let Some(entry) = entries.next() {
            let entry = entry?;
            match entry.file_name().to_str() {
                Ok("." | "..") => {}
                Ok(name) => names.push(name.to_owned()),
                Err(_) => {
                    let name = entry.file_name().to_bytes().escape_ascii();
                    let text = format!("\"{name}\" in it is a name that is not UTF-8: rename it");
                    return Err(std::io::Error::other(text));
                }
            }
        }
        Ok(names)
    }
}

pub(super) fn no_file() -> std::io::Error {
    std::io::Error::other("is not a regular file: move it away")
}

/// What only a running system has.
fn is_runtime(path: &Path) -> bool {
    ["/proc", "/sys", "/run"]
        .iter()
        .any(|top| path.starts_with(top))
}

pub(super) fn access_of(stat: &FileStat) -> Access {
    Access {
        mode: stat.st_mode & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
    }
}

pub(super) fn kind_of(stat: &FileStat) -> Kind {
    match SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT {
        SFlag::S_IFREG => Kind::File,
        SFlag::S_IFDIR => Kind::Directory,
        SFlag::S_IFLNK => Kind::Link,
        _ => Kind::Other,
    }
}
