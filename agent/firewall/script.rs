//! Rules as nft -f loads them (nft(8)): what nftables.service loads at boot. The scripts are edited
//! where a rule must go, not written anew: comments, defines and includes are the administrator's.

mod define;
mod edit;
mod reader;
mod rule;
mod token;
mod value;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::save::Services;
use super::{Base, Chain, Family, Ruleset, Table};
use crate::error::{Result, trouble};
pub use edit::Addition;
use edit::{Form, Spot};
use reader::{Reader, base_of, family_of};
use rule::Sets;
use token::Token;

/// nft's own limit for includes within includes (MAX_INCLUDE_DEPTH).
const DEEPEST: usize = 16;

/// Files that include each other twice and twice again would fill the memory.
const MOST_FILES: usize = 1000;

/// A script with all it includes.
#[derive(Debug, Default)]
pub struct Script {
    /// What it loads.
    pub ruleset: Ruleset,
    files: Vec<(PathBuf, String)>,
    /// Where each rule of each chain stands, in the order of the rule set.
    spots: Vec<Vec<Spot>>,
    /// Where each chain's block ends, if it has one.
    ends: Vec<Option<Spot>>,
    sets: HashMap<Table, Sets>,
    defines: HashMap<String, Vec<Token>>,
}

/// The file that is read.
struct Source<'a> {
    file: usize,
    length: usize,
    path: &'a Path,
    services: Services<'a>,
}

/// Gives the files an `include` names, in nft's order, with their texts.
pub type Include<'a> = &'a dyn Fn(&str) -> Result<Vec<(PathBuf, String)>>;

impl Script {
    /// Reads a script.
    ///
    /// # Errors
    /// Where it is not divided as nft divides it, or an included file cannot be read.
    pub fn parse(path: &Path, text: String, include: Include, services: Services) -> Result<Self> {
        let mut script = Self::default();
        script.read(path, text, include, services, 0)?;
        Ok(script)
    }

    /// The script that includes the others.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.files.first().map(|(path, _)| path.as_path())
    }

    fn read(
        &mut self,
        path: &Path,
        text: String,
        include: Include,
        services: Services,
        depth: usize,
    ) -> Result<()> {
        let shown = path.display();
        let tokens = token::tokens(&text)
            .ok_or_else(|| trouble!("{shown}: a quote is not closed: mend it by hand"))?;
        let (file, length) = (self.files.len(), text.len());
        self.files.push((path.to_owned(), text));
        let mut reader = Reader {
            tokens: self.expand(tokens).ok_or_else(|| define::endless(path))?,
            position: 0,
        };
        let source = Source {
            file,
            length,
            path,
            services,
        };
        while let Some(line) = reader.peek().map(|token| token.line) {
            if reader.takes(";") {
                continue;
            }
            if reader.takes("include") {
                let name = reader.word();
                if depth >= DEEPEST || self.files.len() >= MOST_FILES {
                    return Err(trouble!("{shown}:{line}: too many includes"));
                }
                for (path, text) in include(&name)? {
                    self.read(&path, text, include, services, depth + 1)?;
                }
                continue;
            }
            if reader.takes("define") || reader.takes("redefine") {
                self.define(&mut reader).ok_or_else(|| {
                    trouble!("{shown}:{line}: a brace is not closed: mend it by hand")
                })?;
                // What follows may name it.
                let rest = reader.tokens.split_off(reader.position);
                let rest = self.expand(rest).ok_or_else(|| define::endless(path))?;
                reader.tokens.extend(rest);
                continue;
            }
            self.command(&mut reader, &source).ok_or_else(|| {
                trouble!(
                    "{shown}:{line}: not understood (nft(8)): mend it by hand, it is left as it is"
                )
            })?;
        }
        Ok(())
    }

    fn command(&mut self, reader: &mut Reader, source: &Source) -> Option<()> {
        let from = reader.peek()?.at;
        let flush = reader.takes("flush");
        if flush || reader.takes("delete") || reader.takes("destroy") {
            return self.removal(&reader.statement()?, !flush);
        }
        let insert = reader.takes("insert");
        if !insert && !reader.takes("add") {
            reader.takes("create");
        }
        match reader.word().as_str() {
            "table" => {
                let table = reader.table();
                self.table(reader, &table, source)
            }
            "chain" => {
                let table = reader.table();
                let name = reader.word();
                let chain = self.chain(&table, &name);
                if reader.peek().is_some_and(|token| token.is("{")) {
                    let block = reader.block()?;
                    let inside = block.get(1..).unwrap_or_default();
                    self.set_base(chain, base_of(inside), inside);
                }
                Some(())
            }
            "rule" => {
                let table = reader.table();
                let name = reader.word();
                let chain = self.chain(&table, &name);
                let words = reader.statement()?;
                let (at, form) = match insert {
                    true => (reader.behind().unwrap_or(source.length), Form::Insert),
                    false => (from, Form::Add),
                };
                let file = source.file;
                let spot = Spot { file, at, form };
                self.rule(source, chain, &words, spot, insert.then_some(0))
            }
            "set" | "map" | "element" => {
                let table = reader.table();
                let name = reader.word();
                let block = reader.block()?;
                self.elements(&table, &name, &block);
                Some(())
            }
            "flowtable" | "counter" | "quota" | "limit" | "ct" | "secmark" | "synproxy" => {
                reader.statement().map(drop)
            }
            _ => None,
        }
    }

    /// `flush` takes the rules, `delete` the chains too.
    fn removal(&mut self, words: &[Token], chains: bool) -> Option<()> {
        match words.first()?.text.as_str() {
            "ruleset" => {
                self.ruleset.chains.clear();
                self.spots.clear();
                self.ends.clear();
                self.sets.clear();
            }
            "table" => self.drop_table(words, chains),
            _ => return None,
        }
        Some(())
    }

    fn drop_table(&mut self, words: &[Token], chains: bool) {
        let words: Vec<&str> = words
            .iter()
            .skip(1)
            .map(|token| token.text.as_str())
            .collect();
        let named = |table: &Table| match words.as_slice() {
            [family, name] => family_of(family) == Some(table.family) && table.name == *name,
            [name] => table.family == Family::Ip && table.name == *name,
            _ => false,
        };
        // Emptied in place: the places of other chains keep their numbers.
        for (index, chain) in self.ruleset.chains.iter_mut().enumerate() {
            if named(&chain.table) {
                chain.rules.clear();
                chain.base = chain.base.filter(|_| !chains);
                if let Some(spots) = self.spots.get_mut(index) {
                    spots.clear();
                }
                // What is written before this command goes with it.
                if let Some(end) = self.ends.get_mut(index) {
                    *end = None;
                }
            }
        }
    }

    /// `{ chain NAME { … } set NAME { … } … }`
    fn table(&mut self, reader: &mut Reader, table: &Option<Table>, source: &Source) -> Option<()> {
        if !reader.takes("{") {
            return Some(());
        }
        loop {
            match reader.word().as_str() {
                ";" => {}
                "}" => return Some(()),
                "chain" => {
                    let name = reader.word();
                    self.block(reader, table, &name, source)?;
                }
                "set" | "map" => {
                    let name = reader.word();
                    let block = reader.block()?;
                    self.elements(table, &name, &block);
                }
                "" => return None,
                // A flag, a comment, an object whose block follows.
                _ => {
                    while reader
                        .peek()
                        .is_some_and(|token| !["{", ";", "}"].contains(&token.text.as_str()))
                    {
                        reader.position += 1;
                    }
                    if reader.peek().is_some_and(|token| token.is("{")) {
                        reader.block()?;
                    }
                }
            }
        }
    }

    /// A chain's block, rule by rule.
    fn block(
        &mut self,
        reader: &mut Reader,
        table: &Option<Table>,
        name: &str,
        source: &Source,
    ) -> Option<()> {
        let chain = self.chain(table, name);
        if !reader.takes("{") {
            return None;
        }
        loop {
            let first = reader.peek()?.clone();
            let spot = Spot {
                file: source.file,
                at: first.at,
                form: Form::Line,
            };
            if reader.takes(";") {
                continue;
            }
            if reader.takes("}") {
                if let Some(end) = chain.and_then(|chain| self.ends.get_mut(chain)) {
                    *end = Some(spot);
                }
                return Some(());
            }
            let words = reader.statement()?;
            match first.text.as_str() {
                "type" | "policy" => self.set_base(chain, base_of(&words), &words),
                "comment" | "flags" => {}
                _ => self.rule(source, chain, &words, spot, None)?,
            }
        }
    }

    /// The index of a chain, made if it is not there; none where no packet of ours comes (arp,
    /// bridge, netdev).
    fn chain(&mut self, table: &Option<Table>, name: &str) -> Option<usize> {
        let table = table.as_ref()?;
        let chains = &mut self.ruleset.chains;
        let is_it = |chain: &Chain| chain.table == *table && chain.name == name;
        if let Some(index) = chains.iter().position(is_it) {
            return Some(index);
        }
        chains.push(Chain {
            table: table.clone(),
            name: name.to_owned(),
            base: None,
            rules: Vec::new(),
        });
        self.spots.push(Vec::new());
        self.ends.push(None);
        Some(chains.len() - 1)
    }

    fn set_base(&mut self, chain: Option<usize>, base: Option<Base>, words: &[Token]) {
        let Some(chain) = chain.and_then(|index| self.ruleset.chains.get_mut(index)) else {
            return;
        };
        chain.base = base.or(chain.base);
        let mut pairs = words.windows(2);
        let policy = pairs.find(|pair| pair.first().is_some_and(|word| word.is("policy")));
        if let (Some([_, policy]), Some(base)) = (policy, &mut chain.base) {
            base.accepts = !policy.is("drop");
        }
    }

    fn elements(&mut self, table: &Option<Table>, name: &str, block: &[Token]) {
        let Some(table) = table else { return };
        let start = block.iter().position(|token| token.is("elements"));
        // `add element` has them alone.
        let elements = match start {
            Some(start) => block.get(start + 2..).unwrap_or_default(),
            None if block
                .iter()
                .any(|token| token.is("type") || token.is("typeof")) =>
            {
                &[]
            }
            None => block,
        };
        let sets = self.sets.entry(table.clone()).or_default();
        let set = sets.entry(name.to_owned()).or_default();
        let kept = elements
            .iter()
            .filter(|token| !token.is("{") && !token.is("}") && !token.is(";"));
        set.extend(kept.cloned());
    }

    fn rule(
        &mut self,
        source: &Source,
        chain: Option<usize>,
        words: &[Token],
        spot: Spot,
        at: Option<usize>,
    ) -> Option<()> {
        let Some(index) = chain else { return Some(()) };
        let chain = self.ruleset.chains.get_mut(index)?;
        let none = Sets::new();
        let sets = self.sets.get(&chain.table).unwrap_or(&none);
        let place = (source.path.to_owned(), words.first()?.line);
        let rules = rule::parse(words, &place, sets, source.services);
        let spots = self.spots.get_mut(index)?;
        let at = at.unwrap_or(chain.rules.len());
        spots.splice(at..at, rules.iter().map(|_| spot));
        chain.rules.splice(at..at, rules);
        Some(())
    }
}

#[cfg(test)]
#[path = "script_test.rs"]
mod tests;
