//! The keys of the buffer's keyspaces: fixed-size big-endian numbers, so that byte order is the order we scan in.
//!
//! | keyspace | key | value |
//! |---|---|---|
//! | `events` | sequence | record |
//! | `queue` | destination ∥ due ms ∥ sequence ∥ copy | attempts u32 |
//! | `pending` | sequence | deliveries not ended u32 ∥ keep until ms (only for events with several copies) |
//! | `expiry` | keep until ms ∥ sequence | – |
//! | `dead` | destination ∥ died at ms ∥ sequence ∥ copy | cause and detail, MessagePack |
//! | `quarantine` | sequence | – |
//! | `dedup` | digest (16) | expires ms ∥ sequence |
//! | `dedup_expiry` | expires ms ∥ digest | – |
//! | `meta` | text | text |

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
