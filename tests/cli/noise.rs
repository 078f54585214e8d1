//! Whatever a profile's bytes are, the answer is 65 (or 0, where they happen to be a profile): no
//! panic, no other code.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::run::{directory, file, nodeprep};

trials!(
    anyone: [random_bytes, damaged_profiles],
    root: []
);

/// Each case starts a process.
const CASES: u32 = 150;

const PROFILE: &str = r#"schema = "v1alpha1"
name = "x"
extends = ["kubeadm-base"]
[vars]
socket = "/run/containerd/containerd.sock"
[modules]
load = ["overlay"]
[sysctl.keys]
"net.ipv4.ip_forward" = { value = 1, optional = true }
[crictl]
runtime-endpoint = "unix://{{ vars.socket }}"
"#;

/// Validates each profile and asserts that its exit code is one of `codes`.
fn answers(profiles: impl Strategy<Value = Vec<u8>>, codes: &[i32]) {
    let dir = directory();
    let config = Config {
        cases: CASES,
        failure_persistence: None,
        ..Config::default()
    };
    let mut runner = TestRunner::new(config);
    let result = runner.run(&profiles, |bytes| {
        let path = file(&dir.path().join("p.toml"), bytes);
        let ran = nodeprep(["profile", "validate", path.to_str().unwrap()]);
        let known = ran.code.is_some_and(|code| codes.contains(&code));
        prop_assert!(known && !ran.stderr.contains("panicked at"), "{ran:#?}");
        Ok(())
    });
    result.unwrap();
}

fn random_bytes() {
    answers(proptest::collection::vec(any::<u8>(), 0..200), &[65]);
}

/// A stretch of a good profile replaced by noise, or by characters that mean something in TOML.
fn damaged_profiles() {
    let noise = prop_oneof![
        "[\\[\\]{}=\"'.,#\n\\\\a1é-]{0,6}".prop_map(String::into_bytes),
        any::<[u8; 2]>().prop_map(Vec::from)
    ];
    let damaged = (0..PROFILE.len(), 0..12_usize, noise).prop_map(|(at, length, noise)| {
        let mut bytes = PROFILE.as_bytes().to_vec();
        let end = (at + length).min(bytes.len());
        bytes.splice(at..end, noise);
        bytes
    });
    answers(damaged, &[0, 65]);
}
