//! What the clock follows: one of several daemons, and never two of them.

use super::{CLOCK, SOURCE};
use crate::boot::enablement::{Boot, Unit};
use crate::error::Result;
use crate::finding::{Finding, Origin, State};
use crate::host::{Clock, Host};
use crate::plan::ItemPlan;
use crate::step::{Due, Step};

/// The daemons, the one that is taken first where none is enabled: chrony is Debian's chrony.service
/// and EL's chronyd.service, ntpd Debian's ntp.service (ntpsec.service from 12 on) and EL 7's ntpd.service.
const DAEMONS: [&str; 7] = [
    "chrony.service",
    "chronyd.service",
    "ntpsec.service",
    "ntp.service",
    "ntpd.service",
    "openntpd.service",
    "systemd-timesyncd.service",
];
/// Kubernetes' parts compare times of one second (leases); a clock that may be further off is no good.
const MOST_ERROR_MS: u64 = 1000;

/// What the host has.
#[derive(Debug)]
pub struct Source {
    daemons: Vec<(Unit, Option<bool>)>,
    clock: Result<Option<Clock>>,
    not_here: Option<&'static str>,
}

impl Source {
    pub fn read(host: &Host) -> Result<Self> {
        let mut daemons: Vec<(Unit, Option<bool>)> = Vec::new();
        for name in DAEMONS {
            let unit = Unit::read(host, name)?;
            if unit.is_installed() && daemons.iter().all(|(known, _)| known.name != unit.name) {
                let active = host.is_active(&unit.name)?;
                daemons.push((unit, active));
            }
        }
        Ok(Self {
            daemons,
            clock: host.clock(),
            not_here: host.no_live().or(host.no_boot()),
        })
    }

    pub fn add(&self, plan: &mut ItemPlan) {
        let enabled = |(unit, _): &&(Unit, _)| unit.enabled_by().is_some();
        let mut started = self.daemons.iter().filter(enabled);
        let (one, other) = (started.next(), started.next());
        let Some((unit, active)) =
            one.or(self.daemons.iter().find(|(unit, _)| unit.mask().is_none()))
        else {
            let reason =
                "no daemon that is not masked sets the clock: install chrony, or systemd-timesyncd";
            let state = State::blocked(reason);
            plan.findings
                .push(Finding::new(SOURCE, state.clone(), state));
            return plan
                .findings
                .push(Finding::new(CLOCK, self.clock(), State::InSync));
        };
        let (mut boot, steps) = unit.boot(Boot::Enabled);
        if !steps.is_empty() {
            super::due(plan, Due::DaemonReload);
        }
        for step in steps {
            plan.boot(step, [SOURCE]);
        }
        if let Some((other, _)) = other {
            let from = format!("{} and {}", unit.name, other.name);
            boot = State::differs(from, "one of them", other.enabled_by().map(Origin::file));
        }
        let live = match (self.not_here, active) {
            (Some(reason), _) => State::not_applicable(reason),
            (None, Some(true)) => State::InSync,
            (None, _) => {
                let from = format!("{} does not run", unit.name);
                State::differs(from, "running", None)
            }
        };
        if matches!(live, State::Differs { .. }) {
            plan.live(Step::switch(&unit.name, true), [SOURCE]);
        }
        plan.findings.push(Finding::new(SOURCE, live, boot));
        plan.findings
            .push(Finding::new(CLOCK, self.clock(), State::InSync));
    }

    fn clock(&self) -> State {
        if let Some(reason) = self.not_here {
            return State::not_applicable(reason);
        }
        match &self.clock {
            Err(cause) => State::unknown(cause),
            Ok(None) => State::not_applicable("a tree has no clock"),
            // chrony.conf(5), rtcsync: without it the kernel is not told.
            Ok(Some(clock)) if !clock.synchronised => State::differs(
                "not synchronised (no server answered yet, or chrony.conf has no rtcsync)",
                "synchronised",
                None,
            ),
            Ok(Some(clock)) if clock.error_ms > MOST_ERROR_MS => {
                let from = format!("may be off by {} ms", clock.error_ms);
                State::differs(from, format!("at most {MOST_ERROR_MS} ms"), None)
            }
            Ok(Some(_)) => State::InSync,
        }
    }
}
