//! When to stop: what somebody else changes back each time is not fought for, and what failed is not
//! tried at once again.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::agenda::Moment;
use crate::host::Subject;

/// Once a subject was put right so often
const TIMES: usize = 5;
/// and somebody may once it was so often: who is asked from then on
const SUSPECT: usize = 2;
/// within this time, somebody changes it back.
const WITHIN: Duration = Duration::from_secs(600);
/// It is left alone, first for
const FIRST: Duration = Duration::from_secs(60);
/// and then for twice as long each time.
const LAST: Duration = Duration::from_secs(24 * 3600);
/// What failed is tried again first after: an editor that had the file open is done by then.
const FIRST_TRY: Duration = Duration::from_secs(2);

/// The subjects that were worked on.
#[derive(Debug, Default)]
pub struct Patience(BTreeMap<Subject, Record>);

#[derive(Debug, Default)]
struct Record {
    /// When it was put right, not longer ago than matters.
    fixed: VecDeque<Moment>,
    /// Who had changed it before so many of these.
    by: BTreeMap<String, usize>,
    /// For how long it was left alone last.
    pause: Option<Duration>,
    /// Whether it was, because somebody changed it back.
    contested: bool,
    /// Until when it is left alone, and why.
    left: Option<(Moment, String)>,
}

/// How a subject is left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Left<'a> {
    /// Until when.
    pub until: Moment,
    /// Why, and for how long.
    pub reason: &'a str,
    /// Whether somebody changed it back each time.
    pub contested: bool,
}

impl Patience {
    /// A subject was put right that had been changed `by` these, as far as that is known. Tells what
    /// is to be said, where it is left alone from now on.
    pub fn fixed(
        &mut self,
        subject: &Subject,
        by: &BTreeSet<String>,
        now: Moment,
    ) -> Option<String> {
        let record = self.0.entry(subject.clone()).or_default();
        record.forget(now);
        record.fixed.push_back(now);
        for who in by {
            *record.by.entry(who.clone()).or_default() += 1;
        }
        // Who was left alone once has had all the patience there is.
        let times = if record.contested { 2 } else { TIMES };
        if record.fixed.len() < times {
            if !record.contested {
                record.pause = None;
            }
            return None;
        }
        record.contested = true;
        let n = record.fixed.len();
        let within = humantime::format_duration(WITHIN);
        let by = record.by.iter().max_by_key(|(_, times)| **times);
        let by = by.map(|(who, times)| format!(", written by {who} before {times} of them"));
        let by = by.unwrap_or_default();
        Some(record.leave(
            &format!("contested: put right {n} times within {within}{by}"),
            FIRST,
            now,
        ))
    }

    /// The items of which something may be contested.
    #[must_use]
    pub fn suspects(&self) -> BTreeSet<&'static str> {
        let is_suspect = |record: &Record| record.contested || record.fixed.len() >= SUSPECT;
        let suspects = self.0.iter().filter(|(_, record)| is_suspect(record));
        suspects.map(|((item, _), _)| *item).collect()
    }

    /// A subject could not be put right; to try is `dear` where a daemon is restarted for it. Tells what
    /// is to be said of it.
    pub fn failed(&mut self, subject: &Subject, dear: bool, now: Moment) -> String {
        let record = self.0.entry(subject.clone()).or_default();
        record.forget(now);
        let first = if dear { FIRST } else { FIRST_TRY };
        record.leave("it could not be put right", first, now)
    }

    /// The subjects that are left alone now.
    pub fn left(&self, now: Moment) -> impl Iterator<Item = (&Subject, Left<'_>)> {
        self.0.iter().filter_map(move |(subject, record)| {
            let (until, reason) = record.left.as_ref()?;
            let left = Left {
                until: *until,
                reason,
                contested: record.contested,
            };
            (*until > now).then_some((subject, left))
        })
    }

    /// The subjects that are left alone now, and why.
    #[must_use]
    pub fn left_alone(&self, now: Moment) -> BTreeMap<Subject, String> {
        let left = self.left(now);
        left.map(|(subject, left)| (subject.clone(), left.reason.to_owned()))
            .collect()
    }

    /// Until when a subject is left alone.
    #[must_use]
    pub fn until(&self, subject: &Subject) -> Option<Moment> {
        let (until, _) = self.0.get(subject)?.left.as_ref()?;
        Some(*until)
    }

    /// Forgets all that was.
    pub fn renew(&mut self) {
        self.0.clear();
    }
}

impl Record {
    fn leave(&mut self, why: &str, first: Duration, now: Moment) -> String {
        let pause = self
            .pause
            .map_or(first, |last| (last * 2).clamp(first, LAST));
        let for_how_long = humantime::format_duration(pause);
        let reason = format!("{why}: left alone for {for_how_long}");
        self.pause = Some(pause);
        self.by.clear();
        self.fixed.clear();
        self.fixed.push_back(now);
        self.left = Some((now + pause, reason.clone()));
        reason
    }

    /// Forgets what is too long ago; all of it where nothing was for as long again as it was left
    /// alone.
    fn forget(&mut self, now: Moment) {
        let long = WITHIN.max(self.pause.unwrap_or_default() * 2);
        while self.fixed.front().is_some_and(|at| *at + long < now) {
            self.fixed.pop_front();
        }
        let ended = self.left.as_ref().map_or(Moment::ZERO, |(until, _)| *until);
        if self.fixed.is_empty() && ended + long < now {
            *self = Self::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn subject() -> Subject {
        ("sysctl", "net.ipv4.ip_forward".into())
    }

    fn nobody() -> BTreeSet<String> {
        BTreeSet::new()
    }

    #[test]
    fn who_changes_back_is_left_alone_for_longer_each_time() {
        let mut patience = Patience::default();
        let mut now = SECOND;
        for _ in 0..4 {
            assert_eq!(patience.fixed(&subject(), &nobody(), now), None);
            now += SECOND;
        }
        let reason = patience.fixed(&subject(), &nobody(), now).unwrap();
        assert!(reason.contains("5 times within 10m") && reason.ends_with("left alone for 1m"));
        assert_eq!(patience.left_alone(now + 59 * SECOND).len(), 1);
        assert!(patience.left_alone(now + 60 * SECOND).is_empty());
        for minutes in [2, 4, 8] {
            now = patience.until(&subject()).unwrap() + SECOND;
            let reason = patience.fixed(&subject(), &nobody(), now).unwrap();
            assert!(
                reason.ends_with(&format!("left alone for {minutes}m")),
                "{reason}"
            );
        }
    }

    #[test]
    fn who_wrote_most_often_is_named() {
        let mut patience = Patience::default();
        let by = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(patience.suspects(), BTreeSet::new());
        for names in [
            &[][..],
            &[],
            &["sh (cron.service)"],
            &["vi", "sh (cron.service)"],
        ] {
            assert_eq!(patience.fixed(&subject(), &by(names), SECOND), None);
        }
        assert_eq!(patience.suspects(), ["sysctl"].into());
        let reason = patience.fixed(&subject(), &by(&["vi", "sh (cron.service)"]), SECOND);
        let text = "contested: put right 5 times within 10m, written by sh (cron.service) \
                    before 3 of them: left alone for 1m";
        assert_eq!(reason.as_deref(), Some(text));
        let next = patience.fixed(&subject(), &nobody(), 62 * SECOND).unwrap();
        assert!(next.contains("2 times within 10m: left alone"), "{next}");
    }

    #[test]
    fn now_and_then_is_no_contest() {
        let mut patience = Patience::default();
        for hour in 1..100 {
            assert_eq!(
                patience.fixed(&subject(), &nobody(), hour * 3600 * SECOND),
                None
            );
        }
    }

    #[test]
    fn a_peace_is_believed_in_time() {
        let mut patience = Patience::default();
        for second in 1..=5 {
            patience.fixed(&subject(), &nobody(), second * SECOND);
        }
        assert_eq!(patience.fixed(&subject(), &nobody(), 3600 * SECOND), None);
    }

    #[test]
    fn what_failed_is_tried_later() {
        let mut patience = Patience::default();
        let reason = patience.failed(&subject(), false, SECOND);
        assert_eq!(reason, "it could not be put right: left alone for 2s");
        assert_eq!(patience.until(&subject()), Some(3 * SECOND));
        assert!(
            patience
                .failed(&subject(), false, 4 * SECOND)
                .ends_with(" 4s")
        );
        assert!(
            patience
                .failed(&subject(), true, 9 * SECOND)
                .ends_with(" 1m")
        );
        // That it took some tries is no contest.
        assert_eq!(patience.fixed(&subject(), &nobody(), 70 * SECOND), None);
        assert_eq!(patience.fixed(&subject(), &nobody(), 71 * SECOND), None);
        patience.renew();
        assert!(patience.left_alone(63 * SECOND).is_empty());
    }
}
