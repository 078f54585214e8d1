//! A disk of this host whose writes are logged: a run on a tree is recorded in a second, where one on
//! a machine takes a boot.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::machine::logging_nodes;

/// The daemon offers a disk within milliseconds.
const START_LIMIT: Duration = Duration::from_secs(30);

/// A disk behind QEMU's storage daemon, which logs; dropping it ends the daemon.
#[derive(Debug)]
pub struct Logged {
    daemon: Child,
    dir: PathBuf,
}

impl Logged {
    /// Offers the raw `disk` by another name, with files beside it.
    pub fn new(disk: &Path) -> Self {
        let dir = disk.with_extension("logged");
        fs::create_dir(&dir).unwrap();
        let (log, offered) = (dir.join("log"), dir.join("disk"));
        fs::write(&offered, "").unwrap();
        let mut daemon = Command::new("setpriv");
        daemon.args(["--pdeathsig", "KILL", "qemu-storage-daemon"]);
        for node in logging_nodes("raw", disk, &log) {
            daemon.args(["--blockdev", &node]);
        }
        let offer = format!(
            "type=fuse,id=offered,node-name=recorded,mountpoint={},writable=on",
            offered.display()
        );
        let daemon = daemon.args(["--export", &offer]).stdin(Stdio::null());
        let logged = Self {
            daemon: daemon.spawn().expect("setpriv and qemu-storage-daemon"),
            dir,
        };
        let until = Instant::now() + START_LIMIT;
        while fs::metadata(&offered).unwrap().len() == 0 {
            assert!(Instant::now() < until, "qemu-storage-daemon offers no disk");
            std::thread::sleep(Duration::from_millis(10));
        }
        logged
    }

    /// The disk.
    pub fn disk(&self) -> PathBuf {
        self.dir.join("disk")
    }

    /// The log of what is written to it.
    pub fn log(&self) -> PathBuf {
        self.dir.join("log")
    }
}

impl Drop for Logged {
    fn drop(&mut self) {
        // Its files are written by the kernel whether it ends in order or not.
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
        let _ = Command::new("umount").arg("-l").arg(self.disk()).status();
    }
}
