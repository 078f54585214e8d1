//! Which states are one to the next run: a trial of every call leaves few that differ, and what follows
//! from each needs to be tried once.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;

use crate::state::{State, is_own};

/// Hexadecimal digits of a record's checksum.
const CHECKSUM: usize = 8;
/// Before the inode and times of a file that was taken out of an archive.
const STAMP: &[u8] = b"\"stamp\":\"";
/// How the time begins that a run is called after, `0` for any digit.
const DAY: &[u8] = b"0000-00-00T";
/// With microseconds, and then some.
const LONGEST: usize = 40;

impl State {
    /// The same for states that differ in nothing but in when runs were, in their process numbers and in
    /// inodes; whatever else differs, it differs.
    pub fn key(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        let names = self.files.keys().filter(|path| is_own(path));
        let runs: Vec<Vec<u8>> = names.filter_map(|path| run(path)).collect();
        for (path, seen) in self.files.iter() {
            let name = path.as_os_str().as_encoded_bytes();
            timeless(&numberless(name, &runs), &runs).hash(&mut hasher);
            match seen.bytes() {
                Some(bytes) if is_own(path) => {
                    (own(path, bytes, &runs), seen.rights()).hash(&mut hasher);
                }
                _ => seen.hash(&mut hasher),
            }
        }
        self.kernel.hash(&mut hasher);
        hasher.finish()
    }
}

/// The run whose journal it is.
fn run(path: &Path) -> Option<Vec<u8>> {
    let name = path.file_name()?.to_str()?;
    Some(name.strip_suffix(".journal")?.as_bytes().to_vec())
}

/// A file of the agent's own, without what is another each time.
fn own(path: &Path, bytes: &[u8], runs: &[Vec<u8>]) -> Vec<u8> {
    if path.ends_with("lock") {
        // The number of the process that has it: none has, now.
        return Vec::new();
    }
    let mut text = Vec::new();
    for line in bytes.split_inclusive(|b| *b == b'\n') {
        let is_record = path.extension().is_some_and(|kind| kind == "journal");
        let checksum = if is_record { CHECKSUM } else { 0 };
        let (checksum, rest) = line.split_at(line.len().min(checksum));
        text.extend(checksum.len().to_string().into_bytes());
        text.extend(timeless(&stampless(rest), runs));
    }
    text
}

/// With a run's place among all in the place of its name, and no other time.
fn timeless(text: &[u8], runs: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.first() {
        if let Some(nth) = runs.iter().position(|run| rest.starts_with(run)) {
            out.extend(format!("run {nth}").into_bytes());
            rest = &rest[runs[nth].len()..];
        } else if let Some(length) = time(rest) {
            rest = &rest[length..];
        } else {
            out.push(*first);
            rest = &rest[1..];
        }
    }
    out
}

/// How long the time is that a text begins with.
fn time(text: &[u8]) -> Option<usize> {
    let fits = |(is, wanted): (&u8, &u8)| match wanted {
        b'0' => is.is_ascii_digit(),
        _ => is == wanted,
    };
    let begins = text.len() > DAY.len() && text.iter().zip(DAY).all(fits);
    let end = || text.iter().take(LONGEST).position(|b| *b == b'Z');
    begins.then(end).flatten().map(|end| end + 1)
}

/// A temporary file is called after the process of a run.
fn numberless(name: &[u8], runs: &[Vec<u8>]) -> Vec<u8> {
    let text = String::from_utf8_lossy(name);
    let Some((before, process)) = text.rsplit_once(".nodeprep-") else {
        return name.to_vec();
    };
    let is_its = |run: &Vec<u8>| run.ends_with(format!("Z-{process}").as_bytes());
    let nth = runs.iter().position(is_its);
    format!("{before} of {nth:?}").into_bytes()
}

fn stampless(line: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = line;
    while let Some(at) = rest.windows(STAMP.len()).position(|w| w == STAMP) {
        let (before, after) = rest.split_at(at + STAMP.len());
        out.extend(before);
        let end = after.iter().position(|b| *b == b'"').unwrap_or(0);
        rest = &after[end..];
    }
    out.extend(rest);
    out
}
