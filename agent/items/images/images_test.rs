//! Which images are pulled or imported, and what is no image's name.

use super::*;
use proptest::prelude::*;

const PAUSE: &str = "registry.k8s.io/pause:3.10.1";

fn images(text: &str) -> std::result::Result<Images, String> {
    toml::from_str(text).map_err(|error| error.to_string())
}

fn observed(names: &[&str]) -> Observed {
    Observed {
        found: Found::Has(names.iter().map(|name| (*name).to_owned()).collect()),
        sandbox: Some(PAUSE.into()),
        archive: true,
        not_here: None,
    }
}

const WORKER: &str = "kubernetes = \"1.34.1\"\n";

#[test]
fn what_is_missing_is_pulled_one_by_one() {
    let wanted = images(&format!(
        "{WORKER}list = [\"docker.io/library/a:1\"]\ncredentials = \"/root/auth\"\ntries = 1\n"
    ));
    let wanted = wanted.unwrap();
    let plan = wanted.diff(&observed(&[PAUSE]));
    let steps: Vec<_> = plan
        .steps
        .iter()
        .map(|planned| planned.step.to_string())
        .collect();
    assert_eq!(
        steps,
        [
            "pull registry.k8s.io/kube-proxy:v1.34.1",
            "pull docker.io/library/a:1"
        ]
    );
    let Step::PullImage {
        credentials,
        tries,
        timeout,
        ..
    } = &plan.steps[0].step
    else {
        panic!("{plan:?}")
    };
    assert_eq!(
        (credentials.as_deref(), *tries, *timeout),
        (Some(Path::new("/root/auth")), 1, TIMEOUT)
    );
    let all: Vec<&str> = wanted.wanted.iter().map(String::as_str).collect();
    assert!(!wanted.diff(&observed(&all)).has_work());
}

#[test]
fn an_archive_is_imported_once() {
    let wanted = images(&format!("{WORKER}archive = \"/opt/images.tar\"\n")).unwrap();
    let plan = wanted.diff(&observed(&[]));
    assert_eq!(plan.steps.len(), 1);
    assert_eq!(plan.steps[0].serves, wanted.wanted);
    let nothing_there = Observed {
        archive: false,
        ..observed(&[])
    };
    let plan = wanted.diff(&nothing_there);
    assert!(!plan.has_work());
    assert_eq!(
        plan.findings[0].live,
        State::blocked("/opt/images.tar is not there: copy it here")
    );
}

#[test]
fn the_runtimes_own_pause_image_agrees() {
    let wanted = images(WORKER).unwrap();
    let with = |sandbox: Option<&str>| {
        let sandbox = sandbox.map(str::to_owned);
        let plan = wanted.diff(&Observed {
            sandbox,
            ..observed(&[])
        });
        plan.findings
            .into_iter()
            .find(|finding| finding.subject == SANDBOX)
    };
    assert_eq!(with(Some(PAUSE)).unwrap().live, State::InSync);
    let other = with(Some("registry.k8s.io/pause:3.6")).unwrap();
    assert_eq!(
        other.live,
        State::differs("registry.k8s.io/pause:3.6", PAUSE, None)
    );
    assert_eq!(with(None), None, "containerd 2 does not tell");
}

#[test]
fn without_a_runtime_nothing_is_done() {
    let wanted = images(WORKER).unwrap();
    let off = |not_here| Observed {
        found: Found::Off("nothing listens".into()),
        not_here,
        ..observed(&[])
    };
    assert_eq!(
        wanted.diff(&off(None)).findings[0].live,
        State::blocked("nothing listens")
    );
    assert!(
        wanted.diff(&off(Some("an image"))).findings[0]
            .live
            .is_settled()
    );
}

#[test]
fn names_that_would_never_be_found() {
    for text in [
        "busybox",
        "docker.io/library/busybox",
        "library/busybox:1",
        "docker.io/a:b:c",
        "docker.io/a@sha256:1",
        "docker.io/a b:1",
        "/a:1",
        "registry.example:5000/a",
        "docker.io/a:",
    ] {
        assert!(Reference::try_from(text.to_owned()).is_err(), "{text}");
    }
    let digest = format!("docker.io/library/a@sha256:{}", "0".repeat(64));
    for text in [
        "docker.io/library/busybox:1.36",
        "localhost/a:1",
        "registry.example:5000/a/b:v1.0_1",
        "[fd00::1]:5000/a:1",
        &digest,
    ] {
        assert!(Reference::try_from(text.to_owned()).is_ok(), "{text}");
    }
    for (text, expected) in [
        ("", "names no image"),
        ("kubernetes = \"1.34\"", "expected 1.34.0"),
        (
            "kubernetes = \"1.34.1\"\narchive = \"a.tar\"",
            "not absolute",
        ),
        ("list = [\"a\"]", "no full name"),
        (
            "kubernetes = \"1.34.1\"\nrepository = \"a/\"",
            "no repository",
        ),
        ("kubernetes = \"1.34.1\"\nrole = \"init\"", "control-plane"),
    ] {
        let error = images(text).unwrap_err();
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn the_mirrors_set_of_the_guide() {
    let text = "kubernetes = \"1.24.0\"\nrole = \"control-plane\"\nrepository = \"registry.aliyuncs.com/google_containers\"\netcd = \"3.5.3-1\"\n";
    let wanted = images(text).unwrap().wanted;
    assert_eq!(wanted.len(), 7);
    assert!(wanted.contains(&"registry.aliyuncs.com/google_containers/etcd:3.5.3-1".to_owned()));
}

proptest! {
    #[test]
    fn no_name_panics(text in "[a-z0-9.:/@_\\[\\] -]{0,40}") {
        let _ = Reference::try_from(text);
    }
}
