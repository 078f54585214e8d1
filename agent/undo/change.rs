//! What a series of runs changed on a subject: what was there before the first of them, and what the
//! last one left.

use std::path::{Path, PathBuf};

use crate::boot::enablement::TRIGGERS;
use crate::host::Prior;
use crate::items::swap::Area;
use crate::step::{
    Access, Extraction, File, FirewallTool, Manager, Package, Step, Transaction, Undo,
};

/// A change that can be taken back.
#[derive(Debug, Clone)]
pub struct Change {
    /// The item it belongs to.
    pub item: &'static str,
    /// The item's subjects it served.
    pub serves: Vec<String>,
    /// For each of them, the profile of the run that last served it.
    pub profiles: Vec<String>,
    /// For each of them, the item it is of: two may have lines in one file.
    pub items: Vec<&'static str>,
    /// The change.
    pub what: What,
}

/// What was changed, from what to what.
#[derive(Debug, Clone)]
pub enum What {
    /// A file, link or directory.
    Path {
        /// Where.
        path: PathBuf,
        /// What was there.
        before: Prior,
        /// What our last step there left.
        left: Left,
        /// What it found, where it was cut off or failed: that may be there still.
        or: Option<Left>,
    },
    /// Mode and owner of a file or directory.
    Access {
        /// Where.
        path: PathBuf,
        /// As found.
        before: Access,
        /// As given.
        left: Access,
        /// As found by a step that was cut off.
        or: Option<Access>,
    },
    /// A kernel value.
    Value {
        /// Where.
        path: PathBuf,
        /// As read.
        before: String,
        /// As written.
        left: String,
        /// As found by a step that was cut off.
        or: Option<String>,
    },
    /// A module that was not loaded.
    Module(String),
    /// An area that was swapped on.
    Swap(Area),
    /// A unit that was started or stopped.
    Unit {
        /// Its name.
        name: String,
        /// Whether it ran.
        before: bool,
        /// Whether it was left running.
        left: bool,
    },
    /// An image that a container runtime did not have, and where that listens.
    Image(String, PathBuf),
    /// Rules that were added to a running firewall: what takes them out.
    Rules(FirewallTool, Vec<String>),
    /// A package that came, went, changed or was held.
    Package {
        /// Whose it is.
        manager: Manager,
        /// As it was, and as it was left.
        before: Package,
        /// For how long it is waited for another that uses the package manager.
        wait: u64,
    },
    /// A file that was taken out of an archive.
    Extracted {
        /// Where.
        path: PathBuf,
        /// The SHA-256 of what was there; none where nothing was.
        before: Option<String>,
    },
}

/// What a step leaves at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Left {
    /// A file with these bytes; with this mode and owner, or those of the one that was there, if any.
    File(Vec<u8>, Option<Access>),
    /// A file as it had been once.
    Restored(File),
    /// A link.
    Link(PathBuf),
    /// A directory.
    Directory,
    /// Nothing.
    Nothing,
}

impl Change {
    /// The subjects of an item that were last served for a profile.
    pub fn served(&self, item: &str, profile: &str) -> impl Iterator<Item = &String> {
        let by = self.items.iter().zip(&self.profiles);
        let all = self.serves.iter().zip(by);
        all.filter(move |(_, (of, by))| **of == item && *by == profile)
            .map(|(subject, _)| subject)
    }
}

impl What {
    /// When it is taken back: rules that would let nobody in any more first, files before what
    /// runs by them, modules behind the values they bring.
    #[must_use]
    pub fn turn(&self) -> u8 {
        match self {
            Self::Path { left, or, .. }
                if [Some(left), or.as_ref()].contains(&Some(&Left::Directory)) =>
            {
                1
            }
            Self::Path { .. } | Self::Access { .. } | Self::Extracted { .. } => 0,
            Self::Value { .. } => 2,
            Self::Rules(..) => 3,
            Self::Swap(_) => 4,
            // By then their files are what they were. A socket can't be started behind its service
            // (systemd.socket(5)), and would start one again that is stopped before it.
            Self::Unit { name, .. } if TRIGGERS.iter().any(|kind| name.ends_with(kind)) => 5,
            Self::Unit { .. } => 6,
            Self::Module(_) => 7,
            Self::Image(..) => 8,
            Self::Package { .. } => 9,
        }
    }

    /// What it is, for people.
    #[must_use]
    pub fn subject(&self) -> String {
        match self {
            Self::Path { path, .. } | Self::Value { path, .. } | Self::Extracted { path, .. } => {
                path.display().to_string()
            }
            Self::Access { path, .. } => format!("mode of {}", path.display()),
            Self::Module(name) => format!("module {name}"),
            Self::Unit { name, .. } => format!("unit {name}"),
            Self::Package { before, .. } => format!("package {}", before.name),
            Self::Swap(area) => area.path.display().to_string(),
            Self::Image(name, _) => format!("image {name}"),
            Self::Rules(tool, rules) => Step::RemoveRules {
                tool: *tool,
                rules: rules.clone(),
            }
            .to_string(),
        }
    }

    /// A step that brings an image, whichever did.
    #[must_use]
    pub fn image_step(image: String, socket: PathBuf) -> Step {
        Step::PullImage {
            image,
            socket,
            credentials: None,
            timeout: 0,
            tries: 0,
        }
    }

    /// The step that takes a file out of an archive, whichever did.
    #[must_use]
    pub fn extract_step(path: &Path) -> Step {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        Step::Extract(Extraction {
            archive: PathBuf::new(),
            sha256: String::new(),
            into: path.parent().unwrap_or(path).to_owned(),
            strip: 0,
            members: [name.into_owned()].into(),
        })
    }

    /// How well it can be taken back.
    #[must_use]
    pub fn undo(&self) -> Undo {
        match self {
            Self::Path { .. } | Self::Access { .. } | Self::Value { .. } => Undo::Exact,
            Self::Module(name) => Step::LoadModule { name: name.clone() }.undo(),
            Self::Package { manager, wait, .. } => {
                Step::Packages(Transaction::new(*manager, *wait)).undo()
            }
            Self::Extracted { before: None, .. } => Undo::Exact,
            Self::Extracted { path, .. } => Self::extract_step(path).undo(),
            Self::Swap(area) => Step::SwapOff {
                area: area.path.clone(),
            }
            .undo(),
            Self::Unit { name, left, .. } => Step::switch(name, *left).undo(),
            Self::Image(image, socket) => Self::image_step(image.clone(), socket.clone()).undo(),
            Self::Rules(tool, _) => Step::Firewall {
                tool: *tool,
                change: Vec::new(),
                undo: Vec::new(),
            }
            .undo(),
        }
    }
}

impl Left {
    /// Whether this is what is there: someone else may have changed it since.
    #[must_use]
    pub fn is_there(&self, now: &Prior, before: &Prior) -> bool {
        match (self, now) {
            (Self::File(content, access), Prior::File { file, .. }) => {
                let rights = match (access, before) {
                    (Some(access), _) => file.access() == *access,
                    (None, Prior::File { file: old, .. }) => file.access() == old.access(),
                    (None, _) => true,
                };
                rights && *content == file.content
            }
            (Self::Restored(left), Prior::File { file, .. }) => is_same(left, file),
            (Self::Nothing, Prior::Absent) | (Self::Directory, Prior::Directory) => true,
            (Self::Link(target), Prior::Link { target: now }) => target == now,
            _ => false,
        }
    }
}

/// Attributes are left out: a relabelled file system is nobody's change of a file.
pub fn is_same(a: &File, b: &File) -> bool {
    a.content == b.content && a.access() == b.access()
}
