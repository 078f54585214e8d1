//! From a bare machine to one that kubeadm has nothing to say against, by the script that Vagrant's
//! boxes run; kubeadm's conditions are looked at with the system's own tools.

use std::collections::BTreeSet;
use std::path::Path;

use crate::guest;
use crate::image::Image;
use crate::machine::{Hardware, Machine};

/// As a site writes it; see `guest::PROFILE`.
const SITE: &str = r#"cat >/root/site.toml <<'END'
schema = "v1alpha1"
extends = ["kubeadm-control-plane"]
remove = ["images", "time", "dns", "kubelet"]
END"#;
const PROFILE: &str = "/root/site.toml";

/// kubeadm wants 1700 MB; some of it is the kernel's from the start.
const HARDWARE: Hardware = Hardware {
    memory: 2048,
    ..Hardware::DEFAULT
};

/// What is still said, and the item kind that will see to it. A kind that comes takes its lines out.
const NOT_YET: [(&str, &str); 3] = [
    ("KubeletVersion", "[packages]"),
    ("Service-Kubelet", "[services]"),
    ("ImagePull", "[images]"),
];

/// The suites whose containerd is older than 2.0. What would be done about it is another package.
const OLD_CONTAINERD: [&str; 3] = ["bullseye", "bookworm", "trixie"];

/// Swap, no forwarding, no journal that stays: what a machine has before it is a node.
const BARE: &str = r"
fallocate -l 64M /swapfile && chmod 600 /swapfile && mkswap /swapfile >/dev/null
printf '/swapfile none swap sw 0 0\n' >>/etc/fstab
systemctl daemon-reload && swapon -a
sysctl -qw net.ipv4.ip_forward=0
";

pub fn run(image: &Image) {
    let mut machine = guest::boot_with(image, HARDWARE);
    put_scripts(&mut machine);
    machine.ok(SITE);
    machine.ok(BARE);
    let bare = complaints(&mut machine);
    for name in ["Swap", "FileContent--proc-sys-net-ipv4-ip_forward"] {
        assert!(bare.contains(name), "{name} is looked at: {bare:?}");
    }
    machine.ok(&format!("sh /root/verify.sh prepare {PROFILE}"));
    assert_eq!(complaints(&mut machine), expected(image));
    machine.reboot();
    let ignore: Vec<&str> = NOT_YET.iter().map(|(name, _)| *name).collect();
    let ignore = ignore.join(",");
    let said = machine.ok(&format!(
        "IGNORE={ignore} sh /root/verify.sh prove {PROFILE}"
    ));
    assert_eq!(complaints(&mut machine), expected(image), "{said}");
    assert!(said.lines().count() > bare.len(), "{said}");
    breaks(&mut machine);
}

fn put_scripts(machine: &mut Machine) {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("vagrant");
    for name in ["verify.sh", "preflight.sh"] {
        machine.put(&scripts.join(name), &format!("/root/{name}"), "755");
    }
}

fn expected(image: &Image) -> BTreeSet<String> {
    let later = NOT_YET.iter().map(|(name, _)| *name);
    let old = OLD_CONTAINERD.contains(&image.suite);
    let runtime = old.then_some("ContainerRuntimeVersion");
    later.chain(runtime).map(str::to_owned).collect()
}

/// Names of the checks that are not as they should be.
fn complaints(machine: &mut Machine) -> BTreeSet<String> {
    let lines = machine.run("sh /root/preflight.sh").stdout;
    let complaint = |line: &str| {
        let (verdict, rest) = line.split_once(' ')?;
        let name = rest.split(':').next()?;
        (verdict != "ok").then(|| name.to_owned())
    };
    lines.lines().filter_map(complaint).collect()
}

/// The script sees what it is for: a judge that finds nothing anywhere proves nothing.
const BREAK: [(&str, &str, &str); 4] = [
    (
        "CRI",
        "systemctl stop containerd",
        "systemctl start containerd",
    ),
    (
        "DirAvailable--var-lib-etcd",
        "mkdir -p /var/lib/etcd/member",
        "rm -r /var/lib/etcd",
    ),
    (
        "FileAvailable--etc-kubernetes-manifests-etcd.yaml",
        "mkdir -p /etc/kubernetes/manifests && touch /etc/kubernetes/manifests/etcd.yaml",
        "rm -r /etc/kubernetes",
    ),
    (
        "Port-10250",
        "systemd-run -q --unit squatter systemd-socket-activate -l 10250 true",
        "systemctl stop squatter",
    ),
];

fn breaks(machine: &mut Machine) {
    let before = complaints(machine);
    for (_, how, _) in BREAK {
        machine.ok(how);
    }
    machine.ok("until grep -q ':280A ' /proc/net/tcp /proc/net/tcp6; do sleep 0.2; done");
    let found: Vec<_> = complaints(machine).difference(&before).cloned().collect();
    assert_eq!(found, BREAK.map(|(name, _, _)| name));
    for (_, _, back) in BREAK {
        machine.ok(back);
    }
}
