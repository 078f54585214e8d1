//! One rule of an nft script (nft(8), EXPRESSIONS and STATEMENTS) as conditions and a verdict. What
//! is not known is kept as a condition that cannot be decided.

use std::collections::HashMap;
use std::ops::RangeInclusive;

use super::token::Token;
use crate::firewall::save::{Services, rule::network};
use crate::firewall::{Match, On, Place, Rule, Verdict};

/// Sets and verdict maps of a table, their elements as written.
pub type Sets = HashMap<String, Vec<Token>>;

/// Statements that end an expression we do not know.
const ENDS: [&str; 7] = [
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

struct Reader<'a> {
    tokens: &'a [Token],
    sets: &'a Sets,
    services: Services<'a>,
    matches: Vec<Match>,
    /// What a verdict map adds: the conditions of each element, and its verdict.
    map: Vec<(Vec<Match>, Verdict)>,
    verdict: Verdict,
}

impl Reader<'_> {
    fn next(&mut self) -> Option<&Token> {
        let (first, rest) = self.tokens.split_first()?;
        self.tokens = rest;
        Some(first)
    }

    fn word(&mut self) -> Option<String> {
        self.next().map(|token| token.text.clone())
    }

    fn peek(&self) -> &str {
        self.tokens.first().map_or("", |token| &token.text)
    }

    /// Takes the next word if it is this one.
    fn takes(&mut self, text: &str) -> bool {
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

    fn add(&mut self, on: On) {
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
    fn unknown(&mut self, word: &str) {
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

    /// The right side of an expression, made a condition by `on`; a verdict map makes one a verdict.
    fn values(&mut self, what: &str, on: impl Fn(&Self, Vec<String>) -> Option<On>) {
        if self.takes("vmap") {
            return self.verdicts(what, on);
        }
        if [".", "<", "<=", ">", ">=", "&", "and"].contains(&self.peek()) {
            match self.compared() {
                Some(range) if what.ends_with("port") => {
                    let condition = on(self, vec![range]);
                    return self.known(what, false, condition);
                }
                _ => return self.unknown(what),
            }
        }
        let negated = self.takes("!=");
        if !negated {
            self.takes("==");
        }
        let condition = self.list().and_then(|names| on(self, names));
        self.known(what, negated, condition);
    }

    fn known(&mut self, what: &str, negated: bool, on: Option<On>) {
        match on {
            Some(on) => self.matches.push(Match { negated, on }),
            None => self.add(On::Undecided(format!("\"{what}\""))),
        }
    }

    /// `< 1024` as a range.
    fn compared(&mut self) -> Option<String> {
        let sign = self.word()?;
        let number: u16 = self.peek().parse().ok()?;
        self.next();
        match sign.as_str() {
            "<" => Some(format!("0-{}", number.checked_sub(1)?)),
            "<=" => Some(format!("0-{number}")),
            ">" => Some(format!("{}-65535", number.checked_add(1)?)),
            ">=" => Some(format!("{number}-65535")),
            _ => None,
        }
    }

    /// `22`, `22, 80`, `{ 22, 80-90 }`, `@name`; none where the set is not known.
    fn list(&mut self) -> Option<Vec<String>> {
        if let Some(name) = self.peek().strip_prefix('@') {
            let elements = self.sets.get(name).cloned();
            self.next();
            return elements.map(|tokens| words(&tokens));
        }
        if self.peek() == "{" {
            return Some(words(&self.braces()));
        }
        let mut names = vec![self.word()?];
        while self.takes(",") {
            names.push(self.word()?);
        }
        Some(names)
    }

    /// What stands between braces.
    fn braces(&mut self) -> Vec<Token> {
        self.next();
        let end = self.tokens.iter().position(|token| token.is("}"));
        let (inside, rest) = self.tokens.split_at(end.unwrap_or(self.tokens.len()));
        self.tokens = rest.get(1..).unwrap_or_default();
        inside.to_vec()
    }

    /// `vmap { 22 : accept, 80 : jump web }`
    fn verdicts(&mut self, what: &str, on: impl Fn(&Self, Vec<String>) -> Option<On>) {
        let elements = match self.peek().strip_prefix('@') {
            Some(name) => {
                let elements = self.sets.get(name).cloned();
                self.next();
                elements
            }
            None => Some(self.braces()),
        };
        let Some(elements) = elements else {
            self.add(On::Undecided(format!("the map of \"{what}\"")));
            self.verdict = Verdict::Undecided;
            return;
        };
        for element in elements.split(|token| token.is(",")) {
            let mut halves = element.splitn(2, |token| token.is(":"));
            let (key, verdict) = (halves.next(), halves.next());
            let on = on(self, words(key.unwrap_or_default()));
            let on = on.unwrap_or_else(|| On::Undecided(format!("\"{what}\"")));
            let verdict = match verdict.map(words).as_deref() {
                Some([word]) if word == "accept" => Verdict::Accept,
                Some([word]) if word == "drop" => Verdict::Drop,
                Some([word]) if word == "return" => Verdict::Return,
                Some([word]) if word == "continue" => continue,
                Some([word, to]) if word == "jump" => Verdict::Jump(to.clone()),
                Some([word, to]) if word == "goto" => Verdict::Goto(to.clone()),
                _ => Verdict::Undecided,
            };
            let negated = false;
            self.map.push((vec![Match { negated, on }], verdict));
        }
    }

    /// Skips a statement's value.
    fn skip(&mut self) {
        while !self.tokens.is_empty() && !ENDS.contains(&self.peek()) {
            self.next();
        }
    }

    fn ports(&self, names: &[String]) -> Option<Vec<RangeInclusive<u16>>> {
        let port = |text: &str| text.parse().ok().or_else(|| (self.services)(text));
        let one = |text: &String| {
            // A name may hold a hyphen.
            if let Some(port) = port(text) {
                return Some(port..=port);
            }
            let (from, to) = text.split_once('-')?;
            Some(port(from)?..=port(to)?)
        };
        names.iter().map(one).collect()
    }
}

/// The elements of a list, without commas and options (`timeout 1h`).
fn words(tokens: &[Token]) -> Vec<String> {
    let signs = [",", ";", "{", "}"];
    let kept = tokens
        .iter()
        .filter(|token| token.quoted || !signs.contains(&token.text.as_str()));
    kept.map(|token| token.text.clone()).collect()
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
