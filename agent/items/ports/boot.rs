//! Which rules the boot loads, by the services that load them; where none is enabled the kernel's
//! rule set is empty and accepts.

use std::cmp::Reverse;
use std::path::{Path, PathBuf};

use super::rule::{Wanted, iptables, nft};
use crate::boot::units;
use crate::error::{Result, trouble};
use crate::firewall::save::{self, Insertion};
use crate::firewall::script::{Addition, Script};
use crate::firewall::{Rule, Ruleset};
use crate::host::Host;
use crate::step::{Owner, Step};

const NFTABLES: &str = "nftables.service";
/// Services that load files as iptables-save writes them, each file with whether it is for IPv6:
/// netfilter-persistent(8) with its plugins, and the two of EL's iptables-services.
const SAVES: [(&str, &str, bool); 4] = [
    (
        "netfilter-persistent.service",
        "/etc/iptables/rules.v4",
        false,
    ),
    (
        "netfilter-persistent.service",
        "/etc/iptables/rules.v6",
        true,
    ),
    ("iptables.service", "/etc/sysconfig/iptables", false),
    ("ip6tables.service", "/etc/sysconfig/ip6tables", true),
];
/// Where the script is if the unit names none.
const SCRIPT: &str = "/etc/nftables.conf";
/// Where nft looks for includes that begin with no slash (nft(8), -I).
const INCLUDES: &str = "/etc";

/// One file, with what it includes, that the boot loads.
#[derive(Debug)]
pub enum Loader {
    /// As iptables-save prints it.
    Save {
        /// The file.
        path: PathBuf,
        /// Its text.
        text: String,
        /// Its rules.
        ruleset: Ruleset,
    },
    /// nft's.
    Script(Script),
}

impl Loader {
    /// All that enabled services load.
    ///
    /// # Errors
    /// Where a file is not understood or cannot be read.
    pub fn all(host: &Host) -> Result<Vec<Self>> {
        let is_loader = |unit: &str| unit == NFTABLES || SAVES.iter().any(|(one, ..)| *one == unit);
        let enabled = units::wanted(host, is_loader)?;
        let is_enabled = |unit: &str| enabled.iter().any(|(one, _)| one == unit);
        let services = |name: &str| service(host, name);
        let mut loaders = Vec::new();
        for (_, path, ipv6) in SAVES.iter().filter(|(unit, ..)| is_enabled(unit)) {
            let path = PathBuf::from(path);
            let Some(text) = host.exact_text(&path)? else {
                continue;
            };
            let ruleset = save::parse(&text, &path, *ipv6, &services)?;
            loaders.push(Self::Save {
                path,
                text,
                ruleset,
            });
        }
        if is_enabled(NFTABLES) {
            let path = script(host)?;
            if let Some(text) = host.exact_text(&path)? {
                let include = |name: &str| included(host, name);
                let script = Script::parse(&path, text, &include, &services)?;
                loaders.push(Self::Script(script));
            }
        }
        Ok(loaders)
    }

    /// The file, or the first of them.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Save { path, .. } => Some(path),
            Self::Script(script) => script.path(),
        }
    }

    /// Its rules.
    #[must_use]
    pub fn ruleset(&self) -> &Ruleset {
        match self {
            Self::Save { ruleset, .. } => ruleset,
            Self::Script(script) => &script.ruleset,
        }
    }

    /// The steps that put these rules into its files.
    #[must_use]
    pub fn steps(&self, wanted: &[Wanted]) -> Vec<Step> {
        let files = match self {
            Self::Save {
                path,
                text,
                ruleset,
            } => {
                // From the chain's end, so that the numbers of the rules before stay right.
                let mut sorted: Vec<&Wanted> = wanted.iter().collect();
                sorted.sort_by_key(|one| Reverse(one.before.unwrap_or(usize::MAX)));
                let insertions = sorted.iter().filter_map(|one| insertion(ruleset, one));
                let insertions: Vec<Insertion> = insertions.collect();
                vec![(path.clone(), save::insert(text, &insertions))]
            }
            Self::Script(script) => {
                let addition = |one: &Wanted| Addition {
                    chain: one.chain,
                    before: one.before,
                    text: nft(&one.rule),
                };
                let additions: Vec<Addition> = wanted.iter().map(addition).collect();
                script.with(&additions)
            }
        };
        let write = |(path, text): (PathBuf, String)| Step::write(path, text, Owner::Shared);
        files.into_iter().map(write).collect()
    }
}

/// A rule goes before the line of the one it must precede; where lines of the file insert rules by
/// their number in the chain, another line there would move them, and it is inserted last of all.
fn insertion(ruleset: &Ruleset, wanted: &Wanted) -> Option<Insertion> {
    let chain = ruleset.chains.get(wanted.chain)?;
    let inserts = |rule: &Rule| {
        let mut words = rule.text.split_whitespace();
        words.any(|word| word == "-I" || word == "--insert")
    };
    let (before, verb) = match wanted.before {
        None => (None, format!("-A {}", chain.name)),
        Some(index) if chain.rules.iter().any(inserts) => {
            (None, format!("-I {} {}", chain.name, index + 1))
        }
        Some(index) => {
            let place = chain.rules.get(index)?.place.as_ref()?;
            (Some(place.1), format!("-A {}", chain.name))
        }
    };
    Some(Insertion {
        table: chain.table.name.clone(),
        before,
        rule: format!("{verb} {}", iptables(&wanted.rule)),
    })
}

/// The script that the unit's ExecStart names after -f: Debian's and EL's differ.
fn script(host: &Host) -> Result<PathBuf> {
    let unit = match units::file(host, NFTABLES)? {
        Some(path) => host.exact_text(&path)?.unwrap_or_default(),
        None => String::new(),
    };
    let mut lines = unit.lines().map(str::trim);
    let start = lines.find_map(|line| line.strip_prefix("ExecStart="));
    let words = start.unwrap_or_default().split_whitespace();
    let named = words.skip_while(|word| *word != "-f").nth(1);
    Ok(PathBuf::from(named.unwrap_or(SCRIPT)))
}

/// What an `include` names, in the order of names; a pattern may name nothing (nft(8), INCLUDES).
fn included(host: &Host, name: &str) -> Result<Vec<(PathBuf, String)>> {
    let path = Path::new(INCLUDES).join(name);
    let directory = path.parent().unwrap_or(Path::new("/"));
    let pattern = path.file_name().unwrap_or_default().to_string_lossy();
    let pattern = glob::Pattern::new(&pattern)
        .map_err(|error| trouble!("include \"{name}\": {error}: mend it by hand"))?;
    let mut files = Vec::new();
    let names = host.list(directory)?;
    for file in names.iter().filter(|file| pattern.matches(file)) {
        let path = directory.join(file);
        if let Some(text) = host.exact_text(&path)? {
            files.push((path, text));
        }
    }
    Ok(files)
}

/// A port by its name in services(5).
fn service(host: &Host, name: &str) -> Option<u16> {
    let text = host.text(Path::new("/etc/services")).ok()??;
    text.lines().find_map(|line| {
        let mut words = line.split('#').next()?.split_whitespace();
        let (own, port) = (words.next()?, words.next()?);
        let is_it = own == name || words.any(|alias| alias == name);
        is_it
            .then(|| port.split('/').next()?.parse().ok())
            .flatten()
    })
}
