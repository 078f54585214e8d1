//! The one place where steps are done. What was there before is read first, for the journal.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::fstat;
use nix::unistd::UnlinkatFlags;
use procfs::FromRead;
use serde::{Deserialize, Serialize};

use super::exchange::there;
use super::files::access_of;
use super::{Host, Kind, Origin};
use crate::error::{Result, trouble};
use crate::items::swap::{self, Area};
use crate::items::sysctl::same_value;
use crate::step::{Access, Due, File, Owner, Package, Step};

/// What a step is about to change, complete enough to bring it back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "prior", rename_all = "snake_case")]
pub enum Prior {
    /// There was nothing.
    Absent,
    /// A regular file.
    File {
        /// The file itself, where the step's path was a link to it.
        path: PathBuf,
        /// The file.
        #[serde(flatten)]
        file: File,
    },
    /// A symbolic link.
    Link {
        /// What it named.
        target: PathBuf,
    },
    /// A directory.
    Directory,
    /// Mode and owner of a file or directory.
    Access(Access),
    /// A kernel value.
    Value {
        /// As read, without white space at its end.
        text: String,
    },
    /// Modules of the running kernel.
    Modules {
        /// Which were not loaded, of the one that is wanted and those it needs, in load order.
        missing: Vec<String>,
    },
    /// A swap area in use.
    Swap(Area),
    /// A unit.
    Unit {
        /// Whether it ran.
        active: bool,
    },
    /// Images of a container runtime.
    Images {
        /// Which it did not have, of those that are wanted.
        missing: Vec<String>,
    },
    /// The packages a transaction touches.
    Packages {
        /// As they were.
        packages: Vec<Package>,
    },
    /// The files that are to be taken out of an archive.
    Extracted {
        /// The SHA-256 of what was there; none where nothing was.
        before: BTreeMap<PathBuf, Option<String>>,
    },
}

impl Prior {
    /// The bytes of a file that was there, else none.
    #[must_use]
    pub fn content(&self) -> &[u8] {
        match self {
            Self::File { file, .. } => &file.content,
            _ => &[],
        }
    }
}

impl Host {
    /// What `step` is about to change.
    ///
    /// # Errors
    /// Where it cannot be read; then the step must not be done.
    pub fn prior(&self, step: &Step) -> Result<Prior> {
        // The step before may have changed what was read.
        self.read.borrow_mut().clear();
        *self.rpm.borrow_mut() = None;
        match step {
            Step::WriteFile {
                path,
                owner: Owner::Shared,
                ..
            } => self.prior_file(&self.follow(path)?),
            Step::WriteFile { path, .. }
            | Step::WriteLink { path, .. }
            | Step::RestoreFile { path, .. }
            | Step::RemoveFile { path }
            | Step::MakeDirectory { path }
            | Step::RemoveDirectory { path } => self.prior_file(path),
            Step::SetAccess { path, .. } => self.prior_access(path),
            Step::WriteKernel { path, .. } => Ok(match self.text(path)? {
                Some(text) => Prior::Value {
                    text: text.trim_end().to_owned(),
                },
                None => Prior::Absent,
            }),
            Step::LoadModule { name } => {
                let mut missing = Vec::new();
                for name in crate::boot::modules::with_dependencies(self, name)? {
                    if !self.is_loaded(&name)? {
                        missing.push(name);
                    }
                }
                Ok(Prior::Modules { missing })
            }
            Step::UnloadModule { .. } => Ok(Prior::Modules {
                missing: Vec::new(),
            }),
            Step::SwapOff { area } | Step::SwapOn { area, .. } => {
                let areas = swap::areas(self)?;
                Ok(areas
                    .into_iter()
                    .find(|a| a.path == *area)
                    .map_or(Prior::Absent, Prior::Swap))
            }
            Step::StartUnit { unit } | Step::StopUnit { unit } => {
                let active = self.running()?.unit_state(unit)?.is_active();
                Ok(Prior::Unit { active })
            }
            // Only what is not there is added, and the step itself knows how to take that back.
            Step::Firewall { .. } | Step::RemoveRules { .. } | Step::RemoveImage { .. } => {
                Ok(Prior::Absent)
            }
            Step::PullImage { image, socket, .. } => self.missing_images(socket, [image]),
            Step::ImportImages { images, socket, .. } => self.missing_images(socket, images),
            Step::Packages(transaction) => Ok(Prior::Packages {
                packages: self.running()?.packages_before(transaction)?,
            }),
            Step::Extract(extraction) => self.prior_extracted(extraction),
            // These leave nothing that could be taken back.
            Step::RemoveExtracted { .. }
            | Step::FinishPackages { .. }
            | Step::RefreshPackages(_) => Ok(Prior::Absent),
        }
    }

    /// Whether a step's file has, or gets, a mode that lets not everyone read it.
    #[must_use]
    pub fn is_private(&self, step: &Step) -> bool {
        let now = |path: &Path| match self.open(path, OFlag::O_PATH).and_then(fstat) {
            Ok(stat) => access_of(&stat).is_private(),
            // A new file is for everyone; where we can't tell, nothing is told.
            Err(error) => !matches!(error, Errno::ENOENT | Errno::ENOTDIR),
        };
        match step {
            Step::RestoreFile { path, file } => file.access().is_private() || now(path),
            Step::WriteFile { path, access, .. } => {
                access.is_some_and(Access::is_private) || now(path)
            }
            _ => false,
        }
    }

    /// What is at a path now whatever is planned, links not followed.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn found(&self, path: &Path) -> Result<Prior> {
        self.prior_file(path)
    }

    /// Does one step, if what it changes still is what [`Host::prior`] saw. What it changed is seen by
    /// this host only after [`Host::refresh`].
    ///
    /// # Errors
    /// Where someone else was quicker, or the kernel, the file system or a program refuses; files are
    /// then as they were.
    pub fn perform(&self, step: &Step, prior: &Prior) -> Result<()> {
        tracing::info!("{step}");
        match step {
            Step::WriteFile {
                path,
                content,
                owner,
                access,
            } => self.replace(path, content, *owner, *access, prior),
            Step::WriteLink { path, target } => self.replace_link(path, target, prior),
            Step::RestoreFile { path, file } => self.restore(path, file, prior),
            Step::RemoveFile { path } => self.take_away(path, prior),
            Step::MakeDirectory { path } => self.make_directory(path),
            Step::RemoveDirectory { path } => self.remove(path, UnlinkatFlags::RemoveDir),
            Step::SetAccess { path, access } => self.set_access(path, *access, prior),
            Step::WriteKernel { path, value } => self.running()?.write_kernel(path, value),
            Step::LoadModule { name } => self.running()?.run(&["modprobe", name]),
            Step::UnloadModule { name } => self.running()?.unload(name),
            Step::SwapOff { area } => self.running()?.swap_off(area),
            Step::SwapOn { area, priority } => self.running()?.swap_on(area, *priority),
            Step::StartUnit { unit } => self.running()?.start(unit),
            Step::StopUnit { unit } => self.running()?.run(&["systemctl", "stop", unit]),
            Step::Firewall { tool, change, .. } => self.running()?.change_rules(*tool, change),
            Step::RemoveRules { tool, rules } => self.running()?.remove_rules(*tool, rules),
            Step::PullImage { .. } | Step::ImportImages { .. } | Step::RemoveImage { .. } => {
                self.running()?.change_images(step)
            }
            Step::FinishPackages { wait, .. } => self.running()?.finish_packages(*wait),
            Step::RefreshPackages(transaction) => self.running()?.refresh_lists(transaction),
            Step::Packages(transaction) => self.running()?.transact(transaction),
            Step::Extract(extraction) => self.extract(extraction, prior),
            Step::RemoveExtracted { path, sha256 } => self.remove_extracted(path, sha256),
        }
    }

    /// Does what is due once.
    ///
    /// # Errors
    /// Where systemd refuses or does not answer in time.
    pub fn settle(&self, due: &Due) -> Result<()> {
        tracing::info!("{due}");
        if self.origin == Origin::Captured {
            // Nothing runs in a tree that could be restarted, and nothing runs with old files.
            return Ok(());
        }
        match due {
            Due::DaemonReload => self.running()?.run(&["systemctl", "daemon-reload"]),
            Due::Tmpfiles { prefix } => {
                let prefix = format!("--prefix={}", prefix.display());
                self.running()?
                    .run(&["systemd-tmpfiles", "--create", &prefix])
            }
            // By this name since systemd 218 at least, and in all later ones (systemctl(1)).
            Due::Reload { unit } => self
                .running()?
                .run(&["systemctl", "reload-or-restart", unit]),
            Due::Restart { unit, ready } => self.running()?.restart(unit, ready.as_ref()),
            Due::Stop { unit } => self.running()?.run(&["systemctl", "stop", unit]),
            Due::HardwareClock => self.running()?.set_hardware_clock(),
            // It ends once that is done; where it was done before it does nothing.
            Due::FlushJournal => self.running()?.run(&["journalctl", "--flush"]),
        }
    }

    /// This host, if its running system is the one this program runs on.
    fn running(&self) -> Result<&Self> {
        match self.origin {
            Origin::Live => Ok(self),
            Origin::Captured | Origin::Image => {
                Err(trouble!("a tree has no running system to change"))
            }
        }
    }

    fn prior_file(&self, path: &Path) -> Result<Prior> {
        match self.kind_there(path)? {
            None => return Ok(Prior::Absent),
            Some(Kind::Directory) => return Ok(Prior::Directory),
            Some(Kind::Link) => {
                let target = self.link_there(path)?.unwrap_or_default();
                return Ok(Prior::Link { target });
            }
            Some(Kind::File | Kind::Other) => {}
        }
        self.beside(path)
            .map_err(std::io::Error::from)
            .and_then(|(dir, name)| there(&dir, &name, path))
            .map_err(|error| trouble!("{}: {error}", path.display()))
    }

    fn write_kernel(&self, path: &Path, value: &str) -> Result<()> {
        let shown = path.display();
        let refused = |error: std::io::Error| match error.raw_os_error().map(Errno::from_raw) {
            Some(Errno::EROFS) => {
                trouble!("{shown} is read-only here (a container?): set it on the machine itself")
            }
            Some(Errno::EINVAL) => {
                trouble!("{shown}: the kernel refuses \"{value}\": ask for a value it takes")
            }
            Some(Errno::ENOENT) => trouble!("{shown}: this kernel has no such key"),
            _ => trouble!("{shown}: writing \"{value}\": {error}"),
        };
        // O_NOFOLLOW and openat2 are not needed: nothing below /proc/sys or in selinuxfs is a link or writable by others.
        let fd = self
            .open(path, OFlag::O_WRONLY | OFlag::O_NOFOLLOW)
            .map_err(|e| refused(e.into()))?;
        std::fs::File::from(fd)
            .write_all(value.as_bytes())
            .map_err(refused)?;
        let now = super::files::read_kernel(self, path).map_err(refused)?;
        if same_value(&now, value) {
            return Ok(());
        }
        Err(trouble!(
            "{shown}: the kernel keeps \"{}\" where \"{value}\" was written: ask for a value it takes",
            now.trim_end()
        ))
    }

    /// Whether the running kernel has a module, built in or loaded, under this name.
    ///
    /// # Errors
    /// Where it cannot be looked up.
    pub fn is_loaded(&self, module: &str) -> Result<bool> {
        self.is_directory(&Path::new("/sys/module").join(module.replace('-', "_")))
    }

    /// delete_module(2) for this one alone: modprobe -r would take those with it that others loaded.
    fn unload(&self, name: &str) -> Result<()> {
        let refused = |error: Errno| match error {
            Errno::EAGAIN | Errno::EBUSY => {
                trouble!("{name} is in use: it stays loaded until the next boot")
            }
            _ => trouble!("unloading {name}: {}", error.desc()),
        };
        let text = std::ffi::CString::new(name.replace('-', "_"))
            .map_err(|_| trouble!("\"{name}\" is no module's name"))?;
        match nix::kmod::delete_module(&text, nix::kmod::DeleteModuleFlags::O_NONBLOCK) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(error) => Err(refused(error)),
        }
    }

    fn swap_on(&self, path: &Path, priority: i32) -> Result<()> {
        super::syscall::swapon(path, priority)
            .map_err(|error| trouble!("swapon {}: {error}", path.display()))
    }

    /// swapoff(2), refused where what is swapped out does not fit into memory.
    fn swap_off(&self, path: &Path) -> Result<()> {
        let Some(area) = swap::areas(self)?
            .into_iter()
            .find(|area| area.path == path)
        else {
            return Ok(());
        };
        let meminfo = self.bytes(Path::new("/proc/meminfo"))?.unwrap_or_default();
        let meminfo = procfs::Meminfo::from_read(&*meminfo)
            .map_err(|error| trouble!("/proc/meminfo: {error}"))?;
        let available = meminfo.mem_available.unwrap_or(meminfo.mem_free) / 1024;
        if available < area.used_kib {
            return Err(trouble!(
                "{}: {} MiB are swapped out and {} MiB of memory are free: stop something first",
                path.display(),
                area.used_kib / 1024,
                available / 1024
            ));
        }
        super::syscall::swapoff(path)
            .map_err(|error| trouble!("swapoff {}: {error}", path.display()))
    }
}
