//! Puts events back into the store, and gives every event its place: queued, kept, or in quarantine.
//!
//! An event comes back under its own sequence where that is known, so that what else is stored about it stays true.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use fjall::{OwnedWriteBatch, PersistMode};

use super::{Saved, past};
use crate::buffer::keys::{self, DestinationId, Pending, QueueKey, QueueValue};
use crate::buffer::record;
use crate::buffer::recover::DESTINATION_PREFIX;
use crate::buffer::store::Store;
use crate::event::EventData;

/// A batch ends here.
const BATCH_RECORDS: usize = 512;
/// An event is stored within this time of its receipt, or its sequence is another one's.
const RECEIPT_TO_STORE_MS: u64 = 10 * 60 * 1000;

/// An event in the store.
pub(super) struct Stored<'a> {
    pub(super) seq: u64,
    pub(super) data: &'a EventData,
    /// What its record takes.
    pub(super) bytes: u32,
}

/// Where events are, by sequence.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// Copies in the queue.
    pub(super) queued: HashMap<u64, Vec<u16>>,
    /// In `expiry` or in `quarantine`.
    pub(super) kept: HashSet<u64>,
    pub(super) pending: HashMap<u64, Pending>,
    /// The highest number of a destination that anything in the queue has.
    highest: u32,
    destinations: BTreeMap<String, u32>,
    /// Queue records for destinations that nobody knows.
    pub(super) orphans: Vec<QueueKey>,
}

impl Places {
    pub(super) fn of(store: &Store) -> Result<Self, fjall::Error> {
        let mut places = Self::with_destinations(store)?;
        let known: HashSet<u32> = places.destinations.values().copied().collect();
        past::read(&store.queue, false, |key, _| {
            if let Some(key) = QueueKey::parse(&key) {
                places.highest = places.highest.max(key.destination.0);
                if known.contains(&key.destination.0) {
                    places.queued.entry(key.seq).or_default().push(key.copy);
                } else {
                    places.orphans.push(key);
                }
            }
            Ok(())
        })?;
        past::read(&store.expiry, false, |key, _| {
            places.kept.extend(keys::parse_pair(&key).map(|(_, seq)| seq));
            Ok(())
        })?;
        past::read(&store.quarantine, false, |key, _| {
            places.kept.extend(<[u8; 8]>::try_from(&*key).map(u64::from_be_bytes));
            Ok(())
        })?;
        past::read(&store.pending, true, |key, value| {
            if let (Ok(seq), Some(pending)) =
                (<[u8; 8]>::try_from(&*key), value.and_then(|value| Pending::parse(&value)))
            {
                places.pending.insert(u64::from_be_bytes(seq), pending);
            }
            Ok(())
        })?;
        Ok(places)
    }

    fn with_destinations(store: &Store) -> Result<Self, fjall::Error> {
        let mut places = Self::default();
        for entry in store.meta.prefix(DESTINATION_PREFIX) {
            let (key, value) = entry.into_inner()?;
            let name = key.get(DESTINATION_PREFIX.len()..).and_then(|name| std::str::from_utf8(name).ok());
            if let (Some(name), Ok(id)) = (name, <[u8; 4]>::try_from(&*value)) {
                places.destinations.insert(name.to_owned(), u32::from_be_bytes(id));
            }
        }
        places.highest = places.destinations.values().copied().max().unwrap_or(0);
        Ok(places)
    }

    /// Sequences that something speaks of.
    pub(super) fn wanted(&self) -> BTreeSet<u64> {
        let orphans = self.orphans.iter().map(|key| &key.seq);
        self.queued.keys().chain(orphans).chain(&self.kept).chain(self.pending.keys()).copied().collect()
    }

    /// The number of a destination; a new one, where it has none that anybody remembers.
    fn destination(&mut self, store: &Store, batch: &mut OwnedWriteBatch, name: &str) -> DestinationId {
        if let Some(id) = self.destinations.get(name) {
            return DestinationId(*id);
        }
        self.highest = self.highest.saturating_add(1);
        batch.insert(&store.meta, format!("{DESTINATION_PREFIX}{name}"), self.highest.to_be_bytes());
        self.destinations.insert(name.to_owned(), self.highest);
        DestinationId(self.highest)
    }

    /// Gives an event that is nowhere its place again. Where it is not known which copies have ended, all are made again.
    pub(super) fn place(&mut self, store: &Store, batch: &mut OwnedWriteBatch, event: &Stored<'_>) {
        let Stored { seq, data, bytes } = *event;
        if self.kept.contains(&seq) {
            return;
        }
        if data.is_kept_back() {
            let value = [&bytes.to_be_bytes(), data.source.as_bytes()].concat();
            batch.insert(&store.quarantine, seq.to_be_bytes(), value);
            self.kept.insert(seq);
            return;
        }
        let queued = self.queued.get(&seq).cloned().unwrap_or_default();
        let copies = data.copies.len();
        let expected = self.pending.get(&seq).map_or(copies, |pending| pending.remaining as usize);
        let has_pending = copies == 1 || self.pending.contains_key(&seq);
        if queued.len() >= expected && has_pending {
            return;
        }
        if copies > 1 {
            let remaining = u32::try_from(copies).unwrap_or(u32::MAX);
            let pending = Pending { remaining, keep_until_ms: 0, bytes, is_dead: false };
            batch.insert(&store.pending, seq.to_be_bytes(), pending.to_bytes());
            self.pending.insert(seq, pending);
        }
        let value = QueueValue { attempts: 0, bytes: if copies > 1 { 0 } else { bytes } };
        for (copy, target) in (0_u16..).zip(&data.copies) {
            if !queued.contains(&copy) {
                let destination = self.destination(store, batch, &target.destination);
                let key = QueueKey { destination, due_ms: data.received_at_ms, seq, copy };
                batch.insert(&store.queue, key.to_bytes(), value.to_bytes());
                self.queued.entry(seq).or_default().push(copy);
            }
        }
    }
}

/// Puts saved events back, unless the store has them. Gives how many it did not have.
pub(super) fn put_back(store: &Store, saved: &[Saved]) -> Result<u64, fjall::Error> {
    if saved.is_empty() {
        return Ok(0);
    }
    let mut places = Places::of(store)?;
    let mut put = PutBack::new(store)?;
    for event in saved {
        put.event(&mut places, event)?;
    }
    put.finish()
}

/// Events on their way back.
pub(super) struct PutBack<'a> {
    store: &'a Store,
    batch: OwnedWriteBatch,
    in_batch: usize,
    next_seq: u64,
    seen: HashSet<u64>,
    count: u64,
}

impl<'a> PutBack<'a> {
    pub(super) fn new(store: &'a Store) -> Result<Self, fjall::Error> {
        let next_seq = store.last_sequence()?.saturating_add(1);
        Ok(Self { store, batch: store.db.batch(), in_batch: 0, next_seq, seen: HashSet::new(), count: 0 })
    }

    pub(super) fn event(&mut self, places: &mut Places, saved: &Saved) -> Result<(), fjall::Error> {
        let Ok(data) = record::decode(&saved.record) else { return Ok(()) };
        let own = saved.seq.filter(|seq| is_plausible(*seq, &data));
        let seq = match own {
            Some(seq) if self.seen.contains(&seq) => return Ok(()),
            Some(seq) => match self.store.events.get(seq.to_be_bytes())? {
                None => seq,
                Some(stored) if record::decode(&stored).is_ok_and(|stored| stored.id == data.id) => return Ok(()),
                Some(_) => self.next_seq,
            },
            None => self.next_seq,
        };
        self.next_seq = self.next_seq.max(seq.saturating_add(1));
        self.seen.insert(seq);
        let bytes = u32::try_from(saved.record.len()).unwrap_or(u32::MAX);
        self.batch.insert(&self.store.events, seq.to_be_bytes(), saved.record.as_slice());
        for (key, value) in &saved.dedup {
            let keyspace = if key.len() == 16 { &self.store.dedup } else { &self.store.dedup_expiry };
            self.batch.insert(keyspace, key.as_slice(), value.as_slice());
        }
        places.place(self.store, &mut self.batch, &Stored { seq, data: &data, bytes });
        self.count += 1;
        self.in_batch += 1;
        if self.in_batch >= BATCH_RECORDS { self.write() } else { Ok(()) }
    }

    fn write(&mut self) -> Result<(), fjall::Error> {
        self.in_batch = 0;
        std::mem::replace(&mut self.batch, self.store.db.batch()).commit()
    }

    pub(super) fn finish(mut self) -> Result<u64, fjall::Error> {
        self.write()?;
        self.store.db.persist(PersistMode::SyncAll)?;
        Ok(self.count)
    }
}

/// Whether an event can have this sequence: sequences begin with the time of storing.
pub(super) fn is_plausible(seq: u64, data: &EventData) -> bool {
    keys::sequence_time(seq).unix_ms().abs_diff(data.received_at_ms) <= RECEIPT_TO_STORE_MS
}
