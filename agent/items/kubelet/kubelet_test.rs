//! Where the kubelet's flags and settings go, and what a host's units make of them.

#![allow(clippy::disallowed_methods)] // the test's own files

use std::path::Path;

use super::observed::{CONFIG, KUBEADM_FLAGS};
use super::*;
use crate::finding::Origin;
use crate::items::Item;
use crate::plan::Plan;

/// A tree with a kubelet of this version, and these files.
fn host(version: &str, files: &[(&str, &str)]) -> (tempfile::TempDir, Host) {
    let top = tempfile::tempdir().unwrap();
    let package = format!("Package: kubelet\nStatus: install ok installed\nVersion: {version}\n");
    let unit = "[Service]\nExecStart=/usr/bin/kubelet\n[Install]\nWantedBy=multi-user.target\n";
    let dropin = "[Service]\nEnvironmentFile=-/var/lib/kubelet/kubeadm-flags.env\nEnvironmentFile=-/etc/sysconfig/kubelet\n";
    let shipped = [
        ("/var/lib/dpkg/status", package.as_str()),
        ("/usr/lib/systemd/system/kubelet.service", unit),
        (
            "/usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf",
            dropin,
        ),
    ];
    for (path, text) in shipped.iter().chain(files) {
        let path = top.path().join(path.trim_start_matches('/'));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let host = Host::image(top.path()).unwrap();
    (top, host)
}

fn kubelet(text: &str) -> Kubelet {
    toml::from_str(text).unwrap()
}

fn boot(plan: &Plan, subject: &str) -> State {
    let mut findings = plan.items[0].findings.iter();
    findings
        .find(|finding| finding.subject == subject)
        .unwrap()
        .boot
        .clone()
}

const ARGS: &str =
    "version = \"1.34\"\ncgroup_driver = \"systemd\"\n[args]\nnode-ip = \"10.0.0.5\"\n";

#[test]
fn flags_go_where_the_unit_reads_them() {
    let file = "/etc/sysconfig/kubelet";
    let (top, mut host) = host("1.34.2-1.1", &[(file, "# ours\nKUBELET_EXTRA_ARGS=\n")]);
    let items = [Item::Kubelet(kubelet(ARGS))];
    let plan = Plan::make(&mut host, &items, None);
    assert_eq!(boot(&plan, "version"), State::InSync);
    assert_eq!(boot(&plan, "flags"), State::InSync);
    assert_eq!(
        boot(&plan, "--node-ip"),
        State::differs("not set", "10.0.0.5", None)
    );
    assert!(matches!(boot(&plan, "service"), State::Differs { .. }));
    assert!(matches!(
        boot(&plan, "cgroup_driver"),
        State::NotApplicable { .. }
    ));
    let (_, last) = plan.steps().last().unwrap();
    assert_eq!(last.step.file(), Some(Path::new(file)));
    assert_eq!(
        last.step.content(),
        b"# ours\nKUBELET_EXTRA_ARGS=--node-ip=10.0.0.5\n"
    );
    // Planned once, nothing is left.
    assert!(!Plan::make(&mut host, &items, None).has_work());
    assert!(items[0].wants("--node-ip") && !items[0].wants("--v") && items[0].wants("service"));
    drop(top);
}

#[test]
fn what_is_not_as_it_has_to_be_is_told_with_its_place() {
    let files = [
        (
            "/etc/sysconfig/kubelet",
            "KUBELET_EXTRA_ARGS=\"--node-ip=10.0.0.6\"\n",
        ),
        (
            KUBEADM_FLAGS,
            "KUBELET_KUBEADM_ARGS=\"--container-runtime=remote --pod-infra-container-image=registry.k8s.io/pause:3.9\"\n",
        ),
        (
            CONFIG,
            "apiVersion: kubelet.config.k8s.io/v1beta1\ncgroupDriver: cgroupfs\nkind: KubeletConfiguration\n",
        ),
    ];
    let (_top, mut host) = host("1.26.15-1.1", &files);
    let plan = Plan::make(&mut host, &[Item::Kubelet(kubelet(ARGS))], None);
    assert_eq!(
        boot(&plan, "version"),
        State::differs("1.26.15-1.1", "1.34", None)
    );
    // This one still has both flags.
    assert_eq!(boot(&plan, "flags"), State::InSync);
    let at = |path: &str, line| Some(Origin::line(Path::new(path), line));
    assert_eq!(
        boot(&plan, "cgroup_driver"),
        State::differs("cgroupfs", "systemd", at(CONFIG, 2))
    );
    assert_eq!(
        boot(&plan, "--node-ip"),
        State::differs("10.0.0.6", "10.0.0.5", at("/etc/sysconfig/kubelet", 1))
    );
}

#[test]
fn a_flag_that_is_gone() {
    let flags = "KUBELET_KUBEADM_ARGS=\"--pod-infra-container-image=registry.k8s.io/pause:3.9\"\n";
    let (_top, mut host) = host("1.35.1-1.1", &[(KUBEADM_FLAGS, flags)]);
    let plan = Plan::make(&mut host, &[Item::Kubelet(kubelet(""))], None);
    let origin = Some(Origin::line(Path::new(KUBEADM_FLAGS), 1));
    let to = "not given: it is gone since 1.35";
    assert_eq!(
        boot(&plan, "flags"),
        State::differs("--pod-infra-container-image", to, origin)
    );
    let refused =
        toml::from_str::<Kubelet>("version = \"1.27\"\nargs = { container-runtime = \"remote\" }");
    assert!(refused.unwrap_err().to_string().contains("gone since 1.27"));
    assert!(
        toml::from_str::<Kubelet>("version = \"1.24\"\nargs = { container-runtime = \"remote\" }")
            .is_ok()
    );
}

#[test]
fn nothing_is_written_before_it_is_installed() {
    let top = tempfile::tempdir().unwrap();
    let mut host = Host::image(top.path()).unwrap();
    let plan = Plan::make(&mut host, &[Item::Kubelet(kubelet(ARGS))], None);
    assert!(!plan.has_work());
    for subject in ["service", "--node-ip"] {
        assert!(
            matches!(boot(&plan, subject), State::Blocked { .. }),
            "{subject}"
        );
    }
    assert!(matches!(
        boot(&plan, "version"),
        State::NotApplicable { .. }
    ));
}

/// rpm is asked on the live host; in an image there is nobody to ask.
#[test]
fn rpms_package_has_a_version_too() {
    let release = (
        "/etc/os-release",
        "ID=rocky\nID_LIKE=\"rhel centos fedora\"\n",
    );
    let dnf = ("/etc/dnf/dnf.conf", "[main]\n");
    let systemd = ("/run/systemd/system/any", "");
    let says = |installed: &str| {
        let answers = format!(
            "{{\"facts\": {{}}, \"cri\": {{}}, \"rpm\": {{\"kubelet\": \"{installed}\"}}}}"
        );
        let (top, _) = host(
            "1.2.3",
            &[release, dnf, systemd, ("/answers.json", &answers)],
        );
        let mut host = Host::captured(top.path()).unwrap();
        let plan = Plan::make(
            &mut host,
            &[Item::Kubelet(kubelet("version = \"1.34\""))],
            None,
        );
        boot(&plan, "version")
    };
    assert_eq!(says("1.34.2-150500.1.1"), State::InSync);
    let old = "1.33.5-150500.1.1";
    assert_eq!(says(old), State::differs(old, "1.34", None));
    let (_top, mut host) = host("1.2.3", &[release, dnf]);
    let plan = Plan::make(&mut host, &[Item::Kubelet(kubelet(ARGS))], None);
    assert!(matches!(boot(&plan, "version"), State::Unknown { .. }));
}
