//! Three kernels that people call "the kernel": the one that runs, the one the boot loader takes, and
//! the newest that is installed.

use serde::Deserialize;

use crate::boot::kernels::{self, SavedEntry};
use crate::error::Result;
use crate::finding::{Finding, Origin, State};
use crate::host::Host;
use crate::plan::ItemPlan;
use crate::step::{Owner, Step};

/// A version that begins kernels' releases: 5.4, 6.1.0.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Minimum(String);

impl TryFrom<String> for Minimum {
    type Error = String;

    fn try_from(text: String) -> std::result::Result<Self, String> {
        let number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        match text.contains('.') && text.split('.').all(number) {
            true => Ok(Self(text)),
            false => Err(format!(
                "\"{text}\" is no kernel version: expected \"5.4\", \"6.1\" or alike"
            )),
        }
    }
}

/// What the host has.
#[derive(Debug)]
pub struct Version {
    running: Option<String>,
    booting: Option<String>,
    /// The newest that is installed, where it will do.
    newest: Option<String>,
    /// What makes the boot loader take another, and what it would be with the newest.
    saved: Option<SavedEntry>,
    no_boot: bool,
}

impl Version {
    pub fn read(host: &Host, minimum: &Minimum) -> Result<Self> {
        let newest = kernels::installed(host)?.into_iter().next();
        let newest = newest.filter(|release| kernels::is_at_least(release, &minimum.0));
        let saved = match &newest {
            Some(release) => kernels::saved_entry(host, release)?,
            None => None,
        };
        Ok(Self {
            running: host.kernel_release()?,
            booting: kernels::booting(host)?,
            newest,
            saved,
            no_boot: host.no_boot().is_some(),
        })
    }

    pub fn add(&self, subject: &str, minimum: &Minimum, plan: &mut ItemPlan) {
        let enough = |release: &Option<String>| {
            release
                .as_ref()
                .is_some_and(|release| kernels::is_at_least(release, &minimum.0))
        };
        let to = format!("{} or newer", minimum.0);
        let shown = |release: &Option<String>| release.clone().unwrap_or("none found".into());
        let boot = if self.no_boot {
            State::not_applicable("a container boots with its host's kernel")
        } else if enough(&self.booting) {
            State::InSync
        } else {
            let to = match (&self.newest, &self.saved) {
                (Some(release), _) => format!("{to} ({release} is installed)"),
                (None, _) => format!("{to} (none is installed: [packages])"),
            };
            let origin = self.saved.as_ref().map(|saved| Origin::file(&saved.path));
            State::differs(shown(&self.booting), to, origin)
        };
        let live = if enough(&self.running) {
            State::InSync
        } else if boot == State::InSync {
            let (old, new) = (shown(&self.running), shown(&self.booting));
            let reason = format!("{old} runs, {new} is what boots");
            State::AfterReboot { reason }
        } else {
            State::differs(shown(&self.running), to, None)
        };
        if let (State::Differs { .. }, Some(saved)) = (&boot, &self.saved) {
            let step = Step::WriteFile {
                path: saved.path.clone(),
                content: saved.text.clone().into(),
                owner: Owner::Shared,
                access: None,
            };
            plan.boot(step, [subject]);
        }
        plan.findings.push(Finding::new(subject, live, boot));
    }
}
