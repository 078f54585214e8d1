//! nft scripts as people write them.

use std::path::{Path, PathBuf};

use super::super::packet::{Packet, TCP};
use super::super::walk::{Answer, walk};
use super::super::{Hook, save};
use super::{Addition, Script};
use crate::error::Result;

const EMPTY: &str =
    "table inet filter {\n\tchain input {\n\t\ttype filter hook input priority filter;\n\t}\n}\n";

fn parse(text: &str) -> Script {
    let include = |name: &str| -> Result<Vec<(PathBuf, String)>> {
        assert_eq!(name, "/etc/nftables.d/*.nft");
        let text = "add rule inet filter input tcp dport 9000 accept\n".to_owned();
        Ok(vec![("/etc/nftables.d/a.nft".into(), text)])
    };
    let services = |name: &str| (name == "ssh").then_some(22);
    Script::parse(
        Path::new("/etc/nftables.conf"),
        text.to_owned(),
        &include,
        &services,
    )
    .unwrap()
}

fn input(rules: &str) -> Script {
    parse(&format!(
        "#!/usr/sbin/nft -f\nflush ruleset\ntable inet filter {{\n\tchain input {{\n\t\ttype filter hook input priority filter; policy drop;\n{rules}\n\t}}\n\tchain other {{ tcp dport 6443 accept\n}}\n}}\n"
    ))
}

fn answer(script: &Script, port: u16) -> Answer {
    let packet = Packet {
        hook: Hook::Input,
        ipv6: false,
        protocol: TCP,
        ports: Some(port..=port),
        interface: Some("eth0"),
        destination: None,
    };
    walk(&script.ruleset, &packet)
}

#[test]
fn what_lets_a_packet_pass() {
    assert_eq!(answer(&parse(EMPTY), 6443), Answer::Accepted);
    assert_eq!(answer(&parse(""), 6443), Answer::Accepted);
    for rules in [
        "tcp dport 6443 accept",
        "tcp dport { 22, 6000-7000 } accept # us",
        "tcp dport { 22,\n 6443,\n } counter packets 0 bytes 0 accept comment \"drop\"",
        "ct state vmap { established : accept, invalid:drop, new : jump other }",
        "jump other",
        "iif lo accept; iifname \"eth*\" meta l4proto { tcp, udp } accept",
        "ip saddr 10.0.0.0/8 drop\nmeta nfproto ipv4 tcp dport >= 6000 accept",
        "tcp flags & (fin|syn|rst|ack) != syn ct state new drop\ntcp dport 6443 accept",
        "tcp flags syn / fin,syn,rst,ack accept",
        "ip protocol tcp th dport 6443 log prefix \"x accept\" level info accept",
        "fib daddr type local accept",
        "meta mark and 0x4000 == 0 tcp dport != 22 accept",
        "icmp type echo-request limit rate 4/second accept\nicmpv6 type { nd-router-advert } accept\naccept",
        "limit rate 5/minute burst 5 packets log prefix \"a\"\naccept",
        "tcp dport vmap { 22 : drop, 6443 : accept }",
    ] {
        assert_eq!(answer(&input(rules), 6443), Answer::Accepted, "{rules}");
    }
}

#[test]
fn what_does_not() {
    for rules in [
        "",
        "reject with icmpx type admin-prohibited\ntcp dport 6443 accept",
        "tcp dport != 6443 accept",
        "tcp dport ssh accept",
        "ip6 saddr ::/0 accept",
        "ip saddr 10.0.0.0/8 tcp dport 6443 accept",
        "ct state established,related accept",
        "iifname lo accept",
        "udp dport 6443 accept",
    ] {
        assert!(
            matches!(answer(&input(rules), 6443), Answer::Refused(_)),
            "{rules}"
        );
    }
    for rules in [
        "meta skuid 1000 accept",
        "ip saddr . tcp dport @allowed accept",
        "tcp dport 6443 limit rate 5/second accept",
        "tcp dport @nowhere accept",
        "tcp dport nosuchname accept",
    ] {
        assert!(
            matches!(answer(&input(rules), 6443), Answer::Undecided(_)),
            "{rules}"
        );
    }
}

#[test]
fn defines_sets_includes_and_commands() {
    let script = parse(
        "define ports = { 22, 6443 }\ndefine all = $ports\ntable inet filter {\n set open { type inet_service; flags interval\n elements = { 80-90,\n 443 } }\n chain input { type filter hook input priority 0; policy drop; tcp dport $all accept; tcp dport @open accept; }\n}\ninclude \"/etc/nftables.d/*.nft\"\nadd table ip6 x\nadd chain ip x y { type filter hook input priority filter - 10 ; policy drop ; }\nadd rule ip x y accept\ninsert rule inet filter input tcp dport 7 accept\nadd element inet filter open { 8000 }\n",
    );
    for port in [22, 6443, 85, 443, 9000, 7] {
        assert_eq!(answer(&script, port), Answer::Accepted, "{port}");
    }
    assert!(matches!(answer(&script, 23), Answer::Refused(_)));
    let flushed = parse(
        "table ip a { chain b { type filter hook input priority 0; policy drop; } }\nflush table ip a\ndelete table ip a\n",
    );
    assert_eq!(answer(&flushed, 1), Answer::Accepted);
    let emptied = parse(
        "table ip a { chain b { type filter hook input priority 0; policy drop; accept; } }\nflush table ip a\n",
    );
    assert!(matches!(answer(&emptied, 1), Answer::Refused(_)));
    for open in [
        "table ip a {",
        "table ip a { set b { ",
        "add chain ip a b {",
        "define a = { 1",
    ] {
        let read = Script::parse(Path::new("/a"), open.into(), &|_| Ok(vec![]), &|_| None);
        assert!(read.is_err(), "{open}");
    }
    let doubled = |one: usize| format!("define a{} = {{ $a{one}, $a{one} }}\n", one + 1);
    let text = "define a0 = { 1, 2 }\n".to_owned() + &(0..40).map(doubled).collect::<String>();
    assert!(Script::parse(Path::new("/a"), text, &|_| Ok(vec![]), &|_| None).is_err());
    let itself = |_: &str| Ok(vec![(PathBuf::from("/b"), "include \"b\"\n".repeat(9)); 2]);
    let read = Script::parse(Path::new("/a"), "include \"b\"\n".into(), &itself, &|_| {
        None
    });
    assert!(read.is_err());
    assert!(
        matches!(Script::parse(Path::new("/a"), "tabel x {\n}".into(), &|_| Ok(vec![]), &|_| None), Err(error) if error.to_string().starts_with("/a:1: not understood"))
    );
}

#[test]
fn a_rule_goes_before_the_one_that_refuses() {
    let text = "table inet filter {\n\tchain input {\n\t\ttype filter hook input priority 0; policy drop;\n\t\tct state established accept\n\t\t# the rest\n\t\treject\n\t}\n}\nadd rule inet filter input drop\n";
    let script = parse(text);
    let rule = |text: &str, before| Addition {
        chain: 0,
        before,
        text: text.into(),
    };
    let new = script.with(&[
        rule("tcp dport 1 accept", Some(1)),
        rule("tcp dport 2 accept", Some(1)),
        rule("tcp dport 3 accept", None),
        rule("tcp dport 4 accept", Some(2)),
    ]);
    assert_eq!(
        new[0].1,
        "table inet filter {\n\tchain input {\n\t\ttype filter hook input priority 0; policy drop;\n\t\tct state established accept\n\t\t# the rest\n\t\ttcp dport 1 accept\n\t\ttcp dport 2 accept\n\t\treject\n\t\ttcp dport 3 accept\n\t}\n}\nadd rule inet filter input tcp dport 4 accept\nadd rule inet filter input drop\n"
    );
    let line = "table ip f { chain input { type filter hook input priority 0; policy drop; tcp dport 22 accept; drop } }";
    let script = parse(line);
    let new = script.with(&[
        rule("tcp dport 1 accept", Some(1)),
        rule("tcp dport 2 accept", None),
    ]);
    assert_eq!(
        new[0].1,
        "table ip f { chain input { type filter hook input priority 0; policy drop; tcp dport 22 accept; tcp dport 1 accept; drop ; tcp dport 2 accept; } }"
    );
    assert_eq!(answer(&parse(&new[0].1), 1), Answer::Accepted);
    let commands =
        "add table ip f\nadd chain ip f i { type filter hook input priority 0 ; policy drop ; }";
    let new = parse(commands).with(&[rule("tcp dport 1 accept", None)]);
    assert_eq!(
        new[0].1,
        format!("{commands}\nadd rule ip f i tcp dport 1 accept\n")
    );
    assert_eq!(answer(&parse(&new[0].1), 1), Answer::Accepted);
}

#[test]
fn saved_rules_take_ours_where_they_must_go() {
    let text = "# mine\r\n*nat\r\nCOMMIT\r\n*filter\r\n:INPUT DROP [0:0]\r\n-A INPUT -j REJECT\r\nCOMMIT\r\n";
    let insertions = [
        save::Insertion {
            table: "filter".into(),
            before: Some(6),
            rule: "-A INPUT -j ACCEPT".into(),
        },
        save::Insertion {
            table: "filter".into(),
            before: None,
            rule: "-A FORWARD -j ACCEPT".into(),
        },
    ];
    assert_eq!(
        save::insert(text, &insertions),
        "# mine\r\n*nat\r\nCOMMIT\r\n*filter\r\n:INPUT DROP [0:0]\r\n-A INPUT -j ACCEPT\r\n-A INPUT -j REJECT\r\n-A FORWARD -j ACCEPT\r\nCOMMIT\r\n"
    );
}

proptest::proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "[a-z0-9 {};\n\"$@:.,=!&|()/#-]{0,120}") {
        let include = |_: &str| -> Result<Vec<(PathBuf, String)>> { Ok(vec![]) };
        for text in [text.clone(), format!("table inet filter {{ chain input {{ {text}"), format!("*filter\n-A INPUT {text}")] {
            let _ = Script::parse(Path::new("/a"), text.clone(), &include, &|_| None);
            let _ = save::parse(&text, Path::new("/a"), false, &|_| None);
        }
    }
}
