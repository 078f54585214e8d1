//! `profile list|show|validate`.

use serde_json::json;

use super::EX_DATAERR;
use super::args::{Cli, Output, ProfileCommand, Source};
use crate::error::{Error, Result};
use crate::host::Host;
use crate::items::Item;
use crate::profile::lint::Warning;
use crate::profile::{Profile, ProfileError, bad, builtin};
use crate::report::SCHEMA_VERSION;

pub(super) fn profile(cli: &Cli, command: &ProfileCommand) -> Result<u8> {
    match command {
        ProfileCommand::List => list(cli),
        ProfileCommand::Show(source) => show(cli, source),
        ProfileCommand::Validate { source, strict } => validate(cli, source, *strict),
    }
}

fn read(host: &Host, source: &Source) -> std::result::Result<Profile, ProfileError> {
    Profile::read(host, source.profile.as_deref(), &source.set)
}

fn show(cli: &Cli, source: &Source) -> Result<u8> {
    let profile = read(&Host::live(), source).map_err(bad)?;
    match cli.output {
        Output::Json => super::print_json(&profile.resolved.to_json()),
        Output::Human | Output::Npd => super::print(&profile.resolved.to_toml()),
    }
}

/// A profile with warnings can be used: only --strict makes them an error.
fn validate(cli: &Cli, source: &Source, strict: bool) -> Result<u8> {
    let host = Host::live();
    let profile = match read(&host, source) {
        Ok(profile) => profile,
        Err(error) => {
            if cli.output == Output::Json && !error.is_usage() {
                super::print_json(&json!({
                    "schema_version": SCHEMA_VERSION, "valid": false, "error": error,
                }))?;
            }
            return Err(bad(error));
        }
    };
    let warnings = profile.warnings(host.facts()?.memory);
    let items: Vec<&str> = profile.items.iter().map(Item::name).collect();
    match cli.output {
        Output::Json => super::print_json(&json!({
            "schema_version": SCHEMA_VERSION, "valid": true, "name": profile.name,
            "items": items, "warnings": warnings,
        }))?,
        Output::Human | Output::Npd => super::print(&verdict(&profile.name, &items, &warnings))?,
    };
    match strict && !warnings.is_empty() {
        true => Ok(EX_DATAERR),
        false => Ok(0),
    }
}

fn verdict(name: &str, items: &[&str], warnings: &[Warning]) -> String {
    let drawn: String = warnings
        .iter()
        .map(|warning| warning.render() + "\n\n")
        .collect();
    let count = match warnings.len() {
        0 => String::new(),
        1 => ", with 1 warning".to_owned(),
        many => format!(", with {many} warnings"),
    };
    format!("{drawn}{name} can be used{count}: {}\n", items.join(", "))
}

fn list(cli: &Cli) -> Result<u8> {
    let profiles = builtin::list().map_err(|error| Error::Profile(error.render(true)))?;
    if cli.output == Output::Json {
        let named = |(name, description)| json!({"name": name, "description": description});
        return super::print_json(&profiles.into_iter().map(named).collect::<Vec<_>>());
    }
    let text: String = profiles
        .iter()
        .map(|(name, about)| format!("{name:<38}{about}\n"))
        .collect();
    super::print(&text)
}
