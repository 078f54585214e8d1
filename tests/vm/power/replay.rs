//! What is on a disk after the power failed: all that was flushed, and of what was written since
//! whatever the disk happened to have done.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::log::{Log, SECTOR};

/// Numbers that repeat with their seed (splitmix64; Steele, Lea and Flood, OOPSLA 2014).
#[derive(Debug)]
pub struct Random(pub u64);

impl Random {
    /// One below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^= x >> 31;
        usize::try_from(x % bound as u64).unwrap()
    }
}

/// A moment at which the power fails.
#[derive(Debug, Default)]
pub struct Cut {
    /// So many entries of the log were done.
    pub at: usize,
    /// So many of them were on the disk for good.
    pub flushed: usize,
    /// Writes since then that are lost, whole.
    pub dropped: usize,
    /// Writes since then of which some sectors are lost.
    pub torn: usize,
    /// Writes since then that are there, whole.
    pub kept: usize,
    /// What of the writes since then is on the disk: where, and which bytes.
    survivors: Vec<(u64, Vec<u8>)>,
}

impl Cut {
    /// The power fails after `at` entries. A write since the last flush is on the disk, or not, or
    /// some of its sectors are, each as likely.
    pub fn new(log: &Log, at: usize, random: &mut Random) -> Self {
        let done = &log.entries[..at];
        let flushed = done.iter().rposition(|entry| entry.flush).unwrap_or(0);
        let mut cut = Self {
            at,
            flushed,
            ..Self::default()
        };
        let writes = done[flushed..]
            .iter()
            .filter(|entry| !log.data(entry).is_empty());
        for entry in writes {
            let data = log.data(entry);
            match random.below(3) {
                1 if !entry.durable => cut.dropped += 1,
                2 if !entry.durable => cut.tear(entry.offset, data, random),
                _ => {
                    cut.kept += 1;
                    cut.survivors.push((entry.offset, data.to_vec()));
                }
            }
        }
        cut
    }

    fn tear(&mut self, offset: u64, data: &[u8], random: &mut Random) {
        let sectors = data.chunks(SECTOR).zip((offset..).step_by(SECTOR));
        let kept: Vec<(u64, Vec<u8>)> = sectors
            .filter(|_| random.below(2) == 0)
            .map(|(sector, offset)| (offset, sector.to_vec()))
            .collect();
        match kept.len() * SECTOR {
            0 => self.dropped += 1,
            length if length < data.len() => self.torn += 1,
            _ => self.kept += 1,
        }
        self.survivors.extend(kept);
    }
}

/// A disk that a log is played onto, further and further.
#[derive(Debug)]
pub struct Disk {
    path: PathBuf,
    file: File,
    played: usize,
}

impl Disk {
    /// A copy of the disk as it was when the log began.
    pub fn copy(base: &Path, path: &Path) -> Self {
        copy(base, path);
        let file = File::options().write(true).open(path).unwrap();
        Self {
            path: path.to_owned(),
            file,
            played: 0,
        }
    }

    /// Does what was logged before the entry `until`; cuts are asked for in order.
    pub fn play(&mut self, log: &Log, until: usize) {
        assert!(self.played <= until, "a disk is not played backwards");
        for entry in &log.entries[self.played..until] {
            self.file
                .write_all_at(log.data(entry), entry.offset)
                .unwrap();
        }
        self.played = until;
    }

    /// Makes the disk as the cut leaves it at `path`.
    pub fn cut(&mut self, log: &Log, cut: &Cut, path: &Path) {
        self.play(log, cut.flushed);
        copy(&self.path, path);
        let file = File::options().write(true).open(path).unwrap();
        for (offset, bytes) in &cut.survivors {
            file.write_all_at(bytes, *offset).unwrap();
        }
    }
}

/// A directory for disks in memory: unmounting one waits until all of it has been written to where it
/// is, and a machine's has half a gigabyte.
pub fn scratch() -> TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap()
}

/// Copies a disk with its holes: it is mostly holes.
pub fn copy(from: &Path, to: &Path) {
    let mut cp = Command::new("cp");
    let status = cp.arg("--sparse=auto").args([from, to]).status();
    assert!(status.unwrap().success(), "cp {}", from.display());
}

/// The trial of this file: what was flushed is there whole, what was not in every way there is.
pub fn drops_only_what_was_not_flushed() {
    use super::log::synthetic;
    let block = |byte: u8| vec![byte; 2 * SECTOR];
    let (a, b, c) = (block(b'a'), block(b'b'), block(b'c'));
    // 1 is a flush, 2 a write that is durable by itself.
    let log = synthetic(&[(0, 0, &a), (0, 1, &[]), (0, 0, &b), (2, 2, &c)]);
    let log = Log::parse(log).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path().join("base");
    std::fs::write(&base, block(0).repeat(2)).unwrap();
    let mut random = Random(1);
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..100 {
        let mut disk = Disk::copy(&base, &dir.path().join("disk"));
        let cut = Cut::new(&log, 4, &mut random);
        let path = dir.path().join("cut");
        disk.cut(&log, &cut, &path);
        let bytes = std::fs::read(&path).unwrap();
        let sectors: Vec<u8> = bytes.chunks(SECTOR).map(|sector| sector[0]).collect();
        assert!(bytes.chunks(SECTOR).all(|s| s.iter().all(|b| *b == s[0])));
        seen.insert((String::from_utf8(sectors).unwrap(), cut.dropped, cut.torn));
    }
    let expected = [
        ("aacc", 1, 0),
        ("abcc", 0, 1),
        ("bacc", 0, 1),
        ("bbcc", 0, 0),
    ];
    assert_eq!(seen, expected.map(|(s, d, t)| (s.to_owned(), d, t)).into());
    // Before anything was flushed nothing is sure.
    assert_eq!(Cut::new(&log, 1, &mut random).flushed, 0);
}
