//! The keys of the buffer's keyspaces: fixed-size big-endian numbers, so that byte order is the order we scan in.
//!
//! | keyspace | key | value |
//! |---|---|---|
//! | `events` | sequence | record |
//! | `ids` | event id (16) | sequence |
//! | `queue` | destination ∥ due ms ∥ sequence ∥ copy | attempts u32 ∥ stored bytes u32 ∥ since ms ∥ order key (16), if it has one |
//! | `ordered` | destination ∥ order key (16) ∥ sequence ∥ copy | as in `queue` |
//! | `lanes` | destination ∥ order key (16) | number of deliveries under the key, and its parking (`order_queues`) |
//! | `fate` | sequence | status of an event's deliveries, MessagePack (`status`) |
//! | `expiry` | keep until ms ∥ sequence | stored bytes u32 ∥ whether a person may still want it |
//! | `dead` | destination ∥ died at ms ∥ sequence ∥ copy | – |
//! | `quarantine` | sequence | stored bytes u32 ∥ name of the source |
//! | `unverified` | sequence | fingerprint of the rules of the last judgement (8) ∥ name of the source |
//! | `dedup` | generation u32 ∥ digest (16) | expires ms ∥ sequence ∥ fingerprints of bodies (16 each) |
//! | `filters` | generation u32 | the generation as it was then ∥ its filter (`generations`) |
//! | `books` | kind ∥ destination, source or generation | numbers (`counters`) |
//! | `meta` | text | text |

use crate::clock::Timestamp;

/// Low bits of a sequence that count within a millisecond.
const SEQUENCE_BITS: u32 = 20;

/// Returns the first sequence of a millisecond.
pub(crate) const fn first_sequence(now_ms: u64) -> u64 {
    // Times beyond the range get the last sequence.
    if now_ms > u64::MAX >> SEQUENCE_BITS { u64::MAX } else { now_ms << SEQUENCE_BITS }
}

/// Returns the wall time in a sequence.
pub(crate) const fn sequence_time(seq: u64) -> Timestamp {
    Timestamp::from_unix_ms(seq >> SEQUENCE_BITS)
}

/// Reads a sequence that is a whole key or value.
pub(crate) fn parse_sequence(bytes: &[u8]) -> Option<u64> {
    bytes.try_into().ok().map(u64::from_be_bytes)
}

/// A destination's number in the buffer; survives renames of others and restarts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DestinationId(pub(crate) u32);

/// A delivery's place in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct QueueKey {
    pub(crate) destination: DestinationId,
    pub(crate) due_ms: u64,
    pub(crate) seq: u64,
    pub(crate) copy: u16,
}

impl QueueKey {
    pub(crate) fn to_bytes(self) -> [u8; 22] {
        let mut key = [0; 22];
        key[..4].copy_from_slice(&self.destination.0.to_be_bytes());
        key[4..12].copy_from_slice(&self.due_ms.to_be_bytes());
        key[12..20].copy_from_slice(&self.seq.to_be_bytes());
        key[20..].copy_from_slice(&self.copy.to_be_bytes());
        key
    }

    /// Builds the key of the dead letter that this delivery becomes.
    pub(crate) fn to_dead_bytes(self, died_ms: u64) -> [u8; 22] {
        Self { due_ms: died_ms, ..self }.to_bytes()
    }

    pub(crate) fn parse(key: &[u8]) -> Option<Self> {
        let (destination, rest) = key.split_first_chunk::<4>()?;
        let (due, rest) = rest.split_first_chunk::<8>()?;
        let (seq, rest) = rest.split_first_chunk::<8>()?;
        Some(Self {
            destination: DestinationId(u32::from_be_bytes(*destination)),
            due_ms: u64::from_be_bytes(*due),
            seq: u64::from_be_bytes(*seq),
            copy: u16::from_be_bytes(rest.try_into().ok()?),
        })
    }

    /// Returns the first possible key of a destination that is due at `due_ms` or later.
    pub(crate) fn first_of(destination: DestinationId, due_ms: u64) -> Self {
        Self { destination, due_ms, seq: 0, copy: 0 }
    }
}

/// Builds the value of an `expiry` record: the stored size, and whether a dead letter or the quarantine needs the
/// event.
pub(crate) fn expiry_value(bytes: u32, is_wanted: bool) -> [u8; 5] {
    let mut value = [u8::from(is_wanted); 5];
    value[..4].copy_from_slice(&bytes.to_be_bytes());
    value
}

/// Checks whether a dead letter or the quarantine needs the event of an `expiry` record.
pub(crate) fn is_wanted(value: &[u8]) -> bool {
    value.get(4) == Some(&1)
}

/// Reads a size from the value of a record.
pub(crate) fn parse_bytes(value: &[u8]) -> u64 {
    value.first_chunk::<4>().map_or(0, |bytes| u64::from(u32::from_be_bytes(*bytes)))
}

/// Builds a key of two numbers.
pub(crate) fn pair(first: u64, second: u64) -> [u8; 16] {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&first.to_be_bytes());
    key[8..].copy_from_slice(&second.to_be_bytes());
    key
}

/// Reads a key of two numbers.
pub(crate) fn parse_pair(key: &[u8]) -> Option<(u64, u64)> {
    let (first, rest) = key.split_first_chunk::<8>()?;
    Some((u64::from_be_bytes(*first), u64::from_be_bytes(rest.try_into().ok()?)))
}

/// The value of a queue record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct QueueValue {
    /// The number of attempts that counted.
    pub(crate) attempts: u32,
    /// The stored size of the event, in bytes.
    pub(crate) bytes: u32,
    /// The time at which this delivery began to be due, in milliseconds; `give_up_after` counts from here.
    pub(crate) since_ms: u64,
    /// The order key's hash.
    pub(crate) lane: Option<[u8; 16]>,
}

impl QueueValue {
    pub(crate) fn parse(value: &[u8]) -> Self {
        let number =
            |at: usize| value.get(at..at + 4).and_then(|part| part.try_into().ok()).map_or(0, u32::from_be_bytes);
        let since = value.get(8..16).and_then(|part| part.try_into().ok()).map_or(0, u64::from_be_bytes);
        let lane = value.get(16..32).and_then(|part| part.try_into().ok());
        Self { attempts: number(0), bytes: number(4), since_ms: since, lane }
    }

    pub(crate) fn to_bytes(self) -> Vec<u8> {
        let mut value = Vec::with_capacity(32);
        value.extend(self.attempts.to_be_bytes());
        value.extend(self.bytes.to_be_bytes());
        value.extend(self.since_ms.to_be_bytes());
        value.extend(self.lane.iter().flatten());
        value
    }
}

/// Builds the value of a `quarantine` record: the event's stored size and its source.
pub(crate) fn quarantine_value(bytes: u32, source: &str) -> Vec<u8> {
    [&bytes.to_be_bytes(), source.as_bytes()].concat()
}

/// Returns the source in the value of a `quarantine` record.
pub(crate) fn source_of_quarantine(value: &[u8]) -> std::sync::Arc<str> {
    String::from_utf8_lossy(value.get(4..).unwrap_or_default()).into()
}

/// The order queue of a destination under one order key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct OrderQueueKey {
    pub(crate) destination: DestinationId,
    pub(crate) hash: [u8; 16],
}

impl OrderQueueKey {
    pub(crate) fn to_bytes(self) -> [u8; 20] {
        let mut key = [0; 20];
        key[..4].copy_from_slice(&self.destination.0.to_be_bytes());
        key[4..].copy_from_slice(&self.hash);
        key
    }

    pub(crate) fn parse(key: &[u8]) -> Option<Self> {
        let (destination, hash) = key.split_first_chunk::<4>()?;
        Some(Self { destination: DestinationId(u32::from_be_bytes(*destination)), hash: hash.try_into().ok()? })
    }

    /// Builds the key of one delivery in `ordered`.
    pub(crate) fn place(self, (seq, copy): (u64, u16)) -> [u8; 30] {
        let mut key = [0; 30];
        key[..20].copy_from_slice(&self.to_bytes());
        key[20..28].copy_from_slice(&seq.to_be_bytes());
        key[28..].copy_from_slice(&copy.to_be_bytes());
        key
    }

    /// Returns the delivery in a key of `ordered`.
    pub(crate) fn parse_place(key: &[u8]) -> Option<(u64, u16)> {
        let (_, rest) = key.split_first_chunk::<20>()?;
        let (seq, copy) = rest.split_first_chunk::<8>()?;
        Some((u64::from_be_bytes(*seq), u16::from_be_bytes(copy.try_into().ok()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn byte_order_is_destination_then_due_then_sequence() {
        let key = |destination, due_ms, seq| QueueKey { destination: DestinationId(destination), due_ms, seq, copy: 0 };
        let mut keys = [key(2, 1, 1), key(1, 300, 1), key(1, 2, 9), key(1, 2, 3)];
        keys.sort_by_key(|key| key.to_bytes());
        assert_eq!(keys, [key(1, 2, 3), key(1, 2, 9), key(1, 300, 1), key(2, 1, 1)]);
        assert!(keys.iter().all(|key| QueueKey::parse(&key.to_bytes()) == Some(*key)));
    }
}
