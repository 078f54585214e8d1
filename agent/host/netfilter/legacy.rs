//! Reads the tables of legacy iptables with getsockopt(2), only those that are there already.

use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

use super::super::syscall::table_option;
use crate::error::{Result, trouble};
use crate::firewall::xt::table::{self, ENTRIES, INFO, NAME};
use crate::firewall::{Chain, Family};

/// Those of iptables' tables that may have chains at the input and forward hooks and drop there; nat
/// only translates.
const ASKED: [&str; 3] = ["mangle", "filter", "security"];
/// IPT_SO_GET_INFO and IPT_SO_GET_ENTRIES, IP6T_… alike.
const GET_INFO: i32 = 64;
const GET_ENTRIES: i32 = 65;
/// A table that changed between the two questions is asked for again.
const ATTEMPTS: usize = 10;
/// A table of this size would have some hundred thousand rules.
const LARGEST: u32 = 256 << 20;

/// The chains of the tables that `names` (`/proc/net/ip_tables_names`, `ip6_tables_names`) lists.
pub(super) fn read(family: Family, names: &str) -> Result<Vec<Chain>> {
    let listed: Vec<&str> = ASKED
        .into_iter()
        .filter(|table| names.lines().any(|line| line == *table))
        .collect();
    if listed.is_empty() {
        return Ok(Vec::new());
    }
    let (domain, level) = match family {
        Family::Ip6 => (AddressFamily::Inet6, libc::IPPROTO_IPV6),
        Family::Ip | Family::Inet => (AddressFamily::Inet, libc::IPPROTO_IP),
    };
    let failed = |table: &str, error: Errno| {
        trouble!(
            "legacy iptables: table {table}: {}: run as root",
            error.desc()
        )
    };
    // No raw socket: the options only look at who asks (`do_ipt_get_ctl`, CAP_NET_ADMIN).
    let socket = socket(domain, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)
        .map_err(|error| failed("filter", error))?;
    let mut chains = Vec::new();
    for name in listed {
        let (info, entries) = table(&socket, level, name).map_err(|error| failed(name, error))?;
        chains.extend(table::chains(
            family,
            &info,
            entries.get(ENTRIES..).unwrap_or_default(),
        )?);
    }
    Ok(chains)
}

/// A table's information, and its entries with their header.
fn table(socket: &impl AsFd, level: i32, name: &str) -> nix::Result<(Vec<u8>, Vec<u8>)> {
    for _ in 0..ATTEMPTS {
        let mut info = named(name, INFO);
        table_option(socket, level, GET_INFO, &mut info)?;
        let size = table::size(&info)
            .filter(|size| *size < LARGEST)
            .ok_or(Errno::EOVERFLOW)?;
        let length = usize::try_from(size).map_err(|_| Errno::EOVERFLOW)?;
        let mut entries = named(name, ENTRIES + length);
        if let Some(told) = entries.get_mut(NAME..NAME + 4) {
            told.copy_from_slice(&size.to_ne_bytes());
        }
        match table_option(socket, level, GET_ENTRIES, &mut entries) {
            Err(Errno::EAGAIN) => {}
            answer => return answer.map(|()| (info, entries)),
        }
    }
    Err(Errno::EAGAIN)
}

/// A buffer that begins with a table's name.
fn named(name: &str, length: usize) -> Vec<u8> {
    let mut bytes = name.as_bytes().to_vec();
    bytes.resize(length, 0);
    bytes
}
