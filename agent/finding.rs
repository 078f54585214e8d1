//! What was found for one subject, live and boot apart: "set now" and "set after the next boot"
//! are two questions, and every tool that answers only one of them has been caught lying.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, Serialize};

/// What makes a state as it is: the file and line, unit, generator or kernel argument that wins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A line of a file; `line` counts from 1.
    File {
        /// Path on the host.
        path: PathBuf,
        /// Line number, where one line decides.
        line: Option<usize>,
    },
    /// Anything else that decides, in words: a unit, a generator, a kernel argument.
    Other(String),
}

impl Origin {
    /// A line of a file.
    #[must_use]
    pub fn line(path: &Path, line: usize) -> Self {
        Self::File {
            path: path.to_owned(),
            line: Some(line),
        }
    }

    /// A whole file.
    #[must_use]
    pub fn file(path: &Path) -> Self {
        Self::File {
            path: path.to_owned(),
            line: None,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File {
                path,
                line: Some(line),
            } => write!(f, "{}:{line}", path.display()),
            Self::File { path, line: None } => write!(f, "{}", path.display()),
            Self::Other(text) => f.write_str(text),
        }
    }
}

impl Serialize for Origin {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

/// As another process told it: in words.
impl<'de> Deserialize<'de> for Origin {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from).map(Self::Other)
    }
}

/// How one aspect of a subject stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    /// As wanted.
    InSync,
    /// Known, and not as wanted.
    Differs {
        /// What is.
        from: String,
        /// What is wanted.
        to: String,
        /// What makes it so, where that is known.
        #[serde(skip_serializing_if = "Option::is_none")]
        origin: Option<Origin>,
    },
    /// Right once the host has rebooted.
    AfterReboot {
        /// Why only then.
        reason: String,
    },
    /// Could not be told: no permission, an I/O error, text that can't be parsed.
    Unknown {
        /// What stood in the way.
        reason: String,
    },
    /// This host can't have it.
    NotApplicable {
        /// Why not.
        reason: String,
    },
    /// Waits for something else.
    Blocked {
        /// What it waits for.
        reason: String,
    },
}

impl State {
    /// A difference.
    #[must_use]
    pub fn differs(from: impl Into<String>, to: impl Into<String>, origin: Option<Origin>) -> Self {
        Self::Differs {
            from: from.into(),
            to: to.into(),
            origin,
        }
    }

    /// An unknown state with its cause.
    #[must_use]
    pub fn unknown(cause: impl fmt::Display) -> Self {
        Self::Unknown {
            reason: cause.to_string(),
        }
    }

    /// A state this host can't have.
    #[must_use]
    pub fn not_applicable(reason: impl Into<String>) -> Self {
        Self::NotApplicable {
            reason: reason.into(),
        }
    }

    /// A state that waits.
    #[must_use]
    pub fn blocked(reason: impl Into<String>) -> Self {
        Self::Blocked {
            reason: reason.into(),
        }
    }

    /// Whether nothing is left to do or to wait for.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        matches!(self, Self::InSync | Self::NotApplicable { .. })
    }
}

/// One subject (a sysctl key, a module, a swap area, a key of a file) with both its states.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The subject's name, unique within its item.
    pub subject: String,
    /// Is the running system so?
    pub live: State,
    /// Will the next boot make it so?
    pub boot: State,
}

impl Finding {
    /// A finding.
    #[must_use]
    pub fn new(subject: impl Into<String>, live: State, boot: State) -> Self {
        Self {
            subject: subject.into(),
            live,
            boot,
        }
    }
}
