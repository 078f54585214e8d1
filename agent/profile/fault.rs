//! What serde finds wrong, in the words of someone who writes TOML and never saw the Rust types:
//! serde says `invalid type: map, expected a sequence`.

use std::fmt;

use serde::de::{self, Expected, Unexpected};

use super::diagnostic::{ProfileError, suggestion};
use super::tree::Span;
use crate::secret;

/// Longer strings are cut in messages.
const SHOWN_TEXT: usize = 40;

/// An error on its way up from a value to its section, which gives it place and path.
#[derive(Debug)]
pub struct Fault {
    text: String,
    /// What is there instead of what the text says; never told of a secret.
    found: Option<String>,
    hint: Option<String>,
    /// Whether the fault is about a key of the table at the path, not about the value there.
    of_table: bool,
    at: Option<Span>,
    /// From the inside out.
    path: Vec<String>,
}

impl Fault {
    fn new(text: String) -> Self {
        Self {
            text,
            found: None,
            hint: None,
            of_table: false,
            at: None,
            path: Vec::new(),
        }
    }

    fn expected(wanted: &str, found: String) -> Self {
        Self {
            found: Some(found),
            ..Self::new(format!("expected {wanted}"))
        }
    }

    /// An enum that is not written as a string.
    pub fn not_a_name(found: Unexpected<'_>, names: &[&str]) -> Self {
        Self::expected(&format!("one of {}", quoted(names)), shown(found))
    }

    /// Gives the place, if it has none yet: the innermost is the right one.
    pub fn at(mut self, span: &Span) -> Self {
        self.at.get_or_insert_with(|| span.clone());
        self
    }

    /// Adds the next step outwards: a key, or `[3]`.
    pub fn inside(mut self, step: String) -> Self {
        if secret::is_named(&step) {
            self.found = self.found.map(|_| "something else".to_owned());
        }
        self.path.push(step);
        self
    }

    /// The finished error; `whole` is the place if nothing inside is to blame.
    pub fn within(self, root: &str, whole: &Span) -> ProfileError {
        let mut path = root.to_owned();
        for step in self.path.iter().rev() {
            if !step.starts_with('[') {
                path.push('.');
            }
            path.push_str(step);
        }
        let message = match self.of_table {
            true => format!("{self} in [{path}]"),
            false => format!("{path}: {self}"),
        };
        let mut error = ProfileError::new(message).at(self.at.unwrap_or_else(|| whole.clone()));
        error.hint = self.hint;
        error
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)?;
        match &self.found {
            Some(found) => write!(formatter, ", found {found}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Fault {}

impl de::Error for Fault {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(message.to_string())
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::expected(&wanted(expected), shown(found))
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(found, expected)
    }

    fn invalid_length(length: usize, expected: &dyn Expected) -> Self {
        Self::expected(&wanted(expected), format!("{length} elements"))
    }

    fn unknown_variant(name: &str, known: &'static [&'static str]) -> Self {
        let mut fault = Self::expected(&format!("one of {}", quoted(known)), format!("\"{name}\""));
        fault.hint =
            suggestion(name, known.iter().copied()).filter(|hint| !hint.starts_with("known"));
        fault
    }

    fn unknown_field(name: &str, known: &'static [&'static str]) -> Self {
        let mut fault = Self::new(format!("unknown key `{name}`"));
        fault.hint = suggestion(name, known.iter().copied());
        fault.of_table = true;
        fault
    }

    fn missing_field(name: &'static str) -> Self {
        let mut fault = Self::new(format!("missing key `{name}`"));
        fault.of_table = true;
        fault
    }

    fn duplicate_field(name: &'static str) -> Self {
        let mut fault = Self::new(format!("key `{name}` is there twice"));
        fault.of_table = true;
        fault
    }
}

fn quoted(names: &[&str]) -> String {
    let names: Vec<_> = names.iter().map(|name| format!("\"{name}\"")).collect();
    names.join(", ")
}

fn wanted(expected: &dyn Expected) -> String {
    let words = expected.to_string();
    let integer = |lowest: i128, highest: u128| format!("an integer from {lowest} to {highest}");
    match words.as_str() {
        "u8" => integer(0, u8::MAX.into()),
        "u16" => integer(0, u16::MAX.into()),
        "u32" => integer(0, u32::MAX.into()),
        "u64" | "usize" | "u128" => "an integer, 0 or more".to_owned(),
        "i8" | "i16" | "i32" | "i64" | "isize" | "i128" => "an integer".to_owned(),
        "f32" | "f64" => "a number".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a sequence" => "a list".to_owned(),
        "a map" => "a table".to_owned(),
        other if other.starts_with("struct ") => "a table".to_owned(),
        other => other.to_owned(),
    }
}

fn shown(found: Unexpected<'_>) -> String {
    match found {
        Unexpected::Str(text) if text.chars().count() > SHOWN_TEXT => {
            let start: String = text.chars().take(SHOWN_TEXT).collect();
            format!("the string {start:?}...")
        }
        Unexpected::Str(text) => format!("the string {text:?}"),
        Unexpected::Signed(number) => format!("the integer {number}"),
        Unexpected::Float(number) => format!("the number {number:?}"),
        Unexpected::Bool(truth) => truth.to_string(),
        Unexpected::Seq => "a list".to_owned(),
        Unexpected::Map => "a table".to_owned(),
        other => other.to_string(),
    }
}
