//! `status` and `events`: what the running daemon knows, asked of it instead of looked up anew.

use anstyle::Style;

use super::args::{Cli, Events, Output};
use super::daemon::line;
use crate::daemon::http::Request;
use crate::daemon::{Mode, News, Status};
use crate::error::{Result, trouble};
use crate::host::Told;

/// `status`
pub(super) fn status(cli: &Cli) -> Result<u8> {
    let (text, status) = ask()?;
    match cli.output {
        Output::Json => super::print(&text)?,
        Output::Human | Output::Npd => super::print(&render(&status, cli.quiet))?,
    };
    Ok(status.exit_code)
}

/// `events`
pub(super) fn events(cli: &Cli, args: &Events) -> Result<u8> {
    if args.follow {
        return follow(cli);
    }
    let (_, status) = ask()?;
    for news in standing(status) {
        match cli.output {
            Output::Json => super::print_line(&news)?,
            Output::Human | Output::Npd => super::print(&line(&news))?,
        };
    }
    Ok(0)
}

/// What the daemon says of itself, as it said it and as it is meant.
fn ask() -> Result<(String, Status<String>)> {
    let text = String::from_utf8_lossy(&Told::ask(Request::Status)?.whole()?).into_owned();
    let status = serde_json::from_str(&text).map_err(foreign)?;
    Ok((text, status))
}

fn foreign(error: serde_json::Error) -> crate::error::Error {
    trouble!("the daemon's answer is of another version ({error}): `systemctl restart nodeprep`")
}

/// For as long as there is anyone to read it.
fn follow(cli: &Cli) -> Result<u8> {
    let mut told = Told::ask(Request::Events)?;
    while let Some(bytes) = told.line()? {
        let text = match cli.output {
            Output::Json => String::from_utf8_lossy(&bytes).into_owned(),
            Output::Human | Output::Npd => {
                let news: News<String> = serde_json::from_slice(&bytes).map_err(foreign)?;
                line(&news)
            }
        };
        if !super::deliver(&text)? {
            return Ok(0);
        }
    }
    Err(trouble!(
        "the daemon has ended, or we read too slowly: ask again"
    ))
}

/// What would be news, if all of it were.
fn standing(status: Status<String>) -> Vec<News<String>> {
    let entries = status.entries.into_iter().map(News::Outcome);
    let left = status.left_alone.into_iter().map(|left| News::LeftAlone {
        item: left.item,
        subject: left.subject,
        reason: left.reason,
    });
    let bad = status.bad_profile.map(|error| News::BadProfile { error });
    let held = status.held.map(|reason| News::Held { reason });
    let summary = status.summary;
    let ready = status.last_full_look.map(|_| News::Ready { summary });
    let all = entries.chain(left).chain(bad).chain(held).chain(ready);
    all.collect()
}

/// The summary, then a line for each subject that is not well, then what the daemon is and has done.
fn render(status: &Status<String>, quiet: bool) -> String {
    let summary = match &status.last_full_look {
        Some(_) => format!("{}\n", status.summary),
        None => "not looked at yet\n".into(),
    };
    if quiet {
        return summary;
    }
    let mut text = summary;
    for entry in &status.entries {
        text.push_str(&line(&News::Outcome(entry.clone())));
    }
    if status.left_off > 0 {
        text.push_str(&format!("   and {} more\n", status.left_off));
    }
    if let Some(error) = &status.bad_profile {
        let error = error.clone();
        text.push_str(&line(&News::<String>::BadProfile { error }));
    }
    for left in &status.left_alone {
        let (item, subject) = (&left.item, &left.subject);
        text.push_str(&row(
            "left alone",
            &format!("{item} {subject} until {}: {}", left.until, left.reason),
        ));
    }
    if let Some(reason) = &status.held {
        text.push_str(&row("held", reason));
    }
    text + &about(status)
}

fn about(status: &Status<String>) -> String {
    let mode = match status.mode {
        Mode::Watch => "watch",
        Mode::Enforce => "enforce",
    };
    let hash = status.profile.hash.get(..12).unwrap_or_default();
    let looked = status.last_look.as_deref().unwrap_or("not yet");
    let everything = status.last_full_look.as_deref().unwrap_or("not yet");
    [
        row("profile", &format!("{} ({hash})", status.profile.name)),
        row("mode", mode),
        row(
            "daemon",
            &format!("{} since {}", status.version, status.since),
        ),
        row("looked", &format!("{looked}, at everything {everything}")),
        row(
            "so far",
            &format!(
                "{} looks, {} fixed, {} failed",
                status.looks, status.fixed, status.failed
            ),
        ),
    ]
    .concat()
}

fn row(name: &str, text: &str) -> String {
    let dim = Style::new().dimmed();
    format!("   {dim}{name:<10}{dim:#} {text}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = r#"{"schema_version":1,"version":"0.1.0","profile":{"name":"site","hash":"0123456789abcdef"},
        "mode":"enforce","since":"2026-11-21T20:00:00Z","summary":"1 in sync · 1 blocked: sysctl vm.x · held: paused for 9m",
        "counts":{"in_sync":1,"blocked":1},"items":[{"item":"sysctl","mode":"watch","counts":{"in_sync":1}}],
        "entries":[{"item":"sysctl","subject":"vm.x","outcome":"blocked",
            "live":{"state":"differs","from":"0","to":"1","origin":"/etc/sysctl.d/z.conf:3"},"boot":{"state":"in_sync"}}],
        "left_off":2,"held":"paused for 9m","bad_profile":null,
        "left_alone":[{"item":"sysctl","subject":"vm.x","reason":"contested","contested":true,"until":"2026-11-21T20:09:00Z"}],
        "last_look":"2026-11-21T20:05:00Z","last_full_look":"2026-11-21T20:00:01Z",
        "looks":7,"fixed":5,"failed":0,"exit_code":2,"of a later version":1}"#;

    fn plain(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    #[test]
    fn a_status_is_a_short_table() {
        let mut status: Status<String> = serde_json::from_str(STATUS).unwrap();
        let expected = "1 in sync · 1 blocked: sysctl vm.x · held: paused for 9m
.. sysctl vm.x: blocked; live: 0 → 1 (/etc/sysctl.d/z.conf:3)
   and 2 more
   left alone sysctl vm.x until 2026-11-21T20:09:00Z: contested
   held       paused for 9m
   profile    site (0123456789ab)
   mode       enforce
   daemon     0.1.0 since 2026-11-21T20:00:00Z
   looked     2026-11-21T20:05:00Z, at everything 2026-11-21T20:00:01Z
   so far     7 looks, 5 fixed, 0 failed
";
        assert_eq!(plain(&render(&status, false)), expected);
        status.last_full_look = None;
        assert_eq!(render(&status, true), "not looked at yet\n");
    }

    #[test]
    fn the_present_standing_is_told_as_news() {
        let status: Status<String> = serde_json::from_str(STATUS).unwrap();
        let lines: String = standing(status).iter().map(line).collect();
        let expected = ".. sysctl vm.x: blocked; live: 0 → 1 (/etc/sysctl.d/z.conf:3)
.. sysctl vm.x: contested
.. held: paused for 9m
ok watching: 1 in sync · 1 blocked: sysctl vm.x · held: paused for 9m
";
        assert_eq!(plain(&lines), expected);
    }
}
