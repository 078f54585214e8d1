//! Secrets of a profile (a token to join a cluster, a registry's password): they are written where they
//! belong and told to nobody, whatever prints, compares or reports.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};

/// What stands for a secret in all that is printed.
pub const HIDDEN: &str = "(hidden)";
/// How keys end that name a secret.
const NAMES: [&str; 4] = ["token", "password", "secret", "certificate_key"];

/// A text that is never shown: it has no Display, and Debug and Serialize hide it.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Secret(String);

impl Secret {
    /// The text, for the one place it belongs in.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Secret {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "" => Err("it is empty".into()),
            HIDDEN => Err("the secret itself is missing: `profile show` hides it".into()),
            _ => Ok(Self(text)),
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(HIDDEN)
    }
}

/// Whether a key of a profile, a variable's name included, names a secret.
#[must_use]
pub fn is_named(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    let key = key.replace('-', "_");
    NAMES.iter().any(|name| key.ends_with(name))
}

/// How a value begins that goes on in the next line, with what ends it.
const LONG: [(&str, &str); 4] = [("\"\"\"", "\"\"\""), ("'''", "'''"), ("[", "]"), ("{", "}")];

/// A profile's text, as long as before, without its secrets: what stands behind the `=` of such a
/// key, up to the end of the line in which the value ends.
#[must_use]
pub fn masked(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut until = None;
    for line in text.split_inclusive('\n') {
        let (from, value) = match (until, value(line)) {
            (Some(_), _) => (0, line),
            (None, Some(from)) => (from, line.get(from..).unwrap_or_default()),
            (None, None) => (line.len(), ""),
        };
        until = match until {
            Some(end) => Some(end).filter(|end| !value.contains(end)),
            None => goes_on(value.trim_start()),
        };
        masked.extend(line.char_indices().map(|(at, c)| hide(c, at >= from)));
    }
    masked
}

/// Where in a line the value of a key begins that names a secret.
fn value(line: &str) -> Option<usize> {
    let names = |at: &usize| {
        let key = line.get(..*at).unwrap_or_default().trim_end();
        is_named(key.trim_end_matches(['"', '\'']))
    };
    let equals = line.match_indices('=').map(|(at, _)| at).find(names);
    equals.map(|at| at + 1)
}

/// What ends a value that does not end in its first line.
fn goes_on(value: &str) -> Option<&'static str> {
    let (begin, end) = LONG.iter().find(|(begin, _)| value.starts_with(begin))?;
    let rest = value.strip_prefix(begin)?;
    (!rest.contains(end)).then_some(*end)
}

fn hide(c: char, is_secret: bool) -> String {
    match is_secret && !c.is_whitespace() {
        true => "*".repeat(c.len_utf8()),
        false => c.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_secret_is_told_by_nothing() {
        let secret = Secret::try_from("hunter2".to_owned()).unwrap();
        assert_eq!(
            format!("{secret:?} {:?}", Some(&secret)),
            "(hidden) Some((hidden))"
        );
        assert_eq!(serde_json::to_string(&secret).unwrap(), "\"(hidden)\"");
        assert_eq!(secret.reveal(), "hunter2");
        for text in ["", HIDDEN] {
            assert!(Secret::try_from(text.to_owned()).is_err());
        }
    }

    #[test]
    fn lines_of_a_profile_are_masked() {
        for (line, expected) in [
            ("token = \"abc\" # mine\n", "token = ***** * ****\n"),
            ("\"join_token\"='é'\r\n", "\"join_token\"=****\r\n"),
            ("kubeadm.token=abc", "kubeadm.token=***"),
            (
                "c = { name = \"a\", password = \"b\" }",
                "c = { name = \"a\", password = *** *",
            ),
            ("name = \"abc\"", "name = \"abc\""),
            ("# a token", "# a token"),
            (
                "token = \"\"\"\na\nb\"\"\"\nc = 1",
                "token = ***\n*\n****\nc = 1",
            ),
            ("token = [ # x\n'a',\n]\nb", "token = * * *\n****\n*\nb"),
            ("token = '''a'''\nb", "token = *******\nb"),
        ] {
            assert_eq!(masked(line), expected);
        }
    }

    proptest! {
        #[test]
        fn places_stay(text in "[ -~é\n]{0,80}") {
            let masked = masked(&text);
            prop_assert_eq!(masked.len(), text.len());
            let newlines = |text: &str| text.match_indices('\n').map(|(at, _)| at).collect::<Vec<_>>();
            prop_assert_eq!(newlines(&masked), newlines(&text));
        }

        #[test]
        fn no_value_stays(value in "[a-z0-9]{6}\\.[a-z0-9]{16}") {
            for quote in ["\"", "\"\"\"\n", "'''"] {
                let text = format!("[kubeadm]\ntoken = {quote}{value}{quote}\n");
                prop_assert!(!masked(&text).contains(&value));
            }
        }
    }
}
