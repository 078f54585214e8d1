//! Profiles as a tree whose every key and value remembers where it was written: a mistake found
//! late, in a typed section or after a merge of four files, can still point at its line.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// A text that keys and values come from: a file, a built-in profile or one `--set`.
pub struct Source {
    /// What errors call it: a path, a built-in's name or `--set`.
    pub name: String,
    /// The whole text, as written.
    pub text: String,
}

impl Source {
    /// A source that any number of spans can share.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Arc<Self> {
        Arc::new(Self {
            name: name.into(),
            text: text.into(),
        })
    }
}

/// The name only: a megabyte of text helps nobody who debugs a span.
impl fmt::Debug for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Source({})", self.name)
    }
}

/// A piece of a source. It shares its source, so it outlives the load that made it.
#[derive(Debug, Clone)]
pub struct Span {
    /// Where the piece is.
    pub source: Arc<Source>,
    range: Range<usize>,
}

impl Span {
    /// The bytes `range` of `source`, moved to the nearest valid place when they are none.
    pub fn new(source: &Arc<Source>, range: Range<usize>) -> Self {
        let start = source.text.floor_char_boundary(range.start);
        let end = source.text.ceil_char_boundary(range.end).max(start);
        Self {
            source: Arc::clone(source),
            range: start..end,
        }
    }

    /// The byte range, always on character boundaries of the source.
    pub fn range(&self) -> Range<usize> {
        self.range.clone()
    }

    /// The text as written.
    pub fn text(&self) -> &str {
        self.source.text.get(self.range()).unwrap_or_default()
    }

    /// Line and column where the piece starts, both from 1, the column in characters.
    pub fn line_column(&self) -> (usize, usize) {
        let before = self.source.text.get(..self.range.start).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let in_line = before.get(line_start..).unwrap_or_default();
        (
            before.matches('\n').count() + 1,
            in_line.chars().count() + 1,
        )
    }
}

/// A key of a table. Equality is that of the names.
#[derive(Debug, Clone)]
pub struct Key {
    /// The name, unquoted.
    pub name: String,
    /// Where it is written.
    pub at: Span,
}

/// A value and its place. Equality is that of the values.
#[derive(Debug, Clone)]
pub struct Node {
    /// What is written.
    pub value: Value,
    /// Where it is written.
    pub at: Span,
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl PartialEq for Node {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

/// What TOML can say.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Text.
    String(String),
    /// A whole number.
    Integer(i64),
    /// A number with a fraction or an exponent.
    Float(f64),
    /// `true` or `false`.
    Boolean(bool),
    /// A date, a time or both, as written.
    Datetime(String),
    /// An array.
    List(Vec<Node>),
    /// A table, inline or not.
    Table(Table),
}

impl Node {
    /// The table, if it is one.
    pub fn as_table(&self) -> Option<&Table> {
        match &self.value {
            Value::Table(table) => Some(table),
            _ => None,
        }
    }

    /// The text, if it is a string.
    pub fn as_str(&self) -> Option<&str> {
        match &self.value {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// The name by which `remove` and `unmanaged` know a list's element.
    pub fn label(&self) -> Option<String> {
        match &self.value {
            Value::String(text) => Some(text.clone()),
            Value::Integer(number) => Some(number.to_string()),
            _ => None,
        }
    }
}

/// Keys with their values, in the order they were first written.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Table {
    entries: Vec<(Key, Node)>,
}

impl Table {
    /// The entries in order.
    pub fn iter(&self) -> impl Iterator<Item = (&Key, &Node)> {
        self.entries.iter().map(|(key, node)| (key, node))
    }

    /// The entries in order, the values to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&Key, &mut Node)> {
        self.entries.iter_mut().map(|(key, node)| (&*key, node))
    }

    /// The names in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|(key, _)| key.name.as_str())
    }

    /// The entry called `name`. A linear search: merging uses [`Table::merge_with`].
    pub fn entry(&self, name: &str) -> Option<(&Key, &Node)> {
        self.iter().find(|(key, _)| key.name == name)
    }

    /// The value called `name`.
    pub fn get(&self, name: &str) -> Option<&Node> {
        self.entry(name).map(|(_, node)| node)
    }

    /// The value called `name`, to be changed.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Node> {
        self.entries
            .iter_mut()
            .find(|(key, _)| key.name == name)
            .map(|(_, node)| node)
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Appends an entry; the caller knows that its name is new.
    pub fn push(&mut self, key: Key, node: Node) {
        self.entries.push((key, node));
    }

    /// Takes the entry called `name` out.
    pub fn remove(&mut self, name: &str) -> Option<(Key, Node)> {
        let place = self.entries.iter().position(|(key, _)| key.name == name)?;
        Some(self.entries.remove(place))
    }

    /// Keeps only the entries whose name `keep` wants.
    pub fn retain(&mut self, mut keep: impl FnMut(&str) -> bool) {
        self.entries.retain(|(key, _)| keep(&key.name));
    }

    /// Adds `child`'s entries; where a name is in both, `combine` changes the present value.
    /// Linear in both tables: ten thousand sysctl keys are merged in milliseconds.
    pub fn merge_with(&mut self, child: Table, combine: impl Fn(&mut Node, Node)) {
        let places: HashMap<String, usize> = self
            .names()
            .enumerate()
            .map(|(place, name)| (name.to_owned(), place))
            .collect();
        for (key, node) in child.entries {
            let present = places
                .get(&key.name)
                .and_then(|&place| self.entries.get_mut(place));
            match present {
                Some((old_key, old)) => {
                    *old_key = key;
                    combine(old, node);
                }
                None => self.entries.push((key, node)),
            }
        }
    }
}

impl IntoIterator for Table {
    type Item = (Key, Node);
    type IntoIter = std::vec::IntoIter<(Key, Node)>;

    fn into_iter(self) -> Self::IntoIter {
        self.entries.into_iter()
    }
}
