//! Time: certificates are valid from one moment to another and etcd's leases count seconds, so nodes
//! whose clocks differ lose each other; and whoever reads their logs wants them in one time zone.

pub(crate) mod clock;
mod source;
mod zone;

use serde::Deserialize;

use super::{Explain, Kind};
use crate::error::Result;
use crate::host::Host;
use crate::plan::ItemPlan;
use crate::step::Due;

use clock::Rtc;
use source::Source;
use zone::{Zone, ZoneName};

/// Subjects.
const ZONE: &str = "zone";
const RTC: &str = "rtc";
const SOURCE: &str = "source";
const CLOCK: &str = "clock";

/// `[time]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Time {
    /// The time zone, by its name in /usr/share/zoneinfo.
    zone: Option<ZoneName>,
    /// What the hardware clock keeps.
    rtc: Option<clock::Scale>,
    /// Whether the clock is to follow a server, by a daemon that the boot starts. Only `true` is
    /// looked after.
    #[serde(default)]
    synchronised: bool,
}

/// What the host has of what is wanted.
#[derive(Debug)]
pub struct Observed {
    zone: Option<Zone>,
    rtc: Option<Rtc>,
    source: Option<Source>,
}

impl Kind for Time {
    type Observed = Observed;
    const EXPLAIN: Explain = Explain {
        why: "kubeadm's certificates and tokens are valid by the clock, etcd's leases and leader \
              elections count on it, and logs of several nodes are read side by side.",
        looks_at: "zone: where /etc/localtime leads, and /etc/timezone where there is one. rtc: the \
                   third line of /etc/adjtime. source: the boot links and the state of chrony, ntpd or \
                   systemd-timesyncd, whichever is installed. clock: what the kernel says of its \
                   clock (adjtimex(2)): followed by a daemon, and how far off it can be.",
        changes: "the link /etc/localtime and the name in /etc/timezone, then restarts rsyslog and cron \
                  where they run; UTC in /etc/adjtime, and the hardware clock is set to it; enables and \
                  starts the installed source. It sets no clock, and chooses no servers.",
        undo: "`timedatectl set-timezone ZONE`, `timedatectl set-local-rtc 1`, `systemctl disable --now` \
               of the source.",
    };

    fn observe(&self, host: &Host) -> Result<Observed> {
        Ok(Observed {
            zone: self
                .zone
                .as_ref()
                .map(|zone| Zone::read(host, zone))
                .transpose()?,
            rtc: self.rtc.map(|_| Rtc::read(host)).transpose()?,
            source: self.synchronised.then(|| Source::read(host)).transpose()?,
        })
    }

    fn wants(&self, subject: &str) -> bool {
        match subject {
            ZONE => self.zone.is_some(),
            RTC => self.rtc.is_some(),
            _ => self.synchronised,
        }
    }

    fn diff(&self, observed: &Observed) -> ItemPlan {
        let mut plan = ItemPlan::default();
        if let (Some(wanted), Some(zone)) = (&self.zone, &observed.zone) {
            zone.add(wanted, &mut plan);
        }
        if let (Some(wanted), Some(rtc)) = (self.rtc, &observed.rtc) {
            rtc.add(wanted, &mut plan);
        }
        if let Some(source) = &observed.source {
            source.add(&mut plan);
        }
        plan
    }
}

/// Adds what is due, once.
fn due(plan: &mut ItemPlan, due: Due) {
    if !plan.due.contains(&due) {
        plan.due.push(due);
    }
}

#[cfg(test)]
#[path = "time/time_test.rs"]
mod tests;
