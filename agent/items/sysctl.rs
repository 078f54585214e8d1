//! Kernel parameters: the kubelet refuses nodes whose keys it does not like, kubeadm's preflight
//! wants forwarding, and inotify limits too low for a node's containers fail in strange places.

mod edit;
mod merge;
mod tuned;
mod value;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{Explain, Kind};
use crate::boot::dropins;
use crate::boot::modules::{self, BootModules, Load};
use crate::boot::{kernels, units};
use crate::error::Result;
use crate::finding::{Finding, Origin, State};
use crate::host::Host;
use crate::plan::ItemPlan;
use crate::step::{Owner, Step};

pub use value::{FileName, Key, Wanted, same_value};

use edit::Line;
use merge::{Assignment, Merge};

/// The drop-in that outranks later files of others.
const LAST: &str = "/etc/sysctl.d/zzz-nodeprep.conf";
const DIRECTORY: &str = "/etc/sysctl.d";

/// `[sysctl]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sysctl {
    /// The file in /etc/sysctl.d.
    #[serde(default)]
    file: FileName,
    /// The keys and what each should be.
    #[serde(deserialize_with = "value::keys")]
    keys: BTreeMap<Key, Wanted>,
}

/// What the host has.
#[derive(Debug)]
pub struct Observed {
    keys: Vec<(Key, Live, Boot)>,
    /// Our file, then the one that outranks others: path and bytes.
    files: [(PathBuf, Option<Vec<u8>>); 2],
}

/// A key's value in the running kernel.
#[derive(Debug)]
enum Live {
    Value(String),
    /// The planned steps load the module that brings it.
    Coming,
    /// Its module is not loaded.
    NoModule(&'static str),
    /// This kernel has no such key.
    NoKey,
    /// There is no running kernel to ask.
    NoKernel,
    Unreadable(String),
}

/// What the next boot sets a key to.
#[derive(Debug)]
struct Boot {
    /// The last to assign it.
    winner: Option<Assignment>,
    /// The winner sorts after what we can write in our own file.
    after_ours: bool,
    /// Nothing we write is read after it.
    after_last: bool,
    /// The module that brings the key and is not loaded when systemd-sysctl runs.
    late: Option<&'static str>,
    /// Nothing assigns it, yet systemd itself raises it at boot.
    raised: bool,
}

/// Modules that bring keys with them: module, and how the keys' paths begin.
const BROUGHT: [(&str, &str); 4] = [
    ("br_netfilter", "net/bridge/"),
    ("nf_conntrack", "net/netfilter/nf_conntrack_"),
    ("nf_conntrack", "net/nf_conntrack_max"),
    ("ip_vs", "net/ipv4/vs/"),
];
/// systemd from this version on raises fs.file-max and fs.nr_open as high as they go (NEWS of 240),
/// and no file should lower them.
const RAISES: u32 = 240;
/// Debian and Ubuntu build systemd so that it leaves fs.nr_open alone; 257 in Debian 13 raises it.
const RAISES_ON_DEBIAN: u32 = 257;

impl Kind for Sysctl {
    type Observed = Observed;
    const EXPLAIN: Explain = Explain {
        why: "net.ipv4.ip_forward: kubeadm's preflight refuses a node without it. net.bridge.*: \
              pod traffic across a bridge must pass the firewall's rules. fs.inotify.*: every \
              container that watches files needs some. vm.overcommit_memory, kernel.panic, \
              kernel.panic_on_oops: what the kubelet sets or, with protectKernelDefaults, demands.",
        looks_at: "live: /proc/sys. boot: the merge systemd-sysctl makes of sysctl.d in /etc, /run, \
                   /usr/local/lib and /usr/lib (file names in order, masks, `-` prefix, globs, \
                   aliases; /etc/sysctl.conf only where a link in sysctl.d leads to it), then what \
                   ufw and tuned set later, and whether the module that brings a key is loaded \
                   before systemd-sysctl runs.",
        changes: "writes the value to /proc/sys and reads it back; sets the key in \
                  /etc/sysctl.d/FILE, other lines kept; where a later file overrides it, also in \
                  /etc/sysctl.d/zzz-nodeprep.conf. Files of others are never edited.",
        undo: "remove the keys from both files; `sysctl -w KEY=OLD` (the journal has the old value).",
    };

    fn observe(&self, host: &Host) -> Result<Observed> {
        let own = self.file.within(DIRECTORY);
        let merge = Merge::read(host)?;
        let mut late = Late::default();
        let mut keys = Vec::with_capacity(self.keys.len());
        for key in self.keys.keys() {
            let boot = Boot {
                after_ours: merge.outranks(key, &own),
                after_last: merge.outranks(key, Path::new(LAST)),
                winner: merge.winner(key),
                late: late.module(host, key)?,
                raised: raised(host, key)?,
            };
            keys.push((key.clone(), live(host, key), boot));
        }
        let read = |path: PathBuf| -> Result<_> {
            let bytes = host.bytes(&path)?.map(|bytes| bytes.to_vec());
            Ok((path, bytes))
        };
        Ok(Observed {
            keys,
            files: [read(own)?, read(LAST.into())?],
        })
    }

    fn wants(&self, subject: &str) -> bool {
        self.keys.keys().any(|key| key.name() == subject)
    }

    fn wants_file(&self, path: &Path) -> bool {
        self.file.within(DIRECTORY).starts_with(path) || path == Path::new(LAST)
    }

    fn diff(&self, observed: &Observed) -> ItemPlan {
        let mut plan = ItemPlan::default();
        let mut files: [BTreeMap<&Key, Line>; 2] = Default::default();
        for (key, live, boot) in &observed.keys {
            let Some(wanted) = self.keys.get(key) else {
                continue;
            };
            let finding = Finding::new(
                key.name(),
                judge_live(wanted, live),
                judge_boot(wanted, live, boot),
            );
            if matches!(finding.live, State::Differs { .. })
                && matches!(live, Live::Value(_) | Live::Coming)
            {
                let step = Step::WriteKernel {
                    path: key.file(),
                    value: wanted.value().to_owned(),
                };
                plan.live(step, [key.name()]);
            }
            if boot.mended_by_a_file(wanted) && !matches!(live, Live::NoKey) {
                let line = boot.line(key, wanted.not_lower_than(live.value()));
                if boot.after_ours {
                    files[1].insert(key, line.clone());
                }
                files[0].insert(key, line);
            }
            plan.findings.push(finding);
        }
        // Changing ip_forward resets every interface's other settings (ip-sysctl.rst), so it goes first.
        plan.steps
            .sort_by_key(|planned| !is_forwarding(&planned.step));
        for (keys, (path, old)) in files
            .iter()
            .zip(&observed.files)
            .filter(|(keys, _)| !keys.is_empty())
        {
            let content = edit::set(old.as_deref(), keys);
            if old.as_ref() == Some(&content) {
                continue;
            }
            let step = Step::write(path, content, Owner::Ours);
            plan.boot(step, keys.keys().map(|key| key.name()));
        }
        plan
    }
}

impl Boot {
    /// Whether a line in one of our files would help.
    fn mended_by_a_file(&self, wanted: &Wanted) -> bool {
        let settled = match self.value() {
            None => self.raised && wanted.is_at_least(),
            Some(value) => wanted.accepts(value),
        };
        !settled && !self.after_last
    }

    fn value(&self) -> Option<&str> {
        self.winner.as_ref()?.value.as_deref()
    }

    fn origin(&self) -> Option<Origin> {
        self.winner.as_ref().map(|winner| winner.origin.clone())
    }

    /// The line to write: an alias that wins is overruled by its own name, because systemd-sysctl
    /// does not move a key that is set to the same value again.
    fn line(&self, key: &Key, value: String) -> Line {
        let decides = self.winner.as_ref().map(|winner| winner.path.as_str());
        let aliases = key.aliases();
        let alias = aliases.iter().find(|alias| Some(alias.path()) == decides);
        Line {
            name: alias.unwrap_or(key).name(),
            value,
        }
    }
}

impl Live {
    fn value(&self) -> Option<&str> {
        match self {
            Self::Value(text) => Some(text),
            _ => None,
        }
    }
}

fn is_forwarding(step: &Step) -> bool {
    matches!(step, Step::WriteKernel { path, .. } if path == Path::new("/proc/sys/net/ipv4/ip_forward"))
}

fn live(host: &Host, key: &Key) -> Live {
    if host.no_live().is_some() {
        return Live::NoKernel;
    }
    match host.text(&key.file()) {
        Ok(Some(text)) => Live::Value(text.trim().to_owned()),
        Ok(None) => match brought_by(key) {
            Some(module) if host.will_load(module) => Live::Coming,
            Some(module) => Live::NoModule(module),
            None => Live::NoKey,
        },
        Err(error) => Live::Unreadable(error.to_string()),
    }
}

fn judge_live(wanted: &Wanted, live: &Live) -> State {
    let to = wanted.to_string();
    match live {
        Live::Value(value) if wanted.accepts(value) => State::InSync,
        Live::Value(value) => State::differs(one_line(value), to, None),
        Live::Coming => State::differs("absent until its module is loaded", to, None),
        Live::NoModule(module) => {
            State::differs(format!("absent: {module} is not loaded"), to, None)
        }
        Live::NoKey => no_key(wanted),
        Live::NoKernel => State::not_applicable("there is no running kernel"),
        Live::Unreadable(cause) => State::unknown(cause),
    }
}

fn no_key(wanted: &Wanted) -> State {
    match wanted.optional() {
        true => State::not_applicable("this kernel has no such key"),
        false => {
            let from = "absent: this kernel has no such key (mark it optional if that is fine)";
            State::differs(from, wanted.to_string(), None)
        }
    }
}

fn judge_boot(wanted: &Wanted, live: &Live, boot: &Boot) -> State {
    let to = wanted.to_string();
    if matches!(live, Live::NoKey) {
        return no_key(wanted);
    }
    let differs = |from: String| State::differs(from, to, boot.origin());
    match (boot.value(), boot.late) {
        (Some(value), None) if wanted.accepts(value) => State::InSync,
        (Some(value), None) => differs(one_line(value)),
        (None, None) if boot.raised && wanted.is_at_least() => State::InSync,
        (None, None) => differs("not set".into()),
        (_, Some(module)) => differs(format!(
            "not set: {module} is not loaded when systemd-sysctl runs"
        )),
    }
}

fn one_line(value: &str) -> String {
    value.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The module that brings a key.
#[must_use]
pub fn brought_by(key: &Key) -> Option<&'static str> {
    BROUGHT
        .iter()
        .find(|(_, begin)| key.path().starts_with(begin))
        .map(|(module, _)| *module)
}

/// Whether sysctl keys come with a module; nf_conntrack_ipv4 is nf_conntrack to older kernels.
#[must_use]
pub fn brings_keys(module: &str) -> bool {
    module == "nf_conntrack_ipv4" || BROUGHT.iter().any(|(brings, _)| *brings == module)
}

/// Which modules that bring keys are not there when systemd-sysctl runs; asked once a module.
#[derive(Default)]
struct Late(BTreeMap<&'static str, bool>);

impl Late {
    fn module(&mut self, host: &Host, key: &Key) -> Result<Option<&'static str>> {
        let Some(module) = brought_by(key) else {
            return Ok(None);
        };
        let late = match self.0.get(module) {
            Some(late) => *late,
            None => {
                let release = kernels::booting(host)?.unwrap_or_default();
                let known = modules::Modules::read(host, &release)?;
                let late = BootModules::read(host)?.load(module, &known) != Load::Loaded;
                self.0.insert(module, late);
                late
            }
        };
        Ok(late.then_some(module))
    }
}

/// Whether PID 1 raises a key to its limit.
fn raised(host: &Host, key: &Key) -> Result<bool> {
    let since = match key.path() {
        "fs/file-max" => RAISES,
        "fs/nr_open" if host.kind(Path::new("/etc/debian_version"))?.is_some() => RAISES_ON_DEBIAN,
        "fs/nr_open" => RAISES,
        _ => return Ok(false),
    };
    Ok(units::systemd_version(host)? >= since)
}
