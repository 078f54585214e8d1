//! Would a packet pass? Walks the base chains of a hook as the kernel does, rule by rule, whoever
//! owns them; a condition we cannot decide makes the answer unknown only where the answer depends
//! on it.

use std::collections::{BTreeSet, HashMap};
use std::ops::RangeInclusive;

use super::packet::{Holds, Packet};
use super::{Base, Chain, Engine, Family, On, Place, Rule, Ruleset, Table, Verdict};

/// The kernel allows 16 jumps (NFT_JUMP_STACK_SIZE), legacy iptables as many as there are chains;
/// nobody has written more than this.
const DEEPEST: usize = 64;

/// What becomes of a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Every base chain lets it pass, for each of its ports.
    Accepted,
    /// These base chains do not, for some port of it.
    Refused(Vec<Refusal>),
    /// That depends on what we can't tell, in words.
    Undecided(String),
}

/// A base chain that does not let a packet pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The base chain's index in [`Ruleset::chains`].
    pub chain: usize,
    /// Its rule by which the packet is lost, be it by a jump; none for the chain's policy.
    pub rule: Option<usize>,
    /// The rule that refuses, in the base chain or in one jumped to, with its chain's name; the
    /// chain's policy.
    pub by: String,
    /// File and line of that, where they are known.
    pub place: Option<Place>,
}

/// Walks all base chains of the packet's hook.
#[must_use]
pub fn walk(ruleset: &Ruleset, packet: &Packet) -> Answer {
    let named = ruleset.chains.iter().enumerate();
    let names = named
        .map(|(index, chain)| ((&chain.table, chain.name.as_str()), index))
        .collect();
    let mut refusals: Vec<Refusal> = Vec::new();
    let mut undecided = None;
    for port in cuts(ruleset, packet) {
        let mut walker = Walker {
            ruleset,
            names: &names,
            packet,
            port,
            walked: HashMap::new(),
        };
        for (index, base) in entrances(ruleset, packet) {
            match walker.base(index, base) {
                Answer::Accepted => {}
                Answer::Refused(found) => refusals.extend(found),
                Answer::Undecided(doubt) => undecided = undecided.or(Some(doubt)),
            }
        }
    }
    // Of one chain the earliest, before which every port of the range is let pass.
    refusals.sort_by_key(|refusal| (refusal.chain, refusal.rule.unwrap_or(usize::MAX)));
    refusals.dedup_by_key(|refusal| refusal.chain);
    match (refusals.is_empty(), undecided) {
        (false, _) => Answer::Refused(refusals),
        (true, Some(doubt)) => Answer::Undecided(doubt),
        (true, None) => Answer::Accepted,
    }
}

/// The base chains the packet enters, in the order of the kernel: by priority.
fn entrances<'a>(
    ruleset: &'a Ruleset,
    packet: &Packet,
) -> impl Iterator<Item = (usize, Base)> + use<'a> {
    let (hook, ipv6) = (packet.hook, packet.ipv6);
    let mut chains: Vec<(usize, Base)> = ruleset
        .chains
        .iter()
        .enumerate()
        .filter(|(_, chain)| chain.table.family.sees(ipv6))
        .filter_map(|(index, chain)| Some((index, chain.base?)))
        .filter(|(_, base)| base.hook == hook)
        .collect();
    chains.sort_by_key(|(_, base)| base.priority);
    chains.into_iter()
}

impl Family {
    /// Whether a table of this family sees such packets.
    #[must_use]
    pub fn sees(self, ipv6: bool) -> bool {
        match self {
            Self::Ip => !ipv6,
            Self::Ip6 => ipv6,
            Self::Inet => true,
        }
    }
}

/// One port of each part of the packet's ports that no rule divides.
fn cuts(ruleset: &Ruleset, packet: &Packet) -> Vec<Option<u16>> {
    let Some(asked) = &packet.ports else {
        return vec![None];
    };
    let rules = ruleset.chains.iter().flat_map(|chain| &chain.rules);
    let matches = rules.flat_map(|rule| &rule.matches);
    let mut cuts = BTreeSet::from([*asked.start()]);
    for range in matches
        .filter_map(|one| one.on.destination_ports())
        .flatten()
    {
        cuts.insert(*range.start());
        cuts.extend(range.end().checked_add(1));
    }
    let within = cuts.into_iter().filter(|port| asked.contains(port));
    within.map(Some).collect()
}

impl On {
    fn destination_ports(&self) -> Option<&Vec<RangeInclusive<u16>>> {
        match self {
            Self::DestinationPort(ranges) => Some(ranges),
            _ => None,
        }
    }
}

/// What may become of a packet in one chain: more than one thing where a condition is in doubt.
#[derive(Debug, Clone, Default)]
struct Fate {
    accepted: bool,
    refused: Option<Refusal>,
    /// It may come to the chain's end, or to a RETURN.
    returns: bool,
    /// The first rule by which it may leave the chain before its end, back to where it came from.
    leaves: Option<usize>,
    /// The first condition we could not decide.
    doubt: Option<String>,
}

impl Fate {
    /// Anything.
    fn unknown(why: String) -> Self {
        let refusal = Refusal {
            chain: 0,
            rule: None,
            by: why.clone(),
            place: None,
        };
        Self {
            accepted: true,
            refused: Some(refusal),
            doubt: Some(why),
            ..Self::default()
        }
    }

    fn refused(by: String, place: Option<Place>) -> Self {
        let refusal = Refusal {
            chain: 0,
            rule: None,
            by,
            place,
        };
        Self {
            refused: Some(refusal),
            ..Self::default()
        }
    }

    /// Adds what may become of it by the rule with this number, in the chain with this index.
    fn add(&mut self, other: Self, chain: usize, rule: usize) {
        self.accepted |= other.accepted;
        if let (None, Some(refusal)) = (&self.refused, other.refused) {
            self.refused = Some(Refusal {
                chain,
                rule: Some(rule),
                ..refusal
            });
        }
        self.doubt = self.doubt.take().or(other.doubt);
    }
}

struct Walker<'a> {
    ruleset: &'a Ruleset,
    names: &'a HashMap<(&'a Table, &'a str), usize>,
    packet: &'a Packet<'a>,
    port: Option<u16>,
    /// Chains that were walked, or, without a fate, are being walked.
    walked: HashMap<usize, Option<Fate>>,
}

impl Walker<'_> {
    fn base(&mut self, index: usize, base: Base) -> Answer {
        let Some(chain) = self.ruleset.chains.get(index) else {
            return Answer::Accepted;
        };
        let mut fate = self.chain(index, chain, 0);
        if fate.returns && base.accepts {
            fate.accepted = true;
        } else if fate.returns {
            let by = format!("the policy of {}", chain.shown());
            let policy = Fate::refused(by, None).refused;
            let policy = policy.map(|refusal| Refusal {
                rule: fate.leaves,
                ..refusal
            });
            // What is to open it goes before the earlier of the two.
            let order = |one: &Refusal| one.rule.unwrap_or(usize::MAX);
            fate.refused = fate.refused.into_iter().chain(policy).min_by_key(order);
        }
        match (fate.refused, fate.accepted) {
            (None, _) => Answer::Accepted,
            (Some(refusal), false) => Answer::Refused(vec![Refusal {
                chain: index,
                ..refusal
            }]),
            (Some(_), true) => Answer::Undecided(fate.doubt.unwrap_or_else(|| chain.shown())),
        }
    }

    /// Follows a chain's rules, once: what becomes of the packet does not depend on where it came
    /// from.
    fn chain(&mut self, index: usize, chain: &Chain, depth: usize) -> Fate {
        match self.walked.get(&index) {
            Some(Some(fate)) => return fate.clone(),
            Some(None) => return Fate::unknown(format!("a circle through {}", chain.shown())),
            None if depth > DEEPEST => {
                return Fate::unknown(format!("too many jumps to {}", chain.shown()));
            }
            None => {}
        }
        self.walked.insert(index, None);
        let mut fate = Fate::default();
        let mut alive = true;
        for (number, rule) in chain.rules.iter().enumerate() {
            let holds = match self.packet.meets(rule, self.port) {
                Holds::No => continue,
                holds => holds,
            };
            let taken = self.take(chain, rule, depth);
            let ends = !taken.returns;
            let leaves =
                matches!(rule.verdict, Verdict::Return | Verdict::Goto(_)) && taken.returns;
            fate.returns |= leaves;
            fate.leaves = fate.leaves.or(leaves.then_some(number));
            let changes =
                taken.accepted || taken.refused.is_some() || rule.verdict == Verdict::Return;
            fate.add(taken, index, number);
            match holds {
                Holds::Maybe(why) if changes && fate.doubt.is_none() => {
                    fate.doubt = Some(format!(
                        "{why}, asked by \"{}\" in {}",
                        rule.text,
                        chain.shown()
                    ));
                }
                Holds::Yes
                    if ends || matches!(rule.verdict, Verdict::Return | Verdict::Goto(_)) =>
                {
                    alive = false;
                    break;
                }
                _ => {}
            }
        }
        fate.returns |= alive;
        self.walked.insert(index, Some(fate.clone()));
        fate
    }

    /// What becomes of a packet that meets the rule; `returns` where it comes back.
    fn take(&mut self, chain: &Chain, rule: &Rule, depth: usize) -> Fate {
        let back = Fate {
            returns: true,
            ..Fate::default()
        };
        match &rule.verdict {
            Verdict::Accept => Fate {
                accepted: true,
                ..Fate::default()
            },
            Verdict::Drop => {
                let by = format!("\"{}\" in {}", rule.text, chain.shown());
                Fate::refused(by, rule.place.clone())
            }
            Verdict::Return | Verdict::Continue => back,
            Verdict::Jump(name) | Verdict::Goto(name) => {
                let target = self.names.get(&(&chain.table, name.as_str())).copied();
                match target.and_then(|index| Some((index, self.ruleset.chains.get(index)?))) {
                    Some((index, target)) => self.chain(index, target, depth + 1),
                    None => Fate::unknown(format!("{name}, which is no chain of {}", chain.table)),
                }
            }
            Verdict::Undecided => Fate::unknown(format!(
                "what becomes of \"{}\" in {}",
                rule.text,
                chain.shown()
            )),
        }
    }
}

impl Chain {
    /// `chain INPUT of table ip filter`
    #[must_use]
    pub fn shown(&self) -> String {
        format!("chain {} of table {}", self.name, self.table)
    }
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let family = match self.family {
            Family::Ip => "ip",
            Family::Ip6 => "ip6",
            Family::Inet => "inet",
        };
        match self.engine {
            Engine::Nft => write!(f, "{family} {}", self.name),
            Engine::Legacy => write!(f, "{family} {} (legacy)", self.name),
        }
    }
}

#[cfg(test)]
#[path = "walk_test.rs"]
mod tests;
