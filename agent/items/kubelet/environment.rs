//! The variable with flags in a file that systemd reads (systemd.exec(5), EnvironmentFile=): its last
//! assignment counts, the words of its value become arguments.

use crate::template;

/// An assignment that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// Its line, from 1.
    pub line: usize,
    /// Its value, without quotes.
    pub value: String,
    quote: Option<char>,
}

/// The last assignment of a variable.
///
/// # Errors
/// A value we can't edit, in words: with escapes, with quotes within, or on several lines.
pub fn find(text: &str, name: &str) -> Result<Option<Assignment>, String> {
    let mut last = None;
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        let Some((key, value)) = line
            .split_once('=')
            .filter(|_| !line.starts_with(['#', ';']))
        else {
            continue;
        };
        if key.trim() == name {
            last = Some((index + 1, value.trim()));
        }
    }
    let Some((line, value)) = last else {
        return Ok(None);
    };
    let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''));
    let inner = match quote {
        None => Some(value),
        Some(quote) => value
            .strip_prefix(quote)
            .and_then(|rest| rest.strip_suffix(quote)),
    };
    match inner.filter(|inner| !inner.contains(['"', '\'', '\\'])) {
        Some(inner) => Ok(Some(Assignment {
            line,
            value: inner.to_owned(),
            quote,
        })),
        None => Err(format!(
            "line {line}: {name} has quotes or escapes within: write it as one line of plain flags"
        )),
    }
}

/// The text with the variable set; where it was assigned, in that line.
pub fn set(text: &str, name: &str, old: Option<&Assignment>, value: &str) -> String {
    let Some(old) = old else {
        let begin = match text {
            "" => template::header("kubelet"),
            text if text.ends_with('\n') => text.to_owned(),
            text => format!("{text}\n"),
        };
        return format!("{begin}{name}={value}\n");
    };
    let mut new = String::with_capacity(text.len() + value.len());
    for (index, line) in text.split_inclusive('\n').enumerate() {
        if index + 1 != old.line {
            new.push_str(line);
            continue;
        }
        let ending = line.get(line.trim_end_matches(['\r', '\n']).len()..);
        let quote = old.quote.map(String::from).unwrap_or_default();
        new.push_str(&format!(
            "{name}={quote}{value}{quote}{}",
            ending.unwrap_or_default()
        ));
    }
    new
}

/// The value of a flag, the last one given.
pub fn flag<'a>(value: &'a str, name: &str) -> Option<&'a str> {
    let given = flags(value).filter(|given| given.name == Some(name));
    // A flag alone is a switch that is on.
    given.last().map(|given| given.value.unwrap_or("true"))
}

/// The names of all flags.
pub fn names(value: &str) -> impl Iterator<Item = &str> {
    flags(value).filter_map(|given| given.name)
}

/// The value with these flags set where they stand, or behind the others.
pub fn with_flags<'a>(value: &'a str, wanted: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut wanted: Vec<(&str, &str)> = wanted.collect();
    let all: Vec<&str> = wanted.iter().map(|(name, _)| *name).collect();
    let mut words = Vec::new();
    for given in flags(value) {
        let at = wanted
            .iter()
            .position(|(name, _)| given.name == Some(*name));
        match (at, given.name) {
            (Some(at), _) => {
                let (name, value) = wanted.remove(at);
                words.push(format!("--{name}={value}"));
            }
            // Ours a second time would win over the first.
            (None, Some(name)) if all.contains(&name) => {}
            _ => words.extend(given.words.iter().map(|word| (*word).to_owned())),
        }
    }
    words.extend(
        wanted
            .iter()
            .map(|(name, value)| format!("--{name}={value}")),
    );
    words.join(" ")
}

/// A flag as it is given: `--name=value`, `--name value`, `--name`; or another word.
struct Given<'a> {
    name: Option<&'a str>,
    value: Option<&'a str>,
    words: Vec<&'a str>,
}

fn flags(value: &str) -> impl Iterator<Item = Given<'_>> {
    let mut words = value.split_whitespace().peekable();
    std::iter::from_fn(move || {
        let word = words.next()?;
        let Some(name) = word.strip_prefix("--") else {
            return Some(Given {
                name: None,
                value: None,
                words: vec![word],
            });
        };
        if let Some((name, value)) = name.split_once('=') {
            return Some(Given {
                name: Some(name),
                value: Some(value),
                words: vec![word],
            });
        }
        let value = words.next_if(|next| !next.starts_with('-'));
        let words = [word].into_iter().chain(value).collect();
        Some(Given {
            name: Some(name),
            value,
            words,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NAME: &str = "KUBELET_EXTRA_ARGS";

    fn edited(text: &str) -> Result<String, String> {
        let old = find(text, NAME)?;
        let value = old.as_ref().map_or("", |old| &old.value);
        let value = with_flags(value, [("node-ip", "10.0.0.5"), ("v", "2")].into_iter());
        Ok(set(text, NAME, old.as_ref(), &value))
    }

    #[test]
    fn flags_are_set_where_they_stand() {
        for (text, expected) in [
            (
                "KUBELET_EXTRA_ARGS=\n",
                "KUBELET_EXTRA_ARGS=--node-ip=10.0.0.5 --v=2\n",
            ),
            (
                "# ours\r\nA=1\r\nKUBELET_EXTRA_ARGS=\"--v 4 --max-pods=50\"\r\nB=2",
                "# ours\r\nA=1\r\nKUBELET_EXTRA_ARGS=\"--v=2 --max-pods=50 --node-ip=10.0.0.5\"\r\nB=2",
            ),
            (
                "KUBELET_EXTRA_ARGS=a\nKUBELET_EXTRA_ARGS='--v=1 --b --v=3'",
                "KUBELET_EXTRA_ARGS=a\nKUBELET_EXTRA_ARGS='--v=2 --b --node-ip=10.0.0.5'",
            ),
            ("A=1", "A=1\nKUBELET_EXTRA_ARGS=--node-ip=10.0.0.5 --v=2\n"),
        ] {
            assert_eq!(edited(text).unwrap(), expected);
        }
        for text in [
            "KUBELET_EXTRA_ARGS=--a=\"b c\"",
            "KUBELET_EXTRA_ARGS=\"a",
            "KUBELET_EXTRA_ARGS=a \\\n  b",
        ] {
            assert!(edited(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_flag_is_found_however_it_is_given() {
        let value = "--v=1 --node-ip 10.0.0.5 --fail-swap-on --v=2 word";
        assert_eq!(flag(value, "v"), Some("2"));
        assert_eq!(flag(value, "node-ip"), Some("10.0.0.5"));
        assert_eq!(flag(value, "fail-swap-on"), Some("true"));
        assert_eq!(flag(value, "ip"), None);
        assert_eq!(names(value).count(), 4);
    }

    proptest! {
        #[test]
        fn other_lines_and_flags_survive(
            lines in proptest::collection::vec("[A-Z#;= a-z\"'-]{0,20}", 0..6),
            words in proptest::collection::vec("--[a-m]{3,5}(=[a-z0-9]{1,4})?", 0..5),
        ) {
            let text = format!("{}\n{NAME}={}\n", lines.join("\n"), words.join(" "));
            let Ok(new) = edited(&text) else { return Ok(()) };
            for line in lines.iter().filter(|line| !line.contains(NAME)) {
                prop_assert!(new.contains(line.as_str()), "{new}");
            }
            let found = find(&new, NAME).unwrap().unwrap();
            for word in &words {
                prop_assert!(found.value.split(' ').any(|other| other == word), "{new}");
            }
            prop_assert_eq!(flag(&found.value, "node-ip"), Some("10.0.0.5"));
            prop_assert_eq!(edited(&new).unwrap(), new);
        }
    }
}
