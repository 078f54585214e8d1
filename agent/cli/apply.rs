//! `apply`, `check` and `plan`: one run of the path from profile to report.

use std::path::Path;
use std::time::SystemTime;

use super::args::{Apply, Cli, Output, Plan, Target};
use crate::error::{Error, Result};
use crate::host::{Host, Signals};
use crate::items::Item;
use crate::profile::Profile;
use crate::reconcile;
use crate::report::human::{self, Detail};
use crate::report::{self, Entry, Report, ReportedStep, SCHEMA_VERSION};

/// `apply`
pub(super) fn apply(cli: &Cli, args: &Apply) -> Result<u8> {
    let target = &args.plan.target;
    let mut host = host(target.root.as_deref())?;
    if target.root.is_none() && !nix::unistd::geteuid().is_root() {
        return Err(Error::NotRoot(
            "apply changes the host: run it as root (sudo)".into(),
        ));
    }
    let profile = load(&host, target)?;
    // A signal while it waits ends it at once, as nothing has begun.
    let _lock = host.lock(args.wait)?;
    let signals = Signals::watch()?;
    let applied = reconcile::apply(&mut host, &profile.items, &profile.name, &signals);
    let steps = applied
        .steps
        .iter()
        .map(|(item, step)| ReportedStep::new(item, step))
        .collect();
    let detail = detail(cli, args.plan.diff);
    show(
        cli,
        target,
        detail,
        "apply",
        &profile,
        &host,
        applied.entries,
        steps,
        applied.trouble,
    )
}

/// `check`
pub(super) fn check(cli: &Cli, target: &Target) -> Result<u8> {
    look(cli, target, detail(cli, false), "check")
}

/// `plan`
pub(super) fn plan(cli: &Cli, args: &Plan) -> Result<u8> {
    look(cli, &args.target, detail(cli, args.diff), "plan")
}

fn look(cli: &Cli, target: &Target, detail: Detail, command: &'static str) -> Result<u8> {
    let mut host = host(target.root.as_deref())?;
    let profile = load(&host, target)?;
    let (entries, plan) = reconcile::check(&mut host, &profile.items);
    let steps = plan
        .steps()
        .map(|(item, step)| ReportedStep::new(item, step))
        .collect();
    // The diff of a file is against what is there, not against what is planned.
    host.refresh();
    show(
        cli,
        target,
        detail,
        command,
        &profile,
        &host,
        entries,
        steps,
        Vec::new(),
    )
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

fn detail(cli: &Cli, diff: bool) -> Detail {
    Detail {
        all: cli.verbose > 0,
        diff,
        quiet: cli.quiet,
    }
}

#[expect(
    clippy::too_many_arguments,
    reason = "the parts of one report, put together here only"
)]
fn show(
    cli: &Cli,
    target: &Target,
    detail: Detail,
    command: &'static str,
    profile: &Profile,
    host: &Host,
    entries: Vec<Entry>,
    steps: Vec<ReportedStep>,
    trouble: Vec<String>,
) -> Result<u8> {
    let summary = report::summary(&entries);
    let report = Report {
        schema_version: SCHEMA_VERSION,
        command,
        profile: profile.name.clone(),
        host: host.facts()?,
        time: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
        exit_code: report::exit_code(&summary, &trouble, target.accept_reboot),
        entries,
        steps,
        trouble,
        summary,
    };
    match cli.output {
        Output::Json => super::print_json(&report)?,
        Output::Human => super::print(&human::render(&report, detail, |step| {
            human::before(host, step)
        }))?,
    };
    Ok(report.exit_code)
}
