//! Services: a firewalld beside iptables-services, a postfix that nobody asked for or a kubelet that
//! the boot does not start are what a node's manual begins with, and what a package's next update
//! brings back.

mod wanted;

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::{Explain, Kind};
use crate::boot::enablement::{Boot, Unit};
use crate::error::Result;
use crate::finding::{Finding, Origin, State};
use crate::host::Host;
use crate::plan::ItemPlan;
use crate::step::{Due, Step};

pub use wanted::{Run, UnitName, Wanted};

/// `[services]`: units by name, and what each should be.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Services {
    units: BTreeMap<UnitName, Wanted>,
}

/// One unit as it is, in the order of the profile's.
#[derive(Debug)]
pub struct Observed {
    unit: Unit,
    /// Whether it runs; none where no file tells.
    active: Option<bool>,
    /// One that is active and would start it.
    waiting: Option<String>,
    /// Why there is no systemd here to ask.
    not_here: Option<&'static str>,
    /// Units that can't run beside it and that the boot starts, with the link.
    rivals: Vec<(String, Origin)>,
}

impl Kind for Services {
    type Observed = Vec<Observed>;
    const EXPLAIN: Explain = Explain {
        why: "a firewall beside another, a mail server nobody reads, an automatic update that restarts \
              containerd: what runs on a node and what its boot starts is part of its preparation; \
              kubeadm's preflight warns where the kubelet is not enabled.",
        looks_at: "boot: the links that `systemctl enable` makes, in every .wants, .requires and \
                   .upholds directory, aliases and masks; sockets, timers and paths that would start \
                   the unit; links to scripts of SysV's init. live: /run/systemd/units, where systemd \
                   lists the units it runs processes for (before 235: their cgroups). Whether a timer or \
                   socket is active no file tells: there the boot counts.",
        changes: "makes or removes the links that `systemctl enable`, `disable`, `mask` and `unmask` \
                  would, with those of `Also=` and of what would start the unit; starts or stops it. \
                  A link of a package in /usr/lib can't be removed: only a mask holds against it.",
        undo: "`systemctl enable --now UNIT`, `systemctl disable --now UNIT`, `systemctl unmask UNIT`.",
    };

    fn observe(&self, host: &Host) -> Result<Vec<Observed>> {
        let mut all = Vec::new();
        for (name, wanted) in &self.units {
            let unit = Unit::read(host, name.as_str())?;
            let rivals = match wanted.boot {
                Some(Boot::Enabled) => self.rivals(host, &unit)?,
                _ => Vec::new(),
            };
            let mut waiting = None;
            for trigger in &unit.triggers {
                if host.is_active(&trigger.name)? == Some(true) {
                    waiting = Some(trigger.name.clone());
                }
            }
            all.push(Observed {
                active: host.is_active(&unit.name)?,
                waiting,
                not_here: host.no_live().or(host.no_boot()),
                rivals,
                unit,
            });
        }
        Ok(all)
    }

    fn wants(&self, subject: &str) -> bool {
        self.units.keys().any(|name| name.as_str() == subject)
    }

    fn diff(&self, observed: &Vec<Observed>) -> ItemPlan {
        let mut plan = ItemPlan::default();
        for ((name, wanted), found) in self.units.iter().zip(observed) {
            found.add(name.as_str(), *wanted, &mut plan);
        }
        plan
    }
}

impl Services {
    /// What the boot would start beside a unit that says it can't run beside it, unless this profile
    /// takes it away; or what this profile has it start.
    fn rivals(&self, host: &Host, unit: &Unit) -> Result<Vec<(String, Origin)>> {
        let mut rivals = Vec::new();
        let conflicts = unit.service.iter().flat_map(|service| &service.conflicts);
        for name in conflicts.filter(|name| name.ends_with(".service")) {
            let known = UnitName::try_from(name.clone()).ok();
            let wanted = known.and_then(|name| self.units.get(&name)).copied();
            if wanted
                .is_some_and(|wanted| matches!(wanted.boot, Some(boot) if boot != Boot::Enabled))
            {
                continue;
            }
            let other = Unit::read(host, name)?;
            let origin = match other.enabled_by() {
                Some(link) => Some(Origin::file(link)),
                None => wanted
                    .and_then(|wanted| wanted.boot)
                    .map(|_| Origin::Other("the profile".into())),
            };
            if let Some(origin) = origin.filter(|_| other.name != unit.name) {
                rivals.push((other.name.clone(), origin));
            }
        }
        Ok(rivals)
    }
}

impl Observed {
    fn add(&self, subject: &str, wanted: Wanted, plan: &mut ItemPlan) {
        let (mut boot, mut steps) = match wanted.boot {
            Some(boot) => self.unit.boot(boot),
            None => (
                State::not_applicable("the profile does not say"),
                Vec::new(),
            ),
        };
        if let Some(link) = claimed_twice(&steps, plan) {
            let to = "enabled (two units have this link in their [Install] section)";
            boot = State::differs("disabled", to, Some(Origin::file(link)));
            steps.clear();
        }
        if let (Some((rival, origin)), true) = (self.rivals.first(), self.unit.is_installed()) {
            // Which of the two the boot would leave running is chance.
            let from = format!("beside {rival}, with which it conflicts");
            boot = State::differs(from, "enabled alone", Some(origin.clone()));
            steps.clear();
        }
        let changed = !steps.is_empty();
        for step in steps {
            plan.boot(step, [subject]);
        }
        if changed && !plan.due.contains(&Due::DaemonReload) {
            plan.due.push(Due::DaemonReload);
        }
        let live = match wanted.run {
            Some(run) => self.live(run),
            None => State::not_applicable("the profile does not say"),
        };
        // Of what no file tells, the links were wrong: so may be what runs.
        let unseen = changed
            && (self.active.is_none() || !self.unit.triggers.is_empty())
            && self.not_here.is_none();
        if let Some(run) = wanted.run
            && (unseen || matches!(live, State::Differs { .. }))
        {
            for step in self.switch(run) {
                plan.live(step, [subject]);
            }
        }
        plan.findings.push(Finding::new(subject, live, boot));
    }

    fn live(&self, wanted: Run) -> State {
        let name = &self.unit.name;
        let ends = self
            .unit
            .service
            .as_ref()
            .is_some_and(|service| service.ends());
        match (self.not_here, self.active, wanted) {
            (Some(reason), ..) => State::not_applicable(reason),
            _ if !self.unit.is_installed() && wanted == Run::Running => self.unit.absent(),
            (_, Some(false), Run::Running) if ends => {
                State::not_applicable(format!("{name} ends once it has done its work"))
            }
            (_, Some(false), Run::Stopped) if let Some(trigger) = &self.waiting => {
                let from = format!("{trigger} waits to start it");
                State::differs(from, "stopped", None)
            }
            (_, Some(true), Run::Running) | (_, Some(false), Run::Stopped) => State::InSync,
            (_, Some(false), Run::Running) => State::differs("not running", "running", None),
            (_, Some(true), Run::Stopped) => State::differs("running", "stopped", None),
            (_, None, _) => {
                State::not_applicable(format!("no file tells whether {name} is active"))
            }
        }
    }

    /// What would start a unit again is stopped before it.
    fn switch(&self, run: Run) -> Vec<Step> {
        let on = run == Run::Running;
        let triggers = self.unit.triggers.iter().filter(|_| !on);
        let mut steps: Vec<Step> = triggers
            .map(|unit| Step::switch(&unit.name, false))
            .collect();
        if self.active != Some(on) {
            steps.push(Step::switch(&self.unit.name, on));
        }
        steps
    }
}

/// The first link that these steps or the plan have for another target too: systemctl makes it for one
/// of them and refuses the other.
fn claimed_twice<'a>(steps: &'a [Step], plan: &ItemPlan) -> Option<&'a Path> {
    let link = |step: &'a Step| match step {
        Step::WriteLink { path, target } => Some((path, target)),
        _ => None,
    };
    let is_other = |step: &Step, path, to| matches!(step, Step::WriteLink { path: at, target } if at == path && target != to);
    let planned = || plan.steps.iter().map(|planned| &planned.step);
    steps.iter().filter_map(link).find_map(|(path, to)| {
        let mut all = planned().chain(steps);
        all.any(|step| is_other(step, path, to))
            .then_some(path.as_path())
    })
}

#[cfg(test)]
#[path = "services/services_test.rs"]
pub(crate) mod tests;
