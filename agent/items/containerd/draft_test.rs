//! What is written for whom, by the version of the file and of the daemon.

use proptest::prelude::*;

use super::*;

const BARE: &str = "[plugins.cri]\n  stream_server_port = \"0\" # any\n";
const ONE: &str =
    "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\"]\n  enable_selinux = true # ours\n";
const SPLIT: &str = "version = 3\n[plugins.'io.containerd.cri.v1.images']\n  snapshotter = 'zfs'\n";

fn image() -> Setting {
    Setting {
        subject: "sandbox_image".into(),
        key: Key::SandboxImage,
        wanted: "pause:3.9".into(),
    }
}

fn cgroup() -> Setting {
    Setting {
        subject: "systemd_cgroup".into(),
        key: Key::SystemdCgroup("runc".into()),
        wanted: true.into(),
    }
}

fn config_path() -> Setting {
    Setting {
        subject: "config_path".into(),
        key: Key::ConfigPath,
        wanted: mirror::DIRECTORY.into(),
    }
}

/// The states found, and the file as it would be written.
fn drafted(config: &Config, settings: &[Setting]) -> (Vec<State>, Option<String>) {
    let mut draft = Draft::new(config);
    draft.enable_cri();
    let states = settings
        .iter()
        .map(|setting| draft.judge(setting))
        .collect();
    let mut plan = ItemPlan::default();
    draft.add_to(&mut plan);
    let written = plan.steps.pop().map(|planned| match planned.step {
        Step::WriteFile { content, .. } => String::from_utf8(content).unwrap(),
        other => panic!("{other}"),
    });
    (states, written)
}

#[test]
fn each_file_is_written_as_its_daemon_reads_it() {
    let runc = "\n[plugins.CRI.containerd.runtimes.runc]\nruntime_type = \"io.containerd.runc.v2\"\n\n[plugins.CRI.containerd.runtimes.runc.options]\nSystemdCgroup = true\n";
    let one = runc.replace("CRI", "\"io.containerd.grpc.v1.cri\"");
    let split = runc.replace("CRI", "\"io.containerd.cri.v1.runtime\"");
    let as_two = BARE.replace(
        "[plugins.cri]",
        "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\"]",
    );
    let image_there = "  sandbox_image = \"pause:3.9\"\n";
    let pinned =
        "\n[plugins.\"io.containerd.cri.v1.images\".pinned_images]\nsandbox = \"pause:3.9\"\n";
    for (text, daemon, expected) in [
        (
            BARE,
            Some(Version(1, 6)),
            format!("{BARE}{image_there}{}", runc.replace("CRI", "cri")),
        ),
        (
            BARE,
            Some(Version(2, 1)),
            format!("{as_two}{image_there}{one}"),
        ),
        (BARE, None, format!("{as_two}{image_there}{one}")),
        (ONE, Some(Version(1, 4)), format!("{ONE}{image_there}{one}")),
        (ONE, Some(Version(2, 3)), format!("{ONE}{image_there}{one}")),
        (
            SPLIT,
            Some(Version(2, 0)),
            format!("{SPLIT}{pinned}{split}"),
        ),
        (SPLIT, None, format!("{SPLIT}{pinned}{split}")),
    ] {
        let config = Config::of(&[("/c", text)], daemon);
        let (states, written) = drafted(&config, &[image(), cgroup()]);
        assert!(
            states
                .iter()
                .all(|state| matches!(state, State::Differs { .. })),
            "{states:?}"
        );
        assert_eq!(written.as_ref(), Some(&expected), "{daemon:?}");
        let again = Config::of(&[("/c", &expected)], daemon);
        let done = (vec![State::InSync, State::InSync], None);
        assert_eq!(drafted(&again, &[image(), cgroup()]), done);
    }
}

#[test]
fn a_version_1_file_with_other_plugins_is_not_guessed_at() {
    let text = "[plugins.linux]\nshim = \"x\"\n";
    let stays = Config::of(&[("/c", text)], Some(Version(1, 7)));
    let (_, written) = drafted(&stays, &[image()]);
    assert!(
        written
            .unwrap()
            .ends_with("[plugins.cri]\nsandbox_image = \"pause:3.9\"\n")
    );
    let ignored = Config::of(&[("/c", text)], Some(Version(2, 1)));
    let (states, written) = drafted(&ignored, &[image()]);
    assert!(matches!(states[0], State::Unknown { .. }) && written.is_none());
}

#[test]
fn mirrors_need_a_path_and_no_others() {
    let registry =
        |text: &str| format!("{ONE}[plugins.\"io.containerd.grpc.v1.cri\".registry]\n{text}");
    let state = |text: &str, minor| {
        let config = Config::of(&[("/c", &registry(text))], Some(Version(1, minor)));
        let (mut states, written) = drafted(&config, &[config_path()]);
        (states.remove(0), written.is_some())
    };
    let list = "config_path = \"/etc/containerd/certs.d:/etc/docker/certs.d\"\n";
    assert_eq!(state(list, 6), (State::InSync, false));
    assert!(matches!(
        state("config_path = ''\n", 5),
        (State::Differs { .. }, true)
    ));
    assert!(matches!(state("", 4), (State::Blocked { .. }, false)));
    let inline = "mirrors.\"docker.io\".endpoint = [\"https://m\"]\n";
    let (State::Blocked { reason }, false) = state(inline, 6) else {
        panic!("inline mirrors and config_path together stop CRI");
    };
    assert!(reason.starts_with("/c:5 has registry.mirrors"), "{reason}");
}

#[test]
fn what_an_import_decides_is_not_written() {
    let import = "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\"]\nsandbox_image = \"b\"\n";
    let config = Config::of(&[("/c", ONE), ("/i", import)], Some(Version(2, 1)));
    let (states, written) = drafted(&config, &[image()]);
    let origin = Some(Origin::line(std::path::Path::new("/i"), 3));
    assert_eq!(states, [State::differs("b", "pause:3.9", origin)]);
    assert_eq!(written, None);
    let (_, written) = drafted(&config, &[cgroup()]);
    assert!(written.is_some(), "containerd 2 merges key by key");
}

proptest! {
    #[test]
    fn the_daemon_finds_what_was_written(
        lines in proptest::collection::vec("(  )?(#? ?[a-c] = [0-9]|\\[[a-c]\\]|\\[plugins\\.cri\\]|# [a-z]{3})?", 0..6),
        version in 0..5i64,
        daemon in proptest::option::of((1..3u32, 4..8u32)),
    ) {
        let text = match version {
            0 => lines.join("\n"),
            version => format!("version = {version}\n{}", lines.join("\n")),
        };
        prop_assume!(text.parse::<DocumentMut>().is_ok());
        let daemon = daemon.map(|(major, minor)| Version(major, minor));
        let config = Config::of(&[("/c", &text)], daemon);
        if let (_, Some(new)) = drafted(&config, &[image(), cgroup()]) {
            let found = Config::of(&[("/c", &new)], daemon);
            prop_assert_eq!(drafted(&found, &[image(), cgroup()]).0, [State::InSync, State::InSync]);
        }
    }
}
