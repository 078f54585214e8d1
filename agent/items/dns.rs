//! Name servers: the kubelet hands its own to every pod that asks for the node's, CoreDNS among them,
//! and one on the node's loopback makes CoreDNS ask itself until it gives up.

mod resolv;
mod source;

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{Explain, Kind};
use crate::error::Result;
use crate::finding::{Finding, Origin, State};
use crate::host::{self, Host};
use crate::plan::ItemPlan;
use crate::step::{Due, Owner, Step};
use crate::template;
use crate::text::section;

use resolv::Resolv;
use source::Writer;

const NAMESERVERS: &str = "nameservers";
const SEARCH: &str = "search domains";
/// Sorts behind all others.
const RESOLVED: &str = "/etc/systemd/resolved.conf.d/zzz-nodeprep.conf";
/// The same; apart from what [network_manager] writes.
const NETWORK_MANAGER: &str = "/etc/NetworkManager/conf.d/zzz-nodeprep-dns.conf";
/// More are left out, with a warning at each pod (kubelet, pkg/apis/core/validation,
/// MaxDNSNameservers; glibc's MAXNS).
const MOST_SERVERS: usize = 3;
/// The same for search domains (MaxDNSSearchPaths, MaxDNSSearchListChars).
const MOST_DOMAINS: usize = 32;
const MOST_LETTERS: usize = 2048;

/// `[dns]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dns {
    /// The servers, the first asked first; none: those the host has must be usable.
    #[serde(default)]
    nameservers: Vec<IpAddr>,
    /// Domains that names without a dot are tried in.
    #[serde(default)]
    search: Vec<Domain>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
struct Domain(String);

impl TryFrom<String> for Domain {
    type Error = String;

    fn try_from(text: String) -> std::result::Result<Self, String> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        match !text.is_empty() && text.len() < 254 && text.bytes().all(plain) {
            true => Ok(Self(text)),
            false => Err(format!(
                "\"{text}\" is no domain: expected letters, digits, `-`, `_` and `.`"
            )),
        }
    }
}

/// What the host has.
#[derive(Debug)]
pub struct Observed {
    /// The file the kubelet will use, as it is.
    path: PathBuf,
    resolv: Resolv,
    manager: Writer,
    /// Whether that runs.
    runs: bool,
    /// What is at the place where what is wanted is written: kind and bytes.
    there: (Option<host::Kind>, Vec<u8>),
}

impl Kind for Dns {
    type Observed = Observed;
    const BOOTS_BY_SYSTEMD: bool = false;
    const EXPLAIN: Explain = Explain {
        why: "CoreDNS asks the node's name servers: where that is 127.0.0.53 it asks itself, finds the \
              loop and ends. The kubelet takes three servers and 32 search domains, and warns of more \
              at every pod.",
        looks_at: "the file the kubelet uses: resolvConf of /var/lib/kubelet/config.yaml; without, \
                   systemd-resolved's own where that runs, as kubeadm sets it, else /etc/resolv.conf. \
                   boot: the same where it is a plain file; else what its manager is told.",
        changes: "only what is asked for, where the host's manager keeps it: /etc/resolv.conf; a drop-in \
                  of systemd-resolved, which is restarted; or one of NetworkManager, which is reloaded.",
        undo: "remove zzz-nodeprep.conf in /etc/systemd/resolved.conf.d, zzz-nodeprep-dns.conf in \
               /etc/NetworkManager/conf.d, or put the old lines into /etc/resolv.conf.",
    };

    fn observe(&self, host: &Host) -> Result<Observed> {
        let (manager, runs) = source::manager(host)?;
        let path = source::path(host, manager)?;
        let text = host.bytes(&path)?.unwrap_or_default();
        let place = place(manager);
        let kind = host.kind(place)?;
        let bytes = match kind {
            Some(host::Kind::File | host::Kind::Link) => host.bytes(place)?.unwrap_or_default(),
            _ => [].into(),
        };
        Ok(Observed {
            resolv: Resolv::parse(&text),
            path,
            manager,
            runs,
            there: (kind, bytes.to_vec()),
        })
    }

    fn wants(&self, subject: &str) -> bool {
        match subject {
            NAMESERVERS => !self.nameservers.is_empty(),
            SEARCH => !self.search.is_empty(),
            _ => false,
        }
    }

    fn diff(&self, observed: &Observed) -> ItemPlan {
        let mut plan = ItemPlan::default();
        let new = self.content(observed);
        let told = new == observed.there.1;
        let asked = [!self.nameservers.is_empty(), !self.search.is_empty()];
        let live = [self.servers(observed), self.domains(observed)];
        let mut serves = Vec::new();
        for ((subject, live), asked) in [NAMESERVERS, SEARCH].into_iter().zip(live).zip(asked) {
            let boot = observed.boot(&live, asked, told);
            if asked && matches!(boot, State::Differs { .. }) {
                serves.push(subject);
            }
            plan.findings.push(Finding::new(subject, live, boot));
        }
        if !serves.is_empty() && !told {
            let owner = match observed.there.0 {
                Some(host::Kind::File) if observed.manager == Writer::File => Owner::Shared,
                _ => Owner::Ours,
            };
            plan.boot(Step::write(place(observed.manager), new, owner), serves);
            plan.due.extend(observed.due());
        }
        plan
    }
}

impl Dns {
    fn servers(&self, observed: &Observed) -> State {
        let found = &observed.resolv.servers;
        let origin = |line: usize| Some(Origin::line(&observed.path, line));
        let text = |all: &[IpAddr]| {
            let all: Vec<String> = all.iter().map(ToString::to_string).collect();
            all.join(" ")
        };
        let addresses: Vec<IpAddr> = found.iter().map(|(_, address)| *address).collect();
        if !addresses.starts_with(&self.nameservers) {
            let from = match addresses.is_empty() {
                true => "none".to_owned(),
                false => text(&addresses),
            };
            let origin = found.first().and_then(|(line, _)| origin(*line));
            return State::differs(from, text(&self.nameservers), origin);
        }
        let loopback = found.iter().find(|(_, address)| address.is_loopback());
        if let Some((line, address)) = loopback {
            let to = "one that pods reach: CoreDNS would ask itself";
            return State::differs(address.to_string(), to, origin(*line));
        }
        match (found.first(), found.get(MOST_SERVERS)) {
            (None, _) => {
                let from = format!("none in {}", observed.path.display());
                State::differs(from, "a name server", None)
            }
            (_, Some((line, _))) => {
                let to = format!("at most {MOST_SERVERS}: the kubelet leaves the others out");
                State::differs(format!("{} of them", found.len()), to, origin(*line))
            }
            _ => State::InSync,
        }
    }

    fn domains(&self, observed: &Observed) -> State {
        let (line, found) = &observed.resolv.search;
        let origin = (*line > 0).then(|| Origin::line(&observed.path, *line));
        let missing = self.search.iter().any(|Domain(name)| !found.contains(name));
        let letters = found.join(" ").len();
        if missing {
            let to: Vec<&str> = self
                .search
                .iter()
                .map(|Domain(name)| name.as_str())
                .collect();
            let from = match found.is_empty() {
                true => "none".to_owned(),
                false => found.join(" "),
            };
            return State::differs(from, to.join(" "), origin);
        }
        if found.len() > MOST_DOMAINS || letters > MOST_LETTERS {
            let from = format!("{} domains of {letters} letters", found.len());
            let to = format!(
                "at most {MOST_DOMAINS} of {MOST_LETTERS}: the kubelet leaves the others out"
            );
            return State::differs(from, to, origin);
        }
        State::InSync
    }

    /// What the manager is to be told, in its file as it is.
    fn content(&self, observed: &Observed) -> Vec<u8> {
        let old = &observed.there.1;
        let servers: Vec<String> = self.nameservers.iter().map(ToString::to_string).collect();
        let domains: Vec<&str> = self
            .search
            .iter()
            .map(|Domain(name)| name.as_str())
            .collect();
        let set = |old: &[u8], within: &str, key: &str, value: String| match value.is_empty() {
            true => old.to_vec(),
            false => section::set(
                old,
                within,
                |a, b| a == b,
                [(key, value.as_str())].into_iter(),
            ),
        };
        let begun = |header: &str| match old.is_empty() {
            true => template::header(header).into_bytes(),
            false => old.clone(),
        };
        match observed.manager {
            Writer::File => resolv::set(old, &servers, &observed.with(&domains)),
            // Those of the links are asked beside these.
            Writer::Resolved => {
                let new = set(&begun("dns.conf"), "Resolve", "DNS", servers.join(" "));
                set(&new, "Resolve", "Domains", domains.join(" "))
            }
            Writer::NetworkManager if servers.is_empty() && domains.is_empty() => old.clone(),
            // It takes nothing of the connections once this is there, and nothing of this without
            // servers (nm-config-data.c).
            Writer::NetworkManager => {
                let servers = match servers.is_empty() {
                    true => observed.resolv.addresses(),
                    false => servers,
                };
                let within = "global-dns-domain-*";
                let new = set(&begun("dns.conf"), within, "servers", servers.join(","));
                let domains = observed.with(&domains).join(",");
                set(&new, "global-dns", "searches", domains)
            }
            Writer::Resolvconf | Writer::Lease(_) => old.clone(),
        }
    }
}

impl Observed {
    /// What the next boot makes of it: of a file that is made at each boot only what its maker is told
    /// is known.
    fn boot(&self, live: &State, asked: bool, told: bool) -> State {
        match (self.manager, asked) {
            (Writer::File, true) if self.path != place(Writer::File) => match live {
                State::Differs { .. } => State::blocked(format!(
                    "the kubelet reads {}, as resolvConf in its config.yaml says: say it there",
                    self.path.display()
                )),
                _ => live.clone(),
            },
            (Writer::File, _) => live.clone(),
            (Writer::Resolvconf, true) if *live != State::InSync => State::blocked(
                "resolvconf writes /etc/resolv.conf: say it in /etc/resolvconf/resolv.conf.d/head",
            ),
            (Writer::Lease(client), true) if *live != State::InSync => {
                State::blocked(match client {
                    "dhclient" => {
                        "dhclient writes /etc/resolv.conf at each lease: say it in its \
                               dhclient.conf (supersede domain-name-servers, domain-search)"
                    }
                    _ => {
                        "dhcpcd writes /etc/resolv.conf at each lease: say it in /etc/dhcpcd.conf (static \
                      domain_name_servers, domain_search)"
                    }
                })
            }
            (Writer::Resolvconf | Writer::Lease(_), _) | (_, false) => {
                State::not_applicable(format!("{} finds them at each boot", self.manager.name()))
            }
            (_, true) if told => State::InSync,
            (manager, true) => {
                let from = format!("{} is not told", manager.name());
                State::differs(from, "as wanted", None)
            }
        }
    }

    /// These domains, and before them those the host has.
    fn with<'a>(&'a self, domains: &[&'a str]) -> Vec<&'a str> {
        if domains.is_empty() && self.manager == Writer::File {
            return Vec::new();
        }
        let mut all: Vec<&str> = self.resolv.search.1.iter().map(String::as_str).collect();
        let missing = domains.iter().filter(|name| !all.contains(name));
        let missing: Vec<&str> = missing.copied().collect();
        all.extend(missing);
        all
    }

    fn due(&self) -> Option<Due> {
        let (unit, runs) = (self.manager.unit()?.to_owned(), self.runs);
        let due = match self.manager {
            Writer::Resolved => Due::Restart { unit, ready: None },
            _ => Due::Reload { unit },
        };
        runs.then_some(due)
    }
}

/// Where what is wanted is written.
fn place(manager: Writer) -> &'static Path {
    Path::new(match manager {
        Writer::File | Writer::Resolvconf | Writer::Lease(_) => source::PATH,
        Writer::Resolved => RESOLVED,
        Writer::NetworkManager => NETWORK_MANAGER,
    })
}

#[cfg(test)]
#[path = "dns/host_test.rs"]
mod tests;
