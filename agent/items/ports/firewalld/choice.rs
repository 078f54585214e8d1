//! Which zones other nodes' packets land in: opening a port in another one opens nothing.

use std::net::IpAddr;
use std::path::Path;

use crate::error::Result;
use crate::host::Host;

/// Where NetworkManager keeps connections (NetworkManager.conf(5), keyfile plugin).
const CONNECTIONS: [&str; 2] = [
    "/etc/NetworkManager/system-connections",
    "/usr/lib/NetworkManager/system-connections",
];
/// Where the network scripts of EL 7 to 9 keep theirs.
const SCRIPTS: &str = "/etc/sysconfig/network-scripts";

/// The zone that the connection of `interface` names, which NetworkManager or the network scripts
/// tell firewalld when they bring it up (nm-settings(5), `connection.zone`; `ZONE=`).
///
/// # Errors
/// Where a connection's file cannot be read.
pub fn of_connection(host: &Host, interface: &str) -> Result<Option<String>> {
    for dir in CONNECTIONS.map(Path::new) {
        for name in host.list(dir)?.iter() {
            let text = host.text(&dir.join(name))?.unwrap_or_default();
            if let Some(zone) = keyfile_zone(&text, interface) {
                return Ok(Some(zone.to_owned()));
            }
        }
    }
    let dir = Path::new(SCRIPTS);
    for name in host.list(dir)?.iter() {
        let Some(suffix) = name.strip_prefix("ifcfg-") else {
            continue;
        };
        let text = host.text(&dir.join(name))?.unwrap_or_default();
        if let Some(zone) = ifcfg_zone(&text, suffix, interface) {
            return Ok(Some(zone.to_owned()));
        }
    }
    Ok(None)
}

/// `zone=` of a keyfile whose connection is for this interface by name.
fn keyfile_zone<'a>(text: &'a str, interface: &str) -> Option<&'a str> {
    let lines = text.lines().map(str::trim);
    let section = lines
        .skip_while(|line| *line != "[connection]")
        .skip(1)
        .take_while(|line| !line.starts_with('['));
    let keys: Vec<_> = section.filter_map(|line| line.split_once('=')).collect();
    let is_its = assigned(&keys, "interface-name") == Some(interface);
    is_its.then(|| assigned(&keys, "zone"))?
}

/// `ZONE=` of a script whose `DEVICE=`, or else whose name, is this interface.
fn ifcfg_zone<'a>(text: &'a str, suffix: &'a str, interface: &str) -> Option<&'a str> {
    let keys: Vec<_> = text
        .lines()
        .filter_map(|line| line.split_once('='))
        .collect();
    let device = assigned(&keys, "DEVICE").unwrap_or(suffix);
    (device == interface).then(|| assigned(&keys, "ZONE"))?
}

fn assigned<'a>(keys: &[(&'a str, &'a str)], name: &str) -> Option<&'a str> {
    let (_, value) = keys.iter().rev().find(|(key, _)| key.trim() == name)?;
    Some(value.trim().trim_matches(['"', '\''])).filter(|value| !value.is_empty())
}

/// Whether a zone's interface names this one; a final `+` stands for any rest
/// (firewalld.zone(5), interface).
#[must_use]
pub fn is_named(pattern: &str, interface: &str) -> bool {
    match pattern.strip_suffix('+') {
        Some(start) => interface.starts_with(start),
        None => pattern == interface,
    }
}

/// Whether a zone's source (an address, or a network with its prefix length or mask) holds `ip`.
#[must_use]
pub fn holds(source: &str, ip: IpAddr) -> bool {
    let (network, length) = match source.split_once('/') {
        Some((network, length)) => (network, Some(length)),
        None => (source, None),
    };
    match (network.parse(), ip) {
        (Ok(IpAddr::V4(network)), IpAddr::V4(ip)) => {
            let mask = |length: &str| length.parse().map(std::net::Ipv4Addr::to_bits).ok();
            let length = match length {
                None => Some(32),
                Some(length) => mask(length)
                    .map(u32::leading_ones)
                    .or_else(|| length.parse().ok()),
            };
            same_start(network.to_bits().into(), ip.to_bits().into(), length, 32)
        }
        (Ok(IpAddr::V6(network)), IpAddr::V6(ip)) => {
            let length = length.map_or(Some(128), |length| length.parse().ok());
            same_start(network.to_bits(), ip.to_bits(), length, 128)
        }
        _ => false,
    }
}

fn same_start(a: u128, b: u128, length: Option<u32>, of: u32) -> bool {
    let Some(rest) = length.and_then(|length| of.checked_sub(length)) else {
        return false;
    };
    (a ^ b).checked_shr(rest).unwrap_or_default() == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_names_its_zone() {
        let profile =
            "[connection]\nid=Wired\ninterface-name=eth0\nzone = internal\n\n[ipv4]\nzone=no\n";
        assert_eq!(keyfile_zone(profile, "eth0"), Some("internal"));
        assert_eq!(keyfile_zone(profile, "eth1"), None);
        assert_eq!(keyfile_zone("[connection]\nzone=a\n", "eth0"), None);
        assert_eq!(
            keyfile_zone("[connection]\ninterface-name=eth0\nzone=\n", "eth0"),
            None
        );
        assert_eq!(
            ifcfg_zone("DEVICE=\"eth0\"\nZONE='work'\n", "System_eth0", "eth0"),
            Some("work")
        );
        assert_eq!(ifcfg_zone("ZONE=work\n", "eth1", "eth1"), Some("work"));
        assert_eq!(ifcfg_zone("DEVICE=eth9\nZONE=work\n", "eth1", "eth1"), None);
    }

    #[test]
    fn a_source_holds_its_addresses() {
        let cases = [
            ("10.0.0.0/8", "10.9.8.7", true),
            ("10.0.0.0/255.0.0.0", "10.9.8.7", true),
            ("10.0.0.0/9", "10.128.0.1", false),
            ("0.0.0.0/0", "1.2.3.4", true),
            ("1.2.3.4", "1.2.3.4", true),
            ("1.2.3.4/33", "1.2.3.4", false),
            ("1.2.3.4/x", "1.2.3.4", false),
            ("fd00::/8", "fd12::1", true),
            ("::/0", "fe80::1", true),
            ("::/0", "1.2.3.4", false),
            ("ipset:peers", "1.2.3.4", false),
            ("00:11:22:33:44:55", "1.2.3.4", false),
        ];
        for (source, ip, expected) in cases {
            assert_eq!(
                holds(source, ip.parse().unwrap()),
                expected,
                "{source} {ip}"
            );
        }
        assert!(is_named("eth+", "eth0") && is_named("+", "a") && !is_named("eth", "eth0"));
    }
}
