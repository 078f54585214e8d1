//! Keeps a host as its profile has it: events say where to look, what is found there is put right by
//! the same run as `apply`'s, and while nothing happens nothing is done.
//!
//! Each item's answers are noted with what they were taken from ([`crate::host::Source`]); a change of
//! that touches the item. [`Agenda`] says when it is looked at, [`Patience`] when it is left alone,
//! [`Standing`] what of it is news. All three are pure; this module lets them meet the host.

mod agenda;
mod held;
pub mod http;
mod look;
mod metrics;
mod patience;
mod serve;
mod settings;
mod standing;
mod status;
mod tally;

use std::collections::{BTreeMap, BTreeSet};

use crate::error::Result;
use crate::host::{Clients, Event, Host, Readers, Signals, Source, Supervisor, Watch, now};
use crate::profile::Profile;

pub use agenda::{Agenda, Moment, Next, Pace};
pub use metrics::Textfile;
pub use patience::{Left, Patience};
pub use settings::{ItemName, MetricsFile, Mode, Settings, Time};
pub use standing::{News, Standing};
pub use status::{InForce, ItemCounts, LeftAlone, Status, View};
pub use tally::{Reactions, Tally};

/// What the profile's files and facts are read for.
const PROFILE: &str = "profile";
/// What is read to see whether anything may be changed now.
const DAEMON: &str = "daemon";
/// What trouble is about besides items.
const WATCH: &str = "watch";
const METRICS: &str = "metrics";

/// What was asked for on the command line.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// A path or a built-in name; else the default one.
    pub profile: Option<&'a str>,
    /// What is done about differences, where that is not left to the profile.
    pub mode: Option<Mode>,
}

/// Whom news are told.
pub type Tell<'a> = dyn FnMut(&News) + 'a;

/// A daemon at work.
struct Daemon<'a> {
    host: Host,
    request: Request<'a>,
    profile: Profile,
    signals: Signals,
    watch: Watch,
    agenda: Agenda,
    patience: Patience,
    readers: Readers,
    standing: Standing,
    /// Items that differ while nothing may be changed.
    waiting: BTreeSet<&'static str>,
    /// What was said last of each of these.
    held: Option<String>,
    bad: Option<String>,
    /// Whether the service manager knows that we are ready.
    ready: bool,
    /// Whether everything was looked at.
    watching: bool,
    supervisor: Supervisor,
    /// When it heard of us last.
    heard: Moment,
    status: String,
    /// When it began, and what it has done since.
    since: Moment,
    tally: Tally,
    /// The checksum of the profile.
    hash: String,
    /// Who asks; none where nobody can.
    clients: Option<Clients>,
    textfile: Textfile,
    /// What lasts of it, by what it is about.
    troubles: BTreeMap<&'static str, String>,
    tell: &'a mut Tell<'a>,
}

/// Looks at the live host and keeps it right until a signal ends it.
///
/// # Errors
/// Where the profile cannot be used at the begin, or the kernel has no events to give.
pub fn run<'a>(mut host: Host, request: Request<'a>, tell: &'a mut Tell<'a>) -> Result<()> {
    host.note_sources();
    host.read_for(Some(PROFILE));
    let profile = Profile::load(&host, request.profile, &[]);
    host.read_for(None);
    let profile = profile?;
    let pace = Pace {
        interval: profile.daemon.interval_on(&name_of(&host)),
        poll: None,
    };
    let mut daemon = Daemon {
        signals: Signals::watch_for_end()?,
        watch: Watch::new()?,
        agenda: Agenda::new(pace),
        patience: Patience::default(),
        readers: host.take_sources(),
        standing: Standing::default(),
        waiting: BTreeSet::new(),
        held: None,
        bad: None,
        troubles: BTreeMap::new(),
        ready: false,
        watching: false,
        supervisor: Supervisor::of_environment()?,
        heard: Moment::ZERO,
        status: String::new(),
        since: now()?,
        tally: Tally::default(),
        hash: profile.resolved.hash(),
        clients: None,
        textfile: Textfile::default(),
        host,
        request,
        profile,
        tell,
    };
    daemon.listen();
    while daemon.turn()? {}
    daemon.supervisor.tell("STOPPING=1");
    Ok(())
}

/// What tells a host from the others of its kind.
fn name_of(host: &Host) -> String {
    // A host that does not know its name is like others that don't.
    host.hostname().ok().flatten().unwrap_or_default()
}

impl Daemon<'_> {
    /// Waits for the next event or time, and does what it calls for. Tells whether to go on.
    fn turn(&mut self) -> Result<bool> {
        let begin = now()?;
        let due = self.attend(begin)?.min(self.live_sign(begin));
        let limit = match self.agenda.next(begin) {
            Next::Wait(until) => until.min(due).saturating_sub(begin),
            _ => Moment::ZERO,
        };
        for event in self.watch.wait(limit)? {
            if !self.take(event)? {
                return Ok(false);
            }
        }
        match self.agenda.next(now()?) {
            Next::Everything => self.look_at_everything()?,
            Next::Items(items) => self.look_at(items)?,
            Next::Poll => self.poll()?,
            Next::Wait(_) => {}
        }
        Ok(true)
    }

    /// Notes what an event says. Tells whether to go on.
    fn take(&mut self, event: Event) -> Result<bool> {
        match event {
            Event::Stop => return Ok(false),
            Event::Asked => self.serve()?,
            Event::Reload => {
                let now = now()?.as_micros();
                let text = format!("RELOADING=1\nMONOTONIC_USEC={now}");
                self.supervisor.tell(&text);
                self.ready = false;
                self.patience.renew();
                self.agenda.everything();
            }
            Event::Anything(why) => {
                tracing::info!("{why}: everything is looked at");
                self.agenda.everything();
            }
            Event::Touched(source) => self.touch(&source)?,
        }
        Ok(true)
    }

    fn touch(&mut self, source: &Source) -> Result<()> {
        let now = now()?;
        for reader in self.readers_of(source) {
            tracing::info!("{reader}: {source:?}");
            self.agenda.touch(reader, now);
        }
        Ok(())
    }

    fn readers_of(&self, source: &Source) -> BTreeSet<&'static str> {
        let readers = self.readers.iter();
        let of = readers.filter(|(_, sources)| sources.contains(source));
        of.map(|(reader, _)| *reader).collect()
    }

    fn poll(&mut self) -> Result<()> {
        self.agenda.polled(now()?);
        for event in self.watch.poll(&self.host) {
            self.take(event)?;
        }
        Ok(())
    }

    /// As often as the profile says, and only at what there is.
    fn set_pace(&mut self) -> Result<()> {
        let settings = &self.profile.daemon;
        let pace = Pace {
            interval: settings.interval_on(&name_of(&self.host)),
            poll: self.watch.polls().then_some(settings.poll.0),
        };
        self.agenda.set_pace(pace, now()?);
        Ok(())
    }

    /// Tells the service manager that we live, where it is time; says when it is again.
    fn live_sign(&mut self, now: Moment) -> Moment {
        let Some(watchdog) = self.supervisor.watchdog else {
            return Moment::MAX;
        };
        // It wants to hear of us in half the time (sd_watchdog_enabled(3)).
        if now >= self.heard + watchdog / 2 {
            self.supervisor.tell("WATCHDOG=1");
            self.heard = now;
        }
        self.heard + watchdog / 2
    }

    /// Says how things stand, where that is another than before.
    fn tell_status(&mut self) {
        let status = status::summary(&self.standing, self.held.as_deref());
        if status != self.status {
            self.supervisor.tell(&format!("STATUS={status}"));
            self.status = status;
        }
    }

    /// Everything has been looked at, or what is still to be done may have to wait for us.
    fn be_ready(&mut self) {
        if !std::mem::replace(&mut self.ready, true) {
            self.supervisor.tell("READY=1");
        }
    }

    /// What is wrong with one thing, or that nothing is any more. It is tried again and again, and
    /// said once, also where it is wrong with several.
    fn trouble(&mut self, about: &'static str, text: Option<String>) {
        let Some(text) = text else {
            self.troubles.remove(about);
            return;
        };
        let is_known = self.troubles.values().any(|known| *known == text);
        self.troubles.insert(about, text.clone());
        if !is_known {
            self.tell(News::Trouble { text });
        }
    }

    fn tell(&mut self, news: News) {
        (self.tell)(&news);
        self.tell_followers(&news);
    }
}
