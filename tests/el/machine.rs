//! A host of the EL family without a machine for it: Debian's own dnf and rpm, seen through a layer
//! that has the files by which Rocky 9 or Fedora 42 is known, an rpm database and no repository yet. dpkg
//! is there too, as EPEL's package of it would be.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use tempfile::TempDir;

use crate::cache;
use crate::run::{NODEPREP, Ran, file, finish};

/// Where a profile is that no path is given for.
const PROFILE: &str = "etc/nodeprep/profile.toml";

/// What manages its packages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manager {
    /// This machine's own.
    Dnf4,
    /// In a tree of Debian testing: Debian 12 has no package of it.
    Dnf5,
}

impl Manager {
    /// Where its programs are, made now if they are not there yet.
    pub fn tree(self) -> Result<PathBuf, String> {
        match self {
            Self::Dnf4 => Ok(PathBuf::from("/")),
            Self::Dnf5 => {
                let recipe = [include_str!("tree.sh")];
                let made = cache::made("el", "testing", &recipe, "tests/el/tree.sh")?;
                Ok(made.join("tree"))
            }
        }
    }

    /// Files of the release and of its packages of rpm and dnf.
    fn files(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Dnf4 => &ROCKY,
            Self::Dnf5 => &FEDORA,
        }
    }
}

const FEDORA: [(&str, &str); 3] = [
    (
        "etc/os-release",
        "NAME=\"Fedora Linux\"\nVERSION=\"42 (Server Edition)\"\nID=fedora\nVERSION_ID=42\n\
         PLATFORM_ID=\"platform:f42\"\n",
    ),
    (
        "etc/dnf/libdnf5-plugins/local.conf",
        "[main]\nenabled = false\n",
    ),
    ("etc/rpm/macros", "%_dbpath /var/lib/rpm\n"),
];

const ROCKY: [(&str, &str); 5] = [
    (
        "etc/os-release",
        "NAME=\"Rocky Linux\"\nVERSION=\"9.4 (Blue Onyx)\"\nID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n\
         VERSION_ID=\"9.4\"\nPLATFORM_ID=\"platform:el9\"\n",
    ),
    (
        "etc/dnf/dnf.conf",
        "[main]\ngpgcheck=1\ninstallonly_limit=3\nclean_requirements_on_remove=True\nbest=True\n\
         skip_if_unavailable=False\n",
    ),
    // Debian's own plugin, for a directory of packages that were got before.
    ("etc/dnf/plugins/local.conf", "[main]\nenabled = false\n"),
    // Debian's rpm keeps its database in the home directory.
    ("etc/rpm/macros", "%_dbpath /var/lib/rpm\n"),
    // Of Rocky's python3-dnf-plugin-versionlock, as of a host that had it once.
    ("etc/dnf/plugins/versionlock.list", ""),
];

/// Tells of each call.
const RPM: &str =
    "#!/bin/bash\necho \"$*\" >>/run/rpm.calls\nexec -a rpm /usr/bin/rpm.real \"$@\"\n";

/// The packages that can be had, made once.
static REPOSITORY: LazyLock<PathBuf> = LazyLock::new(|| {
    let made = Path::new(env!("CARGO_TARGET_TMPDIR")).join("el");
    let _ = fs::remove_dir_all(&made);
    fs::create_dir_all(&made).unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/el/repository.sh");
    finish(Command::new("bash").arg(script).arg(&made)).exits(0);
    made
});

pub struct Machine {
    pub manager: Manager,
    dir: TempDir,
}

impl Machine {
    /// Makes it; the calling thread is in namespaces of its own from then on, and must end with it.
    pub fn new(manager: Manager) -> Self {
        let tree = manager.tree().unwrap();
        let repository = REPOSITORY.as_path();
        unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET).unwrap();
        let machine = Self {
            manager,
            dir: tempfile::tempdir().unwrap(),
        };
        let none = None::<&str>;
        let over = |from: &str, to: &Path, kind, flags, data: Option<&str>| {
            mount(Some(from), to, kind, flags, data)
                .unwrap_or_else(|error| panic!("{}: {error}", to.display()));
        };
        let (private, bind) = (
            MsFlags::MS_REC | MsFlags::MS_PRIVATE,
            MsFlags::MS_BIND | MsFlags::MS_REC,
        );
        over("none", Path::new("/"), none, private, none);
        over(
            "tmpfs",
            machine.dir.path(),
            Some("tmpfs"),
            MsFlags::empty(),
            Some("mode=755"),
        );
        for dir in ["layer", "work", "top"] {
            fs::create_dir(machine.dir.path().join(dir)).unwrap();
        }
        let layers = format!(
            "lowerdir={1},upperdir={0}/layer,workdir={0}/work",
            machine.dir.path().display(),
            tree.display()
        );
        over(
            "overlay",
            &machine.top(),
            Some("overlay"),
            MsFlags::empty(),
            Some(&layers),
        );
        for dir in ["proc", "sys", "dev"] {
            over(&format!("/{dir}"), &machine.path(dir), none, bind, none);
        }
        machine.dress(repository);
        machine
    }

    /// Makes an EL host of it.
    fn dress(&self, repository: &Path) {
        self.ok(
            "for dir in /run /tmp /srv /root /var/lib/rpm /etc/yum.repos.d; do
                 mkdir -p $dir && mount -t tmpfs -o mode=755 none $dir
             done
             rm -rf /etc/os-release /etc/rpm /var/cache/dnf /var/lib/dnf /var/lib/nodeprep
             mv /usr/bin/rpm /usr/bin/rpm.real",
        );
        for (path, text) in self.manager.files() {
            file(&self.path(path), text);
        }
        file(&self.path("usr/bin/rpm"), RPM);
        self.ok("chmod 755 /usr/bin/rpm");
        if self.manager == Manager::Dnf5 {
            // As in Fedora's package dnf5.
            self.ok("ln -s dnf5 /usr/bin/dnf");
        }
        for part in ["repo", "key.asc"] {
            finish(
                Command::new("cp")
                    .arg("-r")
                    .arg(repository.join(part))
                    .arg(self.path("srv")),
            )
            .exits(0);
        }
        finish(
            Command::new("cp")
                .arg(NODEPREP)
                .arg(self.path("usr/bin/nodeprep")),
        )
        .exits(0);
        self.ok("rpm --initdb && rpm -i --nosignature /srv/repo/rocky-release-9.4-1.rpm /srv/repo/lab-old-1.0-1.rpm");
    }

    fn top(&self) -> PathBuf {
        self.dir.path().join("top")
    }

    /// Where a path of it is.
    pub fn path(&self, inside: &str) -> PathBuf {
        self.top().join(inside)
    }

    /// Runs a script in it.
    pub fn sh(&self, script: &str) -> Ran {
        let mut chroot = Command::new("chroot");
        chroot.arg(self.top()).args(["bash", "-euc", script]);
        chroot
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        finish(chroot.env("LC_ALL", "C.UTF-8"))
    }

    /// Runs a script that must end well; what it printed.
    #[track_caller]
    pub fn ok(&self, script: &str) -> String {
        self.sh(script).exits(0).stdout.trim().to_owned()
    }

    /// Gives it a profile.
    pub fn profile(&self, text: &str) {
        file(
            &self.path(PROFILE),
            format!("schema = \"v1alpha1\"\n{text}"),
        );
    }

    /// Runs nodeprep in it.
    #[track_caller]
    pub fn nodeprep(&self, arguments: &str, code: i32) -> Report {
        self.told(&format!("nodeprep {arguments} --output json"), code)
    }

    /// Runs a script that ends with what nodeprep ends with.
    #[track_caller]
    pub fn told(&self, script: &str, code: i32) -> Report {
        Report(self.sh(script).exits(code).json())
    }
}

/// What nodeprep reports.
pub struct Report(serde_json::Value);

impl Report {
    /// The steps, in words.
    pub fn steps(&self) -> Vec<&str> {
        let steps = self.0["steps"].as_array().unwrap();
        steps
            .iter()
            .map(|step| step["text"].as_str().unwrap())
            .collect()
    }

    /// Why something for a subject failed.
    #[track_caller]
    pub fn error(&self, subject: &str) -> &str {
        self.of(subject)["error"]
            .as_str()
            .unwrap_or_else(|| panic!("{:#}", self.0))
    }

    /// How a subject of this item stands.
    #[track_caller]
    pub fn of(&self, subject: &str) -> &serde_json::Value {
        let entries = self.0["entries"].as_array().unwrap();
        let named = |entry: &&serde_json::Value| entry["subject"] == subject;
        entries
            .iter()
            .find(named)
            .unwrap_or_else(|| panic!("no {subject}: {:#}", self.0))
    }
}
