//! tuned, the daemon that EL installs by default: it sets kernel parameters long after systemd-sysctl,
//! and a profile of its own can undo what every file in sysctl.d says.

use std::path::{Path, PathBuf};

use super::dropins;
use crate::boot::units;
use crate::error::Result;
use crate::host::Host;

/// Where profiles are, the strongest first; `profiles` below since 2.23.
const PROFILES: [&str; 4] = [
    "/etc/tuned/profiles",
    "/etc/tuned",
    "/usr/lib/tuned/profiles",
    "/usr/lib/tuned",
];
/// How deep profiles include each other; tuned refuses loops, we only have to end.
const DEEPEST: usize = 8;
/// Profiles that include each other twice and twice again, of which nobody has so many.
const MOST: usize = 100;

/// What tuned will do about kernel parameters.
#[derive(Debug, Default)]
pub struct Active {
    /// Whether it applies sysctl.d and /etc/sysctl.conf after its own.
    pub reapplies: bool,
    /// The `[sysctl]` lines of its profiles, included ones first; other lines are blank, so that line
    /// numbers stay.
    pub profiles: Vec<(PathBuf, String)>,
}

/// The active profiles, where tuned starts at boot and has one.
///
/// # Errors
/// Where a file exists and cannot be read.
pub fn active(host: &Host) -> Result<Option<Active>> {
    let names = host
        .text(Path::new("/etc/tuned/active_profile"))?
        .unwrap_or_default();
    if names.trim().is_empty() || units::wanted(host, |unit| unit == "tuned.service")?.is_empty() {
        return Ok(None);
    }
    let main = host
        .text(Path::new("/etc/tuned/tuned-main.conf"))?
        .unwrap_or_default();
    let off = setting(&main, "reapply_sysctl").is_some_and(|value| !is_yes(value));
    let mut active = Active {
        reapplies: !off,
        profiles: Vec::new(),
    };
    for name in names.split_whitespace() {
        active.add(host, name, DEEPEST)?;
    }
    Ok(Some(active))
}

impl Active {
    /// A profile after those it includes. What tuned would compute (`${…}`) is not known.
    fn add(&mut self, host: &Host, name: &str, depth: usize) -> Result<()> {
        for path in PROFILES.map(|top| Path::new(top).join(name).join("tuned.conf")) {
            let Some(text) = host.text(&path)? else {
                continue;
            };
            let main = section(&text, "main");
            let within = depth > 0 && self.profiles.len() < MOST;
            let included = setting(&main, "include")
                .unwrap_or_default()
                .split([',', ';', ' ']);
            for name in included.filter(|name| within && !name.is_empty()) {
                self.add(host, name, depth - 1)?;
            }
            self.profiles.push((path, section(&text, "sysctl")));
            break;
        }
        Ok(())
    }
}

/// The first value of a key.
fn setting<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let pairs = dropins::lines(text).filter_map(|(_, line)| line.split_once('='));
    pairs
        .map(|(name, value)| (name.trim(), value.trim()))
        .find(|(name, _)| *name == key)
        .map(|(_, v)| v)
}

fn is_yes(value: &str) -> bool {
    matches!(
        value.to_lowercase().as_str(),
        "1" | "true" | "yes" | "y" | "t" | "on"
    )
}

/// A text with the lines of other sections blank.
fn section(text: &str, wanted: &str) -> String {
    let mut within = false;
    let keep = |line: &str| {
        if let Some(name) = line
            .trim()
            .strip_prefix('[')
            .and_then(|line| line.strip_suffix(']'))
        {
            within = name.trim() == wanted;
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
