//! Trees that will be booted elsewhere: what is not ours in a file survives to the byte, a second
//! apply does nothing, a check leaves no trace.

use std::fs::File;
use std::os::unix::fs::{PermissionsExt, symlink};

use crate::run::{as_nobody, nodeprep};
use crate::tree::{Image, leftovers, photograph};

trials!(
    anyone: [
        fstab_keeps_every_other_byte, fstab_of_every_shape, fstab_is_a_link, twice, check_leaves_no_trace,
        check_as_nobody, no_such_module, strange_crictl, a_failing_item_stops_no_other, locked, links_out_of_the_tree,
        facts_that_are_not_known, a_diff_is_against_what_was,
    ],
    root: []
);

const ALL: &str = r#"schema = "v1alpha1"
[swap]
state = "off"
[modules]
load = ["overlay"]
[sysctl.keys]
"net.ipv4.ip_forward" = 1
[crictl]
runtime-endpoint = "unix:///run/containerd/containerd.sock"
timeout = 10
"#;
const SWAP: &str = "schema = \"v1alpha1\"\n[swap]\nstate = \"off\"\n";

fn fstab_keeps_every_other_byte() {
    let image = Image::new(SWAP);
    let row = "\t /swap\\040file \t none\tswap  sw\t0 0\r\n";
    let before = "# /old none swap sw 0 0\r\n\r\n/dev/sda1\t/  ext4 defaults 0 1\r\n";
    let after = "UUID=ab none swap noauto 0 0\n/home/swap /mnt/swap ext4 rw\n# caf\u{e9}\n\n";
    let last = "/dev/x swap swap";
    image.add("etc/fstab", format!("{before}{row}{after}{last}"));
    image
        .run("apply")
        .exits(0)
        .says(&["/etc/fstab:4", "/etc/fstab:9"]);
    assert_eq!(
        image.read("etc/fstab"),
        format!("{before}#{row}{after}#{last}").into_bytes()
    );
    let seen = photograph(&image.root());
    image.run("apply").exits(0);
    assert!(seen == photograph(&image.root()));
}

fn fstab_of_every_shape() {
    let shapes: [(&[u8], &[u8]); 6] = [
        (b"", b""),
        (b"\n\n", b"\n\n"),
        (b"/s none swap sw", b"#/s none swap sw"),
        (
            b"\xff\xfe\n/s none swap sw\n\xff",
            b"\xff\xfe\n#/s none swap sw\n\xff",
        ),
        (b"#/s none swap sw\n", b"#/s none swap sw\n"),
        (
            b"/s none swap\r\n/t none swap pri=1,nofail 0 0\r\n",
            b"#/s none swap\r\n#/t none swap pri=1,nofail 0 0\r\n",
        ),
    ];
    for (old, new) in shapes {
        let image = Image::new(SWAP);
        image.add("etc/fstab", old);
        let path = image.root().join("etc/fstab");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();
        image.run("apply").exits(0);
        assert_eq!(image.read("etc/fstab"), new);
        assert_eq!(
            path.metadata().unwrap().permissions().mode() & 0o7777,
            0o640
        );
    }
}

/// A shared file behind a link is edited where it is; the link stays.
fn fstab_is_a_link() {
    let image = Image::new(SWAP);
    image.add("etc/real/fstab", "/s none swap sw\n");
    symlink("real/fstab", image.root().join("etc/fstab")).unwrap();
    image.run("apply").exits(0);
    assert_eq!(image.read("etc/real/fstab"), b"#/s none swap sw\n");
    assert!(image.root().join("etc/fstab").is_symlink());
}

fn twice() {
    let image = Image::new(ALL);
    image.add("etc/fstab", "/s none swap sw\n");
    image.run("apply").exits(0).says(&["5 fixed"]);
    let seen = photograph(&image.root());
    let again = image.run("apply");
    again.exits(0).says(&["5 in sync"]).never_says("fixed");
    assert!(seen == photograph(&image.root()));
    let journals = image.root().join("var/lib/nodeprep/journal");
    assert_eq!(journals.read_dir().unwrap().count(), 1);
    assert!(leftovers(&image.root()).is_empty());
}

fn check_leaves_no_trace() {
    let image = Image::new(ALL);
    image.add("etc/fstab", "/s none swap sw\n");
    let seen = photograph(&image.root());
    let lock = File::open(image.root()).unwrap();
    lock.lock().unwrap();
    for command in ["check", "plan"] {
        image.run(command).exits(2);
        assert!(seen == photograph(&image.root()));
    }
}

fn check_as_nobody() {
    let image = Image::new(ALL);
    image.add("etc/fstab", "/s none swap sw\n");
    let arguments = image.arguments("check");
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    as_nobody(&arguments).exits(2).says(&["/etc/fstab:1"]);
}

fn no_such_module() {
    let image = Image::new("schema = \"v1alpha1\"\n[modules]\nload = [\"overlay\", \"nosuch\"]\n");
    image
        .run("apply")
        .exits(2)
        .says(&["not in kernel 6.1.0-9-amd64", "1 fixed, 1 unfixed"]);
    let text = String::from_utf8(image.read("etc/modules-load.d/kubernetes.conf")).unwrap();
    assert!(
        text.contains("overlay\n") && !text.contains("nosuch"),
        "{text}"
    );
    let seen = photograph(&image.root());
    image.run("apply").exits(2);
    assert!(seen == photograph(&image.root()));
}

/// What can't be edited safely is left as it is, and named.
fn strange_crictl() {
    let files: [&[u8]; 4] = [
        b"- a\n",
        b"a: [\n",
        b"{timeout: 2}\n",
        b"timeout: 2 # \xff\n",
    ];
    for old in files {
        let image = Image::new("schema = \"v1alpha1\"\n[crictl]\ntimeout = 10\n");
        image.add("etc/crictl.yaml", old);
        image.run("apply").exits(1).says(&["/etc/crictl.yaml"]);
        assert_eq!(image.read("etc/crictl.yaml"), old);
    }
}

fn a_failing_item_stops_no_other() {
    let image = Image::new(ALL);
    image.add("etc/fstab/mistaken", "");
    image.add("etc/sysctl.d", "");
    let ran = image.run("apply");
    ran.exits(1).says(&[
        "/etc/fstab",
        "is not a regular file: move it away",
        "2 fixed",
    ]);
    assert!(
        String::from_utf8(image.read("etc/crictl.yaml"))
            .unwrap()
            .contains("timeout: 10\n")
    );
}

fn locked() {
    let image = Image::new(ALL);
    let lock = File::open(image.root()).unwrap();
    lock.lock().unwrap();
    let seen = photograph(&image.root());
    let root = image.root().display().to_string();
    image
        .run("apply")
        .exits(75)
        .says(&["another run holds", &root, "--wait 60s"]);
    assert!(seen == photograph(&image.root()));
    lock.unlock().unwrap();
    image.run("apply").exits(0);
}

/// Links of an image mean the image: what they name on this machine is never touched.
fn links_out_of_the_tree() {
    let image = Image::new(SWAP);
    let outside = Image::new(SWAP);
    outside.add("etc/fstab", "/s none swap sw\n");
    let target = outside.root().join("etc/fstab");
    std::fs::create_dir_all(image.root().join("etc")).unwrap();
    symlink(&target, image.root().join("etc/fstab")).unwrap();
    let seen = photograph(&outside.root());
    nodeprep(image.arguments("apply")).exits(0);
    assert!(seen == photograph(&outside.root()));
}

/// An image has no address; an empty one must not be written into it.
fn facts_that_are_not_known() {
    let image = Image::new(
        "schema = \"v1alpha1\"\n[crictl]\nruntime-endpoint = \"unix:///run/{{ facts.node_ip }}\"\n",
    );
    image.run("apply").exits(65).says(&["node_ip", "3:20"]);
}

fn a_diff_is_against_what_was() {
    let image = Image::new(SWAP);
    image.add("etc/fstab", "/swapfile none swap sw 0 0\n");
    let mut arguments = image.arguments("apply");
    arguments.push("--diff".into());
    let says = ["-/swapfile none swap", "+#/swapfile none swap"];
    nodeprep(arguments).exits(0).says(&says);
}
