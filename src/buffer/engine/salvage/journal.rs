//! Check of one of the engine's journals before the engine reads it.
//!
//! The engine stops at the first byte that it cannot read and cuts the rest off silently, or refuses to open. Here
//! every batch is proven by its checksum. The events of a damaged batch are saved, and everything behind it stays:
//! - a batch whose only fault is a damaged event record loses that record and nothing else;
//! - any other damaged batch leaves the journal, and its whole event records are handed out to be put back;
//! - a batch's sequence, which the engine's checksums do not cover, is repaired from its neighbours.
//!
//! After damage the next batch is searched outside of whole records, with a sequence close to the last one, so that
//! bytes of a sender's body are not taken for a batch.
//!
//! ```text
//! batch: 1 u8 │ items u32 le │ sequence u64 le │ item … │ 3 u8 │ XXH3-64 of the items u64 le │ 'F' 'J' 'L' 3
//! item:  2 u8 │ kind u8 │ compression u8 │ keyspace u64 le │ key length u16 le │ value length u32 le, twice │ key │ value
//! ```

use std::collections::HashMap;
use std::ops::Range;

use twox_hash::XxHash3_64;

use super::roots::number;
use super::{KeyValue, Saved, frames};
use crate::buffer::record::{self, MAGIC};

const START: u8 = 1;
const ITEM: u8 = 2;
const END: u8 = 3;
const CLEAR: u8 = 4;
const START_BYTES: usize = 13;
/// The bytes before an item's key.
const ITEM_BYTES: usize = 21;
const END_BYTES: usize = 13;
const END_MAGIC: &[u8] = b"FJL\x03";
/// The largest distance between neighbours' sequences: few are used for anything but batches.
const NEIGHBOURS: u64 = 1 << 20;

/// The result of checking a journal.
#[derive(Debug, Default)]
pub(super) struct MendedJournal {
    /// The change to the file.
    pub(super) change: JournalFix,
    /// Whole events of batches that left the journal.
    pub(super) saved: Vec<Saved>,
    /// Sequences of damaged event records; the store may have them in other files.
    pub(super) lost: Vec<u64>,
    /// The last sequence in the journal.
    pub(super) last: Option<u64>,
}

/// A change to a journal.
#[derive(Debug, Default)]
pub(super) enum JournalFix {
    /// The journal stays as it is.
    #[default]
    Nothing,
    /// The journal is cut to this length.
    Cut(usize),
    /// The journal gets this content.
    Write(Vec<u8>),
}

/// Checks a journal; `before` is the last sequence of the one before it.
pub(super) fn mend(bytes: &[u8], before: Option<u64>) -> MendedJournal {
    let events = keyspace_of_events(bytes);
    let mut reading =
        Reading { bytes, events, pieces: Vec::new(), mended: MendedJournal::default(), is_damaged: false };
    let mut at = 0;
    while at < bytes.len() {
        at = reading.read(at);
    }
    reading.set_sequences_right(before);
    reading.finish(before)
}

struct Reading<'a> {
    bytes: &'a [u8],
    /// The engine's number of the keyspace `events`, if the journal shows it.
    events: Option<u64>,
    pieces: Vec<Piece>,
    mended: MendedJournal,
    is_damaged: bool,
}

/// A batch that stays.
struct Piece {
    seqno: u64,
    from: Source,
}

enum Source {
    /// The batch as it is in the file.
    File(Range<usize>),
    /// The batch written anew.
    New(Vec<u8>),
}

/// The result of reading a batch.
enum Batch {
    Whole {
        end: usize,
        seqno: u64,
    },
    /// The batch has its items and its end, and its checksum does not match.
    Wrong {
        end: usize,
        seqno: u64,
    },
    Broken,
}

impl Reading<'_> {
    /// Reads a batch at `at` and returns where the next begins.
    fn read(&mut self, at: usize) -> usize {
        match batch(self.bytes, at) {
            Batch::Whole { end, seqno } => {
                self.pieces.push(Piece { seqno, from: Source::File(at..end) });
                end
            }
            Batch::Wrong { end, seqno } => {
                self.is_damaged = true;
                let (new, lost) = self.without_damaged_events(at, seqno);
                self.mended.lost.extend(lost);
                match new {
                    Some(new) => self.pieces.push(Piece { seqno, from: Source::New(new) }),
                    None => self.save(at..end),
                }
                end
            }
            Batch::Broken => {
                let rest = self.bytes.get(at..).unwrap_or_default();
                // Journals are preallocated and filled later.
                if rest.iter().all(|byte| *byte == 0) {
                    return self.bytes.len();
                }
                self.is_damaged = true;
                let end = self.next_batch(at + 1).unwrap_or(self.bytes.len());
                self.save(at..end);
                end
            }
        }
    }

    /// Rebuilds a batch without its damaged event records, and returns their sequences. No batch where that explains
    /// nothing.
    fn without_damaged_events(&self, at: usize, seqno: u64) -> (Option<Vec<u8>>, Vec<u64>) {
        let (mut items, mut kept, mut lost) = (Vec::new(), 0_u32, Vec::new());
        let mut next = at + START_BYTES;
        while let Some(item) = item(self.bytes, next) {
            if item.is_damaged_event(self.events) {
                lost.extend(item.key.try_into().map(u64::from_be_bytes));
            } else {
                kept += 1;
                items.extend_from_slice(self.bytes.get(next..item.end).unwrap_or_default());
            }
            next = item.end;
        }
        if lost.is_empty() || kept == 0 {
            return (None, lost);
        }
        let checksum = XxHash3_64::oneshot(&items).to_le_bytes();
        let start = [&[START][..], &kept.to_le_bytes(), &seqno.to_le_bytes()].concat();
        (Some([&start[..], &items, &[END], &checksum, END_MAGIC].concat()), lost)
    }

    /// Finds the next whole batch.
    fn next_batch(&self, from: usize) -> Option<usize> {
        let rest = self.bytes.get(from..)?;
        let mut whole = frames::find(rest).peekable();
        let mut at = 0;
        while at < rest.len() {
            if let Some(frame) = whole.next_if(|frame| frame.start <= at) {
                at = at.max(frame.end);
                continue;
            }
            if rest.get(at) == Some(&START)
                && number(rest, at + 5).is_some_and(|seqno| self.is_near(seqno))
                && matches!(batch(rest, at), Batch::Whole { .. })
            {
                return Some(from + at);
            }
            at += 1;
        }
        None
    }

    /// Checks whether a sequence may follow one of the last three; a single one of them may be damaged itself.
    fn is_near(&self, seqno: u64) -> bool {
        let mut last = self.pieces.iter().rev().take(3).peekable();
        if last.peek().is_none() {
            return seqno < 1 << 48;
        }
        last.any(|piece| seqno > piece.seqno && seqno - piece.seqno <= NEIGHBOURS)
    }

    /// Keeps the whole events of a stretch that leaves the journal.
    fn save(&mut self, stretch: Range<usize>) {
        let bytes = self.bytes.get(stretch).unwrap_or_default();
        let mut dedup = dedup_of_events(bytes);
        for frame in frames::find(bytes) {
            let seq = frame.start.checked_sub(8).and_then(|at| bytes.get(at..frame.start)?.try_into().ok());
            let record = bytes.get(frame.clone()).unwrap_or_default().to_vec();
            let dedup = dedup.remove(&frame.start).unwrap_or_default();
            self.mended.saved.push(Saved { seq: seq.map(u64::from_be_bytes), record, dedup });
        }
    }

    /// Repairs sequences. The engine skips a batch whose sequence is too low, and counts on from one that is too high.
    fn set_sequences_right(&mut self, before: Option<u64>) {
        let mut previous = before;
        for index in 0..self.pieces.len() {
            let next = self.pieces.get(index + 1).map(|piece| piece.seqno);
            let Some(piece) = self.pieces.get_mut(index) else { break };
            let right = right_sequence(previous, piece.seqno, next);
            if right != piece.seqno {
                self.is_damaged = true;
                piece.seqno = right;
            }
            previous = Some(right);
        }
    }

    fn finish(mut self, before: Option<u64>) -> MendedJournal {
        self.mended.last = self.pieces.last().map(|piece| piece.seqno).or(before);
        if self.is_damaged {
            self.mended.change =
                self.length_that_stays().map_or_else(|| JournalFix::Write(self.content()), JournalFix::Cut);
        }
        self.mended
    }

    /// Returns the length to keep when all damage is behind the last batch that stays.
    fn length_that_stays(&self) -> Option<usize> {
        let mut end = 0;
        for piece in &self.pieces {
            let Source::File(range) = &piece.from else { return None };
            if range.start != end || number(self.bytes, end + 5) != Some(piece.seqno) {
                return None;
            }
            end = range.end;
        }
        Some(end)
    }

    fn content(&self) -> Vec<u8> {
        let mut content = Vec::with_capacity(self.bytes.len());
        for piece in &self.pieces {
            let at = content.len();
            match &piece.from {
                Source::File(range) => content.extend_from_slice(self.bytes.get(range.clone()).unwrap_or_default()),
                Source::New(new) => content.extend_from_slice(new),
            }
            if let Some(seqno) = content.get_mut(at + 5..at + START_BYTES) {
                seqno.copy_from_slice(&piece.seqno.to_le_bytes());
            }
        }
        content
    }
}

/// Returns the sequence, or one that fits between its neighbours where it fits neither.
fn right_sequence(previous: Option<u64>, seqno: u64, next: Option<u64>) -> u64 {
    let follows = |a: u64, b: u64| b > a && b - a <= NEIGHBOURS;
    let fits_before = previous.is_none_or(|previous| follows(previous, seqno));
    let fits_after = next.is_none_or(|next| follows(seqno, next));
    match (previous, next) {
        (Some(previous), Some(next)) if !fits_before && follows(previous, next) => previous + 1,
        (Some(previous), Some(next)) if !fits_after && follows(previous, next) && !follows(seqno, next) => previous + 1,
        (Some(previous), None) if !fits_before => previous + 1,
        // Of two that do not fit, without any before them, the implausibly high one is wrong.
        (None, Some(next)) if !fits_after && seqno > next => next.saturating_sub(1),
        _ => seqno,
    }
}

/// Finds the keyspace of events by the first whole event, whose key has 8 bytes.
fn keyspace_of_events(bytes: &[u8]) -> Option<u64> {
    let first = frames::find(bytes).next()?;
    let item = item(bytes, first.start.checked_sub(ITEM_BYTES + 8)?)?;
    (item.value_at == first.start).then_some(item.keyspace)
}

fn batch(bytes: &[u8], at: usize) -> Batch {
    let header = || {
        let count = bytes.get(at..)?.strip_prefix(&[START])?.first_chunk::<4>()?;
        Some((u32::from_le_bytes(*count), number(bytes, at + 5)?))
    };
    let Some((count, seqno)) = header() else { return Batch::Broken };
    let first = at + START_BYTES;
    let mut end = first;
    for _ in 0..count {
        let Some(item) = item(bytes, end) else { return Batch::Broken };
        end = item.end;
    }
    let Some(stored) = end_of_batch(bytes, end) else { return Batch::Broken };
    let is_whole = count > 0 && bytes.get(first..end).is_some_and(|items| XxHash3_64::oneshot(items) == stored);
    let end = end + END_BYTES;
    if is_whole { Batch::Whole { end, seqno } } else { Batch::Wrong { end, seqno } }
}

/// Returns the checksum of a batch that ends here.
fn end_of_batch(bytes: &[u8], at: usize) -> Option<u64> {
    let rest = bytes.get(at..at + END_BYTES)?.strip_prefix(&[END])?;
    (rest.get(8..) == Some(END_MAGIC)).then(|| number(rest, 0)).flatten()
}

struct Item<'a> {
    keyspace: u64,
    key: &'a [u8],
    value: &'a [u8],
    value_at: usize,
    end: usize,
}

impl Item<'_> {
    /// Checks whether the item is a damaged event. An event is known by its keyspace or its beginning.
    fn is_damaged_event(&self, events: Option<u64>) -> bool {
        let is_event = self.value.starts_with(&MAGIC) || (events == Some(self.keyspace) && !self.value.is_empty());
        self.key.len() == 8 && is_event && record::decode(self.value).is_err()
    }
}

fn item(bytes: &[u8], at: usize) -> Option<Item<'_>> {
    let rest = bytes.get(at..)?;
    if rest.first() == Some(&CLEAR) {
        return Some(Item { keyspace: number(rest, 1)?, key: &[], value: &[], value_at: at, end: at + 9 });
    }
    let head = rest.get(..ITEM_BYTES)?.strip_prefix(&[ITEM])?;
    let (kind, rest) = head.split_first()?;
    let (compression, rest) = rest.split_first()?;
    let key_len = usize::from(u16::from_le_bytes(rest.get(8..10)?.try_into().ok()?));
    let value_len = u32::from_le_bytes(rest.get(10..14)?.try_into().ok()?);
    let on_disk = u32::from_le_bytes(rest.get(14..18)?.try_into().ok()?);
    // Values, and two kinds of removals, all uncompressed.
    if *kind > 2 || *compression != 0 || value_len != on_disk {
        return None;
    }
    let value_at = at + ITEM_BYTES + key_len;
    let end = value_at + value_len as usize;
    let keyspace = number(rest, 0)?;
    Some(Item { keyspace, key: bytes.get(at + ITEM_BYTES..value_at)?, value: bytes.get(value_at..end)?, value_at, end })
}

/// Finds the `dedup` records before each event of a broken batch, by the place of the event.
fn dedup_of_events(bytes: &[u8]) -> HashMap<usize, Vec<KeyValue>> {
    let mut found = HashMap::new();
    let mut dedup = Vec::new();
    let mut at = START_BYTES;
    while let Some(item) = item(bytes, at) {
        match (item.key.len(), item.value.len()) {
            // Key: generation and digest. Value: expiry, sequence, and fingerprints.
            (20, length) if length >= 16 && length % 16 == 0 => dedup.push((item.key.to_vec(), item.value.to_vec())),
            // The removal of the entry that it replaces.
            (20, 0) => {}
            _ if item.value.starts_with(&MAGIC) => {
                let of_event = |(_, value): &KeyValue| value.get(8..16) == Some(item.key);
                found.insert(item.value_at, std::mem::take(&mut dedup).into_iter().filter(of_event).collect());
            }
            _ => dedup.clear(),
        }
        at = item.end;
    }
    found
}
