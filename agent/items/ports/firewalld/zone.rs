//! A zone's or a policy's XML as rules in the order firewalld makes of them, whatever order they
//! are written in.

use std::path::{Path, PathBuf};

use roxmltree::{Document, Node};

use super::super::opening::{Opening, Protocol, range};
use super::super::sequence::Entry;
use crate::error::{Result, trouble};
use crate::finding::Origin;
use crate::firewall::Family;

/// A file of `zones/` or `policies/` (firewalld.zone(5), firewalld.policy(5)).
#[derive(Debug, Clone)]
pub struct Zone {
    /// The file it was read from.
    pub path: PathBuf,
    /// Its text.
    pub text: String,
    /// `<interface name=…/>` of a zone.
    pub interfaces: Vec<String>,
    /// `<source address=…/>` of a zone; its ipsets and MAC addresses too.
    pub sources: Vec<String>,
    /// `<ingress-zone name=…/>` of a policy.
    pub ingress: Vec<String>,
    /// `<egress-zone name=…/>` of a policy.
    pub egress: Vec<String>,
    /// A policy's; those below zero are asked before the zone, others after it.
    pub priority: i32,
    rules: Vec<(Place, Entry)>,
    /// What becomes of the rest; none for a policy that leaves it to who is asked next.
    target: Option<Entry>,
}

/// Where firewalld puts a rule: the chains of a zone are asked as `pre`, `deny`, `allow`, `post`
/// (firewalld's nftables.py and ipXtables.py, `build_policy_chain_rules`), rich rules with a
/// priority in its order (firewalld.richlanguage(5)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Pre(i32),
    Deny,
    Allow,
    Post(i32),
}

/// A service's file (firewalld.service(5)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Its ports and protocols.
    pub passes: Vec<What>,
    /// `<include service=…/>`, by name.
    pub includes: Vec<String>,
}

/// What an element of a zone, rule or service lets pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// `<port>`: these ports of this protocol.
    Port(Protocol, std::ops::RangeInclusive<u16>),
    /// `<protocol>`: all of it.
    Protocol(Protocol),
    /// A rule without an element.
    All,
    /// `<service name=…>`, to be looked up.
    Service(String),
}

impl Zone {
    /// Reads a file's text. What a service is, `services` knows.
    ///
    /// # Errors
    /// Where the text is no XML or `services` fails.
    pub fn parse(
        path: &Path,
        text: &str,
        services: &dyn Fn(&str) -> Result<Vec<What>>,
    ) -> Result<Self> {
        let document = document(path, text)?;
        let root = document.root_element();
        let named = |tag: &str, attribute: &str| -> Vec<String> {
            elements(root, tag)
                .filter_map(|node| node.attribute(attribute))
                .map(str::to_owned)
                .collect()
        };
        let mut sources = named("source", "address");
        sources.extend(named("source", "mac"));
        let mut zone = Self {
            path: path.to_owned(),
            text: text.to_owned(),
            interfaces: named("interface", "name"),
            sources,
            ingress: named("ingress-zone", "name"),
            egress: named("egress-zone", "name"),
            priority: number(root, -1),
            rules: Vec::new(),
            target: target(root).map(|passes| Entry::all(passes, origin(path, root))),
        };
        for node in root.children().filter(Node::is_element) {
            zone.add(node, services)?;
        }
        zone.rules.sort_by_key(|(place, _)| *place);
        Ok(zone)
    }

    /// The rules in the order they are asked, those of policies before and after the zone's own put
    /// where firewalld puts them: before all of it, and before its target.
    #[must_use]
    pub fn sequence(&self, policies: &[&Self]) -> Vec<Entry> {
        let mut ordered = policies.to_vec();
        ordered.sort_by_key(|policy| policy.priority);
        let part = |before: bool| {
            let there = move |policy: &&&Self| (policy.priority < 0) == before;
            ordered.iter().filter(there).flat_map(|p| p.own())
        };
        let own = self.rules.iter().map(|(_, entry)| entry);
        let all = part(true).chain(own).chain(part(false));
        all.chain(&self.target).cloned().collect()
    }

    /// The zone as it would be with `<port>` for an opening.
    #[must_use]
    pub fn with_port(&self, opening: &Opening) -> Self {
        let what = What::Port(opening.protocol, opening.ports.clone());
        let added = entry(what, Family::Inet, true, Origin::file(&self.path));
        let mut zone = self.clone();
        let at = zone
            .rules
            .partition_point(|(place, _)| *place <= Place::Allow);
        zone.rules.insert(at, (Place::Allow, added));
        zone
    }

    fn own(&self) -> impl Iterator<Item = &Entry> {
        let rules = self.rules.iter().map(|(_, entry)| entry);
        rules.chain(&self.target)
    }

    fn add(&mut self, node: Node, services: &dyn Fn(&str) -> Result<Vec<What>>) -> Result<()> {
        let rule = match node.tag_name().name() {
            "rule" => rich(node),
            _ => what(node).map(|what| (Place::Allow, true, Family::Inet, what)),
        };
        let Some((place, passes, family, what)) = rule else {
            return Ok(());
        };
        let all = match what {
            What::Service(name) => services(&name)?,
            what => vec![what],
        };
        let origin = origin(&self.path, node);
        let entries = all
            .into_iter()
            .map(|what| (place, entry(what, family, passes, origin.clone())));
        self.rules.extend(entries);
        Ok(())
    }
}

impl Service {
    /// Reads a service's text. One that is for some destinations only lets nothing pass for us.
    ///
    /// # Errors
    /// Where the text is no XML.
    pub fn parse(path: &Path, text: &str) -> Result<Self> {
        let document = document(path, text)?;
        let root = document.root_element();
        // For some destinations only: multicast, as of mdns.
        let is_for_some = elements(root, "destination").next().is_some();
        let passes = root.children().filter(Node::is_element).filter_map(what);
        let includes = elements(root, "include").filter_map(|node| node.attribute("service"));
        Ok(Self {
            passes: passes.filter(|_| !is_for_some).collect(),
            includes: includes.map(str::to_owned).collect(),
        })
    }
}

/// Parses XML.
///
/// # Errors
/// Where it is none.
pub fn document<'a>(path: &Path, text: &'a str) -> Result<Document<'a>> {
    Document::parse(text).map_err(|error| {
        trouble!(
            "{}: {error}: mend it by hand, firewalld can't read it either",
            path.display()
        )
    })
}

/// The children of an element that have this tag.
pub fn elements<'a, 'input>(
    parent: Node<'a, 'input>,
    tag: &str,
) -> impl Iterator<Item = Node<'a, 'input>> {
    parent
        .children()
        .filter(move |node| node.tag_name().name() == tag)
}

/// `<zone target=…>`: absent and `default` refuse, `%%REJECT%%` and `DROP` too; `<policy target=…>`:
/// absent and `CONTINUE` leave it to the next.
fn target(root: Node) -> Option<bool> {
    let is_policy = root.tag_name().name() == "policy";
    match root.attribute("target") {
        None | Some("CONTINUE") if is_policy => None,
        Some("ACCEPT") => Some(true),
        _ => Some(false),
    }
}

/// `priority=…`, where it is a number.
pub fn number(node: Node, otherwise: i32) -> i32 {
    let text = node.attribute("priority").map(str::trim);
    text.and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// The line an element begins on.
pub fn origin(path: &Path, node: Node) -> Origin {
    let position = node.document().text_pos_at(node.range().start);
    Origin::line(path, usize::try_from(position.row).unwrap_or_default())
}

fn what(node: Node) -> Option<What> {
    let attribute = |name: &str| node.attribute(name).unwrap_or_default();
    // firewalld.service(5) allows a protocol in `<port protocol=…/>` without a port.
    let protocol = |name: &str| Protocol::named(attribute(name));
    match node.tag_name().name() {
        "service" => Some(What::Service(attribute("name").to_owned())),
        "protocol" => protocol("value").map(What::Protocol),
        "port" if attribute("port").is_empty() => protocol("protocol").map(What::Protocol),
        // One that is not written in numbers opens nothing that we know of.
        "port" => {
            let ports = range(attribute("port"), '-').ok();
            ports
                .zip(protocol("protocol"))
                .map(|(ports, protocol)| What::Port(protocol, ports))
        }
        // A source port is for some senders only; ICMP, forwards and masquerading are for others.
        _ => None,
    }
}

type Rich = (Place, bool, Family, What);

/// A rich rule that holds for packets from anywhere to any of our addresses, else none.
fn rich(rule: Node) -> Option<Rich> {
    let is = |tag: &str| elements(rule, tag).next();
    let (action, passes) = match (is("accept"), is("reject").or_else(|| is("drop"))) {
        (Some(accept), None) => (accept, true),
        (None, Some(refuse)) => (refuse, false),
        _ => return None,
    };
    let limited = elements(action, "limit").next().is_some();
    let some_only = ["source", "destination"]
        .iter()
        .any(|tag| elements(rule, tag).any(|node| !is_everything(node)));
    // An accept up to a rate leaves the rest to the next rule; a refusal up to a rate refuses.
    if some_only || (limited && passes) {
        return None;
    }
    let family = match rule.attribute("family") {
        Some("ipv4") => Family::Ip,
        Some("ipv6") => Family::Ip6,
        _ => Family::Inet,
    };
    let place = match number(rule, 0) {
        0 if passes => Place::Allow,
        0 => Place::Deny,
        priority if priority < 0 => Place::Pre(priority),
        priority => Place::Post(priority),
    };
    let about = |node: &Node| !RULE_PARTS.contains(&node.tag_name().name());
    let element = rule.children().filter(Node::is_element).find(about);
    let what = match element {
        None => Some(What::All),
        Some(node) => what(node),
    };
    what.map(|what| (place, passes, family, what))
}

/// Children of a rich rule that are not the element it is about.
const RULE_PARTS: [&str; 8] = [
    "source",
    "destination",
    "log",
    "nflog",
    "audit",
    "accept",
    "reject",
    "drop",
];

fn is_everything(node: Node) -> bool {
    let any = ["0.0.0.0/0", "::/0"];
    node.attribute("address")
        .is_some_and(|address| any.contains(&address))
        && node.attribute("invert").is_none()
}

fn entry(what: What, family: Family, passes: bool, origin: Origin) -> Entry {
    let (protocol, ports) = match what {
        What::Port(protocol, ports) => (Some(protocol), Some(vec![ports])),
        What::Protocol(protocol) => (Some(protocol), None),
        What::All => (None, None),
        // A service that was looked up has no services in it.
        What::Service(_) => (None, Some(Vec::new())),
    };
    Entry {
        family,
        protocol,
        ports,
        passes,
        origin,
    }
}
