//! The hardware clock: one that keeps local time is wrong for an hour twice a year, and for as long as
//! the machine boots without a network.

use std::path::Path;

use serde::Deserialize;

use super::RTC;
use crate::error::Result;
use crate::finding::{Finding, Origin, State};
use crate::host::Host;
use crate::plan::ItemPlan;
use crate::step::{Due, Owner, Step};

/// Drift, last calibration, and what the clock keeps, a line each (adjtime_config(5), hwclock(8)).
const ADJTIME: &str = "/etc/adjtime";
/// What a new file begins with, as systemd writes it (src/timedate/timedated.c).
const NO_DRIFT: &str = "0.0 0 0\n0\n";
/// Where the kernel lists such clocks.
const CLOCKS: &str = "/sys/class/rtc";

/// What a clock keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scale {
    /// UTC.
    Utc,
    /// The zone's time, as some other systems on the same machine want it.
    Local,
}

impl Scale {
    fn word(self) -> &'static str {
        match self {
            Self::Utc => "UTC",
            Self::Local => "LOCAL",
        }
    }
}

/// What a hardware clock is said to keep; UTC where nothing is said.
///
/// # Errors
/// Where the file cannot be read.
pub fn scale(host: &Host) -> Result<Scale> {
    let text = host.text(Path::new(ADJTIME))?.unwrap_or_default();
    Ok(match text.lines().nth(2).map(str::trim) {
        Some("LOCAL") => Scale::Local,
        _ => Scale::Utc,
    })
}

/// What the host has.
#[derive(Debug)]
pub struct Rtc {
    text: String,
    scale: Scale,
    /// Whether a running kernel has a clock.
    there: bool,
}

impl Rtc {
    pub fn read(host: &Host) -> Result<Self> {
        Ok(Self {
            text: host.exact_text(Path::new(ADJTIME))?.unwrap_or_default(),
            scale: scale(host)?,
            there: !host.list(Path::new(CLOCKS))?.is_empty(),
        })
    }

    pub fn add(&self, wanted: Scale, plan: &mut ItemPlan) {
        let state = match self.scale == wanted {
            true => State::InSync,
            false => {
                let origin = Origin::line(Path::new(ADJTIME), 3);
                State::differs(self.scale.word(), wanted.word(), Some(origin))
            }
        };
        if state != State::InSync {
            let step = Step::WriteFile {
                path: ADJTIME.into(),
                content: set(&self.text, wanted).into(),
                owner: Owner::Shared,
                access: None,
            };
            plan.boot(step, [RTC]);
            if self.there {
                super::due(plan, Due::HardwareClock);
            }
        }
        plan.findings.push(Finding::new(RTC, state.clone(), state));
    }
}

/// The text with its third line set.
fn set(text: &str, scale: Scale) -> String {
    let begin = match text.is_empty() {
        true => NO_DRIFT,
        false => text,
    };
    let mut lines: Vec<&str> = begin.lines().collect();
    while lines.len() < 2 {
        lines.push("0");
    }
    match lines.get_mut(2) {
        Some(line) => *line = scale.word(),
        None => lines.push(scale.word()),
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_third_line_is_ours() {
        assert_eq!(set("", Scale::Local), "0.0 0 0\n0\nLOCAL\n");
        assert_eq!(set("1.5 7 0\n7\nLOCAL\n", Scale::Utc), "1.5 7 0\n7\nUTC\n");
        assert_eq!(set("1.5 7 0", Scale::Local), "1.5 7 0\n0\nLOCAL\n");
        assert_eq!(set("a\nb\nLOCAL\nmore\n", Scale::Utc), "a\nb\nUTC\nmore\n");
    }
}
