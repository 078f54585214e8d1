//! What a running daemon tells whoever asks: its socket, `status`, `events`, the metrics, and clients
//! that do as they like.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::daemon::{Daemon, PROFILE, space, start};
use crate::run::NODEPREP;
use crate::signal::{send, wait_for};

trials!(
    anyone: [],
    root: [
        tells_how_it_stands, tells_what_happens, counts, writes_metrics, bad_clients, crowds,
        silent_followers, replaces_a_stale_socket, one_listens, nobody_to_ask, one_that_hangs,
        a_bad_profile,
    ]
);

const FIXED: &str = "sysctl net.ipv4.ip_forward: fixed; live: 0 → 1";

impl Daemon {
    fn socket(&self) -> PathBuf {
        self.space.path("run/nodeprep/daemon.sock")
    }

    fn connect(&self) -> UnixStream {
        let stream = UnixStream::connect(self.socket()).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        stream
    }

    /// What is answered to these bytes: all that comes until the connection ends.
    fn answer(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect();
        // It may have been answered already.
        let _ = stream.write_all(bytes);
        let mut heard = Vec::new();
        // One that is not heard to the end is reset.
        let _ = stream.read_to_end(&mut heard);
        String::from_utf8(heard).unwrap()
    }

    /// The body of an answer.
    #[track_caller]
    fn get(&self, path: &str) -> String {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n");
        let answer = self.answer(request.as_bytes());
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        let length = format!("\r\nContent-Length: {}\r\n", body.len());
        assert!(head.contains(&length), "{head}");
        body.to_owned()
    }

    fn status(&self) -> serde_json::Value {
        serde_json::from_str(&self.get("/status")).unwrap()
    }

    fn follow(&self) -> UnixStream {
        let mut stream = self.connect();
        stream
            .write_all(b"GET /v1/events HTTP/1.1\r\n\r\n")
            .unwrap();
        stream
    }

    fn descriptors(&self) -> usize {
        let dir = format!("/proc/{}/fd", self.child.id());
        std::fs::read_dir(dir).unwrap().count()
    }

    /// Somebody changes something, and it is put right.
    #[track_caller]
    fn react(&self) {
        let before = self.said().matches(FIXED).count();
        self.set_forward("0");
        wait_for(|| self.said().matches(FIXED).count() > before && self.forward() == "1");
    }
}

/// A page of metrics, each line of which is one: the value of each series.
#[track_caller]
fn series(page: &str) -> Vec<(String, f64)> {
    let mut all = Vec::new();
    for line in page.lines() {
        if let Some(about) = line.strip_prefix("# ") {
            let words: Vec<&str> = about.splitn(3, ' ').collect();
            assert!(["HELP", "TYPE"].contains(&words[0]) && words[1].starts_with("nodeprep_"));
            continue;
        }
        let (name, value) = line.rsplit_once(' ').unwrap();
        let bare = name.split('{').next().unwrap();
        let is_name = |c: char| c.is_ascii_lowercase() || c == '_';
        assert!(
            bare.starts_with("nodeprep_") && bare.chars().all(is_name),
            "{line}"
        );
        assert_eq!(name.contains('{'), name.ends_with('}'), "{line}");
        all.push((name.to_owned(), value.parse().unwrap()));
    }
    all
}

#[track_caller]
fn value(page: &str, name: &str) -> f64 {
    let all = series(page);
    let found = all.iter().find(|(one, _)| one == name);
    found.unwrap_or_else(|| panic!("no {name}:\n{page}")).1
}

fn tells_how_it_stands() {
    let profile = PROFILE.replace("[daemon]", "[daemon]\nmodes = { crictl = \"watch\" }");
    let daemon = start(space(&profile), "umask 0", &[]);
    let socket = std::fs::symlink_metadata(daemon.socket()).unwrap();
    assert!(socket.file_type().is_socket());
    assert_eq!((socket.mode() & 0o7777, socket.uid()), (0o600, 0));
    let ran = daemon.run(&[NODEPREP, "status"]);
    ran.exits(2).says(&[
        "1 in sync · 1 differs: crictl timeout\n!= crictl timeout: differs",
        "mode       enforce",
        ", 1 fixed, 0 failed",
    ]);
    daemon.run(&[NODEPREP, "status", "-q"]).exits(2);
    let status = daemon.run(&[NODEPREP, "status", "--output", "json"]);
    let json = status.exits(2).json();
    assert_eq!(json["schema_version"], 1);
    assert_eq!(
        json["counts"],
        serde_json::json!({"in_sync": 1, "differs": 1})
    );
    assert_eq!(json["entries"][0]["subject"], "timeout");
    assert_eq!(json["items"][0]["mode"], "watch");
    assert_eq!(json["profile"]["hash"].as_str().unwrap().len(), 64);
    assert_eq!(json["exit_code"], 2);
    daemon.run(&[NODEPREP, "events"]).exits(0).says(&[
        "!= crictl timeout: differs",
        "ok watching: 1 in sync · 1 differs",
    ]);
    daemon.run(&[NODEPREP, "daemon", "pause", "1h"]).exits(0);
    daemon.set_forward("0");
    daemon.says(&["held: paused"]);
    daemon
        .run(&[NODEPREP, "status"])
        .exits(2)
        .says(&["held       paused for ", "sysctl net.ipv4.ip_forward"]);
    let before = daemon.status()["looks"].as_u64();
    daemon.settle();
    assert!(daemon.status()["looks"].as_u64() >= before);
}

fn tells_what_happens() {
    let daemon = start(space(PROFILE), "", &[]);
    // A look has some open.
    daemon.settle();
    let alone = daemon.descriptors();
    let out = |name: &str| File::create(daemon.space.path(name)).unwrap();
    let process = daemon.child.id().to_string();
    let follow = |name: &str, more: &[&str]| {
        let mut command = Command::new("nsenter");
        let command = command.args(["--target", &process, "--mount", NODEPREP, "events", "-f"]);
        command.args(more).stdout(out(name)).spawn().unwrap()
    };
    let mut people = follow("people", &[]);
    let mut programs = follow("programs", &["--output", "json"]);
    let mut raw = BufReader::new(daemon.follow());
    let read = |name: &str| std::fs::read_to_string(daemon.space.path(name)).unwrap();
    wait_for(|| daemon.descriptors() >= alone + 3);
    daemon.react();
    wait_for(|| read("people").contains(FIXED));
    wait_for(|| read("programs").contains("\"outcome\":\"fixed\""));
    let mut line = String::new();
    while !line.contains("\"event\":\"outcome\"") {
        line.clear();
        assert!(raw.read_line(&mut line).unwrap() > 0);
    }
    let news: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(news["subject"], "net.ipv4.ip_forward");
    send(&daemon.child, Signal::SIGTERM);
    for child in [&mut people, &mut programs] {
        assert_eq!(
            child.wait().unwrap().code(),
            Some(1),
            "the daemon has ended"
        );
    }
    wait_for(|| !daemon.socket().exists());
}

fn counts() {
    let daemon = start(space(PROFILE), "", &[]);
    let before = daemon.get("/metrics");
    assert_eq!(value(&before, "nodeprep_fixed_total"), 2.0);
    assert_eq!(value(&before, "nodeprep_reaction_seconds_count"), 0.0);
    daemon.react();
    daemon.settle();
    let after = daemon.get("/v1/metrics");
    let subject = "nodeprep_subjects{item=\"sysctl\",outcome=\"in_sync\"}";
    assert_eq!(value(&after, subject), 1.0);
    assert_eq!(value(&after, "nodeprep_fixed_total"), 3.0);
    assert_eq!(value(&after, "nodeprep_failed_total"), 0.0);
    assert_eq!(value(&after, "nodeprep_reaction_seconds_count"), 1.0);
    let all = value(&after, "nodeprep_reaction_seconds_bucket{le=\"+Inf\"}");
    assert_eq!(all, 1.0);
    let sum = value(&after, "nodeprep_reaction_seconds_sum");
    assert!(sum > 0.0 && sum < 30.0, "{sum}");
    let looks = |page: &str| value(page, "nodeprep_looks_total");
    assert!(looks(&after) > looks(&before));
}

fn writes_metrics() {
    let setting = "[daemon]\nmetrics = \"/var/lib/nodeprep.prom\"";
    let daemon = start(
        space(&PROFILE.replace("[daemon]", setting)),
        "umask 077",
        &[],
    );
    let path = daemon.space.path("var/lib/nodeprep.prom");
    wait_for(|| path.exists());
    let meta = std::fs::metadata(&path).unwrap();
    assert_eq!(meta.mode() & 0o7777, 0o644);
    let page = || std::fs::read_to_string(&path).unwrap();
    assert_eq!(value(&page(), "nodeprep_fixed_total"), 2.0);
    daemon.react();
    // Now and then: not at once, and not for what did not change.
    wait_for(|| value(&page(), "nodeprep_fixed_total") == 3.0);
    daemon.settle();
    let looks = value(&daemon.get("/metrics"), "nodeprep_looks_total");
    daemon.settle();
    assert_eq!(
        value(&daemon.get("/metrics"), "nodeprep_looks_total"),
        looks
    );
    daemon.run(&[NODEPREP, "check"]).exits(0);
}

fn bad_clients() {
    let daemon = start(space(PROFILE), "", &[]);
    let cases: [(&[u8], &str); 5] = [
        (b"\x16\x03\x01\x02\n", "400 Bad Request"),
        (b"what?\r\n\r\n", "400 Bad Request"),
        (&[b'x'; 8192], "400 Bad Request"),
        (b"GET / HTTP/1.1\r\n\r\n", "404 Not Found"),
        (b"POST /status HTTP/1.1\r\n\r\n", "405 Method Not Allowed"),
    ];
    for (bytes, status) in cases {
        let answer = daemon.answer(bytes);
        let begin = format!("HTTP/1.1 {status}\r\n");
        assert!(answer.starts_with(&begin), "{answer}");
    }
    // Half a question, and gone; a question, and gone; a question byte by byte.
    drop(daemon.connect().write_all(b"GET /sta"));
    drop(daemon.follow());
    let mut slow = daemon.connect();
    for byte in b"GET /status HTTP/1.1\r\n\r\n" {
        slow.write_all(&[*byte]).unwrap();
    }
    let mut answer = String::new();
    slow.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("\"exit_code\":0"), "{answer}");
    daemon.react();
}

/// Who says nothing goes, and who asks is answered by then at the latest.
fn crowds() {
    let daemon = start(space(PROFILE), "", &[]);
    let silent: Vec<UnixStream> = (0..20).map(|_| daemon.connect()).collect();
    let begin = Instant::now();
    daemon.react();
    assert_eq!(daemon.status()["exit_code"], 0);
    for mut client in silent {
        assert_eq!(client.read(&mut [0; 8]).unwrap_or_default(), 0);
    }
    assert!(begin.elapsed() < Duration::from_secs(30));
    // Asking all at once, each is answered.
    let mut asking: Vec<UnixStream> = (0..20).map(|_| daemon.connect()).collect();
    for client in &mut asking {
        client.write_all(b"GET /metrics HTTP/1.1\r\n\r\n").unwrap();
    }
    for client in &mut asking {
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert!(answer.contains("nodeprep_build_info"), "{answer}");
    }
    let before = daemon.descriptors();
    (0..50).for_each(|_| drop(daemon.status()));
    wait_for(|| daemon.descriptors() <= before);
}

/// Followers that never read take nothing from those who ask.
fn silent_followers() {
    let daemon = start(space(PROFILE), "", &[]);
    let followers: Vec<UnixStream> = (0..8).map(|_| daemon.follow()).collect();
    wait_for(|| {
        let mut more = BufReader::new(daemon.follow());
        let mut line = String::new();
        more.read_line(&mut line).unwrap();
        line.starts_with("HTTP/1.1 503")
    });
    (0..3).for_each(|_| daemon.react());
    assert_eq!(daemon.status()["exit_code"], 0);
    drop(followers);
    wait_for(|| {
        let mut line = String::new();
        BufReader::new(daemon.follow())
            .read_line(&mut line)
            .unwrap();
        line.starts_with("HTTP/1.1 200")
    });
}

fn replaces_a_stale_socket() {
    let mut daemon = start(space(PROFILE), "", &[]);
    daemon.child.kill().unwrap();
    daemon.child.wait().unwrap();
    assert!(daemon.socket().exists());
    daemon
        .space
        .run(&["status"])
        .exits(1)
        .says(&["no daemon listens at"]);
    let mut next = daemon.space.command("", &["daemon"]).spawn().unwrap();
    wait_for(|| UnixStream::connect(daemon.socket()).is_ok());
    assert_eq!(daemon.status()["schema_version"], 1);
    send(&next, Signal::SIGTERM);
    assert!(next.wait().unwrap().success());
    assert!(!daemon.socket().exists());
}

fn one_listens() {
    let daemon = start(space(PROFILE), "", &[]);
    let process = daemon.child.id().to_string();
    let out = File::create(daemon.space.path("other")).unwrap();
    let mut other = Command::new("nsenter");
    let other = other.args(["--target", &process, "--mount", "--net", NODEPREP, "daemon"]);
    let mut other = other.stdout(out).spawn().unwrap();
    let said = || std::fs::read_to_string(daemon.space.path("other")).unwrap();
    wait_for(|| said().contains("watching: "));
    assert_eq!(
        said().matches("another daemon listens at").count(),
        1,
        "{}",
        said()
    );
    send(&other, Signal::SIGTERM);
    assert!(other.wait().unwrap().success());
    // The first one's is still there.
    assert_eq!(daemon.status()["exit_code"], 0);
}

fn nobody_to_ask() {
    let space = space(PROFILE);
    for arguments in [&["status"][..], &["events"], &["events", "-f"]] {
        let ran = space.run(arguments);
        ran.exits(1)
            .says(&["no daemon listens at", "nodeprep check"]);
    }
}

/// As one that is in the middle of a run.
fn one_that_hangs() {
    let daemon = start(space(PROFILE), "", &[]);
    send(&daemon.child, Signal::SIGSTOP);
    for arguments in [[NODEPREP, "status"], [NODEPREP, "events"]] {
        daemon
            .run(&arguments)
            .exits(1)
            .says(&["no answer within 10 s"]);
    }
    send(&daemon.child, Signal::SIGCONT);
    daemon.run(&[NODEPREP, "status"]).exits(0);
}

fn a_bad_profile() {
    let daemon = start(space(PROFILE), "", &[]);
    daemon.profile(&PROFILE.replace("timeout", "timeouts"));
    daemon.says(&["the profile cannot be used"]);
    daemon
        .run(&[NODEPREP, "status"])
        .exits(1)
        .says(&["unknown key `timeouts`", "2 in sync"]);
    daemon.profile(&PROFILE.replace("[daemon]", "[daemon]\nmetrics = \"nodeprep.prom\""));
    daemon.says(&["expected an absolute path that ends in .prom"]);
}
