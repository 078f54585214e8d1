//! The messages and attributes that the kernel describes its nf_tables with (netlink(7);
//! include/uapi/linux/netlink.h, nfnetlink.h).

use super::bytes::{array, u8_at, u16_at, u32_at};

/// Sizes of `nlmsghdr`, `nfgenmsg` and `nlattr`.
const HEADER: usize = 16;
const FAMILY_HEADER: usize = 4;
const ATTRIBUTE_HEADER: usize = 4;
/// Messages and attributes begin at multiples of this.
const ALIGNMENT: usize = 4;
/// The bits of an attribute's type that are flags (NLA_F_NESTED, NLA_F_NET_BYTEORDER).
const TYPE_MASK: u16 = 0x3fff;

/// A message.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    /// Its subsystem in the upper byte, its type there in the lower.
    pub kind: u16,
    /// `NLM_F_…`.
    pub flags: u16,
    /// The number of the request it answers.
    pub sequence: u32,
    /// What follows the header.
    pub body: &'a [u8],
}

impl<'a> Message<'a> {
    /// The address family it is about, NFPROTO_….
    #[must_use]
    pub fn family(&self) -> Option<u8> {
        u8_at(self.body, 0)
    }

    /// Its attributes, for a message that starts with an `nfgenmsg`.
    #[must_use]
    pub fn attributes(&self) -> Attributes<'a> {
        Attributes(self.body.get(FAMILY_HEADER..).unwrap_or_default())
    }
}

/// The messages of a stream, to the first that is cut off.
pub fn messages(bytes: &[u8]) -> impl Iterator<Item = Message<'_>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let length = usize::try_from(u32_at(rest, 0)?).ok()?;
        let message = Message {
            kind: u16_at(rest, 4)?,
            flags: u16_at(rest, 6)?,
            sequence: u32_at(rest, 8)?,
            body: rest.get(HEADER..length)?,
        };
        rest = rest
            .get(length.next_multiple_of(ALIGNMENT)..)
            .unwrap_or_default();
        Some(message)
    })
}

/// A run of attributes.
#[derive(Debug, Clone, Copy)]
pub struct Attributes<'a>(pub &'a [u8]);

impl<'a> Attributes<'a> {
    /// Type and value of each, to the first that is cut off.
    pub fn iter(self) -> impl Iterator<Item = (u16, &'a [u8])> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let length = usize::from(u16_at(rest, 0)?);
            let kind = u16_at(rest, 2)? & TYPE_MASK;
            let value = rest.get(ATTRIBUTE_HEADER..length)?;
            rest = rest
                .get(length.next_multiple_of(ALIGNMENT)..)
                .unwrap_or_default();
            Some((kind, value))
        })
    }

    /// The value of the first attribute of a type.
    #[must_use]
    pub fn get(self, kind: u16) -> Option<&'a [u8]> {
        self.iter()
            .find(|(this, _)| *this == kind)
            .map(|(_, value)| value)
    }

    /// A nested run; empty where it is not there.
    #[must_use]
    pub fn nested(self, kind: u16) -> Self {
        Self(self.get(kind).unwrap_or_default())
    }

    /// A number; nf_tables has all of them in network order.
    #[must_use]
    pub fn number(self, kind: u16) -> Option<u32> {
        array(self.get(kind)?, 0).map(u32::from_be_bytes)
    }

    /// A long number, as a handle.
    #[must_use]
    pub fn long(self, kind: u16) -> Option<u64> {
        array(self.get(kind)?, 0).map(u64::from_be_bytes)
    }

    /// A string, its final NUL left out.
    #[must_use]
    pub fn string(self, kind: u16) -> Option<&'a str> {
        let text = std::str::from_utf8(self.get(kind)?).ok()?;
        Some(text.trim_end_matches('\0'))
    }
}

/// A request with its `nfgenmsg` and attributes.
#[must_use]
pub fn request(
    kind: u16,
    flags: u16,
    sequence: u32,
    family: u8,
    strings: &[(u16, &str)],
) -> Vec<u8> {
    let mut body = vec![family, 0, 0, 0];
    for (kind, text) in strings {
        let length = ATTRIBUTE_HEADER + text.len() + 1;
        // Names are below 256 bytes (NFT_NAME_MAXLEN).
        body.extend(u16::try_from(length).unwrap_or(u16::MAX).to_ne_bytes());
        body.extend(kind.to_ne_bytes());
        body.extend(text.as_bytes());
        body.resize(body.len() + 1, 0);
        body.resize(body.len().next_multiple_of(ALIGNMENT), 0);
    }
    let length = u32::try_from(HEADER + body.len()).unwrap_or(u32::MAX);
    let mut bytes = length.to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend(sequence.to_ne_bytes());
    bytes.extend(0_u32.to_ne_bytes());
    bytes.append(&mut body);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_reads_as_a_message() {
        let bytes = request(0x0a0d, 0x301, 7, 2, &[(1, "filter"), (2, "abc")]);
        let all: Vec<_> = messages(&bytes).collect();
        let [message] = all.as_slice() else {
            panic!("{all:?}")
        };
        assert_eq!(
            (message.kind, message.flags, message.sequence),
            (0x0a0d, 0x301, 7)
        );
        assert_eq!(message.family(), Some(2));
        assert_eq!(message.attributes().string(1), Some("filter"));
        assert_eq!(message.attributes().string(2), Some("abc"));
        assert_eq!(message.attributes().string(3), None);
        for cut in 0..bytes.len() {
            assert_eq!(messages(&bytes[..cut]).count(), 0);
        }
    }
}
