//! What a check asked the machine, each source once: the list that the floor program works off.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::unistd::Pid;

use crate::trace::{self, Call, Cost, memory};

/// The longest path, with its end (PATH_MAX).
const LONGEST_PATH: usize = 4096;
/// What the loader and the runtime of any program open.
const RUNTIME: [&str; 4] = [
    "/ld.so.",
    ".so.",
    "/proc/self/maps",
    "/sys/devices/system/cpu",
];

/// IPT_SO_GET_INFO and IPT_SO_GET_ENTRIES, IP6T_… alike.
const TABLE_OPTIONS: [u64; 2] = [64, 65];
/// The longest name of a table, with its end (XT_TABLE_MAXNAMELEN).
const TABLE_NAME: usize = 32;

/// One thing asked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Ask {
    /// A file's content, so many bytes; 0 where it is not there.
    Read(PathBuf, usize),
    /// A directory's names.
    List(PathBuf),
    /// Where a link points.
    Link(PathBuf),
    /// What a path is.
    Stat(PathBuf),
    /// A connection to a unix socket.
    Unix(PathBuf),
    /// A netlink socket of this protocol.
    Netlink(u64),
    /// Bytes sent on the last socket.
    Send(Vec<u8>),
    /// Bytes received from it.
    Receive(usize),
    /// A table of legacy iptables: the protocol's level, the option, its name as it begins the
    /// buffer, and the buffer's length (getsockopt(2)).
    Table(u64, u64, String, usize),
}

/// Runs a command and writes down what it asks, with what it costs.
pub fn record(command: &Command) -> (Vec<Ask>, Cost) {
    let mut recorder = Recorder::default();
    let cost = trace::calls(command, |call| recorder.see(call));
    (recorder.once(), cost)
}

#[derive(Default)]
struct Recorder {
    asks: Vec<Ask>,
    /// What a descriptor stands for: a path with its place in `asks`, or a socket.
    open: HashMap<(Pid, u64), (PathBuf, Option<usize>)>,
}

impl Recorder {
    fn see(&mut self, call: &Call) {
        let [a, b, c, ..] = call.arguments;
        let fd = (call.process, a);
        match call.number {
            libc::SYS_openat => self.opened(call, self.path(call, a, b), c),
            libc::SYS_openat2 => {
                let how = memory(call.process, c, 8);
                let flags = how.try_into().map(u64::from_ne_bytes).unwrap_or_default();
                self.opened(call, self.path(call, a, b), flags);
            }
            #[cfg(target_arch = "x86_64")]
            libc::SYS_readlink => {
                let path = text(call.process, a);
                self.asks.push(Ask::Link(path));
            }
            libc::SYS_readlinkat => self.asks.push(Ask::Link(self.path(call, a, b))),
            libc::SYS_newfstatat | libc::SYS_statx => self.stat(call),
            libc::SYS_read | libc::SYS_pread64 | libc::SYS_recvfrom | libc::SYS_recvmsg => {
                self.received(fd, call.result);
            }
            libc::SYS_socket => {
                self.open
                    .insert((call.process, call.result.cast_unsigned()), socket());
                if a == u64::from(libc::AF_NETLINK.cast_unsigned()) {
                    self.asks.push(Ask::Netlink(c));
                }
            }
            libc::SYS_connect => self.connected(call),
            libc::SYS_getsockopt => self.table(call),
            libc::SYS_write | libc::SYS_sendto => self.sent(fd, b, c),
            libc::SYS_writev => self.vectors(fd, b, c),
            libc::SYS_sendmsg => {
                let header = words(&memory(call.process, b, 32));
                if let [_, _, vectors, count] = header.as_slice() {
                    self.vectors(fd, *vectors, *count);
                }
            }
            libc::SYS_close => {
                self.open.remove(&fd);
            }
            _ => {}
        }
    }

    /// A path argument, below the directory it is relative to.
    fn path(&self, call: &Call, dir: u64, at: u64) -> PathBuf {
        let path = text(call.process, at);
        match self.open.get(&(call.process, dir)) {
            Some((dir, _)) if path.is_relative() => dir.join(path),
            _ => path,
        }
    }

    fn opened(&mut self, call: &Call, path: PathBuf, flags: u64) {
        let has = |flag: i32| flags & u64::from(flag.cast_unsigned()) != 0;
        let ask = match () {
            () if has(libc::O_PATH) => Ask::Stat(path.clone()),
            () if has(libc::O_DIRECTORY) => Ask::List(path.clone()),
            () => Ask::Read(path.clone(), 0),
        };
        self.asks.push(ask);
        if call.result >= 0 {
            let fd = (call.process, call.result.cast_unsigned());
            self.open.insert(fd, (path, Some(self.asks.len() - 1)));
        }
    }

    fn stat(&mut self, call: &Call) {
        let path = self.path(call, call.arguments[0], call.arguments[1]);
        // An empty path asks about the descriptor.
        if !text(call.process, call.arguments[1]).as_os_str().is_empty() {
            self.asks.push(Ask::Stat(path));
        }
    }

    fn received(&mut self, fd: (Pid, u64), result: i64) {
        let Ok(length) = usize::try_from(result) else {
            return;
        };
        match self.open.get(&fd) {
            Some((_, Some(place))) => {
                if let Ask::Read(_, size) = &mut self.asks[*place] {
                    *size += length;
                }
            }
            Some((_, None)) if length > 0 => self.asks.push(Ask::Receive(length)),
            _ => {}
        }
    }

    fn connected(&mut self, call: &Call) {
        let length = usize::try_from(call.arguments[2]).unwrap();
        let address = memory(call.process, call.arguments[1], length);
        // struct sockaddr_un: the family, then the path (unix(7)).
        if let Some((family, path)) = address.split_first_chunk::<2>()
            && i32::from(u16::from_ne_bytes(*family)) == libc::AF_UNIX
        {
            self.asks.push(Ask::Unix(ended(path)));
        }
    }

    fn table(&mut self, call: &Call) {
        let [_, level, option, buffer, length, _] = call.arguments;
        let of_ip =
            [libc::IPPROTO_IP, libc::IPPROTO_IPV6].map(|level| u64::from(level.cast_unsigned()));
        if of_ip.contains(&level) && TABLE_OPTIONS.contains(&option) {
            let name = ended(&memory(call.process, buffer, TABLE_NAME));
            let length = memory(call.process, length, 4).try_into().unwrap();
            let length = usize::try_from(u32::from_ne_bytes(length)).unwrap();
            let name = name.to_string_lossy().into_owned();
            self.asks.push(Ask::Table(level, option, name, length));
        }
    }

    fn sent(&mut self, fd: (Pid, u64), at: u64, length: u64) {
        if matches!(self.open.get(&fd), Some((_, None))) {
            let bytes = memory(fd.0, at, usize::try_from(length).unwrap());
            self.asks.push(Ask::Send(bytes));
        }
    }

    /// An array of struct iovec (readv(2)).
    fn vectors(&mut self, fd: (Pid, u64), at: u64, count: u64) {
        let vectors = words(&memory(fd.0, at, usize::try_from(count).unwrap() * 16));
        for vector in vectors.chunks_exact(2) {
            self.sent(fd, vector[0], vector[1]);
        }
    }

    /// Without the runtime's own, and without what was asked before.
    fn once(self) -> Vec<Ask> {
        let mut seen = HashSet::new();
        let mut asks = self.asks;
        asks.retain(|ask| match ask {
            Ask::Read(path, _) | Ask::List(path) | Ask::Link(path) | Ask::Stat(path) => {
                let shown = path.to_string_lossy();
                !RUNTIME.iter().any(|part| shown.contains(part)) && seen.insert(ask.clone())
            }
            _ => true,
        });
        whole(asks)
    }
}

/// A stream's answers are received whole; netlink's are messages.
fn whole(asks: Vec<Ask>) -> Vec<Ask> {
    let mut whole: Vec<Ask> = Vec::new();
    let mut stream = false;
    for ask in asks {
        match (&ask, whole.last_mut()) {
            (Ask::Receive(more), Some(Ask::Receive(length))) if stream => {
                *length += more;
                continue;
            }
            (Ask::Unix(_), _) => stream = true,
            (Ask::Netlink(_), _) => stream = false,
            _ => {}
        }
        whole.push(ask);
    }
    whole
}

fn socket() -> (PathBuf, Option<usize>) {
    (PathBuf::new(), None)
}

fn words(bytes: &[u8]) -> Vec<u64> {
    let word = |bytes: &[u8]| u64::from_ne_bytes(bytes.try_into().unwrap());
    bytes.chunks_exact(8).map(word).collect()
}

fn text(pid: Pid, at: u64) -> PathBuf {
    ended(&memory(pid, at, LONGEST_PATH))
}

/// Bytes up to the first NUL.
fn ended(bytes: &[u8]) -> PathBuf {
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    Path::new(&*String::from_utf8_lossy(&bytes[..end])).to_owned()
}

/// A list as text, one a line.
pub fn write(asks: &[Ask]) -> String {
    let line = |ask: &Ask| match ask {
        Ask::Read(path, size) => format!("read {size} {}\n", path.display()),
        Ask::List(path) => format!("list 0 {}\n", path.display()),
        Ask::Link(path) => format!("link 0 {}\n", path.display()),
        Ask::Stat(path) => format!("stat 0 {}\n", path.display()),
        Ask::Unix(path) => format!("unix 0 {}\n", path.display()),
        Ask::Netlink(protocol) => format!("netlink {protocol}\n"),
        Ask::Send(bytes) => {
            let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
            format!("send 0 {hex}\n")
        }
        Ask::Receive(size) => format!("receive {size}\n"),
        Ask::Table(level, option, name, size) => format!("table {size} {level} {option} {name}\n"),
    };
    asks.iter().map(line).collect()
}
