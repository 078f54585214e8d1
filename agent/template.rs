//! The beginnings of files we make anew; files that exist are edited, never rendered.

/// What a new file of this kind opens with.
#[must_use]
pub fn header(file: &str) -> String {
    match file {
        "sysctl.conf" => include_str!("../templates/sysctl.conf.hbs"),
        "modules-load.conf" => include_str!("../templates/modules-load.conf.hbs"),
        "networkmanager.conf" => include_str!("../templates/networkmanager.conf.hbs"),
        "unmanaged.network" => include_str!("../templates/unmanaged.network.hbs"),
        "dns.conf" => include_str!("../templates/dns.conf.hbs"),
        "limits.conf" => include_str!("../templates/limits.conf.hbs"),
        "journald.conf" => include_str!("../templates/journald.conf.hbs"),
        "containerd.toml" => include_str!("../templates/containerd.toml.hbs"),
        "hosts.toml" => include_str!("../templates/hosts.toml.hbs"),
        "apt.sources" => include_str!("../templates/apt.sources.hbs"),
        "yum.repo" => include_str!("../templates/yum.repo.hbs"),
        "crictl.yaml" => include_str!("../templates/crictl.yaml.hbs"),
        "kubelet" => include_str!("../templates/kubelet.hbs"),
        "kubeadm-config.yaml" => include_str!("../templates/kubeadm-config.yaml.hbs"),
        _ => include_str!("../templates/zram-generator.conf.hbs"),
    }
    .to_owned()
}
