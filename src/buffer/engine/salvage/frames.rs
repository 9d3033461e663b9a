//! Search for whole event records in raw bytes, with any bytes around them.
//!
//! A record begins with a magic and says its length; its CRC-32C proves it. The search is linear in the bytes even when
//! they are full of false beginnings: checksums of any range follow from checksums taken once, at fixed steps. The
//! inside of a proven record is skipped, so that an event cannot smuggle another one in its body.

use std::ops::Range;

use crate::buffer::record::{COVERED_FROM, HEAD_BYTES, MAGIC};

/// The longest record: a body of 64 MiB and its facts.
const FRAME_BYTES_MAX: usize = 65 * 1024 * 1024;
/// The bytes between two stored checksums.
const STEP: usize = 256;

/// Finds the ranges of whole records, in order.
pub(super) fn find(bytes: &[u8]) -> Frames<'_> {
    Frames { bytes, at: 0, sums: None }
}

pub(super) struct Frames<'a> {
    bytes: &'a [u8],
    at: usize,
    /// The checksums, taken when the first magic is met.
    sums: Option<Sums>,
}

impl Iterator for Frames<'_> {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Range<usize>> {
        loop {
            let rest = self.bytes.get(self.at..)?;
            let start = self.at + rest.windows(MAGIC.len()).position(|window| window == MAGIC)?;
            self.at = start + 1;
            let Some((end, checksum)) = claimed(self.bytes, start) else { continue };
            let sums = self.sums.get_or_insert_with(|| Sums::of(self.bytes));
            if sums.of_range(self.bytes, start + COVERED_FROM..end) == checksum {
                self.at = end;
                return Some(start..end);
            }
        }
    }
}

/// Returns the end that a record at `start` claims, and its checksum.
fn claimed(bytes: &[u8], start: usize) -> Option<(usize, u32)> {
    let head = bytes.get(start..start + HEAD_BYTES)?;
    let number = |at: usize| Some(u32::from_le_bytes(head.get(at..at + 4)?.try_into().ok()?));
    let (facts, body) = (number(8)? as usize, number(12)? as usize);
    let length = HEAD_BYTES + facts + body;
    let end = start + length;
    // Facts are never empty.
    (facts > 0 && length <= FRAME_BYTES_MAX && end <= bytes.len()).then_some((end, number(4)?))
}

/// The checksums of all bytes before each step, and the effect of appended zero bytes on a checksum: for each power of
/// two of a length, the images of the checksum's 32 bits.
struct Sums {
    steps: Vec<u32>,
    shifts: Vec<[u32; 32]>,
}

impl Sums {
    fn of(bytes: &[u8]) -> Self {
        let mut sum = 0;
        let mut sums = vec![0];
        sums.extend(bytes.chunks(STEP).map(|chunk| {
            sum = crc32c::crc32c_append(sum, chunk);
            sum
        }));
        let mut shift: [u32; 32] = std::array::from_fn(|bit| crc32c::crc32c_combine(1 << bit, 0, 1));
        let mut shifts = Vec::new();
        while FRAME_BYTES_MAX >> shifts.len() > 0 {
            shifts.push(shift);
            shift = shift.map(|picture| applied(&shift, picture));
        }
        Self { steps: sums, shifts }
    }

    fn before(&self, bytes: &[u8], at: usize) -> u32 {
        let step = at / STEP;
        let rest = bytes.get(step * STEP..at).unwrap_or_default();
        crc32c::crc32c_append(self.steps.get(step).copied().unwrap_or_default(), rest)
    }

    fn of_range(&self, bytes: &[u8], range: Range<usize>) -> u32 {
        let (before, through) = (self.before(bytes, range.start), self.before(bytes, range.end));
        let powers = self.shifts.iter().enumerate().filter(|(power, _)| range.len() >> power & 1 == 1);
        through ^ powers.fold(before, |sum, (_, shift)| applied(shift, sum))
    }
}

fn applied(shift: &[u32; 32], sum: u32) -> u32 {
    shift.iter().enumerate().fold(0, |all, (bit, picture)| if sum >> bit & 1 == 1 { all ^ picture } else { all })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffer::engine::salvage::tests::event;
    use crate::buffer::record;

    #[test]
    fn records_are_found_between_anything_else() {
        let records: Vec<_> = (0..4).map(|number| record::encode(&event(number, 1000)).unwrap()).collect();
        let mut bytes = MAGIC.repeat(3);
        let mut expected = Vec::new();
        for (number, record) in records.iter().enumerate() {
            bytes.extend(vec![2; number * 7]);
            expected.push(bytes.len()..bytes.len() + record.len());
            bytes.extend(record);
        }
        bytes.extend(&MAGIC[..3]);
        assert_eq!(find(&bytes).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_record_in_the_body_of_another_is_not_an_event() {
        let mut outer = event(1, 0);
        outer.body = record::encode(&event(2, 10)).unwrap().into();
        let outer = record::encode(&outer).unwrap();
        assert_eq!(find(&outer).map(|frame| frame.len()).collect::<Vec<_>>(), [outer.len()]);
    }

    #[test]
    fn a_flipped_bit_or_a_cut_hides_a_record_and_no_byte_makes_it_panic() {
        let record = record::encode(&event(1, 40)).unwrap();
        for at in 0..record.len() {
            let mut flipped = record.clone();
            flipped[at] ^= 0xff;
            assert_eq!(find(&flipped).count(), 0, "byte {at}");
            assert_eq!(find(&record[..at]).count(), 0, "cut at {at}");
            assert_eq!(find(&[&record[..at], &record].concat()).count(), 1, "after a record cut at {at}");
        }
    }
}
