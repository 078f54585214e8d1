//! Numbers and names at offsets of a kernel structure, none where it is too short: what is read came
//! from the kernel, but a structure may be another kernel's.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The `N` bytes at `offset`.
pub(super) fn array<const N: usize>(bytes: &[u8], offset: usize) -> Option<[u8; N]> {
    bytes.get(offset..)?.first_chunk().copied()
}

/// A byte.
pub(super) fn u8_at(bytes: &[u8], offset: usize) -> Option<u8> {
    bytes.get(offset).copied()
}

/// A number in the machine's own byte order.
pub(super) fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    array(bytes, offset).map(u16::from_ne_bytes)
}

/// As [`u16_at`].
pub(super) fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    array(bytes, offset).map(u32::from_ne_bytes)
}

/// As [`u16_at`].
pub(super) fn i32_at(bytes: &[u8], offset: usize) -> Option<i32> {
    array(bytes, offset).map(i32::from_ne_bytes)
}

/// An address, which is in network order everywhere.
pub(super) fn address_at(bytes: &[u8], offset: usize, ipv6: bool) -> Option<IpAddr> {
    if ipv6 {
        array::<16>(bytes, offset).map(|octets| IpAddr::V6(Ipv6Addr::from(octets)))
    } else {
        array::<4>(bytes, offset).map(|octets| IpAddr::V4(Ipv4Addr::from(octets)))
    }
}

/// A name that ends with NUL or with the bytes.
pub(super) fn name(bytes: &[u8]) -> String {
    let length = bytes.iter().position(|byte| *byte == 0);
    let name = bytes.get(..length.unwrap_or(bytes.len()));
    String::from_utf8_lossy(name.unwrap_or_default()).into_owned()
}

/// An address as a number, and how many bits it has.
fn bits(address: IpAddr) -> (u128, u32) {
    match address {
        IpAddr::V4(address) => (address.to_bits().into(), 32),
        IpAddr::V6(address) => (address.to_bits(), 128),
    }
}

fn address(bits: u128, ipv6: bool) -> Option<IpAddr> {
    if ipv6 {
        return Some(IpAddr::V6(Ipv6Addr::from_bits(bits)));
    }
    let bits = u32::try_from(bits).ok()?;
    Some(IpAddr::V4(Ipv4Addr::from_bits(bits)))
}

/// The length of the prefix a mask keeps; none for a mask with holes.
pub(super) fn prefix_length(mask: IpAddr) -> Option<u8> {
    let (mask, width) = bits(mask);
    let zeros = mask.trailing_zeros().min(width);
    let whole = mask.count_ones() + zeros == width;
    whole.then(|| u8::try_from(width - zeros).ok()).flatten()
}

/// The networks that together are the addresses from `low` to `high`.
pub(super) fn networks(low: IpAddr, high: IpAddr) -> Option<Vec<(IpAddr, u8)>> {
    let ((mut from, width), (to, other)) = (bits(low), bits(high));
    if width != other {
        return None;
    }
    let mut networks = Vec::new();
    while from <= to {
        let mut free = from.trailing_zeros().min(width);
        let last = |free: u32| from | 1_u128.checked_shl(free).map_or(u128::MAX, |size| size - 1);
        while last(free) > to {
            free -= 1;
        }
        networks.push((
            address(from, low.is_ipv6())?,
            u8::try_from(width - free).ok()?,
        ));
        match last(free).checked_add(1) {
            Some(next) => from = next,
            None => break,
        }
    }
    Some(networks)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn masks() {
        for (mask, length) in [
            ("255.255.255.255", Some(32)),
            ("255.255.255.0", Some(24)),
            ("0.0.0.0", Some(0)),
            ("255.0.255.0", None),
            ("0.0.0.1", None),
            ("ffff:ffff::", Some(32)),
            ("::", Some(0)),
            ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Some(128)),
        ] {
            assert_eq!(prefix_length(ip(mask)), length, "{mask}");
        }
    }

    #[test]
    fn ranges_are_networks() {
        let shown = |low: &str, high: &str| -> Vec<String> {
            let networks = networks(ip(low), ip(high)).unwrap();
            networks
                .iter()
                .map(|(net, length)| format!("{net}/{length}"))
                .collect()
        };
        assert_eq!(shown("10.0.0.0", "10.255.255.255"), ["10.0.0.0/8"]);
        assert_eq!(
            shown("192.168.1.1", "192.168.1.6"),
            [
                "192.168.1.1/32",
                "192.168.1.2/31",
                "192.168.1.4/31",
                "192.168.1.6/32"
            ]
        );
        assert_eq!(shown("0.0.0.0", "255.255.255.255"), ["0.0.0.0/0"]);
        assert_eq!(
            shown("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
            ["::/0"]
        );
        assert_eq!(shown("10.0.0.2", "10.0.0.1"), [""; 0]);
    }
}
