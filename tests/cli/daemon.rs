//! The daemon on a machine of its own: what it puts right and what it leaves, and how it is told.

use std::fs::File;
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::run::{NODEPREP, Ran, file, finish};
use crate::signal::{send, wait_for};
use crate::space::Space;
use crate::tree::photograph;

trials!(
    anyone: [],
    root: [puts_right, changes_nothing, modes, ends_at_once, reloads, paused, held, two_at_once, contested, contested_rules, without_inotify, tells_systemd, tells_journald, no_room]
);

pub const PROFILE: &str = "schema = \"v1alpha1\"\n[daemon]\npoll = \"1s\"\n[sysctl.keys]\n\
                       \"net.ipv4.ip_forward\" = 1\n[crictl]\ntimeout = 10\n";
const FORWARD: &str = "/proc/sys/net/ipv4/ip_forward";

/// A daemon at work; it ends with this.
pub struct Daemon {
    pub child: Child,
    pub space: Space,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn space(profile: &str) -> Space {
    let space = Space::new(profile);
    std::fs::create_dir_all(space.path("run/systemd/system")).unwrap();
    space
}

pub fn start(space: Space, prepare: &str, arguments: &[&str]) -> Daemon {
    let arguments = [&["daemon"][..], arguments].concat();
    let mut command = space.command(prepare, &arguments);
    let out = File::create(space.path("out")).unwrap();
    command.stderr(out.try_clone().unwrap()).stdout(out);
    let child = command.spawn().unwrap();
    let daemon = Daemon { child, space };
    daemon.says(&["watching: "]);
    daemon
}

impl Daemon {
    pub fn said(&self) -> String {
        std::fs::read_to_string(self.space.path("out")).unwrap()
    }

    #[track_caller]
    pub fn says(&self, texts: &[&str]) {
        for text in texts {
            let begin = Instant::now();
            while !self.said().contains(text) {
                let waited = begin.elapsed() < Duration::from_secs(30);
                assert!(waited, "expected \"{text}\":\n{}", self.said());
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }

    /// Runs a program in the daemon's machine.
    pub fn run(&self, argv: &[&str]) -> Ran {
        let process = self.child.id().to_string();
        let mut command = Command::new("nsenter");
        finish(
            command
                .args(["--target", &process, "--mount", "--net"])
                .args(argv),
        )
    }

    pub fn forward(&self) -> String {
        self.run(&["cat", FORWARD]).stdout.trim().to_owned()
    }

    pub fn set_forward(&self, value: &str) {
        let script = format!("echo {value} >{FORWARD}");
        self.run(&["sh", "-c", &script]).exits(0);
    }

    fn crictl(&self) -> String {
        std::fs::read_to_string(self.space.path("etc/crictl.yaml")).unwrap_or_default()
    }

    pub fn profile(&self, text: &str) {
        let new = file(&self.space.path("etc/nodeprep/new"), text);
        std::fs::rename(new, self.space.path("etc/nodeprep/profile.toml")).unwrap();
    }

    /// Waits until nothing happens any more: longer than a poll.
    pub fn settle(&self) {
        let mut before = String::new();
        while before != self.said() {
            before = self.said();
            std::thread::sleep(Duration::from_millis(1500));
        }
    }

    /// How often it has looked at anything.
    fn looks(&self) -> u64 {
        let status = self.run(&[NODEPREP, "status", "--output", "json"]).stdout;
        let status: serde_json::Value = serde_json::from_str(&status).unwrap();
        status["looks"].as_u64().unwrap()
    }

    /// The processor's time that it has used, in hundredths of a second (proc_pid_stat(5)).
    fn used(&self) -> u64 {
        let stat = format!("/proc/{}/stat", self.child.id());
        let stat = std::fs::read_to_string(stat).unwrap();
        let (_, fields) = stat.rsplit_once(") ").unwrap();
        let times = fields.split(' ').skip(11).take(2);
        times.map(|time| time.parse::<u64>().unwrap()).sum()
    }
}

fn puts_right() {
    let daemon = start(space(PROFILE), "", &[]);
    assert_eq!(daemon.forward(), "1");
    // What is told is done: who changes it again before that is seen by the same run.
    let told = |line: &str, times| daemon.said().matches(line).count() == times;
    let forwards = "ip_forward: fixed; live: 0 → 1\n";
    daemon.set_forward("0");
    wait_for(|| told(forwards, 1) && daemon.forward() == "1");
    // No event: the kernel changes it with another key.
    daemon
        .run(&["sh", "-c", "echo 0 >/proc/sys/net/ipv4/conf/all/forwarding"])
        .exits(0);
    wait_for(|| told(forwards, 2) && daemon.forward() == "1");
    // An editor writes anew and renames, or in place; somebody deletes.
    let path = daemon.space.path("etc/crictl.yaml");
    let is_mended = |from: &str| {
        let line = format!("timeout: fixed; live: {from} → 10");
        daemon.crictl().contains("timeout: 10") && daemon.said().contains(&line)
    };
    let edited = file(&daemon.space.path("etc/.crictl.yaml.swp"), "timeout: 2\n");
    std::fs::rename(edited, &path).unwrap();
    wait_for(|| is_mended("2"));
    file(&path, "timeout: 3\n");
    wait_for(|| is_mended("3"));
    std::fs::remove_file(&path).unwrap();
    wait_for(|| told("timeout: fixed; live: not set → 10", 2));
    let dir = daemon.space.path("etc/sysctl.d");
    std::fs::rename(&dir, daemon.space.path("etc/gone")).unwrap();
    wait_for(|| dir.join("kubernetes.conf").exists());
    // A directory that was not there when it began.
    file(
        &daemon.space.path("run/sysctl.d/zz.conf"),
        "net.ipv4.ip_forward = 0\n",
    );
    wait_for(|| dir.join("zzz-nodeprep.conf").exists());
    daemon.settle();
    let journals = || {
        daemon
            .space
            .path("var/lib/nodeprep/journal")
            .read_dir()
            .unwrap()
            .count()
    };
    let (before, looks) = (journals(), daemon.looks());
    let edited = file(&daemon.space.path("etc/.crictl.yaml.swp"), "timeout: 4\n");
    std::fs::rename(edited, &path).unwrap();
    wait_for(|| is_mended("4"));
    daemon.settle();
    assert_eq!(
        (journals(), daemon.looks()),
        (before + 1, looks + 1),
        "its own changes wake it"
    );
    daemon.run(&[NODEPREP, "check"]).exits(0);
}

fn changes_nothing() {
    let daemon = start(space(PROFILE), "", &["--mode", "watch"]);
    let seen = ["etc", "var", "run"].map(|dir| photograph(&daemon.space.path(dir)));
    daemon.says(&["!= sysctl net.ipv4.ip_forward: differs; live: 0 → 1; boot: "]);
    daemon.set_forward("1");
    daemon.says(&["!= sysctl net.ipv4.ip_forward: differs; boot: "]);
    daemon.set_forward("0");
    wait_for(|| daemon.said().matches("live: 0 → 1").count() == 2);
    daemon.settle();
    assert_eq!(daemon.forward(), "0");
    assert!(seen == ["etc", "var", "run"].map(|dir| photograph(&daemon.space.path(dir))));
}

fn modes() {
    let profile = PROFILE.replace("[daemon]", "[daemon]\nmodes = { sysctl = \"watch\" }");
    let daemon = start(space(&profile), "", &["--mode", "enforce"]);
    daemon.says(&["!= sysctl net.ipv4.ip_forward: differs; live: 0 → 1"]);
    assert!(daemon.crictl().contains("timeout: 10") && daemon.forward() == "0");
    let bad = PROFILE.replace("[daemon]", "[daemon]\nmodes = { sysctls = \"watch\" }");
    daemon.profile(&bad);
    daemon.says(&["there is no item \"sysctls\""]);
}

fn ends_at_once() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut daemon = start(space(PROFILE), "", &[]);
        let begin = Instant::now();
        send(&daemon.child, signal);
        assert!(daemon.child.wait().unwrap().success());
        assert!(begin.elapsed() < Duration::from_secs(1));
    }
}

fn reloads() {
    let daemon = start(space(PROFILE), "", &[]);
    daemon.profile(&PROFILE.replace("timeout = 10", "timeout = 20"));
    wait_for(|| daemon.crictl().contains("timeout: 20"));
    daemon.profile(&PROFILE.replace("timeout = 10", "timeouts = 30"));
    daemon.says(&["the profile cannot be used", "unknown key `timeouts`"]);
    // The one before stays in force.
    daemon.set_forward("0");
    wait_for(|| daemon.forward() == "1");
    assert!(daemon.crictl().contains("timeout: 20"));
    // What leaves the profile goes.
    daemon.profile(&PROFILE.replace("timeout = 10", "debug = false"));
    wait_for(|| !daemon.crictl().contains("timeout"));
    send(&daemon.child, Signal::SIGHUP);
    daemon.settle();
    daemon.run(&[NODEPREP, "check"]).exits(0);
}

fn paused() {
    let daemon = start(space(PROFILE), "", &[]);
    daemon.run(&[NODEPREP, "daemon", "pause", "1h"]).exits(0);
    daemon.set_forward("0");
    daemon.says(&["differs; live: 0 → 1", "held: paused for "]);
    daemon.settle();
    assert_eq!(daemon.forward(), "0");
    daemon
        .run(&[NODEPREP, "daemon", "resume"])
        .exits(0)
        .says(&["resumed"]);
    wait_for(|| daemon.forward() == "1");
    daemon.says(&["held no longer"]);
    daemon
        .run(&[NODEPREP, "daemon", "resume"])
        .exits(0)
        .says(&["nothing was paused"]);
    // A pause ends by itself.
    daemon.run(&[NODEPREP, "daemon", "pause", "2s"]).exits(0);
    daemon.set_forward("0");
    wait_for(|| daemon.forward() == "1");
}

/// While others change the host it waits, and after a rollback until somebody applies.
fn held() {
    let kubeadm = r#"
        printf '#!/bin/sh\nsleep 4\n' >/run/kubeadm
        chmod 755 /run/kubeadm
        /run/kubeadm init &"#;
    let daemon = start(space(PROFILE), kubeadm, &[]);
    daemon.says(&["held: kubeadm init runs"]);
    assert_eq!(daemon.forward(), "0");
    wait_for(|| daemon.forward() == "1");
    let lock = File::options()
        .write(true)
        .open(daemon.space.path("run/nodeprep/lock"))
        .unwrap();
    lock.lock().unwrap();
    daemon.set_forward("0");
    daemon.settle();
    assert_eq!(daemon.forward(), "0");
    drop(lock);
    wait_for(|| daemon.forward() == "1");
    daemon.settle();
    daemon.run(&[NODEPREP, "rollback"]).exits(0);
    daemon.says(&["held: the last run was `nodeprep rollback`"]);
    daemon.settle();
    let left = daemon.run(&[NODEPREP, "check"]);
    left.exits(2);
    daemon.run(&[NODEPREP, "apply", "--wait", "30s"]).exits(0);
    daemon.settle();
    daemon.set_forward("0");
    wait_for(|| daemon.forward() == "1");
    daemon.settle();
    let before = daemon.used();
    daemon.settle();
    let used = daemon.used() - before;
    assert!(used < 20, "idle, it used {used} hundredths of a second");
}

/// Daemons and the command share the lock.
fn two_at_once() {
    let daemon = start(space(PROFILE), "", &[]);
    let process = daemon.child.id().to_string();
    let mut other = Command::new("nsenter");
    let other = other.args(["--target", &process, "--mount", "--net", NODEPREP, "daemon"]);
    let null = || File::options().write(true).open("/dev/null").unwrap();
    let mut other = other.stdout(null()).spawn().unwrap();
    for turn in 0..4 {
        file(
            &daemon.space.path("etc/crictl.yaml"),
            format!("timeout: {turn}\n"),
        );
        daemon.run(&[NODEPREP, "apply", "--wait", "30s"]).exits(0);
    }
    wait_for(|| daemon.crictl().contains("timeout: 10"));
    send(&other, Signal::SIGTERM);
    assert!(other.wait().unwrap().success());
    daemon.settle();
    daemon.run(&[NODEPREP, "check"]).exits(0);
    for entry in daemon
        .space
        .path("var/lib/nodeprep/journal")
        .read_dir()
        .unwrap()
    {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        assert!(text.ends_with("{\"record\":\"end\"}\n"), "{text}");
    }
}

fn contested() {
    let daemon = start(space(PROFILE), "", &[]);
    let said = || daemon.said().contains("contested: put right 5 times");
    // Still there when the kernel is heard of it.
    let script = format!("echo 0 >{FORWARD}; sleep 1");
    while !said() {
        daemon.run(&["sh", "-c", &script]).exits(0);
        wait_for(|| daemon.forward() == "1" || said());
    }
    daemon.says(&["written by sh", " of them: left alone for 1m"]);
    daemon.settle();
    daemon.set_forward("0");
    daemon.says(&["left alone for 1m", "blocked; live: 0 → 1: contested"]);
    // Only that key is.
    file(&daemon.space.path("etc/crictl.yaml"), "timeout: 2\n");
    wait_for(|| daemon.crictl().contains("timeout: 10"));
    assert_eq!(daemon.forward(), "0");
    send(&daemon.child, Signal::SIGHUP);
    wait_for(|| daemon.forward() == "1");
}

/// The kernel tells with the rules who changed them.
fn contested_rules() {
    let ports = "schema = \"v1alpha1\"\n[ports]\nopen = [\"6443/tcp\"]\n";
    let rules = "nft -f - <<'END'\ntable inet filter {\n chain input {\n  type filter hook input priority 0; policy drop;\n }\n}\nEND";
    let daemon = start(space(ports), rules, &[]);
    // Two by other names: we use nft too, and more often than each of them.
    let copy = "for i in a b; do cp \"$(command -v nft)\" /run/$i-firewall; done";
    daemon.run(&["sh", "-c", copy]).exits(0);
    let told = |text| daemon.said().matches(text).count();
    for (times, name) in (1..).zip(["a", "a", "b", "b"]) {
        wait_for(|| told("6443/tcp: fixed") == times);
        let flush = format!("/run/{name}-firewall flush chain inet filter input");
        daemon.run(&["sh", "-c", &flush]).exits(0);
    }
    daemon.says(&["put right 5 times within 10m, written by b-firewall before 2 of them"]);
}

/// A user namespace has a limit of its own.
fn without_inotify() {
    let poor = r#"exec unshare --user --map-root-user --net sh -c '
        echo 0 >/proc/sys/user/max_inotify_instances
        exec "$0" "$@"' "$0" "$@""#;
    let daemon = start(space(PROFILE), poor, &[]);
    daemon.says(&["not everything can be watched, so it is polled: fs.inotify.max_user_instances"]);
    file(&daemon.space.path("etc/crictl.yaml"), "timeout: 2\n");
    wait_for(|| daemon.crictl().contains("timeout: 10"));
}

fn tells_systemd() {
    let space = space(PROFILE);
    let socket = UnixDatagram::bind(space.path("run/notify")).unwrap();
    let timeout = Some(Duration::from_secs(30));
    socket.set_read_timeout(timeout).unwrap();
    let prepare = "export NOTIFY_SOCKET=/run/notify WATCHDOG_USEC=2000000";
    let mut daemon = start(space, prepare, &[]);
    let hear = |wanted: &str| {
        let mut bytes = [0; 512];
        loop {
            let length = socket.recv(&mut bytes).unwrap();
            let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
            if text.contains(wanted) {
                return text;
            }
        }
    };
    hear("STATUS=2 in sync");
    hear("READY=1");
    hear("WATCHDOG=1");
    send(&daemon.child, Signal::SIGHUP);
    assert!(hear("RELOADING=1").contains("MONOTONIC_USEC="));
    hear("READY=1");
    send(&daemon.child, Signal::SIGTERM);
    hear("STOPPING=1");
    daemon.child.wait().unwrap();
}

/// What is printed goes there by its own protocol, with fields.
fn tells_journald() {
    let space = space(PROFILE);
    let socket = space.path("run/systemd/journal/socket");
    std::fs::create_dir_all(socket.parent().unwrap()).unwrap();
    let journald = UnixDatagram::bind(socket).unwrap();
    let timeout = Some(Duration::from_secs(30));
    journald.set_read_timeout(timeout).unwrap();
    let prepare = "export JOURNAL_STREAM=$(stat -L -c %d:%i /proc/$$/fd/1)";
    let process = space
        .command(prepare, &["daemon"])
        .stdout(File::create(space.path("out")).unwrap())
        .spawn();
    let daemon = Daemon {
        child: process.unwrap(),
        space,
    };
    let hear = |wanted: &[&str]| {
        let mut bytes = [0; 4096];
        loop {
            let length = journald.recv(&mut bytes).unwrap();
            let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
            if wanted.iter().all(|field| text.contains(field)) {
                return text;
            }
        }
    };
    let fixed = hear(&["NODEPREP_ITEM", "sysctl", "NODEPREP_OUTCOME", "fixed"]);
    for part in [
        "SYSLOG_IDENTIFIER",
        "NODEPREP_LIVE",
        "PRIORITY",
        "net.ipv4.ip_forward: fixed; live: 0 → 1",
    ] {
        assert!(fixed.contains(part), "{fixed}");
    }
    hear(&["watching: "]);
    assert_eq!(daemon.said(), "");
}

/// What can't be journalled is not done, and is done once it can be; what stands against it is said once.
fn no_room() {
    let daemon = start(space(PROFILE), "", &[]);
    daemon.says(&["crictl timeout: fixed"]);
    daemon.settle();
    let journal = "/var/lib/nodeprep/journal";
    daemon.run(&["chmod", "777", journal]).exits(0);
    daemon.set_forward("0");
    let text = "journal can be written by others than root";
    daemon.says(&[text]);
    // It tries again after a second, and after two more; another item is well meanwhile.
    std::thread::sleep(Duration::from_secs(1));
    daemon.run(&["touch", "/etc/crictl.yaml"]).exits(0);
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(daemon.said().matches(text).count(), 1, "{}", daemon.said());
    daemon.run(&["chmod", "700", journal]).exits(0);
    wait_for(|| daemon.forward() == "1");
    daemon.settle();
    let fill = "mount -t tmpfs -o size=4k,mode=700 tmpfs /var/lib/nodeprep/journal
                yes 2>/dev/null >/var/lib/nodeprep/journal/full || true
                echo 0 >/proc/sys/net/ipv4/ip_forward";
    daemon.run(&["sh", "-c", fill]).exits(0);
    daemon.says(&["No space left on device"]);
    assert_eq!(daemon.forward(), "0");
    daemon
        .run(&["umount", "/var/lib/nodeprep/journal"])
        .exits(0);
    wait_for(|| daemon.forward() == "1");
}
