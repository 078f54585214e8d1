//! What the item finds and would do, on trees of unit files.
#![allow(clippy::disallowed_methods)] // it makes the trees it looks at

use std::fs;
use std::os::unix::fs::symlink;

use super::*;

const DAEMON: &str = "[Unit]\nConflicts=rival.service shutdown.target\n[Service]\nExecStart=/usr/sbin/d\n\
                      [Install]\nWantedBy=multi-user.target\nAlias=other.service\nAlso=d.socket\n";

/// A host with these files, and links to the targets that begin with `->`.
pub(crate) fn host(files: &[(&str, &str)]) -> (tempfile::TempDir, Host) {
    let dir = tempfile::tempdir().unwrap();
    let basis = [
        ("run/systemd/system/x", ""),
        ("run/systemd/units/x", ""),
        ("lib", "->usr/lib"),
    ];
    for (path, content) in basis.iter().chain(files) {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        match content.strip_prefix("->") {
            Some(target) => symlink(target, path).unwrap(),
            None => fs::write(path, content).unwrap(),
        }
    }
    let host = Host::captured(dir.path()).unwrap();
    (dir, host)
}

fn plan(profile: &str, files: &[(&str, &str)]) -> Vec<String> {
    let services: Services = toml::from_str(profile).unwrap();
    let (_dir, host) = host(files);
    shown(&services.diff(&services.observe(&host).unwrap()))
}

/// Findings, then steps, in words.
pub(crate) fn shown(plan: &ItemPlan) -> Vec<String> {
    let show = |state: &State| match state {
        State::InSync => "ok".to_owned(),
        State::Differs { from, origin, .. } => {
            let origin = origin.as_ref().map(|origin| format!(" {origin}"));
            format!("{from}{}", origin.unwrap_or_default())
        }
        State::NotApplicable { .. } => "n/a".into(),
        State::Blocked { .. } => "blocked".into(),
        State::AfterReboot { .. } => "reboot".into(),
        other => format!("{other:?}"),
    };
    let findings = plan.findings.iter();
    let findings = findings.map(|f| format!("{}: {}, {}", f.subject, show(&f.live), show(&f.boot)));
    let steps = plan.steps.iter().map(|planned| planned.step.to_string());
    findings.chain(steps).collect()
}

const FILE: (&str, &str) = ("usr/lib/systemd/system/d.service", DAEMON);
const SOCKET: (&str, &str) = (
    "usr/lib/systemd/system/d.socket",
    "[Socket]\nListenStream=1\n[Install]\nWantedBy=sockets.target\n",
);
const WANTS: (&str, &str) = (
    "etc/systemd/system/multi-user.target.wants/d.service",
    "->/usr/lib/systemd/system/d.service",
);
const RUNS: (&str, &str) = ("run/systemd/units/invocation:d.service", "->0123");

#[test]
fn enabled_makes_what_systemctl_would() {
    let found = plan("d = 'enabled'", &[FILE, SOCKET]);
    let etc = "link /etc/systemd/system";
    let d = "to /usr/lib/systemd/system/d.service";
    let expected = [
        "d.service: not running, disabled".to_owned(),
        format!("{etc}/sockets.target.wants/d.socket to /usr/lib/systemd/system/d.socket"),
        format!("{etc}/multi-user.target.wants/d.service {d}"),
        format!("{etc}/other.service {d}"),
        "start d.service".into(),
    ];
    assert_eq!(found, expected);
    assert_eq!(
        plan("d = 'enabled'", &[FILE, WANTS, RUNS]),
        ["d.service: ok, ok"]
    );
    let by_alias = ("etc/systemd/system/other.service", WANTS.1);
    assert_eq!(
        plan("other = 'enabled'", &[FILE, WANTS, RUNS, by_alias]),
        ["other.service: ok, ok"]
    );
}

#[test]
fn disabled_also_takes_what_would_start_it_again() {
    let socket = (
        "etc/systemd/system/sockets.target.wants/d.socket",
        "->/x/d.socket",
    );
    let alias = ("etc/systemd/system/other.service", WANTS.1);
    let found = plan(
        "d = 'disabled'",
        &[FILE, SOCKET, WANTS, RUNS, socket, alias],
    );
    let expected = [
        "d.service: running, enabled /etc/systemd/system/multi-user.target.wants/d.service",
        "remove /etc/systemd/system/multi-user.target.wants/d.service",
        "remove /etc/systemd/system/other.service",
        "remove /etc/systemd/system/sockets.target.wants/d.socket",
        "stop d.socket",
        "stop d.service",
    ];
    assert_eq!(found, expected);
    assert_eq!(
        plan("d = 'disabled'", &[FILE, SOCKET]),
        ["d.service: ok, ok"]
    );
    // One that the package wants itself can only be masked.
    let vendor = (
        "usr/lib/systemd/system/basic.target.wants/d.service",
        "->../d.service",
    );
    let found = plan("d = 'disabled'", &[FILE, vendor]);
    assert_eq!(
        found,
        ["d.service: ok, enabled /usr/lib/systemd/system/basic.target.wants/d.service"]
    );
    let found = plan("d = 'masked'", &[FILE, vendor]);
    assert_eq!(
        found[1..],
        ["link /etc/systemd/system/d.service to /dev/null"]
    );
}

#[test]
fn masks_are_made_lifted_and_never_put_over_a_file() {
    let mask = ("etc/systemd/system/d.service", "->/dev/null");
    assert_eq!(
        plan("d = 'masked'", &[FILE, WANTS, mask]),
        ["d.service: ok, ok"]
    );
    assert_eq!(
        plan("d = 'disabled'", &[FILE, WANTS, mask]),
        ["d.service: ok, ok"]
    );
    let found = plan("d = { boot = 'enabled' }", &[FILE, mask]);
    assert_eq!(
        found[0],
        "d.service: n/a, masked /etc/systemd/system/d.service"
    );
    assert_eq!(found[1], "remove /etc/systemd/system/d.service");
    assert_eq!(found.len(), 4, "{found:?}");
    let found = plan("d = { boot = 'enabled' }", &[FILE, WANTS, mask]);
    assert_eq!(found.len(), 2, "{found:?}");
    let own = ("etc/systemd/system/d.service", DAEMON);
    let found = plan("d = 'masked'", &[own]);
    assert_eq!(
        found,
        ["d.service: ok, disabled /etc/systemd/system/d.service"]
    );
    // A mask for this boot only.
    let mask = ("run/systemd/system/d.service", "->/dev/null");
    assert_eq!(plan("d = { boot = 'masked' }", &[FILE, mask]).len(), 2);
}

#[test]
fn what_is_not_there_or_not_to_be_enabled() {
    assert_eq!(plan("d = 'masked'", &[]), ["d.service: ok, n/a"]);
    assert_eq!(plan("d = 'enabled'", &[]), ["d.service: blocked, blocked"]);
    let still = (
        "usr/lib/systemd/system/d.service",
        "[Service]\nType=oneshot\nExecStart=/x\n",
    );
    let found = plan("d = 'enabled'", &[still]);
    assert!(found[0].starts_with("d.service: n/a, static"), "{found:?}");
    assert_eq!(found.len(), 1);
    let script = [
        ("etc/init.d/net", "#!/bin/sh"),
        ("etc/rc3.d/S10net", "->../init.d/net"),
    ];
    assert_eq!(
        plan("net = { boot = 'enabled' }", &script),
        ["net.service: n/a, ok"]
    );
    let found = plan("net = { boot = 'disabled' }", &script);
    assert_eq!(found, ["net.service: n/a, enabled /etc/rc3.d/S10net"]);
    let getty = (
        "usr/lib/systemd/system/getty@.service",
        "[Install]\nWantedBy=getty.target\n",
    );
    let found = plan("\"getty@tty2\" = { boot = 'enabled' }", &[getty]);
    let link = "link /etc/systemd/system/getty.target.wants/getty@tty2.service to /usr/lib/systemd/system/getty@.service";
    assert_eq!(found[1..], [link]);
}

#[test]
fn rivals_are_named_unless_they_go_too() {
    let rival = (
        "usr/lib/systemd/system/rival.service",
        "[Install]\nWantedBy=a.target\n",
    );
    let link = "etc/systemd/system/a.target.wants/rival.service";
    let files = [FILE, WANTS, RUNS, rival, (link, "->/x/rival.service")];
    let found = plan("d = 'enabled'", &files);
    assert_eq!(
        found,
        [format!(
            "d.service: ok, beside rival.service, with which it conflicts /{link}"
        )]
    );
    let found = plan("d = 'enabled'\nrival = 'disabled'", &files);
    assert_eq!(found[0], "d.service: ok, ok");
    let found = plan("d = 'enabled'\nrival = 'enabled'", &[FILE, RUNS, rival]);
    assert_eq!(
        found,
        [
            "d.service: ok, beside rival.service, with which it conflicts the profile",
            "rival.service: not running, disabled",
            "link /etc/systemd/system/a.target.wants/rival.service to /usr/lib/systemd/system/rival.service",
            "start rival.service",
        ]
    );
}

#[test]
fn a_timer_s_state_is_not_to_be_seen() {
    let timer = (
        "usr/lib/systemd/system/t.timer",
        "[Install]\nWantedBy=timers.target\n",
    );
    let link = (
        "etc/systemd/system/timers.target.wants/t.timer",
        "->/x/t.timer",
    );
    assert_eq!(
        plan("\"t.timer\" = 'disabled'", &[timer]),
        ["t.timer: n/a, ok"]
    );
    let found = plan("\"t.timer\" = 'disabled'", &[timer, link]);
    assert_eq!(found[2], "stop t.timer");
}

#[test]
fn names_and_words() {
    let name = |text: &str| UnitName::try_from(text.to_owned()).map(String::from);
    assert_eq!(name("a.b").unwrap(), "a.b.service");
    assert_eq!(name("a.timer").unwrap(), "a.timer");
    for bad in [
        "",
        "a/b",
        "../a",
        "getty@",
        "getty@.service",
        "a b",
        &"x".repeat(300),
    ] {
        assert!(name(bad).is_err(), "{bad}");
    }
    let read = |text: &str| toml::from_str::<Services>(text);
    for bad in [
        "d = 'on'",
        "d = {}",
        "d = 1",
        "d = { state = 'running', boot = 'masked' }",
        "d = { x = 1 }",
    ] {
        assert!(read(bad).is_err(), "{bad}");
    }
    assert!(read("d = { state = 'stopped' }").is_ok());
}

#[test]
fn a_link_that_two_units_claim() {
    let unit = "[Service]\nExecStart=/d\n[Install]\nAlias=z.service\nWantedBy=multi-user.target\n";
    let found = plan(
        "\"a.service\" = { boot = \"enabled\" }\n\"b.service\" = { boot = \"enabled\" }\n",
        &[
            ("usr/lib/systemd/system/a.service", unit),
            ("usr/lib/systemd/system/b.service", unit),
        ],
    );
    let expected = [
        "a.service: n/a, disabled",
        "b.service: n/a, disabled /etc/systemd/system/z.service",
        "link /etc/systemd/system/multi-user.target.wants/a.service to /usr/lib/systemd/system/a.service",
        "link /etc/systemd/system/z.service to /usr/lib/systemd/system/a.service",
    ];
    assert_eq!(found, expected);
}
