//! The journal: where it is not kept on disk within bounds, the logs of a crashed node are gone with
//! it, or they fill the disk that the kubelet then evicts pods from.

mod merge;
mod text;
mod value;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::Deserialize;

use super::{Explain, Kind};
use crate::error::Result;
use crate::finding::{Finding, Origin, State};
use crate::host::Host;
use crate::items::sysctl::FileName;
use crate::plan::ItemPlan;
use crate::step::{Due, Owner, Step};

use merge::{Assignment, Merge};
use value::{Meaning, Wanted};

const UNIT: &str = "systemd-journald.service";
const PROGRAM: &str = "systemd-journald";
const DIRECTORY: &str = "/etc/systemd/journald.conf.d";
/// The drop-in that outranks later files of others.
const LAST: &str = "/etc/systemd/journald.conf.d/zzz-nodeprep.conf";
/// Where the journal is with Storage=persistent.
const STORE: &str = "/var/log/journal";
/// The subject that tells whether journald runs with what its files say.
const RUNNING: &str = "running journald";

/// `[journald]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Journald {
    /// The file in /etc/systemd/journald.conf.d.
    #[serde(default = "file")]
    file: FileName,
    /// The keys of `[Journal]` and what each should be.
    #[serde(deserialize_with = "value::keys")]
    keys: BTreeMap<&'static str, Wanted>,
}

fn file() -> FileName {
    FileName::try_from("99-kubernetes.conf".to_owned()).unwrap_or_default()
}

/// What the host has.
#[derive(Debug)]
pub struct Observed {
    /// The line that decides each wanted key, in the order of the keys.
    winners: Vec<Option<Assignment>>,
    /// Our file, then the one that outranks others: path and bytes.
    files: [(PathBuf, Option<Vec<u8>>); 2],
    running: Running,
    store: Option<Store>,
}

/// How journald stands to its files.
#[derive(Debug, PartialEq, Eq)]
enum Running {
    /// It has read them as they are.
    Younger,
    /// This one changed after it had started.
    Older(PathBuf),
    Stopped,
    /// There is none here to ask.
    NotHere(&'static str),
    NotKnown(String),
}

/// The journal on disk, where it is wanted.
#[derive(Debug)]
struct Store {
    directory: bool,
    /// Whether journald writes to its file there.
    live: State,
}

impl Kind for Journald {
    type Observed = Observed;
    const EXPLAIN: Explain = Explain {
        why: "Storage=persistent keeps the logs of a node that crashed; SystemMaxUse and \
              MaxRetentionSec keep them from filling the disk that the kubelet watches; the rate \
              limit keeps one noisy container from drowning the rest.",
        looks_at: "boot: the merge journald makes of journald.conf and journald.conf.d in /etc, \
                   /run, /usr/local/lib and /usr/lib (file names in order, masks), then \
                   systemd.journald.* on the kernel command line. live: is journald younger than \
                   the last change of every one of these files and directories; with \
                   Storage=persistent, does it write to /var/log/journal/MACHINE-ID.",
        changes: "sets the keys in /etc/systemd/journald.conf.d/FILE, other lines kept; where a \
                  later file overrides one, also in zzz-nodeprep.conf beside it; makes \
                  /var/log/journal, with the modes systemd-tmpfiles gives it; restarts journald \
                  once and has it flush to disk. Files of others are never edited.",
        undo: "remove the keys from both files; `systemctl restart systemd-journald`. \
               /var/log/journal may stay: with Storage=auto its being there keeps logs on disk.",
    };

    fn observe(&self, host: &Host) -> Result<Observed> {
        let merge = Merge::read(host)?;
        let read = |path: PathBuf| -> Result<_> {
            let bytes = host.bytes(&path)?.map(|bytes| bytes.to_vec());
            Ok((path, bytes))
        };
        let winners = self
            .keys
            .keys()
            .map(|name| merge.winner(name).cloned())
            .collect();
        let started = host.started(UNIT, PROGRAM);
        let running = match (&started, host.no_live().or(host.no_boot())) {
            (_, Some(reason)) => Running::NotHere(reason),
            (Err(error), None) => Running::NotKnown(error.to_string()),
            (Ok(None), None) => Running::Stopped,
            (Ok(Some(started)), None) => match host.changed_since(*started, &merge.paths) {
                Ok(None) => Running::Younger,
                Ok(Some(path)) => Running::Older(path),
                Err(cause) => Running::NotKnown(cause.to_string()),
            },
        };
        let store = match self.is_persistent() {
            true => Some(Store::read(host, &running, started.ok().flatten())?),
            false => None,
        };
        let files = [read(self.file.within(DIRECTORY))?, read(LAST.into())?];
        Ok(Observed {
            winners,
            files,
            running,
            store,
        })
    }

    fn wants(&self, subject: &str) -> bool {
        match subject {
            STORE => self.is_persistent(),
            key => self.keys.contains_key(key),
        }
    }

    fn wants_file(&self, path: &Path) -> bool {
        let own = self.file.within(DIRECTORY);
        own.starts_with(path) || [LAST, STORE].iter().any(|file| path == Path::new(file))
    }

    fn diff(&self, observed: &Observed) -> ItemPlan {
        let mut plan = ItemPlan::default();
        let mut files: [Vec<(&'static str, &str)>; 2] = Default::default();
        for ((name, wanted), winner) in self.keys.iter().zip(&observed.winners) {
            let boot = judge(wanted, winner.as_ref());
            let outranks = |path: &Path| winner.as_ref().is_some_and(|line| line.outranks(path));
            if boot != State::InSync && !outranks(Path::new(LAST)) {
                let [own, last] = &mut files;
                own.push((name, &wanted.text));
                if outranks(&observed.files[0].0) {
                    last.push((name, &wanted.text));
                }
            }
            plan.findings
                .push(Finding::new(*name, observed.running.of_key(&boot), boot));
        }
        for (keys, (path, old)) in files.iter().zip(&observed.files) {
            let content = text::set(old.as_deref(), keys.iter().copied());
            // Where our own line stands right already, only the one that outranks is missing.
            if !keys.is_empty() && old.as_deref() != Some(&content) {
                let step = Step::write(path, content, Owner::Ours);
                plan.boot(step, keys.iter().map(|(name, _)| *name));
            }
        }
        let mut restart = !plan.steps.is_empty() || observed.running.is_stale();
        plan.findings.push(Finding::new(
            RUNNING,
            observed.running.state(),
            State::InSync,
        ));
        if let Some(store) = &observed.store {
            // Where Storage stays another, no restart opens a journal there.
            restart |= store.add_to(&mut plan) && !self.loses_storage(observed);
        }
        if restart {
            plan.due.push(Due::Restart {
                unit: UNIT.into(),
                ready: None,
            });
            if observed.store.is_some() && !self.loses_storage(observed) {
                plan.due.push(Due::FlushJournal);
            }
        }
        plan
    }
}

impl Journald {
    fn is_persistent(&self) -> bool {
        let persistent = Meaning::Text("persistent".into());
        self.keys
            .get("Storage")
            .is_some_and(|wanted| wanted.meaning == persistent)
    }

    /// Whether something that our files can't outrank decides Storage, and otherwise.
    fn loses_storage(&self, observed: &Observed) -> bool {
        let mut keys = self.keys.iter().zip(&observed.winners);
        keys.any(|((name, wanted), winner)| {
            let line = winner
                .as_ref()
                .filter(|line| line.outranks(Path::new(LAST)));
            *name == "Storage" && line.is_some_and(|line| !line.means(wanted))
        })
    }
}

impl Running {
    /// Whether a restart makes it run with its files.
    fn is_stale(&self) -> bool {
        matches!(self, Self::Older(_) | Self::Stopped)
    }

    fn state(&self) -> State {
        match self {
            Self::Younger => State::InSync,
            Self::Older(path) => {
                let from = format!("started before {} changed", path.display());
                State::differs(from, "started after", Some(Origin::file(path)))
            }
            Self::Stopped => State::differs("not running", "running", None),
            Self::NotHere(reason) => State::not_applicable(*reason),
            Self::NotKnown(cause) => State::unknown(cause),
        }
    }

    /// A journald that has read its files does what they say; of any other only its age is known.
    fn of_key(&self, boot: &State) -> State {
        match self {
            Self::Younger => boot.clone(),
            _ => State::not_applicable(format!("see \"{RUNNING}\"")),
        }
    }
}

impl Store {
    fn read(host: &Host, running: &Running, started: Option<SystemTime>) -> Result<Self> {
        let directory = host.is_directory(Path::new(STORE))?;
        let machine = host.text(Path::new("/etc/machine-id"))?.unwrap_or_default();
        let file = Path::new(STORE).join(machine.trim()).join("system.journal");
        // A journald that started writes to its file on disk first of all.
        let written = started.map_or(Ok(false), |started| host.written_since(&file, started));
        let live = match (running, written) {
            (Running::NotHere(_) | Running::NotKnown(_), _) => running.state(),
            (_, Ok(true)) => State::InSync,
            (_, Ok(false)) => State::differs("not written to", "system.journal in it", None),
            (_, Err(cause)) => State::unknown(cause),
        };
        Ok(Self { directory, live })
    }

    /// Adds what is found and done; tells whether journald must open its file.
    fn add_to(&self, plan: &mut ItemPlan) -> bool {
        let boot = match self.directory {
            true => State::InSync,
            false => State::differs("absent", "directory", None),
        };
        plan.findings
            .push(Finding::new(STORE, self.live.clone(), boot));
        if !self.directory {
            plan.boot(Step::MakeDirectory { path: STORE.into() }, [STORE]);
            plan.due.push(Due::Tmpfiles {
                prefix: STORE.into(),
            });
        }
        matches!(self.live, State::Differs { .. }) || !self.directory
    }
}

fn judge(wanted: &Wanted, winner: Option<&Assignment>) -> State {
    match winner {
        Some(line) if line.means(wanted) => State::InSync,
        Some(line) => State::differs(
            line.shown(),
            wanted.text.as_str(),
            Some(line.origin.clone()),
        ),
        None => State::differs("not set", wanted.text.as_str(), None),
    }
}
