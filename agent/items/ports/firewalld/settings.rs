//! firewalld.conf and the installed version: both decide what the zones' files come to.

use std::path::Path;

use crate::error::Result;
use crate::host::Host;

/// firewalld.conf(5).
pub const PATH: &str = "/etc/firewalld/firewalld.conf";
/// The zone of an installation that names none (firewalld's config, `FALLBACK_ZONE`).
const DEFAULT_ZONE: &str = "public";

/// What of it decides about ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `DefaultZone`.
    pub default_zone: String,
    /// Whether direct rules are asked in one walk with the zones: the iptables backend. With
    /// nftables they are in tables of their own.
    pub direct_is_first: bool,
    /// The line of `StrictForwardPorts=yes`.
    pub strict: Option<usize>,
    /// The first two numbers of the version.
    pub version: Option<(u32, u32)>,
}

impl Settings {
    /// Reads them.
    ///
    /// # Errors
    /// Where a file exists and cannot be read.
    pub fn observe(host: &Host) -> Result<Self> {
        let text = host.text(Path::new(PATH))?.unwrap_or_default();
        Ok(Self::parse(&text, installed(host)?))
    }

    /// Whether this version refuses on the forward hook what others translated, as before 0.7.0.
    #[must_use]
    pub fn is_before_dnat(&self) -> bool {
        self.version.is_some_and(|version| version < (0, 7))
    }

    fn parse(text: &str, version: Option<(u32, u32)>) -> Self {
        let value = |key: &str| value(text, key);
        let backend = match value("FirewallBackend") {
            Some((backend, _)) => backend.to_ascii_lowercase(),
            // 0.6.0 brought the key, with nftables for who does not name one.
            None if version.is_some_and(|version| version < (0, 6)) => "iptables".into(),
            None => "nftables".into(),
        };
        let strict = value("StrictForwardPorts");
        let is_yes = |text: &str| ["yes", "true"].contains(&text.to_ascii_lowercase().as_str());
        Self {
            default_zone: value("DefaultZone")
                .map_or(DEFAULT_ZONE, |(zone, _)| zone)
                .to_owned(),
            direct_is_first: backend == "iptables",
            strict: strict
                .filter(|(text, _)| is_yes(text))
                .map(|(_, line)| line),
            version,
        }
    }
}

/// The first value of a key, which is the one that counts, and its line (firewalld's
/// core/io/firewalld_conf.py, `read`).
fn value<'a>(text: &'a str, key: &str) -> Option<(&'a str, usize)> {
    let mut lines = text.lines().enumerate();
    lines.find_map(|(index, line)| {
        let line = line.trim();
        if line.starts_with(['#', ';']) {
            return None;
        }
        let (name, value) = line.split_once('=')?;
        let value = value.trim();
        let is_it = name.trim() == key && !value.is_empty() && !value.contains('=');
        is_it.then_some((value, index + 1))
    })
}

/// The version in its Python package, which is where the program itself has it from.
fn installed(host: &Host) -> Result<Option<(u32, u32)>> {
    let lib = Path::new("/usr/lib");
    for python in host
        .list(lib)?
        .iter()
        .filter(|name| name.starts_with("python"))
    {
        for packages in ["site-packages", "dist-packages"] {
            let path = lib
                .join(python)
                .join(packages)
                .join("firewall/config/__init__.py");
            if let Some(text) = host.text(&path)? {
                return Ok(version(&text));
            }
        }
    }
    Ok(None)
}

/// `VERSION = '1.3.3'`
fn version(text: &str) -> Option<(u32, u32)> {
    let mut lines = text.lines().filter_map(|line| line.split_once('='));
    let (_, value) = lines.find(|(name, _)| name.trim() == "VERSION")?;
    let mut numbers = value.trim().trim_matches(['"', '\'']).split('.');
    let mut next = || {
        let text = numbers.next()?;
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        text.get(..digits)?.parse().ok()
    };
    Some((next()?, next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_a_key_counts() {
        let text = "# DefaultZone=no\nDefaultZone=\nDefaultZone = work \nDefaultZone=late\n\
                    StrictForwardPorts=Yes\nFirewallBackend=iptables\n";
        let settings = Settings::parse(text, Some((2, 3)));
        assert_eq!(settings.default_zone, "work");
        assert!(settings.direct_is_first);
        assert_eq!(settings.strict, Some(5));
    }

    #[test]
    fn what_is_not_set_has_its_default() {
        let settings = Settings::parse("", Some((0, 4)));
        assert_eq!(settings.default_zone, "public");
        assert!(settings.direct_is_first && settings.strict.is_none());
        assert!(!Settings::parse("", Some((0, 6))).direct_is_first);
        assert!(!Settings::parse("", None).direct_is_first);
    }

    #[test]
    fn versions_are_read() {
        assert_eq!(version("a = 1\nVERSION = '1.3.3'\n"), Some((1, 3)));
        assert_eq!(version("VERSION = \"2.4~rc1\""), Some((2, 4)));
        assert_eq!(version("VERSION = ''"), None);
        assert_eq!(version(""), None);
    }
}
