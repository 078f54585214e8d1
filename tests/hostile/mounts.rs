//! File systems that refuse or are something else: read-only, full, layered, a single file mounted.

use std::fs;

use crate::run::{Ran, file};
use crate::space::Space;

trials!(
    anyone: [],
    root: [single_file, read_only, read_only_beside, layered, full, hidden_processes]
);

/// Needs no daemon: two subjects in one file.
pub const PROFILE: &str =
    "schema = \"v1alpha1\"\n[crictl]\ntimeout = 10\n[sysctl.keys]\n\"net.ipv4.ip_forward\" = 1\n";
const OLD: &str = "# theirs\ntimeout: 2\n";

fn space() -> Space {
    let space = Space::new(PROFILE);
    fs::create_dir_all(space.path("run/systemd/system")).unwrap();
    file(&space.path("etc/crictl.yaml"), OLD);
    file(&space.path("etc/other"), "theirs\n");
    space
}

/// Runs with these mounts, and shows afterwards what is in /etc.
fn apply(space: &Space, prepare: &str) -> Ran {
    let show = "cat /etc/crictl.yaml /etc/other; ls -A /etc /etc/sysctl.d 2> /dev/null || true";
    let ran = space.run_between(prepare, &["apply"], show);
    ran.never_says(".nodeprep-").says(&["theirs\n"]);
    ran
}

/// As containers get /etc/hosts.
fn single_file() {
    let space = space();
    let mounted = "mount -n --bind /etc/crictl.yaml /etc/crictl.yaml";
    let ran = apply(&space, mounted);
    ran.exits(1).says(&[
        "it is a mount point: change it where it is mounted from",
        OLD,
        "1 fixed",
    ]);
    assert_eq!(
        fs::read_to_string(space.path("etc/crictl.yaml")).unwrap(),
        OLD
    );
}

fn read_only() {
    let space = space();
    let ran = apply(&space, "mount -n -o remount,bind,ro /etc");
    ran.exits(1)
        .says(&["mount its file system read-write", OLD]);
}

/// Where the journal can't be written nothing is done.
fn read_only_beside() {
    let space = space();
    let ran = apply(&space, "mount -n -o remount,bind,ro /var/lib");
    ran.exits(1)
        .says(&["/var/lib/nodeprep", "mount its file system read-write", OLD]);
    assert!(!space.path("etc/sysctl.d/kubernetes.conf").exists());
}

/// As in containers and on live media: the file is in the layer below.
fn layered() {
    let space = space();
    let prepare = r#"mkdir "$SPACE/upper" "$SPACE/work"
        mount -n -t overlay -o lowerdir="$SPACE/etc",upperdir="$SPACE/upper",workdir="$SPACE/work" none /etc"#;
    let ran = apply(&space, prepare);
    ran.exits(0).says(&["# theirs\ntimeout: 10\n"]);
    assert_eq!(
        fs::read_to_string(space.path("etc/crictl.yaml")).unwrap(),
        OLD
    );
}

/// No page is left, or one, two …: the old file whole or the new one.
fn full() {
    for pages in 0..4 {
        let space = space();
        let prepare = format!(
            r#"mount -n -t tmpfs -o size=64k,mode=755 none /etc
            cp -a "$SPACE/etc/." /etc/
            head -c 1M /dev/zero > /etc/filler 2> /dev/null || true
            truncate -s -$(({pages} * $(getconf PAGESIZE))) /etc/filler"#
        );
        let ran = apply(&space, &prepare);
        match ran.code {
            Some(0) => ran.says(&["timeout: 10\n"]),
            _ => ran
                .exits(1)
                .says(&["No space left on device", "free some space"]),
        };
    }
}

/// Others' processes hidden: as root the same answers, and nothing is taken for stopped.
fn hidden_processes() {
    let space = space();
    let hide = "mount -n -t proc -o remount,hidepid=2 none /proc";
    let inside = format!(
        "unshare --pid --fork --mount-proc sh -euc '{hide}; exec \"$0\" \"$@\"' \"$0\" \"$@\"; exit"
    );
    let ran = space.run_prepared(&inside, &["apply"]);
    ran.exits(0).says(&["fixed"]);
    space.run(&["check"]).says(&["in sync"]);
}
