//! Zones, policies and services of real packages on trees of files.
#![allow(clippy::disallowed_methods, reason = "tests")]

use super::*;
use crate::plan::PlannedStep;

/// firewalld 1.3.3 of Debian 12, shortened to what is asked.
const PACKAGED: [(&str, &str); 12] = [
    ("usr/lib/systemd/system/firewalld.service", "[Service]\n"),
    (
        "usr/lib/python3/dist-packages/firewall/config/__init__.py",
        "VERSION = '1.3.3'\n",
    ),
    ("usr/lib/firewalld/zones/public.xml", PUBLIC),
    (
        "usr/lib/firewalld/zones/trusted.xml",
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<zone target=\"ACCEPT\">\n  <short>Trusted</short>\n  <forward/>\n</zone>\n",
    ),
    (
        "usr/lib/firewalld/zones/drop.xml",
        "<zone target=\"DROP\">\n  <short>Drop</short>\n</zone>\n",
    ),
    (
        "usr/lib/firewalld/zones/internal.xml",
        "<zone>\n  <service name=\"ssh\"/>\n</zone>\n",
    ),
    (
        "usr/lib/firewalld/services/ssh.xml",
        "<service>\n  <port protocol=\"tcp\" port=\"22\"/>\n</service>\n",
    ),
    (
        "usr/lib/firewalld/services/mdns.xml",
        "<service>\n  <port protocol=\"udp\" port=\"5353\"/>\n  <destination ipv4=\"224.0.0.251\" ipv6=\"ff02::fb\"/>\n</service>\n",
    ),
    (
        "usr/lib/firewalld/services/kubelet.xml",
        "<service>\n  <port protocol=\"tcp\" port=\"10250\"/>\n</service>\n",
    ),
    (
        "usr/lib/firewalld/services/kube-nodeport-services.xml",
        "<service>\n  <port protocol=\"tcp\" port=\"30000-32767\"/>\n</service>\n",
    ),
    (
        "usr/lib/firewalld/services/kube-worker.xml",
        "<service>\n  <include service=\"kubelet\" />\n  <include service=\"kube-nodeport-services\" />\n  <include service=\"kube-worker\" />\n</service>\n",
    ),
    (
        "proc/net/route",
        "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\neth0\t00000000\t0102A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n",
    ),
];
pub(super) const PUBLIC: &str = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<zone>\n  <short>Public</short>\n  <service name=\"ssh\"/>\n  <service name=\"dhcpv6-client\"/>\n  <forward/>\n</zone>\n";
pub(super) const ZONE: &str = "etc/firewalld/zones/public.xml";
const POLICY: &str = "etc/firewalld/policies/ours.xml";
pub(super) const CONF: &str = "etc/firewalld/firewalld.conf";
pub(super) const VERSION: &str = "usr/lib/python3/dist-packages/firewall/config/__init__.py";
pub(super) const DIRECT: &str = "etc/firewalld/direct.xml";

pub(super) const PROCESSES: (&str, &str) = (
    "sys/fs/cgroup/system.slice/firewalld.service/cgroup.procs",
    "812\n",
);

pub(super) fn observed(files: &[(&str, &str)]) -> Result<Option<Firewalld>> {
    let dir = tempfile::tempdir().unwrap();
    for (path, text) in PACKAGED.iter().chain(files) {
        let path = dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    Firewalld::observe(&Host::captured(dir.path()).unwrap())
}

pub(super) fn firewalld(files: &[(&str, &str)]) -> Firewalld {
    observed(files).unwrap().unwrap()
}

pub(super) fn openings(text: &str) -> Vec<Opening> {
    let one = |text: &str| {
        let forward = text.ends_with('!');
        let opening: Opening = text.trim_end_matches('!').parse().unwrap();
        Opening { forward, ..opening }
    };
    text.split(' ').map(one).collect()
}

/// `open`, or what closes it. A final `!` asks for forwarding too.
pub(super) fn told(firewalld: &Firewalld, opening: &str) -> String {
    match firewalld.boot(&openings(opening)[0]) {
        State::InSync => "open".into(),
        State::Differs { from, origin, .. } => format!("{from} {}", origin.unwrap()),
        state => format!("{state:?}"),
    }
}

pub(super) fn steps(firewalld: &Firewalld, boot: &str, live: &str) -> Vec<PlannedStep> {
    let all = |text: &str| {
        if text.is_empty() {
            Vec::new()
        } else {
            openings(text)
        }
    };
    let mut plan = ItemPlan::default();
    let closed = |opening: Opening| {
        let translated = opening.forward;
        let input = Closed {
            opening,
            family: Family::Inet,
            forward: false,
        };
        let forward = Closed {
            forward: true,
            ..input.clone()
        };
        [Some(input), translated.then_some(forward)]
    };
    let live: Vec<Closed> = all(live).into_iter().flat_map(closed).flatten().collect();
    firewalld.steps(&all(boot), &live, &mut plan).unwrap();
    plan.steps
}

#[test]
fn a_zone_passes_what_it_names() {
    let zone = "<zone>\n<port port=\"30000-31000\" protocol=\"tcp\"/>\n<port port=\"31001-32767\" protocol=\"tcp\"/>\n\
                <service name=\"kube-worker\"/>\n<service name=\"mdns\"/><service name=\"gone\"/>\n\
                <protocol value=\"udp\"/>\n<source-port port=\"6443\" protocol=\"tcp\"/>\n</zone>";
    let of = firewalld(&[(ZONE, zone)]);
    assert_eq!(told(&of, "30000-32767/tcp"), "open");
    assert_eq!(told(&of, "10250/tcp"), "open");
    assert_eq!(told(&of, "5353/udp"), "open");
    assert_eq!(
        told(&of, "6443/tcp"),
        "refused /etc/firewalld/zones/public.xml:1"
    );
    assert_eq!(
        told(&firewalld(&[]), "10250/tcp"),
        "refused /usr/lib/firewalld/zones/public.xml:2"
    );
    let mdns = firewalld(&[(ZONE, "<zone><service name=\"mdns\"/></zone>")]);
    assert_eq!(
        told(&mdns, "5353/udp"),
        "refused /etc/firewalld/zones/public.xml:1"
    );
}

#[test]
fn rich_rules_are_asked_by_priority() {
    let told = |rules: &str, opening: &str| {
        let zone = format!("<zone>\n<port port=\"80\" protocol=\"tcp\"/>\n{rules}\n</zone>");
        told(&firewalld(&[(ZONE, &zone)]), opening)
    };
    let port = "<port port=\"80\" protocol=\"tcp\"/>";
    let closed = "refused /etc/firewalld/zones/public.xml:3";
    assert_eq!(
        told(&format!("<rule>{port}<reject/></rule>"), "80/tcp"),
        closed
    );
    assert_eq!(
        told(
            &format!("<rule priority=\"-5\">{port}<drop/></rule>"),
            "80/tcp"
        ),
        closed
    );
    assert_eq!(
        told(
            &format!("<rule priority=\"5\">{port}<drop/></rule>"),
            "80/tcp"
        ),
        "open"
    );
    let first = format!("<rule>{port}<drop/></rule><rule priority=\"-1\">{port}<accept/></rule>");
    assert_eq!(told(&first, "80/tcp"), "open");
    let some =
        format!("<rule family=\"ipv4\"><source address=\"10.0.0.0/8\"/>{port}<drop/></rule>");
    assert_eq!(told(&some, "80/tcp"), "open");
    let six = format!("<rule family=\"ipv6\">{port}<drop/></rule>");
    assert_eq!(
        told(&six, "80/tcp"),
        "refused over IPv6 /etc/firewalld/zones/public.xml:3"
    );
    assert_eq!(told("<rule><drop/></rule>", "80/tcp"), closed);
    assert_eq!(
        told(
            "<rule><service name=\"kubelet\"/><log/><accept/></rule>",
            "10250/tcp"
        ),
        "open"
    );
    let slow = "<rule><service name=\"kubelet\"/><accept><limit value=\"2/m\"/></accept></rule>";
    assert_eq!(
        told(slow, "10250/tcp"),
        "refused /etc/firewalld/zones/public.xml:1"
    );
    let from = "<rule family=\"ipv4\"><source address=\"10.0.0.1\"/><service name=\"kubelet\"/><accept/></rule>";
    assert_eq!(
        told(from, "10250/tcp"),
        "refused /etc/firewalld/zones/public.xml:1"
    );
}

#[test]
fn policies_are_asked_before_and_after() {
    let policy = |priority: &str, target: &str, egress: &str| {
        format!(
            "<policy priority=\"{priority}\" target=\"{target}\">\n<ingress-zone name=\"ANY\"/>\n\
             <egress-zone name=\"{egress}\"/>\n<rule><service name=\"kubelet\"/><accept/></rule></policy>"
        )
    };
    let told = |policy: &str, opening: &str| told(&firewalld(&[(POLICY, policy)]), opening);
    assert_eq!(told(&policy("-1", "CONTINUE", "HOST"), "10250/tcp"), "open");
    assert_eq!(told(&policy("1", "CONTINUE", "HOST"), "10250/tcp"), "open");
    let closed = "refused /etc/firewalld/policies/ours.xml:1";
    assert_eq!(told(&policy("-1", "REJECT", "HOST"), "22/tcp"), closed);
    assert_eq!(told(&policy("1", "REJECT", "HOST"), "22/tcp"), "open");
    assert_eq!(told(&policy("1", "DROP", "HOST"), "23/tcp"), closed);
    assert_eq!(told(&policy("1", "ACCEPT", "HOST"), "23/tcp"), "open");
    assert_eq!(told(&policy("-1", "REJECT", "public"), "22/tcp"), "open");
    let old = firewalld(&[
        (POLICY, &policy("-1", "REJECT", "HOST")),
        (VERSION, "VERSION = '0.8.2'"),
    ]);
    assert_eq!(super::host_test::told(&old, "22/tcp"), "open");
}

#[test]
fn the_zone_is_where_packets_land() {
    let names = |files: &[(&str, &str)]| -> String {
        let names = firewalld(files).zones.into_iter().map(|(name, _)| name);
        names.collect::<Vec<_>>().join(" ")
    };
    let eth0 = (
        "etc/firewalld/zones/dmz.xml",
        "<zone><interface name=\"eth0\"/></zone>",
    );
    let wired = (
        "etc/NetworkManager/system-connections/w.nmconnection",
        "[connection]\ninterface-name=eth0\nzone=internal\n",
    );
    let near = (
        "etc/firewalld/zones/near.xml",
        "<zone><source address=\"192.168.0.0/16\"/></zone>",
    );
    let answers = (
        "answers.json",
        "{\"facts\": {\"node_ip\": \"192.168.1.9\"}, \"cri\": {}}",
    );
    let default = (CONF, "DefaultZone=trusted\n");
    assert_eq!(names(&[]), "public");
    assert_eq!(names(&[default]), "trusted");
    assert_eq!(names(&[default, eth0]), "dmz");
    assert_eq!(names(&[default, eth0, wired]), "internal");
    assert_eq!(names(&[default, near, answers]), "near trusted");
    let error = observed(&[(CONF, "DefaultZone=none\n")]).unwrap_err();
    assert!(
        error.to_string().contains("zone \"none\" has no file"),
        "{error}"
    );
    let error = observed(&[(ZONE, "<zone>")]).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("/etc/firewalld/zones/public.xml: "),
        "{error}"
    );
}

/// However the elements of a zone stand, firewalld asks them in one order.
#[test]
fn the_order_in_the_file_does_not_count() {
    let mut elements = [
        "<port port=\"80\" protocol=\"tcp\"/>",
        "<rule priority=\"-2\"><port port=\"81\" protocol=\"tcp\"/><accept/></rule>",
        "<rule><port port=\"80-81\" protocol=\"udp\"/><drop/></rule>",
        "<rule priority=\"-1\"><port port=\"81\" protocol=\"tcp\"/><drop/></rule>",
        "<protocol value=\"udp\"/>",
    ];
    for _ in 0..elements.len() {
        elements.rotate_left(1);
        let of = firewalld(&[(ZONE, &format!("<zone>{}</zone>", elements.concat()))]);
        let closed = "refused /etc/firewalld/zones/public.xml:1";
        assert_eq!(told(&of, "80-81/tcp"), "open");
        assert_eq!(told(&of, "81/udp"), closed);
        assert_eq!(told(&of, "82/udp"), "open");
        assert_eq!(told(&of, "82/tcp"), closed);
    }
}

proptest::proptest! {
    #[test]
    fn no_text_panics(text in "(<(zone|rule|port|service|accept|source)( [a-z]{1,8}=\"[a-z0-9/.-]{0,4}\"){0,2}/?>|</(zone|rule)>|[a-z<> ]){0,8}") {
        let _ = Zone::parse(Path::new("z"), &text, &|_| Ok(Vec::new()));
        let _ = direct::parse(&text);
    }
}
