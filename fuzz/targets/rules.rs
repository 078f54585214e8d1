//! What the kernel tells of its packet filter: bytes of netlink and of the legacy tables.

use nodeprep::firewall::packet::{Packet, TCP};
use nodeprep::firewall::walk::walk;
use nodeprep::firewall::xt::table::{self, ENTRIES, INFO};
use nodeprep::firewall::{Family, Hook, Ruleset, nft};

/// The rules in an answer to a dump, where it is one.
pub fn decoded(input: &[u8]) -> Option<Ruleset> {
    nft::decode(input, &|index| (index < 4).then(|| format!("eth{index}"))).ok()
}

pub fn netlink(input: &[u8]) {
    let _ = nft::generation(input);
    let _ = nft::sets(input).count();
    if let Some(ruleset) = decoded(input) {
        walked(&ruleset);
    }
}

pub fn xtables(input: &[u8]) {
    for family in [Family::Ip, Family::Ip6] {
        let (info, entries) = input.split_at(input.len().min(INFO));
        let entries = entries.get(ENTRIES..).unwrap_or_default();
        if let Ok(chains) = table::chains(family, info, entries) {
            walked(&Ruleset { chains });
        }
    }
}

/// A packet comes to an end in any rules, and rules survive the captured hosts' format.
fn walked(ruleset: &Ruleset) {
    for (hook, ipv6) in [
        (Hook::Input, false),
        (Hook::Input, true),
        (Hook::Forward, false),
    ] {
        let packet = Packet {
            hook,
            ipv6,
            protocol: TCP,
            ports: Some(6443..=6450),
            interface: Some("eth0"),
            destination: None,
        };
        drop(walk(ruleset, &packet));
    }
    let text = serde_json::to_string(ruleset).unwrap();
    assert_eq!(serde_json::from_str::<Ruleset>(&text).unwrap(), *ruleset);
}
