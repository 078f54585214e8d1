//! The static program where there is nothing but itself, and on a kernel as old as CentOS 7's: it is
//! put on hosts whose libc and kernel nobody chose.
#![allow(clippy::disallowed_methods)] // the fence is around the agent
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // how a test fails
#![allow(missing_docs)]

#[path = "../cli/trial.rs"]
#[macro_use]
mod trial;
mod old_kernel;
mod program;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, ExitCode, Output};

use nix::sys::stat::{Mode, SFlag};

const COMMANDS: [&[&str]; 3] = [
    &["profile", "show", "kubeadm-worker"],
    &["facts"],
    &["check", "kubeadm-worker"],
];

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    if let [_, first, rest @ ..] = &arguments[..]
        && first == old_kernel::ENTER
    {
        old_kernel::enter(rest);
    }
    trial::run(trials())
}

trials!(
    anyone: [the_same_answers, trees, newer_calls],
    root: [empty_root, empty_root_of_an_old_kernel, applies]
);

/// No libc, no /etc, no /proc, no /dev.
fn empty_root() {
    let root = tempfile::tempdir().unwrap();
    in_root(root.path(), &["chroot"]);
}

/// Where a kernel has no getrandom(2), Rust's hash maps begin with bytes of this device.
fn empty_root_of_an_old_kernel() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("dev")).unwrap();
    let device = root.path().join("dev/urandom");
    let number = nix::sys::stat::makedev(1, 9);
    nix::sys::stat::mknod(&device, SFlag::S_IFCHR, Mode::S_IRUSR, number).unwrap();
    in_root(
        root.path(),
        &[&*this().to_string_lossy(), old_kernel::ENTER, "chroot"],
    );
}

fn in_root(root: &Path, enter: &[&str]) {
    fs::copy(program::path(), root.join("nodeprep")).unwrap();
    let before = fs::read_dir(root).unwrap().count();
    for arguments in COMMANDS {
        let output = Command::new(enter[0])
            .args(&enter[1..])
            .arg(root)
            .arg("/nodeprep")
            .args(arguments)
            .output()
            .unwrap();
        // What a check can't find out there is trouble, and it says so; nothing else is.
        let expected = if arguments[0] == "check" { 1 } else { 0 };
        assert_eq!(
            output.status.code(),
            Some(expected),
            "{arguments:?}: {}",
            said(&output)
        );
        assert!(!said(&output).contains("panicked"), "{}", said(&output));
    }
    let after = fs::read_dir(root).unwrap().count();
    assert_eq!(before, after, "nothing was written");
}

fn the_same_answers() {
    for arguments in COMMANDS {
        let here = Command::new(program::path())
            .args(arguments)
            .output()
            .unwrap();
        let there = on_old_kernel(program::path())
            .args(arguments)
            .output()
            .unwrap();
        assert_eq!(here.status, there.status, "{arguments:?}: {}", said(&there));
        assert_eq!(said(&here), said(&there), "{arguments:?}");
    }
}

/// Without openat2(2) as with it no link leads out of a tree.
fn trees() {
    let space = tempfile::tempdir().unwrap();
    let path = |path: &str| space.path().join(path);
    let profile = "schema = \"v1alpha1\"\n[swap]\nstate = \"off\"\n[crictl]\ntimeout = 10\n";
    fs::write(path("profile.toml"), profile).unwrap();
    for old in [false, true] {
        let root = path(if old { "old" } else { "new" });
        fs::create_dir_all(root.join("usr/share")).unwrap();
        symlink("/usr/../../../usr/share/", root.join("etc")).unwrap();
        // An absolute link: the file is the one below the root that has this name there.
        symlink(path("outside"), root.join("usr/share/fstab")).unwrap();
        let inside = root.join(path("outside").strip_prefix("/").unwrap());
        fs::create_dir_all(inside.parent().unwrap()).unwrap();
        fs::write(&inside, "/s none swap sw\n").unwrap();
        fs::write(path("outside"), "/s none swap sw\n").unwrap();
        let mut command = match old {
            true => on_old_kernel(program::path()),
            false => Command::new(program::path()),
        };
        let output = command
            .args(["apply", "--root"])
            .arg(&root)
            .arg(path("profile.toml"))
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        assert_eq!(fs::read_to_string(inside).unwrap(), "#/s none swap sw\n");
        assert_eq!(
            fs::read_to_string(path("outside")).unwrap(),
            "/s none swap sw\n"
        );
        assert!(root.join("usr/share/crictl.yaml").is_file());
    }
}

fn applies() {
    let space = tempfile::tempdir().unwrap();
    for dir in ["etc", "run", "var"] {
        fs::create_dir(space.path().join(dir)).unwrap();
    }
    let profile = "schema = \"v1alpha1\"\n[crictl]\ntimeout = 10\n[sysctl.keys]\n\"net.ipv4.ip_forward\" = 1\n";
    fs::write(space.path().join("etc/profile.toml"), profile).unwrap();
    let enter =
        "for dir in etc run var; do mount -n --bind \"$SPACE/$dir\" /$dir; done; exec \"$@\"";
    let output = Command::new("unshare")
        .args(["--mount", "--net", "--propagation", "private"])
        .args(["sh", "-euc", enter, "sh"])
        .arg(this())
        .arg(old_kernel::ENTER)
        .arg(program::path())
        .args(["apply", "/etc/profile.toml"])
        .env("SPACE", space.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(said(&output).contains("2 fixed"), "{}", said(&output));
    let written = fs::read_to_string(space.path().join("etc/crictl.yaml")).unwrap();
    assert!(written.ends_with("\ntimeout: 10\n"), "{written}");
}

/// What is tried first and has a way round; a new one here wants a look at its way round.
const TRIED: [&str; 6] = [
    "getrandom",
    "rseq",
    "statx",
    "close_range",
    "openat2",
    "renameat2",
];

fn newer_calls() {
    let trace = tempfile::NamedTempFile::new().unwrap();
    let mut tried = BTreeSet::new();
    for arguments in COMMANDS {
        let strace = Command::new("strace")
            .args(["-f", "-qq", "-o"])
            .arg(trace.path())
            .arg(this())
            .arg(old_kernel::ENTER)
            .arg(program::path())
            .args(arguments)
            .output()
            .unwrap();
        assert!(strace.status.code().is_some(), "{}", said(&strace));
        let text = fs::read_to_string(trace.path()).unwrap();
        // "PID name(arguments) = -1 ENOSYS (Function not implemented)"
        let refused = text.lines().filter(|line| line.contains("= -1 ENOSYS"));
        let name = |line: &str| Some(line.split_once(' ')?.1.trim().split_once('(')?.0.to_owned());
        tried.extend(refused.filter_map(name));
    }
    assert!(!tried.is_empty(), "the filter is not there");
    let unknown: Vec<_> = tried
        .iter()
        .filter(|name| !TRIED.contains(&name.as_str()))
        .collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

fn on_old_kernel(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(this());
    command.arg(old_kernel::ENTER).arg(program);
    command
}

fn this() -> std::path::PathBuf {
    std::env::current_exe().unwrap()
}

/// Both outputs.
fn said(output: &Output) -> String {
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8_lossy(&text).into_owned()
}
