//! Who else uses the package manager: it is waited for, and named where it does not end.

use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::OFlag;

use crate::error::{Result, trouble};
use crate::host::Host;
use crate::host::process::{comm, named};
use crate::step::Manager;

/// Files that apt and dpkg lock with fcntl(2) (apt's apt-pkg/deb/debsystem.cc, FileFd and
/// apt-pkg/acquire.cc; dpkg's lib/dpkg/dbmodify.c).
const APT_LOCKS: [&str; 4] = [
    "/var/lib/dpkg/lock-frontend",
    "/var/lib/dpkg/lock",
    "/var/lib/apt/lists/lock",
    "/var/cache/apt/archives/lock",
];
/// rpm's own lock, in either place of its database (rpm's lib/rpmlock.c).
const RPM_LOCKS: [&str; 2] = ["/var/lib/rpm/.rpm.lock", "/usr/lib/sysimage/rpm/.rpm.lock"];
/// Files that hold the number of the process that works (dnf's dnf/lock.py; yum's main loop).
const PID_FILES: [&str; 4] = [
    "/var/lib/dnf/rpmdb_lock.pid",
    "/var/cache/dnf/metadata_lock.pid",
    "/var/cache/dnf/download_lock.pid",
    "/var/run/yum.pid",
];
/// Long enough not to be felt by the other, short enough not to be felt by people.
const LOOK: Duration = Duration::from_millis(500);

impl Host {
    /// Waits until nobody else uses the package manager.
    ///
    /// # Errors
    /// Where someone still does after so many seconds: who.
    pub(super) fn wait_for_manager(&self, manager: Manager, seconds: u64) -> Result<()> {
        let until = Instant::now() + Duration::from_secs(seconds);
        let mut told = false;
        while let Some(who) = self.who_uses(manager)? {
            if Instant::now() >= until {
                return Err(trouble!(
                    "{who}, still after {seconds} s: wait for it to end, or give a longer [packages] wait"
                ));
            }
            if !told {
                tracing::warn!("{who}: waiting for up to {seconds} s");
                told = true;
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    /// Who uses the package manager now, in words.
    pub(in crate::host) fn who_uses(&self, manager: Manager) -> Result<Option<String>> {
        let locks: &[&str] = match manager {
            Manager::Apt => &APT_LOCKS,
            _ => &RPM_LOCKS,
        };
        for path in locks.iter().map(Path::new) {
            let fd = match self.open(path, OFlag::O_RDONLY | OFlag::O_NOFOLLOW) {
                Ok(fd) => fd,
                Err(Errno::ENOENT | Errno::ENOTDIR) => continue,
                Err(error) => return Err(trouble!("{}: {}", path.display(), error.desc())),
            };
            if let Some(pid) =
                holder(&fd).map_err(|e| trouble!("{}: {}", path.display(), e.desc()))?
            {
                return Ok(Some(format!(
                    "{} is locked by {}",
                    path.display(),
                    named(pid)
                )));
            }
        }
        if manager == Manager::Apt {
            return Ok(None);
        }
        for path in PID_FILES.iter().map(Path::new) {
            // Past what is remembered: it changes while we wait.
            self.read.borrow_mut().remove(path);
            let pid = self.text(path)?.and_then(|text| text.trim().parse().ok());
            if let Some(pid) = pid.filter(|pid| comm(*pid).is_some()) {
                return Ok(Some(format!("{} names {}", path.display(), named(pid))));
            }
        }
        Ok(None)
    }
}

/// The process that has a file locked (fcntl(2), F_GETLK); 0 where it is of another PID namespace.
fn holder(file: &impl AsFd) -> nix::Result<Option<i32>> {
    let mut lock = libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    nix::fcntl::fcntl(file, nix::fcntl::FcntlArg::F_GETLK(&mut lock))?;
    Ok((i32::from(lock.l_type) != libc::F_UNLCK).then_some(lock.l_pid))
}
