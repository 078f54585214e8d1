//! Programs out of archives: taken out whole or not at all, and known again at each check by what was
//! written down then, without reading fifty megabytes.

mod tarball;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::{FileStat, Mode, fstat};
use nix::unistd::UnlinkatFlags;
use serde::{Deserialize, Serialize};

use super::exchange::{Exchange, changed};
use super::files::{access_of, attributes, no_file};
use super::write::explain;
use super::{Host, Kind, Prior};
use crate::error::{Error, Result, trouble};
use crate::step::{Access, Extraction};

use tarball::{Digest, Tarball};

/// What is known of the files that were taken out of archives.
const REMEMBERED: &str = "/var/lib/nodeprep/archives.json";
/// What SELinux decides by: a runtime without the one its policy gives it is confined as no runtime is.
const LABEL: &str = "security.selinux";
/// Read at once: few calls, and little memory on a small node.
const BUFFER: usize = 64 << 10;

/// A file as it was taken out of an archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Remembered {
    /// The archive's SHA-256.
    archive: String,
    /// The file's.
    sha256: String,
    /// Inode, size and time of its last change: while they stay its bytes do.
    stamp: String,
    #[serde(flatten)]
    access: Access,
}

/// How a file stands to the archive it is to be from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extracted {
    /// As it was taken out of it.
    InPlace,
    /// Nothing has its name.
    Absent,
    /// It is from an archive with another checksum.
    Other,
    /// It was changed since.
    Changed,
    /// It was not taken out of an archive.
    Foreign,
    /// It is a directory, a link or alike.
    NoFile,
}

/// A file that waits for its name.
struct Staged {
    at: Exchange,
    is: Remembered,
}

impl Host {
    /// How the file at `path` stands to the archive with this SHA-256.
    ///
    /// # Errors
    /// Where it cannot be looked up.
    pub fn extracted(&self, path: &Path, archive: &str) -> Result<Extracted> {
        match self.kind(path)? {
            None => return Ok(Extracted::Absent),
            Some(Kind::File) => {}
            Some(_) => return Ok(Extracted::NoFile),
        }
        let Some(known) = self.taken_out()?.remove(path) else {
            return Ok(Extracted::Foreign);
        };
        Ok(match self.is_same(path, &known)? {
            false => Extracted::Changed,
            true if known.archive != archive => Extracted::Other,
            true => Extracted::InPlace,
        })
    }

    /// The SHA-256 of a file; none where nothing has its name.
    ///
    /// # Errors
    /// Where it is no regular file, or cannot be read.
    pub fn digest(&self, path: &Path) -> Result<Option<String>> {
        self.note_file(path);
        let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOFOLLOW;
        let file = match self.open(path, flags) {
            Ok(fd) => File::from(fd),
            Err(Errno::ENOENT | Errno::ENOTDIR) => return Ok(None),
            Err(Errno::ELOOP) => return Err(trouble!("{}: {}", path.display(), no_file())),
            Err(error) => return Err(trouble!("{}: {}", path.display(), error.desc())),
        };
        let digest = match file.metadata() {
            Ok(meta) if !meta.is_file() => Err(no_file()),
            Ok(_) => Digest::new(file).finish(),
            Err(error) => Err(error),
        };
        digest
            .map(Some)
            .map_err(|error| trouble!("{}: {error}", path.display()))
    }

    /// Whether a file with this SHA-256 is what was taken out of an archive to this path.
    ///
    /// # Errors
    /// Where what was written down then cannot be read.
    pub fn is_as_extracted(&self, path: &Path, sha256: &str) -> Result<bool> {
        let all = self.taken_out()?;
        Ok(all.get(path).is_some_and(|known| known.sha256 == sha256))
    }

    /// What is damaged is not known: then the files are taken out again.
    fn taken_out(&self) -> Result<BTreeMap<PathBuf, Remembered>> {
        let text = self.bytes(Path::new(REMEMBERED))?.unwrap_or_default();
        Ok(serde_json::from_slice(&text).unwrap_or_default())
    }

    fn is_same(&self, path: &Path, known: &Remembered) -> Result<bool> {
        if self.access(path)? != Some(known.access) {
            return Ok(false);
        }
        let stat = self.open(path, OFlag::O_PATH).and_then(fstat);
        let is_stamped = stat.is_ok_and(|stat| stamp(&stat) == known.stamp);
        // A copy of the file, or one that was touched, has another.
        Ok(is_stamped || self.digest(path)?.as_ref() == Some(&known.sha256))
    }

    pub(super) fn prior_extracted(&self, extraction: &Extraction) -> Result<Prior> {
        let mut before = BTreeMap::new();
        for path in extraction.paths() {
            let digest = self.digest(&path)?;
            before.insert(path, digest);
        }
        Ok(Prior::Extracted { before })
    }

    /// Takes the files out of the archive: all are made whole beside their names before the first gets
    /// its own.
    pub(super) fn extract(&self, extraction: &Extraction, prior: &Prior) -> Result<()> {
        let mut staged = Vec::new();
        let done = self
            .stage(extraction, &mut staged)
            .and_then(|()| self.put_in_place(&staged, prior));
        if done.is_err() {
            for one in &staged {
                // The failure that is reported is the one that came first.
                let _ = one.at.discard();
            }
        }
        done
    }

    fn stage(&self, extraction: &Extraction, staged: &mut Vec<Staged>) -> Result<()> {
        let mut tarball = Tarball::open(self.archive(&extraction.archive)?, extraction)?;
        tarball.each(extraction, |member, mode, bytes| {
            let at = self.beside_it(&extraction.into.join(member))?;
            let new = at.make()?;
            let done = fill(&new, bytes, extraction, &at.path).and_then(|sha256| {
                let (stamp, access) = complete(&new, mode, self.label(&at.path))
                    .map_err(|error| explain(&at.path, &error))?;
                Ok(Remembered {
                    archive: extraction.sha256.clone(),
                    sha256,
                    stamp,
                    access,
                })
            });
            if done.is_err() {
                let _ = at.discard();
            }
            staged.push(Staged { is: done?, at });
            Ok(())
        })
    }

    /// The label of the file that has a name.
    fn label(&self, path: &Path) -> Option<Vec<u8>> {
        let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOFOLLOW;
        let all = attributes(self.open(path, flags).ok()?).ok()?;
        all.into_iter()
            .find_map(|(name, value)| (name == LABEL).then_some(value))
    }

    fn archive(&self, path: &Path) -> Result<File> {
        let shown = path.display();
        let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK;
        let fd = self.open(path, flags).map_err(|error| match error {
            Errno::ENOENT | Errno::ENOTDIR => trouble!("{shown} is not there: copy it here"),
            error => trouble!("{shown}: {}", error.desc()),
        })?;
        let file = File::from(fd);
        match file.metadata() {
            Ok(meta) if meta.is_file() => Ok(file),
            Ok(_) => Err(trouble!(
                "{shown} is no regular file: give the archive itself"
            )),
            Err(error) => Err(trouble!("{shown}: {error}")),
        }
    }

    fn put_in_place(&self, staged: &[Staged], prior: &Prior) -> Result<()> {
        let Prior::Extracted { before } = prior else {
            return Err(trouble!("an archive's files are not what was looked at"));
        };
        for Staged { at, .. } in staged {
            if before.get(&at.path) != Some(&self.digest(&at.path)?) {
                return Err(changed(&at.path));
            }
        }
        // Before they have their names: a run that is cut off then has left nothing that is not known.
        self.remember_extracted(staged)?;
        for Staged { at, .. } in staged {
            let replaces = before.get(&at.path).is_some_and(Option::is_some);
            at.give(replaces)?;
        }
        Ok(())
    }

    fn remember_extracted(&self, staged: &[Staged]) -> Result<()> {
        let mut all = self.taken_out()?;
        let of = |one: &Staged| (one.at.path.clone(), one.is.clone());
        all.extend(staged.iter().map(of));
        let content =
            serde_json::to_vec(&all).map_err(|error| trouble!("{REMEMBERED}: {error}"))?;
        self.replace_ours(Path::new(REMEMBERED), content)
    }

    /// Removes a file that was taken out of an archive; one that is gone already is fine.
    pub(super) fn remove_extracted(&self, path: &Path, sha256: &str) -> Result<()> {
        match self.digest(path)? {
            None => Ok(()),
            Some(now) if now == sha256 => self.remove(path, UnlinkatFlags::NoRemoveDir),
            Some(_) => Err(changed(path)),
        }
    }

    /// Takes away what the run of `process` had not given its name yet. What has a temporary name is
    /// ours: the names are never exchanged here.
    pub(super) fn clear_extraction(&self, extraction: &Extraction, process: &str) -> Result<()> {
        let ours = std::iter::once(PathBuf::from(REMEMBERED));
        for path in extraction.paths().chain(ours) {
            if self.is_directory(path.parent().unwrap_or(&path))? {
                self.beside_for(&path, process)?.discard()?;
            }
        }
        Ok(())
    }
}

/// Gives a new file its bytes, and tells their SHA-256.
fn fill(
    mut new: &File,
    bytes: &mut dyn Read,
    extraction: &Extraction,
    path: &Path,
) -> Result<String> {
    let unread = |error: std::io::Error| broken(&extraction.archive, &error);
    let mut digest = Digest::new(bytes);
    let mut buffer = vec![0; BUFFER];
    loop {
        let read = digest.read(&mut buffer).map_err(unread)?;
        let Some(part) = buffer.get(..read).filter(|part| !part.is_empty()) else {
            return digest.finish().map_err(unread);
        };
        new.write_all(part).map_err(|error| explain(path, &error))?;
    }
}

/// Gives it the label of the one it replaces and its mode, makes it durable, and tells what it is.
fn complete(new: &File, mode: u32, label: Option<Vec<u8>>) -> std::io::Result<(String, Access)> {
    if let Some(label) = label {
        rustix::fs::fsetxattr(new, LABEL, &label, rustix::fs::XattrFlags::empty())?;
    }
    nix::sys::stat::fchmod(new, Mode::from_bits_truncate(mode))?;
    new.sync_all()?;
    let stat = fstat(new)?;
    Ok((stamp(&stat), access_of(&stat)))
}

fn stamp(stat: &FileStat) -> String {
    let (inode, size) = (stat.st_ino, stat.st_size);
    let (time, nanos) = (stat.st_mtime, stat.st_mtime_nsec);
    format!("{inode} {size} {time}.{nanos:09}")
}

/// What is said of an archive that can't be read to its end.
fn broken(path: &Path, error: &std::io::Error) -> Error {
    trouble!(
        "{}: {error}: nothing was taken from it; is it a whole .tar or .tar.gz?",
        path.display()
    )
}

#[cfg(test)]
#[path = "archive/archive_test.rs"]
mod tests;
