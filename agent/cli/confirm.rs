//! `apply --confirm` and `confirm`: a run that nobody confirms takes itself back.

use std::time::Duration;

use super::apply::root_only;
use super::args::Cli;
use crate::error::{Error, Result};
use crate::host::Host;

/// `confirm`
pub(super) fn confirm(_cli: &Cli) -> Result<u8> {
    root_only("confirm", None)?;
    let host = Host::live();
    let Some(run) = host.guarded()? else {
        return Err(Error::Usage(
            "no run waits to be confirmed: it was, or it was taken back (`nodeprep history`)"
                .into(),
        ));
    };
    host.dismiss_guard()?;
    super::print(&format!("confirmed: {run} stays\n"))
}

/// Refuses to work on a host whose last run may be taken back any moment.
pub(super) fn none_waits(host: &Host) -> Result<()> {
    match host.guarded()? {
        None => Ok(()),
        Some(run) => Err(Error::Locked(format!(
            "run {run} waits to be confirmed: `nodeprep confirm`, or `nodeprep rollback`"
        ))),
    }
}

/// Says how to keep what was done.
pub(super) fn ask(time: Duration) {
    let time = humantime::format_duration(time);
    tracing::warn!("taken back in {time}, or by a reboot, unless `nodeprep confirm` comes before");
}
