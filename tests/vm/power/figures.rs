//! What came of the moments at which the power failed, for people and for RELIABILITY.md.

use std::fmt;

use super::judge::Found;
use super::record::Recording;
use super::replay::Cut;

/// Faults that are shown; the others are counted.
const SHOWN: usize = 5;

/// What came of a recording.
#[derive(Debug)]
pub struct Figures {
    name: &'static str,
    runs: usize,
    /// What the disk was told between the begin and the return of them.
    entries: usize,
    flushes: usize,
    /// Files and directories the run changed.
    changed: usize,
    moments: Vec<(Cut, Found)>,
    /// Disks that a machine came up with, and was in order after one apply.
    pub booted: usize,
}

impl Figures {
    /// None yet, of a run that changes so many files and directories.
    pub fn new(name: &'static str, changed: usize) -> Self {
        Self {
            name,
            runs: 0,
            entries: 0,
            flushes: 0,
            changed,
            moments: Vec::new(),
            booted: 0,
        }
    }

    /// One recorded run more.
    pub fn record(&mut self, recording: &Recording) {
        let run = &recording.log.entries[recording.began..recording.returned];
        self.runs += 1;
        self.entries += run.len();
        self.flushes += run.iter().filter(|entry| entry.flush).count();
    }

    /// One moment more.
    pub fn add(&mut self, cut: Cut, found: Found) {
        self.moments.push((cut, found));
    }

    /// Moments after which something was not as it must be.
    pub fn failed(&self) -> usize {
        self.count(|_, found| !found.faults.is_empty())
    }

    fn count(&self, is: impl Fn(&Cut, &Found) -> bool) -> usize {
        self.moments
            .iter()
            .filter(|(cut, found)| is(cut, found))
            .count()
    }

    fn sum(&self, of: impl Fn(&Cut, &Found) -> usize) -> usize {
        self.moments.iter().map(|(cut, found)| of(cut, found)).sum()
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "## {}", self.name)?;
        let (runs, entries, flushes, changed) =
            (self.runs, self.entries, self.flushes, self.changed);
        writeln!(
            f,
            "runs: {runs}; {entries} entries, {flushes} of them flushes; {changed} files and directories changed"
        )?;
        writeln!(
            f,
            "moments: {}; {} after the run had returned, {} in the midst of its changes",
            self.moments.len(),
            self.count(|_, found| found.returned),
            self.count(|_, found| found.new > 0 && found.new < changed),
        )?;
        writeln!(
            f,
            "not flushed: {} writes lost, {} torn, {} kept",
            self.sum(|cut, _| cut.dropped),
            self.sum(|cut, _| cut.torn),
            self.sum(|cut, _| cut.kept),
        )?;
        writeln!(
            f,
            "found: {} files under temporary names, {} journals with a torn end, {} file systems to repair",
            self.sum(|_, found| found.temporaries),
            self.sum(|_, found| found.torn_journals),
            self.count(|_, found| found.repaired),
        )?;
        writeln!(
            f,
            "booted: {}; moments with faults: {}",
            self.booted,
            self.failed()
        )?;
        let faults = self.moments.iter().flat_map(|(cut, found)| {
            let of = |fault| (cut.at, fault);
            found.faults.iter().map(of)
        });
        for (at, fault) in faults.take(SHOWN) {
            writeln!(f, "  at {at}: {fault}")?;
        }
        Ok(())
    }
}
