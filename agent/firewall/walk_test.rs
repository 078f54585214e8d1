//! The walk, on rules as iptables-save prints them.

use std::path::Path;

use super::super::packet::{Packet, TCP, UDP};
use super::super::{Engine, Family, Hook, Ruleset, save};
use super::{Answer, walk};

fn rules(text: &str) -> Ruleset {
    let services = |name: &str| (name == "https").then_some(443);
    save::parse(text, Path::new("/rules"), false, &services).unwrap()
}

fn filter(rules: &str) -> Ruleset {
    self::rules(&format!(
        "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n{rules}\nCOMMIT\n"
    ))
}

fn tcp(ports: std::ops::RangeInclusive<u16>) -> Packet<'static> {
    Packet {
        hook: Hook::Input,
        ipv6: false,
        protocol: TCP,
        ports: Some(ports),
        interface: Some("eth0"),
        destination: Some("10.0.0.5".parse().unwrap()),
    }
}

fn answer(text: &str) -> Answer {
    walk(&filter(text), &tcp(6443..=6443))
}

fn refusal(text: &str) -> (Option<usize>, String) {
    match answer(text) {
        Answer::Refused(refusals) => (refusals[0].rule, refusals[0].by.clone()),
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn what_lets_a_packet_pass() {
    for text in [
        "",
        "-A INPUT -p tcp --dport 6443 -j ACCEPT\n-A INPUT -j REJECT",
        "-A INPUT -p tcp -m multiport --dports 22,6000:7000 -j ACCEPT\n-A INPUT -j DROP",
        "-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j DROP",
        "-A INPUT ! -i lo -p tcp -m state --state NEW -j ACCEPT\n-A INPUT -j DROP",
        "-A INPUT -i eth+ -j ACCEPT\n-A INPUT -j DROP",
        "-A INPUT -s 1.2.3.4 -j DROP\n-A INPUT -m set --match-set bad src -j DROP",
        "-A INPUT -d 10.0.0.0/24 -j ACCEPT\n-A INPUT -j DROP",
        "-A INPUT -d 10.0.0.0/255.255.255.0 -j ACCEPT\n-A INPUT -j DROP",
        "-A INPUT -p tcp --syn -j ACCEPT\n-A INPUT -j DROP",
        "-A INPUT -m mark --mark 0x0/0x4000 -j ACCEPT\n-A INPUT -j DROP",
        "-A INPUT -p udp -j DROP\n-A INPUT -p icmp -m icmp --icmp-type 8 -j DROP",
        ":X - [0:0]\n-A INPUT -j X\n-A INPUT -p tcp --dport 6443 -j ACCEPT\n-A INPUT -j DROP\n-A X -p tcp --dport 22 -j DROP\n-A X -j RETURN\n-A X -j DROP",
        ":X -\n:Y -\n-A INPUT -j X\n-A INPUT -j ACCEPT\n-A X -g Y\n-A X -j DROP\n-A Y -p udp -j DROP",
        "-A INPUT -m addrtype --dst-type LOCAL -j ACCEPT\n-A INPUT -j DROP",
        "-A INPUT -m limit --limit 1/s -j LOG --log-prefix \"a -j DROP \"",
        "-A INPUT -p tcp --dport https -j DROP",
        "-P INPUT DROP\n[3:180] -I INPUT 1 -j ACCEPT -m comment --comment \"a \\\" b\"",
    ] {
        assert_eq!(answer(text), Answer::Accepted, "{text}");
    }
}

#[test]
fn what_refuses_it_and_where() {
    let late = "-A INPUT -j REJECT --reject-with icmp-host-prohibited\n-A INPUT -p tcp --dport 6443 -j ACCEPT";
    let (rule, by) = refusal(late);
    assert_eq!(rule, Some(0));
    assert_eq!(
        by,
        "\"-A INPUT -j REJECT --reject-with icmp-host-prohibited\" in chain INPUT of table ip filter"
    );
    let jumped = ":X -\n-A INPUT -p udp -j DROP\n-A INPUT -j X\n-A X -p tcp -j DROP";
    assert_eq!(refusal(jumped).0, Some(1));
    let policy = "-P INPUT DROP\n-A INPUT -s 10.0.0.0/8 -p tcp --dport 6443 -j ACCEPT";
    assert_eq!(
        refusal(policy),
        (None, "the policy of chain INPUT of table ip filter".into())
    );
    // To be let pass it must be caught before it leaves for the policy.
    for leaves in [
        "-g X\n:X -\n-A X -p udp -j DROP",
        "-j RETURN",
        "-m limit --limit 1/s -j RETURN",
    ] {
        let text =
            format!("-P INPUT DROP\n-A INPUT -i lo -j ACCEPT\n-A INPUT {leaves}\n-A INPUT -j DROP");
        assert_eq!(refusal(&text).0, Some(1), "{text}");
    }
    for text in [
        "-A INPUT ! -s 10.0.0.0/8 -j DROP",
        "-A INPUT -i lo -j ACCEPT\n-A INPUT -j DROP",
        "-A INPUT -d 10.0.1.5 -j ACCEPT\n-A INPUT -j DROP",
        "-A INPUT -p tcp --dport 6000:6442 -j ACCEPT\n-A INPUT -p tcp -j DROP",
        "-A INPUT -m conntrack --ctstate NEW -j DROP",
        ":X -\n-A INPUT -g X\n-A INPUT -j ACCEPT\n-A X -j RETURN\n-P INPUT DROP",
    ] {
        refusal(text);
    }
    let security =
        rules("*security\n-A INPUT -p tcp -j DROP\nCOMMIT\n*filter\n-A INPUT -j ACCEPT\nCOMMIT");
    assert!(matches!(walk(&security, &tcp(1..=1)), Answer::Refused(_)));
}

#[test]
fn a_range_is_open_where_each_port_is() {
    let hole = filter("-A INPUT -p tcp --dport 30500 -j DROP");
    assert!(matches!(
        walk(&hole, &tcp(30000..=32767)),
        Answer::Refused(_)
    ));
    assert_eq!(walk(&hole, &tcp(30501..=32767)), Answer::Accepted);
    let parts = filter(
        "-P INPUT DROP\n-A INPUT -p tcp --dport 30000:31000 -j ACCEPT\n-A INPUT -p tcp --dport 31001:65535 -j ACCEPT",
    );
    assert_eq!(walk(&parts, &tcp(30000..=65535)), Answer::Accepted);
    assert!(matches!(
        walk(&parts, &tcp(29999..=65535)),
        Answer::Refused(_)
    ));
    let udp = Packet {
        protocol: UDP,
        ..tcp(30000..=32767)
    };
    assert!(matches!(walk(&parts, &udp), Answer::Refused(_)));
}

#[test]
fn a_doubt_counts_where_the_answer_depends_on_it() {
    for text in [
        "-A INPUT -m limit --limit 1/s -j ACCEPT\n-A INPUT -j DROP",
        "-A INPUT -m recent --name x --rcheck -j DROP",
        "-A INPUT -m geoip ! --source-country DE -j DROP",
        "-A INPUT -j NFQUEUE --queue-num 1",
        "-A INPUT -j NOSUCH",
        ":X -\n-A INPUT -m time --timestart 08:00 -j X\n-A X -j DROP",
    ] {
        assert!(matches!(answer(text), Answer::Undecided(_)), "{text}");
    }
    for text in [
        "-A INPUT -m limit --limit 1/s -j ACCEPT\n-A INPUT -p tcp -j ACCEPT",
        "-A INPUT -p tcp --dport 6443 -j ACCEPT\n-A INPUT -m recent --name x --rcheck -j DROP",
        "-A INPUT -p tcp --dport 22 -m recent --name x --rcheck -j DROP",
    ] {
        assert_eq!(answer(text), Answer::Accepted, "{text}");
    }
    refusal("-A INPUT -m limit --limit 1/s -j DROP\n-A INPUT -j DROP");
    let Answer::Undecided(why) = answer("-A INPUT -m time --timestart 08:00 -j DROP") else {
        panic!("decided")
    };
    assert_eq!(
        why,
        "\"-m time\", asked by \"-A INPUT -m time --timestart 08:00 -j DROP\" in chain INPUT of table ip filter"
    );
}

#[test]
fn crafted_rules_end() {
    let circle = ":A -\n:B -\n-A INPUT -j A\n-A A -j B\n-A B -j A\n-A INPUT -j ACCEPT";
    assert!(matches!(answer(circle), Answer::Undecided(_)));
    // Each chain jumps twice to the next: 2^60 ways.
    let mut deep = String::from("-A INPUT -j C0\n");
    for number in 0..60 {
        let next = number + 1;
        deep += &format!("-A C{number} -j C{next}\n-A C{number} -j C{next}\n");
    }
    deep += "-A C60 -p udp -j DROP";
    assert_eq!(answer(&deep), Answer::Accepted);
    let long: String = (0..100)
        .map(|n| format!("-A D{n} -j D{}\n", n + 1))
        .collect();
    assert!(matches!(
        answer(&format!("-A INPUT -j D0\n{long}-A D100 -j DROP")),
        Answer::Undecided(_)
    ));
}

#[test]
fn node_ports_are_forwarded_once_translated() {
    let packet = Packet {
        hook: Hook::Forward,
        ports: None,
        interface: None,
        ..tcp(1..=1)
    };
    let el = "-A FORWARD -j REJECT --reject-with icmp-host-prohibited";
    assert!(matches!(walk(&filter(el), &packet), Answer::Refused(_)));
    let ours = format!("-A FORWARD -m conntrack --ctstate DNAT -j ACCEPT\n{el}");
    assert_eq!(walk(&filter(&ours), &packet), Answer::Accepted);
    let some = "-A FORWARD -p tcp --dport 25 -j DROP\n-A FORWARD -d 10.9.0.0/16 -j DROP";
    assert_eq!(
        walk(
            &filter(some),
            &Packet {
                destination: None,
                ..packet
            }
        ),
        Answer::Accepted
    );
}

#[test]
fn every_table_of_the_family_is_asked() {
    let mut both = filter("-A INPUT -j ACCEPT");
    let mut left = filter("-A INPUT -j REJECT");
    for chain in &mut left.chains {
        chain.table.family = Family::Inet;
        chain.table.engine = Engine::Nft;
        chain.table.name = "firewalld".into();
    }
    both.chains.extend(left.chains);
    let Answer::Refused(refusals) = walk(&both, &tcp(6443..=6443)) else {
        panic!("passes")
    };
    assert_eq!(refusals.len(), 1);
    assert!(refusals[0].by.ends_with("table inet firewalld"));
    for chain in both
        .chains
        .iter_mut()
        .filter(|chain| chain.table.name == "firewalld")
    {
        chain.table.family = Family::Ip6;
    }
    assert_eq!(walk(&both, &tcp(6443..=6443)), Answer::Accepted);
}
