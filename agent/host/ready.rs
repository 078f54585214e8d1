//! Starting a daemon and waiting until it is of use: systemd's word is about the process, and a
//! containerd whose CRI plugin has failed is an active unit.

use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::Host;
use super::cri::{self, Cri};
use crate::error::{Error, Result, trouble};
use crate::step::Probe;

/// containerd opens its database and recovers every container first; what takes longer than this on
/// a loaded node will not come.
const COMES_BACK: Duration = Duration::from_secs(30);
/// A program that dislikes its configuration ends within this time, mostly within a tenth of it; for
/// Type=simple systemd calls its unit started before it has read any.
const STAYS: Duration = Duration::from_secs(1);
/// How long between two looks.
const PAUSE: Duration = Duration::from_millis(200);
/// How many of a unit's last lines go into the error.
const LAST_LINES: usize = 3;

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
            .map_err(|error| self.with_complaint(unit, begin, error))
    }

    /// Starts a unit whose files may have changed since systemd read them.
    pub(super) fn start(&self, unit: &str) -> Result<()> {
        let begin = SystemTime::now();
        if self.unit_state(unit)?.is_stale {
            self.run(&["systemctl", "daemon-reload"])?;
        }
        // As for a restart.
        let _ = self.run(&["systemctl", "reset-failed", unit]);
        self.run(&["systemctl", "start", unit])
            .and_then(|()| self.stays(unit))
            .map_err(|error| self.with_complaint(unit, begin, error))
    }

    fn stays(&self, unit: &str) -> Result<()> {
        let until = Instant::now() + STAYS;
        while Instant::now() < until {
            if self.unit_state(unit)?.has_failed() {
                return Err(trouble!("{unit} was started and has ended again"));
            }
            std::thread::sleep(PAUSE);
        }
        Ok(())
    }

    fn with_complaint(&self, unit: &str, since: SystemTime, error: Error) -> Error {
        match self.complaint(unit, since) {
            Some(complaint) => {
                // systemctl's second line says where to look for that.
                let error = error.to_string();
                trouble!("{}: {complaint}", error.lines().next().unwrap_or_default())
            }
            None => error,
        }
    }

    /// What a unit says of a start that failed, if its log can be read.
    fn complaint(&self, unit: &str, since: SystemTime) -> Option<String> {
        let since = since.duration_since(UNIX_EPOCH).ok()?.as_secs();
        let since = format!("--since=@{since}");
        let log = |identity: &str| {
            let argv = ["journalctl", "--no-pager", "--output=cat", &since, identity];
            self.words(&argv).ok()
        };
        // What systemd says of it is in the first, what it says itself in both.
        let log = log(&format!("_SYSTEMD_UNIT={unit}"))
            .filter(|text| !text.trim().is_empty() && !text.starts_with("-- No entries"))
            .or_else(|| log(&format!("--unit={unit}")))?;
        last_words(&log)
    }
}

/// The line that tells why, where it is known which does: containerd's last words where it ended, else
/// why its CRI plugin did not load (other plugins complain at every start). Else the last lines.
fn last_words(log: &str) -> Option<String> {
    let lines: Vec<&str> = log
        .lines()
        .map(str::trim)
        .filter(|l| !l.is_empty())
        .collect();
    let bad = |line: &&&str| {
        line.starts_with("containerd: ")
            || line.contains("failed to load plugin") && line.contains("cri")
    };
    if let Some(line) = lines.iter().rfind(bad) {
        return Some((*line).to_owned());
    }
    let last = lines.get(lines.len().saturating_sub(LAST_LINES)..)?;
    (!last.is_empty()).then(|| last.join(" | "))
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

#[cfg(test)]
mod tests {
    use super::last_words;

    #[test]
    fn the_line_that_tells_why_or_the_last_ones() {
        let containerd = "level=info msg=starting\ncontainerd: invalid plugin config\nlevel=x\n";
        let words = |log| last_words(log).unwrap();
        assert_eq!(words(containerd), "containerd: invalid plugin config");
        assert_eq!(words("a\nb\n\n c\nd\n"), "b | c | d");
        assert_eq!(last_words(" \n"), None);
    }
}
