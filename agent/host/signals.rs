//! A closed ssh, a Ctrl-C or a shutdown must not stop a run in the middle of a step.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::error::{Result, trouble};

/// Tells whether someone asked this run to stop.
#[derive(Debug, Clone, Default)]
pub struct Signals(Arc<AtomicBool>);

impl Signals {
    /// From now on SIGINT, SIGTERM and SIGHUP only set a flag.
    ///
    /// # Errors
    /// Where the kernel refuses the handlers.
    pub fn watch() -> Result<Self> {
        Self::of(&[SIGINT, SIGTERM, SIGHUP])
    }

    /// The same without SIGHUP, by which a daemon is told to look anew.
    ///
    /// # Errors
    /// As [`Signals::watch`].
    pub fn watch_for_end() -> Result<Self> {
        Self::of(&[SIGINT, SIGTERM])
    }

    fn of(all: &[i32]) -> Result<Self> {
        let signals = Self::default();
        for signal in all {
            signal_hook::flag::register(*signal, signals.0.clone())
                .map_err(|error| trouble!("signal handler: {error}"))?;
        }
        Ok(signals)
    }

    /// Whether a signal came since the last call.
    #[must_use]
    pub fn came(&self) -> bool {
        self.0.swap(false, Ordering::SeqCst)
    }
}
