//! Running the system's own programs, on the change path only: argv, never a shell, with an
//! environment that nobody outside can bend.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use super::Host;
use crate::error::{Error, Result, trouble};

/// Where programs are looked for, whatever PATH says: we are root.
pub(super) const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";
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
        self.words(argv).map(drop)
    }

    /// Runs a program to its end; what it said on both its outputs.
    ///
    /// # Errors
    /// As [`Host::run`].
    pub(super) fn words(&self, argv: &[&str]) -> Result<String> {
        self.ended(argv, None)?
            .map_err(|failure| failure.into_error(argv))
    }

    /// Runs a program that reads `input`, or nothing, to its end; what it said on both its outputs.
    ///
    /// # Errors
    /// Where it is not installed or exceeds 90 s.
    pub(super) fn ended(
        &self,
        argv: &[&str],
        input: Option<&[u8]>,
    ) -> Result<std::result::Result<String, Failure>> {
        self.ended_within(TIME_LIMIT, argv, input)
    }

    /// The same for a program that may take longer, or not so long.
    ///
    /// # Errors
    /// Where it is not installed or exceeds `limit`.
    pub(super) fn ended_within(
        &self,
        limit: Duration,
        argv: &[&str],
        input: Option<&[u8]>,
    ) -> Result<std::result::Result<String, Failure>> {
        let Some((name, arguments)) = argv.split_first() else {
            return Ok(Ok(String::new()));
        };
        let program = in_path(name)?;
        let shown = argv.join(" ");
        let expression = duct::cmd(program, arguments);
        let expression = match input {
            Some(bytes) => expression.stdin_bytes(bytes),
            None => expression.stdin_null(),
        };
        let handle = expression
            .full_env([("PATH", PATH), ("LC_ALL", "C.UTF-8")])
            // Ours may be gone, or on a file system that someone wants to unmount.
            .dir("/")
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
            .wait_timeout(limit)
            .map_err(|error| trouble!("{shown}: {error}"))?
        else {
            // It may be beyond killing (uninterruptible sleep): the time limit is what is reported.
            let _ = handle.kill();
            return Err(trouble!(
                "{shown}: no end after {} s, stopped",
                limit.as_secs()
            ));
        };
        if output.status.success() {
            return Ok(Ok(String::from_utf8_lossy(&output.stderr).into_owned()));
        }
        let from = output.stderr.len().saturating_sub(COMPLAINT);
        let complaint = String::from_utf8_lossy(output.stderr.get(from..).unwrap_or_default());
        Ok(Err(Failure {
            status: output.status,
            complaint: complaint.trim().to_owned(),
        }))
    }
}

/// Where a program is.
///
/// # Errors
/// Where it is not installed.
pub(super) fn in_path(name: &str) -> Result<PathBuf> {
    which::which_in(name, Some(PATH), "/")
        .map_err(|_| trouble!("{name} is not in {PATH}: install it"))
}

/// The first of a program's names by which it is installed; the last one where it is not.
pub(super) fn first_of<'a>(names: &[&'a str]) -> &'a str {
    let mut installed = names
        .iter()
        .filter(|name| which::which_in(name, Some(PATH), "/").is_ok());
    installed
        .next()
        .or(names.last())
        .copied()
        .unwrap_or_default()
}

/// How a program failed.
#[derive(Debug)]
pub(super) struct Failure {
    /// Its exit status or signal.
    pub status: ExitStatus,
    /// Its last words.
    pub complaint: String,
}

impl Failure {
    /// The failure as an error.
    pub fn into_error(self, argv: &[&str]) -> Error {
        trouble!("{}: {}: {}", argv.join(" "), self.status, self.complaint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_reads_its_input_and_tells_how_it_failed() {
        let host = Host::live();
        let grep = |input| host.ended(&["grep", "-q", "rule"], input).unwrap();
        assert!(grep(Some(b"a rule\n".as_slice())).is_ok());
        assert_eq!(grep(None).unwrap_err().status.code(), Some(1));
        let failure = host.ended(&["ls", "/no/such"], None).unwrap().unwrap_err();
        assert!(failure.complaint.contains("/no/such"), "{failure:?}");
        let error = host.ended(&["no-such-program"], None).unwrap_err();
        assert!(error.to_string().starts_with("no-such-program is not in "));
    }
}
