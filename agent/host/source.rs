//! What each answer was taken from: the daemon watches just what was read, so that no kind has to
//! name what it watches and none can forget a file.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::Host;

/// Something that was read of a host, by the way a change of it can be noticed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// A file: its bytes, mode and owner.
    File(PathBuf),
    /// Whether there is something at a path, and where a link there leads.
    Path(PathBuf),
    /// The names in a directory.
    Names(PathBuf),
    /// The swap areas in use.
    Swaps,
    /// What is mounted.
    Mounts,
    /// The kernel's modules.
    Modules,
    /// SELinux's mode.
    Selinux,
    /// The rules of nf_tables.
    Rules,
    /// The rules of legacy iptables.
    LegacyRules,
    /// Interfaces, their addresses, and routes.
    Network,
}

impl Source {
    /// What tells of changes of a path: few files of /proc and /sys have inotify events, and some
    /// have others.
    fn of_path(path: &Path, on_disk: fn(PathBuf) -> Self) -> Option<Self> {
        let below = |top: &str| path.starts_with(top);
        match path.to_str() {
            Some("/proc/swaps") => Some(Self::Swaps),
            Some("/proc/self/mountinfo") => Some(Self::Mounts),
            Some("/proc/modules") => Some(Self::Modules),
            Some("/proc/net/route" | "/proc/net/ipv6_route" | "/proc/net/if_inet6") => {
                Some(Self::Network)
            }
            _ if below("/sys/module") => Some(Self::Modules),
            _ if below("/sys/class/net") => Some(Self::Network),
            _ if below("/sys/fs/selinux") => Some(Self::Selinux),
            // Whoever writes a value, or makes a group, does so by a file system call, which has its
            // event there as everywhere (fs/read_write.c, `vfs_write`); what the kernel changes by
            // itself has none.
            _ if below("/proc/sys") || below("/sys/fs/cgroup") => Some(on_disk(path.to_owned())),
            _ if below("/proc") || below("/sys") => None,
            _ => Some(on_disk(path.to_owned())),
        }
    }

    /// Whether it can change without an event: a value of the kernel.
    #[must_use]
    pub fn is_kernel_value(&self) -> bool {
        matches!(self, Self::File(path) if path.starts_with("/proc/sys"))
    }
}

/// What was read, by who asked for it.
pub type Readers = BTreeMap<&'static str, BTreeSet<Source>>;

/// Who reads now, and what was read so far.
#[derive(Debug, Default)]
pub(super) struct Noted {
    wanted: bool,
    reader: Cell<Option<&'static str>>,
    readers: RefCell<Readers>,
}

impl Host {
    /// Notes from now on what is read.
    pub fn note_sources(&mut self) {
        self.noted.wanted = true;
    }

    /// What is read from now on is read for `reader`, or for nobody.
    pub fn read_for(&self, reader: Option<&'static str>) {
        self.noted.reader.set(reader.filter(|_| self.noted.wanted));
        if let Some(reader) = self.noted.reader.get() {
            self.noted.readers.borrow_mut().entry(reader).or_default();
        }
    }

    /// What was read since this was last asked.
    #[must_use]
    pub fn take_sources(&self) -> Readers {
        self.noted.readers.take()
    }

    /// Notes a file of the profile; people name one from where they are.
    pub fn note_profile(&self, path: &Path) {
        if let Ok(path) = std::path::absolute(path) {
            self.note_file(&path);
        }
    }

    /// Notes a source that is no path.
    pub(super) fn note(&self, source: Source) {
        self.note_with(|| Some(source));
    }

    pub(super) fn note_file(&self, path: &Path) {
        self.note_with(|| Source::of_path(path, Source::File));
    }

    pub(super) fn note_path(&self, path: &Path) {
        self.note_with(|| Source::of_path(path, Source::Path));
    }

    pub(super) fn note_names(&self, dir: &Path) {
        self.note_with(|| Source::of_path(dir, Source::Names));
    }

    fn note_with(&self, source: impl FnOnce() -> Option<Source>) {
        if let Some(reader) = self.noted.reader.get()
            && let Some(source) = source()
        {
            let mut readers = self.noted.readers.borrow_mut();
            readers.entry(reader).or_default().insert(source);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn each_path_has_what_tells_of_its_changes() {
        let of = |path: &str| Source::of_path(Path::new(path), Source::File);
        let file = |path: &str| Some(Source::File(path.into()));
        assert_eq!(of("/proc/swaps"), Some(Source::Swaps));
        assert_eq!(of("/sys/module/overlay/initstate"), Some(Source::Modules));
        assert_eq!(of("/sys/fs/selinux/enforce"), Some(Source::Selinux));
        assert_eq!(of("/proc/net/route"), Some(Source::Network));
        assert_eq!(of("/proc/cmdline"), None);
        assert_eq!(of("/sys/kernel/security/lsm"), None);
        for path in ["/etc/fstab", "/procedure", "/sys/fs/cgroup/x/cgroup.procs"] {
            assert_eq!(of(path), file(path));
            assert!(!of(path).unwrap().is_kernel_value());
        }
        assert!(of("/proc/sys/vm/swappiness").unwrap().is_kernel_value());
    }

    #[test]
    fn noted_is_what_is_read_for_somebody() {
        let mut host = Host::live();
        let read = |host: &Host| host.kind(Path::new("/etc/no-such")).unwrap();
        host.read_for(Some("swap"));
        read(&host);
        assert_eq!(host.take_sources(), Readers::new());
        host.note_sources();
        host.read_for(Some("swap"));
        read(&host);
        host.read_for(None);
        host.kind(Path::new("/etc/other")).unwrap();
        let one = BTreeSet::from([Source::Path("/etc/no-such".into())]);
        assert_eq!(host.take_sources(), Readers::from([("swap", one)]));
    }

    #[test]
    fn a_log_wakes_nobody_by_being_written_to() {
        let mut host = Host::live();
        host.note_sources();
        host.read_for(Some("journald"));
        let log = Path::new("/var/log/wtmp");
        host.written_since(log, SystemTime::UNIX_EPOCH).unwrap();
        let one = BTreeSet::from([Source::Path(log.into())]);
        assert_eq!(host.take_sources(), Readers::from([("journald", one)]));
    }
}
