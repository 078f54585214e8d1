//! Kernel parameters: the kubelet refuses nodes whose keys it does not like, kubeadm's preflight
//! wants forwarding, and inotify limits too low for a node's containers fail in strange places.

mod merge;
mod value;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{Explain, Kind};
use crate::boot::dropins;
use crate::boot::modules::{self, BootModules, Load};
use crate::error::Result;
use crate::finding::{Finding, State};
use crate::host::Host;
use crate::plan::ItemPlan;
use crate::step::{Owner, Step};

pub use value::{FileName, Key, Wanted, same_value};

use merge::{Assignment, Merge};

/// The drop-in that outranks later files of others.
const LAST: &str = "/etc/sysctl.d/zzz-nodeprep.conf";

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
/// systemd from this version on raises these two as high as they go (NEWS of 240), and no file
/// should lower them.
const RAISES: u32 = 240;
const RAISED: [&str; 2] = ["fs/file-max", "fs/nr_open"];

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
        let own = self.file.within("/etc/sysctl.d");
        let merge = Merge::read(host)?;
        let mut late = Late::default();
        let mut keys = Vec::with_capacity(self.keys.len());
        for key in self.keys.keys() {
            let boot = Boot {
                after_ours: merge.outranks(key, &own),
                after_last: merge.outranks(key, Path::new(LAST)),
                winner: merge.winner(key),
                late: late.module(host, key)?,
                raised: RAISED.contains(&key.path()) && systemd_version(host)? >= RAISES,
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

    fn diff(&self, observed: &Observed) -> ItemPlan {
        let mut plan = ItemPlan::default();
        let mut files: [BTreeMap<Key, String>; 2] = Default::default();
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
                let value = wanted.not_lower_than(live.value());
                // An alias that sets the key is set right by its own name: see Merge::set.
                let set_by = boot.winner.as_ref().map_or(key, |winner| &winner.key);
                if boot.after_ours {
                    files[1].insert(set_by.clone(), value.clone());
                }
                files[0].insert(set_by.clone(), value.clone());
                files[0].insert(key.clone(), value);
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
            let content = merge::set(old.as_deref(), keys);
            let step = Step::WriteFile {
                path: path.clone(),
                content,
                owner: Owner::Ours,
            };
            plan.boot(step, self.subjects(keys));
        }
        plan
    }
}

impl Sysctl {
    /// The keys of the profile that a file's keys are for.
    fn subjects(&self, keys: &BTreeMap<Key, String>) -> Vec<String> {
        let ours = |key: &&Key| key.aliases().iter().any(|alias| keys.contains_key(alias));
        self.keys.keys().filter(ours).map(Key::name).collect()
    }
}

impl Boot {
    /// Whether a line in one of our files would help.
    fn mended_by_a_file(&self, wanted: &Wanted) -> bool {
        match &self.winner {
            None => !(self.raised && wanted.is_at_least()),
            Some(winner) => !wanted.accepts(&winner.value) && !self.after_last,
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
    match (&boot.winner, boot.late) {
        (Some(winner), None) if wanted.accepts(&winner.value) => State::InSync,
        (Some(winner), None) => {
            State::differs(one_line(&winner.value), to, Some(winner.origin.clone()))
        }
        (None, None) if boot.raised && wanted.is_at_least() => State::InSync,
        (None, None) => State::differs("not set", to, None),
        (winner, Some(module)) => {
            let from = format!("not set: {module} is loaded after systemd-sysctl has run");
            State::differs(
                from,
                to,
                winner.as_ref().map(|winner| winner.origin.clone()),
            )
        }
    }
}

fn one_line(value: &str) -> String {
    value.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn brought_by(key: &Key) -> Option<&'static str> {
    BROUGHT
        .iter()
        .find(|(_, begin)| key.path().starts_with(begin))
        .map(|(module, _)| *module)
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
                let release = modules::boot_kernel(host)?.unwrap_or_default();
                let known = modules::Modules::read(host, &release)?;
                let late = BootModules::read(host)?.load(module, &known) != Load::Loaded;
                self.0.insert(module, late);
                late
            }
        };
        Ok(late.then_some(module))
    }
}

/// systemd's version by the name of the library its programs share; 0 where there is none to see
/// (before 231).
fn systemd_version(host: &Host) -> Result<u32> {
    let multiarch = format!("/usr/lib/{}-linux-gnu/systemd", std::env::consts::ARCH);
    for dir in [
        "/usr/lib/systemd",
        "/lib/systemd",
        "/usr/lib64/systemd",
        &multiarch,
    ] {
        for name in host.list(Path::new(dir))?.iter() {
            let Some(rest) = name.strip_prefix("libsystemd-shared-") else {
                continue;
            };
            let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
            if let Ok(version) = digits.parse() {
                return Ok(version);
            }
        }
    }
    Ok(0)
}
