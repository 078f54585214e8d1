//! Package repositories: a node whose kubelet comes from nowhere, or from a mirror without a key,
//! is not prepared but lucky.

mod apt;
mod dnf;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{Explain, Kind, Stage};
use crate::boot::packages;
use crate::error::Result;
use crate::finding::{Finding, State};
use crate::host::Host;
use crate::plan::ItemPlan;
use crate::step::{Manager, Owner, Step};

use apt::Apt;
use dnf::Dnf;

/// `[repositories]`: one entry a repository.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Repositories(BTreeMap<Name, Repository>);

/// What a repository is called in dnf's files, and its file by both families.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
struct Name(String);

impl TryFrom<String> for Name {
    type Error = String;

    /// apt takes no other file names (sources.list(5)), dnf no other ids.
    fn try_from(name: String) -> std::result::Result<Self, String> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
        match name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.chars().all(plain) {
            true => Ok(Self(name)),
            false => Err(format!(
                "\"{name}\" is no repository's name: expected letters, digits and _ - ."
            )),
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `[repositories.NAME]`; the table of the host's family counts.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Repository {
    /// On Debian, Ubuntu and kin.
    apt: Option<Apt>,
    /// On EL and kin, yum's included.
    dnf: Option<Dnf>,
    /// Who signs it.
    key: Option<Key>,
    /// Whether what nobody signed is taken too.
    #[serde(default)]
    unsigned: bool,
}

/// A public key: its armoured text, or a file on the host that holds it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
enum Key {
    Text(String),
    Path(PathBuf),
}

impl TryFrom<String> for Key {
    type Error = String;

    fn try_from(text: String) -> std::result::Result<Self, String> {
        let (begin, end) = (
            "-----BEGIN PGP PUBLIC KEY BLOCK-----",
            "-----END PGP PUBLIC KEY BLOCK-----",
        );
        let plain = !text.contains(|c: char| c.is_whitespace() || c.is_control());
        match text.trim() {
            block if block.starts_with(begin) && block.ends_with(end) => {
                Ok(Self::Text(format!("{block}\n")))
            }
            path if path.starts_with('/') && plain => Ok(Self::Path(path.into())),
            _ => Err(
                "is no key: expected the text of an armoured public key (-----BEGIN PGP PUBLIC KEY \
                 BLOCK-----), or the path of a key on the host; one that is fetched now would be \
                 trusted without being looked at"
                    .into(),
            ),
        }
    }
}

/// What the host has.
#[derive(Debug)]
pub struct Observed(Vec<(String, Stands)>);

/// How one repository stands.
#[derive(Debug)]
struct Stands {
    state: State,
    /// Whether it is in a file of someone else's, who also named its key.
    theirs: bool,
    /// Files that mend it, with whose they are.
    writes: Vec<(PathBuf, String, Owner)>,
}

impl Stands {
    fn as_it_is(state: State) -> Self {
        Self {
            state,
            theirs: false,
            writes: Vec::new(),
        }
    }

    fn theirs(state: State) -> Self {
        Self {
            theirs: true,
            ..Self::as_it_is(state)
        }
    }
}

impl Kind for Repositories {
    type Observed = Observed;
    const STAGE: Stage = Stage::Install;
    const BOOTS_BY_SYSTEMD: bool = false;
    const EXPLAIN: Explain = Explain {
        why: "the distributions have no kubeadm, and containerd late: both come from repositories of \
              their own, signed by keys of their own. CentOS 7's mirrors are gone, so its packages \
              come from the vault or from nowhere.",
        looks_at: "apt: sources.list and sources.list.d, both forms. dnf and yum: yum.repos.d. Where \
                   another file defines the same repository, that one counts. They are read at each \
                   call of the package manager, so live and boot are one.",
        changes: "apt: /etc/apt/sources.list.d/NAME.sources and /etc/apt/keyrings/NAME.asc. dnf: the \
                  keys named in the section NAME, in the file that has it, else in \
                  /etc/yum.repos.d/NAME.repo, and /etc/pki/rpm-gpg/RPM-GPG-KEY-NAME.",
        undo: "remove those files; edit the section.",
    };

    fn observe(&self, host: &Host) -> Result<Observed> {
        let family = packages::manager(host)?;
        let known = Known::read(host, family)?;
        let mut mended = None;
        let mut all = Vec::new();
        for (name, wanted) in &self.0 {
            let mut stands = wanted.stands(host, name, &known)?;
            if !stands.writes.is_empty() {
                // Another's section may be in the same file.
                let mended = mended.get_or_insert_with(|| known.clone());
                stands.writes = wanted.stands(host, name, mended)?.writes;
                mended.write(&stands.writes);
            }
            all.push((name.to_string(), stands));
        }
        Ok(Observed(all))
    }

    fn wants(&self, subject: &str) -> bool {
        self.0.keys().any(|Name(name)| name == subject)
    }

    fn diff(&self, Observed(all): &Observed) -> ItemPlan {
        let mut plan = ItemPlan::default();
        for (name, Stands { state, writes, .. }) in all {
            for (path, text, owner) in writes {
                plan.boot(Step::write(path, text.as_str(), *owner), [name]);
            }
            plan.findings
                .push(Finding::new(name, state.clone(), state.clone()));
        }
        plan
    }
}

/// What this host's package manager reads.
#[derive(Clone)]
enum Known {
    Apt(Vec<apt::Source>),
    Dnf(Vec<packages::dnf::File>),
    Nothing,
}

impl Known {
    fn read(host: &Host, family: Option<Manager>) -> Result<Self> {
        Ok(match family {
            Some(Manager::Apt) => Self::Apt(apt::read(host)?),
            Some(Manager::Dnf | Manager::Dnf5 | Manager::Yum) => {
                Self::Dnf(packages::dnf::read(host)?)
            }
            None => Self::Nothing,
        })
    }

    /// Lays files over what was read. One of apt's has one repository.
    fn write(&mut self, writes: &[(PathBuf, String, Owner)]) {
        let Self::Dnf(files) = self else { return };
        let of_dnf =
            |(path, _, _): &&(PathBuf, _, _)| path.starts_with(packages::dnf::REPOSITORIES);
        for (path, text, _) in writes.iter().filter(of_dnf) {
            match files.iter_mut().find(|file| file.path == *path) {
                Some(file) => text.clone_into(&mut file.text),
                None => files.push(packages::dnf::File {
                    path: path.clone(),
                    text: text.clone(),
                }),
            }
        }
    }
}

impl Repository {
    fn stands(&self, host: &Host, name: &Name, known: &Known) -> Result<Stands> {
        let (key, directory) = match known {
            Known::Apt(_) if self.apt.is_some() => (format!("{name}.asc"), "/etc/apt/keyrings"),
            Known::Dnf(_) if self.dnf.is_some() => {
                (format!("RPM-GPG-KEY-{name}"), "/etc/pki/rpm-gpg")
            }
            Known::Nothing => {
                let cause = "neither apt's files nor dnf's are here: add it by hand";
                return Ok(Stands::as_it_is(State::unknown(cause)));
            }
            _ => {
                let reason = "the profile has none for this distribution";
                return Ok(Stands::as_it_is(State::not_applicable(reason)));
            }
        };
        let key = match &self.key {
            Some(Key::Path(path)) => Some(path.clone()),
            Some(Key::Text(_)) => Some(Path::new(directory).join(key)),
            None => None,
        };
        let mut stands = match (known, &self.apt, &self.dnf) {
            (Known::Apt(sources), Some(apt), _) => {
                apt.stands(host, &name.0, key.as_deref(), self.unsigned, sources)?
            }
            (Known::Dnf(files), _, Some(dnf)) => {
                dnf.stands(&name.0, key.as_deref(), self.unsigned, files)
            }
            _ => {
                return Ok(Stands::as_it_is(State::not_applicable(
                    "not this distribution's",
                )));
            }
        };
        if let Some(path) = key.filter(|_| !stands.theirs) {
            self.look_at_key(host, path, &mut stands)?;
        }
        Ok(stands)
    }

    /// A key comes before what is signed by it.
    fn look_at_key(&self, host: &Host, path: PathBuf, stands: &mut Stands) -> Result<()> {
        let there = host.bytes(&path)?;
        match &self.key {
            Some(Key::Text(text)) if there.as_deref() != Some(text.as_bytes()) => {
                if stands.state == State::InSync {
                    let shown = path.display();
                    let from = if there.is_some() {
                        "another key"
                    } else {
                        "no key"
                    };
                    stands.state = State::differs(format!("{from} in {shown}"), "its key", None);
                }
                stands.writes.insert(0, (path, text.clone(), Owner::Ours));
            }
            Some(Key::Path(_)) if there.is_none() => {
                let shown = path.display();
                *stands = Stands::as_it_is(State::blocked(format!(
                    "its key {shown} is missing: put it there, or its text into the profile"
                )));
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "repositories/tests.rs"]
mod tests;
