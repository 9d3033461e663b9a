//! The engine's journal on disk: the places of its batches, and the tails that a power cut may leave.
//!
//! A batch is a start (tag 1, number of items, sequence), its items (tag 2) and an end (tag 3, checksum, `FJL\x03`).
//! The file is made 64 MiB long at once, so zeros follow the last batch; a restart cuts it to its last batch, and it
//! grows by appending. Bytes before [`Journal::end`] stay, because their events may have been answered.

use std::fs::OpenOptions;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

const MAGIC: &[u8] = b"FJL\x03";

/// A journal file.
#[derive(Debug)]
pub(crate) struct Journal {
    pub(crate) path: PathBuf,
    bytes: Vec<u8>,
    /// The ranges of whole batches, in order.
    pub(crate) batches: Vec<Range<usize>>,
}

/// A tail that a power cut may leave behind the synced bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tail {
    /// The beginning of a batch; the rest did not reach the disk.
    Partial,
    /// Old content of those blocks.
    Garbage,
    /// The beginning of a batch, then garbage.
    Both,
}

impl Journal {
    /// Returns the newest journal under a data directory.
    pub(crate) fn newest(data: &Path) -> Self {
        let number = |path: &PathBuf| path.file_stem().and_then(|stem| stem.to_str()?.parse::<u64>().ok());
        let entries = std::fs::read_dir(data.join("buffer")).unwrap().map(|entry| entry.unwrap().path());
        let journals = entries.filter(|path| path.extension().is_some_and(|extension| extension == "jnl"));
        Self::of(&journals.max_by_key(number).unwrap()).unwrap()
    }

    /// Reads a journal; `None` when the file is gone.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        let bytes = std::fs::read(path).ok()?;
        let batches = batches(&bytes);
        Some(Self { path: path.to_owned(), bytes, batches })
    }

    /// Returns the end of the last whole batch.
    pub(crate) fn end(&self) -> usize {
        self.batches.last().map_or(0, |batch| batch.end)
    }

    /// Writes a torn tail of at most `bytes_max` bytes behind the last batch; returns its length.
    pub(crate) fn tear(&self, tail: Tail, bytes_max: usize) -> usize {
        let garbage: Vec<u8> = (0..rand::random_range(1..=bytes_max)).map(|_| rand::random()).collect();
        let partial = self.batches.last().map(|last| {
            let whole = &self.bytes[last.clone()];
            // At least one byte is missing.
            whole[..rand::random_range(0..whole.len().min(bytes_max))].to_vec()
        });
        let torn = match (tail, partial) {
            (Tail::Partial, Some(partial)) => partial,
            (Tail::Both, Some(partial)) => [partial, garbage].concat(),
            (Tail::Garbage, _) | (_, None) => garbage,
        };
        self.put(self.end(), &torn);
        torn.len()
    }

    /// Appends a copy of the longest batch with a block of zeros in its middle, as when the blocks of one batch reach
    /// the disk in another order. Returns false when no batch is long enough.
    pub(crate) fn leave_a_hole(&self) -> bool {
        let Some(longest) = self.batches.iter().max_by_key(|batch| batch.len()) else { return false };
        let mut copy = self.bytes[longest.clone()].to_vec();
        // The body is in the middle of the first item; what is around it stays.
        let middle = copy.len() / 2;
        if copy.len() < 4096 || copy[middle..middle + 512].iter().all(|byte| *byte == 0) {
            return false;
        }
        copy[middle..middle + 512].fill(0);
        self.put(self.end(), &copy);
        true
    }

    /// Overwrites a range with zeros, as if those blocks had never reached the disk.
    pub(crate) fn wipe(path: &Path, range: Range<usize>) {
        let file = OpenOptions::new().write(true).open(path).unwrap();
        file.write_all_at(&vec![0; range.len()], range.start as u64).unwrap();
    }

    fn put(&self, at: usize, bytes: &[u8]) {
        let file = OpenOptions::new().write(true).open(&self.path).unwrap();
        file.write_all_at(bytes, at as u64).unwrap();
    }
}

fn batches(bytes: &[u8]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let (mut at, mut start) = (0, None);
    while let Some(length) = entry(&bytes[at..]) {
        if bytes[at] == 1 {
            start = Some(at);
        }
        if bytes[at] == 3
            && let Some(start) = start.take()
        {
            found.push(start..at + length);
        }
        at += length;
    }
    found
}

/// Returns the length of the entry at the beginning; `None` when there is none.
fn entry(bytes: &[u8]) -> Option<usize> {
    let length = match bytes.first()? {
        1 => 13,
        2 => {
            let key = u16::from_le_bytes(bytes.get(11..13)?.try_into().ok()?);
            let value = u32::from_le_bytes(bytes.get(17..21)?.try_into().ok()?);
            21 + usize::from(key) + usize::try_from(value).ok()?
        }
        3 if bytes.get(9..13) == Some(MAGIC) => 13,
        4 => 9,
        _ => return None,
    };
    (length <= bytes.len()).then_some(length)
}
