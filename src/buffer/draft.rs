//! One batch under construction: what is written, what later commands of the same batch must see of it, and what is done
//! in memory once it is in the store.
//!
//! Nothing here touches the disk but by reading; [`Draft::commit`] writes all or nothing.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use fjall::{OwnedWriteBatch, PersistMode};
use tokio::sync::oneshot;

use super::committer::{Append, Settle};
use super::keys::{self, Pending, QueueKey, QueueValue};
use super::passes::Used;
use super::store::Store;
use super::unverified::{Change, IndexDraft};
use super::window::Window;
use super::{Fsync, NotStored, Shared, space};
use crate::clock::Timestamp;
use crate::event::{DedupKey, EventData};
use crate::outcome::Settled;

/// What one tidy-up removes at most, so that commits are not held up.
const TIDY_RECORDS: usize = 20_000;

/// What is done in memory once a batch is in the store.
pub(super) enum Effect {
    Stored {
        append: Append,
        seq: u64,
        /// It is a repetition that was asked for.
        pass: Option<Used>,
    },
    Repeated(Append),
    Ended {
        settle: Settle,
        is_dead: bool,
    },
    Rescheduled {
        settle: Settle,
        due_ms: u64,
    },
    /// The store does not know the delivery: it ended before, in a batch that was thought to have failed.
    Stale(Settle),
    Rejudged(oneshot::Sender<Result<(), NotStored>>),
}

pub(super) struct Draft<'a> {
    pub(super) shared: &'a Shared,
    pub(super) store: &'a Store,
    pub(super) batch: OwnedWriteBatch,
    now: Timestamp,
    pub(super) effects: Vec<Effect>,
    pub(super) index: IndexDraft,
    dedup: HashSet<[u8; 16]>,
    pending: HashMap<u64, Pending>,
    bytes_added: u64,
    bytes_removed: u64,
    dedup_added: u64,
    dedup_removed: u64,
    pub(super) events: usize,
    is_tidied: bool,
    /// A record was replaced: its old form takes space until the engine compacts.
    pub(super) rewritten: bool,
}

impl<'a> Draft<'a> {
    pub(super) fn new(shared: &'a Shared, store: &'a Store) -> Self {
        Self {
            shared,
            store,
            batch: store.db.batch(),
            now: shared.clock.now(),
            effects: Vec::new(),
            index: IndexDraft::default(),
            dedup: HashSet::new(),
            pending: HashMap::new(),
            bytes_added: 0,
            bytes_removed: 0,
            dedup_added: 0,
            dedup_removed: 0,
            events: 0,
            is_tidied: false,
            rewritten: false,
        }
    }

    /// An event and its deliveries, unless it is a repetition.
    pub(super) fn append(&mut self, next_seq: &mut u64, append: Append) -> Result<(), fjall::Error> {
        let now_ms = self.now.unix_ms();
        let mut pass = None;
        if let Some(dedup) = append.dedup
            && self.is_repeated(&dedup)?
        {
            let (source, id) = (&append.data.source, append.data.delivery_id.as_deref());
            pass = self.shared.passes.take(source, id, dedup.key, self.now);
            if pass.is_none() {
                self.effects.push(Effect::Repeated(append));
                return Ok(());
            }
        }
        let seq = keys::first_sequence(now_ms).max(*next_seq);
        *next_seq = seq.saturating_add(1);
        if let Some(dedup) = append.dedup {
            self.recognise(&dedup, seq, pass.is_some())?;
        }
        let bytes = append.bytes();
        self.batch.insert(&self.store.events, seq.to_be_bytes(), append.record.as_slice());
        self.bytes_added += u64::from(bytes);
        self.events += 1;
        self.remember(seq, &append)?;
        if append.data.is_kept_back() {
            let value = [&bytes.to_be_bytes(), append.data.source.as_bytes()].concat();
            self.batch.insert(&self.store.quarantine, seq.to_be_bytes(), value);
        } else {
            self.place(&append, seq);
        }
        self.effects.push(Effect::Stored { append, seq, pass });
        Ok(())
    }

    /// Whether one of its keys is known, to the store or to this batch.
    fn is_repeated(&self, dedup: &DedupKey) -> Result<bool, fjall::Error> {
        for key in dedup.keys() {
            let stored = self.store.dedup.get(key)?.and_then(|value| keys::parse_pair(&value));
            let is_live = stored.is_some_and(|(expires_ms, _)| expires_ms > self.now.unix_ms());
            if is_live || self.dedup.contains(&key) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// From now on its keys are known; those that were known before are from now on this event's.
    fn recognise(&mut self, dedup: &DedupKey, seq: u64, may_be_known: bool) -> Result<(), fjall::Error> {
        let expires_ms = self.now.after(dedup.window).unix_ms();
        for key in dedup.keys() {
            let is_new = self.dedup.insert(key) && !(may_be_known && self.store.dedup.contains_key(key)?);
            self.dedup_added += u64::from(is_new);
            self.batch.insert(&self.store.dedup, key, keys::pair(expires_ms, seq));
            self.batch.insert(&self.store.dedup_expiry, keys::dedup_expiry(expires_ms, key), []);
        }
        Ok(())
    }

    /// One queue record for each copy.
    fn place(&mut self, append: &Append, seq: u64) {
        let copies = append.data.copies.len();
        if copies > 1 {
            let remaining = u32::try_from(copies).unwrap_or(u32::MAX);
            let pending = Pending { remaining, keep_until_ms: 0, bytes: append.bytes(), is_dead: false };
            self.batch.insert(&self.store.pending, seq.to_be_bytes(), pending.to_bytes());
            self.pending.insert(seq, pending);
        }
        let value = QueueValue { attempts: 0, bytes: append.queued_bytes() };
        for (key, _) in placements(self.shared, &append.data, seq) {
            self.batch.insert(&self.store.queue, key.to_bytes(), value.to_bytes());
        }
    }

    /// How an attempt ended.
    pub(super) fn settle(&mut self, settle: Settle) -> Result<(), fjall::Error> {
        let key = settle.key;
        if !self.store.queue.contains_key(key.to_bytes())? {
            self.effects.push(Effect::Stale(settle));
            return Ok(());
        }
        self.batch.remove(&self.store.queue, key.to_bytes());
        match settle.settled {
            Settled::Again { wait, counts } => {
                let due_ms = self.now.after(wait).unix_ms();
                let attempts = settle.attempts.saturating_add(u32::from(counts));
                let value = QueueValue { attempts, bytes: settle.bytes };
                self.batch.insert(&self.store.queue, QueueKey { due_ms, ..key }.to_bytes(), value.to_bytes());
                self.effects.push(Effect::Rescheduled { settle, due_ms });
                Ok(())
            }
            Settled::Delivered => {
                let ended = self.end(&settle, self.now.after(settle.keep.delivered), false);
                self.effects.push(Effect::Ended { settle, is_dead: false });
                ended
            }
            Settled::Dead(cause) => {
                let facts = rmp_serde::to_vec(&(cause.label(), settle.attempts, &settle.detail)).unwrap_or_default();
                self.batch.insert(&self.store.dead, key.to_dead_bytes(self.now.unix_ms()), facts);
                let ended = self.end(&settle, self.now.after(settle.keep.dead), true);
                self.effects.push(Effect::Ended { settle, is_dead: true });
                ended
            }
        }
    }

    /// One delivery has ended; with the last one the event's own end is set.
    fn end(&mut self, settle: &Settle, keep_until: Timestamp, is_dead: bool) -> Result<(), fjall::Error> {
        let seq = settle.key.seq;
        if settle.copies <= 1 {
            return self.expire(seq, keep_until.unix_ms(), settle.bytes, is_dead);
        }
        let known = match self.pending.get(&seq) {
            Some(pending) => Some(*pending),
            None => self.store.pending.get(seq.to_be_bytes())?.and_then(|value| Pending::parse(&value)),
        };
        let Some(mut pending) = known else { return Ok(()) };
        pending.remaining = pending.remaining.saturating_sub(1);
        pending.keep_until_ms = pending.keep_until_ms.max(keep_until.unix_ms());
        pending.is_dead |= is_dead;
        self.pending.insert(seq, pending);
        if pending.remaining == 0 {
            self.batch.remove(&self.store.pending, seq.to_be_bytes());
            self.expire(seq, pending.keep_until_ms, pending.bytes, pending.is_dead)?;
        } else {
            self.batch.insert(&self.store.pending, seq.to_be_bytes(), pending.to_bytes());
        }
        Ok(())
    }

    fn expire(&mut self, seq: u64, keep_until_ms: u64, bytes: u32, is_dead: bool) -> Result<(), fjall::Error> {
        if keep_until_ms <= self.now.unix_ms() {
            return self.remove(seq, u64::from(bytes));
        }
        let value = keys::expiry_value(bytes, is_dead);
        self.batch.insert(&self.store.expiry, keys::pair(keep_until_ms, seq), value);
        Ok(())
    }

    /// An event leaves the store.
    fn remove(&mut self, seq: u64, bytes: u64) -> Result<(), fjall::Error> {
        self.batch.remove(&self.store.events, seq.to_be_bytes());
        self.bytes_removed += bytes;
        self.forget(seq)
    }

    /// Removes what was kept long enough, and, when space runs short, what is kept for replay only.
    pub(super) fn tidy_up(&mut self) -> Result<(), fjall::Error> {
        if std::mem::replace(&mut self.is_tidied, true) {
            return Ok(());
        }
        let now_ms = self.now.unix_ms();
        let used = self.shared.used_bytes.load(Ordering::Relaxed);
        let mut to_free = used.saturating_sub(self.shared.params.bytes_max / 10 * 9);
        if self.shared.disk_low.load(Ordering::Relaxed) {
            to_free = to_free.max(space::RESERVE_BYTES);
        }
        for entry in self.store.expiry.iter().take(TIDY_RECORDS) {
            let (key, value) = entry.into_inner()?;
            let Some((keep_until_ms, seq)) = keys::parse_pair(&key) else { continue };
            if keep_until_ms > now_ms && to_free == 0 {
                break;
            }
            // Space may run short; a dead letter waits for a person all the same.
            if keep_until_ms > now_ms && keys::is_dead(&value) {
                continue;
            }
            let bytes = keys::parse_bytes(&value);
            self.batch.remove(&self.store.expiry, key);
            self.remove(seq, bytes)?;
            to_free = to_free.saturating_sub(bytes);
        }
        for entry in self.store.dedup_expiry.iter().take(TIDY_RECORDS) {
            let key = entry.key()?;
            let Some((expires, digest)) = key.split_first_chunk::<8>() else { continue };
            if u64::from_be_bytes(*expires) > now_ms {
                break;
            }
            // An id that came again after its window has a later expiry, and stays.
            let known = self.store.dedup.get(digest)?.and_then(|value| keys::parse_pair(&value));
            if known.is_some_and(|(expires_ms, _)| expires_ms <= now_ms) {
                self.batch.remove(&self.store.dedup, digest);
                self.dedup_removed += 1;
            }
            self.batch.remove(&self.store.dedup_expiry, key.clone());
        }
        Ok(())
    }

    /// Whether events, or old forms of events, were removed.
    pub(super) fn has_removed(&self) -> bool {
        self.bytes_removed > 0 || self.rewritten
    }

    /// Writes all of it, and syncs when it holds an event. Gives back what is to be done in memory.
    pub(super) fn commit(self) -> (Result<Tally, fjall::Error>, Vec<Effect>) {
        let durability = match (self.shared.params.fsync, self.events) {
            (Fsync::Memory, _) => None,
            // Ends of deliveries ask for no sync of their own: a lost end is a repeated delivery.
            (Fsync::Os, _) | (Fsync::Group, 0) => Some(PersistMode::Buffer),
            (Fsync::Group, _) => Some(PersistMode::SyncData),
        };
        let tally = Tally {
            bytes_added: self.bytes_added,
            bytes_removed: self.bytes_removed,
            dedup_added: self.dedup_added,
            dedup_removed: self.dedup_removed,
            index: self.index.changes,
        };
        (self.batch.durability(durability).commit().map(|()| tally), self.effects)
    }
}

impl Draft<'_> {
    /// What was drafted before something failed; nothing of it is in the store.
    pub(super) fn into_effects(self) -> Vec<Effect> {
        self.effects
    }
}

/// What a committed batch changed in size.
pub(super) struct Tally {
    pub(super) bytes_added: u64,
    pub(super) bytes_removed: u64,
    pub(super) dedup_added: u64,
    pub(super) dedup_removed: u64,
    pub(super) index: Vec<Change>,
}

/// Where the copies of an event queue. `Buffer::append` has seen that every destination is known.
pub(super) fn placements(shared: &Shared, data: &EventData, seq: u64) -> Vec<(QueueKey, Arc<Window>)> {
    let mut placed = Vec::with_capacity(data.copies.len());
    for (copy, target) in (0_u16..).zip(&data.copies) {
        if let Some((destination, window)) = shared.window(&target.destination) {
            placed.push((QueueKey { destination, due_ms: data.received_at_ms, seq, copy }, window));
        }
    }
    placed
}
