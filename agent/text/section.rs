//! A section of a file of `[Section]` and `Key=Value` lines, as systemd and NetworkManager read them:
//! what it says, and how a key is set without touching anything else.

/// A line, with those that a `\` at its end joins to it (systemd.syntax(7)).
#[derive(Debug, Clone, PartialEq, Eq)]
struct Line {
    bytes: Vec<u8>,
    /// Counts from 1.
    number: usize,
    /// Whether it stands in the section, its header included.
    within: bool,
    says: Says,
    /// Whether the next line would be joined to it: only at the end of a file.
    open: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Says {
    Nothing,
    Section(String),
    Assignment(String, String),
}

/// Every assignment in a section: line, name and value.
#[must_use]
pub fn assignments(text: &[u8], section: &str) -> Vec<(usize, String, String)> {
    let read = |line: Line| match line.says {
        Says::Assignment(name, value) if line.within => Some((line.number, name, value)),
        _ => None,
    };
    lines(text, section).into_iter().filter_map(read).collect()
}

/// The file with `keys` of a section set: the last line that names a key gets the new value, earlier
/// ones go, a missing key comes at the end of the section; every other byte is kept. `is_same` tells
/// whether two names are one key's.
#[must_use]
pub fn set<'n, 'v>(
    old: &[u8],
    section: &str,
    is_same: impl Fn(&str, &str) -> bool,
    keys: impl Iterator<Item = (&'n str, &'v str)>,
) -> Vec<u8> {
    let mut lines = lines(old, section);
    for (name, value) in keys {
        let wanted = format!("{name}={value}");
        let sets = |line: &Line| match &line.says {
            Says::Assignment(found, _) => line.within && is_same(found, name),
            _ => false,
        };
        match lines.iter().rposition(sets) {
            Some(last) => {
                if let Some(line) = lines.get_mut(last) {
                    line.bytes = [wanted.as_bytes(), ending(&line.bytes)].concat();
                    line.open = false;
                }
                let mut place = 0..;
                lines.retain(|line| place.next() >= Some(last) || !sets(line));
            }
            None => insert(&mut lines, section, name, value),
        }
    }
    lines.into_iter().flat_map(|line| line.bytes).collect()
}

impl Line {
    /// Makes sure that what is written behind it is a line of its own.
    fn close(&mut self) {
        if !self.bytes.ends_with(b"\n") {
            self.bytes.push(b'\n');
        }
        if std::mem::take(&mut self.open) {
            self.bytes.push(b'\n');
        }
    }

    fn new(bytes: Vec<u8>, says: Says) -> Self {
        Self {
            bytes,
            number: 0,
            within: true,
            says,
            open: false,
        }
    }
}

/// Puts a key behind the last line of the section that says something; makes the section if needed.
fn insert(lines: &mut Vec<Line>, section: &str, name: &str, value: &str) {
    let full = |line: &Line| line.within && !line.bytes.trim_ascii().is_empty();
    if !lines.iter().any(full) {
        lines.iter_mut().for_each(Line::close);
        let says = Says::Section(section.into());
        lines.push(Line::new(format!("[{section}]\n").into_bytes(), says));
    }
    let at = lines
        .iter()
        .rposition(full)
        .map_or(lines.len(), |last| last + 1);
    if let Some(before) = at.checked_sub(1).and_then(|before| lines.get_mut(before)) {
        before.close();
    }
    let says = Says::Assignment(name.to_owned(), value.to_owned());
    lines.insert(
        at,
        Line::new(format!("{name}={value}\n").into_bytes(), says),
    );
}

fn ending(line: &[u8]) -> &'static [u8] {
    match line {
        [.., b'\r', b'\n'] => b"\r\n",
        [.., b'\n'] => b"\n",
        _ => b"",
    }
}

/// Joins lines as systemd's `config_parse` does (src/shared/conf-parser.c): a `\` at the end reads
/// as a blank, comments in between are passed over.
fn lines(text: &[u8], wanted: &str) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    let mut section = String::new();
    let mut joined: Option<(String, Line)> = None;
    for (index, bytes) in text.split_inclusive(|b| *b == b'\n').enumerate() {
        let line = String::from_utf8_lossy(bytes).into_owned();
        let line = line.trim_end_matches(['\r', '\n']);
        let (mut said, mut whole) = joined.take().unwrap_or_else(|| {
            let mut new = Line::new(Vec::new(), Says::Nothing);
            new.number = index + 1;
            (String::new(), new)
        });
        whole.bytes.extend_from_slice(bytes);
        let comment = line.trim_start().starts_with(['#', ';']);
        if !comment {
            said.push_str(line);
            let slashes = line.len() - line.trim_end_matches('\\').len();
            whole.open = slashes % 2 == 1;
        }
        if whole.open {
            if !comment {
                said.pop();
                said.push(' ');
            }
            joined = Some((said, whole));
        } else {
            lines.push(finished(whole, &said, &mut section, wanted));
        }
    }
    if let Some((said, whole)) = joined {
        lines.push(finished(whole, &said, &mut section, wanted));
    }
    lines
}

fn finished(mut line: Line, said: &str, section: &mut String, wanted: &str) -> Line {
    let said = said.trim_start_matches('\u{feff}').trim();
    let header = said
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    line.says = match (header, said.split_once('=')) {
        (Some(name), _) => Says::Section(name.to_owned()),
        (None, Some((name, value))) => {
            Says::Assignment(name.trim().to_owned(), value.trim().to_owned())
        }
        (None, None) => Says::Nothing,
    };
    if let Says::Section(name) = &line.says {
        section.clone_from(name);
    }
    line.within = section == wanted;
    line
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    fn set(old: &[u8], name: &str, value: &str) -> Vec<u8> {
        // Some keys have two names.
        let one = |name: &str| name.trim_end_matches("Sec").to_owned();
        let is_same = |a: &str, b: &str| one(a) == one(b);
        super::set(old, "Journal", is_same, [(name, value)].into_iter())
    }

    fn set_one(old: &[u8], name: &str, value: &str) -> String {
        String::from_utf8(set(old, name, value)).unwrap()
    }

    fn assignments(text: &[u8]) -> Vec<(usize, String, String)> {
        super::assignments(text, "Journal")
    }

    #[test]
    fn reads_the_section_only() {
        let text = b"Seal=no\n[Journal]\n # Seal=no\nStorage = auto \nSystemMaxUse=\\\n# in between\n  1G\n[Other]\nSeal=no\n[Journal]\n;x\nSeal=yes";
        let expected = [
            (4, "Storage", "auto"),
            (5, "SystemMaxUse", "1G"),
            (12, "Seal", "yes"),
        ];
        let expected = expected.map(|(line, name, value)| (line, name.into(), value.into()));
        assert_eq!(assignments(text), expected);
    }

    #[test]
    fn a_key_is_set_where_it_stands() {
        let old = b"[Journal]\r\n# mine\r\nRateLimitIntervalSec=1s\r\nSeal=no\r\nRateLimitInterval=2s\r\n\r\n[Upload]\r\nURL=x";
        assert_eq!(
            set_one(old, "RateLimitInterval", "30s"),
            "[Journal]\r\n# mine\r\nSeal=no\r\nRateLimitInterval=30s\r\n\r\n[Upload]\r\nURL=x"
        );
        assert_eq!(
            set_one(b"[Journal]\nSeal=no\n\n[Upload]\nURL=x", "Storage", "auto"),
            "[Journal]\nSeal=no\nStorage=auto\n\n[Upload]\nURL=x"
        );
        assert_eq!(
            set_one(b"# only this", "Seal", "no"),
            "# only this\n[Journal]\nSeal=no\n"
        );
        assert_eq!(
            set_one(b"[Journal]\nTTYPath=/dev/\\", "Seal", "no"),
            "[Journal]\nTTYPath=/dev/\\\n\nSeal=no\n"
        );
        assert_eq!(set_one(b"", "Seal", "no"), "[Journal]\nSeal=no\n");
    }

    proptest! {
        #[test]
        fn set_is_read_back_and_other_lines_survive(
            lines in proptest::collection::vec(
                r"(\[Journal\]|\[Other\]|Seal=no|Storage=auto|Storage = x|SystemMaxUse=1G\\|# a\\|;|[ -~]{0,6})",
                0..9,
            ),
            newline in any::<bool>(),
        ) {
            let old = lines.join("\n") + if newline { "\n" } else { "" };
            let new = set(old.as_bytes(), "Storage", "persistent");
            let others = |text: &[u8]| {
                let mut all = assignments(text);
                all.retain(|(_, name, _)| name != "Storage");
                all.into_iter().map(|(_, name, value)| (name, value)).collect::<Vec<_>>()
            };
            let storage: Vec<_> = assignments(&new).into_iter().filter(|(_, name, _)| name == "Storage").collect();
            prop_assert_eq!(storage.len(), 1, "{}", String::from_utf8_lossy(&new));
            prop_assert_eq!(&storage[0].2, "persistent");
            prop_assert_eq!(others(&new), others(old.as_bytes()));
            prop_assert_eq!(&set(&new, "Storage", "persistent"), &new);
            let text = String::from_utf8(new).unwrap();
            for line in lines.iter().filter(|line| !line.contains("Storage") && !line.ends_with('\\')) {
                prop_assert!(text.contains(line.as_str()), "{} in {}", line, text);
            }
        }
    }
}
