//! One run at a time: two agents that change one host would each undo what the other verified.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::fcntl::OFlag;

use super::Host;
use crate::error::{Error, Result, trouble};

/// Where the lock of a live host is; `/run` is empty after every boot, so no stale one remains.
pub(super) const LOCK: &str = "/run/nodeprep/lock";
/// How often a waiting run tries again: a person sees no delay, and it costs nothing.
const RETRY: Duration = Duration::from_millis(100);

/// The right to change a host, until it is dropped.
#[derive(Debug)]
pub struct RunLock {
    _file: File,
}

impl Host {
    /// Takes the run lock, trying for as long as `wait`. An image is locked by its root directory,
    /// so that nothing is left in it.
    ///
    /// # Errors
    /// [`Error::Locked`] where another run still holds it then.
    pub fn lock(&self, wait: Duration) -> Result<RunLock> {
        let (path, file) = match &self.root {
            Some((dir, _)) => (dir.as_path(), File::open(dir)),
            None => (Path::new(LOCK), open_lock()),
        };
        let shown = path.display();
        let mut file = file.map_err(|error| trouble!("{shown}: {error}"))?;
        let until = Instant::now() + wait;
        while let Err(error) = file.try_lock() {
            match error {
                std::fs::TryLockError::WouldBlock if Instant::now() >= until => {
                    return Err(held(path, &mut file));
                }
                std::fs::TryLockError::WouldBlock => std::thread::sleep(RETRY),
                std::fs::TryLockError::Error(error) => return Err(trouble!("{shown}: {error}")),
            }
        }
        if self.root.is_none() {
            // Only for the message above; a lock without our number in it still locks.
            let _ = file.set_len(0).and_then(|()| file.rewind());
            let _ = write!(file, "{}", std::process::id());
        }
        Ok(RunLock { _file: file })
    }
}

/// Makes the directory that the lock is in.
pub(super) fn make_directory() -> std::io::Result<()> {
    let dir = Path::new(LOCK).parent().unwrap_or(Path::new("/"));
    match std::fs::DirBuilder::new().mode(0o755).create(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

fn open_lock() -> std::io::Result<File> {
    let path = Path::new(LOCK);
    make_directory()?;
    let flags = OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(flags.bits())
        .open(path)
}

fn held(path: &Path, file: &mut File) -> Error {
    let mut holder = String::new();
    let known = file
        .rewind()
        .and_then(|()| file.read_to_string(&mut holder))
        .is_ok();
    let who = if known && !holder.is_empty() {
        format!(" (process {holder})")
    } else {
        String::new()
    };
    Error::Locked(format!(
        "another run{who} holds {}: wait for it, or give --wait 60s",
        path.display()
    ))
}
