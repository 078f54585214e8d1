//! The merge systemd-sysctl makes of all its files, and the writing of ours.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use glob::{MatchOptions, Pattern};

use super::value::normalise;
use super::{Key, dropins};
use crate::error::Result;
use crate::finding::Origin;
use crate::host::Host;
use crate::template;

/// One line that sets a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// The value as written.
    pub value: String,
    /// The key it sets, which may be an alias of the one asked for.
    pub key: Key,
    /// The line.
    pub origin: Origin,
    /// Its place among all lines that are read: a later one wins.
    place: usize,
}

/// A value given to a key or pattern.
#[derive(Debug)]
struct Set {
    value: String,
    origin: Origin,
    place: usize,
}

/// Everything the boot sets, by path below /proc/sys.
#[derive(Debug, Default)]
pub struct Merge {
    keys: HashMap<String, Set>,
    /// Patterns in the order they are read; an excluded key is an explicit one without a value.
    globs: Vec<(Pattern, Set)>,
    excluded: Vec<String>,
    /// Places from which on the appliers that run after systemd-sysctl begin.
    later: usize,
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
        let mut merge = Self::default();
        for file in dropins::read(host, "sysctl.d")? {
            merge.add(&file.path, &file.text);
        }
        merge.later = merge.places;
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
        let (alias, set) = set.max_by_key(|(_, set)| set.place)?;
        Some(Assignment {
            key: alias.clone(),
            value: set.value.clone(),
            origin: set.origin.clone(),
            place: set.place,
        })
    }

    /// Whether the line that decides `key` is read after all that a file of this path could say.
    #[must_use]
    pub fn outranks(&self, key: &Key, path: &Path) -> bool {
        let Some(winner) = self.winner(key) else {
            return false;
        };
        if winner.place >= self.later {
            return true;
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let from = self
            .files
            .iter()
            .rev()
            .find(|(start, _)| *start <= winner.place);
        from.is_some_and(|(_, file)| file.as_str() > &*name)
    }

    fn setter(&self, key: &Key) -> Option<&Set> {
        let path = key.path();
        if let Some(explicit) = self.keys.get(path) {
            return Some(explicit);
        }
        if self.excluded.iter().any(|excluded| excluded == path) {
            return None;
        }
        let options = MatchOptions {
            require_literal_separator: true,
            ..MatchOptions::default()
        };
        let matching = |(glob, _): &&(Pattern, Set)| glob.matches_with(path, options);
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
            match parse(text) {
                Some((key, Some(value))) => {
                    let origin = Origin::line(path, line);
                    let value = value.to_owned();
                    self.set(
                        key,
                        Set {
                            value,
                            origin,
                            place: self.places - 1,
                        },
                    );
                }
                Some((key, None)) => self.excluded.push(key),
                None => {}
            }
        }
    }

    /// A line that repeats a key's value does not move the key to its place: systemd-sysctl passes
    /// over it, and an alias set in between still wins (src/sysctl/sysctl.c, `parse_file`).
    fn set(&mut self, key: String, set: Set) {
        match Pattern::new(&key) {
            Ok(glob) if key.contains(['*', '?', '[']) => self.globs.push((glob, set)),
            _ if self
                .keys
                .get(&key)
                .is_some_and(|old| old.value == set.value) => {}
            _ => {
                self.keys.insert(key, set);
            }
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

    /// tuned sets the active profile's `[sysctl]`, then (reapply_sysctl, on by default) sysctl.d
    /// again and /etc/sysctl.conf last of all (tuned's plugins/plugin_sysctl.py).
    fn add_tuned(&mut self, host: &Host) -> Result<()> {
        let active = host
            .text(Path::new("/etc/tuned/active_profile"))?
            .unwrap_or_default();
        if active.trim().is_empty() || crate::boot::units::wanted(host, "tuned.service")?.is_empty()
        {
            return Ok(());
        }
        let main = host
            .text(Path::new("/etc/tuned/tuned-main.conf"))?
            .unwrap_or_default();
        let reapply = |(_, line): (usize, &str)| {
            let (key, value) = line.split_once('=')?;
            (key.trim() == "reapply_sysctl").then(|| value.trim().to_owned())
        };
        let off = dropins::lines(&main).find_map(reapply);
        if off.is_none_or(|value| matches!(value.to_lowercase().as_str(), "1" | "true" | "yes")) {
            return self.add_later(host, "/etc/sysctl.conf");
        }
        for profile in active.split_whitespace() {
            for top in [
                "/etc/tuned",
                "/etc/tuned/profiles",
                "/usr/lib/tuned",
                "/usr/lib/tuned/profiles",
            ] {
                let path = Path::new(top).join(profile).join("tuned.conf");
                if let Some(text) = host.text(&path)? {
                    self.add(&path, &only_sysctl(&text));
                    break;
                }
            }
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

/// A tuned profile with the lines of its other sections blanked, so that line numbers stay.
fn only_sysctl(text: &str) -> String {
    let mut within = false;
    let keep = |line: &str| {
        if line.trim().starts_with('[') {
            within = line.trim() == "[sysctl]";
            return String::from("\n");
        }
        if within {
            format!("{line}\n")
        } else {
            String::from("\n")
        }
    };
    text.lines().map(keep).collect()
}

/// A line: the key as a path, and its value, or none for `-key`, which takes the key out of
/// patterns. A leading `-` otherwise only lets failures pass.
fn parse(line: &str) -> Option<(String, Option<&str>)> {
    let (key, value) = match line.split_once('=') {
        Some((key, value)) => (key.trim(), Some(value.trim())),
        None => (line.strip_prefix('-').map(|_| line)?, None),
    };
    let key = key.strip_prefix('-').unwrap_or(key).trim();
    Some((normalise(key), value))
}

/// Our file with `keys` set: the last line that names a key gets the new value, earlier ones go,
/// missing keys come at the end; every other byte is kept.
pub fn set(old: Option<&[u8]>, keys: &BTreeMap<Key, String>) -> Vec<u8> {
    let old = old.filter(|old| !old.is_empty());
    let mut lines: Vec<Vec<u8>> = match old {
        Some(old) => old
            .split_inclusive(|b| *b == b'\n')
            .map(<[u8]>::to_vec)
            .collect(),
        None => vec![template::header("sysctl.conf").into_bytes()],
    };
    let mut keys: Vec<(&Key, &String)> = keys.iter().collect();
    // As in the live order: ip_forward resets others.
    keys.sort_by_key(|(key, _)| key.path() != "net/ipv4/ip_forward");
    for (key, value) in keys {
        let wanted = format!("{} = {value}", key.name());
        let mut places = lines
            .iter()
            .enumerate()
            .filter(|(_, line)| names(line, key))
            .map(|(i, _)| i);
        let last = places.next_back();
        let earlier: Vec<usize> = places.collect();
        match last.and_then(|last| lines.get_mut(last)) {
            Some(line) => *line = with_ending(wanted, line),
            None => {
                if let Some(line) = lines.last_mut().filter(|line| !line.ends_with(b"\n")) {
                    line.push(b'\n');
                }
                lines.push((wanted + "\n").into_bytes());
            }
        }
        for place in earlier.into_iter().rev() {
            lines.remove(place);
        }
    }
    lines.concat()
}

/// Whether a line of a file sets `key`.
fn names(line: &[u8], key: &Key) -> bool {
    let text = String::from_utf8_lossy(line);
    let mut lines = dropins::lines(&text);
    let Some((path, Some(_))) = lines.next().and_then(|(_, line)| parse(line)) else {
        return false;
    };
    path == key.path()
}

/// A new line with the old one's ending.
fn with_ending(text: String, old: &[u8]) -> Vec<u8> {
    let ending: &[u8] = match old {
        [.., b'\r', b'\n'] => b"\r\n",
        [.., b'\n'] => b"\n",
        _ => b"",
    };
    [text.as_bytes(), ending].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        Key::try_from(name.to_owned()).unwrap()
    }

    fn merge(files: &[(&str, &str)]) -> Merge {
        let mut merge = Merge::default();
        for (path, text) in files {
            merge.add(Path::new(path), text);
        }
        merge.later = merge.places;
        merge
    }

    fn winner(files: &[(&str, &str)], name: &str) -> Option<(String, String)> {
        let found = merge(files).winner(&key(name))?;
        Some((found.value, found.origin.to_string()))
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
    fn a_repeated_value_does_not_move_its_key() {
        let files = [
            ("/etc/sysctl.d/a.conf", "net.ipv4.ip_forward = 1\n"),
            ("/etc/sysctl.d/b.conf", "net.ipv4.conf.all.forwarding = 0\n"),
            ("/etc/sysctl.d/c.conf", "net.ipv4.ip_forward = 1\n"),
        ];
        let found = merge(&files).winner(&key("net.ipv4.ip_forward")).unwrap();
        assert_eq!(
            (found.value.as_str(), found.key),
            ("0", key("net.ipv4.conf.all.forwarding"))
        );
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
    fn setting_keeps_every_other_byte() {
        let old = b"; theirs\r\nvm.swappiness=10\r\nnet.ipv4.conf.all.forwarding = 0\nvm.swappiness = 20\r\n\xff\xfe\nkernel.panic=1";
        let (a, b) = (key("vm.swappiness"), key("kernel.panic_on_oops"));
        let keys = BTreeMap::from([(a, "0".to_owned()), (b, "1".to_owned())]);
        let new = set(Some(old), &keys);
        let expected = b"; theirs\r\nnet.ipv4.conf.all.forwarding = 0\nvm.swappiness = 0\r\n\xff\xfe\nkernel.panic=1\nkernel.panic_on_oops = 1\n";
        assert_eq!(new, expected);
        assert_eq!(set(Some(&new), &keys), new);
    }
}
