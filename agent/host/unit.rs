//! Whether a unit runs, from what systemd and the kernel have in files: no question to systemd, which
//! a check would have to wait for. Who changes a unit asks systemd itself.

use std::path::{Path, PathBuf};

use super::Host;
use crate::error::{Result, trouble};

/// Where systemd has the groups of system services: unified, then legacy and hybrid
/// (systemd's docs, CGROUP_DELEGATION).
const GROUPS: [&str; 3] = [
    "/sys/fs/cgroup/system.slice",
    "/sys/fs/cgroup/systemd/system.slice",
    "/sys/fs/cgroup/unified/system.slice",
];
/// From 235 on systemd has a link here for each unit it has started a process for, and takes it away
/// once the unit is inactive or has failed (src/core/unit.c, `unit_export_state_files`,
/// `unit_unlink_state_files`).
const UNITS: &str = "/run/systemd/units";
/// Units that have processes of their own.
const WITH_PROCESSES: [&str; 3] = [".service", ".mount", ".swap"];

/// What systemd says of a unit.
#[derive(Debug, Default)]
pub(super) struct UnitState {
    active: String,
    sub: String,
    /// Whether its files say something else than systemd has read of them.
    pub is_stale: bool,
}

impl UnitState {
    /// Whether it runs, or is on its way there or back.
    pub fn is_active(&self) -> bool {
        !["inactive", "failed"].contains(&self.active.as_str())
    }

    /// Whether it was started and has ended by itself: failed, or about to be tried again.
    pub fn has_failed(&self) -> bool {
        self.active == "failed" || self.sub == "auto-restart"
    }
}

impl Host {
    /// Whether a system service has a process. One that started none, or ended, has not.
    ///
    /// # Errors
    /// Where the kernel's list cannot be read.
    pub fn has_processes(&self, unit: &str) -> Result<bool> {
        self.note_unit(unit);
        for group in GROUPS {
            let list = Path::new(group).join(unit).join("cgroup.procs");
            if self
                .text(&list)?
                .is_some_and(|list| !list.trim().is_empty())
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether a unit is active, also where its program has ended and it remains so; none for units
    /// of which no file tells, such as timers. An active socket has a group where systemd makes it in
    /// one; another may be active too.
    ///
    /// # Errors
    /// Where what tells cannot be looked up.
    pub fn is_active(&self, unit: &str) -> Result<Option<bool>> {
        if !WITH_PROCESSES.iter().any(|kind| unit.ends_with(kind)) {
            return Ok(self.has_group(unit)?.then_some(true));
        }
        if self.is_directory(Path::new(UNITS))? {
            return Ok(Some(self.link(&invocation(unit))?.is_some()));
        }
        // Before 235: the group of an active unit stays, with or without processes, and containerd's
        // may stay after it, with those of its containers.
        self.has_group(unit).map(Some)
    }

    /// A unit that is started or ends changes its link.
    pub(super) fn note_unit(&self, unit: &str) {
        self.note_path(&invocation(unit));
    }

    fn has_group(&self, unit: &str) -> Result<bool> {
        for group in GROUPS.map(Path::new) {
            let list = group.join(unit).join("cgroup.procs");
            if self.kind(&list)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Asks systemd.
    pub(super) fn unit_state(&self, unit: &str) -> Result<UnitState> {
        let properties = "--property=LoadState,ActiveState,SubState,NeedDaemonReload";
        let argv = ["systemctl", "show", properties, unit];
        let text = self.words(&argv)?;
        let mut state = UnitState::default();
        for (name, value) in text.lines().filter_map(|line| line.split_once('=')) {
            match name {
                "ActiveState" => value.clone_into(&mut state.active),
                "SubState" => value.clone_into(&mut state.sub),
                // A mask that is gone is none of what 247 looks at (unit_need_daemon_reload).
                "LoadState" => state.is_stale |= value != "loaded",
                "NeedDaemonReload" => state.is_stale |= value == "yes",
                _ => {}
            }
        }
        match state.active.is_empty() {
            true => Err(trouble!("{}: no ActiveState in \"{text}\"", argv.join(" "))),
            false => Ok(state),
        }
    }
}

fn invocation(unit: &str) -> PathBuf {
    Path::new(UNITS).join(format!("invocation:{unit}"))
}
