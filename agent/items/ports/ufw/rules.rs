//! ufw's own rules, in user.rules and user6.rules: each is a `### tuple ###` line, from which ufw
//! knows it, and the iptables lines it stands for (ufw's backend_iptables.py, `_write_rules`).

use std::path::Path;

use crate::finding::Origin;
use crate::firewall::Family;
use crate::items::ports::iptables_rule::{self, Hook};
use crate::items::ports::opening::{Opening, Ports, Protocol};
use crate::items::ports::sequence::Entry;

const TUPLE: &str = "### tuple ###";
/// ufw writes it after its last rule; the file it is installed with has only the other one.
const END: &str = "### END RULES ###";
const BEGIN: &str = "### RULES ###";

/// The prefix of the family's chains and what it calls any address.
fn words(family: Family) -> (&'static str, &'static str) {
    match family {
        Family::Ip6 => ("ufw6", "::/0"),
        Family::Ip | Family::Inet => ("ufw", "0.0.0.0/0"),
    }
}

/// The tuples that are for packets from anywhere, with their hook. One for the interface that other
/// nodes' packets come by counts.
#[must_use]
pub fn parse(path: &Path, text: &str, family: Family, uplink: Option<&str>) -> Vec<(Hook, Entry)> {
    let tuples = text.lines().enumerate().filter_map(|(index, line)| {
        let origin = Origin::line(path, index + 1);
        tuple(line.strip_prefix(TUPLE)?, family, uplink, origin)
    });
    tuples.collect()
}

/// `[route:]ACTION[_LOG] PROTOCOL DPORT DST SPORT SRC [DAPP SAPP] [DIRECTION[_INTERFACE]]
/// [comment=HEX]`
fn tuple(
    line: &str,
    family: Family,
    uplink: Option<&str>,
    origin: Origin,
) -> Option<(Hook, Entry)> {
    let line = line.split(" comment=").next()?;
    let fields: Vec<&str> = line.split_whitespace().collect();
    let [action, protocol, dport, dst, sport, src, more @ ..] = fields.as_slice() else {
        return None;
    };
    let (hook, action) = match action.strip_prefix("route:") {
        Some(action) => (Hook::Forward, action),
        None => (Hook::Input, *action),
    };
    let any = words(family).1;
    // Six and eight fields are ufw's older formats, without a direction.
    let direction = match more {
        [] | [_, _] => "in",
        [direction] | [_, _, direction] => direction,
        _ => return None,
    };
    let comes_by_it = match direction.strip_prefix("in_") {
        None => direction == "in",
        Some(interface) => uplink == Some(interface),
    };
    // Where it goes to after a translation, and at which port, is not known here.
    let is_known = *dport == "any" || hook == Hook::Input;
    if *dst != any || *src != any || *sport != "any" || !comes_by_it || !is_known {
        return None;
    }
    let action = action.split('_').next().unwrap_or_default();
    let entry = Entry {
        family,
        protocol: match *protocol {
            "any" => None,
            name => Some(Protocol::named(name)?),
        },
        ports: match *dport {
            "any" => None,
            list => Some(iptables_rule::ports(list)?),
        },
        // `limit` refuses who connects six times in 30 s, as nodes do.
        passes: action == "allow",
        origin,
    };
    Some((hook, entry))
}

/// The words of an `allow` after `-A CHAIN`, as ufw formats them.
fn matches(opening: &Opening) -> String {
    let ports = Ports(&opening.ports, ':');
    let multiport = match opening.ports.start() == opening.ports.end() {
        true => "--dport",
        false => "-m multiport --dports",
    };
    format!("-p {} {multiport} {ports} -j ACCEPT", opening.protocol)
}

/// The family's chain of ufw's own input rules.
fn chain(family: Family) -> String {
    format!("{}-user-input", words(family).0)
}

/// The tuple and the rule of an `allow`, as ufw writes them.
fn block(opening: &Opening, family: Family) -> String {
    let (_, any) = words(family);
    let (protocol, ports) = (opening.protocol, Ports(&opening.ports, ':'));
    format!(
        "{TUPLE} allow {protocol} {ports} {any} any {any} in\n-A {} {}\n\n",
        chain(family),
        matches(opening)
    )
}

/// The text with an opening allowed: before the tuple at line `before` (from 1), else after the last.
#[must_use]
pub fn with(text: &str, opening: &Opening, family: Family, before: Option<usize>) -> String {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let is = |marker: &str| lines.iter().position(|line| line.trim_end() == marker);
    let at = before
        .map(|line| line.saturating_sub(1))
        .or_else(|| is(END))
        .or_else(|| is(BEGIN).map(|begin| begin + 1))
        .or_else(|| is("COMMIT"))
        .unwrap_or(lines.len())
        .min(lines.len());
    let (head, tail) = lines.split_at(at);
    let gap = match head.last() {
        Some(line) if !line.ends_with('\n') => "\n",
        Some(line) if line.trim_end() == BEGIN => "\n",
        _ => "",
    };
    [&head.concat(), gap, &block(opening, family), &tail.concat()].concat()
}

/// What iptables-restore is to add to the running rules, and what takes it back. `before` as in
/// [`with`]: the chain has the file's rules in the file's order.
#[must_use]
pub fn tell(text: &str, opening: &Opening, family: Family, before: Option<usize>) -> [String; 2] {
    let (chain, matches) = (chain(family), matches(opening));
    let start = format!("-A {chain} ");
    let add = match before {
        None => format!("{start}{matches}"),
        Some(line) => {
            let ahead = text.lines().take(line.saturating_sub(1));
            let position = ahead.filter(|line| line.starts_with(&start)).count() + 1;
            format!("-I {chain} {position} {matches}")
        }
    };
    [add, format!("-D {chain} {matches}")]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// As ufw 0.36.2 wrote it.
    const RULES: &str = include_str!("user.rules");

    fn at(text: &str) -> Opening {
        text.parse().unwrap()
    }

    #[test]
    fn tuples_are_read_as_ufw_writes_them() {
        let path = Path::new("u");
        let entries = parse(path, RULES, Family::Ip, Some("eth0"));
        let shown: Vec<String> = entries
            .iter()
            .map(|(hook, e)| {
                format!(
                    "{} {hook:?} {:?} {:?} {}",
                    e.origin, e.protocol, e.ports, e.passes
                )
            })
            .collect();
        assert_eq!(
            shown,
            [
                "u:20 Input Some(Tcp) Some([6443..=6443]) true",
                "u:26 Input Some(Udp) Some([30000..=32767]) true",
                "u:29 Input Some(Tcp) Some([22..=22]) false",
                "u:34 Input Some(Tcp) Some([80..=80, 443..=443]) true",
                "u:37 Input None Some([25..=25]) false",
                "u:50 Forward None None true",
                "u:53 Input None Some([9..=9]) false",
            ]
        );
        let elsewhere = parse(path, RULES, Family::Ip, Some("eth1"));
        assert_eq!(elsewhere.len(), shown.len() - 1);
        // Addresses of the other family are some addresses.
        assert!(parse(path, RULES, Family::Ip6, None).is_empty());
    }

    #[test]
    fn older_and_malformed_tuples() {
        let of = |line: &str| parse(Path::new("u"), line, Family::Ip, None).len();
        assert_eq!(of("### tuple ### allow tcp 80 0.0.0.0/0 any 0.0.0.0/0"), 1);
        assert_eq!(
            of("### tuple ### allow any 80 0.0.0.0/0 any 0.0.0.0/0 Web%20Server -"),
            1
        );
        assert_eq!(
            of("### tuple ### allow tcp 80 0.0.0.0/0 any 0.0.0.0/0 out"),
            0
        );
        assert_eq!(
            of("### tuple ### allow esp any 0.0.0.0/0 any 0.0.0.0/0 in"),
            0
        );
        assert_eq!(
            of("### tuple ### allow tcp x 0.0.0.0/0 any 0.0.0.0/0 in"),
            0
        );
        assert_eq!(of("### tuple ### allow tcp 80\n###tuple###\n"), 0);
    }

    #[test]
    fn an_allow_is_written_as_ufw_does() {
        let end = "*filter\n### RULES ###\n\n### END RULES ###\nCOMMIT\n";
        let one = with(end, &at("6443/tcp"), Family::Ip, None);
        let both = with(&one, &at("30000-32767/udp"), Family::Ip, None);
        assert_eq!(
            both,
            "*filter\n### RULES ###\n\n\
             ### tuple ### allow tcp 6443 0.0.0.0/0 any 0.0.0.0/0 in\n-A ufw-user-input -p tcp --dport 6443 -j ACCEPT\n\n\
             ### tuple ### allow udp 30000:32767 0.0.0.0/0 any 0.0.0.0/0 in\n-A ufw-user-input -p udp -m multiport --dports 30000:32767 -j ACCEPT\n\n\
             ### END RULES ###\nCOMMIT\n"
        );
        // The two are in the file ufw wrote just as they are here.
        for block in both.split("\n\n").skip(1).take(2) {
            assert!(RULES.contains(block), "{block}");
        }
        let installed = "*filter\n:ufw6-user-input - [0:0]\n### RULES ###\nCOMMIT\n";
        assert_eq!(
            with(installed, &at("80/tcp"), Family::Ip6, None),
            "*filter\n:ufw6-user-input - [0:0]\n### RULES ###\n\n### tuple ### allow tcp 80 ::/0 any ::/0 in\n-A ufw6-user-input -p tcp --dport 80 -j ACCEPT\n\nCOMMIT\n"
        );
    }

    #[test]
    fn before_a_refusal_in_file_and_chain() {
        let new = with(RULES, &at("25/tcp"), Family::Ip, Some(37));
        let entries = parse(Path::new("u"), &new, Family::Ip, None);
        let ports = Some(vec![25..=25]);
        let first = entries
            .iter()
            .find(|(_, entry)| entry.ports == ports)
            .unwrap();
        assert!(first.1.passes);
        let [add, remove] = tell(RULES, &at("25/tcp"), Family::Ip, Some(37));
        assert_eq!(add, "-I ufw-user-input 8 -p tcp --dport 25 -j ACCEPT");
        assert_eq!(remove, "-D ufw-user-input -p tcp --dport 25 -j ACCEPT");
        let [add, _] = tell(RULES, &at("1-2/udp"), Family::Ip6, None);
        assert_eq!(
            add,
            "-A ufw6-user-input -p udp -m multiport --dports 1:2 -j ACCEPT"
        );
    }

    proptest! {
        #[test]
        fn foreign_lines_survive(
            lines in proptest::collection::vec(
                prop::sample::select(vec![
                    "*filter", "### RULES ###", "### END RULES ###", "COMMIT", "", "# é \r",
                    "### tuple ### deny any any 0.0.0.0/0 any 0.0.0.0/0 in", "-A ufw-user-input -j DROP",
                ]),
                0..9,
            ),
            newline: bool,
            before in proptest::option::of(1usize..9),
        ) {
            let old = lines.join("\n") + if newline { "\n" } else { "" };
            let opening = at("6443/tcp");
            let new = with(&old, &opening, Family::Ip, before);
            let ours = block(&opening, Family::Ip);
            let at = new.find(&ours).unwrap();
            let rest = [&new[..at], &new[at + ours.len()..]].concat();
            // Nothing else but a line's end can be new.
            let gap = rest.len() - old.len();
            prop_assert!(gap <= 1);
            prop_assert_eq!([&new[..at - gap], &new[at + ours.len()..]].concat(), old);
        }

        #[test]
        fn no_text_panics(text in "(### tuple ### )?[a-z0-9:,/_!. \n]{0,60}") {
            let _ = parse(Path::new("u"), &text, Family::Ip, None);
        }
    }
}
