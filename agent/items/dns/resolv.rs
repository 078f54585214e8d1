//! The text of a resolv.conf (resolv.conf(5)).

use std::net::IpAddr;

/// What it says, with lines counted from 1.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Resolv {
    /// The servers in their order.
    pub servers: Vec<(usize, IpAddr)>,
    /// The search domains, and the last line that names any; 0 without.
    pub search: (usize, Vec<String>),
}

impl Resolv {
    /// Reads a text; what is no server's address is passed over.
    pub fn parse(text: &[u8]) -> Self {
        let mut found = Self::default();
        for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
            let line = String::from_utf8_lossy(line);
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => {
                    // A zone (fe80::1%eth0) is of no matter here.
                    let address = words.next().and_then(|word| word.split('%').next());
                    let address = address.and_then(|word| word.parse().ok());
                    found
                        .servers
                        .extend(address.map(|address| (index + 1, address)));
                }
                // The last of both counts.
                Some("search" | "domain") => {
                    found.search = (index + 1, words.map(str::to_owned).collect());
                }
                _ => {}
            }
        }
        found
    }

    /// The servers' addresses, as they are written.
    pub fn addresses(&self) -> Vec<String> {
        self.servers
            .iter()
            .map(|(_, address)| address.to_string())
            .collect()
    }
}

/// The text with other servers and domains, where any are given: they come where the first such line
/// was, else at the end; every other line is kept.
pub fn set(text: &[u8], servers: &[String], domains: &[&str]) -> Vec<u8> {
    let servers: String = servers
        .iter()
        .map(|one| format!("nameserver {one}\n"))
        .collect();
    let new = replace(text, &["nameserver"], &servers);
    let search = match domains {
        [] => String::new(),
        domains => format!("search {}\n", domains.join(" ")),
    };
    replace(&new, &["search", "domain"], &search)
}

fn replace(text: &[u8], keywords: &[&str], with: &str) -> Vec<u8> {
    if with.is_empty() {
        return text.to_vec();
    }
    let mut new = Vec::with_capacity(text.len() + with.len());
    let mut done = false;
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        let word = line
            .split(u8::is_ascii_whitespace)
            .find(|word| !word.is_empty());
        let is_one = |word: &[u8]| keywords.iter().any(|keyword| keyword.as_bytes() == word);
        match word.is_some_and(is_one) {
            false => new.extend_from_slice(line),
            true if !done => {
                new.extend_from_slice(with.as_bytes());
                done = true;
            }
            true => {}
        }
    }
    if !done {
        if !new.is_empty() && !new.ends_with(b"\n") {
            new.push(b'\n');
        }
        new.extend_from_slice(with.as_bytes());
    }
    new
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn servers_and_domains_are_read() {
        let text = b"# nameserver 1.1.1.1\nnameserver 8.8.8.8\nsearch a\n nameserver ::1 # x\nnameserver no\ndomain b.c\nsearch d e\nnameserver fe80::1%eth0";
        let found = Resolv::parse(text);
        let servers: Vec<String> = found
            .servers
            .iter()
            .map(|(line, address)| format!("{line} {address}"))
            .collect();
        assert_eq!(servers, ["2 8.8.8.8", "4 ::1", "8 fe80::1"]);
        assert_eq!(found.search, (7, vec!["d".to_owned(), "e".to_owned()]));
    }

    #[test]
    fn others_lines_are_kept() {
        let old = b"# mine\nnameserver 1.1.1.1\noptions ndots:2\nnameserver 2.2.2.2\nsearch a";
        let new = set(old, &["9.9.9.9".into(), "::2".into()], &[]);
        assert_eq!(
            String::from_utf8(new).unwrap(),
            "# mine\nnameserver 9.9.9.9\nnameserver ::2\noptions ndots:2\nsearch a"
        );
        assert_eq!(
            set(b"a", &["::2".into()], &["b", "c"]),
            b"a\nnameserver ::2\nsearch b c\n"
        );
        assert_eq!(set(b"a", &[], &[]), b"a");
    }

    proptest! {
        #[test]
        fn what_is_set_is_read_back(
            lines in proptest::collection::vec("(nameserver 1.2.3.4|search x|options y|#[ -~]{0,5}|)", 0..6),
        ) {
            let old = lines.join("\n");
            let new = set(old.as_bytes(), &["10.0.0.1".into()], &["z"]);
            let found = Resolv::parse(&new);
            prop_assert_eq!(found.servers.len(), 1);
            prop_assert_eq!(found.search.1, ["z"]);
            prop_assert_eq!(&set(&new, &["10.0.0.1".into()], &["z"]), &new);
            let text = String::from_utf8(new).unwrap();
            for line in lines.iter().filter(|line| line.starts_with(['o', '#'])) {
                prop_assert!(text.contains(line.as_str()));
            }
        }
    }
}
