//! Runs on a machine of their own: the lock, what a second run leaves alone, files that can't be
//! changed.

use std::fs::File;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::run::file;
use crate::space::{CRICTL, Space};
use crate::tree::{leftovers, photograph};

trials!(
    anyone: [],
    root: [twice, check_leaves_no_trace, check_leaves_the_kernel_alone, lock_held, lock_released, read_only, mount_point, open_to_all]
);

fn twice() {
    let space = Space::new(CRICTL);
    space.runtime();
    space.run(&["apply"]).exits(0).says(&["2 fixed"]);
    let seen = [
        photograph(&space.path("etc")),
        photograph(&space.path("var")),
    ];
    space.run(&["apply"]).exits(0).says(&["2 in sync"]);
    assert!(
        seen == [
            photograph(&space.path("etc")),
            photograph(&space.path("var"))
        ]
    );
    space.run(&["check"]).exits(0);
}

/// No lock, no directory, no file; and a lock that is held does not stop it.
fn check_leaves_no_trace() {
    let space = Space::new(CRICTL);
    let seen = photograph(&space.path(""));
    for command in ["check", "plan"] {
        space.run(&[command]).exits(2);
        assert!(seen == photograph(&space.path("")));
    }
    let _lock = hold(&space);
    space.run(&["check"]).exits(2);
}

/// Runs a check in a process namespace of its own, where the last process id given tells how many
/// processes were started, and looks at what asking the kernel can bring about: modules loaded, legacy
/// tables made.
const WATCHED: &str = r#"exec unshare --pid --fork sh -c '
    look() {
        cut -d " " -f 1 /proc/modules
        cat /proc/net/ip_tables_names /proc/net/ip6_tables_names 2> /dev/null
    }
    before=$(look)
    read -r first < /proc/sys/kernel/ns_last_pid
    "$0" "$@"; code=$?
    read -r last < /proc/sys/kernel/ns_last_pid
    [ "$before" = "$(look)" ] && echo "the kernel is as before"
    echo "processes: $((last - first))"
    exit $code' "$0" "$@""#;

fn check_leaves_the_kernel_alone() {
    let profile = "schema = \"v1alpha1\"\nextends = [\"kubeadm-control-plane\"]\n";
    let space = Space::new(profile);
    // rpm would have to be asked, where this machine has it.
    file(&space.path("etc/os-release"), "ID=debian\n");
    let seen = photograph(&space.path(""));
    let ran = space.run_prepared(WATCHED, &["check"]);
    ran.says(&[
        "against profile",
        "the kernel is as before",
        "processes: 1\n",
    ]);
    assert!(seen == photograph(&space.path("")));
}

fn hold(space: &Space) -> File {
    let lock = File::create(file(&space.path("run/nodeprep/lock"), "")).unwrap();
    lock.lock().unwrap();
    lock
}

fn lock_held() {
    let space = Space::new(CRICTL);
    let lock = hold(&space);
    std::fs::write(space.path("run/nodeprep/lock"), "4711").unwrap();
    let message = [
        "another run (process 4711) holds /run/nodeprep/lock",
        "--wait 60s",
    ];
    space.run(&["apply"]).exits(75).says(&message);
    let begin = Instant::now();
    space
        .run(&["apply", "--wait", "300ms"])
        .exits(75)
        .says(&message);
    assert!(begin.elapsed() >= Duration::from_millis(300));
    assert!(!space.path("etc/crictl.yaml").exists() && !space.path("var/lib/nodeprep").exists());
    drop(lock);
}

fn lock_released() {
    let space = Space::new(CRICTL);
    space.runtime();
    let lock = hold(&space);
    let mut waiting = space
        .command("", &["apply", "--wait", "60s"])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(300));
    assert!(waiting.try_wait().unwrap().is_none());
    drop(lock);
    assert!(waiting.wait().unwrap().success());
    assert!(space.path("etc/crictl.yaml").exists());
}

fn read_only() {
    let space = Space::new(CRICTL);
    file(&space.path("etc/crictl.yaml"), "timeout: 2\n");
    let seen = photograph(&space.path("etc"));
    let ran = space.run_prepared("mount -o remount,bind,ro /etc", &["apply"]);
    let message = "/etc/crictl.yaml: Read-only file system (os error 30); it is as it was: mount its file system read-write";
    ran.exits(1).says(&[message, "2 failed"]);
    assert!(seen == photograph(&space.path("etc")));
}

/// Containers bind single files over /etc.
fn mount_point() {
    let space = Space::new(CRICTL);
    file(&space.path("etc/crictl.yaml"), "timeout: 2\n");
    let ran = space.run_prepared("mount --bind /etc/crictl.yaml /etc/crictl.yaml", &["apply"]);
    ran.exits(1)
        .says(&["it is a mount point: change it where it is mounted from"]);
    assert_eq!(
        std::fs::read(space.path("etc/crictl.yaml")).unwrap(),
        b"timeout: 2\n"
    );
    assert!(leftovers(&space.path("etc")).is_empty());
}

fn open_to_all() {
    let space = Space::new(CRICTL);
    let ran = space.run_prepared("chmod 777 /etc", &["apply"]);
    ran.exits(1)
        .says(&["/etc can be written by everyone: nothing is written there"]);
    assert!(!space.path("etc/crictl.yaml").exists());
}
