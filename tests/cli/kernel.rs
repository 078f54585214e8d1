//! Values the kernel refuses, bends or does not have; all keys are those of a network namespace.

use crate::run::Ran;
use crate::space::Space;

trials!(
    anyone: [],
    root: [set, refused, clamped, absent, read_only, one_failure_stops_no_other]
);

/// Applies one key with this value, and prints it afterwards.
fn apply(key: &str, value: &str) -> Ran {
    let space = Space::new(&profile(&format!("\"{key}\" = {value}\n")));
    let show = format!(
        "echo after: $(cat /proc/sys/{} || true)",
        key.replace('.', "/")
    );
    space.run_between("", &["apply"], &show)
}

fn profile(keys: &str) -> String {
    format!("schema = \"v1alpha1\"\n[sysctl.keys]\n{keys}")
}

fn set() {
    apply("net.ipv4.ip_forward", "1")
        .exits(0)
        .says(&["1 fixed", "after: 1"]);
    apply("net.core.somaxconn", "{ at_least = 5000 }")
        .exits(0)
        .says(&["after: 5000"]);
    apply("net.core.somaxconn", "{ at_least = 5 }")
        .exits(0)
        .says(&["1 in sync", "after: 4096"]);
}

fn refused() {
    let ran = apply("net.ipv4.ip_default_ttl", "999");
    let message =
        "/proc/sys/net/ipv4/ip_default_ttl: the kernel refuses \"999\": ask for a value it takes";
    ran.exits(1).says(&[message, "1 failed", "after: 64"]);
    apply("net.ipv4.ip_forward", "\"yes\"")
        .exits(1)
        .says(&["the kernel refuses \"yes\""]);
}

/// A range whose end is before its begin becomes the empty one, and write(2) reports success.
fn clamped() {
    let ran = apply("net.ipv4.ping_group_range", "\"5 3\"");
    let message = "the kernel keeps \"1\t0\" where \"5 3\" was written: ask for a value it takes";
    ran.exits(1).says(&[message, "1 failed"]);
}

fn absent() {
    let missing = [
        "this kernel has no such key",
        "mark it optional",
        "1 unfixed",
    ];
    apply("net.ipv4.tcp_nosuchkey", "1").exits(2).says(&missing);
    let optional = "{ value = 1, optional = true }";
    apply("net.ipv4.tcp_nosuchkey", optional)
        .exits(0)
        .says(&["1 not applicable"]);
}

fn read_only() {
    let space = Space::new(&profile("\"net.ipv4.ip_forward\" = 1\n"));
    let prepare = "mount --bind /proc/sys /proc/sys; mount -o remount,bind,ro /proc/sys";
    let ran = space.run_prepared(prepare, &["apply"]);
    ran.exits(1)
        .says(&["is read-only here (a container?)", "1 failed"]);
}

fn one_failure_stops_no_other() {
    let keys = "\"net.ipv4.ip_default_ttl\" = 999\n\"net.ipv4.ip_forward\" = 1\n\"net.ipv4.tcp_syncookies\" = 0\n";
    let space = Space::new(&profile(keys));
    let show = "cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv4/tcp_syncookies";
    space
        .run_between("", &["apply"], show)
        .exits(1)
        .says(&["2 fixed, 1 failed", "\n1\n0\n"]);
}
