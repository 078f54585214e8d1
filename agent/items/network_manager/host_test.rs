//! Both managers on a captured host: what is planned, and what is not looked at where neither is used.
#![allow(clippy::disallowed_methods, reason = "tests")]

use std::fs;

use super::*;

fn plan(files: &[(&str, &str)]) -> ItemPlan {
    let tree = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = tree.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let host = Host::captured(tree.path()).unwrap();
    let kind: NetworkManager = toml::from_str("interfaces = [\"cali*\"]").unwrap();
    kind.diff(&kind.observe(&host).unwrap())
}

const NM: (&str, &str) = (
    "sys/fs/cgroup/system.slice/NetworkManager.service/cgroup.procs",
    "7\n",
);
const NETWORKD: (&str, &str) = (
    "sys/fs/cgroup/system.slice/systemd-networkd.service/cgroup.procs",
    "8\n",
);

#[test]
fn where_neither_is_used_there_is_nothing_to_do() {
    let plan = plan(&[]);
    assert!(!plan.has_work());
    assert!(plan.findings.iter().all(|f| f.live.is_settled()));
}

#[test]
fn each_that_runs_gets_its_file_and_reads_it() {
    let plan = plan(&[NM, NETWORKD]);
    let files: Vec<_> = plan.steps.iter().map(|s| s.step.file().unwrap()).collect();
    assert_eq!(files, [Path::new(nm::FILE), Path::new(networkd::FILE)]);
    let reload = |unit: &str| Due::Reload { unit: unit.into() };
    let units = ["NetworkManager.service", "systemd-networkd.service"];
    assert_eq!(plan.due, units.map(reload));
}

#[test]
fn an_interface_that_is_taken_is_told() {
    let right = "[keyfile]\nunmanaged-devices=interface-name:cali*\n";
    let plan = plan(&[
        NM,
        ("usr/lib/NetworkManager/conf.d/k8s.conf", right),
        ("sys/class/net/cali12/ifindex", "9\n"),
        ("sys/class/net/eth0/ifindex", "2\n"),
        ("run/NetworkManager/devices/9", "[device]\nmanaged=true\n"),
        ("run/NetworkManager/devices/2", "[device]\nmanaged=true\n"),
    ]);
    assert!(!plan.has_work());
    let found = &plan.findings[0];
    assert_eq!(found.subject, "cali* in NetworkManager");
    assert_eq!(found.boot, State::InSync);
    assert!(matches!(&found.live, State::Differs { from, .. } if from == "cali12 is managed"));
}
