//! Dumps nf_tables over a netlink socket (netlink(7)).

use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, send, setsockopt,
    socket, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike};

use crate::error::{Error, Result, trouble};
use crate::firewall::Ruleset;
use crate::firewall::netlink::{messages, request};
use crate::firewall::nft::{self, SUBSYSTEM};

/// NFT_MSG_GET….
const TABLES: u16 = SUBSYSTEM | 1;
const CHAINS: u16 = SUBSYSTEM | 4;
const RULES: u16 = SUBSYSTEM | 7;
const SETS: u16 = SUBSYSTEM | 10;
const ELEMENTS: u16 = SUBSYSTEM | 13;
const GENERATION: u16 = SUBSYSTEM | 16;
/// NFPROTO_UNSPEC.
const ANY: u8 = 0;
/// NLM_F_REQUEST, NLM_F_ACK and NLM_F_DUMP; NLM_F_DUMP_INTR.
const REQUEST: u16 = 1;
const ACKNOWLEDGE: u16 = 4;
const DUMP: u16 = 0x300;
const INTERRUPTED: u16 = 0x10;
/// NLMSG_ERROR and NLMSG_DONE.
const ERROR: u16 = 2;
const DONE: u16 = 3;

/// The kernel fills up to 32 KiB at once for one who offers as much (`netlink_dump` in
/// net/netlink/af_netlink.c).
const BUFFER: usize = 32 << 10;
/// Seconds to wait for an answer, which comes from the kernel itself: beyond this something hangs.
const PATIENCE: i64 = 5;
/// A kube-proxy changes rules every second or so, and a dump of ten thousand takes some ten
/// milliseconds.
const ATTEMPTS: usize = 10;

/// What stopped a dump.
enum Stop {
    /// The rules changed meanwhile.
    Changed,
    /// The kernel has no nf_tables.
    Absent,
    Failed(Error),
}

/// The rules of nf_tables; none where the kernel hasn't got it.
pub(super) fn read() -> Result<Ruleset> {
    let mut socket = match Socket::open() {
        Ok(socket) => socket,
        Err(Stop::Failed(error)) => return Err(error),
        Err(Stop::Absent | Stop::Changed) => return Ok(Ruleset::default()),
    };
    for _ in 0..ATTEMPTS {
        match socket.dump() {
            Ok(stream) => return nft::decode(&stream, &interface),
            Err(Stop::Changed) => {}
            Err(Stop::Absent) => return Ok(Ruleset::default()),
            Err(Stop::Failed(error)) => return Err(error),
        }
    }
    Err(trouble!(
        "nf_tables: the rules changed during each of {ATTEMPTS} attempts to read them: try again"
    ))
}

/// The name of an interface by its index (netdevice(7), SIOCGIFNAME).
fn interface(index: u32) -> Option<String> {
    let name = nix::net::if_::if_indextoname(index).ok()?;
    name.into_string().ok()
}

struct Socket {
    fd: OwnedFd,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Socket {
    fn open() -> std::result::Result<Self, Stop> {
        let failed = |error: Errno| match error {
            Errno::EPROTONOSUPPORT | Errno::EAFNOSUPPORT => Stop::Absent,
            error => Stop::Failed(trouble!("nf_tables: {}", error.desc())),
        };
        let protocol = SockProtocol::NetlinkNetFilter;
        let fd = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            protocol,
        )
        .map_err(failed)?;
        setsockopt(&fd, sockopt::ReceiveTimeout, &TimeVal::seconds(PATIENCE)).map_err(failed)?;
        nix::sys::socket::connect(fd.as_raw_fd(), &NetlinkAddr::new(0, 0)).map_err(failed)?;
        Ok(Self {
            fd,
            sequence: 0,
            buffer: vec![0; BUFFER],
        })
    }

    /// Everything that makes the rules, if nothing changed meanwhile.
    fn dump(&mut self) -> std::result::Result<Vec<u8>, Stop> {
        let mut stream = Vec::new();
        let before = self.generation()?;
        self.ask(TABLES, DUMP, ANY, &[], &mut stream)?;
        if stream.is_empty() {
            return Ok(stream);
        }
        for kind in [CHAINS, SETS] {
            self.ask(kind, DUMP, ANY, &[], &mut stream)?;
        }
        let mut elements = Vec::new();
        for (family, table, set) in nft::sets(&stream) {
            self.ask(
                ELEMENTS,
                DUMP,
                family,
                &[(1, table), (2, set)],
                &mut elements,
            )?;
        }
        stream.append(&mut elements);
        self.ask(RULES, DUMP, ANY, &[], &mut stream)?;
        if self.generation()? == before {
            Ok(stream)
        } else {
            Err(Stop::Changed)
        }
    }

    fn generation(&mut self) -> std::result::Result<Option<u32>, Stop> {
        let mut answer = Vec::new();
        self.ask(GENERATION, ACKNOWLEDGE, ANY, &[], &mut answer)?;
        Ok(nft::generation(&answer))
    }

    /// Sends a request and adds the messages that answer it to `stream`.
    fn ask(
        &mut self,
        kind: u16,
        flags: u16,
        family: u8,
        strings: &[(u16, &str)],
        stream: &mut Vec<u8>,
    ) -> std::result::Result<(), Stop> {
        let failed = |error: Errno| Stop::Failed(trouble!("nf_tables: {}", error.desc()));
        self.sequence += 1;
        let request = request(kind, REQUEST | flags, self.sequence, family, strings);
        send(self.fd.as_raw_fd(), &request, MsgFlags::empty()).map_err(failed)?;
        loop {
            let length = match recv(self.fd.as_raw_fd(), &mut self.buffer, MsgFlags::empty()) {
                Err(Errno::EINTR) => continue,
                answer => answer.map_err(failed)?,
            };
            let answer = self.buffer.get(..length).unwrap_or_default();
            stream.extend(answer);
            if ended(answer, self.sequence)? {
                return Ok(());
            }
        }
    }
}

/// Whether these messages are the last of an answer.
fn ended(answer: &[u8], sequence: u32) -> std::result::Result<bool, Stop> {
    let mut ended = false;
    for message in messages(answer).filter(|message| message.sequence == sequence) {
        if message.flags & INTERRUPTED != 0 {
            return Err(Stop::Changed);
        }
        if matches!(message.kind, ERROR | DONE) {
            let number = message.body.first_chunk().copied().map(i32::from_ne_bytes);
            told(Errno::from_raw(number.unwrap_or(0).saturating_neg()))?;
            ended = true;
        }
    }
    Ok(ended)
}

/// An error as the kernel's answer; 0 is none.
fn told(error: Errno) -> std::result::Result<(), Stop> {
    match error as i32 {
        0 => Ok(()),
        _ => Err(match error {
            // A set or table that is gone; EINTR is a dump that its reader must begin again.
            Errno::ENOENT | Errno::EINTR => Stop::Changed,
            // No such subsystem (`nfnetlink_rcv_msg`).
            Errno::EINVAL | Errno::EAFNOSUPPORT => Stop::Absent,
            Errno::EPERM => Stop::Failed(trouble!(
                "nf_tables: only root (CAP_NET_ADMIN) may read the packet filter: run as root"
            )),
            error => Stop::Failed(trouble!("nf_tables: {}", error.desc())),
        }),
    }
}
