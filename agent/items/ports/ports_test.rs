//! What the item finds and would do, on rules and files as hosts have them.

use std::path::Path;
use std::rc::Rc;

use super::boot::Loader;
use super::*;
use crate::firewall::script::Script;
use crate::firewall::{Engine, Family, save};
use crate::step::Step;

const EL: &str = "# sample\n*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n-A INPUT -m state --state RELATED,ESTABLISHED -j ACCEPT\n-A INPUT -p icmp -j ACCEPT\n-A INPUT -i lo -j ACCEPT\n-A INPUT -p tcp -m state --state NEW -m tcp --dport 22 -j ACCEPT\n-A INPUT -j REJECT --reject-with icmp-host-prohibited\n-A FORWARD -j REJECT --reject-with icmp-host-prohibited\nCOMMIT\n";

fn ports(text: &str) -> Ports {
    toml::from_str(text).unwrap()
}

fn save(text: &str, ipv6: bool) -> Loader {
    let path = Path::new("/etc/sysconfig/iptables");
    let ruleset = save::parse(text, path, ipv6, &|_| None).unwrap();
    Loader::Save {
        path: path.into(),
        text: text.into(),
        ruleset,
    }
}

fn script(text: &str) -> Loader {
    let include = |_: &str| Ok(Vec::new());
    let path = Path::new("/etc/nftables.conf");
    Loader::Script(Script::parse(path, text.into(), &include, &|_| None).unwrap())
}

fn observed(live: Ruleset, loaders: Vec<Loader>) -> Observed {
    Observed {
        way: Way {
            interface: Some("eth0".into()),
            address: Some("10.0.0.5".parse().unwrap()),
            ipv6: true,
        },
        live: Ok(Rc::new(live)),
        loaders: Ok(loaders),
        firewalld: None,
        ufw: None,
        waits_for: None,
    }
}

fn changes(plan: &ItemPlan) -> Vec<String> {
    let texts = plan.steps.iter().flat_map(|planned| match &planned.step {
        Step::Firewall { change, .. } => change.clone(),
        Step::WriteFile { content, .. } => vec![String::from_utf8(content.clone()).unwrap()],
        other => panic!("{other}"),
    });
    texts.collect()
}

#[test]
fn an_empty_host_is_open() {
    let plan = ports("open = [\"6443/tcp\"]\nnode_ports = [\"30000-32767/udp\"]")
        .diff(&observed(Ruleset::default(), Vec::new()));
    assert!(plan.steps.is_empty());
    let subjects: Vec<&str> = plan.findings.iter().map(|f| f.subject.as_str()).collect();
    assert_eq!(subjects, ["6443/tcp", "30000-32767/udp"]);
    assert!(
        plan.findings
            .iter()
            .all(|f| f.live == State::InSync && f.boot == State::InSync)
    );
}

#[test]
fn els_own_rules_take_ours_before_the_reject() {
    let text =
        |rules: &str| EL.replace("-A INPUT -j REJECT", &format!("{rules}-A INPUT -j REJECT"));
    let loader = save(EL, false);
    let wanted =
        ports("open = [\"2379-2380/tcp\", \"8472/udp\"]\nnode_ports = [\"30000-32767/tcp\"]");
    let plan = wanted.diff(&observed(loader.ruleset().clone(), vec![save(EL, false)]));
    let comment = "-m comment --comment nodeprep -j ACCEPT";
    let ours = format!(
        "-A INPUT -p tcp -m tcp --dport 2379:2380 {comment}\n-A INPUT -p udp -m udp --dport 8472 {comment}\n-A INPUT -p tcp -m tcp --dport 30000:32767 {comment}\n"
    );
    let file = text(&ours).replace(
        "-A FORWARD -j REJECT",
        &format!("-A FORWARD -m conntrack --ctstate DNAT {comment}\n-A FORWARD -j REJECT"),
    );
    let mut expected = vec![file.clone(), "*filter".into()];
    expected.extend([
        format!("-I INPUT 5 -p tcp -m tcp --dport 2379:2380 {comment}"),
        format!("-I INPUT 5 -p udp -m udp --dport 8472 {comment}"),
        format!("-I INPUT 5 -p tcp -m tcp --dport 30000:32767 {comment}"),
        format!("-I FORWARD 1 -m conntrack --ctstate DNAT {comment}"),
        "COMMIT".into(),
    ]);
    assert_eq!(changes(&plan), expected);
    let State::Differs { from, origin, .. } = &plan.findings[0].boot else {
        panic!("in sync")
    };
    assert_eq!(
        (from.as_str(), origin.as_ref().unwrap().to_string().as_str()),
        ("refused", "/etc/sysconfig/iptables:10")
    );
    // Done, it finds nothing more to do.
    let after = save(&file, false);
    let plan = wanted.diff(&observed(after.ruleset().clone(), vec![save(&file, false)]));
    assert!(plan.steps.is_empty(), "{plan:?}");
}

#[test]
fn an_inet_chain_takes_one_rule_for_both_families() {
    let text = "table inet filter {\n\tchain input {\n\t\ttype filter hook input priority 0; policy drop;\n\t\tiif lo accept\n\t}\n}\n";
    let loader = script(text);
    let mut live = loader.ruleset().clone();
    live.chains[0].rules[0].handle = Some(4);
    let plan = ports("open = [\"6443/tcp\"]").diff(&observed(live.clone(), vec![loader]));
    assert_eq!(
        changes(&plan),
        [
            text.replace(
                "accept\n",
                "accept\n\t\ttcp dport 6443 accept comment \"nodeprep\"\n"
            )
            .as_str(),
            "add rule inet filter input tcp dport 6443 accept comment \"nodeprep\"",
        ]
    );
    live.chains[0].rules[0].matches.clear();
    live.chains[0].rules[0].verdict = crate::firewall::Verdict::Drop;
    let plan = ports("open = [\"6443/tcp\"]").diff(&observed(live, Vec::new()));
    assert_eq!(
        changes(&plan),
        ["insert rule inet filter input handle 4 tcp dport 6443 accept comment \"nodeprep\""]
    );
}

#[test]
fn each_family_and_engine_is_told_by_its_own_tool() {
    let mut legacy = save(EL, false).ruleset().clone();
    legacy
        .chains
        .iter_mut()
        .for_each(|chain| chain.table.engine = Engine::Legacy);
    let six = save("*filter\n:INPUT DROP\nCOMMIT\n", true)
        .ruleset()
        .clone();
    legacy.chains.extend(six.chains);
    let plan = ports("open = [\"6443/tcp\"]").diff(&observed(legacy, Vec::new()));
    let tools: Vec<String> = plan
        .steps
        .iter()
        .map(|planned| planned.step.to_string())
        .collect();
    assert_eq!(
        tools,
        [
            "ip6tables-restore: -A INPUT -p tcp -m tcp --dport 6443 -m comment --comment nodeprep -j ACCEPT",
            "iptables-restore: -I INPUT 5 -p tcp -m tcp --dport 6443 -m comment --comment nodeprep -j ACCEPT",
        ]
    );
    let State::Differs { from, .. } = &plan.findings[0].live else {
        panic!()
    };
    assert_eq!(from, "refused");
}

#[test]
fn what_is_not_known_is_not_changed() {
    let mut host = observed(Ruleset::default(), vec![save(EL, false)]);
    host.live = Err("no permission".into());
    let plan = ports("open = [\"22/tcp\"]").diff(&host);
    assert_eq!(plan.findings[0].live, State::unknown("no permission"));
    assert_eq!(plan.findings[0].boot, State::InSync);
    let limit = "*filter\n:INPUT DROP\n-A INPUT -m limit --limit 1/s -j ACCEPT\nCOMMIT\n";
    let plan = ports("open = [\"22/tcp\"]")
        .diff(&observed(save(limit, false).ruleset().clone(), Vec::new()));
    assert!(matches!(plan.findings[0].live, State::Unknown { .. }) && plan.steps.is_empty());
}

#[test]
fn only_ipv6_is_told_so() {
    let six = save("*filter\n:INPUT DROP\n:FORWARD DROP\nCOMMIT\n", true);
    assert_eq!(six.ruleset().chains[0].table.family, Family::Ip6);
    let plan = ports("open = [\"6443/tcp\"]").diff(&observed(Ruleset::default(), vec![six]));
    let State::Differs { from, origin, .. } = &plan.findings[0].boot else {
        panic!()
    };
    assert_eq!(from, "refused over IPv6");
    assert_eq!(
        origin.as_ref().unwrap().to_string(),
        "the policy of chain INPUT of table ip6 filter, /etc/sysconfig/iptables"
    );
    assert!(changes(&plan)[0].ends_with("--comment nodeprep -j ACCEPT\nCOMMIT\n"));
}
