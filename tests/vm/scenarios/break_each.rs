//! A prepared machine is broken in one place at a time: check names just that, apply mends just that.

use crate::guest::{self, Report};
use crate::machine::Machine;

/// One thing that goes wrong.
struct Break {
    /// What someone did.
    script: &'static str,
    /// The subject that is hurt, as `item subject`.
    subject: &'static str,
    /// States of live and boot.
    states: [&'static str; 2],
    /// What check must blame, of the aspect that has an origin.
    origin: &'static str,
    /// The files that apply changes.
    files: &'static [&'static str],
    /// What a tool of the system says of it when mended.
    proof: [&'static str; 2],
}

const LIVE: [&str; 2] = ["differs", "in_sync"];
const BOOT: [&str; 2] = ["in_sync", "differs"];
const BOTH: [&str; 2] = ["differs", "differs"];

const BREAKS: [Break; 8] = [
    Break {
        script: "fallocate -l 16M /swap2 && chmod 600 /swap2 && mkswap /swap2 >/dev/null && swapon /swap2",
        subject: "swap /swap2",
        states: LIVE,
        origin: "",
        files: &[],
        proof: ["swapon --show", ""],
    },
    Break {
        script: "printf '\\n/swap2\\tnone swap sw,nofail 0 0\\n' >>/etc/fstab",
        subject: "swap /swap2",
        states: BOOT,
        origin: "/etc/fstab:7",
        files: &["/etc/fstab"],
        proof: ["tail -n 1 /etc/fstab", "#/swap2\tnone swap sw,nofail 0 0"],
    },
    Break {
        script: "printf '# hardening\\n\\nnet/ipv4/conf/all/forwarding=0\\n' >/etc/sysctl.d/zz-hardening.conf",
        subject: "sysctl net.ipv4.ip_forward",
        states: BOOT,
        origin: "/etc/sysctl.d/zz-hardening.conf:3",
        files: &[
            "/etc/sysctl.d/kubernetes.conf",
            "/etc/sysctl.d/zzz-nodeprep.conf",
        ],
        proof: [
            "systemctl restart systemd-sysctl && sysctl -n net.ipv4.ip_forward",
            "1",
        ],
    },
    Break {
        script: "sysctl -qw kernel.panic=0",
        subject: "sysctl kernel.panic",
        states: LIVE,
        origin: "",
        files: &[],
        proof: ["sysctl -n kernel.panic", "10"],
    },
    Break {
        script: "sed -i /vm.overcommit_memory/d /etc/sysctl.d/kubernetes.conf",
        subject: "sysctl vm.overcommit_memory",
        states: BOOT,
        origin: "",
        files: &["/etc/sysctl.d/kubernetes.conf"],
        proof: [
            "systemd-analyze cat-config sysctl.d | grep -c '^vm.overcommit_memory = 1$'",
            "1",
        ],
    },
    Break {
        script: "rmmod ip_vs_sh",
        subject: "modules ip_vs_sh",
        states: LIVE,
        origin: "",
        files: &[],
        proof: ["lsmod | grep -c '^ip_vs_sh '", "1"],
    },
    Break {
        script: "sed -i /^ip_vs_wrr/d /etc/modules-load.d/kubernetes.conf",
        subject: "modules ip_vs_wrr",
        states: BOOT,
        origin: "",
        files: &["/etc/modules-load.d/kubernetes.conf"],
        proof: [
            "systemd-analyze cat-config modules-load.d | grep -c ^ip_vs_wrr",
            "1",
        ],
    },
    Break {
        script: "sed -i 's/^timeout.*/timeout: 2/' /etc/crictl.yaml",
        subject: "crictl timeout",
        states: BOTH,
        origin: "/etc/crictl.yaml:6",
        files: &["/etc/crictl.yaml"],
        proof: ["grep ^timeout /etc/crictl.yaml", "timeout: 10"],
    },
];

pub fn run(machine: &mut Machine) {
    for broken in &BREAKS {
        eprintln!("  {}", broken.script);
        mend(machine, broken);
    }
    masked(
        machine,
        "/etc/sysctl.d/kubernetes.conf",
        "sysctl net.ipv4.ip_forward",
    );
    masked(
        machine,
        "/etc/modules-load.d/kubernetes.conf",
        "modules overlay",
    );
    deleted(machine);
    blacklisted(machine);
    overridden_journal(machine);
    deleted_override(machine);
    machine.reboot();
    Report::of(machine, "check", 0);
}

fn mend(machine: &mut Machine, broken: &Break) {
    machine.ok(broken.script);
    let report = Report::of(machine, "check", 2);
    assert_eq!(
        report.subjects("differs"),
        [broken.subject],
        "{}",
        broken.script
    );
    let [(live, first), (boot, second)] =
        ["live", "boot"].map(|aspect| report.aspect(broken.subject, aspect));
    assert_eq!(
        [live.as_str(), boot.as_str()],
        broken.states,
        "{}",
        broken.script
    );
    assert_eq!(
        if second.is_empty() { first } else { second },
        broken.origin,
        "{}",
        broken.script
    );
    let before = guest::files(machine);
    let report = Report::of(machine, "apply", 0);
    assert_eq!(
        report.subjects("fixed"),
        [broken.subject],
        "{}",
        broken.script
    );
    assert_eq!(
        guest::changed(&before, &guest::files(machine)),
        broken.files,
        "{}",
        broken.script
    );
    let [tool, says] = broken.proof;
    assert_eq!(machine.ok(tool), says, "{}", broken.script);
    Report::of(machine, "check", 0);
}

/// Someone masks our drop-in; what is left of the boot's settings is what others set.
fn masked(machine: &mut Machine, path: &str, subject: &str) {
    machine.ok(&format!("ln -sf /dev/null {path}"));
    let report = Report::of(machine, "check", 2);
    assert_eq!(report.aspect(subject, "live").0, "in_sync");
    assert_eq!(
        report.aspect(subject, "boot").0,
        if path.contains("sysctl") {
            "in_sync"
        } else {
            "differs"
        }
    );
    let before = guest::files(machine);
    Report::of(machine, "apply", 0);
    assert_eq!(guest::changed(&before, &guest::files(machine)), [path]);
    assert_eq!(machine.ok(&format!("stat -c %F {path}")), "regular file");
    Report::of(machine, "check", 0);
}

fn deleted(machine: &mut Machine) {
    machine.ok("rm /etc/sysctl.d/kubernetes.conf /etc/sysctl.d/zz*");
    let report = Report::of(machine, "check", 2);
    assert_eq!(
        report.aspect("sysctl net.ipv4.ip_forward", "boot").0,
        "differs"
    );
    Report::of(machine, "apply", 0);
    assert_eq!(
        machine.ok("ls /etc/sysctl.d | grep -c zzz || true"),
        "0",
        "nothing overrides any more"
    );
    Report::of(machine, "check", 0);
}

/// What cannot be outranked is reported with its line, and left alone.
fn blacklisted(machine: &mut Machine) {
    machine.ok("printf '# no bridges\\nblacklist br-netfilter\\n' >/etc/modprobe.d/site.conf");
    let expected = (
        "differs".to_owned(),
        "/etc/modprobe.d/site.conf:2".to_owned(),
    );
    assert_eq!(
        Report::of(machine, "check", 2).aspect("modules br_netfilter", "boot"),
        expected
    );
    let before = guest::files(machine);
    let report = Report::of(machine, "apply", 2);
    assert_eq!(report.aspect("modules br_netfilter", "boot"), expected);
    assert!(
        report
            .subjects("unfixed")
            .contains(&"modules br_netfilter".to_owned())
    );
    assert_eq!(guest::changed(&before, &guest::files(machine)), [""; 0]);
    machine.ok("rm /etc/modprobe.d/site.conf");
    Report::of(machine, "check", 0);
}

/// A drop-in that sorts after ours takes the journal off the disk with the next start of journald.
fn overridden_journal(machine: &mut Machine) {
    let path = "/etc/systemd/journald.conf.d/zz-small.conf";
    machine.ok(&format!("printf '[Journal]\\nStorage=volatile\\n' >{path}"));
    let report = Report::of(machine, "check", 2);
    let hurt = ["journald Storage", "journald running journald"];
    assert_eq!(report.subjects("differs"), hurt);
    let boot = report.aspect("journald Storage", "boot");
    assert_eq!(boot, ("differs".to_owned(), format!("{path}:2")));
    let live = report.aspect("journald running journald", "live");
    assert_eq!(live, ("differs".to_owned(), path.to_owned()));
    let before = guest::files(machine);
    assert_eq!(Report::of(machine, "apply", 0).subjects("fixed"), hurt);
    let last = "/etc/systemd/journald.conf.d/zzz-nodeprep.conf";
    assert_eq!(guest::changed(&before, &guest::files(machine)), [last]);
    let merged = "systemd-analyze cat-config systemd/journald.conf | grep ^Storage= | tail -n 1";
    assert_eq!(machine.ok(merged), "Storage=persistent");
    Report::of(machine, "check", 0);
}

/// A drop-in that is gone shows only in its directory; journald still runs with it.
fn deleted_override(machine: &mut Machine) {
    machine.ok("rm /etc/systemd/journald.conf.d/zz-small.conf");
    let report = Report::of(machine, "check", 2);
    assert_eq!(report.subjects("differs"), ["journald running journald"]);
    let live = report.aspect("journald running journald", "live");
    assert_eq!(
        live,
        (
            "differs".to_owned(),
            "/etc/systemd/journald.conf.d".to_owned()
        )
    );
    let times = guest::start_times(machine);
    let report = Report::of(machine, "apply", 0);
    assert_eq!(report.subjects("fixed"), ["journald running journald"]);
    let restarted = guest::start_times(machine);
    assert_ne!(times, restarted);
    Report::of(machine, "apply", 0);
    assert_eq!(restarted, guest::start_times(machine), "and not again");
}
