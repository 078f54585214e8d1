//! Runs a program under ptrace(2) and lets one of its system calls be its last, fail, or do half of
//! its work: only so can every one of them be tried, each exactly once, without a change in the program.
#![allow(unsafe_code)] // a process asks to be traced between fork(2) and execve(2)

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek};
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::calls::may_be_short;

/// Calls after which a program is taken to go round in circles; no case makes a fifth of it.
const ENDLESS: usize = 20_000;
/// Seconds after which one is taken to hang, and is ended: it takes a tenth of one, or some of them on a
/// machine under load.
const LONG: u32 = 600;
/// What is said of one end of a pair of sockets.
pub const PAIR: &str = "socket pair";
/// Longest path shown of a call.
const SHOWN: usize = 200;

/// When a call is the program's last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Before the kernel begins it.
    Entry,
    /// When it is done, before the program sees its answer.
    Exit,
}

/// What is done to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// SIGKILL to the program alone: what it started goes on to its end.
    Kill(Moment),
    /// It is not done and answers this.
    Error(Errno),
    /// It is given half of its bytes.
    Half,
}

/// Which call a fault is put to: this one of those with its number. Among all calls its place would be
/// another each time, where threads run side by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// `SYS_…`.
    pub number: i64,
    /// How many of them are before it.
    pub nth: usize,
}

/// One system call.
#[derive(Debug, Clone)]
pub struct Call {
    /// Which it is.
    pub place: Place,
    /// As it was called.
    pub arguments: [u64; 6],
    /// What its first argument names, where that is a descriptor.
    pub file: String,
    /// The first 64 bits behind its first argument: clone3(2)'s flags.
    pub first: u64,
    /// The same behind its third: openat2(2)'s flags.
    pub third: u64,
    /// The text behind its second argument, where that is a path.
    pub path: String,
}

/// A run that has ended, with all that it started.
#[derive(Debug)]
pub struct Ran {
    /// The calls of its threads, in the order they were begun.
    pub calls: Vec<Call>,
    /// Its exit code; none where a signal ended it.
    pub code: Option<i32>,
    /// Both its outputs.
    pub said: String,
    /// Whether the fault was put.
    pub hit: bool,
}

/// Runs a command to its end, with a fault put to one of its calls.
#[allow(clippy::zombie_processes)] // it is waited for by its number
pub fn run(command: &mut Command, fault: Option<(Place, Fault)>) -> Ran {
    let mut said = tempfile::tempfile().unwrap();
    let only = fault.map(|(place, _)| place.number);
    // SAFETY: ptrace(2), alarm(2) and prctl(2) are system calls; nothing is allocated and no lock taken.
    unsafe {
        command.pre_exec(move || {
            ptrace::traceme()?;
            libc::alarm(LONG);
            only.map_or(Ok(()), stop_at)
        })
    };
    let child = command
        .stdin(Stdio::null())
        .stdout(said.try_clone().unwrap())
        .stderr(said.try_clone().unwrap())
        .spawn()
        .unwrap();
    let agent = Pid::from_raw(i32::try_from(child.id()).unwrap());
    let mut tracer = Tracer {
        agent,
        memory: File::open(format!("/proc/{agent}/mem")).unwrap(),
        fault,
        hit: false,
        calls: Vec::new(),
        count: HashMap::new(),
        begun: HashMap::new(),
        ours: HashMap::from([(agent, true)]),
    };
    let code = tracer.follow();
    let mut text = Vec::new();
    said.rewind().unwrap();
    said.read_to_end(&mut text).unwrap();
    Ran {
        calls: tracer.calls,
        code,
        said: String::from_utf8_lossy(&text).into_owned(),
        hit: tracer.hit,
    }
}

/// Lets only calls of this number stop the program: the other thousands run at their usual speed.
/// seccomp(2), "Filters"; children have it too, and their stops are passed over.
fn stop_at(number: i64) -> std::io::Result<()> {
    use libc::{BPF_ABS, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W, sock_filter};
    let line = |code: u32, jf, k| sock_filter {
        code: u16::try_from(code).unwrap_or_default(),
        jt: 0,
        jf,
        k,
    };
    // The call's number is the first of struct seccomp_data.
    let mut lines = [
        line(BPF_LD | BPF_W | BPF_ABS, 0, 0),
        line(
            BPF_JMP | BPF_JEQ | BPF_K,
            1,
            u32::try_from(number).unwrap_or_default(),
        ),
        line(BPF_RET | BPF_K, 0, libc::SECCOMP_RET_TRACE),
        line(BPF_RET | BPF_K, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let filter = libc::sock_fprog {
        len: 4,
        filter: lines.as_mut_ptr(),
    };
    // SAFETY: the filter lives until the kernel has copied it.
    let set = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &filter) };
    Errno::result(set).map(drop).map_err(Into::into)
}

struct Tracer {
    agent: Pid,
    memory: File,
    fault: Option<(Place, Fault)>,
    hit: bool,
    calls: Vec<Call>,
    /// How many calls of a number there were.
    count: HashMap<i64, usize>,
    /// The call a thread is in, with the registers it had where another answer is given.
    begun: HashMap<Pid, (Place, Option<libc::user_regs_struct>)>,
    /// Whether a thread is the program's own, else a child's.
    ours: HashMap<Pid, bool>,
}

impl Tracer {
    /// Until nothing is left that runs; the program's exit code.
    fn follow(&mut self) -> Option<i32> {
        // It stops as it becomes the program (ptrace(2), execve under PTRACE_TRACEME).
        waitpid(self.agent, None).unwrap();
        let options = Options::PTRACE_O_TRACESYSGOOD
            | Options::PTRACE_O_TRACECLONE
            | Options::PTRACE_O_TRACEFORK
            | Options::PTRACE_O_TRACEVFORK
            | Options::PTRACE_O_TRACEEXEC
            | Options::PTRACE_O_TRACESECCOMP
            | Options::PTRACE_O_EXITKILL;
        ptrace::setoptions(self.agent, options).unwrap();
        self.resume(self.agent, None);
        let mut code = None;
        // Other trials trace too, each in its own thread.
        let ours = WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD;
        loop {
            match waitpid(None, Some(ours)) {
                Err(Errno::ECHILD) => return code,
                Ok(WaitStatus::PtraceSyscall(pid)) => self.stopped(pid),
                Ok(WaitStatus::PtraceEvent(pid, _, libc::PTRACE_EVENT_SECCOMP))
                    if self.is_ours(pid) =>
                {
                    self.filtered(pid);
                }
                Ok(WaitStatus::PtraceEvent(pid, ..)) => self.resume(pid, None),
                // How a new thread or process begins.
                Ok(WaitStatus::Stopped(pid, Signal::SIGSTOP)) => self.resume(pid, None),
                Ok(WaitStatus::Stopped(pid, signal)) => self.resume(pid, Some(signal)),
                Ok(WaitStatus::Exited(pid, status)) if pid == self.agent => code = Some(status),
                Ok(_) => {}
                Err(error) => panic!("waitpid: {error}"),
            }
        }
    }

    fn stopped(&mut self, pid: Pid) {
        let lives = match self.begun.remove(&pid) {
            None => self.begins(pid),
            Some((place, registers)) => self.ends(pid, place, registers),
        };
        if lives {
            self.resume(pid, None);
        }
    }

    /// A call of the wanted number begins: only the one that is meant stops once more, at its end.
    fn filtered(&mut self, pid: Pid) {
        if !self.begins(pid) {
            return;
        }
        let is_meant = |(place, _): &(Place, _)| self.fault_of(*place).is_some();
        if !self.begun.get(&pid).is_some_and(is_meant) {
            self.begun.remove(&pid);
        }
        self.resume(pid, None);
    }

    /// A call begins; tells whether the program lives on.
    fn begins(&mut self, pid: Pid) -> bool {
        // It may have been killed meanwhile, with all its threads.
        let Ok(old) = ptrace::getregs(pid) else {
            return false;
        };
        let call = self.read(&old);
        let place = call.place;
        self.calls.push(call);
        if self.calls.len() > ENDLESS {
            return self.kill();
        }
        let mut new = old;
        let mut is_answered = false;
        match self.fault_of(place) {
            Some(Fault::Kill(Moment::Entry)) => return self.kill(),
            // It closes whatever it answers (close(2), "Dealing with error returns from close()").
            Some(Fault::Error(_)) if place.number == libc::SYS_close => is_answered = true,
            // No such call: the kernel does nothing (ptrace(2), PTRACE_SYSCALL and orig_rax).
            Some(Fault::Error(_)) => new.orig_rax = u64::MAX,
            // On a live host it may be another write than that which was meant.
            Some(Fault::Half) if may_be_short(&self.file(old.rdi), old.rdx) => new.rdx /= 2,
            _ => {}
        }
        if new != old {
            ptrace::setregs(pid, new).unwrap();
            is_answered = true;
        }
        self.begun.insert(pid, (place, is_answered.then_some(old)));
        true
    }

    /// A call ends; tells whether the program lives on.
    fn ends(&mut self, pid: Pid, place: Place, old: Option<libc::user_regs_struct>) -> bool {
        let fault = self.fault_of(place);
        if fault == Some(Fault::Kill(Moment::Exit)) {
            return self.kill();
        }
        if let (Some(old), Ok(mut now)) = (old, ptrace::getregs(pid)) {
            now.rdx = old.rdx;
            now.orig_rax = old.orig_rax;
            if let Some(Fault::Error(errno)) = fault {
                now.rax = (-i64::from(errno as i32)).cast_unsigned();
            }
            ptrace::setregs(pid, now).unwrap();
            self.hit = true;
        }
        true
    }

    fn fault_of(&self, place: Place) -> Option<Fault> {
        let (wanted, fault) = self.fault?;
        (wanted == place).then_some(fault)
    }

    fn kill(&mut self) -> bool {
        // A call at whose entry it dies is not begun: include/linux/ptrace.h,
        // `ptrace_report_syscall_entry` tells of the fatal signal.
        kill(self.agent, Signal::SIGKILL).unwrap();
        self.hit = true;
        false
    }

    fn read(&mut self, registers: &libc::user_regs_struct) -> Call {
        let r = registers;
        let (mut first, mut third) = ([0; 8], [0; 8]);
        let number = r.orig_rax.cast_signed();
        let (mut path, mut file) = (String::new(), String::new());
        if self.fault.is_none() {
            file = self.file(r.rdi);
            let mut text = [0; SHOWN];
            let length = self.memory.read_at(&mut text, r.rsi).unwrap_or(0);
            let end = text[..length].iter().position(|b| *b == 0);
            path = String::from_utf8_lossy(&text[..end.unwrap_or(0)]).into_owned();
            for (words, at) in [(&mut first, r.rdi), (&mut third, r.rdx)] {
                // Where it is no address nothing is read.
                let _ = self.memory.read_at(words, at);
            }
        }
        let count = self.count.entry(number).or_default();
        let nth = *count;
        *count += 1;
        Call {
            place: Place { number, nth },
            arguments: [r.rdi, r.rsi, r.rdx, r.r10, r.r8, r.r9],
            file,
            first: u64::from_le_bytes(first),
            third: u64::from_le_bytes(third),
            path,
        }
    }

    /// What a descriptor is of.
    fn file(&self, descriptor: u64) -> String {
        let agent = self.agent;
        let link = std::fs::read_link(format!("/proc/{agent}/fd/{descriptor}"));
        let file = link.map_or_else(
            |_| String::new(),
            |link| link.to_string_lossy().into_owned(),
        );
        // proc_pid_net(5): inodes stand before the path, of which a socket pair has none.
        let sockets = || std::fs::read_to_string(format!("/proc/{agent}/net/unix"));
        match file
            .strip_prefix("socket:[")
            .and_then(|rest| rest.strip_suffix(']'))
        {
            Some(inode) if sockets().is_ok_and(|all| all.contains(&format!(" {inode}\n"))) => {
                PAIR.to_owned()
            }
            _ => file,
        }
    }

    /// It may have been killed meanwhile: the next wait tells.
    fn resume(&mut self, pid: Pid, signal: Option<Signal>) {
        let is_stopped_again = self.fault.is_none() || self.begun.contains_key(&pid);
        let _ = match is_stopped_again && self.is_ours(pid) {
            true => ptrace::syscall(pid, signal),
            false => ptrace::cont(pid, signal),
        };
    }

    /// A thread of the program has its number as `Tgid` (proc_pid_status(5)).
    fn is_ours(&mut self, pid: Pid) -> bool {
        let agent = self.agent;
        *self.ours.entry(pid).or_insert_with(|| {
            let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            status.contains(&format!("\nTgid:\t{agent}\n"))
        })
    }
}
