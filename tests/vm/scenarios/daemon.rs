//! The daemon as systemd starts it: drift of each kind, made by the system's own tools, is put right
//! without anybody asking; watching changes nothing; the boot ends with all of it right.

use std::path::Path;

use crate::guest::{self, Report};
use crate::image::Image;
use crate::machine::Machine;

/// As in `guest::PROFILE`, as a site writes it.
const SITE: &str = r#"
mkdir -p /etc/nodeprep
cat >/etc/nodeprep/profile.toml <<'END'
schema = "v1alpha1"
extends = ["kubeadm-worker"]
remove = ["images", "time", "dns", "kubelet"]
[daemon]
poll = "2s"
END
systemctl daemon-reload
"#;

/// How long a drift may stay: machines are slow here, ten times and more. What counts is that nobody
/// asks.
const PATIENCE: &str = "600";

/// What somebody does, and by what it is seen to be put right.
const DRIFTS: [[&str; 2]; 13] = [
    [
        "sysctl -qw kernel.panic=0",
        "[ $(sysctl -n kernel.panic) = 10 ]",
    ],
    // The kernel changes it with another key: nothing tells of that, it is polled.
    [
        "sysctl -qw net.ipv4.conf.all.forwarding=0",
        "[ $(sysctl -n net.ipv4.ip_forward) = 1 ]",
    ],
    [
        "printf 'net/ipv4/conf/all/forwarding=0\\n' >/etc/sysctl.d/zz-hardening.conf",
        "[ -e /etc/sysctl.d/zzz-nodeprep.conf ]",
    ],
    [
        "fallocate -l 16M /swap2 && chmod 600 /swap2 && mkswap /swap2 >/dev/null && swapon /swap2",
        "[ -z \"$(swapon --show)\" ]",
    ],
    [
        "printf '/swap2 none swap sw,nofail 0 0\\n' >>/etc/fstab",
        "grep -q '^#.*/swap2' /etc/fstab",
    ],
    ["rmmod ip_vs_sh", "lsmod | grep -q '^ip_vs_sh '"],
    [
        "sed -i /^ip_vs_wrr/d /etc/modules-load.d/kubernetes.conf",
        "grep -q ^ip_vs_wrr /etc/modules-load.d/kubernetes.conf",
    ],
    [
        "sed -i 's/^timeout.*/timeout: 2/' /etc/crictl.yaml",
        "grep -q '^timeout: 10' /etc/crictl.yaml",
    ],
    [
        "rm /etc/systemd/journald.conf.d/99-kubernetes.conf",
        "[ -e /etc/systemd/journald.conf.d/99-kubernetes.conf ]",
    ],
    [
        "sed -i s/SystemdCgroup/Systemdcgroup/ /etc/containerd/config.toml",
        "grep -q SystemdCgroup /etc/containerd/config.toml",
    ],
    [
        "systemctl stop containerd",
        "systemctl -q is-active containerd",
    ],
    [
        "systemctl -q disable containerd",
        "systemctl -q is-enabled containerd",
    ],
    [
        "nft flush chain inet filter input",
        "nft list chain inet filter input | grep -q 10250",
    ],
];

pub fn run(image: &Image) {
    let mut machine = guest::boot(image);
    let machine = &mut machine;
    machine.ok(guest::NFTABLES);
    for unit in ["nodeprep.service", "nodeprep-watch.service"] {
        let file = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("units")
            .join(unit);
        machine.put(&file, &format!("/etc/systemd/system/{unit}"), "644");
    }
    machine.ok(SITE);
    watched(machine);
    // A unit is restarted for it, so systemd does not wait for the end.
    put_right(
        machine,
        &["systemctl -q enable --now nodeprep", "nodeprep check"],
    );
    said(
        machine,
        "STATUS",
        "systemctl show -p StatusText nodeprep",
        "in sync",
    );
    others_logs(machine);
    for drift in &DRIFTS {
        put_right(machine, drift);
    }
    said(machine, "status", "nodeprep status", "mode       enforce");
    said(
        machine,
        "journal",
        "journalctl -u nodeprep NODEPREP_ITEM=sysctl NODEPREP_OUTCOME=fixed -o cat",
        "sysctl kernel.panic: fixed",
    );
    restarts(machine);
    hardships(machine);
    contested(machine);
    paused(machine);
    machine.ok("begin=$(date +%s); systemctl stop nodeprep; [ $(($(date +%s) - begin)) -le 5 ]");
    machine.reboot();
    put_right(machine, &["true", "systemctl -q is-active nodeprep"]);
    Report::with(machine, "check", "", 0);
    machine.ok("journalctl -b -u nodeprep -o cat | grep 'watching: .* in sync'");
}

/// The bare machine is watched: each difference is told, and nothing is changed.
fn watched(machine: &mut Machine) {
    let before = guest::files(machine);
    machine.ok("systemctl start nodeprep-watch");
    said(
        machine,
        "differs",
        "journalctl -u nodeprep-watch -o cat",
        "sysctl net.ipv4.ip_forward: differs",
    );
    machine
        .ok("! journalctl -u nodeprep-watch -o cat | grep -E ' unknown|Operation not permitted'");
    machine.ok("sysctl -qw kernel.panic=3");
    said(
        machine,
        "news",
        "journalctl -u nodeprep-watch -o cat",
        "live: 3 → 10",
    );
    machine.ok("[ $(sysctl -n kernel.panic) = 3 ]");
    // Its file system is read-only but for where it is asked.
    machine.ok("told=$(nodeprep status || true); echo \"$told\" | grep 'mode  *watch'");
    machine.ok("systemctl stop nodeprep-watch; ! systemctl -q is-failed nodeprep-watch");
    let mut changed = guest::changed(&before, &guest::files(machine));
    changed.retain(|path| !path.starts_with("/run/"));
    assert_eq!(changed, [""; 0], "who watches changes nothing");
    let exposure =
        "systemd-analyze security --no-pager nodeprep nodeprep-watch 2>/dev/null || true";
    eprintln!("{}", machine.ok(exposure));
}

/// What anybody logs is no reason to look, though it changes a file that was looked at.
fn others_logs(machine: &mut Machine) {
    const LOOKS: &str = "nodeprep status --output json | tr -d ' ' | grep -o '\"looks\":[0-9]*'";
    let settled = format!(
        "until before=$({LOOKS}); sleep 5; [ \"$before\" = \"$({LOOKS})\" ]; do :; done; echo $before"
    );
    let before = machine.ok(&settled);
    machine.ok("for _ in $(seq 10); do logger 'nothing to see'; sleep 0.5; done");
    assert_eq!(machine.ok(&format!("echo $({LOOKS})")), before);
}

fn put_right(machine: &mut Machine, [way, proof]: &[&str; 2]) {
    eprintln!("  {way}");
    machine.ok(way);
    machine.ok(&format!(
        "for _ in $(seq {PATIENCE}); do {{ {proof}; }} >/dev/null && exit 0; sleep 0.1; done; \
         journalctl -u nodeprep -o cat | tail -n 20; exit 1"
    ));
}

#[track_caller]
fn said(machine: &mut Machine, what: &str, command: &str, text: &str) {
    let script = format!(
        "for _ in $(seq {PATIENCE}); do {command} | grep -qF '{text}' && exit 0; sleep 0.1; done; \
         {command} | tail -n 20; echo 'no {what}'; exit 1"
    );
    machine.ok(&script);
}

/// What the daemon asks is replaced under it.
fn restarts(machine: &mut Machine) {
    machine.ok("systemctl daemon-reexec; systemctl restart containerd systemd-journald");
    put_right(machine, &DRIFTS[0]);
    machine.ok("systemctl kill -s KILL nodeprep; sysctl -qw kernel.panic=0");
    put_right(machine, &["true", "[ $(sysctl -n kernel.panic) = 10 ]"]);
    machine.ok("systemctl reload nodeprep");
    said(
        machine,
        "STATUS",
        "systemctl show -p StatusText nodeprep",
        "in sync",
    );
    Report::with(machine, "check", "", 0);
}

/// Little memory, a clock that jumps, no room for the journal: what drifts then is put right, at the
/// latest once there is room again.
fn hardships(machine: &mut Machine) {
    machine.ok("systemctl set-property --runtime nodeprep MemoryMax=24M");
    put_right(machine, &DRIFTS[0]);
    machine.ok("systemctl set-property --runtime nodeprep MemoryMax=infinity");
    machine.ok("date -s '3 days'");
    put_right(machine, &DRIFTS[7]);
    machine.ok("date -s '3 days ago'");
    put_right(machine, &DRIFTS[0]);
    machine.ok(
        "mount -t tmpfs -o size=4k,mode=700 tmpfs /var/lib/nodeprep/journal && \
         { yes >/var/lib/nodeprep/journal/full || true; } 2>/dev/null; sysctl -qw kernel.panic=0",
    );
    said(
        machine,
        "word of the full disk",
        "journalctl -u nodeprep -o cat",
        "No space left on device",
    );
    machine.ok("[ $(sysctl -n kernel.panic) = 0 ] && umount /var/lib/nodeprep/journal");
    put_right(machine, &["true", "[ $(sysctl -n kernel.panic) = 10 ]"]);
    machine.ok("systemctl -q is-active nodeprep");
}

/// A service that changes back what is put right each time is named, and let have its way.
fn contested(machine: &mut Machine) {
    machine.ok(
        "systemctl reload nodeprep; systemd-run -q --unit other sh -c \
         'while sleep 2; do echo 0 >/proc/sys/kernel/panic; done'",
    );
    said(
        machine,
        "contest",
        "journalctl -u nodeprep -o cat",
        "sysctl kernel.panic: contested: put right 5 times within 10m, written by sh (other.service) before",
    );
    machine.ok("systemctl stop other; systemctl reload nodeprep");
    put_right(machine, &["true", "[ $(sysctl -n kernel.panic) = 10 ]"]);
}

fn paused(machine: &mut Machine) {
    machine.ok("nodeprep daemon pause 1h; sysctl -qw kernel.panic=0");
    said(
        machine,
        "STATUS",
        "systemctl show -p StatusText nodeprep",
        "held: paused",
    );
    machine.ok("[ $(sysctl -n kernel.panic) = 0 ]");
    machine.ok("nodeprep daemon resume");
    put_right(machine, &["true", "[ $(sysctl -n kernel.panic) = 10 ]"]);
}
