//! A rule in the words of the tool it was made with, near enough to be found in that tool's list.

use std::fmt::Display;
use std::net::IpAddr;
use std::ops::RangeInclusive;

use super::{Match, On, Verdict};

/// How many members of a list are written out.
const SHOWN: usize = 16;

/// A condition, and how it is written where that is more than its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Clause {
    pub one: Match,
    /// As `ip saddr @name`.
    pub shown: Option<String>,
}

impl Clause {
    pub fn of(on: On, negated: bool) -> Self {
        Self {
            one: Match { negated, on },
            shown: None,
        }
    }
}

/// What a rule is written from.
#[derive(Debug)]
pub(super) struct Shown<'a> {
    pub clauses: &'a [Clause],
    /// What it does besides its verdict; for a verdict that has another name in the tool, that name
    /// last.
    pub notes: &'a [String],
    pub verdict: Option<&'a Verdict>,
    pub comment: Option<&'a str>,
}

impl Shown<'_> {
    /// `tcp dport 22 accept`
    pub fn nft(&self) -> String {
        let mut words: Vec<String> = Vec::new();
        for clause in self
            .clauses
            .iter()
            .filter(|clause| !self.is_implied(clause))
        {
            let not = if clause.one.negated { "!= " } else { "" };
            words.push(
                match clause
                    .shown
                    .as_deref()
                    .map(|shown| (shown, shown.rsplit_once(' ')))
                {
                    Some((_, Some((field, set)))) => format!("{field} {not}{set}"),
                    Some((set, None)) => format!("{not}{set}"),
                    None => self.nft_words(&clause.one.on, not),
                },
            );
        }
        words.extend(self.notes.iter().cloned());
        words.extend(self.verdict.and_then(|verdict| match verdict {
            Verdict::Accept if !self.ends_in_note(&["dnat", "snat", "masquerade", "redirect"]) => {
                Some("accept".into())
            }
            Verdict::Drop if !self.ends_in_note(&["reject", "REJECT"]) => Some("drop".into()),
            Verdict::Return => Some("return".into()),
            Verdict::Jump(chain) => Some(format!("jump {chain}")),
            Verdict::Goto(chain) => Some(format!("goto {chain}")),
            Verdict::Accept | Verdict::Drop | Verdict::Continue | Verdict::Undecided => None,
        }));
        words.extend(self.comment.map(|comment| format!("comment \"{comment}\"")));
        words.join(" ")
    }

    /// `-A INPUT -p tcp --dport 22 -j ACCEPT`
    pub fn iptables(&self, chain: &str) -> String {
        let mut words = vec![format!("-A {chain}")];
        for clause in self.clauses {
            let not = if clause.one.negated { "! " } else { "" };
            let own = clause
                .shown
                .clone()
                .filter(|shown| shown.starts_with("-m "));
            let shown = own.or_else(|| iptables_words(&clause.one.on));
            words.extend(shown.map(|words| format!("{not}{words}")));
        }
        let mut notes = self
            .notes
            .iter()
            .filter(|note| *note != "counter")
            .cloned()
            .peekable();
        while let Some(note) = notes.next() {
            let is_target = notes.peek().is_none() && !note.starts_with('-');
            words.push(if is_target {
                format!("-j {}", target(&note))
            } else {
                note
            });
        }
        words.extend(self.verdict.and_then(|verdict| match verdict {
            Verdict::Accept => Some("-j ACCEPT".into()),
            Verdict::Drop if !self.ends_in_note(&["reject", "REJECT"]) => Some("-j DROP".into()),
            Verdict::Return => Some("-j RETURN".into()),
            Verdict::Jump(chain) => Some(format!("-j {chain}")),
            Verdict::Goto(chain) => Some(format!("-g {chain}")),
            Verdict::Drop | Verdict::Continue | Verdict::Undecided => None,
        }));
        words.join(" ")
    }

    fn ends_in_note(&self, notes: &[&str]) -> bool {
        self.notes
            .last()
            .is_some_and(|note| notes.contains(&note.as_str()))
    }

    /// Whether a condition goes without saying because of another.
    fn is_implied(&self, clause: &Clause) -> bool {
        let any = |is: fn(&On) -> bool| self.clauses.iter().any(|other| is(&other.one.on));
        match &clause.one.on {
            On::Ipv6(_) => any(|on| matches!(on, On::Source(_) | On::Destination(_))),
            On::Protocol(all) if !clause.one.negated && all.len() == 1 => any(|on| {
                matches!(
                    on,
                    On::DestinationPort(_) | On::SourcePort(_) | On::TcpFlags { .. }
                )
            }),
            _ => false,
        }
    }

    /// The protocol whose ports the rule asks for.
    fn protocol(&self) -> String {
        let mut ons = self.clauses.iter().filter(|clause| !clause.one.negated);
        let found = ons.find_map(|clause| match &clause.one.on {
            On::Protocol(all) => all.first().filter(|_| all.len() == 1),
            _ => None,
        });
        found.map_or_else(|| "th".into(), |number| protocol(*number))
    }

    fn nft_words(&self, on: &On, not: &str) -> String {
        let quoted = |all: &[String]| braced(all.iter().map(|name| format!("\"{name}\"")));
        let ports = |all: &[RangeInclusive<u16>]| braced(all.iter().map(|one| range(one, '-')));
        let version = |all: &[(IpAddr, u8)]| match all.first() {
            Some((IpAddr::V6(_), _)) => "ip6",
            _ => "ip",
        };
        let (field, value) = match on {
            On::Ipv6(true) => ("meta nfproto".into(), "ipv6".into()),
            On::Ipv6(false) => ("meta nfproto".into(), "ipv4".into()),
            On::Protocol(all) => {
                let all = braced(all.iter().map(|one| protocol(*one)));
                ("meta l4proto".into(), all)
            }
            On::DestinationPort(all) => (format!("{} dport", self.protocol()), ports(all)),
            On::SourcePort(all) => (format!("{} sport", self.protocol()), ports(all)),
            On::Source(all) => (
                format!("{} saddr", version(all)),
                braced(all.iter().map(network)),
            ),
            On::Destination(all) => (
                format!("{} daddr", version(all)),
                braced(all.iter().map(network)),
            ),
            On::DestinationType(all) => ("fib daddr type".into(), braced(all.iter())),
            On::InputInterface(all) => ("iifname".into(), quoted(all)),
            On::OutputInterface(all) => ("oifname".into(), quoted(all)),
            On::Connection(all) => ("ct state".into(), all.join(",")),
            On::Mark {
                value,
                mask: u32::MAX,
            } => ("meta mark".into(), format!("{value:#x}")),
            On::Mark { value, mask } => (format!("meta mark & {mask:#x}"), format!("{value:#x}")),
            On::TcpFlags { set, mask } => (
                "tcp flags".into(),
                format!("{} / {}", flags(*set), flags(*mask)),
            ),
            On::Never => ("never".into(), String::new()),
            On::Undecided(words) => (words.clone(), String::new()),
        };
        format!("{field} {not}{value}").trim_end().to_owned()
    }
}

/// nft's statement as the target that iptables makes it of.
fn target(note: &str) -> String {
    match note.split_once(" prefix ") {
        Some((statement, prefix)) => {
            format!("{} --log-prefix {prefix}", statement.to_uppercase())
        }
        None => note.to_uppercase(),
    }
}

fn iptables_words(on: &On) -> Option<String> {
    let ports = |all: &[RangeInclusive<u16>], one: &str| match all {
        [range_] => format!("--{one} {}", range(range_, ':')),
        all => format!(
            "-m multiport --{one}s {}",
            listed(all.iter().map(|r| range(r, ':')))
        ),
    };
    Some(match on {
        On::Ipv6(_) => return None,
        On::Protocol(all) => format!("-p {}", listed(all.iter().map(|one| protocol(*one)))),
        On::DestinationPort(all) => ports(all, "dport"),
        On::SourcePort(all) => ports(all, "sport"),
        On::Source(all) => format!(
            "-s {}",
            listed(all.iter().map(|(net, len)| format!("{net}/{len}")))
        ),
        On::Destination(all) => format!(
            "-d {}",
            listed(all.iter().map(|(net, len)| format!("{net}/{len}")))
        ),
        On::DestinationType(all) => {
            format!("-m addrtype --dst-type {}", listed(all).to_uppercase())
        }
        On::InputInterface(all) => format!("-i {}", listed(all).replace('*', "+")),
        On::OutputInterface(all) => format!("-o {}", listed(all).replace('*', "+")),
        On::Connection(all) => format!("-m conntrack --ctstate {}", listed(all).to_uppercase()),
        On::Mark {
            value,
            mask: u32::MAX,
        } => format!("-m mark --mark {value:#x}"),
        On::Mark { value, mask } => format!("-m mark --mark {value:#x}/{mask:#x}"),
        On::TcpFlags { set, mask } => {
            format!(
                "--tcp-flags {} {}",
                flags(*mask).to_uppercase(),
                flags(*set).to_uppercase()
            )
        }
        On::Never => "-f".into(),
        On::Undecided(words) => words.clone(),
    })
}

/// Values with commas between.
fn listed<T: Display>(all: impl IntoIterator<Item = T>) -> String {
    let mut words: Vec<String> = Vec::new();
    for (number, one) in all.into_iter().enumerate() {
        if number == SHOWN {
            words.push("…".into());
            break;
        }
        words.push(one.to_string());
    }
    words.join(",")
}

/// As nft writes one value, or a set.
fn braced<T: Display>(all: impl ExactSizeIterator<Item = T>) -> String {
    if all.len() == 1 {
        return listed(all);
    }
    format!("{{ {} }}", listed(all).replace(',', ", "))
}

fn range(range: &RangeInclusive<u16>, between: char) -> String {
    if range.start() == range.end() {
        range.start().to_string()
    } else {
        format!("{}{between}{}", range.start(), range.end())
    }
}

fn network((address, length): &(IpAddr, u8)) -> String {
    let whole = if address.is_ipv4() { 32 } else { 128 };
    if *length == whole {
        address.to_string()
    } else {
        format!("{address}/{length}")
    }
}

/// IANA's names of those that are seen in rules.
fn protocol(number: u8) -> String {
    let name = match number {
        1 => "icmp",
        2 => "igmp",
        4 => "ipencap",
        6 => "tcp",
        17 => "udp",
        47 => "gre",
        50 => "esp",
        51 => "ah",
        58 => "ipv6-icmp",
        112 => "vrrp",
        132 => "sctp",
        number => return number.to_string(),
    };
    name.into()
}

fn flags(bits: u8) -> String {
    let names = ["fin", "syn", "rst", "psh", "ack", "urg"];
    let set = names
        .iter()
        .enumerate()
        .filter(|(bit, _)| bits >> bit & 1 != 0);
    let words: Vec<&str> = set.map(|(_, name)| *name).collect();
    if words.is_empty() {
        "none".into()
    } else {
        words.join(",")
    }
}
