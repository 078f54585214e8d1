//! The running daemon: what it answers is its configuration, what it does not tell is that of its
//! files if it has read them as they are.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::Setting;
use super::config::Found;
use super::key::Key;
use crate::error::Result;
use crate::finding::{Origin, State};
use crate::host::{Cri, CriAnswer, Host};

/// What is known of it.
#[derive(Debug)]
pub struct Daemon {
    answer: Result<Cri>,
    started: Result<Option<SystemTime>>,
    /// The file that changed after it had started.
    older: Result<Option<PathBuf>>,
    /// Why there is none here to ask.
    not_here: Option<&'static str>,
}

impl Daemon {
    /// Looks at the process `program` of `unit`, which has given this answer and reads these files.
    pub fn look(
        host: &Host,
        unit: &str,
        program: &str,
        answer: Result<Cri>,
        paths: &[PathBuf],
    ) -> Self {
        let started = host.started(unit, program);
        let older = match &started {
            Ok(Some(started)) => host.changed_since(*started, paths),
            Ok(None) => Ok(None),
            Err(error) => Err(error.clone()),
        };
        Self {
            answer,
            started,
            older,
            not_here: host.no_live().or(host.no_boot()),
        }
    }

    /// Whether it is known not to run.
    pub fn is_stopped(&self) -> bool {
        self.not_here.is_none() && matches!(self.started, Ok(None))
    }

    /// Whether it is known to run with older files.
    pub fn is_older(&self) -> bool {
        matches!(self.older, Ok(Some(_)))
    }

    /// Whether it runs.
    pub fn running(&self) -> State {
        match (&self.started, self.not_here) {
            (_, Some(reason)) => State::not_applicable(reason),
            (Ok(Some(_)), None) => State::InSync,
            (Ok(None), None) => State::differs("not running", "running", None),
            (Err(cause), None) => State::unknown(cause),
        }
    }

    /// Whether it serves the kubelet.
    pub fn cri(&self, socket: &Path) -> State {
        let off = |from: String| State::differs(from, "answers", None);
        match &self.answer {
            Ok(Cri::Answers(CriAnswer {
                not_ready: None, ..
            })) => State::InSync,
            Ok(Cri::Answers(CriAnswer {
                not_ready: Some(reason),
                ..
            })) => State::differs(format!("not ready: {reason}"), "ready", None),
            Ok(Cri::Off(complaint, _)) => off(format!("off: {complaint}")),
            Ok(Cri::Absent) => off(format!("nothing listens on {}", socket.display())),
            Err(cause) => State::unknown(cause),
        }
    }

    /// Whether it runs with what is wanted.
    pub fn tells(&self, setting: &Setting, boot: &State) -> State {
        let answer = match &self.answer {
            Ok(Cri::Answers(answer)) => answer,
            Ok(Cri::Off(..) | Cri::Absent) => return State::not_applicable("see \"cri\""),
            Err(cause) => return State::unknown(cause),
        };
        let told = match &setting.key {
            Key::SandboxImage => answer.sandbox_image.as_deref().map(Into::into),
            Key::SystemdCgroup(runtime) => {
                answer.systemd_cgroup.get(runtime).copied().map(Into::into)
            }
            _ => None,
        };
        match (told, &self.older) {
            (Some(told), _) if Found::same(&told, &setting.wanted) => State::InSync,
            (Some(told), _) => {
                State::differs(Found::text(&told), Found::text(&setting.wanted), None)
            }
            (None, Err(cause)) => State::unknown(cause),
            (None, Ok(Some(path))) if *boot == State::InSync => {
                let from = format!("started before {} changed", path.display());
                State::differs(from, "started after", Some(Origin::file(path)))
            }
            (None, Ok(_)) => boot.clone(),
        }
    }
}
