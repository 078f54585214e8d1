//! Rules as iptables-save prints and iptables-restore loads them (iptables-restore(8)): what
//! netfilter-persistent, iptables-services and ufw load at boot.

pub mod rule;

use std::path::Path;

use super::{Base, Chain, Engine, Family, Hook, Place, Ruleset, Table};
use crate::error::{Result, trouble};

/// Where port names are looked up (services(5)).
pub type Services<'a> = &'a dyn Fn(&str) -> Option<u16>;

/// Reads a file's rules.
///
/// # Errors
/// Where a line is none that iptables-restore would take as far as we can tell; the text names it.
pub fn parse(text: &str, path: &Path, ipv6: bool, services: Services) -> Result<Ruleset> {
    let mut ruleset = Ruleset::default();
    let mut table: Option<Table> = None;
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        let wrong = |why: &str| {
            trouble!(
                "{}:{number}: {why} (iptables-restore(8)): mend it by hand, it is left as it is",
                path.display()
            )
        };
        let line = line.trim();
        match line.chars().next() {
            None | Some('#') => continue,
            Some('*') if table.is_some() => return Err(wrong("COMMIT is missing before it")),
            Some('*') => {
                table = Some(table_of(line.get(1..).unwrap_or_default().trim(), ipv6));
                continue;
            }
            Some(_) if line == "COMMIT" => {
                table = None;
                continue;
            }
            Some(_) => {}
        }
        let table = table
            .as_ref()
            .ok_or_else(|| wrong("a rule outside of *TABLE … COMMIT"))?;
        match line.strip_prefix(':') {
            Some(declared) => {
                let mut words = declared.split_whitespace();
                let name = words.next().ok_or_else(|| wrong("a chain without name"))?;
                declare(&mut ruleset, table, name, words.next())
            }
            None => {
                let place = (path.to_owned(), number);
                command(&mut ruleset, table, line, place, services)
            }
        }
        .ok_or_else(|| wrong("not understood"))?;
    }
    match table {
        None => Ok(ruleset),
        Some(table) => Err(trouble!(
            "{}: table {} has no COMMIT (iptables-restore(8)): mend it by hand, it is left as it is",
            path.display(),
            table.name
        )),
    }
}

fn table_of(name: &str, ipv6: bool) -> Table {
    Table {
        engine: Engine::Nft,
        family: if ipv6 { Family::Ip6 } else { Family::Ip },
        name: name.to_owned(),
    }
}

/// The built-in chains we walk, with the priorities of include/uapi/linux/netfilter_ipv4.h.
fn base(table: &str, chain: &str, accepts: bool) -> Option<Base> {
    let priority = match table {
        "raw" => -300,
        "mangle" => -150,
        "filter" => 0,
        "security" => 50,
        "nat" => 100,
        _ => return None,
    };
    let hook = match chain {
        "INPUT" => Hook::Input,
        "FORWARD" => Hook::Forward,
        "PREROUTING" | "OUTPUT" | "POSTROUTING" => Hook::Other,
        _ => return None,
    };
    Some(Base {
        hook,
        priority,
        accepts,
    })
}

/// The chain, made if it is not there: a built-in one need not be declared.
fn chain<'a>(ruleset: &'a mut Ruleset, table: &Table, name: &str) -> Option<&'a mut Chain> {
    let is_it = |chain: &Chain| chain.name == name && chain.table == *table;
    let index = ruleset.chains.iter().position(is_it);
    if index.is_none() {
        ruleset.chains.push(Chain {
            table: table.clone(),
            name: name.to_owned(),
            base: base(&table.name, name, true),
            rules: Vec::new(),
        });
    }
    match index {
        Some(index) => ruleset.chains.get_mut(index),
        None => ruleset.chains.last_mut(),
    }
}

fn declare(ruleset: &mut Ruleset, table: &Table, name: &str, policy: Option<&str>) -> Option<()> {
    let accepts = policy != Some("DROP");
    chain(ruleset, table, name)?.base = base(&table.name, name, accepts);
    Some(())
}

/// Does one command of the file; none where it is not understood.
fn command(
    ruleset: &mut Ruleset,
    table: &Table,
    line: &str,
    place: Place,
    services: Services,
) -> Option<()> {
    let tokens = tokens(line)?;
    let mut words = tokens.as_slice();
    // Counters: [packets:bytes]
    while let [first, rest @ ..] = words
        && first.starts_with('[')
    {
        words = rest;
    }
    let [verb, name, rest @ ..] = words else {
        return None;
    };
    match verb.as_str() {
        "-N" | "--new-chain" => declare(ruleset, table, name, None),
        "-P" | "--policy" => declare(ruleset, table, name, rest.first().map(String::as_str)),
        "-F" | "--flush" => {
            chain(ruleset, table, name)?.rules.clear();
            Some(())
        }
        "-A" | "--append" => {
            let rule = rule::parse(rest, line, place, services);
            chain(ruleset, table, name)?.rules.push(rule);
            Some(())
        }
        "-I" | "--insert" => {
            let at: Option<usize> = rest.first().and_then(|number| number.parse().ok());
            let rest = rest.get(usize::from(at.is_some())..)?;
            let rules = &mut chain(ruleset, table, name)?.rules;
            let at = at.unwrap_or(1).checked_sub(1);
            let at = at.filter(|at| *at <= rules.len())?;
            rules.insert(at, rule::parse(rest, line, place, services));
            Some(())
        }
        _ => None,
    }
}

/// The words of a line: white space divides, quotes hold together, a backslash in quotes takes the
/// next character as it is (xtables_restore's add_param_to_argv).
fn tokens(line: &str) -> Option<Vec<String>> {
    let mut tokens = Vec::new();
    let mut token: Option<String> = None;
    let mut quoted = false;
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => {
                quoted = !quoted;
                token.get_or_insert_default();
            }
            '\\' if quoted => token.get_or_insert_default().push(characters.next()?),
            space if space.is_whitespace() && !quoted => tokens.extend(token.take()),
            other => token.get_or_insert_default().push(other),
        }
    }
    tokens.extend(token);
    (!quoted).then_some(tokens)
}

/// A rule that a table is to get.
#[derive(Debug, Clone)]
pub struct Insertion {
    /// The table's name.
    pub table: String,
    /// The line it goes before, from 1; none for the table's end.
    pub before: Option<usize>,
    /// The rule, as `-A INPUT -j ACCEPT`.
    pub rule: String,
}

/// The text with these rules put in, every other byte kept.
#[must_use]
pub fn insert(text: &str, insertions: &[Insertion]) -> String {
    let mut new = String::with_capacity(text.len());
    let mut table = "";
    for (index, line) in text.split_inclusive('\n').enumerate() {
        let word = line.trim();
        let ending = if line.ends_with("\r\n") { "\r\n" } else { "\n" };
        let here = |one: &&Insertion| match one.before {
            Some(number) => number == index + 1,
            None => word == "COMMIT" && one.table == table,
        };
        for insertion in insertions.iter().filter(here) {
            new.push_str(&insertion.rule);
            new.push_str(ending);
        }
        table = word.strip_prefix('*').map_or(table, str::trim);
        new.push_str(line);
    }
    new
}
