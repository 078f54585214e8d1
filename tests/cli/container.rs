//! Machines without systemd (containers): nothing will read what a boot would, so nothing is written
//! for it; and the same machine with systemd, to see the difference.

use crate::space::Space;

trials!(
    anyone: [],
    root: [without_systemd, with_systemd]
);

const FORWARD: &str = "schema = \"v1alpha1\"\n[sysctl.keys]\n\"net.ipv4.ip_forward\" = 1\n";

fn without_systemd() {
    let space = Space::new(FORWARD);
    let check = space.run(&["check", "--output", "json"]).json();
    let entry = &check["entries"][0];
    assert_eq!(entry["live"]["state"], "differs");
    assert_eq!(entry["boot"]["state"], "not_applicable");
    let reason = entry["boot"]["reason"].as_str().unwrap();
    assert!(reason.contains("systemd does not run here"), "{reason}");
    space.run(&["apply"]).exits(0).says(&["1 fixed"]);
    assert!(!space.path("etc/sysctl.d").exists());
}

fn with_systemd() {
    let space = Space::new(FORWARD);
    std::fs::create_dir_all(space.path("run/systemd/system")).unwrap();
    space.run(&["apply"]).exits(0).says(&["1 fixed"]);
    let text = std::fs::read_to_string(space.path("etc/sysctl.d/kubernetes.conf")).unwrap();
    assert!(text.ends_with("\nnet.ipv4.ip_forward = 1\n"), "{text}");
}
