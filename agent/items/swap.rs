//! Swap: the kubelet refuses to start while swap is on, and swap comes back at boot from more places
//! than fstab.

mod boot;
mod fstab;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Explain, Kind};
use crate::error::{Result, trouble};
use crate::finding::{Finding, State};
use crate::host::Host;
use crate::plan::ItemPlan;
use crate::step::{Due, Step};

use boot::Source;

/// `[swap]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Swap {
    /// The only state this kind brings about.
    #[allow(dead_code)] // it has one value: reading it is the check
    state: Wanted,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Wanted {
    Off,
}

/// One row of /proc/swaps (proc(5)).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Area {
    /// The device or file.
    pub path: PathBuf,
    /// Swapped out, in KiB.
    pub used_kib: u64,
    /// As swapon(2) was given it.
    pub priority: i32,
}

/// What the host has.
#[derive(Debug)]
pub struct Observed {
    areas: Vec<Area>,
    sources: Vec<Source>,
}

impl Kind for Swap {
    type Observed = Observed;
    const EXPLAIN: Explain = Explain {
        why: "the kubelet's failSwapOn is true by default: it does not start while swap is on, and \
              kubeadm's preflight warns. A node that swaps breaks the memory limits of its pods.",
        looks_at: "live: every row of /proc/swaps, zram included. boot: swap rows in /etc/fstab \
                   (noauto ones do not count), enabled .swap units, swap partitions that \
                   systemd-gpt-auto-generator finds on the root disk, zram-generator.conf, and the \
                   services zramswap, zram-config, dphys-swapfile and swapspace; systemd.swap=no \
                   and fstab=no on the kernel command line.",
        changes: "swapoff of each area, if what it holds fits into free memory; `#` before the fstab \
                  row, every other byte kept; units, services and generators masked by links to \
                  /dev/null (a unit you wrote in /etc keeps its file and loses the link that wants \
                  it); a packaged zram-generator.conf hidden by an empty one; then systemd reads its \
                  units again.",
        undo: "remove the `#`, remove the links in /etc/systemd/system and \
               /etc/systemd/system-generators and /etc/systemd/zram-generator.conf, `systemctl enable` \
               your own units, `systemctl daemon-reload`, `swapon -a`.",
    };

    fn observe(&self, host: &Host) -> Result<Observed> {
        Ok(Observed {
            areas: areas(host)?,
            sources: boot::sources(host)?,
        })
    }

    fn diff(&self, observed: &Observed) -> ItemPlan {
        let mut plan = ItemPlan::default();
        for (path, step, subjects) in boot::steps(&observed.sources) {
            tracing::debug!("{path:?} turns swap on at boot");
            plan.boot(step, subjects);
        }
        for area in &observed.areas {
            let step = Step::SwapOff {
                area: area.path.clone(),
            };
            plan.live(step, [area.path.display().to_string()]);
        }
        if !plan.steps.is_empty() {
            // Without it the unit that systemd made of the old fstab brings the area back.
            plan.due.push(Due::DaemonReload);
        }
        plan.findings = findings(observed);
        plan
    }
}

/// One finding an area or source of areas; one for `swap` itself where there is none.
fn findings(observed: &Observed) -> Vec<Finding> {
    let mut findings: Vec<Finding> = Vec::new();
    for area in &observed.areas {
        let from = match area.used_kib {
            0 => "on".to_owned(),
            used => format!("on, {} MiB used", used.div_ceil(1024)),
        };
        let subject = area.path.display().to_string();
        findings.push(Finding::new(
            subject,
            State::differs(from, "off", None),
            State::InSync,
        ));
    }
    for source in &observed.sources {
        let boot = State::differs("on", "off", Some(source.origin.clone()));
        match findings
            .iter_mut()
            .find(|finding| finding.subject == source.subject)
        {
            Some(finding) => finding.boot = boot,
            None => findings.push(Finding::new(&source.subject, State::InSync, boot)),
        }
    }
    if findings.is_empty() {
        findings.push(Finding::new("swap", State::InSync, State::InSync));
    }
    findings
}

/// The areas in use.
///
/// # Errors
/// Where /proc/swaps cannot be read or has a row that can't be parsed.
pub fn areas(host: &Host) -> Result<Vec<Area>> {
    let text = host.text(Path::new("/proc/swaps"))?.unwrap_or_default();
    text.lines()
        .skip(1)
        .map(|row| area(row).ok_or_else(|| trouble!("/proc/swaps: \"{row}\"")))
        .collect()
}

/// `Filename Type Size Used Priority`, sizes in KiB, white space in the name as `\040`
/// (mm/swapfile.c, `swap_show`).
fn area(row: &str) -> Option<Area> {
    let mut columns = row.split_whitespace();
    let path = PathBuf::from(unescape(columns.next()?));
    let used_kib = columns.nth(2)?.parse().ok()?;
    let priority = columns.next()?.parse().ok()?;
    Some(Area {
        path,
        used_kib,
        priority,
    })
}

/// Octal escapes of fstab and /proc (getmntent(3)).
fn unescape(field: &str) -> String {
    let mut text = field.to_owned();
    for (escape, letter) in [
        ("\\040", " "),
        ("\\011", "\t"),
        ("\\012", "\n"),
        ("\\134", "\\"),
    ] {
        text = text.replace(escape, letter);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_rows() {
        let row = "/var/swap\\040file                       file\t\t65532\t\t12\t\t-2";
        let expected = Area {
            path: "/var/swap file".into(),
            used_kib: 12,
            priority: -2,
        };
        assert_eq!(area(row), Some(expected));
        assert_eq!(area("/dev/zram0 partition 1 x 5"), None);
    }
}
