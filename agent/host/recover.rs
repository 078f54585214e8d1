//! What a run that was cut off left beside a file: half of ours, the old file that ours has replaced,
//! or, where somebody saved the file in that very moment, what they saved.

use std::path::Path;

use nix::unistd::UnlinkatFlags;
use rustix::fs::RenameFlags;

use super::exchange::{Exchange, there};
use super::write::{explain, sync};
use super::{Host, Prior};
use crate::error::{Result, trouble};
use crate::step::{Owner, Step};

impl Host {
    /// Clears up after a step in which the run of `process` was cut off.
    ///
    /// # Errors
    /// Where what is there is neither ours nor the old file and can't be given its name back.
    pub fn recover(&self, step: &Step, prior: &Prior, process: &str) -> Result<()> {
        if let Step::Extract(extraction) = step {
            return self.clear_extraction(extraction, process);
        }
        let Some(path) = step.file() else {
            return Ok(());
        };
        // A shared file was replaced where its link led then.
        let place = match prior {
            Prior::File { path, .. } => path,
            _ => path,
        };
        // Where its directory is gone nothing is left beside it.
        let is_gone = |path: &Path| Ok(!self.is_directory(path.parent().unwrap_or(path))?);
        if !is_gone(place)? {
            clear(&self.beside_for(place, process)?, step, prior)?;
        }
        // Any other link is replaced itself: what a mask names need not be there.
        let is_shared = matches!(step, Step::WriteFile { owner, .. } if *owner == Owner::Shared);
        if is_shared && !is_gone(path)? {
            let path = self.follow(path)?;
            if path != place && !is_gone(&path)? {
                clear(&self.beside_for(&path, process)?, step, prior)?;
            }
        }
        Ok(())
    }
}

fn clear(at: &Exchange, step: &Step, prior: &Prior) -> Result<()> {
    let look = |name| there(&at.dir, name, &at.path).map_err(|error| explain(&at.path, &error));
    let left = look(&at.temporary)?;
    if left == Prior::Absent {
        return Ok(());
    }
    if left == *prior || is_ours(&left, step) {
        return remove(at);
    }
    match look(&at.name)? {
        // The names were not exchanged: it is ours, damaged by a power cut.
        now if now == *prior => remove(at),
        Prior::Absent => rename(at, RenameFlags::NOREPLACE),
        now if is_ours(&now, step) => {
            rename(at, RenameFlags::EXCHANGE)?;
            remove(at)
        }
        _ => Err(trouble!(
            "{}: an earlier run was cut off while someone else changed it; what they left is in {}: \
             compare the two and remove that one",
            at.path.display(),
            at.path.with_file_name(&at.temporary).display()
        )),
    }
}

fn remove(at: &Exchange) -> Result<()> {
    nix::unistd::unlinkat(&at.dir, &*at.temporary, UnlinkatFlags::NoRemoveDir)
        .map_err(std::io::Error::from)
        .and_then(|()| sync(&at.dir))
        .map_err(|error| explain(&at.path, &error))
}

fn rename(at: &Exchange, flags: RenameFlags) -> Result<()> {
    rustix::fs::renameat_with(&at.dir, &*at.temporary, &at.dir, &*at.name, flags)
        .map_err(std::io::Error::from)
        .and_then(|()| sync(&at.dir))
        .map_err(|error| explain(&at.path, &error))
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

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// What was there when the run began, what has the name and what the temporary name, and what
    /// has the name afterwards.
    type Case = (
        Option<&'static str>,
        Option<&'static str>,
        &'static str,
        Option<&'static str>,
    );

    fn recovers(step: &Step, (before, now, left, after): Case) {
        let top = tempfile::tempdir().unwrap();
        let (name, temporary) = (top.path().join("f"), top.path().join(".f.nodeprep-7"));
        let host = Host::image(top.path()).unwrap();
        if let Some(text) = before {
            fs::write(&name, text).unwrap();
        }
        let prior = host.prior(step).unwrap();
        let _ = fs::remove_file(&name);
        if let Some(text) = now {
            fs::write(&name, text).unwrap();
        }
        fs::write(&temporary, left).unwrap();
        let done = host.recover(step, &prior, "7");
        let text = fs::read_to_string(&name).ok();
        assert_eq!(text.as_deref(), after, "{before:?} {now:?} {left:?}");
        assert_eq!(done.is_err(), temporary.exists(), "{done:?}");
        assert_eq!(done.is_err(), left == "theirs" && now == Some("others'"));
    }

    #[test]
    fn what_a_write_left() {
        let step = Step::write("/f", "ours", Owner::Ours);
        let cases: [Case; 9] = [
            (Some("old"), Some("old"), "", Some("old")),
            (Some("old"), Some("old"), "ou", Some("old")),
            (Some("old"), Some("old"), "ours", Some("old")),
            (Some("old"), Some("old"), "\0\0\0", Some("old")),
            (Some("old"), Some("ours"), "old", Some("ours")),
            (Some("old"), Some("ours"), "theirs", Some("theirs")),
            (Some("old"), None, "theirs", Some("theirs")),
            (Some("old"), Some("others'"), "theirs", Some("others'")),
            (None, None, "our", None),
        ];
        for case in cases {
            recovers(&step, case);
        }
    }

    #[test]
    fn what_a_removal_left() {
        let path = Path::new("/f").into();
        let step = Step::RemoveFile { path };
        recovers(&step, (Some("old"), None, "old", None));
        recovers(&step, (Some("old"), None, "theirs", Some("theirs")));
    }
}
