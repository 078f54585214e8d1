//! How a running daemon stands, told to whoever asks: what differs and why, what it leaves alone, and
//! when it looked.

use std::time::{Duration, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::agenda::Moment;
use super::patience::Patience;
use super::settings::{Mode, Settings};
use super::standing::{Standing, is_well};
use super::tally::Tally;
use crate::report::{self, Entry, SCHEMA_VERSION, Summary};

/// So many entries are told; a host on which more differ has one reason for it.
const MOST_ENTRIES: usize = 500;
/// The last second of the year 9999: no date beyond it can be written (RFC 3339).
const END_OF_TIME: Duration = Duration::from_secs(253_402_300_799);

/// What a daemon knows at a moment.
#[derive(Debug)]
pub struct View<'a> {
    /// The name of the profile in force.
    pub profile: &'a str,
    /// Its checksum.
    pub hash: &'a str,
    /// What it has the daemon do.
    pub settings: &'a Settings,
    /// The mode that the command line asked for.
    pub asked: Option<Mode>,
    /// How every subject stands.
    pub standing: &'a Standing,
    /// What is left alone.
    pub patience: &'a Patience,
    /// What was done.
    pub tally: &'a Tally,
    /// Why nothing is put right for now.
    pub held: Option<&'a str>,
    /// What is wrong with the profile that is not in force for it.
    pub bad: Option<&'a str>,
    /// When the daemon began.
    pub since: Moment,
    /// The moment.
    pub now: Moment,
    /// The same by the clock that can be set, since 1970.
    pub clock: Duration,
}

/// What is told of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status<Name = &'static str> {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The program's version.
    pub version: String,
    /// The profile in force.
    pub profile: InForce,
    /// What is done about differences.
    pub mode: Mode,
    /// When the daemon began, in UTC (RFC 3339), as all times here.
    pub since: String,
    /// All in a line, as systemd is told.
    pub summary: String,
    /// How many subjects stand how.
    pub counts: Summary,
    /// The same for each item.
    pub items: Vec<ItemCounts<Name>>,
    /// The subjects that are not well.
    pub entries: Vec<Entry<Name>>,
    /// How many more of them there are.
    pub left_off: usize,
    /// Why nothing is put right for now.
    pub held: Option<String>,
    /// What is wrong with the profile that is not in force for it.
    pub bad_profile: Option<String>,
    /// The subjects that are left alone.
    pub left_alone: Vec<LeftAlone<Name>>,
    /// When was looked last, at something.
    pub last_look: Option<String>,
    /// And at everything.
    pub last_full_look: Option<String>,
    /// How often was looked.
    pub looks: u64,
    /// How many subjects were put right.
    pub fixed: u64,
    /// How many could not be, each time that was tried.
    pub failed: u64,
    /// What a check that found the same would exit with; 1 before the first look is over.
    pub exit_code: u8,
}

/// A profile in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InForce {
    /// Its name.
    pub name: String,
    /// The checksum of what it came to, secrets left out.
    pub hash: String,
}

/// How an item stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ItemCounts<Name = &'static str> {
    /// Its name.
    pub item: Name,
    /// What is done about its differences.
    pub mode: Mode,
    /// How many of its subjects stand how.
    pub counts: Summary,
}

/// A subject that is left alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftAlone<Name = &'static str> {
    /// Its item.
    pub item: Name,
    /// The subject.
    pub subject: String,
    /// Why, and for how long.
    pub reason: String,
    /// Whether somebody changed it back each time.
    pub contested: bool,
    /// Until when.
    pub until: String,
}

impl View<'_> {
    /// What is told.
    #[must_use]
    pub fn status(&self) -> Status {
        let counts = report::summary(self.standing.entries());
        let not_well = || self.standing.entries().filter(|one| !is_well(one.outcome));
        Status {
            schema_version: SCHEMA_VERSION,
            version: env!("CARGO_PKG_VERSION").into(),
            profile: InForce {
                name: self.profile.into(),
                hash: self.hash.into(),
            },
            mode: self.asked.unwrap_or(self.settings.mode),
            since: self.date(self.since),
            summary: summary(self.standing, self.held),
            items: self.items(),
            entries: not_well().take(MOST_ENTRIES).cloned().collect(),
            left_off: not_well().count().saturating_sub(MOST_ENTRIES),
            held: self.held.map(Into::into),
            bad_profile: self.bad.map(plain),
            left_alone: self.left_alone(),
            last_look: self.tally.last_look.map(|at| self.date(at)),
            last_full_look: self.tally.last_full_look.map(|at| self.date(at)),
            looks: self.tally.looks,
            fixed: self.tally.fixed,
            failed: self.tally.failed,
            exit_code: self.exit_code(&counts),
            counts,
        }
    }

    fn items(&self) -> Vec<ItemCounts> {
        let counts = self.standing.counts().into_iter();
        let item = |(item, counts)| ItemCounts {
            item,
            mode: self.settings.mode_of(item, self.asked),
            counts,
        };
        counts.map(item).collect()
    }

    fn left_alone(&self) -> Vec<LeftAlone> {
        let left = self.patience.left(self.now);
        left.map(|((item, subject), left)| LeftAlone {
            item: *item,
            subject: subject.clone(),
            reason: left.reason.into(),
            contested: left.contested,
            until: self.date(left.until),
        })
        .collect()
    }

    fn exit_code(&self, counts: &Summary) -> u8 {
        let unseen = self.tally.last_full_look.is_none();
        let trouble = self
            .bad
            .into_iter()
            .chain(unseen.then_some("not looked yet"));
        let trouble: Vec<String> = trouble.map(Into::into).collect();
        report::exit_code(counts, &trouble, false)
    }

    /// A moment by the clock, since 1970.
    pub(super) fn at(&self, moment: Moment) -> Duration {
        let ahead = moment.saturating_sub(self.now);
        let ago = self.now.saturating_sub(moment);
        self.clock.saturating_add(ahead).saturating_sub(ago)
    }

    fn date(&self, moment: Moment) -> String {
        let at = UNIX_EPOCH + self.at(moment).min(END_OF_TIME);
        humantime::format_rfc3339_seconds(at).to_string()
    }
}

/// Without the colours that an error of a profile has.
fn plain(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}

/// `42 in sync · 1 differs: sysctl net.ipv4.ip_forward · held: paused for 10m: …`
#[must_use]
pub fn summary(standing: &Standing, held: Option<&str>) -> String {
    let summary = standing.summary();
    match held {
        Some(reason) => format!("{summary} · held: {reason}"),
        None => summary,
    }
}

#[cfg(test)]
#[path = "status_test.rs"]
pub(super) mod tests;
