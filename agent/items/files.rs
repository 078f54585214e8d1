//! Files that no other kind knows: the escape hatch, with the promises of all the others.

mod accounts;
mod entry;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use serde::Deserialize;

use super::{Explain, Kind};
use crate::boot::services;
use crate::error::{Result, trouble};
use crate::finding::{Finding, Origin, State};
use crate::host::{self, Host};
use crate::plan::ItemPlan;
use crate::step::{Access, Due, Owner, Step};
use crate::text::block::Markers;

use accounts::Accounts;
use entry::{Content, Entry};

pub(super) use entry::Place;

/// What a directory has that is made without being given a mode and owner.
const NEW_DIRECTORY: Access = Access {
    mode: 0o755,
    ..Access::NEW_FILE
};

/// `[files]`: what should be at each path.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Files(BTreeMap<Place, Entry>);

/// What the host has, in the order of the entries.
#[derive(Debug)]
pub struct Observed(Vec<Result<Found>>);

#[derive(Debug)]
struct Found {
    kind: Option<host::Kind>,
    /// Whether it is a directory, or a link to one.
    is_directory: bool,
    bytes: Option<Rc<[u8]>>,
    link: Option<PathBuf>,
    access: Option<Access>,
    /// Mode and owner it is to have, where any are wanted.
    wanted: Option<Access>,
    /// Units that run, of those to be restarted; with whether they started before the file changed.
    running: Vec<(String, bool)>,
}

impl Kind for Files {
    type Observed = Observed;
    const BOOTS_BY_SYSTEMD: bool = false;
    const EXPLAIN: Explain = Explain {
        why: "what a site needs and no other section knows: a certificate, a proxy's settings, a \
              directory that a DaemonSet expects.",
        looks_at: "the paths named: content, link, mode and owner; live and boot are one, except that \
                   the units in `restart` must have started after the file last changed.",
        changes: "writes the file, or a block between `# BEGIN nodeprep` and `# END nodeprep` in it, \
                  makes the directory or link, removes what should be absent; restarts once each unit \
                  in `restart` that runs. Names of owners are looked up in /etc/passwd and /etc/group.",
        undo: "`nodeprep rollback` brings back content, mode and owner of what was there.",
    };

    fn observe(&self, host: &Host) -> Result<Observed> {
        let names = self.0.values().any(Entry::names_accounts);
        let accounts = match names {
            true => Accounts::read(host)?,
            false => Accounts::default(),
        };
        let entries = self.0.iter();
        let found = entries.map(|(place, entry)| Found::look(host, place.path(), entry, &accounts));
        Ok(Observed(found.collect()))
    }

    fn wants(&self, subject: &str) -> bool {
        let mut places = self.0.keys();
        places.any(|place| place.path() == Path::new(subject))
    }

    fn wants_file(&self, path: &Path) -> bool {
        self.0.keys().any(|place| place.path().starts_with(path))
    }

    fn diff(&self, observed: &Observed) -> ItemPlan {
        let mut plan = ItemPlan::default();
        let mut due = BTreeSet::new();
        for ((place, entry), found) in self.0.iter().zip(&observed.0) {
            let path = place.path();
            let subject = path.display().to_string();
            let found = match found {
                Ok(found) => found,
                Err(cause) => {
                    let state = State::unknown(cause);
                    plan.findings
                        .push(Finding::new(subject, state.clone(), state));
                    continue;
                }
            };
            let (state, steps) = found.judge(path, &entry.content);
            let restarts = found.restarts(!steps.is_empty());
            due.extend(restarts.map(|unit| Due::Restart { unit, ready: None }));
            let live = match found.stale() {
                Some(unit) if state == State::InSync => {
                    let from = format!("{unit} started before it changed");
                    State::differs(from, "started after", Some(Origin::file(path)))
                }
                _ => state.clone(),
            };
            for step in steps {
                plan.boot(step, [&subject]);
            }
            plan.findings.push(Finding::new(subject, live, state));
        }
        plan.due.extend(due);
        plan
    }
}

impl Found {
    fn look(host: &Host, path: &Path, entry: &Entry, accounts: &Accounts) -> Result<Self> {
        let kind = host.kind(path)?;
        let is_directory = host.is_directory(path)?;
        let access = host.access(path)?;
        let reads = matches!(
            (&entry.content, kind),
            (Content::Text(_), Some(host::Kind::File))
                | (
                    Content::Block { .. },
                    Some(host::Kind::File | host::Kind::Link)
                )
        );
        let new = match entry.content {
            Content::Directory => NEW_DIRECTORY,
            _ => Access::NEW_FILE,
        };
        let mut running = Vec::new();
        for unit in entry.restart() {
            if host.no_live().is_none() && host.has_processes(unit)? {
                // A directory's time is that of what others put there.
                let older = !is_directory && is_older(host, unit, path)?;
                running.push((unit.to_owned(), older));
            }
        }
        Ok(Self {
            kind,
            is_directory,
            bytes: if reads && !is_directory {
                host.bytes(path)?
            } else {
                None
            },
            link: host.link(path)?,
            access,
            wanted: entry.access(access.unwrap_or(new), accounts)?,
            running,
        })
    }

    fn judge(&self, path: &Path, content: &Content) -> (State, Vec<Step>) {
        match content {
            Content::Text(text) => self.file(path, text),
            Content::Block { text, comment } => self.block(path, text, comment),
            Content::Directory => self.directory(path),
            Content::Absent => self.absent(path),
            Content::Link(target) => self.link(path, target),
            Content::Any => match self.kind {
                None => (State::differs("not there", "there", None), Vec::new()),
                Some(_) => self.access_only(path),
            },
        }
    }

    fn file(&self, path: &Path, text: &str) -> (State, Vec<Step>) {
        let from = match self.kind {
            None => "not there".to_owned(),
            Some(host::Kind::Link) => self.is_link(),
            Some(host::Kind::File) if self.bytes.as_deref() != Some(text.as_bytes()) => {
                "another content".to_owned()
            }
            Some(host::Kind::File) => return self.written(path, text.as_bytes(), Owner::Ours),
            Some(kind) => return in_the_way(kind, "a file"),
        };
        let step = self.write(path, text.as_bytes(), Owner::Ours);
        (State::differs(from, "as wanted", None), vec![step])
    }

    fn block(&self, path: &Path, text: &str, comment: &str) -> (State, Vec<Step>) {
        if self.is_directory {
            return in_the_way(host::Kind::Directory, "a file");
        }
        let old = self.bytes.as_deref().unwrap_or_default();
        let markers = Markers::new(comment);
        let edited = markers
            .find(old)
            .and_then(|found| Ok((found.is_some(), markers.set(old, text)?)));
        let (is_there, new) = match edited {
            Ok(edited) => edited,
            Err(cause) => {
                let cause = trouble!("{}: {cause}", path.display());
                return (State::unknown(cause), Vec::new());
            }
        };
        if new == old {
            return self.written(path, old, Owner::Shared);
        }
        let from = match is_there {
            true => "another block",
            false => "no block of ours",
        };
        let step = self.write(path, &new, Owner::Shared);
        (State::differs(from, "as wanted", None), vec![step])
    }

    /// For a file whose content is right.
    fn written(&self, path: &Path, content: &[u8], owner: Owner) -> (State, Vec<Step>) {
        match self.wrong_access() {
            None => (State::InSync, Vec::new()),
            Some(state) => (state, vec![self.write(path, content, owner)]),
        }
    }

    fn write(&self, path: &Path, content: &[u8], owner: Owner) -> Step {
        Step::WriteFile {
            path: path.to_owned(),
            content: content.to_vec(),
            owner,
            access: self.wanted,
        }
    }

    fn directory(&self, path: &Path) -> (State, Vec<Step>) {
        match self.kind {
            None => {
                let path = path.to_owned();
                let mut steps = vec![Step::MakeDirectory { path: path.clone() }];
                if let Some(access) = self.wanted.filter(|access| *access != NEW_DIRECTORY) {
                    steps.push(Step::SetAccess { path, access });
                }
                (State::differs("not there", "a directory", None), steps)
            }
            Some(_) if self.is_directory => self.access_only(path),
            Some(kind) => in_the_way(kind, "a directory"),
        }
    }

    fn absent(&self, path: &Path) -> (State, Vec<Step>) {
        match self.kind {
            None => (State::InSync, Vec::new()),
            Some(host::Kind::File | host::Kind::Link) => {
                let step = Step::RemoveFile {
                    path: path.to_owned(),
                };
                (State::differs("there", "absent", None), vec![step])
            }
            Some(kind) => in_the_way(kind, "absent"),
        }
    }

    fn link(&self, path: &Path, target: &Path) -> (State, Vec<Step>) {
        let from = match self.kind {
            Some(host::Kind::Link) if self.link.as_deref() == Some(target) => {
                return (State::InSync, Vec::new());
            }
            Some(host::Kind::Link) => self.is_link(),
            Some(host::Kind::File) => "a file".to_owned(),
            None => "not there".to_owned(),
            Some(kind) => return in_the_way(kind, "a link"),
        };
        let to = format!("a link to {}", target.display());
        let step = Step::WriteLink {
            path: path.to_owned(),
            target: target.to_owned(),
        };
        (State::differs(from, to, None), vec![step])
    }

    /// What a link leads to is not changed: whoever made it may mean another.
    fn access_only(&self, path: &Path) -> (State, Vec<Step>) {
        match (self.wrong_access(), self.wanted) {
            (Some(state), Some(access)) if self.kind != Some(host::Kind::Link) => {
                let path = path.to_owned();
                (state, vec![Step::SetAccess { path, access }])
            }
            (Some(state), _) => (state, Vec::new()),
            (None, _) => (State::InSync, Vec::new()),
        }
    }

    fn wrong_access(&self) -> Option<State> {
        let wanted = self.wanted.filter(|wanted| self.access != Some(*wanted))?;
        let now = self.access.map_or_else(String::new, |now| now.to_string());
        Some(State::differs(now, wanted.to_string(), None))
    }

    fn is_link(&self) -> String {
        let target = self.link.as_deref().unwrap_or(Path::new(""));
        format!("a link to {}", target.display())
    }

    fn restarts(&self, changes: bool) -> impl Iterator<Item = String> {
        let units = self.running.iter();
        let units = units.filter(move |(_, is_older)| changes || *is_older);
        units.map(|(unit, _)| unit.clone())
    }

    fn stale(&self) -> Option<&str> {
        let mut units = self.running.iter();
        units
            .find(|(_, is_older)| *is_older)
            .map(|(unit, _)| unit.as_str())
    }
}

fn in_the_way(kind: host::Kind, to: &str) -> (State, Vec<Step>) {
    let from = match kind {
        host::Kind::Directory => "a directory: move it away",
        _ => "no regular file: move it away",
    };
    (State::differs(from, to, None), Vec::new())
}

/// Whether a unit that runs was started before a file changed. Where its main process goes by another
/// name than its program that can't be told, and it is taken to know the file.
fn is_older(host: &Host, unit: &str, path: &Path) -> Result<bool> {
    let service = services::read(host, unit)?;
    let Some(program) = service.as_ref().and_then(|service| service.program()) else {
        return Ok(false);
    };
    match host.started(unit, program)? {
        Some(started) => Ok(host.changed_since(started, &[path.to_owned()])?.is_some()),
        None => Ok(false),
    }
}

#[cfg(test)]
#[path = "files/files_test.rs"]
mod tests;
