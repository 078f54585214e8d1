//! What the item finds and would do, on trees.

use super::*;
use crate::items::services::tests::{host, shown};

/// Findings, then steps and what is due, in words.
fn plan(profile: &str, files: &[(&str, &str)]) -> Vec<String> {
    let time: Time = toml::from_str(profile).unwrap();
    let (_dir, host) = host(files);
    let plan = time.diff(&time.observe(&host).unwrap());
    let dues = plan.due.iter().map(Due::to_string);
    shown(&plan).into_iter().chain(dues).collect()
}

const SHANGHAI: (&str, &str) = ("usr/share/zoneinfo/Asia/Shanghai", "TZif2");
const ZONE_WANTED: &str = "zone = 'Asia/Shanghai'";

#[test]
fn the_zone_is_a_link_and_sometimes_a_name() {
    let link = ("etc/localtime", "->../usr/share/zoneinfo/Asia/Shanghai");
    assert_eq!(plan(ZONE_WANTED, &[SHANGHAI, link]), ["zone: ok, ok"]);
    let copy = ("etc/localtime", "TZif2");
    assert_eq!(plan(ZONE_WANTED, &[SHANGHAI, copy]), ["zone: ok, ok"]);
    let cron = ("run/systemd/units/invocation:cron.service", "->0");
    let name = ("etc/timezone", "Etc/UTC\n");
    let found = plan(ZONE_WANTED, &[SHANGHAI, name, cron]);
    let expected = [
        "zone: UTC /etc/localtime, UTC /etc/localtime",
        "link /etc/localtime to ../usr/share/zoneinfo/Asia/Shanghai",
        "edit /etc/timezone",
        "restart cron.service",
    ];
    assert_eq!(found, expected);
    let found = plan(ZONE_WANTED, &[SHANGHAI, link, name]);
    assert_eq!(
        found[0],
        "zone: Etc/UTC /etc/timezone, Etc/UTC /etc/timezone"
    );
    assert_eq!(plan(ZONE_WANTED, &[]), ["zone: blocked, blocked"]);
    assert_eq!(plan("zone = 'UTC'", &[name]), ["zone: ok, ok"]);
    for bad in ["", "/etc/passwd", "../x", "A//B", "A B", "a/../b"] {
        assert!(
            toml::from_str::<Time>(&format!("zone = '{bad}'")).is_err(),
            "{bad}"
        );
    }
}

#[test]
fn the_hardware_clock_keeps_utc() {
    assert_eq!(plan("rtc = 'utc'", &[]), ["rtc: ok, ok"]);
    let local = ("etc/adjtime", "0.0 0 0\n0\nLOCAL\n");
    let rtc = ("sys/class/rtc/rtc0/name", "rtc_cmos\n");
    let found = plan("rtc = 'utc'", &[local, rtc]);
    let expected = [
        "rtc: LOCAL /etc/adjtime:3, LOCAL /etc/adjtime:3",
        "edit /etc/adjtime",
        "set the hardware clock",
    ];
    assert_eq!(found, expected);
}

#[test]
fn one_daemon_sets_the_clock() {
    let unit = "[Service]\nExecStart=/usr/sbin/chronyd\n[Install]\nAlias=chronyd.service\nWantedBy=multi-user.target\n";
    let chrony = ("usr/lib/systemd/system/chrony.service", unit);
    let synced = (
        "answers.json",
        r#"{"facts":{},"cri":{},"clock":{"synchronised":true,"error_ms":7}}"#,
    );
    let found = plan("synchronised = true", &[chrony, synced]);
    let expected = [
        "source: chrony.service does not run, disabled",
        "clock: ok, ok",
        "link /etc/systemd/system/multi-user.target.wants/chrony.service to /usr/lib/systemd/system/chrony.service",
        "link /etc/systemd/system/chronyd.service to /usr/lib/systemd/system/chrony.service",
        "start chrony.service",
        "systemd daemon-reload",
    ];
    assert_eq!(found, expected);
    let wants = (
        "etc/systemd/system/multi-user.target.wants/chrony.service",
        "->/x/chrony.service",
    );
    let alias = (
        "etc/systemd/system/chronyd.service",
        "->/usr/lib/systemd/system/chrony.service",
    );
    let runs = ("run/systemd/units/invocation:chrony.service", "->0");
    let mut files = vec![chrony, wants, alias, runs, synced];
    assert_eq!(
        plan("synchronised = true", &files),
        ["source: ok, ok", "clock: ok, ok"]
    );
    let timesyncd = "etc/systemd/system/sysinit.target.wants/systemd-timesyncd.service";
    files.push((
        "usr/lib/systemd/system/systemd-timesyncd.service",
        "[Install]\nWantedBy=sysinit.target\n",
    ));
    files.push((timesyncd, "->/x/systemd-timesyncd.service"));
    let found = plan("synchronised = true", &files);
    assert_eq!(
        found[0],
        format!("source: ok, chrony.service and systemd-timesyncd.service /{timesyncd}")
    );
    let off = (
        "answers.json",
        r#"{"facts":{},"cri":{},"clock":{"synchronised":false,"error_ms":16000}}"#,
    );
    let found = plan("synchronised = true", &[off]);
    assert_eq!(found[0], "source: blocked, blocked");
    assert!(found[1].starts_with("clock: not synchronised"), "{found:?}");
}
