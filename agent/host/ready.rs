//! Restarting a daemon and waiting until it is of use: systemd's word is about the process, and a
//! containerd whose CRI plugin has failed is an active unit.

use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::Host;
use super::cri::{self, Cri};
use crate::error::{Result, trouble};
use crate::step::Probe;

/// containerd opens its database and recovers every container first; what takes longer than this on
/// a loaded node will not come.
const COMES_BACK: Duration = Duration::from_secs(30);
/// How long between two looks.
const PAUSE: Duration = Duration::from_millis(200);

impl Host {
    pub(super) fn restart(&self, unit: &str, ready: Option<&Probe>) -> Result<()> {
        let begin = SystemTime::now();
        // systemd refuses a unit that was started five times in ten seconds, also where it was stopped
        // for that start: one run after the other must not leave a runtime down (systemd.unit(5),
        // StartLimitBurst=). This forgets the count; a unit that is not loaded has none.
        let _ = self.run(&["systemctl", "reset-failed", unit]);
        // It ends once the unit is ready (systemctl(1)); for Type=notify that is the unit's word.
        self.run(&["systemctl", "restart", unit])
            .and_then(|()| match ready {
                None => Ok(()),
                Some(Probe::Cri { socket }) => runtime_comes(socket),
            })
            .map_err(|error| match self.complaint(unit, begin) {
                Some(complaint) => {
                    // systemctl's second line says where to look for that.
                    let error = error.to_string();
                    trouble!("{}: {complaint}", error.lines().next().unwrap_or_default())
                }
                None => error,
            })
    }

    /// What containerd says of a start that failed, if its log can be read: its last words where it
    /// ended, else why the CRI plugin did not load. Other plugins complain at every start.
    fn complaint(&self, unit: &str, since: SystemTime) -> Option<String> {
        let since = since.duration_since(UNIX_EPOCH).ok()?.as_secs();
        let since = format!("--since=@{since}");
        let argv = [
            "journalctl",
            "--no-pager",
            "--output=cat",
            &since,
            "--unit",
            unit,
        ];
        let log = self.words(&argv).ok()?;
        let bad = |line: &&str| {
            line.starts_with("containerd: ")
                || line.contains("failed to load plugin") && line.contains("cri")
        };
        log.lines().rfind(bad).map(|line| line.trim().to_owned())
    }
}

fn runtime_comes(socket: &Path) -> Result<()> {
    let until = Instant::now() + COMES_BACK;
    loop {
        let last = match cri::ask(socket) {
            Ok(Cri::Answers(answer)) => match answer.not_ready {
                None => return Ok(()),
                Some(reason) => trouble!("{}: not ready: {reason}", socket.display()),
            },
            // A daemon registers its services before it listens: this one will not come.
            Ok(Cri::Off(complaint, _)) => {
                return Err(trouble!("no CRI on {}: {complaint}", socket.display()));
            }
            Ok(Cri::Absent) => trouble!("nothing listens on {}", socket.display()),
            Err(error) => error,
        };
        if Instant::now() > until {
            return Err(last);
        }
        std::thread::sleep(PAUSE);
    }
}
