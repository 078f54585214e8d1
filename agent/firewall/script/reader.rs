//! Reading an nft script word by word: statements, blocks, and what a base chain says of itself.

use super::token::Token;
use crate::firewall::{Base, Engine, Family, Hook, Table};

/// Where we are in a script.
#[derive(Debug)]
pub struct Reader {
    /// Its words.
    pub tokens: Vec<Token>,
    /// How many are read.
    pub position: usize,
}

impl Reader {
    /// The next word.
    pub fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.position)
    }

    /// Takes the next word if it is this one.
    pub fn takes(&mut self, text: &str) -> bool {
        let is = self.peek().is_some_and(|token| token.is(text));
        self.position += usize::from(is);
        is
    }

    /// The next word; empty at the end.
    pub fn word(&mut self) -> String {
        let word = self.peek().map(|token| token.text.clone());
        self.position += 1;
        word.unwrap_or_default()
    }

    /// `[FAMILY] NAME`; none where packets of another kind come.
    pub fn table(&mut self) -> Option<Table> {
        let first = self.word();
        let (family, name) = match first.as_str() {
            "ip" | "ip6" | "inet" | "arp" | "bridge" | "netdev" => {
                (family_of(&first)?, self.word())
            }
            _ => (Family::Ip, first),
        };
        Some(Table {
            engine: Engine::Nft,
            family,
            name,
        })
    }

    /// Up to the end of the statement, which is not taken where a block ends with it; none where a
    /// brace in it is not closed.
    pub fn statement(&mut self) -> Option<Vec<Token>> {
        let mut words = Vec::new();
        let mut depth = 0;
        while let Some(token) = self.peek() {
            match token.text.as_str() {
                _ if token.quoted => {}
                "{" => depth += 1,
                "}" if depth == 0 => break,
                "}" => depth -= 1,
                ";" if depth == 0 => break,
                _ => {}
            }
            if depth == 0 || !token.is(";") {
                words.push(token.clone());
            }
            self.position += 1;
        }
        (depth == 0).then_some(words)
    }

    /// Where what follows the statement just read can be put; none at the script's end.
    pub fn behind(&self) -> Option<usize> {
        Some(self.peek()?.at + 1)
    }

    /// `{ … }` with all it holds, braces of its own included; none where it is not closed.
    pub fn block(&mut self) -> Option<Vec<Token>> {
        let from = self.position;
        let mut depth = 0;
        while let Some(token) = self.peek() {
            depth += i32::from(token.is("{")) - i32::from(token.is("}"));
            self.position += 1;
            if depth <= 0 {
                return Some(self.tokens.get(from..self.position)?.to_vec());
            }
        }
        None
    }
}

/// `type filter hook input priority 0`
pub fn base_of(words: &[Token]) -> Option<Base> {
    let word = |index: usize| words.get(index).map(|token| token.text.as_str());
    if !words.first()?.is("type") {
        return None;
    }
    let after = |name: &str| {
        words
            .iter()
            .position(|token| token.is(name))
            .map(|at| at + 1)
    };
    let hook = match word(after("hook")?)? {
        "input" => Hook::Input,
        "forward" => Hook::Forward,
        _ => Hook::Other,
    };
    let priority = words.get(after("priority")?..)?;
    Some(Base {
        hook,
        priority: priority_of(priority),
        accepts: true,
    })
}

/// `0`, `-150`, `filter`, `filter + 10`, `mangle - 5` (nft(8), standard priority names)
fn priority_of(words: &[Token]) -> i32 {
    let words = words.iter().take_while(|token| !token.is(";"));
    let text: String = words.map(|token| token.text.as_str()).collect();
    let digits = text.find(['+', '-']).unwrap_or(text.len());
    let (name, offset) = text.split_at(digits);
    let begin = match name {
        "raw" => -300,
        "mangle" => -150,
        "dstnat" => -100,
        "security" => 50,
        "srcnat" => 100,
        other => other.parse().unwrap_or(0),
    };
    begin + offset.parse().unwrap_or(0)
}

/// A family whose tables our packets come to.
pub fn family_of(word: &str) -> Option<Family> {
    match word {
        "ip" => Some(Family::Ip),
        "ip6" => Some(Family::Ip6),
        "inet" => Some(Family::Inet),
        _ => None,
    }
}
