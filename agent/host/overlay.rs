//! A host as the steps planned so far would leave it, for files and loaded modules and no more:
//! enough for a dry run to see that a sysctl key appears once its module is loaded.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::{Host, Kind};
use crate::error::Result;
use crate::step::{Access, Step};

#[derive(Debug)]
enum Planned {
    File(Rc<[u8]>, Access),
    Link(PathBuf),
    Directory,
    Nothing,
}

/// Files and modules that planned steps will have made.
#[derive(Debug, Default)]
pub struct Overlay {
    files: BTreeMap<PathBuf, Planned>,
    modules: BTreeSet<String>,
    packages: BTreeSet<String>,
    /// Units that planned steps will have stopped.
    stopped: BTreeSet<String>,
}

impl Overlay {
    pub(super) fn file(&self, path: &Path) -> Option<Option<Rc<[u8]>>> {
        match self.files.get(path)? {
            Planned::File(bytes, _) => Some(Some(bytes.clone())),
            // A mask reads as empty; any other is followed by who reads it.
            Planned::Link(target) => (target == Path::new("/dev/null")).then(|| Some([].into())),
            Planned::Directory => None,
            Planned::Nothing => Some(None),
        }
    }

    pub(super) fn link(&self, path: &Path) -> Option<Option<PathBuf>> {
        match self.files.get(path)? {
            Planned::Link(target) => Some(Some(target.clone())),
            Planned::File(..) | Planned::Directory | Planned::Nothing => Some(None),
        }
    }

    pub(super) fn access(&self, path: &Path) -> Option<Option<Access>> {
        match self.files.get(path)? {
            Planned::File(_, access) => Some(Some(*access)),
            Planned::Nothing => Some(None),
            Planned::Link(_) | Planned::Directory => None,
        }
    }

    pub(super) fn kind(&self, path: &Path) -> Option<Option<Kind>> {
        Some(match self.files.get(path)? {
            Planned::File(..) => Some(Kind::File),
            Planned::Link(_) => Some(Kind::Link),
            Planned::Directory => Some(Kind::Directory),
            Planned::Nothing => None,
        })
    }

    pub(super) fn names_in(&self, dir: &Path, names: &Rc<[String]>) -> Rc<[String]> {
        let planned: Vec<(&str, bool)> = self
            .files
            .iter()
            .filter(|(path, _)| path.parent() == Some(dir))
            .filter_map(|(path, what)| {
                Some((
                    path.file_name()?.to_str()?,
                    !matches!(what, Planned::Nothing),
                ))
            })
            .collect();
        if planned.is_empty() {
            return names.clone();
        }
        let untouched = names
            .iter()
            .filter(|name| planned.iter().all(|(other, _)| other != name));
        let there = planned
            .iter()
            .filter(|(_, there)| *there)
            .map(|(name, _)| (*name).to_owned());
        let mut all: Vec<String> = untouched.cloned().chain(there).collect();
        all.sort_unstable();
        all.into()
    }
}

impl Host {
    /// Lets later questions see the host as `step` would leave it.
    ///
    /// # Errors
    /// Where a shared file's link cannot be looked up.
    pub fn lay_over(&mut self, step: &Step) -> Result<()> {
        let files = &mut self.overlay.files;
        match step {
            Step::WriteFile {
                path,
                content,
                access,
                ..
            } => {
                // Where we may not look, the step will say so.
                let kept = self.access(path).ok().flatten();
                let access = access.or(kept).unwrap_or(Access::NEW_FILE);
                let file = Planned::File(content.as_slice().into(), access);
                self.overlay.files.insert(path.clone(), file);
            }
            Step::RestoreFile { path, file } => {
                let (content, access) = (file.content.as_slice().into(), file.access());
                files.insert(path.clone(), Planned::File(content, access));
            }
            Step::WriteLink { path, target } => {
                files.insert(path.clone(), Planned::Link(target.clone()));
            }
            Step::MakeDirectory { path } => {
                files.insert(path.clone(), Planned::Directory);
            }
            Step::RemoveFile { path }
            | Step::RemoveDirectory { path }
            | Step::RemoveExtracted { path, .. } => {
                files.insert(path.clone(), Planned::Nothing);
            }
            Step::LoadModule { name } => {
                let names = crate::boot::modules::with_dependencies(self, name)?;
                self.overlay.modules.extend(names);
            }
            Step::Packages(transaction) => {
                let names = transaction.install.iter().map(|wish| wish.name.clone());
                self.overlay.packages.extend(names);
            }
            Step::Extract(extraction) => {
                // What is in it is not known yet, and no item reads programs.
                let file = |path| (path, Planned::File([].into(), Access::NEW_FILE));
                files.extend(extraction.paths().map(file));
            }
            Step::StopUnit { unit } => {
                self.overlay.stopped.insert(unit.clone());
            }
            Step::WriteKernel { .. }
            | Step::UnloadModule { .. }
            | Step::SetAccess { .. }
            | Step::SwapOff { .. }
            | Step::SwapOn { .. }
            | Step::StartUnit { .. }
            | Step::Firewall { .. }
            | Step::RemoveRules { .. }
            | Step::PullImage { .. }
            | Step::ImportImages { .. }
            | Step::RemoveImage { .. }
            | Step::FinishPackages { .. }
            | Step::RefreshPackages(_) => {}
        }
        Ok(())
    }

    /// Whether a planned step will have stopped this unit: what it made of the running system is then
    /// not known before.
    #[must_use]
    pub fn will_stop(&self, unit: &str) -> bool {
        self.overlay.stopped.contains(unit)
    }

    /// Whether a planned step will have loaded this module.
    #[must_use]
    pub fn will_load(&self, module: &str) -> bool {
        self.overlay.modules.contains(module)
    }

    /// Whether a planned step will have installed this package: what it brings is not known yet.
    #[must_use]
    pub fn will_install(&self, package: &str) -> bool {
        self.overlay.packages.contains(package)
    }
}
