//! The hosts that are tortured: images with a step of every kind an image can have, and this machine
//! in namespaces of its own, where nothing real can be reached.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{lchown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use rustix::fs::XattrFlags;
use tempfile::TempDir;

use crate::program;
use crate::state::{Seen, State, photograph, put_back};

/// What a trial is about; [`Host::all`].
#[derive(Debug, Clone, Copy)]
pub struct Host {
    /// The name shown.
    pub name: &'static str,
    /// The captured tree that is taken for an image; none for this machine.
    tree: Option<&'static str>,
    /// A shipped profile, or a profile's text.
    profile: &'static str,
    /// Whether samples are taken of it.
    pub sampled: bool,
}

/// A file of every kind of a running machine's step that needs no module and no daemon: fstab with
/// what systemd has to be told, drop-ins with their live values, rules live and in the boot's script.
const LIVE: &str = r#"schema = "v1alpha1"
[swap]
state = "off"
[sysctl.keys]
"net.ipv4.ip_forward" = 1
"net.ipv4.conf.default.rp_filter" = 2
"net.ipv6.conf.all.forwarding" = 1
[ports]
open = ["6443/tcp", "8472/udp"]
"#;
const RULES: &str = "table inet filter {\n\tchain input {\n\t\ttype filter hook input priority 0; \
                     policy drop;\n\t\ttcp dport 22 accept\n\t}\n}\n";
const FSTAB: &str = "# theirs\r\n/dev/vda1 / ext4 defaults 0 1\n/dev/vda2\tnone swap sw 0 0";
/// Stands for systemd: what it knows of fstab is what that said when it was told to read it again.
const SYSTEMCTL: &str =
    "#!/bin/sh\n[ \"$1\" = daemon-reload ] && exec cp /etc/fstab /run/systemd/fstab\n";
const NO_SWAPS: &str = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n";

impl Host {
    /// All that are tortured.
    pub const ALL: [Self; 3] = [
        Self {
            name: "messy",
            tree: Some("messy"),
            profile: "kubeadm-worker",
            sampled: true,
        },
        Self {
            name: "centos-7",
            tree: Some("centos-7"),
            profile: "guide-kubernetes-1.24-control-plane",
            sampled: false,
        },
        Self {
            name: "live",
            tree: None,
            profile: LIVE,
            // Once it hung, once an error did harm that was not seen again: not yet for every submission.
            sampled: false,
        },
    ];
}

/// A host that can be put back to what it was.
pub struct Machine {
    dir: TempDir,
    host: Host,
    before: BTreeMap<PathBuf, Seen>,
}

impl Machine {
    /// Makes it; the calling thread is in namespaces of its own from then on, and must end with it.
    pub fn new(host: Host) -> Self {
        let own = CloneFlags::CLONE_NEWNS
            | CloneFlags::CLONE_NEWNET
            | CloneFlags::CLONE_NEWUTS
            | CloneFlags::CLONE_NEWIPC;
        unshare(own).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let none = None::<&str>;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
        mount(
            none,
            dir.path(),
            Some("tmpfs"),
            MsFlags::empty(),
            Some("mode=755"),
        )
        .unwrap();
        let top = dir.path().join("tree");
        match host.tree {
            Some(name) => image(&top, name),
            None => live(&top, dir.path()),
        }
        let before = decorated(&top);
        let machine = Self { dir, host, before };
        machine.reset();
        machine
    }

    fn top(&self) -> PathBuf {
        self.dir.path().join("tree")
    }

    /// As it was at first, the kernel's part too.
    pub fn reset(&self) {
        put_back(&self.top(), &self.before);
        if self.host.tree.is_none() {
            // Values and rules are those of a network namespace, and go with it.
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            let rules = self.dir.path().join("rules");
            run(Command::new("nft").arg("-f").arg(rules));
        }
    }

    /// As it is.
    pub fn state(&self) -> State {
        let files = photograph(&self.top());
        let mut kernel = BTreeMap::new();
        if self.host.tree.is_none() {
            values(Path::new("/proc/sys/net"), &mut kernel);
            let rules = run(Command::new("nft").args(["-s", "list", "ruleset"]));
            kernel.insert("rules".into(), rules);
        }
        State { files, kernel }
    }

    /// `nodeprep apply` of the host's profile.
    pub fn apply(&self) -> Command {
        let profile = match self.host.tree {
            Some(_) => self.host.profile.into(),
            None => self.dir.path().join("profile.toml"),
        };
        self.nodeprep("apply", &[profile])
    }

    /// `nodeprep rollback` of the newest run that is not taken back.
    pub fn rollback(&self) -> Command {
        self.nodeprep("rollback", &[])
    }

    fn nodeprep(&self, command: &str, arguments: &[PathBuf]) -> Command {
        let mut nodeprep = Command::new(program::path());
        nodeprep.arg(command).args(arguments);
        if self.host.tree.is_some() {
            nodeprep.arg("--root").arg(self.top());
        }
        nodeprep
    }
}

fn image(top: &Path, name: &str) {
    let tree = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/hosts")
        .join(name);
    run(Command::new("cp").arg("-a").arg(tree.join("tree")).arg(top));
    fs::create_dir_all(top.join("var/lib")).unwrap();
}

/// This machine with trees of ours over all that the agent writes.
fn live(top: &Path, beside: &Path) {
    let file = |path: PathBuf, content: &str| {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    };
    let unit = "[Service]\nExecStart=/usr/sbin/nft -f /etc/nftables.conf\n[Install]\nWantedBy=sysinit.target\n";
    for (path, content) in [
        ("etc/fstab", FSTAB),
        ("run/systemd/fstab", FSTAB),
        ("run/systemd/system/.there", ""),
        (
            "etc/nftables.conf",
            &format!("#!/usr/sbin/nft -f\nflush ruleset\n{RULES}"),
        ),
        ("etc/systemd/system/nftables.service", unit),
        (
            "etc/sysctl.d/90-theirs.conf",
            "net.ipv4.ip_forward=0\n\n# \u{e9}\n",
        ),
        (
            "etc/sysctl.d/zz-theirs.conf",
            "net.ipv6.conf.all.forwarding = 0\n",
        ),
        ("var/lib/theirs", ""),
    ] {
        file(top.join(path), content);
    }
    let wants = top.join("etc/systemd/system/sysinit.target.wants");
    fs::create_dir_all(&wants).unwrap();
    symlink(
        "/etc/systemd/system/nftables.service",
        wants.join("nftables.service"),
    )
    .unwrap();
    file(beside.join("rules"), RULES);
    file(beside.join("profile.toml"), LIVE);
    file(beside.join("swaps"), NO_SWAPS);
    let systemctl = beside.join("systemctl");
    file(systemctl.clone(), SYSTEMCTL);
    fs::set_permissions(
        &systemctl,
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    let over = |from: PathBuf, to: &str| {
        let none = None::<&str>;
        mount(Some(&from), to, none, MsFlags::MS_BIND, none)
            .unwrap_or_else(|e| panic!("{to}: {e}"));
    };
    over(systemctl, "/usr/bin/systemctl");
    over(beside.join("swaps"), "/proc/swaps");
    for dir in ["etc", "run", "var"] {
        over(top.join(dir), &format!("/{dir}"));
    }
}

/// The tree with what a careless writer would lose: modes, owners and attributes of every file.
fn decorated(top: &Path) -> BTreeMap<PathBuf, Seen> {
    for (number, path) in (0u32..).zip(photograph(top).into_keys()) {
        let path = top.join(path);
        if !path.is_file() || path.is_symlink() || !path.starts_with(top.join("etc")) {
            continue;
        }
        lchown(&path, Some(number % 3), Some(1000 + number)).unwrap();
        for name in ["security.torture", "trusted.torture"] {
            let value = format!("{number} \u{0}\u{ff}");
            rustix::fs::lsetxattr(&path, name, value.as_bytes(), XattrFlags::empty()).unwrap();
        }
        let mode = [0o600, 0o640, 0o664, 0o755, 0o444][number as usize % 5];
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    }
    photograph(top)
}

/// Every value that can be read below a directory of /proc/sys.
fn values(dir: &Path, all: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        match entry.file_type().unwrap().is_dir() {
            true => values(&entry.path(), all),
            false => {
                // Some only take values.
                if let Ok(bytes) = fs::read(entry.path()) {
                    let text = String::from_utf8_lossy(&bytes).into_owned();
                    all.insert(entry.path().display().to_string(), text);
                }
            }
        }
    }
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}
