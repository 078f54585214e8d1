//! The files of packet filters: what is put into them must open the ports in the eyes of the walk that
//! found them closed.

use super::host::{Case, File, Keeps, file};
use super::rules;
use nodeprep::plan::Plan;

const PROFILES: &[&str] = &[
    "[ports]\nopen = [\"6443/tcp\", \"2379-2380/tcp\", \"8472/udp\"]\n",
    "[ports]\nopen = [\"22/tcp\"]\nnode_ports = [\"30000-32767/tcp\"]\n",
];
const ROUTE: File = (
    "/proc/net/route",
    "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n\
     eth0\t00000000\t0102A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n",
);
const IPV6: File = (
    "/proc/net/if_inet6",
    "fe800000000000000000000000000001 02 40 20 80     eth0\n",
);
const WANTS: File = ("/etc/systemd/system/multi-user.target.wants/", "");

pub fn iptables(input: &[u8]) {
    const CASE: Case = Case {
        profiles: PROFILES,
        fuzzed: &[
            "/etc/iptables/rules.v4",
            "/etc/iptables/rules.v6",
            "/etc/services",
        ],
        fixed: &[
            ROUTE,
            IPV6,
            WANTS,
            ("/usr/lib/systemd/system/netfilter-persistent.service", ""),
            (
                "/etc/systemd/system/multi-user.target.wants/netfilter-persistent.service",
                "",
            ),
        ],
        keeps: Keeps::Everything,
        theirs: &[],
    };
    CASE.settles(input);
}

pub fn nft(input: &[u8]) {
    const CASE: Case = Case {
        profiles: PROFILES,
        fuzzed: &[
            "/etc/nftables.conf",
            "/etc/nftables.d/a.nft",
            "/etc/nftables.d/b.nft",
            "/etc/services",
        ],
        fixed: &[
            ROUTE,
            IPV6,
            WANTS,
            (
                "/usr/lib/systemd/system/nftables.service",
                "[Service]\nExecStart=/usr/sbin/nft -f /etc/nftables.conf\n",
            ),
            (
                "/etc/systemd/system/multi-user.target.wants/nftables.service",
                "",
            ),
        ],
        keeps: Keeps::Everything,
        theirs: &[],
    };
    CASE.settles(input);
}

pub fn ufw(input: &[u8]) {
    const CASE: Case = Case {
        profiles: PROFILES,
        fuzzed: &[
            "/etc/ufw/user.rules",
            "/etc/ufw/user6.rules",
            "/etc/ufw/before.rules",
            "/etc/ufw/before6.rules",
            "/etc/default/ufw",
            "/etc/ufw/after.rules",
            "/etc/ufw/ufw.conf",
        ],
        fixed: &[
            ROUTE,
            IPV6,
            WANTS,
            ("/etc/ufw/ufw.conf", "ENABLED=yes\n"),
            ("/usr/lib/systemd/system/ufw.service", ""),
            (
                "/etc/systemd/system/multi-user.target.wants/ufw.service",
                "",
            ),
        ],
        keeps: Keeps::Everything,
        theirs: &["/etc/ufw/before"],
    };
    CASE.settles(input);
}

pub fn firewalld(input: &[u8]) {
    const CASE: Case = Case {
        profiles: PROFILES,
        fuzzed: &[
            "/etc/firewalld/zones/public.xml",
            "/etc/firewalld/direct.xml",
            "/etc/firewalld/policies/a.xml",
            "/etc/firewalld/firewalld.conf",
            "/etc/firewalld/services/b.xml",
            "/etc/NetworkManager/system-connections/c.nmconnection",
            "/etc/sysconfig/network-scripts/ifcfg-eth0",
            "/usr/lib/python3/dist-packages/firewall/config/__init__.py",
        ],
        fixed: &[
            ROUTE,
            IPV6,
            WANTS,
            (
                "/usr/lib/firewalld/zones/public.xml",
                "<zone>\n  <service name=\"ssh\"/>\n</zone>\n",
            ),
            (
                "/usr/lib/firewalld/zones/drop.xml",
                "<zone target=\"DROP\">\n</zone>\n",
            ),
            ("/usr/lib/python3/", ""),
            (
                "/usr/lib/python3/dist-packages/firewall/config/__init__.py",
                "VERSION = '0.6.3'\n",
            ),
            ("/usr/lib/systemd/system/firewalld.service", "[Service]\n"),
            (
                "/etc/systemd/system/multi-user.target.wants/firewalld.service",
                "",
            ),
        ],
        keeps: Keeps::Tested,
        theirs: &["/etc/firewalld/zones/"],
    };
    CASE.settles(input);
}

/// The running kernel's rules, as its bytes tell them: what is asked of the tools must be made without
/// a panic, whatever a chain or table is called.
pub fn live(input: &[u8]) {
    const CASE: Case = Case {
        profiles: PROFILES,
        fuzzed: &[],
        fixed: &[ROUTE, IPV6],
        keeps: Keeps::Tested,
        theirs: &[],
    };
    let Some(ruleset) = rules::decoded(input) else {
        return;
    };
    let answers = serde_json::json!({ "facts": {}, "cri": {}, "rules": ruleset });
    let mut host = CASE.host(&[]);
    host.lay_over(&file("/answers.json", answers.to_string().as_bytes()))
        .unwrap();
    let plan = Plan::make(&mut host, &CASE.items(input.len()), None);
    for (_, step) in plan.steps() {
        let shown = step.step.to_string();
        assert!(!shown.contains('\n'), "{shown}");
    }
}
