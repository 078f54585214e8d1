//! Running a package manager: it may take an hour, and to end it half-way is worse than to wait.

use std::io::{BufRead, BufReader, PipeReader, Read};
use std::os::unix::process::CommandExt;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use crate::error::{Result, trouble};
use crate::host::Host;
use crate::host::commands::{Failure, PATH, in_path};
use crate::host::progress::Progress;

/// A distribution's upgrade over a slow line takes half of it; what takes longer waits for someone.
const TIME_LIMIT: Duration = Duration::from_secs(3600);
/// How often it is looked whether it has ended: daemons it started may keep its output open.
const LOOK: Duration = Duration::from_millis(100);
/// How much of what it said is kept: apt's list of what it does, and its errors at the end.
const KEPT: usize = 1 << 20;
/// A line longer than this is no message.
const LINE: u64 = 8 << 10;

/// For maintainer scripts: nobody is there to answer, and nothing else is restarted by them (Ubuntu's
/// needrestart would restart containerd).
const ENVIRONMENT: [(&str, &str); 7] = [
    ("PATH", PATH),
    ("LC_ALL", "C.UTF-8"),
    ("HOME", "/root"),
    ("DEBIAN_FRONTEND", "noninteractive"),
    ("APT_LISTCHANGES_FRONTEND", "none"),
    ("NEEDRESTART_SUSPEND", "1"),
    ("UCF_FORCE_CONFFOLD", "1"),
];

impl Host {
    /// Runs a program that is never ended by us, shows what it says, and returns that.
    ///
    /// # Errors
    /// Where it is not installed, or has not ended after an hour: it goes on then.
    pub(super) fn run_long(
        &self,
        argv: &[&str],
        input: Option<&[u8]>,
    ) -> Result<std::result::Result<String, Failure>> {
        let Some((name, arguments)) = argv.split_first() else {
            return Ok(Ok(String::new()));
        };
        let shown = argv.join(" ");
        tracing::info!("{shown}");
        let failed = |error: std::io::Error| trouble!("{shown}: {error}");
        let (output, end) = std::io::pipe().map_err(failed)?;
        let expression = duct::cmd(in_path(name)?, arguments);
        let expression = match input {
            Some(bytes) => expression.stdin_bytes(bytes),
            None => expression.stdin_null(),
        };
        let handle = expression
            .full_env(ENVIRONMENT)
            .dir("/")
            .stderr_to_stdout()
            .stdout_file(end)
            .unchecked()
            // A signal to us is none to it: dpkg cut off leaves packages half installed.
            .before_spawn(|command| {
                command.process_group(0);
                Ok(())
            })
            .start()
            .map_err(failed)?;
        let lines = read(output);
        let progress = Progress::new();
        let until = Instant::now() + TIME_LIMIT;
        let mut said = String::new();
        loop {
            let ended = handle
                .try_wait()
                .map_err(failed)?
                .map(|output| output.status);
            let open = take(&lines, &mut said, &progress);
            let Some(status) = ended else {
                if !open {
                    // It has closed its output, and ends.
                    std::thread::sleep(LOOK);
                }
                if Instant::now() > until {
                    // Dropping the handle leaves the process alone.
                    let pids = handle.pids();
                    return Err(trouble!(
                        "{shown}: no end after {} s; it is left running (process {pids:?}): look what it waits for",
                        TIME_LIMIT.as_secs()
                    ));
                }
                continue;
            };
            if status.success() {
                return Ok(Ok(said));
            }
            return Ok(Err(Failure {
                status,
                complaint: said,
            }));
        }
    }
}

/// Lines of a program, read beside it.
fn read(output: PipeReader) -> Receiver<String> {
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        let mut output = BufReader::new(output);
        loop {
            let mut line = Vec::new();
            let read = output.by_ref().take(LINE).read_until(b'\n', &mut line);
            let text = String::from_utf8_lossy(&line);
            if !read.is_ok_and(|read| read > 0) || sender.send(text.trim_end().to_owned()).is_err()
            {
                return;
            }
        }
    });
    lines
}

/// Takes what was said so far, waiting a moment for more; tells whether there may come more.
fn take(lines: &Receiver<String>, said: &mut String, progress: &Progress) -> bool {
    loop {
        match lines.recv_timeout(LOOK) {
            Ok(line) => {
                progress.show(&line);
                if said.len() < KEPT {
                    said.push_str(&line);
                    said.push('\n');
                }
            }
            Err(RecvTimeoutError::Timeout) => return true,
            Err(RecvTimeoutError::Disconnected) => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_program_starts_and_leaves_is_not_waited_for() {
        let host = Host::live();
        let begun = Instant::now();
        let script = "sleep 5 & echo a; echo b >&2; exit 3";
        let failure = host
            .run_long(&["bash", "-c", script], None)
            .unwrap()
            .unwrap_err();
        assert_eq!(failure.status.code(), Some(3));
        assert_eq!(failure.complaint, "a\nb\n");
        assert!(begun.elapsed() < Duration::from_secs(4));
        let said = host.run_long(&["cat"], Some(b"x")).unwrap().unwrap();
        assert_eq!(said, "x\n");
    }
}
