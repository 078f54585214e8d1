//! Ports: a node whose API server, kubelet or overlay can't be reached joins no cluster, and a
//! firewall says so only by silence.

mod boot;
pub mod firewalld;
pub mod iptables_rule;
mod judge;
pub mod opening;
pub mod rule;
pub mod sequence;
pub mod ufw;

use std::rc::Rc;

use serde::Deserialize;

use super::{Explain, Kind, Stage};
use crate::error::{Error, Result};
use crate::finding::{Finding, State};
use crate::firewall::walk::Refusal;
use crate::firewall::{Chain, Family, Hook, Rule, Ruleset, Verdict};
use crate::host::Host;
use crate::plan::ItemPlan;

use boot::Loader;
use firewalld::Firewalld;
use judge::{Judged, Way};
use opening::{Closed, Opening};
use ufw::Ufw;

/// Chains by which firewalld's iptables backend is known.
const ZONES: [&str; 2] = ["INPUT_ZONES", "FORWARD_IN_ZONES"];

/// Services whose end takes their rules away.
const SERVICES: [&str; 4] = [
    "firewalld.service",
    "ufw.service",
    "iptables.service",
    "nftables.service",
];

/// `[ports]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ports {
    /// What other hosts must reach: `6443/tcp`, `2379-2380/tcp`, `8472/udp`.
    #[serde(default)]
    open: Vec<Opening>,
    /// The node ports of services: open too, and forwarded once kube-proxy has translated them.
    #[serde(default)]
    node_ports: Vec<Opening>,
}

/// What the host has.
#[derive(Debug)]
pub struct Observed {
    way: Way,
    /// The kernel's rules, or why they are not known.
    live: std::result::Result<Rc<Ruleset>, String>,
    /// What the boot's services load, or why that is not known.
    loaders: std::result::Result<Vec<Loader>, String>,
    firewalld: Option<Firewalld>,
    ufw: Option<Ufw>,
    /// A service of the firewall that is going to be stopped.
    waits_for: Option<&'static str>,
}

impl Kind for Ports {
    type Observed = Observed;
    // A firewall's service that was stopped or started before has left other rules.
    const STAGE: Stage = Stage::Use;
    const EXPLAIN: Explain = Explain {
        why: "the control plane, the kubelet, node ports and the overlay are reached from other \
              hosts; a firewall that drops their packets shows as time-outs in kubeadm join, in \
              kubectl logs and between pods.",
        looks_at: "live: would a new connection from another host pass every base chain on the \
                   input hook (for node ports on forward too), as the kernel's rules stand in order, \
                   nf_tables and legacy iptables, IPv4 and IPv6, whoever owns them. boot: the same \
                   of what the enabled services will load: firewalld's zone, ufw's rules, \
                   nftables.service's script, rules.v4 and rules.v6, /etc/sysconfig/iptables; with \
                   none enabled the boot's empty rule set accepts.",
        changes: "adds one rule (comment \"nodeprep\") before the one that refuses, in the running \
                  kernel and in the file the boot loads; where firewalld or ufw owns the firewall, \
                  through it. Other rules, their order and comments stay; live rules are never saved \
                  over a file.",
        undo: "remove the rules with the comment \"nodeprep\" (`nft -a list ruleset`, `iptables -S`) \
               and from the file; with firewalld `firewall-cmd --remove-port=PORT/tcp`, with and \
               without --permanent; with ufw `ufw delete allow PORT/tcp`.",
    };

    fn observe(&self, host: &Host) -> Result<Observed> {
        let text = |error: Error| error.to_string();
        let live = host.rules().map_err(text);
        let ufw = Ufw::observe(host, live.as_deref().ok())?;
        let mut way = Way::of(host)?;
        way.ipv6 &= !ufw.as_ref().is_some_and(Ufw::refuses_ipv6);
        Ok(Observed {
            way,
            loaders: Loader::all(host).map_err(text),
            firewalld: Firewalld::observe(host)?,
            ufw,
            live,
            waits_for: SERVICES.into_iter().find(|unit| host.will_stop(unit)),
        })
    }

    fn wants(&self, subject: &str) -> bool {
        let mut openings = self.open.iter().chain(&self.node_ports);
        openings.any(|opening| opening.to_string() == subject)
    }

    fn diff(&self, observed: &Observed) -> ItemPlan {
        let mut plan = ItemPlan::default();
        let openings = self.openings();
        let mut live = Vec::new();
        let mut boot = Vec::new();
        for opening in &openings {
            let states = (observed.live(opening), observed.boot(opening));
            live.extend(matches!(states.0, State::Differs { .. }).then(|| opening.clone()));
            boot.extend(matches!(states.1, State::Differs { .. }).then(|| opening.clone()));
            plan.findings
                .push(Finding::new(opening, states.0, states.1));
        }
        observed.files(&boot, &mut plan);
        let owned = observed.kernel(&live, &mut plan);
        if let Some(firewalld) = &observed.firewalld {
            let permanent = if firewalld.enabled { &*boot } else { &[] };
            if let Err(error) = firewalld.steps(permanent, &owned.firewalld, &mut plan) {
                let cause = State::unknown(error);
                plan.findings
                    .iter_mut()
                    .for_each(|f| f.boot = cause.clone());
            }
        }
        if let Some(ufw) = &observed.ufw {
            let permanent = if ufw.enabled { &*boot } else { &[] };
            ufw.steps(permanent, &owned.ufw, &mut plan);
        }
        plan
    }
}

impl Ports {
    /// All, each once, in order.
    fn openings(&self) -> Vec<Opening> {
        let forwarded = self.node_ports.iter().map(|opening| Opening {
            forward: true,
            ..opening.clone()
        });
        let mut all: Vec<Opening> = Vec::new();
        for opening in self.open.iter().cloned().chain(forwarded) {
            let same = |one: &&mut Opening| one.to_string() == opening.to_string();
            match all.iter_mut().find(same) {
                Some(one) => one.forward |= opening.forward,
                None => all.push(opening),
            }
        }
        all
    }
}

impl Observed {
    fn live(&self, opening: &Opening) -> State {
        match &self.live {
            _ if self.waits_for.is_some() => {
                let unit = self.waits_for.unwrap_or_default();
                State::blocked(format!("after {unit} is stopped"))
            }
            Ok(_) if self.is_loading() => {
                State::differs("firewalld is loading its rules", "accepted", None)
            }
            Ok(ruleset) => Judged::of(ruleset, &self.way, opening).state(None),
            Err(cause) => State::unknown(cause),
        }
    }

    /// Whether firewalld runs without rules in the kernel: it is started before it has loaded them,
    /// or somebody flushed them. Its own client waits for the former.
    fn is_loading(&self) -> bool {
        let of_firewalld =
            |chain: &Chain| chain.table.name == "firewalld" || ZONES.contains(&&*chain.name);
        let runs = self.firewalld.as_ref().is_some_and(|own| own.running);
        let rules = self.live.as_ref();
        runs && rules.is_ok_and(|rules| !rules.chains.iter().any(of_firewalld))
    }

    fn boot(&self, opening: &Opening) -> State {
        let mut states = Vec::new();
        match &self.loaders {
            Ok(loaders) => states.extend(loaders.iter().map(|loader| {
                let judged = Judged::of(loader.ruleset(), &self.way, opening);
                judged.state(loader.path())
            })),
            Err(cause) => states.push(State::unknown(cause)),
        }
        let firewalld = self.firewalld.iter().filter(|firewalld| firewalld.enabled);
        states.extend(firewalld.map(|firewalld| firewalld.boot(opening)));
        let ufw = self.ufw.iter().filter(|ufw| ufw.enabled);
        states.extend(ufw.map(|ufw| ufw.boot(opening)));
        let differs = states
            .iter()
            .find(|state| matches!(state, State::Differs { .. }));
        let other = states.iter().find(|state| **state != State::InSync);
        differs.or(other).cloned().unwrap_or(State::InSync)
    }

    /// The edits of the files that the boot's services load.
    fn files(&self, openings: &[Opening], plan: &mut ItemPlan) {
        for loader in self.loaders.iter().flatten() {
            let mut wanted = Vec::new();
            for opening in openings {
                Judged::of(loader.ruleset(), &self.way, opening).want(opening, &mut wanted);
            }
            if wanted.is_empty() {
                continue;
            }
            let mut serves: Vec<String> = Vec::new();
            for subject in wanted.iter().flat_map(|one| &one.serves) {
                if !serves.contains(subject) {
                    serves.push(subject.clone());
                }
            }
            for step in loader.steps(&wanted) {
                plan.boot(step, serves.clone());
            }
        }
    }

    /// The rules for the running kernel; gives back what a running firewalld or ufw refuses, which it
    /// is to open itself.
    fn kernel(&self, openings: &[Opening], plan: &mut ItemPlan) -> Owned {
        let mut owned = Owned::default();
        let Ok(ruleset) = &self.live else {
            return owned;
        };
        if self.is_loading() {
            owned
                .firewalld
                .extend(openings.iter().map(|opening| Closed {
                    opening: opening.clone(),
                    family: Family::Inet,
                    forward: false,
                }));
            return owned;
        }
        let mut wanted = Vec::new();
        for opening in openings {
            let mut judged = Judged::of(ruleset, &self.way, opening);
            judged.refusals.retain(|(hook, ipv6, refusal)| {
                let Some(owner) = self.owner(ruleset, refusal, &mut owned) else {
                    return true;
                };
                owner.push(Closed {
                    opening: opening.clone(),
                    family: if *ipv6 { Family::Ip6 } else { Family::Ip },
                    forward: *hook == Hook::Forward,
                });
                false
            });
            judged.want(opening, &mut wanted);
        }
        for (step, serves) in rule::live(ruleset, &wanted) {
            plan.live(step, serves);
        }
        owned
    }

    /// Whose a chain is that a running firewalld or ufw made: firewalld has a table of its own, or,
    /// with its iptables backend, chains for its zones in iptables' tables; so has ufw.
    fn owner<'a>(
        &self,
        ruleset: &Ruleset,
        refusal: &Refusal,
        owned: &'a mut Owned,
    ) -> Option<&'a mut Vec<Closed>> {
        let chain = ruleset.chains.get(refusal.chain)?;
        let has = |names: [&str; 2]| {
            let mut beside = ruleset.chains.iter().filter(|c| c.table == chain.table);
            beside.any(|other| names.contains(&&*other.name))
        };
        let zones = || chain.table.name == "firewalld" || has(ZONES);
        if self.firewalld.as_ref().is_some_and(|f| f.running) && zones() {
            return Some(&mut owned.firewalld);
        }
        // ufw's are jumped to and set the policy; what refuses beside them is somebody else's.
        let jumps =
            |rule: &Rule| matches!(&rule.verdict, Verdict::Jump(to) if to.starts_with("ufw"));
        let by = refusal.rule.and_then(|rule| chain.rules.get(rule));
        let runs = self.ufw.as_ref().is_some_and(|ufw| ufw.running) && by.is_none_or(jumps);
        (runs && has(["ufw-user-input", "ufw6-user-input"])).then_some(&mut owned.ufw)
    }
}

/// What is refused by a firewall that opens ports itself.
#[derive(Debug, Default)]
struct Owned {
    firewalld: Vec<Closed>,
    ufw: Vec<Closed>,
}

#[cfg(test)]
#[path = "ports/ports_test.rs"]
mod tests;
