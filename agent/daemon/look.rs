//! One look of the daemon: what may have changed is observed, planned and, where that is wanted and
//! nothing stands against it, put right.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::held::asks_systemd;
use super::standing::is_well;
use super::{DAEMON, Daemon, Mode, Moment, News, PROFILE, WATCH};
use crate::error::{Error, Result};
use crate::host::{Event, now};
use crate::items::Item;
use crate::profile::Profile;
use crate::reconcile::{self, Account, JOURNAL, Wanted};
use crate::report::{Entry, Outcome};
use crate::step::Due;

/// How long is waited where something stands against a change and does not tell when it ends.
const HELD: Duration = Duration::from_secs(2);

/// Packages may take as long as their servers like.
const LONGEST_RUN: Duration = Duration::from_secs(3600);

/// Who changed what each item reads, as far as that is known.
type Who = BTreeMap<&'static str, BTreeSet<String>>;

/// What a look found.
#[derive(Default)]
struct Found {
    /// The items that were looked at.
    items: BTreeSet<&'static str>,
    entries: Vec<Entry>,
    /// What is told of subjects that are left alone from now on.
    left: Vec<News>,
    /// Whether anything was put right, or tried to be.
    changed: bool,
}

impl Daemon<'_> {
    /// Also at the profile, and at what left it. Nothing is looked at in the middle of another run.
    pub(super) fn look_at_everything(&mut self) -> Result<()> {
        if self.host.is_locked()? {
            self.agenda.everything_at(now()? + HELD);
            return Ok(());
        }
        self.agenda.begin_everything(now()?);
        self.host.refresh();
        self.reload()?;
        let all = self.profile.items.iter().map(Item::name).collect();
        self.look(&all, true, None)
    }

    /// At some items, the profile and what was waited for.
    pub(super) fn look_at(&mut self, mut names: BTreeSet<&'static str>) -> Result<()> {
        if self.host.is_locked()? {
            self.agenda.put_off(&names, now()? + HELD);
            return Ok(());
        }
        let since = self.agenda.event_of(&names);
        self.agenda.begin(&names);
        self.host.refresh();
        if names.remove(PROFILE) && self.reload()? {
            return self.look_at_everything();
        }
        if names.remove(DAEMON) {
            names.append(&mut self.waiting);
        }
        self.look(&names, false, since)
    }

    /// `since` is when the first event came that it is for.
    fn look(
        &mut self,
        names: &BTreeSet<&'static str>,
        everything: bool,
        since: Option<Moment>,
    ) -> Result<()> {
        let began = now()?;
        let known = names.iter().filter_map(|name| self.readers.get(name));
        self.watch.remember(&self.host, known.flatten());
        self.host.leave_alone(self.patience.left_alone(began));
        self.waiting.retain(|name| !names.contains(name));
        let found = self.find(names, everything)?;
        self.tally.looked(&found.entries, everything, since, now()?);
        self.arm()?;
        self.settle(&found)?;
        if !found.changed {
            self.agenda.looked(began, now()?);
        }
        let left = found.left;
        for entry in self.standing.update(&found.items, found.entries) {
            self.tell(News::Outcome(entry));
        }
        for news in left {
            self.tell(news);
        }
        // Until the next look, which may be in an hour, nothing of it is kept.
        self.host.refresh();
        self.resumed();
        if self.profile.daemon.metrics.is_some() {
            self.textfile.changed();
        }
        self.tell_status();
        self.be_ready();
        if !std::mem::replace(&mut self.watching, true) {
            let summary = self.standing.summary();
            self.tell(News::Ready { summary });
        }
        Ok(())
    }

    /// Looks at the items of each mode, and puts right those that are enforced.
    fn find(&mut self, names: &BTreeSet<&'static str>, everything: bool) -> Result<Found> {
        let mut found = Found::default();
        let mut failed = false;
        let who = self.watch.take_who(&self.readers);
        for mode in [Mode::Enforce, Mode::Watch] {
            let items = self.items(names, mode);
            // What left the profile is taken back where all that is in it is enforced.
            let takes_back = everything && mode == Mode::Enforce && items.len() == names.len();
            if items.is_empty() && !takes_back {
                continue;
            }
            match self.run(&items, mode, takes_back) {
                Ok((account, acted)) => {
                    if acted {
                        found.left.extend(self.learn(&account, &who)?);
                    }
                    for text in account.deeds.trouble {
                        self.tell(News::Trouble { text });
                    }
                    found.changed |= acted;
                    found.entries.extend(account.entries);
                    for about in items.iter().map(Item::name).chain([JOURNAL]) {
                        self.trouble(about, None);
                    }
                    found.items.extend(items.iter().map(Item::name));
                    found.items.insert(JOURNAL);
                }
                Err(error) => {
                    failed = true;
                    self.failed(&items, &error)?;
                }
            }
        }
        // Also of what left the profile, which no other look is about.
        if everything && !failed {
            found.items.extend(Item::NAMES);
        }
        Ok(found)
    }

    /// Those of the items that are dealt with so.
    fn items(&self, names: &BTreeSet<&'static str>, mode: Mode) -> Vec<Item> {
        let of = |item: &&Item| {
            let name = item.name();
            names.contains(name) && self.profile.daemon.mode_of(name, self.request.mode) == mode
        };
        self.profile.items.iter().filter(of).cloned().collect()
    }

    /// Looks at some items, and puts them right where that is wanted; tells whether it did.
    fn run(&mut self, items: &[Item], mode: Mode, takes_back: bool) -> Result<(Account, bool)> {
        let name = self.profile.name.clone();
        let wanted = Wanted {
            history: self.profile.history,
            takes_back,
            ..Wanted::whole(&name, items)
        };
        let found = reconcile::check(&mut self.host, &wanted)?;
        let is_cut_off = |entry: &Entry| entry.item == JOURNAL && entry.outcome == Outcome::Differs;
        let has_work = found.deeds.any() || found.entries.iter().any(is_cut_off);
        if mode == Mode::Watch || !has_work {
            return Ok((found, false));
        }
        self.host.read_for(Some(DAEMON));
        let occupied = self.host.occupied();
        self.host.read_for(None);
        let against = occupied.and_then(|reason| match reason {
            None => self.stands_against(&found),
            reason => Ok(reason),
        });
        if let Some(reason) = against? {
            self.hold(items, reason);
            return Ok((found, false));
        }
        let lock = match self.host.lock(Duration::ZERO) {
            Ok(lock) => lock,
            Err(Error::Locked(_)) => {
                self.hold(items, "another run changes this host".into());
                return Ok((found, false));
            }
            Err(error) => return Err(error),
        };
        if asks_systemd(&found) {
            // A unit that is ordered after ours would wait for us, and we for it.
            self.be_ready();
        }
        self.supervisor.expect_silence(Some(LONGEST_RUN));
        let account = self.act(&wanted);
        self.supervisor.expect_silence(None);
        drop(lock);
        Ok((account?, true))
    }

    /// What was touched until it is looked at again, by this run or anybody, is seen by that look: only
    /// what it finds wrong is a reason for another.
    fn act(&mut self, wanted: &Wanted<'_>) -> Result<Account> {
        let done = reconcile::perform(&mut self.host, wanted, &self.signals)?;
        let names: BTreeSet<&str> = wanted.items.iter().map(Item::name).collect();
        let known = names.iter().filter_map(|name| self.readers.get(name));
        self.watch.remember(&self.host, known.flatten());
        let mut touched = BTreeSet::new();
        for event in self.watch.touched()? {
            match event {
                Event::Touched(source) => touched.append(&mut self.readers_of(&source)),
                other => drop(self.take(other)?),
            }
        }
        let account = reconcile::prove(&mut self.host, wanted, done)?;
        let is_wrong = |name: &str| {
            let is_it = |entry: &Entry| entry.item == name && !is_well(entry.outcome);
            account.entries.iter().any(is_it)
        };
        touched.retain(|name| !names.contains(name) || is_wrong(name));
        if touched.is_empty() {
            // It was we and what we start, and is no part of a contest.
            self.watch.forget_who();
        }
        let now = now()?;
        for name in touched {
            self.agenda.touch(name, now);
        }
        Ok(account)
    }

    /// Where a look failed as a whole nothing is known of its items.
    fn failed(&mut self, items: &[Item], error: &Error) -> Result<()> {
        let text = error.to_string();
        if items.is_empty() {
            // All of them have left the profile.
            self.trouble(JOURNAL, Some(text));
            return Ok(());
        }
        let now = now()?;
        for item in items {
            self.trouble(item.name(), Some(text.clone()));
            self.agenda.retry(item.name(), now);
        }
        Ok(())
    }

    /// Counts what a run put right, after `who` had changed it, and what it could not; what is left
    /// alone from now on is told.
    fn learn(&mut self, account: &Account, who: &Who) -> Result<Vec<News>> {
        let now = now()?;
        let restarts = |due: &Due| matches!(due, Due::Restart { .. });
        let dear = account.deeds.due.iter().any(restarts);
        let nobody = BTreeSet::new();
        let mut left = Vec::new();
        for entry in worked_on(account) {
            let by = who.get(entry.item).unwrap_or(&nobody);
            let subject = (entry.item, entry.subject.clone());
            let reason = match entry.outcome {
                Outcome::Fixed => self.patience.fixed(&subject, by, now),
                Outcome::Failed | Outcome::Unfixed => {
                    Some(self.patience.failed(&subject, dear, now))
                }
                _ => None,
            };
            let (item, subject) = subject;
            left.extend(reason.map(|reason| News::LeftAlone {
                item,
                subject,
                reason,
            }));
        }
        Ok(left)
    }

    /// Says when the items are looked at again, whatever happens.
    fn settle(&mut self, found: &Found) -> Result<()> {
        let now = now()?;
        let alone = self.patience.left_alone(now);
        let subject = |entry: &Entry| (entry.item, entry.subject.clone());
        // Not all that could mend it has an event: that the clock follows a server has none.
        let is_closed = |entry: &Entry| {
            is_well(entry.outcome)
                || entry.outcome == Outcome::AfterReboot
                || alone.contains_key(&subject(entry))
        };
        let open: BTreeSet<&str> = found
            .entries
            .iter()
            .filter(|entry| !is_closed(entry))
            .map(|entry| entry.item)
            .collect();
        for name in found.items.iter().filter(|name| **name != JOURNAL) {
            match open.contains(name) {
                true => self.agenda.retry(name, now),
                false => self.agenda.settle(name),
            }
        }
        for subject in alone.keys() {
            let until = self.patience.until(subject).unwrap_or(Moment::MAX);
            self.agenda.at(subject.0, until);
        }
        for name in &self.waiting {
            self.agenda.at(name, now + HELD);
        }
        Ok(())
    }

    /// Watches what was read; what can only be seen from now on is looked at once more.
    fn arm(&mut self) -> Result<()> {
        self.readers.extend(self.host.take_sources());
        let items: BTreeSet<&str> = self.profile.items.iter().map(Item::name).collect();
        let is_asked = |name: &str| items.contains(name) || [PROFILE, DAEMON].contains(&name);
        self.readers.retain(|name, _| is_asked(name));
        let all = self.readers.values().flatten().cloned().collect();
        let watched = self.watch.watch(&all);
        self.watch.remember(&self.host, &watched.new);
        for source in &watched.new {
            self.touch(source)?;
        }
        let suspects = self.patience.suspects();
        let suspects = suspects.iter().filter_map(|name| self.readers.get(name));
        self.watch.suspect(suspects.flatten());
        let text = watched
            .refused
            .map(|reason| format!("not everything can be watched, so it is polled: {reason}"));
        self.trouble(WATCH, text);
        self.set_pace()
    }

    /// Reads the profile again. Tells whether another is in force: one that is not valid is not.
    fn reload(&mut self) -> Result<bool> {
        self.host.read_for(Some(PROFILE));
        let profile = Profile::load(&self.host, self.request.profile, &[]);
        self.host.read_for(None);
        let profile = match profile {
            Ok(profile) => profile,
            Err(error) => {
                let error = error.to_string();
                if self.bad.as_ref() != Some(&error) {
                    self.bad = Some(error.clone());
                    self.tell(News::BadProfile { error });
                }
                self.arm()?;
                return Ok(false);
            }
        };
        let was_bad = self.bad.take().is_some();
        let same = profile.name == self.profile.name
            && profile.items == self.profile.items
            && profile.daemon == self.profile.daemon;
        self.profile = profile;
        self.hash = self.profile.resolved.hash();
        if !same || was_bad {
            let name = self.profile.name.clone();
            self.tell(News::Profile { name });
        }
        if same {
            return Ok(false);
        }
        self.patience.renew();
        self.troubles.clear();
        let items = self.profile.items.iter().map(Item::name).collect();
        self.standing.retain(&items);
        Ok(true)
    }
}

/// The subjects that a run did something for. A restart that was all there was to do was for all of
/// its item.
fn worked_on(account: &Account) -> impl Iterator<Item = &Entry> {
    let steps = || account.deeds.steps.iter();
    let served: BTreeSet<(&str, &str)> = steps()
        .flat_map(|step| {
            step.planned
                .serves
                .iter()
                .map(|one| (step.item, one.as_str()))
        })
        .collect();
    let with_steps: BTreeSet<&str> = steps().map(|step| step.item).collect();
    let restarted = !account.deeds.due.is_empty();
    account.entries.iter().filter(move |entry| {
        served.contains(&(entry.item, entry.subject.as_str()))
            || restarted && !with_steps.contains(entry.item)
    })
}
