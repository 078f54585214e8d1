//! A firewall's own rules in the order it asks them: a port is open where the first rule that
//! catches it lets it pass, and a range where that holds for every port of it.

use std::ops::RangeInclusive;

use super::opening::{Opening, Ports, Protocol};
use crate::finding::{Origin, State};
use crate::firewall::Family;

/// A rule that holds for packets from anywhere. Those for some senders, addresses or interfaces only
/// are no entries: they are somebody's word on those senders, and neither open nor close a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The family it is for.
    pub family: Family,
    /// The protocol it is for; none: any.
    pub protocol: Option<Protocol>,
    /// The ports it is for; none: any.
    pub ports: Option<Vec<RangeInclusive<u16>>>,
    /// Whether it lets them pass.
    pub passes: bool,
    /// Where it is written.
    pub origin: Origin,
}

impl Entry {
    /// A rule for everything, as a policy.
    #[must_use]
    pub fn all(passes: bool, origin: Origin) -> Self {
        Self {
            family: Family::Inet,
            protocol: None,
            ports: None,
            passes,
            origin,
        }
    }

    fn is_for(&self, family: Family, protocol: Protocol) -> bool {
        (self.family == family || self.family == Family::Inet)
            && self.protocol.is_none_or(|own| own == protocol)
    }

    /// Splits `ports` into those that the rule catches and the rest.
    fn split(&self, ports: &[RangeInclusive<u16>]) -> [Vec<RangeInclusive<u16>>; 2] {
        let Some(own) = &self.ports else {
            return [ports.to_vec(), Vec::new()];
        };
        let mut caught = Vec::new();
        let mut rest = ports.to_vec();
        for range in own {
            caught.extend(ports.iter().filter_map(|other| common(range, other)));
            rest = rest
                .iter()
                .flat_map(|other| without(other, range))
                .collect();
        }
        [caught, rest]
    }
}

fn common(a: &RangeInclusive<u16>, b: &RangeInclusive<u16>) -> Option<RangeInclusive<u16>> {
    let range = *a.start().max(b.start())..=*a.end().min(b.end());
    (!range.is_empty()).then_some(range)
}

fn without(whole: &RangeInclusive<u16>, part: &RangeInclusive<u16>) -> Vec<RangeInclusive<u16>> {
    let Some(part) = common(whole, part) else {
        return vec![whole.clone()];
    };
    let below = (part.start() > whole.start()).then(|| *whole.start()..=part.start() - 1);
    let above = (part.end() < whole.end()).then(|| part.end() + 1..=*whole.end());
    below.into_iter().chain(above).collect()
}

/// What the entries, asked in order, make of an opening in each of the families. The last entry
/// should be one for everything; a packet that none catches counts as passed.
#[must_use]
pub fn judge(entries: &[Entry], opening: &Opening, families: &[Family]) -> State {
    let protocol = opening.protocol;
    for family in families {
        let mut left = vec![opening.ports.clone()];
        for entry in entries
            .iter()
            .filter(|entry| entry.is_for(*family, protocol))
        {
            let [caught, rest] = entry.split(&left);
            if let (false, Some(ports)) = (entry.passes, caught.first()) {
                return closed(opening, ports, *family, families, &entry.origin);
            }
            left = rest;
        }
    }
    State::InSync
}

fn closed(
    opening: &Opening,
    ports: &RangeInclusive<u16>,
    family: Family,
    families: &[Family],
    origin: &Origin,
) -> State {
    let part = match *ports == opening.ports {
        true => String::new(),
        false => format!(" at {}", Ports(ports, '-')),
    };
    // The first family that fails is named only where another one does not.
    let family = match (family, families) {
        (Family::Ip6, [_, _, ..]) => " over IPv6",
        _ => "",
    };
    State::differs(
        format!("refused{part}{family}"),
        "accepted",
        Some(origin.clone()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BOTH: [Family; 2] = [Family::Ip, Family::Ip6];

    fn rule(passes: bool, ports: &[RangeInclusive<u16>]) -> Entry {
        Entry {
            ports: Some(ports.to_vec()),
            ..Entry::all(passes, Origin::Other("rule".into()))
        }
    }

    fn judged(entries: &[Entry], text: &str) -> String {
        match judge(entries, &text.parse().unwrap(), &BOTH) {
            State::Differs { from, origin, .. } => format!("{from} by {}", origin.unwrap()),
            state => format!("{state:?}"),
        }
    }

    #[test]
    fn the_first_that_catches_decides() {
        let end = Entry::all(false, Origin::Other("end".into()));
        let udp = Entry {
            protocol: Some(Protocol::Udp),
            ..rule(false, &[80..=80])
        };
        let six = Entry {
            family: Family::Ip6,
            ..rule(false, &[90..=99])
        };
        let all = [udp, six, rule(true, &[80..=89, 90..=100]), end];
        assert_eq!(judged(&all, "80-89/tcp"), "InSync");
        assert_eq!(judged(&all, "80-89/udp"), "refused at 80 by rule");
        assert_eq!(
            judged(&all, "85-100/tcp"),
            "refused at 90-99 over IPv6 by rule"
        );
        assert_eq!(judged(&all, "80-200/udp"), "refused at 80 by rule");
        assert_eq!(judged(&all, "100-101/tcp"), "refused at 101 by end");
        assert_eq!(judged(&all, "300/tcp"), "refused by end");
        assert_eq!(judged(&[], "300/tcp"), "InSync");
    }

    proptest! {
        /// Against asking each port by itself.
        #[test]
        fn a_range_is_its_ports(
            rules in proptest::collection::vec((any::<bool>(), 1u16..60, 0u16..20), 0..6),
            first in 1u16..60, more in 0u16..30,
        ) {
            let mut entries: Vec<Entry> = rules
                .iter()
                .map(|(passes, from, more)| rule(*passes, &[*from..=from + more]))
                .collect();
            entries.push(Entry::all(false, Origin::Other("end".into())));
            let open = |ports: RangeInclusive<u16>| {
                let opening = Opening { protocol: Protocol::Tcp, ports, forward: false };
                judge(&entries, &opening, &BOTH) == State::InSync
            };
            let one = |port: u16| {
                let catches = |(_, from, more): &&(bool, u16, u16)| (*from..=from + more).contains(&port);
                rules.iter().find(catches).is_some_and(|(passes, ..)| *passes)
            };
            prop_assert_eq!(open(first..=first + more), (first..=first + more).all(one));
        }
    }
}
