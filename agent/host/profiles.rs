//! Reading the profile itself: what we are told to do as root must come from a file we can trust.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use crate::profile::MAX_PROFILE_BYTES;

/// The profile used where none is named.
#[must_use]
pub fn default_profile() -> &'static Path {
    Path::new("/etc/nodeprep/profile.toml")
}

/// A profile file as it is on this machine.
#[derive(Debug)]
pub struct ProfileFile {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Whether its mode lets others than its owner write it.
    pub writable_by_others: bool,
    /// Whether its owner is root.
    pub is_roots: bool,
}

/// Reads a profile.
///
/// # Errors
/// The reason and what to do, where it is missing, no regular file, unreadable or too large.
pub fn read_profile(path: &Path) -> Result<ProfileFile, String> {
    let mut file = File::options()
        .read(true)
        .custom_flags(nix::fcntl::OFlag::O_NONBLOCK.bits())
        .open(path)
        .map_err(|error| match error.kind() {
            ErrorKind::NotFound if path == default_profile() => format!(
                "{error}: write it, or name a profile (`nodeprep profile list` shows those built in)"
            ),
            _ => error.to_string(),
        })?;
    let meta = file.metadata().map_err(|error| error.to_string())?;
    if meta.is_dir() {
        return Err("is a directory: name the profile file in it".into());
    }
    if !meta.is_file() {
        return Err("is no regular file: name a profile file".into());
    }
    if meta.len() > MAX_PROFILE_BYTES as u64 {
        return Err(format!(
            "has {} bytes, a profile has at most 1 MiB",
            meta.len()
        ));
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)
        .map_err(|error| error.to_string())?;
    Ok(ProfileFile {
        bytes,
        writable_by_others: meta.mode() & 0o022 != 0,
        is_roots: meta.uid() == 0,
    })
}
