//! Repetitions: decided in the batch that stores the event, so no second look can race with it, and an event that was not
//! stored leaves no key behind.
//!
//! A key is a digest over source and delivery id; its value knows the bodies that came under it. The same id with the same
//! body is a repetition; with another body it is another event, kept and flagged, because an id that is not signed could
//! be forged to swallow the real one. Where the id is signed and the body is not, the id alone decides.
//!
//! Bounds: [`BODIES_KEPT`] bodies a key, fixed-size keys and values, swept when their window is over.

use super::draft::Draft;
use super::engine::{EngineError, Space};
use super::keys;
use crate::event::DedupKey;

/// So many bodies are told apart under one delivery id; the oldest makes room.
const BODIES_KEPT: usize = 8;

/// What is known of a delivery id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Known {
    expires_ms: u64,
    seq: u64,
    bodies: Vec<[u8; 16]>,
}

impl Known {
    fn parse(value: &[u8]) -> Option<Self> {
        let (expires, rest) = value.split_first_chunk::<8>()?;
        let (seq, rest) = rest.split_first_chunk::<8>()?;
        let bodies = rest.as_chunks::<16>().0.to_vec();
        Some(Self { expires_ms: u64::from_be_bytes(*expires), seq: u64::from_be_bytes(*seq), bodies })
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut value = keys::pair(self.expires_ms, self.seq).to_vec();
        value.extend(self.bodies.iter().flatten());
        value
    }
}

/// What a look at the known ids gave.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) is_repeated: bool,
    /// The event that came under the same id with another body.
    pub(super) same_id_as: Option<u64>,
}

impl Draft<'_> {
    fn known(&self, key: [u8; 16]) -> Result<Option<Known>, EngineError> {
        let known = match self.dedup.get(&key) {
            Some(known) => Some(known.clone()),
            None => self.store.get(Space::Dedup, &key)?.and_then(|value| Known::parse(&value)),
        };
        Ok(known.filter(|known| known.expires_ms > self.now.unix_ms()))
    }

    /// Whether this delivery was seen, by the store or by this batch.
    pub(super) fn look_up(&self, dedup: &DedupKey) -> Result<Seen, EngineError> {
        Ok(match self.known(dedup.key)? {
            None => Seen::default(),
            Some(known) => match dedup.body {
                // No bodies were told apart under this id.
                _ if known.bodies.is_empty() => Seen { is_repeated: true, same_id_as: None },
                Some(body) if !known.bodies.contains(&body) => Seen { is_repeated: false, same_id_as: Some(known.seq) },
                Some(_) | None => Seen { is_repeated: true, same_id_as: None },
            },
        })
    }

    /// From now on this delivery is known; a repetition that was let through takes the place of the first.
    pub(super) fn recognise(&mut self, dedup: &DedupKey, seq: u64) -> Result<(), EngineError> {
        let expires_ms = self.now.after(dedup.window).unix_ms();
        let key = dedup.key;
        let stored = match self.dedup.get(&key) {
            Some(known) => Some(known.clone()),
            None => self.store.get(Space::Dedup, &key)?.and_then(|value| Known::parse(&value)),
        };
        let mut bodies = Vec::new();
        match stored {
            // Its records are still there, over or not, and are counted.
            Some(known) => {
                if known.expires_ms > self.now.unix_ms() {
                    bodies = known.bodies;
                }
                if known.expires_ms != expires_ms {
                    self.batch.remove(Space::DedupExpiry, keys::dedup_expiry(known.expires_ms, key));
                }
            }
            None => self.books.total.dedup += 1,
        }
        bodies.retain(|body| Some(*body) != dedup.body);
        if bodies.len() >= BODIES_KEPT {
            bodies.remove(0);
        }
        bodies.extend(dedup.body);
        let known = Known { expires_ms, seq, bodies };
        self.batch.insert(Space::Dedup, key, known.to_bytes());
        self.batch.insert(Space::DedupExpiry, keys::dedup_expiry(expires_ms, key), []);
        self.dedup.insert(key, known);
        Ok(())
    }

    /// Forgets ids whose window is over, up to so many.
    pub(super) fn sweep_dedup(&mut self, most: usize) -> Result<(), EngineError> {
        let now_ms = self.now.unix_ms();
        let until = keys::dedup_expiry(now_ms.saturating_add(1), [0; 16]);
        for pair in self.store.scan(Space::DedupExpiry, &[], Some(&until)).take(most) {
            let (key, _) = pair?;
            let Some((expires, digest)) = key.split_first_chunk::<8>() else { continue };
            let digest: [u8; 16] = digest.try_into().unwrap_or_default();
            self.batch.remove(Space::DedupExpiry, key.clone());
            // An id that came again in this batch or after its window has a later expiry, and stays.
            if self.dedup.get(&digest).is_some_and(|known| known.expires_ms > now_ms) {
                continue;
            }
            let known = self.store.get(Space::Dedup, &digest)?.and_then(|value| Known::parse(&value));
            if known.is_some_and(|known| known.expires_ms == u64::from_be_bytes(*expires)) {
                self.batch.remove(Space::Dedup, digest);
                self.books.total.dedup = self.books.total.dedup.saturating_sub(1);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_of_an_id_reads_back() {
        let known = Known { expires_ms: 7, seq: 8, bodies: vec![[1; 16], [2; 16]] };
        assert_eq!(Known::parse(&known.to_bytes()), Some(known));
        let old = Known { expires_ms: 7, seq: 8, bodies: Vec::new() };
        assert_eq!(Known::parse(&keys::pair(7, 8)), Some(old));
    }
}
