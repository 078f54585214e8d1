//! How every subject stood when it was looked at last: only what is another than before is news.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::finding::State;
use crate::host::Subject;
use crate::report::{Entry, Outcome, Summary};

/// Something to be told, as it happens. As for [`Entry`], what another process told has names of its
/// own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum News<Name = &'static str> {
    /// Everything was looked at for the first time, and is watched from now on.
    Ready {
        /// How many subjects stand how.
        summary: String,
    },
    /// A subject stands otherwise than before, or was put right.
    Outcome(Entry<Name>),
    /// A subject is left alone from now on.
    LeftAlone {
        /// Its item.
        item: Name,
        /// The subject.
        subject: String,
        /// Why, and for how long.
        reason: String,
    },
    /// Nothing is put right for now.
    Held {
        /// Why.
        reason: String,
    },
    /// What was held is done again.
    Resumed,
    /// Another profile is in force.
    Profile {
        /// Its name.
        name: String,
    },
    /// The profile cannot be used; the one before stays in force.
    BadProfile {
        /// What is wrong with it.
        error: String,
    },
    /// Trouble that belongs to no subject.
    Trouble {
        /// What it is.
        text: String,
    },
}

/// How every subject stands.
#[derive(Debug, Default)]
pub struct Standing(BTreeMap<Subject, Entry>);

impl Standing {
    /// Takes what was found of these items for what is so; returns what is news of it.
    pub fn update(&mut self, items: &BTreeSet<&'static str>, found: Vec<Entry>) -> Vec<Entry> {
        let mut news = Vec::new();
        let is_of = |(item, _): &Subject| items.contains(item);
        let mut gone: BTreeMap<Subject, Entry> = std::mem::take(&mut self.0);
        self.0 = gone.extract_if(.., |subject, _| !is_of(subject)).collect();
        for entry in found {
            let subject = (entry.item, entry.subject.clone());
            let before = gone.remove(&subject);
            if is_news(before.as_ref(), &entry) {
                news.push(entry.clone());
            }
            self.0.insert(subject, lasting(entry));
        }
        // A swap area that is used no more has no finding.
        let left = gone.into_values().filter(|entry| !is_well(entry.outcome));
        news.extend(left.map(|entry| settled(entry, Outcome::InSync)));
        news
    }

    /// Forgets items that are not among these.
    pub fn retain(&mut self, items: &BTreeSet<&'static str>) {
        self.0.retain(|(item, _), _| items.contains(item));
    }

    /// All of them.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.0.values()
    }

    /// How many subjects of each item stand how.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<&'static str, Summary> {
        let mut counts: BTreeMap<&str, Summary> = BTreeMap::new();
        for entry in self.entries() {
            let item = counts.entry(entry.item).or_default();
            *item.entry(entry.outcome).or_default() += 1;
        }
        counts
    }

    /// `42 in sync · 1 differs: sysctl net.ipv4.ip_forward`
    #[must_use]
    pub fn summary(&self) -> String {
        let mut counts: BTreeMap<Outcome, (usize, Option<&Entry>)> = BTreeMap::new();
        for entry in self.0.values() {
            let (count, first) = counts.entry(entry.outcome).or_default();
            *count += 1;
            first.get_or_insert(entry);
        }
        let part = |(outcome, (count, first)): (&Outcome, &(usize, Option<&Entry>))| {
            let text = format!("{count} {}", outcome.words());
            match first.filter(|_| !is_well(*outcome)) {
                Some(entry) => format!("{text}: {} {}", entry.item, entry.subject),
                None => text,
            }
        };
        let parts: Vec<String> = counts.iter().map(part).collect();
        parts.join(" · ")
    }
}

/// Whether nothing is left to do or to wait for.
pub(super) fn is_well(outcome: Outcome) -> bool {
    matches!(
        outcome,
        Outcome::InSync | Outcome::Fixed | Outcome::NotApplicable
    )
}

/// What was put right is news each time; what is well from the first look on is none.
fn is_news(before: Option<&Entry>, now: &Entry) -> bool {
    match before {
        _ if now.outcome == Outcome::Fixed => true,
        None => !is_well(now.outcome),
        Some(before) => *before != lasting(now.clone()),
    }
}

/// An entry as the next look would have it, where nothing happens.
fn lasting(entry: Entry) -> Entry {
    match entry.outcome {
        Outcome::Fixed => settled(entry, Outcome::InSync),
        Outcome::Unfixed | Outcome::Failed => Entry {
            outcome: Outcome::Differs,
            error: None,
            ..entry
        },
        _ => entry,
    }
}

fn settled(entry: Entry, outcome: Outcome) -> Entry {
    Entry {
        outcome,
        live: State::InSync,
        boot: State::InSync,
        error: None,
        ..entry
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(outcome: Outcome) -> Entry {
        let live = match outcome {
            Outcome::InSync => State::InSync,
            _ => State::differs("on", "off", None),
        };
        Entry {
            item: "swap",
            subject: "/swapfile".into(),
            outcome,
            live,
            boot: State::InSync,
            error: None,
        }
    }

    fn outcomes(standing: &mut Standing, found: &[Outcome]) -> Vec<Outcome> {
        let found = found.iter().map(|outcome| entry(*outcome)).collect();
        let news = standing.update(&["swap"].into(), found);
        news.iter().map(|entry| entry.outcome).collect()
    }

    #[test]
    fn only_what_changed_is_news() {
        use Outcome::*;
        let mut standing = Standing::default();
        assert_eq!(outcomes(&mut standing, &[InSync]), []);
        assert_eq!(outcomes(&mut standing, &[Differs]), [Differs]);
        assert_eq!(outcomes(&mut standing, &[Differs]), []);
        assert_eq!(standing.summary(), "1 differs: swap /swapfile");
        assert_eq!(outcomes(&mut standing, &[Fixed]), [Fixed]);
        assert_eq!(outcomes(&mut standing, &[InSync]), []);
        assert_eq!(outcomes(&mut standing, &[Fixed]), [Fixed]);
        assert_eq!(standing.summary(), "1 in sync");
        assert_eq!(outcomes(&mut standing, &[Failed]), [Failed]);
        assert_eq!(outcomes(&mut standing, &[]), [InSync], "gone");
        assert_eq!(outcomes(&mut standing, &[]), []);
    }

    #[test]
    fn what_was_not_looked_at_stays() {
        let mut standing = Standing::default();
        standing.update(&["swap"].into(), vec![entry(Outcome::Differs)]);
        assert_eq!(standing.update(&["sysctl"].into(), Vec::new()), []);
        assert_eq!(standing.summary(), "1 differs: swap /swapfile");
        standing.retain(&BTreeSet::new());
        assert_eq!(standing.summary(), "");
    }
}
