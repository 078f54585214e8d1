//! Everything is taken back: by hand, by the guard of a run that nobody confirmed (in time, and
//! across a reboot), and after runs that were killed. Two boots.

use crate::guest::{self, PROFILE, Report};
use crate::image::Image;
use crate::machine::Machine;

/// A host with something of every kind to change.
pub const BARE: &str = r#"
mkdir -p /var/log/journal
systemd-tmpfiles --create --prefix /var/log/journal
systemctl restart systemd-journald
fallocate -l 64M /swapfile && chmod 600 /swapfile && mkswap /swapfile >/dev/null
printf '/swapfile none swap sw,pri=5 0 0\n# the end' >>/etc/fstab
chmod 640 /etc/fstab
systemctl daemon-reload && swapon -a
sysctl -qw net.ipv4.ip_forward=0 vm.overcommit_memory=0
printf '# ours\ndebug: true\n' >/etc/crictl.yaml
chown 0:4 /etc/crictl.yaml && chmod 604 /etc/crictl.yaml
systemctl start containerd
udevadm settle
"#;

/// Files with type, mode, owner, label and content, then what runs. `sysctl -a` itself, by the automount
/// below /proc/sys/fs, has systemd load binfmt_misc; where a key can't be read, it ends with an error.
pub const STATE: &str = r#"
find /etc /usr/local/etc -printf '%p %y %m %U %G %l\n' | sort
{ find /etc -exec stat -c '%n %C' {} + 2>/dev/null || true; } | sort
find /etc -type f -exec sha256sum {} + | sort -k2
swapon --show=NAME,PRIO --noheadings
lsmod | cut -d' ' -f1 | grep -vx binfmt_misc | sort
{ sysctl -a 2>/dev/null || true; } | grep -E '^(net\.(ipv4|ipv6)\.conf\.(all|default)|net\.bridge|net\.ipv4\.ip_forward|vm\.(swappiness|overcommit|panic|max_map)|kernel\.panic|fs\.(inotify|file-max|may_detach))'
systemctl list-unit-files --no-legend | sort
for unit in containerd systemd-journald nftables; do echo "$unit $(systemctl is-active $unit)"; done
nft list ruleset
"#;

pub fn run(image: &Image) {
    let mut machine = guest::boot(image);
    machine.ok(BARE);
    machine.ok(guest::NFTABLES);
    let bare = machine.ok(STATE);
    by_hand(&mut machine, &bare);
    confirmed(&mut machine);
    Report::with(&mut machine, "remove", "", 0);
    same(&bare, &machine.ok(STATE), "remove");
    killed(&mut machine, &bare);
    unconfirmed(&mut machine, &bare);
    rebooted(&mut machine, &bare);
}

fn by_hand(machine: &mut Machine, bare: &str) {
    let steps = Report::of(machine, "apply", 0).steps().len();
    assert!(steps > 10, "{steps} steps");
    assert_ne!(machine.ok(STATE), bare);
    let plan = Report::with(machine, "rollback --dry-run", "", 2);
    let planned: Vec<String> = plan.steps().into_iter().map(str::to_owned).collect();
    let back = Report::with(machine, "rollback", "", 0);
    assert_eq!(back.steps(), planned);
    same(bare, &machine.ok(STATE), "rollback");
    Report::of(machine, "check", 2);
    let history = machine.ok("nodeprep history");
    assert_eq!(history.matches("complete").count(), 2, "{history}");
}

/// A run that is confirmed stays, and until then no other begins.
fn confirmed(machine: &mut Machine) {
    Report::of(machine, "apply --confirm 1h", 0);
    let other = machine.run(&format!("nodeprep apply {PROFILE}"));
    assert_eq!(other.code, 75, "{}", other.stderr);
    machine.ok("nodeprep confirm && ! ls /etc/systemd/system/nodeprep-guard.*");
    Report::of(machine, "check", 0);
    let again = machine.run("nodeprep confirm");
    assert_eq!(again.code, 64, "{}", again.stderr);
}

/// Killed at moments all over a run, one after the other: the last apply finishes what is left.
fn killed(machine: &mut Machine, bare: &str) {
    machine.ok(&format!(
        "for time in 0.02 0.05 0.1 0.2 0.3 0.5 0.8 1.2; do
             timeout -s KILL $time nodeprep -q apply {PROFILE} >/dev/null 2>&1 || true
         done"
    ));
    Report::of(machine, "apply", 0);
    Report::of(machine, "check", 0);
    machine.ok("! find / -xdev -name '.*.nodeprep-*' | grep .");
    Report::with(machine, "remove", "", 0);
    same(bare, &machine.ok(STATE), "remove after kills");
}

fn unconfirmed(machine: &mut Machine, bare: &str) {
    Report::of(machine, "apply --confirm 10s", 0);
    machine.ok("for _ in $(seq 600); do [ -e /etc/systemd/system/nodeprep-guard.service ] || exit 0; sleep 0.2; done; exit 1");
    machine.ok("while systemctl -q is-active nodeprep-guard.service; do sleep 0.2; done");
    same(bare, &machine.ok(STATE), "not confirmed in time");
}

/// What is live is as that boot made it.
fn rebooted(machine: &mut Machine, bare: &str) {
    Report::of(machine, "apply --confirm 1h", 0);
    machine.reboot();
    machine.ok("for _ in $(seq 600); do [ -e /etc/systemd/system/nodeprep-guard.service ] || exit 0; sleep 0.2; done; journalctl -u nodeprep-guard; exit 1");
    let files = |state: &str| -> Vec<String> {
        let is_file = |line: &&str| line.contains(" /etc") || line.starts_with("/etc");
        state.lines().filter(is_file).map(str::to_owned).collect()
    };
    let now = machine.ok(STATE);
    assert_eq!(files(&now), files(bare));
    Report::of(machine, "check", 2);
}

/// The lines by which two states differ are shown, not both.
pub fn same(before: &str, after: &str, what: &str) {
    let diff = similar::TextDiff::from_lines(before, after);
    let diff = diff.unified_diff().context_radius(0).to_string();
    assert!(diff.is_empty(), "{what}:\n{diff}");
}
