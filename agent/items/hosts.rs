//! /etc/hosts: kubeadm asks whether the node's own name resolves, and nodes find each other by it
//! where no DNS knows them.

mod cloud;
mod text;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use serde::Deserialize;

use super::hostname::{self, Name};
use super::{Explain, Kind};
use crate::error::{Result, trouble};
use crate::finding::{Finding, Origin, State};
use crate::host::Host;
use crate::plan::ItemPlan;
use crate::step::{Owner, Step};
use crate::text::block::Markers;

use text::Line;

const PATH: &str = "/etc/hosts";
const NSSWITCH: &str = "/etc/nsswitch.conf";
/// Our lines, where the names resolve and they are others than the profile's.
const BLOCK: &str = "block";
const LOCALHOST: &str = "localhost";
/// The subject of the host's own name, whatever that is.
const OWN: &str = "own name";

/// `[hosts]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hosts {
    /// The address the host's own name gets where no line has it.
    #[serde(default = "own_address")]
    own_address: IpAddr,
    /// Names by address.
    #[serde(default)]
    entries: BTreeMap<IpAddr, Names>,
}

/// Debian's installer chose it for hosts without a fixed address (Debian Reference, 5.1.1).
fn own_address() -> IpAddr {
    Ipv4Addr::new(127, 0, 1, 1).into()
}

/// One name or several.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
enum Names {
    One(Name),
    Several(Vec<Name>),
}

impl Names {
    fn iter(&self) -> impl Iterator<Item = &str> {
        match self {
            Self::One(name) => std::slice::from_ref(name),
            Self::Several(names) => names,
        }
        .iter()
        .map(Name::as_str)
    }
}

/// What the host has.
#[derive(Debug)]
pub struct Observed {
    text: Vec<u8>,
    /// Lines of others, in order.
    foreign: Vec<Line>,
    /// The lines in our block.
    ours: Vec<Line>,
    own: Option<String>,
    /// What writes the file anew at each boot.
    rewritten: Option<Origin>,
    /// The line that leaves the file out, with what it says.
    unused: Option<(String, Origin)>,
}

/// A name with what it is to resolve to.
struct Wanted<'a> {
    subject: String,
    name: &'a str,
    address: IpAddr,
    /// Whether any address of the host itself will do.
    is_own: bool,
}

impl Kind for Hosts {
    type Observed = Observed;
    const BOOTS_BY_SYSTEMD: bool = false;
    const EXPLAIN: Explain = Explain {
        why: "kubeadm warns where the node's name does not resolve, and components that look it up wait \
              for a DNS server that does not know it; nodes without DNS find each other by these lines.",
        looks_at: "/etc/hosts, which is read at each lookup, so live and boot are one, as long as \
                   nsswitch.conf names `files`; for boot also whether cloud-init writes it anew \
                   (manage_etc_hosts: true in /etc/cloud).",
        changes: "a block between `# BEGIN nodeprep` and `# END nodeprep` in /etc/hosts: the names of \
                  [hosts.entries], the own name and localhost where no other line has them. Lines of \
                  others stay; one that gives a name another address is named.",
        undo: "remove the block with both its markers.",
    };

    fn observe(&self, host: &Host) -> Result<Observed> {
        let path = Path::new(PATH);
        let text = host.bytes(path)?.unwrap_or_default().to_vec();
        let block = Markers::new("#")
            .lines(&text)
            .map_err(|error| trouble!("{PATH}: {error}"))?;
        let (ours, foreign) = text::lines(&text)
            .into_iter()
            .partition(|line| block.contains(&line.number));
        Ok(Observed {
            text,
            foreign,
            ours,
            own: hostname::own(host)?.and_then(lookup_name),
            rewritten: cloud::rewrites(host)?,
            unused: unused(host)?,
        })
    }

    fn wants(&self, subject: &str) -> bool {
        let named = |(address, name): (&IpAddr, &str)| subject == named(*address, name);
        [OWN, LOCALHOST, BLOCK].contains(&subject) || self.names().any(named)
    }

    fn diff(&self, observed: &Observed) -> ItemPlan {
        let mut plan = ItemPlan::default();
        let mut serves = Vec::new();
        let mut body: Vec<(IpAddr, Vec<&str>)> = Vec::new();
        let all = self.wanted(observed);
        for wanted in &all {
            let state = observed.judge(wanted);
            let is_ours = !observed.is_others(wanted);
            match body.last_mut() {
                _ if !is_ours => {}
                Some((address, names)) if *address == wanted.address => names.push(wanted.name),
                _ => body.push((wanted.address, vec![wanted.name])),
            }
            if matches!(&state, State::Differs { origin: None, .. }) {
                serves.push(wanted.subject.clone());
            }
            let boot = match &observed.rewritten {
                Some(origin) if is_ours => {
                    State::differs("written anew by cloud-init", "kept", Some(origin.clone()))
                }
                _ => state.clone(),
            };
            plan.findings
                .push(Finding::new(&wanted.subject, state, boot));
        }
        if let Some((found, origin)) = &observed.unused {
            let state = State::differs(found, "files among them", Some(origin.clone()));
            plan.findings
                .push(Finding::new("nsswitch.conf", state.clone(), state));
        }
        let line =
            |(address, names): (IpAddr, Vec<&str>)| format!("{address} {}\n", names.join(" "));
        let body: String = body.into_iter().map(line).collect();
        observed.add_step(&mut plan, &body, serves);
        plan
    }
}

impl Hosts {
    fn names(&self) -> impl Iterator<Item = (&IpAddr, &str)> {
        self.entries
            .iter()
            .flat_map(|(address, names)| names.iter().map(move |name| (address, name)))
    }

    fn wanted<'a>(&'a self, observed: &'a Observed) -> Vec<Wanted<'a>> {
        let own = observed.own.as_deref();
        let mut all: Vec<Wanted> = self
            .names()
            .map(|(address, name)| Wanted {
                subject: named(*address, name),
                name,
                address: *address,
                is_own: Some(name) == own,
            })
            .collect();
        let mut add = |subject: &str, name: &'a str, address| {
            if all.iter().all(|wanted| wanted.name != name) {
                all.push(Wanted {
                    subject: subject.into(),
                    name,
                    address,
                    is_own: true,
                });
            }
        };
        add(LOCALHOST, LOCALHOST, Ipv4Addr::LOCALHOST.into());
        if let Some(own) = own {
            add(OWN, own, self.own_address);
        }
        all
    }
}

impl Observed {
    fn judge(&self, wanted: &Wanted<'_>) -> State {
        let to = wanted.address.to_string();
        match self.first(wanted) {
            Some(line) if line.suits(wanted) => State::InSync,
            Some(line) => {
                let origin = Origin::line(Path::new(PATH), line.number);
                let is_others = self.foreign.contains(line);
                State::differs(line.address.to_string(), to, is_others.then_some(origin))
            }
            None => State::differs("not there", to, None),
        }
    }

    /// The line that decides what a name resolves to: the first of its address family (hosts(5)).
    fn first(&self, wanted: &Wanted<'_>) -> Option<&Line> {
        let all = self.foreign.iter().chain(&self.ours);
        all.filter(|line| line.is_about(wanted))
            .min_by_key(|line| line.number)
    }

    /// Whether a line of others says all there is to say.
    fn is_others(&self, wanted: &Wanted<'_>) -> bool {
        let mut lines = self.foreign.iter();
        lines.any(|line| line.is_about(wanted) && line.suits(wanted))
    }

    /// The block says what is wanted, even where lines of others are in the way.
    fn add_step(&self, plan: &mut ItemPlan, body: &str, mut serves: Vec<String>) {
        let markers = Markers::new("#");
        let inner = markers.find(&self.text).ok().flatten();
        if inner.unwrap_or_default() == body.as_bytes() {
            return;
        }
        let Ok(content) = markers.set(&self.text, body) else {
            return;
        };
        if serves.is_empty() {
            let origin = self.ours.first();
            let origin = origin.map(|line| Origin::line(Path::new(PATH), line.number));
            let state = State::differs("has other lines", "as the profile has it", origin);
            plan.findings
                .push(Finding::new(BLOCK, state.clone(), state));
            serves.push(BLOCK.into());
        }
        plan.boot(Step::write(PATH, content, Owner::Shared), serves);
    }
}

impl Line {
    fn is_about(&self, wanted: &Wanted<'_>) -> bool {
        let same_family = self.address.is_ipv4() == wanted.address.is_ipv4();
        same_family && self.names.iter().any(|name| name == wanted.name)
    }

    /// The own name may stay on the loopback that an installer gave it: it leads to this host.
    fn suits(&self, wanted: &Wanted<'_>) -> bool {
        self.address == wanted.address || wanted.is_own && self.address.is_loopback()
    }
}

/// A name as it is looked up; one that is not valid is for [hostname] to tell of.
fn lookup_name(name: String) -> Option<String> {
    let name = Name::try_from(name.to_lowercase()).ok()?;
    Some(name.as_str().to_owned())
}

fn named(address: IpAddr, name: &str) -> String {
    format!("{address} {name}")
}

/// The line of nsswitch.conf that leaves /etc/hosts out of looking up hosts.
fn unused(host: &Host) -> Result<Option<(String, Origin)>> {
    let path = Path::new(NSSWITCH);
    let text = host.text(path)?.unwrap_or_default();
    let mut lines = text.lines().enumerate();
    let found = lines.find_map(|(index, line)| {
        let sources = line.trim().strip_prefix("hosts:")?;
        Some((index + 1, sources.trim().to_owned()))
    });
    let without = |(_, sources): &(usize, String)| {
        let sources = sources.split('#').next().unwrap_or_default();
        sources.split_whitespace().all(|source| source != "files")
    };
    let found = found.filter(without);
    Ok(found.map(|(number, sources)| (sources, Origin::line(path, number))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn diff(profile: &str, text: &str, rewritten: bool) -> ItemPlan {
        let hosts: Hosts = toml::from_str(profile).unwrap();
        let block = Markers::new("#").lines(text.as_bytes()).unwrap();
        let lines = text::lines(text.as_bytes()).into_iter();
        let (ours, foreign) = lines.partition(|line| block.contains(&line.number));
        let origin = Origin::line(Path::new("/etc/cloud/cloud.cfg"), 3);
        hosts.diff(&Observed {
            text: text.into(),
            foreign,
            ours,
            own: Some("n1".into()),
            rewritten: rewritten.then_some(origin),
            unused: None,
        })
    }

    fn written(plan: &ItemPlan) -> Option<String> {
        let planned = plan.steps.first()?;
        Some(String::from_utf8(planned.step.content().to_vec()).unwrap())
    }

    fn state<'a>(plan: &'a ItemPlan, subject: &str) -> &'a State {
        let found = plan.findings.iter().find(|f| f.subject == subject);
        &found.unwrap().boot
    }

    const ENTRIES: &str = "entries = { \"10.0.0.1\" = [\"n1\", \"api\"], \"10.0.0.2\" = \"n2\" }";

    #[test]
    fn missing_names_come_in_a_block_and_stay() {
        let old = "127.0.0.1 localhost\n127.0.1.1 N1.example N1 # d-i\n10.0.0.2\tn2";
        let plan = diff(ENTRIES, old, false);
        let new = written(&plan).unwrap();
        assert_eq!(
            new,
            format!("{old}\n# BEGIN nodeprep\n10.0.0.1 api\n# END nodeprep\n")
        );
        assert_eq!(plan.steps[0].serves, ["10.0.0.1 api"]);
        assert_eq!(written(&diff(ENTRIES, &new, false)), None);
        let less = diff("", &new, false);
        assert_eq!(
            written(&less).unwrap(),
            format!("{old}\n# BEGIN nodeprep\n# END nodeprep\n")
        );
    }

    #[test]
    fn the_own_name_and_localhost_resolve() {
        let plan = diff("own_address = \"10.0.0.9\"", "", false);
        assert_eq!(
            written(&plan).unwrap(),
            "# BEGIN nodeprep\n127.0.0.1 localhost\n10.0.0.9 n1\n# END nodeprep\n"
        );
        assert_eq!(plan.steps[0].serves, [LOCALHOST, OWN]);
        let v6 = diff("", "::1 localhost\n127.0.0.1 localhost n1\n", false);
        assert_eq!(written(&v6), None);
    }

    #[test]
    fn a_line_of_others_that_wins_is_named() {
        let text = "127.0.0.1 localhost n1\n192.0.2.7 api\n";
        let plan = diff(ENTRIES, text, false);
        let origin = Origin::line(Path::new(PATH), 2);
        let expected = State::differs("192.0.2.7", "10.0.0.1", Some(origin));
        assert_eq!(*state(&plan, "10.0.0.1 api"), expected);
        assert!(written(&plan).unwrap().contains("\n10.0.0.1 api\n"));
        let again = diff(ENTRIES, &written(&plan).unwrap(), false);
        assert_eq!(
            (written(&again), state(&again, "10.0.0.1 api")),
            (None, &expected)
        );
    }

    #[test]
    fn what_cloud_init_writes_anew_is_not_kept() {
        let text =
            "127.0.0.1 localhost n1\n# BEGIN nodeprep\n10.0.0.1 api\n10.0.0.2 n2\n# END nodeprep\n";
        let plan = diff(ENTRIES, text, true);
        assert!(plan.steps.is_empty());
        assert!(matches!(
            state(&plan, "10.0.0.2 n2"),
            State::Differs {
                origin: Some(_),
                ..
            }
        ));
        assert_eq!(*state(&plan, LOCALHOST), State::InSync);
    }

    #[test]
    fn what_left_the_profile_is_not_wanted() {
        let hosts: Hosts = toml::from_str(ENTRIES).unwrap();
        assert!(hosts.wants("10.0.0.1 api") && hosts.wants(OWN));
        assert!(!hosts.wants("10.0.0.2 api"));
    }
}
