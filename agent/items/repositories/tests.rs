//! A repository against a host's files: both families from one entry.

#![allow(clippy::disallowed_methods, reason = "tests")]

use super::*;

const PROFILE: &str = r#"
[k8s]
key = """
-----BEGIN PGP PUBLIC KEY BLOCK-----

abc
-----END PGP PUBLIC KEY BLOCK-----
"""
apt = { uri = "https://pkgs.example/v1.30/deb/", suites = ["/"] }
dnf = { baseurl = "https://pkgs.example/v1.30/rpm/" }
"#;

fn plan(profile: &str, files: &[(&str, &str)]) -> ItemPlan {
    let top = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = top.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let host = Host::captured(top.path()).unwrap();
    let repositories: Repositories = toml::from_str(profile).unwrap();
    repositories.diff(&repositories.observe(&host).unwrap())
}

const DPKG: (&str, &str) = ("var/lib/dpkg/status", "");

#[test]
fn a_new_one_on_debian() {
    let plan = plan(PROFILE, &[DPKG]);
    let steps: Vec<String> = plan
        .steps
        .iter()
        .map(|step| step.step.to_string())
        .collect();
    let expected = [
        "write /etc/apt/keyrings/k8s.asc",
        "write /etc/apt/sources.list.d/k8s.sources",
    ];
    assert_eq!(steps, expected);
    let text = String::from_utf8(plan.steps[1].step.content().to_vec()).unwrap();
    let body = "Types: deb\nURIs: https://pkgs.example/v1.30/deb/\nSuites: /\nSigned-By: /etc/apt/keyrings/k8s.asc\n";
    assert!(text.ends_with(body), "{text}");
}

#[test]
fn one_that_another_file_defines() {
    let key = (
        "etc/apt/keyrings/k8s.asc",
        "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nabc\n-----END PGP PUBLIC KEY BLOCK-----\n",
    );
    let list = |line| ("etc/apt/sources.list.d/kubernetes.list", line);
    let there = plan(
        PROFILE,
        &[
            DPKG,
            key,
            list("deb [signed-by=/k] https://pkgs.example/v1.30/deb /\n"),
        ],
    );
    assert_eq!(
        (there.findings[0].boot.clone(), there.steps.len()),
        (State::InSync, 0)
    );
    let open = plan(
        PROFILE,
        &[
            DPKG,
            key,
            list("deb [trusted=yes] https://pkgs.example/v1.30/deb /\n"),
        ],
    );
    let State::Differs {
        origin: Some(origin),
        ..
    } = &open.findings[0].boot
    else {
        panic!("{open:?}")
    };
    assert_eq!(
        origin.to_string(),
        "/etc/apt/sources.list.d/kubernetes.list:1"
    );
    assert!(open.steps.is_empty());
}

#[test]
fn keys_and_names() {
    for bad in [
        "[a]\nkey = \"https://pkgs.example/key\"",
        "[\"../a\"]\nunsigned = true",
        "[a]\ngpgcheck = false",
        "[a]\ndnf = {}",
        "[a]\napt = { uri = \"http://a b\", suites = [] }",
    ] {
        assert!(toml::from_str::<Repositories>(bad).is_err(), "{bad}");
    }
    let missing = plan(
        "[a]\nkey = \"/k.gpg\"\napt = { uri = \"http://a\", suites = [\"x\"] }",
        &[DPKG],
    );
    assert!(matches!(missing.findings[0].boot, State::Blocked { .. }));
    let other = plan("[a]\ndnf = { baseurl = \"http://a\" }", &[DPKG]);
    assert!(matches!(
        other.findings[0].boot,
        State::NotApplicable { .. }
    ));
}
