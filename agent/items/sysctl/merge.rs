//! The merge systemd-sysctl makes of all its files.

use std::collections::HashMap;
use std::path::Path;

use glob::{MatchOptions, Pattern};

use super::value::normalise;
use super::{Key, dropins, tuned};
use crate::boot::units;
use crate::error::Result;
use crate::finding::Origin;
use crate::host::Host;

/// systemd reads patterns and the `-` prefix from this version on (NEWS of 243 and 245); before,
/// such a line names a key that no kernel has.
const PATTERNS: u32 = 245;

/// One line that decides a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// The value as written; none where `-key` takes the key out of patterns and earlier lines.
    pub value: Option<String>,
    /// The key as this line names it, as a path: an alias may be what decides.
    pub path: String,
    /// The line.
    pub origin: Origin,
    /// Its place among all lines that are read: a later one wins.
    place: usize,
    /// The place of the last line that repeats it, which wins once this one is changed.
    last: usize,
}

/// Everything the boot sets, by path below /proc/sys.
#[derive(Debug, Default)]
pub struct Merge {
    keys: HashMap<String, Assignment>,
    /// Patterns in the order they take effect.
    globs: Vec<(Pattern, Assignment)>,
    /// Whether the host's systemd knows patterns and the `-` prefix.
    patterns: bool,
    /// The place at which the appliers that run after systemd-sysctl begin; none before them.
    later: Option<usize>,
    /// The file name each drop-in's lines begin at.
    files: Vec<(usize, String)>,
    places: usize,
}

impl Merge {
    /// Reads all of sysctl.d, then what ufw and tuned set after it.
    ///
    /// # Errors
    /// Where a file exists and cannot be read.
    pub fn read(host: &Host) -> Result<Self> {
        let patterns = units::systemd_version(host)? >= PATTERNS;
        let mut merge = Self {
            patterns,
            ..Self::default()
        };
        for file in dropins::read(host, "sysctl.d")? {
            merge.add(&file.path, &file.text);
        }
        merge.later = Some(merge.places);
        merge.add_ufw(host)?;
        merge.add_tuned(host)?;
        Ok(merge)
    }

    /// The line that decides a key: the last of those that set it or an alias of it; patterns count
    /// where no line names the key itself (sysctl.d(5)).
    #[must_use]
    pub fn winner(&self, key: &Key) -> Option<Assignment> {
        let same = key.aliases();
        let set = same
            .iter()
            .filter_map(|alias| Some((alias, self.setter(alias)?)));
        let (alias, line) = set.max_by_key(|(_, line)| (line.value.is_some(), line.place))?;
        Some(Assignment {
            path: alias.path().to_owned(),
            ..line.clone()
        })
    }

    /// Whether a line that decides `key`, or would if a file of this path did not, is read after all
    /// that this file could say.
    #[must_use]
    pub fn outranks(&self, key: &Key, path: &Path) -> bool {
        let Some(winner) = self.winner(key) else {
            return false;
        };
        let same = key.aliases();
        let setters = same.iter().filter_map(|alias| self.setter(alias));
        let set = setters.filter(|line| line.value.is_some());
        let last = set.map(|line| line.last).max().unwrap_or(winner.last);
        if self.later.is_some_and(|later| last >= later) {
            return true;
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let from = self.files.iter().rev().find(|(start, _)| *start <= last);
        from.is_some_and(|(_, file)| file.as_str() > &*name)
    }

    fn setter(&self, key: &Key) -> Option<&Assignment> {
        let path = key.path();
        if let Some(explicit) = self.keys.get(path) {
            return Some(explicit);
        }
        let options = MatchOptions {
            require_literal_separator: true,
            ..MatchOptions::default()
        };
        let matching = |(glob, _): &&(Pattern, Assignment)| glob.matches_with(path, options);
        self.globs
            .iter()
            .rfind(matching)
            .map(|(_, assignment)| assignment)
    }

    fn add(&mut self, path: &Path, text: &str) {
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        self.files.push((self.places, name));
        for (line, text) in dropins::lines(text) {
            self.places += 1;
            if let Some((key, value)) = parse(text, self.patterns) {
                let (origin, place) = (Origin::line(path, line), self.places - 1);
                self.set(Assignment {
                    value: value.map(str::to_owned),
                    path: key,
                    origin,
                    place,
                    last: place,
                });
            }
        }
    }

    /// systemd-sysctl keeps the place of a line that is repeated with the same value, so that an
    /// alias between the two wins (src/sysctl/sysctl.c, `parse_file`); those after it do not merge.
    fn set(&mut self, line: Assignment) {
        let repeats = |known: &Assignment| known.path == line.path && known.value == line.value;
        let merges = self.later.is_none();
        if self.patterns && line.path.contains(['*', '?', '[']) {
            if let Ok(glob) = Pattern::new(&line.path)
                && !self.globs.iter().any(|(_, known)| repeats(known))
            {
                self.globs.retain(|(_, known)| known.path != line.path);
                self.globs.push((glob, line));
            }
            return;
        }
        match self.keys.get_mut(&line.path) {
            Some(known) if merges && repeats(known) => known.last = line.place,
            _ => drop(self.keys.insert(line.path.clone(), line)),
        }
    }

    /// ufw.service applies the file IPT_SYSCTL names, where ufw is enabled (ufw-framework(8)).
    fn add_ufw(&mut self, host: &Host) -> Result<()> {
        let setting = |path: &str, key: &str| -> Result<Option<String>> {
            let text = host.text(Path::new(path))?.unwrap_or_default();
            let mut values = text.lines().filter_map(|line| line.trim().split_once('='));
            let value = values
                .find(|(name, _)| name.trim() == key)
                .map(|(_, value)| value);
            Ok(value.map(|value| value.trim().trim_matches('"').to_owned()))
        };
        if setting("/etc/ufw/ufw.conf", "ENABLED")?.as_deref() != Some("yes") {
            return Ok(());
        }
        let file = setting("/etc/default/ufw", "IPT_SYSCTL")?;
        self.add_later(host, file.as_deref().unwrap_or("/etc/ufw/sysctl.conf"))
    }

    /// tuned sets the active profiles' `[sysctl]`, then (reapply_sysctl, on by default) sysctl.d
    /// again and /etc/sysctl.conf last of all (tuned's plugins/plugin_sysctl.py).
    fn add_tuned(&mut self, host: &Host) -> Result<()> {
        let Some(active) = tuned::active(host)? else {
            return Ok(());
        };
        if active.reapplies {
            return self.add_later(host, "/etc/sysctl.conf");
        }
        for (path, text) in active.profiles {
            self.add(&path, &text);
        }
        Ok(())
    }

    fn add_later(&mut self, host: &Host, path: &str) -> Result<()> {
        if let Some(text) = host.text(Path::new(path))? {
            self.add(Path::new(path), &text);
        }
        Ok(())
    }
}

/// A line: the key as a path, and its value, or none for `-key`. A leading `-` otherwise only lets
/// failures pass. Where `-` has no meaning, it is part of a name that no kernel has.
pub(super) fn parse(line: &str, dashes: bool) -> Option<(String, Option<&str>)> {
    let (key, value) = match line.split_once('=') {
        Some((key, value)) => (key.trim(), Some(value.trim())),
        None => (line.strip_prefix('-').filter(|_| dashes)?, None),
    };
    let key = if dashes {
        key.strip_prefix('-').unwrap_or(key).trim()
    } else {
        key
    };
    Some((normalise(key), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        Key::try_from(name.to_owned()).unwrap()
    }

    fn merge(files: &[(&str, &str)]) -> Merge {
        let mut merge = Merge {
            patterns: true,
            ..Merge::default()
        };
        for (path, text) in files {
            merge.add(Path::new(path), text);
        }
        merge.later = Some(merge.places);
        merge
    }

    fn winner(files: &[(&str, &str)], name: &str) -> Option<(String, String)> {
        let found = merge(files).winner(&key(name))?;
        Some((found.value?, found.origin.to_string()))
    }

    #[test]
    fn the_last_line_wins_aliases_included() {
        let files = [
            ("/etc/sysctl.d/a.conf", "net.ipv4.ip_forward = 1\n"),
            (
                "/etc/sysctl.d/b.conf",
                "# no\nnet/ipv4/conf/all/forwarding=0\n",
            ),
        ];
        let found = winner(&files, "net.ipv4.ip_forward");
        assert_eq!(found, Some(("0".into(), "/etc/sysctl.d/b.conf:2".into())));
        assert!(merge(&files).outranks(
            &key("net.ipv4.ip_forward"),
            Path::new("/etc/sysctl.d/a.conf")
        ));
        assert!(!merge(&files).outranks(
            &key("net.ipv4.ip_forward"),
            Path::new("/etc/sysctl.d/zzz.conf")
        ));
    }

    #[test]
    fn explicit_beats_glob_whatever_the_order() {
        let files = [
            ("/etc/sysctl.d/a.conf", "net.ipv4.conf.all.rp_filter = 1\n"),
            (
                "/etc/sysctl.d/b.conf",
                "net.ipv4.conf.*.rp_filter = 2\n-net.ipv4.conf.lo.rp_filter\n",
            ),
        ];
        let value = |name| winner(&files, name).map(|(value, _)| value);
        assert_eq!(value("net.ipv4.conf.all.rp_filter").as_deref(), Some("1"));
        assert_eq!(value("net.ipv4.conf.eth0.rp_filter").as_deref(), Some("2"));
        assert_eq!(value("net.ipv4.conf.lo.rp_filter"), None);
    }

    #[test]
    fn a_repeated_line_keeps_its_first_place() {
        let files = [
            ("/etc/sysctl.d/a.conf", "net.ipv4.ip_forward = 1\n"),
            ("/etc/sysctl.d/b.conf", "net.ipv4.conf.all.forwarding = 0\n"),
            ("/etc/sysctl.d/zzz.conf", "net.ipv4.ip_forward = 1\n"),
        ];
        let found = winner(&files, "net.ipv4.ip_forward");
        assert_eq!(found, Some(("0".into(), "/etc/sysctl.d/b.conf:1".into())));
    }

    #[test]
    fn a_line_that_is_repeated_later_wins_once_the_first_is_changed() {
        let files = [
            ("/etc/sysctl.d/kubernetes.conf", "vm.swappiness = 1\n"),
            ("/etc/sysctl.d/zzz-nodeprep.conf", "vm.swappiness = 1\n"),
        ];
        let outranks = |path: &str| merge(&files).outranks(&key("vm.swappiness"), Path::new(path));
        assert!(outranks("/etc/sysctl.d/kubernetes.conf"));
        assert!(!outranks("/etc/sysctl.d/zzz-nodeprep.conf"));
    }

    #[test]
    fn a_dash_takes_out_what_was_set_before() {
        let files = [
            (
                "/etc/sysctl.d/a.conf",
                "vm.swappiness = 0\nkernel.panic = 1\n-kernel.panic\n",
            ),
            ("/etc/sysctl.d/b.conf", "-vm.swappiness\nkernel.panic = 2\n"),
        ];
        assert_eq!(winner(&files, "vm.swappiness"), None);
        assert!(merge(&files).outranks(&key("vm.swappiness"), Path::new("/etc/sysctl.d/a.conf")));
        let found = winner(&files, "kernel.panic");
        assert_eq!(found, Some(("2".into(), "/etc/sysctl.d/b.conf:2".into())));
    }

    #[test]
    fn old_systemd_knows_neither_dashes_nor_patterns() {
        let mut merge = Merge::default();
        let text = "vm.swappiness = 5\n-vm.swappiness = 0\n-vm.swappiness\nvm.* = 1\n";
        merge.add(Path::new("/etc/sysctl.d/a.conf"), text);
        assert_eq!(
            merge
                .winner(&key("vm.swappiness"))
                .and_then(|w| w.value)
                .as_deref(),
            Some("5")
        );
        assert_eq!(merge.winner(&key("vm.panic_on_oom")), None);
    }
}
