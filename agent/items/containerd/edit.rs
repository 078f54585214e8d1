//! Changing single keys of a TOML file in which every other byte is somebody else's.

use std::borrow::Cow;
use std::ops::Range;

use toml_edit::{
    Array, Decor, Document, DocumentMut, InlineTable, Item, Key, RawString, Table, Value,
};

use super::key::CRI_PLUGINS;

/// The text with the key at `path` set: spliced in, so that no other byte can change. None where its
/// tables are written in a way that can't be continued.
pub fn set(text: &str, path: &[&str], value: &Value) -> Option<String> {
    let (last, tables) = path.split_last()?;
    let document = Document::parse(text).ok()?;
    let mut item = document.as_item();
    let mut depth = 0;
    while let Some(next) = tables
        .get(depth)
        .and_then(|name| item.as_table_like()?.get(name))
    {
        item = next;
        depth += 1;
    }
    let table = item.as_table_like()?;
    if let Some(old) = table.get(last).filter(|_| depth == tables.len()) {
        old.as_value()?;
        return Some(splice(text, old.span()?, &value.to_string()));
    }
    match item.as_table().filter(|table| !table.is_dotted()) {
        Some(table) if depth == tables.len() && !table.is_implicit() => {
            insert(text, table, last, value)
        }
        Some(_) => Some(append(text, tables, last, value)),
        None => within(text, path, depth, value),
    }
}

fn splice(text: &str, at: Range<usize>, new: &str) -> String {
    let before = text.get(..at.start).unwrap_or_default();
    let after = text.get(at.end..).unwrap_or_default();
    format!("{before}{new}{after}")
}

/// A new key stands behind the last one of its table, or behind the header.
fn insert(text: &str, table: &Table, name: &str, value: &Value) -> Option<String> {
    let last = table
        .get_values()
        .into_iter()
        .filter_map(|(_, value)| value.span());
    let last = last.max_by_key(|span| span.end);
    let header = table.span()?;
    let (begin, end) = match &last {
        Some(last) => (last.start, last.end),
        None => (header.start, header.end),
    };
    let line = text.get(..begin)?.rsplit('\n').next()?;
    let blank: String = line
        .chars()
        .take_while(|c| [' ', '\t'].contains(c))
        .collect();
    // Keys are a step deeper than a header that is indented.
    let step = match (&last, blank.contains('\t')) {
        (Some(_), _) => "",
        (None, _) if blank.is_empty() => "",
        (None, true) => "\t",
        (None, false) => "  ",
    };
    let new = format!("{blank}{step}{} = {value}", Key::new(name));
    let rest = text.get(end..)?;
    Some(match rest.find('\n') {
        Some(newline) => splice(
            text,
            end + newline + 1..end + newline + 1,
            &(new + line_end(text)),
        ),
        None => format!("{text}{}{new}{}", line_end(text), line_end(text)),
    })
}

/// Continues an inline table, or a table of dotted keys.
fn within(text: &str, path: &[&str], depth: usize, value: &Value) -> Option<String> {
    let mut document = open(text)?;
    let mut item = document.as_item_mut();
    for name in path.get(..depth)? {
        item = item.as_table_like_mut()?.get_mut(name)?;
    }
    let mut value = value.clone();
    let (first, rest) = path.get(depth..)?.split_first()?;
    for name in rest.iter().rev() {
        value = Value::InlineTable(InlineTable::from_iter([(*name, value)]));
    }
    item.as_table_like_mut()?.insert(first, Item::Value(value));
    Some(close(text, &document))
}

/// The text without the names of CRI in `disabled_plugins`.
pub fn enable_cri(text: &str) -> Option<String> {
    let document = Document::parse(text).ok()?;
    let plugins = document.get("disabled_plugins")?.as_array()?;
    // The comment behind an element belongs to the one after it.
    let mut comments = String::new();
    let mut kept = Array::new();
    let blank = |raw: Option<&RawString>| match raw.and_then(RawString::span) {
        Some(span) => text.get(span).unwrap_or_default().to_owned(),
        None => String::new(),
    };
    for plugin in plugins {
        let [before, after] = [plugin.decor().prefix(), plugin.decor().suffix()].map(blank);
        if is_cri(plugin) {
            for comment in [before, after].iter().filter(|blank| blank.contains('#')) {
                let (lines, indent) = comment.rsplit_once('\n').unwrap_or((comment, ""));
                comments += &format!("{}\n{indent}", lines.trim_end());
            }
        } else {
            let comments = std::mem::take(&mut comments);
            let prefix = match comments.is_empty() {
                true => before,
                false => comments + before.trim_start(),
            };
            let written = text.get(plugin.span()?)?;
            let mut plugin: Value = written.parse().ok()?;
            *plugin.decor_mut() = Decor::new(prefix, after);
            kept.push_formatted(plugin);
        }
    }
    let end = blank(Some(plugins.trailing()));
    // A comment ends with its line.
    let end = match comments.is_empty() || end.contains('\n') {
        true => end,
        false => "\n".into(),
    };
    kept.set_trailing(comments.trim_end().to_owned() + &end);
    kept.set_trailing_comma(plugins.trailing_comma() && !kept.is_empty());
    Some(splice(text, plugins.span()?, kept.to_string().trim()))
}

/// Whether an element of `disabled_plugins` names CRI.
pub fn is_cri(plugin: &Value) -> bool {
    plugin
        .as_str()
        .is_some_and(|name| CRI_PLUGINS.contains(&name))
}

/// A version-1 file as version 2, which containerd reads since 1.3. None where other plugins than
/// CRI are configured or named: what they are called now is not known for all.
pub fn convert(text: &str) -> Option<String> {
    let mut document = open(text)?;
    let plugins = ["disabled_plugins", "required_plugins"];
    let lists = plugins
        .into_iter()
        .filter_map(|name| document.get(name)?.as_array());
    if !lists.into_iter().flat_map(Array::iter).all(is_cri) {
        return None;
    }
    if let Some(tables) = document.get_mut("plugins") {
        let tables = tables.as_table_mut().filter(|tables| !tables.is_dotted())?;
        if tables.iter().any(|(name, _)| name != "cri") {
            return None;
        }
        if let Some(cri) = tables.remove("cri") {
            tables.insert("io.containerd.grpc.v1.cri", cri);
        }
    }
    match document.get_mut("version").and_then(Item::as_value_mut) {
        Some(version) => {
            let decor = version.decor().clone();
            *version = Value::from(2);
            *version.decor_mut() = decor;
        }
        None => drop(document.insert("version", Item::Value(2.into()))),
    }
    for name in plugins {
        let list = document.get_mut(name).and_then(Item::as_array_mut);
        for plugin in list.into_iter().flat_map(Array::iter_mut) {
            let decor = plugin.decor().clone();
            *plugin = Value::from("io.containerd.grpc.v1.cri");
            *plugin.decor_mut() = decor;
        }
    }
    Some(close(text, &document))
}

/// Parses text that comes out again as it went in; line ends are made the parser's.
fn open(text: &str) -> Option<DocumentMut> {
    let text = plain(text);
    let document: DocumentMut = text.parse().ok()?;
    // A last line without an end gets one.
    let again = document.to_string();
    (again == text || again.strip_suffix('\n') == Some(&*text)).then_some(document)
}

fn close(text: &str, document: &DocumentMut) -> String {
    match plain(text) {
        Cow::Borrowed(_) => document.to_string(),
        Cow::Owned(_) => document.to_string().replace('\n', "\r\n"),
    }
}

/// The text with plain line ends, if all of them are CR LF.
fn plain(text: &str) -> Cow<'_, str> {
    let (all, crlf) = (text.matches('\n').count(), text.matches("\r\n").count());
    match all > 0 && all == crlf {
        true => text.replace("\r\n", "\n").into(),
        false => text.into(),
    }
}

/// A new table stands at the end: comments that others left there keep their places.
fn append(text: &str, tables: &[&str], name: &str, value: &Value) -> String {
    let end = line_end(text);
    let table: Vec<String> = tables
        .iter()
        .map(|name| Key::new(*name).to_string())
        .collect();
    let table = table.join(".");
    let gap = match text {
        "" => "",
        text if text.ends_with('\n') => end,
        _ => &end.repeat(2),
    };
    format!("{text}{gap}[{table}]{end}{} = {value}{end}", Key::new(name))
}

/// How the text ends its lines.
fn line_end(text: &str) -> &'static str {
    match plain(text) {
        Cow::Borrowed(_) => "\n",
        Cow::Owned(_) => "\r\n",
    }
}

#[cfg(test)]
#[path = "edit_test.rs"]
mod tests;
