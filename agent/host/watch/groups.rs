//! What the kernel tells by netlink(7): modules that come and go, SELinux's mode, the rules of
//! nf_tables, addresses and routes.

use std::collections::BTreeSet;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recvfrom, socket,
};

use crate::firewall::nft;
use crate::host::{Source, process};

/// Messages that are cut off are as good: that one came is what counts, and which module it is about
/// stands first.
const BUFFER: usize = 512;
/// How often a socket is read before what came is looked at.
const READS: usize = 4096;

/// A source with the socket that tells of it.
#[derive(Debug)]
pub(super) struct Group {
    pub source: Source,
    socket: OwnedFd,
    /// Who changed it, where the kernel tells that.
    pub by: BTreeSet<String>,
}

// The groups are bits.
/// `NETLINK_KOBJECT_UEVENT`'s only group (lib/kobject_uevent.c, `uevent_net_init`).
const UEVENTS: (SockProtocol, u32) = (SockProtocol::NetlinkKObjectUEvent, 1);
/// `SELNLGRP_AVC` (include/uapi/linux/selinux_netlink.h).
const SELINUX: (SockProtocol, u32) = (SockProtocol::NetlinkSELinux, 1);
/// `NFNLGRP_NFTABLES` is the seventh (include/uapi/linux/netfilter/nfnetlink.h).
const NFTABLES: (SockProtocol, u32) = (SockProtocol::NetlinkNetFilter, 1 << 6);
/// `RTMGRP_LINK`, `…_IPV4_IFADDR`, `…_IPV4_ROUTE`, `…_IPV6_IFADDR` and `…_IPV6_ROUTE`
/// (include/uapi/linux/rtnetlink.h).
const NETWORK: (SockProtocol, u32) = (
    SockProtocol::NetlinkRoute,
    0x1 | 0x10 | 0x40 | 0x100 | 0x400,
);

impl Group {
    /// Listens for a source; none where no group tells of it.
    ///
    /// # Errors
    /// Where this kernel has no such protocol, or refuses.
    pub fn listen(source: &Source) -> nix::Result<Option<Self>> {
        let (protocol, groups) = match source {
            Source::Modules => UEVENTS,
            // A kernel without it would look for a module that has this protocol.
            Source::Selinux if Path::new("/sys/fs/selinux").exists() => SELINUX,
            Source::Rules => NFTABLES,
            Source::Network => NETWORK,
            _ => return Ok(None),
        };
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket(AddressFamily::Netlink, SockType::Raw, flags, protocol)?;
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, groups))?;
        Ok(Some(Self {
            source: source.clone(),
            socket,
            by: BTreeSet::new(),
        }))
    }

    /// Takes what came; tells whether any of it is about the source. What the kernel had to drop may
    /// have been.
    pub fn drain(&mut self) -> bool {
        let mut touched = false;
        let mut buffer = [0; BUFFER];
        for _ in 0..READS {
            match recvfrom::<NetlinkAddr>(self.socket.as_raw_fd(), &mut buffer) {
                Ok((length, from)) => {
                    // Anyone may send to a netlink socket, only the kernel is 0.
                    let of_kernel = from.is_some_and(|from| from.pid() == 0);
                    let message = buffer.get(..length).unwrap_or_default();
                    if of_kernel && self.is_about(message) {
                        touched = true;
                        self.note_who(message);
                    }
                }
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => break,
                Err(_) => {
                    touched = true;
                    break;
                }
            }
        }
        touched
    }

    fn note_who(&mut self, message: &[u8]) {
        if self.source == Source::Rules
            && let Some((pid, name)) = nft::changed_by(message)
            && let Ok(pid) = i32::try_from(pid)
        {
            self.by.insert(process::in_unit(pid, Some(name)));
        }
    }

    /// An uevent begins with `ACTION@DEVPATH` (lib/kobject_uevent.c).
    fn is_about(&self, message: &[u8]) -> bool {
        const OF_MODULES: &[u8] = b"@/module/";
        let is_it = |part: &[u8]| part == OF_MODULES;
        self.source != Source::Modules || message.windows(OF_MODULES.len()).any(is_it)
    }
}

impl AsFd for Group {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_without_a_group_have_none() {
        assert!(Group::listen(&Source::Swaps).unwrap().is_none());
    }
}
