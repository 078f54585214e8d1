//! The merge that journald makes of its files at each start.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::text;
use super::value::{Meaning, Wanted, known, overridable};
use crate::boot::{cmdline, dropins};
use crate::error::Result;
use crate::finding::Origin;
use crate::host::Host;

/// The main file is the first of these (journald.conf(5)).
const MAIN: [&str; 4] = [
    "/etc/systemd/journald.conf",
    "/run/systemd/journald.conf",
    "/usr/local/lib/systemd/journald.conf",
    "/usr/lib/systemd/journald.conf",
];
const DROPINS: &str = "systemd/journald.conf.d";

/// Where a line stands: a later place wins.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Main,
    DropIn(String),
    KernelArgument,
}

/// One line that decides a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// As written.
    pub value: String,
    /// What journald makes of it; none where it is empty and takes back what was said before.
    pub meaning: Option<Meaning>,
    /// The line.
    pub origin: Origin,
    place: Place,
}

impl Assignment {
    /// Whether it says what is wanted.
    #[must_use]
    pub fn means(&self, wanted: &Wanted) -> bool {
        self.meaning.as_ref() == Some(&wanted.meaning)
    }

    /// The value, for people.
    #[must_use]
    pub fn shown(&self) -> &str {
        match self.meaning {
            Some(_) => &self.value,
            None => "not set",
        }
    }

    /// Whether it is read after all that a drop-in of this path could say.
    #[must_use]
    pub fn outranks(&self, path: &Path) -> bool {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        self.place > Place::DropIn(name.into_owned())
    }
}

/// What journald reads.
#[derive(Debug, Default)]
pub struct Merge {
    keys: BTreeMap<&'static str, Assignment>,
    /// The files, and the directories that a deleted file shows in.
    pub paths: Vec<PathBuf>,
}

impl Merge {
    /// Reads the files and the kernel command line, which beats them (systemd's
    /// src/journal/journald-server.c, `parse_proc_cmdline_item`).
    ///
    /// # Errors
    /// Where a file exists and cannot be read.
    pub fn read(host: &Host) -> Result<Self> {
        let mut merge = Self::default();
        for path in MAIN.map(Path::new) {
            if let Some(text) = host.bytes(path)? {
                merge.add(path, &text, &Place::Main);
                break;
            }
        }
        for file in dropins::read(host, DROPINS)? {
            let name = file
                .path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            merge.add(&file.path, file.text.as_bytes(), &Place::DropIn(name));
        }
        merge.paths.extend(dropins::directories(DROPINS));
        merge.add_arguments(&cmdline::arguments(host)?);
        Ok(merge)
    }

    /// The line that decides a key.
    #[must_use]
    pub fn winner(&self, name: &str) -> Option<&Assignment> {
        self.keys.get(name)
    }

    fn add(&mut self, path: &Path, text: &[u8], place: &Place) {
        self.paths.push(path.to_owned());
        for (line, name, value) in text::assignments(text) {
            let Some(key) = known(&name) else { continue };
            // Which keys an empty value resets differs between versions; where it does not, saying
            // the value once more does no harm.
            let meaning = key.meaning(&value);
            if meaning.is_some() || value.is_empty() {
                let line = Assignment {
                    value,
                    meaning,
                    origin: Origin::line(path, line),
                    place: place.clone(),
                };
                self.keys.insert(key.name, line);
            }
        }
    }

    fn add_arguments(&mut self, arguments: &[(String, Option<String>)]) {
        for key in overridable() {
            let argument = format!("systemd.journald.{}", key.argument);
            for value in cmdline::values(arguments, &argument) {
                // An argument without a value says yes.
                let value = if value.is_empty() { "yes" } else { value };
                let meaning = key.meaning(value);
                if meaning.is_some() {
                    let origin = Origin::Other(format!("kernel argument {argument}={value}"));
                    let line = Assignment {
                        value: value.to_owned(),
                        meaning,
                        origin,
                        place: Place::KernelArgument,
                    };
                    self.keys.insert(key.name, line);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn winner(files: &[(&str, &str)], name: &str) -> Option<(String, String)> {
        let mut merge = Merge::default();
        for (path, text) in files {
            let file = Path::new(path)
                .file_name()
                .unwrap()
                .to_string_lossy()
                .into_owned();
            let place = if path.contains(".d/") {
                Place::DropIn(file)
            } else {
                Place::Main
            };
            merge.add(Path::new(path), text.as_bytes(), &place);
        }
        let found = merge.winner(name)?;
        Some((found.value.clone(), found.origin.to_string()))
    }

    #[test]
    fn the_last_line_that_can_be_read_wins() {
        let files = [
            (
                "/etc/systemd/journald.conf",
                "[Journal]\nStorage=auto\nSeal=no\n",
            ),
            (
                "/etc/systemd/journald.conf.d/99-a.conf",
                "[Journal]\nStorage=persistent\nRateLimitInterval=30s\n",
            ),
            (
                "/usr/lib/systemd/journald.conf.d/syslog.conf",
                "[Journal]\nStorage=Volatile\nRateLimitIntervalSec=1s\nSeal=\n",
            ),
        ];
        let found = |value: &str, origin: &str| Some((value.to_owned(), origin.to_owned()));
        assert_eq!(
            winner(&files, "Storage"),
            found("persistent", "/etc/systemd/journald.conf.d/99-a.conf:2")
        );
        assert_eq!(
            winner(&files, "RateLimitInterval"),
            found("1s", "/usr/lib/systemd/journald.conf.d/syslog.conf:3")
        );
        assert_eq!(
            winner(&files, "Seal"),
            found("", "/usr/lib/systemd/journald.conf.d/syslog.conf:4")
        );
    }

    #[test]
    fn a_place_outranks_by_name_and_a_kernel_argument_always() {
        let mut merge = Merge::default();
        let place = Place::DropIn("syslog.conf".into());
        merge.add(
            Path::new("/x/syslog.conf"),
            b"[Journal]\nForwardToSyslog=yes\nSeal=\n",
            &place,
        );
        let outranks = |merge: &Merge, path: &str| {
            merge
                .winner("ForwardToSyslog")
                .unwrap()
                .outranks(Path::new(path))
        };
        assert!(outranks(&merge, "/etc/99-kubernetes.conf"));
        let resets = merge.winner("Seal").unwrap();
        assert!(resets.outranks(Path::new("/etc/99-kubernetes.conf")) && resets.meaning.is_none());
        assert!(!outranks(&merge, "/etc/zzz-nodeprep.conf"));
        merge.add_arguments(&[("systemd.journald.forward-to-syslog".into(), None)]);
        assert!(outranks(&merge, "/etc/zzz-nodeprep.conf"));
        assert_eq!(merge.winner("ForwardToSyslog").unwrap().value, "yes");
    }
}
