//! Whether a service runs, from the kernel's list of its processes: no question to systemd, which a
//! check would have to wait for.

use std::path::Path;

use super::Host;
use crate::error::Result;

/// Where systemd has the groups of system services: unified, then legacy and hybrid
/// (systemd's docs, CGROUP_DELEGATION).
const GROUPS: [&str; 3] = [
    "/sys/fs/cgroup/system.slice",
    "/sys/fs/cgroup/systemd/system.slice",
    "/sys/fs/cgroup/unified/system.slice",
];

impl Host {
    /// Whether a system service has a process. One that started none, or ended, has not.
    ///
    /// # Errors
    /// Where the kernel's list cannot be read.
    pub fn has_processes(&self, unit: &str) -> Result<bool> {
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
}
