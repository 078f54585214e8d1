//! The file for each version of kubeadm, and what of it nobody else may read.

#![allow(clippy::disallowed_methods)] // the test's own files

use super::*;
use crate::items::Item;
use crate::plan::Plan;
use crate::profile::de;
use crate::secret::HIDDEN;
use crate::step::Undo;
use proptest::prelude::*;
use yaml_rust2::{Yaml, YamlLoader};

const TOKEN: &str = "abcdef.0123456789abcdef";
const HASH: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn settings(text: &str) -> std::result::Result<Kubeadm, String> {
    let text = format!("schema = \"v1alpha1\"\n[kubeadm]\n{text}");
    let mut read = |_: &Path| Ok(text.clone().into_bytes());
    let profile = crate::profile::load("/p.toml", &[], &mut read, &|| Err("none".into()));
    let profile = profile.map_err(|error| error.render(false))?;
    let section = profile.section("kubeadm").unwrap();
    de::from_node(section, "kubeadm").map_err(|error| error.render(false))
}

fn rendered(text: &str) -> String {
    document::render(&settings(text).unwrap().0, Some("10.0.0.5"))
}

fn documents(text: &str) -> Vec<Yaml> {
    YamlLoader::load_from_str(&rendered(text)).unwrap()
}

const INIT: &str = r#"
version = "VERSION"
cri_socket = "/run/containerd/containerd.sock"
image_repository = "registry.aliyuncs.com/google_containers"
pod_subnet = "10.244.0.0/16"
service_subnet = "10.96.0.0/12"
proxy_mode = "ipvs"
cgroup_driver = "systemd"
timeout = "4m0s"
kubelet_args = { node-ip = "10.0.0.5" }
"#;

#[test]
fn the_guides_file() {
    assert_eq!(
        rendered(&INIT.replace("VERSION", "1.24.0")),
        "# Written by nodeprep: what you change here is set again by the next apply. It is for\n\
         # `kubeadm init --config` or `kubeadm join --config`, and may hold a secret.\n\
         apiVersion: kubeadm.k8s.io/v1beta3\n\
         kind: InitConfiguration\n\
         localAPIEndpoint:\n  advertiseAddress: 10.0.0.5\n\
         nodeRegistration:\n  criSocket: \"unix:///run/containerd/containerd.sock\"\n  kubeletExtraArgs:\n    node-ip: 10.0.0.5\n\
         ---\n\
         apiVersion: kubeadm.k8s.io/v1beta3\n\
         kind: ClusterConfiguration\n\
         apiServer:\n  timeoutForControlPlane: 4m0s\n\
         imageRepository: registry.aliyuncs.com/google_containers\n\
         kubernetesVersion: v1.24.0\n\
         networking:\n  podSubnet: 10.244.0.0/16\n  serviceSubnet: 10.96.0.0/12\n\
         ---\n\
         apiVersion: kubeproxy.config.k8s.io/v1alpha1\n\
         kind: KubeProxyConfiguration\n\
         mode: ipvs\n\
         ---\n\
         apiVersion: kubelet.config.k8s.io/v1beta1\n\
         kind: KubeletConfiguration\n\
         cgroupDriver: systemd\n"
    );
}

#[test]
fn each_version_has_its_shape() {
    for (version, api) in [
        ("1.20.15", "v1beta2"),
        ("1.30.1", "v1beta3"),
        ("1.36.0", "v1beta4"),
    ] {
        let all = documents(&INIT.replace("VERSION", version));
        let api = format!("kubeadm.k8s.io/{api}");
        assert_eq!(all[0]["apiVersion"].as_str(), Some(api.as_str()));
        let arguments = &all[0]["nodeRegistration"]["kubeletExtraArgs"];
        let socket = all[0]["nodeRegistration"]["criSocket"].as_str().unwrap();
        assert_eq!(socket.starts_with("unix://"), version != "1.20.15");
        let limit = &all[0]["timeouts"]["controlPlaneComponentHealthCheck"];
        let old_limit = &all[1]["apiServer"]["timeoutForControlPlane"];
        if version == "1.36.0" {
            assert_eq!(arguments[0]["name"].as_str(), Some("node-ip"));
            assert_eq!(arguments[0]["value"].as_str(), Some("10.0.0.5"));
            assert_eq!((limit.as_str(), old_limit.as_str()), (Some("4m0s"), None));
        } else {
            assert_eq!(arguments["node-ip"].as_str(), Some("10.0.0.5"));
            assert_eq!((limit.as_str(), old_limit.as_str()), (None, Some("4m0s")));
        }
    }
}

fn join(role: &str, version: &str) -> String {
    format!(
        "version = \"{version}\"\nrole = \"{role}\"\ncontrol_plane_endpoint = \"10.0.0.10:6443\"\n\
         token = \"{TOKEN}\"\nca_cert_hashes = [\"{HASH}\"]\ntimeout = \"5m\"\n"
    )
}

#[test]
fn a_node_joins() {
    let all = documents(&join("join", "1.30.1"));
    assert_eq!(all.len(), 1);
    assert_eq!(all[0]["kind"].as_str(), Some("JoinConfiguration"));
    let cluster = &all[0]["discovery"]["bootstrapToken"];
    assert_eq!(cluster["token"].as_str(), Some(TOKEN));
    assert_eq!(
        cluster["apiServerEndpoint"].as_str(),
        Some("10.0.0.10:6443")
    );
    assert_eq!(cluster["caCertHashes"][0].as_str(), Some(HASH));
    assert_eq!(all[0]["discovery"]["timeout"].as_str(), Some("5m"));
    assert!(all[0]["controlPlane"].is_badvalue());
    let all = documents(&join("join-control-plane", "1.34.1"));
    let address = &all[0]["controlPlane"]["localAPIEndpoint"]["advertiseAddress"];
    assert_eq!(address.as_str(), Some("10.0.0.5"));
    assert_eq!(all[0]["timeouts"]["discovery"].as_str(), Some("5m"));
    assert!(all[0]["discovery"]["timeout"].is_badvalue());
}

#[test]
fn further_documents_stay_as_they_are() {
    let text = "version = \"1.34.1\"\ndocuments = '''\n# mine\napiVersion: a/v1\nkind: A\n'''\n";
    assert!(rendered(text).ends_with("---\n# mine\napiVersion: a/v1\nkind: A\n"));
    assert_eq!(documents(text).len(), 3);
}

#[test]
fn what_kubeadm_would_refuse() {
    for (text, expected) in [
        ("version = \"1.34\"", "expected 1.34.0"),
        (
            "version = \"1.34.1\"\nkubelet_args = { container-runtime = \"remote\" }",
            "gone since 1.27",
        ),
        (
            "version = \"1.34.1\"\nrole = \"join\"",
            "needs control_plane_endpoint",
        ),
        (
            "version = \"1.34.1\"\nrole = \"worker\"",
            "join-control-plane",
        ),
        (
            "version = \"1.34.1\"\npod_subnet = \"10.244.0.0\"",
            "no subnet",
        ),
        (
            "version = \"1.34.1\"\npod_subnet = \"10.0.0.0/33\"",
            "no subnet",
        ),
        ("version = \"1.34.1\"\ntimeout = \"4\"", "no time"),
        ("version = \"1.34.1\"\npath = \"a\"", "not absolute"),
        ("version = \"1.34.1\"\ndocuments = \"a: [\"", "no YAML"),
        ("version = \"1.34.1\"\ndocuments = \"a: 1\"", "kind"),
        ("version = \"1.34.1\"\nnode_name = \"a b\"", "no name"),
        (
            "version = \"1.34.1\"\ncontrol_plane_endpoint = \"a\"",
            "no endpoint",
        ),
    ] {
        let error = settings(text).unwrap_err();
        assert!(error.contains(expected), "{text}: {error}");
    }
    let no_hash = join("join", "1.30.1")
        .replace(HASH, "")
        .replace("[\"\"]", "[]");
    assert!(
        settings(&no_hash)
            .unwrap_err()
            .contains("needs ca_cert_hashes")
    );
}

#[test]
fn a_secret_is_in_the_file_and_nowhere_else() {
    let text = join("join-control-plane", "1.34.1")
        + &format!("certificate_key = \"{}\"\n", "9".repeat(64));
    let kubeadm = settings(&text).unwrap();
    let observed = Observed {
        content: None,
        access: None,
        node_ip: None,
    };
    let plan = kubeadm.diff(&observed);
    let told = [
        format!("{kubeadm:?}"),
        format!("{:?}", plan.findings),
        plan.steps[0].step.to_string(),
    ];
    for told in told {
        assert!(!told.contains(TOKEN) && !told.contains("999"), "{told}");
    }
    assert!(format!("{kubeadm:?}").contains(HIDDEN));
    let content = String::from_utf8_lossy(plan.steps[0].step.content()).into_owned();
    assert!(content.contains(TOKEN) && content.contains(&"9".repeat(64)));
    assert!(ACCESS.is_private());
    assert_eq!(plan.steps[0].step.undo(), Undo::Exact);
    // A token that is none is not shown either, nor is the line it stands on.
    let bad = "version = \"1.34.1\"\ntoken = \"hunter2\"\n";
    let error = settings(bad).unwrap_err();
    assert!(
        error.contains("no bootstrap token") && !error.contains("hunter2"),
        "{error}"
    );
}

#[test]
fn a_file_in_sync_and_others() {
    let kubeadm = settings("version = \"1.34.1\"").unwrap();
    let content = document::render(&kubeadm.0, None);
    let observed = |content: &str, mode| Observed {
        content: Some(content.to_owned()),
        access: Some(Access { mode, ..ACCESS }),
        node_ip: None,
    };
    assert!(kubeadm.diff(&observed(&content, 0o600)).steps.is_empty());
    let plan = kubeadm.diff(&observed(&content, 0o644));
    assert_eq!(
        (plan.steps.len(), plan.steps[0].serves.as_slice()),
        (1, &["access".to_owned()][..])
    );
    let changed = content.replace("v1.34.1", "v1.34.0");
    let plan = kubeadm.diff(&observed(&changed, 0o600));
    let State::Differs { origin, .. } = &plan.findings[0].live else {
        panic!("{plan:?}")
    };
    assert_eq!(origin.as_ref().unwrap().to_string(), format!("{PATH}:8"));
}

#[test]
fn a_member_of_a_cluster_keeps_its_file() {
    let top = tempfile::tempdir().unwrap();
    let mut host = Host::image(top.path()).unwrap();
    let items = [Item::Kubeadm(settings("version = \"1.34.1\"").unwrap())];
    assert!(Plan::make(&mut host, &items, None).has_work());
    std::fs::create_dir_all(top.path().join("etc/kubernetes")).unwrap();
    std::fs::write(top.path().join("etc/kubernetes/kubelet.conf"), "").unwrap();
    host.refresh();
    let plan = Plan::make(&mut host, &items, None);
    assert!(!plan.has_work());
    let State::Blocked { reason } = &plan.items[0].findings[0].boot else {
        panic!("{plan:?}")
    };
    assert!(reason.contains("--on-member"), "{reason}");
    host.allow_on_member(true);
    host.refresh();
    assert!(Plan::make(&mut host, &items, None).has_work());
}

proptest! {
    #[test]
    fn what_is_written_is_read(name in "[ -~]{1,20}", value in "\\PC{0,20}") {
        let mut kubeadm = settings("version = \"1.34.1\"").unwrap();
        let Ok(name) = Plain::try_from(name) else { return Ok(()) };
        kubeadm.0.kubelet_args.insert(name.clone(), value.clone());
        let text = document::render(&kubeadm.0, None);
        let read = YamlLoader::load_from_str(&text).unwrap();
        let argument = &read[0]["nodeRegistration"]["kubeletExtraArgs"][0];
        prop_assert_eq!(argument["name"].as_str(), Some(&*name));
        prop_assert_eq!(argument["value"].as_str(), Some(value.as_str()));
    }
}
