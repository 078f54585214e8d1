//! Who changes what is changed back each time: fanotify(7) names the process, as inotify(7) does not.
//! It listens only where that is asked, and only root may.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::AT_FDCWD;
use nix::sys::fanotify::{EventFFlags, Fanotify, FanotifyEvent, InitFlags, MarkFlags, MaskFlags};
use nix::sys::stat::{fstat, stat};

use super::{Other, WRITERS, Watch};
use crate::host::{Readers, Source, process};

/// How often the queue is read before what came is looked at.
const READS: usize = 256;
/// More files, and writers of one, are not remembered.
const MOST: usize = 256;

impl Watch {
    /// Notes from now on also who writes these files, which costs an event more for each write there.
    pub fn suspect<'a>(&mut self, sources: impl IntoIterator<Item = &'a Source>) {
        let dirs = directories(sources);
        if self.writers.as_ref().is_some_and(|has| has.are_in(&dirs)) {
            return;
        }
        self.writers = None;
        if dirs.is_empty() {
            return;
        }
        let listened = Writers::listen(dirs).and_then(|writers| {
            self.add(&writers, WRITERS)?;
            Ok(writers)
        });
        match listened {
            Ok(writers) => self.writers = Some(writers),
            Err(error) => tracing::info!("fanotify: {}", error.desc()),
        }
    }

    /// Who changed what each reader read, as far as the kernel told since this was last asked.
    pub fn take_who(&mut self, readers: &Readers) -> BTreeMap<&'static str, BTreeSet<String>> {
        let mut who: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
        for (reader, sources) in readers {
            for source in sources {
                let by = self.who_changed(source);
                who.entry(reader).or_default().extend(by);
            }
        }
        self.forget_who();
        who
    }

    /// Nobody changed anything, as far as is asked from now on.
    pub fn forget_who(&mut self) {
        if let Some(writers) = &mut self.writers {
            writers.forget();
        }
        for (_, other) in &mut self.others {
            if let Other::Group(group) = other {
                group.by.clear();
            }
        }
    }

    fn who_changed(&self, source: &Source) -> BTreeSet<String> {
        if let (Source::File(path), Some(writers)) = (source, &self.writers) {
            return writers.of(path).cloned().collect();
        }
        let of = |(_, other): &(u64, Other)| match other {
            Other::Group(group) if group.source == *source => Some(group.by.clone()),
            _ => None,
        };
        self.others.iter().find_map(of).unwrap_or_default()
    }
}

/// Who wrote what.
#[derive(Debug)]
pub(super) struct Writers {
    fanotify: Fanotify,
    dirs: BTreeSet<PathBuf>,
    /// By device and inode, as who saves a file writes it under another name and renames it; and by
    /// process.
    wrote: BTreeMap<(u64, u64), BTreeMap<i32, String>>,
}

impl Writers {
    /// Listens in these directories.
    ///
    /// # Errors
    /// Where the kernel does not tell us: it lacks fanotify, or we are not root.
    pub fn listen(dirs: BTreeSet<PathBuf>) -> nix::Result<Self> {
        let flags = InitFlags::FAN_CLASS_NOTIF | InitFlags::FAN_CLOEXEC | InitFlags::FAN_NONBLOCK;
        // The kernel opens for us what was written, which may be a FIFO.
        let opened = EventFFlags::O_CLOEXEC | EventFFlags::O_NONBLOCK;
        let fanotify = Fanotify::init(flags, opened)?;
        for dir in &dirs {
            let flags = MarkFlags::FAN_MARK_ADD | MarkFlags::FAN_MARK_ONLYDIR;
            let mask = MaskFlags::FAN_MODIFY | MaskFlags::FAN_EVENT_ON_CHILD;
            match fanotify.mark(flags, mask, AT_FDCWD, Some(dir)) {
                Err(Errno::ENOENT | Errno::ENOTDIR) | Ok(()) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Self {
            fanotify,
            dirs,
            wrote: BTreeMap::new(),
        })
    }

    /// Whether it listens just there.
    pub fn are_in(&self, dirs: &BTreeSet<PathBuf>) -> bool {
        self.dirs == *dirs
    }

    /// Takes what came.
    pub fn drain(&mut self) {
        for _ in 0..READS {
            match self.fanotify.read_events() {
                Ok(events) => events.iter().for_each(|event| self.see(event)),
                Err(Errno::EAGAIN) => break,
                // Of a file that could not be opened; the next may be.
                Err(_) => {}
            }
        }
    }

    fn see(&mut self, event: &FanotifyEvent) {
        let is_own = u32::try_from(event.pid()) == Ok(std::process::id());
        let file = event.fd().filter(|_| !is_own);
        let Some(Ok(meta)) = file.map(fstat) else {
            return;
        };
        let file = (meta.st_dev, meta.st_ino);
        if self.wrote.len() < MOST || self.wrote.contains_key(&file) {
            let by = self.wrote.entry(file).or_default();
            if by.len() < MOST {
                let who = || process::in_unit(event.pid(), None);
                by.entry(event.pid()).or_insert_with(who);
            }
        }
    }

    /// Who wrote what is at a path now.
    pub fn of(&self, path: &Path) -> impl Iterator<Item = &String> {
        let meta = stat(path).ok();
        let by = meta.and_then(|meta| self.wrote.get(&(meta.st_dev, meta.st_ino)));
        by.into_iter().flat_map(BTreeMap::values)
    }

    pub fn forget(&mut self) {
        self.wrote.clear();
    }
}

impl AsFd for Writers {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fanotify.as_fd()
    }
}

/// The directories of files, as they are without links.
fn directories<'a>(sources: impl IntoIterator<Item = &'a Source>) -> BTreeSet<PathBuf> {
    let of = |source: &Source| match source {
        Source::File(path) => {
            let path = path.canonicalize().unwrap_or_else(|_| path.clone());
            path.parent().map(Path::to_owned)
        }
        _ => None,
    };
    sources.into_iter().filter_map(of).collect()
}
