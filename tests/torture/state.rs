//! All that an administrator can lose, as it is at one moment: bytes, modes, owners, attributes, links,
//! kernel values and rules. Times and inodes are not among it.

use std::cell::LazyCell;
use std::collections::BTreeMap;
use std::fs;
use std::hash::Hash;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use nodeprep::journal::Record;
use rustix::fs::XattrFlags;

/// More than any attribute of the trees has.
const ATTRIBUTE: usize = 4096;

/// One path.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Seen {
    what: What,
    mode: u32,
    owner: (u32, u32),
    attributes: Vec<(String, Vec<u8>)>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum What {
    File(Vec<u8>),
    Directory,
    Link(PathBuf),
}

/// The paths below a directory, and what the kernel holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    /// Paths from the top.
    pub files: Rc<BTreeMap<PathBuf, Seen>>,
    /// Values below /proc/sys and rules, by name.
    pub kernel: Rc<BTreeMap<String, String>>,
}

/// Every path below `top`, ours too.
pub fn photograph(top: &Path) -> BTreeMap<PathBuf, Seen> {
    let mut all = BTreeMap::new();
    let mut open = vec![top.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            let seen = Seen::look(&path);
            if seen.what == What::Directory {
                open.push(path.clone());
            }
            all.insert(path.strip_prefix(top).unwrap().to_owned(), seen);
        }
    }
    all
}

/// Makes all below `top` what it was; what is right already stays.
pub fn put_back(top: &Path, now: &BTreeMap<PathBuf, Seen>, wanted: &BTreeMap<PathBuf, Seen>) {
    for (path, seen) in now.iter().rev() {
        let kept = wanted
            .get(path)
            .is_some_and(|wanted| seen.has_kind_of(wanted));
        match (kept, &seen.what) {
            (true, _) => {}
            (false, What::Directory) => fs::remove_dir(top.join(path)).unwrap(),
            (false, _) => fs::remove_file(top.join(path)).unwrap(),
        }
    }
    for (path, seen) in wanted {
        if now.get(path) != Some(seen) {
            seen.make(&top.join(path));
        }
    }
}

impl Seen {
    fn look(path: &Path) -> Self {
        let meta = fs::symlink_metadata(path).unwrap();
        let what = match meta.file_type() {
            kind if kind.is_dir() => What::Directory,
            kind if kind.is_file() => What::File(fs::read(path).unwrap()),
            kind if kind.is_symlink() => What::Link(fs::read_link(path).unwrap()),
            kind => panic!("{}: {kind:?}", path.display()),
        };
        Self {
            what,
            mode: meta.mode() & 0o7777,
            owner: (meta.uid(), meta.gid()),
            attributes: attributes(path),
        }
    }

    /// Whether it can become the other in place.
    fn has_kind_of(&self, other: &Self) -> bool {
        match (&self.what, &other.what) {
            (What::Directory, What::Directory) => true,
            _ => self == other,
        }
    }

    fn make(&self, path: &Path) {
        match &self.what {
            What::File(bytes) => fs::write(path, bytes).unwrap(),
            What::Link(target) => symlink(target, path).unwrap(),
            What::Directory if path.is_dir() => {}
            What::Directory => fs::create_dir(path).unwrap(),
        }
        lchown(path, Some(self.owner.0), Some(self.owner.1)).unwrap();
        for (name, value) in &self.attributes {
            rustix::fs::lsetxattr(path, name, value, XattrFlags::empty()).unwrap();
        }
        if !matches!(self.what, What::Link(_)) {
            fs::set_permissions(path, fs::Permissions::from_mode(self.mode)).unwrap();
        }
    }

    /// Whether it has these bytes, and all else as one of those.
    fn holds(&self, bytes: &[u8], others: [Option<&Self>; 2]) -> bool {
        let is_as = |other: &Self| {
            (other.mode, other.owner, &other.attributes)
                == (self.mode, self.owner, &self.attributes)
        };
        self.bytes() == Some(bytes) && others.into_iter().flatten().any(is_as)
    }

    /// A file's bytes.
    pub fn bytes(&self) -> Option<&[u8]> {
        match &self.what {
            What::File(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// Without its content.
    pub fn rights(&self) -> impl Hash + use<'_> {
        (self.mode, self.owner, &self.attributes)
    }

    /// A directory as it is made.
    fn is_usual(&self) -> bool {
        self.what == What::Directory && self.mode == 0o755 && self.owner == (0, 0)
    }

    /// A few words for a report.
    fn shown(&self) -> String {
        let what = match &self.what {
            What::File(bytes) => format!("{} bytes", bytes.len()),
            What::Directory => "directory".into(),
            What::Link(target) => format!("link to {}", target.display()),
        };
        let names: Vec<&str> = self
            .attributes
            .iter()
            .map(|(name, _)| name.as_str())
            .collect();
        format!("{what} {:o} {:?} {names:?}", self.mode, self.owner)
    }
}

fn attributes(path: &Path) -> Vec<(String, Vec<u8>)> {
    let mut names = [0; ATTRIBUTE];
    let length = rustix::fs::llistxattr(path, &mut names).unwrap();
    let names = names[..length]
        .split(|b| *b == 0)
        .filter(|name| !name.is_empty());
    let value = |name: &[u8]| {
        let name = String::from_utf8(name.to_vec()).unwrap();
        let mut value = [0; ATTRIBUTE];
        let length = rustix::fs::lgetxattr(path, &name, &mut value).unwrap();
        (name, value[..length].to_vec())
    };
    let mut all: Vec<_> = names.map(value).collect();
    all.sort();
    all
}

/// What the agent keeps for itself.
pub fn is_own(path: &Path) -> bool {
    path.starts_with("var/lib/nodeprep") || path.starts_with("run/nodeprep")
}

/// A file that is being written: `.NAME.nodeprep-PID`.
fn is_temporary(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with('.') && name.contains(".nodeprep-")
}

impl State {
    /// What is neither as it was nor as it will be, nor as a step leaves it on the way; files that are
    /// being written are told apart by their names.
    pub fn torn(&self, before: &Self, after: &Self) -> Vec<String> {
        let mut bad = Vec::new();
        let steps = LazyCell::new(|| self.written());
        let known = [self, before, after].map(|state| state.files.keys());
        for path in known.into_iter().flatten() {
            let (now, old, new) = (
                self.files.get(path),
                before.files.get(path),
                after.files.get(path),
            );
            // Its mode is a step of its own: until then it has the usual one, and nothing in it.
            let is_being_made = (old.is_none() || new.is_none()) && now.is_some_and(Seen::is_usual);
            if now == old || now == new || is_being_made || is_own(path) || is_temporary(path) {
                continue;
            }
            let is_between = |(at, bytes): &(PathBuf, Vec<u8>)| {
                at == path && now.is_some_and(|now| now.holds(bytes, [old, new]))
            };
            if !steps.iter().any(is_between) {
                let now = now.map_or("missing".into(), Seen::shown);
                bad.push(format!("half done: {} ({now})", path.display()));
            }
        }
        for (name, now) in self.kernel.iter() {
            if before.kernel.get(name) != Some(now) && after.kernel.get(name) != Some(now) {
                bad.push(format!("half done: {name} = {now}"));
            }
        }
        bad.dedup();
        bad
    }

    /// What the steps in its journals leave in which file.
    fn written(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut all = Vec::new();
        for (path, seen) in self.files.iter() {
            let is_journal = path.extension().is_some_and(|kind| kind == "journal");
            let bytes = seen.bytes().filter(|_| is_journal).unwrap_or_default();
            for record in nodeprep::journal::read(bytes).0 {
                if let Record::Step { step, .. } = record
                    && let Some(path) = step.file().and_then(|path| path.strip_prefix("/").ok())
                {
                    all.push((path.to_owned(), step.content().to_vec()));
                }
            }
        }
        all
    }

    /// What another state has otherwise, the agent's own files not counted.
    pub fn differences(&self, wanted: &Self) -> Vec<String> {
        let mut bad = Vec::new();
        let paths = self.files.keys().chain(wanted.files.keys());
        for path in paths.filter(|path| !is_own(path) && !is_temporary(path)) {
            let (now, wanted) = (self.files.get(path), wanted.files.get(path));
            let shown = |seen: Option<&Seen>| seen.map_or("missing".into(), Seen::shown);
            if now != wanted {
                let (now, wanted) = (shown(now), shown(wanted));
                bad.push(format!("{}: {now}, expected {wanted}", path.display()));
            }
        }
        for (name, wanted) in wanted.kernel.iter() {
            let now = self.kernel.get(name);
            if now != Some(wanted) {
                bad.push(format!("{name}: {now:?}, expected {wanted:?}"));
            }
        }
        bad.sort();
        bad.dedup();
        bad
    }

    /// Files that are being written.
    pub fn temporary(&self) -> Vec<String> {
        let paths = self.files.keys().filter(|path| is_temporary(path));
        paths
            .map(|path| format!("left: {}", path.display()))
            .collect()
    }
}
