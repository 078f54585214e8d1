//! What comes out of an archive, whole ones and strange ones, and what is left where a run was cut off.

use std::fs;
use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use tar::{Builder, EntryType, Header};

use super::*;
use crate::step::Step;

/// A tarball of these entries: name, kind and bytes; a link's bytes are what it names.
fn tarball(entries: &[(&str, EntryType, &[u8])]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (name, kind, bytes) in entries {
        let mut header = Header::new_gnu();
        // The name as it is: the builder would refuse the ones that matter.
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(*kind);
        header.set_mode(if bytes.starts_with(b"#!") {
            0o6777
        } else {
            0o600
        });
        let is_file = *kind == EntryType::Regular;
        header.set_size(if is_file { bytes.len() as u64 } else { 0 });
        if !is_file {
            header.as_old_mut().linkname[..bytes.len()].copy_from_slice(bytes);
        }
        header.set_cksum();
        builder
            .append(&header, if is_file { *bytes } else { b"" })
            .unwrap();
    }
    builder.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn sum(bytes: &[u8]) -> String {
    Digest::new(bytes).finish().unwrap()
}

/// A tree with an archive in it, and the step for `crictl` and `sub/critest` of it.
struct Tree {
    top: tempfile::TempDir,
    host: Host,
    step: Step,
}

impl Tree {
    fn new(archive: &[u8], members: &[&str]) -> Self {
        let top = tempfile::tempdir().unwrap();
        for dir in ["usr/bin/sub", "var/lib/nodeprep"] {
            fs::create_dir_all(top.path().join(dir)).unwrap();
        }
        fs::write(top.path().join("a.tgz"), archive).unwrap();
        let step = Step::Extract(Extraction {
            archive: "/a.tgz".into(),
            sha256: sum(archive),
            into: "/usr/bin".into(),
            strip: 0,
            members: members.iter().map(|name| (*name).to_owned()).collect(),
        });
        let host = Host::image(top.path()).unwrap();
        Self { top, host, step }
    }

    fn perform(&mut self) -> Result<()> {
        let prior = self.host.prior(&self.step)?;
        let done = self.host.perform(&self.step, &prior);
        self.host.refresh();
        done
    }

    /// What the directory has, without what is in `sub`.
    fn names(&self) -> Vec<String> {
        let dir = fs::read_dir(self.top.path().join("usr/bin")).unwrap();
        let names = dir.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }

    fn extracted(&self, name: &str) -> Extracted {
        let Step::Extract(extraction) = &self.step else {
            panic!()
        };
        let path = extraction.into.join(name);
        self.host.extracted(&path, &extraction.sha256).unwrap()
    }
}

const FILE: EntryType = EntryType::Regular;

#[test]
fn files_come_whole_with_a_mode_and_are_known_again() {
    let plain = tarball(&[
        ("./", EntryType::Directory, b""),
        ("./crictl", FILE, b"#! program"),
        ("./README", FILE, b"not wanted"),
        ("sub/critest", FILE, b"text"),
        ("link", EntryType::Symlink, b"/etc/passwd"),
    ]);
    for archive in [gzip(&plain), plain] {
        let mut tree = Tree::new(&archive, &["crictl", "sub/critest"]);
        assert_eq!(tree.extracted("crictl"), Extracted::Absent);
        tree.perform().unwrap();
        assert_eq!(tree.names(), ["crictl", "sub"]);
        let path = tree.top.path().join("usr/bin/crictl");
        let mode =
            |path: &Path| std::os::unix::fs::MetadataExt::mode(&path.metadata().unwrap()) & 0o7777;
        assert_eq!(fs::read(&path).unwrap(), b"#! program");
        assert_eq!(mode(&path), 0o755);
        assert_eq!(mode(&tree.top.path().join("usr/bin/sub/critest")), 0o644);
        assert_eq!(tree.extracted("crictl"), Extracted::InPlace);

        // Another inode with the same bytes is the same file.
        fs::copy(&path, path.with_extension("b")).unwrap();
        fs::rename(path.with_extension("b"), &path).unwrap();
        assert_eq!(tree.extracted("crictl"), Extracted::InPlace);
        assert_eq!(
            tree.host.extracted(Path::new("/usr/bin/crictl"), "0"),
            Ok(Extracted::Other)
        );
        fs::write(&path, "#! progrbm").unwrap();
        assert_eq!(tree.extracted("crictl"), Extracted::Changed);
        tree.perform().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"#! program");
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
        assert_eq!(tree.extracted("crictl"), Extracted::Changed);
        fs::remove_file(tree.top.path().join("var/lib/nodeprep/archives.json")).unwrap();
        tree.host.refresh();
        assert_eq!(tree.extracted("crictl"), Extracted::Foreign);
    }
}

#[test]
fn what_is_strange_leaves_everything_as_it_was() {
    let file = ("crictl", FILE, &b"#! program"[..]);
    let big = vec![b'a'; 300_000];
    let good = gzip(&tarball(&[("big", FILE, &big), file]));
    let cut = good[..good.len() - 20].to_vec();
    let plain = tarball(&[file, ("big", FILE, &big)]);
    let cases: [(Vec<u8>, &str); 10] = [
        (gzip(&tarball(&[file, ("../x", FILE, b"x")])), "leads out"),
        (gzip(&tarball(&[file, ("/etc/x", FILE, b"x")])), "leads out"),
        (
            gzip(&tarball(&[file, ("a/../../x", FILE, b"x")])),
            "leads out",
        ),
        (
            tarball(&[file, ("big", EntryType::Symlink, b"/etc/passwd")]),
            "is a link",
        ),
        (
            tarball(&[file, ("big", EntryType::Link, b"crictl")]),
            "is a link",
        ),
        (tarball(&[file, ("big", EntryType::Char, b"")]), "device"),
        (tarball(&[file, file, ("big", FILE, b"")]), "twice"),
        (
            tarball(&[file, ("small", FILE, b"")]),
            "it has no big, it has small",
        ),
        (b"<html>404 Not Found</html>".repeat(50), "whole .tar"),
        (cut, "whole .tar"),
    ];
    for (archive, told) in cases.iter().map(|(archive, told)| (&archive[..], told)) {
        refused(archive, told);
    }
    refused(&plain[..plain.len() - 200_000], "whole .tar");
    refused(b"", "it has no big, crictl");
}

fn refused(archive: &[u8], told: &str) {
    let mut tree = Tree::new(archive, &["crictl", "big"]);
    fs::write(tree.top.path().join("usr/bin/crictl"), "old").unwrap();
    let error = tree.perform().unwrap_err().to_string();
    assert!(
        error.contains(told) && error.contains("/a.tgz"),
        "{told}: {error}"
    );
    assert_eq!(tree.names(), ["crictl", "sub"], "{error}");
    assert_eq!(
        fs::read(tree.top.path().join("usr/bin/crictl")).unwrap(),
        b"old"
    );
    assert!(
        !tree
            .top
            .path()
            .join("var/lib/nodeprep/archives.json")
            .exists()
    );
}

#[test]
fn another_checksum_is_refused() {
    let archive = tarball(&[("crictl", FILE, b"x")]);
    let mut tree = Tree::new(&archive, &["crictl"]);
    fs::write(tree.top.path().join("a.tgz"), "other").unwrap();
    let error = tree.perform().unwrap_err().to_string();
    assert!(
        error.contains(&sum(b"other")) && error.contains(&sum(&archive)),
        "{error}"
    );
    assert_eq!(tree.names(), ["sub"]);
}

#[test]
fn what_came_between_stays() {
    let archive = tarball(&[("crictl", FILE, b"x")]);
    for before in [None, Some("old")] {
        let tree = Tree::new(&archive, &["crictl"]);
        let path = tree.top.path().join("usr/bin/crictl");
        if let Some(text) = before {
            fs::write(&path, text).unwrap();
        }
        let prior = tree.host.prior(&tree.step).unwrap();
        fs::write(&path, "theirs").unwrap();
        let error = tree
            .host
            .perform(&tree.step, &prior)
            .unwrap_err()
            .to_string();
        assert!(error.contains("someone else changed it"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), b"theirs");
        assert_eq!(tree.names(), ["crictl", "sub"]);
    }
}

#[test]
fn what_a_run_that_was_cut_off_left_is_cleared() {
    let tree = Tree::new(&tarball(&[("crictl", FILE, b"x")]), &["crictl", "gone/a"]);
    let ours = tree
        .top
        .path()
        .join("var/lib/nodeprep/.archives.json.nodeprep-7");
    fs::write(&ours, "{").unwrap();
    fs::write(tree.top.path().join("usr/bin/.crictl.nodeprep-7"), "half").unwrap();
    let prior = Prior::Extracted {
        before: BTreeMap::new(),
    };
    tree.host.recover(&tree.step, &prior, "7").unwrap();
    assert_eq!(tree.names(), ["sub"]);
    assert!(!ours.exists());
}

#[test]
fn directories_are_stripped() {
    let archive = tarball(&[
        ("bin/", EntryType::Directory, b""),
        ("bin/crictl", FILE, b"#! x"),
        ("crictl", FILE, b"not this one"),
    ]);
    let mut tree = Tree::new(&archive, &["crictl"]);
    let Step::Extract(extraction) = &mut tree.step else {
        panic!()
    };
    extraction.strip = 1;
    tree.perform().unwrap();
    let path = tree.top.path().join("usr/bin/crictl");
    assert_eq!(fs::read(path).unwrap(), b"#! x");
}

/// Only root may give a label, and not in every container.
#[test]
fn a_file_keeps_its_label() {
    let mut tree = Tree::new(&tarball(&[("crictl", FILE, b"x")]), &["crictl"]);
    let path = tree.top.path().join("usr/bin/crictl");
    fs::write(&path, "old").unwrap();
    let flags = rustix::fs::XattrFlags::empty();
    let label = b"system_u:object_r:container_runtime_exec_t:s0\0";
    if rustix::fs::setxattr(&path, LABEL, label, flags).is_err() {
        return;
    }
    tree.perform().unwrap();
    let kept = attributes(File::open(&path).unwrap()).unwrap();
    assert!(
        kept.contains(&(LABEL.to_owned(), label.to_vec())),
        "{kept:?}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_archive_panics(damage in prop::collection::vec((0..2048usize, any::<u8>()), 0..8)) {
        let mut archive = tarball(&[("crictl", FILE, b"#! x"), ("b", FILE, &[7; 600])]);
        for (at, byte) in damage {
            archive[at] = byte;
        }
        for archive in [gzip(&archive), archive] {
            let mut tree = Tree::new(&archive, &["crictl"]);
            let done = tree.perform();
            prop_assert_eq!(tree.names().len(), 1 + usize::from(done.is_ok()), "{:?}", done);
        }
    }
}
