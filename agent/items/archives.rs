//! Programs that come in archives: crictl, nerdctl and the CNI plugins are in few distributions'
//! repositories, and a binary that was unpacked by hand is one nobody can tell the version of.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;

use super::files::Place;
use super::{Explain, Kind, Stage};
use crate::error::Result;
use crate::finding::{Finding, State};
use crate::host::{Extracted, Host};
use crate::plan::ItemPlan;
use crate::step::{Extraction, Step};

/// `[archives]`: archives by names of one's own.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "BTreeMap<String, Archive>")]
pub struct Archives(BTreeMap<String, Archive>);

/// `[archives.NAME]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Archive {
    /// Where it is on the host.
    source: Source,
    /// Its checksum.
    sha256: Sum,
    /// The version of what is in it, for people.
    version: Word,
    /// The directory the files go to.
    into: Place,
    /// How many directories at the begin of each name in it are left out.
    #[serde(default)]
    strip: usize,
    /// The files taken, by their names below `into`.
    members: BTreeSet<Member>,
}

/// An absolute path, as such or as `file:///path`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
struct Source(PathBuf);

impl TryFrom<String> for Source {
    type Error = String;

    fn try_from(text: String) -> std::result::Result<Self, String> {
        let path = text.strip_prefix("file://").unwrap_or(&text);
        match path.starts_with('/') && !path.contains('\0') {
            true => Ok(Self(path.into())),
            false => Err(format!(
                "\"{text}\" can't be read: expected an absolute path on the host, or file:///path; \
                 nothing is downloaded"
            )),
        }
    }
}

/// A SHA-256 in hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
struct Sum(String);

impl TryFrom<String> for Sum {
    type Error = String;

    fn try_from(text: String) -> std::result::Result<Self, String> {
        let is_sum = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        match is_sum {
            true => Ok(Self(text.to_ascii_lowercase())),
            false => Err(format!(
                "\"{text}\" is no SHA-256: expected the 64 hexadecimal digits that `sha256sum` prints"
            )),
        }
    }
}

/// One word that can be shown.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
struct Word(String);

impl TryFrom<String> for Word {
    type Error = String;

    fn try_from(text: String) -> std::result::Result<Self, String> {
        match !text.is_empty() && text.chars().all(|c| c.is_ascii_graphic()) {
            true => Ok(Self(text)),
            false => Err(format!(
                "\"{text}\" is no version: expected \"v1.30.0\" or alike"
            )),
        }
    }
}

/// A file's name below a directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
struct Member(String);

impl TryFrom<String> for Member {
    type Error = String;

    fn try_from(text: String) -> std::result::Result<Self, String> {
        let path = Path::new(&text);
        let normal = path
            .components()
            .all(|part| matches!(part, Component::Normal(_)));
        let plain = path.components().collect::<PathBuf>().as_os_str() == path.as_os_str();
        let shown = !text.is_empty() && !text.contains(char::is_control);
        match normal && plain && shown {
            true => Ok(Self(text)),
            false => Err(format!(
                "\"{text}\" is no member: expected its name as it is to be below `into`, as \
                 \"crictl\" or \"bin/crictl\""
            )),
        }
    }
}

impl TryFrom<BTreeMap<String, Archive>> for Archives {
    type Error = String;

    fn try_from(all: BTreeMap<String, Archive>) -> std::result::Result<Self, String> {
        let mut known: BTreeMap<PathBuf, &str> = BTreeMap::new();
        for (name, archive) in &all {
            if archive.members.is_empty() {
                return Err(format!(
                    "{name} has no members: name the files that are taken (`tar -t` lists them)"
                ));
            }
            for path in archive.paths() {
                if let Some(other) = known.insert(path.clone(), name) {
                    let shown = path.display();
                    return Err(format!(
                        "{shown} is in both {other} and {name}: take it out of one"
                    ));
                }
            }
        }
        Ok(Self(all))
    }
}

impl Archive {
    fn paths(&self) -> impl Iterator<Item = PathBuf> {
        let path = |Member(name): &Member| self.into.path().join(name);
        self.members.iter().map(path)
    }
}

/// What the host has.
#[derive(Debug)]
pub struct Observed {
    /// For each archive, in their order: whether it is there, and how each of its files stands.
    archives: Vec<(bool, Vec<Extracted>)>,
}

impl Kind for Archives {
    type Observed = Observed;
    const STAGE: Stage = Stage::Install;
    const BOOTS_BY_SYSTEMD: bool = false;
    const EXPLAIN: Explain = Explain {
        why: "kubeadm's preflight looks for crictl, pods get their network by CNI plugins in \
              /opt/cni/bin, and both may come as archives of their publishers. A binary unpacked by \
              hand has no version that anyone knows, and an archive nobody compared with its checksum \
              could be anyone's.",
        looks_at: "each file's mode, owner, size, inode and time against what was written down in \
                   /var/lib/nodeprep/archives.json when it was taken out; where only the stamp is \
                   another, its SHA-256. What is there is so after a boot as well.",
        changes: "the archive's SHA-256 is compared first, nothing is taken from another. The members \
                  that are named are written beside their names, and get them once all are whole, with \
                  mode 0755 or 0644, as root's. Links, devices, names with `..` and members that are \
                  not there are refused. Nothing is downloaded, no unit is restarted.",
        undo: "remove the files; one that was replaced is to be had from its package or archive.",
    };

    fn observe(&self, host: &Host) -> Result<Observed> {
        let Self(all) = self;
        let mut archives = Vec::new();
        for archive in all.values() {
            let (Source(source), Sum(sum)) = (&archive.source, &archive.sha256);
            let files: Result<Vec<Extracted>> = archive
                .paths()
                .map(|path| host.extracted(&path, sum))
                .collect();
            archives.push((host.kind(source)?.is_some(), files?));
        }
        Ok(Observed { archives })
    }

    fn wants(&self, subject: &str) -> bool {
        let mut paths = self.0.values().flat_map(Archive::paths);
        paths.any(|path| path == Path::new(subject))
    }

    /// What runs the node and its pods, and what gives these their network.
    fn hurts_member(subject: &str) -> bool {
        const RUN: [&str; 6] = [
            "kubelet",
            "containerd",
            "containerd-shim-runc-v2",
            "runc",
            "crio",
            "crun",
        ];
        let path = Path::new(subject);
        let name = path.file_name().and_then(|name| name.to_str());
        path.starts_with("/opt/cni/bin") || name.is_some_and(|name| RUN.contains(&name))
    }

    fn diff(&self, observed: &Observed) -> ItemPlan {
        let mut plan = ItemPlan::default();
        for ((name, archive), (is_there, files)) in self.0.iter().zip(&observed.archives) {
            let mut members = BTreeSet::new();
            let mut serves = Vec::new();
            for ((path, Member(member)), file) in archive.paths().zip(&archive.members).zip(files) {
                let subject = path.display().to_string();
                let state = archive.state(name, *file, *is_there);
                if let State::Differs { .. } = state {
                    members.insert(member.clone());
                    serves.push(subject.clone());
                }
                plan.findings
                    .push(Finding::new(subject, state.clone(), state));
            }
            if !members.is_empty() {
                plan.boot(Step::Extract(archive.extraction(members)), serves);
            }
        }
        plan
    }
}

impl Archive {
    fn state(&self, name: &str, file: Extracted, is_there: bool) -> State {
        let from = match file {
            Extracted::InPlace => return State::InSync,
            Extracted::NoFile => return State::blocked("it is no regular file: move it away"),
            Extracted::Absent => "not there",
            Extracted::Other => "of another archive",
            Extracted::Changed => "changed since it was taken out",
            Extracted::Foreign => "not known to be of an archive",
        };
        if !is_there {
            let source = self.source.0.display();
            return State::blocked(format!("{from}, and {source} is not there: copy it here"));
        }
        State::differs(from, format!("of {name} {}", self.version.0), None)
    }

    fn extraction(&self, members: BTreeSet<String>) -> Extraction {
        Extraction {
            archive: self.source.0.clone(),
            sha256: self.sha256.0.clone(),
            into: self.into.path().to_owned(),
            strip: self.strip,
            members,
        }
    }
}

#[cfg(test)]
#[path = "archives/archives_test.rs"]
mod tests;
