//! The keys of the buffer's keyspaces: fixed-size big-endian numbers, so that byte order is the order we scan in.
//!
//! | keyspace | key | value |
//! |---|---|---|
//! | `events` | sequence | record |
//! | `queue` | destination ∥ due ms ∥ sequence ∥ copy | attempts u32 ∥ stored bytes u32 (0 when the event has several copies) |
//! | `pending` | sequence | deliveries not ended u32 ∥ keep until ms ∥ stored bytes u32 ∥ whether a dead letter needs it (only for events with several copies) |
//! | `expiry` | keep until ms ∥ sequence | stored bytes u32 ∥ whether a dead letter needs it |
//! | `dead` | destination ∥ died at ms ∥ sequence ∥ copy | cause and detail, MessagePack |
//! | `quarantine` | sequence | stored bytes u32 ∥ name of the source |
//! | `unverified` | sequence | the rules that judged it (8) ∥ name of the source |
//! | `dedup` | digest (16) | expires ms ∥ sequence |
//! | `dedup_expiry` | expires ms ∥ digest | – |
//! | `meta` | text | text |

use crate::clock::Timestamp;

/// Low bits of a sequence that count within a millisecond.
const SEQUENCE_BITS: u32 = 20;

/// The first sequence that a millisecond can give.
pub(crate) const fn first_sequence(now_ms: u64) -> u64 {
    now_ms << SEQUENCE_BITS
}

/// The wall time in a sequence.
pub(crate) const fn sequence_time(seq: u64) -> Timestamp {
    Timestamp::from_unix_ms(seq >> SEQUENCE_BITS)
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

    /// The key of the dead letter that this delivery becomes.
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

    /// The first key a destination can have that is due at `due_ms` or later.
    pub(crate) fn first_of(destination: DestinationId, due_ms: u64) -> Self {
        Self { destination, due_ms, seq: 0, copy: 0 }
    }
}

/// The value of an `expiry` record: the stored size, and whether a dead letter needs the event.
pub(crate) fn expiry_value(bytes: u32, is_dead: bool) -> [u8; 5] {
    let mut value = [u8::from(is_dead); 5];
    value[..4].copy_from_slice(&bytes.to_be_bytes());
    value
}

/// Whether a dead letter needs the event of an `expiry` record.
pub(crate) fn is_dead(value: &[u8]) -> bool {
    value.get(4) == Some(&1)
}

/// A size, as the value of a record.
pub(crate) fn parse_bytes(value: &[u8]) -> u64 {
    value.first_chunk::<4>().map_or(0, |bytes| u64::from(u32::from_be_bytes(*bytes)))
}

/// Two numbers as one key.
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

/// Expiry first, digest after: swept from the front.
pub(crate) fn dedup_expiry(expires_ms: u64, digest: [u8; 16]) -> [u8; 24] {
    let mut key = [0; 24];
    key[..8].copy_from_slice(&expires_ms.to_be_bytes());
    key[8..].copy_from_slice(&digest);
    key
}

/// The value of a queue record: attempts, and the stored size where this is the event's only copy.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct QueueValue {
    pub(crate) attempts: u32,
    pub(crate) bytes: u32,
}

impl QueueValue {
    pub(crate) fn parse(value: &[u8]) -> Self {
        let number =
            |at: usize| value.get(at..at + 4).and_then(|part| part.try_into().ok()).map_or(0, u32::from_be_bytes);
        Self { attempts: number(0), bytes: number(4) }
    }

    pub(crate) fn to_bytes(self) -> [u8; 8] {
        let mut value = [0; 8];
        value[..4].copy_from_slice(&self.attempts.to_be_bytes());
        value[4..].copy_from_slice(&self.bytes.to_be_bytes());
        value
    }
}

/// What an event with several copies still waits for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pending {
    pub(crate) remaining: u32,
    pub(crate) keep_until_ms: u64,
    pub(crate) bytes: u32,
    pub(crate) is_dead: bool,
}

impl Pending {
    pub(crate) fn parse(value: &[u8]) -> Option<Self> {
        let (remaining, rest) = value.split_first_chunk::<4>()?;
        let (keep, rest) = rest.split_first_chunk::<8>()?;
        let (bytes, rest) = rest.split_first_chunk::<4>()?;
        Some(Self {
            remaining: u32::from_be_bytes(*remaining),
            keep_until_ms: u64::from_be_bytes(*keep),
            bytes: u32::from_be_bytes(*bytes),
            is_dead: rest == [1],
        })
    }

    pub(crate) fn to_bytes(self) -> [u8; 17] {
        let mut value = [u8::from(self.is_dead); 17];
        value[..4].copy_from_slice(&self.remaining.to_be_bytes());
        value[4..12].copy_from_slice(&self.keep_until_ms.to_be_bytes());
        value[12..16].copy_from_slice(&self.bytes.to_be_bytes());
        value
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
