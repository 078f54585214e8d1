//! `apply`, `check` and `plan`: one run of the path from profile to report.

use std::path::Path;

use super::args::{Apply, Cli, Output, Plan, Target};
use super::confirm;
use crate::error::{Error, Result};
use crate::host::{Facts, Host, Signals};
use crate::items::Item;
use crate::profile::Profile;
use crate::reconcile::{self, Wanted};
use crate::report::Report;
use crate::report::human::{self, Detail};

/// `apply`
pub(super) fn apply(cli: &Cli, args: &Apply) -> Result<u8> {
    let target = &args.plan.target;
    let mut host = host(target.root.as_deref())?;
    host.allow_on_member(target.on_member);
    root_only("apply", target.root.as_deref())?;
    let profile = load(&host, target)?;
    warn(&profile);
    // A signal while it waits ends it at once, as nothing has begun.
    let _lock = host.lock(args.wait)?;
    let signals = Signals::watch()?;
    confirm::none_waits(&host)?;
    let wanted = Wanted {
        confirm: args.confirm,
        ..wanted(&profile, target)
    };
    let account = reconcile::apply(&mut host, &wanted, &signals)?;
    if let Some(time) = args.confirm.filter(|_| account.deeds.any()) {
        confirm::ask(time);
    }
    let report = Report::new(
        "apply",
        &profile.name,
        told(cli, &host)?,
        account,
        target.accept_reboot,
    );
    show(cli, args.plan.diff, &report)
}

/// `check`
pub(super) fn check(cli: &Cli, target: &Target) -> Result<u8> {
    look(cli, target, false, "check")
}

/// `plan`
pub(super) fn plan(cli: &Cli, args: &Plan) -> Result<u8> {
    look(cli, &args.target, args.diff, "plan")
}

/// Says what may hurt before it is done, a line each. A check, which asks about the host, does not.
fn warn(profile: &Profile) {
    for warning in profile.warnings(None) {
        tracing::warn!("{} [{}]", warning.found, warning.lint);
    }
}

/// A live host is root's to change.
pub(super) fn root_only(command: &str, root: Option<&Path>) -> Result<()> {
    match root.is_some() || nix::unistd::geteuid().is_root() {
        true => Ok(()),
        false => Err(Error::NotRoot(format!(
            "{command} changes the host: run it as root (sudo)"
        ))),
    }
}

/// Where not all items were asked for, those that were not are not gone from the profile.
fn wanted<'a>(profile: &'a Profile, target: &Target) -> Wanted<'a> {
    Wanted {
        profile: &profile.name,
        items: &profile.items,
        history: profile.history,
        confirm: None,
        takes_back: !target.keep && target.only.is_empty() && target.skip.is_empty(),
    }
}

fn look(cli: &Cli, target: &Target, diff: bool, command: &'static str) -> Result<u8> {
    let report = report(cli, target, command)?;
    show(cli, diff, &report)
}

/// What is found, and nothing changed.
pub(super) fn report(cli: &Cli, target: &Target, command: &'static str) -> Result<Report> {
    let mut host = host(target.root.as_deref())?;
    host.allow_on_member(target.on_member);
    let profile = load(&host, target)?;
    if command == "plan" {
        warn(&profile);
    }
    let account = reconcile::check(&mut host, &wanted(&profile, target))?;
    Ok(Report::new(
        command,
        &profile.name,
        told(cli, &host)?,
        account,
        target.accept_reboot,
    ))
}

/// The facts that the report will show: people are told the name alone.
pub(super) fn told(cli: &Cli, host: &Host) -> Result<Facts> {
    match cli.output {
        Output::Json => host.facts(),
        Output::Human | Output::Npd => Ok(Facts {
            hostname: host.hostname()?,
            ..Facts::default()
        }),
    }
}

/// This machine, or a tree.
pub(super) fn host(root: Option<&Path>) -> Result<Host> {
    match root {
        Some(dir) => Host::image(dir),
        None => Ok(Host::live()),
    }
}

/// Loads the profile and keeps the items that are asked for.
fn load(host: &Host, target: &Target) -> Result<Profile> {
    let mut profile = Profile::load(host, target.profile.as_deref(), &target.set)?;
    for name in target.only.iter().chain(&target.skip) {
        if !Item::NAMES.contains(&name.as_str()) {
            let known = Item::NAMES.join(", ");
            return Err(Error::Usage(format!(
                "there is no item \"{name}\": there are {known}"
            )));
        }
    }
    let named = |item: &Item, names: &[String]| names.iter().any(|name| name == item.name());
    profile
        .items
        .retain(|item| target.only.is_empty() || named(item, &target.only));
    profile.items.retain(|item| !named(item, &target.skip));
    Ok(profile)
}

pub(super) fn show(cli: &Cli, diff: bool, report: &Report) -> Result<u8> {
    let detail = Detail {
        all: cli.verbose,
        diff,
        quiet: cli.quiet,
    };
    match cli.output {
        Output::Json => super::print_json(report)?,
        Output::Human | Output::Npd => super::print(&human::render(report, detail))?,
    };
    Ok(report.exit_code)
}
