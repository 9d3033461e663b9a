//! Reinsertion of events into the store. Their place and the counters are repaired afterwards (`reindex`).
//!
//! An event comes back under its own sequence where that is known, so that its other records stay true.

use std::collections::{BTreeSet, HashSet};

use super::{Saved, read_around};
use crate::buffer::engine::disk::Fjall;
use crate::buffer::engine::{Durability, Engine, EngineError, Space, Writes};
use crate::buffer::keys::{self, OrderQueueKey, QueueKey};
use crate::buffer::record;
use crate::event::EventData;

/// The number of records at which a batch ends.
const BATCH_RECORDS: usize = 512;
/// The longest time from receipt to storing; a sequence further off belongs to another event.
const RECEIPT_TO_STORE_MS: u64 = 10 * 60 * 1000;

/// Returns the sequences that any record names.
pub(super) fn wanted(store: &Fjall) -> Result<BTreeSet<u64>, EngineError> {
    let mut wanted = BTreeSet::new();
    let mut of = |space: Space, seq: &dyn Fn(&[u8]) -> Option<u64>| {
        read_around::read(store.keyspace(space)?, false, |key, _| {
            wanted.extend(seq(&key));
            Ok(())
        })
    };
    of(Space::Queue, &|key| QueueKey::parse(key).map(|key| key.seq))?;
    of(Space::Ordered, &|key| OrderQueueKey::parse_place(key).map(|(seq, _)| seq))?;
    of(Space::Expiry, &|key| keys::parse_pair(key).map(|(_, seq)| seq))?;
    of(Space::Fate, &keys::parse_sequence)?;
    of(Space::Quarantine, &keys::parse_sequence)?;
    Ok(wanted)
}

/// Reinserts saved events, unless the store has them. Returns how many it did not have.
pub(super) fn put_back(store: &Fjall, saved: &[Saved]) -> Result<u64, EngineError> {
    if saved.is_empty() {
        return Ok(0);
    }
    let mut put = PutBack::new(store)?;
    for event in saved {
        put.event(event)?;
    }
    put.finish()
}

/// Events on their way back into the store.
pub(super) struct PutBack<'a> {
    store: &'a Fjall,
    batch: Writes,
    in_batch: usize,
    next_seq: u64,
    seen: HashSet<u64>,
    count: u64,
}

impl<'a> PutBack<'a> {
    pub(super) fn new(store: &'a Fjall) -> Result<Self, EngineError> {
        let last = store.last_key(Space::Events)?.and_then(|key| keys::parse_sequence(&key));
        let next_seq = last.map_or(0, |last| last.saturating_add(1));
        Ok(Self { store, batch: Writes::default(), in_batch: 0, next_seq, seen: HashSet::new(), count: 0 })
    }

    pub(super) fn event(&mut self, saved: &Saved) -> Result<(), EngineError> {
        let Ok(data) = record::decode(&saved.record) else { return Ok(()) };
        let own = saved.seq.filter(|seq| is_plausible(*seq, &data));
        let seq = match own {
            Some(seq) if self.seen.contains(&seq) => return Ok(()),
            Some(seq) => match self.store.get(Space::Events, &seq.to_be_bytes())? {
                None => seq,
                Some(stored) if record::decode(&stored).is_ok_and(|stored| stored.id == data.id) => return Ok(()),
                Some(_) => self.fresh(&data),
            },
            None if self.has(&data)? => return Ok(()),
            None => self.fresh(&data),
        };
        self.next_seq = self.next_seq.max(seq.saturating_add(1));
        self.seen.insert(seq);
        self.batch.insert(Space::Events, seq.to_be_bytes(), saved.record.as_slice());
        for (key, value) in &saved.dedup {
            self.batch.insert(Space::Dedup, key.as_slice(), value.as_slice());
        }
        self.count += 1;
        self.in_batch += 1;
        if self.in_batch >= BATCH_RECORDS { self.write() } else { Ok(()) }
    }

    /// Returns an unused sequence, as close to the event's receipt as possible.
    fn fresh(&self, data: &EventData) -> u64 {
        self.next_seq.max(keys::first_sequence(data.received_at_ms))
    }

    /// Checks whether the index of ids leads to the event.
    fn has(&self, data: &EventData) -> Result<bool, EngineError> {
        let Some(seq) = self.store.get(Space::Ids, &data.id.as_bytes())? else { return Ok(false) };
        let stored = self.store.get(Space::Events, &seq)?;
        Ok(stored.is_some_and(|stored| record::decode(&stored).is_ok_and(|stored| stored.id == data.id)))
    }

    fn write(&mut self) -> Result<(), EngineError> {
        self.in_batch = 0;
        self.store.commit(std::mem::take(&mut self.batch), Durability::Written)
    }

    pub(super) fn finish(mut self) -> Result<u64, EngineError> {
        self.write()?;
        self.store.sync()?;
        Ok(self.count)
    }
}

/// Checks whether an event can have this sequence: sequences begin with the time of storing.
pub(super) fn is_plausible(seq: u64, data: &EventData) -> bool {
    keys::sequence_time(seq).unix_ms().abs_diff(data.received_at_ms) <= RECEIPT_TO_STORE_MS
}
