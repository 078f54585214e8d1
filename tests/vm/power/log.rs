//! The log of a disk's writes, because what a power cut can leave is some of them, in no order but
//! that of the flushes.
//!
//! The format is dm-log-writes' (Linux, drivers/md/dm-log-writes.c), as QEMU's block/blklogwrites.c
//! writes it: a sector with the magic number, the version, a count and the sector's size; then for
//! each write a sector that begins with its place, length and flags, and after it what was written.
//! A write stands in it once it is done, so all that a flush covers stands before the flush.

use std::ops::Range;

/// What the disk writes whole or not at all, bytes; QEMU is asked to log in these.
pub const SECTOR: usize = 512;

/// The first eight bytes.
const MAGIC: u64 = 0x006a_7366_7773_6872;
const VERSION: u64 = 1;

const FLUSH: u64 = 1 << 0;
/// The write is on the disk when it is done. QEMU logs a flush after it instead.
const FUA: u64 = 1 << 1;
const DISCARD: u64 = 1 << 2;
/// A name somebody gave to this place in the log.
const MARK: u64 = 1 << 3;

/// A whole log.
#[derive(Debug)]
pub struct Log {
    /// What was done, in order.
    pub entries: Vec<Entry>,
    bytes: Vec<u8>,
}

/// Something done to the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where it stands in the log.
    pub at: usize,
    /// The byte of the disk it begins at.
    pub offset: u64,
    /// All that was done before it is on the disk for good.
    pub flush: bool,
    /// It is on the disk for good itself.
    pub durable: bool,
    /// What was written, as a part of the log.
    data: Range<usize>,
}

impl Log {
    /// Reads a log to its end: the count in its first sector is only brought up to date at a flush.
    ///
    /// # Errors
    /// Where it is none, or was cut off.
    pub fn parse(bytes: Vec<u8>) -> Result<Self, String> {
        let head = (
            number(&bytes, 0),
            number(&bytes, 8),
            number(&bytes, 24).map(|size| size & u64::from(u32::MAX)),
        );
        let expected = (Some(MAGIC), Some(VERSION), Some(SECTOR as u64));
        if head != expected {
            return Err(format!(
                "no log of version 1 in sectors of 512 bytes: {head:x?}"
            ));
        }
        let mut entries = Vec::new();
        let mut at = SECTOR;
        while at < bytes.len() {
            let (entry, next) =
                entry(&bytes, at).ok_or_else(|| format!("byte {at}: no entry, or cut off"))?;
            entries.push(entry);
            at = next;
        }
        Ok(Self { entries, bytes })
    }

    /// What an entry wrote.
    pub fn data(&self, entry: &Entry) -> &[u8] {
        &self.bytes[entry.data.clone()]
    }

    /// How many entries stand before a byte of the log.
    pub fn before(&self, at: u64) -> usize {
        self.entries.partition_point(|entry| (entry.at as u64) < at)
    }
}

/// The entry at a byte, and the byte after it.
fn entry(bytes: &[u8], at: usize) -> Option<(Entry, usize)> {
    let field = |index: usize| number(bytes, at + 8 * index);
    let (sector, sectors, flags) = (field(0)?, field(1)?, field(2)?);
    // A flush has no data; nothing else is empty but a hole in the log.
    if flags & !(FLUSH | FUA | DISCARD | MARK) != 0 || (flags == 0 && sectors == 0) {
        return None;
    }
    let begin = at.checked_add(SECTOR)?;
    let length = match flags & DISCARD {
        0 => usize::try_from(sectors).ok()?.checked_mul(SECTOR)?,
        // The disk ignores it: what was there stays.
        _ => 0,
    };
    let end = begin
        .checked_add(length)
        .filter(|end| *end <= bytes.len())?;
    let entry = Entry {
        at,
        offset: sector.checked_mul(SECTOR as u64)?,
        flush: flags & FLUSH != 0,
        durable: flags & FUA != 0,
        data: begin..end,
    };
    Some((entry, end))
}

fn number(bytes: &[u8], at: usize) -> Option<u64> {
    let bytes = bytes.get(at..at.checked_add(8)?)?;
    Some(u64::from_le_bytes(bytes.try_into().ok()?))
}

/// What the trials of this and of the replay are made with: an entry is its sector, its flags and its
/// data.
pub fn synthetic(entries: &[(u64, u64, &[u8])]) -> Vec<u8> {
    let sector = |fields: [u64; 4]| {
        let mut bytes: Vec<u8> = fields
            .iter()
            .flat_map(|field| field.to_le_bytes())
            .collect();
        bytes.resize(SECTOR, 0);
        bytes
    };
    let mut log = sector([MAGIC, VERSION, 0, SECTOR as u64]);
    for (at, flags, data) in entries {
        log.extend(sector([*at, (data.len() / SECTOR) as u64, *flags, 0]));
        log.extend(*data);
    }
    log
}

/// The trial of this file.
pub fn reads_what_was_logged() {
    let [a, b] = [[b'a'; 2 * SECTOR], [b'b'; 2 * SECTOR]];
    let bytes = synthetic(&[(8, 0, &a), (0, FLUSH, &[]), (9, FUA, &b[..SECTOR])]);
    let log = Log::parse(bytes.clone()).unwrap();
    let seen = |entry: &Entry| (entry.offset, entry.flush, entry.durable, log.data(entry));
    let seen: Vec<_> = log.entries.iter().map(seen).collect();
    assert_eq!(
        seen,
        [
            (8 * 512, false, false, &a[..]),
            (0, true, false, &[]),
            (9 * 512, false, true, &b[..SECTOR]),
        ]
    );
    assert_eq!(log.before(0), 0);
    assert_eq!(log.before(bytes.len() as u64), 3);
    // Cut off anywhere it is either a log with less in it, or none.
    for end in 0..bytes.len() {
        if let Ok(cut) = Log::parse(bytes[..end].to_vec()) {
            assert_eq!(cut.entries, log.entries[..cut.entries.len()]);
        }
    }
}
