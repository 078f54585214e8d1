//! One wait for everything that can happen to a host: files, swaps, mounts, the kernel's messages,
//! signals and jumps of the clock. It says where to look, never what is there.

mod directories;
mod groups;
mod places;
mod writers;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::time::TimeSpec;
use nix::sys::timer::{Expiration, TimerSetTimeFlags};
use nix::sys::timerfd::{ClockId, TimerFd, TimerFlags};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use self::directories::{Armed, Directories};
use self::groups::Group;
use self::writers::Writers;
use super::files::read_kernel;
use super::{Clients, Host, Source};
use crate::error::{Error, Result, trouble};

/// Something to act upon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// This may have changed.
    Touched(Source),
    /// The kernel dropped events, or the clock was set: anything may have changed.
    Anything(&'static str),
    /// Somebody asks, or has gone.
    Asked,
    /// SIGHUP.
    Reload,
    /// SIGTERM or SIGINT.
    Stop,
}

/// Files of /proc that poll(2) tells changes of (mm/swapfile.c, `swaps_poll`; fs/proc_namespace.c,
/// `mounts_poll`).
const POLLED: [(Source, &str); 2] = [
    (Source::Swaps, "/proc/swaps"),
    (Source::Mounts, "/proc/self/mountinfo"),
];
/// Beyond any uptime: the timer is there to be cancelled.
const NEVER: Duration = Duration::from_secs(1 << 40);

/// What each descriptor is, by the number epoll(7) gives back.
const DIRECTORIES: u64 = 0;
const CLOCK: u64 = 1;
const STOP: u64 = 2;
const RELOAD: u64 = 3;
const CLIENTS: u64 = 4;
const WRITERS: u64 = 5;
const OTHERS: u64 = 6;

/// Waits for events of the live host.
#[derive(Debug)]
pub struct Watch {
    epoll: Epoll,
    directories: std::result::Result<Directories, Errno>,
    clock: TimerFd,
    stop: UnixStream,
    reload: UnixStream,
    /// Who writes; none where nobody is suspected.
    writers: Option<Writers>,
    others: Vec<(u64, Other)>,
    next: u64,
    /// Kernel values as they were last.
    values: BTreeMap<PathBuf, Option<String>>,
    /// Asked for at each poll, as nothing tells of them.
    untold: BTreeSet<Source>,
}

#[derive(Debug)]
enum Other {
    Group(Group),
    File { source: Source, _open: File },
}

/// What of the sources is watched how.
#[derive(Debug, Default)]
pub struct Watched {
    /// What can only be seen from now on: look again.
    pub new: BTreeSet<Source>,
    /// What can't be watched, in words: it is polled.
    pub refused: Option<String>,
}

impl Watch {
    /// Nothing is watched yet but signals and the clock.
    ///
    /// # Errors
    /// Where the kernel refuses what it has for every process.
    pub fn new() -> Result<Self> {
        let failed = |error: Errno| trouble!("epoll: {}", error.desc());
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(failed)?;
        let watch = Self {
            directories: Directories::new(),
            clock: clock().map_err(|error| trouble!("timerfd: {}", error.desc()))?,
            stop: on_signal(&[SIGTERM, SIGINT])?,
            reload: on_signal(&[SIGHUP])?,
            writers: None,
            others: Vec::new(),
            next: OTHERS,
            values: BTreeMap::new(),
            untold: BTreeSet::new(),
            epoll,
        };
        if let Ok(directories) = &watch.directories {
            watch.add(directories, DIRECTORIES).map_err(failed)?;
        }
        watch.add(&watch.clock, CLOCK).map_err(failed)?;
        watch.add(&watch.stop, STOP).map_err(failed)?;
        watch.add(&watch.reload, RELOAD).map_err(failed)?;
        Ok(watch)
    }

    fn add(&self, fd: impl AsFd, number: u64) -> nix::Result<()> {
        let flags = EpollFlags::EPOLLIN;
        self.epoll.add(fd, EpollEvent::new(flags, number))
    }

    /// Tells also when somebody asks.
    ///
    /// # Errors
    /// Where the kernel refuses.
    pub fn hear(&self, clients: &Clients) -> Result<()> {
        self.add(clients, CLIENTS)
            .map_err(|error| trouble!("epoll: {}", error.desc()))
    }

    /// Watches these sources and no others.
    pub fn watch(&mut self, sources: &BTreeSet<Source>) -> Watched {
        let armed = match &mut self.directories {
            Ok(directories) => directories.watch(sources),
            Err(error) => Armed {
                refused: sources.iter().map(|one| (one.clone(), *error)).collect(),
                ..Armed::default()
            },
        };
        let mut watched = Watched {
            new: armed.new,
            refused: None,
        };
        let is_legacy = |source: &&Source| **source == Source::LegacyRules;
        self.untold = sources.iter().filter(is_legacy).cloned().collect();
        for (source, error) in armed.refused {
            if matches!(source, Source::File(_) | Source::Path(_) | Source::Names(_)) {
                watched.refused = Some(refusal(error));
                self.untold.insert(source);
            }
        }
        self.others
            .retain(|(_, other)| sources.contains(other.source()));
        for source in sources {
            match self.listen(source) {
                Ok(false) => {}
                Ok(true) => drop(watched.new.insert(source.clone())),
                // Without such a protocol the kernel has no such thing that could change.
                Err(Errno::EPROTONOSUPPORT | Errno::ENOENT) => {}
                Err(error) => {
                    watched.refused = Some(format!("{source:?}: {}", error.desc()));
                    self.untold.insert(source.clone());
                }
            }
        }
        let is_read = |path: &PathBuf| sources.contains(&Source::File(path.clone()));
        self.values.retain(|path, _| is_read(path));
        watched
    }

    /// Whether it is new. What has been dropped was closed, and epoll(7) forgets what is closed.
    fn listen(&mut self, source: &Source) -> nix::Result<bool> {
        let is_it = |(_, other): &(u64, Other)| other.source() == source;
        if self.others.iter().any(is_it) {
            return Ok(false);
        }
        let number = self.next;
        let other = match POLLED.iter().find(|(polled, _)| polled == source) {
            Some((_, path)) => {
                let file = File::open(path)
                    .map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or_default()))?;
                // EPOLLERR comes with it, and is always told.
                let event = EpollEvent::new(EpollFlags::EPOLLPRI, number);
                self.epoll.add(&file, event)?;
                Other::File {
                    source: source.clone(),
                    _open: file,
                }
            }
            None => match Group::listen(source)? {
                None => return Ok(false),
                Some(group) => {
                    self.add(&group, number)?;
                    Other::Group(group)
                }
            },
        };
        self.next += 1;
        self.others.push((number, other));
        Ok(true)
    }

    /// Waits for events, for so long at most.
    ///
    /// # Errors
    /// Where the kernel has none to give any more.
    pub fn wait(&mut self, limit: Duration) -> Result<Vec<Event>> {
        let mut events = Vec::new();
        for number in self.ready(limit)? {
            self.take(number, &mut events);
        }
        Ok(events)
    }

    /// What has been touched until now, and by whom. Signals, the clock, and who asks, are left to
    /// [`Self::wait`].
    ///
    /// # Errors
    /// As there.
    pub fn touched(&mut self) -> Result<Vec<Event>> {
        let mut events = Vec::new();
        for number in self.ready(Duration::ZERO)? {
            if number == DIRECTORIES || number >= WRITERS {
                self.take(number, &mut events);
            }
        }
        Ok(events)
    }

    fn ready(&self, limit: Duration) -> Result<Vec<u64>> {
        let mut ready = [EpollEvent::empty(); 16];
        // Rounded up: to wake before the time would be to wake twice.
        let limit = limit.as_micros().div_ceil(1000).min(i32::MAX as u128);
        let limit = EpollTimeout::try_from(limit).unwrap_or(EpollTimeout::MAX);
        let count = match self.epoll.wait(&mut ready, limit) {
            Ok(count) => count,
            Err(Errno::EINTR) => 0,
            Err(error) => return Err(trouble!("epoll: {}", error.desc())),
        };
        Ok(ready.iter().take(count).map(EpollEvent::data).collect())
    }

    fn take(&mut self, number: u64, events: &mut Vec<Event>) {
        match number {
            DIRECTORIES => self.take_directories(events),
            // It never expires: it was cancelled (timerfd_create(2), TFD_TIMER_CANCEL_ON_SET).
            CLOCK => {
                // The answer is that it was.
                let _ = self.clock.wait();
                events.push(Event::Anything("the clock was set"));
            }
            STOP => {
                empty(&mut self.stop);
                events.push(Event::Stop);
            }
            RELOAD => {
                empty(&mut self.reload);
                events.push(Event::Reload);
            }
            CLIENTS => events.push(Event::Asked),
            WRITERS => {
                if let Some(writers) = &mut self.writers {
                    writers.drain();
                }
            }
            _ => {
                let other = self.others.iter_mut().find(|(own, _)| *own == number);
                if let Some((_, other)) = other
                    && other.drain()
                {
                    events.push(Event::Touched(other.source().clone()));
                }
            }
        }
    }

    fn take_directories(&mut self, events: &mut Vec<Event>) {
        if let Ok(directories) = &mut self.directories {
            let seen = directories.drain();
            if seen.lost {
                events.push(Event::Anything("the kernel dropped events of files"));
            }
            events.extend(seen.touched.into_iter().map(Event::Touched));
        }
    }

    /// Whether anything is asked for at a poll.
    #[must_use]
    pub fn polls(&self) -> bool {
        !(self.values.is_empty() && self.untold.is_empty())
    }

    /// Takes the kernel values among the sources as they are now for what is known.
    pub fn remember<'a>(&mut self, host: &Host, sources: impl IntoIterator<Item = &'a Source>) {
        for source in sources {
            if let Source::File(path) = source
                && source.is_kernel_value()
            {
                let value = read_kernel(host, path).ok();
                self.values.insert(path.clone(), value);
            }
        }
    }

    /// What no event tells of: the kernel values that changed, and what could not be watched.
    #[must_use]
    pub fn poll(&self, host: &Host) -> Vec<Event> {
        let is_other =
            |(path, value): &(&PathBuf, &Option<String>)| read_kernel(host, path).ok() != **value;
        let changed = self.values.iter().filter(is_other);
        let changed = changed.map(|(path, _)| Source::File(path.clone()));
        let all = changed.chain(self.untold.iter().cloned());
        all.map(Event::Touched).collect()
    }
}

/// The time since the boot, that of sleep included: no clock that can be set.
///
/// # Errors
/// Where the kernel has no such clock.
pub fn now() -> Result<Duration> {
    nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME)
        .map(Duration::from)
        .map_err(|error| trouble!("CLOCK_BOOTTIME: {}", error.desc()))
}

impl Other {
    fn source(&self) -> &Source {
        match self {
            Self::Group(group) => &group.source,
            Self::File { source, .. } => source,
        }
    }

    /// Whether it has something to tell; a file has been told by being polled.
    fn drain(&mut self) -> bool {
        match self {
            Self::Group(group) => group.drain(),
            Self::File { .. } => true,
        }
    }
}

fn clock() -> nix::Result<TimerFd> {
    let flags = TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK;
    let timer = TimerFd::new(ClockId::CLOCK_REALTIME, flags)?;
    let flags = TimerSetTimeFlags::TFD_TIMER_ABSTIME | TimerSetTimeFlags::TFD_TIMER_CANCEL_ON_SET;
    timer.set(Expiration::OneShot(TimeSpec::from(NEVER)), flags)?;
    Ok(timer)
}

/// Has a byte to read once a signal came. Not signalfd(2), whose mask programs we start would inherit.
fn on_signal(signals: &[i32]) -> Result<UnixStream> {
    let failed = |error: std::io::Error| -> Error { trouble!("signal handler: {error}") };
    let (here, there) = UnixStream::pair().map_err(failed)?;
    here.set_nonblocking(true).map_err(failed)?;
    for signal in signals {
        let there = there.try_clone().map_err(failed)?;
        signal_hook::low_level::pipe::register(*signal, there).map_err(failed)?;
    }
    Ok(here)
}

fn empty(stream: &mut UnixStream) {
    let mut bytes = [0; 64];
    while stream
        .read(&mut bytes)
        .is_ok_and(|length| length == bytes.len())
    {}
}

fn refusal(error: Errno) -> String {
    match error {
        Errno::ENOSPC => "fs.inotify.max_user_watches is exhausted: raise it".into(),
        Errno::EMFILE => "fs.inotify.max_user_instances is exhausted: raise it".into(),
        error => format!("inotify: {}", error.desc()),
    }
}
