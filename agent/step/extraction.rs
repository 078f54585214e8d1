//! What is taken out of an archive, as data: its checksum, and the files by name, so that a plan tells
//! every file it will make and nothing else ever comes out.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Files that are taken out of an archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extraction {
    /// The archive.
    pub archive: PathBuf,
    /// Its SHA-256 in lower-case hexadecimal digits; with any other nothing is taken.
    pub sha256: String,
    /// The directory they go to.
    pub into: PathBuf,
    /// How many directories at the begin of each name in the archive are left out.
    #[serde(default)]
    pub strip: usize,
    /// Their names below `into`.
    pub members: BTreeSet<String>,
}

impl Extraction {
    /// The files as they are called on the host.
    pub fn paths(&self) -> impl Iterator<Item = PathBuf> {
        self.members.iter().map(|member| self.into.join(member))
    }
}

impl fmt::Display for Extraction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let members: Vec<&str> = self.members.iter().map(String::as_str).collect();
        let (archive, into) = (self.archive.display(), self.into.display());
        write!(f, "extract {} from {archive} to {into}", members.join(", "))
    }
}
