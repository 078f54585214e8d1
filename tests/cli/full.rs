//! Disks that are full at any write: with no page left, one, two … the file is the old one whole or
//! the new one whole, nothing is left beside it, and the message says what to do.

use crate::run::{Ran, file};
use crate::space::{CRICTL, Space};
use crate::tree::leftovers;

trials!(
    anyone: [],
    root: [full_etc, full_state, no_inode_left]
);

/// Three pages, so that a write can fail in the middle.
fn old() -> String {
    format!(
        "{}timeout: 2\n",
        "# a comment of somebody else's\n".repeat(300)
    )
}

/// Applies with a small file system over `over` that has room for `pages` more.
fn apply(space: &Space, over: &str, pages: usize) -> Ran {
    let prepare = format!(
        r#"mount -t tmpfs -o size=256k,mode=755 none /{over}
        cp -a "$SPACE/{over}/." /{over}/
        head -c 1M /dev/zero > /{over}/filler 2> /dev/null || true
        truncate -s -$(({pages} * $(getconf PAGESIZE))) /{over}/filler"#
    );
    between(space, over, &prepare)
}

fn between(space: &Space, over: &str, prepare: &str) -> Ran {
    let after = format!(r#"rm -f /{over}/filler*; cp -a /etc "$SPACE/after""#);
    space.run_between(prepare, &["apply"], &after)
}

/// Whether the file was changed; asserts that it is whole, with nothing beside it.
fn changed(space: &Space) -> bool {
    assert!(leftovers(&space.path("after")).is_empty());
    let text = std::fs::read_to_string(space.path("after/crictl.yaml")).unwrap();
    let new =
        old().replace("timeout: 2", "timeout: 10") + "runtime-endpoint: unix:///run/cri.sock\n";
    assert!(text == old() || text == new, "{text}");
    text == new
}

fn with_pages(over: &str, pages: usize) -> bool {
    let space = Space::new(CRICTL);
    space.runtime();
    file(&space.path("etc/crictl.yaml"), old());
    let ran = apply(&space, over, pages);
    let changed = changed(&space);
    if ran.code != Some(0) {
        // Also a run that had to stop tells how the host stands.
        ran.exits(1).says(&[
            "No space left on device",
            "free some space",
            "against profile",
        ]);
    }
    assert!(ran.code == Some(1) || changed, "{ran:#?}");
    changed
}

fn full_etc() {
    let changed: Vec<bool> = (0..=4).map(|pages| with_pages("etc", pages)).collect();
    assert!(!changed[0] && changed[4], "{changed:?}");
}

/// A step that can't be written down first is not done.
fn full_state() {
    let changed: Vec<bool> = (0..=9).map(|pages| with_pages("var/lib", pages)).collect();
    assert!(!changed[0] && changed[9], "{changed:?}");
}

fn no_inode_left() {
    let space = Space::new(CRICTL);
    file(&space.path("etc/crictl.yaml"), old());
    let prepare = r#"mount -t tmpfs -o nr_inodes=8,mode=755 none /etc
        cp -a "$SPACE/etc/." /etc/
        while touch "/etc/filler$((i = ${i:-0} + 1))" 2> /dev/null; do :; done"#;
    between(&space, "etc", prepare)
        .exits(1)
        .says(&["No space left on device", "free some space"]);
    assert!(!changed(&space));
}
