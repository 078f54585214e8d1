//! A daemon at work, and what the kernel tells of it.

use std::fs;
use std::fs::File;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const SAID: &str = "/run/said";
/// Long enough for a machine under load.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Daemon {
    /// Starts one, and waits until it has looked at everything.
    pub fn start(arguments: &[&str]) -> Self {
        let out = File::create(SAID).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_nodeprep"))
            .arg("daemon")
            .args(arguments)
            .stderr(out.try_clone().unwrap())
            .stdout(out)
            .spawn();
        let daemon = Self(child.unwrap());
        wait_for(|| daemon.told("watching: ") == 1);
        daemon
    }

    /// How often it said that.
    pub fn told(&self, text: &str) -> usize {
        fs::read_to_string(SAID).unwrap().matches(text).count()
    }

    /// Has it look at everything, and forget who changed what back how often.
    pub fn reload(&self) {
        let process = Pid::from_raw(self.0.id().try_into().unwrap());
        kill(process, Signal::SIGHUP).unwrap();
    }

    /// Waits until it has done nothing for a while.
    pub fn settle(&self) {
        let mut before = u64::MAX;
        while before != self.calls() {
            before = self.calls();
            std::thread::sleep(Duration::from_millis(60));
        }
    }

    /// How often it has given the processor away by itself: it was awake so often
    /// (proc_pid_status(5), `voluntary_ctxt_switches`).
    pub fn wakes(&self) -> u64 {
        self.status("voluntary_ctxt_switches")
    }

    /// Its resident memory, in KiB.
    pub fn memory(&self) -> u64 {
        self.status("VmRSS")
    }

    /// The most it ever had.
    pub fn peak(&self) -> u64 {
        self.status("VmHWM")
    }

    /// The processor's time that it has used (proc_pid_schedstat(5): nanoseconds).
    pub fn processor(&self) -> Duration {
        let text = self.read("schedstat");
        let first = text.split(' ').next().unwrap();
        Duration::from_nanos(first.parse().unwrap())
    }

    pub fn descriptors(&self) -> usize {
        let path = format!("/proc/{}/fd", self.0.id());
        fs::read_dir(path).unwrap().count()
    }

    /// System calls that read or wrote, so far (proc_pid_io(5)).
    fn calls(&self) -> u64 {
        let text = self.read("io");
        let number = |name: &str| {
            let line = text.lines().find(|line| line.starts_with(name)).unwrap();
            line.split(' ').nth(1).unwrap().parse::<u64>().unwrap()
        };
        number("syscr:") + number("syscw:")
    }

    fn status(&self, name: &str) -> u64 {
        let text = self.read("status");
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(format!("/proc/{}/{file}", self.0.id())).unwrap()
    }
}

#[track_caller]
pub fn wait_for(mut what: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !what() {
        let said = || fs::read_to_string(SAID).unwrap();
        assert!(begin.elapsed() < PATIENCE, "waited in vain:\n{}", said());
        std::thread::sleep(Duration::from_micros(200));
    }
}
