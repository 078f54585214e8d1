//! The guard of a run that has to be confirmed: a change that locks its administrator out takes
//! itself back, also where the agent or the machine went down meanwhile.
//!
//! It is two units of systemd: a timer for this boot, and the service it starts, which the next boot
//! starts by itself.

use std::path::Path;
use std::time::Duration;

use super::Host;
use crate::error::{Error, Result, trouble};
use crate::step::Owner;

const SERVICE: &str = "/etc/systemd/system/nodeprep-guard.service";
const TIMER: &str = "/etc/systemd/system/nodeprep-guard.timer";
const AT_BOOT: &str = "/etc/systemd/system/multi-user.target.wants/nodeprep-guard.service";
/// Names the guarded run in the service's file.
const RUN: &str = "# Takes back the run ";
/// How long the guard waits for the run it is to take back.
const PATIENCE: &str = "10min";

impl Host {
    /// The run that waits to be confirmed.
    ///
    /// # Errors
    /// Where the guard's file cannot be read.
    pub fn guarded(&self) -> Result<Option<String>> {
        let text = self.text(Path::new(SERVICE))?.unwrap_or_default();
        let run = text.lines().find_map(|line| line.strip_prefix(RUN));
        Ok(run.map(|run| run.trim_end_matches('.').to_owned()))
    }

    /// Has `run` taken back after `time`, or by the next boot.
    ///
    /// # Errors
    /// Where systemd does not run here, or a file cannot be written.
    pub fn guard(&self, run: &str, time: Duration) -> Result<()> {
        if let Some(reason) = self.no_live().or(self.no_boot()) {
            return Err(Error::Usage(format!(
                "--confirm needs systemd to take a run back: {reason}"
            )));
        }
        let write = |path: &str, text: String| {
            let path = Path::new(path);
            self.replace(path, text.as_bytes(), Owner::Ours, None, &self.found(path)?)
        };
        write(SERVICE, service(run, &program()?))?;
        write(TIMER, timer(time))?;
        let wants = Path::new(AT_BOOT);
        if let Some(directory) = wants.parent() {
            self.make_directory(directory)?;
        }
        self.replace_link(wants, Path::new(SERVICE), &self.found(wants)?)?;
        self.run(&["systemctl", "daemon-reload"])?;
        self.restart_guard()
    }

    /// Lets the time begin anew.
    ///
    /// # Errors
    /// Where systemd refuses.
    pub fn restart_guard(&self) -> Result<()> {
        self.run(&["systemctl", "restart", "nodeprep-guard.timer"])
    }

    /// Lets a guarded run stay; without a guard nothing happens.
    ///
    /// # Errors
    /// Where systemd refuses, or a file cannot be removed.
    pub fn dismiss_guard(&self) -> Result<()> {
        if self.guarded()?.is_none() {
            return Ok(());
        }
        self.run(&["systemctl", "stop", "nodeprep-guard.timer"])?;
        // The file that names the run goes last: until then the guard can be dismissed again.
        for path in [AT_BOOT, TIMER, SERVICE] {
            self.remove(Path::new(path), nix::unistd::UnlinkatFlags::NoRemoveDir)?;
        }
        self.run(&["systemctl", "daemon-reload"])
    }
}

/// This program, as systemd can be told to start it (systemd.service(5), COMMAND LINES).
fn program() -> Result<String> {
    let path = std::env::current_exe().map_err(|error| trouble!("/proc/self/exe: {error}"))?;
    let plain = |c: char| !c.is_control() && !"\"'\\%$".contains(c);
    match path.to_str().filter(|path| path.chars().all(plain)) {
        Some(path) => Ok(path.to_owned()),
        None => Err(trouble!(
            "{}: systemd cannot be told to start a program of that name: move it to /usr/local/bin",
            path.display()
        )),
    }
}

fn service(run: &str, program: &str) -> String {
    format!(
        "{RUN}{run}.\n\
         # `nodeprep confirm` removes this file.\n\
         [Unit]\n\
         Description=Take back what was not confirmed\n\
         After=local-fs.target systemd-journald.service\n\
         \n\
         [Service]\n\
         Type=oneshot\n\
         ExecStart=\"{program}\" rollback {run} --guard --wait {PATIENCE}\n\
         SuccessExitStatus=2 3\n"
    )
}

fn timer(time: Duration) -> String {
    format!(
        "# Made by `nodeprep apply --confirm`.\n\
         [Timer]\n\
         OnActiveSec={}s\n\
         AccuracySec=1s\n",
        time.as_secs()
    )
}
