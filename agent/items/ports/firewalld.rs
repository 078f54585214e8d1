//! firewalld: on EL and Fedora it owns the packet filter, so ports are opened through it, in the
//! zone that other nodes' packets land in; a rule beside it would be overruled or lost.
//!
//! Which zone that is: the one whose source holds this node's own address (its neighbours come from
//! there), and the one of the interface of the default route: by its NetworkManager connection, by
//! a zone's `<interface>`, else the default zone (firewalld.zones(5)). All of these must pass a port.
//!
//! The permanent configuration is edited as files, whether firewalld runs or not: the edit is
//! journalled with an exact undo and starts no process, and a running firewalld watches these
//! directories (firewalld's server/config.py, `watch_updater`), so its permanent view is not stale.
//! The running one is told by one `firewall-cmd`; a reload would drop what others set at run time.
//!
//! Not looked at: zones made of a directory of files, ipsets as sources, priorities between zones
//! (2.0), passthroughs of direct.xml.

mod choice;
mod direct;
mod edit;
mod files;
#[cfg(test)]
mod host_test;
mod settings;
mod zone;

use std::path::Path;

use self::settings::Settings;
use self::zone::Zone;
use super::iptables_rule::Hook;
use super::opening::Opening;
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
        let direct_text = files::text(host, Path::new(direct::PATH))?;
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
    pub fn steps(&self, boot: &[Opening], live: &[Opening], plan: &mut ItemPlan) -> Result<()> {
        for (name, zone) in &self.zones {
            let missing: Vec<&Opening> = boot
                .iter()
                .filter(|opening| self.is_mended(name, zone, opening))
                .collect();
            if missing.is_empty() {
                continue;
            }
            let lines: Vec<String> = missing.iter().map(|opening| port(opening)).collect();
            let path = Path::new(files::CONFIGURED)
                .join("zones")
                .join(format!("{name}.xml"));
            let step = Step::WriteFile {
                path,
                content: edit::with(&zone.path, &zone.text, &lines)?.into(),
                owner: Owner::Shared,
            };
            plan.boot(step, missing);
        }
        if self.running && !live.is_empty() {
            for (name, _) in &self.zones {
                plan.live(tell(name, live), live);
            }
        }
        self.forwarding(boot, live, plan)
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
        let Some(version) = self.settings.version else {
            return State::unknown(
                "the version of firewalld can't be told, so neither whether it forwards node ports",
            );
        };
        if let Some(line) = self.settings.strict {
            let origin = Origin::line(Path::new(settings::PATH), line);
            return State::differs("forwarding closed", "open", Some(origin));
        }
        let last = Entry::all(
            version >= (0, 7),
            Origin::Other("firewalld before 0.7".into()),
        );
        let entries: Vec<Entry> = self.on(Hook::Forward).cloned().chain([last]).collect();
        judge(&entries, opening, &FAMILIES)
    }

    /// Whether the zone is closed to an opening, and one more `<port>` in it opens it.
    fn is_mended(&self, name: &str, zone: &Zone, opening: &Opening) -> bool {
        let is_open =
            |zone: &Zone| judge(&self.sequence(name, zone), opening, &FAMILIES) == State::InSync;
        !is_open(zone) && is_open(&zone.with_port(opening))
    }

    /// Before 0.7 a direct rule is what lets translated connections through.
    fn forwarding(&self, boot: &[Opening], live: &[Opening], plan: &mut ItemPlan) -> Result<()> {
        let is_old = self
            .settings
            .version
            .is_some_and(|version| version < (0, 7));
        if !is_old || !self.settings.direct_is_first {
            return Ok(());
        }
        let forwarded = |all: &[Opening]| -> Vec<Opening> {
            let forwarded = all.iter().filter(|opening| opening.forward);
            forwarded.cloned().collect()
        };
        let (boot, live) = (forwarded(boot), forwarded(live));
        let missing = |opening: &&Opening| self.translated(opening) != State::InSync;
        let boot: Vec<&Opening> = boot.iter().filter(missing).collect();
        if !boot.is_empty() {
            let path = Path::new(direct::PATH);
            let step = Step::WriteFile {
                path: path.to_owned(),
                content: direct::with_translated(self.direct_text.as_deref())?.into(),
                owner: Owner::Shared,
            };
            plan.boot(step, boot);
        }
        if self.running && !live.is_empty() {
            for family in ["ipv4", "ipv6"] {
                plan.live(direct::tell(family), &live);
            }
        }
        Ok(())
    }
}

/// `<port>` as firewalld's own writer has it.
fn port(opening: &Opening) -> String {
    let text = opening.to_string();
    let (ports, protocol) = text.split_once('/').unwrap_or_default();
    format!("<port port=\"{ports}\" protocol=\"{protocol}\"/>")
}

fn tell(zone: &str, openings: &[Opening]) -> Step {
    let arguments = |verb: &str| -> Vec<String> {
        let ports = openings
            .iter()
            .map(|opening| format!("--{verb}-port={opening}"));
        [format!("--zone={zone}")]
            .into_iter()
            .chain(ports)
            .collect()
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
        true => host.facts()?.node_ip.and_then(|ip| ip.parse().ok()),
        false => None,
    };
    let is_source = |zone: &Zone| {
        let holds = |source: &String| ip.is_some_and(|ip| choice::holds(source, ip));
        zone.sources.iter().any(holds)
    };
    let is_chosen = |(name, zone): &(String, Zone)| *name == first || is_source(zone);
    Ok(all.into_iter().filter(is_chosen).collect())
}
