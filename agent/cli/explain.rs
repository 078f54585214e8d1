//! `explain`: what an item is for, in four paragraphs.

use super::args::{Cli, Output};
use crate::error::{Error, Result};
use crate::items::Item;

pub(super) fn explain(cli: &Cli, item: Option<&str>) -> Result<u8> {
    let Some(name) = item else {
        return super::print(&(Item::NAMES.join("\n") + "\n"));
    };
    let Some(explain) = Item::explain(name) else {
        let known = Item::NAMES.join(", ");
        return Err(Error::Usage(format!(
            "there is no item \"{name}\": there are {known}"
        )));
    };
    if cli.output == Output::Json {
        return super::print_json(&explain);
    }
    let parts = [
        ("Why", explain.why),
        ("Looks at", explain.looks_at),
        ("Changes", explain.changes),
        ("Undo by hand", explain.undo),
    ];
    let text: Vec<String> = parts
        .iter()
        .map(|(title, text)| format!("{title}:\n{}\n", wrap(text)))
        .collect();
    super::print(&text.join("\n"))
}

/// Breaks a text into indented lines of at most 80 letters.
fn wrap(text: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.len() + word.len() < 78 => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(format!(" {word}")),
        }
    }
    lines
        .iter()
        .map(|line| format!(" {line}"))
        .collect::<Vec<_>>()
        .join("\n")
}
