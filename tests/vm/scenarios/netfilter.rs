//! The packet filter as the program reads it from the kernel against what the system's own tools
//! list, on rules of many makers; and that reading leaves nothing behind.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::image::Image;
use crate::machine::{Hardware, Machine};
use crate::program;

/// What reading must not change.
const TRACES: &str = "{ grep -oE '^(nf|nft|ip|ip6|x|xt)[a-z0-9]*_[a-z0-9_]+' /proc/modules || true; } | sort; \
    cat /proc/net/ip_tables_names /proc/net/ip6_tables_names 2>&1 || true; ls /proc/net/netfilter 2>&1 || true";
/// Many kinds of rules, as a person writes them.
const NATIVE: &str = include_str!("netfilter/native.nft");
/// Rules for iptables-restore, after which the tool lists the same ones.
const IPTABLES: &str = include_str!("netfilter/iptables.rules");

pub fn run(image: &Image) {
    let mut machine = Machine::boot(image, Hardware::DEFAULT);
    machine.put(
        &program::build(&["--example", "rules"]),
        "/usr/local/bin/rules",
        "755",
    );
    untouched(&mut machine);
    legacy(&mut machine);
    native(&mut machine);
    iptables(&mut machine, "iptables-nft");
    firewalld(&mut machine);
    changing(&mut machine);
    not_root(&mut machine);
    many(&mut machine);
}

fn read(machine: &mut Machine) -> Value {
    serde_json::from_str(&machine.ok("rules")).expect("json")
}

/// On a machine where nothing has asked for a packet filter.
fn untouched(machine: &mut Machine) {
    let before = machine.ok(TRACES);
    assert!(
        !before.contains("nf_tables"),
        "the machine is fresh:\n{before}"
    );
    assert_eq!(machine.ok("rules"), r#"{"chains":[]}"#);
    assert_eq!(machine.ok(TRACES), before, "reading loads no module");
    // The module alone makes no table on this kernel, nor does reading.
    machine.ok("modprobe ip_tables; modprobe nf_tables");
    let before = machine.ok(TRACES);
    assert_eq!(machine.ok("rules"), r#"{"chains":[]}"#);
    assert_eq!(machine.ok(TRACES), before, "reading makes no table");
}

/// Rules of nf_tables: each that the tool lists is read, and no other.
fn native(machine: &mut Machine) {
    machine.ok(&format!("nft -f - <<'END'\n{NATIVE}\nEND"));
    same_rules(machine);
    machine.ok("nft flush ruleset");
}

fn same_rules(machine: &mut Machine) {
    let listed: Value = serde_json::from_str(&machine.ok("nft -j -a list ruleset")).unwrap();
    let listed: BTreeSet<String> = listed["nftables"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["rule"])
        .filter(|rule| ["ip", "ip6", "inet"].contains(&rule["family"].as_str().unwrap_or_default()))
        .map(|rule| {
            format!(
                "{} {} {} {}",
                rule["family"], rule["table"], rule["chain"], rule["handle"]
            )
        })
        .collect();
    let rules = read(machine);
    let mut found = BTreeSet::new();
    for chain in rules["chains"].as_array().unwrap() {
        let table = &chain["table"];
        for rule in chain["rules"].as_array().unwrap() {
            // The tool's json leaves out chains that have no name of their own.
            let anonymous = chain["name"].as_str().unwrap().starts_with("__chain");
            if table["engine"] == "nft" && !anonymous {
                let (family, name) = (&table["family"], &table["name"]);
                found.insert(format!(
                    "{family} {name} {} {}",
                    chain["name"], rule["handle"]
                ));
            }
        }
    }
    assert!(!listed.is_empty());
    assert_eq!(found, listed);
}

fn legacy(machine: &mut Machine) {
    iptables(machine, "iptables-legacy");
    machine.ok("iptables-legacy -F; iptables-legacy -X; iptables-legacy -P INPUT ACCEPT");
}

/// Rules of iptables: each reads as the tool lists it, but for what goes without saying.
fn iptables(machine: &mut Machine, tool: &str) {
    machine.ok("ipset create -exist blocked hash:ip");
    machine.ok(&format!("{tool}-restore <<'END'\n{IPTABLES}\nEND"));
    let listed = machine.ok(&format!("{tool} -S"));
    let listed: Vec<String> = listed
        .lines()
        .filter(|line| line.starts_with("-A"))
        .map(plain)
        .collect();
    let rules = read(machine);
    let engine = if tool.ends_with("nft") {
        "nft"
    } else {
        "legacy"
    };
    let mut found = Vec::new();
    for chain in rules["chains"].as_array().unwrap() {
        if chain["table"]["engine"] == engine && chain["table"]["family"] == "ip" {
            let texts = chain["rules"].as_array().unwrap().iter();
            found.extend(texts.map(|rule| plain(rule["text"].as_str().unwrap())));
        }
        if chain["name"] == "INPUT"
            && chain["table"]["family"] == "ip"
            && chain["table"]["engine"] == engine
        {
            assert_eq!(chain["base"]["accepts"], false, "{chain}");
        }
    }
    let sorted = |mut lines: Vec<String>| {
        lines.sort();
        lines.join("\n")
    };
    assert_eq!(sorted(found), sorted(listed), "{tool}");
}

/// What a rule's text leaves out: words that go without saying, and details of what the walk does not
/// ask.
const LEFT_OUT: [&str; 13] = [
    " -m tcp",
    " -m udp",
    " -m icmp",
    " -m limit",
    " limit",
    " --limit 5/min",
    " --log-prefix \"dropped: \"",
    " --reject-with icmp-host-prohibited",
    " --set-xmark 0x1/0xffffffff",
    " --icmp-type 8",
    " --match-set blocked src",
    " -m conntrack",
    " -m state",
];

/// The rest of a rule's words, in any order.
fn plain(line: &str) -> String {
    let line = LEFT_OUT
        .iter()
        .fold(line.to_owned(), |line, words| line.replace(words, ""));
    let line = line.replace("--state", "--ctstate");
    let mut words: Vec<&str> = line.split(' ').collect();
    words.sort_unstable();
    words.join(" ")
}

/// What firewalld makes of its default zone: some hundred rules of nf_tables.
fn firewalld(machine: &mut Machine) {
    machine.ok("iptables-nft -F; iptables-nft -X; nft flush ruleset; systemctl start firewalld");
    // Started is not yet answering, with newer ones.
    machine.ok("until firewall-cmd -q --state; do sleep 0.2; done");
    machine.ok("firewall-cmd -q --add-port=6443/tcp; firewall-cmd -q --zone=public --add-source=10.0.0.0/8");
    same_rules(machine);
    let rules = machine.ok("rules");
    assert!(rules.contains("tcp dport 6443 accept"), "{rules}");
    machine.ok("systemctl stop firewalld");
}

/// Thousands of rules, in few system calls.
fn many(machine: &mut Machine) {
    machine.ok(
        "{ echo 'table inet many { chain c { type filter hook input priority 0;'; \
         for n in $(seq 2000); do echo \"tcp dport $n ip saddr 10.0.$((n % 250)).0/24 accept\"; done; \
         echo '}'; echo '}'; } | nft -f -",
    );
    let calls = machine.ok("strace -o /root/calls rules >/root/rules.json; wc -l </root/calls");
    assert_eq!(
        machine.ok("grep -o '\"handle\"' /root/rules.json | wc -l"),
        "2000"
    );
    assert!(calls.trim().parse::<u32>().unwrap() < 400, "{calls}");
    machine.ok("nft flush ruleset");
}

/// Rules that change while they are read: all of one moment, or none.
fn changing(machine: &mut Machine) {
    machine.ok(
        "nft add table inet one; nft 'add chain inet one a'; nft 'add chain inet one b'; \
         nft add rule inet one a accept; \
         (while :; do \
            nft 'flush chain inet one a; add rule inet one b accept'; \
            nft 'flush chain inet one b; add rule inet one a accept'; \
          done) & \
         for n in $(seq 20); do rules >>/root/changing; done; kill $!",
    );
    assert_eq!(machine.ok("grep -c . /root/changing"), "20");
    assert_eq!(
        machine.ok("grep -o '\"text\":\"accept\"' /root/changing | wc -l"),
        "20"
    );
    machine.ok("nft flush ruleset");
}

fn not_root(machine: &mut Machine) {
    let output = machine.run("setpriv --reuid=65534 --clear-groups --inh-caps=-all rules");
    assert_eq!(output.code, 1);
    assert!(output.stderr.contains("run as root"), "{}", output.stderr);
}
