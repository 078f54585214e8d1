//! Changing single keys of a TOML file in which every other byte is somebody else's.

use std::borrow::Cow;

use toml_edit::{Array, DocumentMut, InlineTable, Item, Key, RawString, TableLike, Value};

use super::key::CRI_PLUGINS;

/// The text with the key at `path` set. None where its tables are written in a way that can't be
/// continued.
pub fn set(text: &str, path: &[&str], value: &Value) -> Option<String> {
    let (last, tables) = path.split_last()?;
    let mut document = open(text)?;
    let mut depth = 0;
    let mut item = document.as_item_mut();
    // As far down as there are tables with a place of their own; an implicit one has none.
    while let Some(name) = tables.get(depth) {
        let next = item.as_table_like().and_then(|table| table.get(name));
        if next.is_none_or(|next| next.is_none()) {
            break;
        }
        item = item.as_table_like_mut()?.get_mut(name)?;
        depth += 1;
    }
    let missing = tables.get(depth..)?;
    let header = item.as_table().filter(|table| !table.is_dotted());
    let begun = depth == 0 || header.is_some_and(|table| !table.is_implicit());
    if header.is_some() && !(begun && missing.is_empty()) {
        return Some(append(text, tables, last, value));
    }
    let indent = header.map_or("".into(), indent_below);
    let table = item.as_table_like_mut()?;
    match missing.split_first() {
        None => put(table, last, value, &indent),
        Some((first, rest)) => {
            let mut inner = InlineTable::from_iter([(*last, value.clone())]);
            for name in rest.iter().rev() {
                inner = InlineTable::from_iter([(*name, Value::InlineTable(inner))]);
            }
            put(table, first, &Value::InlineTable(inner), "");
        }
    }
    Some(close(text, &document))
}

/// The text without the names of CRI in `disabled_plugins`.
pub fn enable_cri(text: &str) -> Option<String> {
    let mut document = open(text)?;
    let plugins = document.get_mut("disabled_plugins")?.as_array_mut()?;
    // The comment behind an element belongs to the one after it.
    let mut comments = String::new();
    let mut kept = Array::new();
    for mut plugin in plugins.iter().cloned() {
        let [before, after] = [plugin.decor().prefix(), plugin.decor().suffix()].map(|blank| {
            blank
                .and_then(RawString::as_str)
                .unwrap_or_default()
                .to_owned()
        });
        if is_cri(&plugin) {
            for comment in [before, after].iter().filter(|blank| blank.contains('#')) {
                let (lines, indent) = comment.rsplit_once('\n').unwrap_or((comment, ""));
                comments += &format!("{}\n{indent}", lines.trim_end());
            }
        } else {
            let comments = std::mem::take(&mut comments);
            if !comments.is_empty() {
                plugin
                    .decor_mut()
                    .set_prefix(comments + before.trim_start());
            }
            kept.push_formatted(plugin);
        }
    }
    let end = plugins.trailing().as_str().unwrap_or_default();
    // A comment ends with its line.
    let end = match comments.is_empty() || end.contains('\n') {
        true => end,
        false => "\n",
    };
    kept.set_trailing(comments.trim_end().to_owned() + end);
    kept.set_trailing_comma(plugins.trailing_comma() && !kept.is_empty());
    *kept.decor_mut() = plugins.decor().clone();
    *plugins = kept;
    Some(close(text, &document))
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
    put(document.as_table_mut(), "version", &Value::from(2), "");
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

/// Sets a key, the blanks and the comment around an old value kept.
/// A new key is indented as its neighbours are, else as told.
fn put(table: &mut dyn TableLike, name: &str, value: &Value, indent: &str) {
    if let Some(old) = table.get_mut(name).and_then(Item::as_value_mut) {
        let decor = old.decor().clone();
        *old = value.clone();
        *old.decor_mut() = decor;
        return;
    }
    let indent = neighbours(table).unwrap_or_else(|| indent.to_owned());
    table.insert(name, Item::Value(value.clone()));
    if let Some(mut key) = table.key_mut(name).filter(|_| !indent.is_empty()) {
        key.leaf_decor_mut().set_prefix(indent);
    }
}

/// The blanks before the first key of a table.
fn neighbours(table: &dyn TableLike) -> Option<String> {
    let mut keys = table.iter().filter(|(_, item)| item.is_value());
    let (first, _) = keys.next()?;
    let prefix = table.key(first)?.leaf_decor().prefix();
    let line = prefix.and_then(RawString::as_str).unwrap_or_default();
    let line = line.rsplit('\n').next()?;
    line.trim().is_empty().then(|| line.to_owned())
}

/// A step more than the header of a table, where that is indented.
fn indent_below(header: &toml_edit::Table) -> String {
    let prefix = header.decor().prefix().and_then(RawString::as_str);
    match prefix.and_then(|prefix| prefix.rsplit('\n').next()) {
        None | Some("") => String::new(),
        Some(blank) if blank.contains('\t') => format!("{blank}\t"),
        Some(blank) => format!("{blank}  "),
    }
}

/// A new table stands at the end: comments that others left there keep their places.
fn append(text: &str, tables: &[&str], name: &str, value: &Value) -> String {
    let end = if plain(text) == text { "\n" } else { "\r\n" };
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

#[cfg(test)]
#[path = "edit_test.rs"]
mod tests;
