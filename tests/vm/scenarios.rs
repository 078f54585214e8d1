//! The scenarios, each on a machine of its own.

mod break_each;
mod containerd;
mod firewall;
mod grub;
mod netfilter;
mod pristine;
mod profiles;
mod selinux;

use crate::image::Image;

/// What is done with machines made from an image.
#[derive(Debug)]
pub struct Scenario {
    /// Its name.
    pub name: &'static str,
    /// It panics where something is not as it has to be.
    pub run: fn(&Image),
    /// The suites on which every submission has to pass it; the others are for `make vm-all`.
    pub always_on: &'static [&'static str],
}

/// All of them.
pub const ALL: [Scenario; 7] = [
    Scenario {
        name: "pristine",
        run: pristine::run,
        always_on: &["bookworm", "trixie"],
    },
    Scenario {
        name: "selinux",
        run: selinux::run,
        always_on: &["bookworm"],
    },
    Scenario {
        name: "containerd",
        run: containerd::run,
        always_on: &["bookworm"],
    },
    Scenario {
        name: "profiles",
        run: profiles::run,
        always_on: &["trixie"],
    },
    Scenario {
        name: "firewall",
        run: firewall::run,
        always_on: &["bookworm"],
    },
    Scenario {
        name: "netfilter",
        run: netfilter::run,
        always_on: &[],
    },
    Scenario {
        name: "grub",
        run: grub::run,
        always_on: &["bookworm"],
    },
];
