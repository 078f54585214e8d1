//! The rules we add, in the words of each tool, and the steps that add them to the running kernel.
//! Each carries a comment by which it is known as ours.

use std::ops::RangeInclusive;

use super::opening::{Opening, Ports, Protocol};
use crate::firewall::{Chain, Engine, Family, Ruleset};
use crate::step::{FirewallTool, Step};

/// The comment of our rules.
const COMMENT: &str = "nodeprep";

/// What a rule of ours accepts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Accept {
    /// What comes for these ports.
    Ports(Protocol, RangeInclusive<u16>),
    /// What passes through once its destination was translated, as kube-proxy does with node ports.
    Translated,
}

/// A rule that a base chain is to get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The chain's index in its rule set.
    pub chain: usize,
    /// The rule it goes before; none for the chain's end.
    pub before: Option<usize>,
    /// The rule.
    pub rule: Accept,
    /// The subjects that need it.
    pub serves: Vec<String>,
}

/// Adds a rule to those wanted: one serves both families, and goes before the earlier of two.
pub fn want(all: &mut Vec<Wanted>, new: Wanted) {
    let same = |one: &&mut Wanted| one.chain == new.chain && one.rule == new.rule;
    let Some(one) = all.iter_mut().find(same) else {
        return all.push(new);
    };
    let earlier = [one.before, new.before].into_iter().flatten().min();
    one.before = earlier;
    let more = new
        .serves
        .into_iter()
        .filter(|subject| !one.serves.contains(subject));
    one.serves.extend(more.collect::<Vec<_>>());
}

/// The arguments of iptables after the chain's name (iptables-extensions(8)).
#[must_use]
pub fn iptables(rule: &Accept) -> String {
    let what = match rule {
        Accept::Ports(protocol, ports) => iptables_ports(*protocol, ports),
        Accept::Translated => "-m conntrack --ctstate DNAT".into(),
    };
    format!("{what} -m comment --comment {COMMENT} -j ACCEPT")
}

/// The rule in nft's words (nft(8)).
#[must_use]
pub fn nft(rule: &Accept) -> String {
    let what = match rule {
        Accept::Ports(protocol, ports) => format!("{protocol} dport {}", Ports(ports, '-')),
        Accept::Translated => "ct status dnat".into(),
    };
    format!("{what} accept comment \"{COMMENT}\"")
}

/// Those of a journalled step's lines that take the rules for one opening out, with what frames them;
/// none where a line does not tell.
#[must_use]
pub fn removals(tool: FirewallTool, lines: &[String], opening: &str) -> Vec<String> {
    let Ok(Opening {
        protocol, ports, ..
    }) = opening.parse()
    else {
        return Vec::new();
    };
    let (rule, frames): (String, &[&str]) = match tool {
        FirewallTool::FirewallCmd => (format!("--remove-port={opening}"), &["--zone="]),
        FirewallTool::Iptables { .. } => (
            format!(" {} ", iptables_ports(protocol, &ports)),
            &["*", "COMMIT"],
        ),
        FirewallTool::Nft => (format!(" {protocol} dport {} ", Ports(&ports, '-')), &[]),
    };
    let is_frame = |line: &str| frames.iter().any(|frame| line.starts_with(frame));
    let is_its = |line: &str| line == rule || line.contains(&rule);
    if !lines.iter().any(|line| is_its(line)) {
        return Vec::new();
    }
    let of = lines.iter().filter(|line| is_frame(line) || is_its(line));
    of.cloned().collect()
}

fn iptables_ports(protocol: Protocol, ports: &RangeInclusive<u16>) -> String {
    format!("-p {protocol} -m {protocol} --dport {}", Ports(ports, ':'))
}

/// The steps that add these rules to the running kernel, by the tool that each table's owner uses,
/// with the subjects they serve.
#[must_use]
pub fn live(ruleset: &Ruleset, wanted: &[Wanted]) -> Vec<(Step, Vec<String>)> {
    let mut sorted: Vec<(&Chain, &Wanted)> = wanted
        .iter()
        .filter_map(|one| Some((ruleset.chains.get(one.chain)?, one)))
        .filter(|(chain, _)| can_say(chain))
        .collect();
    // From the end, so that the numbers of the rules before stay right.
    sorted.sort_by_key(|(_, one)| std::cmp::Reverse(one.before.unwrap_or(usize::MAX)));
    let mut tools: Vec<FirewallTool> = Vec::new();
    for (chain, _) in &sorted {
        let tool = tool(chain);
        if !tools.contains(&tool) {
            tools.push(tool);
        }
    }
    let step = |tool: FirewallTool| {
        let of: Vec<_> = sorted
            .iter()
            .filter(|(chain, _)| self::tool(chain) == tool)
            .collect();
        let (change, undo) = match tool {
            FirewallTool::Nft => (
                of.iter().map(|(chain, one)| command(chain, one)).collect(),
                of.iter().map(|(chain, one)| removal(chain, one)).collect(),
            ),
            _ => (
                lines(&of, |chain, one| match one.before {
                    Some(before) => {
                        format!("-I {} {} {}", chain.name, before + 1, iptables(&one.rule))
                    }
                    None => format!("-A {} {}", chain.name, iptables(&one.rule)),
                }),
                lines(&of, |chain, one| {
                    format!("-D {} {}", chain.name, iptables(&one.rule))
                }),
            ),
        };
        let mut serves: Vec<String> = Vec::new();
        for subject in of.iter().flat_map(|(_, one)| &one.serves) {
            if !serves.contains(subject) {
                serves.push(subject.clone());
            }
        }
        (Step::Firewall { tool, change, undo }, serves)
    };
    tools.into_iter().map(step).collect()
}

/// Whether the chain's tool has words for its name: the kernel takes any, nft a letter, then letters,
/// digits and some signs (nft's src/scanner.l, `string`), and would read the rest as commands.
fn can_say(chain: &Chain) -> bool {
    let is_plain = |name: &str| {
        let sign = |c: char| c.is_ascii_alphanumeric() || "/\\_.-".contains(c);
        name.starts_with(|c: char| c.is_ascii_alphabetic() || "_.".contains(c))
            && name.chars().all(sign)
    };
    tool(chain) != FirewallTool::Nft
        || [&chain.name, &chain.table.name]
            .into_iter()
            .all(|name| is_plain(name))
}

/// iptables' own tables are changed by iptables: rules of nft in them are more than it can show.
fn tool(chain: &Chain) -> FirewallTool {
    const TABLES: [&str; 5] = ["filter", "mangle", "nat", "raw", "security"];
    let table = &chain.table;
    let is_builtin = chain.name == "INPUT" || chain.name == "FORWARD";
    let ipv6 = table.family == Family::Ip6;
    match table.engine {
        Engine::Legacy => FirewallTool::Iptables {
            engine: Engine::Legacy,
            ipv6,
        },
        Engine::Nft
            if is_builtin && table.family != Family::Inet && TABLES.contains(&&*table.name) =>
        {
            FirewallTool::Iptables {
                engine: Engine::Nft,
                ipv6,
            }
        }
        Engine::Nft => FirewallTool::Nft,
    }
}

/// `insert rule inet filter input handle 7 …`: before the rule with that handle (nft(8), RULES).
fn command(chain: &Chain, wanted: &Wanted) -> String {
    let rule = nft(&wanted.rule);
    let before = wanted
        .before
        .and_then(|index| chain.rules.get(index)?.handle);
    match before {
        Some(handle) => format!(
            "insert rule {} {} handle {handle} {rule}",
            chain.table, chain.name
        ),
        None => format!("add rule {} {} {rule}", chain.table, chain.name),
    }
}

/// What takes that rule out again, named by its words: its number is known only once it is there.
fn removal(chain: &Chain, wanted: &Wanted) -> String {
    format!(
        "delete rule {} {} {}",
        chain.table,
        chain.name,
        nft(&wanted.rule)
    )
}

/// What iptables-restore reads, table by table.
fn lines(of: &[&(&Chain, &Wanted)], line: impl Fn(&Chain, &Wanted) -> String) -> Vec<String> {
    let mut tables: Vec<&str> = of
        .iter()
        .map(|(chain, _)| chain.table.name.as_str())
        .collect();
    tables.sort_unstable();
    tables.dedup();
    let mut lines = Vec::new();
    for table in tables {
        lines.push(format!("*{table}"));
        let own = of.iter().filter(|(chain, _)| chain.table.name == table);
        lines.extend(own.map(|(chain, one)| line(chain, one)));
        lines.push("COMMIT".into());
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::firewall::Table;

    #[test]
    fn what_nft_has_no_words_for_is_left_alone() {
        let chain = |table: &str, name: &str| Chain {
            table: Table {
                engine: Engine::Nft,
                family: Family::Inet,
                name: table.into(),
            },
            name: name.into(),
            base: None,
            rules: Vec::new(),
        };
        assert!(can_say(&chain("filter", "my-input_2")));
        for name in ["a\nflush ruleset", "a b", "a;b", "2a", "", "{"] {
            assert!(!can_say(&chain("filter", name)), "{name}");
            assert!(!can_say(&chain(name, "input")), "{name}");
        }
    }
}
