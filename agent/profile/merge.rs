//! How a profile and those it extends become one: the rules a user has to know, in one place.
//!
//! The files are put in line, each after those it extends, each once; later ones win:
//! - a **section** that is in both is merged key by key;
//! - a **sub-table** of a section (`[sysctl.keys]`) is merged key by key too, and there the rule
//!   ends: an entry of a sub-table is one setting, so `{ at_least = 1 }` replaces `{ value = 1 }`;
//! - **lists**, wherever they meet, unite as sets, the earlier elements first;
//! - everything else is **replaced**.
//!
//! `remove = ["NAME"]` in a section deletes what was inherited under that name before the section's
//! own settings are added: keys of the section, keys of its sub-tables, elements of its lists. (So
//! `remove = ["load"]` beside `load = [...]` replaces a list.) At the top of a file it deletes
//! whole sections. A name that no earlier file ever set is an error.
//!
//! `unmanaged = ["NAME"]` in a section leaves a name to others: it deletes in the same way, but at
//! the end, whoever sets the name, a later file or `--set` included; names that nobody sets are
//! fine.

use std::collections::HashSet;
use std::mem;

use super::diagnostic::ProfileError;
use super::print;
use super::tree::{Node, Span, Table, Value};

const REMOVE: &str = "remove";
const UNMANAGED: &str = "unmanaged";

/// What one file adds to those before it.
#[derive(Debug, Default)]
pub struct Layer {
    /// Its `[vars]`.
    pub vars: Table,
    /// Its sections, with their `remove` and `unmanaged`.
    pub sections: Table,
    /// Its top-level `remove`.
    pub remove: Option<Node>,
}

/// Merges `layers`, the last of which wins, to variables and sections.
///
/// # Errors
/// A `remove` or `unmanaged` that is not a list of names, a `remove` that matches nothing.
pub fn merge(layers: Vec<Layer>) -> Result<(Table, Table), ProfileError> {
    let mut merged = Merged::default();
    for layer in layers {
        merged.add(layer)?;
    }
    strip_unmanaged(&mut merged.sections)?;
    Ok((merged.vars, merged.sections))
}

#[derive(Default)]
struct Merged {
    vars: Table,
    sections: Table,
    /// (section, name) pairs already removed: two profiles may remove the same name.
    removed: HashSet<(String, String)>,
}

impl Merged {
    fn add(&mut self, mut layer: Layer) -> Result<(), ProfileError> {
        self.vars.merge_with(layer.vars, |old, new| *old = new);
        if let Some(list) = &layer.remove {
            self.remove_sections(&names_in(list, REMOVE)?)?;
        }
        let mut removals = Vec::new();
        for (key, node) in layer.sections.iter_mut() {
            if let Value::Table(section) = &mut node.value
                && let Some((_, list)) = section.remove(REMOVE)
            {
                removals.push((key.name.clone(), names_in(&list, REMOVE)?));
            }
        }
        for (section, names) in removals {
            self.remove_from(&section, &names)?;
        }
        self.sections.merge_with(layer.sections, merge_section);
        Ok(())
    }

    fn remove_sections(&mut self, names: &[(String, Span)]) -> Result<(), ProfileError> {
        for (name, at) in names {
            let here = self.sections.remove(name).is_some();
            if self.note_removal("", name, here) {
                continue;
            }
            let known = self.sections.names();
            return Err(
                ProfileError::new(format!("no inherited section is called `{name}`"))
                    .at(at.clone())
                    .suggest(name, known),
            );
        }
        Ok(())
    }

    fn remove_from(&mut self, section: &str, names: &[(String, Span)]) -> Result<(), ProfileError> {
        let mut nothing = Table::default();
        let table = match self.sections.get_mut(section).map(|node| &mut node.value) {
            Some(Value::Table(table)) => table,
            _ => &mut nothing,
        };
        let known = names_of(table);
        delete(
            table,
            &names.iter().map(|(name, _)| name.as_str()).collect(),
        );
        for (name, at) in names {
            if !self.note_removal(section, name, known.contains(name)) {
                return Err(ProfileError::new(format!(
                    "nothing called `{name}` is inherited in [{section}]"
                ))
                .at(at.clone())
                .suggest(name, known.iter().map(String::as_str)));
            }
        }
        Ok(())
    }

    /// Whether `name` is there to be removed, or was until another file removed it.
    fn note_removal(&mut self, section: &str, name: &str, here: bool) -> bool {
        let subject = (section.to_owned(), name.to_owned());
        if here {
            self.removed.insert(subject);
            return true;
        }
        self.removed.contains(&subject)
    }
}

fn merge_section(old: &mut Node, new: Node) {
    merge_tables_or(old, new, |old, new| {
        merge_tables_or(old, new, unite_or_replace);
    });
}

/// Merges two tables by key, `entry` deciding for names that are in both; else unites or replaces.
fn merge_tables_or(old: &mut Node, new: Node, entry: impl Fn(&mut Node, Node)) {
    match (&mut old.value, new.value) {
        (Value::Table(table), Value::Table(child)) => {
            table.merge_with(child, entry);
            old.at = new.at;
        }
        (_, value) => unite_or_replace(old, Node { value, at: new.at }),
    }
}

fn unite_or_replace(old: &mut Node, new: Node) {
    match (&mut old.value, new.value) {
        (Value::List(list), Value::List(child)) => {
            let both = mem::take(list).into_iter().chain(child);
            let mut seen = HashSet::new();
            *list = both
                .filter(|item| seen.insert(print::inline(&item.value)))
                .collect();
        }
        (_, value) => *old = Node { value, at: new.at },
    }
}

fn strip_unmanaged(sections: &mut Table) -> Result<(), ProfileError> {
    for (_, node) in sections.iter_mut() {
        if let Value::Table(section) = &mut node.value
            && let Some((_, list)) = section.remove(UNMANAGED)
        {
            let names = names_in(&list, UNMANAGED)?;
            delete(
                section,
                &names.iter().map(|(name, _)| name.as_str()).collect(),
            );
        }
    }
    Ok(())
}

fn names_in(list: &Node, key: &str) -> Result<Vec<(String, Span)>, ProfileError> {
    let refused = |at: &Span| {
        ProfileError::new(format!("`{key}` is a list of names"))
            .at(at.clone())
            .hint(format!("write {key} = [\"NAME\"]"))
    };
    let Value::List(items) = &list.value else {
        return Err(refused(&list.at));
    };
    let name = |item: &Node| match item.label() {
        Some(label) => Ok((label, item.at.clone())),
        None => Err(refused(&item.at)),
    };
    items.iter().map(name).collect()
}

/// Every name that [`delete`] would find, in the order of the table.
fn names_of(section: &Table) -> Vec<String> {
    let mut names = Vec::new();
    for (key, node) in section.iter() {
        names.push(key.name.clone());
        names.extend(labels(node));
        if let Value::Table(table) = &node.value {
            names.extend(table.names().map(str::to_owned));
            names.extend(table.iter().flat_map(|(_, entry)| labels(entry)));
        }
    }
    names
}

fn labels(node: &Node) -> Vec<String> {
    match &node.value {
        Value::List(items) => items.iter().filter_map(Node::label).collect(),
        _ => Vec::new(),
    }
}

/// Deletes from a section and its sub-tables, not deeper: `{ value = 1 }` is one setting, and
/// `remove = ["value"]` means a setting of that name.
fn delete(section: &mut Table, names: &HashSet<&str>) {
    delete_here(section, names);
    for (_, node) in section.iter_mut() {
        if let Value::Table(table) = &mut node.value {
            delete_here(table, names);
        }
    }
}

fn delete_here(table: &mut Table, names: &HashSet<&str>) {
    table.retain(|key| !names.contains(key));
    for (_, node) in table.iter_mut() {
        if let Value::List(items) = &mut node.value {
            items.retain(|item| {
                item.label()
                    .is_none_or(|label| !names.contains(label.as_str()))
            });
        }
    }
}

#[cfg(test)]
#[path = "merge_test.rs"]
mod tests;
