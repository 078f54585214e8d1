//! firewalld: on EL and Fedora it owns the packet filter, so ports are opened through it, in the
//! zone that other nodes' packets land in; a rule beside it would be overruled or lost.
//!
//! Which zone that is: the one whose source holds this node's own address (its neighbours come from
//! there), and the one of the interface of the default route: by its NetworkManager connection, by
//! a zone's `<interface>`, else the default zone (firewalld.zones(5)). All of these must pass a port.
//!
//! A running firewalld is told by firewall-cmd, once for the permanent configuration and once for
//! the running one. A reload would drop what others set at run time, and with the iptables backend
//! the rules of container networks (firewalld's issue 779). An edit of a file would be lost: firewalld
//! keeps the permanent configuration in memory, misses a file that newly shadows a packaged one, and
//! writes its own view over it at the next `--permanent` (issue 1043, told not to be mended). Where
//! it does not run, the zone's file is edited.
//!
//! Not looked at: zones made of a directory of files, ipsets as sources, priorities between zones
//! (2.0), a source's zone drifting into the interface's (before 1.0), passthroughs of direct.xml.

mod choice;
mod direct;
mod edit;
mod files;
#[cfg(test)]
mod host_test;
mod settings;
#[cfg(test)]
mod steps_test;
mod zone;

use std::path::Path;

use self::settings::Settings;
use self::zone::Zone;
use super::iptables_rule::Hook;
use super::opening::{Closed, Opening, Ports};
use super::sequence::{Entry, judge};
use crate::boot::units;
use crate::error::{Result, trouble};
use crate::finding::{Origin, State};
use crate::firewall::Family;
use crate::host::Host;
use crate::plan::ItemPlan;
use crate::step::{FirewallTool, Owner, Step};

/// Its unit.
const UNIT: &str = "firewalld.service";
/// firewalld's zones are for both.
const FAMILIES: [Family; 2] = [Family::Ip, Family::Ip6];
/// firewalld as it is configured.
#[derive(Debug)]
pub struct Firewalld {
    /// Whether it runs.
    pub running: bool,
    /// Whether the boot starts it.
    pub enabled: bool,
    settings: Settings,
    /// Those that other nodes' packets land in.
    zones: Vec<(String, Zone)>,
    /// Policies from any of these zones to this host, by zone.
    policies: Vec<Zone>,
    /// Rules of direct.xml for all packets, which are asked before every zone, with their hook.
    direct: Vec<(Hook, Entry)>,
    direct_text: Option<String>,
}

impl Firewalld {
    /// Reads its configuration; none where it is not installed.
    ///
    /// # Errors
    /// Where a file of it cannot be read or understood.
    pub fn observe(host: &Host) -> Result<Option<Self>> {
        if units::file(host, UNIT)?.is_none() {
            return Ok(None);
        }
        let settings = Settings::observe(host)?;
        let all = files::read_all(host, "zones")?;
        let policies = match settings.version {
            // 0.9.0 brought policies; one before does not read them.
            Some(version) if version < (0, 9) => Vec::new(),
            _ => files::read_all(host, "policies")?,
        };
        let direct_text = host.exact_text(Path::new(direct::PATH))?;
        Ok(Some(Self {
            running: host.has_processes(UNIT)?,
            enabled: !units::wanted(host, |unit| unit == UNIT)?.is_empty(),
            zones: chosen(host, all, &settings)?,
            policies: policies.into_iter().map(|(_, policy)| policy).collect(),
            direct: direct::parse(direct_text.as_deref().unwrap_or_default())?,
            direct_text,
            settings,
        }))
    }

    /// Whether the permanent configuration lets an opening pass, and what does not.
    #[must_use]
    pub fn boot(&self, opening: &Opening) -> State {
        let zones = self.zones.iter();
        let closed = zones
            .map(|(name, zone)| judge(&self.sequence(name, zone), opening, &FAMILIES))
            .find(|state| *state != State::InSync);
        match closed {
            Some(state) => state,
            None if !self.settings.direct_is_first => self.beside(opening),
            None if opening.forward => self.translated(opening),
            None => State::InSync,
        }
    }

    /// Adds what opens these: `boot` in the permanent configuration, `live` in the running one. What
    /// somebody refuses by a rule of its own, asked before a zone's ports, is left to them.
    ///
    /// # Errors
    /// Where a zone's file can't be edited.
    pub fn steps(&self, boot: &[Opening], live: &[Closed], plan: &mut ItemPlan) -> Result<()> {
        for (name, zone) in &self.zones {
            let missing: Vec<&Opening> = boot
                .iter()
                .filter(|opening| self.is_mended(name, zone, opening))
                .collect();
            if missing.is_empty() {
                continue;
            }
            let step = match self.running {
                true => tell(&["--permanent"], name, &missing),
                false => Step::write(
                    files::configured("zones", name),
                    edit::with(&zone.path, &zone.text, &ports(&missing))?,
                    Owner::Shared,
                ),
            };
            plan.boot(step, missing);
        }
        let (forward, input): (Vec<_>, Vec<_>) = live
            .iter()
            .filter(|_| self.running)
            .partition(|closed| closed.forward);
        // One zone serves both families.
        let mut input: Vec<&Opening> = input.iter().map(|closed| &closed.opening).collect();
        input.dedup();
        for (name, _) in self.zones.iter().filter(|_| !input.is_empty()) {
            plan.live(tell(&[], name, &input), input.iter().copied());
        }
        match self.settings.is_before_dnat() && self.settings.direct_is_first {
            true => self.forwarding(boot, &forward, plan),
            false => Ok(()),
        }
    }

    /// The rules that a packet of a zone meets, the first that catches it deciding.
    fn sequence(&self, name: &str, zone: &Zone) -> Vec<Entry> {
        let is_from = |policy: &&Zone| {
            let holds = |names: &[String], wanted: &str| names.iter().any(|name| name == wanted);
            let from = holds(&policy.ingress, name) || holds(&policy.ingress, "ANY");
            from && holds(&policy.egress, "HOST")
        };
        let policies: Vec<&Zone> = self.policies.iter().filter(is_from).collect();
        let direct = self
            .on(Hook::Input)
            .filter(|_| self.settings.direct_is_first);
        direct.cloned().chain(zone.sequence(&policies)).collect()
    }

    fn on(&self, hook: Hook) -> impl Iterator<Item = &Entry> {
        let of = self.direct.iter().filter(move |(other, _)| *other == hook);
        of.map(|(_, entry)| entry)
    }

    /// With the nftables backend direct rules are in iptables' own tables: what they refuse is gone,
    /// what they accept is still asked by the zones.
    fn beside(&self, opening: &Opening) -> State {
        let direct: Vec<Entry> = self.on(Hook::Input).cloned().collect();
        match judge(&direct, opening, &FAMILIES) {
            State::InSync if opening.forward => self.translated(opening),
            state => state,
        }
    }

    /// Whether the forward hook passes what kube-proxy translated. Since 0.7.0 firewalld accepts
    /// every translated connection there, with both backends (ipXtables.py and nftables.py,
    /// `build_default_rules`), unless StrictForwardPorts (2.3) is set.
    fn translated(&self, opening: &Opening) -> State {
        if self.settings.version.is_none() {
            return State::unknown(
                "the version of firewalld can't be told, so neither whether it forwards node ports",
            );
        }
        if let Some(line) = self.settings.strict {
            let origin = Origin::line(Path::new(settings::PATH), line);
            return State::differs("refused when forwarded", "accepted", Some(origin));
        }
        match judge(&self.forwarded(), opening, &FAMILIES) {
            State::Differs { to, origin, .. } => {
                State::differs("refused when forwarded", to, origin)
            }
            state => state,
        }
    }

    /// The rules that a translated packet meets on the forward hook.
    fn forwarded(&self) -> Vec<Entry> {
        let origin = Origin::Other("firewalld before 0.7".into());
        let last = Entry::all(!self.settings.is_before_dnat(), origin);
        self.on(Hook::Forward).cloned().chain([last]).collect()
    }

    /// Whether the zone is closed to an opening, and one more `<port>` in it opens it.
    fn is_mended(&self, name: &str, zone: &Zone, opening: &Opening) -> bool {
        let is_open =
            |zone: &Zone| judge(&self.sequence(name, zone), opening, &FAMILIES) == State::InSync;
        !is_open(zone) && is_open(&zone.with_port(opening))
    }

    /// Before 0.7 a direct rule is what lets translated connections through.
    fn forwarding(&self, boot: &[Opening], live: &[&Closed], plan: &mut ItemPlan) -> Result<()> {
        let missing = |opening: &&Opening, family: Family| {
            opening.forward && judge(&self.forwarded(), opening, &[family]) != State::InSync
        };
        let is_missing = |opening: &&Opening| FAMILIES.iter().any(|f| missing(opening, *f));
        let serves: Vec<&Opening> = boot.iter().filter(is_missing).collect();
        let is_closed = |family: &Family| serves.iter().any(|o| missing(o, *family));
        let families: Vec<Family> = FAMILIES.into_iter().filter(is_closed).collect();
        if self.running {
            for family in &families {
                plan.boot(direct::tell(&["--permanent"], *family), serves.clone());
            }
        } else if !serves.is_empty() {
            let text = self.direct_text.as_deref();
            let content = direct::with_translated(text, &families)?;
            plan.boot(Step::write(direct::PATH, content, Owner::Shared), serves);
        }
        for family in FAMILIES {
            let of = |closed: &&&Closed| closed.family == family || closed.family == Family::Inet;
            let serves: Vec<&Opening> = live.iter().filter(of).map(|c| &c.opening).collect();
            if !serves.is_empty() {
                plan.live(direct::tell(&[], family), serves);
            }
        }
        Ok(())
    }
}

/// `<port>` for each, as firewalld's own writer has it.
fn ports(openings: &[&Opening]) -> Vec<String> {
    let one = |opening: &&Opening| {
        let (ports, protocol) = (Ports(&opening.ports, '-'), opening.protocol);
        format!("<port port=\"{ports}\" protocol=\"{protocol}\"/>")
    };
    openings.iter().map(one).collect()
}

/// Gives ports to a zone of a running firewalld.
fn tell(options: &[&str], zone: &str, openings: &[&Opening]) -> Step {
    let arguments = |verb: &str| {
        let start = options.iter().map(|option| (*option).to_owned());
        let zone = [format!("--zone={zone}")];
        let ports = openings.iter().map(|o| format!("--{verb}-port={o}"));
        start.chain(zone).chain(ports).collect()
    };
    Step::Firewall {
        tool: FirewallTool::FirewallCmd,
        change: arguments("add"),
        undo: arguments("remove"),
    }
}

/// The zones that packets of other nodes land in.
fn chosen(
    host: &Host,
    all: Vec<(String, Zone)>,
    settings: &Settings,
) -> Result<Vec<(String, Zone)>> {
    let interface = host.uplink()?;
    let by_connection = match &interface {
        Some(interface) => choice::of_connection(host, interface)?,
        None => None,
    };
    let names_it = |zone: &Zone| {
        let is_it = |pattern: &String| {
            interface
                .as_ref()
                .is_some_and(|i| choice::is_named(pattern, i))
        };
        zone.interfaces.iter().any(is_it)
    };
    let by_zone = || {
        all.iter()
            .find(|(_, zone)| names_it(zone))
            .map(|(name, _)| name.clone())
    };
    let default = || settings.default_zone.clone();
    let first = by_connection.or_else(by_zone).unwrap_or_else(default);
    if all.iter().all(|(name, _)| *name != first) {
        return Err(trouble!(
            "firewalld's zone \"{first}\" has no file: make one, or name another zone"
        ));
    }
    let ip = match all.iter().any(|(_, zone)| !zone.sources.is_empty()) {
        true => host.node_ip()?.and_then(|ip| ip.parse().ok()),
        false => None,
    };
    let is_source = |zone: &Zone| {
        let holds = |source: &String| ip.is_some_and(|ip| choice::holds(source, ip));
        zone.sources.iter().any(holds)
    };
    let is_chosen = |(name, zone): &(String, Zone)| *name == first || is_source(zone);
    Ok(all.into_iter().filter(is_chosen).collect())
}
