//! SELinux with a real policy: enforcing goes permissive at once, disabled comes with the reboot, and
//! the way back is announced.

use serde_json::Value;

use crate::guest;
use crate::image::Image;
use crate::machine::{Hardware, Machine};

/// Debian's kernel takes AppArmor unless it is told otherwise.
const HARDWARE: Hardware = Hardware {
    arguments: "security=selinux selinux=1",
    ..Hardware::DEFAULT
};
/// An install of it as people leave it.
const CONFIG: &str = "printf '# ours\\nSELINUX=enforcing # hm\\r\\nSELINUXTYPE=default\\nSELINUX=disabled\\n' >/etc/selinux/config";

pub fn run(image: &Image) {
    let mut machine = guest::boot_with(image, HARDWARE);
    assert_eq!(machine.ok("getenforce"), "Permissive");
    // Enforcing by a write: the lab's own service has no place in Debian's policy.
    machine.ok("ls -Z /etc/selinux/config >/root/label");
    machine.ok(CONFIG);
    machine.ok("restorecon /etc/selinux/config");
    machine.ok("echo 1 >/sys/fs/selinux/enforce");
    permissive(&mut machine);
    disabled(&mut machine);
    machine.reboot();
    assert_eq!(machine.ok("getenforce"), "Disabled");
    told(&mut machine, "check", "disabled", 0, ["in_sync", "in_sync"]);
    back(&mut machine);
}

fn permissive(machine: &mut Machine) {
    told(machine, "check", "permissive", 2, ["differs", "differs"]);
    told(machine, "apply", "permissive", 0, ["differs", "differs"]);
    assert_eq!(machine.ok("getenforce"), "Permissive");
    assert_eq!(
        machine.ok("cat /etc/selinux/config"),
        "# ours\nSELINUX=permissive # hm\r\nSELINUXTYPE=default\nSELINUX=disabled"
    );
    machine.ok("ls -Z /etc/selinux/config | diff /root/label -");
    told(machine, "check", "permissive", 0, ["in_sync", "in_sync"]);
}

/// From enforcing: permissive now, disabled after the reboot.
fn disabled(machine: &mut Machine) {
    machine.ok("echo 1 >/sys/fs/selinux/enforce");
    told(machine, "apply", "disabled", 3, ["after_reboot", "in_sync"]);
    assert_eq!(machine.ok("getenforce"), "Permissive");
    told(machine, "check", "disabled", 3, ["after_reboot", "in_sync"]);
}

/// A reboot would take it back; it is not waited for, because Debian labels every file in it, some
/// minutes under emulation.
fn back(machine: &mut Machine) {
    told(
        machine,
        "apply",
        "permissive",
        3,
        ["after_reboot", "in_sync"],
    );
    machine.ok("grep -x 'SELINUX=permissive # hm.' /etc/selinux/config");
}

/// Runs the program on a profile of one state, and looks at exit code and states.
fn told(machine: &mut Machine, command: &str, state: &str, code: i32, states: [&str; 2]) {
    let profile = format!("schema = \"v1alpha1\"\n[selinux]\nstate = \"{state}\"\n");
    let output = machine.run(&format!(
        "echo '{profile}' >/root/selinux.toml; nodeprep {command} /root/selinux.toml --output json"
    ));
    let (stdout, stderr) = (&output.stdout, &output.stderr);
    assert_eq!(output.code, code, "{command} {state}:\n{stdout}{stderr}");
    let report: Value = serde_json::from_str(stdout).expect("a json report");
    let entry = &report["entries"][0];
    let found = ["live", "boot"].map(|aspect| entry[aspect]["state"].as_str().unwrap());
    assert_eq!(found, states, "{command} {state}:\n{stdout}");
}
