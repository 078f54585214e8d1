//! Which packages are installed, by the package manager's own files: its programs take long to start
//! and some take a lock.

use std::path::Path;

use crate::error::Result;
use crate::host::Host;

/// dpkg's database (dpkg(1), FILES): stanzas of `Name: value` lines, a blank line between.
const DPKG_STATUS: &str = "/var/lib/dpkg/status";

/// The version of the first of these packages that dpkg has installed.
///
/// # Errors
/// Where its database exists and cannot be read.
pub fn dpkg_version(host: &Host, names: &[&str]) -> Result<Option<String>> {
    let text = host.text(Path::new(DPKG_STATUS))?.unwrap_or_default();
    Ok(names.iter().find_map(|name| installed(&text, name)))
}

fn installed(status: &str, name: &str) -> Option<String> {
    let header = format!("Package: {name}");
    let mut stanzas = status
        .split("\n\n")
        .map(|stanza| stanza.trim_start_matches('\n'));
    let stanza = stanzas.find(|stanza| stanza.lines().next() == Some(&header))?;
    let value = |field: &str| stanza.lines().find_map(|line| line.strip_prefix(field));
    // The want, an error flag, and how far it got (dpkg-query(1)).
    value("Status: ")?.ends_with(" installed").then_some(())?;
    Some(value("Version: ")?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::installed;

    #[test]
    fn only_what_is_installed_counts() {
        let status = "Package: containerd\nStatus: install ok installed\nVersion: 1.6.20~ds1-1\n\n\
                      Package: runc\nStatus: deinstall ok config-files\nVersion: 1.1\n";
        assert_eq!(installed(status, "containerd").unwrap(), "1.6.20~ds1-1");
        assert_eq!(installed(status, "runc"), None);
        assert_eq!(installed(status, "containerd.io"), None);
    }
}
