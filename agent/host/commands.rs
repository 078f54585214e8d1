//! Running the system's own programs, on the change path only: argv, never a shell, with an
//! environment that nobody outside can bend.

use std::os::unix::process::CommandExt;
use std::time::Duration;

use super::Host;
use crate::error::{Result, trouble};

/// Where programs are looked for, whatever PATH says: we are root.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";
/// A daemon-reload with thousands of units takes seconds, a module that probes hardware too;
/// beyond this something hangs. systemd's own default for a job is 90 s.
const TIME_LIMIT: Duration = Duration::from_secs(90);
/// How much of what a program complained goes into the error.
const COMPLAINT: usize = 1024;

impl Host {
    /// Runs a program to its end.
    ///
    /// # Errors
    /// Where it is not installed, fails (its last words are in the error) or exceeds 90 s.
    pub(super) fn run(&self, argv: &[&str]) -> Result<()> {
        let Some((name, arguments)) = argv.split_first() else {
            return Ok(());
        };
        let program = which::which_in(name, Some(PATH), "/")
            .map_err(|_| trouble!("{name} is not in {PATH}: install it"))?;
        let shown = argv.join(" ");
        let handle = duct::cmd(program, arguments)
            .full_env([("PATH", PATH), ("LC_ALL", "C.UTF-8")])
            .stdin_null()
            .stdout_to_stderr()
            .stderr_capture()
            .unchecked()
            // Ctrl-C at the terminal is for us: the step that runs is finished first.
            .before_spawn(|command| {
                command.process_group(0);
                Ok(())
            })
            .start()
            .map_err(|error| trouble!("{shown}: {error}"))?;
        let Some(output) = handle
            .wait_timeout(TIME_LIMIT)
            .map_err(|error| trouble!("{shown}: {error}"))?
        else {
            // It may be beyond killing (uninterruptible sleep): the time limit is what is reported.
            let _ = handle.kill();
            return Err(trouble!(
                "{shown}: no end after {} s, stopped",
                TIME_LIMIT.as_secs()
            ));
        };
        if output.status.success() {
            return Ok(());
        }
        let from = output.stderr.len().saturating_sub(COMPLAINT);
        let complaint = String::from_utf8_lossy(output.stderr.get(from..).unwrap_or_default());
        Err(trouble!("{shown}: {}: {}", output.status, complaint.trim()))
    }
}
