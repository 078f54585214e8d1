//! What a daemon has done since it began, in numbers: a graph shows drift that is put right each time
//! and that nobody would see otherwise.

use std::time::Duration;

use super::agenda::Moment;
use crate::report::{Entry, Outcome};

/// In milliseconds: a file that is edited takes some 20, a runtime's restart some thousand.
pub const BUCKETS: [u32; 14] = [
    1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000,
];

/// What was done.
#[derive(Debug, Default)]
pub struct Tally {
    /// How often was looked, at some items or all.
    pub looks: u64,
    /// How many subjects were put right.
    pub fixed: u64,
    /// How many could not be, each time that was tried.
    pub failed: u64,
    /// When was looked last.
    pub last_look: Option<Moment>,
    /// And at everything.
    pub last_full_look: Option<Moment>,
    /// How long it took from an event to what it had put right.
    pub reactions: Reactions,
}

impl Tally {
    /// A look has ended; `since` is when the first event came that it was for.
    pub fn looked(&mut self, found: &[Entry], full: bool, since: Option<Moment>, now: Moment) {
        let count = |outcomes: &[Outcome]| {
            let is_one = |entry: &&Entry| outcomes.contains(&entry.outcome);
            found.iter().filter(is_one).count() as u64
        };
        let fixed = count(&[Outcome::Fixed]);
        self.looks += 1;
        self.fixed += fixed;
        self.failed += count(&[Outcome::Failed, Outcome::Unfixed]);
        self.last_look = Some(now);
        if full {
            self.last_full_look = Some(now);
        }
        if let Some(since) = since.filter(|_| fixed > 0) {
            self.reactions.add(now.saturating_sub(since));
        }
    }
}

/// How many reactions took how long.
#[derive(Debug, Default)]
pub struct Reactions {
    /// One for each of [`BUCKETS`], without those of the ones before, and one for what took longer.
    counts: [u64; BUCKETS.len() + 1],
    /// All of them together.
    pub sum: Duration,
}

impl Reactions {
    fn add(&mut self, time: Duration) {
        self.sum += time;
        let is_within = |limit: &u32| time <= Duration::from_millis((*limit).into());
        let bucket = BUCKETS.iter().position(is_within).unwrap_or(BUCKETS.len());
        if let Some(count) = self.counts.get_mut(bucket) {
            *count += 1;
        }
    }

    /// How many took no longer than each of [`BUCKETS`].
    pub fn within(&self) -> impl Iterator<Item = (u32, u64)> {
        let so_far = self.counts.iter().scan(0, |sum, count| {
            *sum += count;
            Some(*sum)
        });
        BUCKETS.into_iter().zip(so_far)
    }

    /// How many there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::State;

    fn entry(outcome: Outcome) -> Entry {
        Entry {
            item: "swap",
            subject: "/swapfile".into(),
            outcome,
            live: State::InSync,
            boot: State::InSync,
            error: None,
        }
    }

    #[test]
    fn looks_are_counted() {
        let second = Duration::from_secs(1);
        let mut tally = Tally::default();
        tally.looked(&[entry(Outcome::InSync)], true, None, second);
        tally.looked(&[entry(Outcome::Unfixed)], false, Some(second), 2 * second);
        let fixed = [entry(Outcome::Fixed), entry(Outcome::Failed)];
        tally.looked(&fixed, false, Some(2 * second), 3 * second);
        tally.looked(&fixed, false, None, 4 * second);
        assert_eq!((tally.looks, tally.fixed, tally.failed), (4, 2, 3));
        assert_eq!(tally.last_look, Some(4 * second));
        assert_eq!(tally.last_full_look, Some(second));
        assert_eq!((tally.reactions.count(), tally.reactions.sum), (1, second));
    }

    #[test]
    fn a_reaction_is_within_all_limits_above_it() {
        let mut reactions = Reactions::default();
        for time in [0, 1, 2, 1000, 60_000, 60_001, 3_600_000] {
            reactions.add(Duration::from_millis(time));
        }
        let within: Vec<(u32, u64)> = reactions.within().collect();
        assert_eq!(within[..3], [(1, 2), (5, 3), (10, 3)]);
        assert_eq!(
            within[8..],
            [
                (1000, 4),
                (2500, 4),
                (5000, 4),
                (10_000, 4),
                (30_000, 4),
                (60_000, 5)
            ]
        );
        assert_eq!(reactions.count(), 7);
    }
}
