//! What takes long is told to whoever watches: minutes of silence look like a hang.

use std::fmt::Display;
use std::io::{IsTerminal, Write};

use tracing::Level;

/// Tells on a terminal what begins, unless nothing is to be said, or all of it is anyway.
pub(super) fn tell(step: &dyn Display) {
    if is_watched() {
        // Where stderr can't be written there is nobody to tell.
        let _ = writeln!(std::io::stderr(), "{step} …");
    }
}

fn is_watched() -> bool {
    let wanted = tracing::enabled!(Level::WARN) && !tracing::enabled!(Level::INFO);
    wanted && std::io::stderr().is_terminal()
}

/// A line that says what a step is at, and goes when it is done.
#[derive(Debug)]
pub(super) struct Progress {
    watched: bool,
}

/// Of a line wider than the terminal only the last part would go again; few are narrower.
const WIDTH: usize = 78;

impl Progress {
    /// One without a line yet.
    pub fn new() -> Self {
        let watched = is_watched();
        Self { watched }
    }

    /// Shows a line in the place of the one before.
    pub fn show(&self, line: &str) {
        tracing::info!("  {line}");
        if self.watched {
            // From others' servers and scripts: no control characters.
            let plain = line.chars().filter(|c| !c.is_control()).take(WIDTH);
            Self::write(&plain.collect::<String>());
        }
    }

    fn write(line: &str) {
        // A terminal that is gone is no reason to stop.
        let _ = write!(std::io::stderr(), "\r{line}\x1b[K");
        let _ = std::io::stderr().flush();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.watched {
            Self::write("");
        }
    }
}
