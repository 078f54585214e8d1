//! Follows a process through ptrace(2) and sees every system call it and its children make: the counts
//! repeat where times don't, and no tool has to be installed.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use nix::sys::ptrace::{self, Event, Options};
use nix::sys::signal::{Signal, raise};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// One system call that has returned.
#[derive(Debug, Clone, Copy)]
pub struct Call {
    /// Who made it.
    pub process: Pid,
    /// `SYS_…`.
    pub number: i64,
    /// As it was called.
    pub arguments: [u64; 6],
    /// What it returned; negative errno where it failed.
    pub result: i64,
}

/// What a run cost.
#[derive(Debug, Default, Clone, Copy)]
pub struct Cost {
    /// System calls of all its processes.
    pub calls: usize,
    /// Processes and threads started by the first.
    pub children: usize,
    /// The largest resident set of any one process, in KiB.
    pub peak: u64,
}

/// Runs a command to its end and shows each call to `look` while its memory can be read.
pub fn calls(command: &Command, mut look: impl FnMut(&Call)) -> Cost {
    let first = start(command);
    let mut cost = Cost::default();
    let mut open: HashMap<Pid, (i64, [u64; 6])> = HashMap::new();
    resume(first, None);
    loop {
        match waitpid(None, Some(WaitPidFlag::__WALL)).unwrap() {
            WaitStatus::PtraceSyscall(pid) => {
                let (number, arguments, result) = registers(pid);
                if let Some((number, arguments)) = open.remove(&pid) {
                    cost.calls += 1;
                    look(&Call {
                        process: pid,
                        number,
                        arguments,
                        result,
                    });
                } else {
                    open.insert(pid, (number, arguments));
                }
                resume(pid, None);
            }
            WaitStatus::PtraceEvent(pid, _, event) => {
                match event {
                    e if e == Event::PTRACE_EVENT_EXIT as i32 => {
                        cost.peak = cost.peak.max(peak(pid));
                    }
                    e if e == Event::PTRACE_EVENT_EXEC as i32 => {}
                    _ => cost.children += 1,
                }
                resume(pid, None);
            }
            // How a new child begins.
            WaitStatus::Stopped(pid, Signal::SIGSTOP) => resume(pid, None),
            WaitStatus::Stopped(pid, signal) => resume(pid, Some(signal)),
            WaitStatus::Exited(pid, _) | WaitStatus::Signaled(pid, ..) if pid == first => {
                return cost;
            }
            _ => {}
        }
    }
}

/// The instructions of a program by itself, the kernel's not counted, by valgrind(1) where that is
/// installed: most virtual machines have no counter of their own.
pub fn instructions(command: &Command) -> Option<u64> {
    let mut counted = Command::new("valgrind");
    counted.args(["--tool=cachegrind", "--cache-sim=no"]);
    counted.arg("--cachegrind-out-file=/dev/null");
    counted.arg(command.get_program()).args(command.get_args());
    let ran = counted.stdout(Stdio::null()).output().ok()?;
    // Valgrind 3.19 has no openat2(2): a program that can't go on without it ends by a signal.
    ran.status.code()?;
    // "==PID== I   refs:      5,037,626"
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    let line = said.lines().find(|line| line.contains(" refs:"))?;
    let number = line.rsplit_once(' ')?.1.replace(',', "");
    number.parse().ok()
}

/// Starts a command under ptrace; it has become its program and has not run yet.
#[allow(clippy::zombie_processes)] // it is waited for by its id
fn start(command: &Command) -> Pid {
    let mut traced = Command::new(std::env::current_exe().unwrap());
    traced.arg("traced").arg(command.get_program());
    traced.args(command.get_args());
    let child = traced
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
    // It stops itself, we begin, it becomes the program.
    waitpid(pid, None).unwrap();
    let options = Options::PTRACE_O_TRACESYSGOOD
        | Options::PTRACE_O_TRACEFORK
        | Options::PTRACE_O_TRACEVFORK
        | Options::PTRACE_O_TRACECLONE
        | Options::PTRACE_O_TRACEEXEC
        | Options::PTRACE_O_TRACEEXIT
        | Options::PTRACE_O_EXITKILL;
    ptrace::setoptions(pid, options).unwrap();
    ptrace::cont(pid, None).unwrap();
    let began = waitpid(pid, None).unwrap();
    assert!(matches!(began, WaitStatus::PtraceEvent(..)), "{began:?}");
    // The return from execve(2).
    resume(pid, None);
    waitpid(pid, None).unwrap();
    pid
}

/// The mode of this program that becomes the traced one.
pub fn become_traced(mut command: Command) -> ! {
    ptrace::traceme().unwrap();
    raise(Signal::SIGSTOP).unwrap();
    panic!("{command:?}: {}", command.exec());
}

/// It may have been killed meanwhile: the next wait tells.
fn resume(pid: Pid, signal: Option<Signal>) {
    let _ = ptrace::syscall(pid, signal);
}

/// Number, arguments and result of the call a process has stopped at.
#[cfg(target_arch = "x86_64")]
fn registers(pid: Pid) -> (i64, [u64; 6], i64) {
    let r = ptrace::getregs(pid).unwrap();
    let arguments = [r.rdi, r.rsi, r.rdx, r.r10, r.r8, r.r9];
    (r.orig_rax.cast_signed(), arguments, r.rax.cast_signed())
}

#[cfg(target_arch = "aarch64")]
fn registers(pid: Pid) -> (i64, [u64; 6], i64) {
    let r = ptrace::getregs(pid).unwrap().regs;
    let arguments = [r[0], r[1], r[2], r[3], r[4], r[5]];
    (r[8].cast_signed(), arguments, r[0].cast_signed())
}

/// `VmHWM` of /proc/PID/status (proc_pid_status(5)), in KiB.
fn peak(pid: Pid) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let digits = line.and_then(|line| line.split_whitespace().next());
    digits.and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

/// Reads a stretch of a stopped process's memory, as much of it as is there.
pub fn memory(pid: Pid, at: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    let read = File::open(format!("/proc/{pid}/mem")).and_then(|mem| mem.read_at(&mut bytes, at));
    bytes.truncate(read.unwrap_or(0));
    bytes
}
