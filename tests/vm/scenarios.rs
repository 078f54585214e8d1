//! The scenarios, each on a machine of its own.

mod break_each;
mod containerd;
mod daemon;
mod files;
mod firewall;
mod grub;
mod killed;
mod kubeadm;
mod kubernetes;
mod netfilter;
mod packages;
mod preflight;
mod pristine;
mod profiles;
mod selinux;
mod undo;
mod units;

use crate::image::Image;

/// What is done with machines made from an image.
#[derive(Debug)]
pub struct Scenario {
    /// Its name.
    pub name: &'static str,
    /// It panics where something is not as it has to be.
    pub run: fn(&Image),
    /// The suites it is for: where what it looks at differs.
    pub suites: &'static [&'static str],
    /// Those of them on which every submission has to pass it; the others are for `make vm-all`.
    pub always_on: &'static [&'static str],
}

const EVERY: &[&str] = &["bullseye", "bookworm", "trixie", "testing"];

/// All of them.
pub const ALL: &[Scenario] = &[
    Scenario {
        name: "pristine",
        run: pristine::run,
        suites: EVERY,
        always_on: &["bookworm", "trixie"],
    },
    Scenario {
        name: "selinux",
        run: selinux::run,
        suites: EVERY,
        always_on: &["bookworm"],
    },
    Scenario {
        name: "containerd",
        run: containerd::run,
        suites: EVERY,
        always_on: &["bookworm"],
    },
    Scenario {
        name: "undo",
        run: undo::run,
        suites: EVERY,
        always_on: &["bookworm"],
    },
    Scenario {
        name: "killed",
        run: killed::run,
        suites: &["bookworm"],
        always_on: &[],
    },
    Scenario {
        name: "preflight",
        run: preflight::run,
        suites: EVERY,
        always_on: &["bookworm"],
    },
    Scenario {
        name: "kubeadm",
        run: kubeadm::run,
        suites: &["bullseye"],
        always_on: &[],
    },
    Scenario {
        name: "profiles",
        run: profiles::run,
        suites: &["trixie"],
        always_on: &[],
    },
    Scenario {
        name: "firewall",
        run: firewall::run,
        suites: EVERY,
        always_on: &["bookworm"],
    },
    Scenario {
        name: "netfilter",
        run: netfilter::run,
        suites: &["bookworm", "testing"],
        always_on: &[],
    },
    Scenario {
        name: "units",
        run: units::run,
        suites: EVERY,
        always_on: &[],
    },
    Scenario {
        name: "kubernetes",
        run: kubernetes::run,
        suites: &["bookworm", "trixie"],
        always_on: &["bookworm"],
    },
    Scenario {
        name: "grub",
        run: grub::run,
        suites: &["bookworm"],
        always_on: &[],
    },
    Scenario {
        name: "packages",
        run: packages::run,
        suites: &["bookworm", "trixie"],
        always_on: &["trixie"],
    },
    Scenario {
        name: "files",
        run: files::run,
        suites: &["bookworm", "trixie"],
        always_on: &["trixie"],
    },
    Scenario {
        name: "daemon",
        run: daemon::run,
        suites: EVERY,
        always_on: &[],
    },
];
