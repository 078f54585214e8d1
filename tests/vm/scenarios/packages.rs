//! The host's own package manager at work: a repository that is signed or not, versions, holds, what
//! is cut off, locked, unknown, broken or too large, and all of it taken back. One boot and one more.

use crate::guest::{self, Report};
use crate::image::Image;
use crate::machine::Machine;

/// Makes /srv/repo, /srv/debs and /srv/key.asc.
const REPOSITORY: &str = include_str!("packages/repository.sh");
const PROFILE: &str = "/root/packages.toml";

const PACKAGES: &str = r#"[packages]
present = ["ip", "kubeadm", "kubelet", "kubectl"]
absent = ["lab-old"]
held = ["kubelet", "kubeadm"]
wait = 4
[packages.versions]
kubelet = "1.30"
kubeadm = "1.30.1"
kubectl = ">= 1.30, < 1.31"
"#;

pub fn run(image: &Image) {
    let mut machine = guest::boot(image);
    machine.ok(REPOSITORY);
    // There is no network, so nothing else can be asked.
    machine.ok("rm -rf /etc/apt/sources.list /etc/apt/sources.list.d/* /var/lib/apt/lists/*");
    machine.ok("dpkg -i /srv/repo/lab-old_1.0_all.deb >/dev/null");
    let bare = state(&mut machine);
    unsigned(&mut machine);
    installs(&mut machine);
    machine.reboot();
    told(&mut machine, "check", 0);
    let report = Report::with(&mut machine, "remove", "", 0);
    assert!(!report.steps().is_empty());
    assert_eq!(state(&mut machine), bare);
    // What is done by hand is no longer ours to take back.
    told(&mut machine, "apply", 0);
    broken_each(&mut machine);
    locked(&mut machine);
    cut_off(&mut machine);
    refused(&mut machine);
    too_large(&mut machine);
    stale(&mut machine);
    offline(&mut machine);
}

/// A repository whose key is not given is not taken, and the error says so.
fn unsigned(machine: &mut Machine) {
    profile(
        machine,
        "apt = { uri = \"file:/srv/repo\", suites = [\"./\"] }",
        PACKAGES,
    );
    let report = told(machine, "apply", 1);
    let error = report.error("packages kubelet");
    assert!(
        error.contains("not signed") || error.contains("NO_PUBKEY"),
        "{error}"
    );
    machine.ok("! dpkg-query -W kubelet 2>/dev/null");
}

/// Everything in one transaction, nothing the second time.
fn installs(machine: &mut Machine) {
    signed(machine, PACKAGES);
    machine.ok("rm -f /var/log/apt/history.log");
    told(machine, "check", 2);
    let report = told(machine, "apply", 0);
    let transactions = report
        .steps()
        .iter()
        .filter(|step| step.starts_with("packages:"))
        .count();
    assert_eq!(transactions, 1, "{:?}", report.steps());
    assert_eq!(
        machine.ok("grep -c ^Start-Date: /var/log/apt/history.log"),
        "1"
    );
    assert_eq!(
        versions(machine),
        "kubeadm 1.30.1-1.1 hold\nkubectl 1.30.4-1.1 install\nkubelet 1.30.4-1.1 hold\nlab-cni 1.5.0 install"
    );
    assert_eq!(machine.ok("apt-mark showhold"), "kubeadm\nkubelet");
    assert!(told(machine, "apply", 0).steps().is_empty());
    told(machine, "check", 0);
}

/// What someone else did with packages is mended, held or not.
fn broken_each(machine: &mut Machine) {
    for hurt in [
        "apt-mark -q unhold kubelet",
        "apt-get -qy remove kubectl",
        "apt-get -qy --allow-change-held-packages install kubelet=1.31.0-1.1",
        "apt-get -qy --allow-change-held-packages --allow-downgrades install kubeadm=1.29.9-1.1",
        "rm /etc/apt/sources.list.d/lab.sources",
        "echo >/etc/apt/keyrings/lab.asc",
    ] {
        machine.ok(&format!("{hurt} >/dev/null 2>&1"));
        told(machine, "check", 2);
        told(machine, "apply", 0);
        told(machine, "check", 0);
    }
    assert_eq!(machine.ok("apt-mark showhold"), "kubeadm\nkubelet");
}

/// The lock is waited for, and its holder named.
fn locked(machine: &mut Machine) {
    machine.ok("apt-get -qy remove kubectl >/dev/null");
    let hold = "perl -e 'use Fcntl; open(F, \"+>>\", \"/var/lib/dpkg/lock-frontend\"); \
        $l = pack(\"s s x4 l! l! i\", F_WRLCK, 0, 0, 0, 0); fcntl(F, F_SETLK, $l) or die; sleep $ARGV[0]'";
    machine.ok(&format!(
        "{hold} 60 >/dev/null 2>&1 & echo $! >/run/holder; sleep 1"
    ));
    let report = told(machine, "apply", 1);
    let error = report.error("packages kubectl");
    let holder = machine.ok("cat /run/holder");
    assert!(
        error.contains("lock-frontend") && error.contains("perl"),
        "{error}"
    );
    assert!(error.contains(&format!("process {holder}")), "{error}");
    machine.ok(&format!(
        "kill {holder}; {hold} 2 >/dev/null 2>&1 & sleep 1"
    ));
    told(machine, "apply", 0);
}

/// dpkg was killed between unpacking and configuring.
fn cut_off(machine: &mut Machine) {
    machine.ok("apt-get -qy remove kubectl >/dev/null; dpkg --unpack /srv/repo/lab-big_1.0_all.deb >/dev/null");
    let report = told(machine, "apply", 0);
    let steps = report.steps();
    assert_eq!(steps[0], "finish installing lab-big", "{steps:?}");
    assert_eq!(
        machine.ok("dpkg-query -Wf '${Status}' lab-big"),
        "install ok installed"
    );
    machine.ok("dpkg -P lab-big >/dev/null");
    told(machine, "check", 0);
}

/// What can't be: each is said with what to do, and nothing is done by halves.
fn refused(machine: &mut Machine) {
    let cases = [
        // A point is no sign for any letter.
        ("present = [\"kube.et\"]", "kube.et", "no package kube.et"),
        (
            "present = [\"kubelte\"]",
            "kubelte",
            "did you mean kubelet?",
        ),
        (
            "present = [\"kubelet\"]\nversions = { kubelet = \"1.99\" }",
            "kubelet",
            "no kubelet (1.99): they have 1.31.0-1.1, 1.30.4-1.1, 1.30.1-1.1, 1.29.9-1.1",
        ),
        (
            "present = [\"lab-rival\"]",
            "lab-rival",
            "would remove kubectl as well",
        ),
        ("present = [\"lab-broken\"]", "lab-broken", "lab-broken"),
    ];
    for (packages, subject, expected) in cases {
        signed(machine, &format!("[packages]\n{packages}\n"));
        let report = told(machine, "apply --keep", 1);
        let error = report.error(&format!("packages {subject}"));
        assert!(error.contains(expected), "{error}");
        eprintln!("  {error}");
    }
    // Mended from outside, the next run ends it.
    machine.ok("touch /srv/fine");
    told(machine, "apply --keep", 0);
    machine.ok("dpkg -P lab-broken >/dev/null");
    signed(machine, PACKAGES);
    told(machine, "check --keep", 0);
}

/// A disk that is full in the middle of it.
fn too_large(machine: &mut Machine) {
    let packages = "[packages]\npresent = [\"lab-big\"]\n";
    signed(machine, packages);
    machine.ok("mkdir -p /usr/share/lab && mount -t tmpfs -o size=16k tmpfs /usr/share/lab && head -c 16k /dev/zero >/usr/share/lab/full");
    let report = told(machine, "apply --keep", 1);
    let error = report.error("packages lab-big");
    assert!(error.contains("No space left on device"), "{error}");
    machine.ok("umount /usr/share/lab");
    told(machine, "apply --keep", 0);
    machine.ok("dpkg -P lab-big >/dev/null");
}

/// Lists that do not have what the repository has by now are read anew; where it can't be reached, what
/// the lists have is installed all the same.
fn stale(machine: &mut Machine) {
    machine.ok(&format!("{REPOSITORY}\npackage lab-late 1.0\nindex"));
    signed(machine, "[packages]\npresent = [\"lab-late\"]\n");
    told(machine, "apply --keep", 0);
    machine.ok("dpkg -P lab-late >/dev/null; mv /srv/repo/InRelease /srv; sleep 1; touch /etc/apt/sources.list.d/lab.sources");
    told(machine, "apply --keep", 0);
    signed(machine, "[packages]\npresent = [\"lab-later\"]\n");
    let error = told(machine, "apply --keep", 1).error("packages lab-later");
    assert!(
        error.contains("apt-get") && error.contains("have no lab-later"),
        "{error}"
    );
    machine.ok("mv /srv/InRelease /srv/repo; dpkg -P lab-late >/dev/null");
}

/// Package files in a directory, with what they need.
fn offline(machine: &mut Machine) {
    signed(
        machine,
        "[packages]\npresent = [\"lab-offline\"]\ndirectory = \"/srv/debs\"\n",
    );
    told(machine, "apply --keep", 0);
    assert_eq!(
        machine.ok("dpkg-query -Wf '${Package} ${Version}\\n' lab-offline lab-offline-lib"),
        "lab-offline 2.0\nlab-offline-lib 2.0"
    );
    told(machine, "check --keep", 0);
}

fn signed(machine: &mut Machine, packages: &str) {
    let key = machine.ok("cat /srv/key.asc");
    let repository = format!(
        "key = \"\"\"\n{key}\n\"\"\"\napt = {{ uri = \"file:/srv/repo\", suites = [\"./\"] }}"
    );
    profile(machine, &repository, packages);
}

fn profile(machine: &mut Machine, repository: &str, packages: &str) {
    machine.ok(&format!(
        "cat >{PROFILE} <<'END'\nschema = \"v1alpha1\"\n[repositories.lab]\n{repository}\n{packages}END"
    ));
}

fn told(machine: &mut Machine, command: &str, code: i32) -> Report {
    Report::with(machine, command, PROFILE, code)
}

/// The lab's packages with what dpkg wants of them.
fn versions(machine: &mut Machine) -> String {
    machine.ok("dpkg-query -Wf '${db:Status-Abbrev}${Package} ${Version} ${db:Status-Want}\\n' 'kube*' 'lab-*' | sed -n 's/^.i *//p'")
}

/// What is installed, and what apt is told of repositories.
fn state(machine: &mut Machine) -> String {
    machine.ok("dpkg-query -Wf '${db:Status-Abbrev}${Package} ${Version}\\n' | grep '^.i'; find /etc/apt -type f | sort; ls /usr/share/lab 2>/dev/null || true")
}
