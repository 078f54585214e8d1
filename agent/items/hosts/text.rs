//! The lines of /etc/hosts (hosts(5)): an address, then names; `#` begins a comment.

use std::net::IpAddr;

/// A line that says something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Counts from 1.
    pub number: usize,
    /// What the names resolve to.
    pub address: IpAddr,
    /// The names, in lower case, as they are compared.
    pub names: Vec<String>,
}

/// The lines of a text; what is no line of that form says nothing to the resolver either.
pub fn lines(text: &[u8]) -> Vec<Line> {
    let lines = text.split(|byte| *byte == b'\n').enumerate();
    lines
        .filter_map(|(index, line)| parse(index + 1, line))
        .collect()
}

fn parse(number: usize, line: &[u8]) -> Option<Line> {
    let line = String::from_utf8_lossy(line);
    let mut words = line.split('#').next()?.split_whitespace();
    // A zone (fe80::1%eth0) is of no matter here.
    let address = words.next()?.split('%').next()?.parse().ok()?;
    let names: Vec<String> = words.map(str::to_ascii_lowercase).collect();
    (!names.is_empty()).then_some(Line {
        number,
        address,
        names,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_what_the_resolver_reads() {
        let text = b"127.0.0.1\tlocalhost # n\r\n#1.2.3.4 a\n\n1.2.3.4\n::1 A b\nfe80::1%eth0 c\nx y\n10.0.0.1 \xff d";
        let found: Vec<(usize, String, String)> = lines(text)
            .into_iter()
            .map(|line| (line.number, line.address.to_string(), line.names.join(" ")))
            .collect();
        let line = |number, address: &str, names: &str| (number, address.into(), names.into());
        assert_eq!(
            found,
            [
                line(1, "127.0.0.1", "localhost"),
                line(5, "::1", "a b"),
                line(6, "fe80::1", "c"),
                line(8, "10.0.0.1", "\u{fffd} d"),
            ]
        );
    }

    proptest! {
        #[test]
        fn no_text_panics(text: Vec<u8>) {
            for line in lines(&text) {
                prop_assert!(line.number > 0 && !line.names.is_empty());
            }
        }
    }
}
