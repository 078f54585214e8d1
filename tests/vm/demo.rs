//! The main job for anyone to watch, on a machine nobody minds.

use crate::guest::{self, PROFILE};
use crate::image;

/// What is shown, in order; the host in between is rebooted.
const BEFORE: [&str; 4] = ["plan", "apply", "check", "apply"];

/// Boots a machine with swap on and shows plan, apply, check, reboot, check.
pub fn run() {
    let image = image::of("bookworm").unwrap();
    println!("booting a Debian 12 machine (software emulation, some 20 s) ...");
    let mut machine = guest::boot(&image);
    machine.ok("fallocate -l 64M /swapfile && chmod 600 /swapfile && mkswap /swapfile >/dev/null");
    machine.ok(
        "echo '/swapfile none swap sw 0 0' >>/etc/fstab && systemctl daemon-reload && swapon -a",
    );
    let show = |machine: &mut crate::machine::Machine, command: &str| {
        println!("\n# {command}");
        let output = machine.run(command);
        println!(
            "{}{}# exit code {}",
            output.stdout, output.stderr, output.code
        );
    };
    for command in BEFORE {
        show(&mut machine, &format!("nodeprep {command} {PROFILE}"));
    }
    println!("\n# reboot");
    machine.reboot();
    show(
        &mut machine,
        &format!("nodeprep check {PROFILE}; swapon --show; sysctl net.ipv4.ip_forward"),
    );
}
