//! systemd-networkd: the first .network file by name that matches an interface is its (systemd.network(5)).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::interfaces::{self, Pattern, matches};
use super::{Manager, is_used};
use crate::error::Result;
use crate::finding::{Origin, State};
use crate::host::Host;
use crate::template;
use crate::text::section;

pub const NAME: &str = "systemd-networkd";
const UNIT: &str = "systemd-networkd.service";
/// Sorts before what people and netplan write.
pub const FILE: &str = "/etc/systemd/network/00-nodeprep.network";
/// From the weakest to the strongest: a file is hidden by its namesake in a stronger one.
const DIRECTORIES: [&str; 4] = [
    "/usr/lib/systemd/network",
    "/usr/local/lib/systemd/network",
    "/run/systemd/network",
    "/etc/systemd/network",
];
/// A file an interface, by its number, that says how far it is (sd-network's `ADMIN_STATE=`).
const LINKS: &str = "/run/systemd/netif/links";
/// States of one that networkd has not touched.
const UNTOUCHED: [&str; 4] = ["", "pending", "unmanaged", "linger"];

/// What it would do with these interfaces.
///
/// # Errors
/// Where a file of it exists and cannot be read.
pub fn look(host: &Host, patterns: &[Pattern]) -> Result<Manager> {
    let (runs, enabled) = is_used(host, UNIT)?;
    let texts = match runs || enabled {
        true => texts(host)?,
        false => Vec::new(),
    };
    let mut taken = Vec::new();
    for (name, number) in interfaces::present(host, patterns)? {
        let state = host
            .text(&Path::new(LINKS).join(number))?
            .unwrap_or_default();
        let state = state
            .lines()
            .find_map(|line| line.strip_prefix("ADMIN_STATE="));
        if !UNTOUCHED.contains(&state.unwrap_or_default()) {
            taken.push(name);
        }
    }
    Ok(Manager {
        name: NAME,
        unit: UNIT,
        runs,
        enabled,
        boot: patterns
            .iter()
            .map(|pattern| boot(&texts, pattern))
            .collect(),
        taken,
        path: FILE.into(),
        old: host.bytes(Path::new(FILE))?.map(|bytes| bytes.to_vec()),
        new: content(patterns),
    })
}

fn content(patterns: &[Pattern]) -> Vec<u8> {
    let names: Vec<&str> = patterns.iter().map(Pattern::name).collect();
    let header = template::header("unmanaged.network");
    format!(
        "{header}[Match]\nName={}\n\n[Link]\nUnmanaged=yes\n",
        names.join(" ")
    )
    .into_bytes()
}

/// What the first file that may match says.
fn boot(texts: &[(PathBuf, Vec<u8>)], pattern: &Pattern) -> State {
    let first = texts.iter().find(|(_, text)| may_match(text, pattern));
    match first {
        Some((_, text)) if is_unmanaged(text) => State::InSync,
        Some((path, _)) => {
            let origin = (path != Path::new(FILE)).then(|| Origin::file(path));
            State::differs("managed", "left alone", origin)
        }
        None => State::differs("left alone by no file", "left alone", None),
    }
}

/// What only wireless interfaces are asked for (systemd.network(5)); the files systemd comes with do.
const WIRELESS: [&str; 3] = ["WLANInterfaceType", "SSID", "BSSID"];

/// Whether a file could be an interface's: by its name, whatever else it asks for.
fn may_match(text: &[u8], pattern: &Pattern) -> bool {
    let keys = section::assignments(text, "Match");
    if keys.iter().any(|(_, key, _)| WIRELESS.contains(&&**key)) {
        return false;
    }
    let example = pattern.example();
    let names: Vec<&str> = keys
        .iter()
        .filter(|(_, key, _)| key == "Name")
        .flat_map(|(_, _, value)| value.split_whitespace())
        .collect();
    let one = |name: &str| matches(name.as_bytes(), example.as_bytes());
    match names.split_first() {
        // One without [Match] is none's (systemd 243 on); one that asks for other things may be any's.
        None => !keys.is_empty(),
        Some((first, rest)) => match first.strip_prefix('!') {
            Some(first) => !one(first) && !rest.iter().any(|name| one(name)),
            None => one(first) || rest.iter().any(|name| one(name)),
        },
    }
}

fn is_unmanaged(text: &[u8]) -> bool {
    let keys = section::assignments(text, "Link");
    let last = keys.iter().rfind(|(_, key, _)| key == "Unmanaged");
    let yes = ["1", "yes", "y", "true", "t", "on"];
    last.is_some_and(|(_, _, value)| yes.contains(&value.to_ascii_lowercase().as_str()))
}

/// The files in the order they are tried.
fn texts(host: &Host) -> Result<Vec<(PathBuf, Vec<u8>)>> {
    let mut files = BTreeMap::new();
    for directory in DIRECTORIES.map(Path::new) {
        let names = host.list(directory)?;
        for name in names.iter().filter(|name| name.ends_with(".network")) {
            files.insert(name.clone(), directory.join(name));
        }
    }
    let mut texts = Vec::new();
    for path in files.into_values() {
        if let Some(text) = host.bytes(&path)? {
            texts.push((path, text.to_vec()));
        }
    }
    Ok(texts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(files: &[(&str, &str)], pattern: &str) -> State {
        let files = files
            .iter()
            .map(|(path, text)| (path.into(), text.as_bytes().to_vec()));
        let pattern = Pattern::try_from(pattern.to_owned()).unwrap();
        boot(&files.collect::<Vec<_>>(), &pattern)
    }

    #[test]
    fn the_first_file_that_matches_decides() {
        let ours = String::from_utf8(content(&interfaces::usual())).unwrap();
        let all = (
            "/etc/systemd/network/99-dhcp.network",
            "[Match]\nName=*\n[Network]\nDHCP=yes\n",
        );
        let ours = (FILE, ours.as_str());
        assert_eq!(judged(&[ours, all], "cali*"), State::InSync);
        assert_eq!(judged(&[ours, all], "kube-ipvs0"), State::InSync);
        let origin = Some(Origin::file(Path::new(all.0)));
        assert_eq!(
            judged(&[all, ours], "cali*"),
            State::differs("managed", "left alone", origin)
        );
        let others = [
            ("/a", "[Match]\nName=en* eth*\n[Network]\nDHCP=yes\n"),
            ("/b", "[Match]\nName=!cali* lo\n[Network]\nDHCP=yes\n"),
            ("/c", "[Network]\nDHCP=yes\n"),
        ];
        assert!(matches!(
            judged(&others, "cali*"),
            State::Differs { origin: None, .. }
        ));
        assert!(matches!(
            judged(&others, "cni*"),
            State::Differs {
                origin: Some(_),
                ..
            }
        ));
        let wireless = "[Match]\nWLANInterfaceType=ad-hoc\n";
        assert!(matches!(
            judged(&[("/c", wireless)], "cni*"),
            State::Differs { origin: None, .. }
        ));
        assert!(matches!(
            judged(&[("/d", "[Match]\nType=ether\n")], "cni*"),
            State::Differs {
                origin: Some(_),
                ..
            }
        ));
    }
}
