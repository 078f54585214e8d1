//! A table of legacy iptables as getsockopt gives it: one run of entries in which chains are places
//! to jump to (include/uapi/linux/netfilter_ipv4/ip_tables.h, netfilter_ipv6/ip6_tables.h,
//! netfilter/x_tables.h).

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::super::bytes::{address_at, i32_at, name, prefix_length, u8_at, u16_at, u32_at};
use super::super::text::{Clause, Shown};
use super::super::{Base, Chain, Engine, Family, Hook, On, Rule, Table, Verdict};
use super::{conditions, verdict};
use crate::error::{Result, trouble};

/// XT_TABLE_MAXNAMELEN.
pub const NAME: usize = 32;
/// `struct ipt_getinfo` and `ip6t_getinfo`: the name, valid hooks, five entry points, five underflows
/// and two counts.
pub const INFO: usize = NAME + 13 * 4;
/// The header of `struct ipt_get_entries`: the name and a size, aligned to 8.
pub const ENTRIES: usize = NAME + 8;

/// `enum nf_inet_hooks` by number, with the chains' names.
const HOOKS: [&str; 5] = ["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"];
/// `struct xt_entry_match` and `xt_entry_target`: a size, a name of 29 bytes and the revision.
const EXTENSION: usize = 32;
const REVISION: usize = 31;
/// The verdicts of a standard target: -1 minus NF_DROP, NF_ACCEPT; XT_RETURN.
const DROP: i32 = -1;
const ACCEPT: i32 = -2;
const RETURN: i32 = -5;

/// Where the fields of an entry are, from its beginning.
struct Layout {
    ipv6: bool,
    masks: usize,
    interfaces: usize,
    protocol: usize,
    flags: usize,
    inverted: usize,
    /// `target_offset`, with `next_offset` after it.
    offsets: usize,
    size: usize,
    goto: u8,
}

/// struct ipt_entry.
const IPV4: Layout = Layout {
    ipv6: false,
    masks: 8,
    interfaces: 16,
    protocol: 80,
    flags: 82,
    inverted: 83,
    offsets: 88,
    size: 112,
    goto: 2,
};
/// struct ip6t_entry.
const IPV6: Layout = Layout {
    ipv6: true,
    masks: 32,
    interfaces: 64,
    protocol: 128,
    flags: 131,
    inverted: 132,
    offsets: 140,
    size: 168,
    goto: 4,
};

/// How many bytes of entries a table has, by its information (IPT_SO_GET_INFO).
#[must_use]
pub fn size(info: &[u8]) -> Option<u32> {
    u32_at(info, NAME + 12 * 4)
}

/// The chains of a table, from its information and its entries (IPT_SO_GET_ENTRIES, without header).
///
/// # Errors
/// Where they are not what a kernel gives.
pub fn chains(family: Family, info: &[u8], entries: &[u8]) -> Result<Vec<Chain>> {
    let table = Table {
        engine: Engine::Legacy,
        family,
        name: name(info.get(..NAME).unwrap_or(info)),
    };
    let layout = if family == Family::Ip6 { &IPV6 } else { &IPV4 };
    let chains = Reader {
        table: &table,
        layout,
        info,
        entries,
    }
    .chains();
    chains.ok_or_else(|| trouble!("the entries of legacy table {} can't be read", table.name))
}

struct Reader<'a> {
    table: &'a Table,
    layout: &'a Layout,
    info: &'a [u8],
    entries: &'a [u8],
}

/// An entry's part after its address, and where it is.
#[derive(Clone, Copy)]
struct Entry<'a> {
    offset: usize,
    bytes: &'a [u8],
    target: &'a [u8],
}

impl Reader<'_> {
    fn chains(&self) -> Option<Vec<Chain>> {
        let entries = self.entries()?;
        let mut names = BTreeMap::new();
        for entry in &entries {
            if let Some(chain) = entry.begins() {
                names.insert(entry.offset + entry.bytes.len(), chain);
            }
        }
        let mut chains: Vec<Chain> = Vec::new();
        // The entry that is the open chain's policy.
        let mut policy = None;
        for entry in &entries {
            if let Some(chain) = entry.begins() {
                self.close(&mut chains);
                chains.push(self.chain(&chain, None));
                continue;
            }
            if let Some(hook) = self.hook(entry.offset) {
                policy = self.underflow(hook);
                chains.push(self.chain(HOOKS.get(hook)?, Some(hook)));
            }
            let chain = chains.last_mut()?;
            match &mut chain.base {
                Some(base) if policy == Some(entry.offset) => {
                    base.accepts = i32_at(entry.target, EXTENSION)? != DROP;
                }
                _ => chain.rules.push(self.rule(&chain.name, entry, &names)?),
            }
        }
        // What follows the last chain is called ERROR and has no rules.
        chains.pop();
        Some(chains)
    }

    fn entries(&self) -> Option<Vec<Entry<'_>>> {
        let mut entries = Vec::new();
        let mut offset = 0;
        while offset < self.entries.len() {
            let rest = self.entries.get(offset..)?;
            let target = usize::from(u16_at(rest, self.layout.offsets)?);
            let next = usize::from(u16_at(rest, self.layout.offsets + 2)?);
            let bytes = rest.get(..next)?;
            if target < self.layout.size || next < target + EXTENSION {
                return None;
            }
            entries.push(Entry {
                offset,
                bytes,
                target: bytes.get(target..)?,
            });
            offset += next;
        }
        Some(entries)
    }

    /// The hook whose chain begins at an offset.
    fn hook(&self, offset: usize) -> Option<usize> {
        let valid = u32_at(self.info, NAME)?;
        (0..HOOKS.len()).find(|hook| {
            let begin =
                u32_at(self.info, NAME + 4 + 4 * hook).and_then(|at| usize::try_from(at).ok());
            valid >> hook & 1 != 0 && begin == Some(offset)
        })
    }

    fn underflow(&self, hook: usize) -> Option<usize> {
        usize::try_from(u32_at(self.info, NAME + 24 + 4 * hook)?).ok()
    }

    fn chain(&self, name: &str, hook: Option<usize>) -> Chain {
        let base = hook.map(|hook| Base {
            hook: match hook {
                1 => Hook::Input,
                2 => Hook::Forward,
                _ => Hook::Other,
            },
            priority: priority(&self.table.name, hook),
            accepts: true,
        });
        Chain {
            table: self.table.clone(),
            name: name.to_owned(),
            base,
            rules: Vec::new(),
        }
    }

    /// A chain that is jumped to ends with a RETURN that nobody wrote.
    fn close(&self, chains: &mut [Chain]) {
        if let Some(chain) = chains.last_mut().filter(|chain| chain.base.is_none()) {
            chain.rules.pop();
        }
    }

    fn rule(&self, chain: &str, entry: &Entry, names: &BTreeMap<usize, String>) -> Option<Rule> {
        let mut clauses = self.header(entry.bytes)?;
        let mut notes = Vec::new();
        let mut at = self.layout.size;
        let end = entry.bytes.len() - entry.target.len();
        while at < end {
            let extension = entry.bytes.get(at..end)?;
            let length = usize::from(u16_at(extension, 0)?);
            let info = extension.get(EXTENSION..length)?;
            let (match_, revision) = (
                self::name(extension.get(2..REVISION)?),
                u8_at(extension, REVISION)?,
            );
            let found = conditions(&match_, revision, info, self.layout.ipv6);
            clauses.extend(found.clauses);
            notes.extend(found.note);
            at += length;
        }
        let target = entry.target();
        let verdict = if target.is_empty() {
            self.standard(entry, names)?
        } else {
            notes.push(target.clone());
            verdict(&target)
        };
        let comment = None;
        let shown = Shown {
            clauses: &clauses,
            notes: &notes,
            verdict: Some(&verdict),
            comment,
        };
        Some(Rule {
            text: shown.iptables(chain),
            matches: clauses.into_iter().map(|clause| clause.one).collect(),
            verdict,
            handle: None,
            place: None,
        })
    }

    /// A verdict, or where to jump: to the next entry where a rule has no target.
    fn standard(&self, entry: &Entry, names: &BTreeMap<usize, String>) -> Option<Verdict> {
        let number = i32_at(entry.target, EXTENSION)?;
        let Ok(offset) = usize::try_from(number) else {
            return Some(match number {
                DROP => Verdict::Drop,
                ACCEPT => Verdict::Accept,
                RETURN => Verdict::Return,
                _ => Verdict::Undecided,
            });
        };
        if offset == entry.offset + entry.bytes.len() {
            return Some(Verdict::Continue);
        }
        let chain = names.get(&offset)?.clone();
        let goes = u8_at(entry.bytes, self.layout.flags)? & self.layout.goto != 0;
        Some(if goes {
            Verdict::Goto(chain)
        } else {
            Verdict::Jump(chain)
        })
    }

    /// struct ipt_ip and ip6t_ip6.
    fn header(&self, entry: &[u8]) -> Option<Vec<Clause>> {
        /// IPT_INV_….
        const IN: u8 = 1;
        const OUT: u8 = 2;
        const SOURCE: u8 = 8;
        const DESTINATION: u8 = 0x10;
        const FRAGMENT: u8 = 0x20;
        const PROTOCOL: u8 = 0x40;
        let inverted = u8_at(entry, self.layout.inverted)?;
        let mut clauses = Vec::new();
        let width = self.layout.masks / 2;
        let source = self.address(entry, 0, On::Source)?;
        clauses.extend(source.map(|on| Clause::of(on, inverted & SOURCE != 0)));
        let destination = self.address(entry, width, On::Destination)?;
        clauses.extend(destination.map(|on| Clause::of(on, inverted & DESTINATION != 0)));
        let interface = self.layout.interfaces;
        clauses.extend(
            interface_at(entry, interface)?
                .map(|name| Clause::of(On::InputInterface(vec![name]), inverted & IN != 0)),
        );
        clauses.extend(
            interface_at(entry, interface + 16)?
                .map(|name| Clause::of(On::OutputInterface(vec![name]), inverted & OUT != 0)),
        );
        let protocol = u8::try_from(u16_at(entry, self.layout.protocol)?).ok()?;
        if protocol != 0 {
            clauses.push(Clause::of(
                On::Protocol(vec![protocol]),
                inverted & PROTOCOL != 0,
            ));
        }
        // IPT_F_FRAG: the first packet of a connection is no fragment.
        if !self.layout.ipv6 && u8_at(entry, self.layout.flags)? & 1 != 0 {
            clauses.push(Clause::of(On::Never, inverted & FRAGMENT != 0));
        }
        Some(clauses)
    }

    /// The network asked for; none for any.
    fn address(
        &self,
        entry: &[u8],
        at: usize,
        on: fn(Vec<(IpAddr, u8)>) -> On,
    ) -> Option<Option<On>> {
        let address = address_at(entry, at, self.layout.ipv6)?;
        let mask = address_at(entry, self.layout.masks + at, self.layout.ipv6)?;
        Some(match prefix_length(mask) {
            Some(0) => None,
            Some(length) => Some(on(vec![(address, length)])),
            None => Some(On::Undecided(format!("an address with mask {mask}"))),
        })
    }
}

impl Entry<'_> {
    fn target(&self) -> String {
        name(self.target.get(2..REVISION).unwrap_or_default())
    }

    /// The chain that begins after this entry: its head is an ERROR target with its name.
    fn begins(&self) -> Option<String> {
        (self.target() == "ERROR").then(|| name(self.target.get(EXTENSION..).unwrap_or_default()))
    }
}

/// The interface with its mask 32 bytes on: a mask over the final NUL too is for the whole name, a
/// shorter one for a beginning; none for any.
fn interface_at(entry: &[u8], at: usize) -> Option<Option<String>> {
    let mask = entry.get(at + 32..at + 48)?;
    let length = mask.iter().take_while(|byte| **byte == u8::MAX).count();
    let bytes = entry.get(at..at + 16)?;
    let begin = bytes.get(..length)?;
    Some(
        match (length, begin.contains(&0) || length == bytes.len()) {
            (0, _) => None,
            (_, true) => Some(name(begin)),
            (_, false) => Some(format!("{}*", name(begin))),
        },
    )
}

/// `enum nf_ip_hook_priorities`; nat has another one for what leaves.
fn priority(table: &str, hook: usize) -> i32 {
    match (table, hook) {
        ("raw", _) => -300,
        ("mangle", _) => -150,
        ("nat", 0 | 3) => -100,
        ("nat", _) => 100,
        ("security", _) => 50,
        _ => 0,
    }
}
