//! What a run that was cut off left beside a file: half of ours, the old file that ours has replaced,
//! or, where somebody saved the file in that very moment, what they saved.

use nix::unistd::UnlinkatFlags;
use rustix::fs::RenameFlags;

use super::exchange::{Exchange, there};
use super::write::explain;
use super::{Host, Prior};
use crate::error::{Result, trouble};
use crate::step::Step;

impl Host {
    /// Clears up after a step in which the run of `process` was cut off.
    ///
    /// # Errors
    /// Where what is there is neither ours nor the old file and can't be given its name back.
    pub fn recover(&self, step: &Step, prior: &Prior, process: &str) -> Result<()> {
        let Some(path) = step.file() else {
            return Ok(());
        };
        // A shared file was replaced where its link led then.
        let place = match prior {
            Prior::File { path, .. } => path,
            _ => path,
        };
        for path in [place.to_owned(), self.follow(path)?] {
            let Some(dir) = path.parent() else { continue };
            if self.is_directory(dir)? {
                clear(&self.beside_for(&path, process)?, step, prior)?;
            }
        }
        Ok(())
    }
}

fn clear(at: &Exchange, step: &Step, prior: &Prior) -> Result<()> {
    let look = |name| there(&at.dir, name, &at.path).map_err(|error| explain(&at.path, &error));
    let left = look(&at.temporary)?;
    let now = look(&at.name)?;
    if left == Prior::Absent {
        return Ok(());
    }
    let is_theirs = !(left == *prior || is_ours(&left, step));
    match now {
        _ if !is_theirs => {}
        Prior::Absent => return rename(at, RenameFlags::NOREPLACE),
        _ if is_ours(&now, step) => rename(at, RenameFlags::EXCHANGE)?,
        _ => {
            return Err(trouble!(
                "{}: an earlier run was cut off while someone else changed it; what they left is in \
                 {}: compare the two and remove that one",
                at.path.display(),
                at.path.with_file_name(&at.temporary).display()
            ));
        }
    }
    nix::unistd::unlinkat(&at.dir, &*at.temporary, UnlinkatFlags::NoRemoveDir)
        .map_err(|error| explain(&at.path, &error.into()))
}

fn rename(at: &Exchange, flags: RenameFlags) -> Result<()> {
    rustix::fs::renameat_with(&at.dir, &*at.temporary, &at.dir, &*at.name, flags)
        .map_err(|error| explain(&at.path, &error.into()))
}

/// Whether this is what the step makes, or the begin of it.
fn is_ours(found: &Prior, step: &Step) -> bool {
    match (found, step) {
        (Prior::Link { target }, Step::WriteLink { target: ours, .. }) => target == ours,
        (Prior::File { file, .. }, Step::WriteFile { .. } | Step::RestoreFile { .. }) => {
            step.content().starts_with(&file.content)
        }
        _ => false,
    }
}
