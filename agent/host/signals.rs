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
        let signals = Self::default();
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            signal_hook::flag::register(signal, signals.0.clone())
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
