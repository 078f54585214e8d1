//! What does not fit the Kubernetes, or the machine, that the profile is for.

use super::settings::Settings;
use crate::boot::modules::normal;
use crate::profile::diagnostic::ProfileError;
use crate::profile::tree::Value;

/// What kube-proxy's ipvs mode needs (its README, "Run kube-proxy in IPVS mode").
const IPVS: [&str; 4] = ["ip_vs", "ip_vs_rr", "ip_vs_wrr", "ip_vs_sh"];

/// Modules and kube-proxy's mode that do not go together.
pub fn proxy_modules(settings: &Settings<'_>) -> Vec<ProfileError> {
    let Some((mode, at)) = settings.proxy_mode() else {
        return Vec::new();
    };
    let load = settings.strings("modules", "load");
    let loads = |module: &&str| load.iter().any(|(name, _)| normal(name) == **module);
    match mode.as_str() {
        "nftables" => load
            .iter()
            .find(|(name, _)| normal(name) == "ip_vs")
            .map(|(_, at)| {
                ProfileError::new("ip_vs is loaded, which kube-proxy in nftables mode does not use")
                    .at((*at).clone())
                    .hint(
                        "[modules] remove = [\"ip_vs\", \"ip_vs_rr\", \"ip_vs_wrr\", \"ip_vs_sh\"]",
                    )
            })
            .into_iter()
            .collect(),
        "ipvs" => {
            let missing: Vec<_> = IPVS
                .iter()
                .filter(|module| !loads(module))
                .copied()
                .collect();
            let error = ProfileError::new(format!(
                "kube-proxy in ipvs mode needs {}, which nothing here loads",
                missing.join(", ")
            ));
            let hint = "add them to [modules] load: kube-proxy does not start without";
            (!missing.is_empty())
                .then(|| error.at(at.clone()).hint(hint))
                .into_iter()
                .collect()
        }
        _ => Vec::new(),
    }
}

/// The node then has two pause images, and one without a registry can't pull the second.
pub fn sandbox_image(settings: &Settings<'_>) -> Vec<ProfileError> {
    let image = settings.get("containerd", "sandbox_image");
    let found = image.and_then(|node| {
        let version = settings.kubernetes()?;
        let tag = version.pause();
        let (name, written) = node.as_str()?.rsplit_once(':')?;
        let is_other = name.ends_with("/pause") && written != tag;
        is_other.then(|| {
            ProfileError::new(format!(
                "the sandbox image is pause:{written}, that of kubeadm {version} is pause:{tag}"
            ))
            .at(node.at.clone())
            .hint(format!(
                "write {name}:{tag}, or set vars.kubernetes_version to what the cluster runs"
            ))
        })
    });
    found.into_iter().collect()
}

/// kubeadm sets the kubelet's driver to systemd from this minor version on where nothing else is said
/// (its changelog of 1.22).
const SYSTEMD_DRIVER: u32 = 22;

/// containerd and the kubelet must have one driver: two masters of one tree kill pods.
pub fn cgroup_driver(settings: &Settings<'_>) -> Vec<ProfileError> {
    let node = settings.get("containerd", "systemd_cgroup");
    let old = settings
        .kubernetes()
        .is_some_and(|version| version.minor < SYSTEMD_DRIVER);
    let off = node.filter(|node| node.value == Value::Boolean(false) && !old);
    let found = off.map(|node| {
        ProfileError::new("containerd manages cgroups itself, the kubelet leaves them to systemd")
            .at(node.at.clone())
            .hint("set true, or cgroupDriver: cgroupfs in the kubelet's configuration")
    });
    found.into_iter().collect()
}

/// MiB. Less is an error of kubeadm's preflight for a control plane (`ControlPlaneMem`, in MB).
const CONTROL_PLANE: u64 = 1700;
/// MiB. A node's own daemons take some 500 of them (kubespray refuses nodes with less).
const WORKER: u64 = 1024;

/// Without swap such a host kills processes where it was only slow before.
pub fn swap_off_small_memory(settings: &Settings<'_>) -> Vec<ProfileError> {
    let off = settings.get("swap", "state");
    let off = off.filter(|node| node.as_str() == Some("off"));
    let least = match super::ports::is_control_plane(settings) {
        true => CONTROL_PLANE,
        false => WORKER,
    };
    let found = off
        .zip(settings.memory)
        .filter(|(_, memory)| *memory < least);
    found
        .map(|(node, memory)| {
            ProfileError::new(format!(
                "swap off leaves this host its {memory} MiB of memory, and this role needs {least}"
            ))
            .at(node.at.clone())
            .hint("give it more memory; the OOM killer takes pods, and etcd, where swap would have slowed them")
        })
        .into_iter()
        .collect()
}
