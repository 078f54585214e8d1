//! Each lint on the least profile that makes it speak, and on its neighbours that must not.

use std::collections::BTreeSet;
use std::path::Path;

use super::*;
use crate::profile::builtin::BUILTIN;
use crate::profile::{de, load};

/// Memory of the host, MiB.
const MEMORY: u64 = 1200;

fn warned(profile: &str, text: &str) -> Vec<Warning> {
    let mut read = |_: &Path| Ok(format!("schema = \"v1alpha1\"\n{text}").into_bytes());
    let facts = || Ok(serde_json::json!({ "hostname": "node1", "node_ip": "192.0.2.7" }));
    let resolved = load(profile, &[], &mut read, &facts).unwrap_or_else(|e| panic!("{e}\n{text}"));
    let allowed = resolved
        .section("lint")
        .map(|node| de::from_node(node, "lint").unwrap());
    warnings(&resolved, &allowed.unwrap_or_default(), Some(MEMORY))
}

/// As `lint line: message`.
fn lines(text: &str) -> Vec<String> {
    let line = |w: &Warning| {
        let at = w.found.at.as_ref().expect("a place");
        format!("{} {}: {}", w.lint, at.line_column().0, w.found.message)
    };
    warned("p.toml", text).iter().map(line).collect()
}

/// What speaks, with the beginning of what it says.
const SPEAK: &[(&str, &str)] = &[
    (
        "[vars]\ncni = \"cilium\"\n[sysctl.keys]\n\"net.ipv4.conf.all.rp_filter\" = 1",
        "rp-filter 5: net.ipv4.conf.all.rp_filter = 1 drops pods' packets with Cilium",
    ),
    (
        "[ports]\nopen = [\"10250/tcp\", \"4240/tcp\"]\n[sysctl.keys]\n\"net/ipv4/conf/default/rp_filter\" = 1",
        "rp-filter 5: net.ipv4.conf.default.rp_filter = 1",
    ),
    (
        "[sysctl.keys]\n\"net.ipv4.ip_local_port_range\" = \"1024\\t65535\"",
        "ephemeral-ports 3: net.ipv4.ip_local_port_range = 1024 65535 lets connections take node ports (30000-32767)",
    ),
    (
        "[ports]\nnode_ports = [\"40000-40100/udp\"]\n[sysctl.keys]\n\"net.ipv4.ip_local_port_range\" = \"32768 60999\"",
        "ephemeral-ports 5: net.ipv4.ip_local_port_range = 32768 60999 lets connections take node ports (40000-40100)",
    ),
    (
        "[sysctl.keys]\n\"net.ipv4.ip_local_port_range\" = \"1024 65535\"\n\"net.ipv4.ip_local_reserved_ports\" = \"10250,30000-32000\"",
        "ephemeral-ports 3:",
    ),
    (
        "[sysctl.keys]\n\"kernel.hung_task_timeout_secs\" = 5",
        "hung-task-timeout 3: kernel.hung_task_timeout_secs = 5 calls a task hung",
    ),
    (
        "[modules]\nload = [\"nf_conntrack\"]\n[sysctl.keys]\n\"net.nf_conntrack_max\" = 65536",
        "limit-lowered 5: net.nf_conntrack_max = 65536 lowers a limit",
    ),
    (
        "[sysctl.keys]\n\"fs.file-max\" = 52706963",
        "limit-lowered 3: fs.file-max = 52706963 lowers",
    ),
    (
        "[sysctl.keys]\n\"kernel.panic\" = 0\n\"vm.overcommit_memory\" = 1",
        "kubelet-keys 3: kernel.panic = 0 is not 10, as the kubelet wants it",
    ),
    (
        "[sysctl.keys]\n\"net.ipv4.conf.all.forwarding\" = 0",
        "forwarding-off 3: net.ipv4.conf.all.forwarding = 0 is 0",
    ),
    (
        "[sysctl.keys]\n\"net.ipv4.tcp_tw_recycle\" = 0",
        "gone-key 3: net.ipv4.tcp_tw_recycle = 0 is gone since Linux 4.12",
    ),
    (
        "[sysctl.keys]\n\"net.bridge.bridge-nf-call-iptables\" = 1\n\"net.bridge.bridge-nf-call-ip6tables\" = 1",
        "key-without-module 3: net.bridge.bridge-nf-call-iptables = 1 needs br_netfilter",
    ),
    (
        "[modules]\nload = [\"overlay\"]\n[sysctl.keys]\n\"net.ipv4.vs.conntrack\" = 1",
        "key-without-module 5: net.ipv4.vs.conntrack = 1 needs ip_vs",
    ),
    (
        "[sysctl]\nfile = \"95-k8s.conf\"\n[sysctl.keys]",
        "early-file 3: 95-k8s.conf is read before 99-sysctl.conf",
    ),
    (
        "[vars]\nkube_proxy_mode = \"nftables\"\n[modules]\nload = [\"overlay\", \"ip-vs\"]",
        "proxy-modules 5: ip_vs is loaded, which kube-proxy in nftables mode does not use",
    ),
    (
        "[kubeadm]\nversion = \"1.34.0\"\nproxy_mode = \"ipvs\"\n[modules]\nload = [\"ip_vs\", \"ip_vs_rr\", \"ip_vs_wrr\"]",
        "proxy-modules 4: kube-proxy in ipvs mode needs ip_vs_sh,",
    ),
    (
        "[vars]\nkube_proxy_mode = \"ipvs\"\n[modules]\nload = [\"ip_vs\", \"ip_vs_rr\"]",
        "proxy-modules 3: kube-proxy in ipvs mode needs ip_vs_wrr, ip_vs_sh, which nothing here loads",
    ),
    (
        "[vars]\nkubernetes_version = \"v1.34.2\"\n[containerd]\nsandbox_image = \"registry.k8s.io/pause:3.7\"",
        "sandbox-image 5: the sandbox image is pause:3.7, that of kubeadm 1.34.2 is pause:3.10.1",
    ),
    (
        "[vars]\nkubernetes_version = 1.30\n[containerd]\nsandbox_image = \"localhost:5000/pause:3.10\"",
        "sandbox-image 5: the sandbox image is pause:3.10, that of kubeadm 1.30 is pause:3.9",
    ),
    (
        "[containerd]\nsystemd_cgroup = false",
        "cgroup-driver 3: containerd manages cgroups itself",
    ),
    (
        "[vars]\nrole = \"control-plane\"\n[swap]\nstate = \"off\"",
        "swap-off-small-memory 5: swap off leaves this host its 1200 MiB of memory, and this role needs 1700",
    ),
    (
        "[ports]\nopen = [\"2379-2380/tcp\", \"10250/tcp\"]",
        "role-ports 2: [ports] does not open 6443/tcp: kube-apiserver",
    ),
    (
        "[ports]\nopen = [\"30000-32767/tcp\"]",
        "role-ports 2: [ports] does not open 10250/tcp: the kubelet",
    ),
    (
        "[vars]\ncni = \"calico\"\n[ports]\nopen = [\"10250/tcp\", \"8472/udp\"]",
        "network-ports 4: [ports] does not open 4789/udp: Calico's VXLAN",
    ),
];

/// What must not.
const SILENT: &[&str] = &[
    "",
    "[vars]\ncni = \"flannel\"\n[sysctl.keys]\n\"net.ipv4.conf.all.rp_filter\" = 1",
    "[vars]\ncni = \"cilium\"\n[sysctl.keys]\n\"net.ipv4.conf.all.rp_filter\" = 0",
    "[sysctl.keys]\n\"net.ipv4.ip_local_port_range\" = \"32768 60999\"",
    "[sysctl.keys]\n\"net.ipv4.ip_local_port_range\" = \"1024 65535\"\n\"net.ipv4.ip_local_reserved_ports\" = \"30000-32767\"",
    "[sysctl.keys]\n\"kernel.hung_task_timeout_secs\" = 0",
    "[sysctl.keys]\n\"fs.file-max\" = { at_least = 52706963 }",
    "[sysctl.keys]\n\"kernel.keys.root_maxkeys\" = { at_least = 1000000 }\n\"vm.panic_on_oom\" = 0",
    "[sysctl.keys]\n\"net.ipv4.tcp_tw_recycle\" = { value = 0, optional = true }",
    "[modules]\nload = [\"ip-vs\"]\n[sysctl.keys]\n\"net.netfilter.nf_conntrack_max\" = 262144",
    "[modules]\nload = [\"nf_conntrack_ipv4\"]\n[sysctl.keys]\n\"net.netfilter.nf_conntrack_max\" = 262144",
    "[sysctl]\nfile = \"99-zz.conf\"\n[sysctl.keys]",
    "[vars]\nkube_proxy_mode = \"ipvs\"\n[modules]\nload = [\"ip_vs\", \"ip_vs_rr\", \"ip_vs_wrr\", \"ip_vs_sh\"]",
    "[vars]\nkubernetes_version = 1.35\n[containerd]\nsandbox_image = \"registry.k8s.io/pause:3.10.1\"",
    "[vars]\nkubernetes_version = \"latest\"\n[containerd]\nsandbox_image = \"registry.k8s.io/pause:3.7\"",
    "[vars]\nkubernetes_version = 1.34\n[containerd]\nsandbox_image = \"registry.example/sandbox:7\"",
    "[vars]\nkubernetes_version = 1.21\n[containerd]\nsystemd_cgroup = false",
    "[swap]\nstate = \"off\"",
    "[vars]\nrole = \"worker\"\n[ports]\nopen = [\"2379/tcp\", \"10250/tcp\"]",
    "[ports]\nopen = []",
    "[vars]\ncni = \"calico\"\n[ports]\nopen = [\"10250/tcp\", \"179/tcp\"]",
];

#[test]
fn each_lint_speaks_where_it_should() {
    for (text, says) in SPEAK {
        let found = lines(text);
        assert!(
            found.len() == 1 && found.iter().all(|line| line.starts_with(says)),
            "{text}\n{found:#?}"
        );
    }
    let tried: BTreeSet<_> = SPEAK
        .iter()
        .filter_map(|(_, says)| says.split(' ').next())
        .collect();
    assert_eq!(tried, LINTS.iter().map(|(lint, _)| *lint).collect());
}

#[test]
fn and_is_silent_where_it_should_not() {
    for text in SILENT {
        assert_eq!(lines(text), [""; 0], "{text}");
    }
}

#[test]
fn what_is_allowed_is_not_said() {
    let text = "[lint]\nallow = [\"cgroup-driver\"]\n[containerd]\nsystemd_cgroup = false";
    assert_eq!(lines(text), [""; 0]);
}

#[test]
fn a_lint_that_is_not_there_is_told() {
    let text = Name::try_from("swap".to_owned()).unwrap_err();
    assert!(text.starts_with("there is no lint \"swap\": there are rp-filter, "));
}

#[test]
fn shipped_profiles_hurt_nobody() {
    for (name, _) in BUILTIN {
        let found = warned(name, "");
        let wrong = found.iter().filter(|w| w.lint != "swap-off-small-memory");
        let wrong: Vec<_> = wrong.map(|w| w.found.to_string()).collect();
        assert_eq!(wrong, [""; 0], "{name}");
    }
}

#[test]
fn a_warning_is_drawn_with_its_name() {
    let found = warned("p.toml", "[containerd]\nsystemd_cgroup = false");
    let drawn = anstream::adapter::strip_str(&found[0].render()).to_string();
    insta::assert_snapshot!(drawn, @r"
    warning[cgroup-driver]: containerd manages cgroups itself, the kubelet leaves them to systemd
     --> p.toml:3:18
      |
    3 | systemd_cgroup = false
      |                  ^^^^^
      |
      = help: set true, or cgroupDriver: cgroupfs in the kubelet's configuration
    ");
}
