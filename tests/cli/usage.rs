//! Wrong command lines and missing rights: told apart from bad profiles by their exit codes.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use nodeprep::items::Item;

use crate::run::{as_nobody, nodeprep};
use crate::tree::Image;

trials!(
    anyone: [
        command_lines, items, settings, roots, help_is_no_mistake, not_root, dry_runs_need_no_root,
    ],
    root: []
);

fn command_lines() {
    let lines: [(&[&str], &str); 7] = [
        (&[], "Usage: nodeprep"),
        (&["aply"], "'apply'"),
        (&["check", "--outptu", "json"], "'--output'"),
        (
            &["check", "--output", "yaml"],
            "possible values: human, json",
        ),
        (&["apply", "--wait", "soon"], "--wait"),
        (
            &["check", "--only", "swap", "--skip", "swap"],
            "cannot be used with",
        ),
        (&["check", "-q", "-v"], "cannot be used with"),
    ];
    for (line, says) in lines {
        let ran = nodeprep(line);
        ran.exits(64).says(&[says]);
        assert!(ran.stdout.is_empty(), "{ran:#?}");
    }
    let not_utf8 = OsStr::from_bytes(b"\xff.toml");
    nodeprep([OsStr::new("check"), not_utf8]).exits(64);
}

fn items() {
    let image = Image::new("schema = \"v1alpha1\"\n[swap]\nstate = \"off\"\n");
    for flag in ["--only", "--skip"] {
        for command in ["check", "plan", "apply"] {
            let mut arguments = image.arguments(command);
            arguments.extend([flag.into(), "swap,swop".into()]);
            let known = format!("there are {}", Item::NAMES.join(", "));
            nodeprep(arguments)
                .exits(64)
                .says(&["there is no item \"swop\"", &known]);
        }
    }
    nodeprep(["explain", "swop"])
        .exits(64)
        .says(&["there is no item \"swop\""]);
}

fn settings() {
    let image = Image::new("schema = \"v1alpha1\"\n[swap]\nstate = \"off\"\n");
    for setting in ["novalue", "=1", ""] {
        let mut arguments = image.arguments("check");
        arguments.extend(["--set".into(), setting.into()]);
        nodeprep(arguments).exits(64).never_says("error: error:");
    }
    let mut arguments = image.arguments("check");
    arguments.extend(["--set".into(), "swap.stat=off".into()]);
    nodeprep(arguments)
        .exits(65)
        .says(&["unknown key `stat`", "did you mean `state`?"]);
}

fn roots() {
    let image = Image::new("schema = \"v1alpha1\"\n");
    for (root, says) in [
        ("/nonexistent", "/nonexistent: No such file"),
        ("/dev/null", "give a directory"),
    ] {
        let mut arguments = image.arguments("check");
        arguments[2] = root.into();
        nodeprep(arguments).exits(1).says(&[says]);
    }
}

fn help_is_no_mistake() {
    nodeprep(["--help"])
        .exits(0)
        .says(&["Usage: nodeprep", "75  another run holds the lock"]);
    nodeprep(["--version"])
        .exits(0)
        .says(&[env!("CARGO_PKG_VERSION")]);
    nodeprep(["apply", "--help"]).exits(0).says(&["--wait"]);
}

fn not_root() {
    as_nobody(&["apply", "kubeadm-worker"])
        .exits(77)
        .says(&["apply changes the host: run it as root"]);
}

fn dry_runs_need_no_root() {
    for command in [["check", "kubeadm-base"], ["plan", "kubeadm-base"]] {
        let ran = as_nobody(&command);
        assert_ne!(ran.code, Some(77), "{ran:#?}");
        assert!(ran.stdout.contains("against kubeadm-base"), "{ran:#?}");
    }
    as_nobody(&["apply", "--dry-run", "kubeadm-base"]).never_says("run it as root");
}
