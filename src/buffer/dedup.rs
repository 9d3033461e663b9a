//! Duplicate detection, decided in the batch that stores the event: no second check can race with it, and an event that
//! was not stored leaves no key behind.
//!
//! A key is a digest over source and delivery id; its value holds fingerprints of the bodies seen under it. The same id
//! with the same body is a duplicate. The same id with another body is another event, kept and flagged, because an
//! unsigned id could be forged to swallow the real event. Where the id is signed and the body is not, the id alone
//! decides.
//!
//! Bounds: [`BODIES_KEPT`] bodies a key, fixed-size keys and values, swept when their window is over. `generations`
//! says where the keys lie.

use std::collections::HashMap;

use super::batch::Batch;
use super::engine::{EngineError, Space};
use super::generations::{self, Generation, class_of};
use super::keys;
use super::store::Store;
use super::{Buffer, NotStored, Shared};
use crate::event::{DedupKey, EventId};

/// The most bodies that are told apart under one delivery id; a new one replaces the oldest.
const BODIES_KEPT: usize = 8;

/// The stored value of a delivery id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct KnownId {
    expires_ms: u64,
    seq: u64,
    bodies: Vec<[u8; 16]>,
}

impl KnownId {
    fn parse(value: &[u8]) -> Option<Self> {
        let (expires, rest) = value.split_first_chunk::<8>()?;
        let (seq, rest) = rest.split_first_chunk::<8>()?;
        let bodies = rest.as_chunks::<16>().0.to_vec();
        Some(Self { expires_ms: u64::from_be_bytes(*expires), seq: u64::from_be_bytes(*seq), bodies })
    }

    /// Returns whether this body came under the delivery id before, or bodies are not told apart under the id.
    fn has_body(&self, dedup: &DedupKey) -> bool {
        self.bodies.is_empty() || dedup.body.is_none_or(|body| self.bodies.contains(&body))
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut value = keys::pair(self.expires_ms, self.seq).to_vec();
        value.extend(self.bodies.iter().flatten());
        value
    }
}

/// A delivery that was seen before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repetition {
    /// The event that was stored under the delivery id, while it is kept.
    pub first: Option<EventId>,
}

impl Buffer {
    /// Finds what a delivery repeats, as the committer would now. Reads the disk: not for async threads.
    pub fn repeated(&self, dedup: &DedupKey) -> Result<Option<Repetition>, NotStored> {
        let now_ms = self.now().unix_ms();
        self.look(|store| {
            let found = find(&self.shared, store, dedup.key)?.map(|(_, known)| known);
            match found.filter(|known| known.expires_ms > now_ms && known.has_body(dedup)) {
                Some(known) => Ok(Some(Repetition { first: self.id_of(store, known.seq)? })),
                None => Ok(None),
            }
        })
    }
}

/// Finds the entry of a delivery id in the store, with the number of its generation. The newest generation comes first.
fn find(shared: &Shared, store: &Store, digest: [u8; 16]) -> Result<Option<(u32, KnownId)>, EngineError> {
    let candidates =
        shared.counters(|books| shared.filters.candidates(books.generations.keys().rev().copied(), digest));
    for id in candidates {
        if let Some(value) = store.get(Space::Dedup, &generations::key(id, digest))? {
            return Ok(KnownId::parse(&value).map(|known| (id, known)));
        }
    }
    Ok(None)
}

/// The delivery ids of a batch under construction: the generation and the value of each.
pub(super) type DedupChanges = HashMap<[u8; 16], (u32, KnownId)>;

/// The result of looking up a delivery id.
#[derive(Debug, Default)]
pub(super) struct IdLookup {
    pub(super) is_repeated: bool,
    /// The sequence of the event that came under the same id with another body.
    pub(super) same_id_as: Option<u64>,
    /// The generation and value of the id, expired or not.
    at: Option<(u32, KnownId)>,
}

impl Batch<'_> {
    fn find(&self, digest: [u8; 16]) -> Result<Option<(u32, KnownId)>, EngineError> {
        if let Some(found) = self.dedup.get(&digest) {
            return Ok(Some(found.clone()));
        }
        // A generation begun by this batch has no entry in the store.
        find(self.shared, self.store, digest)
    }

    /// Looks up whether the store or this batch has seen the delivery.
    pub(super) fn look_up(&self, dedup: &DedupKey) -> Result<IdLookup, EngineError> {
        let at = self.find(dedup.key)?;
        let live = at.as_ref().map(|(_, known)| known).filter(|known| known.expires_ms > self.now.unix_ms());
        let (is_repeated, same_id_as) = match live {
            None => (false, None),
            Some(known) if known.has_body(dedup) => (true, None),
            Some(known) => (false, Some(known.seq)),
        };
        Ok(IdLookup { is_repeated, same_id_as, at })
    }

    /// Remembers a delivery. An allowed redelivery takes the place of the first.
    pub(super) fn recognise(&mut self, dedup: &DedupKey, seen: IdLookup, seq: u64) {
        let (expires_ms, digest) = (self.now.after(dedup.window).unix_ms(), dedup.key);
        let mut bodies = Vec::new();
        if let Some((id, known)) = seen.at {
            if known.expires_ms > self.now.unix_ms() {
                bodies = known.bodies;
            }
            self.writes.remove(Space::Dedup, generations::key(id, digest));
            self.books.total.dedup = self.books.total.dedup.saturating_sub(1);
        }
        bodies.retain(|body| Some(*body) != dedup.body);
        if bodies.len() >= BODIES_KEPT {
            bodies.remove(0);
        }
        bodies.extend(dedup.body);
        let known = KnownId { expires_ms, seq, bodies };
        let id = self.generation_for(class_of(dedup.window), expires_ms, digest);
        self.writes.insert(Space::Dedup, generations::key(id, digest), known.to_bytes());
        self.books.total.dedup += 1;
        self.dedup.insert(digest, (id, known));
    }

    /// Returns the newest generation of a class, with one more id in it; begins a new one when that is full.
    fn generation_for(&mut self, class: u8, expires_ms: u64, digest: [u8; 16]) -> u32 {
        let shared = self.shared;
        let of_class =
            |(id, generation): (&u32, &Generation)| (generation.class == class).then_some((*id, *generation));
        let (stored, last) = shared.counters(|books| {
            let newest = books.generations.iter().rev().find_map(of_class);
            (newest, books.generations.last_key_value().map_or(0, |(id, _)| *id))
        });
        let drafted = self.books.generations.iter().rev().find_map(of_class);
        let last = last.max(self.books.generations.last_key_value().map_or(0, |(id, _)| *id));
        let current = drafted.or(stored).filter(|(id, generation)| generations::goes_on(shared, *id, generation));
        let is_new = current.is_none();
        let (id, generation) =
            current.unwrap_or((last.saturating_add(1), Generation { class, ..Generation::default() }));
        let (count, until_ms) = (generation.count.saturating_add(1), generation.until_ms.max(expires_ms));
        let generation = Generation { class, count, until_ms };
        self.books.generations.insert(id, generation);
        shared.filters.insert(id, is_new, digest);
        if generation.is_full() {
            generations::store_filter(shared, &mut self.writes, id, &generation);
        }
        id
    }

    /// Removes up to `most` ids of a generation whose time is over.
    pub(super) fn sweep_dedup(&mut self, most: usize) -> Result<(), EngineError> {
        let now_ms = self.now.unix_ms();
        let over = self.shared.counters(|books| {
            books.generations.iter().find(|(_, generation)| generation.until_ms <= now_ms).map(|(id, of)| (*id, *of))
        });
        // A generation that this batch has put ids into is not over.
        let Some((id, of)) = over.filter(|(id, _)| !self.books.generations.contains_key(id)) else { return Ok(()) };
        let (from, to) = (generations::key(id, [0; 16]), generations::key(id.saturating_add(1), [0; 16]));
        let store = self.store;
        let mut removed = 0;
        for pair in store.scan(Space::Dedup, &from, Some(&to)).take(most) {
            let (key, _) = pair?;
            removed += 1;
            let digest: [u8; 16] = key.get(4..).and_then(|digest| digest.try_into().ok()).unwrap_or_default();
            // An id that this batch moved to a newer generation is counted already.
            if self.dedup.get(&digest).is_none_or(|(at, _)| *at == id) {
                self.books.total.dedup = self.books.total.dedup.saturating_sub(1);
            }
            self.writes.remove(Space::Dedup, key);
        }
        if removed < most {
            self.books.generations.insert(id, Generation { until_ms: 0, ..of });
            self.writes.remove(Space::Filters, id.to_be_bytes());
            self.shared.filters.forget(id);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_of_an_id_reads_back() {
        let known = KnownId { expires_ms: 7, seq: 8, bodies: vec![[1; 16], [2; 16]] };
        assert_eq!(KnownId::parse(&known.to_bytes()), Some(known));
    }
}
