//! Walking a path name by name: what openat2(2) does on newer kernels so that no link leads out of a
//! tree, and what no kernel does, not following links that others than root could have put there.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat, readlinkat};
use nix::sys::stat::{FileStat, Mode, fstat};

use super::Host;
use super::write::explain;
use crate::error::{Result, trouble};

/// Links followed before we call it a loop: the kernel's own limit (include/linux/namei.h,
/// MAXSYMLINKS).
const MOST_LINKS: usize = 40;

/// Opens a path below a directory that no link can lead out of: absolute links and `..` end at `root`.
pub(super) fn open_in(root: &OwnedFd, inside: &Path, flags: OFlag) -> nix::Result<OwnedFd> {
    let how = OpenHow::new()
        .flags(flags | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_IN_ROOT);
    match nix::fcntl::openat2(root, inside, how) {
        // Before Linux 5.6; in a container whose seccomp filter does not know the call; where there
        // is a `..` and anything was renamed or mounted on the machine meanwhile.
        Err(Errno::ENOSYS | Errno::EPERM | Errno::EAGAIN) => open_by_walking(root, inside, flags),
        answer => answer,
    }
}

fn open_by_walking(root: &OwnedFd, inside: &Path, flags: OFlag) -> nix::Result<OwnedFd> {
    let last = match flags.contains(OFlag::O_NOFOLLOW) {
        true => Last::Keep,
        false => Last::Follow,
    };
    let place = walk(root, inside, last, |_, _| Ok(()))?;
    open_name(&place.dir, &place.name, flags)
}

/// Whether a link that is the last name of a path is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Last {
    Follow,
    Keep,
}

/// Where a path ends.
#[derive(Debug)]
pub(super) struct Place {
    /// The directory, opened with O_PATH.
    pub dir: OwnedFd,
    /// The name in it, which may not exist.
    pub name: OsString,
    /// The path without the links that were followed.
    pub path: PathBuf,
}

/// Path resolution as by openat2(2) with RESOLVE_IN_ROOT, in calls that Linux has had since 2.6.39,
/// except that a magic link of /proc is the text it reads as. `follow` is asked before each link, by
/// its directory and name.
fn walk(
    root: &OwnedFd,
    path: &Path,
    last: Last,
    mut follow: impl FnMut(&OwnedFd, &OsStr) -> nix::Result<()>,
) -> nix::Result<Place> {
    let mut names = VecDeque::new();
    put_before(&mut names, path.as_os_str());
    // The directories gone down through: `..` must not ask the file system.
    let mut down: Vec<(OsString, OwnedFd)> = Vec::new();
    let mut links = 0;
    while let Some(name) = names.pop_front() {
        match name.as_bytes() {
            b"" | b"." => continue,
            b".." => {
                down.pop();
                continue;
            }
            _ => {}
        }
        let here = down.last().map_or(root, |(_, dir)| dir);
        let is_last = names.is_empty();
        if !(is_last && last == Last::Keep)
            && let Some(target) = link(here, &name)?
        {
            follow(here, &name)?;
            links += 1;
            if links > MOST_LINKS {
                return Err(Errno::ELOOP);
            }
            if target.as_bytes().starts_with(b"/") {
                down.clear();
            }
            put_before(&mut names, &target);
        } else if is_last {
            return place(root, down, name);
        } else {
            let directory = open_name(here, &name, OFlag::O_PATH | OFlag::O_DIRECTORY)?;
            down.push((name, directory));
        }
    }
    place(root, down, ".".into())
}

fn place(root: &OwnedFd, mut down: Vec<(OsString, OwnedFd)>, name: OsString) -> nix::Result<Place> {
    let names = down.iter().map(|(name, _)| name).chain([&name]);
    let path = Path::new("/").join(names.collect::<PathBuf>());
    let dir = match down.pop() {
        Some((_, dir)) => dir,
        None => open_name(root, OsStr::new("."), OFlag::O_PATH | OFlag::O_DIRECTORY)?,
    };
    Ok(Place { dir, name, path })
}

/// Puts a path's names before those still to be walked. A slash at its end leaves an empty one, so that
/// what is before it must be a directory (path_resolution(7)).
fn put_before(names: &mut VecDeque<OsString>, path: &OsStr) {
    for name in path.as_bytes().rsplit(|byte| *byte == b'/') {
        names.push_front(OsStr::from_bytes(name).to_owned());
    }
}

fn link(dir: &OwnedFd, name: &OsStr) -> nix::Result<Option<OsString>> {
    match readlinkat(dir, name) {
        Ok(target) => Ok(Some(target)),
        // No link, or nothing: opening it will tell.
        Err(Errno::EINVAL | Errno::ENOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

fn open_name(dir: &OwnedFd, name: &OsStr, flags: OFlag) -> nix::Result<OwnedFd> {
    let flags = flags | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    openat(dir, name, flags, Mode::empty())
}

/// Whose links are followed on the way to a place we write in.
struct Trust {
    users: [u32; 3],
    groups: [u32; 3],
}

impl Trust {
    /// Root, ourselves, and whoever owns the tree and could change all of it anyhow.
    fn new(root: &FileStat) -> Self {
        let (user, group) = (nix::unistd::geteuid(), nix::unistd::getegid());
        Self {
            users: [0, user.as_raw(), root.st_uid],
            groups: [0, group.as_raw(), root.st_gid],
        }
    }

    /// Whether only those can put names into a directory.
    fn holds(&self, dir: &FileStat) -> bool {
        let by_group = dir.st_mode & 0o020 != 0 && !self.groups.contains(&dir.st_gid);
        let by_all = dir.st_mode & 0o002 != 0;
        self.users.contains(&dir.st_uid) && !by_group && !by_all
    }
}

impl Host {
    /// Refuses a directory that others than root could put something into, where what is in it is
    /// believed: a journal says what is to be written.
    ///
    /// # Errors
    /// Where it is such a directory, or cannot be looked at. One that is not there is fine.
    pub fn must_be_trusted(&self, dir: &Path) -> Result<()> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY;
        let look = |path| self.open(path, flags).and_then(fstat);
        match (look(dir), look(Path::new("/"))) {
            (Err(Errno::ENOENT | Errno::ENOTDIR), _) => Ok(()),
            (Ok(dir), Ok(root)) if Trust::new(&root).holds(&dir) => Ok(()),
            (Err(error), _) | (_, Err(error)) => {
                Err(trouble!("{}: {}", dir.display(), error.desc()))
            }
            _ => Err(trouble!(
                "{} can be written by others than root, so what is in it is not believed: look who has \
                 been there, then make it root's with mode 0700",
                dir.display()
            )),
        }
    }

    /// Where a path to be written ends. No link is followed that others than root could have made.
    ///
    /// # Errors
    /// Where there is such a link, or the path leads through what is no directory.
    pub(super) fn place(&self, path: &Path, last: Last) -> Result<Place> {
        let live;
        let root = match &self.root {
            Some((_, root)) => root,
            None => {
                live = self.open(Path::new("/"), OFlag::O_PATH | OFlag::O_DIRECTORY);
                live.as_ref().map_err(|e| explain(path, &(*e).into()))?
            }
        };
        let trust = fstat(root).map(|root| Trust::new(&root));
        let mut refused = None;
        let follow = |dir: &OwnedFd, link: &OsStr| {
            if trust.as_ref().map_err(|e| *e)?.holds(&fstat(dir)?) {
                return Ok(());
            }
            refused = Some(trouble!(
                "{}: \"{}\" on its way is a link in a directory that others than root can write, and \
                 not followed: name the place it leads to, or mend the directory",
                path.display(),
                link.display()
            ));
            Err(Errno::ELOOP)
        };
        walk(root, path, last, follow)
            .map_err(|error| refused.unwrap_or_else(|| explain(path, &error.into())))
    }
}

#[cfg(test)]
#[path = "walk_test.rs"]
mod tests;
