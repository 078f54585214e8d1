//! One rule of an nft script (nft(8), EXPRESSIONS and STATEMENTS) as conditions and a verdict. What
//! is not known is kept as a condition that cannot be decided.

use std::collections::HashMap;

use super::token::Token;
use crate::firewall::save::{Services, rule::network};
use crate::firewall::{Match, On, Place, Rule, Verdict};

/// Sets and verdict maps of a table, their elements as written.
pub type Sets = HashMap<String, Vec<Token>>;

/// Statements that end an expression we do not know.
pub(super) const ENDS: [&str; 7] = [
    "accept", "drop", "reject", "jump", "goto", "return", "queue",
];

/// Reads a rule: more than one where it holds a verdict map.
#[must_use]
pub fn parse(tokens: &[Token], place: &Place, sets: &Sets, services: Services) -> Vec<Rule> {
    let mut reader = Reader {
        tokens,
        sets,
        services,
        matches: Vec::new(),
        map: Vec::new(),
        verdict: Verdict::Continue,
    };
    while let Some(word) = reader.word() {
        reader.statement(&word);
    }
    let words: Vec<&str> = tokens.iter().map(|token| token.text.as_str()).collect();
    let text = words.join(" ").replace(" ,", ",");
    let rule = |matches: Vec<Match>, verdict: Verdict| Rule {
        matches,
        verdict,
        text: text.clone(),
        handle: None,
        place: Some(place.clone()),
    };
    let mut rules = Vec::new();
    for (more, verdict) in reader.map {
        rules.push(rule([reader.matches.clone(), more].concat(), verdict));
    }
    rules.push(rule(reader.matches, reader.verdict));
    rules
}

/// Where we are in a rule, and what it is so far.
pub(super) struct Reader<'a> {
    pub tokens: &'a [Token],
    pub sets: &'a Sets,
    pub services: Services<'a>,
    pub matches: Vec<Match>,
    /// What a verdict map adds: the conditions of each element, and its verdict.
    pub map: Vec<(Vec<Match>, Verdict)>,
    pub verdict: Verdict,
}

impl Reader<'_> {
    pub fn next(&mut self) -> Option<&Token> {
        let (first, rest) = self.tokens.split_first()?;
        self.tokens = rest;
        Some(first)
    }

    pub fn word(&mut self) -> Option<String> {
        self.next().map(|token| token.text.clone())
    }

    pub fn peek(&self) -> &str {
        self.tokens.first().map_or("", |token| &token.text)
    }

    /// Takes the next word if it is this one.
    pub fn takes(&mut self, text: &str) -> bool {
        let is = self.tokens.first().is_some_and(|token| token.is(text));
        if is {
            self.next();
        }
        is
    }

    fn statement(&mut self, word: &str) {
        match word {
            "accept" => self.verdict = Verdict::Accept,
            "drop" => self.verdict = Verdict::Drop,
            "return" => self.verdict = Verdict::Return,
            "continue" => {}
            "jump" => self.verdict = Verdict::Jump(self.word().unwrap_or_default()),
            "goto" => self.verdict = Verdict::Goto(self.word().unwrap_or_default()),
            "reject" => {
                self.verdict = Verdict::Drop;
                self.tokens = &[];
            }
            "masquerade" | "snat" | "dnat" | "redirect" => {
                self.verdict = Verdict::Accept;
                self.tokens = &[];
            }
            "queue" => {
                self.verdict = Verdict::Undecided;
                self.tokens = &[];
            }
            "counter" => self.pairs(&["packets", "bytes", "name"]),
            "log" => self.pairs(&[
                "prefix",
                "level",
                "flags",
                "group",
                "snaplen",
                "queue-threshold",
            ]),
            "comment" => drop(self.word()),
            "notrack" => {}
            "meta" => {
                let key = self.word().unwrap_or_default();
                self.meta(&key);
            }
            "ip" | "ip6" => self.network_header(word == "ip6"),
            "tcp" | "udp" | "th" => self.transport_header(word),
            "icmp" | "icmpv6" => {
                let number = if word == "icmp" { 1 } else { 58 };
                self.add(On::Protocol(vec![number]));
                self.unknown(word);
            }
            "ct" => self.connection(),
            "fib" => self.route(),
            "iif" | "iifname" | "oif" | "oifname" | "l4proto" | "nfproto" | "mark" | "pkttype" => {
                self.meta(word);
            }
            unknown => self.unknown(unknown),
        }
    }

    pub fn add(&mut self, on: On) {
        self.matches.push(Match { negated: false, on });
    }

    /// Options of a statement with a value each.
    fn pairs(&mut self, names: &[&str]) {
        while names.contains(&self.peek()) {
            self.next();
            self.next();
        }
    }

    /// An expression we do not know: up to the statement that ends the rule.
    pub fn unknown(&mut self, word: &str) {
        self.add(On::Undecided(format!("\"{word}\"")));
        while !self.tokens.is_empty() && !ENDS.contains(&self.peek()) {
            self.next();
        }
    }

    fn meta(&mut self, key: &str) {
        if self.takes("set") {
            // A mark or alike for who comes later.
            return self.skip();
        }
        match key {
            "iif" | "iifname" => self.values(key, |_, names| Some(On::InputInterface(names))),
            "oif" | "oifname" => self.values(key, |_, names| Some(On::OutputInterface(names))),
            "l4proto" => self.values(key, |_, names| Some(protocols(&names))),
            "nfproto" => self.values(key, |_, names| family(&names, "ipv4", "ipv6")),
            "protocol" => self.values(key, |_, names| family(&names, "ip", "ip6")),
            "pkttype" => self.values(key, |_, names| {
                let own = |name: String| name.replace("host", "local");
                Some(On::DestinationType(names.into_iter().map(own).collect()))
            }),
            "mark" => self.mark(),
            _ => self.unknown(key),
        }
    }

    fn network_header(&mut self, ipv6: bool) {
        self.add(On::Ipv6(ipv6));
        let field = self.word().unwrap_or_default();
        match field.as_str() {
            "saddr" => self.values("saddr", |_, names| {
                let nets: Option<_> = names.iter().map(|name| network(name)).collect();
                // A range, a name: an address that a rule names in any case.
                Some(On::Source(nets.unwrap_or_default()))
            }),
            "daddr" => self.values("daddr", |_, names| {
                let nets: Option<_> = names.iter().map(|name| network(name)).collect();
                nets.map(On::Destination)
            }),
            "protocol" | "nexthdr" => self.values(&field, |_, names| Some(protocols(&names))),
            _ => self.unknown(&field),
        }
    }

    fn transport_header(&mut self, protocol: &str) {
        match protocol {
            "tcp" => self.add(On::Protocol(vec![6])),
            "udp" => self.add(On::Protocol(vec![17])),
            _ => {}
        }
        let field = self.word().unwrap_or_default();
        match field.as_str() {
            "dport" => self.values("dport", |reader, names| {
                reader.ports(&names).map(On::DestinationPort)
            }),
            "sport" => self.values("sport", |reader, names| {
                reader.ports(&names).map(On::SourcePort)
            }),
            "flags" => self.flags(),
            _ => self.unknown(&field),
        }
    }

    fn connection(&mut self) {
        let key = self.word().unwrap_or_default();
        match key.as_str() {
            "state" => self.values("ct state", |_, names| Some(On::Connection(names))),
            "status" => self.values("ct status", |_, names| {
                let known = names.iter().all(|name| name == "dnat" || name == "snat");
                known.then_some(On::Connection(names))
            }),
            "mark" if self.takes("set") => self.skip(),
            _ => self.unknown(&key),
        }
    }

    /// `fib daddr type local`
    fn route(&mut self) {
        if self.takes("daddr") && self.takes("type") {
            return self.values("fib daddr type", |_, names| {
                Some(On::DestinationType(names))
            });
        }
        self.unknown("fib");
    }

    /// `mark 1`, `mark & 0x4000 == 0x4000`, `mark and 0x4000 != 0x4000`
    fn mark(&mut self) {
        let mut mask = u32::MAX;
        if self.takes("&") || self.takes("and") {
            match self.word().and_then(|word| number(&word)) {
                Some(number) => mask = number,
                None => return self.unknown("mark"),
            }
        }
        self.values("mark", |_, names| match names.as_slice() {
            [one] => number(one).map(|value| On::Mark { value, mask }),
            _ => None,
        });
    }

    /// `flags syn`, `flags & (fin|syn|rst|ack) == syn`, `flags syn / fin,syn,rst,ack`
    fn flags(&mut self) {
        if self.takes("&") {
            let mask = self.flag_bits();
            let negated = self.takes("!=");
            if !negated {
                self.takes("==");
            }
            let set = self.flag_bits();
            let on = On::TcpFlags { set, mask };
            return self.matches.push(Match { negated, on });
        }
        let negated = self.takes("!=");
        if !negated {
            self.takes("==");
        }
        let set = self.flag_bits();
        let mask = if self.takes("/") {
            self.flag_bits()
        } else {
            set
        };
        self.matches.push(Match {
            negated,
            on: On::TcpFlags { set, mask },
        });
    }

    fn flag_bits(&mut self) -> u8 {
        let mut bits = 0;
        loop {
            let bit = match self.peek() {
                "(" | ")" | "|" | "," => 0,
                "fin" => 1,
                "syn" => 2,
                "rst" => 4,
                "psh" => 8,
                "ack" => 16,
                "urg" => 32,
                "ecn" | "cwr" => 64,
                _ => return bits,
            };
            bits |= bit;
            self.next();
        }
    }
}

fn family(names: &[String], v4: &str, v6: &str) -> Option<On> {
    match names {
        [one] if one == v4 => Some(On::Ipv6(false)),
        [one] if one == v6 => Some(On::Ipv6(true)),
        _ => None,
    }
}

fn protocols(names: &[String]) -> On {
    let number = |name: &String| match name.as_str() {
        "tcp" => Some(6),
        "udp" => Some(17),
        other => other.parse().ok(),
    };
    // Others by name are neither TCP nor UDP.
    On::Protocol(names.iter().filter_map(number).collect())
}

fn number(text: &str) -> Option<u32> {
    match text.strip_prefix("0x") {
        Some(hex) => u32::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}
