//! The arguments of one iptables rule (iptables(8), iptables-extensions(8)) as conditions and a
//! verdict. What is not known is kept as a condition that cannot be decided.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use super::Services;
use crate::firewall::{Match, On, Place, Rule, Verdict};

/// Matches whose options are read below, or which ask nothing.
const KNOWN: [&str; 7] = [
    "tcp",
    "udp",
    "conntrack",
    "state",
    "multiport",
    "comment",
    "mark",
];
/// Matches on headers and protocols that the first packet of a TCP or UDP connection does not have.
const ABSENT: [&str; 12] = [
    "rt", "srh", "frag", "hbh", "dst", "mh", "ah", "esp", "icmp", "icmp6", "icmpv6", "sctp",
];
/// Targets after which the next rule is looked at.
const PASSING: [&str; 13] = [
    "LOG",
    "NFLOG",
    "ULOG",
    "AUDIT",
    "MARK",
    "CONNMARK",
    "SECMARK",
    "CONNSECMARK",
    "CLASSIFY",
    "TCPMSS",
    "TRACE",
    "CT",
    "SET",
];

/// Reads the arguments after `-A CHAIN`.
#[must_use]
pub fn parse(arguments: &[String], text: &str, place: Place, services: Services) -> Rule {
    let mut reader = Reader {
        arguments,
        services,
        negated: false,
        matches: Vec::new(),
        verdict: Verdict::Continue,
        foreign: false,
    };
    while let Some(option) = reader.next() {
        reader.option(&option);
    }
    Rule {
        matches: reader.matches,
        verdict: reader.verdict,
        text: text.to_owned(),
        handle: None,
        place: Some(place),
    }
}

struct Reader<'a> {
    arguments: &'a [String],
    services: Services<'a>,
    /// A `!` stands before what comes next.
    negated: bool,
    matches: Vec<Match>,
    verdict: Verdict,
    /// Options that follow belong to a match we do not know, noted already, or to a target.
    foreign: bool,
}

impl Reader<'_> {
    fn next(&mut self) -> Option<String> {
        let (first, rest) = self.arguments.split_first()?;
        self.arguments = rest;
        if first == "!" {
            self.negated = !self.negated;
            return self.next();
        }
        Some(first.clone())
    }

    /// The next word, as an option's value; before 1.4.3 a `!` could stand there.
    fn value(&mut self) -> String {
        self.next().unwrap_or_default()
    }

    fn option(&mut self, option: &str) {
        match option {
            "-p" | "--protocol" | "--proto" => {
                let on = protocol(&self.value());
                on.into_iter().for_each(|on| self.add(on));
            }
            "-s" | "--source" | "--src" => self.networks(On::Source),
            "-d" | "--destination" | "--dst" => self.networks(On::Destination),
            "-i" | "--in-interface" => self.interface(On::InputInterface),
            "-o" | "--out-interface" => self.interface(On::OutputInterface),
            "-f" | "--fragment" => self.add(On::Never),
            "-4" | "--ipv4" => self.add(On::Ipv6(false)),
            "-6" | "--ipv6" => self.add(On::Ipv6(true)),
            "--dport" | "--dports" | "--destination-port" | "--destination-ports" => {
                self.ports(On::DestinationPort);
            }
            "--sport" | "--sports" | "--source-port" | "--source-ports" => {
                self.ports(On::SourcePort);
            }
            "--ctstate" | "--state" => {
                let states = self.value().to_lowercase();
                self.add(On::Connection(
                    states.split(',').map(str::to_owned).collect(),
                ));
            }
            "--syn" => self.add(On::TcpFlags { set: 2, mask: 0x17 }),
            "--tcp-flags" => {
                let (mask, set) = (flags(&self.value()), flags(&self.value()));
                self.add(On::TcpFlags { set, mask });
            }
            "--mark" => self.mark(),
            "--dst-type" => {
                let types = self.value().to_lowercase();
                self.add(On::DestinationType(
                    types.split(',').map(str::to_owned).collect(),
                ));
            }
            "--match-set" => self.set(),
            "--comment" => drop(self.value()),
            "-m" | "--match" => self.module(),
            "-j" | "--jump" => self.target(Verdict::Jump),
            "-g" | "--goto" => self.target(Verdict::Goto),
            unknown => self.unknown(unknown),
        }
    }

    fn add(&mut self, on: On) {
        let negated = std::mem::take(&mut self.negated);
        self.matches.push(Match { negated, on });
    }

    fn networks(&mut self, on: fn(Vec<(IpAddr, u8)>) -> On) {
        let value = self.value();
        match value.split(',').map(network).collect() {
            Some(networks) => self.add(on(networks)),
            None => self.add(On::Undecided(format!("the address of {value}"))),
        }
    }

    fn interface(&mut self, on: fn(Vec<String>) -> On) {
        let name = self.value();
        let pattern = match name.strip_suffix('+') {
            Some(begin) => format!("{begin}*"),
            None => name,
        };
        self.add(on(vec![pattern]));
    }

    fn ports(&mut self, on: fn(Vec<RangeInclusive<u16>>) -> On) {
        let value = self.value();
        let one = |text: &str| -> Option<RangeInclusive<u16>> {
            let port = |text: &str| text.parse().ok().or_else(|| (self.services)(text));
            match text.split_once(':') {
                None => port(text).map(|port| port..=port),
                Some((from, to)) => {
                    let from = if from.is_empty() { Some(0) } else { port(from) };
                    let to = if to.is_empty() {
                        Some(u16::MAX)
                    } else {
                        port(to)
                    };
                    Some(from?..=to?)
                }
            }
        };
        match value.split(',').map(one).collect() {
            Some(ranges) => self.add(on(ranges)),
            None => self.add(On::Undecided(format!("the number of port {value}"))),
        }
    }

    fn mark(&mut self) {
        let value = self.value();
        let number = |text: &str| match text.strip_prefix("0x") {
            Some(hex) => u32::from_str_radix(hex, 16).ok(),
            None => text.parse().ok(),
        };
        let (value, mask) = value.split_once('/').unwrap_or((&value, "0xffffffff"));
        match (number(value), number(mask)) {
            (Some(value), Some(mask)) => self.add(On::Mark { value, mask }),
            _ => self.add(On::Undecided("a mark".into())),
        }
    }

    /// A set of source addresses names addresses, as `-s` does.
    fn set(&mut self) {
        let (name, directions) = (self.value(), self.value());
        match directions.split(',').next() {
            Some("src") => self.add(On::Source(Vec::new())),
            _ => self.add(On::Undecided(format!("ipset {name}"))),
        }
    }

    fn module(&mut self) {
        let name = self.value();
        // What these ask stands in options read above.
        let asks_nothing = KNOWN.contains(&&*name) || name == "set" || name == "addrtype";
        self.foreign = !asks_nothing;
        if ABSENT.contains(&&*name) {
            self.add(On::Never);
        } else if self.foreign {
            self.add(On::Undecided(format!("\"-m {name}\"")));
        }
    }

    fn target(&mut self, to: fn(String) -> Verdict) {
        let name = self.value();
        self.foreign = true;
        self.verdict = match name.as_str() {
            "ACCEPT" => Verdict::Accept,
            "DROP" | "REJECT" | "TARPIT" => Verdict::Drop,
            "RETURN" => Verdict::Return,
            "QUEUE" | "NFQUEUE" => Verdict::Undecided,
            passing if PASSING.contains(&passing) => Verdict::Continue,
            _ => to(name),
        };
    }

    /// An option with its values.
    fn unknown(&mut self, option: &str) {
        let is_value = |word: &String| !word.starts_with('-') && word != "!";
        let values = self
            .arguments
            .iter()
            .take_while(|word| is_value(word))
            .count();
        self.arguments = self.arguments.get(values..).unwrap_or_default();
        if self.foreign {
            self.negated = false;
        } else {
            self.add(On::Undecided(format!("\"{option}\"")));
        }
    }
}

/// A protocol; none for all.
fn protocol(name: &str) -> Option<On> {
    let number = match name.to_lowercase().as_str() {
        "all" | "0" => return None,
        "icmp" => 1,
        "igmp" => 2,
        "tcp" => 6,
        "udp" => 17,
        "dccp" => 33,
        "gre" => 47,
        "esp" => 50,
        "ah" => 51,
        "ipv6-icmp" | "icmpv6" => 58,
        "vrrp" => 112,
        "sctp" => 132,
        "udplite" => 136,
        other => match other.parse() {
            Ok(number) => number,
            // Any other is neither TCP nor UDP.
            Err(_) => return Some(On::Never),
        },
    };
    Some(On::Protocol(vec![number]))
}

/// `10.0.0.0/8`, `10.0.0.0/255.0.0.0` or one address.
#[must_use]
pub fn network(text: &str) -> Option<(IpAddr, u8)> {
    let (address, length) = text.split_once('/').unwrap_or((text, ""));
    let address: IpAddr = address.parse().ok()?;
    let all = if address.is_ipv4() { 32 } else { 128 };
    let length = match (length, length.parse::<IpAddr>()) {
        ("", _) => all,
        (_, Ok(IpAddr::V4(mask))) => u8::try_from(mask.to_bits().leading_ones()).ok()?,
        (_, Ok(IpAddr::V6(mask))) => u8::try_from(mask.to_bits().leading_ones()).ok()?,
        (number, Err(_)) => number.parse().ok().filter(|length| *length <= all)?,
    };
    Some((address, length))
}

fn flags(names: &str) -> u8 {
    let flag = |name: &str| match name {
        "FIN" => 1,
        "SYN" => 2,
        "RST" => 4,
        "PSH" => 8,
        "ACK" => 16,
        "URG" => 32,
        "ALL" => 0x3f,
        _ => 0,
    };
    names.split(',').map(flag).fold(0, |all, flag| all | flag)
}
