//! `--set PATH=VALUE`: one setting of a profile from the command line, the last file in the line
//! of those it extends.

use std::sync::Arc;

use super::diagnostic::ProfileError;
use super::document;
use super::merge::Layer;
use super::parse;
use super::tree::{Key, Node, Source, Span, Table, Value};

/// What the profile says about itself cannot be set from outside.
const HEADER: &[&str] = &["schema", "name", "description", "extends"];

/// Reads `PATH=VALUE`: PATH as a TOML key, VALUE as a TOML value or, when it is none, as a string.
///
/// # Errors
/// Usage errors: no `=`, a PATH that is no key, a PATH without a section, a header key.
pub fn layer(setting: &str) -> Result<Layer, ProfileError> {
    let source = Source::new("--set", setting);
    let refused = |message: String| {
        ProfileError::new(message)
            .at(Span::new(&source, 0..setting.len()))
            .hint("write --set SECTION.KEY=VALUE, for example --set crictl.timeout=20")
            .usage()
    };
    let equals = equals_sign(setting).ok_or_else(|| refused("there is no `=`".to_owned()))?;
    let path = setting.get(..equals).unwrap_or_default();
    let keys = keys_of(path).ok_or_else(|| refused(format!("`{path}` is not a key")))?;
    match keys.as_slice() {
        [first, ..] if HEADER.contains(&first.as_str()) => {
            return Err(refused(format!("`{first}` belongs to the file")));
        }
        [only] if only != "remove" => {
            return Err(refused(format!("`{only}` is a whole section")));
        }
        _ => {}
    }
    document::layer(as_toml(&source, &keys).unwrap_or_else(|| as_string(&source, &keys, equals)))
}

/// The first `=` that is not in a quoted key.
fn equals_sign(setting: &str) -> Option<usize> {
    let mut quote = None;
    for (place, c) in setting.char_indices() {
        match (quote, c) {
            (None, '=') => return Some(place),
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), _) if open == c => quote = None,
            _ => {}
        }
    }
    None
}

/// The keys of a dotted path, found by giving it a value.
fn keys_of(path: &str) -> Option<Vec<String>> {
    let table = parse::parse(&Source::new("--set", format!("{path} = 0"))).ok()?;
    let mut keys = Vec::new();
    let mut inner = &table;
    loop {
        let (key, node) = only_entry(inner)?;
        keys.push(key.to_owned());
        match &node.value {
            Value::Table(table) => inner = table,
            _ => return Some(keys),
        }
    }
}

fn only_entry(table: &Table) -> Option<(&str, &Node)> {
    let mut entries = table.iter();
    let (key, node) = entries.next()?;
    entries
        .next()
        .is_none()
        .then_some((key.name.as_str(), node))
}

/// The setting as TOML, unless its value, being no TOML value, says something else: in
/// `a.b=1<newline>c.d=2` it is a text of two lines.
fn as_toml(source: &Arc<Source>, keys: &[String]) -> Option<Table> {
    let root = parse::parse(source).ok()?;
    let mut inner = &root;
    for (place, key) in keys.iter().enumerate() {
        let (name, node) = only_entry(inner)?;
        match node.as_table() {
            _ if name != key => return None,
            _ if place + 1 == keys.len() => break,
            deeper => inner = deeper?,
        }
    }
    Some(root)
}

/// The setting with its value taken as text.
fn as_string(source: &Arc<Source>, keys: &[String], equals: usize) -> Table {
    let at = Span::new(source, equals + 1..source.text.len());
    let mut node = Node {
        value: Value::String(at.text().to_owned()),
        at,
    };
    for name in keys.iter().rev() {
        let at = Span::new(source, 0..equals);
        let mut table = Table::default();
        table.push(
            Key {
                name: name.clone(),
                at: at.clone(),
            },
            node,
        );
        node = Node {
            value: Value::Table(table),
            at,
        };
    }
    match node.value {
        Value::Table(table) => table,
        _ => Table::default(),
    }
}

#[cfg(test)]
#[path = "set_test.rs"]
mod tests;
