//! Fifty runs at once: one works at a time, the result is as from one.

use std::fs;
use std::process::{Child, Command, Stdio};

use crate::planted::PROFILE;
use crate::run::{NODEPREP, answer};
use crate::space::Space;
use crate::tree::{Image, leftovers};

trials!(
    anyone: [at_once_in_a_tree, waiting_in_a_tree],
    root: [at_once_live, waiting_live]
);

const RUNS: usize = 50;

fn image() -> Image {
    let image = Image::new(PROFILE);
    image.add("etc/fstab", "/s none swap sw\n");
    image
}

/// Starts them together, and counts their exit codes.
fn codes(start: impl Fn() -> Command) -> Vec<i32> {
    let children: Vec<Child> = (0..RUNS)
        .map(|_| {
            start()
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    let mut codes = Vec::new();
    for child in children {
        let ran = answer(child.wait_with_output().unwrap());
        match ran.code {
            Some(0) => {}
            _ => drop(ran.exits(75).says(&["another run", "--wait 60s"])),
        }
        codes.push(ran.code.unwrap());
    }
    codes
}

fn in_tree(image: &Image, wait: &str) -> Vec<i32> {
    codes(|| {
        let mut command = Command::new(NODEPREP);
        command
            .args(image.arguments("apply"))
            .args(["--wait", wait]);
        command
    })
}

/// What a single run makes of the same tree.
fn as_from_one(image: &Image) {
    let one = self::image();
    one.run("apply").exits(0);
    for path in [
        "etc/fstab",
        "etc/crictl.yaml",
        "etc/sysctl.d/kubernetes.conf",
        "etc/modules-load.d/kubernetes.conf",
    ] {
        assert_eq!(image.read(path), one.read(path), "{path}");
    }
    let journals = image.root().join("var/lib/nodeprep/journal");
    // The others found nothing to do.
    assert_eq!(fs::read_dir(journals).unwrap().count(), 1);
    assert!(leftovers(&image.root()).is_empty());
}

fn at_once_in_a_tree() {
    let image = image();
    let codes = in_tree(&image, "0s");
    assert!(codes.contains(&0), "{codes:?}");
    as_from_one(&image);
}

fn waiting_in_a_tree() {
    let image = image();
    assert_eq!(in_tree(&image, "60s"), [0; RUNS]);
    as_from_one(&image);
}

const LIVE: &str = "schema = \"v1alpha1\"\n[crictl]\ntimeout = 10\n";

fn live(wait: &'static str) -> (Space, Vec<i32>) {
    let space = Space::new(LIVE);
    let codes = codes(|| space.command("", &["apply", "--wait", wait]));
    let text = fs::read_to_string(space.path("etc/crictl.yaml")).unwrap();
    assert!(text.ends_with("\ntimeout: 10\n"), "{text}");
    assert_eq!(
        fs::read_dir(space.path("var/lib/nodeprep/journal"))
            .unwrap()
            .count(),
        1
    );
    assert!(leftovers(&space.path("etc")).is_empty());
    (space, codes)
}

fn at_once_live() {
    let (_space, codes) = live("0s");
    assert!(codes.contains(&0), "{codes:?}");
}

fn waiting_live() {
    let (space, codes) = live("60s");
    assert_eq!(codes, [0; RUNS]);
    // The lock goes with its process.
    space.run(&["apply"]).exits(0);
}
