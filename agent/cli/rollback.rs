//! `rollback` and `remove`: what runs did, taken back as a plan like any other.

use super::apply::{host, root_only, show, told};
use super::args::{Cli, Rollback, TakeBack};
use crate::error::{Error, Result};
use crate::host::Signals;
use crate::reconcile;
use crate::report::Report;
use crate::runs::Runs;
use crate::undo::{self, Others};

/// `rollback`
pub(super) fn rollback(cli: &Cli, args: &Rollback) -> Result<u8> {
    take_back(cli, "rollback", &args.how, |runs| match &args.run {
        Some(name) => runs.find(name),
        None => undo::last(runs).ok_or_else(|| nothing("no run is left to take back")),
    })
}

/// `remove`
pub(super) fn remove(cli: &Cli, how: &TakeBack) -> Result<u8> {
    take_back(cli, "remove", how, |runs| match runs.0.is_empty() {
        true => Err(nothing("nodeprep has changed nothing here")),
        false => Ok(0),
    })
}

fn nothing(text: &str) -> Error {
    Error::Usage(format!("{text}: `nodeprep history` shows what was done"))
}

fn take_back(
    cli: &Cli,
    command: &'static str,
    how: &TakeBack,
    first: impl Fn(&Runs) -> Result<usize>,
) -> Result<u8> {
    let root = how.root.as_deref();
    let mut host = host(root)?;
    root_only(command, root)?;
    let others = match how.force {
        true => Others::Go,
        false => Others::Stay,
    };
    let _lock = match how.dry_run {
        true => None,
        false => Some(host.lock(how.wait)?),
    };
    let runs = Runs::read(&host)?;
    let first = runs.beginning(first(&runs)?);
    let name = match runs.0.get(first) {
        Some(run) => format!("the host before {}", run.id),
        None => String::new(),
    };
    let account = match how.dry_run {
        true => reconcile::foresee_rollback(&mut host, first, others)?,
        false => {
            let signals = Signals::watch()?;
            reconcile::rollback(&mut host, command, first, others, &signals)?
        }
    };
    let command = match how.dry_run {
        true => "plan",
        false => command,
    };
    let report = Report::new(
        command,
        &name,
        told(cli, &host)?,
        account,
        how.accept_reboot,
    );
    show(cli, how.diff, &report)
}
