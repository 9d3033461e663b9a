//! The format of an event on disk.
//!
//! ```text
//! magic [1,'H','k','G'] │ CRC-32C u32 le over all that follows │ length of facts u32 le │ length of body u32 le │ facts (MessagePack) │ body
//! ```
//! The body is stored as received; the checksum covers facts and body, so that a flipped bit is found when the record
//! is read, and costs that record only. The magic and both lengths let a record be found in raw bytes, when the files
//! around it are damaged (`engine/salvage/frames.rs`). The first byte is the version; readers refuse all but this one.

use std::fmt;

use bytes::Bytes;

use crate::event::EventData;

/// The beginning of a record; its first byte is the version.
pub(super) const MAGIC: [u8; 4] = [1, b'H', b'k', b'G'];
/// The bytes of magic, checksum and two lengths.
pub(super) const HEAD_BYTES: usize = 16;
/// The offset from which the checksum covers the record.
pub(super) const COVERED_FROM: usize = 8;

/// The reason why a record could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Corrupt {
    /// The record is shorter than its own header says.
    Short,
    /// The record was written by an unknown version.
    Version(u8),
    /// The checksum does not match.
    Checksum,
    /// The checksum matches and the facts do not parse: the record was written wrong.
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

/// Encodes an event; `None` when its facts cannot be encoded, which only a bug can cause.
pub(crate) fn encode(data: &EventData) -> Option<Vec<u8>> {
    let facts = rmp_serde::to_vec(data).ok()?;
    let facts_len = u32::try_from(facts.len()).ok()?;
    let body_len = u32::try_from(data.body.len()).ok()?;
    let mut record = Vec::with_capacity(HEAD_BYTES + facts.len() + data.body.len());
    record.extend_from_slice(&MAGIC);
    record.extend_from_slice(&[0; 4]);
    record.extend_from_slice(&facts_len.to_le_bytes());
    record.extend_from_slice(&body_len.to_le_bytes());
    record.extend_from_slice(&facts);
    record.extend_from_slice(&data.body);
    let checksum = crc32c::crc32c(record.get(COVERED_FROM..)?);
    record.get_mut(4..COVERED_FROM)?.copy_from_slice(&checksum.to_le_bytes());
    Some(record)
}

/// Decodes an event after its checksum has matched.
pub(crate) fn decode(record: &[u8]) -> Result<EventData, Corrupt> {
    let rest = record.strip_prefix(&MAGIC).ok_or_else(|| other_magic(record))?;
    let (facts_len, covered) = length(proven(rest)?)?;
    let (body_len, covered) = length(covered)?;
    let (facts, body) = covered.split_at_checked(facts_len).ok_or(Corrupt::Short)?;
    if body_len != body.len() {
        return Err(Corrupt::Short);
    }
    let mut data: EventData = rmp_serde::from_slice(facts).map_err(|_parse| Corrupt::Facts)?;
    data.body = Bytes::copy_from_slice(body);
    Ok(data)
}

fn other_magic(record: &[u8]) -> Corrupt {
    match record.first() {
        Some(version) if *version != MAGIC[0] => Corrupt::Version(*version),
        _ if record.len() < MAGIC.len() => Corrupt::Short,
        _ => Corrupt::Checksum,
    }
}

/// Returns the bytes that the checksum covers, if it matches.
fn proven(rest: &[u8]) -> Result<&[u8], Corrupt> {
    let (checksum, covered) = rest.split_first_chunk::<4>().ok_or(Corrupt::Short)?;
    if crc32c::crc32c(covered) == u32::from_le_bytes(*checksum) { Ok(covered) } else { Err(Corrupt::Checksum) }
}

fn length(bytes: &[u8]) -> Result<(usize, &[u8]), Corrupt> {
    let (length, rest) = bytes.split_first_chunk::<4>().ok_or(Corrupt::Short)?;
    Ok((u32::from_le_bytes(*length) as usize, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::event::{Dispatch, EventId, HeaderBytes};

    fn event() -> EventData {
        EventData {
            event_type: Some("push".into()),
            verified_by: Some("a".into()),
            target: "/in/github?x=1".into(),
            headers: vec![("X-Latin".into(), HeaderBytes(Bytes::from_static(b"caf\xe9")))],
            copies: vec![Dispatch::plain("r", "d")],
            body: Bytes::from_static(b"{\"a\":1}\r\n\x00"),
            ..EventData::sample(EventId::at(Timestamp::from_unix_ms(7), [3; 10]), Timestamp::from_unix_ms(7))
        }
    }

    #[test]
    fn an_event_reads_back_byte_for_byte() {
        let event = event();
        assert_eq!(decode(&encode(&event).unwrap()), Ok(event));
    }

    #[test]
    fn host_sender_and_parameters_read_back() {
        for sender in ["192.0.2.7", "2001:db8::1"] {
            let event = EventData {
                host: Some("hooks.example.com".to_owned()),
                sender: Some(sender.parse().unwrap()),
                params: vec![("tenant".to_owned(), "acme".to_owned())],
                ..event()
            };
            assert_eq!(decode(&encode(&event).unwrap()), Ok(event));
        }
    }

    #[test]
    fn a_record_of_another_version_is_refused() {
        let mut record = encode(&event()).unwrap();
        record[0] += 1;
        assert_eq!(decode(&record), Err(Corrupt::Version(MAGIC[0] + 1)));
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
