//! `facts`: what `{{ facts.… }}` in a profile gives on this host.

use std::path::Path;

use super::args::{Cli, Output};
use crate::error::{Result, trouble};

pub(super) fn facts(cli: &Cli, root: Option<&Path>) -> Result<u8> {
    let facts = super::apply::host(root)?.facts()?;
    if cli.output == Output::Json {
        return super::print_json(&facts);
    }
    let value = serde_json::to_value(&facts).map_err(|error| trouble!("facts: {error}"))?;
    let rows = value.as_object().into_iter().flatten();
    let text: String = rows
        .map(|(name, value)| match value {
            serde_json::Value::Null => format!("{name:<22}(not known)\n"),
            serde_json::Value::String(text) => format!("{name:<22}{text}\n"),
            other => format!("{name:<22}{other}\n"),
        })
        .collect();
    super::print(&text)
}
