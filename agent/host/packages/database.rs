//! What rpm has installed: none but rpm reads its database, so what it said counts for as long as the
//! database is the one it was said of.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::rc::Rc;

use serde::{Deserialize, Serialize};

use crate::boot::packages::rpm::parse;
use crate::error::{Result, trouble};
use crate::host::{Host, Origin};

/// rpm's database, in either of its places and any of its forms, with sqlite's write-ahead log.
const FILES: [&str; 8] = [
    "/var/lib/rpm/rpmdb.sqlite",
    "/var/lib/rpm/rpmdb.sqlite-wal",
    "/var/lib/rpm/Packages",
    "/var/lib/rpm/Packages.db",
    "/usr/lib/sysimage/rpm/rpmdb.sqlite",
    "/usr/lib/sysimage/rpm/rpmdb.sqlite-wal",
    "/usr/lib/sysimage/rpm/Packages",
    "/usr/lib/sysimage/rpm/Packages.db",
];
/// What the last apply remembers of it.
const REMEMBERED: &str = "/var/lib/nodeprep/rpm.json";
const QUERY: [&str; 4] = ["rpm", "-qa", "--qf", "%{NAME} %{EVR}\\n"];

/// rpm's packages, by the database they were in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Database {
    /// Device, inode, size and times of its files, the same before rpm was asked and after; none
    /// where it changed meanwhile.
    stamp: Vec<String>,
    /// The installed packages with their versions.
    pub packages: BTreeMap<String, String>,
}

impl Host {
    /// What rpm has installed.
    ///
    /// # Errors
    /// Where rpm fails, or may not be run: in an image.
    pub fn rpm_database(&self) -> Result<Rc<Database>> {
        // Not the log: rpm that only asks makes and removes one.
        for file in FILES.iter().filter(|file| !file.ends_with("-wal")) {
            self.note_file(Path::new(file));
        }
        if let Some(known) = &*self.rpm.borrow() {
            return Ok(known.clone());
        }
        let database = match self.origin {
            Origin::Image => {
                return Err(trouble!(
                    "rpm's database is read by rpm alone, and no program of an image is run"
                ));
            }
            Origin::Captured => Database {
                stamp: Vec::new(),
                packages: self.answers()?.rpm,
            },
            Origin::Live => self.rpm_database_now()?,
        };
        let database = Rc::new(database);
        *self.rpm.borrow_mut() = Some(database.clone());
        Ok(database)
    }

    fn rpm_database_now(&self) -> Result<Database> {
        let before = stamp();
        let is_it = |known: &Database| !known.stamp.is_empty() && known.stamp == before;
        if let Some(known) = self.remembered().filter(is_it) {
            return Ok(known);
        }
        let packages = parse(&self.words(&QUERY)?);
        let stamp = match stamp() {
            after if after == before => after,
            _ => Vec::new(),
        };
        Ok(Database { stamp, packages })
    }

    /// What is not ours to read, or is damaged, is not known.
    fn remembered(&self) -> Option<Database> {
        let text = self.bytes(Path::new(REMEMBERED)).ok()??;
        serde_json::from_slice(&text).ok()
    }

    /// Writes down what rpm said, where it was asked and a run has left a journal: the next check need
    /// not ask again.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn remember_packages(&self) -> Result<()> {
        let path = Path::new(REMEMBERED);
        let new = self.rpm.borrow().clone();
        let Some(new) = new.filter(|new| !new.stamp.is_empty()) else {
            return Ok(());
        };
        let is_ours = path
            .parent()
            .is_some_and(|dir| self.is_directory(dir) == Ok(true));
        if !is_ours || self.remembered().as_ref() == Some(&*new) {
            return Ok(());
        }
        let content =
            serde_json::to_vec(&*new).map_err(|error| trouble!("{REMEMBERED}: {error}"))?;
        self.replace_ours(path, content)
    }
}

/// Device, inode, size and times of each file of the database that is there.
fn stamp() -> Vec<String> {
    let one = |path: &&str| {
        let meta = std::fs::metadata(path).ok()?;
        let (dev, ino, size) = (meta.dev(), meta.ino(), meta.size());
        let (time, nanos) = (meta.mtime(), meta.mtime_nsec());
        Some(format!("{path} {dev} {ino} {size} {time}.{nanos:09}"))
    };
    FILES.iter().filter_map(one).collect()
}
