//! What a run did, written before it is done: the journal is how a run that was cut off is finished,
//! and how a change is taken back.
//!
//! A run that does anything has one file, `/var/lib/nodeprep/journal/TIME-PID.journal`, mode 0600.
//! Each line is a record: the CRC-32 (IEEE) of what follows as eight hex digits, a blank, a JSON
//! object. The first is `begin` and names the format's version. Before a step its record `step` is
//! on the disk with all that is needed to take it back; after it comes `done` with the same number.
//! What is `due` (a daemon-reload) is written before the first step that makes it so. A file without
//! `end` belongs to a run that was cut off or stopped; a last line whose checksum is wrong was torn
//! by a crash and its step was not begun. Nothing is ever written into the file of another run: the
//! run that finishes one names it in its own `begin`.

use std::path::PathBuf;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, trouble};
use crate::host::{Host, Prior, Store};
use crate::plan::PlannedStep;
use crate::step::{Due, Package, Step};

/// The version of the records this program writes.
pub const VERSION: u32 = 1;
/// Where the journals of a host are.
pub const DIRECTORY: &str = "/var/lib/nodeprep/journal";
/// How their names end.
pub const SUFFIX: &str = ".journal";

/// One line of a journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "snake_case")]
pub enum Record {
    /// The run begins.
    Begin {
        /// [`VERSION`].
        version: u32,
        /// The program's version.
        nodeprep: String,
        /// What was asked for.
        #[serde(flatten)]
        purpose: Purpose,
        /// UTC, RFC 3339.
        time: String,
        /// The kernel's number of this boot; none in a tree.
        boot: Option<String>,
    },
    /// This has to be done before the run is complete.
    Due {
        /// The item that asks for it; none for what another run left.
        item: Option<String>,
        /// What is due.
        due: Due,
        /// Whether the unit that is to be restarted ran before.
        ran: bool,
    },
    /// A step is about to be done.
    Step {
        /// Counts from 1 within the run.
        number: usize,
        /// The item it belongs to.
        item: String,
        /// The profile it was done for, where that is not the run's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        profile: Option<String>,
        /// The item's subjects that need it.
        serves: Vec<String>,
        /// What is done.
        step: Step,
        /// What was there before.
        prior: Prior,
    },
    /// A step has ended.
    Done {
        /// The step's number.
        number: usize,
        /// Why it failed, where it did.
        error: Option<String>,
        /// The packages it changed, those it took along included.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        left: Vec<Package>,
    },
    /// Something due was done.
    Settled {
        /// What was due.
        due: Due,
        /// Why it failed, where it did.
        error: Option<String>,
    },
    /// The run is complete.
    End,
}

/// What a run is for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Purpose {
    /// `apply`, `rollback` or `remove`.
    pub command: String,
    /// The profile's name; for what is taken back, of the run that did it.
    pub profile: String,
    /// The run that was cut off, which this one finishes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finishes: Option<String>,
    /// The runs whose records this one stands for: they count no more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub folds: Vec<String>,
}

/// A run's journal; its file is made with the first record, so a run that does nothing leaves none.
#[derive(Debug)]
pub struct Journal {
    id: String,
    purpose: Purpose,
    store: Option<Store>,
    steps: usize,
    /// Why it can't be written any more: a record after a torn one could not be read back.
    lost: Option<Error>,
}

impl Journal {
    /// A journal for a run.
    #[must_use]
    pub fn new(purpose: Purpose) -> Self {
        // Sorted by name is sorted by time.
        let time = humantime::format_rfc3339_micros(SystemTime::now());
        Self {
            id: format!("{time}-{}", std::process::id()),
            purpose,
            store: None,
            steps: 0,
            lost: None,
        }
    }

    /// The run's name.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Writes down what will be due.
    ///
    /// # Errors
    /// Where it cannot be made durable: then nothing may be done.
    pub fn due(&mut self, host: &Host, item: Option<&str>, due: &Due) -> Result<()> {
        let ran = match due {
            Due::Restart { unit, .. } => host.has_processes(unit)?,
            _ => true,
        };
        let (item, due) = (item.map(str::to_owned), due.clone());
        self.append(host, &Record::Due { item, due, ran })
    }

    /// Writes down a step that is about to be done, and returns its number.
    ///
    /// # Errors
    /// Where it cannot be made durable: then the step must not be done.
    pub fn step(
        &mut self,
        host: &Host,
        item: &str,
        planned: &PlannedStep,
        prior: Prior,
    ) -> Result<usize> {
        let number = self.steps + 1;
        self.append(
            host,
            &Record::Step {
                number,
                item: item.into(),
                profile: None,
                serves: planned.serves.clone(),
                step: planned.step.clone(),
                prior,
            },
        )?;
        self.steps = number;
        Ok(number)
    }

    /// Writes down how a step ended, and the packages it changed.
    ///
    /// # Errors
    /// Where it cannot be made durable.
    pub fn done(
        &mut self,
        host: &Host,
        number: usize,
        error: Option<String>,
        left: Vec<Package>,
    ) -> Result<()> {
        let record = Record::Done {
            number,
            error,
            left,
        };
        self.append(host, &record)
    }

    /// Writes down how something due ended.
    ///
    /// # Errors
    /// Where it cannot be made durable.
    pub fn settled(&mut self, host: &Host, due: &Due, error: Option<String>) -> Result<()> {
        self.append(
            host,
            &Record::Settled {
                due: due.clone(),
                error,
            },
        )
    }

    /// Writes down that the run is complete, if it did anything or finishes another.
    ///
    /// # Errors
    /// Where it cannot be made durable.
    pub fn end(&mut self, host: &Host) -> Result<()> {
        if self.store.is_none() && self.purpose.finishes.is_none() {
            Ok(())
        } else {
            self.append(host, &Record::End)
        }
    }

    fn append(&mut self, host: &Host, record: &Record) -> Result<()> {
        if let Some(error) = &self.lost {
            return Err(error.clone());
        }
        let written = self.write(host, record);
        self.lost = written.as_ref().err().cloned();
        written
    }

    fn write(&mut self, host: &Host, record: &Record) -> Result<()> {
        if let Some(store) = &mut self.store {
            return store.append(line(record)?.as_bytes());
        }
        let begin = begin(self.purpose.clone(), host.boot_id()?);
        let first = line(&begin)? + &line(record)?;
        self.store = Some(host.store(&path(&self.id), first.as_bytes())?);
        Ok(())
    }
}

/// Where the journal of a run is.
#[must_use]
pub fn path(id: &str) -> PathBuf {
    PathBuf::from(format!("{DIRECTORY}/{id}{SUFFIX}"))
}

/// The record a journal begins with.
fn begin(purpose: Purpose, boot: Option<String>) -> Record {
    Record::Begin {
        version: VERSION,
        nodeprep: env!("CARGO_PKG_VERSION").into(),
        purpose,
        time: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
        boot,
    }
}

/// The text of a whole journal.
///
/// # Errors
/// Where a record cannot be written as JSON.
pub fn text(purpose: Purpose, records: &[Record]) -> Result<Vec<u8>> {
    let mut text = line(&begin(purpose, None))?;
    for record in records {
        text.push_str(&line(record)?);
    }
    Ok((text + &line(&Record::End)?).into_bytes())
}

fn line(record: &Record) -> Result<String> {
    let json = serde_json::to_string(record).map_err(|error| trouble!("journal: {error}"))?;
    Ok(format!("{:08x} {json}\n", crc32fast::hash(json.as_bytes())))
}

/// The records of a journal's text up to the first line that is damaged, and what is wrong with that
/// line. A torn last line is no damage: what it was to announce was not begun.
#[must_use]
pub fn read(text: &[u8]) -> (Vec<Record>, Option<String>) {
    let mut records = Vec::new();
    let mut lines = text.split_inclusive(|b| *b == b'\n').enumerate().peekable();
    while let Some((index, line)) = lines.next() {
        match parse(line) {
            Some(Record::Begin { version, .. }) if version > VERSION => {
                let newer = format!("version {version}: a newer nodeprep wrote it, use that one");
                return (records, Some(newer));
            }
            Some(record) => records.push(record),
            None if lines.peek().is_none() => break,
            None => return (records, Some(format!("line {} is damaged", index + 1))),
        }
    }
    (records, None)
}

fn parse(line: &[u8]) -> Option<Record> {
    let text = std::str::from_utf8(line).ok()?.strip_suffix('\n')?;
    let (sum, json) = text.split_once(' ')?;
    let sum = u32::from_str_radix(sum, 16).ok()?;
    (sum == crc32fast::hash(json.as_bytes())).then(|| serde_json::from_str(json).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::step::Owner;

    fn records() -> Vec<Record> {
        let step = Step::write("/etc/fstab", b"\xff\n", Owner::Shared);
        let prior = Prior::File {
            path: "/etc/fstab".into(),
            file: crate::step::File {
                content: b"a\n".to_vec(),
                mode: 0o644,
                uid: 0,
                gid: 0,
                attributes: vec![("security.selinux".into(), b"x\0".to_vec())],
            },
        };
        vec![
            Record::Due {
                item: None,
                due: Due::DaemonReload,
                ran: true,
            },
            Record::Step {
                number: 1,
                item: "swap".into(),
                profile: None,
                serves: vec!["/swapfile".into()],
                step,
                prior,
            },
            Record::Done {
                number: 1,
                error: None,
                left: Vec::new(),
            },
            Record::End,
        ]
    }

    #[test]
    fn reads_back_what_was_written_and_sees_a_torn_tail() {
        let lines: Vec<String> = records()
            .iter()
            .map(|record| line(record).unwrap())
            .collect();
        let text = lines.concat();
        assert_eq!(read(text.as_bytes()), (records(), None));
        let begin = text.len() - lines.last().unwrap().len();
        for cut in begin + 1..text.len() {
            let (read, damage) = read(&text.as_bytes()[..cut]);
            assert!(damage.is_none() && read == records()[..3]);
        }
    }

    #[test]
    fn damage_before_the_end_is_told() {
        let mut text: Vec<u8> = records()
            .iter()
            .flat_map(|r| line(r).unwrap().into_bytes())
            .collect();
        text[20] ^= 1;
        let (read, damage) = read(&text);
        assert_eq!(read, []);
        assert_eq!(damage.as_deref(), Some("line 1 is damaged"));
    }
}
