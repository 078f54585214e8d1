//! Profiles that are no good as files: wrong kind, unreadable, too large, not text, not ours alone.

use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;

use nix::sys::stat::Mode;

use crate::run::{Ran, as_nobody, directory, file, nodeprep};
use crate::space::{CRICTL, Space};
use crate::tree::Image;

trials!(
    anyone: [
        missing, directory_instead, unreadable, huge, not_utf8, fifo, device, writable_by_others_when_named,
        cycle_of_files,
    ],
    root: [default_writable_by_others, default_of_somebody_else, default_extends_somebody_elses, default_missing]
);

const GOOD: &str = "schema = \"v1alpha1\"\n";

fn check(path: &Path) -> Ran {
    nodeprep(["check", path.to_str().unwrap()])
}

fn missing() {
    let dir = directory();
    check(&dir.path().join("p.toml"))
        .exits(65)
        .says(&["p.toml: No such file or directory"]);
    let near = [
        "there is no profile called `kubeadm-wrker`",
        "did you mean `kubeadm-worker`?",
    ];
    nodeprep(["check", "kubeadm-wrker"]).exits(65).says(&near);
    nodeprep(["check", "zzz"])
        .exits(65)
        .says(&["built in: kubeadm-base", "a file needs a / or .toml"]);
}

fn directory_instead() {
    let dir = directory();
    check(dir.path())
        .exits(65)
        .says(&["is a directory: name the profile file in it"]);
}

fn unreadable() {
    let dir = directory();
    let path = file(&dir.path().join("p.toml"), GOOD);
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o000)).unwrap();
    let ran = as_nobody(&["check", path.to_str().unwrap()]);
    ran.exits(65)
        .says(&["cannot read", "p.toml: Permission denied"]);
}

fn huge() {
    let dir = directory();
    let path = file(&dir.path().join("p.toml"), GOOD);
    std::fs::File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(100 << 20)
        .unwrap();
    check(&path)
        .exits(65)
        .says(&["has 104857600 bytes, a profile has at most 1 MiB"]);
}

fn not_utf8() {
    let dir = directory();
    let path = file(
        &dir.path().join("p.toml"),
        b"schema = \"v1alpha1\"\n# caf\xe9\n",
    );
    check(&path)
        .exits(65)
        .says(&["not UTF-8: byte 0xe9 at offset 25", "p.toml:2:6", "^"]);
}

fn fifo() {
    let dir = directory();
    let path = dir.path().join("p.toml");
    nix::unistd::mkfifo(&path, Mode::S_IRWXU).unwrap();
    check(&path)
        .exits(65)
        .says(&["is no regular file: name a profile file"]);
}

fn device() {
    check(Path::new("/dev/zero"))
        .exits(65)
        .says(&["is no regular file"]);
}

fn writable_by_others_when_named() {
    let image = Image::new(GOOD);
    let arguments = image.arguments("check");
    let path = arguments.last().unwrap();
    nodeprep(&arguments).exits(0).never_says("others can write");
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o777)).unwrap();
    let ran = nodeprep(&arguments);
    ran.exits(0)
        .says(&["WARN", &format!("{path}: others can write this profile")]);
    assert!(
        !ran.stdout.contains("others can write"),
        "warnings are for stderr: {ran:#?}"
    );
}

fn cycle_of_files() {
    let dir = directory();
    let path = file(
        &dir.path().join("a.toml"),
        format!("{GOOD}extends = [\"./b.toml\"]\n"),
    );
    file(
        &dir.path().join("b.toml"),
        format!("{GOOD}extends = [\"./a.toml\"]\n"),
    );
    let chain = "a.toml -> ";
    check(&path)
        .exits(65)
        .says(&["profiles extend each other", chain, "b.toml:2:12", "^"]);
}

fn default_writable_by_others() {
    let space = Space::new(CRICTL);
    space
        .run(&["check"])
        .exits(2)
        .never_says("others can write");
    for mode in [0o666, 0o664, 0o602] {
        let path = space.path("etc/nodeprep/profile.toml");
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
        for command in ["check", "apply"] {
            let ran = space.run(&[command]);
            ran.exits(65).says(&[
                "/etc/nodeprep/profile.toml: others can write it",
                "chmod go-w",
            ]);
        }
    }
    assert!(!space.path("etc/crictl.yaml").exists());
}

fn default_of_somebody_else() {
    let space = Space::new(CRICTL);
    chown(space.path("etc/nodeprep/profile.toml"), Some(1000), None).unwrap();
    space
        .run(&["apply"])
        .exits(65)
        .says(&["others can write it", "chown root"]);
}

/// What the default profile extends is obeyed just as blindly.
fn default_extends_somebody_elses() {
    let space = Space::new("schema = \"v1alpha1\"\nextends = [\"./site.toml\"]\n");
    let site = file(&space.path("etc/nodeprep/site.toml"), CRICTL);
    space.run(&["check"]).exits(2);
    chown(&site, Some(1000), None).unwrap();
    space
        .run(&["apply"])
        .exits(65)
        .says(&["site.toml: others can write it"]);
}

fn default_missing() {
    let space = Space::new(CRICTL);
    std::fs::remove_file(space.path("etc/nodeprep/profile.toml")).unwrap();
    space.run(&["check"]).exits(65).says(&[
        "/etc/nodeprep/profile.toml: No such file",
        "nodeprep profile list",
    ]);
}
