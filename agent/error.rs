//! One error type, because the exit code is decided from it in one place (`cli::code`).

use std::fmt;

/// What stopped a command, or a step of it.
///
/// Each text is a whole sentence: it names the thing (path, line, key, argv), says what was
/// expected and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// The command line asks for something that does not exist (exit 64).
    Usage(String),
    /// The profile cannot be used; the text is already rendered with file, line and caret (exit 65).
    Profile(String),
    /// Another run holds the lock (exit 75).
    Locked(String),
    /// The command needs root (exit 77).
    NotRoot(String),
    /// Reading, writing or asking the host failed (exit 1).
    Trouble(String),
}

/// The crate's result.
pub type Result<T> = std::result::Result<T, Error>;

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(text)
            | Self::Profile(text)
            | Self::Locked(text)
            | Self::NotRoot(text)
            | Self::Trouble(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for Error {}

/// Makes a [`Error::Trouble`] from a format string.
macro_rules! trouble {
    ($($arg:tt)*) => { $crate::error::Error::Trouble(format!($($arg)*)) };
}
pub(crate) use trouble;
