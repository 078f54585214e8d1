//! One run of the agent, recorded with every write to the disk.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use super::PROFILE;
use super::log::Log;
use super::logged::Logged;
use super::replay::{self, Disk};
use super::tree::Mount;
use crate::guest;
use crate::image::Image;
use crate::machine::Hardware;
use crate::program;

/// A host as people leave it. Files are made and files are replaced; one of those is longer than a
/// page, so that it can be torn.
const SCENE: &str = r"
fallocate -l 64M /swapfile && chmod 600 /swapfile && mkswap /swapfile >/dev/null
{ for i in $(seq 400); do echo '# a line that somebody wrote once:' $i; done
  printf ' /swapfile\t none\tswap   sw,pri=5\t0 0\n\n# the end'; } >>/etc/fstab
printf '# ours\nruntime-endpoint: unix:///var/run/dockershim.sock # old\n' >/etc/crictl.yaml
printf 'net.ipv4.ip_forward = 0\n' >/etc/sysctl.d/kubernetes.conf
mkdir -p /etc/systemd/journald.conf.d
printf '[Journal]\nStorage=volatile\n' >/etc/systemd/journald.conf.d/99-kubernetes.conf
chmod 640 /etc/systemd/journald.conf.d/99-kubernetes.conf
systemctl daemon-reload && swapon -a
udevadm settle
sync
";
/// The same is in this captured host already: links, long files, blanks at odd places.
const TREE: &str = "tests/hosts/messy/tree";
/// Size of a disk for it, bytes: XFS wants 300 MB.
const DISK: u64 = 320 << 20;
/// Name of a disk as it is when its log begins.
pub const BASE: &str = "base";

/// A command of the program's.
#[derive(Debug, Clone, Copy)]
pub struct Words {
    /// Words before the program's.
    pub wrapper: &'static [&'static str],
    /// `apply` or `rollback`.
    pub command: &'static str,
}

/// A run, and what the disk was told during it.
#[derive(Debug)]
pub struct Recording {
    /// From before the run to some time after it.
    pub log: Log,
    /// Entries before the run.
    pub began: usize,
    /// Entries before it returned.
    pub returned: usize,
    /// Entries until the file system was synced; what comes after them is its unmounting.
    pub synced: usize,
    /// Where the root file system begins on the disk, bytes.
    pub partition: u64,
    /// The disk as it was when the log began.
    base: PathBuf,
    /// Where that is, if it was made for this.
    _dir: Option<TempDir>,
}

impl Recording {
    /// Boots a machine with more kernel `arguments`, sets the scene, and records `apply`.
    pub fn of_machine(image: &Image, arguments: &'static str) -> Self {
        let hardware = Hardware {
            arguments,
            recorded: true,
            ..Hardware::DEFAULT
        };
        let mut machine = guest::boot_with(image, hardware);
        machine.ok(guest::NFTABLES);
        machine.ok(SCENE);
        let began = length(&machine.log());
        machine.ok(&format!("nodeprep apply {PROFILE}"));
        let returned = length(&machine.log());
        machine.ok("sync");
        let synced = length(&machine.log());
        machine.stop();
        let recording = Self {
            partition: crate::image::PARTITION,
            base: image.disk(),
            _dir: None,
            ..Self::read(&machine.log(), [began, returned, synced])
        };
        recording.is_all_that_was_written(&machine.disk(), "qcow2");
        recording
    }

    /// Makes a file system on a disk of this host, puts a captured host into it and records the
    /// command; before a rollback there is something to take back.
    pub fn of_tree(filesystem: &str, options: &str, words: Words) -> Self {
        let dir = replay::scratch();
        let [base, top] = [BASE, "top"].map(|name| dir.path().join(name));
        make(filesystem, &base, &top);
        if words.command == "rollback" {
            let _mount = Mount::new(&base, 0, &top, "").unwrap();
            nodeprep(&[], "apply", &top);
        }
        Self::of_disk(dir, options, words)
    }

    /// Records a command on a copy of the disk `base` in the directory.
    pub fn of_disk(dir: TempDir, options: &str, words: Words) -> Self {
        let [base, disk, top] = [BASE, "disk", "top"].map(|name| dir.path().join(name));
        replay::copy(&base, &disk);
        let logged = Logged::new(&disk);
        let mount = Mount::new(&logged.disk(), 0, &top, options).unwrap();
        let began = length(&logged.log());
        let output = nodeprep(words.wrapper, words.command, &top);
        assert!(is_fine(&output), "{words:?}: {output:?}");
        let returned = length(&logged.log());
        mount.sync();
        let synced = length(&logged.log());
        drop(mount);
        let recording = Self {
            base,
            _dir: Some(dir),
            ..Self::read(&logged.log(), [began, returned, synced])
        };
        drop(logged);
        recording.is_all_that_was_written(&disk, "raw");
        std::fs::remove_file(&disk).unwrap();
        recording
    }

    fn read(log: &Path, lengths: [u64; 3]) -> Self {
        let log = Log::parse(std::fs::read(log).unwrap()).unwrap();
        let [began, returned, synced] = lengths.map(|length| log.before(length));
        Self {
            began,
            returned,
            synced,
            log,
            partition: 0,
            base: PathBuf::new(),
            _dir: None,
        }
    }

    /// The disk as it was when the log began.
    pub fn disk(&self, path: &Path) -> Disk {
        Disk::copy(&self.base, path)
    }

    /// Mounts a disk made from the recording.
    ///
    /// # Errors
    /// Where the kernel refuses it.
    pub fn mount(&self, disk: &Path) -> Result<Mount, String> {
        Mount::new(disk, self.partition, &disk.with_extension("mounted"), "")
    }

    /// Played to its end the log makes the very disk that was left.
    fn is_all_that_was_written(&self, left: &Path, format: &str) {
        let path: PathBuf = left.with_extension("played");
        self.disk(&path).play(&self.log, self.log.entries.len());
        let mut compare = Command::new("qemu-img");
        compare.args(["compare", "-q", "-f", "raw", "-F", format]);
        let status = compare.args([&path, left]).status().unwrap();
        assert!(status.success(), "the log misses something: {status}");
        std::fs::remove_file(&path).unwrap();
    }
}

/// A disk with nothing but a file system, and in it the captured host.
fn make(filesystem: &str, disk: &Path, top: &Path) {
    std::fs::File::create(disk).unwrap().set_len(DISK).unwrap();
    let mut mkfs = Command::new(format!("mkfs.{filesystem}"));
    assert!(mkfs.arg("-q").arg(disk).status().unwrap().success());
    let mount = Mount::new(disk, 0, top, "").unwrap();
    let tree = Path::new(env!("CARGO_MANIFEST_DIR")).join(TREE).join(".");
    let mut cp = Command::new("cp");
    assert!(cp.arg("-a").args([&tree, top]).status().unwrap().success());
    // What a new file would not have by itself.
    let edited = top.join("etc/crictl.yaml");
    std::os::unix::fs::chown(&edited, Some(1), Some(2)).unwrap();
    let flags = rustix::fs::XattrFlags::CREATE;
    rustix::fs::setxattr(&edited, "user.origin", b"somebody", flags).unwrap();
    drop(mount);
}

/// Runs a command of the program on a tree, behind the words of `wrapper`.
pub fn nodeprep(wrapper: &[&str], command: &str, top: &Path) -> Output {
    let mut nodeprep = Command::new("env");
    nodeprep.args(wrapper).arg(program::path()).arg(command);
    nodeprep.arg("--root").arg(top);
    // What is taken back is in the journal.
    nodeprep.args(["apply", "check"].contains(&command).then_some(PROFILE));
    nodeprep.output().unwrap()
}

/// Whether it did what it could: 2 because the captured host has what can't be fixed, 64 where nothing
/// is left to take back.
pub fn is_fine(output: &Output) -> bool {
    matches!(output.status.code(), Some(0 | 2 | 64))
}

fn length(log: &Path) -> u64 {
    std::fs::metadata(log).unwrap().len()
}
