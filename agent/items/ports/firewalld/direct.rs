//! direct.xml: rules in iptables' own words, which firewalld asks before its zones. Deprecated, but
//! before 0.7 the only way to let through what kube-proxy translated.

use std::path::Path;

use super::edit;
use super::zone;
use crate::error::Result;
use crate::firewall::Family;
use crate::items::ports::iptables_rule::{self, Hook};
use crate::items::ports::sequence::Entry;
use crate::step::{FirewallTool, Step};

/// firewalld.direct(5).
pub const PATH: &str = "/etc/firewalld/direct.xml";
/// The words by which its older versions let through what kube-proxy translated.
const TRANSLATED: &str = "-m conntrack --ctstate DNAT -j ACCEPT";
/// direct.xml as firewalld begins one (firewalld.direct(5)).
const EMPTY: &str = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<direct>\n</direct>\n";

/// The file with our rule for these families.
///
/// # Errors
/// Where the text is no XML.
pub fn with_translated(text: Option<&str>, families: &[Family]) -> Result<String> {
    let rule = |family: &Family| {
        let name = name(*family);
        format!(
            "<rule ipv=\"{name}\" table=\"filter\" chain=\"FORWARD\" priority=\"0\">{TRANSLATED}</rule>"
        )
    };
    let rules: Vec<String> = families.iter().map(rule).collect();
    edit::with(Path::new(PATH), text.unwrap_or(EMPTY), &rules)
}

/// firewalld's name of a family.
fn name(family: Family) -> &'static str {
    match family {
        Family::Ip6 => "ipv6",
        Family::Ip | Family::Inet => "ipv4",
    }
}

/// Gives a running firewalld our rule.
#[must_use]
pub fn tell(options: &[&str], family: Family) -> Step {
    let arguments = |verb: &str| {
        let words = format!(
            "--direct --{verb}-rule {} filter FORWARD 0 {TRANSLATED}",
            name(family)
        );
        let all = options.iter().copied().chain(words.split(' '));
        all.map(str::to_owned).collect()
    };
    Step::Firewall {
        tool: FirewallTool::FirewallCmd,
        change: arguments("add"),
        undo: arguments("remove"),
    }
}

/// The rules of direct.xml (firewalld.direct(5)) in their order: by priority, then as written.
pub fn parse(text: &str) -> Result<Vec<(Hook, Entry)>> {
    let path = Path::new(PATH);
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    let document = zone::document(path, text)?;
    let mut rules = Vec::new();
    for node in zone::elements(document.root_element(), "rule") {
        let family = match node.attribute("ipv") {
            Some("ipv4") => Family::Ip,
            Some("ipv6") => Family::Ip6,
            _ => continue,
        };
        let hook = match (node.attribute("table"), node.attribute("chain")) {
            (Some("filter"), Some("INPUT")) => Hook::Input,
            (Some("filter"), Some("FORWARD")) => Hook::Forward,
            _ => continue,
        };
        let origin = zone::origin(path, node);
        let words = node.text().unwrap_or_default();
        if let Some(entry) = iptables_rule::parse(words, family, hook, origin) {
            rules.push((zone::number(node, 0), hook, entry));
        }
    }
    rules.sort_by_key(|(priority, ..)| *priority);
    Ok(rules
        .into_iter()
        .map(|(_, hook, entry)| (hook, entry))
        .collect())
}
