//! What takes long is told to whoever watches: minutes of silence look like a hang.

use std::fmt::Display;
use std::io::{IsTerminal, Write};

use tracing::Level;

/// Tells on a terminal what begins, unless nothing is to be said, or all of it is anyway.
pub(super) fn tell(step: &dyn Display) {
    let mut stderr = std::io::stderr().lock();
    let wanted = tracing::enabled!(Level::WARN) && !tracing::enabled!(Level::INFO);
    if wanted && stderr.is_terminal() {
        // Where stderr can't be written there is nobody to tell.
        let _ = writeln!(stderr, "{step} …");
    }
}
