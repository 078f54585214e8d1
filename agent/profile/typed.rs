//! A resolved profile with its sections as typed items: what the engine is given.

use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::lint::{self, Allowed, Warning};
use super::{ProfileError, Resolved, de, unknown_section};
use crate::daemon::Settings;
use crate::error::{Error, Result};
use crate::host::{self, Host};
use crate::items::Item;

/// The sections that are no items.
const HISTORY: &str = "history";
const LINT: &str = "lint";
const DAEMON: &str = "daemon";
/// A run that changes something is rare on a prepared host. Each check reads the journals, which takes
/// some 60 µs for one.
const RUNS: usize = 20;

/// `[history]`
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct History {
    /// How many journals are kept; the older ones are joined in the last of them. 0 keeps all.
    pub runs: usize,
}

impl Default for History {
    fn default() -> Self {
        Self { runs: RUNS }
    }
}

/// A profile that can be applied.
#[derive(Debug)]
pub struct Profile {
    /// Its name.
    pub name: String,
    /// Its items, in apply order.
    pub items: Vec<Item>,
    /// How much of the past is kept.
    pub history: History,
    /// What the daemon does of its own accord.
    pub daemon: Settings,
    /// All of it, before it was typed.
    pub resolved: Resolved,
    allowed: Allowed,
}

impl Profile {
    /// Loads the profile called `name` (a path or a built-in one), or the default one, for a host.
    ///
    /// # Errors
    /// [`Error::Profile`] with file, line and column of what is wrong; [`Error::Usage`] for a
    /// `--set` that can't be.
    pub fn load(host: &Host, name: Option<&str>, sets: &[String]) -> Result<Self> {
        Self::read(host, name, sets).map_err(bad)
    }

    /// The same with the mistake as it is, for programs to read.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn read(
        host: &Host,
        name: Option<&str>,
        sets: &[String],
    ) -> std::result::Result<Self, ProfileError> {
        let default = host::default_profile().to_string_lossy();
        let mut read = |path: &Path| {
            host.note_profile(path);
            read(path, name.is_none())
        };
        let facts = || {
            let facts = host.facts().map_err(|error| error.to_string())?;
            let mut facts = serde_json::to_value(facts).map_err(|error| error.to_string())?;
            // What is not known here is not defined, rather than an empty string.
            if let Some(facts) = facts.as_object_mut() {
                facts.retain(|_, fact| !fact.is_null());
            }
            Ok(facts)
        };
        let resolved = super::load(name.unwrap_or(&default), sets, &mut read, &facts)?;
        Ok(Self {
            name: resolved.name.clone(),
            items: items(&resolved)?,
            history: section(&resolved, HISTORY)?,
            daemon: section(&resolved, DAEMON)?,
            allowed: section(&resolved, LINT)?,
            resolved,
        })
    }

    /// What can be applied and may still hurt. `memory` is the host's, in MiB, where it was asked.
    #[must_use]
    pub fn warnings(&self, memory: Option<u64>) -> Vec<Warning> {
        lint::warnings(&self.resolved, &self.allowed, memory)
    }
}

/// A section that is no item; its default where there is none.
fn section<T: DeserializeOwned + Default>(
    resolved: &Resolved,
    name: &str,
) -> std::result::Result<T, ProfileError> {
    match resolved.section(name) {
        Some(node) => de::from_node(node, name),
        None => Ok(T::default()),
    }
}

fn items(resolved: &Resolved) -> std::result::Result<Vec<Item>, ProfileError> {
    let known: Vec<&str> = Item::NAMES
        .iter()
        .copied()
        .chain([HISTORY, LINT, DAEMON])
        .collect();
    if let Some((key, _)) = resolved
        .sections()
        .find(|(key, _)| !known.contains(&&*key.name))
    {
        return Err(unknown_section(key, &known));
    }
    let sections = Item::NAMES
        .iter()
        .filter_map(|name| Some((name, resolved.section(name)?)));
    sections
        .filter_map(|(name, node)| Item::from_section(name, node))
        .collect()
}

/// A file that others can write is theirs to say what root does: refused where nobody named it,
/// warned of where somebody did (a shared Vagrant folder is 0777).
fn read(path: &Path, unattended: bool) -> std::result::Result<Vec<u8>, String> {
    let file = host::read_profile(path)?;
    if unattended && (file.writable_by_others || !file.is_roots) {
        return Err(
            "others can write it, and root would do as they say: chmod go-w, chown root".into(),
        );
    }
    if file.writable_by_others {
        tracing::warn!("{}: others can write this profile", path.display());
    }
    Ok(file.bytes)
}

/// The mistake as the command line tells it: of a file, or of a `--set`.
pub fn bad(error: ProfileError) -> Error {
    match (error.is_usage(), &error.hint) {
        (false, _) => Error::Profile(error.render(true)),
        (true, None) => Error::Usage(error.message),
        (true, Some(hint)) => Error::Usage(format!("{}: {hint}", error.message)),
    }
}
