//! What kernels answered, byte for byte (native.netlink and iptables.netlink: Linux 6.18, nft 1.0.6,
//! iptables 1.8.9), read into rules; and that no bytes make a decoder panic or go on for ever.
//!
//! The rules they hold are those of tests/vm/scenarios/netfilter; `UPDATE=1` rewrites what is expected.

use proptest::collection::vec;
use proptest::prelude::*;

use super::netlink::messages;
use super::xt::table::{self, ENTRIES, INFO};
use super::{Chain, Family, Match, On, Ruleset, Verdict, nft, xt};

const NATIVE: &[u8] = include_bytes!("captured/native.netlink");
const IPTABLES: &[u8] = include_bytes!("captured/iptables.netlink");
const FILTER: &[u8] = include_bytes!("captured/filter.ipt");
const FILTER_IPV6: &[u8] = include_bytes!("captured/filter.ip6t");
const MANGLE_IPV6: &[u8] = include_bytes!("captured/mangle.ip6t");

fn decode(stream: &[u8]) -> Ruleset {
    nft::decode(stream, &|index| (index == 1).then(|| "lo".into())).unwrap()
}

fn legacy(family: Family, bytes: &[u8]) -> Ruleset {
    let (info, entries) = bytes.split_at(INFO);
    let chains = table::chains(family, info, &entries[ENTRIES..]).unwrap();
    Ruleset { chains }
}

fn matches(all: &[Match]) -> String {
    let one = |one: &Match| format!("{}{:?}", if one.negated { "not " } else { "" }, one.on);
    all.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn listed(ruleset: &Ruleset) -> String {
    let mut lines = Vec::new();
    for Chain {
        table,
        name,
        base,
        rules,
    } in &ruleset.chains
    {
        lines.push(format!(
            "{:?} {} {name}: {base:?}",
            table.family, table.name
        ));
        for rule in rules {
            lines.push(format!("    {}", rule.text));
            lines.push(format!(
                "        {:?} if {}",
                rule.verdict,
                matches(&rule.matches)
            ));
        }
    }
    lines.join("\n") + "\n"
}

#[track_caller]
fn reads_as(ruleset: &Ruleset, name: &str, expected: &str) {
    let listed = listed(ruleset);
    if std::env::var_os("UPDATE").is_some() {
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/agent/firewall/captured");
        #[allow(clippy::disallowed_methods)] // of the checkout, not of a host
        std::fs::write(format!("{dir}/{name}"), &listed).unwrap();
        return;
    }
    assert_eq!(listed, expected, "{name}");
}

#[test]
fn native() {
    reads_as(
        &decode(NATIVE),
        "native.txt",
        include_str!("captured/native.txt"),
    );
}

#[test]
fn of_iptables_nft() {
    reads_as(
        &decode(IPTABLES),
        "iptables.txt",
        include_str!("captured/iptables.txt"),
    );
}

#[test]
fn of_legacy_iptables() {
    let filter = legacy(Family::Ip, FILTER);
    reads_as(
        &filter,
        "filter.ipt.txt",
        include_str!("captured/filter.ipt.txt"),
    );
    let filter = legacy(Family::Ip6, FILTER_IPV6);
    reads_as(
        &filter,
        "filter.ip6t.txt",
        include_str!("captured/filter.ip6t.txt"),
    );
    let mangle = legacy(Family::Ip6, MANGLE_IPV6);
    reads_as(
        &mangle,
        "mangle.ip6t.txt",
        include_str!("captured/mangle.ip6t.txt"),
    );
}

/// iptables-nft and legacy iptables hold the same rules in different ways.
#[test]
fn both_iptables_are_one() {
    let conditions = |ruleset: &Ruleset| -> Vec<(String, Verdict, Vec<String>)> {
        let mut chains: Vec<&Chain> = ruleset.chains.iter().collect();
        chains.sort_by_key(|chain| &chain.name);
        let rules = chains
            .iter()
            .flat_map(|chain| chain.rules.iter().map(|rule| (&chain.name, rule)));
        rules
            .map(|(chain, rule)| {
                let known = rule
                    .matches
                    .iter()
                    .filter(|one| !matches!(one.on, On::Undecided(_)));
                let mut known: Vec<String> = known.map(|one| format!("{one:?}")).collect();
                known.sort();
                (chain.clone(), rule.verdict.clone(), known)
            })
            .collect()
    };
    assert_eq!(
        conditions(&decode(IPTABLES)),
        conditions(&legacy(Family::Ip, FILTER))
    );
}

#[test]
fn generation_and_sets() {
    assert!(nft::generation(NATIVE).is_some());
    assert_eq!(nft::generation(FILTER), None);
    assert!(nft::sets(NATIVE).any(|set| set == (2, "k", "nodeport-ips")));
    assert!(nft::sets(NATIVE).all(|(family, ..)| [1, 2, 10].contains(&family)));
}

/// A dump that lost one of its messages is read as far as it goes, or refused.
#[test]
fn no_lost_message_makes_it_panic() {
    let mut begin = 0;
    for message in messages(NATIVE) {
        let end = begin + (16 + message.body.len()).next_multiple_of(4);
        let without = [&NATIVE[..begin], &NATIVE[end..]].concat();
        let _ = nft::decode(&without, &|_| None);
        begin = end;
    }
    assert_eq!(begin, NATIVE.len());
}

/// `nft add table inet x`, as NFNLGRP_NFTABLES told it: the table, and who made it.
#[test]
fn who_changed_the_rules() {
    const TABLE: &[u8] = b"\x38\0\0\0\0\x0a\0\0\x01\0\0\0\x43\x1b\0\0\x01\0\0\x02\
        \x06\0\x01\0x\0\0\0\x08\0\x03\0\0\0\0\0\x0c\0\x04\0\0\0\0\0\0\0\0\x01\x08\0\x02\0\0\0\0\0";
    const GENERATION: &[u8] = b"\x2c\0\0\0\x0f\x0a\0\0\x01\0\0\0\x43\x1b\0\0\0\0\0\x02\
        \x08\0\x01\0\0\0\0\x02\x08\0\x02\0\0\0\x1b\x43\x08\0\x03\0nft\0";
    assert_eq!(nft::changed_by(TABLE), None);
    assert_eq!(nft::changed_by(GENERATION), Some((0x1b43, "nft")));
    for length in 0..GENERATION.len() {
        assert_eq!(nft::changed_by(&GENERATION[..length]), None);
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in vec(any::<u8>(), 0..400)) {
        let _ = nft::decode(&bytes, &|_| None);
        let _ = nft::generation(&bytes);
        let _ = nft::sets(&bytes).count();
        for family in [Family::Ip, Family::Ip6] {
            let (info, entries) = bytes.split_at(bytes.len().min(INFO));
            let _ = table::chains(family, info, entries);
        }
        for name in ["tcp", "udp", "multiport", "conntrack", "state", "mark", "addrtype", "iprange", "pkttype", "comment"] {
            for revision in 0..4 {
                let _ = xt::conditions(name, revision, &bytes, bytes.len() % 2 == 0);
            }
        }
    }

    /// Bytes changed here and there in what a kernel said.
    #[test]
    fn no_change_makes_it_panic(changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..40)) {
        let changed = |bytes: &[u8]| {
            let mut bytes = bytes.to_vec();
            for (at, value) in &changes {
                *at.get_mut(&mut bytes) = *value;
            }
            bytes
        };
        let _ = nft::decode(&changed(NATIVE), &|_| None);
        let _ = nft::decode(&changed(IPTABLES), &|_| None);
        for (family, bytes) in [(Family::Ip, FILTER), (Family::Ip6, FILTER_IPV6)] {
            let bytes = changed(bytes);
            let (info, entries) = bytes.split_at(INFO);
            let _ = table::chains(family, info, &entries[ENTRIES..]);
        }
    }
}
