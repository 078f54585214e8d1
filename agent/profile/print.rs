//! The tree as TOML text: `profile show` prints what a profile came to, and that text must load
//! again to the same profile, with the same keys in the same order each time.

use std::fmt::Write as _;

use super::tree::{Node, Table, Value};
use crate::secret;

/// Lists that would make a longer line than this are written one element a line.
const LINE_WIDTH: usize = 100;

/// A document: plain values first, then a header for each table and each table in it; what is
/// nested deeper is inline.
pub fn document(root: &Table) -> String {
    let mut text = String::new();
    plain_entries(&mut text, root);
    for (name, section) in tables(root) {
        header(&mut text, &key(name));
        plain_entries(&mut text, section);
        for (inner, table) in tables(section) {
            header(&mut text, &format!("{}.{}", key(name), key(inner)));
            table
                .iter()
                .for_each(|(entry, node)| line(&mut text, &entry.name, node));
        }
    }
    text
}

fn tables(table: &Table) -> impl Iterator<Item = (&str, &Table)> {
    table
        .iter()
        .filter_map(|(key, node)| Some((key.name.as_str(), node.as_table()?)))
}

fn header(text: &mut String, path: &str) {
    let gap = if text.is_empty() { "" } else { "\n" };
    push(text, format_args!("{gap}[{path}]\n"));
}

fn plain_entries(text: &mut String, table: &Table) {
    for (entry, node) in table.iter().filter(|(_, node)| node.as_table().is_none()) {
        line(text, &entry.name, node);
    }
}

fn line(text: &mut String, name: &str, node: &Node) {
    let (name, value) = (key(name), entry(name, &node.value));
    match &node.value {
        Value::List(items) if name.len() + value.len() > LINE_WIDTH => {
            push(text, format_args!("{name} = [\n"));
            for item in items {
                push(text, format_args!("    {},\n", inline(&item.value)));
            }
            text.push_str("]\n");
        }
        _ => push(text, format_args!("{name} = {value}\n")),
    }
}

fn push(text: &mut String, piece: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = text.write_fmt(piece);
}

/// The value of a key, which is not told where the key names a secret.
fn entry(name: &str, value: &Value) -> String {
    match secret::is_named(name) {
        true => quoted(secret::HIDDEN),
        false => inline(value),
    }
}

/// A value as it stands behind a `=`, on one line.
pub fn inline(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        Value::Integer(number) => number.to_string(),
        Value::Float(number) if number.is_nan() => "nan".to_owned(),
        // Debug keeps the `.0` or exponent that makes it a float, and prints `inf`.
        Value::Float(number) => format!("{number:?}"),
        Value::Boolean(truth) => truth.to_string(),
        Value::Datetime(moment) => moment.clone(),
        Value::List(items) => {
            let items: Vec<_> = items.iter().map(|item| inline(&item.value)).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Table(table) if table.is_empty() => "{}".to_owned(),
        Value::Table(table) => {
            let pair = |(name, node): (&super::tree::Key, &Node)| {
                format!("{} = {}", key(&name.name), entry(&name.name, &node.value))
            };
            format!(
                "{{ {} }}",
                table.iter().map(pair).collect::<Vec<_>>().join(", ")
            )
        }
    }
}

/// A key, quoted when it must be (<https://toml.io/en/v1.0.0#keys>).
pub fn key(name: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !name.is_empty() && name.chars().all(bare) {
        name.to_owned()
    } else {
        quoted(name)
    }
}

/// A basic string (<https://toml.io/en/v1.0.0#string>).
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            c if c.is_control() => push(&mut quoted, format_args!("\\u{:04X}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
