//! What has to be done once the files are written.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What is due once after a stage's steps, however many steps ask for it; in this order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "due", rename_all = "snake_case")]
pub enum Due {
    /// systemd reads its unit files and runs its generators again.
    DaemonReload,
    /// systemd-tmpfiles gives a directory that was made the modes, owners and ACLs it has for it.
    Tmpfiles {
        /// The directory.
        prefix: PathBuf,
    },
    /// A unit reads its files again; one that can't is restarted.
    Reload {
        /// The unit's name.
        unit: String,
    },
    /// A unit is restarted, or started, and waited for. Where it does not come back, the files that
    /// were written for it get their old content, and it is restarted once more.
    Restart {
        /// The unit's name.
        unit: String,
        /// By what it is known to be back, where systemd's word is not enough.
        ready: Option<Probe>,
    },
    /// A unit that did not run before is stopped.
    Stop {
        /// The unit's name.
        unit: String,
    },
    /// The hardware clock is set from the kernel's, in the scale that /etc/adjtime names.
    HardwareClock,
    /// journald opens its journal on disk. It does so by itself only where it was told to since the
    /// boot, and forgets that where the directory was taken away (journalctl(1), --flush).
    FlushJournal,
}

/// By what a restarted daemon is known to be back.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "probe", rename_all = "snake_case")]
pub enum Probe {
    /// It answers a CRI Status, and can run containers.
    Cri {
        /// Where it listens.
        socket: PathBuf,
    },
}

impl Due {
    /// Whether both start a unit anew, and the same: then once is enough.
    #[must_use]
    pub fn is_same_restart(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Restart { unit, .. }, Self::Restart { unit: other, .. }) => unit == other,
            _ => false,
        }
    }
}

impl fmt::Display for Due {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DaemonReload => f.write_str("systemd daemon-reload"),
            Self::Tmpfiles { prefix } => write!(f, "systemd-tmpfiles for {}", prefix.display()),
            Self::Reload { unit } => write!(f, "reload {unit}"),
            Self::Restart { unit, ready } => {
                write!(f, "restart {unit}")?;
                match ready {
                    Some(Probe::Cri { socket }) => {
                        write!(
                            f,
                            " (containers keep running), wait for {}",
                            socket.display()
                        )
                    }
                    None => Ok(()),
                }
            }
            Self::Stop { unit } => write!(f, "stop {unit}"),
            Self::HardwareClock => f.write_str("set the hardware clock"),
            Self::FlushJournal => f.write_str("journalctl --flush"),
        }
    }
}
