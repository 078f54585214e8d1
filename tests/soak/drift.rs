//! What drifts, and how long it stays so.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::Extent;
use super::process::{Daemon, wait_for};
use super::space::{PROFILE, save};

const WANTED: &str = "schema = \"v1alpha1\"\n[daemon]\npoll = \"1s\"\n[sysctl.keys]\n\
                      \"net.ipv4.ip_forward\" = 1\n[crictl]\ntimeout = 10\n[ports]\nopen = [\"6443/tcp\"]\n\
                      [files.\"/etc/motd\"]\ncontent = \"kept\\n\"\n";
const FORWARD: &str = "/proc/sys/net/ipv4/ip_forward";
const CRICTL: &str = "/etc/crictl.yaml";
const RULES: &str = "flush ruleset
table inet filter {
    chain input {
        type filter hook input priority 0; policy drop;
    }
}
";

/// A way to drift.
struct Way {
    name: &'static str,
    /// Does it.
    way: fn(),
    /// Whether it is right again.
    is_right: fn() -> bool,
    polled: bool,
}

const WAYS: [Way; 7] = [
    Way {
        name: "a file is edited in place",
        way: || fs::write(CRICTL, "timeout: 2\n").unwrap(),
        is_right: || has(CRICTL, "timeout: 10"),
        polled: false,
    },
    Way {
        name: "a file is replaced",
        way: || save(CRICTL, "timeout: 3\n"),
        is_right: || has(CRICTL, "timeout: 10"),
        polled: false,
    },
    Way {
        name: "a file is removed",
        way: || fs::remove_file("/etc/motd").unwrap(),
        is_right: || has("/etc/motd", "kept"),
        polled: false,
    },
    Way {
        name: "a drop-in is removed",
        way: || fs::remove_file("/etc/sysctl.d/kubernetes.conf").unwrap(),
        is_right: || has("/etc/sysctl.d/kubernetes.conf", "ip_forward"),
        polled: false,
    },
    Way {
        name: "a kernel value is written",
        way: || fs::write(FORWARD, "0").unwrap(),
        is_right: || has(FORWARD, "1"),
        polled: false,
    },
    Way {
        name: "the packet filter's rules are flushed",
        way: || nft("flush chain inet filter input\n"),
        is_right: || list().contains("6443"),
        polled: false,
    },
    Way {
        name: "the kernel changes a value by itself (polled each second)",
        way: || fs::write("/proc/sys/net/ipv4/conf/all/forwarding", "0").unwrap(),
        is_right: || has(FORWARD, "1"),
        polled: true,
    },
];

/// How long each way took to be put right, each time.
pub fn all(extent: Extent) -> Vec<(&'static str, Vec<Duration>)> {
    save(PROFILE, WANTED);
    nft(RULES);
    let daemon = Daemon::start(&[]);
    let one = |way: &Way| {
        let times = if way.polled {
            extent.polled
        } else {
            extent.drifts
        };
        let took = (0..times).map(|_| reaction(&daemon, way)).collect();
        (way.name, took)
    };
    WAYS.iter().map(one).collect()
}

fn reaction(daemon: &Daemon, way: &Way) -> Duration {
    // Who changes back that often is left alone otherwise.
    daemon.reload();
    daemon.settle();
    assert!((way.is_right)(), "{}", way.name);
    (way.way)();
    let begin = Instant::now();
    wait_for(way.is_right);
    begin.elapsed()
}

fn has(path: &str, text: &str) -> bool {
    fs::read_to_string(path).is_ok_and(|content| content.contains(text))
}

fn nft(script: &str) {
    let mut nft = Command::new("nft");
    let mut child = nft.args(["-f", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(script.as_bytes())
        .unwrap();
    assert!(child.wait().unwrap().success());
}

fn list() -> String {
    let output = Command::new("nft")
        .args(["list", "ruleset"])
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}
