//! Packages as a profile wants them: one transaction, held, what can't be had, and all taken back.

use crate::machine::{Machine, Manager, Report};

/// A test of a host, with its name.
type Trial = (&'static str, fn(&Machine));

pub const TRIALS: [Trial; 7] = [
    ("installs", installs),
    ("refused", refused),
    ("remembered", remembered),
    ("theirs", theirs),
    ("locked_by_others", locked_by_others),
    ("used_by_others", used_by_others),
    ("offline", offline),
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

/// What is held, by dnf's own word.
fn locks(machine: &Machine) -> String {
    machine.ok(match machine.manager {
        Manager::Dnf4 => "grep -hv '^#' /etc/dnf/plugins/versionlock.list | grep . | sort || true",
        Manager::Dnf5 => {
            "dnf -q versionlock list | sed -n 's/^Package name: //p; s/^evr = //p' | paste -sd '-\n' | \
             sed 's/-\\([^-]*-[^-]*\\)$/-0:\\1.*/' | sort"
        }
    })
}

/// dnf past the excludes of repositories.
fn past_excludes(machine: &Machine) -> &'static str {
    match machine.manager {
        Manager::Dnf4 => "dnf -qy --disableexcludes=all",
        Manager::Dnf5 => "dnf -qy --setopt=disable_excludes=lab",
    }
}

/// dnf past excludes and locks: with all excludes dnf 5 lifts its locks.
fn past_locks(machine: &Machine) -> &'static str {
    match machine.manager {
        Manager::Dnf4 => "dnf -qy --disableexcludes=all --disableplugin=versionlock",
        Manager::Dnf5 => "dnf -qy --setopt=disable_excludes=*",
    }
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
    // dnf 5 can hold packages by itself.
    let plugin = match machine.manager {
        Manager::Dnf4 => "python3-dnf-plugin-versionlock 4.3.0-1\n",
        Manager::Dnf5 => "",
    };
    assert_eq!(
        versions(machine),
        format!(
            "kubeadm 1.30.1-1\nkubectl 1.30.4-1\nkubelet 1.30.4-1\nlab-cni 1.6.0-1\n{plugin}\
             rocky-release 9.4-1"
        )
    );
    // What goes is a transaction of its own: dnf has no command for both.
    assert_eq!(transactions(machine), 2);
    assert_eq!(locks(machine), "kubeadm-0:1.30.1-1.*\nkubelet-0:1.30.4-1.*");
    assert!(machine.nodeprep("apply", 0).steps().is_empty());
    machine.nodeprep("check", 0);
    // dnf itself leaves them alone.
    machine.ok(&format!("{} upgrade", past_excludes(machine)));
    assert!(versions(machine).contains("kubectl 1.31.0-1\nkubelet 1.30.4-1"));
    machine.nodeprep("check", 2);
    machine.nodeprep("apply", 0);
    let dnf = past_locks(machine);
    for hurt in [
        "dnf -qy versionlock delete kubelet".into(),
        "dnf -qy remove kubectl".into(),
        format!("{dnf} install kubelet-1.31.0"),
        format!("{dnf} downgrade kubeadm-1.29.9"),
        "dnf -qy install lab-old".into(),
    ] {
        machine.ok(&hurt);
        machine.nodeprep("check", 2);
        machine.nodeprep("apply", 0);
        machine.nodeprep("check", 0);
    }
    assert_eq!(locks(machine), "kubeadm-0:1.30.1-1.*\nkubelet-0:1.30.4-1.*");
    machine.nodeprep("remove", 0);
    // With what it had taken along.
    assert_eq!(versions(machine), before);
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
    let dnf = past_excludes(machine);
    machine.ok(&format!("{dnf} upgrade kubectl && dnf -qy install lab-cni"));
    machine.nodeprep("check", 0);
    assert_eq!(asked(machine).lines().count(), 1);
    machine.nodeprep("apply", 0);
    assert_eq!(asked(machine).lines().count(), 1);
    machine.nodeprep("check", 0);
    assert_eq!(asked(machine), "");
}

/// What an administrator did since with what was installed here is not taken back.
fn theirs(machine: &Machine) {
    profile(
        machine,
        "[packages]\npresent = [\"kubeadm\", \"kubectl\"]\nversions = { kubectl = \"1.30\" }\n",
    );
    let before = versions(machine);
    machine.nodeprep("apply", 0);
    machine.ok(&format!("{} upgrade kubectl", past_excludes(machine)));
    let report = machine.nodeprep("remove", 2);
    let state = report.of("package kubectl");
    assert_eq!(
        state["live"]["reason"],
        "changed since, to 1.31.0-1: it stays; take it back by hand, or give --force"
    );
    assert_eq!(versions(machine), format!("kubectl 1.31.0-1\n{before}"));
    machine.nodeprep("remove --force", 0);
    assert_eq!(versions(machine), before);
}

/// A lock that someone else has put on what comes along holds.
fn locked_by_others(machine: &Machine) {
    let lock = "lab-cni-0:1.5.0-1.*";
    machine.ok(&match machine.manager {
        Manager::Dnf4 => format!("echo '{lock}' >/etc/dnf/plugins/versionlock.list"),
        // Of what is installed; and the repository is not defined yet.
        Manager::Dnf5 => "rpm -i --nosignature /srv/repo/lab-cni-1.5.0-1.rpm; \
                          dnf -q versionlock add lab-cni; rpm -e lab-cni"
            .into(),
    });
    profile(machine, PACKAGES);
    machine.nodeprep("apply", 0);
    assert!(versions(machine).contains("lab-cni 1.5.0-1"));
    machine.nodeprep("remove", 0);
    assert_eq!(locks(machine), lock);
}

/// Who uses rpm's database is waited for, and named.
fn used_by_others(machine: &Machine) {
    profile(machine, "[packages]\npresent = [\"kubectl\"]\nwait = 2\n");
    let report = machine.told(
        "python3 -c 'import fcntl, time; f = open(\"/var/lib/rpm/.rpm.lock\", \"w\")
fcntl.lockf(f, fcntl.LOCK_EX)
time.sleep(60)' >/dev/null 2>&1 &
         holder=$!
         sleep 2; code=0
         nodeprep apply --output json || code=$?
         kill $holder; exit $code",
        1,
    );
    let error = report.error("kubectl");
    assert!(
        error.contains(".rpm.lock is locked by python3") && error.contains("still after 2 s"),
        "{error}"
    );
    machine.nodeprep("apply", 0);
}

/// Package files in a directory, with what they need; the version that is wanted may be older.
fn offline(machine: &Machine) {
    machine.ok(
        "mkdir /srv/rpms; cp /srv/repo/{kubelet,lab-cni-1.5.0}*.rpm /srv/rpms; rm -r /srv/repo",
    );
    let before = versions(machine);
    for (wanted, expected) in [
        ("1.30", "1.30.4-1"),
        ("1.29", "1.29.9-1"),
        (">= 1.30", "1.31.0-1"),
    ] {
        machine.profile(&format!(
            "[packages]\npresent = [\"kubelet\"]\nversions = {{ kubelet = \"{wanted}\" }}\n\
             directory = \"/srv/rpms\"\n"
        ));
        machine.nodeprep("apply", 0);
        assert_eq!(
            versions(machine),
            format!("kubelet {expected}\nlab-cni 1.5.0-1\n{before}")
        );
        machine.nodeprep("check", 0);
    }
    machine.nodeprep("remove", 0);
    assert_eq!(versions(machine), before);
}
