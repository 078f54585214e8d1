//! What an nft script defines: `$NAME` stands for words, which may name others again.

use std::path::Path;

use super::Script;
use super::reader::Reader;
use super::token::Token;
use crate::error::{Error, trouble};

/// Words of a script with what it defines put in: forty lines, each of which names the one before
/// twice, would fill the memory. Scripts with thousands of addresses have some ten thousand.
const MOST_WORDS: usize = 1_000_000;

/// For a script that has more.
pub fn endless(path: &Path) -> Error {
    trouble!(
        "{}: more than {MOST_WORDS} words with what it defines put in: mend it by hand",
        path.display()
    )
}

impl Script {
    /// Puts what was defined in the place of `$NAME`; none where that is too much.
    pub(super) fn expand(&self, tokens: Vec<Token>) -> Option<Vec<Token>> {
        let mut expanded = Vec::with_capacity(tokens.len());
        for token in tokens {
            let name = token.text.strip_prefix('$').filter(|_| !token.quoted);
            match name.and_then(|name| self.defines.get(name)) {
                Some(value) => expanded.extend(value.iter().map(|one| Token {
                    at: token.at,
                    line: token.line,
                    ..one.clone()
                })),
                None => expanded.push(token),
            }
            if expanded.len() > MOST_WORDS {
                return None;
            }
        }
        Some(expanded)
    }

    /// `NAME = value` or `NAME = { … }`; none where a brace is not closed.
    pub(super) fn define(&mut self, reader: &mut Reader) -> Option<()> {
        let name = reader.word();
        reader.takes("=");
        let value = match reader.peek().is_some_and(|token| token.is("{")) {
            true => reader.block(),
            false => reader.statement(),
        };
        let value = self.expand(value?)?;
        self.defines.insert(name, value);
        Some(())
    }
}
