//! The instructions of nf_tables that load a register: meta, payload, ct and fib.

use super::super::netlink::Attributes;
use super::field::{Field, Part};

/// What a register and those after it hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Load {
    /// One after the other.
    pub parts: Vec<Part>,
}

/// NFT_META_… (include/uapi/linux/netfilter/nf_tables.h) in order, as nft writes them.
const META: [&str; 35] = [
    "length",
    "protocol",
    "priority",
    "mark",
    "iif",
    "oif",
    "iifname",
    "oifname",
    "iiftype",
    "oiftype",
    "skuid",
    "skgid",
    "nftrace",
    "rtclassid",
    "secmark",
    "nfproto",
    "l4proto",
    "ibrname",
    "obrname",
    "pkttype",
    "cpu",
    "iifgroup",
    "oifgroup",
    "cgroup",
    "random",
    "secpath",
    "iifkind",
    "oifkind",
    "ibrpvid",
    "ibrvproto",
    "time",
    "day",
    "hour",
    "sdif",
    "sdifname",
];
/// NFT_CT_… likewise.
const CONNECTION: [&str; 8] = [
    "state",
    "direction",
    "status",
    "mark",
    "secmark",
    "expiration",
    "helper",
    "l3proto",
];
/// NFT_PAYLOAD_….
const NETWORK: u32 = 1;
const TRANSPORT: u32 = 2;
/// NFT_FIB_RESULT_ADDRTYPE; NFTA_FIB_F_DADDR with or without NFTA_FIB_F_IIF.
const ADDRESS_TYPE: u32 = 3;
const DESTINATION: [u32; 2] = [2, 2 | 8];

/// An interface's name (IFNAMSIZ).
const NAME: usize = 16;

impl Load {
    pub fn of(field: Field, length: usize) -> Self {
        let mask = None;
        Self {
            parts: vec![Part {
                field,
                length,
                mask,
            }],
        }
    }

    pub fn unknown(words: &str) -> Self {
        Self::of(Field::Unknown(words.to_owned()), 4)
    }

    pub fn length(&self) -> usize {
        self.parts.iter().map(|part| part.length).sum()
    }

    /// Its first field, as nft writes it.
    pub fn words(&self) -> String {
        self.parts.first().map(Part::words).unwrap_or_default()
    }

    /// With the bits that a mask leaves.
    pub fn masked(mut self, mask: &[u8]) -> Self {
        let mut rest = mask;
        for part in &mut self.parts {
            let (own, after) = rest.split_at_checked(part.length).unwrap_or((rest, &[]));
            rest = after;
            let before = part
                .mask
                .take()
                .unwrap_or_else(|| vec![u8::MAX; part.length]);
            let both: Vec<u8> = before.iter().zip(own).map(|(a, b)| a & b).collect();
            part.mask = both.iter().any(|byte| *byte != u8::MAX).then_some(both);
        }
        self
    }
}

/// The name of a `meta`'s key.
pub(super) fn meta_name(key: u32) -> Option<&'static str> {
    META.get(usize::try_from(key).ok()?).copied()
}

/// What a `meta` loads.
pub(super) fn meta(key: u32) -> Load {
    let name = meta_name(key);
    let (field, length) = match name.unwrap_or_default() {
        "protocol" => (Field::EtherType, 2),
        "mark" => (Field::Mark, 4),
        "iif" => (Field::InputIndex, 4),
        "oif" => (Field::OutputIndex, 4),
        "iifname" => (Field::InputName, NAME),
        "oifname" => (Field::OutputName, NAME),
        "nfproto" => (Field::Family, 1),
        "l4proto" => (Field::Protocol, 1),
        "pkttype" => (Field::PacketType, 1),
        "ibrname" | "obrname" | "iifkind" | "oifkind" | "sdifname" => (
            Field::Unknown(format!("meta {}", name.unwrap_or_default())),
            NAME,
        ),
        "" => (Field::Unknown(format!("meta {key}")), 4),
        name => (Field::Unknown(format!("meta {name}")), 4),
    };
    Load::of(field, length)
}

/// What a `ct` loads.
pub(super) fn connection(key: u32) -> Load {
    let name = usize::try_from(key)
        .ok()
        .and_then(|key| CONNECTION.get(key))
        .copied();
    let field = match name {
        Some("state") => Field::State,
        Some("status") => Field::Status,
        Some(name) => Field::Unknown(format!("ct {name}")),
        None => Field::Unknown(format!("ct {key}")),
    };
    Load::of(field, 4)
}

/// What a `fib` loads: NFTA_FIB_RESULT, NFTA_FIB_FLAGS.
pub(super) fn route(attributes: Attributes) -> Load {
    match (attributes.number(2), attributes.number(3)) {
        (Some(ADDRESS_TYPE), Some(flags)) if DESTINATION.contains(&flags) => {
            Load::of(Field::DestinationType, 4)
        }
        _ => Load::unknown("fib"),
    }
}

/// What a `payload` loads: NFTA_PAYLOAD_BASE, _OFFSET and _LEN. `ports` says whether the protocol has
/// them.
pub(super) fn payload(attributes: Attributes, ipv6: Option<bool>, ports: bool) -> Option<Load> {
    let number = |kind| usize::try_from(attributes.number(kind)?).ok();
    let (base, offset, length) = (attributes.number(2)?, number(3)?, number(4)?);
    // A register has 64 bytes at most (NFT_DATA_VALUE_MAXLEN).
    let end = offset.checked_add(length.min(64))?;
    let fields = header(base, ipv6, ports);
    let mut parts = Vec::new();
    let mut at = offset;
    while at < end {
        let known = fields.iter().find(|(begin, length, field)| {
            *begin == at && (begin + length <= end || is_address(field))
        });
        let (length, field) = match known {
            Some((_, length, field)) => ((*length).min(end - at), field.clone()),
            None => {
                let next = fields
                    .iter()
                    .map(|(begin, ..)| *begin)
                    .find(|begin| *begin > at);
                let length = next.unwrap_or(end).min(end) - at;
                (length, Field::Unknown(words(base, at, length)))
            }
        };
        let mask = None;
        parts.push(Part {
            field,
            length,
            mask,
        });
        at += length;
    }
    Some(Load { parts })
}

/// A prefix of an address may be loaded alone.
fn is_address(field: &Field) -> bool {
    matches!(field, Field::Source { .. } | Field::Destination { .. })
}

/// As nft writes what it has no name for: base, offset and length in bits.
fn words(base: u32, offset: usize, length: usize) -> String {
    let base = match base {
        0 => "ll",
        NETWORK => "nh",
        TRANSPORT => "th",
        _ => "ih",
    };
    format!("@{base},{},{}", offset.saturating_mul(8), length * 8)
}

/// Offset, length and meaning of a header's fields, by offset (RFC 791, 8200, 9293, 768).
fn header(base: u32, ipv6: Option<bool>, ports: bool) -> Vec<(usize, usize, Field)> {
    match (base, ipv6) {
        (NETWORK, Some(false)) => vec![
            (6, 2, Field::Fragment),
            (9, 1, Field::Protocol),
            (12, 4, Field::Source { ipv6: false }),
            (16, 4, Field::Destination { ipv6: false }),
        ],
        (NETWORK, Some(true)) => vec![
            (6, 1, Field::Protocol),
            (8, 16, Field::Source { ipv6: true }),
            (24, 16, Field::Destination { ipv6: true }),
        ],
        (TRANSPORT, _) if ports => vec![
            (0, 2, Field::SourcePort),
            (2, 2, Field::DestinationPort),
            (13, 1, Field::TcpFlags),
        ],
        (TRANSPORT, _) => vec![
            (0, 1, Field::Unknown("icmp type".into())),
            (1, 1, Field::Unknown("icmp code".into())),
        ],
        _ => Vec::new(),
    }
}
