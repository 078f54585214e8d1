//! What a check costs on a machine that is prepared in earnest, with containerd running behind three
//! kinds of firewall: the part of BENCHMARKS.md that this machine can't measure on itself.

use std::path::Path;

use crate::guest::{self, CONTROL_PLANE};
use crate::image;
use crate::machine::{Hardware, Machine};

/// The script beside the check.
const SCRIPT: &str = include_str!("../../benches/check.sh");
/// What measures the daemon.
const DAEMON: &str = include_str!("daemon.py");
/// What is to be known of its figures.
const ABOUT: &str = "\
nodeprep.service with the same profile, a swap file and a service that only sleeps. After the swap is
off systemd is reloaded, whatever that touches is looked at, and a rest of at most five seconds
follows, as looks are long here: the swap's second time and the module's first wait for it.";
/// The same profile for it, a service beside it that is stopped and started in no time, and a swap.
const SITE: &str = "mkdir -p /etc/nodeprep
cat >/etc/nodeprep/profile.toml <<'END'
schema = \"v1alpha1\"
extends = [\"kubeadm-control-plane\"]
remove = [\"images\", \"time\", \"dns\", \"kubelet\"]
[daemon]
poll = \"5s\"
[services]
idle = { state = \"running\" }
END
printf '[Service]\\nExecStart=sleep infinity\\n' >/etc/systemd/system/idle.service
fallocate -l 16M /swap && chmod 600 /swap && mkswap /swap >/dev/null
systemctl daemon-reload
systemctl start idle nodeprep";
/// What a check must leave as it is, beside every file.
const KERNEL: &str = "cut -d ' ' -f 1 /proc/modules; cat /proc/net/ip_tables_names /proc/net/ip6_tables_names 2>&1 || true";

/// A firewall that is shut: what it is called, what makes it, what ends it.
struct Firewall {
    name: &'static str,
    make: &'static str,
    end: &'static str,
}

const FIREWALLS: [Firewall; 3] = [
    Firewall {
        name: "nftables",
        make: guest::NFTABLES,
        end: "systemctl disable -q --now nftables; nft flush ruleset",
    },
    Firewall {
        name: "firewalld",
        // It has its name on the bus, and so is started, before it has made its rules; it answers after.
        make: "systemctl enable -q --now firewalld; firewall-cmd --list-ports",
        end: "systemctl disable -q --now firewalld",
    },
    Firewall {
        name: "legacy iptables",
        make: "for i in iptables-legacy ip6tables-legacy; do
    $i -P INPUT DROP; $i -A INPUT -i lo -j ACCEPT; $i -A INPUT -p tcp --dport 22 -j ACCEPT
done
rmmod nft_chain_nat nft_ct nft_compat nf_tables 2>/dev/null || true",
        end: "for i in iptables-legacy ip6tables-legacy; do $i -P INPUT ACCEPT; $i -F; done; rmmod iptable_filter ip6table_filter",
    },
];

/// Prints the part; `nodeprep` and `bench` are the programs as they are handed out.
pub fn run(nodeprep: &Path, bench: &Path) {
    let mut machine = Machine::boot(&image::of("bookworm").unwrap(), Hardware::DEFAULT);
    machine.put(nodeprep, "/usr/local/bin/nodeprep", "755");
    machine.put(bench, "/usr/local/bin/bench", "755");
    machine.ok(&format!("cat >/root/check.sh <<'SCRIPT'\n{SCRIPT}\nSCRIPT"));
    println!();
    println!(include_str!("bench.md"), machine = versions(&mut machine));
    for firewall in &FIREWALLS {
        eprintln!("{}", firewall.name);
        machine.ok(firewall.make);
        machine.ok(&format!("nodeprep apply {CONTROL_PLANE} >&2"));
        leaves_no_trace(&mut machine);
        let figures = machine.ok("bench emulated nodeprep /root/check.sh");
        println!("### {}\n\n{figures}\n", firewall.name);
        machine.ok(firewall.end);
    }
    eprintln!("the daemon");
    daemon(&mut machine);
}

fn daemon(machine: &mut Machine) {
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("units/nodeprep.service");
    machine.put(&unit, "/etc/systemd/system/nodeprep.service", "644");
    machine.ok(guest::NFTABLES);
    machine.ok(SITE);
    machine.ok(&format!(
        "cat >/root/daemon.py <<'SCRIPT'\n{DAEMON}\nSCRIPT"
    ));
    // It takes longer than a script may.
    machine.ok(
        "systemd-run -q --unit figures -p StandardOutput=file:/run/figures python3 -u /root/daemon.py",
    );
    while machine.run("systemctl -q is-active figures").code == 0 {
        machine.ok("sleep 10");
    }
    machine.ok("! systemctl -q is-failed figures || { cat /run/figures; journalctl -u nodeprep -o cat | tail -n 20; exit 1; }");
    let figures = machine.ok("cat /run/figures");
    println!("### The daemon in it\n\n{ABOUT}\n\n{figures}\n");
}

fn versions(machine: &mut Machine) -> String {
    machine.ok(
        "echo Linux $(uname -r), containerd $(dpkg-query -f '${Version}' -W containerd), \
         $(wc -l </lib/modules/$(uname -r)/modules.dep) modules",
    )
}

/// No module, no table, no file, no time of one.
fn leaves_no_trace(machine: &mut Machine) {
    let seen = |machine: &mut Machine| (machine.ok(KERNEL), guest::files(machine));
    let before = seen(machine);
    machine.ok(&format!(
        "nodeprep check {CONTROL_PLANE} >&2; bash /root/check.sh >&2"
    ));
    let after = seen(machine);
    assert_eq!(before.0, after.0);
    assert_eq!(guest::changed(&before.1, &after.1), [""; 0]);
}
