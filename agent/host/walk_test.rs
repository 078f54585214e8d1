//! The walk against the kernel's own: on any tree of directories and links they end at the same file.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::*;
use crate::host::Kind;
use crate::host::files::{kind_of, open_root};

/// What is made in a tree: few names, so that they meet.
#[derive(Debug, Clone)]
enum Made {
    Directory(String),
    File(String),
    Link(String, String),
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![4 => "[ab]", 1 => Just("..".to_owned()), 1 => Just(".".to_owned())]
}

fn path(names: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    let lead = prop_oneof![Just(""), Just("/"), Just("//"), Just("../../../")];
    let names = prop::collection::vec(names, 1..5);
    let end = prop_oneof![4 => Just(""), 1 => Just("/"), 1 => Just("/.")];
    (lead, names, end).prop_map(|(lead, names, end)| format!("{lead}{}{end}", names.join("/")))
}

fn made() -> impl Strategy<Value = Made> {
    let place = prop::collection::vec("[ab]", 1..4).prop_map(|names| names.join("/"));
    let links = (place.clone(), path(name())).prop_map(|(at, to)| Made::Link(at, to));
    prop_oneof![
        2 => place.clone().prop_map(Made::Directory),
        1 => place.prop_map(Made::File),
        3 => links,
    ]
}

/// What cannot be made where it is wanted is left out.
fn make(top: &Path, all: &[Made]) {
    for made in all {
        let _ = match made {
            Made::Directory(at) => fs::create_dir_all(top.join(at)),
            Made::File(at) => fs::write(top.join(at), at),
            Made::Link(at, to) => symlink(to, top.join(at)),
        };
    }
}

/// Which file it is, or why not.
fn seen(fd: nix::Result<OwnedFd>) -> nix::Result<(u64, u64, Kind)> {
    let stat = fstat(fd?)?;
    Ok((stat.st_dev, stat.st_ino, kind_of(&stat)))
}

fn by_kernel(root: &OwnedFd, path: &Path, flags: OFlag) -> nix::Result<OwnedFd> {
    let how = OpenHow::new()
        .flags(flags | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_IN_ROOT);
    loop {
        match nix::fcntl::openat2(root, path, how) {
            // Something was renamed or mounted on this machine meanwhile (openat2(2)).
            Err(Errno::EAGAIN) => {}
            answer => return answer,
        }
    }
}

const FLAGS: [OFlag; 4] = [
    OFlag::O_PATH,
    OFlag::O_PATH.union(OFlag::O_NOFOLLOW),
    OFlag::O_RDONLY,
    OFlag::O_RDONLY.union(OFlag::O_DIRECTORY),
];

proptest! {
    #[test]
    fn walks_as_the_kernel_does(all in prop::collection::vec(made(), 1..12), paths in prop::collection::vec(path(name()), 8)) {
        let outside = tempfile::tempdir().unwrap();
        // Names that are found only by who leaves the tree.
        fs::write(outside.path().join("a"), "").unwrap();
        fs::create_dir(outside.path().join("b")).unwrap();
        let top = outside.path().join("tree");
        fs::create_dir(&top).unwrap();
        make(&top, &all);
        let root = open_root(&top).unwrap();
        for path in paths.iter().map(Path::new) {
            for flags in FLAGS {
                let kernel = seen(by_kernel(&root, path, flags));
                if kernel == Err(Errno::ENOSYS) {
                    eprintln!("SKIPPED: this kernel has no openat2(2)");
                    return Ok(());
                }
                prop_assert_eq!(seen(open_by_walking(&root, path, flags)), kernel, "{:?} {:?}", path, flags);
            }
        }
    }
}

#[test]
fn a_place_is_told_by_its_own_path() {
    let top = tempfile::tempdir().unwrap();
    fs::create_dir_all(top.path().join("usr/etc")).unwrap();
    symlink("/usr/../usr/./etc", top.path().join("etc")).unwrap();
    symlink(
        "../../../etc/crictl",
        top.path().join("usr/etc/crictl.yaml"),
    )
    .unwrap();
    let host = Host::image(top.path()).unwrap();
    let place = |path, last| host.place(Path::new(path), last).unwrap().path;
    assert_eq!(
        place("/etc/crictl.yaml", Last::Follow),
        PathBuf::from("/usr/etc/crictl")
    );
    assert_eq!(
        place("/etc/crictl.yaml", Last::Keep),
        PathBuf::from("/usr/etc/crictl.yaml")
    );
    assert_eq!(place("/new", Last::Follow), PathBuf::from("/new"));
}

#[test]
fn links_of_others_are_not_followed() {
    let top = tempfile::tempdir().unwrap();
    for (mode, followed) in [(0o755, true), (0o757, false), (0o1777, false)] {
        let dir = top.path().join(format!("{mode:o}"));
        fs::create_dir(&dir).unwrap();
        fs::set_permissions(&dir, PermissionsExt::from_mode(mode)).unwrap();
        symlink("..", dir.join("up")).unwrap();
        let host = Host::image(top.path()).unwrap();
        let place = host.place(Path::new(&format!("/{mode:o}/up/file")), Last::Keep);
        match followed {
            true => assert_eq!(place.unwrap().path, Path::new("/file")),
            false => {
                let error = place.unwrap_err().to_string();
                assert!(
                    error.contains("\"up\" on its way is a link in a directory"),
                    "{error}"
                );
            }
        }
    }
}

#[test]
fn whom_a_directory_belongs_to() {
    let dir = |mode, user, group| {
        let mut stat = fstat(std::fs::File::open("/").unwrap()).unwrap();
        (stat.st_mode, stat.st_uid, stat.st_gid) = (mode, user, group);
        stat
    };
    let trust = Trust::new(&dir(0o755, 1000, 1000));
    // An image that a user unpacked is that user's.
    for held in [
        dir(0o755, 0, 0),
        dir(0o775, 0, 0),
        dir(0o775, 1000, 1000),
        dir(0o755, 0, 7),
    ] {
        assert!(trust.holds(&held));
    }
    for open in [
        dir(0o755, 7, 0),
        dir(0o775, 0, 7),
        dir(0o757, 0, 0),
        dir(0o1777, 0, 0),
    ] {
        assert!(!trust.holds(&open));
    }
}
