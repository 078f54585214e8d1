//! The kernel's clock, and the hardware's that it is started by.

use serde::{Deserialize, Serialize};

use super::{Host, Origin, syscall};
use crate::error::{Result, trouble};
use crate::items::time::clock::{Scale, scale};

/// How good the kernel's clock is, by its own word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clock {
    /// Whether a daemon that sets it has told that it follows a server.
    pub synchronised: bool,
    /// By how much it may be wrong.
    pub error_ms: u64,
}

impl Host {
    /// The kernel's word about its clock; none for a tree that was not asked.
    ///
    /// # Errors
    /// Where the kernel does not say.
    pub fn clock(&self) -> Result<Option<Clock>> {
        match self.origin {
            Origin::Image => Ok(None),
            Origin::Captured => Ok(self.answers()?.clock),
            Origin::Live => {
                let state = syscall::clock_state();
                let (synchronised, error) = state.map_err(|error| trouble!("adjtimex: {error}"))?;
                let error_ms = u64::try_from(error / 1000).unwrap_or(0);
                Ok(Some(Clock {
                    synchronised,
                    error_ms,
                }))
            }
        }
    }

    /// hwclock(8) without touching /etc/adjtime, which names the scale.
    pub(super) fn set_hardware_clock(&self) -> Result<()> {
        let scale = match scale(self)? {
            Scale::Utc => {
                syscall::kernel_zone_is_utc()
                    .map_err(|error| trouble!("the kernel's time zone: {error}"))?;
                "--utc"
            }
            Scale::Local => "--localtime",
        };
        self.run(&["hwclock", "--systohc", "--noadjfile", scale])
    }
}
