//! /etc/selinux/config as libselinux reads it: not as a shell would (the last line does not win), and
//! not as people expect (quotes make a line invalid, `SELINUX=disabledx` means disabled).

use super::Mode;

/// What a deciding line begins with, at its first column.
const TAG: &[u8] = b"SELINUX=";

/// A line that libselinux takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Assignment {
    /// Line number from 1.
    pub line: usize,
    /// The mode it names.
    pub mode: Mode,
    /// Whether white space stands before the value: libselinux before 3.4 passes over such a line.
    pub blank: bool,
    /// Where the value begins, that white space included, and ends.
    value: (usize, usize),
}

/// Lines that libselinux takes, of which it takes the first (libselinux/src/selinux_config.c,
/// `selinux_getenforcemode`): the tag at the first column, then a mode in any case, whatever follows.
#[must_use]
pub fn assignments(text: &[u8]) -> Vec<Assignment> {
    let mut next = 0;
    let lines = text.split_inclusive(|byte| *byte == b'\n');
    let found = lines.enumerate().filter_map(|(index, line)| {
        let begin = next;
        next += line.len();
        assignment(index + 1, begin, line)
    });
    found.collect()
}

fn assignment(line: usize, begin: usize, text: &[u8]) -> Option<Assignment> {
    let value = text.strip_prefix(TAG)?;
    let word = value.trim_ascii_start();
    let mode = Mode::ALL.into_iter().find(|mode| {
        let name = mode.name().as_bytes();
        word.get(..name.len())
            .is_some_and(|word| word.eq_ignore_ascii_case(name))
    })?;
    let blanks = value.len() - word.len();
    let begin = begin + TAG.len();
    Some(Assignment {
        line,
        mode,
        blank: blanks > 0,
        value: (begin, begin + blanks + mode.name().len()),
    })
}

/// The same file with `mode` in the line that decides, or in a new last line where none does.
#[must_use]
pub fn set(text: &[u8], mode: Mode) -> Vec<u8> {
    let name = mode.name().as_bytes();
    let Some(first) = assignments(text).into_iter().next() else {
        let newline: &[u8] = match text.ends_with(b"\r\n") {
            true => b"\r\n",
            false => b"\n",
        };
        let end: &[u8] = match text.is_empty() || text.ends_with(b"\n") {
            true => b"",
            false => b"\n",
        };
        return [text, end, TAG, name, newline].concat();
    };
    let (begin, end) = first.value;
    let before = text.get(..begin).unwrap_or_default();
    let after = text.get(end..).unwrap_or_default();
    [before, name, after].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_first_valid_line_decides() {
        type Case = (&'static str, &'static [(usize, Mode, bool)]);
        let cases: [Case; 8] = [
            (
                "# SELINUX=enforcing\nSELINUX=permissive\n",
                &[(2, Mode::Permissive, false)],
            ),
            (
                "SELINUX=disabled\r\nSELINUXTYPE=targeted",
                &[(1, Mode::Disabled, false)],
            ),
            (" SELINUX=disabled\n", &[]),
            ("SELINUX=\"disabled\"\nSELINUX=\n", &[]),
            ("SELINUX =disabled\nselinux=disabled\n", &[]),
            ("SELINUX=ENFORCINGx # now\n", &[(1, Mode::Enforcing, false)]),
            (
                "SELINUX= \tdisabled\nSELINUX=enforcing\n",
                &[(1, Mode::Disabled, true), (2, Mode::Enforcing, false)],
            ),
            ("SELINUX=\nenforcing\n", &[]),
        ];
        for (text, expected) in cases {
            let found: Vec<_> = assignments(text.as_bytes())
                .iter()
                .map(|a| (a.line, a.mode, a.blank))
                .collect();
            assert_eq!(found, expected, "{text:?}");
        }
    }

    #[test]
    fn only_the_word_is_replaced() {
        let cases = [
            (
                "# a\r\nSELINUX=enforcing \t# b\r\nSELINUXTYPE=mls\r\n",
                "# a\r\nSELINUX=disabled \t# b\r\nSELINUXTYPE=mls\r\n",
            ),
            (
                "SELINUX= Permissive\nSELINUX=enforcing",
                "SELINUX=disabled\nSELINUX=enforcing",
            ),
            (
                "SELINUXTYPE=targeted",
                "SELINUXTYPE=targeted\nSELINUX=disabled\n",
            ),
            ("# a\r\n", "# a\r\nSELINUX=disabled\r\n"),
            ("SELINUX=off\n", "SELINUX=off\nSELINUX=disabled\n"),
            ("", "SELINUX=disabled\n"),
        ];
        for (old, new) in cases {
            assert_eq!(set(old.as_bytes(), Mode::Disabled), new.as_bytes());
        }
    }

    proptest! {
        #[test]
        fn other_lines_survive_and_the_mode_is_read_back(
            lines in proptest::collection::vec(
                "(SELINUX(TYPE)?=[ \t]?(enforcing|Permissive|disabled|\"off\")?|[ -~\u{e9}]{0,12})\r?",
                0..6,
            ),
            mode in proptest::sample::select(&Mode::ALL[..]),
        ) {
            let old = lines.join("\n").into_bytes();
            let new = set(&old, mode);
            let read = assignments(&new);
            prop_assert_eq!(read.first().map(|a| (a.mode, a.blank)), Some((mode, false)));
            prop_assert_eq!(&set(&new, mode), &new);
            let split = |text: &[u8]| -> Vec<Vec<u8>> {
                let lines = text.split_inclusive(|b| *b == b'\n');
                lines.map(|line| line.strip_suffix(b"\n").unwrap_or(line).to_vec()).collect()
            };
            let after = split(&new);
            let decides = assignments(&old).first().map(|a| a.line);
            for (index, line) in split(&old).iter().enumerate() {
                if decides != Some(index + 1) {
                    prop_assert_eq!(after.get(index), Some(line));
                }
            }
        }
    }
}
