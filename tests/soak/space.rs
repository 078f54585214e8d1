//! A machine of its own for this process and all it starts: mount and network namespaces, with
//! directories of ours over all that the agent writes.

use std::fs;
use std::path::Path;
use std::process::Command;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

pub const PROFILE: &str = "/etc/nodeprep/profile.toml";

pub fn is_possible() -> bool {
    let probe = Command::new("unshare")
        .args(["--mount", "--net", "nft", "list", "ruleset"])
        .output();
    nix::unistd::geteuid().is_root() && probe.is_ok_and(|output| output.status.success())
}

/// Nothing of the real machine's /etc, /run and /var/lib can be reached once this has run.
pub fn enter() {
    unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET).unwrap();
    let none: Option<&str> = None;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
    for dir in ["/etc", "/run", "/var/lib"] {
        mount(
            Some("tmpfs"),
            dir,
            Some("tmpfs"),
            MsFlags::empty(),
            Some("mode=755"),
        )
        .unwrap();
    }
    fs::create_dir_all("/run/systemd/system").unwrap();
}

/// Puts a file in place as an editor does.
pub fn save(path: &str, text: &str) {
    let path = Path::new(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let new = path.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::rename(new, path).unwrap();
}
