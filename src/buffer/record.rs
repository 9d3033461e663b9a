//! How an event lies on disk.
//!
//! ```text
//! version u8 = 1 │ CRC-32C u32 le over all that follows │ length of facts u32 le │ facts (MessagePack) │ body
//! ```
//! The body is stored as received; the checksum covers facts and body, so that a flipped bit is found when the record is
//! read, and costs that record only. Readers accept every version that was ever released; unknown ones are an error.

use std::fmt;

use bytes::Bytes;

use crate::event::EventData;

const VERSION: u8 = 1;
const HEAD_BYTES: usize = 9;

/// Why a record could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Corrupt {
    /// Shorter than its own header says.
    Short,
    /// Written by a version this one does not know.
    Version(u8),
    /// The checksum does not match.
    Checksum,
    /// The checksum matches and the facts do not parse: written wrong.
    Facts,
}

impl fmt::Display for Corrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short => f.write_str("the record is cut short"),
            Self::Version(version) => {
                write!(f, "the record has format version {version}, which this version cannot read")
            }
            Self::Checksum => f.write_str("the record's checksum does not match"),
            Self::Facts => f.write_str("the record's facts cannot be parsed"),
        }
    }
}

/// Writes an event; `None` when its facts cannot be encoded, which only a bug can cause.
pub(crate) fn encode(data: &EventData) -> Option<Vec<u8>> {
    let facts = rmp_serde::to_vec(data).ok()?;
    let facts_len = u32::try_from(facts.len()).ok()?;
    let mut record = Vec::with_capacity(HEAD_BYTES + facts.len() + data.body.len());
    record.push(VERSION);
    record.extend_from_slice(&[0; 4]);
    record.extend_from_slice(&facts_len.to_le_bytes());
    record.extend_from_slice(&facts);
    record.extend_from_slice(&data.body);
    let checksum = crc32c::crc32c(record.get(5..)?);
    record.get_mut(1..5)?.copy_from_slice(&checksum.to_le_bytes());
    Some(record)
}

/// Reads an event and proves it whole.
pub(crate) fn decode(record: &[u8]) -> Result<EventData, Corrupt> {
    let (&version, rest) = record.split_first().ok_or(Corrupt::Short)?;
    if version != VERSION {
        return Err(Corrupt::Version(version));
    }
    let (checksum, covered) = rest.split_first_chunk::<4>().ok_or(Corrupt::Short)?;
    if crc32c::crc32c(covered) != u32::from_le_bytes(*checksum) {
        return Err(Corrupt::Checksum);
    }
    let (facts_len, rest) = covered.split_first_chunk::<4>().ok_or(Corrupt::Short)?;
    let facts_len = u32::from_le_bytes(*facts_len) as usize;
    let (facts, body) = rest.split_at_checked(facts_len).ok_or(Corrupt::Short)?;
    let mut data: EventData = rmp_serde::from_slice(facts).map_err(|_parse| Corrupt::Facts)?;
    data.body = Bytes::copy_from_slice(body);
    Ok(data)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::event::{Copy, EventId, HeaderBytes};

    fn event() -> EventData {
        EventData {
            id: EventId::at(Timestamp::from_unix_ms(7), [3; 10]),
            source: "github".into(),
            received_at_ms: 7,
            event_type: Some("push".into()),
            delivery_id: None,
            verified_by: Some("a".into()),
            method: "POST".into(),
            target: "/in/github?x=1".into(),
            headers: vec![("X-Latin".into(), HeaderBytes(Bytes::from_static(b"caf\xe9")))],
            copies: vec![Copy { route: "r".into(), destination: "d".into(), balance: None, order: None }],
            problems: Vec::new(),
            unverified: None,
            body: Bytes::from_static(b"{\"a\":1}\r\n\x00"),
        }
    }

    #[test]
    fn an_event_reads_back_byte_for_byte() {
        let event = event();
        assert_eq!(decode(&encode(&event).unwrap()), Ok(event));
    }

    #[test]
    fn a_record_from_before_unverified_events_reads_back() {
        let (event, new) = (event(), encode(&event()).unwrap());
        let facts_len = u32::from_le_bytes(new[5..9].try_into().unwrap()) as usize;
        let (facts, body) = new[9..].split_at(facts_len);
        // A list of twelve facts, the last of them nothing, was one of eleven.
        assert_eq!((facts[0], facts[facts_len - 1]), (0x9c, 0xc0));
        assert_eq!(decode(&record(&[&[0x9b], &facts[1..facts_len - 1]].concat(), body)), Ok(event));
    }

    #[test]
    fn a_record_from_before_copies_had_keys_reads_back() {
        let (event, new) = (event(), encode(&event()).unwrap());
        let facts_len = u32::from_le_bytes(new[5..9].try_into().unwrap()) as usize;
        let (facts, body) = new[9..].split_at(facts_len);
        // A copy of four, the last two of them nothing, was one of two.
        let (copy, before) = ([0x91, 0x94, 0xa1, b'r', 0xa1, b'd', 0xc0, 0xc0], [0x91, 0x92, 0xa1, b'r', 0xa1, b'd']);
        let at = facts.windows(copy.len()).position(|window| window == copy).unwrap();
        let old = [&facts[..at], &before, &facts[at + copy.len()..]].concat();
        assert_eq!(decode(&record(&old, body)), Ok(event));
    }

    /// A whole record of these facts.
    fn record(facts: &[u8], body: &[u8]) -> Vec<u8> {
        let covered = [&u32::try_from(facts.len()).unwrap().to_le_bytes()[..], facts, body].concat();
        [&[VERSION], &crc32c::crc32c(&covered).to_le_bytes()[..], &covered].concat()
    }

    #[test]
    fn no_flipped_bit_and_no_cut_goes_unnoticed() {
        let record = encode(&event()).unwrap();
        for at in 0..record.len() {
            let mut flipped = record.clone();
            flipped[at] ^= 0x10;
            assert!(decode(&flipped).is_err(), "bit flipped in byte {at}");
            assert!(decode(&record[..at]).is_err(), "cut at byte {at}");
        }
    }
}
