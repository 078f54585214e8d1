//! A signal in the middle of a run: the step that has begun is finished and written down, no other
//! is begun, and the exit code tells.

use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::run::{answer, file};
use crate::space::{CRICTL, Space};

trials!(
    anyone: [],
    root: [finishes_the_step, while_it_waits_for_the_lock]
);

/// Stands in for modprobe in the machine's own mount namespace: no module is ever loaded.
const MODPROBE: &str = "#!/bin/sh\n: > /run/begun-$1\nwhile [ ! -e /run/go ]; do sleep 0.02; done\n\
                        : > /run/ended-$1\n";
/// The running kernel seems to have two modules more.
const PREPARE: &str = r#"lib=$(readlink -f /lib)
    mount -t overlay overlay -o "lowerdir=$SPACE/lib:$lib" "$lib"
    mount --bind "$SPACE/sbin" /usr/sbin"#;
const PROFILE: &str = "schema = \"v1alpha1\"\n[modules]\nload = [\"first\", \"second\"]\n";
/// Long enough for a machine under load; only a failing test waits that long.
const PATIENCE: Duration = Duration::from_secs(30);

pub fn send(child: &Child, signal: Signal) {
    kill(Pid::from_raw(child.id().try_into().unwrap()), signal).unwrap();
}

#[track_caller]
pub fn wait_for(mut what: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !what() {
        assert!(begin.elapsed() < PATIENCE, "waited in vain");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn finishes_the_step() {
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        stops_after_the_step(signal);
    }
}

fn stops_after_the_step(signal: Signal) {
    let space = machine();
    let mut command = space.command(PREPARE, &["apply"]);
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_for(|| space.path("run/begun-first").exists());
    send(&child, signal);
    file(&space.path("run/go"), "");
    let ran = answer(child.wait_with_output().unwrap());
    ran.exits(1)
        .says(&["stopped by a signal: run apply again for the rest"]);
    assert!(space.path("run/ended-first").exists() && !space.path("run/begun-second").exists());
    let mut journals = space.path("var/lib/nodeprep/journal").read_dir().unwrap();
    let journal = std::fs::read_to_string(journals.next().unwrap().unwrap().path()).unwrap();
    // Without an end: the rest is still to be done.
    let last = journal.lines().last().unwrap();
    assert!(last.contains("\"done\",\"number\":1"), "{journal}");
}

fn machine() -> Space {
    let space = Space::new(PROFILE);
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let dependencies = format!("lib/modules/{}/modules.dep", release.trim());
    file(&space.path(&dependencies), "first.ko:\nsecond.ko:\n");
    let modprobe = file(&space.path("sbin/modprobe"), MODPROBE);
    std::fs::set_permissions(modprobe, PermissionsExt::from_mode(0o755)).unwrap();
    space
}

/// Nothing has begun, so nothing has to be finished: it ends at once.
fn while_it_waits_for_the_lock() {
    let space = Space::new(CRICTL);
    let path = file(&space.path("run/nodeprep/lock"), "");
    let lock = File::options().write(true).open(path).unwrap();
    lock.lock().unwrap();
    let mut child = space
        .command("", &["apply", "--wait", "1h"])
        .spawn()
        .unwrap();
    let name = format!("/proc/{}/comm", child.id());
    wait_for(|| std::fs::read_to_string(&name).is_ok_and(|name| name.trim() == "nodeprep"));
    send(&child, Signal::SIGTERM);
    wait_for(|| child.try_wait().unwrap().is_some());
    assert!(!space.path("etc/crictl.yaml").exists());
}
