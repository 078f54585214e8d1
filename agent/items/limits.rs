//! Limits of services: a containerd that may open 1024 files drops its pods' connections under load,
//! and limits.conf(5), where people set them, is not for services.

mod value;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{Explain, Kind};
use crate::boot::{dropins, services, units};
use crate::error::Result;
use crate::finding::{Finding, Origin, State};
use crate::host::Host;
use crate::plan::ItemPlan;
use crate::step::{Due, Owner, Step};
use crate::template;
use crate::text::section;

use value::{Limit, Unit, Value};

/// Sorts behind all others, so that what it says is what counts.
const FILE: &str = "zzz-nodeprep-limits.conf";
const SECTION: &str = "Service";
/// No process can have more open files than this allows (setrlimit(2), RLIMIT_NOFILE).
const NR_OPEN: &str = "/proc/sys/fs/nr_open";
/// Where the kernel has a service's group: cgroup v2, and v1's controller of processes.
const GROUPS: [&str; 2] = [
    "/sys/fs/cgroup/system.slice",
    "/sys/fs/cgroup/pids/system.slice",
];

/// `[limits]`: by service, the settings of systemd.exec(5) and systemd.resource-control(5) by their
/// own names.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Limits(BTreeMap<Unit, BTreeMap<Limit, Value>>);

/// What the host has, in the order of the services.
#[derive(Debug)]
pub struct Observed(Vec<Result<Option<Found>>>);

/// A service that is installed.
#[derive(Debug)]
struct Found {
    /// The line that decides each wanted limit, in their order.
    boot: Vec<Option<(String, Origin)>>,
    /// What the running process has; none where it does not run.
    live: Option<Vec<Result<Option<Value>>>>,
    /// The file that changed after it had started.
    older: Option<PathBuf>,
    path: PathBuf,
    old: Option<Vec<u8>>,
    not_here: Option<&'static str>,
    /// How many files any process can have open.
    most: Option<u64>,
}

impl Kind for Limits {
    type Observed = Observed;
    const EXPLAIN: Explain = Explain {
        why: "containerd and the kubelet keep a file open for each connection and log of each pod; \
              what /etc/security/limits.conf says is for logins, not for services.",
        looks_at: "live: /proc/PID/limits of the service's process, pids.max of its cgroup. boot: the \
                   last assignment in the unit file and its drop-ins. A program may raise its soft \
                   limit up to the hard one, as those written in Go do.",
        changes: "the limits named, in /etc/systemd/system/UNIT.d/zzz-nodeprep-limits.conf; systemd \
                  reads its units again and the service, if it runs, is restarted once.",
        undo: "remove that file; `systemctl daemon-reload; systemctl restart UNIT`.",
    };

    fn observe(&self, host: &Host) -> Result<Observed> {
        let units = self.0.iter();
        let found = units.map(|(unit, limits)| Found::look(host, unit.name(), limits));
        Ok(Observed(found.collect()))
    }

    fn wants(&self, subject: &str) -> bool {
        let mut units = self.0.iter();
        units.any(|(unit, limits)| limits.keys().any(|limit| named(unit, *limit) == subject))
    }

    fn wants_file(&self, path: &Path) -> bool {
        let mut units = self.0.keys();
        units.any(|unit| file(unit.name()).starts_with(path))
    }

    fn diff(&self, observed: &Observed) -> ItemPlan {
        let mut plan = ItemPlan::default();
        for ((unit, limits), found) in self.0.iter().zip(&observed.0) {
            let state = match found {
                Ok(Some(found)) => {
                    found.add(unit, limits, &mut plan);
                    continue;
                }
                Ok(None) => State::blocked(format!("{} is not installed", unit.name())),
                Err(cause) => State::unknown(cause),
            };
            let finding =
                |limit: &Limit| Finding::new(named(unit, *limit), state.clone(), state.clone());
            plan.findings.extend(limits.keys().map(finding));
        }
        plan
    }
}

impl Found {
    fn look(host: &Host, unit: &str, limits: &BTreeMap<Limit, Value>) -> Result<Option<Self>> {
        let Some(service) = services::read(host, unit)? else {
            return Ok(None);
        };
        let not_here = host.no_live().or(host.no_boot());
        let program = service.program().unwrap_or_default();
        let process = match not_here {
            None => host.process(unit, program)?,
            Some(_) => None,
        };
        let most = host.text(Path::new(NR_OPEN))?;
        let path = file(unit);
        let texts = texts(host, unit)?;
        let mut files: Vec<PathBuf> = texts.iter().map(|(path, _)| path.clone()).collect();
        files.push(path.clone());
        let (mut live, mut older) = (None, None);
        if let Some(process) = process {
            let rows = Path::new("/proc").join(&process.id).join("limits");
            let rows = host.text(&rows)?.unwrap_or_default();
            let each = limits
                .keys()
                .map(|limit| running(host, unit, *limit, &rows));
            live = Some(each.collect());
            if let Some(started) = host.started(unit, program)? {
                older = host.changed_since(started, &files)?;
            }
        }
        Ok(Some(Self {
            boot: limits.keys().map(|limit| decides(&texts, *limit)).collect(),
            live,
            older,
            old: host.bytes(&path)?.map(|bytes| bytes.to_vec()),
            path,
            not_here,
            most: most.and_then(|text| text.trim().parse().ok()),
        }))
    }

    fn add(&self, unit: &Unit, limits: &BTreeMap<Limit, Value>, plan: &mut ItemPlan) {
        let mut differing = Vec::new();
        let mut is_old = false;
        for (index, (limit, wanted)) in limits.iter().enumerate() {
            let boot = match self.boot.get(index).and_then(Option::as_ref) {
                Some((text, _)) if limit.parse(text).as_ref() == Some(wanted) => State::InSync,
                Some((text, origin)) => {
                    State::differs(text.as_str(), wanted.to_string(), Some(origin.clone()))
                }
                None => State::differs("not set", wanted.to_string(), None),
            };
            let live = self.running(index, *limit, wanted);
            is_old |= self.older.is_some() && matches!(live, State::Differs { .. });
            if boot != State::InSync {
                differing.push((limit.name(), wanted.to_string(), named(unit, *limit)));
            }
            plan.findings
                .push(Finding::new(named(unit, *limit), live, boot));
        }
        let mut is_written = false;
        if !differing.is_empty() {
            let header = template::header("limits.conf").into_bytes();
            let old = self
                .old
                .as_ref()
                .filter(|old| !old.is_empty())
                .unwrap_or(&header);
            let keys = differing
                .iter()
                .map(|(name, value, _)| (*name, value.as_str()));
            let content = section::set(old, SECTION, |a, b| a == b, keys);
            let serves = differing.iter().map(|(.., subject)| subject.as_str());
            // It is the same where a later drop-in wins: nothing of ours would change that.
            is_written = self.old.as_deref() != Some(&content);
            if is_written {
                plan.boot(Step::write(&self.path, content, Owner::Ours), serves);
            }
        }
        if is_old || is_written {
            self.add_due(unit, plan);
        }
    }

    fn add_due(&self, unit: &Unit, plan: &mut ItemPlan) {
        let restart = Due::Restart {
            unit: unit.name().to_owned(),
            ready: None,
        };
        let running = self.live.as_ref().map(|_| restart);
        for due in std::iter::once(Due::DaemonReload).chain(running) {
            if !plan.due.contains(&due) {
                plan.due.push(due);
            }
        }
    }

    fn running(&self, index: usize, limit: Limit, wanted: &Value) -> State {
        let Some(live) = &self.live else {
            return State::not_applicable(self.not_here.unwrap_or("it does not run"));
        };
        let capped = |value: &Value| match limit {
            Limit::OpenFiles => value.or_infinite_from(self.most),
            _ => *value,
        };
        match live.get(index) {
            Some(Ok(Some(now))) if capped(now).is_within(&capped(wanted)) => State::InSync,
            Some(Ok(Some(now))) => {
                let origin = self.older.as_deref().map(|path| {
                    Origin::Other(format!("started before {} changed", path.display()))
                });
                State::differs(now.to_string(), wanted.to_string(), origin)
            }
            Some(Err(cause)) => State::unknown(cause),
            _ => State::not_applicable(format!("this kernel tells no {}", limit.name())),
        }
    }
}

fn file(unit: &str) -> PathBuf {
    units::mask_path(&format!("{unit}.d")).join(FILE)
}

fn named(unit: &Unit, limit: Limit) -> String {
    format!("{} {}", unit.name(), limit.name())
}

/// The unit file and the drop-ins for it and for all services, in the order systemd reads them: by
/// file name, those of the unit itself hiding their namesakes (systemd.unit(5)).
fn texts(host: &Host, unit: &str) -> Result<Vec<(PathBuf, String)>> {
    let mut files = BTreeMap::new();
    for directory in ["service.d".to_owned(), format!("{unit}.d")] {
        for file in dropins::read(host, &format!("systemd/system/{directory}"))? {
            let name = file.path.file_name().unwrap_or_default().to_owned();
            files.insert(name, (file.path, file.text));
        }
    }
    let mut all = Vec::new();
    if let Some(path) = units::file(host, unit)? {
        let text = host.text(&path)?.unwrap_or_default();
        all.push((path, text));
    }
    all.extend(files.into_values());
    Ok(all)
}

/// The last line that sets a limit, if it was not taken back by an empty one.
fn decides(texts: &[(PathBuf, String)], limit: Limit) -> Option<(String, Origin)> {
    let mut decides = None;
    for (path, text) in texts {
        for (line, name, value) in section::assignments(text.as_bytes(), SECTION) {
            if name == limit.name() {
                let origin = Origin::line(path, line);
                decides = (!value.is_empty()).then_some((value, origin));
            }
        }
    }
    decides
}

/// What a running service has.
fn running(host: &Host, unit: &str, limit: Limit, rows: &str) -> Result<Option<Value>> {
    let Some(row) = limit.row() else {
        for group in GROUPS.map(Path::new) {
            if let Some(text) = host.text(&group.join(unit).join("pids.max"))? {
                return Ok(value::of_kernel(&text));
            }
        }
        return Ok(None);
    };
    let found = rows.lines().find_map(|line| line.strip_prefix(row));
    Ok(found.and_then(value::of_kernel))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted() -> (Unit, BTreeMap<Limit, Value>) {
        let text = "\"a.service\" = { LimitNOFILE = 1048576, TasksMax = \"infinity\" }";
        let Limits(mut all) = toml::from_str(text).unwrap();
        all.pop_first().unwrap()
    }

    fn found(texts: &[(PathBuf, String)], live: Option<[&str; 2]>, is_older: bool) -> Found {
        let (_, limits) = wanted();
        let live = live.map(|live| live.map(|text| Ok(value::of_kernel(text))).into());
        Found {
            boot: limits.keys().map(|limit| decides(texts, *limit)).collect(),
            live,
            older: is_older.then(|| "/etc/x.conf".into()),
            path: file("a.service"),
            old: None,
            not_here: None,
            most: Some(1 << 30),
        }
    }

    fn plan(found: &Found) -> ItemPlan {
        let (unit, limits) = wanted();
        let mut plan = ItemPlan::default();
        found.add(&unit, &limits, &mut plan);
        plan
    }

    fn texts(dropin: &str) -> Vec<(PathBuf, String)> {
        let unit = "[Unit]\nLimitNOFILE=3\n[Service]\nLimitNOFILE=infinity\nTasksMax=infinity\n";
        vec![
            ("/usr/lib/systemd/system/a.service".into(), unit.into()),
            (
                "/etc/systemd/system/a.service.d/x.conf".into(),
                dropin.into(),
            ),
        ]
    }

    #[test]
    fn the_last_line_decides_and_is_named() {
        let found = found(&texts("[Service]\nLimitNOFILE=1024:4096\n"), None, false);
        let plan = plan(&found);
        let origin = Origin::line(Path::new("/etc/systemd/system/a.service.d/x.conf"), 2);
        let expected = State::differs("1024:4096", "1048576", Some(origin));
        assert_eq!(plan.findings[0].boot, expected);
        assert_eq!(plan.findings[1].boot, State::InSync);
        assert_eq!(plan.due, [Due::DaemonReload]);
        let text = String::from_utf8(plan.steps[0].step.content().to_vec()).unwrap();
        assert!(text.ends_with("[Service]\nLimitNOFILE=1048576\n"), "{text}");
    }

    #[test]
    fn a_service_with_the_right_files_is_restarted_only_where_it_is_older() {
        let right = texts("[Service]\nLimitNOFILE=1024:524288\nLimitNOFILE=1048576\n");
        let live = Some(["1024 524288 files", "max\n"]);
        assert!(plan(&found(&right, live, false)).due.is_empty());
        let old = plan(&found(&right, live, true));
        assert_eq!(old.due.len(), 2);
        assert!(old.steps.is_empty());
        let same = plan(&found(&right, Some(["1048576 1048576 files", "max"]), true));
        assert!(!same.has_work());
        assert!(same.findings.iter().all(|f| f.live == State::InSync));
    }
}
