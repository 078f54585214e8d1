//! A user's profile: refused with a place and a reason, or shown in a form that loads to the same.

use std::path::Path;

use nodeprep::items::Item;
use nodeprep::profile::{self, ProfileError, Resolved};

pub fn loads(input: &[u8]) {
    let parts: Vec<&[u8]> = super::parts(input).collect();
    let sets: Vec<String> = parts
        .iter()
        .skip(2)
        .map(|set| String::from_utf8_lossy(set).into_owned())
        .collect();
    let Ok(resolved) = load(&parts, &sets) else {
        return;
    };
    let items = items(&resolved);
    let shown = resolved.to_toml();
    let again = load(&[shown.as_bytes()], &[])
        .unwrap_or_else(|error| panic!("{}\n{shown}", error.render(false)));
    assert_eq!(again.to_toml(), shown);
    assert_eq!(self::items(&again), items, "{shown}");
}

/// The first part is the profile, the second the file that others are.
fn load(parts: &[&[u8]], sets: &[String]) -> Result<Resolved, ProfileError> {
    let mut read = |path: &Path| {
        let number = usize::from(path != Path::new("main.toml"));
        parts
            .get(number)
            .map(|part| part.to_vec())
            .ok_or_else(|| "is not there".to_owned())
    };
    let facts = || Ok(serde_json::json!({ "hostname": "node-1", "cpus": 4 }));
    profile::load("main.toml", sets, &mut read, &facts).inspect_err(show)
}

/// The typed sections that could be read.
fn items(resolved: &Resolved) -> Vec<Item> {
    let sections = resolved.sections();
    let typed = sections.filter_map(|(key, node)| Item::from_section(&key.name, node));
    typed
        .filter_map(|item| item.inspect_err(show).ok())
        .collect()
}

/// An error must be printable: its place has to be one in the text.
fn show(error: &ProfileError) {
    let [plain, colored] = [false, true].map(|color| error.render(color));
    assert!(!plain.trim().is_empty() && !colored.is_empty());
}
