//! What a register of nf_tables' machine holds: a part of a packet or what is known about it, and
//! what a rule asks of it in bytes, as a condition.

use std::ops::RangeInclusive;

use super::super::On;
use super::super::bytes::{address_at, array, name, networks, prefix_length, u32_at};

/// Inclusive bounds, as the bytes a register holds.
pub(super) type Bounds = (Vec<u8>, Vec<u8>);

/// What can be loaded into a register and be understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Field {
    /// NFPROTO_IPV4 or NFPROTO_IPV6.
    Family,
    /// The protocol of the Ethernet frame.
    EtherType,
    Protocol,
    Source {
        ipv6: bool,
    },
    Destination {
        ipv6: bool,
    },
    SourcePort,
    DestinationPort,
    /// The flags and offset of an IPv4 fragment.
    Fragment,
    TcpFlags,
    InputName,
    OutputName,
    InputIndex,
    OutputIndex,
    State,
    Status,
    Mark,
    /// The route type of the destination.
    DestinationType,
    /// How the frame was addressed.
    PacketType,
    /// Anything else, in words.
    Unknown(String),
}

/// A run of bytes of a field in a register.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    pub field: Field,
    pub length: usize,
    pub mask: Option<Vec<u8>>,
}

/// NFPROTO_… (include/uapi/linux/netfilter.h).
pub(super) const IPV4: u8 = 2;
pub(super) const IPV6: u8 = 10;
/// ETH_P_IP and ETH_P_IPV6.
const ETHER_IPV4: [u8; 2] = [0x08, 0x00];
const ETHER_IPV6: [u8; 2] = [0x86, 0xdd];
/// NF_CT_STATE_BIT (include/uapi/linux/netfilter/nf_conntrack_common.h).
const STATES: [(u32, &str); 5] = [
    (1, "invalid"),
    (2, "established"),
    (4, "related"),
    (8, "new"),
    (64, "untracked"),
];
/// IPS_SRC_NAT and IPS_DST_NAT, same file.
const STATUSES: [(u32, &str); 2] = [(0x10, "snat"), (0x20, "dnat")];
/// RTN_… (rtnetlink(7)); a base address type is one of them.
const ROUTES: [(u32, &str); 8] = [
    (1, "unicast"),
    (2, "local"),
    (3, "broadcast"),
    (4, "anycast"),
    (5, "multicast"),
    (6, "blackhole"),
    (7, "unreachable"),
    (8, "prohibit"),
];
/// PACKET_… (packet(7)). A packet's address and its frame's go together, but for broken senders.
pub(in super::super) const FRAMES: [(u32, &[&str]); 3] = [
    (0, &["local", "unicast", "anycast"]),
    (1, &["broadcast"]),
    (2, &["multicast"]),
];

/// The names of the bits that are set; none where one has no name.
pub(in super::super) fn names_of(bits: u32, known: &[(u32, &str)]) -> Option<Vec<String>> {
    let all = known.iter().fold(0, |all, (bit, _)| all | bit);
    let set = known.iter().filter(|(bit, _)| bits & bit != 0);
    (bits & !all == 0).then(|| set.map(|(_, name)| (*name).to_owned()).collect())
}

impl Part {
    /// The field as nft writes it.
    pub fn words(&self) -> String {
        match &self.field {
            Field::Family => "meta nfproto",
            Field::EtherType => "meta protocol",
            Field::Protocol => "meta l4proto",
            Field::Source { ipv6: false } => "ip saddr",
            Field::Source { ipv6: true } => "ip6 saddr",
            Field::Destination { ipv6: false } => "ip daddr",
            Field::Destination { ipv6: true } => "ip6 daddr",
            Field::SourcePort => "th sport",
            Field::DestinationPort => "th dport",
            Field::Fragment => "ip frag-off",
            Field::TcpFlags => "tcp flags",
            Field::InputName => "iifname",
            Field::OutputName => "oifname",
            Field::InputIndex => "iif",
            Field::OutputIndex => "oif",
            Field::State => "ct state",
            Field::Status => "ct status",
            Field::Mark => "meta mark",
            Field::DestinationType => "fib daddr type",
            Field::PacketType => "meta pkttype",
            Field::Unknown(words) => words,
        }
        .to_owned()
    }

    /// The condition that the field is within one of these bounds; none where that can't be told.
    pub fn within(
        &self,
        bounds: &[Bounds],
        interface: &dyn Fn(u32) -> Option<String>,
    ) -> Option<On> {
        if bounds.is_empty() {
            return Some(On::Never);
        }
        if let Some(mask) = &self.mask {
            return self.masked(mask, bounds);
        }
        match self.field {
            Field::Family => family(bounds, |low| low == [IPV4], |low| low == [IPV6]),
            Field::EtherType => family(bounds, |low| low == ETHER_IPV4, |low| low == ETHER_IPV6),
            Field::Protocol => protocols(bounds).map(On::Protocol),
            Field::Source { ipv6 } => addresses(bounds, ipv6).map(On::Source),
            Field::Destination { ipv6 } => addresses(bounds, ipv6).map(On::Destination),
            Field::SourcePort => ports(bounds).map(On::SourcePort),
            Field::DestinationPort => ports(bounds).map(On::DestinationPort),
            Field::InputName => interfaces(bounds).map(On::InputInterface),
            Field::OutputName => interfaces(bounds).map(On::OutputInterface),
            Field::InputIndex => each(bounds, |index| Some(interface(index).into_iter().collect()))
                .map(On::InputInterface),
            Field::OutputIndex => {
                each(bounds, |index| Some(interface(index).into_iter().collect()))
                    .map(On::OutputInterface)
            }
            Field::State => each(bounds, |bits| names_of(bits, &STATES)).map(On::Connection),
            Field::Mark => single(bounds).map(|value| On::Mark {
                value,
                mask: u32::MAX,
            }),
            Field::DestinationType => each(bounds, |number| {
                named(number, &ROUTES, |name| vec![name.to_string()])
            })
            .map(On::DestinationType),
            Field::PacketType => {
                let frames = |names: &&[&str]| names.iter().map(ToString::to_string).collect();
                each_byte(bounds, |number| named(number, &FRAMES, frames)).map(On::DestinationType)
            }
            Field::TcpFlags => match bounds {
                [(low, high)] if low == high => low.first().map(|set| On::TcpFlags {
                    set: *set,
                    mask: u8::MAX,
                }),
                _ => None,
            },
            Field::Fragment | Field::Status | Field::Unknown(_) => None,
        }
    }

    fn masked(&self, mask: &[u8], bounds: &[Bounds]) -> Option<On> {
        let [(low, high)] = bounds else { return None };
        if low != high {
            return None;
        }
        match self.field {
            Field::Source { ipv6 } => network(low, mask, ipv6).map(On::Source),
            Field::Destination { ipv6 } => network(low, mask, ipv6).map(On::Destination),
            Field::Mark => Some(On::Mark {
                value: u32_at(low, 0)?,
                mask: u32_at(mask, 0)?,
            }),
            Field::TcpFlags => Some(On::TcpFlags {
                set: *low.first()?,
                mask: *mask.first()?,
            }),
            _ => None,
        }
    }

    /// The condition that one of the masked bits is set, for what is made of bits; none where that
    /// can't be told. The second says whether it is that none is.
    pub fn any_bit(&self) -> Option<(On, bool)> {
        let mask = self.mask.as_deref()?;
        let names =
            |known| names_of(u32_at(mask, 0)?, known).map(|names| (On::Connection(names), false));
        match self.field {
            Field::State => names(&STATES),
            Field::Status => names(&STATUSES),
            Field::Mark => Some((
                On::Mark {
                    value: 0,
                    mask: u32_at(mask, 0)?,
                },
                true,
            )),
            Field::TcpFlags => Some((
                On::TcpFlags {
                    set: 0,
                    mask: *mask.first()?,
                },
                true,
            )),
            // A new connection's first packet is no fragment; the upper two bits are none of that.
            Field::Fragment if mask.first()? & 0xc0 == 0 => Some((On::Never, false)),
            _ => None,
        }
    }
}

fn family(bounds: &[Bounds], v4: impl Fn(&[u8]) -> bool, v6: impl Fn(&[u8]) -> bool) -> Option<On> {
    match bounds {
        [(low, high)] if low == high && v4(low) => Some(On::Ipv6(false)),
        [(low, high)] if low == high && v6(low) => Some(On::Ipv6(true)),
        _ => None,
    }
}

fn protocols(bounds: &[Bounds]) -> Option<Vec<u8>> {
    let range = |(low, high): &Bounds| Some(*low.first()?..=*high.first()?);
    let ranges: Option<Vec<RangeInclusive<u8>>> = bounds.iter().map(range).collect();
    Some(ranges?.into_iter().flatten().collect())
}

fn ports(bounds: &[Bounds]) -> Option<Vec<RangeInclusive<u16>>> {
    let port = |bytes: &[u8]| array(bytes, 0).map(u16::from_be_bytes);
    bounds
        .iter()
        .map(|(low, high)| Some(port(low)?..=port(high)?))
        .collect()
}

/// A prefix of whole bytes is loaded as those bytes only.
fn addresses(bounds: &[Bounds], ipv6: bool) -> Option<Vec<(std::net::IpAddr, u8)>> {
    let width = if ipv6 { 16 } else { 4 };
    let whole = |bytes: &[u8], filling: u8| {
        let mut bytes = bytes.to_vec();
        bytes.resize(width, filling);
        address_at(&bytes, 0, ipv6)
    };
    let within = |(low, high): &Bounds| networks(whole(low, 0)?, whole(high, u8::MAX)?);
    let all: Option<Vec<_>> = bounds.iter().map(within).collect();
    Some(all?.into_iter().flatten().collect())
}

fn network(value: &[u8], mask: &[u8], ipv6: bool) -> Option<Vec<(std::net::IpAddr, u8)>> {
    let length = prefix_length(address_at(mask, 0, ipv6)?)?;
    Some(vec![(address_at(value, 0, ipv6)?, length)])
}

/// A name with its final NUL, or just the bytes that it begins with.
fn interfaces(bounds: &[Bounds]) -> Option<Vec<String>> {
    let one = |(low, high): &Bounds| {
        if low == high && low.contains(&0) {
            return Some(name(low));
        }
        let begin = low
            .iter()
            .zip(high)
            .take_while(|(low, high)| low == high && **low != 0)
            .count();
        let (rest, to) = (low.get(begin..)?, high.get(begin..)?);
        let open = rest.iter().all(|byte| *byte == 0) && to.iter().all(|byte| *byte == u8::MAX);
        open.then(|| format!("{}*", name(low.get(..begin).unwrap_or_default())))
    };
    bounds.iter().map(one).collect()
}

/// What each of some numbers in the machine's own byte order stands for.
fn each(bounds: &[Bounds], of: impl Fn(u32) -> Option<Vec<String>>) -> Option<Vec<String>> {
    let one = |bounds: &Bounds| of(single(std::slice::from_ref(bounds))?);
    let all: Option<Vec<_>> = bounds.iter().map(one).collect();
    Some(all?.into_iter().flatten().collect())
}

/// As [`each`], of single bytes.
fn each_byte(bounds: &[Bounds], of: impl Fn(u32) -> Option<Vec<String>>) -> Option<Vec<String>> {
    let one = |(low, high): &Bounds| match (low.as_slice(), low == high) {
        ([number], true) => of(u32::from(*number)),
        _ => None,
    };
    let all: Option<Vec<_>> = bounds.iter().map(one).collect();
    Some(all?.into_iter().flatten().collect())
}

/// The only value the bounds leave.
fn single(bounds: &[Bounds]) -> Option<u32> {
    match bounds {
        [(low, high)] if low == high => u32_at(low, 0),
        _ => None,
    }
}

fn named<T>(
    number: u32,
    known: &[(u32, T)],
    as_names: impl Fn(&T) -> Vec<String>,
) -> Option<Vec<String>> {
    let (_, found) = known.iter().find(|(this, _)| *this == number)?;
    Some(as_names(found))
}
