//! The right side of an nft expression: values, lists, sets, comparisons and verdict maps.

use std::ops::RangeInclusive;

use super::rule::{ENDS, Reader};
use super::token::Token;
use crate::firewall::{Match, On, Verdict};

impl Reader<'_> {
    /// The right side of an expression, made a condition by `on`; a verdict map makes one a verdict.
    pub(super) fn values(&mut self, what: &str, on: impl Fn(&Self, Vec<String>) -> Option<On>) {
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
    pub(super) fn skip(&mut self) {
        while !self.tokens.is_empty() && !ENDS.contains(&self.peek()) {
            self.next();
        }
    }

    pub(super) fn ports(&self, names: &[String]) -> Option<Vec<RangeInclusive<u16>>> {
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
