//! A bare machine is prepared, stays so, and is so after a reboot; then it is broken place by place.
//! One machine for both: three boots.

use super::break_each;
use crate::guest::{self, Report};
use crate::image::Image;
use crate::machine::Machine;

/// A host as people leave it: a swap file by an oddly spaced row, no forwarding, an old crictl.yaml.
const BARE: &str = r#"
rm -rf /var/log/journal && systemctl restart systemd-journald
[ ! -d /var/log/journal ] || systemd-tmpfiles --create --prefix /var/log/journal
fallocate -l 64M /swapfile && chmod 600 /swapfile && mkswap /swapfile >/dev/null
printf '# /swapfile none swap sw 0 0\n /swapfile\t none\tswap   sw,pri=5\t0 0\n\n# the end' >>/etc/fstab
systemctl daemon-reload && swapon -a
sysctl -qw net.ipv4.ip_forward=0
printf '# ours\nruntime-endpoint: unix:///var/run/dockershim.sock # old\ndebug: true\npull-image-on-create: true\n' >/etc/crictl.yaml
cp /etc/fstab /root/fstab
udevadm settle
"#;

pub fn run(image: &Image) {
    let mut machine = guest::boot(image);
    machine.ok(BARE);
    let bare = guest::files(&mut machine);
    differs(&mut machine);
    assert_eq!(
        guest::changed(&bare, &guest::files(&mut machine)),
        NOTHING,
        "a check changes nothing"
    );
    applies(&mut machine);
    again(&mut machine);
    let prepared = guest::files(&mut machine);
    let expected = [
        "/etc/containerd/config.toml",
        "/etc/crictl.yaml",
        "/etc/fstab",
        "/etc/hosts",
        "/etc/modules-load.d/kubernetes.conf",
        "/etc/sysctl.d/kubernetes.conf",
        "/etc/systemd/journald.conf.d/99-kubernetes.conf",
    ];
    let mut changed = guest::changed(&bare, &prepared);
    // What modprobe and systemd note for themselves.
    changed.retain(|path| !path.starts_with("/run/"));
    assert_eq!(
        changed, expected,
        "apply touches what it said and nothing else"
    );
    machine.reboot();
    Report::of(&mut machine, "check", 0);
    prepared_by_its_own_tools(&mut machine);
    break_each::run(&mut machine);
}

const NOTHING: [String; 0] = [];

fn differs(machine: &mut Machine) {
    let report = Report::of(machine, "check", 2);
    assert_eq!(
        report.aspect("swap /swapfile", "boot"),
        ("differs".into(), "/etc/fstab:4".into())
    );
    assert_eq!(report.aspect("swap /swapfile", "live").0, "differs");
    assert_eq!(report.aspect("modules br_netfilter", "live").0, "differs");
    assert_eq!(
        report
            .aspect("sysctl net.bridge.bridge-nf-call-iptables", "live")
            .0,
        "differs"
    );
    assert_eq!(report.aspect("journald Storage", "live").0, "differs");
    assert_eq!(
        report.aspect("journald running journald", "live").0,
        "in_sync"
    );
    // The journald of systemd 262 made the directory by itself.
    let made = machine.run("test -d /var/log/journal").code == 0;
    assert_eq!(
        report.aspect("journald /var/log/journal", "boot").0,
        if made { "in_sync" } else { "differs" }
    );
    assert_eq!(
        report.aspect("crictl runtime-endpoint", "boot").1,
        "/etc/crictl.yaml:2"
    );
}

/// What plan says is what apply does.
fn applies(machine: &mut Machine) {
    let planned = Report::of(machine, "plan", 2);
    let starts = journal_starts(machine);
    let applied = Report::of(machine, "apply", 0);
    assert_eq!(
        journal_starts(machine),
        starts + 1,
        "journald is restarted once"
    );
    assert_eq!(planned.steps(), applied.steps(), "planned = performed");
    assert_eq!(planned.subjects("differs"), applied.subjects("fixed"));
    Report::of(machine, "check", 0);
    prepared_by_its_own_tools(machine);
    assert_eq!(
        machine.ok("diff /root/fstab /etc/fstab || true"),
        "4c4\n<  /swapfile\t none\tswap   sw,pri=5\t0 0\n---\n> # /swapfile\t none\tswap   sw,pri=5\t0 0"
    );
    let crictl = machine.ok("cat /etc/crictl.yaml");
    assert!(crictl.starts_with("# ours\nruntime-endpoint: unix:///run/containerd/containerd.sock # old\ndebug: false\npull-image-on-create: true\n"), "{crictl}");
}

fn again(machine: &mut Machine) {
    let (files, times) = (guest::files(machine), guest::start_times(machine));
    let journals = machine.ok("ls /var/lib/nodeprep/journal");
    let report = Report::of(machine, "apply", 0);
    assert!(report.steps().is_empty(), "{:?}", report.steps());
    assert_eq!(guest::changed(&files, &guest::files(machine)), NOTHING);
    assert_eq!(times, guest::start_times(machine), "nothing is restarted");
    assert_eq!(journals, machine.ok("ls /var/lib/nodeprep/journal"));
}

/// How often this boot's journald was started, by its own words.
fn journal_starts(machine: &mut Machine) -> usize {
    let count = "journalctl --sync; journalctl -b -o cat | grep -c '^Journal started'";
    machine.ok(count).parse().expect("a number")
}

/// The host as swapon, lsmod, sysctl and systemd see it.
fn prepared_by_its_own_tools(machine: &mut Machine) {
    assert_eq!(machine.ok("swapon --show"), "");
    assert_eq!(
        machine.ok("systemctl list-units --type swap --no-legend"),
        ""
    );
    let loaded = machine.ok("lsmod | awk '{print $1}'");
    for module in [
        "overlay",
        "br_netfilter",
        "nf_conntrack",
        "ip_vs",
        "ip_vs_rr",
        "ip_vs_wrr",
        "ip_vs_sh",
    ] {
        assert!(
            loaded.lines().any(|line| line == module),
            "{module} in {loaded}"
        );
    }
    for (key, value) in [
        ("net.ipv4.ip_forward", "1"),
        ("net.bridge.bridge-nf-call-iptables", "1"),
        ("net.bridge.bridge-nf-call-ip6tables", "1"),
        ("vm.overcommit_memory", "1"),
        ("kernel.panic", "10"),
        ("fs.inotify.max_user_watches", "1048576"),
    ] {
        assert_eq!(machine.ok(&format!("sysctl -n {key}")), value, "{key}");
    }
    let merged = machine.ok("systemd-analyze cat-config sysctl.d");
    assert!(merged.contains("\nnet.ipv4.ip_forward = 1\n"), "{merged}");
    let merged = machine.ok("systemd-analyze cat-config systemd/journald.conf | grep ^Storage=");
    assert_eq!(merged, "Storage=persistent");
    assert_eq!(
        machine.ok("stat -c '%a %U %G' /var/log/journal"),
        "2755 root systemd-journal"
    );
    let open = "ls -l /proc/$(pidof systemd-journald)/fd | grep -c /var/log/journal/$(cat /etc/machine-id)/system.journal$";
    assert_eq!(machine.ok(open), "1");
    assert_eq!(machine.ok("systemctl --failed --no-legend"), "");
}
