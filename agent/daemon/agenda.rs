//! What is to be looked at, and when: a pure function of what happened and the time, so that bursts,
//! rests and retries are tested without waiting for any.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A time since the boot.
pub type Moment = Duration;

/// An editor that saves does so in some steps, a few milliseconds apart.
const QUIET: Duration = Duration::from_millis(20);
/// What never is quiet is looked at nevertheless.
const LONGEST: Duration = Duration::from_millis(500);
/// A look is followed by a rest of so many times as long: looks take 5 % of a processor at most,
/// whatever happens.
const REST: u32 = 20;
/// A runtime that hangs makes a look long; the rest of the host does not wait for it.
const LONGEST_REST: Duration = Duration::from_secs(5);
/// What could not be told, or waits for something else, is looked at again, first after
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// and then after twice as long each time.
const LAST_RETRY: Duration = Duration::from_secs(600);

/// What is to be done next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Look at everything.
    Everything,
    /// Look at these items.
    Items(BTreeSet<&'static str>),
    /// Ask for what no event tells of.
    Poll,
    /// Nothing until then.
    Wait(Moment),
}

/// How often is looked where nothing happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// At everything.
    pub interval: Duration,
    /// At what no event tells of; none where there is no such thing.
    pub poll: Option<Duration>,
}

/// What is to be looked at, and when.
#[derive(Debug)]
pub struct Agenda {
    pace: Pace,
    everything: Moment,
    poll: Moment,
    items: BTreeSet<&'static str>,
    /// When the first and the last event came of those that wait.
    since: Option<(Moment, Moment)>,
    rest: Moment,
    retries: BTreeMap<&'static str, Retry>,
}

/// When an item is looked at without an event.
#[derive(Debug)]
struct Retry {
    /// The end of time once it is over.
    at: Moment,
    after: Duration,
}

impl Agenda {
    /// Everything is to be looked at, at once.
    #[must_use]
    pub fn new(pace: Pace) -> Self {
        Self {
            pace,
            everything: Moment::ZERO,
            poll: Moment::ZERO,
            items: BTreeSet::new(),
            since: None,
            rest: Moment::ZERO,
            retries: BTreeMap::new(),
        }
    }

    /// From now on is looked this often.
    pub fn set_pace(&mut self, pace: Pace, now: Moment) {
        if pace == self.pace {
            return;
        }
        self.pace = pace;
        self.everything = self.everything.min(now + pace.interval);
        self.poll = now + pace.poll.unwrap_or_default();
    }

    /// Everything is to be looked at, at once.
    pub fn everything(&mut self) {
        self.everything_at(Moment::ZERO);
    }

    /// Everything is to be looked at then.
    pub fn everything_at(&mut self, at: Moment) {
        self.everything = at;
    }

    /// These items can only be looked at then.
    pub fn put_off(&mut self, items: &BTreeSet<&'static str>, at: Moment) {
        self.begin(items);
        for item in items {
            self.at(item, at);
        }
    }

    /// An item may have changed.
    pub fn touch(&mut self, item: &'static str, now: Moment) {
        self.items.insert(item);
        let (first, _) = self.since.unwrap_or((now, now));
        self.since = Some((first, now));
    }

    /// When the first event came of those that these items are looked at for; none where they are for
    /// another reason.
    #[must_use]
    pub fn event_of(&self, items: &BTreeSet<&'static str>) -> Option<Moment> {
        let (first, _) = self.since.filter(|_| !self.items.is_disjoint(items))?;
        Some(first)
    }

    /// What is to be done now.
    #[must_use]
    pub fn next(&self, now: Moment) -> Next {
        if self.everything <= now {
            return Next::Everything;
        }
        let retries = self.retries.iter().filter(|(_, retry)| retry.at <= now);
        let mut items: BTreeSet<&'static str> = retries.map(|(item, _)| *item).collect();
        if self.touched_at().is_some_and(|at| at <= now) {
            items.extend(&self.items);
        }
        if !items.is_empty() {
            return Next::Items(items);
        }
        if self.pace.poll.is_some() && self.poll <= now {
            return Next::Poll;
        }
        let poll = self.pace.poll.map(|_| self.poll);
        let retry = self.retries.values().map(|retry| retry.at).min();
        let other = [self.touched_at(), poll, retry];
        let first = other.into_iter().flatten().min();
        Next::Wait(first.map_or(self.everything, |first| first.min(self.everything)))
    }

    fn touched_at(&self) -> Option<Moment> {
        let (first, last) = self.since?;
        Some((last + QUIET).min(first + LONGEST).max(self.rest))
    }

    /// Everything is about to be looked at.
    pub fn begin_everything(&mut self, now: Moment) {
        self.everything = now + self.pace.interval;
        self.items.clear();
        self.since = None;
        for retry in self.retries.values_mut() {
            retry.at = Moment::MAX;
        }
    }

    /// These items are about to be looked at.
    pub fn begin(&mut self, items: &BTreeSet<&'static str>) {
        self.items.retain(|item| !items.contains(item));
        if self.items.is_empty() {
            self.since = None;
        }
        let begun = self.retries.iter_mut();
        for (_, retry) in begun.filter(|(item, _)| items.contains(*item)) {
            retry.at = Moment::MAX;
        }
    }

    /// A look that changed nothing has ended.
    pub fn looked(&mut self, began: Moment, now: Moment) {
        let took = now.saturating_sub(began);
        let rest = now + (took * REST).min(LONGEST_REST);
        // A short look does not end the rest that a long one is due.
        self.rest = self.rest.max(rest);
    }

    /// What no event tells of was asked for.
    pub fn polled(&mut self, now: Moment) {
        self.poll = now + self.pace.poll.unwrap_or_default();
    }

    /// An item is to be looked at again though nothing may happen, each time later.
    pub fn retry(&mut self, item: &'static str, now: Moment) {
        let last = self.retries.get(item).map(|retry| retry.after);
        let after = last.map_or(FIRST_RETRY, |last| (last * 2).min(LAST_RETRY));
        let at = now + after;
        self.retries.insert(item, Retry { at, after });
    }

    /// An item needs no other look before something happens.
    pub fn settle(&mut self, item: &'static str) {
        self.retries.remove(item);
    }

    /// An item is to be looked at then, if not before.
    pub fn at(&mut self, item: &'static str, at: Moment) {
        let after = FIRST_RETRY;
        let retry = self.retries.entry(item).or_insert(Retry { at, after });
        retry.at = retry.at.min(at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const fn ms(milliseconds: u64) -> Moment {
        Duration::from_millis(milliseconds)
    }

    /// One whose first look is over, at a second.
    fn agenda() -> Agenda {
        let pace = Pace {
            interval: ms(3_600_000),
            poll: Some(ms(5000)),
        };
        let mut agenda = Agenda::new(pace);
        assert_eq!(agenda.next(ms(1000)), Next::Everything);
        agenda.begin_everything(ms(1000));
        agenda.polled(ms(1000));
        agenda
    }

    fn items(names: &[&'static str]) -> Next {
        Next::Items(names.iter().copied().collect())
    }

    #[test]
    fn idle_it_only_polls() {
        let mut agenda = agenda();
        assert_eq!(agenda.next(ms(1001)), Next::Wait(ms(6000)));
        assert_eq!(agenda.next(ms(6000)), Next::Poll);
        agenda.polled(ms(6000));
        assert_eq!(agenda.next(ms(6001)), Next::Wait(ms(11_000)));
        let quiet = Pace {
            poll: None,
            ..agenda.pace
        };
        agenda.set_pace(quiet, ms(6001));
        assert_eq!(agenda.next(ms(6001)), Next::Wait(ms(3_601_000)));
        assert_eq!(agenda.next(ms(3_601_000)), Next::Everything);
    }

    #[test]
    fn a_burst_is_one_look() {
        let mut agenda = agenda();
        for at in [2000, 2010, 2020] {
            agenda.touch("sysctl", ms(at));
            assert_eq!(agenda.next(ms(at)), Next::Wait(ms(at) + QUIET));
        }
        agenda.touch("swap", ms(2025));
        assert_eq!(agenda.next(ms(2045)), items(&["swap", "sysctl"]));
        assert_eq!(agenda.event_of(&["sysctl"].into()), Some(ms(2000)));
        assert_eq!(agenda.event_of(&["hosts"].into()), None);
        agenda.begin(&["swap", "sysctl"].into());
        assert_eq!(agenda.next(ms(2046)), Next::Wait(ms(6000)));
    }

    #[test]
    fn what_never_is_quiet_is_looked_at() {
        let mut agenda = agenda();
        let mut looks = 0;
        for at in 2000..5000 {
            agenda.touch("ports", ms(at));
            if let Next::Items(items) = agenda.next(ms(at)) {
                looks += 1;
                agenda.begin(&items);
                agenda.looked(ms(at), ms(at + 1));
            }
        }
        assert_eq!(looks, 5);
    }

    #[test]
    fn long_looks_are_followed_by_rests() {
        let mut agenda = agenda();
        agenda.looked(ms(2000), ms(2010));
        agenda.touch("ports", ms(2011));
        assert_eq!(agenda.next(ms(2100)), Next::Wait(ms(2210)));
        agenda.looked(ms(3000), ms(8000));
        assert_eq!(agenda.touched_at(), Some(ms(13_000)));
        agenda.everything();
        assert_eq!(agenda.next(ms(8000)), Next::Everything);
    }

    #[test]
    fn retries_come_later_each_time() {
        let mut agenda = agenda();
        let mut now = ms(2000);
        for after in [1, 2, 4, 8] {
            agenda.retry("crictl", now);
            let due = now + Duration::from_secs(after);
            assert_eq!(agenda.next(due), items(&["crictl"]));
            now = due;
        }
        agenda.settle("crictl");
        assert_eq!(agenda.next(ms(2500)), Next::Wait(ms(6000)));
        agenda.at("sysctl", ms(4000));
        assert_eq!(agenda.next(ms(2500)), Next::Wait(ms(4000)));
        assert_eq!(agenda.next(ms(4000)), items(&["sysctl"]));
    }

    proptest! {
        /// A day of whatever happens: what was touched is looked at in time, nothing waits for what has
        /// been, and nothing grows.
        #[test]
        fn whatever_happens(steps in prop::collection::vec((0u64..90_000, 0u8..8), 0..2000)) {
            const NAMES: [&str; 4] = ["swap", "sysctl", "ports", "crictl"];
            let (mut agenda, mut now) = (agenda(), ms(1000));
            let mut touched: BTreeMap<&'static str, Moment> = BTreeMap::new();
            for (after, what) in steps {
                now += ms(after);
                let name = NAMES[usize::from(what) % NAMES.len()];
                if what < 4 {
                    agenda.touch(name, now);
                    touched.entry(name).or_insert(now);
                }
                match agenda.next(now) {
                    Next::Everything => {
                        agenda.begin_everything(now);
                        touched.clear();
                    }
                    Next::Items(items) => {
                        agenda.begin(&items);
                        agenda.looked(now, now + ms(after % 300));
                        for item in items {
                            touched.remove(item);
                            match what {
                                5 => agenda.put_off(&[item].into(), now + ms(1)),
                                6 => agenda.retry(item, now),
                                7 => {}
                                _ => agenda.settle(item),
                            }
                        }
                        let next = agenda.next(now);
                        prop_assert!(!matches!(next, Next::Items(_)), "the same again: {next:?}");
                    }
                    Next::Poll => agenda.polled(now),
                    Next::Wait(until) => {
                        prop_assert!(until > now);
                        let bound = LONGEST + LONGEST_REST;
                        prop_assert!(touched.values().all(|since| now <= *since + bound));
                    }
                }
                prop_assert!(agenda.retries.len() <= NAMES.len());
            }
        }
    }
}
