//! What is done about a closed port, with firewalld running and not, old and new.

use super::host_test::*;
use super::*;

#[test]
fn what_is_translated_is_forwarded() {
    let open = [(ZONE, "<zone target=\"ACCEPT\"/>")];
    let with = |files: &[(&str, &str)]| told(&firewalld(&[&open, files].concat()), "30000/tcp!");
    assert_eq!(with(&[]), "open");
    assert_eq!(
        with(&[(CONF, "# a\nStrictForwardPorts=yes\n")]),
        "refused when forwarded /etc/firewalld/firewalld.conf:2"
    );
    assert!(with(&[(VERSION, "")]).starts_with("Unknown"));
    let (old, iptables) = (
        (VERSION, "VERSION = '0.6.3'"),
        (CONF, "FirewallBackend=iptables\n"),
    );
    assert_eq!(
        with(&[old, iptables]),
        "refused when forwarded firewalld before 0.7"
    );
    let planned = steps(
        &firewalld(&[open[0], old, iptables]),
        "30000/tcp! 30000/udp! 22/tcp",
        "",
    );
    let [boot] = planned.as_slice() else {
        panic!("{planned:#?}")
    };
    let Step::WriteFile { content, .. } = &boot.step else {
        panic!()
    };
    let direct = str::from_utf8(content).unwrap();
    assert_eq!(with(&[old, iptables, (DIRECT, direct)]), "open");
    assert_eq!(boot.serves, ["30000/tcp", "30000/udp"]);
    // The half that is missing.
    let half = direct.replace("ipv6", "eb");
    let running = firewalld(&[open[0], old, iptables, PROCESSES, (DIRECT, &half)]);
    let shown: Vec<String> = steps(&running, "30000/tcp!", "30000/tcp!")
        .iter()
        .map(|planned| planned.step.to_string())
        .collect();
    let rule = |family: &str| {
        format!(
            "--direct --add-rule {family} filter FORWARD 0 -m conntrack --ctstate DNAT -j ACCEPT"
        )
    };
    assert_eq!(
        shown,
        [
            "firewall-cmd --zone=public --add-port=30000/tcp".to_owned(),
            format!("firewall-cmd --permanent {}", rule("ipv6")),
            format!("firewall-cmd {}", rule("ipv4")),
            format!("firewall-cmd {}", rule("ipv6")),
        ]
    );
}

#[test]
fn direct_rules_come_first() {
    let rule = |words: &str| {
        format!(
            "<direct>\n<rule ipv=\"ipv4\" table=\"filter\" chain=\"INPUT\" priority=\"1\">{words}</rule>\n</direct>"
        )
    };
    let (drop, accept) = (
        rule("-p tcp --dport 22 -j DROP"),
        rule("-p tcp --dport 23 -j ACCEPT"),
    );
    let iptables = (CONF, "FirewallBackend=iptables\n");
    let closed = "refused /etc/firewalld/direct.xml:2";
    assert_eq!(told(&firewalld(&[(DIRECT, &drop)]), "22/tcp"), closed);
    assert_eq!(
        told(&firewalld(&[(DIRECT, &drop), iptables]), "22/tcp"),
        closed
    );
    let of = firewalld(&[(DIRECT, &drop), iptables]);
    assert!(
        steps(&of, "22/tcp", "").is_empty(),
        "a port in the zone does not help"
    );
    // Accepted for IPv4 only, and with nftables the zone is asked all the same.
    let zone = "refused /usr/lib/firewalld/zones/public.xml:2";
    assert_eq!(told(&firewalld(&[(DIRECT, &accept)]), "23/tcp"), zone);
    let six = "refused over IPv6 /usr/lib/firewalld/zones/public.xml:2";
    assert_eq!(
        told(&firewalld(&[(DIRECT, &accept), iptables]), "23/tcp"),
        six
    );
}

#[test]
fn a_running_one_is_told_twice() {
    let of = firewalld(&[PROCESSES]);
    assert!(of.running && !of.enabled);
    let planned = steps(&of, "6443/tcp 22/tcp 30000-32767/udp!", "6443/tcp 8472/udp");
    let shown: Vec<String> = planned
        .iter()
        .map(|p| format!("{:?} {}", p.aspect, p.step))
        .collect();
    assert_eq!(
        shown,
        [
            "Boot firewall-cmd --permanent --zone=public --add-port=6443/tcp --add-port=30000-32767/udp",
            "Live firewall-cmd --zone=public --add-port=6443/tcp --add-port=8472/udp",
        ]
    );
    let Step::Firewall { undo, .. } = &planned[1].step else {
        panic!()
    };
    assert_eq!(
        undo.join(" "),
        "--zone=public --remove-port=6443/tcp --remove-port=8472/udp"
    );
    assert_eq!(planned[0].serves, ["6443/tcp", "30000-32767/udp"]);
}

#[test]
fn one_that_does_not_run_is_edited() {
    let wants = "etc/systemd/system/multi-user.target.wants/firewalld.service";
    let of = firewalld(&[(wants, "")]);
    assert!(!of.running && of.enabled);
    let planned = steps(&of, "6443/tcp 22/tcp 30000-32767/udp!", "6443/tcp");
    let [boot] = planned.as_slice() else {
        panic!("{planned:#?}")
    };
    let Step::WriteFile { path, content, .. } = &boot.step else {
        panic!()
    };
    let content = str::from_utf8(content).unwrap();
    assert_eq!(path, Path::new("/etc/firewalld/zones/public.xml"));
    assert_eq!(
        content,
        PUBLIC.replace(
            "  <forward/>\n",
            "  <forward/>\n  <port port=\"6443\" protocol=\"tcp\"/>\n  <port port=\"30000-32767\" protocol=\"udp\"/>\n"
        )
    );
    assert_eq!(boot.serves, ["6443/tcp", "30000-32767/udp"]);
    let again = firewalld(&[(ZONE, content)]);
    assert_eq!(told(&again, "6443/tcp"), "open");
    assert_eq!(told(&again, "30000-32767/udp!"), "open");
    assert!(steps(&again, "6443/tcp 30000-32767/udp!", "").is_empty());
}

#[test]
fn what_is_refused_on_purpose_stays() {
    let zone = "<zone><rule><port port=\"6443\" protocol=\"tcp\"/><reject/></rule></zone>";
    let of = firewalld(&[(ZONE, zone)]);
    assert!(steps(&of, "6443/tcp", "").is_empty());
    assert_eq!(steps(&of, "6443-6444/tcp 80/tcp", "").len(), 1);
}

#[test]
fn where_it_is_not_installed_there_is_none() {
    let dir = tempfile::tempdir().unwrap();
    let host = Host::captured(dir.path()).unwrap();
    assert!(Firewalld::observe(&host).unwrap().is_none());
}
