//! The kubelet, kubeadm's file and images: a real package, containerd's own store, a registry that
//! wants a password. Each is broken and mended, a member of a cluster is spared, all is taken back, and
//! the token is in one file. Two boots.

use serde_json::Value;

use crate::guest::{self, Report};
use crate::image::Image;
use crate::machine::Machine;

const PROFILE: &str = "/root/kubernetes.toml";
const TOKEN: &str = "abcdef.0123456789abcdef";
const CONFIG: &str = "/etc/kubernetes/kubeadm-config.yaml";
const FLAGS: &str = "/etc/default/kubelet";
const IMPORTED: &str = "registry.example/lab/imported:1";
const PULLED: &str = "127.0.0.1:5000/lab/tiny:1";
const NAMES: &str = "ctr -n k8s.io images ls -q | grep -v @ | grep -e example -e 127.0.0.1 || true";

const TEXT: &str = r#"schema = "v1alpha1"
[kubelet]
version = "1.34"
args = { node-ip = "192.0.2.7" }
[kubeadm]
version = "1.34.1"
role = "join"
control_plane_endpoint = "192.0.2.1:6443"
token = "abcdef.0123456789abcdef"
ca_cert_hashes = ["sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"]
[images]
list = ["registry.example/lab/imported:1"]
archive = "/opt/images.tar"
"#;

/// A package like Kubernetes' own, with a kubelet that does nothing.
const PACKAGE: &str = r#"
mkdir -p /root/deb/DEBIAN /root/deb/usr/bin /root/deb/usr/lib/systemd/system/kubelet.service.d /root/deb/etc/default
printf 'Package: kubelet\nVersion: 1.34.1-1.1\nArchitecture: all\nMaintainer: lab\nDescription: lab\n' >/root/deb/DEBIAN/control
echo /etc/default/kubelet >/root/deb/DEBIAN/conffiles
printf '#!/bin/bash\nwhile :; do sleep 1000; done\n' >/root/deb/usr/bin/kubelet
chmod 755 /root/deb/usr/bin/kubelet
echo KUBELET_EXTRA_ARGS= >/root/deb/etc/default/kubelet
printf '[Service]\nExecStart=/usr/bin/kubelet\n[Install]\nWantedBy=multi-user.target\n' >/root/deb/usr/lib/systemd/system/kubelet.service
printf '[Service]\nEnvironmentFile=-/etc/default/kubelet\nExecStart=\nExecStart=/usr/bin/kubelet $KUBELET_EXTRA_ARGS\n' >/root/deb/usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf
dpkg-deb -b /root/deb /root/kubelet.deb >/dev/null && dpkg -i /root/kubelet.deb >/dev/null
"#;

pub fn run(image: &Image) {
    let mut machine = guest::boot(image);
    machine.put(
        "tests/vm/scenarios/registry.py".as_ref(),
        "/root/registry.py",
        "644",
    );
    machine.ok(&format!(
        "systemctl start containerd; cat >{PROFILE} <<'END'\n{TEXT}END"
    ));
    let bare = state(&mut machine);
    without_archive(&mut machine);
    machine.ok(PACKAGE);
    machine.ok(&format!(
        "python3 /root/registry.py make /opt/images.tar {IMPORTED}"
    ));
    let packaged = state(&mut machine);
    prepared(&mut machine);
    machine.reboot();
    // The boot has started what was enabled.
    Report::with(&mut machine, "check", PROFILE, 0);
    assert_eq!(arguments(&mut machine), "--node-ip=192.0.2.7");
    taken_back(&mut machine, &packaged);
    assert_ne!(bare, packaged);
    Report::with(&mut machine, "apply", PROFILE, 0);
    // What is broken by hand is no longer ours to take back.
    secret(&mut machine);
    broken(&mut machine);
    pulled(&mut machine);
    refused(&mut machine);
    member(&mut machine);
}

/// What can't be done yet waits, and is done no harm by.
fn without_archive(machine: &mut Machine) {
    let report = Report::with(machine, "check", PROFILE, 2);
    let blocked = report.subjects("blocked");
    for subject in ["kubelet service", "kubelet --node-ip"] {
        assert!(blocked.contains(&subject.to_owned()), "{blocked:?}");
    }
    let (state, _) = report.aspect(&format!("images {IMPORTED}"), "live");
    assert_eq!(state, "blocked");
}

fn prepared(machine: &mut Machine) {
    Report::with(machine, "check", PROFILE, 2);
    Report::with(machine, "apply", PROFILE, 0);
    let again = Report::with(machine, "apply", PROFILE, 0);
    assert!(again.steps().is_empty(), "{:?}", again.steps());
    Report::with(machine, "check", PROFILE, 0);
    assert_eq!(machine.ok(NAMES), IMPORTED);
    assert_eq!(
        machine.ok(&format!("stat -c '%a %u %g' {CONFIG}")),
        "600 0 0"
    );
    assert_eq!(
        machine.ok(&format!("cat {FLAGS}")),
        "KUBELET_EXTRA_ARGS=--node-ip=192.0.2.7"
    );
    assert_eq!(machine.ok("systemctl is-enabled kubelet"), "enabled");
    assert!(machine.ok(&format!("cat {CONFIG}")).contains(TOKEN));
}

/// The token is told by no output, and nothing but its file and root's journal holds it.
fn secret(machine: &mut Machine) {
    machine.ok(&format!(
        "chmod 644 {CONFIG}; sed -i s/v1beta4/v1beta3/ {CONFIG}"
    ));
    for command in [
        &format!("plan --diff -v {PROFILE}"),
        &format!("plan --output json {PROFILE}"),
        &format!("profile show {PROFILE}"),
        &format!("apply --diff -v {PROFILE} --output json"),
        "history",
        "history show $(nodeprep history --output json | grep -o '20[0-9TZ:.-]*' | tail -n 1)",
        "rollback --dry-run --diff",
        &format!("check {PROFILE} --set kubeadm.bogus=1"),
        &format!("check {PROFILE} --set kubeadm.token={TOKEN}x"),
    ] {
        let output = machine.run(&format!("nodeprep {command}"));
        let all = output.stdout + &output.stderr;
        assert!(!all.contains(TOKEN), "{command}: {all}");
    }
    let holders = machine.ok(&format!(
        "grep -rlF --exclude-dir=nodeprep-lab {TOKEN} /etc /var /run /tmp 2>/dev/null | sed 's,/[^/]*journal$,,' | sort -u"
    ));
    assert_eq!(holders, format!("{CONFIG}\n/var/lib/nodeprep/journal"));
    assert_eq!(
        machine.ok("find /var/lib/nodeprep/journal -type f -perm /077"),
        ""
    );
    Report::with(machine, "check", PROFILE, 0);
}

/// What the kubelet was started with.
fn arguments(machine: &mut Machine) -> String {
    machine.ok(
        "tr '\\0' '\\n' </proc/$(systemctl show -p MainPID --value kubelet)/cmdline | tail -n +3",
    )
}

fn broken(machine: &mut Machine) {
    for (breaks, subject) in [
        (
            format!("ctr -n k8s.io images rm --sync {IMPORTED} >/dev/null"),
            format!("images {IMPORTED}"),
        ),
        (format!("chmod 640 {CONFIG}"), "kubeadm access".into()),
        (
            format!("echo 'kind: A' >>{CONFIG}"),
            "kubeadm config".into(),
        ),
        (
            format!("echo 'KUBELET_EXTRA_ARGS=\"--node-ip 192.0.2.8 --v=4\"' >{FLAGS}"),
            "kubelet --node-ip".into(),
        ),
        (
            "systemctl disable -q kubelet".into(),
            "kubelet service".into(),
        ),
    ] {
        machine.ok(&breaks);
        let wrong = differs(machine);
        assert_eq!(wrong, [subject.as_str()], "{breaks}");
        Report::with(machine, "apply", PROFILE, 0);
        Report::with(machine, "check", PROFILE, 0);
    }
    // It was restarted with what is new, and keeps what others want.
    assert_eq!(arguments(machine), "--node-ip=192.0.2.7\n--v=4");
}

/// containerd's CRI learns of what others do to its images a moment later.
fn differs(machine: &mut Machine) -> Vec<String> {
    for _ in 0..50 {
        if machine.run(&format!("nodeprep check {PROFILE}")).code == 2 {
            break;
        }
        machine.ok("sleep 0.2");
    }
    let report = Report::with(machine, "check", PROFILE, 2);
    report.subjects("differs")
}

/// From a registry that wants to know who asks.
fn pulled(machine: &mut Machine) {
    machine.ok("systemd-run -q --unit lab-registry python3 /root/registry.py serve 5000 /run/registry.log
         for _ in $(seq 100); do (exec 9<>/dev/tcp/127.0.0.1/5000) 2>/dev/null && exit; sleep 0.2; done; exit 1");
    let auth = "bGFiOmh1bnRlcjI="; // lab:hunter2
    machine.ok(&format!(
        "umask 077; echo '{{\"auths\": {{\"127.0.0.1:5000\": {{\"auth\": \"{auth}\"}}}}}}' >/root/auth.json
         cat >/root/pull.toml <<'END'\nschema = \"v1alpha1\"\n[images]\nlist = [\"{PULLED}\"]\ncredentials = \"/root/auth.json\"\nEND"
    ));
    let report = Report::with(machine, "apply", "/root/pull.toml", 0);
    assert_eq!(report.steps(), [format!("pull {PULLED}")]);
    Report::with(machine, "check", "/root/pull.toml", 0);
    let log = machine.ok("cat /run/registry.log");
    assert!(
        log.contains("401") && log.contains("/v2/lab/tiny/manifests/1 200"),
        "{log}"
    );
    let told = machine.run("nodeprep history --output json; cat /var/lib/nodeprep/journal/*");
    assert!(!told.stdout.contains(auth) && !told.stdout.contains("hunter2"));
}

/// A registry that answers no, and one that is not there: with its words, and the others are done.
fn refused(machine: &mut Machine) {
    machine.ok("cat >/root/refused.toml <<'END'\nschema = \"v1alpha1\"\n[images]\nlist = [\"127.0.0.1:5999/a:1\", \"127.0.0.1:5000/lab/none:1\"]\ncredentials = \"/root/auth.json\"\ntries = 2\nEND");
    let output = machine.run("nodeprep apply /root/refused.toml --output json");
    assert_eq!(output.code, 1, "{}{}", output.stdout, output.stderr);
    let report: Value = serde_json::from_str(&output.stdout).unwrap();
    let errors: Vec<&str> = report["entries"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|entry| entry["error"].as_str())
        .collect();
    eprintln!("  {errors:#?}");
    assert_eq!(errors.len(), 2, "{report:#}");
    assert!(errors[0].contains("connection refused"), "{errors:?}");
    assert!(errors[1].contains("not found"), "{errors:?}");
    // Only what another try could change was tried again.
    let again = |name: &str| {
        let mut lines = output.stderr.lines();
        lines.any(|line| line.contains(name) && line.contains("once more"))
    };
    assert!(again("5999/a:1") && !again("none:1"), "{}", output.stderr);
}

/// What could hurt a member waits for the word.
fn member(machine: &mut Machine) {
    machine.ok(&format!("echo >/etc/kubernetes/kubelet.conf; sed -i s/1.34.1/1.34.2/ {PROFILE}; sed -i s/join/init/ {PROFILE}"));
    let before = machine.ok(&format!("cat {CONFIG}"));
    let report = Report::with(machine, "apply", PROFILE, 2);
    assert!(report.steps().is_empty(), "{:?}", report.steps());
    assert_eq!(report.aspect("kubeadm config", "boot").0, "blocked");
    assert_eq!(machine.ok(&format!("cat {CONFIG}")), before);
    let back = Report::with(machine, "remove --dry-run", "", 2);
    assert!(
        back.steps().iter().all(|step| !step.contains(CONFIG)),
        "{:?}",
        back.steps()
    );
    Report::with(machine, "apply --on-member", PROFILE, 0);
    Report::with(machine, "check", PROFILE, 0);
    assert!(
        machine
            .ok(&format!("cat {CONFIG}"))
            .contains("kubernetesVersion: v1.34.2")
    );
    machine.ok("rm /etc/kubernetes/kubelet.conf");
}

fn taken_back(machine: &mut Machine, packaged: &str) {
    Report::with(machine, "remove", "", 0);
    let now = state(machine);
    let diff = similar::TextDiff::from_lines(packaged, now.as_str());
    assert_eq!(now, packaged, "{}", diff.unified_diff());
}

/// Files below /etc but those that packages' configuration does not hold, and the images of ours.
fn state(machine: &mut Machine) -> String {
    let files = "find /etc/kubernetes /etc/default /etc/systemd/system -printf '%p %y %m %l\\n' 2>/dev/null | sort; cat /etc/default/kubelet 2>/dev/null";
    machine.ok(&format!("{{ {files}; }} || true; {NAMES}"))
}
