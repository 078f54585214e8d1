//! The floor: asks the machine what a check asked, each source once with as few calls and as little
//! memory as that takes, and does nothing else. No check can be faster.
#![allow(unsafe_code)] // getsockopt(2) takes a pointer

use std::fs::File;
use std::io::{Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use nix::fcntl::{OFlag, open};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket,
};
use nix::sys::stat::{Mode, lstat};

/// A daemon that does not answer must not stop the bench.
const PATIENCE: Duration = Duration::from_secs(1);
/// IPT_SO_GET_ENTRIES, and what is before the entries.
const ENTRIES: i32 = 65;
const HEADER: usize = 40;
/// Enough for one netlink message, and for many names.
const ROOM: usize = 32 << 10;

enum Socket {
    None,
    Unix(UnixStream),
    Netlink(OwnedFd),
    /// Of this protocol's level.
    Ip(i32, OwnedFd),
}

/// Works off a list.
pub fn run(list: &str) {
    let mut room = vec![0; ROOM];
    let mut current = Socket::None;
    for line in list.lines() {
        let mut words = line.splitn(3, ' ');
        let mut next = || words.next().unwrap_or_default();
        let (what, size, rest) = (next(), next(), next());
        let size: usize = size.parse().unwrap();
        match what {
            "read" => read(rest, size, &mut room),
            "list" => list_directory(rest),
            // What there is not is an answer too.
            "link" => drop(nix::fcntl::readlink(rest)),
            "stat" => drop(lstat(rest)),
            "unix" => current = connect(rest),
            "netlink" => current = netlink(size),
            "send" => give(&mut current, rest),
            "table" => table(&mut current, size, rest),
            _ => take(&mut current, size, &mut room),
        }
    }
}

fn read(path: &str, size: usize, room: &mut Vec<u8>) {
    let Ok(fd) = open(path, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty()) else {
        return;
    };
    // One byte more, as a reader who does not know the size would have.
    room.resize(room.len().max(size + 1), 0);
    let mut file = File::from(fd);
    let mut read = 0;
    while read < size {
        match file.read(&mut room[read..=size]) {
            Ok(0) | Err(_) => break,
            Ok(length) => read += length,
        }
    }
}

fn list_directory(path: &str) {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    if let Ok(fd) = open(path, flags, Mode::empty()) {
        let mut room = [MaybeUninit::uninit(); ROOM];
        let mut names = rustix::fs::RawDir::new(fd, &mut room);
        while names.next().is_some() {}
    }
}

fn connect(path: &str) -> Socket {
    match UnixStream::connect(path) {
        Ok(stream) => {
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            Socket::Unix(stream)
        }
        Err(_) => Socket::None,
    }
}

fn netlink(protocol: usize) -> Socket {
    let protocol = match i32::try_from(protocol) {
        Ok(libc::NETLINK_NETFILTER) => SockProtocol::NetlinkNetFilter,
        _ => SockProtocol::NetlinkRoute,
    };
    let flags = SockFlag::SOCK_CLOEXEC;
    match socket(AddressFamily::Netlink, SockType::Raw, flags, protocol) {
        Ok(fd) => Socket::Netlink(fd),
        Err(_) => Socket::None,
    }
}

fn give(socket: &mut Socket, hex: &str) {
    let digits = hex.as_bytes().chunks_exact(2);
    let byte = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap();
    let bytes: Vec<u8> = digits.map(byte).collect();
    match socket {
        Socket::None | Socket::Ip(..) => {}
        Socket::Unix(stream) => stream.write_all(&bytes).unwrap(),
        Socket::Netlink(fd) => drop(send(fd.as_raw_fd(), &bytes, MsgFlags::empty()).unwrap()),
    }
}

fn take(socket: &mut Socket, size: usize, room: &mut Vec<u8>) {
    room.resize(room.len().max(size), 0);
    // An answer that is shorter this time ends with the timeout, and the time shows it.
    let _ = match socket {
        Socket::None | Socket::Ip(..) => 0,
        Socket::Unix(stream) => stream.read_exact(&mut room[..size]).map_or(0, |()| size),
        Socket::Netlink(fd) => recv(fd.as_raw_fd(), room, MsgFlags::MSG_DONTWAIT).unwrap_or(0),
    };
}

fn table(current: &mut Socket, size: usize, question: &str) {
    let mut words = question.split(' ');
    let mut next = || words.next().unwrap_or_default();
    let mut number = || next().parse::<i32>().unwrap();
    let (level, option) = (number(), number());
    if !matches!(current, Socket::Ip(of, _) if *of == level) {
        let family = match level {
            libc::IPPROTO_IPV6 => AddressFamily::Inet6,
            _ => AddressFamily::Inet,
        };
        let flags = SockFlag::SOCK_CLOEXEC;
        *current = Socket::Ip(
            level,
            socket(family, SockType::Datagram, flags, None).unwrap(),
        );
    }
    let Socket::Ip(_, fd) = current else { return };
    let mut buffer = next().as_bytes().to_vec();
    buffer.resize(size, 0);
    // struct ipt_get_entries: the name, then the length of the entries (linux/netfilter_ipv4/ip_tables.h).
    if let Some(told) = buffer.get_mut(32..36).filter(|_| option == ENTRIES) {
        told.copy_from_slice(&u32::try_from(size - HEADER).unwrap().to_ne_bytes());
    }
    let mut length = libc::socklen_t::try_from(size).unwrap();
    let answer = buffer.as_mut_ptr().cast();
    // SAFETY: the buffer is as long as `length` says, and the kernel keeps neither pointer.
    unsafe { libc::getsockopt(fd.as_raw_fd(), level, option, answer, &raw mut length) };
}
