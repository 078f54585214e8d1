//! What is said of a profile that can be used and may hurt, and when.

use crate::run::{Ran, directory, file, nodeprep};
use crate::tree::Image;

trials!(
    anyone: [
        validate_draws, validate_in_json, a_mistake_in_json, strict, allowed, not_a_lint, show_in_json,
        said_once_where_something_is_done,
    ],
    root: []
);

const RISKY: &str = "schema = \"v1alpha1\"\n[sysctl.keys]\n\"kernel.panic\" = 0\n";

fn validate(profile: &str, flags: &[&str]) -> Ran {
    let dir = directory();
    let path = file(&dir.path().join("p.toml"), profile);
    let command = ["profile", "validate", path.to_str().unwrap()];
    nodeprep(command.iter().chain(flags))
}

fn validate_draws() {
    let ran = validate(RISKY, &[]);
    ran.exits(0).says(&[
        "warning[kubelet-keys]: kernel.panic = 0 is not 10",
        "p.toml:3:1",
        "p can be used, with 1 warning: sysctl\n",
    ]);
    assert!(ran.stderr.is_empty(), "{ran:#?}");
    let fine = validate(&RISKY.replace("= 0", "= 10"), &["--strict"]);
    assert_eq!(fine.exits(0).stdout, "p can be used: sysctl\n");
}

fn validate_in_json() {
    let answer = validate(RISKY, &["--output", "json"]).exits(0).json();
    assert_eq!(answer["schema_version"], 1);
    assert_eq!(answer["valid"], true);
    assert_eq!(answer["items"], serde_json::json!(["sysctl"]));
    let warning = &answer["warnings"][0];
    assert_eq!(warning["lint"], "kubelet-keys");
    assert_eq!([&warning["line"], &warning["column"]], [3, 1]);
    assert!(warning["file"].as_str().unwrap().ends_with("/p.toml"));
}

fn a_mistake_in_json() {
    let ran = validate(
        "schema = \"v1alpha1\"\n[swop]\n",
        &["--output", "json", "--strict"],
    );
    let answer = ran.exits(65).says(&["did you mean `swap`?"]).json();
    assert_eq!(answer["valid"], false);
    assert_eq!(answer["error"]["message"], "unknown section [swop]");
    assert_eq!(answer["error"]["line"], 2);
}

fn strict() {
    validate(RISKY, &["--strict"])
        .exits(65)
        .says(&["warning[kubelet-keys]"]);
}

fn allowed() {
    let allowed = format!("{RISKY}[lint]\nallow = [\"kubelet-keys\"]\n");
    validate(&allowed, &["--strict"])
        .exits(0)
        .never_says("warning");
}

fn not_a_lint() {
    let wrong = format!("{RISKY}[lint]\nallow = [\"kublet-keys\"]\n");
    validate(&wrong, &[])
        .exits(65)
        .says(&["there is no lint \"kublet-keys\"", "p.toml:5:10"]);
}

fn show_in_json() {
    let ran = nodeprep(["profile", "show", "kubeadm-worker", "--output", "json"]);
    let profile = ran.exits(0).json();
    assert_eq!(profile["name"], "kubeadm-worker");
    assert_eq!(
        profile["sections"]["sysctl"]["keys"]["net.ipv4.ip_forward"],
        1
    );
}

fn said_once_where_something_is_done() {
    let image = Image::new(RISKY);
    let says = "kernel.panic = 0 is not 10";
    let ran = image.run("plan");
    ran.exits(2);
    assert_eq!(ran.stderr.matches(says).count(), 1, "{ran:#?}");
    assert!(ran.stderr.contains("profile.toml:3:1: "), "{ran:#?}");
    image.run("check").exits(2).never_says(says);
    let mut quiet = image.arguments("apply");
    quiet.push("-q".into());
    nodeprep(quiet).exits(0).never_says(says);
    image.run("apply").exits(0).says(&[says]);
}
