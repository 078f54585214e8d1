//! The node's own files on a machine: name, hosts, name servers, interfaces, limits and what [files]
//! has. Prepared, booted again, broken place by place, mended, taken back. Two boots.

use crate::guest::{self, Report};
use crate::image::Image;
use crate::machine::Machine;

const PROFILE: &str = "/root/node.toml";
const PREPARE: &str = r##"
cat >/root/node.toml <<'END'
schema = "v1alpha1"
name = "node"
[hostname]
name = "k8s-node07"
[hosts.entries]
"192.0.2.10" = ["k8s-master01", "api.k8s.example"]
[dns]
nameservers = ["192.0.2.53", "192.0.2.54"]
search = ["k8s.example"]
[network_manager]
[limits."containerd.service"]
LimitNOFILE = "65536:131072"
TasksMax = 4000
[files]
"/etc/motd" = { content = "one\ntwo\n" }
"/etc/token" = { content = "s3cret\n", mode = "0640", owner = "nobody", group = "adm" }
"/etc/profile" = { block = "export KUBECONFIG=/etc/kubernetes/admin.conf", restart = ["containerd.service"] }
"/etc/kubernetes/manifests" = { directory = true, mode = "0700" }
"/etc/issue" = { absent = true }
"/etc/issue.net" = { link = "/etc/debian_version" }
"/etc/fstab.old" = { mode = "0600" }
END
printf '127.0.0.1\tlocalhost\n192.0.2.10 others # not ours' >/etc/hosts
printf 'old\n' >/etc/motd; printf 'i\n' >/etc/issue; touch /etc/fstab.old; chmod 664 /etc/fstab.old; chown 7:8 /etc/fstab.old
printf '[Match]\nName=!lo\n[Network]\nLinkLocalAddressing=no\n' >/etc/systemd/network/90-all.network
systemctl enable -q --now systemd-networkd
systemctl start containerd
# Nothing may ask the network for long, nor change /etc/resolv.conf.
systemctl disable -q --now systemd-networkd-wait-online.service systemd-resolved.service 2>/dev/null || true
rm -f /etc/resolv.conf
systemctl daemon-reload
"##;

/// Files with type, mode, owner, link and content, then what runs.
const STATE: &str = r"
find /etc -printf '%p %y %m %U:%G %l\n' | sort
find /etc -type f -exec sha256sum {} + | sort -k2
cat /proc/sys/kernel/hostname
systemctl is-active containerd systemd-networkd
systemctl show containerd -p LimitNOFILE -p LimitNOFILESoft -p TasksMax
";

pub fn run(image: &Image) {
    let mut machine = guest::boot(image);
    machine.ok(PREPARE);
    let bare = machine.ok(STATE);
    applies(&mut machine);
    let report = Report::with(&mut machine, "apply", PROFILE, 0);
    assert!(report.steps().is_empty(), "{:?}", report.steps());
    machine.reboot();
    Report::with(&mut machine, "check", PROFILE, 0);
    by_its_own_tools(&mut machine);
    Report::with(&mut machine, "remove", "", 0);
    let now = machine.ok(STATE);
    let diff = similar::TextDiff::from_lines(bare.as_str(), now.as_str());
    let diff = diff.unified_diff().context_radius(0).to_string();
    assert!(diff.is_empty(), "remove:\n{diff}");
    // What is broken by hand is no longer ours to take back.
    Report::with(&mut machine, "apply", PROFILE, 0);
    breaks(&mut machine);
}

fn applies(machine: &mut Machine) {
    let checked = Report::with(machine, "check", PROFILE, 2);
    assert_eq!(
        checked.aspect("hostname hostname", "boot").1,
        "/etc/hostname:1"
    );
    assert_eq!(
        checked
            .aspect("network_manager cali* in systemd-networkd", "boot")
            .1,
        "/etc/systemd/network/90-all.network"
    );
    let limit = "limits containerd.service LimitNOFILE";
    assert!(
        checked
            .aspect(limit, "boot")
            .1
            .contains("containerd.service:")
    );
    let planned = Report::with(machine, "plan", PROFILE, 2);
    let pid = machine.ok("pidof -s containerd");
    let shown = machine.ok("nodeprep plan /root/node.toml --diff || true");
    assert!(
        shown.contains("+two") && !shown.contains("s3cret"),
        "{shown}"
    );
    let applied = Report::with(machine, "apply", PROFILE, 0);
    assert_eq!(planned.steps(), applied.steps(), "planned = performed");
    assert_ne!(pid, machine.ok("pidof -s containerd"), "restarted");
    Report::with(machine, "check", PROFILE, 0);
    by_its_own_tools(machine);
}

fn by_its_own_tools(machine: &mut Machine) {
    for (script, expected) in [
        ("uname -n; cat /etc/hostname", "k8s-node07\nk8s-node07"),
        ("getent -s files hosts api.k8s.example | awk 'NR==1{print $1}'", "192.0.2.10"),
        ("getent -s files hosts k8s-node07 | awk 'NR==1{print $1}'", "127.0.1.1"),
        ("head -2 /etc/hosts", "127.0.0.1\tlocalhost\n192.0.2.10 others # not ours"),
        ("cat /etc/resolv.conf", "nameserver 192.0.2.53\nnameserver 192.0.2.54\nsearch k8s.example"),
        ("systemctl show containerd -p LimitNOFILE -p LimitNOFILESoft -p TasksMax | sort",
         "LimitNOFILE=131072\nLimitNOFILESoft=65536\nTasksMax=4000"),
        ("awk '/open files/{print $5}' /proc/$(pidof -s containerd)/limits", "131072"),
        ("cat /etc/motd", "one\ntwo"),
        ("stat -c '%a %U %G' /etc/token", "640 nobody adm"),
        ("stat -c '%a %U %F' /etc/kubernetes/manifests", "700 root directory"),
        ("stat -c '%a %u:%g' /etc/fstab.old", "600 7:8"),
        ("readlink /etc/issue.net; ls /etc/issue 2>/dev/null || echo none", "/etc/debian_version\nnone"),
        ("grep -c 'KUBECONFIG=/etc/kubernetes/admin.conf' /etc/profile", "1"),
        // networkd leaves an interface alone that it would have taken.
        ("ip link add cali0 type dummy; ip link set cali0 up; udevadm settle
          for _ in $(seq 50); do networkctl --no-legend list cali0 | grep -q unmanaged && break; sleep 0.2; done
          networkctl --no-legend list cali0 | awk '{print $NF}'; ip link delete cali0", "unmanaged"),
    ] {
        assert_eq!(machine.ok(script), expected, "{script}");
    }
}

/// Each place is broken, told, and mended.
fn breaks(machine: &mut Machine) {
    for (script, subject) in [
        ("echo other >/proc/sys/kernel/hostname", "hostname hostname"),
        ("echo other >/etc/hostname", "hostname hostname"),
        (
            "sed -i '/BEGIN nodeprep/,/END nodeprep/d' /etc/hosts",
            "hosts own name",
        ),
        (
            "echo nameserver 127.0.0.53 >/etc/resolv.conf",
            "dns nameservers",
        ),
        (
            "rm /etc/systemd/network/00-nodeprep.network",
            "network_manager cali* in systemd-networkd",
        ),
        (
            "rm /etc/systemd/system/containerd.service.d/zzz-nodeprep-limits.conf",
            "limits containerd.service LimitNOFILE",
        ),
        ("echo three >>/etc/motd", "files /etc/motd"),
        ("chmod 644 /etc/token", "files /etc/token"),
        ("chown 1 /etc/token", "files /etc/token"),
        (
            "sed -i 's/^export KUBECONFIG.*/export X=1/' /etc/profile",
            "files /etc/profile",
        ),
        ("touch -c /etc/profile", "files /etc/profile"),
        (
            "chmod 755 /etc/kubernetes/manifests",
            "files /etc/kubernetes/manifests",
        ),
        (
            "rmdir /etc/kubernetes/manifests",
            "files /etc/kubernetes/manifests",
        ),
        ("echo i >/etc/issue", "files /etc/issue"),
        ("ln -sf /dev/null /etc/issue.net", "files /etc/issue.net"),
        ("chmod 606 /etc/fstab.old", "files /etc/fstab.old"),
    ] {
        machine.ok(script);
        let found = Report::with(machine, "check", PROFILE, 2).subjects("differs");
        assert!(
            found.iter().any(|one| one == subject),
            "{script}: {found:?}"
        );
        Report::with(machine, "apply", PROFILE, 0);
        Report::with(machine, "check", PROFILE, 0);
    }
}
