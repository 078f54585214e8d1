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

/// The three of CentOS 7 that move to the vault are in one file, which each of them has a step for.
#[test]
fn sections_of_one_file() {
    let section = |name: &str| {
        format!(
            "[{name}]\nname={name}\nmirrorlist=http://mirrors.example/?repo={name}\ngpgcheck=1\n\n"
        )
    };
    let old: String = ["base", "updates", "extras"].map(section).concat();
    let base = "etc/yum.repos.d/CentOS-Base.repo";
    let profile = include_str!("../../../profiles/centos-7-vault.toml");
    let profile = profile.replace("{{ vars.vault }}", "http://vault.example");
    let profile: toml::Table = toml::from_str(&profile).unwrap();
    let wanted = toml::to_string(&profile["repositories"]).unwrap();
    let yum = ("etc/yum.conf", "[main]\n");
    let before = plan(&wanted, &[yum, (base, &old)]);
    assert_eq!((before.findings.len(), before.steps.len()), (3, 3));
    let new = before.steps.last().unwrap().step.content();
    let new = String::from_utf8(new.to_vec()).unwrap();
    let expected = ["base", "updates", "extras"].map(|name| {
        let path = if name == "base" { "os" } else { name };
        let place = format!("baseurl=http://vault.example/7.9.2009/{path}/$basearch/\n");
        let mirrors = format!("mirrorlist=http://mirrors.example/?repo={name}\n");
        let head = format!("[{name}]\n");
        let new = section(name).replace(&mirrors, "");
        new.replace(&head, &format!("{head}{place}"))
    });
    assert_eq!(new, expected.concat());
    let after = plan(&wanted, &[yum, (base, &new)]);
    assert!(after.steps.is_empty(), "{after:#?}");
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
