//! `daemon`: each piece of news is a line, as it happens; in journald one with fields.

mod journald;

use std::fmt::Display;

use super::apply::root_only;
use super::args::{Cli, Daemon, DaemonCommand, Output};
use crate::daemon::{self, Mode, News, Request};
use crate::error::Result;
use crate::finding::State;
use crate::host::Host;
use crate::report::human::mark;
use crate::report::{Entry, Outcome};

/// `daemon`
pub(super) fn daemon(cli: &Cli, args: &Daemon) -> Result<u8> {
    match &args.command {
        None => run(cli, args),
        Some(DaemonCommand::Pause { time }) => {
            root_only("daemon pause", None)?;
            Host::live().pause(*time)?;
            let time = humantime::format_duration(*time);
            super::print(&format!("paused for {time}: nothing is put right\n"))
        }
        Some(DaemonCommand::Resume) => {
            root_only("daemon resume", None)?;
            super::print(match Host::live().resume()? {
                true => "resumed\n",
                false => "nothing was paused\n",
            })
        }
    }
}

fn run(cli: &Cli, args: &Daemon) -> Result<u8> {
    if args.mode != Some(Mode::Watch) {
        root_only("daemon --mode enforce", None)?;
    }
    let request = Request {
        profile: args.profile.as_deref(),
        mode: args.mode,
    };
    let in_journald = match cli.output {
        Output::Human | Output::Npd => journald::subscriber(super::level(cli)),
        Output::Json => None,
    };
    if let Some(subscriber) = in_journald {
        let mut tell = |news: &News| journald::tell(news, &line(news));
        return tracing::subscriber::with_default(subscriber, || {
            daemon::run(Host::live(), request, &mut tell).map(|()| 0)
        });
    }
    let mut lost = None;
    let mut tell = |news: &News| {
        let told = match cli.output {
            Output::Json => super::print_line(news),
            Output::Human | Output::Npd => super::print(&line(news)),
        };
        // What nobody reads is done nevertheless.
        lost = told.err();
    };
    daemon::run(Host::live(), request, &mut tell)?;
    lost.map_or(Ok(0), Err)
}

/// A piece of news as people are told.
pub(super) fn line<Name: Display>(news: &News<Name>) -> String {
    match news {
        News::Ready { summary } => format!("{} watching: {summary}\n", mark(Outcome::InSync)),
        News::Outcome(entry) => outcome(entry),
        News::LeftAlone {
            item,
            subject,
            reason,
        } => format!("{} {item} {subject}: {reason}\n", mark(Outcome::Blocked)),
        News::Held { reason } => format!("{} held: {reason}\n", mark(Outcome::Blocked)),
        News::Resumed => format!("{} held no longer\n", mark(Outcome::InSync)),
        News::Profile { name } => format!("{} profile {name}\n", mark(Outcome::InSync)),
        News::BadProfile { error } => format!(
            "{} the profile cannot be used, the one before stays in force\n{}\n",
            mark(Outcome::Failed),
            error.trim_end()
        ),
        News::Trouble { text } => format!("{} {text}\n", mark(Outcome::Failed)),
    }
}

/// `!= sysctl net.ipv4.ip_forward: differs; live: 0 → 1`
fn outcome<Name: Display>(entry: &Entry<Name>) -> String {
    let mut text = format!(
        "{} {} {}: {}",
        mark(entry.outcome),
        entry.item,
        entry.subject,
        entry.outcome.words()
    );
    for (aspect, state) in [("live", &entry.live), ("boot", &entry.boot)] {
        if let Some(state) = words(state) {
            text.push_str(&format!("; {aspect}: {state}"));
        }
    }
    if let Some(error) = &entry.error {
        text.push_str(&format!("; {error}"));
    }
    text + "\n"
}

fn words(state: &State) -> Option<String> {
    match state {
        State::InSync | State::NotApplicable { .. } => None,
        State::Differs { from, to, origin } => Some(match origin {
            Some(origin) => format!("{from} → {to} ({origin})"),
            None => format!("{from} → {to}"),
        }),
        State::AfterReboot { reason } | State::Unknown { reason } | State::Blocked { reason } => {
            Some(reason.clone())
        }
    }
}
