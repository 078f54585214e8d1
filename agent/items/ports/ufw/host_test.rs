//! ufw's files of a real package on trees of files.
#![allow(clippy::disallowed_methods, reason = "tests")]

use super::*;
use crate::firewall::{Chain, Engine, Table};
use proptest::prelude::*;

/// Of ufw 0.36.2, as installed but for comments.
const BEFORE: &str = "#\n# rules.before\n*filter\n:ufw-before-input - [0:0]\n:ufw-before-output - [0:0]\n:ufw-before-forward - [0:0]\n:ufw-not-local - [0:0]\n\
    -A ufw-before-input -i lo -j ACCEPT\n-A ufw-before-input -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n\
    -A ufw-before-forward -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n-A ufw-before-input -m conntrack --ctstate INVALID -j DROP\n\
    -A ufw-before-forward -p icmp --icmp-type echo-request -j ACCEPT\n-A ufw-before-input -p udp --sport 67 --dport 68 -j ACCEPT\n\
    -A ufw-before-input -j ufw-not-local\n-A ufw-not-local -j DROP\n\n# don't delete the 'COMMIT' line\nCOMMIT\n";
const USER: &str = "*filter\n:ufw-user-input - [0:0]\n### RULES ###\n### END RULES ###\nCOMMIT\n";
const DEFAULT: &str = "IPV6=yes\nDEFAULT_INPUT_POLICY=\"DROP\"\nDEFAULT_FORWARD_POLICY=\"DROP\"\n";

fn six(text: &str) -> String {
    text.replace("ufw-", "ufw6-").replace("0.0.0.0/0", "::/0")
}

fn ufw(files: &[(&str, &str)], live: Option<&Ruleset>) -> Ufw {
    let dir = tempfile::tempdir().unwrap();
    let installed = [
        ("etc/ufw/ufw.conf", "# a\nENABLED=yes\n"),
        ("etc/default/ufw", DEFAULT),
        ("etc/ufw/before.rules", BEFORE),
        ("etc/ufw/before6.rules", &six(BEFORE)),
        ("etc/ufw/user.rules", USER),
        ("etc/ufw/user6.rules", &six(USER)),
        ("etc/ufw/after.rules", "*filter\nCOMMIT\n"),
        ("usr/lib/systemd/system/ufw.service", ""),
        ("etc/systemd/system/multi-user.target.wants/ufw.service", ""),
    ];
    for (path, text) in installed.iter().chain(files) {
        let path = dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let host = Host::captured(dir.path()).unwrap();
    Ufw::observe(&host, live).unwrap().unwrap()
}

fn opening(text: &str) -> Opening {
    let forward = text.ends_with('!');
    let opening: Opening = text.trim_end_matches('!').parse().unwrap();
    Opening { forward, ..opening }
}

fn told(files: &[(&str, &str)], text: &str) -> String {
    match ufw(files, None).boot(&opening(text)) {
        State::InSync => "open".into(),
        State::Differs { from, origin, .. } => format!("{from} {}", origin.unwrap()),
        state => format!("{state:?}"),
    }
}

fn rules(tuples: &str) -> String {
    let lines = tuples
        .lines()
        .map(|t| format!("### tuple ### {t}\n-A ufw-user-input -j X\n"));
    USER.replace("### END", &format!("{}### END", lines.collect::<String>()))
}

#[test]
fn files_are_asked_in_their_order() {
    let told = |four: &str, before: &str, text: &str| {
        let user = rules(four);
        let before = BEFORE.replace("\n# don't", &format!("{before}\n# don't"));
        let (user6, before6) = (six(&user), six(&before));
        let files = [
            ("etc/ufw/user.rules", user.as_str()),
            ("etc/ufw/user6.rules", &user6),
            ("etc/ufw/before.rules", &before),
            ("etc/ufw/before6.rules", &before6),
        ];
        told(&files, text)
    };
    let allow = "allow tcp 6443 0.0.0.0/0 any 0.0.0.0/0 in";
    let deny = "deny any 6443 0.0.0.0/0 any 0.0.0.0/0 in";
    assert_eq!(told("", "", "6443/tcp"), "refused /etc/default/ufw:2");
    assert_eq!(told(allow, "", "6443/tcp"), "open");
    assert_eq!(told(allow, "", "6443/udp"), "refused /etc/default/ufw:2");
    assert_eq!(
        told(&format!("{deny}\n{allow}"), "", "6443/tcp"),
        "refused /etc/ufw/user.rules:4"
    );
    assert_eq!(told(&format!("{allow}\n{deny}"), "", "6443/tcp"), "open");
    let some = "deny tcp 6443 0.0.0.0/0 any 10.1.2.3 in";
    assert_eq!(told(&format!("{some}\n{allow}"), "", "6443/tcp"), "open");
    let limit = "limit tcp 6443 0.0.0.0/0 any 0.0.0.0/0 in";
    assert_eq!(told(limit, "", "6443/tcp"), "refused /etc/ufw/user.rules:4");
    let drop = "-A ufw-before-input -p tcp --dport 6443 -j DROP\n";
    assert_eq!(
        told(allow, drop, "6443/tcp"),
        "refused /etc/ufw/before.rules:16"
    );
    let route = format!("{allow}\nroute:allow any any 0.0.0.0/0 any 0.0.0.0/0 in");
    assert_eq!(
        told(allow, "", "6443/tcp!"),
        "refused when forwarded /etc/default/ufw:3"
    );
    assert_eq!(told(&route, "", "6443/tcp!"), "open");
    let translated = "-A ufw-before-forward -m conntrack --ctstate DNAT -j ACCEPT\n";
    assert_eq!(told(allow, translated, "6443/tcp!"), "open");
}

#[test]
fn one_family_can_be_closed() {
    let user = rules("allow tcp 6443 0.0.0.0/0 any 0.0.0.0/0 in");
    let files = [("etc/ufw/user.rules", user.as_str())];
    assert_eq!(
        told(&files, "6443/tcp"),
        "refused over IPv6 /etc/default/ufw:2"
    );
    let defaults = DEFAULT.replace("yes", "no");
    assert_eq!(
        told(&[files[0], ("etc/default/ufw", &defaults)], "6443/tcp"),
        "open"
    );
    let accept = DEFAULT.replace("DROP", "ACCEPT");
    assert_eq!(
        told(&[("etc/default/ufw", &accept)], "1-65535/udp!"),
        "open"
    );
}

#[test]
fn without_its_files_it_is_not_known() {
    let files = [("etc/ufw/user6.rules", "")];
    assert!(told(&files, "80/tcp").contains("/etc/ufw/user6.rules is missing or empty"));
    let mut plan = ItemPlan::default();
    ufw(&files, None).steps(&[opening("80/tcp")], &[], &mut plan);
    assert_eq!(plan.steps.len(), 1);
}

#[test]
fn enabled_is_the_file_and_the_unit() {
    assert!(ufw(&[], None).enabled);
    assert!(!ufw(&[("etc/ufw/ufw.conf", "ENABLED=no\n")], None).enabled);
    let masked = ufw(&[], None).running;
    assert!(!masked);
    let dir = tempfile::tempdir().unwrap();
    let host = Host::captured(dir.path()).unwrap();
    assert!(Ufw::observe(&host, None).unwrap().is_none());
}

fn live() -> Ruleset {
    let table = Table {
        engine: Engine::Nft,
        family: Family::Ip,
        name: "filter".into(),
    };
    let chain = Chain {
        table,
        name: STARTED.into(),
        base: None,
        rules: Vec::new(),
    };
    Ruleset {
        chains: vec![chain],
    }
}

#[test]
fn files_and_chains_are_mended() {
    let user = rules("deny tcp 80 0.0.0.0/0 any 0.0.0.0/0 in");
    let of = ufw(&[("etc/ufw/user.rules", &user)], Some(&live()));
    assert!(of.running);
    let boot = ["6443/tcp", "80/tcp", "30000-32767/udp!"].map(opening);
    let closed = |text: &str, family, forward| Closed {
        opening: opening(text),
        family,
        forward,
    };
    let live = [
        closed("6443/tcp", Family::Inet, false),
        closed("80/tcp", Family::Ip, false),
        closed("30000-32767/udp", Family::Ip, true),
    ];
    let mut plan = ItemPlan::default();
    of.steps(&boot, &live, &mut plan);
    let shown: Vec<String> = plan
        .steps
        .iter()
        .map(|s| format!("{} <- {}", s.step, s.serves.join(" ")))
        .collect();
    assert_eq!(
        shown,
        [
            "edit /etc/ufw/user.rules <- 6443/tcp 30000-32767/udp 80/tcp",
            "edit /etc/ufw/before.rules <- 30000-32767/udp",
            "iptables-restore: -A ufw-user-input -p tcp --dport 6443 -j ACCEPT; -I ufw-user-input 1 -p tcp --dport 80 -j ACCEPT; -A ufw-before-forward -m conntrack --ctstate DNAT -j ACCEPT <- 6443/tcp 80/tcp 30000-32767/udp",
            "edit /etc/ufw/user6.rules <- 6443/tcp 80/tcp 30000-32767/udp",
            "edit /etc/ufw/before6.rules <- 30000-32767/udp",
            "ip6tables-restore: -A ufw6-user-input -p tcp --dport 6443 -j ACCEPT <- 6443/tcp",
        ]
    );
    let Step::Firewall { undo, .. } = &plan.steps[5].step else {
        panic!()
    };
    assert_eq!(
        undo.join("\n"),
        "*filter\n-D ufw6-user-input -p tcp --dport 6443 -j ACCEPT\nCOMMIT"
    );
}

#[test]
fn what_is_written_is_what_was_missing() {
    let user = rules("deny tcp 80 0.0.0.0/0 any 0.0.0.0/0 in");
    let of = ufw(&[("etc/ufw/user.rules", &user)], None);
    let boot = ["6443/tcp", "80/tcp", "30000-32767/udp!"].map(opening);
    let mut plan = ItemPlan::default();
    of.steps(&boot, &[], &mut plan);
    let written: Vec<(String, String)> = plan
        .steps
        .iter()
        .filter_map(|planned| match &planned.step {
            Step::WriteFile { path, content, .. } => {
                let path = path.strip_prefix("/").unwrap().to_str().unwrap().to_owned();
                Some((path, String::from_utf8(content.clone()).unwrap()))
            }
            _ => None,
        })
        .collect();
    let files: Vec<(&str, &str)> = written
        .iter()
        .map(|(p, t)| (p.as_str(), t.as_str()))
        .collect();
    let after = ufw(&files, None);
    for opening in &boot {
        assert_eq!(after.boot(opening), State::InSync, "{opening}");
    }
    let mut plan = ItemPlan::default();
    after.steps(&boot, &[], &mut plan);
    assert!(plan.steps.is_empty());
}

#[test]
fn what_before_rules_refuse_stays() {
    let before = BEFORE.replace(
        "COMMIT\n",
        "-A ufw-before-input -p tcp --dport 80 -j DROP\nCOMMIT\n",
    );
    let of = ufw(
        &[
            ("etc/ufw/before.rules", &before),
            ("etc/ufw/before6.rules", &six(&before)),
        ],
        None,
    );
    let mut plan = ItemPlan::default();
    of.steps(&[opening("80/tcp")], &[], &mut plan);
    assert!(plan.steps.is_empty());
}

#[test]
fn the_rule_goes_into_the_filter_table() {
    let nat = "*nat\n-A X\nCOMMIT\n*filter\n-A Y\nCOMMIT\n# end";
    assert_eq!(
        in_filter(nat, "R"),
        "*nat\n-A X\nCOMMIT\n*filter\n-A Y\nR\nCOMMIT\n# end"
    );
    assert_eq!(in_filter("# a", "R"), "# a\n*filter\nR\nCOMMIT\n");
    assert_eq!(value("A=\"x\" # y\nB=1\n A='z'\n", "A"), Some(("z", 3)));
}

proptest! {
    #[test]
    fn foreign_lines_survive(lines in proptest::collection::vec("[*a-z#-]{0,4}|COMMIT|\\*filter", 0..8)) {
        let old = lines.join("\n");
        let new = in_filter(&old, "OURS");
        let mut rest = new.as_str();
        for line in lines.iter() {
            let at = rest.find(line.as_str());
            prop_assert!(at.is_some());
            rest = &rest[at.unwrap() + line.len()..];
        }
        prop_assert_eq!(new.matches("OURS").count(), 1);
    }
}
