//! Running a package manager: it may take an hour, and to end it half-way is worse than to wait. It
//! speaks into a file: a pipe would end with us, and with it the script that writes into it next.

use std::fs::File;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::error::{Result, trouble};
use crate::host::Host;
use crate::host::commands::{Failure, PATH, in_path};
use crate::host::progress::Progress;

/// A distribution's upgrade over a slow line takes half of it; what takes longer waits for someone.
const TIME_LIMIT: Duration = Duration::from_secs(3600);
/// How often it is looked whether it has ended.
const LOOK: Duration = Duration::from_millis(100);
/// How much of what it said is kept, in bytes: dnf's list of all versions has a few hundred KB, and
/// errors are at the end.
const KEPT: u64 = 8 << 20;
/// How much of it is looked at at once, in bytes.
const LINE: usize = 8 << 10;
/// Where its file is; the first is root's alone, and not on a disk that is full.
const DIRECTORIES: [&str; 2] = ["/run", "/tmp"];

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
        let mut output = Output::new().map_err(failed)?;
        let expression = duct::cmd(in_path(name)?, arguments);
        let expression = match input {
            Some(bytes) => expression.stdin_bytes(bytes),
            None => expression.stdin_null(),
        };
        let handle = expression
            .full_env(ENVIRONMENT)
            .dir("/")
            .stderr_to_stdout()
            .stdout_file(output.file.try_clone().map_err(failed)?)
            .unchecked()
            // A signal to us is none to it: dpkg cut off leaves packages half installed.
            .before_spawn(|command| {
                command.process_group(0);
                Ok(())
            })
            .start()
            .map_err(failed)?;
        let progress = Progress::new();
        let until = Instant::now() + TIME_LIMIT;
        loop {
            let ended = handle.try_wait().map_err(failed)?;
            output.show(&progress);
            if let Some(ended) = ended {
                let said = output.text().map_err(failed)?;
                return Ok(match ended.status.success() {
                    true => Ok(said),
                    false => Err(Failure {
                        status: ended.status,
                        complaint: said,
                    }),
                });
            }
            if Instant::now() > until {
                // Dropping the handle leaves the process alone.
                let pids = handle.pids();
                return Err(trouble!(
                    "{shown}: no end after {} s; it is left running (process {pids:?}): look what it waits for",
                    TIME_LIMIT.as_secs()
                ));
            }
            std::thread::sleep(LOOK);
        }
    }
}

/// What a program says, in a file without a name.
struct Output {
    file: File,
    /// How much of it was shown.
    shown: u64,
}

impl Output {
    /// An empty one; its name goes at once.
    fn new() -> std::io::Result<Self> {
        let time = SystemTime::now().duration_since(UNIX_EPOCH);
        let unique = time.unwrap_or_default().as_nanos();
        let name = format!("nodeprep-{}-{unique}", std::process::id());
        let mut last = std::io::Error::from(std::io::ErrorKind::NotFound);
        for path in DIRECTORIES.map(|directory| Path::new(directory).join(&name)) {
            let mut options = File::options();
            options.read(true).write(true).create_new(true).mode(0o600);
            match options.open(&path) {
                Ok(file) => {
                    std::fs::remove_file(&path)?;
                    return Ok(Self { file, shown: 0 });
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Shows the lines that came since the last time.
    fn show(&mut self, progress: &Progress) {
        let mut new = vec![0; LINE];
        // It is all read once more in the end, where a failure is told.
        while let Ok(read) = self.file.read_at(&mut new, self.shown) {
            let new = new.get(..read).unwrap_or_default();
            let end = match memchr::memrchr(b'\n', new) {
                Some(at) => at + 1,
                // A line longer than this is no message.
                None if read == LINE => read,
                None => return,
            };
            let lines = new.get(..end).unwrap_or_default().split(|c| *c == b'\n');
            for line in lines.filter(|line| !line.is_empty()) {
                progress.show(String::from_utf8_lossy(line).trim_end());
            }
            self.shown += end as u64;
        }
    }

    /// All that was said, or the last of it.
    fn text(&self) -> std::io::Result<String> {
        let length = self.file.metadata()?.len();
        let kept = length.min(KEPT);
        let mut bytes = vec![0; usize::try_from(kept).unwrap_or_default()];
        self.file.read_exact_at(&mut bytes, length - kept)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
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
        let many = ["seq", "--format=%0100.0f", "1", "100000"];
        let said = host.run_long(&many, None).unwrap().unwrap();
        assert_eq!(said.len(), 8 << 20);
        assert!(said.ends_with("0100000\n"));
        let said = host.run_long(&["cat"], Some(b"x")).unwrap().unwrap();
        assert_eq!(said, "x");
    }
}
