//! Ports that a role or a pod network needs and the profile's firewall would not let in.

use super::settings::Settings;
use crate::items::ports::opening::{Opening, Protocol};
use crate::profile::diagnostic::ProfileError;
use crate::profile::tree::Span;

/// A port somebody else must reach, and whose it is
/// (<https://kubernetes.io/docs/reference/networking/ports-and-protocols/>).
struct Needed {
    port: u16,
    protocol: Protocol,
    whose: &'static str,
}

const fn tcp(port: u16, whose: &'static str) -> Needed {
    let protocol = Protocol::Tcp;
    Needed {
        port,
        protocol,
        whose,
    }
}

const fn udp(port: u16, whose: &'static str) -> Needed {
    let protocol = Protocol::Udp;
    Needed {
        port,
        protocol,
        whose,
    }
}

const KUBELET: Needed = tcp(10250, "the kubelet, which the API server asks for logs");
const CONTROL_PLANE: [Needed; 3] = [
    tcp(6443, "kube-apiserver, which every node asks"),
    tcp(2379, "etcd, which other control-plane nodes ask"),
    tcp(2380, "etcd, for its peers on other control-plane nodes"),
];
/// Ports that only a control plane opens: the three above, the controller manager's and the scheduler's.
const ONLY_CONTROL_PLANE: [u16; 5] = [6443, 2379, 2380, 10257, 10259];

/// By `vars.cni`: any one of the ports will do, as each is an overlay of its own.
const NETWORKS: [(&str, &[Needed]); 3] = [
    (
        "flannel",
        &[udp(8472, "flannel's VXLAN"), udp(51820, "its WireGuard")],
    ),
    (
        "calico",
        &[
            udp(4789, "Calico's VXLAN"),
            tcp(179, "its BGP"),
            udp(51820, "its WireGuard"),
        ],
    ),
    (
        "cilium",
        &[
            udp(8472, "Cilium's VXLAN"),
            udp(6081, "its Geneve"),
            tcp(4240, "its health checks"),
        ],
    ),
];

/// Whether `vars.role` says so or a port is open that only a control plane has.
pub fn is_control_plane(settings: &Settings<'_>) -> bool {
    match settings.var("role") {
        Some((role, _)) => role == "control-plane",
        None => settings.openings("open").iter().any(|opening| {
            let mut ports = ONLY_CONTROL_PLANE.iter();
            opening.protocol == Protocol::Tcp && ports.any(|port| opening.ports.contains(port))
        }),
    }
}

/// What the role needs open and `[ports]` leaves out; a profile without `[ports]` leaves all to others.
pub fn role_ports(settings: &Settings<'_>) -> Vec<ProfileError> {
    let Some(at) = ports_at(settings) else {
        return Vec::new();
    };
    let open = settings.openings("open");
    let role: &[Needed] = match is_control_plane(settings) {
        true => &CONTROL_PLANE,
        false => &[],
    };
    let needed = role.iter().chain([&KUBELET]);
    needed
        .filter(|needed| !lets_in(&open, needed))
        .map(|needed| closed(needed, &at))
        .collect()
}

/// The overlay that `vars.cni` names.
pub fn network_ports(settings: &Settings<'_>) -> Vec<ProfileError> {
    let (Some((cni, _)), Some(at)) = (settings.var("cni"), ports_at(settings)) else {
        return Vec::new();
    };
    let open = settings.openings("open");
    let network = NETWORKS
        .iter()
        .find(|(name, _)| *name == cni.to_lowercase());
    let ports = network.map_or(&[][..], |(_, ports)| ports);
    if ports.iter().any(|port| lets_in(&open, port)) {
        return Vec::new();
    }
    ports
        .first()
        .map(|first| closed(first, &at))
        .into_iter()
        .collect()
}

fn ports_at(settings: &Settings<'_>) -> Option<Span> {
    let has = !settings.strings("ports", "open").is_empty();
    settings.section_at("ports").filter(|_| has)
}

fn lets_in(open: &[Opening], needed: &Needed) -> bool {
    open.iter()
        .any(|o| o.protocol == needed.protocol && o.ports.contains(&needed.port))
}

fn closed(needed: &Needed, at: &Span) -> ProfileError {
    let Needed {
        port,
        protocol,
        whose,
    } = needed;
    ProfileError::new(format!("[ports] does not open {port}/{protocol}: {whose}"))
        .at(at.clone())
        .hint(format!(
            "add \"{port}/{protocol}\" to open, unless nobody asks there"
        ))
}
