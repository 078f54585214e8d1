//! Runs a rule's instructions on a packet that is not known: each comparison becomes a condition,
//! and the verdict they lead to the rule's. A mark that a rule sets is not remembered: whoever walks
//! the rules takes it to be 0.

use std::collections::BTreeMap;

use super::super::netlink::Attributes;
use super::super::text::{self, Clause};
use super::super::xt;
use super::super::{Family, Match, On, Rule, Verdict};
use super::field::{Bounds, Part};
use super::load::{self, Load};
use super::set::{Sets, after, before};

/// A rule, and what is known around it.
pub(super) struct Program<'a> {
    pub family: Family,
    /// The table's family as the kernel numbers it, and its name.
    pub table: (u8, &'a str),
    pub chain: &'a str,
    pub handle: Option<u64>,
    pub comment: Option<String>,
    pub sets: &'a Sets<'a>,
    pub interface: &'a dyn Fn(u32) -> Option<String>,
}

/// One of the ways through a rule: a map has as many as it has elements.
pub(super) type Way = (Vec<Clause>, Option<Verdict>);

/// A rule while it is run.
pub(super) struct Run<'a> {
    pub(super) program: &'a Program<'a>,
    /// The packet's family, where the table or a condition tells it.
    ipv6: Option<bool>,
    /// By the number of their first 4 bytes.
    pub(super) registers: BTreeMap<u32, Load>,
    clauses: Vec<Clause>,
    pub(super) ways: Option<Vec<Way>>,
    /// How many clauses there were after the last "at least", and what it asked: an "at most" that
    /// follows makes it a range.
    least: Option<(usize, Load, Vec<u8>)>,
    /// What it does besides, as nft writes it.
    notes: Vec<String>,
    verdict: Option<Verdict>,
    /// Whether its packets are counted: iptables-nft does so in every rule.
    counted: bool,
}

/// IPPROTO_ICMP and IPPROTO_ICMPV6: what has no ports.
const ICMP: [u8; 2] = [1, 58];
/// The instructions whose outcome we don't know, with their attribute for the register they load.
const LOADS: [(&str, u16); 8] = [
    ("exthdr", 1),
    ("hash", 2),
    ("numgen", 1),
    ("osf", 1),
    ("rt", 1),
    ("socket", 2),
    ("tunnel", 2),
    ("xfrm", 1),
];
/// The instructions whose outcome we don't know, and which are nothing but a condition.
const CONDITIONS: [&str; 6] = [
    "limit",
    "quota",
    "connlimit",
    "dynset",
    "flow_offload",
    "objref",
];
/// NFT_OBJECT_…: those that only note something.
const NOTING_OBJECTS: [u32; 5] = [1, 3, 7, 8, 9];

impl Program<'_> {
    /// The rules that its instructions (NFTA_RULE_EXPRESSIONS) are.
    pub fn run(&self, expressions: Attributes) -> Vec<Rule> {
        let mut run = Run {
            program: self,
            ipv6: match self.family {
                Family::Ip => Some(false),
                Family::Ip6 => Some(true),
                Family::Inet => None,
            },
            registers: BTreeMap::new(),
            clauses: Vec::new(),
            ways: None,
            least: None,
            notes: Vec::new(),
            verdict: None,
            counted: false,
        };
        for (_, expression) in expressions.iter() {
            let expression = Attributes(expression);
            let name = expression
                .string(1)
                .unwrap_or("an instruction without a name");
            if run.step(name, expression.nested(2)).is_none() {
                run.end(Verdict::Undecided, name);
            }
            if run.verdict.is_some() {
                break;
            }
        }
        run.finish()
    }
}

impl Run<'_> {
    /// Runs an instruction; none where we don't know it or it has not got what it needs.
    fn step(&mut self, name: &str, a: Attributes) -> Option<()> {
        match name {
            "meta" if a.get(1).is_none() => {
                let name = load::meta_name(a.number(2)?).unwrap_or("something");
                self.notes.push(format!("meta {name} set"));
            }
            "meta" => self.load(a.number(1)?, load::meta(a.number(2)?)),
            "payload" if a.get(1).is_none() => self.notes.push("payload set".into()),
            "payload" => {
                let load = load::payload(a, self.ipv6, self.may_have_ports())?;
                self.load(a.number(1)?, load);
            }
            "ct" if a.get(1).is_none() => self.notes.push("ct set".into()),
            "ct" => self.load(a.number(1)?, load::connection(a.number(2)?)),
            "fib" => self.load(a.number(1)?, load::route(a)),
            "bitwise" => self.mask(a)?,
            "byteorder" => {
                let words = self.register(a.number(1)?).words();
                self.load(a.number(2)?, Load::unknown(&words));
            }
            "cmp" => {
                let load = self.register(a.number(1)?);
                self.compare(&load, a.number(2)?, a.nested(3).get(1)?);
            }
            "range" => {
                let bounds = (a.nested(3).get(1)?.to_vec(), a.nested(4).get(1)?.to_vec());
                let load = self.register(a.number(1)?);
                self.ask(&load, a.number(2)? != 0, vec![bounds]);
            }
            "lookup" => self.look_up(a)?,
            "immediate" => match (a.number(1)?, a.nested(2).get(2)) {
                (_, Some(verdict)) => self.verdict = Some(super::verdict(Attributes(verdict))),
                (register, None) => self.load(register, Load::unknown("a constant")),
            },
            "match" => self.extension(a)?,
            "target" => self.target(a)?,
            _ => self.statement(name, a)?,
        }
        Some(())
    }

    /// The instructions that are no condition, or one that we can't tell.
    fn statement(&mut self, name: &str, a: Attributes) -> Option<()> {
        match name {
            "counter" => {
                self.counted = true;
                self.notes.push(name.into());
            }
            "log" => self.notes.push(match a.string(2) {
                Some(prefix) => format!("log prefix \"{prefix}\""),
                None => name.into(),
            }),
            "last" | "notrack" | "dup" => self.notes.push(name.into()),
            "objref"
                if a.number(1)
                    .is_some_and(|kind| NOTING_OBJECTS.contains(&kind)) =>
            {
                self.notes.push(a.string(2).unwrap_or(name).into());
            }
            "reject" => self.end(Verdict::Drop, name),
            // They accept what they have translated (nf_nat_setup_info in nf_nat_core.c).
            "nat" => self.end(
                Verdict::Accept,
                if a.number(1)? == 0 { "snat" } else { "dnat" },
            ),
            "masq" => self.end(Verdict::Accept, "masquerade"),
            "redir" => self.end(Verdict::Accept, "redirect"),
            "queue" | "synproxy" | "tproxy" => self.end(Verdict::Undecided, name),
            _ if CONDITIONS.contains(&name) => self.doubt(name),
            _ => {
                let (_, into) = LOADS.iter().find(|(this, _)| *this == name)?;
                self.load(a.number(*into)?, Load::unknown(name));
            }
        }
        Some(())
    }

    fn end(&mut self, verdict: Verdict, note: &str) {
        self.notes.push(note.into());
        self.verdict = Some(verdict);
    }

    pub(super) fn doubt(&mut self, words: &str) {
        self.clauses
            .push(Clause::of(On::Undecided(words.to_owned()), false));
    }

    /// NFT_REG_1 to NFT_REG_4 have 16 bytes each, NFT_REG32_00 and on 4, of the same memory
    /// (`nft_parse_register` in net/netfilter/nf_tables_api.c).
    pub(super) fn slot(register: u32) -> u32 {
        if register <= 4 {
            register * 4
        } else {
            register.saturating_sub(4)
        }
    }

    pub(super) fn load(&mut self, register: u32, load: Load) {
        self.registers.insert(Self::slot(register), load);
    }

    pub(super) fn register(&self, register: u32) -> Load {
        let load = self.registers.get(&Self::slot(register)).cloned();
        load.unwrap_or_else(|| Load::unknown("a register"))
    }

    fn may_have_ports(&self) -> bool {
        !self.clauses.iter().any(|clause| match &clause.one.on {
            On::Protocol(all) if !clause.one.negated => all.iter().all(|one| ICMP.contains(one)),
            _ => false,
        })
    }

    /// NFTA_BITWISE_…: the register and a mask, exclusive or another.
    fn mask(&mut self, a: Attributes) -> Option<()> {
        let load = self.register(a.number(1)?);
        let plain = a.number(6).unwrap_or(0) == 0
            && a.nested(5)
                .get(1)
                .is_some_and(|xor| xor.iter().all(|byte| *byte == 0));
        let load = match a.nested(4).get(1) {
            Some(mask) if plain => load.masked(mask),
            _ => Load::unknown("a calculation"),
        };
        self.load(a.number(2)?, load);
        Some(())
    }

    /// `enum nft_cmp_ops`.
    fn compare(&mut self, load: &Load, operation: u32, value: &[u8]) {
        let equal = || vec![(value.to_vec(), value.to_vec())];
        let least = vec![0; value.len()];
        let most = vec![u8::MAX; value.len()];
        let zero = value == least;
        if let (0 | 1, true, [part]) = (operation, zero, load.parts.as_slice())
            && let Some((on, inverse)) = part.any_bit()
        {
            // Which field it is that never holds, for a person.
            let shown = (on == On::Never).then(|| part.words());
            self.push(on, (operation == 0) != inverse, shown);
            return;
        }
        match operation {
            0 => self.ask(load, false, equal()),
            1 => self.ask(load, true, equal()),
            2 if zero => self.push(On::Never, false, None),
            2 => self.ask(load, false, vec![(least, before(value))]),
            3 => {
                let low = self
                    .least
                    .take()
                    .filter(|begun| begun.0 == self.clauses.len() && begun.1 == *load);
                let low = low.map(|(_, _, low)| {
                    self.clauses.pop();
                    low
                });
                self.ask(load, false, vec![(low.unwrap_or(least), value.to_vec())]);
            }
            4 if value == most => self.push(On::Never, false, None),
            4 => self.ask(load, false, vec![(after(value), most)]),
            5 => {
                self.ask(load, false, vec![(value.to_vec(), most)]);
                self.least = Some((self.clauses.len(), load.clone(), value.to_vec()));
            }
            _ => self.doubt("cmp"),
        }
    }

    /// Asks for a load to be within one of the bounds, or not.
    fn ask(&mut self, load: &Load, negated: bool, bounds: Vec<Bounds>) {
        match (load.parts.as_slice(), bounds.as_slice()) {
            ([part], _) => {
                let on = self.within(part, &bounds);
                self.push(on, negated, None);
            }
            (parts, [(low, high)]) if !negated && low == high => {
                let mut rest = low.as_slice();
                for part in parts {
                    let (own, after) = rest.split_at_checked(part.length).unwrap_or((rest, &[]));
                    let on = self.within(part, &[(own.to_vec(), own.to_vec())]);
                    self.push(on, false, None);
                    rest = after;
                }
            }
            _ => self.doubt("several fields at once"),
        }
    }

    pub(super) fn within(&self, part: &Part, bounds: &[Bounds]) -> On {
        let on = part.within(bounds, self.program.interface);
        on.unwrap_or_else(|| On::Undecided(part.words()))
    }

    pub(super) fn push(&mut self, on: On, negated: bool, shown: Option<String>) {
        if let On::Ipv6(ipv6) = on {
            self.ipv6 = Some(ipv6 != negated);
        }
        self.clauses.push(Clause {
            one: Match { negated, on },
            shown,
        });
    }

    /// An extension of iptables: NFTA_MATCH_….
    fn extension(&mut self, a: Attributes) -> Option<()> {
        let revision = u8::try_from(a.number(2)?).ok()?;
        let found = xt::conditions(a.string(1)?, revision, a.get(3)?, self.ipv6 == Some(true));
        self.clauses.extend(found.clauses);
        self.notes.extend(found.note);
        Some(())
    }

    /// What iptables-nft has no instruction for: NFTA_TARGET_….
    fn target(&mut self, a: Attributes) -> Option<()> {
        let name = a.string(1)?;
        self.end(xt::verdict(name), name);
        Some(())
    }

    fn finish(self) -> Vec<Rule> {
        let program = self.program;
        let is_iptables =
            self.counted && program.family != Family::Inet && xt::TABLES.contains(&program.table.1);
        let ways = self.ways.unwrap_or_else(|| vec![(Vec::new(), None)]);
        let rule = |(own, verdict): Way| {
            let verdict = verdict.or_else(|| self.verdict.clone());
            let clauses: Vec<Clause> = self.clauses.iter().cloned().chain(own).collect();
            let shown = text::Shown {
                clauses: &clauses,
                notes: &self.notes,
                verdict: verdict.as_ref(),
                comment: program.comment.as_deref(),
            };
            let text = if is_iptables {
                shown.iptables(program.chain)
            } else {
                shown.nft()
            };
            Rule {
                text,
                matches: clauses.into_iter().map(|clause| clause.one).collect(),
                verdict: verdict.unwrap_or(Verdict::Continue),
                handle: program.handle,
                place: None,
            }
        };
        ways.into_iter().map(rule).collect()
    }
}
