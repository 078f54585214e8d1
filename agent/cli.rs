//! The commands, and the only code that prints. Results go to stdout, everything else to stderr.

mod apply;
mod args;
mod confirm;
mod daemon;
mod explain;
mod facts;
mod history;
mod npd;
mod profile;
mod rollback;
mod status;

use std::ffi::OsString;
use std::io::Write;

use clap::{CommandFactory, Parser};

use crate::error::Error;
use args::{Cli, Command, Output};

/// Exit codes beyond the four of a report (sysexits.h names).
const EX_USAGE: u8 = 64;
const EX_DATAERR: u8 = 65;
const EX_TEMPFAIL: u8 = 75;
const EX_NOPERM: u8 = 77;
/// Trouble.
const TROUBLE: u8 = 1;

/// Runs the command line; the answer is the exit code.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        // --help and --version are no errors.
        Err(error) if !error.use_stderr() => return u8::from(error.print().is_err()),
        Err(error) => {
            // Where stderr is closed there is nobody to tell.
            let _ = error.print();
            return EX_USAGE;
        }
    };
    listen(&cli);
    match command(&cli) {
        Ok(code) => code,
        Err(error) => {
            tell(&error);
            code(&error)
        }
    }
}

fn command(cli: &Cli) -> Result<u8, Error> {
    let is_check = matches!(cli.command, Command::Check(_));
    if cli.output == Output::Npd && !is_check {
        let text = "--output npd is for check alone: expected human or json";
        return Err(Error::Usage(text.into()));
    }
    match &cli.command {
        Command::Apply(apply) if apply.dry_run => apply::plan(cli, &apply.plan),
        Command::Apply(apply) => apply::apply(cli, apply),
        Command::Check(target) if cli.output == Output::Npd => npd::check(cli, target),
        Command::Check(target) => apply::check(cli, target),
        Command::Plan(plan) => apply::plan(cli, plan),
        Command::Daemon(daemon) => daemon::daemon(cli, daemon),
        Command::Status => status::status(cli),
        Command::Events(events) => status::events(cli, events),
        Command::Confirm => confirm::confirm(cli),
        Command::History(history) => history::history(cli, history),
        Command::Rollback(rollback) => rollback::rollback(cli, rollback),
        Command::Remove(how) => rollback::remove(cli, how),
        Command::Explain { item } => explain::explain(cli, item.as_deref()),
        Command::Facts { root } => facts::facts(cli, root.as_deref()),
        Command::Profile(command) => profile::profile(cli, command),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "nodeprep", &mut script);
            print(&String::from_utf8_lossy(&script))
        }
    }
}

/// The one exit table for what stopped a command; a report's code is `report::exit_code`.
fn code(error: &Error) -> u8 {
    match error {
        Error::Usage(_) => EX_USAGE,
        Error::Profile(_) => EX_DATAERR,
        Error::Locked(_) => EX_TEMPFAIL,
        Error::NotRoot(_) => EX_NOPERM,
        Error::Trouble(_) => TROUBLE,
    }
}

fn tell(error: &Error) {
    let mut stderr = anstream::stderr().lock();
    // Where stderr is closed there is nobody to tell.
    let _ = match error {
        Error::Profile(rendered) => writeln!(stderr, "{}", rendered.trim_end()),
        other => writeln!(stderr, "error: {other}"),
    };
}

/// Prints a result on a line of its own.
fn print_line(value: &impl serde::Serialize) -> Result<u8, Error> {
    let text = serde_json::to_string(value).map_err(|e| crate::error::trouble!("json: {e}"))?;
    print(&(text + "\n"))
}

/// Prints a result. A reader that has gone away (`| head`) is no trouble.
fn print(text: &str) -> Result<u8, Error> {
    deliver(text).map(|_| 0)
}

/// Prints a result, and tells whether there is anyone to read it.
fn deliver(text: &str) -> Result<bool, Error> {
    // Written in one piece: the stripping stream would write each line by itself.
    let mut stdout = std::io::stdout().lock();
    let text = match anstream::AutoStream::choice(&stdout) {
        anstream::ColorChoice::Never => anstream::adapter::strip_str(text).to_string(),
        _ => text.to_owned(),
    };
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(crate::error::trouble!("stdout: {error}"))
        }
        done => Ok(done.is_ok()),
    }
}

fn print_json(value: &impl serde::Serialize) -> Result<u8, Error> {
    let text =
        serde_json::to_string_pretty(value).map_err(|e| crate::error::trouble!("json: {e}"))?;
    print(&(text + "\n"))
}

fn level(cli: &Cli) -> tracing::Level {
    match (cli.quiet, cli.verbose) {
        (true, _) => tracing::Level::ERROR,
        (false, false) => tracing::Level::WARN,
        (false, true) => tracing::Level::INFO,
    }
}

fn listen(cli: &Cli) {
    tracing_subscriber::fmt()
        .with_max_level(level(cli))
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .with_target(false)
        .without_time()
        // It would tell stderr that stderr can't be written, and panic in the middle of a step.
        .log_internal_errors(false)
        .init();
}
