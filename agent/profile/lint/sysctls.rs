//! Kernel parameters that break a network, fight the kubelet, kube-proxy or systemd, or never come
//! true at boot.

use std::ops::RangeInclusive;

use super::settings::{Parameter, Settings};
use crate::boot::modules::normal;
use crate::items::ports::opening::{self, Protocol};
use crate::items::sysctl::brought_by;
use crate::profile::diagnostic::ProfileError;

/// kube-apiserver's --service-node-port-range where nobody says otherwise.
const NODE_PORTS: RangeInclusive<u16> = 30000..=32767;

/// Cilium's agents ask each other's health here (its system requirements, firewall rules).
const CILIUM_HEALTH: u16 = 4240;

/// The strict filter drops what would not go back the way it came, and so do Cilium's packets travel.
/// Of `all` and an interface the higher value holds (Documentation/networking/ip-sysctl.rst), so that
/// the 0 Cilium sets for its own interfaces does not help.
pub fn rp_filter(settings: &Settings<'_>) -> Vec<ProfileError> {
    let health = |opening: &opening::Opening| {
        opening.protocol == Protocol::Tcp && opening.ports.contains(&CILIUM_HEALTH)
    };
    let cilium = match settings.var("cni") {
        Some((cni, _)) => cni == "cilium",
        None => settings.openings("open").iter().any(health),
    };
    let keys = [
        "net.ipv4.conf.all.rp_filter",
        "net.ipv4.conf.default.rp_filter",
    ];
    let set = keys.iter().filter_map(|key| settings.parameter(key));
    set.filter(|set| cilium && set.number() == Some(1))
        .map(|set| warn(set, "drops pods' packets with Cilium").hint("set 0"))
        .collect()
}

/// A connection of the node itself takes such a port at random, and the service that has it gets none
/// of its packets; the kernel leaves out what is in ip_local_reserved_ports.
pub fn ephemeral_ports(settings: &Settings<'_>) -> Vec<ProfileError> {
    let Some(set) = settings.parameter("net.ipv4.ip_local_port_range") else {
        return Vec::new();
    };
    let Ok(local) = opening::range(&set.wanted.value().replace(' ', "-"), '-') else {
        return Vec::new();
    };
    let reserved = settings.parameter("net.ipv4.ip_local_reserved_ports");
    let reserved: Vec<_> = reserved
        .iter()
        .flat_map(|reserved| reserved.wanted.value().split(','))
        .filter_map(|range| opening::range(range.trim(), '-').ok())
        .collect();
    let openings = settings.openings("node_ports").into_iter();
    let mut ranges: Vec<_> = openings.map(|opening| opening.ports).collect();
    if ranges.is_empty() {
        ranges.push(NODE_PORTS);
    }
    let mut clash = ranges.iter().filter(|ports| {
        let first = *ports.start().max(local.start());
        let last = *ports.end().min(local.end());
        let free = |port| !reserved.iter().any(|range| range.contains(&port));
        (first..=last).any(free)
    });
    let found = clash.next().map(|ports| {
        let ports = opening::Ports(ports, '-');
        warn(set, &format!("lets connections take node ports ({ports})")).hint(format!(
            "end or begin the range outside of them, or set net.ipv4.ip_local_reserved_ports = \"{ports}\""
        ))
    });
    found.into_iter().collect()
}

/// Seconds. A disk under load, or one behind a network, takes as long; with hung_task_panic the node
/// is gone. 0 turns it off, the kernel's own value is 120 (Documentation/admin-guide/sysctl/kernel.rst).
const SHORTEST_HUNG_TASK: i64 = 30;

pub fn hung_task_timeout(settings: &Settings<'_>) -> Vec<ProfileError> {
    let short =
        |set: &&Parameter<'_>| (1..SHORTEST_HUNG_TASK).contains(&set.number().unwrap_or_default());
    let set = settings.parameter("kernel.hung_task_timeout_secs");
    let message = "calls a task hung that only waits for a slow disk";
    let found = set.filter(short).map(|set| {
        warn(set, message).hint("120 is the kernel's own value; hung_task_panic makes it a reboot")
    });
    found.into_iter().collect()
}

/// Limits, what they are no less than without a profile, and who says so.
const LIMITS: [(&str, i64, &str); 5] = [
    (
        "net.netfilter.nf_conntrack_max",
        131_072,
        "kube-proxy raises it to 131072 or more when it starts",
    ),
    ("fs.file-max", i64::MAX, "systemd from 240 on sets 2^63-1"),
    (
        "fs.nr_open",
        1_073_741_816,
        "systemd from 240 on sets 1073741816",
    ),
    (
        "kernel.pid_max",
        4_194_304,
        "systemd from 243 on sets 4194304",
    ),
    ("vm.max_map_count", 65_530, "the kernel's own value"),
];

/// An exact value below what the host has by itself.
pub fn limit_lowered(settings: &Settings<'_>) -> Vec<ProfileError> {
    let lowered = LIMITS.iter().filter_map(|(name, least, who)| {
        let set = settings.parameter(name)?;
        let low = !set.wanted.is_at_least() && set.number()? < *least;
        let hint = format!(
            "{who}: write {{ at_least = {} }} to raise only",
            set.wanted.value()
        );
        low.then(|| warn(set, "lowers a limit of hosts that have more").hint(hint))
    });
    lowered.collect()
}

/// What the kubelet's container manager wants exactly (k8s.io/component-helpers, node/util/sysctl).
const KUBELET: [(&str, i64); 6] = [
    ("vm.overcommit_memory", 1),
    ("vm.panic_on_oom", 0),
    ("kernel.panic", 10),
    ("kernel.panic_on_oops", 1),
    ("kernel.keys.root_maxkeys", 1_000_000),
    ("kernel.keys.root_maxbytes", 25_000_000),
];

/// A key the kubelet sets too, to another value.
pub fn kubelet_keys(settings: &Settings<'_>) -> Vec<ProfileError> {
    let fights = KUBELET.iter().filter_map(|(name, value)| {
        let set = settings.parameter(name)?;
        let fine = set.wanted.accepts(&value.to_string());
        let hint = "it sets its own when it starts, or with protectKernelDefaults does not start";
        (!fine).then(|| warn(set, &format!("is not {value}, as the kubelet wants it")).hint(hint))
    });
    fights.collect()
}

/// A node that does not route has no pods.
pub fn forwarding_off(settings: &Settings<'_>) -> Vec<ProfileError> {
    let set = settings.parameter("net.ipv4.ip_forward");
    let off = set.filter(|set| set.number() == Some(0)).map(|set| {
        warn(set, "is 0: the node routes no pod's packets").hint(
            "kubeadm's preflight refuses it (FileContent--proc-sys-net-ipv4-ip_forward): set 1",
        )
    });
    off.into_iter().collect()
}

/// Keys that kernels no longer or never had but a few, and since when.
const GONE: [(&str, &str); 2] = [
    (
        "net.ipv4.tcp_tw_recycle",
        "is gone since Linux 4.12, and broke clients behind NAT before",
    ),
    ("fs.may_detach_mounts", "is EL 7's kernel's alone"),
];

pub fn gone_key(settings: &Settings<'_>) -> Vec<ProfileError> {
    let gone = GONE.iter().filter_map(|(name, since)| {
        let set = settings.parameter(name)?;
        let value = set.wanted.value();
        let hint = format!(
            "leave it out, or write {{ value = {value}, optional = true }} for hosts of both kinds"
        );
        (!set.wanted.optional()).then(|| warn(set, since).hint(hint))
    });
    gone.collect()
}

/// systemd-sysctl skips a key that is not there yet. ip_vs needs nf_conntrack and brings it along
/// (`depends` of its modinfo).
pub fn key_without_module(settings: &Settings<'_>) -> Vec<ProfileError> {
    let loaded = settings.strings("modules", "load");
    let named = |module: &str| {
        loaded.iter().any(|(name, _)| {
            let name = normal(name);
            name == module
                || (module == "nf_conntrack"
                    && (name.starts_with("ip_vs") || name.starts_with("nf_conntrack_")))
        })
    };
    let mut told = Vec::new();
    let mut found = Vec::new();
    for set in &settings.parameters {
        let Some(module) = brought_by(&set.key) else {
            continue;
        };
        if named(module) || told.contains(&module) {
            continue;
        }
        told.push(module);
        found.push(
            warn(set, &format!("needs {module}, which nothing here loads")).hint(format!(
                "add \"{module}\" to [modules] load: without it the key is not there at boot"
            )),
        );
    }
    found
}

/// What Debian and EL link to /etc/sysctl.conf, which is read after all that sorts before it.
const LATE: &str = "99-sysctl.conf";

pub fn early_file(settings: &Settings<'_>) -> Vec<ProfileError> {
    let file = settings.get("sysctl", "file");
    let named = file.and_then(|node| Some((node.as_str()?, &node.at)));
    let early = named.filter(|(name, _)| *name < LATE).map(|(name, at)| {
        ProfileError::new(format!(
            "{name} is read before {LATE}, whose values win over it"
        ))
        .at(at.clone())
        .hint("a name without a number, such as kubernetes.conf, sorts after it")
    });
    early.into_iter().collect()
}

fn warn(set: &Parameter<'_>, message: &str) -> ProfileError {
    ProfileError::new(format!(
        "{} = {} {message}",
        set.key.name(),
        set.wanted.value()
    ))
    .at(set.at.clone())
}
