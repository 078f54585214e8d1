//! inotify(7) over the directories in which something that was read can change.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent, WatchDescriptor};

use super::places::{Found, Place, places};
use crate::host::Source;

/// How often the queue is read before what came is looked at: in a storm there is no end.
const READS: usize = 256;
/// What changes the names in a directory.
const NAMES: AddWatchFlags = AddWatchFlags::IN_CREATE
    .union(AddWatchFlags::IN_DELETE)
    .union(AddWatchFlags::IN_MOVE);
/// What changes a file. Not only when it is closed: some are kept open.
const CONTENT: AddWatchFlags = AddWatchFlags::IN_MODIFY.union(AddWatchFlags::IN_ATTRIB);
/// The directory itself is another, or gone.
const SELF: AddWatchFlags = AddWatchFlags::IN_DELETE_SELF
    .union(AddWatchFlags::IN_MOVE_SELF)
    .union(AddWatchFlags::IN_IGNORED)
    .union(AddWatchFlags::IN_UNMOUNT);

/// What is to be seen in a directory.
type Wanted = BTreeMap<Place, BTreeSet<Rc<Source>>>;

/// The watched directories.
#[derive(Debug)]
pub(super) struct Directories {
    inotify: Inotify,
    wanted: BTreeMap<PathBuf, Wanted>,
    watched: BTreeMap<PathBuf, (WatchDescriptor, AddWatchFlags)>,
    /// A directory can have two names.
    named: BTreeMap<WatchDescriptor, BTreeSet<PathBuf>>,
}

/// What came of watching.
#[derive(Debug, Default)]
pub(super) struct Armed {
    /// What can only be seen from now on: it may have changed since it was read.
    pub new: BTreeSet<Source>,
    /// What cannot be watched, and why.
    pub refused: BTreeMap<Source, Errno>,
}

/// What was seen.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// What may have changed.
    pub touched: BTreeSet<Source>,
    /// Whether the kernel has dropped events.
    pub lost: bool,
}

impl Directories {
    pub fn new() -> nix::Result<Self> {
        let flags = InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC;
        Ok(Self {
            inotify: Inotify::init(flags)?,
            wanted: BTreeMap::new(),
            watched: BTreeMap::new(),
            named: BTreeMap::new(),
        })
    }

    /// Watches these sources and no others.
    pub fn watch(&mut self, sources: &BTreeSet<Source>) -> Armed {
        self.wanted = wanted(sources);
        let dropped: Vec<PathBuf> = self
            .watched
            .keys()
            .filter(|dir| !self.wanted.contains_key(*dir))
            .cloned()
            .collect();
        for dir in dropped {
            self.drop_watch(&dir);
        }
        let mut armed = Armed::default();
        let dirs: Vec<(PathBuf, AddWatchFlags)> = self
            .wanted
            .iter()
            .map(|(dir, wanted)| (dir.clone(), mask(wanted)))
            .collect();
        for (dir, mask) in dirs {
            let added = self.add_watch(&dir, mask);
            let sources = || self.sources_in(&dir).map(|source| (**source).clone());
            match added {
                Ok(false) => {}
                // Gone meanwhile: what is there now is seen when it is read again.
                Ok(true) | Err(Errno::ENOENT | Errno::ENOTDIR) => armed.new.extend(sources()),
                Err(error) => {
                    let refused = sources().map(|source| (source, error));
                    armed.refused.extend(refused);
                }
            }
        }
        armed
    }

    /// Whether it is new.
    fn add_watch(&mut self, dir: &Path, mask: AddWatchFlags) -> nix::Result<bool> {
        if self.watched.get(dir).is_some_and(|(_, has)| *has == mask) {
            return Ok(false);
        }
        // Under its other name the directory may be watched for more.
        let add = AddWatchFlags::from_bits_retain(libc::IN_MASK_ADD);
        let flags = AddWatchFlags::IN_ONLYDIR | add;
        let descriptor = self.inotify.add_watch(dir, mask | flags)?;
        self.watched.insert(dir.to_owned(), (descriptor, mask));
        let names = self.named.entry(descriptor).or_default();
        names.insert(dir.to_owned());
        Ok(true)
    }

    fn drop_watch(&mut self, dir: &Path) {
        let Some((descriptor, _)) = self.watched.remove(dir) else {
            return;
        };
        let Some(names) = self.named.get_mut(&descriptor) else {
            return;
        };
        names.remove(dir);
        if names.is_empty() {
            self.named.remove(&descriptor);
            // Refused where the directory is gone, and the watch with it.
            let _ = self.inotify.rm_watch(descriptor);
        }
    }

    fn sources_in(&self, dir: &Path) -> impl Iterator<Item = &Rc<Source>> {
        let wanted = self.wanted.get(dir).into_iter();
        wanted.flat_map(|wanted| wanted.values().flatten())
    }

    /// What was seen until now.
    pub fn drain(&mut self) -> Seen {
        let mut seen = Seen::default();
        for _ in 0..READS {
            let events = match self.inotify.read_events() {
                Ok(events) => events,
                Err(Errno::EINTR) => continue,
                // Nothing more.
                Err(Errno::EAGAIN) => break,
                Err(_) => {
                    seen.lost = true;
                    break;
                }
            };
            for event in &events {
                self.see(event, &mut seen);
            }
        }
        seen
    }

    fn see(&mut self, event: &InotifyEvent, seen: &mut Seen) {
        seen.lost |= event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW);
        // Of a directory that is watched no more.
        let Some(dirs) = self.named.get(&event.wd) else {
            return;
        };
        let itself = event.mask.intersects(SELF);
        for dir in dirs.clone() {
            let touched = self.wanted.get(&dir).into_iter().flatten();
            let touched = touched.filter(|(place, _)| itself || is_at(event, place));
            for source in touched.flat_map(|(_, sources)| sources) {
                if !seen.touched.contains(&**source) {
                    seen.touched.insert((**source).clone());
                }
            }
            if itself {
                self.drop_watch(&dir);
            }
        }
    }
}

impl AsFd for Directories {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}

fn wanted(sources: &BTreeSet<Source>) -> BTreeMap<PathBuf, Wanted> {
    let mut all: BTreeMap<PathBuf, Wanted> = BTreeMap::new();
    let mut known: BTreeMap<PathBuf, Found> = BTreeMap::new();
    let mut look = |path: &Path| match known.get(path) {
        Some(found) => found.clone(),
        None => known.entry(path.to_owned()).or_insert(look(path)).clone(),
    };
    for source in sources {
        let shared = Rc::new(source.clone());
        for place in places(source, &mut look) {
            let dir = all.entry(place.dir.clone()).or_default();
            dir.entry(place).or_default().insert(shared.clone());
        }
    }
    all
}

fn look(path: &Path) -> Found {
    match nix::fcntl::readlink(path) {
        Ok(target) => Found::Link(target.into()),
        Err(Errno::ENOENT | Errno::ENOTDIR) => Found::Nothing,
        Err(_) => Found::Something,
    }
}

fn mask(wanted: &Wanted) -> AddWatchFlags {
    let base = NAMES | AddWatchFlags::IN_DELETE_SELF | AddWatchFlags::IN_MOVE_SELF;
    match wanted.keys().any(|place| place.content) {
        true => base | CONTENT,
        false => base,
    }
}

/// Whether an event is about a name, and about what counts of it.
fn is_at(event: &InotifyEvent, place: &Place) -> bool {
    let of_name = match (&place.name, &event.name) {
        (None, _) => true,
        (Some(name), Some(other)) => OsStr::new(name) == other,
        (Some(_), None) => false,
    };
    of_name && (place.content || event.mask.intersects(NAMES))
}
