//! A machine that starts from its disk: what GRUB will give the next kernel, and which kernel that is,
//! is told before the reboot and is so after it; and what we write there is what it gives.

use crate::guest::{self, Report};
use crate::image::Image;
use crate::machine::{ARGUMENTS, Hardware, Loader, Machine};

/// Debian's kernel takes AppArmor unless it is told otherwise.
const HARDWARE: Hardware = Hardware {
    arguments: "security=selinux selinux=1",
    ..Hardware::DEFAULT
};

const PROFILE: &str = r#"cat >/root/grub.toml <<'END'
schema = "v1alpha1"
[selinux]
state = "permissive"
[modules]
load = ["overlay"]
END
cat >/root/kernel.toml <<'END'
schema = "v1alpha1"
[kernel]
minimum = "99.1"
configuration = true
arguments = ["nodeprep.lab=1", "cgroup_disable=hugetlb"]
absent = ["quiet", "systemd.unified_cgroup_hierarchy"]
END
cat >/root/cgroups.toml <<'END'
schema = "v1alpha1"
[cgroups]
version = 1
END
sed 's/= 1/= 2/' /root/cgroups.toml >/root/unified.toml
echo overlay >/etc/modules-load.d/site.conf
modprobe overlay
"#;

/// As Debian's installer leaves it, but without waiting for a key.
const INSTALL: &str = r#"
cp /usr/share/grub/default/grub /etc/default/grub
sed -i 's/^GRUB_TIMEOUT=.*/GRUB_TIMEOUT=0/' /etc/default/grub
sed -i "s/^GRUB_CMDLINE_LINUX=.*/GRUB_CMDLINE_LINUX='$ARGUMENTS security=selinux selinux=1'/" /etc/default/grub
grub-install /dev/vda
update-grub
"#;

/// A kernel that GRUB takes for the newest one: the same under another name, without modules.
const NEWER: &str = r"
release=$(uname -r)
for file in vmlinuz initrd.img config System.map; do
    cp /boot/$file-$release /boot/$file-99.1-lab
done
mkdir /lib/modules/99.1-lab
touch /lib/modules/99.1-lab/modules.dep /lib/modules/99.1-lab/modules.builtin
";

/// Somebody has the kernel that runs be the default one.
const SAVED: &str = r#"
sed -i 's/^GRUB_DEFAULT=.*/GRUB_DEFAULT=saved/' /etc/default/grub
update-grub
grub-set-default "Advanced options for Debian GNU/Linux>Debian GNU/Linux, with Linux $(uname -r)"
"#;

const STATE: &str = "selinux state";
const OVERLAY: &str = "modules overlay";
const DEFAULTS: &str = "/etc/default/grub";
const MENU: &str = "/boot/grub/grub.cfg";

pub fn run(image: &Image) {
    let mut machine = guest::boot_with(image, HARDWARE);
    let machine = &mut machine;
    machine.ok(PROFILE);
    machine.ok(&format!("ARGUMENTS='{ARGUMENTS}'\n{INSTALL}"));
    told(machine, "check", 0, STATE, ["in_sync", "in_sync"], "");

    // Debian's kernels are built without selinux=; GRUB hands it over all the same.
    machine.ok("sed -i '/^GRUB_CMDLINE_LINUX=/s/selinux=1/selinux=0/' /etc/default/grub");
    told(machine, "check", 0, STATE, ["in_sync", "in_sync"], "");
    machine.ok(
        "sed -i '/^GRUB_CMDLINE_LINUX=/s/security=selinux/security=apparmor/' /etc/default/grub",
    );
    let line = first_line(machine, "^GRUB_CMDLINE_LINUX=", DEFAULTS);
    told(machine, "check", 2, STATE, ["in_sync", "differs"], &line);

    machine.ok(NEWER);
    machine.ok("update-grub");
    let line = first_line(machine, "linux.*security=apparmor", MENU);
    told(machine, "apply", 2, STATE, ["in_sync", "differs"], &line);
    let modules = "/lib/modules/99.1-lab";
    told(
        machine,
        "check",
        2,
        OVERLAY,
        ["in_sync", "differs"],
        modules,
    );

    machine.power_off();
    machine.power_on(Loader::Disk);
    assert_eq!(booted(machine), "/boot/vmlinuz-99.1-lab");
    assert_eq!(machine.ok("getenforce"), "Disabled");
    machine.ok("grep -q selinux=0 /proc/cmdline");
    told(machine, "check", 2, STATE, ["differs", "differs"], &line);

    machine.ok(SAVED);
    told(machine, "check", 2, OVERLAY, ["in_sync", "in_sync"], "");
    machine.reboot();
    let release = machine.ok("uname -r");
    assert_eq!(booted(machine), format!("/boot/vmlinuz-{release}"));
    ours(machine);
}

/// What we write is what GRUB gives, a menu made anew has it too, and all of it is taken back.
fn ours(machine: &mut Machine) {
    const FILES: &str = "sha256sum /etc/default/grub /boot/grub/grub.cfg /boot/grub/grubenv";
    let before = machine.ok(FILES);
    // Its kernel has the same release as the other: which one runs only its file's name tells.
    let told = |machine: &mut Machine, command: &str, profile: &str, code: i32| {
        Report::with(machine, command, &format!("/root/{profile}.toml"), code)
    };
    told(machine, "check", "kernel", 2);
    let steps = told(machine, "apply", "kernel", 3);
    assert_eq!(steps.steps().len(), 3, "{:?}", steps.steps());
    assert!(told(machine, "apply", "kernel", 3).steps().is_empty());
    let bytes = machine.ok("stat -c %s /boot/grub/grubenv");
    assert_eq!(bytes, "1024");
    machine.ok("grub-editenv list | grep -q 99.1-lab && grub-script-check /boot/grub/grub.cfg");
    machine.ok("cp /boot/grub/grub.cfg /root/ours.cfg && update-grub");
    told(machine, "check", "kernel", 3);
    machine.reboot();
    assert_eq!(booted(machine), "/boot/vmlinuz-99.1-lab");
    machine.ok("grep -q nodeprep.lab=1 /proc/cmdline && ! grep -qw quiet /proc/cmdline");
    machine.ok("! grep -qw hugetlb /sys/fs/cgroup/cgroup.controllers");
    machine.ok("cp /root/ours.cfg /boot/grub/grub.cfg");
    Report::with(machine, "rollback", "", 0);
    assert_eq!(machine.ok(FILES), before);
    // Version 1 of cgroups, by Debian 12's systemd, and back.
    told(machine, "apply", "cgroups", 3);
    machine.reboot();
    machine.ok("[ -d /sys/fs/cgroup/memory ] && ! [ -e /sys/fs/cgroup/cgroup.controllers ]");
    told(machine, "check", "cgroups", 0);
    told(machine, "apply", "unified", 3);
    machine.reboot();
    machine.ok("[ -e /sys/fs/cgroup/cgroup.controllers ]");
    told(machine, "check", "unified", 0);
    assert_eq!(
        machine.ok("grep -c unified /etc/default/grub /boot/grub/grub.cfg || true"),
        "/etc/default/grub:0\n/boot/grub/grub.cfg:0"
    );
}

/// The kernel that GRUB loaded.
fn booted(machine: &mut Machine) -> String {
    machine.ok("grep -o 'BOOT_IMAGE=[^ ]*' /proc/cmdline | cut -d= -f2")
}

fn first_line(machine: &mut Machine, pattern: &str, path: &str) -> String {
    let number = machine.ok(&format!("grep -n -m 1 '{pattern}' {path} | cut -d: -f1"));
    format!("{path}:{number}")
}

/// States of live and boot, and what boot is blamed on.
fn told(
    machine: &mut Machine,
    command: &str,
    code: i32,
    subject: &str,
    states: [&str; 2],
    origin: &str,
) {
    let report = Report::with(machine, command, "/root/grub.toml", code);
    let (live, boot) = (
        report.aspect(subject, "live"),
        report.aspect(subject, "boot"),
    );
    assert_eq!([live.0.as_str(), boot.0.as_str()], states, "{subject}");
    assert_eq!(boot.1, origin, "{subject}");
}
