//! The power fails while the agent works. A run is recorded with every write to the disk; then the
//! disk is made as it would be had the power failed at this moment or that, it is looked at, and the
//! run is finished.
//!
//! `make power`, as root; a sample that needs no machine is among the trials.

mod bench;
mod figures;
mod judge;
mod log;
mod logged;
mod record;
mod replay;
mod tree;

use libtest_mimic::Trial;

use crate::image::{self, Image};
use bench::{Bench, spread, undisturbed};
use figures::Figures;
use record::{Recording, Words};
use replay::{Cut, Random};

/// strace(1) answers this system call itself.
macro_rules! without {
    ($call:literal) => {
        [
            "strace",
            "-f",
            "-qq",
            "-o/dev/null",
            concat!("-einject=", $call, ":retval=0"),
        ]
    };
}

/// All that a machine without a network can have.
const PROFILE: &str = "kubeadm-base";
/// Moments at which the power fails, and the seed of what is lost then, where nobody says others.
const MOMENTS: usize = 200;
const SEED: u64 = 4;
/// Moments of what every submission has to pass.
const SAMPLE: usize = 40;

/// How a run is made, and what is expected of it.
struct Trying {
    name: &'static str,
    place: Place,
    /// `apply`, or `rollback` of one.
    command: &'static str,
    /// What is done after it, whole or not.
    endings: &'static [&'static str],
    /// Words before the program's.
    wrapper: &'static [&'static str],
    /// Whether there have to be faults, else there must be none.
    broken: bool,
}

#[derive(Clone, Copy)]
enum Place {
    /// A machine with these kernel arguments.
    Machine(&'static str),
    /// A tree on a file system of this host, with these options of mount(8).
    Tree(&'static str, &'static str),
}

const MACHINE: Trying = Trying {
    name: "a machine, ext4",
    place: Place::Machine(""),
    // Finishing with --root can be a run of its own there, see judge.rs: that one is taken back too.
    endings: &["apply", "check", "remove"],
    ..TREE
};
/// What ext4 does for programs that forget to sync is turned off (ext4(5): auto_da_alloc, data=).
const HARDER: Trying = Trying {
    name: "a machine, ext4 with noauto_da_alloc,data=writeback",
    place: Place::Machine("rootflags=noauto_da_alloc,data=writeback"),
    ..MACHINE
};
const TREE: Trying = Trying {
    name: "a tree, ext4 with noauto_da_alloc,data=writeback",
    place: Place::Tree("ext4", "noauto_da_alloc,data=writeback"),
    command: "apply",
    endings: &["apply", "check", "rollback"],
    wrapper: &[],
    broken: false,
};
const XFS: Trying = Trying {
    name: "a tree, XFS",
    place: Place::Tree("xfs", ""),
    ..TREE
};
const ROLLBACK: Trying = Trying {
    name: "a tree, rollback",
    command: "rollback",
    endings: &["rollback", "apply"],
    ..TREE
};
/// The run that finishes another one is cut off itself.
const TWICE: Trying = Trying {
    name: "a tree, cut off twice",
    ..TREE
};
/// The same program, but the kernel never hears of its syncs: that has to be found.
const CONTROLS: [Trying; 2] = [
    Trying {
        name: "control: fsync does nothing",
        wrapper: &without!("fsync"),
        broken: true,
        ..TREE
    },
    Trying {
        name: "control: fdatasync does nothing",
        wrapper: &without!("fdatasync"),
        broken: true,
        ..TREE
    },
];

/// The trials that need no machine.
pub fn trials() -> Vec<Trial> {
    let trial = |name: &str, run: fn()| {
        Trial::test(format!("power::{name}"), move || {
            run();
            Ok(())
        })
    };
    let can = std::fs::exists("/dev/fuse").unwrap() && nix::unistd::geteuid().is_root();
    if !can {
        eprintln!("SKIPPED: power::sample: it needs root, loop devices and FUSE");
    }
    vec![
        trial("log", log::reads_what_was_logged),
        trial("replay", replay::drops_only_what_was_not_flushed),
        trial("sample", sample).with_ignored_flag(!can),
    ]
}

fn sample() {
    tree::own_mounts().expect("mounts need root");
    println!("{}", TREE.run(SAMPLE, SEED));
    for control in &CONTROLS {
        println!("{}", control.run(SAMPLE / 2, SEED));
    }
}

/// All of it; `arguments` are how many moments, the seed, and a word of the names of what is tried.
pub fn run(arguments: &[String]) {
    let number = |index: usize| {
        arguments
            .get(index)
            .map(|text| text.parse().expect("a number"))
    };
    let moments = number(0).map_or(MOMENTS, |number| usize::try_from(number).unwrap());
    let seed = number(1).unwrap_or(SEED);
    let word = arguments.get(2).map_or("", String::as_str);
    tree::own_mounts().expect("mounts need root");
    println!("{moments} moments each, seed {seed}");
    if TWICE.name.contains(word) {
        println!("\n{}", TWICE.run_twice(moments, seed));
    }
    let once = [MACHINE, HARDER, TREE, XFS, ROLLBACK];
    let all = once.iter().chain(&CONTROLS);
    for trying in all.filter(|trying| trying.name.contains(word)) {
        println!("\n{}", trying.run(moments, seed));
    }
}

impl Trying {
    /// Records a run and lets the power fail at so many moments of it.
    fn run(&self, moments: usize, seed: u64) -> Figures {
        let (recording, image) = self.record();
        let dir = replay::scratch();
        let undisturbed = undisturbed(self.command, self.endings, &recording, dir.path());
        let mut figures = Figures::new(self.name, undisturbed.changed());
        let mut random = Random(seed);
        let bench = Bench {
            recording: &recording,
            undisturbed: &undisturbed,
            image: image.as_ref(),
            dir: dir.path(),
        };
        bench.fails(moments, &mut random, &mut figures);
        assert_eq!(figures.failed() > 0, self.broken, "{figures}");
        figures
    }

    /// The same, and the power fails again while the run is being finished: at the root of `moments`
    /// as often as at the first time.
    fn run_twice(&self, moments: usize, seed: u64) -> Figures {
        let (first, _) = self.record();
        let Place::Tree(_, options) = self.place else {
            panic!("only on a tree")
        };
        let dir = replay::scratch();
        let undisturbed = undisturbed(self.command, self.endings, &first, dir.path());
        let mut figures = Figures::new(self.name, undisturbed.changed());
        let mut random = Random(seed);
        let mut disk = first.disk(&dir.path().join("first"));
        let each = moments.isqrt();
        for at in spread(&first, each, &mut random) {
            let again = replay::scratch();
            let cut = Cut::new(&first.log, at, &mut random);
            disk.cut(&first.log, &cut, &again.path().join(record::BASE));
            let bench = Bench {
                recording: &Recording::of_disk(again, options, self.words()),
                undisturbed: &undisturbed,
                image: None,
                dir: dir.path(),
            };
            bench.fails(each, &mut random, &mut figures);
        }
        assert_eq!(figures.failed(), 0, "{figures}");
        figures
    }

    fn record(&self) -> (Recording, Option<Image>) {
        match self.place {
            Place::Machine(arguments) => {
                let image = image::of("bookworm").unwrap();
                (Recording::of_machine(&image, arguments), Some(image))
            }
            Place::Tree(filesystem, options) => {
                let recording = Recording::of_tree(filesystem, options, self.words());
                (recording, None)
            }
        }
    }

    fn words(&self) -> Words {
        Words {
            wrapper: self.wrapper,
            command: self.command,
        }
    }
}
