//! The documents of the file in the shape that a version reads (kubernetes' cmd/kubeadm/app/apis/kubeadm,
//! v1beta2 to v1beta4, types.go; kubelet.config.k8s.io and kubeproxy.config.k8s.io for the two others).

use std::collections::BTreeMap;

use yaml_rust2::yaml::Hash;
use yaml_rust2::{Yaml, YamlEmitter};

use super::value::Plain;
use super::{Role, Settings};
use crate::kubernetes::KubeadmApi;
use crate::template;

/// What begins a document.
const BEGIN: &str = "---\n";

/// The whole file.
pub fn render(settings: &Settings, node_ip: Option<&str>) -> String {
    let given = settings
        .advertise_address
        .map(|address| address.to_string());
    let file = File {
        settings,
        api: settings.version.kubeadm_api(),
        address: given.as_deref().or(node_ip),
    };
    let documents = match settings.role {
        Role::Init => vec![file.init(), file.cluster(), file.proxy(), file.kubelet()],
        // The others' are the cluster's, which tells them.
        Role::Join | Role::JoinControlPlane => vec![file.join()],
    };
    let mut text = template::header("kubeadm-config.yaml");
    for (index, document) in documents.into_iter().flatten().enumerate() {
        let mut written = String::new();
        // Writing to a String cannot fail.
        let _ = YamlEmitter::new(&mut written).dump(&document);
        // To kubeadm a comment with a separator below it is a document without a kind, which it refuses.
        let written = match index {
            0 => written.strip_prefix(BEGIN).unwrap_or(&written),
            _ => &written,
        };
        text += &format!("{written}\n");
    }
    if let Some(more) = &settings.documents {
        let begin = if more.0.starts_with("---") { "" } else { BEGIN };
        let end = if more.0.ends_with('\n') { "" } else { "\n" };
        text += &format!("{begin}{}{end}", more.0);
    }
    text
}

struct File<'a> {
    settings: &'a Settings,
    api: KubeadmApi,
    address: Option<&'a str>,
}

impl File<'_> {
    fn init(&self) -> Option<Yaml> {
        let settings = self.settings;
        let token = settings.token.as_ref().map(|token| {
            let token = map([("token", text(token.0.reveal()))]);
            Yaml::Array(token.into_iter().collect())
        });
        let key = settings.certificate_key.as_ref();
        self.kubeadm(
            "InitConfiguration",
            [
                ("bootstrapTokens", token),
                ("certificateKey", key.and_then(|key| text(key.0.reveal()))),
                ("localAPIEndpoint", self.local_endpoint()),
                ("nodeRegistration", self.registration()),
                (
                    "timeouts",
                    self.timeouts("controlPlaneComponentHealthCheck"),
                ),
            ],
        )
    }

    fn join(&self) -> Option<Yaml> {
        let settings = self.settings;
        let hashes = settings.ca_cert_hashes.iter();
        let hashes = hashes.filter_map(|hash| text(&hash.0)).collect();
        let endpoint = settings.control_plane_endpoint.as_ref();
        let skips = settings.skip_ca_verification;
        let cluster = map([
            ("apiServerEndpoint", endpoint.and_then(|at| text(&at.0))),
            ("caCertHashes", list(hashes)),
            (
                "token",
                settings
                    .token
                    .as_ref()
                    .and_then(|token| text(token.0.reveal())),
            ),
            (
                "unsafeSkipCAVerification",
                skips.then_some(Yaml::Boolean(true)),
            ),
        ]);
        let discovery = map([
            ("bootstrapToken", cluster),
            ("timeout", self.timeout().filter(|_| !self.is_newest())),
        ]);
        let key = settings.certificate_key.as_ref();
        let local = || {
            let key = key.and_then(|key| text(key.0.reveal()));
            let own = [
                ("certificateKey", key),
                ("localAPIEndpoint", self.local_endpoint()),
            ];
            map(own).or(Some(Yaml::Hash(Hash::new())))
        };
        let control_plane = (settings.role == Role::JoinControlPlane).then(local);
        self.kubeadm(
            "JoinConfiguration",
            [
                ("controlPlane", control_plane.flatten()),
                ("discovery", discovery),
                ("nodeRegistration", self.registration()),
                ("timeouts", self.timeouts("discovery")),
            ],
        )
    }

    fn cluster(&self) -> Option<Yaml> {
        let settings = self.settings;
        let names = settings.cert_sans.iter();
        let api_server = map([
            (
                "certSANs",
                list(names.filter_map(|name| text(name)).collect()),
            ),
            ("extraArgs", self.arguments(&settings.api_server_args)),
            (
                "timeoutForControlPlane",
                self.timeout().filter(|_| !self.is_newest()),
            ),
        ]);
        let part = |arguments| map([("extraArgs", self.arguments(arguments))]);
        let networking = map([
            ("dnsDomain", settings.dns_domain.as_deref().and_then(text)),
            (
                "podSubnet",
                settings.pod_subnet.as_ref().and_then(|of| text(&of.0)),
            ),
            (
                "serviceSubnet",
                settings.service_subnet.as_ref().and_then(|of| text(&of.0)),
            ),
        ]);
        let endpoint = settings.control_plane_endpoint.as_ref();
        self.kubeadm(
            "ClusterConfiguration",
            [
                ("apiServer", api_server),
                ("controlPlaneEndpoint", endpoint.and_then(|at| text(&at.0))),
                ("controllerManager", part(&settings.controller_manager_args)),
                (
                    "imageRepository",
                    settings.image_repository.as_deref().and_then(text),
                ),
                ("kubernetesVersion", text(&format!("v{}", settings.version))),
                ("networking", networking),
                ("scheduler", part(&settings.scheduler_args)),
            ],
        )
    }

    fn proxy(&self) -> Option<Yaml> {
        let mode = text(self.settings.proxy_mode?.name());
        document(
            "kubeproxy.config.k8s.io/v1alpha1",
            "KubeProxyConfiguration",
            [("mode", mode)],
        )
    }

    fn kubelet(&self) -> Option<Yaml> {
        let driver = text(self.settings.cgroup_driver?.name());
        document(
            "kubelet.config.k8s.io/v1beta1",
            "KubeletConfiguration",
            [("cgroupDriver", driver)],
        )
    }

    fn registration(&self) -> Option<Yaml> {
        let settings = self.settings;
        let socket = settings.cri_socket.as_deref().map(|socket| {
            // From 1.24 on a path without a scheme is warned of.
            match settings.version.has_dockershim() || socket.contains("://") {
                true => socket.to_owned(),
                false => format!("unix://{socket}"),
            }
        });
        map([
            ("criSocket", socket.as_deref().and_then(text)),
            ("kubeletExtraArgs", self.arguments(&settings.kubelet_args)),
            ("name", settings.node_name.as_deref().and_then(text)),
        ])
    }

    fn local_endpoint(&self) -> Option<Yaml> {
        let port = self.settings.bind_port;
        map([
            ("advertiseAddress", self.address.and_then(text)),
            ("bindPort", port.map(|port| Yaml::Integer(port.into()))),
        ])
    }

    /// A map of names up to v1beta3, a list of names and values since.
    fn arguments(&self, arguments: &BTreeMap<Plain, String>) -> Option<Yaml> {
        let pairs = arguments.iter();
        if !self.is_newest() {
            return map(pairs.map(|(name, value)| (&**name, Some(Yaml::String(value.clone())))));
        }
        let pair = |(name, value): (&Plain, &String)| {
            map([
                ("name", text(name)),
                ("value", Some(Yaml::String(value.clone()))),
            ])
        };
        list(pairs.filter_map(pair).collect())
    }

    /// Where v1beta4 has the time limits.
    fn timeouts(&self, name: &str) -> Option<Yaml> {
        map([(name, self.timeout().filter(|_| self.is_newest()))])
    }

    fn timeout(&self) -> Option<Yaml> {
        text(&self.settings.timeout.as_ref()?.0)
    }

    fn is_newest(&self) -> bool {
        self.api >= KubeadmApi::V1Beta4
    }

    fn kubeadm<'k>(
        &self,
        kind: &str,
        keys: impl IntoIterator<Item = (&'k str, Option<Yaml>)>,
    ) -> Option<Yaml> {
        document(&self.api.to_string(), kind, keys)
    }
}

fn document<'k>(
    api: &str,
    kind: &str,
    keys: impl IntoIterator<Item = (&'k str, Option<Yaml>)>,
) -> Option<Yaml> {
    let head = [("apiVersion", text(api)), ("kind", text(kind))];
    map(head.into_iter().chain(keys))
}

fn text(text: &str) -> Option<Yaml> {
    Some(Yaml::String(text.to_owned()))
}

fn list(items: Vec<Yaml>) -> Option<Yaml> {
    (!items.is_empty()).then_some(Yaml::Array(items))
}

/// The keys that have a value; none where none has.
fn map<'k>(keys: impl IntoIterator<Item = (&'k str, Option<Yaml>)>) -> Option<Yaml> {
    let mut hash = Hash::new();
    for (key, value) in keys {
        if let Some(value) = value {
            hash.insert(Yaml::String(key.to_owned()), value);
        }
    }
    (!hash.is_empty()).then_some(Yaml::Hash(hash))
}
