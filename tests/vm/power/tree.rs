//! A file system as a power cut left it: mounted, photographed, compared.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::mount::MsFlags;
use nix::sched::CloneFlags;

/// What runs by itself writes here, and packages in usr, which has nine files of ten; the agent's
/// journal is looked at by itself, and the directory of journald's gets its mode from
/// systemd-tmpfiles at the next boot.
const OTHERS: [&str; 8] = [
    "tmp",
    "usr",
    "var/cache",
    "var/lib/containerd",
    "var/lib/nodeprep",
    "var/lib/systemd",
    "var/log",
    "var/tmp",
];
/// Here bytes and attributes are compared, elsewhere size and time.
const TO_THE_BYTE: [&str; 2] = ["etc", "boot/grub/grub.cfg"];
/// More than any attribute of these files has, bytes.
const LARGEST_ATTRIBUTE: usize = 4096;

/// A mounted disk; dropping it unmounts it.
#[derive(Debug)]
pub struct Mount {
    at: PathBuf,
    /// Whether the file system had to be repaired first.
    pub repaired: bool,
}

impl Mount {
    /// Mounts the file system that begins at a byte of a disk, with these options of mount(8): what
    /// its journal holds is done. Where the kernel refuses it, it is repaired first, as a boot does:
    /// ext4's superblock has two sectors and one checksum, and where it is torn e2fsck(8) takes the
    /// copy of it.
    ///
    /// # Errors
    /// Where the kernel refuses it still.
    pub fn new(disk: &Path, partition: u64, at: &Path, options: &str) -> Result<Self, String> {
        fs::create_dir_all(at).unwrap();
        let mount = || {
            let options = format!("loop,offset={partition},{options}");
            let mut mount = Command::new("mount");
            mount
                .args(["-o", &options])
                .args([disk, at])
                .output()
                .unwrap()
        };
        let mut output = mount();
        let repaired = !output.status.success();
        if repaired {
            let disk = format!("{}?offset={partition}", disk.display());
            // What it can't repair the kernel refuses again.
            Command::new("e2fsck")
                .args(["-fy", &disk])
                .output()
                .unwrap();
            output = mount();
        }
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        let at = at.to_owned();
        Ok(Self { at, repaired })
    }

    /// Brings to the disk what was written.
    pub fn sync(&self) {
        let mut sync = Command::new("sync");
        assert!(sync.arg("-f").arg(&self.at).status().unwrap().success());
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.at
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let status = Command::new("umount").arg(&self.at).status().unwrap();
        // Anything else would make the panic that is under way an abort.
        assert!(status.success() || std::thread::panicking(), "umount");
    }
}

/// Makes the mounts of this thread its own: they end with it, however it ends.
///
/// # Errors
/// Where this is not root, or in a container that may not.
pub fn own_mounts() -> nix::Result<()> {
    let none: Option<&str> = None;
    nix::sched::unshare(CloneFlags::CLONE_NEWNS)?;
    nix::mount::mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)
}

/// What there is by one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    mode: u32,
    owner: (u32, u32),
    content: Content,
    attributes: Vec<(Vec<u8>, Vec<u8>)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Content {
    Bytes(Vec<u8>),
    Link(PathBuf),
    /// Size, and time of the last change.
    Size(u64, i64, i64),
    /// A directory or a device.
    None,
}

impl Node {
    /// In words, for a report.
    pub fn shown(node: Option<&Self>) -> String {
        let Some(node) = node else {
            return "absent".into();
        };
        let (mode, owner) = (node.mode, node.owner);
        let attributes = node.attributes.len();
        let content = match &node.content {
            Content::Bytes(bytes) => format!("{} bytes", bytes.len()),
            other => format!("{other:?}"),
        };
        format!("{content}, mode {mode:o}, owner {owner:?}, {attributes} attributes")
    }
}

/// A file system: what there is by its path from the top.
pub type Tree = BTreeMap<PathBuf, Node>;

/// All of a file system but what runs by itself writes.
pub fn photograph(top: &Path) -> Tree {
    let mut tree = Tree::new();
    let mut open = vec![top.to_owned()];
    while let Some(path) = open.pop() {
        let name = path.strip_prefix(top).unwrap();
        if OTHERS.iter().any(|other| name == Path::new(other)) {
            continue;
        }
        let meta = fs::symlink_metadata(&path).unwrap();
        if meta.is_dir() {
            let entries = fs::read_dir(&path).unwrap();
            open.extend(entries.map(|entry| entry.unwrap().path()));
        }
        let to_the_byte = TO_THE_BYTE.iter().any(|of| name.starts_with(of));
        tree.insert(name.to_owned(), node(&path, &meta, to_the_byte));
    }
    tree
}

fn node(path: &Path, meta: &fs::Metadata, to_the_byte: bool) -> Node {
    let content = if meta.is_symlink() {
        Content::Link(fs::read_link(path).unwrap())
    } else if meta.is_file() && to_the_byte {
        Content::Bytes(fs::read(path).unwrap())
    } else if meta.is_file() {
        Content::Size(meta.len(), meta.mtime(), meta.mtime_nsec())
    } else {
        Content::None
    };
    let attributes = if to_the_byte {
        attributes(path)
    } else {
        Vec::new()
    };
    Node {
        mode: meta.mode(),
        owner: (meta.uid(), meta.gid()),
        content,
        attributes,
    }
}

fn attributes(path: &Path) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut names = vec![0; LARGEST_ATTRIBUTE];
    let length = rustix::fs::llistxattr(path, names.as_mut_slice()).unwrap();
    names.truncate(length);
    let mut all: Vec<_> = names
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
        .map(|name| {
            let mut value = vec![0; LARGEST_ATTRIBUTE];
            let length = rustix::fs::lgetxattr(path, name, value.as_mut_slice()).unwrap();
            value.truncate(length);
            (name.to_vec(), value)
        })
        .collect();
    all.sort();
    all
}

/// The paths at which two trees differ.
pub fn changed(one: &Tree, other: &Tree) -> Vec<PathBuf> {
    let more = other.keys().filter(|path| !one.contains_key(*path));
    one.keys()
        .chain(more)
        .filter(|path| one.get(*path) != other.get(*path))
        .cloned()
        .collect()
}
