//! The text of a journald.conf: one section, some of whose keys have two names.

use super::value::known;
use crate::template;
use crate::text::section;

/// The only section journald reads.
const SECTION: &str = "Journal";

/// Every assignment in the section: line, name and value.
pub fn assignments(text: &[u8]) -> Vec<(usize, String, String)> {
    section::assignments(text, SECTION)
}

/// The file with `keys` set.
pub fn set<'a>(old: Option<&[u8]>, keys: impl Iterator<Item = (&'static str, &'a str)>) -> Vec<u8> {
    let header = template::header("journald.conf");
    let old = old.filter(|old| !old.is_empty());
    let is_same = |found: &str, name: &str| known(found).is_some_and(|key| key.name == name);
    section::set(old.unwrap_or(header.as_bytes()), SECTION, is_same, keys)
}
