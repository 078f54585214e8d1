//! What stands against changing a host now that nobody asked for a change: another program is in the
//! middle of one, or somebody said so.

use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use super::{Host, lock};
use crate::error::{Result, trouble};
use crate::step::Manager;

/// Says until when, in seconds since the boot; `/run` is empty after one.
const PAUSE: &str = "/run/nodeprep/pause";
/// What kubeadm is asked that changes the host, by its first word.
const CHANGES: [&str; 4] = ["init", "join", "upgrade", "reset"];
/// systemd answers at once, or is being replaced.
const PATIENCE: Duration = Duration::from_secs(5);

impl Host {
    /// Why nothing is to be changed now, in words; none where nothing stands against it.
    ///
    /// # Errors
    /// Where that cannot be told.
    pub fn occupied(&self) -> Result<Option<String>> {
        if let Some(left) = self.paused()? {
            let left = humantime::format_duration(left);
            return Ok(Some(format!(
                "paused for {left}: `nodeprep daemon resume` ends it"
            )));
        }
        if self.is_locked()? {
            return Ok(Some("another run changes this host".into()));
        }
        if let Some(run) = self.guarded()? {
            return Ok(Some(format!("run {run} waits to be confirmed")));
        }
        for manager in [Manager::Apt, Manager::Dnf] {
            if let Some(who) = self.who_uses(manager)? {
                return Ok(Some(who));
            }
        }
        kubeadm()
    }

    /// Whether systemd goes down, and would refuse to start anything.
    #[must_use]
    pub fn goes_down(&self) -> bool {
        // The word is the same whatever the exit code, which tells of failed units too.
        let argv = ["systemctl", "is-system-running"];
        match self.ended_within(PATIENCE, &argv, None) {
            Ok(Ok(word)) => word.trim() == "stopping",
            Ok(Err(failure)) => failure.complaint == "stopping",
            // No systemd, or one that is being replaced.
            Err(_) => false,
        }
    }

    /// For how long nothing is enforced still.
    ///
    /// # Errors
    /// Where that cannot be read.
    pub fn paused(&self) -> Result<Option<Duration>> {
        self.note_path(Path::new(PAUSE));
        let until = match std::fs::read_to_string(PAUSE) {
            Ok(text) => text.trim().parse().map_err(|_| {
                trouble!(
                    "{PAUSE}: \"{}\" is no time: `nodeprep daemon resume`",
                    text.trim()
                )
            })?,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(trouble!("{PAUSE}: {error}")),
        };
        let left = Duration::from_secs(until).checked_sub(super::watch::now()?);
        Ok(left
            .filter(|left| !left.is_zero())
            .map(|left| Duration::from_secs(left.as_secs() + 1)))
    }

    /// Has nothing enforced for so long.
    ///
    /// # Errors
    /// Where the file that says so cannot be written.
    pub fn pause(&self, time: Duration) -> Result<()> {
        let until = super::watch::now()?.saturating_add(time).as_secs();
        let failed = |error: std::io::Error| trouble!("{PAUSE}: {error}");
        let new = format!("{PAUSE}.new");
        lock::make_directory().map_err(failed)?;
        std::fs::write(&new, format!("{until}\n")).map_err(failed)?;
        std::fs::rename(&new, PAUSE).map_err(failed)
    }

    /// Ends a pause; tells whether there was one.
    ///
    /// # Errors
    /// Where the file that says so cannot be removed.
    pub fn resume(&self) -> Result<bool> {
        match std::fs::remove_file(PAUSE) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(trouble!("{PAUSE}: {error}")),
        }
    }

    /// Whether a run holds the lock. To try it would make that of others fail.
    ///
    /// # Errors
    /// Where that cannot be told.
    pub fn is_locked(&self) -> Result<bool> {
        let meta = match std::fs::symlink_metadata(lock::LOCK) {
            Ok(meta) => meta,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(trouble!("{}: {error}", lock::LOCK)),
        };
        let locks = std::fs::read_to_string("/proc/locks")
            .map_err(|error| trouble!("/proc/locks: {error}"))?;
        let device = (
            nix::sys::stat::major(meta.dev()),
            nix::sys::stat::minor(meta.dev()),
        );
        Ok(locks
            .lines()
            .any(|line| is_lock_of(line, device, meta.ino())))
    }
}

/// Whether a line of /proc/locks is a flock(2) of a file: `1: FLOCK  ADVISORY  WRITE 12 fe:00:34 0 EOF`
/// (proc_locks(5)); who waits for one has an arrow.
fn is_lock_of(line: &str, (major, minor): (u64, u64), inode: u64) -> bool {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [_, "FLOCK", _, _, _, file, ..] = words.as_slice() else {
        return false;
    };
    let mut numbers = file.split(':');
    let mut hex = || u64::from_str_radix(numbers.next()?, 16).ok();
    let same_device = hex() == Some(major) && hex() == Some(minor);
    same_device && numbers.next().and_then(|text| text.parse().ok()) == Some(inode)
}

/// The kubeadm that changes this host now.
fn kubeadm() -> Result<Option<String>> {
    let entries = std::fs::read_dir("/proc").map_err(|error| trouble!("/proc: {error}"))?;
    for entry in entries.flatten() {
        let of = |name: &str| std::fs::read_to_string(entry.path().join(name));
        // Most are no processes, and one may have ended since.
        if !of("comm").is_ok_and(|name| name.trim_end() == "kubeadm") {
            continue;
        }
        let arguments = of("cmdline").unwrap_or_default();
        let mut arguments = arguments.split('\0').skip(1);
        if let Some(what) = arguments.find(|word| CHANGES.contains(word)) {
            let process = entry.file_name();
            return Ok(Some(format!(
                "kubeadm {what} runs (process {})",
                process.display()
            )));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::is_lock_of;

    #[test]
    fn the_line_of_a_lock() {
        let is = |line| is_lock_of(line, (0xfe, 0), 6799383);
        assert!(is("11: FLOCK  ADVISORY  WRITE 27875 fe:00:6799383 0 EOF"));
        for line in [
            "11: POSIX  ADVISORY  WRITE 27875 fe:00:6799383 0 EOF",
            "11: -> FLOCK  ADVISORY  WRITE 27875 fe:00:6799383 0 EOF",
            "11: FLOCK  ADVISORY  WRITE 27875 fe:01:6799383 0 EOF",
            "11: FLOCK  ADVISORY  WRITE 27875 fe:00:679938 0 EOF",
            "11: FLOCK ADVISORY WRITE 27875 fe",
            "",
        ] {
            assert!(!is(line), "{line}");
        }
    }
}
