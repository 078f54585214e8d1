//! TOML text to [`Table`]: the `toml` crate's own tree borrows its text and forgets the order of
//! keys, and a merged profile needs neither.

use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnostic::ProfileError;
use super::tree::{Key, Node, Source, Span, Table, Value};

/// Parses a TOML 1.1 document.
///
/// # Errors
/// What is not TOML, and integers beyond 64 bits, at their place.
pub fn parse(source: &Arc<Source>) -> Result<Table, ProfileError> {
    let root = DeTable::parse(&source.text).map_err(|error| not_toml(source, &error))?;
    table(source, root.get_ref())
}

fn not_toml(source: &Arc<Source>, error: &toml::de::Error) -> ProfileError {
    let at = Span::new(source, error.span().unwrap_or(0..0));
    ProfileError::new(format!("not valid TOML: {}", error.message())).at(at)
}

fn table(source: &Arc<Source>, written: &DeTable<'_>) -> Result<Table, ProfileError> {
    let mut entries: Vec<_> = written.iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    let mut table = Table::default();
    for (name, value) in entries {
        let at = Span::new(source, name.span());
        table.push(
            Key {
                name: name.get_ref().to_string(),
                at,
            },
            node(source, value)?,
        );
    }
    Ok(table)
}

// The recursion is bounded: the parser refuses more than 80 levels of each kind of nesting.
fn node(source: &Arc<Source>, written: &Spanned<DeValue<'_>>) -> Result<Node, ProfileError> {
    let at = Span::new(source, written.span());
    let value = match written.get_ref() {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Integer(digits) => i64::from_str_radix(digits.as_str(), digits.radix())
            .map(Value::Integer)
            .map_err(|_| ProfileError::new("the integer does not fit 64 bits").at(at.clone()))?,
        DeValue::Float(digits) => digits
            .as_str()
            .parse()
            .map(Value::Float)
            .map_err(|_| ProfileError::new("not a number").at(at.clone()))?,
        DeValue::Boolean(truth) => Value::Boolean(*truth),
        DeValue::Datetime(moment) => Value::Datetime(moment.to_string()),
        DeValue::Array(items) => Value::List(
            items
                .iter()
                .map(|item| node(source, item))
                .collect::<Result<_, _>>()?,
        ),
        DeValue::Table(inner) => Value::Table(table(source, inner)?),
    };
    Ok(Node { value, at })
}
