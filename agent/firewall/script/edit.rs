//! Putting a rule into an nft script where it must stand, every other byte kept.

use std::path::PathBuf;

use super::Script;

/// A rule that a chain is to get.
#[derive(Debug, Clone)]
pub struct Addition {
    /// The chain's index in the rule set.
    pub chain: usize,
    /// The rule it goes before; none for the chain's end.
    pub before: Option<usize>,
    /// The rule, as `tcp dport 22 accept`.
    pub text: String,
}

/// A place in one of the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Spot {
    /// The file's index.
    pub file: usize,
    /// The byte.
    pub at: usize,
    /// What stands there.
    pub form: Form,
}

/// How a rule is written at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Form {
    /// As a line of its chain's block.
    Line,
    /// `add rule …`, a command.
    Add,
    /// `insert rule …`: behind a command like that it stands before what that one inserted.
    Insert,
}

impl Script {
    /// The files with these rules added: path and new text of each that changes.
    #[must_use]
    pub fn with(&self, additions: &[Addition]) -> Vec<(PathBuf, String)> {
        let mut texts = self.files.clone();
        let mut edits: Vec<(Spot, String)> = additions
            .iter()
            .filter_map(|addition| self.edit(addition))
            .collect();
        // From the end, so that the places before stay where they are; a stable order otherwise.
        edits.reverse();
        edits.sort_by(|(one, _), (other, _)| other.cmp(one));
        for (spot, text) in edits {
            if let Some((_, file)) = texts.get_mut(spot.file) {
                file.insert_str(spot.at, &text);
            }
        }
        let changed = texts.into_iter().zip(&self.files);
        changed
            .filter(|(new, old)| new != *old)
            .map(|(new, _)| new)
            .collect()
    }

    fn edit(&self, addition: &Addition) -> Option<(Spot, String)> {
        let chain = self.ruleset.chains.get(addition.chain)?;
        let rule = &addition.text;
        let command = |verb: &str| format!("{verb} rule {} {} {rule}", chain.table, chain.name);
        let spot = match addition.before {
            Some(before) => *self.spots.get(addition.chain)?.get(before)?,
            None => match self.ends.get(addition.chain)? {
                Some(end) => *end,
                None => {
                    let (_, main) = self.files.first()?;
                    let newline = if main.ends_with('\n') || main.is_empty() {
                        ""
                    } else {
                        "\n"
                    };
                    let (file, at, line) =
                        (0, main.len(), format!("{newline}{}\n", command("add")));
                    let form = Form::Add;
                    return Some((Spot { file, at, form }, line));
                }
            },
        };
        let (_, text) = self.files.get(spot.file)?;
        let line = text.get(..spot.at)?.rsplit('\n').next()?;
        let alone = line.trim().is_empty();
        let what = match spot.form {
            Form::Line => rule.clone(),
            Form::Add => command("add"),
            Form::Insert => command("insert"),
        };
        if spot.at == text.len() && !alone {
            return Some((spot, format!("\n{what}\n")));
        }
        Some(match (alone, addition.before) {
            (true, Some(_)) => (spot, format!("{what}\n{line}")),
            // The block's end is indented less than what is in it.
            (true, None) => (spot, format!("\t{what}\n{line}")),
            (false, Some(_)) => (spot, format!("{what}; ")),
            (false, None) => (spot, format!("; {what}; ")),
        })
    }
}
