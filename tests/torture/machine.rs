//! The hosts that are tortured: images with a step of every kind an image can have, and this machine
//! in namespaces of its own, where nothing real can be reached.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{lchown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{gethostname, sethostname};
use rustix::fs::XattrFlags;
use tempfile::TempDir;

use crate::state::{Seen, State, photograph, put_back};

/// What a trial is about; [`Host::all`].
#[derive(Debug, Clone, Copy)]
pub struct Host {
    /// The name shown.
    pub name: &'static str,
    /// The tree that is taken for an image, from the project's own top; none for this machine.
    tree: Option<&'static str>,
    /// A shipped profile, a profile's path, or its text.
    profile: &'static str,
    /// Whether samples are taken of it.
    pub sampled: bool,
}

/// A step of every kind of a running machine's that needs no module and no daemon: fstab and units with
/// what systemd has to be told, drop-ins with their live values, the name, rules live and in the boot's
/// script.
const LIVE: &str = r#"schema = "v1alpha1"
[swap]
state = "off"
[sysctl.keys]
"net.ipv4.ip_forward" = 1
"net.ipv4.conf.default.rp_filter" = 2
"net.ipv6.conf.all.forwarding" = 1
[hostname]
name = "node1"
[hosts.entries]
"192.0.2.10" = "control1"
[files]
"/etc/motd" = { content = "This host belongs to Kubernetes.\n" }
[services]
postfix = { boot = "disabled" }
[ports]
open = ["6443/tcp", "8472/udp"]
"#;
/// The machine's name, of which a namespace has its own.
const NAME: &str = "old";
const RULES: &str = "table inet filter {\n\tchain input {\n\t\ttype filter hook input priority 0; \
                     policy drop;\n\t\ttcp dport 22 accept\n\t}\n}\n";
const FSTAB: &str = "# theirs\r\n/dev/vda1 / ext4 defaults 0 1\n/dev/vda2\tnone swap sw 0 0";
/// Stands for systemd: what it knows of fstab is what that said when it was told to read it again.
const SYSTEMCTL: &str =
    "#!/bin/sh\n[ \"$1\" = daemon-reload ] && exec cp /etc/fstab /run/systemd/fstab\n";
const NO_SWAPS: &str = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n";

impl Host {
    /// All that are tortured.
    pub const ALL: [Self; 4] = [
        Self {
            name: "node",
            tree: Some("tests/torture/node/tree"),
            profile: concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/tests/torture/node/profile.toml"
            ),
            sampled: true,
        },
        Self {
            name: "messy",
            tree: Some("tests/hosts/messy/tree"),
            profile: "kubeadm-worker",
            sampled: true,
        },
        Self {
            name: "centos-7",
            tree: Some("tests/hosts/centos-7/tree"),
            profile: "guide-kubernetes-1.24-control-plane",
            sampled: false,
        },
        Self {
            name: "live",
            tree: None,
            profile: LIVE,
            sampled: true,
        },
    ];
}

/// A host that can be put back to what it was.
pub struct Machine {
    dir: TempDir,
    host: Host,
    program: &'static Path,
    before: State,
    /// What was seen of it, where nothing has run since.
    seen: RefCell<Option<State>>,
}

impl Machine {
    /// Makes it; the calling thread is in namespaces of its own from then on, and must end with it.
    pub fn new(host: Host, program: &'static Path) -> Self {
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
            Some(tree) => image(&top, tree),
            None => live(&top, dir.path()),
        }
        let files = Rc::new(decorated(&top));
        let mut machine = Self {
            dir,
            host,
            program,
            before: State::default(),
            seen: RefCell::default(),
        };
        machine.renew();
        machine.before = State {
            files,
            ..machine.state()
        };
        machine
    }

    fn top(&self) -> PathBuf {
        self.dir.path().join("tree")
    }

    /// Whether files are all there is of it.
    pub fn is_tree(&self) -> bool {
        self.host.tree.is_some()
    }

    /// Its files as they were once.
    pub fn put_back(&self, wanted: &State) {
        put_back(&self.top(), &self.state().files, &wanted.files);
        let kernel = self.state().kernel;
        let files = wanted.files.clone();
        self.seen.replace(Some(State { files, kernel }));
    }

    /// As it was at first, the kernel's part too.
    pub fn reset(&self) {
        self.put_back(&self.before);
        if self.state().kernel != self.before.kernel {
            self.renew();
        }
        self.seen.replace(Some(self.before.clone()));
    }

    /// Values, rules and the name are those of namespaces, and go with them.
    fn renew(&self) {
        if !self.is_tree() {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            sethostname(NAME).unwrap();
            let rules = self.dir.path().join("rules");
            run(Command::new("nft").arg("-f").arg(rules));
        }
    }

    /// As it is.
    pub fn state(&self) -> State {
        let look = || State {
            files: Rc::new(photograph(&self.top())),
            kernel: Rc::new(self.kernel()),
        };
        self.seen.borrow_mut().get_or_insert_with(look).clone()
    }

    fn kernel(&self) -> BTreeMap<String, String> {
        let mut kernel = BTreeMap::new();
        if !self.is_tree() {
            values(Path::new("/proc/sys/net"), &mut kernel);
            let rules = run(Command::new("nft").args(["-s", "list", "ruleset"]));
            kernel.insert("rules".into(), rules);
            let name = gethostname().unwrap().to_string_lossy().into_owned();
            kernel.insert("name".into(), name);
        }
        kernel
    }

    /// `nodeprep apply` of the host's profile.
    pub fn apply(&self) -> Command {
        let profile = match self.is_tree() {
            true => self.host.profile.into(),
            false => self.dir.path().join("profile.toml"),
        };
        self.nodeprep("apply", &[profile])
    }

    /// `nodeprep rollback` of the newest run that is not taken back.
    pub fn rollback(&self) -> Command {
        self.nodeprep("rollback", &[])
    }

    fn nodeprep(&self, command: &str, arguments: &[PathBuf]) -> Command {
        self.seen.replace(None);
        let mut nodeprep = Command::new(self.program);
        nodeprep.arg(command).args(arguments);
        if self.is_tree() {
            nodeprep.arg("--root").arg(self.top());
        }
        nodeprep
    }
}

fn image(top: &Path, tree: &str) {
    let tree = Path::new(env!("CARGO_MANIFEST_DIR")).join(tree);
    run(Command::new("cp").arg("-a").arg(tree).arg(top));
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
        ("etc/systemd/system/postfix.service", unit),
        ("etc/hostname", NAME),
        ("etc/hosts", "127.0.0.1\tlocalhost\n127.0.1.1 old"),
        ("etc/motd", "Welcome.\n"),
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
    for unit in ["nftables.service", "postfix.service"] {
        let target = Path::new("/etc/systemd/system").join(unit);
        symlink(target, wants.join(unit)).unwrap();
    }
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
