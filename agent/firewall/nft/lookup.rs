//! Looking a register up in a set, which makes one condition of all its elements, or in a map, which
//! makes a way through the rule of each.

use super::super::netlink::Attributes;
use super::super::text::Clause;
use super::super::{On, Verdict};
use super::field::Bounds;
use super::load::Load;
use super::rule::{Run, Way};
use super::set::Content;

impl Run<'_> {
    /// NFTA_LOOKUP_…: a set, or a map with verdicts where it loads register 0.
    pub(super) fn look_up(&mut self, a: Attributes) -> Option<()> {
        let name = a.string(1)?;
        let (family, table) = self.program.table;
        let set = self.program.sets.get((family, table, name))?;
        let loads = self.key(Self::slot(a.number(2)?), set.key_length);
        let inverted = a.number(5).unwrap_or(0) & 1 != 0;
        let verdicts = a.number(3) == Some(0);
        if let Some(register) = a.number(3).filter(|_| !verdicts) {
            self.load(register, Load::unknown("a map"));
        }
        let shown = set.is_named().then(|| format!("@{name}"));
        let content = set.content();
        match loads.as_deref() {
            Some([load]) if !verdicts && load.parts.len() == 1 => {
                self.member(load, content, inverted, shown);
            }
            Some(loads) if !inverted && self.ways.is_none() => {
                self.divide(loads, content, verdicts)
            }
            _ => self.doubt(shown.as_deref().unwrap_or("a set")),
        }
        Some(())
    }

    /// The loads that a key of so many bytes is made of, each from a multiple of 4.
    fn key(&self, slot: u32, length: usize) -> Option<Vec<Load>> {
        let mut loads = Vec::new();
        let mut taken = 0_usize;
        while taken < length {
            let load = self
                .registers
                .get(&slot.checked_add(u32::try_from(taken / 4).ok()?)?)?;
            loads.push(load.clone());
            taken += load.length().next_multiple_of(4).max(4);
        }
        Some(loads)
    }

    fn member(&mut self, load: &Load, content: Content, inverted: bool, shown: Option<String>) {
        if content.others.is_some() {
            self.push(On::Never, !inverted, shown);
            return;
        }
        let bounds: Vec<Bounds> = content.keys.into_iter().map(|(bounds, _)| bounds).collect();
        let [part] = load.parts.as_slice() else {
            return;
        };
        let on = self.within(part, &bounds);
        let shown = shown.map(|set| format!("{} {set}", part.words()));
        self.push(on, inverted, shown);
    }

    /// A way for each element.
    fn divide(&mut self, loads: &[Load], content: Content, verdicts: bool) {
        let own =
            |verdict: Option<Verdict>| verdicts.then(|| verdict.unwrap_or(Verdict::Undecided));
        let mut ways: Vec<Way> = Vec::new();
        let all: Vec<Bounds> = content
            .keys
            .iter()
            .map(|(bounds, _)| bounds.clone())
            .collect();
        for (bounds, verdict) in content.keys {
            ways.push((self.meets(loads, &bounds), own(verdict)));
        }
        if let Some(verdict) = content.others {
            let clause = match loads
                .iter()
                .flat_map(|load| &load.parts)
                .collect::<Vec<_>>()
                .as_slice()
            {
                [part] => Clause::of(self.within(part, &all), true),
                _ => Clause::of(On::Undecided("no other element".into()), false),
            };
            ways.push((vec![clause], own(verdict)));
        }
        if ways.is_empty() {
            self.push(On::Never, false, None);
            return;
        }
        self.ways = Some(ways);
    }

    /// The conditions that a packet has the key of an element.
    fn meets(&self, loads: &[Load], (low, high): &Bounds) -> Vec<Clause> {
        let mut clauses = Vec::new();
        let mut at = 0_usize;
        for load in loads {
            let begin = at;
            for part in &load.parts {
                let end = at + part.length;
                let slice = |bytes: &[u8]| bytes.get(at..end).map(<[u8]>::to_vec);
                let on = match (slice(low), slice(high)) {
                    (Some(low), Some(high)) => self.within(part, &[(low, high)]),
                    _ => On::Undecided(part.words()),
                };
                clauses.push(Clause::of(on, false));
                at = end;
            }
            at = begin + load.length().next_multiple_of(4).max(4);
        }
        clauses
    }
}
