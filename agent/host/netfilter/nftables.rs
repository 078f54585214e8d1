//! Dumps nf_tables over a netlink socket (netlink(7)).

use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, connect, recv, send,
    setsockopt, socket, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike};

use crate::error::{Result, trouble};
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
/// What the kernel calls a dump that something changed under (`nl_dump_check_consistent`), too.
const CHANGED: Errno = Errno::EINTR;

/// The rules of nf_tables; none where the kernel hasn't got it.
pub(super) fn read() -> Result<Ruleset> {
    let answer = Socket::open().and_then(|mut socket| {
        let mut attempts = (0..ATTEMPTS).map(|_| socket.dump());
        let read = attempts.find(|answer| !matches!(answer, Err(CHANGED)));
        read.unwrap_or(Err(CHANGED))
    });
    match answer {
        Ok(stream) => nft::decode(&stream, &interface),
        Err(Errno::EPROTONOSUPPORT | Errno::EAFNOSUPPORT) => Ok(Ruleset::default()),
        Err(error) => Err(match error {
            CHANGED => trouble!("nf_tables: its rules changed all the time: try again"),
            Errno::EPERM => trouble!("nf_tables: only root may read it: run as root"),
            Errno::EAGAIN => trouble!("nf_tables: no answer from the kernel in {PATIENCE} s"),
            error => trouble!("nf_tables: {}", error.desc()),
        }),
    }
}

/// The name of an interface by its index (netdevice(7), SIOCGIFNAME).
fn interface(index: u32) -> Option<String> {
    let name = nix::net::if_::if_indextoname(index).ok()?;
    name.into_string().ok().filter(|name| !name.is_empty())
}

struct Socket {
    fd: OwnedFd,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Socket {
    fn open() -> nix::Result<Self> {
        let (family, flags) = (AddressFamily::Netlink, SockFlag::SOCK_CLOEXEC);
        let fd = socket(family, SockType::Raw, flags, SockProtocol::NetlinkNetFilter)?;
        setsockopt(&fd, sockopt::ReceiveTimeout, &TimeVal::seconds(PATIENCE))?;
        // Only the kernel's messages come in.
        connect(fd.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
        let buffer = vec![0; BUFFER];
        Ok(Self {
            fd,
            sequence: 0,
            buffer,
        })
    }

    /// Everything that makes the rules; [`CHANGED`] where something changed meanwhile.
    fn dump(&mut self) -> nix::Result<Vec<u8>> {
        let mut stream = Vec::new();
        let before = self.generation()?;
        match self.ask(TABLES, DUMP, ANY, &[], &mut stream) {
            // No such subsystem (`nfnetlink_rcv_msg`).
            Err(Errno::EINVAL) => return Ok(Vec::new()),
            answer => answer?,
        }
        for kind in [CHAINS, SETS] {
            self.ask(kind, DUMP, ANY, &[], &mut stream)?;
        }
        let mut elements = Vec::new();
        for (family, table, set) in nft::sets(&stream) {
            match self.ask(
                ELEMENTS,
                DUMP,
                family,
                &[(1, table), (2, set)],
                &mut elements,
            ) {
                Err(Errno::ENOENT) => return Err(CHANGED),
                answer => answer?,
            }
        }
        stream.append(&mut elements);
        self.ask(RULES, DUMP, ANY, &[], &mut stream)?;
        if self.generation()? == before {
            Ok(stream)
        } else {
            Err(CHANGED)
        }
    }

    /// The ruleset's number; none on kernels before 3.18, which have none.
    fn generation(&mut self) -> nix::Result<Option<u32>> {
        let mut answer = Vec::new();
        match self.ask(GENERATION, ACKNOWLEDGE, ANY, &[], &mut answer) {
            Err(Errno::EINVAL) => Ok(None),
            asked => asked.map(|()| nft::generation(&answer)),
        }
    }

    /// Sends a request and adds the messages that answer it to `stream`.
    fn ask(
        &mut self,
        kind: u16,
        flags: u16,
        family: u8,
        strings: &[(u16, &str)],
        stream: &mut Vec<u8>,
    ) -> nix::Result<()> {
        self.sequence += 1;
        let request = request(kind, REQUEST | flags, self.sequence, family, strings);
        send(self.fd.as_raw_fd(), &request, MsgFlags::empty())?;
        let mut interrupted = false;
        loop {
            let length = match recv(self.fd.as_raw_fd(), &mut self.buffer, MsgFlags::empty()) {
                Err(Errno::EINTR) => continue,
                answer => answer?,
            };
            let answer = self.buffer.get(..length).unwrap_or_default();
            stream.extend(answer);
            for message in messages(answer).filter(|message| message.sequence == self.sequence) {
                interrupted |= message.flags & INTERRUPTED != 0;
                if matches!(message.kind, ERROR | DONE) {
                    // The rest of an interrupted dump has been taken from the socket by now.
                    return if interrupted {
                        Err(CHANGED)
                    } else {
                        told(message.body)
                    };
                }
            }
        }
    }
}

/// The error number that ends an answer, negative; 0 is none.
fn told(body: &[u8]) -> nix::Result<()> {
    let number = body.first_chunk().copied().map_or(0, i32::from_ne_bytes);
    match number {
        0 => Ok(()),
        _ => Err(Errno::from_raw(number.saturating_neg())),
    }
}
