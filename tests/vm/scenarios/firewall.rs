//! Five kinds of firewall, each shut, opened by the program, loaded again as the boot does it, and
//! asked by real connections from another host: a network namespace behind a veth pair, with a pod
//! in a second one behind a node port.

use crate::guest::{self, Report};
use crate::image::Image;
use crate::machine::Machine;

const PROFILE: &str = "/root/ports.toml";

/// One kind of firewall.
struct Firewall {
    name: &'static str,
    /// Makes it, shut, with rules of an administrator.
    make: &'static str,
    /// Loads it as the boot does.
    load: &'static str,
    /// Prints the running rules with our own left out; what is printed must stay.
    foreign: &'static str,
    /// The file with our lines left out must stay too.
    file: &'static str,
    /// Takes it away.
    end: &'static str,
}

/// What EL installs, and a block list.
const SAVED: &str = r#"cat >/root/rules <<'END'
*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:BLOCKED - [0:0]
-A INPUT -m state --state RELATED,ESTABLISHED -j ACCEPT
-A INPUT -i lo -j ACCEPT
-A INPUT -p icmp -j ACCEPT
-A INPUT -j BLOCKED
-A INPUT -p tcp -m tcp --dport 22 -m comment --comment "ours, \"really\"" -j ACCEPT
-A INPUT -m limit --limit 5/min -j LOG
-A INPUT -p tcp -m multiport --dports 80,443 -j ACCEPT
-A INPUT -j REJECT
-A FORWARD -m state --state RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -j REJECT
-A BLOCKED -p udp -m udp --dport 1900 -j DROP
COMMIT
END
mkdir -p /etc/iptables
{ echo '# kept by hand'; cat /root/rules; } >/etc/iptables/rules.v4
sed 's/-p icmp/-p ipv6-icmp/' /etc/iptables/rules.v4 >/etc/iptables/rules.v6
systemctl enable -q netfilter-persistent
systemctl restart netfilter-persistent
"#;
const SAVED_END: &str = "systemctl disable -q --now netfilter-persistent
    for v in '' 6; do for e in nft legacy; do ip${v}tables-$e -P INPUT ACCEPT; ip${v}tables-$e -P FORWARD ACCEPT; ip${v}tables-$e -F; ip${v}tables-$e -X; done; done
    rm /etc/iptables/rules.v[46]";

const NFT: &str = r#"cat >/etc/nftables.conf <<'END'
#!/usr/sbin/nft -f
flush ruleset
define admin = { 22, 9100-9110 } # us
table inet filter {
	set blocked { type ipv4_addr; flags interval; elements = { 203.0.113.0/24 } }
	chain input {
		type filter hook input priority filter; policy drop;
		ct state vmap { established : accept, related : accept, invalid : drop }
		iif lo accept
		ip saddr @blocked drop
		tcp dport $admin accept comment "admin"
		# the rest
		meta l4proto { icmp, ipv6-icmp } accept
		reject with icmpx type admin-prohibited
	}
	chain forward {
		type filter hook forward priority filter; policy drop;
		ct state established,related accept
	}
}
END
systemctl enable -q nftables
systemctl restart nftables
"#;

const KINDS: [Firewall; 5] = [
    Firewall {
        name: "iptables-nft",
        make: SAVED,
        load: "iptables -F; ip6tables -F; systemctl restart netfilter-persistent",
        foreign: "for v in '' 6; do ip${v}tables-nft-save | grep -v -e nodeprep -e '^[#:]'; done",
        file: "grep -hv nodeprep /etc/iptables/rules.v4 /etc/iptables/rules.v6",
        end: SAVED_END,
    },
    Firewall {
        name: "iptables-legacy",
        make: SAVED,
        load: "iptables-legacy -F; ip6tables-legacy -F; systemctl restart netfilter-persistent",
        foreign: "for v in '' 6; do ip${v}tables-legacy-save | grep -v -e nodeprep -e '^[#:]'; done",
        file: "grep -hv nodeprep /etc/iptables/rules.v4 /etc/iptables/rules.v6",
        end: SAVED_END,
    },
    Firewall {
        name: "nftables",
        make: NFT,
        load: "systemctl restart nftables",
        foreign: "nft list table inet filter | grep -v nodeprep",
        file: "grep -v nodeprep /etc/nftables.conf",
        end: "systemctl disable -q --now nftables; nft flush ruleset",
    },
    Firewall {
        name: "firewalld",
        make: "systemctl enable -q --now firewalld; until firewall-cmd -q --state; do sleep 1; done
            firewall-cmd -q --permanent --add-service=ssh --zone=public
            firewall-cmd -q --permanent --add-rich-rule='rule family=ipv4 source address=203.0.113.0/24 drop'
            firewall-cmd -q --reload; firewall-cmd -q --add-port=7777/tcp",
        // Its client waits until it has loaded its rules; systemd does not.
        load: "systemctl restart firewalld; until firewall-cmd -q --state; do sleep 1; done",
        // What was added at run time only must survive apply, and is gone with a restart.
        foreign: "firewall-cmd --list-services; firewall-cmd --list-rich-rules",
        file: "grep -v -e 'port=\"\\(6443\\|8472\\|30000-30010\\)\"' /etc/firewalld/zones/public.xml",
        end: "systemctl disable -q --now firewalld",
    },
    Firewall {
        name: "ufw",
        make: "ufw --force reset >&2; ufw allow 22/tcp >&2; ufw deny 6443/tcp >&2
            ufw limit 2222/tcp comment 'slow down' >&2; ufw --force enable >&2; systemctl enable -q ufw",
        load: "ufw reload >&2",
        foreign: "ufw status | grep -v -e 6443 -e 8472 -e 30000",
        file: "grep -hv -e 6443 -e 8472 -e 30000 -e DNAT -e '^$' /etc/ufw/user.rules /etc/ufw/before.rules /etc/ufw/after.rules",
        end: "ufw --force disable >&2; systemctl disable -q ufw; ufw --force reset >&2",
    },
];

/// Another host, and a pod behind node port 30001.
const NETWORK: &str = r#"
ip netns add peer; ip netns add pod
ip link add node0 type veth peer name eth0 netns peer
ip link add pod0 type veth peer name eth0 netns pod
ip address add 10.77.0.1/24 dev node0; ip address add fd77::1/64 dev node0 nodad
ip address add 10.78.0.1/24 dev pod0
ip link set node0 up; ip link set pod0 up
ip route add default via 10.77.0.2
ip -n peer address add 10.77.0.2/24 dev eth0; ip -n peer address add fd77::2/64 dev eth0 nodad
ip -n pod address add 10.78.0.2/24 dev eth0
for n in peer pod; do ip -n $n link set eth0 up; ip -n $n link set lo up; done
ip -n peer route add default via 10.77.0.1; ip -n pod route add default via 10.78.0.1
echo 1 >/proc/sys/net/ipv4/ip_forward
serve() { systemd-run -q --unit="$1" -- "${@:2}"; }
serve listen socat TCP6-LISTEN:6443,fork,reuseaddr,ipv6only=0 'EXEC:echo hello'
serve listen-udp socat -T 2 UDP6-LISTEN:8472,fork,reuseaddr,ipv6only=0 'EXEC:echo hello'
serve pod ip netns exec pod socat TCP-LISTEN:80,fork,reuseaddr 'EXEC:echo hello'
"#;
/// As kube-proxy translates a node port; made again after each flush.
const NODE_PORT: &str = "nft 'add table ip lab; add chain ip lab pre { type nat hook prerouting priority dstnat; }; flush chain ip lab pre; add rule ip lab pre tcp dport 30001 dnat to 10.78.0.2:80'";

/// How the peer is answered: on IPv4, on IPv6, by UDP, on the node port.
fn reached(machine: &mut Machine) -> String {
    machine.ok(NODE_PORT);
    let ask = |what: &str| {
        format!(
            "answer=$(echo ask | timeout 6 ip netns exec peer socat -t 4 -T 4 - {what} 2>/dev/null | head -c 5 || true); echo \"${{answer:--}}\""
        )
    };
    let asks = [
        "TCP:10.77.0.1:6443,connect-timeout=3",
        "TCP:[fd77::1]:6443,connect-timeout=3",
        "UDP:10.77.0.1:8472",
        "TCP:10.77.0.1:30001,connect-timeout=3",
    ];
    let answers = machine.ok(&asks.map(ask).join("\n"));
    answers.replace('\n', " ")
}

const OPEN: &str = "hello hello hello hello";
/// A packet is lost now and then where the emulator gets no processor: what refuses, refuses again.
const TRIES: usize = 3;

/// Asserts that the peer is answered, at this many of the ways.
fn assert_open(machine: &mut Machine, ways: usize, why: &str) {
    let expected: Vec<&str> = OPEN.split(' ').take(ways).collect();
    let mut answers = String::new();
    for _ in 0..TRIES {
        answers = reached(machine);
        if answers.split(' ').take(ways).eq(expected.iter().copied()) {
            return;
        }
    }
    panic!("{why}: {answers}");
}

pub fn run(image: &Image) {
    let mut machine = guest::boot(image);
    machine.ok(&format!(
        "cat >{PROFILE} <<'END'\nschema = \"v1alpha1\"\n[ports]\nopen = [\"6443/tcp\", \"8472/udp\"]\nnode_ports = [\"30000-30010/tcp\"]\nEND"
    ));
    machine.ok(NETWORK);
    assert_open(&mut machine, 4, "without a firewall");
    Report::with(&mut machine, "check", PROFILE, 0);
    for kind in &KINDS {
        if kind.name == "ufw" || kind.name == "iptables-nft" {
            machine.ok(if kind.name == "ufw" {
                TO_UFW
            } else {
                TO_PERSISTENT
            });
        }
        if kind.name.starts_with("iptables") {
            let select = format!(
                "for v in '' 6; do update-alternatives --quiet --set ip${{v}}tables /usr/sbin/ip${{v}}tables-{}; done",
                &kind.name[9..]
            );
            machine.ok(&select);
        }
        opened(&mut machine, kind);
        left_behind(&mut machine, kind);
        machine.ok(kind.end);
        assert_open(&mut machine, 4, &format!("{} is gone", kind.name));
    }
}

/// The two packages exclude each other.
const TO_PERSISTENT: &str =
    "dpkg --force-all -i /opt/persistent/*.deb >&2; systemctl daemon-reload";
const TO_UFW: &str = "dpkg --force-all -r netfilter-persistent iptables-persistent >&2 || true
    update-alternatives --quiet --auto iptables; update-alternatives --quiet --auto ip6tables";

fn opened(machine: &mut Machine, kind: &Firewall) {
    let name = kind.name;
    machine.ok(kind.make);
    // firewalld lets through what was translated before it came to it.
    let shut = if name == "firewalld" {
        "- - - hello"
    } else {
        "- - - -"
    };
    assert_eq!(reached(machine), shut, "{name} is shut");
    let foreign = machine.ok(kind.foreign);
    let file = machine.ok(kind.file);
    let check = Report::with(machine, "check", PROFILE, 2);
    let subjects = ["ports 6443/tcp", "ports 8472/udp", "ports 30000-30010/tcp"];
    assert_eq!(check.subjects("differs"), subjects, "{name}");
    let applied = Report::with(machine, "apply", PROFILE, 0);
    assert_eq!(applied.subjects("fixed"), subjects, "{name}");
    assert_eq!(check.steps(), applied.steps(), "{name}");
    assert_open(machine, 4, &format!("{name} is open"));
    Report::with(machine, "check", PROFILE, 0);
    let again = Report::with(machine, "apply", PROFILE, 0);
    assert!(again.steps().is_empty(), "{name}: {:?}", again.steps());
    assert_eq!(machine.ok(kind.foreign), foreign, "{name}");
    assert_eq!(machine.ok(kind.file), file, "{name}");
    machine.ok(kind.load);
    assert_open(machine, 4, &format!("{name} is open when loaded again"));
    Report::with(machine, "check", PROFILE, 0);
    if name == "firewalld" {
        // systemd calls it started before it has loaded its rules.
        machine
            .ok("firewall-cmd -q --permanent --remove-port=6443/tcp; systemctl restart firewalld");
        Report::with(machine, "apply", PROFILE, 0);
        assert_open(machine, 4, &format!("{name} was just started"));
    }
    // Taken away behind our back, live only: it is seen and mended.
    if name == "nftables" {
        machine.ok("nft flush chain inet filter input");
        let check = Report::with(machine, "check", PROFILE, 2);
        assert_eq!(check.aspect("ports 6443/tcp", "live").0, "differs");
        assert_eq!(check.aspect("ports 6443/tcp", "boot").0, "in_sync");
        Report::with(machine, "apply", PROFILE, 0);
        assert_open(machine, 2, kind.name);
    }
}

/// A firewalld that was killed leaves its table, which still refuses what iptables accepts.
fn left_behind(machine: &mut Machine, kind: &Firewall) {
    if kind.name != "firewalld" {
        return;
    }
    machine.ok("firewall-cmd -q --list-ports | grep -qw 7777/tcp || true
        firewall-cmd -q --permanent --remove-port=6443/tcp; firewall-cmd -q --reload
        systemctl disable -q firewalld; systemctl kill -s KILL firewalld; sleep 1; systemctl stop firewalld || true
        iptables -I INPUT -p tcp --dport 6443 -j ACCEPT; ip6tables -I INPUT -p tcp --dport 6443 -j ACCEPT");
    assert_eq!(&reached(machine)[..3], "- -", "its table is there");
    let check = Report::with(machine, "check", PROFILE, 2);
    let (state, origin) = check.aspect("ports 6443/tcp", "live");
    assert_eq!(state, "differs");
    assert!(origin.contains("table inet firewalld"), "{origin}");
    assert_eq!(
        check.aspect("ports 6443/tcp", "boot").0,
        "in_sync",
        "the boot does not start it"
    );
    Report::with(machine, "apply", PROFILE, 0);
    assert_open(machine, 2, kind.name);
    machine.ok("nft delete table inet firewalld; iptables -F; ip6tables -F");
}
