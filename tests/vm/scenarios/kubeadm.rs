//! kubeadm itself judges: it complains of a bare machine, and of nothing once the machine is prepared, by
//! the configuration that was rendered for it; the images it names are those that were seen to.
//!
//! It is 1.20.2, which can be built from what Debian has. What it asks of crictl, ctr answers; the kubelet's
//! package holds a program that tells its version and no more.

use crate::cache;
use crate::guest::{self, Report};
use crate::image::Image;
use crate::machine::{Hardware, Machine};

const VERSION: &str = "1.20.2";
const CONFIG: &str = "/etc/kubernetes/kubeadm-config.yaml";
const PROFILE: &str = "/root/site.toml";
/// Without a network there is no server of the time and no name server.
const SITE: &str = r#"cat >/root/site.toml <<'END'
schema = "v1alpha1"
extends = ["kubeadm-control-plane"]
remove = ["time", "dns"]
[vars]
kubernetes_version = "1.20.2"
image_repository = "k8s.gcr.io"
[containerd]
sandbox_image = "k8s.gcr.io/pause:3.2"
[images]
archive = "/opt/images.tar"
END"#;

/// kubeadm wants 1700 MB; some of it is the kernel's from the start.
const HARDWARE: Hardware = Hardware {
    memory: 2048,
    ..Hardware::DEFAULT
};

/// What stands in for crictl: `crictl -r SOCKET info`, `inspecti IMAGE`.
const CRICTL: &str = r#"cat >/usr/local/bin/crictl <<'END' && chmod 755 /usr/local/bin/crictl
#!/bin/sh
case $3 in
    info) ctr plugins ls | grep -q 'io.containerd.grpc.v1 *cri .*ok' ;;
    inspecti) ctr -n k8s.io images ls -q | grep -qxF "$4" ;;
    *) echo "crictl $3: not to be had here" >&2 && exit 1 ;;
esac
END"#;

const PACKAGE: &str = r#"
mkdir -p /root/deb/DEBIAN /root/deb/usr/bin /root/deb/lib/systemd/system
printf 'Package: kubelet\nVersion: 1.20.2-00\nArchitecture: all\nMaintainer: lab\nDescription: lab\n' >/root/deb/DEBIAN/control
printf '#!/bin/sh\n[ "$1" = --version ] && echo Kubernetes v1.20.2 || exec sleep infinity\n' >/root/deb/usr/bin/kubelet
chmod 755 /root/deb/usr/bin/kubelet
printf '[Service]\nExecStart=/usr/bin/kubelet\n[Install]\nWantedBy=multi-user.target\n' >/root/deb/lib/systemd/system/kubelet.service
dpkg-deb -b /root/deb /root/kubelet.deb >/dev/null && dpkg -i /root/kubelet.deb >/dev/null
"#;

/// Swap, no forwarding, nothing loaded: what a machine has before it is a node.
const BARE: &str = r"
fallocate -l 64M /swapfile && chmod 600 /swapfile && mkswap /swapfile >/dev/null
printf '/swapfile none swap sw 0 0\n' >>/etc/fstab
systemctl daemon-reload && swapon -a
sysctl -qw net.ipv4.ip_forward=0
systemctl start containerd
";

/// The address of a node, and a way out: kubeadm looks for the address by it.
const NETWORK: &str = "ip link add node0 type veth peer name node1 && ip address add 192.0.2.7/24 dev node0 &&
                       ip link set node0 up && ip link set node1 up && ip route add default via 192.0.2.1";

const BARE_CONFIG: &str = "apiVersion: kubeadm.k8s.io/v1beta2
kind: InitConfiguration
nodeRegistration:
  criSocket: /run/containerd/containerd.sock
---
apiVersion: kubeadm.k8s.io/v1beta2
kind: ClusterConfiguration
kubernetesVersion: v1.20.2
";

pub fn run(image: &Image) {
    let recipe = [include_str!("../kubeadm.sh")];
    let made = cache::made("kubeadm", "bookworm", &recipe, "tests/vm/kubeadm.sh").unwrap();
    let mut machine = guest::boot_with(image, HARDWARE);
    let machine = &mut machine;
    machine.put(&made.join("kubeadm"), "/usr/bin/kubeadm", "755");
    machine.put(
        "tests/vm/scenarios/registry.py".as_ref(),
        "/root/registry.py",
        "644",
    );
    for script in [SITE, CRICTL, PACKAGE, BARE, NETWORK] {
        machine.ok(script);
    }
    let images = machine.ok(&format!(
        "kubeadm config images list --image-repository k8s.gcr.io --kubernetes-version v{VERSION} 2>/dev/null"
    ));
    let images = images.replace('\n', " ");
    machine.ok(&format!(
        "python3 /root/registry.py make /opt/images.tar {images}"
    ));
    machine.ok(&format!("cat >/root/bare.yaml <<'END'\n{BARE_CONFIG}END"));
    let bare = complaints(machine, "/root/bare.yaml");
    for name in [
        "[ERROR Swap]",
        "[ERROR FileContent--proc-sys-net-ipv4-ip_forward]",
        "[ERROR FileContent--proc-sys-net-bridge-bridge-nf-call-iptables]",
        "[WARNING Service-Kubelet]",
    ] {
        assert!(bare.contains(name), "{name}: {bare}");
    }
    Report::with(machine, "apply", PROFILE, 0);
    assert_eq!(complaints(machine, CONFIG), "");
    joins(machine);
    machine.reboot();
    machine.ok(NETWORK);
    Report::with(machine, "check", PROFILE, 0);
    assert_eq!(complaints(machine, CONFIG), "");
}

/// The files of nodes that join are read without a word too.
fn joins(machine: &mut Machine) {
    for role in ["join", "join-control-plane"] {
        machine.ok(&format!(
            "cat >/root/join.toml <<'END'
schema = \"v1alpha1\"
[kubeadm]
version = \"{VERSION}\"
role = \"{role}\"
path = \"/root/join.yaml\"
control_plane_endpoint = \"192.0.2.1:6443\"
advertise_address = \"192.0.2.7\"
node_name = \"node-1\"
timeout = \"5m\"
token = \"abcdef.0123456789abcdef\"
skip_ca_verification = true
kubelet_args = {{ v = \"4\" }}
END"
        ));
        Report::with(machine, "apply", "/root/join.toml", 0);
        let said =
            machine.ok("kubeadm config migrate --old-config /root/join.yaml 2>&1 >/dev/null");
        assert_eq!(said, "", "{role}");
    }
}

/// What kubeadm has to say against the machine: nothing where it ends well and warns of nothing.
fn complaints(machine: &mut Machine, config: &str) -> String {
    let output = machine.run(&format!("kubeadm init phase preflight --config {config}"));
    let all = output.stdout + &output.stderr;
    let is_complaint = |line: &&str| line.contains("[ERROR") || line.contains("WARNING");
    let complaints: Vec<&str> = all.lines().filter(is_complaint).map(str::trim).collect();
    assert_eq!(
        output.code == 0,
        !complaints.iter().any(|line| line.contains("[ERROR")),
        "{all}"
    );
    complaints.join("\n")
}
