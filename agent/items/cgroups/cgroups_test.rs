//! What the item finds and would do, on trees.

use super::*;
use crate::items::services::tests::{host, shown};

fn plan(profile: &str, files: &[(&str, &str)]) -> Vec<String> {
    let cgroups: Cgroups = toml::from_str(profile).unwrap();
    let (_dir, host) = host(files);
    shown(&cgroups.diff(&cgroups.observe(&host).unwrap()))
}

const V2: (&str, &str) = (
    "sys/fs/cgroup/cgroup.controllers",
    "cpuset cpu io memory pids\n",
);
const V1: (&str, &str) = ("sys/fs/cgroup/memory/tasks", "");
const NEW: (&str, &str) = ("usr/lib/systemd/libsystemd-shared-252.so", "");
const OLD: (&str, &str) = ("usr/lib/systemd/libsystemd-shared-239.so", "");
const TWO: &str = "version = 2\ncontrollers = []";

#[test]
fn version_2_by_default_or_by_an_argument() {
    assert_eq!(plan(TWO, &[V2, NEW]), ["version: ok, ok"]);
    let line = (
        "proc/cmdline",
        "root=/dev/a systemd.unified_cgroup_hierarchy=0\n",
    );
    let defaults = (
        "etc/default/grub",
        "GRUB_CMDLINE_LINUX=\"systemd.unified_cgroup_hierarchy=0 ro\"\n",
    );
    let found = plan(TWO, &[V1, NEW, line, defaults]);
    assert_eq!(
        found,
        [
            "version: 1, 1 /etc/default/grub:1",
            "edit /etc/default/grub"
        ]
    );
    // The argument is gone, the kernel still runs with it.
    let mended = ("etc/default/grub", "GRUB_CMDLINE_LINUX=\"ro\"\n");
    assert_eq!(plan(TWO, &[V1, NEW, line, mended]), ["version: reboot, ok"]);
    let found = plan(TWO, &[V1, OLD, ("proc/cmdline", "ro\n"), mended]);
    assert_eq!(
        found,
        [
            "version: 1, 1 systemd 239 by itself",
            "edit /etc/default/grub"
        ]
    );
    // No boot loader: it will be started as it was.
    assert_eq!(
        plan(TWO, &[V1, OLD, ("proc/cmdline", "ro\n")]),
        ["version: 1, 1"]
    );
    assert_eq!(
        plan("version = 1\ncontrollers = []", &[V1, OLD]),
        ["version: ok, ok"]
    );
}

#[test]
fn controllers_of_both_versions() {
    let found = plan("", &[V2, NEW]);
    assert!(
        found.iter().all(|line| line.ends_with(": ok, ok")) && found.len() == 6,
        "{found:?}"
    );
    let without = ("sys/fs/cgroup/cgroup.controllers", "cpuset cpu io pids\n");
    let line = ("proc/cmdline", "cgroup_disable=memory\n");
    let defaults = (
        "etc/default/grub",
        "GRUB_CMDLINE_LINUX=\"cgroup_disable=memory\"\n",
    );
    let memory = "controllers = ['memory']";
    let found = plan(memory, &[without, NEW, line, defaults]);
    assert_eq!(
        found,
        [
            "memory: disabled, disabled /etc/default/grub:1",
            "edit /etc/default/grub"
        ]
    );
    let mended = ("etc/default/grub", "GRUB_CMDLINE_LINUX=\"\"\n");
    assert_eq!(
        plan(memory, &[without, NEW, line, mended]),
        ["memory: reboot, ok"]
    );
    let one = (
        "proc/cgroups",
        "#subsys_name\thierarchy\tnum_cgroups\tenabled\nmemory\t5\t80\t1\nblkio\t3\t9\t0\n",
    );
    assert_eq!(
        plan("controllers = ['memory', 'io']", &[V1, one])[0],
        "memory: ok, ok"
    );
    assert_eq!(
        plan("controllers = ['memory', 'io']", &[V1, one])[1],
        "io: not in this kernel, ok"
    );
    for bad in ["version = 3", "controllers = ['foo']", "x = 1"] {
        assert!(toml::from_str::<Cgroups>(bad).is_err(), "{bad}");
    }
}
