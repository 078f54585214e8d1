//! The things that can be done to a host, as data: whoever can print a step can promise it, and
//! whoever can store it can take it back.

mod due;
mod extraction;
mod file;
mod firewall;
mod packages;
mod shown;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use due::{Due, Probe};
pub use extraction::Extraction;
use file::content;
pub use file::{Access, File, hidden};
pub use firewall::FirewallTool;
pub use packages::{Manager, Package, Standing, Transaction, Wish};

/// Whose file a [`Step::WriteFile`] touches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Owner {
    /// A drop-in whose name the profile chose: a link found there (a mask) is replaced itself.
    Ours,
    /// A file others edit too (fstab, crictl.yaml): a link is followed to the file it names.
    Shared,
}

/// One thing done to a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum Step {
    /// Replace a file's content atomically. It is made under a name nobody else can read and has
    /// its mode and owner before it has its own name: those of `access`; without, an existing file
    /// keeps its, and a new one is root's with mode 0644. Attributes of an existing file stay.
    WriteFile {
        /// Absolute path on the host.
        path: PathBuf,
        /// The whole new content.
        #[serde(with = "content")]
        content: Vec<u8>,
        /// Whose file it is.
        owner: Owner,
        /// The mode and owner it gets.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        access: Option<Access>,
    },
    /// Make a symbolic link, replacing what has the name; a link to `/dev/null` masks.
    WriteLink {
        /// Absolute path of the link.
        path: PathBuf,
        /// What it names.
        target: PathBuf,
    },
    /// Make a file what it was, with mode, owner and attributes, replacing what has the name.
    RestoreFile {
        /// Absolute path on the host.
        path: PathBuf,
        /// What it was.
        file: File,
    },
    /// Remove a file or link.
    RemoveFile {
        /// Absolute path on the host.
        path: PathBuf,
    },
    /// Make a directory (mode 0755, root's).
    MakeDirectory {
        /// Absolute path on the host.
        path: PathBuf,
    },
    /// Remove a directory that is empty.
    RemoveDirectory {
        /// Absolute path on the host.
        path: PathBuf,
    },
    /// Give a file or directory another mode and owner, its content left alone.
    SetAccess {
        /// Absolute path on the host.
        path: PathBuf,
        /// The mode and owner it gets.
        access: Access,
    },
    /// Write a value below `/proc/sys`, or SELinux's `enforce`, and read it back.
    WriteKernel {
        /// Absolute path of the value.
        path: PathBuf,
        /// The text written, without a final newline.
        value: String,
    },
    /// Load a kernel module with the modules it needs.
    LoadModule {
        /// The module's name.
        name: String,
    },
    /// Unload a kernel module, and no other with it.
    UnloadModule {
        /// The module's name.
        name: String,
    },
    /// Stop swapping on one area.
    SwapOff {
        /// The area as `/proc/swaps` names it.
        area: PathBuf,
    },
    /// Swap on an area again.
    SwapOn {
        /// The area as `/proc/swaps` named it.
        area: PathBuf,
        /// As swapon(2) was given it; the kernel chooses negative ones itself.
        priority: i32,
    },
    /// Add rules to a running firewall, its others left as they are.
    Firewall {
        /// What is asked to.
        tool: FirewallTool,
        /// What is asked of it: firewall-cmd's arguments, the others' lines on standard input.
        change: Vec<String>,
        /// The same for taking just that back.
        undo: Vec<String>,
    },
    /// Start a unit that does not run.
    StartUnit {
        /// The unit's name.
        unit: String,
    },
    /// Stop a unit that runs.
    StopUnit {
        /// The unit's name.
        unit: String,
    },
    /// Take rules out of a running firewall that a [`Step::Firewall`] added; one that is gone
    /// already is fine.
    RemoveRules {
        /// What is asked to.
        tool: FirewallTool,
        /// The other step's `undo`.
        rules: Vec<String>,
    },
    /// Have a container runtime pull an image.
    PullImage {
        /// The image's full name.
        image: String,
        /// Where the runtime listens.
        socket: PathBuf,
        /// The file with what registries want to know, as docker's config.json has it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        credentials: Option<PathBuf>,
        /// How long one try may take, in seconds.
        timeout: u64,
        /// How often it is tried.
        tries: u32,
    },
    /// Bring images from an archive into containerd.
    ImportImages {
        /// The archive, as `ctr images export` and `docker save` write them.
        archive: PathBuf,
        /// Where containerd listens.
        socket: PathBuf,
        /// The images that are wanted of it.
        images: Vec<String>,
    },
    /// Take an image out of a container runtime that was brought into it.
    RemoveImage {
        /// The image's full name.
        image: String,
        /// Where the runtime listens.
        socket: PathBuf,
    },
    /// Finish what a package manager that was cut off has begun (`dpkg --configure -a`).
    FinishPackages {
        /// The packages, for people.
        names: Vec<String>,
        /// For how many seconds it is waited for another that uses the package manager.
        wait: u64,
    },
    /// Read the lists of the package repositories anew, where those that are there are older than
    /// what names the repositories, or lack what the transaction installs.
    RefreshPackages(Transaction),
    /// Install, remove and hold packages.
    Packages(Transaction),
    /// Take files out of an archive, all or none: each is made beside its name while the archive is
    /// read, and gets that once all of them are whole.
    Extract(Extraction),
    /// Remove a file that was taken out of an archive, if it still has its bytes.
    RemoveExtracted {
        /// Absolute path on the host.
        path: PathBuf,
        /// Its SHA-256.
        sha256: String,
    },
}

/// Which truth of the host a step changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Aspect {
    /// The running system.
    Live,
    /// What the next boot will make.
    Boot,
}

/// How well a step can be taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "undo", content = "text", rename_all = "snake_case")]
pub enum Undo {
    /// The prior state comes back, to the byte.
    Exact,
    /// Something close comes back; the text says what may not.
    BestEffort(String),
}

impl Step {
    /// A step that gives a file its content and leaves its mode and owner as they are.
    #[must_use]
    pub fn write(path: impl AsRef<Path>, content: impl Into<Vec<u8>>, owner: Owner) -> Self {
        Self::WriteFile {
            path: path.as_ref().to_owned(),
            content: content.into(),
            owner,
            access: None,
        }
    }

    /// How well this step can be taken back.
    #[must_use]
    pub fn undo(&self) -> Undo {
        match self {
            Self::WriteFile { .. }
            | Self::WriteLink { .. }
            | Self::RestoreFile { .. }
            | Self::RemoveFile { .. }
            | Self::MakeDirectory { .. }
            | Self::RemoveDirectory { .. }
            | Self::SetAccess { .. }
            | Self::WriteKernel { .. }
            | Self::UnloadModule { .. }
            | Self::SwapOn { .. } => Undo::Exact,
            Self::LoadModule { name } => {
                Undo::BestEffort(format!("{name} stays loaded while anything uses it"))
            }
            Self::SwapOff { .. } => Undo::BestEffort(
                "the area is switched on again, what was swapped out stays in memory".into(),
            ),
            Self::Firewall { .. } => Undo::BestEffort(
                "what was added is taken out again, if it is still there; the others stay".into(),
            ),
            Self::StartUnit { unit } => {
                Undo::BestEffort(format!("{unit} is stopped, what it did meanwhile stays"))
            }
            Self::StopUnit { unit } => {
                Undo::BestEffort(format!("{unit} is started anew, with the files of then"))
            }
            Self::PullImage { .. } | Self::ImportImages { .. } => Undo::BestEffort(
                "the image is removed; what runs of it goes on, until it is to be started anew"
                    .into(),
            ),
            Self::RemoveImage { .. } => {
                Undo::BestEffort("the image is brought by the next apply that wants it".into())
            }
            Self::RemoveRules { .. } => {
                Undo::BestEffort("the rules are added by the next apply that wants them".into())
            }
            Self::FinishPackages { .. } => {
                Undo::BestEffort("what was half installed stays wholly installed".into())
            }
            Self::RefreshPackages(_) => {
                Undo::BestEffort("lists of packages are no state of the host: they stay".into())
            }
            Self::Packages(_) => Undo::BestEffort(
                "it is installed again at its old version, if a repository still has that, or \
                 removed with its configuration files and data left"
                    .into(),
            ),
            Self::Extract(_) => Undo::BestEffort(
                "a file that was not there is removed; one that was replaced does not come back"
                    .into(),
            ),
            Self::RemoveExtracted { .. } => {
                Undo::BestEffort("the file is brought by the next apply that wants it".into())
            }
        }
    }

    /// Starts or stops a unit.
    #[must_use]
    pub fn switch(unit: &str, on: bool) -> Self {
        let unit = unit.to_owned();
        match on {
            true => Self::StartUnit { unit },
            false => Self::StopUnit { unit },
        }
    }

    /// The bytes it leaves in a file.
    #[must_use]
    pub fn content(&self) -> &[u8] {
        match self {
            Self::WriteFile { content, .. } => content,
            Self::RestoreFile { file, .. } => &file.content,
            _ => &[],
        }
    }

    /// Puts what [`hidden`] says in the place of a file's content.
    pub fn hide_content(&mut self) {
        if let Self::WriteFile { content, .. }
        | Self::RestoreFile {
            file: File { content, .. },
            ..
        } = self
        {
            *content = hidden(content);
        }
    }

    /// The file system path the step changes, where it is a file, link or directory.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::WriteFile { path, .. }
            | Self::WriteLink { path, .. }
            | Self::RestoreFile { path, .. }
            | Self::RemoveFile { path }
            | Self::MakeDirectory { path }
            | Self::RemoveDirectory { path }
            | Self::SetAccess { path, .. } => Some(path),
            Self::WriteKernel { .. }
            | Self::LoadModule { .. }
            | Self::UnloadModule { .. }
            | Self::SwapOff { .. }
            | Self::SwapOn { .. }
            | Self::StartUnit { .. }
            | Self::StopUnit { .. }
            | Self::Firewall { .. }
            | Self::RemoveRules { .. }
            | Self::PullImage { .. }
            | Self::ImportImages { .. }
            | Self::RemoveImage { .. }
            | Self::FinishPackages { .. }
            | Self::RefreshPackages(_)
            | Self::Packages(_)
            | Self::Extract(_)
            | Self::RemoveExtracted { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::firewall::Engine;

    #[test]
    fn rules_for_a_running_firewall_are_kept_and_shown() {
        let lines = |rule: &str| ["*filter", rule, "COMMIT"].map(str::to_owned).into();
        let step = Step::Firewall {
            tool: FirewallTool::Iptables {
                engine: Engine::Nft,
                ipv6: true,
            },
            change: lines("-A INPUT -p tcp --dport 80 -j ACCEPT"),
            undo: lines("-D INPUT -p tcp --dport 80 -j ACCEPT"),
        };
        assert_eq!(
            step.to_string(),
            "ip6tables-restore: -A INPUT -p tcp --dport 80 -j ACCEPT"
        );
        let text = serde_json::to_string(&step).unwrap();
        assert_eq!(serde_json::from_str::<Step>(&text).unwrap(), step, "{text}");
        let plain = Step::Firewall {
            tool: FirewallTool::FirewallCmd,
            change: vec!["--zone=public".into(), "--add-port=80/tcp".into()],
            undo: Vec::new(),
        };
        assert_eq!(
            plain.to_string(),
            "firewall-cmd --zone=public --add-port=80/tcp"
        );
        let text = serde_json::to_string(&plain).unwrap();
        assert_eq!(
            serde_json::from_str::<Step>(&text).unwrap(),
            plain,
            "{text}"
        );
    }
}
