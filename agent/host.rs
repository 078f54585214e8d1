//! The only door to the machine: whatever reads, asks or changes a host does so through [`Host`],
//! so that a live machine, a captured tree and an unpacked image are one thing to every item.
#![allow(clippy::disallowed_methods)] // this module is what the fence in clippy.toml is around

mod archive;
mod ask;
mod clients;
mod clock;
mod commands;
mod cri;
mod exchange;
mod facts;
mod files;
mod firewall;
mod guard;
mod lock;
mod netfilter;
mod occupied;
mod overlay;
mod packages;
mod perform;
mod process;
mod profiles;
mod progress;
mod ready;
mod recover;
mod signals;
mod source;
mod store;
mod supervisor;
mod surroundings;
mod syscall;
mod time;
mod unit;
mod walk;
mod watch;
mod write;

use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::boot::modules::Modules;
use crate::error::Result;
use crate::firewall::Ruleset;

pub use archive::Extracted;
pub use ask::Told;
pub use clients::{Clients, Reply};
pub use clock::Clock;
pub use cri::{Cri, CriAnswer, Images};
pub use exchange::changed;
pub use facts::Facts;
pub use files::Kind;
pub use lock::RunLock;
pub use overlay::Overlay;
pub use perform::Prior;
pub use profiles::{ProfileFile, default_profile, read_profile};
pub use signals::Signals;
pub use source::{Readers, Source};
pub use store::Store;
pub use supervisor::{Supervisor, prints_to_journald};
pub use surroundings::leave_surroundings;
pub use watch::{Event, Watch, Watched, now};

/// By which the kubelet is known to the cluster; kubeadm join writes it, kubeadm reset removes it.
const KUBELET_CONF: &str = "/etc/kubernetes/kubelet.conf";

/// An item, and a subject of it.
pub type Subject = (&'static str, String);

/// What a host's answers are taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// The machine this program runs on.
    Live,
    /// A directory tree that holds a running host's files, `/proc` and `/sys` included.
    Captured,
    /// A directory tree that will be booted: it has no running system.
    Image,
}

/// A host: its files, kernel and services as they are now.
///
/// Every source is read once and remembered until [`Host::refresh`].
#[derive(Debug)]
pub struct Host {
    origin: Origin,
    /// The tree's root; none for the live machine, whose paths are used as they are.
    root: Option<(PathBuf, OwnedFd)>,
    overlay: Overlay,
    read: RefCell<HashMap<PathBuf, Option<Rc<[u8]>>>>,
    listed: RefCell<HashMap<PathBuf, Rc<[String]>>>,
    runtimes: RefCell<HashMap<PathBuf, Result<Cri>>>,
    no_boot: OnceCell<Option<&'static str>>,
    on_member: bool,
    rules: OnceCell<Rc<Ruleset>>,
    kernels: RefCell<HashMap<String, Rc<Modules>>>,
    usr_merged: OnceCell<bool>,
    rpm: RefCell<Option<Rc<packages::Database>>>,
    noted: source::Noted,
    left_alone: BTreeMap<Subject, String>,
}

impl Host {
    /// The machine this program runs on.
    #[must_use]
    pub fn live() -> Self {
        Self::new(Origin::Live, None)
    }

    /// A captured host: a tree with `/proc` and `/sys` as files, beside `answers.json`.
    ///
    /// # Errors
    /// Where `dir` cannot be opened as a directory.
    pub fn captured(dir: &Path) -> Result<Self> {
        Ok(Self::new(
            Origin::Captured,
            Some((dir.to_owned(), files::open_root(dir)?)),
        ))
    }

    /// An image: a tree that will be booted; only its boot truth is asked, none of its programs run.
    ///
    /// # Errors
    /// Where `dir` cannot be opened as a directory.
    pub fn image(dir: &Path) -> Result<Self> {
        Ok(Self::new(
            Origin::Image,
            Some((dir.to_owned(), files::open_root(dir)?)),
        ))
    }

    fn new(origin: Origin, root: Option<(PathBuf, OwnedFd)>) -> Self {
        Self {
            origin,
            root,
            overlay: Overlay::default(),
            read: RefCell::default(),
            listed: RefCell::default(),
            runtimes: RefCell::default(),
            no_boot: OnceCell::new(),
            on_member: false,
            rules: OnceCell::new(),
            kernels: RefCell::default(),
            usr_merged: OnceCell::new(),
            rpm: RefCell::default(),
            noted: source::Noted::default(),
            left_alone: BTreeMap::new(),
        }
    }

    /// Forgets what was read and planned: the next answers are those of the host as it is now.
    pub fn refresh(&mut self) {
        self.overlay = Overlay::default();
        self.read.get_mut().clear();
        self.listed.get_mut().clear();
        self.rules.take();
        self.runtimes.get_mut().clear();
        self.kernels.get_mut().clear();
        *self.rpm.get_mut() = None;
    }

    /// Why this host has no running system to ask, where it has none.
    #[must_use]
    pub fn no_live(&self) -> Option<&'static str> {
        (self.origin == Origin::Image).then_some("an image has no running system")
    }

    /// Why systemd will not make this host's next boot, where it will not.
    ///
    /// A running systemd has made `/run/systemd/system` (sd_booted(3)); an image is judged by what
    /// it will be.
    #[must_use]
    pub fn no_boot(&self) -> Option<&'static str> {
        *self.no_boot.get_or_init(|| {
            let booted = self.origin == Origin::Image
                || self
                    .is_directory(Path::new("/run/systemd/system"))
                    .unwrap_or(true);
            (!booted).then_some("systemd does not run here, so no boot will read it")
        })
    }

    /// Why what could hurt a running node is not done to this one; none where it is no member of a
    /// cluster, or where that was allowed.
    ///
    /// # Errors
    /// Where it cannot be told.
    pub fn spares_member(&self) -> Result<Option<&'static str>> {
        let member = || Ok(self.kind(Path::new(KUBELET_CONF))?.is_some());
        Ok((!self.on_member && member()?)
            .then_some("the node is a member of a cluster: --on-member does it anyway"))
    }

    /// Whether also that is to be done what could hurt a member of a cluster.
    pub fn allow_on_member(&mut self, allowed: bool) {
        self.on_member = allowed;
    }

    /// Leaves these subjects alone from now on, for these reasons, and no others.
    pub fn leave_alone(&mut self, subjects: BTreeMap<Subject, String>) {
        self.left_alone = subjects;
    }

    /// Why a subject of an item is left alone, where it is.
    #[must_use]
    pub fn left_alone(&self, item: &'static str, subject: &str) -> Option<&str> {
        if self.left_alone.is_empty() {
            return None;
        }
        let subject = (item, subject.to_owned());
        self.left_alone.get(&subject).map(String::as_str)
    }

    /// What was made once of a kernel's thousands of modules, by its release.
    pub(crate) fn modules(
        &self,
        release: &str,
        read: impl FnOnce() -> Result<Modules>,
    ) -> Result<Rc<Modules>> {
        // depmod puts its lists in place by their names (kmod's tools/depmod.c).
        self.note_names(&Path::new("/lib/modules").join(release));
        if let Some(known) = self.kernels.borrow().get(release) {
            return Ok(known.clone());
        }
        let modules = Rc::new(read()?);
        self.kernels
            .borrow_mut()
            .insert(release.to_owned(), modules.clone());
        Ok(modules)
    }

    /// Whether this is a tree that will be booted elsewhere.
    #[must_use]
    pub fn is_image(&self) -> bool {
        self.origin == Origin::Image
    }

    /// The running kernel's release (`uname -r`); none for an image.
    ///
    /// # Errors
    /// Where `/proc/sys/kernel/osrelease` cannot be read.
    pub fn kernel_release(&self) -> Result<Option<String>> {
        let text = self.text(Path::new("/proc/sys/kernel/osrelease"))?;
        Ok(text.map(|text| text.trim().to_owned()))
    }
}
