//! Where answers go: JSON that programs can read, and a stdout that fails or goes away.

use std::fs::File;
use std::process::{Command, Stdio};

use crate::run::{NODEPREP, answer, nodeprep};
use crate::tree::Image;

trials!(
    anyone: [json, full_stdout, gone_reader, no_colours_in_files],
    root: []
);

const SWAP: &str = "schema = \"v1alpha1\"\n[swap]\nstate = \"off\"\n";

fn json() {
    let image = Image::new(SWAP);
    image.add("etc/fstab", "/swapfile none swap sw 0 0\n");
    for (command, code) in [
        ("check", 2),
        ("plan", 2),
        ("apply", 0),
        ("apply", 0),
        ("check", 0),
    ] {
        let mut arguments = image.arguments(command);
        arguments.extend(["--output".into(), "json".into()]);
        let ran = nodeprep(arguments);
        let json = ran.exits(code).json();
        assert_eq!(json["schema_version"], 1);
        assert_eq!(json["command"], command);
        assert_eq!(json["exit_code"], code);
        assert_eq!(json["entries"][0]["live"]["state"], "not_applicable");
    }
    for line in [
        vec!["facts"],
        vec!["explain", "swap"],
        vec!["profile", "list"],
    ] {
        nodeprep(line.iter().chain(&["--output", "json"]))
            .exits(0)
            .json();
    }
}

/// Results that could not be written are trouble, told on stderr without a panic.
fn full_stdout() {
    let image = Image::new(SWAP);
    let fixed = [
        vec!["facts"],
        vec!["explain"],
        vec!["profile", "list"],
        vec!["completions", "bash"],
    ];
    let lines = fixed.map(|line| line.into_iter().map(str::to_owned).collect());
    for line in lines
        .into_iter()
        .chain([image.arguments("check"), image.arguments("plan")])
    {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let mut command = Command::new(NODEPREP);
        let ran = answer(
            command
                .args(line)
                .stdout(full)
                .stderr(Stdio::piped())
                .output()
                .unwrap(),
        );
        ran.exits(1).says(&["stdout: No space left on device"]);
    }
    let full = File::options().write(true).open("/dev/full").unwrap();
    let help = Command::new(NODEPREP)
        .arg("--help")
        .stdout(full)
        .status()
        .unwrap();
    assert_eq!(help.code(), Some(1));
}

/// `nodeprep … | head` has got what it wanted.
fn gone_reader() {
    for line in [
        vec!["facts"],
        vec!["completions", "bash"],
        vec!["explain", "swap"],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = Command::new(NODEPREP);
        let ran = answer(
            command
                .args(line)
                .stdout(writer)
                .stderr(Stdio::piped())
                .output()
                .unwrap(),
        );
        ran.exits(0);
        assert_eq!(ran.stderr, "");
    }
}

fn no_colours_in_files() {
    let image = Image::new(SWAP);
    image.run("check").exits(0).never_says("\u{1b}");
    nodeprep(["check", "kubeadm-wrker"])
        .exits(65)
        .never_says("\u{1b}");
}
