//! `rollback` and `remove`: what runs did, taken back as a plan like any other.

use super::apply::{host, root_only, show, told};
use super::args::{Cli, Rollback, TakeBack};
use crate::error::Result;
use crate::host::{Host, Signals};
use crate::reconcile;
use crate::report::Report;
use crate::runs::Runs;
use crate::undo::{self, Others};

/// `rollback`
pub(super) fn rollback(cli: &Cli, args: &Rollback) -> Result<u8> {
    if args.guard && Host::live().guarded()? != args.run {
        return super::print("confirmed: nothing is taken back\n");
    }
    let how = TakeBack {
        // What was allowed to be done may be taken back.
        on_member: args.how.on_member || args.guard,
        ..args.how.clone()
    };
    take_back(cli, "rollback", &how, |runs| match &args.run {
        // The guard of a run that had nothing to do, or did not come to it.
        Some(name) if args.guard => Ok(runs.find(name).ok()),
        Some(name) => runs.find(name).map(Some),
        None => Ok(undo::last(runs)),
    })
}

/// `remove`
pub(super) fn remove(cli: &Cli, how: &TakeBack) -> Result<u8> {
    take_back(cli, "remove", how, |runs| {
        Ok((!runs.0.is_empty()).then_some(0))
    })
}

fn take_back(
    cli: &Cli,
    command: &'static str,
    how: &TakeBack,
    first: impl Fn(&Runs) -> Result<Option<usize>>,
) -> Result<u8> {
    let root = how.root.as_deref();
    let mut host = host(root)?;
    host.allow_on_member(how.on_member);
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
    let Some(first) = first(&runs)? else {
        if !how.dry_run {
            dismiss(&host)?;
        }
        return super::print("nothing is left to take back\n");
    };
    let first = runs.beginning(first);
    let name = match runs.0.get(first) {
        Some(run) => format!("the host before {}", run.id),
        None => String::new(),
    };
    let account = match how.dry_run {
        true => reconcile::foresee_rollback(&mut host, first, others)?,
        false => {
            let signals = Signals::watch()?;
            let account = reconcile::rollback(&mut host, command, first, others, &signals)?;
            if account.deeds.trouble.is_empty() {
                dismiss(&host)?;
            }
            account
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

/// Nothing is left for a guard to take back.
fn dismiss(host: &Host) -> Result<()> {
    match host.no_live() {
        Some(_) => Ok(()),
        None => host.dismiss_guard(),
    }
}
