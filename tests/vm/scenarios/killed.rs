//! A run is killed before and after each record of its journal: what is known of a step and what was
//! done of it part nowhere else. Each time the next run makes the host what it would have been; after all
//! of them `remove` has made it what it was. One boot.

use super::undo::{BARE, STATE, same};
use crate::guest::{self, PROFILE, Report};
use crate::image::Image;
use crate::machine::Machine;

/// A call of the undisturbed run: its name, and the how many-eth of its name it is.
type Call = (&'static str, usize);

pub fn run(image: &Image) {
    let mut machine = guest::boot(image);
    machine.ok(BARE);
    machine.ok(guest::NFTABLES);
    let bare = machine.ok(STATE);
    let calls = calls(&mut machine);
    let applied = machine.ok(STATE);
    Report::with(&mut machine, "remove", "", 0);
    same(&bare, &machine.ok(STATE), "remove");
    machine.ok("rm -r /var/lib/nodeprep");
    assert!(calls.len() > 40, "{calls:?}");
    for (name, count) in calls {
        let killed = format!("killed at {name} {count}");
        machine.ok(&format!(
            "! strace -qq -o/dev/null -e trace={name} -e inject={name}:signal=KILL:when={count} \
             nodeprep -q apply {PROFILE} >/dev/null 2>&1"
        ));
        Report::of(&mut machine, "apply", 0);
        same(&applied, &machine.ok(STATE), &killed);
        machine.ok("! find /etc /boot /usr/local /var/lib -name '.*.nodeprep-*' | grep .");
        Report::with(&mut machine, "remove", "", 0);
        machine.ok("rm -r /var/lib/nodeprep");
    }
    same(&bare, &machine.ok(STATE), "remove, each time");
}

/// Each call that writes a record, and the one that brings it to the disk: strace(1) kills before it.
fn calls(machine: &mut Machine) -> Vec<Call> {
    machine.ok(&format!(
        "strace -qq -y -e trace=write,fsync,fdatasync -o /run/calls nodeprep -q apply {PROFILE}"
    ));
    let trace = machine.ok("cat /run/calls");
    let of = |name: &'static str| {
        let begins = format!("{name}(");
        let calls = trace.lines().filter(move |line| line.starts_with(&begins));
        let records = calls
            .zip(1..)
            .filter(|(line, _)| line.contains(".journal>"));
        records
            .map(|(_, count)| (name, count))
            .collect::<Vec<Call>>()
    };
    ["write", "fsync", "fdatasync"].map(of).concat()
}
