//! One rule in iptables' own words, as firewalld's direct rules and ufw's before.rules hold them:
//! what it does to packets from anywhere, or nothing where it is for some packets only.

use std::ops::RangeInclusive;

use super::opening::{Protocol, range};
use super::sequence::Entry;
use crate::finding::Origin;
use crate::firewall::Family;

/// What of a connection's first packet can be asked here: its ports as they were sent, on the input
/// hook; that it was translated, on the forward hook, where its port is another by then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// For this machine.
    Input,
    /// Translated, and through this machine.
    Forward,
}

/// Reads the words after `-A CHAIN` (iptables(8), iptables-extensions(8)). None where the rule has a
/// condition that only some packets meet, or ends in another chain.
#[must_use]
pub fn parse(text: &str, family: Family, hook: Hook, origin: Origin) -> Option<Entry> {
    let words = words(text);
    let mut words = words.iter().map(String::as_str);
    let mut entry = Entry {
        family,
        ..Entry::all(false, origin)
    };
    let mut decides = false;
    while let Some(word) = words.next() {
        match word {
            "-m" | "--match" | "--comment" | "--reject-with" => {
                words.next()?;
            }
            "--syn" => {}
            "-p" | "--protocol" => match words.next()? {
                "all" => {}
                name => entry.protocol = Some(Protocol::named(name)?),
            },
            "-s" | "--source" | "-d" | "--destination" => {
                ["0.0.0.0/0", "::/0"]
                    .contains(&words.next()?)
                    .then_some(())?;
            }
            "--dport" | "--destination-port" | "--dports" | "--destination-ports" => {
                (hook == Hook::Input).then_some(())?;
                entry.ports = Some(ports(words.next()?)?);
            }
            "--ctstate" | "--state" => {
                let met = |state| state == "NEW" || (state == "DNAT" && hook == Hook::Forward);
                words.next()?.split(',').any(met).then_some(())?;
            }
            "-j" | "--jump" => {
                decides = true;
                entry.passes = match words.next()? {
                    "ACCEPT" => true,
                    "DROP" | "REJECT" => false,
                    _ => return None,
                };
            }
            _ => return None,
        }
    }
    decides.then_some(entry)
}

/// A list as `80,443,30000:32767`.
#[must_use]
pub fn ports(list: &str) -> Option<Vec<RangeInclusive<u16>>> {
    list.split(',').map(|part| range(part, ':').ok()).collect()
}

/// Words split at white space; quotes hold one together.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quoted = None;
    for c in text.chars() {
        match c {
            _ if quoted == Some(c) => quoted = None,
            '"' | '\'' if quoted.is_none() => {
                quoted = Some(c);
                word.get_or_insert_default();
            }
            _ if quoted.is_none() && c.is_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str, hook: Hook) -> String {
        match parse(text, Family::Ip, hook, Origin::Other(String::new())) {
            None => "-".into(),
            Some(entry) => format!("{:?} {:?} {}", entry.protocol, entry.ports, entry.passes),
        }
    }

    #[test]
    fn only_what_holds_for_all_counts() {
        let cases = [
            (
                "-p tcp -m tcp --dport 80 -m comment --comment 'a b' -j ACCEPT",
                "Some(Tcp) Some([80..=80]) true",
            ),
            (
                "-p udp -m multiport --dports 1,5:9 -j DROP",
                "Some(Udp) Some([1..=1, 5..=9]) false",
            ),
            (
                "-s 0.0.0.0/0 -j REJECT --reject-with tcp-reset",
                "None None false",
            ),
            (
                "-p all -m conntrack --ctstate NEW,RELATED -j ACCEPT",
                "None None true",
            ),
            ("-m conntrack --ctstate INVALID -j DROP", "-"),
            ("-s 10.0.0.0/8 -j DROP", "-"),
            ("! -s 0.0.0.0/0 -j DROP", "-"),
            ("-i lo -j ACCEPT", "-"),
            ("-p icmp -j ACCEPT", "-"),
            ("-p tcp --dport ssh -j ACCEPT", "-"),
            ("-j ufw-not-local", "-"),
            ("-p tcp", "-"),
            ("", "-"),
        ];
        for (text, expected) in cases {
            assert_eq!(read(text, Hook::Input), expected, "{text}");
        }
        let translated = "-m conntrack --ctstate DNAT -j ACCEPT";
        assert_eq!(read(translated, Hook::Input), "-");
        assert_eq!(read(translated, Hook::Forward), "None None true");
        assert_eq!(read("-p tcp --dport 80 -j DROP", Hook::Forward), "-");
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[-a-z0-9:,'\" !]{0,40}") {
            let _ = read(&text, Hook::Input);
        }
    }
}
