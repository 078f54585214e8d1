//! `profile list|show|validate`.

use super::args::{Cli, Output, ProfileCommand, Source};
use crate::error::{Error, Result};
use crate::host::Host;
use crate::profile::{Profile, builtin};

pub(super) fn profile(cli: &Cli, command: &ProfileCommand) -> Result<u8> {
    match command {
        ProfileCommand::List => list(cli),
        ProfileCommand::Show(source) => {
            let profile = read(source)?;
            super::print(&profile.text)
        }
        ProfileCommand::Validate(source) => {
            let profile = read(source)?;
            let items: Vec<&str> = profile.items.iter().map(crate::items::Item::name).collect();
            super::print(&format!(
                "{} can be used: {}\n",
                profile.name,
                items.join(", ")
            ))
        }
    }
}

fn read(source: &Source) -> Result<Profile> {
    Profile::load(&Host::live(), source.profile.as_deref(), &source.set)
}

fn list(cli: &Cli) -> Result<u8> {
    let profiles = builtin::list().map_err(|error| Error::Profile(error.render(true)))?;
    if cli.output == Output::Json {
        let named =
            |(name, description)| serde_json::json!({"name": name, "description": description});
        return super::print_json(&profiles.into_iter().map(named).collect::<Vec<_>>());
    }
    let text: String = profiles
        .iter()
        .map(|(name, about)| format!("{name:<24}{about}\n"))
        .collect();
    super::print(&text)
}
