//! Drop-in directories as systemd reads them: one list sorted by file name across directories, a
//! file in a stronger directory hides its namesake in a weaker one, `/dev/null` and an empty file
//! only hide (systemd's src/basic/conf-files.c; sysctl.d(5), modules-load.d(5)).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::host::Host;

/// Configuration directories from the strongest to the weakest.
const TOPS: [&str; 5] = ["/etc", "/run", "/usr/local/lib", "/usr/lib", "/lib"];

/// One file that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DropIn {
    /// Its path.
    pub path: PathBuf,
    /// Its text.
    pub text: String,
}

/// The files of `TOP/directory/*.conf` that count, in the order they are read.
///
/// # Errors
/// Where a directory or file exists and cannot be read.
pub fn read(host: &Host, directory: &str) -> Result<Vec<DropIn>> {
    let mut found: BTreeMap<String, DropIn> = BTreeMap::new();
    for top in TOPS {
        if top == "/lib" && host.is_usr_merged()? {
            continue;
        }
        let dir = Path::new(top).join(directory);
        for name in host
            .list(&dir)?
            .iter()
            .filter(|name| name.ends_with(".conf"))
        {
            let path = dir.join(name);
            if found.contains_key(name) {
                continue;
            }
            if let Some(text) = host.text(&path)? {
                found.insert(name.clone(), DropIn { path, text });
            }
        }
    }
    Ok(found.into_values().collect())
}

/// The directories that [`read`] looks into.
pub fn directories(directory: &str) -> impl Iterator<Item = PathBuf> {
    TOPS.iter().map(move |top| Path::new(top).join(directory))
}

/// The lines of a text with their numbers from 1, comments (`#`, `;`) and blank lines left out,
/// white space around them removed.
pub fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line.trim()))
        .filter(|(_, line)| !line.is_empty() && !line.starts_with(['#', ';']))
}
