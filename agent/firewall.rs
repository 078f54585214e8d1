//! A packet filter's rules as the kernel walks them, wherever they were read from: the running
//! kernel (nf_tables, legacy iptables), a saved file, a firewall's own configuration. A port is open
//! where a packet walks through, not where a list shows an ACCEPT.

mod bytes;
pub mod netlink;
pub mod nft;
pub mod packet;
pub mod save;
pub mod script;
mod text;
pub mod walk;
pub mod xt;

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// All chains of a host, of every table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ruleset {
    /// In the order they were read; base chains of one hook are walked by priority.
    pub chains: Vec<Chain>,
}

/// What evaluates the rules of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Engine {
    /// nf_tables, iptables-nft's tables included.
    Nft,
    /// The legacy iptables of ip_tables.ko and ip6_tables.ko.
    Legacy,
}

/// The address families a table sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// IPv4.
    Ip,
    /// IPv6.
    Ip6,
    /// Both.
    Inet,
}

/// A table's name among all tables.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Table {
    /// Who evaluates it.
    pub engine: Engine,
    /// What it sees.
    pub family: Family,
    /// Its name, as `filter`.
    pub name: String,
}

/// A list of rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chain {
    /// Where it is.
    pub table: Table,
    /// Its name, as `INPUT`.
    pub name: String,
    /// Where packets enter it; none for a chain that is only jumped to.
    pub base: Option<Base>,
    /// In order.
    pub rules: Vec<Rule>,
}

/// How the kernel calls a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base {
    /// Where in a packet's way.
    pub hook: Hook,
    /// Lower is earlier; iptables' filter table has 0.
    pub priority: i32,
    /// Whether a packet that comes to the chain's end goes on.
    pub accepts: bool,
}

/// The places of a packet's way that a base chain can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hook {
    /// For this machine.
    Input,
    /// Through this machine.
    Forward,
    /// Any other: not walked.
    Other,
}

/// Matches, all of which a packet must meet, and what then happens to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// All must hold.
    pub matches: Vec<Match>,
    /// What happens then.
    pub verdict: Verdict,
    /// The rule as its own tool would show it, or near it, for messages.
    pub text: String,
    /// nf_tables' number of it, where it is there.
    pub handle: Option<u64>,
    /// The file it was read from, and its line there, from 1.
    pub place: Option<Place>,
}

/// A file and a line in it, from 1.
pub type Place = (PathBuf, usize);

/// What a rule does with a packet that meets it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Out of this base chain, on to the next of the hook.
    Accept,
    /// Gone, silently or with an answer.
    Drop,
    /// Back to the chain that jumped here; to the policy in a base chain.
    Return,
    /// Into a chain of the same table, and back to the next rule.
    Jump(String),
    /// Into a chain of the same table, and back to where this one was jumped from.
    Goto(String),
    /// On to the next rule: a counter, a log, a mark that no later rule of the walk asks.
    Continue,
    /// Something that can't be followed (a queue to a program, an unknown target).
    Undecided,
}

/// One condition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Match {
    /// Whether the packet must not meet it.
    pub negated: bool,
    /// The condition itself.
    pub on: On,
}

/// What can be asked of a packet. Lists hold where any of their values does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum On {
    /// Its family is IPv6, else IPv4.
    Ipv6(bool),
    /// Its protocol's number (IANA).
    Protocol(Vec<u8>),
    /// Its destination port; implies nothing about the protocol.
    DestinationPort(Vec<RangeInclusive<u16>>),
    /// Its source port.
    SourcePort(Vec<RangeInclusive<u16>>),
    /// Its source address, as network and prefix length.
    Source(Vec<(IpAddr, u8)>),
    /// Its destination address.
    Destination(Vec<(IpAddr, u8)>),
    /// What its destination address is to this machine: `local`, `unicast`, `broadcast`, `multicast`,
    /// `anycast` (rtnetlink(7), route types).
    DestinationType(Vec<String>),
    /// The interface it came by; a final `+` (iptables) or `*` (nft) stands for any rest: written
    /// here as `*`.
    InputInterface(Vec<String>),
    /// The interface it leaves by.
    OutputInterface(Vec<String>),
    /// Connection tracking's state: `new`, `established`, `related`, `invalid`, `untracked`, or
    /// `dnat` and `snat` of its status.
    Connection(Vec<String>),
    /// The bits of its mark.
    Mark {
        /// What is wanted of the masked bits.
        value: u32,
        /// Which bits.
        mask: u32,
    },
    /// TCP flags: of the masked ones just these are set (FIN 1, SYN 2, RST 4, PSH 8, ACK 16, URG 32).
    TcpFlags {
        /// Those set.
        set: u8,
        /// Those looked at.
        mask: u8,
    },
    /// What is known to hold never: an empty set.
    Never,
    /// What we can't tell of a packet (a limit, an ipset, a time, an unknown match), in words.
    Undecided(String),
}

#[cfg(test)]
mod captured_test;
