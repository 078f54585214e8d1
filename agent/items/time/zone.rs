//! The time zone: a link that every program follows when it starts.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use serde::Deserialize;

use super::ZONE;
use crate::error::Result;
use crate::finding::{Finding, Origin, State};
use crate::host::{Host, Kind};
use crate::plan::ItemPlan;
use crate::step::{Due, Owner, Step};

/// localtime(5)
const LINK: &str = "/etc/localtime";
/// The name once more, for programs of Debian; newer ones have done away with it.
const NAME: &str = "/etc/timezone";
const DATABASE: &str = "/usr/share/zoneinfo";
/// What a host without the link has (localtime(5)).
const NONE: &str = "UTC";
/// Names of the same zone.
const UTC: [&str; 4] = ["UTC", "Etc/UTC", "Etc/UCT", "Universal"];
/// Daemons that write times and have read the zone when they started.
const READERS: [&str; 3] = ["rsyslog.service", "cron.service", "crond.service"];

/// A zone's name.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct ZoneName(String);

impl TryFrom<String> for ZoneName {
    type Error = String;

    fn try_from(text: String) -> std::result::Result<Self, String> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "_-+".contains(c);
        let part = |part: &str| !part.is_empty() && part.chars().all(plain);
        match text.split('/').all(part) {
            true => Ok(Self(text)),
            false => Err(format!(
                "\"{text}\" is no time zone: expected Asia/Shanghai, Europe/Berlin, UTC or alike"
            )),
        }
    }
}

impl ZoneName {
    fn path(&self) -> PathBuf {
        Path::new(DATABASE).join(&self.0)
    }

    fn is(&self, other: &str) -> bool {
        let both = [self.0.as_str(), other];
        self.0 == other || both.iter().all(|name| UTC.contains(name))
    }
}

/// What the host has.
#[derive(Debug)]
pub struct Zone {
    /// The zone the link leads to; what it is instead where it is something else.
    now: std::result::Result<String, &'static str>,
    /// What is written in the other file, where there is one.
    name: Option<String>,
    /// Whether the wanted zone is in the database.
    known: bool,
    readers: Vec<&'static str>,
}

impl Zone {
    pub fn read(host: &Host, wanted: &ZoneName) -> Result<Self> {
        let path = Path::new(LINK);
        let same = |bytes: Option<Rc<[u8]>>| bytes.is_some_and(|bytes| !bytes.is_empty());
        let now = match (host.link(path)?, host.kind(path)?) {
            (Some(target), _) => {
                let text = target.to_string_lossy();
                let zone = text
                    .split_once("zoneinfo/")
                    .map(|(_, zone)| zone.to_owned());
                zone.ok_or("a link to no zone")
            }
            (None, None) => Ok(NONE.to_owned()),
            (None, Some(Kind::File)) => {
                let (there, zone) = (host.bytes(path)?, host.bytes(&wanted.path())?);
                // A copy, as some images have.
                match same(there.clone()) && there == zone {
                    true => Ok(wanted.0.clone()),
                    false => Err("a copy of another zone"),
                }
            }
            (None, Some(_)) => Err("no link"),
        };
        let mut readers = Vec::new();
        for unit in READERS {
            if host.is_active(unit)? == Some(true) {
                readers.push(unit);
            }
        }
        Ok(Self {
            now,
            name: host.text(Path::new(NAME))?,
            known: host.kind(&wanted.path())?.is_some() && !host.is_directory(&wanted.path())?,
            readers,
        })
    }

    pub fn add(&self, wanted: &ZoneName, plan: &mut ItemPlan) {
        let is_linked = self.now.as_ref().is_ok_and(|now| wanted.is(now));
        let name = self.name.as_deref().map(str::trim);
        let is_named = name.is_none_or(|name| wanted.is(name));
        let shown = match &self.now {
            Ok(zone) => zone.as_str(),
            Err(what) => what,
        };
        let differs = |from: &str, path| {
            State::differs(from, wanted.0.as_str(), Some(Origin::file(Path::new(path))))
        };
        let state = match (is_linked, is_named) {
            (true, true) => State::InSync,
            _ if !self.known => {
                let zone = wanted.path();
                let reason = format!("{} is not there: install tzdata", zone.display());
                State::blocked(reason)
            }
            (false, _) => differs(shown, LINK),
            (true, false) => differs(name.unwrap_or_default(), NAME),
        };
        if matches!(state, State::Differs { .. }) {
            self.steps(wanted, is_linked, is_named, plan);
        }
        plan.findings.push(Finding::new(ZONE, state.clone(), state));
    }

    fn steps(&self, wanted: &ZoneName, is_linked: bool, is_named: bool, plan: &mut ItemPlan) {
        if !is_linked {
            // As systemd makes it: so it also holds in an image that is looked at from outside.
            let target =
                Path::new("..").join(wanted.path().strip_prefix("/").unwrap_or(Path::new("")));
            let path = LINK.into();
            plan.boot(Step::WriteLink { path, target }, [ZONE]);
        }
        if !is_named {
            let step = Step::WriteFile {
                path: NAME.into(),
                content: format!("{}\n", wanted.0).into(),
                owner: Owner::Shared,
                access: None,
            };
            plan.boot(step, [ZONE]);
        }
        for unit in &self.readers {
            let unit = (*unit).to_owned();
            super::due(plan, Due::Restart { unit, ready: None });
        }
    }
}
