//! NetworkManager: `unmanaged-devices` as its files are merged (NetworkManager.conf(5)).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::interfaces::{self, Pattern};
use super::{Manager, is_used};
use crate::error::Result;
use crate::finding::{Origin, State};
use crate::host::Host;
use crate::template;
use crate::text::section;

pub const NAME: &str = "NetworkManager";
const UNIT: &str = "NetworkManager.service";
/// Sorts behind all others.
pub const FILE: &str = "/etc/NetworkManager/conf.d/zzz-nodeprep.conf";
const MAIN: &str = "/etc/NetworkManager/NetworkManager.conf";
/// Read before the main file, in this order; a file is hidden by its namesake in /run or /etc.
const BEFORE: [&str; 2] = [
    "/usr/lib/NetworkManager/conf.d",
    "/run/NetworkManager/conf.d",
];
/// Read after it.
const AFTER: &str = "/etc/NetworkManager/conf.d";
/// A file an interface, by its number (src/core/nm-config.c, `nm_config_device_state_write`).
const DEVICES: &str = "/run/NetworkManager/devices";
const SECTION: &str = "keyfile";
const KEY: &str = "unmanaged-devices";

/// What it would do with these interfaces.
///
/// # Errors
/// Where a file of it exists and cannot be read.
pub fn look(host: &Host, patterns: &[Pattern]) -> Result<Manager> {
    let (runs, enabled) = is_used(host, UNIT)?;
    let (list, origin) = match runs || enabled {
        true => merged(&texts(host)?),
        false => (Vec::new(), None),
    };
    let boot =
        patterns.iter().map(
            |pattern| match list.iter().any(|one| *one == device(pattern)) {
                true => State::InSync,
                false => State::differs("managed", "left alone", origin.clone()),
            },
        );
    let mut taken = Vec::new();
    for (name, number) in interfaces::present(host, patterns)? {
        let state = host.bytes(&Path::new(DEVICES).join(number))?;
        let keys = section::assignments(&state.unwrap_or_default(), "device");
        if keys
            .iter()
            .any(|(_, key, value)| key == "managed" && value == "true")
        {
            taken.push(name);
        }
    }
    let old = host.bytes(Path::new(FILE))?.map(|bytes| bytes.to_vec());
    Ok(Manager {
        name: NAME,
        unit: UNIT,
        runs,
        enabled,
        boot: boot.collect(),
        taken,
        path: FILE.into(),
        new: content(old.as_deref(), patterns),
        old,
    })
}

/// How an interface is named in a list of devices.
fn device(pattern: &Pattern) -> String {
    format!("interface-name:{}", pattern.name())
}

/// Adds to the list, whoever began it.
fn content(old: Option<&[u8]>, patterns: &[Pattern]) -> Vec<u8> {
    let header = template::header("networkmanager.conf").into_bytes();
    let old = old.filter(|old| !old.is_empty()).unwrap_or(&header);
    let list: Vec<String> = patterns.iter().map(device).collect();
    let key = format!("{KEY}+");
    let keys = [(key.as_str(), list.join(";"))];
    let keys = keys.iter().map(|(key, value)| (*key, value.as_str()));
    section::set(old, SECTION, |a, b| a == b, keys)
}

/// The files in the order they are read.
fn texts(host: &Host) -> Result<Vec<(PathBuf, Vec<u8>)>> {
    let mut before = BTreeMap::new();
    let etc = host.list(Path::new(AFTER))?;
    let mut order = Vec::new();
    for directory in BEFORE {
        for name in host.list(Path::new(directory))?.iter() {
            before.insert(name.clone(), Path::new(directory).join(name));
        }
    }
    for directory in BEFORE {
        let of = before.iter().filter(|(name, path)| {
            path.starts_with(directory) && etc.iter().all(|other| other != *name)
        });
        order.extend(of.map(|(_, path)| path.clone()));
    }
    order.push(MAIN.into());
    order.extend(etc.iter().map(|name| Path::new(AFTER).join(name)));
    let mut texts = Vec::new();
    for path in order {
        let is_read = path.extension().is_some_and(|end| end == "conf");
        if let Some(text) = host.bytes(&path)?.filter(|_| is_read) {
            texts.push((path, text.to_vec()));
        }
    }
    Ok(texts)
}

/// The list that is left at the end, and the line that replaced those before it. `+=` adds, `-=` takes
/// out.
fn merged(texts: &[(PathBuf, Vec<u8>)]) -> (Vec<String>, Option<Origin>) {
    let (mut list, mut origin) = (Vec::new(), None);
    for (path, text) in texts {
        for (line, key, value) in section::assignments(text, SECTION) {
            let devices = value.split([';', ',']).map(|one| one.trim().to_owned());
            let devices = devices.filter(|one| !one.is_empty());
            match key.strip_prefix(KEY).map(str::trim) {
                Some("") => {
                    list = devices.collect();
                    origin = Some(Origin::line(path, line));
                }
                Some("+") => list.extend(devices),
                Some("-") => {
                    let gone: Vec<String> = devices.collect();
                    list.retain(|one| !gone.contains(one));
                    origin = Some(Origin::line(path, line));
                }
                _ => {}
            }
        }
    }
    (list, origin)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(path: &str, text: &str) -> (PathBuf, Vec<u8>) {
        (path.into(), text.as_bytes().to_vec())
    }

    #[test]
    fn later_files_replace_unless_they_add() {
        let mut texts = vec![
            text(
                "/a",
                "[main]\nunmanaged-devices=x\n[keyfile]\nunmanaged-devices=interface-name:a*,mac:1\n",
            ),
            text("/b", "[keyfile]\nunmanaged-devices+=interface-name:b;\n"),
        ];
        let (list, origin) = merged(&texts);
        assert_eq!(list, ["interface-name:a*", "mac:1", "interface-name:b"]);
        assert_eq!(origin.unwrap().to_string(), "/a:4");
        texts.push(text("/c", "[keyfile]\nunmanaged-devices -= mac:1\n"));
        assert_eq!(merged(&texts).0, ["interface-name:a*", "interface-name:b"]);
        texts.push(text("/d", "[keyfile]\nunmanaged-devices=none\n"));
        let (list, origin) = merged(&texts);
        assert_eq!(
            (list, origin.unwrap().to_string()),
            (vec!["none".into()], "/d:2".into())
        );
    }

    #[test]
    fn what_is_written_is_read_back() {
        let patterns = interfaces::usual();
        let new = content(None, &patterns);
        let (list, _) = merged(&[("/x".into(), new.clone())]);
        assert_eq!(list, patterns.iter().map(device).collect::<Vec<_>>());
        assert_eq!(content(Some(&new), &patterns), new);
        let theirs = content(Some(b"# mine\n[main]\ndns=none\n"), &patterns[..1]);
        assert_eq!(
            String::from_utf8(theirs).unwrap(),
            "# mine\n[main]\ndns=none\n[keyfile]\nunmanaged-devices+=interface-name:cali*\n"
        );
    }
}
