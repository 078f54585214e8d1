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

/// A profile's text, as long as before, without its secrets: what stands behind the `=` of such a
/// key, up to the end of the line.
#[must_use]
pub fn masked(text: &str) -> String {
    text.split_inclusive('\n').map(masked_line).collect()
}

fn masked_line(line: &str) -> String {
    let end = line.trim_end_matches(['\r', '\n']).len();
    let names = |at: &usize| {
        let key = line.get(..*at).unwrap_or_default().trim_end();
        is_named(key.trim_end_matches(['"', '\'']))
    };
    let from = line.match_indices('=').map(|(at, _)| at).find(names);
    let Some(from) = from.map(|at| at + 1) else {
        return line.to_owned();
    };
    let hide = |(at, c): (usize, char)| match at >= from && at < end && !c.is_whitespace() {
        true => "*".repeat(c.len_utf8()),
        false => c.to_string(),
    };
    line.char_indices().map(hide).collect()
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
            let text = format!("[kubeadm]\ntoken = \"{value}\"\n");
            prop_assert!(!masked(&text).contains(&value));
        }
    }
}
