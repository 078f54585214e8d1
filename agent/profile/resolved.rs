//! A profile with everything it extends merged and every string expanded: the only form that
//! travels.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::diagnostic::ProfileError;
use super::document::SCHEMAS;
use super::expand;
use super::print;
use super::tree::{Key, Node, Source, Span, Table, Value};

/// A resolved profile. Its sections are checked by those who know their types.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// Its name; the file's stem where the file gives none.
    pub name: String,
    /// Its description.
    pub description: Option<String>,
    /// The variables, expanded.
    pub vars: Table,
    /// The files and built-in profiles it was made of, the one asked for first.
    pub sources: Vec<Arc<Source>>,
    pub(super) sections: Table,
}

impl Resolved {
    /// The sections in order, merged and expanded.
    pub fn sections(&self) -> impl Iterator<Item = (&Key, &Node)> {
        self.sections.iter()
    }

    /// The section called `name`.
    pub fn section(&self, name: &str) -> Option<&Node> {
        self.sections.get(name)
    }

    /// Where `path` is written: keys from the section inwards, the last step also an element of a
    /// list of strings. The place of what exists of it.
    pub fn locate(&self, path: &[&str]) -> Option<Span> {
        let (first, rest) = path.split_first()?;
        let (key, mut node) = self.sections.entry(first)?;
        let mut place = &key.at;
        for step in rest {
            let next = match &node.value {
                Value::Table(table) => table.entry(step).map(|(key, node)| (&key.at, node)),
                Value::List(items) => items
                    .iter()
                    .find(|item| item.as_str() == Some(step))
                    .map(|item| (&item.at, item)),
                _ => None,
            };
            let Some(next) = next else { break };
            (place, node) = next;
        }
        Some(place.clone())
    }

    /// An error about the setting at `path`, for checks that span sections.
    pub fn error_at(&self, path: &[&str], message: impl Into<String>) -> ProfileError {
        let mut error = ProfileError::new(message);
        error.at = self.locate(path);
        error
    }

    /// The SHA-256 of what it came to, by which two hosts tell that they have the same one; secrets are not
    /// in it.
    pub fn hash(&self) -> String {
        let digits = Sha256::digest(self.to_toml());
        digits.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The same for programs: name, description and sections, strings as they are meant.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "schema": SCHEMAS.last(),
            "name": self.name,
            "description": self.description,
            "sections": json(&self.sections),
        })
    }

    /// The profile as one TOML file without `extends` and `vars`, which loads to the same again.
    pub fn to_toml(&self) -> String {
        let mut text = String::new();
        let header = [
            ("schema", SCHEMAS.last().copied()),
            ("name", Some(self.name.as_str())),
            ("description", self.description.as_deref()),
        ];
        for (key, value) in header {
            if let Some(value) = value {
                let value = Value::String(value.to_owned());
                text.push_str(&format!("{key} = {}\n", print::inline(&value)));
            }
        }
        let mut sections = self.sections.clone();
        sections.iter_mut().for_each(|(_, node)| escape(node));
        let sections = print::document(&sections);
        if !sections.is_empty() {
            text.push('\n');
        }
        text + &sections
    }
}

fn json(table: &Table) -> serde_json::Value {
    let entry = |(key, node): (&Key, &Node)| (key.name.clone(), value(node));
    table.iter().map(entry).collect()
}

/// A date stays text, and so does a number JSON has no word for (`nan`, `inf`).
fn value(node: &Node) -> serde_json::Value {
    match &node.value {
        Value::String(text) | Value::Datetime(text) => text.as_str().into(),
        Value::Integer(number) => (*number).into(),
        Value::Float(number) if number.is_finite() => (*number).into(),
        Value::Float(number) => number.to_string().into(),
        Value::Boolean(truth) => (*truth).into(),
        Value::List(items) => items.iter().map(value).collect(),
        Value::Table(table) => json(table),
    }
}

/// Makes strings that happen to look like templates literal.
fn escape(node: &mut Node) {
    match &mut node.value {
        Value::String(text) => *text = expand::literal(text),
        Value::List(items) => items.iter_mut().for_each(escape),
        Value::Table(table) => table.iter_mut().for_each(|(_, entry)| escape(entry)),
        _ => {}
    }
}

/// The error for a section that no item kind reads.
pub fn unknown_section(key: &Key, known: &[&str]) -> ProfileError {
    ProfileError::new(format!("unknown section [{}]", print::key(&key.name)))
        .at(key.at.clone())
        .suggest(&key.name, known.iter().copied())
}
