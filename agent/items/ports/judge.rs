//! Which packets decide whether a port is open, and what a rule set does with them.

use std::net::IpAddr;
use std::path::Path;

use super::opening::Opening;
use super::rule::{self, Accept, Wanted};
use crate::error::Result;
use crate::finding::{Origin, State};
use crate::firewall::packet::Packet;
use crate::firewall::walk::{Answer, Refusal, walk};
use crate::firewall::{Hook, Ruleset};
use crate::host::Host;

/// How packets of other hosts come.
#[derive(Debug)]
pub struct Way {
    /// The interface of the default route.
    pub interface: Option<String>,
    /// This node's address.
    pub address: Option<IpAddr>,
    /// Whether IPv6 packets can come.
    pub ipv6: bool,
}

impl Way {
    /// What the host tells of it.
    ///
    /// # Errors
    /// Where the kernel's routes or addresses cannot be read.
    pub fn of(host: &Host) -> Result<Self> {
        let address = host.node_ip()?.and_then(|ip| ip.parse().ok());
        // One line an address, the interface last; a file only where the kernel has IPv6
        // (net/ipv6/addrconf.c, if6_seq_show).
        let addresses = host
            .text(Path::new("/proc/net/if_inet6"))?
            .unwrap_or_default();
        let mut interfaces = addresses
            .lines()
            .filter_map(|line| line.split_whitespace().last());
        Ok(Self {
            interface: host.uplink()?,
            address,
            ipv6: host.is_image() || interfaces.any(|name| name != "lo"),
        })
    }

    /// The packets whose way decides about an opening.
    fn packets(&self, opening: &Opening) -> Vec<Packet<'_>> {
        let mut packets = Vec::new();
        for ipv6 in [false, true].into_iter().filter(|ipv6| !ipv6 || self.ipv6) {
            let input = Packet {
                hook: Hook::Input,
                ipv6,
                protocol: opening.protocol.number(),
                ports: Some(opening.ports.clone()),
                interface: self.interface.as_deref(),
                destination: self.address.filter(|address| address.is_ipv6() == ipv6),
            };
            let forward = Packet {
                hook: Hook::Forward,
                ports: None,
                destination: None,
                ..input.clone()
            };
            packets.push(input);
            packets.extend(opening.forward.then_some(forward));
        }
        packets
    }
}

/// What refuses an opening in one rule set.
#[derive(Debug, Default)]
pub struct Judged {
    /// By hook, and whether over IPv6.
    pub refusals: Vec<(Hook, bool, Refusal)>,
    doubt: Option<String>,
    /// How many ways were asked for.
    ways: usize,
}

impl Judged {
    /// Asks every way.
    #[must_use]
    pub fn of(ruleset: &Ruleset, way: &Way, opening: &Opening) -> Self {
        let mut judged = Self::default();
        for packet in way.packets(opening) {
            judged.ways += 1;
            match walk(ruleset, &packet) {
                Answer::Accepted => {}
                Answer::Undecided(doubt) => judged.doubt = judged.doubt.or(Some(doubt)),
                Answer::Refused(refusals) => {
                    let found = |refusal| (packet.hook, packet.ipv6, refusal);
                    judged.refusals.extend(refusals.into_iter().map(found));
                }
            }
        }
        judged
    }

    /// As a state; `file` is where the rules were read from, if from one.
    #[must_use]
    pub fn state(&self, file: Option<&Path>) -> State {
        let Some((hook, ipv6, refusal)) = self.refusals.first() else {
            return match &self.doubt {
                Some(doubt) => State::unknown(format!("it depends on {doubt}")),
                None => State::InSync,
            };
        };
        let all = self.refusals.len() >= self.ways;
        let from = match (hook, ipv6) {
            _ if all => "refused",
            (Hook::Forward, false) => "refused when forwarded",
            (Hook::Forward, true) => "refused when forwarded over IPv6",
            (_, false) => "refused",
            (_, true) => "refused over IPv6",
        };
        let origin = match (&refusal.place, file) {
            (Some((path, line)), _) => Origin::line(path, *line),
            (None, Some(file)) => Origin::Other(format!("{}, {}", refusal.by, file.display())),
            (None, None) => Origin::Other(refusal.by.clone()),
        };
        State::differs(from, "accepted", Some(origin))
    }

    /// The rules that end these refusals.
    pub fn want(&self, opening: &Opening, wanted: &mut Vec<Wanted>) {
        for (hook, _, refusal) in &self.refusals {
            let rule = match hook {
                Hook::Forward => Accept::Translated,
                Hook::Input | Hook::Other => Accept::Ports(opening.protocol, opening.ports.clone()),
            };
            rule::want(
                wanted,
                Wanted {
                    chain: refusal.chain,
                    before: refusal.rule,
                    rule,
                    serves: vec![opening.to_string()],
                },
            );
        }
    }
}
