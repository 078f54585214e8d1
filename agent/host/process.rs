//! Other processes, as people know them.

use std::fs::read_to_string;

/// The name of a process (proc_pid_comm(5)); none where it has ended.
pub(super) fn comm(pid: i32) -> Option<String> {
    let text = read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some(text.trim_end().to_owned())
}

/// `apt-get (process 812)`
pub(super) fn named(pid: i32) -> String {
    match comm(pid) {
        Some(name) => format!("{name} (process {pid})"),
        None if pid == 0 => "a process of another container".into(),
        None => format!("process {pid}"),
    }
}

/// `sh (cron.service)`: by its name, or that which is known, and by what systemd started it for. No
/// number: whoever is started anew each time is the same.
pub(super) fn in_unit(pid: i32, name: Option<&str>) -> String {
    let name = name.map(str::to_owned).or_else(|| comm(pid));
    let name = name.unwrap_or_else(|| "a process that has ended since".into());
    let groups = read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    match unit(&groups) {
        Some(unit) => format!("{name} ({unit})"),
        None => name,
    }
}

/// The unit of a process by its control groups (cgroups(7), /proc/PID/cgroup): the innermost that is
/// one, in the hierarchy that is systemd's.
fn unit(groups: &str) -> Option<&str> {
    let path = |line: &'static str| groups.lines().find_map(|one| one.split_once(line));
    let (_, path) = path(":name=systemd:").or_else(|| path("0::"))?;
    let is_unit = |name: &&str| name.ends_with(".service") || name.ends_with(".scope");
    path.rsplit('/').find(is_unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_of_control_groups() {
        assert_eq!(
            unit("0::/system.slice/cron.service\n"),
            Some("cron.service")
        );
        let of_user = "0::/user.slice/user-0.slice/user@0.service/app.slice/x.service/payload\n";
        assert_eq!(unit(of_user), Some("x.service"));
        let first = "8:pids:/a.service\n1:name=systemd:/user.slice/session-3.scope\n0::/\n";
        assert_eq!(unit(first), Some("session-3.scope"));
        assert_eq!(unit("0::/init.scope\n"), Some("init.scope"));
        assert_eq!(unit("0::/\n"), None);
        assert_eq!(unit(""), None);
    }

    #[test]
    fn who_has_ended_is_told_so() {
        let own = i32::try_from(std::process::id()).unwrap();
        assert!(in_unit(own, Some("nft")).starts_with("nft"));
        assert_eq!(
            comm(own).as_deref(),
            Some(&*named(own)).and_then(|text| text.split(' ').next())
        );
        assert_eq!(in_unit(i32::MAX, None), "a process that has ended since");
        assert_eq!(named(i32::MAX), format!("process {}", i32::MAX));
    }
}
