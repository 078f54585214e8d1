//! A file as it is kept in a journal, and what of it may be told.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Who may do what with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

impl Access {
    /// What a file has that is made without being given any: configuration, nothing secret.
    pub const NEW_FILE: Self = Self {
        mode: 0o644,
        uid: 0,
        gid: 0,
    };

    /// Whether not everyone may read it: its content belongs in no report.
    #[must_use]
    pub fn is_private(self) -> bool {
        self.mode & 0o004 == 0
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mode {:04o}, owner {}:{}", self.mode, self.uid, self.gid)
    }
}

/// A regular file, complete enough to be made again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// Its bytes.
    #[serde(with = "content")]
    pub content: Vec<u8>,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Extended attributes, SELinux label and ACL included.
    pub attributes: Vec<(String, Vec<u8>)>,
}

impl File {
    /// Who may do what with it.
    #[must_use]
    pub fn access(&self) -> Access {
        Access {
            mode: self.mode,
            uid: self.uid,
            gid: self.gid,
        }
    }
}

/// What may be told of a content that not everyone may read.
#[must_use]
pub fn hidden(content: &[u8]) -> Vec<u8> {
    let lines = content.split_inclusive(|byte| *byte == b'\n').count();
    format!("({lines} lines that not everyone may read)").into_bytes()
}

/// A file's content in JSON: text where it is UTF-8, else its bytes as numbers.
pub(crate) mod content {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    #[serde(untagged)]
    enum Content {
        Text(String),
        Bytes(Vec<u8>),
    }

    pub fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(bytes) {
            Ok(text) => text.serialize(to),
            Err(_) => bytes.serialize(to),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        Ok(match Content::deserialize(from)? {
            Content::Text(text) => text.into_bytes(),
            Content::Bytes(bytes) => bytes,
        })
    }
}
