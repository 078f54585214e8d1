//! nf_tables as the kernel dumps it: tables, chains, rules, sets and their elements, made into a
//! [`Ruleset`]. Every rule is a small program (include/uapi/linux/netfilter/nf_tables.h has its
//! instructions), so it is run here on what is not known yet, and the conditions it asks are kept.

mod field;
mod load;
mod lookup;
mod rule;
pub(in crate::firewall) use field::{FRAMES, names_of};
mod set;

use std::collections::HashMap;

use super::netlink::{Attributes, Message, messages};
use super::{Base, Chain, Engine, Family, Hook, Ruleset, Table, Verdict};
use crate::error::{Result, trouble};

/// NFNL_SUBSYS_NFTABLES (include/uapi/linux/netfilter/nfnetlink.h), where a message's type has it.
pub const SUBSYSTEM: u16 = 10 << 8;
/// NFT_MSG_….
const NEW_TABLE: u16 = SUBSYSTEM;
const NEW_CHAIN: u16 = SUBSYSTEM | 3;
const NEW_RULE: u16 = SUBSYSTEM | 6;
const NEW_SET: u16 = SUBSYSTEM | 9;
const NEW_ELEMENTS: u16 = SUBSYSTEM | 12;
const NEW_GENERATION: u16 = SUBSYSTEM | 15;
/// NFT_TABLE_F_DORMANT: none of its chains is called.
const DORMANT: u32 = 1;
/// NFPROTO_INET; the other two that can see a connection's packets are field::IPV4 and IPV6.
const INET: u8 = 1;

/// The ruleset of a stream of messages, which holds what the kernel answered to requests for its
/// tables, chains, sets, sets' elements and rules. `interface` tells an interface's name by its index.
///
/// # Errors
/// Where a message has not got what every kernel puts there.
pub fn decode(stream: &[u8], interface: &dyn Fn(u32) -> Option<String>) -> Result<Ruleset> {
    let unreadable =
        |message: &Message| trouble!("nf_tables: message {:#x} of it can't be read", message.kind);
    let mut decoder = Decoder {
        interface,
        sets: set::Sets::default(),
        chains: Vec::new(),
        indexes: HashMap::new(),
        dormant: Vec::new(),
    };
    let ours = || messages(stream).filter(|message| family(message).is_some());
    for message in ours() {
        decoder.add(&message).ok_or_else(|| unreadable(&message))?;
    }
    for message in ours().filter(|message| message.kind == NEW_RULE) {
        decoder
            .add_rule(&message)
            .ok_or_else(|| unreadable(&message))?;
    }
    Ok(decoder.finish())
}

/// The number of the ruleset, which grows with every change, as a NFT_MSG_NEWGEN tells it.
#[must_use]
pub fn generation(stream: &[u8]) -> Option<u32> {
    let mut all = messages(stream).filter(|message| message.kind == NEW_GENERATION);
    all.find_map(|message| message.attributes().number(1))
}

/// The process that made the ruleset what it is, by its number and name, as a NFT_MSG_NEWGEN tells it
/// (include/uapi/linux/netfilter/nf_tables.h, `NFTA_GEN_PROC_PID`, `NFTA_GEN_PROC_NAME`); old
/// kernels don't.
#[must_use]
pub fn changed_by(stream: &[u8]) -> Option<(u32, &str)> {
    let mut all = messages(stream).filter(|message| message.kind == NEW_GENERATION);
    let attributes = all.next()?.attributes();
    Some((attributes.number(2)?, attributes.string(3)?))
}

/// Family, table and name of every set in a stream whose elements [`decode`] needs.
pub fn sets(stream: &[u8]) -> impl Iterator<Item = (u8, &str, &str)> {
    let sets = messages(stream).filter(|message| message.kind == NEW_SET);
    sets.filter_map(|message| {
        family(&message)?;
        let attributes = message.attributes();
        Some((
            message.family()?,
            attributes.string(1)?,
            attributes.string(2)?,
        ))
    })
}

/// The family of an nf_tables message; none for one that is walked by no packet of a connection.
fn family(message: &Message) -> Option<Family> {
    if message.kind & 0xff00 != SUBSYSTEM {
        return None;
    }
    match message.family()? {
        INET => Some(Family::Inet),
        field::IPV4 => Some(Family::Ip),
        field::IPV6 => Some(Family::Ip6),
        _ => None,
    }
}

struct Decoder<'a> {
    interface: &'a dyn Fn(u32) -> Option<String>,
    sets: set::Sets<'a>,
    chains: Vec<Chain>,
    /// Family, table and name to place in `chains`.
    indexes: HashMap<(u8, &'a str, &'a str), usize>,
    /// Tables whose chains are not called.
    dormant: Vec<(Family, String)>,
}

impl<'a> Decoder<'a> {
    fn add(&mut self, message: &Message<'a>) -> Option<()> {
        match message.kind {
            NEW_TABLE => self.add_table(message),
            NEW_CHAIN => self.add_chain(message),
            NEW_SET => self.sets.add(message),
            NEW_ELEMENTS => self.sets.add_elements(message),
            _ => Some(()),
        }
    }

    fn add_table(&mut self, message: &Message) -> Option<()> {
        let attributes = message.attributes();
        let name = attributes.string(1)?;
        if attributes
            .number(2)
            .is_some_and(|flags| flags & DORMANT != 0)
        {
            self.dormant.push((family(message)?, name.to_owned()));
        }
        Some(())
    }

    fn add_chain(&mut self, message: &Message<'a>) -> Option<()> {
        let attributes = message.attributes();
        let (table, name) = (attributes.string(1)?, attributes.string(3)?);
        self.indexes
            .insert((message.family()?, table, name), self.chains.len());
        self.chains.push(Chain {
            table: Table {
                engine: Engine::Nft,
                family: family(message)?,
                name: table.to_owned(),
            },
            name: name.to_owned(),
            base: base(attributes),
            rules: Vec::new(),
        });
        Some(())
    }

    fn add_rule(&mut self, message: &Message<'a>) -> Option<()> {
        let attributes = message.attributes();
        let number = message.family()?;
        let (table, name) = (attributes.string(1)?, attributes.string(2)?);
        let index = *self.indexes.get(&(number, table, name))?;
        let program = rule::Program {
            family: family(message)?,
            table: (number, table),
            chain: name,
            handle: attributes.long(3),
            comment: comment(attributes.get(7).unwrap_or_default()),
            sets: &self.sets,
            interface: self.interface,
        };
        let rules = program.run(attributes.nested(4));
        self.chains.get_mut(index)?.rules.extend(rules);
        Some(())
    }

    fn finish(mut self) -> Ruleset {
        let dormant = self.dormant;
        let sleeps = |table: &Table| {
            dormant
                .iter()
                .any(|(family, name)| *family == table.family && *name == table.name)
        };
        self.chains.retain(|chain| !sleeps(&chain.table));
        Ruleset {
            chains: self.chains,
        }
    }
}

/// Where a chain is called (NFTA_CHAIN_HOOK, NFTA_CHAIN_POLICY); the hooks' numbers are those of
/// `enum nf_inet_hooks`.
fn base(attributes: Attributes) -> Option<Base> {
    let hook = attributes.get(4).map(Attributes)?;
    Some(Base {
        hook: match hook.number(1)? {
            1 => Hook::Input,
            2 => Hook::Forward,
            _ => Hook::Other,
        },
        priority: hook.number(2)?.cast_signed(),
        // NF_DROP is 0. Kernels tell the policy of every base chain.
        accepts: attributes.number(5) != Some(0),
    })
}

/// The comment among what nft keeps with a rule: a type, a length and that many bytes, again and
/// again (libnftnl's udata.h; NFTNL_UDATA_RULE_COMMENT is 0).
fn comment(userdata: &[u8]) -> Option<String> {
    let mut rest = userdata;
    while let [kind, length, more @ ..] = rest {
        let (value, after) = more.split_at_checked(usize::from(*length))?;
        if *kind == 0 {
            return Some(super::bytes::name(value));
        }
        rest = after;
    }
    None
}

/// A verdict (NFTA_DATA_VERDICT): `enum nft_verdicts`, or NF_DROP and its kin below 256.
fn verdict(attributes: Attributes) -> Verdict {
    let chain = attributes.string(2).map(str::to_owned);
    match (attributes.number(1).map(u32::cast_signed), chain) {
        (Some(0), _) => Verdict::Drop,
        (Some(1), _) => Verdict::Accept,
        (Some(-1 | -2), _) => Verdict::Continue,
        (Some(-3), Some(chain)) => Verdict::Jump(chain),
        (Some(-4), Some(chain)) => Verdict::Goto(chain),
        (Some(-5), _) => Verdict::Return,
        _ => Verdict::Undecided,
    }
}
