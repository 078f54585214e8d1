//! When something happened: a daemon that is older than the last change of its files runs with
//! other settings than they say.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::FileStat;
use nix::time::{ClockId, clock_gettime};

use super::files::kind_of;
use super::{Host, Kind, Origin};
use crate::error::{Result, trouble};

/// Where systemd keeps the cgroups of system services: cgroup v2, v1, and v2 beside v1
/// (systemd's docs/CGROUP_DELEGATION.md).
const SLICES: [&str; 3] = [
    "/sys/fs/cgroup/system.slice",
    "/sys/fs/cgroup/systemd/system.slice",
    "/sys/fs/cgroup/unified/system.slice",
];
/// Start times in /proc/PID/stat count in ticks of this many to the second (proc(5); USER_HZ in
/// include/asm-generic/param.h).
const USER_HZ: u64 = 100;
/// A process's name is cut to this length (proc(5), TASK_COMM_LEN with its NUL).
const COMM_LENGTH: usize = 15;
/// Start times are known to 10 ms, file times to a tick of the kernel, which is no longer.
const BLUR: Duration = Duration::from_millis(20);

/// A process that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its number, which names its directory in /proc.
    pub id: String,
    /// When it started, since the boot.
    ticks: u64,
}

impl Host {
    /// When a file or directory last changed, in content, name or mode; for a link the later of the
    /// link and what it names. None where there is nothing. A file moved into place keeps its old
    /// mtime, so ctime counts as well.
    ///
    /// # Errors
    /// Where the path cannot be looked up.
    pub fn changed(&self, path: &Path) -> Result<Option<SystemTime>> {
        self.note_file(path);
        self.change_time(path)
    }

    /// Whether a log has been written to since then. It is written to all the time: only that it comes
    /// and goes is noted.
    ///
    /// # Errors
    /// Where the path cannot be looked up.
    pub fn written_since(&self, path: &Path, then: SystemTime) -> Result<bool> {
        self.note_path(path);
        let changed = self.change_time(path)?;
        Ok(changed.is_some_and(|changed| changed + BLUR >= then))
    }

    fn change_time(&self, path: &Path) -> Result<Option<SystemTime>> {
        match self.origin {
            Origin::Image => return Ok(None),
            Origin::Captured => {
                let seconds = self.answers()?.changed.get(path).copied().unwrap_or(0);
                let there = self.kind(path)?.is_some();
                return Ok(there.then(|| UNIX_EPOCH + Duration::from_secs(seconds)));
            }
            Origin::Live => {}
        }
        let stat = match self.stat(path) {
            Ok(stat) => stat,
            Err(Errno::ENOENT | Errno::ENOTDIR) => return Ok(None),
            Err(error) => return Err(trouble!("{}: {}", path.display(), error.desc())),
        };
        let target = match kind_of(&stat) {
            // A link that leads nowhere has only its own time.
            Kind::Link => self
                .open(path, OFlag::O_PATH)
                .and_then(nix::sys::stat::fstat)
                .ok(),
            _ => None,
        };
        let target = target.filter(|target| kind_of(target) != Kind::Other);
        Ok(Some(target.map_or(last_change(&stat), |target| {
            last_change(&stat).max(last_change(&target))
        })))
    }

    /// When the process `program` of a service of the system started; none where it does not run.
    /// A service's cgroup can hold others: containerd's shims are older than the containerd that
    /// was restarted.
    ///
    /// # Errors
    /// Where that cannot be told: no cgroups, or a /proc that hides other users' processes.
    pub fn started(&self, unit: &str, program: &str) -> Result<Option<SystemTime>> {
        let Some(process) = self.process(unit, program)? else {
            return Ok(None);
        };
        let since_boot = Duration::from_millis(process.ticks.saturating_mul(1000 / USER_HZ));
        let started = self.booted()?.checked_add(since_boot);
        let wrong = || trouble!("/proc/{}/stat: not as proc(5) has it", process.id);
        started.map(Some).ok_or_else(wrong)
    }

    /// The process `program` of a service of the system; none where it does not run.
    ///
    /// # Errors
    /// As [`Host::started`].
    pub fn process(&self, unit: &str, program: &str) -> Result<Option<Process>> {
        let mut hidden = None;
        let name = program.get(..COMM_LENGTH).unwrap_or(program);
        for process in self.processes_of(unit)?.lines() {
            let path = Path::new("/proc").join(process).join("stat");
            let Some(stat) = self.text(&path)? else {
                // It has ended since, or others' processes are hidden.
                hidden = Some(path);
                continue;
            };
            let wrong = || trouble!("{}: not as proc(5) has it", path.display());
            let (found, ticks) = name_and_start(&stat).ok_or_else(wrong)?;
            if found == name {
                let id = process.to_owned();
                return Ok(Some(Process { id, ticks }));
            }
        }
        match hidden {
            None => Ok(None),
            Some(path) => Err(trouble!("{}: not there, or hidden from us", path.display())),
        }
    }

    /// The one of `paths` that changed last, if that was after a daemon had started: then the daemon
    /// has not read it as it is now.
    ///
    /// # Errors
    /// Where a path cannot be looked up, or changed in the future by its time: no restart would make
    /// a daemon younger than that.
    pub fn changed_since(&self, started: SystemTime, paths: &[PathBuf]) -> Result<Option<PathBuf>> {
        let mut last: Option<(SystemTime, &PathBuf)> = None;
        for path in paths {
            last = last.max(self.changed(path)?.map(|changed| (changed, path)));
        }
        let now = (self.origin == Origin::Live).then(SystemTime::now);
        match last {
            Some((changed, path)) if now.is_some_and(|now| changed > now + BLUR) => Err(trouble!(
                "{} changed in the future, says its time: touch it",
                path.display()
            )),
            Some((changed, path)) if changed > started + BLUR => Ok(Some(path.clone())),
            _ => Ok(None),
        }
    }

    /// The processes of the service's cgroup, one a line.
    fn processes_of(&self, unit: &str) -> Result<String> {
        self.note_unit(unit);
        let mut slices = false;
        for slice in SLICES.map(Path::new) {
            let processes = self.text(&slice.join(unit).join("cgroup.procs"))?;
            if let Some(processes) = processes.filter(|text| !text.trim().is_empty()) {
                return Ok(processes);
            }
            slices |= self.is_directory(slice)?;
        }
        match slices {
            true => Ok(String::new()),
            false => Err(trouble!("no system.slice below /sys/fs/cgroup")),
        }
    }

    /// When the machine was booted. For the live one by its clocks, because `btime` is cut to
    /// seconds.
    fn booted(&self) -> Result<SystemTime> {
        if self.origin == Origin::Live {
            let since = clock_gettime(ClockId::CLOCK_BOOTTIME)
                .map_err(|error| trouble!("CLOCK_BOOTTIME: {}", error.desc()))?;
            return Ok(SystemTime::now() - Duration::from(since));
        }
        let text = self.text(Path::new("/proc/stat"))?.unwrap_or_default();
        let seconds = text.lines().find_map(|line| line.strip_prefix("btime "));
        let seconds = seconds.and_then(|text| text.trim().parse().ok());
        let seconds = seconds.ok_or_else(|| trouble!("/proc/stat has no btime"))?;
        let booted = UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
        booted.ok_or_else(|| trouble!("/proc/stat: no machine was booted at {seconds}"))
    }
}

/// A process's name, which may hold anything, and when it started, in ticks since the boot: the
/// second and the 22nd field (proc(5)).
fn name_and_start(stat: &str) -> Option<(&str, u64)> {
    let (begin, rest) = stat.rsplit_once(')')?;
    let (_, name) = begin.split_once('(')?;
    Some((name, rest.split_whitespace().nth(19)?.parse().ok()?))
}

fn last_change(stat: &FileStat) -> SystemTime {
    let time = |seconds: i64, nanoseconds: i64| {
        // Times before 1970 are as good as 1970.
        let seconds = u64::try_from(seconds).unwrap_or(0);
        UNIX_EPOCH + Duration::new(seconds, u32::try_from(nanoseconds).unwrap_or(0))
    };
    time(stat.st_mtime, stat.st_mtime_nsec).max(time(stat.st_ctime, stat.st_ctime_nsec))
}

#[cfg(test)]
mod tests {
    use super::name_and_start;

    #[test]
    fn a_name_may_hold_anything_and_a_line_may_be_cut() {
        let fields = "S 1 237 237 0 -1 4194560 1289 0 31 0 12 9 0 0 19 -1 1 0 305 50622464 3891";
        let stat = format!("237 (a) (b c) {fields}\n");
        assert_eq!(name_and_start(&stat), Some(("a) (b c", 305)));
        for cut in 0..stat.len() - " 305 50622464 3891\n".len() {
            assert_eq!(name_and_start(&stat[..cut]), None, "{cut}");
        }
    }
}
