//! The packet whose way is asked for, and which conditions of rules it meets.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use super::{Hook, Match, On, Rule};

/// IANA's numbers.
pub const TCP: u8 = 6;
/// As [`TCP`].
pub const UDP: u8 = 17;
/// The flag of a connection's first packet.
const SYN: u8 = 2;
/// The first packet of a new connection: mark 0, from an address that no rule names.
#[derive(Debug, Clone)]
pub struct Packet<'a> {
    /// Where it is looked at.
    pub hook: Hook,
    /// IPv6, else IPv4.
    pub ipv6: bool,
    /// [`TCP`] or [`UDP`].
    pub protocol: u8,
    /// The ports it may be for; none for a port that no rule names (one that kube-proxy has
    /// translated to a pod's).
    pub ports: Option<RangeInclusive<u16>>,
    /// The interface it comes by; none for one that no rule names.
    pub interface: Option<&'a str>,
    /// The address it is for, where that is known; on the forward hook a pod's that no rule names.
    pub destination: Option<IpAddr>,
}

/// Whether a packet meets a condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holds {
    /// It does.
    Yes,
    /// It does not.
    No,
    /// That can't be told of it: what the condition asks.
    Maybe(String),
}

impl Packet<'_> {
    /// Whether it meets all conditions of a rule; `port` is the one of its ports it is for.
    pub fn meets(&self, rule: &Rule, port: Option<u16>) -> Holds {
        let mut all = Holds::Yes;
        for one in &rule.matches {
            match self.condition(one, port) {
                Holds::No => return Holds::No,
                Holds::Yes => {}
                maybe => all = maybe,
            }
        }
        all
    }

    fn condition(&self, one: &Match, port: Option<u16>) -> Holds {
        let packet = self;
        let is = match &one.on {
            On::Ipv6(ipv6) => *ipv6 == packet.ipv6,
            On::Protocol(protocols) => protocols.contains(&packet.protocol),
            On::DestinationPort(ranges) => within(ranges, port),
            On::SourcePort(ranges) => within(ranges, None),
            On::Source(networks) => networks.iter().any(|(_, length)| *length == 0),
            On::Destination(networks) => match self.is_for(networks) {
                Some(is) => is,
                None => return Holds::Maybe("a destination address".into()),
            },
            On::DestinationType(types) => {
                let own = match packet.hook {
                    Hook::Input => "local",
                    Hook::Forward | Hook::Other => "unicast",
                };
                types.iter().any(|one| one == own)
            }
            On::InputInterface(names) => names.iter().any(|name| is_named(packet.interface, name)),
            On::OutputInterface(names) => {
                packet.hook == Hook::Forward && names.iter().any(|name| is_named(None, name))
            }
            On::Connection(states) => states
                .iter()
                .any(|state| state == "new" || (state == "dnat" && packet.hook == Hook::Forward)),
            On::Mark { value, .. } => *value == 0,
            On::TcpFlags { set, mask } => packet.protocol == TCP && SYN & mask == *set,
            On::Never => false,
            On::Undecided(what) => return Holds::Maybe(what.clone()),
        };
        if is == one.negated {
            Holds::No
        } else {
            Holds::Yes
        }
    }

    /// Whether the packet's destination is in one of these networks, where that can be told.
    fn is_for(&self, networks: &[(IpAddr, u8)]) -> Option<bool> {
        let open = |(_, length): &(IpAddr, u8)| *length == 0;
        if networks.iter().any(open) {
            return Some(true);
        }
        if let Some(own) = self.destination {
            return Some(
                networks
                    .iter()
                    .any(|(net, length)| covers(*net, *length, own)),
            );
        }
        if self.hook == Hook::Forward {
            // A pod's, that no rule names.
            return Some(false);
        }
        // Nobody else's connection is for one of these.
        let elsewhere = |(net, _): &(IpAddr, u8)| match net {
            IpAddr::V4(net) => net.is_multicast() || net.is_loopback() || net.is_broadcast(),
            IpAddr::V6(net) => {
                net.is_multicast() || net.is_loopback() || net.is_unicast_link_local()
            }
        };
        networks.iter().all(elsewhere).then_some(false)
    }
}

/// Whether the port is in one of the ranges; one that no rule names only where a range holds all.
fn within(ranges: &[RangeInclusive<u16>], port: Option<u16>) -> bool {
    ranges.iter().any(|range| match port {
        Some(port) => range.contains(&port),
        None => *range.start() <= 1 && *range.end() == u16::MAX,
    })
}

fn is_named(interface: Option<&str>, pattern: &str) -> bool {
    match (pattern.strip_suffix('*'), interface) {
        (Some(""), _) => true,
        (Some(begin), Some(name)) => name.starts_with(begin),
        (None, Some(name)) => name == pattern,
        (_, None) => false,
    }
}

fn covers(net: IpAddr, length: u8, address: IpAddr) -> bool {
    let shifted = |bits: u128, all: u32| {
        bits.checked_shr(all.saturating_sub(u32::from(length)))
            .unwrap_or(0)
    };
    match (net, address) {
        (IpAddr::V4(net), IpAddr::V4(address)) => {
            shifted(net.to_bits().into(), 32) == shifted(address.to_bits().into(), 32)
        }
        (IpAddr::V6(net), IpAddr::V6(address)) => {
            shifted(net.to_bits(), 128) == shifted(address.to_bits(), 128)
        }
        _ => false,
    }
}
