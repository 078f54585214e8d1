//! The runs a host has seen, read back from their journals: who undoes or finishes a run needs to
//! know what it did, to the byte.

mod fold;

use std::collections::HashMap;
use std::path::Path;

use crate::error::{Error, Result, trouble};
use crate::host::{Host, Prior};
use crate::journal::{self, DIRECTORY, Purpose, Record, SUFFIX};
use crate::step::{Due, Package, Step};

pub use fold::fold;

/// One run, as its journal tells it.
#[derive(Debug)]
pub struct Run {
    /// Its name: when it began, and its process number.
    pub id: String,
    /// Its records up to the first damaged one.
    pub records: Vec<Record>,
    /// What is wrong with its journal.
    pub damage: Option<String>,
    /// The journal's size.
    pub bytes: usize,
}

/// A step of a run.
#[derive(Debug, Clone, Copy)]
pub struct Did<'a> {
    /// The item it belongs to.
    pub item: &'a str,
    /// The profile it was done for.
    pub profile: &'a str,
    /// The item's subjects it served.
    pub serves: &'a [String],
    /// The step.
    pub step: &'a Step,
    /// What was there before.
    pub prior: &'a Prior,
    /// The packages it changed, where that was written down.
    pub left: &'a [Package],
    /// How it ended; none where the run was cut off in it.
    pub ended: Option<std::result::Result<(), &'a str>>,
}

impl Run {
    fn new(id: &str, text: &[u8]) -> Self {
        let (records, damage) = journal::read(text);
        Self {
            id: id.to_owned(),
            records,
            damage,
            bytes: text.len(),
        }
    }

    /// What it was for.
    #[must_use]
    pub fn purpose(&self) -> Purpose {
        match self.records.first() {
            Some(Record::Begin { purpose, .. }) => purpose.clone(),
            _ => Purpose::default(),
        }
    }

    /// Whether it ended; a run that was killed or stopped did not.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.records.last() == Some(&Record::End)
    }

    /// Its steps in order.
    #[must_use]
    pub fn steps(&self) -> Vec<Did<'_>> {
        let ends = self.records.iter().filter_map(|record| match record {
            Record::Done {
                number,
                error,
                left,
            } => Some((
                *number,
                (error.as_deref().map_or(Ok(()), Err), left.as_slice()),
            )),
            _ => None,
        });
        let ended: HashMap<usize, (std::result::Result<(), &str>, &[Package])> = ends.collect();
        let of = match self.records.first() {
            Some(Record::Begin { purpose, .. }) => &purpose.profile,
            _ => "",
        };
        let did = |record| match record {
            &Record::Step {
                number,
                ref item,
                ref profile,
                ref serves,
                ref step,
                ref prior,
            } => Some(Did {
                item,
                profile: profile.as_deref().unwrap_or(of),
                serves,
                step,
                prior,
                left: ended.get(&number).map_or(&[], |(_, left)| left),
                ended: ended.get(&number).map(|(ended, _)| *ended),
            }),
            _ => None,
        };
        self.records.iter().filter_map(did).collect()
    }

    /// What was due for an item, and whether the unit to be restarted ran before.
    pub fn dues(&self) -> impl Iterator<Item = (&str, &Due, bool)> {
        self.records.iter().filter_map(|record| match record {
            Record::Due {
                item: Some(item),
                due,
                ran,
            } => Some((item.as_str(), due, *ran)),
            _ => None,
        })
    }

    /// What was due and is not done, of items it had begun with; nothing where the host has booted
    /// since, as a boot does all of it.
    ///
    /// # Errors
    /// Where the number of this boot cannot be read.
    pub fn pending(&self, host: &Host) -> Result<Vec<Due>> {
        let Some(Record::Begin { boot, .. }) = self.records.first() else {
            return Ok(Vec::new());
        };
        if self.has_ended() || *boot != host.boot_id()? {
            return Ok(Vec::new());
        }
        let begun = |of: &Option<String>| {
            of.is_none()
                || self.records.iter().any(
                    |record| matches!(record, Record::Step { item, .. } if Some(item) == of.as_ref()),
                )
        };
        let mut pending = Vec::new();
        for record in &self.records {
            match record {
                Record::Due { item, due, .. } if begun(item) && !pending.contains(due) => {
                    pending.push(due.clone());
                }
                Record::Settled { due, error: None } => pending.retain(|other| other != due),
                _ => {}
            }
        }
        Ok(pending)
    }

    /// When it began: UTC, RFC 3339.
    #[must_use]
    pub fn time(&self) -> &str {
        match self.records.first() {
            Some(Record::Begin { time, .. }) => time,
            _ => "",
        }
    }
}

/// All runs whose journals are kept, the oldest first.
#[derive(Debug, Default)]
pub struct Runs(pub Vec<Run>);

impl Runs {
    /// Those that count, and the names of those still there that do not: another stands for them, or
    /// they were cut off before their first record, and so before they did anything.
    fn sorted_out(runs: Vec<Run>) -> (Self, Vec<String>) {
        let folded: Vec<String> = runs.iter().flat_map(|run| run.purpose().folds).collect();
        let never_began = |run: &Run| run.records.is_empty() && run.damage.is_none();
        let is_stale = |run: &Run| folded.contains(&run.id) || never_began(run);
        let (stale, counting): (Vec<Run>, Vec<Run>) = runs.into_iter().partition(is_stale);
        (
            Self(counting),
            stale.into_iter().map(|run| run.id).collect(),
        )
    }
}

impl Runs {
    /// Reads them.
    ///
    /// # Errors
    /// Where a journal cannot be read. One that is damaged is no error: it says so itself.
    pub fn read(host: &Host) -> Result<Self> {
        Ok(Self::sorted_out(Self::all(host)?).0)
    }

    fn all(host: &Host) -> Result<Vec<Run>> {
        let directory = Path::new(DIRECTORY);
        // Ours are the last two.
        for ours in directory.ancestors().take(2) {
            host.must_be_trusted(ours)?;
        }
        let mut runs = Vec::new();
        // Sorted by name is sorted by time.
        for name in host.list(directory)?.iter() {
            if let Some(id) = name.strip_suffix(SUFFIX)
                && let Some(text) = host.bytes(&directory.join(name))?
            {
                runs.push(Run::new(id, &text));
            }
        }
        Ok(runs)
    }

    /// The run that was cut off: only the last one can be, as each run finishes the one before.
    #[must_use]
    pub fn cut_off(&self) -> Option<&Run> {
        self.0.last().filter(|run| !run.has_ended())
    }

    /// Where the run is that is called so, or begins so and is the only one.
    ///
    /// # Errors
    /// Where there is none or more than one.
    pub fn find(&self, name: &str) -> Result<usize> {
        let mut named = self.0.iter().enumerate();
        let found: Vec<usize> = named
            .by_ref()
            .filter(|(_, run)| run.id.starts_with(name))
            .map(|(index, _)| index)
            .collect();
        match (found.as_slice(), name.is_empty()) {
            (&[one], false) => Ok(one),
            ([], _) => Err(Error::Usage(format!(
                "there is no run \"{name}\": `nodeprep history` lists them"
            ))),
            _ => Err(Error::Usage(format!(
                "more than one run begins with \"{name}\": give more of its name"
            ))),
        }
    }

    /// Where the undertaking began that the run at `index` ended: it may have finished others that
    /// were cut off.
    #[must_use]
    pub fn beginning(&self, index: usize) -> usize {
        let mut index = index;
        while let Some(finished) = self.0.get(index).and_then(|run| run.purpose().finishes)
            && let Some(before) = self.0.iter().position(|run| run.id == finished)
            && before < index
        {
            index = before;
        }
        index
    }

    /// The runs from `index` on.
    ///
    /// # Errors
    /// Where a journal among them is damaged: what it says is not all that was done.
    pub fn from(&self, index: usize) -> Result<&[Run]> {
        let runs = self.0.get(index..).unwrap_or_default();
        match runs
            .iter()
            .find_map(|run| Some((run, run.damage.as_ref()?)))
        {
            None => Ok(runs),
            Some((run, damage)) => Err(trouble!(
                "{DIRECTORY}/{}{SUFFIX}: {damage}: what it did cannot be taken back by itself",
                run.id
            )),
        }
    }
}
