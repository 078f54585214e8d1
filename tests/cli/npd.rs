//! `check --output npd` and the sample configuration that runs it: what node-problem-detector sees.

use std::path::Path;

use serde_json::Value;

use crate::run::{Ran, nodeprep};
use crate::tree::Image;

trials!(anyone: [verdicts, not_told, only_of_check, sample], root: []);

/// As it reads a plugin's output: trimmed, of at most 80 bytes.
#[track_caller]
fn line(ran: &Ran) -> &str {
    let line = ran.stdout.strip_suffix('\n').unwrap();
    assert!(
        !line.contains('\n') && line.len() <= 80 && line == line.trim(),
        "{ran:#?}"
    );
    line
}

fn check(image: &Image) -> Ran {
    let mut arguments = image.arguments("check");
    arguments.extend(["--output".into(), "npd".into()]);
    nodeprep(arguments)
}

fn verdicts() {
    let image = Image::new("schema = \"v1alpha1\"\n[crictl]\ntimeout = 10\n");
    let ran = check(&image);
    assert_eq!(line(ran.exits(1)), "1 differs: crictl timeout");
    image.run("apply").exits(0);
    let ran = check(&image);
    assert_eq!(line(ran.exits(0)), "1 in sync");
}

fn not_told() {
    let image = Image::new("schema = \"v1alpha1\"\n[crictl]\ntimeouts = 10\n");
    let ran = check(&image);
    ran.exits(2).says(&["did you mean `timeout`?"]);
    assert!(line(&ran).contains("timeouts"), "{ran:#?}");
}

fn only_of_check() {
    for command in ["plan", "apply", "facts", "status"] {
        nodeprep([command, "--output", "npd"])
            .exits(64)
            .says(&["npd is for check alone"]);
    }
}

/// It is accepted by node-problem-detector (its `CustomPluginConfig.Validate`), and its arguments by us.
fn sample() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("npd/nodeprep.json");
    let sample: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!(sample["plugin"], "custom");
    assert_eq!(sample["pluginConfig"]["max_output_length"], 80);
    let rule = &sample["rules"][0];
    assert_eq!(rule["type"], "permanent");
    assert_eq!(rule["condition"], sample["conditions"][0]["type"]);
    assert_eq!(rule["timeout"], sample["pluginConfig"]["timeout"]);
    assert_eq!(rule["path"], "/usr/local/bin/nodeprep");
    let arguments = rule["args"].as_array().unwrap().iter();
    let mut arguments: Vec<&str> = arguments.map(|one| one.as_str().unwrap()).collect();
    arguments.extend(["--root", "/nonexistent", "kubeadm-base"]);
    let ran = nodeprep(&arguments);
    assert!(line(ran.exits(2)).starts_with("/nonexistent"), "{ran:#?}");
}
