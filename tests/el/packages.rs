//! Packages as a profile wants them: one transaction, held, what can't be had, and all taken back.

use crate::machine::{Machine, Report};

/// A test of a host, with its name.
type Trial = (&'static str, fn(&Machine));

pub const TRIALS: [Trial; 3] = [
    ("installs", installs),
    ("refused", refused),
    ("remembered", remembered),
];

const PACKAGES: &str = r#"[packages]
present = ["kubeadm", "kubelet", "kubectl"]
absent = ["lab-old"]
held = ["kubelet", "kubeadm"]
wait = 4
[packages.versions]
kubelet = "1.30"
kubeadm = "1.30.1"
kubectl = ">= 1.30, < 1.31"
"#;

/// A profile with the repository, whose own file keeps upgrades off Kubernetes' packages as theirs
/// does.
fn profile(machine: &Machine, packages: &str) {
    let key = machine.ok("cat /srv/key.asc");
    machine.profile(&format!(
        "[repositories.lab]\nkey = \"\"\"\n{key}\n\"\"\"\n\
         dnf = {{ baseurl = \"file:///srv/repo\", exclude = [\"kubelet\", \"kubeadm\", \"kubectl\"] }}\n{packages}"
    ));
}

/// The lab's packages.
fn versions(machine: &Machine) -> String {
    machine.ok("rpm.real -qa --qf '%{name} %{evr}\\n' | grep -v ^gpg-pubkey | sort")
}

fn locks(machine: &Machine) -> String {
    machine.ok("grep -hv '^#' /etc/dnf/plugins/versionlock.list | grep . | sort || true")
}

fn transactions(machine: &Machine) -> usize {
    machine
        .ok("dnf -q history list 2>/dev/null | grep -c '^ *[0-9]' || true")
        .parse()
        .unwrap()
}

/// Everything at once, nothing the second time; what others did since is mended; all of it goes.
fn installs(machine: &Machine) {
    profile(machine, PACKAGES);
    let before = versions(machine);
    machine.nodeprep("check", 2);
    let report = machine.nodeprep("apply", 0);
    assert_eq!(packages_steps(&report), 1, "{:?}", report.steps());
    assert_eq!(
        versions(machine),
        "kubeadm 1.30.1-1\nkubectl 1.30.4-1\nkubelet 1.30.4-1\nlab-cni 1.6.0-1\n\
         python3-dnf-plugin-versionlock 4.3.0-1\nrocky-release 9.4-1"
    );
    // What goes is a transaction of its own: dnf has no command for both.
    assert_eq!(transactions(machine), 2);
    assert_eq!(locks(machine), "kubeadm-0:1.30.1-1.*\nkubelet-0:1.30.4-1.*");
    assert!(machine.nodeprep("apply", 0).steps().is_empty());
    machine.nodeprep("check", 0);
    // dnf itself leaves them alone.
    machine.ok("dnf -qy --disableexcludes=all upgrade");
    assert!(versions(machine).contains("kubectl 1.31.0-1\nkubelet 1.30.4-1"));
    machine.nodeprep("check", 2);
    machine.nodeprep("apply", 0);
    for hurt in [
        "dnf -qy versionlock delete kubelet",
        "dnf -qy remove kubectl",
        "dnf -qy --disableexcludes=all --disableplugin=versionlock install kubelet-1.31.0",
        "dnf -qy --disableexcludes=all --disableplugin=versionlock downgrade kubeadm-1.29.9",
        "dnf -qy install lab-old",
    ] {
        machine.ok(hurt);
        machine.nodeprep("check", 2);
        machine.nodeprep("apply", 0);
        machine.nodeprep("check", 0);
    }
    assert_eq!(locks(machine), "kubeadm-0:1.30.1-1.*\nkubelet-0:1.30.4-1.*");
    machine.nodeprep("remove", 0);
    // What it needs stays, as nobody named it.
    assert_eq!(versions(machine), format!("lab-cni 1.6.0-1\n{before}"));
    assert_eq!(locks(machine), "");
    assert_eq!(
        machine.ok("find /etc/yum.repos.d /etc/pki -type f 2>/dev/null || true"),
        ""
    );
}

fn packages_steps(report: &Report) -> usize {
    report
        .steps()
        .iter()
        .filter(|step| step.starts_with("packages:"))
        .count()
}

/// What can't be: each is said with what to do, and nothing is done by halves.
fn refused(machine: &Machine) {
    let cases = [
        ("present = [\"kubelte\"]", "kubelte", "kubelte"),
        (
            "present = [\"kubelet\", \"kubectl\"]\nversions = { kubelet = \"1.99\" }",
            "kubelet",
            "no kubelet (1.99): they have 1.31.0-1, 1.30.4-1, 1.30.1-1, 1.29.9-1",
        ),
        ("present = [\"lab-unsigned\"]", "lab-unsigned", "not signed"),
    ];
    let before = versions(machine);
    for (packages, subject, expected) in cases {
        profile(machine, &format!("[packages]\n{packages}\n"));
        let report = machine.nodeprep("apply --keep", 1);
        let error = report.error(subject);
        assert!(error.contains(expected), "{error}");
        assert_eq!(versions(machine), before);
    }
    machine.ok("dnf -qy install lab-needs-old");
    profile(machine, "[packages]\nabsent = [\"lab-old\"]\n");
    let report = machine.nodeprep("apply --keep", 1);
    let error = report.error("lab-old");
    assert!(
        error.contains("needed by") && error.contains("lab-needs-old"),
        "{error}"
    );
    // Gone, and with it what dnf kept of it.
    machine.ok("mv /srv/repo /srv/gone; dnf -q clean all");
    profile(machine, "[packages]\npresent = [\"kubectl\"]\n");
    let report = machine.nodeprep("apply --keep", 1);
    let error = report.error("kubectl");
    assert!(error.contains("file:///srv/repo/repodata"), "{error}");
    machine.ok("mv /srv/gone /srv/repo");
    machine.nodeprep("apply --keep", 0);
}

/// rpm is asked only where its database is another than the last apply has seen.
fn remembered(machine: &Machine) {
    profile(machine, "[packages]\npresent = [\"kubectl\"]\n");
    machine.nodeprep("apply", 0);
    let asked = |machine: &Machine| {
        machine.ok("cat /run/rpm.calls 2>/dev/null || true; rm -f /run/rpm.calls")
    };
    asked(machine);
    machine.nodeprep("check", 0);
    machine.nodeprep("apply", 0);
    assert_eq!(asked(machine), "");
    machine.ok("dnf -qy --disableexcludes=all upgrade kubectl && dnf -qy install lab-cni");
    machine.nodeprep("check", 0);
    assert_eq!(asked(machine).lines().count(), 1);
    machine.nodeprep("apply", 0);
    assert_eq!(asked(machine).lines().count(), 1);
    machine.nodeprep("check", 0);
    assert_eq!(asked(machine), "");
}
