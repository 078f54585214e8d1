//! The matches and targets of iptables, legacy and in nf_tables: what each asks of a packet, by its
//! name, revision and the structure it keeps in the kernel (include/uapi/linux/netfilter/xt_*.h).

pub mod table;

use std::ops::RangeInclusive;

use super::bytes::{address_at, name, networks, u8_at, u16_at, u32_at};
use super::text::Clause;
use super::{On, Verdict};

/// The tables that iptables makes.
pub const TABLES: [&str; 5] = ["filter", "mangle", "nat", "raw", "security"];

/// XT_STATE_BIT (xt_state.h), and the bits of xt_conntrack.h, in the order of iptables.
const OLD_STATES: [(u32, &str); 5] = [
    (1, "invalid"),
    (1 << 3, "new"),
    (1 << 2, "related"),
    (1 << 1, "established"),
    (1 << 6, "untracked"),
];
const STATES: [(u32, &str); 7] = [
    (1, "invalid"),
    (1 << 3, "new"),
    (1 << 2, "related"),
    (1 << 1, "established"),
    (1 << 6, "snat"),
    (1 << 7, "dnat"),
    (1 << 8, "untracked"),
];
/// XT_ADDRTYPE_….
const ADDRESS_TYPES: [(u32, &str); 9] = [
    (1, "unspec"),
    (1 << 1, "unicast"),
    (1 << 2, "local"),
    (1 << 3, "broadcast"),
    (1 << 4, "anycast"),
    (1 << 5, "multicast"),
    (1 << 6, "blackhole"),
    (1 << 7, "unreachable"),
    (1 << 8, "prohibit"),
];

/// What a match asks.
#[derive(Debug, Default)]
pub(super) struct Conditions {
    pub clauses: Vec<Clause>,
    /// What it says to a person only.
    pub note: Option<String>,
}

/// The conditions of a match; what is not understood is undecided.
pub(super) fn conditions(match_: &str, revision: u8, info: &[u8], ipv6: bool) -> Conditions {
    if match_ == "comment" {
        let note = Some(format!("-m comment --comment \"{}\"", name(info)));
        return Conditions {
            note,
            ..Conditions::default()
        };
    }
    let known = match (match_, revision) {
        ("tcp", 0) => tcp(info),
        ("udp" | "udplite", 0) => udp(info),
        ("multiport", 0 | 1) => multiport(info, revision),
        ("conntrack", 1..=3) => conntrack(info, revision),
        ("state", 0) => u32_at(info, 0).and_then(|bits| {
            let names = super::nft::names_of(bits, &OLD_STATES)?;
            Some(vec![Clause::of(On::Connection(names), false)])
        }),
        ("mark", 1) => mark(info),
        ("addrtype", 0 | 1) => address_type(info, revision),
        ("iprange", 1) => address_range(info, ipv6),
        ("pkttype", 0) => frame(info),
        ("set", 1..) => address_set(info),
        // Headers and protocols that the first packet of a connection does not have; each of these
        // matches is false without (net/ipv6/netfilter/ip6t_rt.c and its kin), inverted or not.
        ("rt" | "srh" | "frag" | "hbh" | "dst" | "mh" | "ah" | "esp" | "sctp" | "dccp", _) => {
            Some(vec![Clause::of(On::Never, false)])
        }
        _ => None,
    };
    let doubt = || vec![Clause::of(On::Undecided(format!("-m {match_}")), false)];
    let mut clauses = known.unwrap_or_else(doubt);
    for clause in &mut clauses {
        // Conditions that say nothing of where they came from.
        let is_bare = match &clause.one.on {
            On::Never => true,
            On::Source(networks) => networks.is_empty(),
            _ => false,
        };
        if is_bare && clause.shown.is_none() {
            clause.shown = Some(format!("-m {match_}"));
        }
    }
    Conditions {
        clauses,
        note: None,
    }
}

/// What a target does, by its name.
#[must_use]
pub fn verdict(target: &str) -> Verdict {
    match target {
        "REJECT" | "DROP" => Verdict::Drop,
        "ACCEPT" => Verdict::Accept,
        // They accept what they have translated.
        "DNAT" | "SNAT" | "MASQUERADE" | "REDIRECT" | "NETMAP" => Verdict::Accept,
        "AUDIT" | "CHECKSUM" | "CLASSIFY" | "CONNMARK" | "CONNSECMARK" | "CT" | "DSCP" | "ECN"
        | "HL" | "HMARK" | "IDLETIMER" | "LED" | "LOG" | "MARK" | "NFLOG" | "NOTRACK"
        | "RATEEST" | "SECMARK" | "SET" | "TCPMSS" | "TCPOPTSTRIP" | "TEE" | "TOS" | "TRACE"
        | "TTL" | "ULOG" => Verdict::Continue,
        _ => Verdict::Undecided,
    }
}

/// Two ports in the machine's own order; none where they hold every port and are not inverted.
fn ports(
    info: &[u8],
    offset: usize,
    inverted: bool,
    on: fn(Vec<RangeInclusive<u16>>) -> On,
) -> Option<Option<Clause>> {
    let (low, high) = (u16_at(info, offset)?, u16_at(info, offset + 2)?);
    let all = low == 0 && high == u16::MAX && !inverted;
    Some((!all).then(|| Clause::of(on(vec![low..=high]), inverted)))
}

/// struct xt_tcp.
fn tcp(info: &[u8]) -> Option<Vec<Clause>> {
    let (option, mask, set, inverted) = (
        u8_at(info, 8)?,
        u8_at(info, 9)?,
        u8_at(info, 10)?,
        u8_at(info, 11)?,
    );
    let source = ports(info, 0, inverted & 1 != 0, On::SourcePort)?;
    let destination = ports(info, 4, inverted & 2 != 0, On::DestinationPort)?;
    let mut clauses: Vec<Clause> = source.into_iter().chain(destination).collect();
    if mask != 0 || inverted & 4 != 0 {
        clauses.push(Clause::of(On::TcpFlags { set, mask }, inverted & 4 != 0));
    }
    if option != 0 {
        clauses.push(Clause::of(
            On::Undecided("--tcp-option".into()),
            inverted & 8 != 0,
        ));
    }
    Some(clauses)
}

/// struct xt_udp.
fn udp(info: &[u8]) -> Option<Vec<Clause>> {
    let inverted = u8_at(info, 8)?;
    let source = ports(info, 0, inverted & 1 != 0, On::SourcePort)?;
    let destination = ports(info, 4, inverted & 2 != 0, On::DestinationPort)?;
    Some(source.into_iter().chain(destination).collect())
}

/// struct xt_multiport and xt_multiport_v1: 15 ports (XT_MULTI_PORTS), and in the latter whether each
/// begins a range.
fn multiport(info: &[u8], revision: u8) -> Option<Vec<Clause>> {
    let count = usize::from(u8_at(info, 1)?).min(15);
    let mut ranges = Vec::new();
    let mut at = 0;
    while at < count {
        let port = |at: usize| u16_at(info, 2 + 2 * at);
        let begins = revision == 1 && u8_at(info, 32 + at)? != 0;
        let last = if begins { at + 1 } else { at };
        ranges.push(port(at)?..=port(last)?);
        at = last + 1;
    }
    let inverted = revision == 1 && u8_at(info, 47)? != 0;
    let on = match u8_at(info, 0)? {
        0 => On::SourcePort(ranges),
        1 => On::DestinationPort(ranges),
        _ => On::Undecided("-m multiport --ports".into()),
    };
    Some(vec![Clause::of(on, inverted)])
}

/// struct xt_conntrack_mtinfo1 to 3, of which only the states are understood.
fn conntrack(info: &[u8], revision: u8) -> Option<Vec<Clause>> {
    /// XT_CONNTRACK_STATE, XT_CONNTRACK_STATE_ALIAS.
    const STATE: u16 = 1;
    const ALIAS: u16 = 1 << 13;
    let (asked, inverted) = (u16_at(info, 146)?, u16_at(info, 148)?);
    let states = if revision == 1 {
        u32::from(u8_at(info, 150)?)
    } else {
        u32::from(u16_at(info, 150)?)
    };
    let mut clauses = Vec::new();
    if asked & STATE != 0 {
        let names = super::nft::names_of(states, &STATES)?;
        clauses.push(Clause::of(On::Connection(names), inverted & STATE != 0));
    }
    if asked & !(STATE | ALIAS) != 0 {
        clauses.push(Clause::of(On::Undecided("-m conntrack".into()), false));
    }
    Some(clauses)
}

/// struct xt_mark_mtinfo1.
/// `struct xt_set_info`: the set's number, its dimensions, and a bit for each that is of the source,
/// from the second on; the first inverts (include/uapi/linux/netfilter/xt_set.h). A set of sources
/// names them.
fn address_set(info: &[u8]) -> Option<Vec<Clause>> {
    const INVERTED: u8 = 1;
    const FIRST_IS_SOURCE: u8 = 1 << 1;
    let flags = *info.get(3)?;
    (flags & FIRST_IS_SOURCE != 0)
        .then(|| vec![Clause::of(On::Source(Vec::new()), flags & INVERTED != 0)])
}

fn mark(info: &[u8]) -> Option<Vec<Clause>> {
    let on = On::Mark {
        value: u32_at(info, 0)?,
        mask: u32_at(info, 4)?,
    };
    Some(vec![Clause::of(on, u8_at(info, 8)? != 0)])
}

/// struct xt_addrtype_info and xt_addrtype_info_v1.
fn address_type(info: &[u8], revision: u8) -> Option<Vec<Clause>> {
    let (source, destination) = (u16_at(info, 0)?, u16_at(info, 2)?);
    let inverted = if revision == 0 {
        u32_at(info, 8)? != 0
    } else {
        u32_at(info, 4)? & 2 != 0
    };
    let mut clauses = Vec::new();
    if destination != 0 {
        let names = super::nft::names_of(destination.into(), &ADDRESS_TYPES)?;
        clauses.push(Clause::of(On::DestinationType(names), inverted));
    }
    if source != 0 {
        clauses.push(Clause::of(
            On::Undecided("-m addrtype --src-type".into()),
            false,
        ));
    }
    Some(clauses)
}

/// struct xt_iprange_mtinfo: four addresses of 16 bytes, then the flags.
fn address_range(info: &[u8], ipv6: bool) -> Option<Vec<Clause>> {
    let flags = u8_at(info, 64)?;
    let between = |from: usize| {
        networks(
            address_at(info, from, ipv6)?,
            address_at(info, from + 16, ipv6)?,
        )
    };
    let mut clauses = Vec::new();
    if flags & 1 != 0 {
        clauses.push(Clause::of(On::Source(between(0)?), flags & 1 << 4 != 0));
    }
    if flags & 2 != 0 {
        clauses.push(Clause::of(
            On::Destination(between(32)?),
            flags & 1 << 5 != 0,
        ));
    }
    Some(clauses)
}

/// struct xt_pkttype_info.
fn frame(info: &[u8]) -> Option<Vec<Clause>> {
    let kind = u32_at(info, 0)?;
    let (_, names) = super::nft::FRAMES.iter().find(|(this, _)| *this == kind)?;
    let names = names.iter().map(ToString::to_string).collect();
    Some(vec![Clause::of(
        On::DestinationType(names),
        u32_at(info, 4)? != 0,
    )])
}
