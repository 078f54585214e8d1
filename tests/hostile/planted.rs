//! Things planted on the paths that are written in a tree: none leads outside, none is destroyed, none
//! makes the run hang.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use nix::sys::stat::{Mode, SFlag, makedev, mknod};

use crate::run::{Ran, file};
use crate::tree::{Image, leftovers, photograph};

trials!(
    anyone: [
        links_out_of_the_tree, hard_links, no_files, huge, directories_are_something_else, links_of_others,
        journals_of_others, temporary_name_taken, names_that_are_not_utf8,
    ],
    root: [devices, attributes]
);

pub const PROFILE: &str = r#"schema = "v1alpha1"
[swap]
state = "off"
[modules]
load = ["overlay"]
[sysctl.keys]
"net.ipv4.ip_forward" = 1
[crictl]
timeout = 10
"#;

/// What is written in a tree, and text that was there and is to be changed.
const WRITTEN: [(&str, &str); 4] = [
    ("etc/fstab", "/s none swap sw\n"),
    ("etc/modules-load.d/kubernetes.conf", "# theirs\n"),
    ("etc/sysctl.d/kubernetes.conf", "# theirs\n"),
    ("etc/crictl.yaml", "timeout: 2\n"),
];

fn image() -> Image {
    let image = Image::new(PROFILE);
    for (path, text) in WRITTEN {
        image.add(path, text);
    }
    image
}

/// Puts something else at a path.
fn plant(image: &Image, path: &str, put: impl Fn(&Path)) {
    let path = image.root().join(path);
    fs::remove_file(&path).unwrap();
    put(&path);
}

/// Applies, and asserts that `outside` is as before, and that nothing was left beside anything.
fn apply(image: &Image, outside: &Path) -> Ran {
    let before = photograph(outside);
    let ran = image.run("apply");
    assert!(before == photograph(outside), "{ran:#?}");
    assert!(leftovers(&image.root()).is_empty(), "{ran:#?}");
    ran
}

/// Absolute, and with more `..` than there are directories; to a file, and to nothing.
fn links_out_of_the_tree() {
    let outside = crate::run::directory();
    let target = file(&outside.path().join("passwd"), "/s none swap sw\n");
    let up = Path::new("../../../../../../../../../..").join(target.strip_prefix("/").unwrap());
    let nothing = outside.path().join("nothing");
    for (path, _) in WRITTEN {
        for target in [&target, &up, &nothing] {
            let image = image();
            plant(&image, path, |path| symlink(target, path).unwrap());
            let ran = apply(&image, outside.path());
            let ours = path.ends_with("kubernetes.conf");
            // What is ours replaces the link; what is shared is below the root, where it has no directory.
            let gone = fs::symlink_metadata(image.root().join(path))
                .unwrap()
                .is_file();
            assert!(gone == ours, "{path} {ran:#?}");
        }
    }
}

/// The other name keeps the old content: whoever has it did not ask for a change.
fn hard_links() {
    let outside = crate::run::directory();
    for (path, text) in WRITTEN {
        let image = image();
        let other = outside.path().join(path.replace('/', "-"));
        fs::hard_link(image.root().join(path), &other).unwrap();
        let mode = fs::metadata(&other).unwrap().permissions();
        let ran = image.run("apply");
        ran.exits(0).says(&["the others keep what it was"]);
        assert_eq!(fs::read_to_string(&other).unwrap(), text);
        assert_eq!(fs::metadata(&other).unwrap().permissions(), mode);
        assert_ne!(image.read(path), text.as_bytes(), "{path}");
        assert!(leftovers(&image.root()).is_empty());
    }
}

type Plant = (&'static str, fn(&Path));

fn refuses(plants: &[Plant]) {
    let outside = crate::run::directory();
    for (path, _) in WRITTEN {
        for (what, put) in plants {
            let image = image();
            plant(&image, path, put);
            let seen = whole(&image.root().join(path));
            let ran = apply(&image, outside.path());
            ran.exits(1).says(&[&format!("/{path}"), "move it away"]);
            assert!(seen == whole(&image.root().join(path)), "{what}: {ran:#?}");
            // The others are done.
            let done = WRITTEN
                .iter()
                .filter(|(other, text)| *other != path && image.read(other) != text.as_bytes());
            assert_eq!(done.count(), 3, "{what}: {ran:#?}");
        }
    }
}

/// Kind, mode, owner and identity.
fn whole(path: &Path) -> (u32, u32, u64, u64) {
    use std::os::unix::fs::MetadataExt;
    let meta = fs::symlink_metadata(path).unwrap();
    (meta.mode(), meta.uid(), meta.ino(), meta.rdev())
}

fn no_files() {
    refuses(&[
        ("FIFO", |path| {
            nix::unistd::mkfifo(path, Mode::S_IRWXU).unwrap()
        }),
        ("socket", |path| drop(UnixListener::bind(path).unwrap())),
        ("directory", |path| fs::create_dir(path).unwrap()),
        ("full directory", |path| {
            drop(file(&path.join("theirs"), "theirs"))
        }),
    ]);
}

fn devices() {
    refuses(&[
        // Endless where it is read.
        ("zero", |path| {
            mknod(path, SFlag::S_IFCHR, Mode::S_IRWXU, makedev(1, 5)).unwrap()
        }),
        ("no such block device", |path| {
            mknod(path, SFlag::S_IFBLK, Mode::S_IRWXU, makedev(250, 250)).unwrap()
        }),
    ]);
}

/// A tebibyte of nothing is refused, not read.
fn huge() {
    let outside = crate::run::directory();
    for (path, _) in WRITTEN {
        let image = image();
        let sparse = File::create(image.root().join(path)).unwrap();
        sparse.set_len(1 << 40).unwrap();
        // Photographs read what they show.
        let before = whole(&image.root().join(path));
        let ran = image.run("apply");
        ran.exits(1)
            .says(&[&format!("/{path}"), "larger than 16 MiB"]);
        assert!(before == whole(&image.root().join(path)));
        fs::remove_file(image.root().join(path)).unwrap();
        assert!(leftovers(&image.root()).is_empty());
    }
    drop(outside);
}

/// Directories that are links out of the tree, files, FIFOs.
fn directories_are_something_else() {
    let outside = crate::run::directory();
    fs::create_dir(outside.path().join("dir")).unwrap();
    for dir in [
        "etc/sysctl.d",
        "etc/modules-load.d",
        "var/lib/nodeprep",
        "var/lib/nodeprep/journal",
        "var",
    ] {
        for what in ["link", "dangling link", "file", "FIFO"] {
            let image = Image::new(PROFILE);
            let path = image.root().join(dir);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            match what {
                "link" => symlink(outside.path().join("dir"), &path).unwrap(),
                "dangling link" => symlink(outside.path().join("none"), &path).unwrap(),
                "file" => drop(file(&path, "theirs")),
                _ => nix::unistd::mkfifo(&path, Mode::S_IRWXU).unwrap(),
            }
            let seen = whole(&path);
            let ran = apply(&image, outside.path());
            ran.exits(1).says(&[dir]);
            assert!(seen == whole(&path), "{dir} {what}: {ran:#?}");
        }
    }
}

/// A directory that everybody can write is not written in, and no link in it is followed; one whose
/// owner is somebody else may hold no links on our way.
fn links_of_others() {
    for mode in [0o777, 0o1777, 0o757] {
        let image = image();
        image.add("opt/real/crictl.yaml", "timeout: 2\n");
        fs::set_permissions(
            image.root().join("opt/real"),
            PermissionsExt::from_mode(0o755),
        )
        .unwrap();
        image.add("opt/open/none", "");
        symlink("../real", image.root().join("opt/open/link")).unwrap();
        plant(&image, "etc/crictl.yaml", |path| {
            symlink("/opt/open/link/crictl.yaml", path).unwrap()
        });
        let before = image.read("opt/real/crictl.yaml");
        let open = |mode| {
            fs::set_permissions(
                image.root().join("opt/open"),
                PermissionsExt::from_mode(mode),
            )
            .unwrap()
        };
        open(mode);
        image.run("apply").exits(1).says(&[
            "\"link\" on its way is a link in a directory",
            "not followed",
        ]);
        assert_eq!(image.read("opt/real/crictl.yaml"), before);
        open(0o755);
        image.run("apply").exits(0);
        assert_ne!(image.read("opt/real/crictl.yaml"), before);
    }
}

/// A journal says what is to be written: where others can write it is not believed.
fn journals_of_others() {
    let image = image();
    image.run("apply").exits(0);
    for dir in ["var/lib/nodeprep", "var/lib/nodeprep/journal"] {
        let path = image.root().join(dir);
        let mode = |mode| fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        for open in [0o777, 0o1777, 0o702] {
            mode(open);
            for command in ["apply", "check"] {
                image
                    .run(command)
                    .exits(1)
                    .says(&["can be written by others than root"]);
            }
        }
        mode(0o700);
    }
    image.run("apply").exits(0);
}

/// Process ids can be guessed: a name that is taken is left alone and told.
fn temporary_name_taken() {
    let outside = crate::run::directory();
    let target = file(&outside.path().join("target"), "theirs");
    let image = image();
    // The next process ids: one of them is the run's.
    let here = std::process::id();
    let names: BTreeMap<u32, PathBuf> = (here..here + 3000)
        .map(|id| {
            (
                id,
                image.root().join(format!("etc/.crictl.yaml.nodeprep-{id}")),
            )
        })
        .collect();
    for (id, name) in &names {
        match id % 2 {
            0 => symlink(&target, name).unwrap(),
            _ => drop(file(name, "theirs")),
        }
    }
    let seen = photograph(outside.path());
    let ran = image.run("apply");
    ran.exits(1)
        .says(&["/etc/crictl.yaml", "is in the way: remove it"]);
    assert_eq!(image.read("etc/crictl.yaml"), b"timeout: 2\n");
    assert!(seen == photograph(outside.path()));
    assert_eq!(
        leftovers(&image.root()).len(),
        names.len(),
        "those of others are theirs"
    );
}

/// Who reads the directory would not leave it out.
fn names_that_are_not_utf8() {
    use std::os::unix::ffi::OsStrExt;
    for dir in ["etc/sysctl.d", "etc/modules-load.d"] {
        let image = image();
        let name = std::ffi::OsStr::from_bytes(b"zz-\xff.conf");
        let path = file(
            &image.root().join(dir).join(name),
            "net.ipv4.ip_forward = 0\n",
        );
        let seen = whole(&path);
        image.run("check").exits(1).says(&[
            "\"zz-\\xff.conf\" in it is a name that is not UTF-8: rename it",
            dir,
        ]);
        image.run("apply").exits(1);
        assert!(seen == whole(&path));
    }
}

/// Files that may not be changed, or only be appended to, and directories.
fn attributes() {
    for attribute in ["+i", "+a"] {
        for path in ["etc/fstab", "etc/sysctl.d/kubernetes.conf", "etc/sysctl.d"] {
            let image = image();
            let top = image.root().join(path);
            let chattr = |attribute: &str| {
                crate::run::finish(
                    std::process::Command::new("chattr")
                        .arg(attribute)
                        .arg(&top),
                )
                .exits(0);
            };
            chattr(attribute);
            let seen = photograph(&top);
            let ran = image.run("apply");
            let same = seen == photograph(&top);
            let left = leftovers(&image.root());
            chattr(if attribute == "+i" { "-i" } else { "-a" });
            assert!(
                left.is_empty() && same,
                "{attribute} {path}: {left:?} {ran:#?}"
            );
            ran.exits(1).says(&["Operation not permitted", "lsattr"]);
        }
    }
}
