//! Reading a tarball that may be anybody's: nothing in it decides where a file goes, and what is
//! strange about it is refused before any file has its name.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Seek};
use std::path::{Component, Path};

use flate2::read::MultiGzDecoder;
use sha2::{Digest as _, Sha256};
use tar::{Archive, Entry, EntryType};

use super::broken;
use crate::error::{Error, Result, trouble};
use crate::step::Extraction;

/// More entries are no archive of programs: nerdctl's full one, the largest we know, has a hundred.
const MOST_ENTRIES: usize = 10_000;
/// Bytes of an archive when unpacked; more are no programs but a bomb. nerdctl's full one has 900 MB.
const LARGEST_ARCHIVE: u64 = 4 << 30;
/// The begin of what gzip writes (RFC 1952, 2.3.1).
const GZIP: [u8; 2] = [0x1f, 0x8b];
/// So many of an archive's names are told where a wanted one is not among them.
const MOST_TOLD: usize = 12;

/// A reader that knows the SHA-256 of what was read.
pub(super) struct Digest<R> {
    inner: R,
    sum: Sha256,
}

impl<R: Read> Digest<R> {
    pub fn new(inner: R) -> Self {
        let sum = Sha256::new();
        Self { inner, sum }
    }

    /// That of everything, the rest read to its end, in lower-case hexadecimal digits.
    pub fn finish(mut self) -> std::io::Result<String> {
        std::io::copy(&mut self, &mut std::io::sink())?;
        let digits = self.sum.finalize();
        Ok(digits.iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

impl<R: Read> Read for Digest<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.sum.update(buffer.get(..read).unwrap_or_default());
        Ok(read)
    }
}

/// An archive with the checksum it should have.
pub(super) struct Tarball {
    file: File,
    is_gzip: bool,
}

impl Tarball {
    /// Reads it whole, and refuses one with another checksum.
    pub fn open(mut file: File, extraction: &Extraction) -> Result<Self> {
        let failed = |error| broken(&extraction.archive, &error);
        let mut magic = Vec::new();
        (&file)
            .take(GZIP.len() as u64)
            .read_to_end(&mut magic)
            .and_then(|_| file.rewind())
            .map_err(failed)?;
        verify(Digest::new(&file), extraction)?;
        file.rewind().map_err(failed)?;
        let is_gzip = magic == GZIP;
        Ok(Self { file, is_gzip })
    }

    /// Gives `take` each wanted member with the mode it gets and its bytes. The archive is summed up
    /// again as it is read: whoever may write to it may have done so since.
    pub fn each(
        &mut self,
        extraction: &Extraction,
        mut take: impl FnMut(&str, u32, &mut dyn Read) -> Result<()>,
    ) -> Result<()> {
        let mut digest = Digest::new(&self.file);
        let raw: Box<dyn Read + '_> = match self.is_gzip {
            true => Box::new(MultiGzDecoder::new(&mut digest)),
            false => Box::new(&mut digest),
        };
        let mut archive = Archive::new(raw.take(LARGEST_ARCHIVE));
        let mut seen = Seen::default();
        let entries = archive.entries();
        for entry in entries.map_err(|error| broken(&extraction.archive, &error))? {
            let mut entry = entry.map_err(|error| broken(&extraction.archive, &error))?;
            if let Some(member) = seen.add(&entry, extraction)? {
                let (mode, size) = (mode(&entry), entry.size());
                let mut whole = Whole {
                    entry: &mut entry,
                    left: size,
                };
                take(&member, mode, &mut whole)?;
            }
        }
        drop(archive);
        seen.has_all(extraction)?;
        verify(digest, extraction)
    }
}

/// The mode a member gets: nobody else's set-id bits, and nothing for others to write to.
fn mode<R: Read>(entry: &Entry<'_, R>) -> u32 {
    match entry.header().mode().unwrap_or_default() & 0o111 {
        0 => 0o644,
        _ => 0o755,
    }
}

/// A member's bytes; too few of them, which tar takes for its end, are an error.
struct Whole<'a, R> {
    entry: &'a mut R,
    left: u64,
}

impl<R: Read> Read for Whole<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.entry.read(buffer)?;
        if read == 0 && self.left > 0 && !buffer.is_empty() {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        self.left = self.left.saturating_sub(read as u64);
        Ok(read)
    }
}

fn verify(digest: Digest<impl Read>, extraction: &Extraction) -> Result<()> {
    let (path, wanted) = (&extraction.archive, &extraction.sha256);
    let found = digest.finish().map_err(|error| broken(path, &error))?;
    match found == *wanted {
        true => Ok(()),
        false => Err(trouble!(
            "{}: its SHA-256 is {found} where {wanted} was expected: nothing was taken from it; get it \
             anew, or give the profile the checksum its publisher tells",
            path.display()
        )),
    }
}

/// What was read of an archive so far.
#[derive(Default)]
struct Seen {
    entries: usize,
    bytes: u64,
    members: BTreeSet<String>,
    /// Names that were not wanted, for people.
    others: Vec<String>,
}

impl Seen {
    /// Adds an entry; gives its name below the directory it goes to where it is wanted.
    fn add<R: Read>(
        &mut self,
        entry: &Entry<'_, R>,
        extraction: &Extraction,
    ) -> Result<Option<String>> {
        let refused = |what: String| refused(extraction, &what);
        self.entries += 1;
        self.bytes = self.bytes.saturating_add(entry.size());
        if self.entries > MOST_ENTRIES {
            return Err(refused(format!("it has more than {MOST_ENTRIES} entries")));
        }
        if self.bytes > LARGEST_ARCHIVE {
            return Err(refused(format!(
                "it unpacks to more than {LARGEST_ARCHIVE} bytes"
            )));
        }
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let Some(inside) = inside(&name, extraction.strip).map_err(refused)? else {
            return Ok(None);
        };
        if !extraction.members.contains(&inside) {
            if self.others.len() < MOST_TOLD && entry.header().entry_type() != EntryType::Directory
            {
                self.others.push(inside);
            }
            return Ok(None);
        }
        if !matches!(
            entry.header().entry_type(),
            EntryType::Regular | EntryType::Continuous
        ) {
            return Err(refused(format!(
                "{name:?} in it is a link, directory or device, no file"
            )));
        }
        match self.members.insert(inside.clone()) {
            true => Ok(Some(inside)),
            false => Err(refused(format!("{name:?} is in it twice"))),
        }
    }

    fn has_all(&self, extraction: &Extraction) -> Result<()> {
        let missing: Vec<&str> = extraction
            .members
            .difference(&self.members)
            .map(String::as_str)
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        let has = match self.others.is_empty() {
            true => "no other file".to_owned(),
            false => self.others.join(", "),
        };
        let missing = missing.join(", ");
        Err(refused(
            extraction,
            &format!("it has no {missing}, it has {has}"),
        ))
    }
}

fn refused(extraction: &Extraction, what: &str) -> Error {
    let path = extraction.archive.display();
    trouble!("{path}: {what}: nothing was taken from it")
}

/// An entry's name without the first `strip` directories; none where nothing is left.
fn inside(name: &str, strip: usize) -> std::result::Result<Option<String>, String> {
    let mut names = Vec::new();
    for part in Path::new(name).components() {
        match part {
            Component::Normal(part) => names.push(part.to_string_lossy()),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => {
                return Err(format!("{name:?} in it leads out of where it is unpacked"));
            }
        }
    }
    let rest = names.get(strip..).unwrap_or_default();
    Ok((!rest.is_empty()).then(|| rest.join("/")))
}
