//! What the item finds and would do, on trees.

use super::*;
use crate::items::services::tests::{host, shown};

fn plan(profile: &str, files: &[(&str, &str)]) -> Vec<String> {
    let kernel: Kernel = toml::from_str(profile).unwrap();
    let (_dir, host) = host(files);
    shown(&kernel.diff(&kernel.observe(&host).unwrap()))
}

const RUNS_OLD: (&str, &str) = ("proc/sys/kernel/osrelease", "3.10.0-1160.el7.x86_64\n");
const OLD: [(&str, &str); 2] = [
    ("boot/vmlinuz-3.10.0-1160.el7.x86_64", ""),
    ("usr/lib/modules/3.10.0-1160.el7.x86_64/modules.dep", ""),
];
const NEW: [(&str, &str); 2] = [
    ("boot/vmlinuz-5.4.278-1.el7.x86_64", ""),
    ("usr/lib/modules/5.4.278-1.el7.x86_64/modules.dep", ""),
];

#[test]
fn installed_default_and_running_are_three() {
    let wanted = "minimum = '5.4'";
    let found = plan(wanted, &[RUNS_OLD, OLD[0], OLD[1]]);
    assert_eq!(
        found,
        ["version: 3.10.0-1160.el7.x86_64, 3.10.0-1160.el7.x86_64"]
    );
    let both = [RUNS_OLD, OLD[0], OLD[1], NEW[0], NEW[1]];
    assert_eq!(plan(wanted, &both), ["version: reboot, ok"]);
    let mut files = both.to_vec();
    files.push(("etc/default/grub", "GRUB_DEFAULT=saved\n"));
    files.push((
        "boot/grub2/grubenv",
        "# GRUB Environment Block\nsaved_entry=CentOS Linux (3.10.0-1160.el7.x86_64) 7 (Core)\n##",
    ));
    files.push((
        "boot/grub2/grub.cfg",
        "menuentry 'CentOS Linux (5.4.278-1.el7.x86_64) 7 (Core)' {\n\tlinux16 /v ro\n}\n",
    ));
    let found = plan(wanted, &files);
    let now = "3.10.0-1160.el7.x86_64";
    assert_eq!(
        found,
        [
            format!("version: {now}, {now} /boot/grub2/grubenv"),
            "edit /boot/grub2/grubenv".into()
        ]
    );
    assert_eq!(plan("minimum = '3.10'", &files), ["version: ok, ok"]);
    for bad in ["minimum = '5'", "minimum = 'x.y'", "minimum = '5.4-1'"] {
        assert!(toml::from_str::<Kernel>(bad).is_err(), "{bad}");
    }
}

#[test]
fn arguments_are_looked_for_in_every_entry() {
    let wanted = "arguments = ['selinux=0']\nabsent = ['quiet']";
    let line = ("proc/cmdline", "ro quiet\n");
    let defaults = ("etc/default/grub", "GRUB_CMDLINE_LINUX=\"quiet\"\n");
    let menu = (
        "boot/grub/grub.cfg",
        "menuentry 'a' {\n linux /vmlinuz-1 ro quiet\n}\nmenuentry 'b' {\n linux /vmlinuz-2 ro selinux=0\n}\n",
    );
    let expected = [
        "selinux=0: absent /proc/cmdline, absent /boot/grub/grub.cfg:2",
        "without quiet: present /proc/cmdline, present /boot/grub/grub.cfg:2",
        "edit /etc/default/grub",
        "edit /boot/grub/grub.cfg",
    ];
    assert_eq!(plan(wanted, &[line, defaults, menu]), expected);
    let mended = [
        line,
        ("etc/default/grub", "GRUB_CMDLINE_LINUX=\"selinux=0\"\n"),
        (
            "boot/grub/grub.cfg",
            "menuentry 'a' {\n linux /vmlinuz-1 ro selinux=0\n}\n",
        ),
    ];
    let found = plan(wanted, &mended);
    assert_eq!(
        found,
        ["selinux=0: reboot, ok", "without quiet: reboot, ok"]
    );
    // Entries of the Boot Loader Specification, as EL 8 has them.
    let entry = (
        "boot/loader/entries/id-1.conf",
        "linux x\noptions $kernelopts quiet\n",
    );
    let environment = ("boot/grub2/grubenv", "kernelopts=ro\n####");
    let found = plan(wanted, &[line, entry, environment]);
    assert_eq!(
        found[2..],
        [
            "edit /boot/loader/entries/id-1.conf",
            "edit /boot/grub2/grubenv"
        ]
    );
    // Nothing to change it in.
    let found = plan(wanted, &[line]);
    assert!(
        found.len() == 2 && found[0].contains("no boot loader's files"),
        "{found:?}"
    );
    for bad in ["'a b'", "'x=$y'", "'\"q'", "''", "'=1'"] {
        let text = format!("arguments = [{bad}]");
        assert!(toml::from_str::<Kernel>(&text).is_err(), "{bad}");
    }
}
