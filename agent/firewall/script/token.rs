//! The words of an nft script (nft(8), lexical conventions), each with where it stands.

/// A word, a quoted string or a sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Its text, quotes taken off; a line's end and `;` are both `;`.
    pub text: String,
    /// Whether it stood in quotes.
    pub quoted: bool,
    /// Its first byte.
    pub at: usize,
    /// Its line, from 1.
    pub line: usize,
}

impl Token {
    /// Whether it is this word or sign, not in quotes.
    #[must_use]
    pub fn is(&self, text: &str) -> bool {
        !self.quoted && self.text == text
    }
}

/// Divides a script; none where a quote is not closed.
#[must_use]
pub fn tokens(script: &str) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut line = 1;
    let mut rest = script.char_indices().peekable();
    while let Some((at, character)) = rest.next() {
        let mut push = |text: &str, quoted| {
            tokens.push(Token {
                text: text.to_owned(),
                quoted,
                at,
                line,
            });
        };
        match character {
            '\n' => {
                push(";", false);
                line += 1;
            }
            '\\' => {
                // A line goes on after a backslash.
                if rest.next_if(|(_, next)| *next == '\n').is_some() {
                    line += 1;
                }
            }
            '#' => while rest.next_if(|(_, next)| *next != '\n').is_some() {},
            '"' => {
                let mut end = at + 1;
                loop {
                    match rest.next()? {
                        (to, '"') => {
                            end = to.max(end);
                            break;
                        }
                        (_, '\n') => return None,
                        _ => {}
                    }
                }
                push(script.get(at + 1..end)?, true);
            }
            '!' | '<' | '>' | '=' => match rest.next_if(|(_, next)| *next == '=') {
                Some(_) => push(&format!("{character}="), false),
                None => push(&character.to_string(), false),
            },
            ';' | '{' | '}' | ',' | '(' | ')' | '|' | '&' => push(&character.to_string(), false),
            space if space.is_whitespace() => {}
            _ => {
                let mut end = at + character.len_utf8();
                while let Some((to, next)) = rest.next_if(|(_, next)| is_of_word(*next)) {
                    end = to + next.len_utf8();
                }
                word(&mut tokens, script.get(at..end)?, at, line);
            }
        }
    }
    Some(tokens)
}

fn is_of_word(character: char) -> bool {
    !character.is_whitespace() && !"\"#;{},()|&=!<>\\".contains(character)
}

/// A colon divides words, as in `22:accept`, but not an IPv6 address.
fn word(tokens: &mut Vec<Token>, word: &str, at: usize, line: usize) {
    let mut push = |text: &str, at: usize| {
        tokens.push(Token {
            text: text.to_owned(),
            quoted: false,
            at,
            line,
        });
    };
    let is_address = |text: &str| {
        let address = text.split(['/', '-']).next().unwrap_or_default();
        address.parse::<std::net::IpAddr>().is_ok()
    };
    if !word.contains(':') || is_address(word) {
        return push(word, at);
    }
    // `fe80::/10:accept`: the last colon is the dividing one.
    if let Some((address, rest)) = word.rsplit_once(':')
        && is_address(address)
    {
        push(address, at);
        push(":", at + address.len());
        if !rest.is_empty() {
            push(rest, at + address.len() + 1);
        }
        return;
    }
    let mut from = at;
    for part in word.split_inclusive(':') {
        let name = part.trim_end_matches(':');
        if !name.is_empty() {
            push(name, from);
        }
        if part.len() > name.len() {
            push(":", from + name.len());
        }
        from += part.len();
    }
}
