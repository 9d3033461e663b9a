//! The committer: the one thread that writes.
//!
//! It takes whatever waits, builds one batch over all keyspaces, commits it with one sync, then answers every waiter
//! (group commit): the batch fills itself while the last sync runs. Sequences are given here, so their order is the order
//! of commit; a sequence begins with the wall time in milliseconds and never goes back.
//!
//! After a failed write or sync nothing is retried: all waiters hear "not stored", the store is dropped and opened anew,
//! and until that works the buffer answers [`NotStored::Failed`]. Ends of deliveries are kept and ride in the first batch
//! after it.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use fjall::{OwnedWriteBatch, PersistMode};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use super::keys::{self, DestinationId, QueueKey};
use super::store::Store;
use super::window::Window;
use super::{CommitReport, Committed, Delivery, Fsync, Keep, NotStored, OpenError, Shared, space};
use crate::clock::Timestamp;
use crate::event::{DedupKey, EventData};
use crate::outcome::Settled;

/// A batch ends here, so that a burst cannot make one commit arbitrarily long.
const BATCH_COMMANDS: usize = 1024;
const BATCH_BYTES: usize = 8 * 1024 * 1024;
/// What one tidy-up removes at most, so that commits are not held up.
const TIDY_RECORDS: usize = 2_000;
/// Low bits of a sequence that count within a millisecond.
const SEQUENCE_BITS: u32 = 20;
const DESTINATION_PREFIX: &str = "destination/";

/// The wall time in a sequence.
pub(crate) fn sequence_time(seq: u64) -> Timestamp {
    Timestamp::from_unix_ms(seq >> SEQUENCE_BITS)
}

pub(crate) struct Append {
    pub(crate) data: Arc<EventData>,
    pub(crate) record: Vec<u8>,
    pub(crate) dedup: Option<DedupKey>,
    pub(crate) reply: oneshot::Sender<Result<Committed, NotStored>>,
    pub(crate) _permit: OwnedSemaphorePermit,
}

pub(crate) struct Settle {
    pub(crate) key: QueueKey,
    pub(crate) attempts: u32,
    pub(crate) event: Arc<EventData>,
    pub(crate) settled: Settled,
    pub(crate) keep: Keep,
    pub(crate) detail: String,
}

pub(crate) enum Command {
    Append(Append),
    Settle(Settle),
    Register { names: Vec<Arc<str>>, reply: oneshot::Sender<Result<(), NotStored>> },
    TidyUp,
    Close(oneshot::Sender<()>),
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

    fn to_bytes(self) -> [u8; 8] {
        let mut value = [0; 8];
        value[..4].copy_from_slice(&self.attempts.to_be_bytes());
        value[4..].copy_from_slice(&self.bytes.to_be_bytes());
        value
    }
}

/// What an event with several copies still waits for.
#[derive(Clone, Copy, Debug)]
struct Pending {
    remaining: u32,
    keep_until_ms: u64,
    bytes: u32,
}

impl Pending {
    fn parse(value: &[u8]) -> Option<Self> {
        let (remaining, rest) = value.split_first_chunk::<4>()?;
        let (keep, rest) = rest.split_first_chunk::<8>()?;
        Some(Self {
            remaining: u32::from_be_bytes(*remaining),
            keep_until_ms: u64::from_be_bytes(*keep),
            bytes: u32::from_be_bytes(rest.try_into().ok()?),
        })
    }

    fn to_bytes(self) -> [u8; 16] {
        let mut value = [0; 16];
        value[..4].copy_from_slice(&self.remaining.to_be_bytes());
        value[4..12].copy_from_slice(&self.keep_until_ms.to_be_bytes());
        value[12..].copy_from_slice(&self.bytes.to_be_bytes());
        value
    }
}

/// What is done in memory once a batch is in the store.
enum Effect {
    Stored { append: Append, seq: u64 },
    Repeated(Append),
    Ended { settle: Settle, dead: bool },
    Rescheduled { settle: Settle, due_ms: u64 },
}

/// One batch under construction: what is written, and what later commands of the same batch must see of it.
struct Draft {
    batch: OwnedWriteBatch,
    effects: Vec<Effect>,
    dedup: HashMap<[u8; 16], ()>,
    pending: HashMap<u64, Pending>,
    bytes_added: u64,
    bytes_removed: u64,
    dedup_added: u64,
    syncs: bool,
}

pub(crate) struct Committer {
    shared: Arc<Shared>,
    inbox: mpsc::Receiver<Command>,
    /// Ends of deliveries that a failed batch held.
    deferred: Vec<Settle>,
    next_seq: u64,
    next_destination: u32,
}

impl Committer {
    /// Learns what the store holds: destinations, depths, sizes.
    pub(crate) fn recover(
        shared: Arc<Shared>,
        store: Store,
        inbox: mpsc::Receiver<Command>,
        destinations: &[Arc<str>],
    ) -> Result<Self, OpenError> {
        let next_seq = store.last_sequence()?.saturating_add(1);
        let mut committer = Self { shared, inbox, deferred: Vec::new(), next_seq, next_destination: 1 };
        committer.recover_destinations(&store)?;
        committer.register(&store, destinations)?;
        committer.recover_counts(&store)?;
        committer.shared.disk_low.store(space::is_low(&committer.shared.params.dir), Ordering::Relaxed);
        committer.shared.store.store(Some(Arc::new(store)));
        Ok(committer)
    }

    fn recover_destinations(&mut self, store: &Store) -> Result<(), fjall::Error> {
        let mut table = self.shared.destinations.write().unwrap_or_else(PoisonError::into_inner);
        for entry in store.meta.prefix(DESTINATION_PREFIX) {
            let (key, value) = entry.into_inner()?;
            let name = key.get(DESTINATION_PREFIX.len()..).and_then(|name| std::str::from_utf8(name).ok());
            let id = value.as_ref().try_into().map(u32::from_be_bytes);
            if let (Some(name), Ok(id)) = (name, id) {
                table.insert(Arc::from(name), (DestinationId(id), Arc::default()));
                self.next_destination = self.next_destination.max(id.saturating_add(1));
            }
        }
        Ok(())
    }

    fn recover_counts(&self, store: &Store) -> Result<(), fjall::Error> {
        let now_ms = self.shared.clock.now().unix_ms();
        let mut bytes = 0_u64;
        for entry in store.queue.iter() {
            let (key, value) = entry.into_inner()?;
            bytes += u64::from(QueueValue::parse(&value).bytes);
            if let Some(key) = QueueKey::parse(&key)
                && let Some(window) = self.shared.window_by_id(key.destination)
            {
                window.count_found(key.due_ms <= now_ms);
            }
        }
        for entry in store.pending.iter() {
            bytes += Pending::parse(&entry.value()?).map_or(0, |pending| u64::from(pending.bytes));
        }
        for entry in store.expiry.iter().chain(store.quarantine.iter()) {
            bytes += entry
                .value()?
                .get(..4)
                .and_then(|part| part.try_into().ok())
                .map_or(0, |part| u64::from(u32::from_be_bytes(part)));
        }
        self.shared.used_bytes.store(bytes, Ordering::Relaxed);
        self.shared.quarantined.store(store.quarantine.len()? as u64, Ordering::Relaxed);
        self.shared.dedup_entries.store(store.dedup.len()? as u64, Ordering::Relaxed);
        for entry in store.dead.iter() {
            if let Some((id, _)) = entry.key()?.split_first_chunk::<4>() {
                self.count_dead(DestinationId(u32::from_be_bytes(*id)));
            }
        }
        Ok(())
    }

    fn count_dead(&self, id: DestinationId) {
        *self.shared.dead.write().unwrap_or_else(PoisonError::into_inner).entry(id).or_default() += 1;
    }

    /// The thread's life.
    pub(crate) fn run(mut self) {
        while let Some(first) = self.inbox.blocking_recv() {
            let mut commands = vec![first];
            let mut bytes = 0;
            while commands.len() < BATCH_COMMANDS && bytes < BATCH_BYTES {
                let Ok(next) = self.inbox.try_recv() else { break };
                if let Command::Append(append) = &next {
                    bytes += append.record.len();
                }
                commands.push(next);
            }
            if self.handle(commands) {
                break;
            }
        }
        self.shared.store.store(None);
    }

    /// One batch. True when the buffer was closed.
    fn handle(&mut self, commands: Vec<Command>) -> bool {
        let Some(store) = self.shared.store.load_full() else { return self.handle_closed(commands) };
        let mut closing = None;
        let mut result = Ok(());
        let mut draft = self.draft(&store);
        for settle in std::mem::take(&mut self.deferred) {
            result = result.and_then(|()| self.draft_settle(&store, &mut draft, settle));
        }
        for command in commands {
            if closing.is_some() {
                continue;
            }
            result = result.and(match command {
                Command::Append(append) => self.draft_append(&store, &mut draft, append),
                Command::Settle(settle) => self.draft_settle(&store, &mut draft, settle),
                Command::Register { names, reply } => {
                    let registered = self.register(&store, &names);
                    answer(reply, registered.as_ref().map(|()| ()).map_err(|_failed| NotStored::Failed));
                    registered
                }
                Command::TidyUp => self.draft_tidy_up(&store, &mut draft),
                Command::Close(reply) => {
                    closing = Some(reply);
                    Ok(())
                }
            });
        }
        self.commit(store, draft, result);
        let Some(reply) = closing else { return false };
        self.close(reply);
        true
    }

    /// The store is not open: refuse, keep the ends, try to reopen.
    fn handle_closed(&mut self, commands: Vec<Command>) -> bool {
        for command in commands {
            match command {
                Command::Append(append) => answer(append.reply, Err(NotStored::Failed)),
                Command::Settle(settle) => self.deferred.push(settle),
                Command::Register { reply, .. } => answer(reply, Err(NotStored::Failed)),
                Command::TidyUp => self.reopen(),
                Command::Close(reply) => {
                    answer(reply, ());
                    return true;
                }
            }
        }
        false
    }

    fn draft(&self, store: &Store) -> Draft {
        let durability = match self.shared.params.fsync {
            Fsync::Group => Some(PersistMode::SyncData),
            Fsync::Os => Some(PersistMode::Buffer),
            Fsync::Memory => None,
        };
        Draft {
            batch: store.db.batch().durability(durability),
            effects: Vec::new(),
            dedup: HashMap::new(),
            pending: HashMap::new(),
            bytes_added: 0,
            bytes_removed: 0,
            dedup_added: 0,
            syncs: false,
        }
    }

    fn draft_append(&mut self, store: &Store, draft: &mut Draft, append: Append) -> Result<(), fjall::Error> {
        let now_ms = self.shared.clock.now().unix_ms();
        if let Some(dedup) = append.dedup {
            let stored = store.dedup.get(dedup.key)?;
            let live =
                stored.and_then(|value| keys::parse_pair(&value)).is_some_and(|(expires_ms, _)| expires_ms > now_ms);
            if live || draft.dedup.contains_key(&dedup.key) {
                draft.effects.push(Effect::Repeated(append));
                return Ok(());
            }
        }
        let seq = self.next_seq.max(now_ms << SEQUENCE_BITS);
        self.next_seq = seq + 1;
        if let Some(dedup) = append.dedup {
            let expires_ms = Timestamp::from_unix_ms(now_ms).after(dedup.window).unix_ms();
            draft.batch.insert(&store.dedup, dedup.key, keys::pair(expires_ms, seq));
            draft.batch.insert(&store.dedup_expiry, keys::dedup_expiry(expires_ms, dedup.key), []);
            draft.dedup.insert(dedup.key, ());
            draft.dedup_added += 1;
        }
        let bytes = u32::try_from(append.record.len()).unwrap_or(u32::MAX);
        draft.batch.insert(&store.events, seq.to_be_bytes(), append.record.as_slice());
        draft.bytes_added += u64::from(bytes);
        draft.syncs = true;
        let quarantined = !append.data.problems.is_empty();
        let copies = &append.data.copies;
        if quarantined || copies.is_empty() {
            draft.batch.insert(&store.quarantine, seq.to_be_bytes(), bytes.to_be_bytes());
        } else {
            if copies.len() > 1 {
                let pending =
                    Pending { remaining: u32::try_from(copies.len()).unwrap_or(u32::MAX), keep_until_ms: 0, bytes };
                draft.batch.insert(&store.pending, seq.to_be_bytes(), pending.to_bytes());
                draft.pending.insert(seq, pending);
            }
            for (key, _) in self.placements(&append.data, seq) {
                let value = QueueValue { attempts: 0, bytes: if copies.len() > 1 { 0 } else { bytes } };
                draft.batch.insert(&store.queue, key.to_bytes(), value.to_bytes());
            }
        }
        draft.effects.push(Effect::Stored { append, seq });
        Ok(())
    }

    /// Where the copies of an event queue. A destination that is not registered cannot be named by a route.
    fn placements(&self, data: &EventData, seq: u64) -> Vec<(QueueKey, Arc<Window>)> {
        let mut placed = Vec::with_capacity(data.copies.len());
        for (copy, target) in (0_u16..).zip(&data.copies) {
            if let Some((destination, window)) = self.shared.window(&target.destination) {
                placed.push((QueueKey { destination, due_ms: data.received_at_ms, seq, copy }, window));
            }
        }
        placed
    }

    fn draft_settle(&mut self, store: &Store, draft: &mut Draft, settle: Settle) -> Result<(), fjall::Error> {
        let now = self.shared.clock.now();
        let key = settle.key;
        draft.batch.remove(&store.queue, key.to_bytes());
        match settle.settled {
            Settled::Again { wait, counts } => {
                let due_ms = now.after(wait).unix_ms();
                let old = store.queue.get(key.to_bytes())?.map(|value| QueueValue::parse(&value)).unwrap_or_default();
                let value =
                    QueueValue { attempts: settle.attempts.saturating_add(u32::from(counts)), bytes: old.bytes };
                draft.batch.insert(&store.queue, QueueKey { due_ms, ..key }.to_bytes(), value.to_bytes());
                draft.effects.push(Effect::Rescheduled { settle, due_ms });
                Ok(())
            }
            Settled::Delivered => {
                let ended = self.draft_end(store, draft, &settle, now.after(settle.keep.delivered).unix_ms());
                draft.effects.push(Effect::Ended { settle, dead: false });
                ended
            }
            Settled::Dead(cause) => {
                let dead = [&key.to_bytes()[..4], &now.unix_ms().to_be_bytes(), &key.to_bytes()[12..]].concat();
                let facts = rmp_serde::to_vec(&(cause.label(), settle.attempts, &settle.detail)).unwrap_or_default();
                draft.batch.insert(&store.dead, dead, facts);
                let ended = self.draft_end(store, draft, &settle, now.after(settle.keep.dead).unix_ms());
                draft.effects.push(Effect::Ended { settle, dead: true });
                ended
            }
        }
    }

    /// One delivery has ended; with the last one the event's own end is set.
    fn draft_end(
        &self,
        store: &Store,
        draft: &mut Draft,
        settle: &Settle,
        keep_until_ms: u64,
    ) -> Result<(), fjall::Error> {
        let seq = settle.key.seq;
        if settle.event.copies.len() <= 1 {
            let bytes = store.queue.get(settle.key.to_bytes())?.map_or(0, |value| QueueValue::parse(&value).bytes);
            self.expire(store, draft, seq, keep_until_ms, bytes);
            return Ok(());
        }
        let known = match draft.pending.get(&seq) {
            Some(pending) => Some(*pending),
            None => store.pending.get(seq.to_be_bytes())?.and_then(|value| Pending::parse(&value)),
        };
        let Some(mut pending) = known else { return Ok(()) };
        pending.remaining = pending.remaining.saturating_sub(1);
        pending.keep_until_ms = pending.keep_until_ms.max(keep_until_ms);
        draft.pending.insert(seq, pending);
        if pending.remaining == 0 {
            draft.batch.remove(&store.pending, seq.to_be_bytes());
            self.expire(store, draft, seq, pending.keep_until_ms, pending.bytes);
        } else {
            draft.batch.insert(&store.pending, seq.to_be_bytes(), pending.to_bytes());
        }
        Ok(())
    }

    fn expire(&self, store: &Store, draft: &mut Draft, seq: u64, keep_until_ms: u64, bytes: u32) {
        if keep_until_ms <= self.shared.clock.now().unix_ms() {
            draft.batch.remove(&store.events, seq.to_be_bytes());
            draft.bytes_removed += u64::from(bytes);
        } else {
            draft.batch.insert(&store.expiry, keys::pair(keep_until_ms, seq), bytes.to_be_bytes());
        }
    }

    /// Removes what was kept long enough, and, when space runs short, what is kept for replay only.
    fn draft_tidy_up(&self, store: &Store, draft: &mut Draft) -> Result<(), fjall::Error> {
        let now_ms = self.shared.clock.now().unix_ms();
        self.shared.disk_low.store(space::is_low(&self.shared.params.dir), Ordering::Relaxed);
        let used = self.shared.used_bytes.load(Ordering::Relaxed);
        let high_water = self.shared.params.bytes_max / 10 * 9;
        let mut to_free = used.saturating_sub(high_water);
        for entry in store.expiry.iter().take(TIDY_RECORDS) {
            let (key, value) = entry.into_inner()?;
            let Some((keep_until_ms, seq)) = keys::parse_pair(&key) else { continue };
            if keep_until_ms > now_ms && to_free == 0 {
                break;
            }
            let bytes = QueueValue::parse(&value).attempts;
            draft.batch.remove(&store.expiry, key);
            draft.batch.remove(&store.events, seq.to_be_bytes());
            draft.bytes_removed += u64::from(bytes);
            to_free = to_free.saturating_sub(u64::from(bytes));
        }
        for entry in store.dedup_expiry.iter().take(TIDY_RECORDS) {
            let key = entry.key()?;
            let Some((expires, digest)) = key.split_first_chunk::<8>() else { continue };
            if u64::from_be_bytes(*expires) > now_ms {
                break;
            }
            draft.batch.remove(&store.dedup, digest);
            draft.batch.remove(&store.dedup_expiry, key.clone());
            self.shared.dedup_entries.fetch_sub(1, Ordering::Relaxed);
        }
        Ok(())
    }

    fn register(&mut self, store: &Store, names: &[Arc<str>]) -> Result<(), fjall::Error> {
        let mut table = self.shared.destinations.write().unwrap_or_else(PoisonError::into_inner);
        for name in names {
            if !table.contains_key(name) {
                let id = self.next_destination;
                store.meta.insert(format!("{DESTINATION_PREFIX}{name}"), id.to_be_bytes())?;
                self.next_destination = id.saturating_add(1);
                table.insert(Arc::clone(name), (DestinationId(id), Arc::default()));
            }
        }
        Ok(store.db.persist(PersistMode::SyncData)?)
    }

    /// Writes, syncs, answers. Whatever failed, nobody is left waiting.
    fn commit(&mut self, store: Arc<Store>, mut draft: Draft, drafted: Result<(), fjall::Error>) {
        let events = draft.effects.iter().filter(|effect| matches!(effect, Effect::Stored { .. })).count();
        if !draft.syncs {
            draft.batch = draft.batch.durability(
                matches!(self.shared.params.fsync, Fsync::Group | Fsync::Os).then_some(PersistMode::Buffer),
            );
        }
        let started = tokio::time::Instant::now();
        let result = drafted.and_then(|()| draft.batch.commit());
        let report = CommitReport { took: started.elapsed(), events, failed: result.is_err() };
        if events > 0 || report.failed {
            (self.shared.on_commit)(report);
        }
        match result {
            Ok(()) => {
                self.shared.used_bytes.fetch_add(draft.bytes_added, Ordering::Relaxed);
                let removed = draft.bytes_removed.min(self.shared.used_bytes.load(Ordering::Relaxed));
                self.shared.used_bytes.fetch_sub(removed, Ordering::Relaxed);
                self.shared.dedup_entries.fetch_add(draft.dedup_added, Ordering::Relaxed);
                for effect in draft.effects {
                    self.apply(effect);
                }
            }
            Err(error) => {
                tracing::error!(%error, "a commit failed; the buffer is closed until it can be reopened");
                self.refuse(draft.effects);
                drop(store);
                self.shared.store.store(None);
                self.reopen();
            }
        }
    }

    fn apply(&self, effect: Effect) {
        match effect {
            Effect::Stored { append, seq } => {
                if append.data.problems.is_empty() && !append.data.copies.is_empty() {
                    for (key, window) in self.placements(&append.data, seq) {
                        window.push(Delivery { key, attempts: 0, event: Arc::clone(&append.data) });
                    }
                } else {
                    self.shared.quarantined.fetch_add(1, Ordering::Relaxed);
                }
                answer(append.reply, Ok(Committed::Stored));
            }
            Effect::Repeated(append) => answer(append.reply, Ok(Committed::Duplicate)),
            Effect::Ended { settle: Settle { key, .. }, dead } => {
                if dead {
                    self.count_dead(key.destination);
                }
                if let Some(window) = self.shared.window_by_id(key.destination) {
                    window.ended(key.seq, key.copy);
                }
            }
            Effect::Rescheduled { settle: Settle { key, .. }, due_ms } => {
                if let Some(window) = self.shared.window_by_id(key.destination) {
                    window.rescheduled(key.seq, key.copy, due_ms);
                }
            }
        }
    }

    /// Tells every waiter of a failed batch; the ends of deliveries are kept for the next one.
    fn refuse(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Stored { append, .. } | Effect::Repeated(append) => {
                    answer(append.reply, Err(NotStored::Failed))
                }
                Effect::Ended { settle, .. } | Effect::Rescheduled { settle, .. } => self.deferred.push(settle),
            }
        }
    }

    /// Opens the store anew; on failure the next tidy-up tries again.
    fn reopen(&mut self) {
        for _ in 0..20 {
            match Store::open(&self.shared.params.dir, self.shared.params.fsync) {
                Ok(store) => {
                    tracing::warn!("the buffer is open again");
                    self.shared.store.store(Some(Arc::new(store)));
                    return;
                }
                // Readers may still hold the old store for a moment.
                Err(OpenError::Engine(fjall::Error::Locked)) => std::thread::sleep(Duration::from_millis(50)),
                Err(error) => {
                    tracing::error!(%error, "the buffer cannot be reopened yet");
                    return;
                }
            }
        }
    }

    fn close(&self, reply: oneshot::Sender<()>) {
        if let Some(store) = self.shared.store.swap(None)
            && let Err(error) = store.db.persist(PersistMode::SyncAll)
        {
            tracing::error!(%error, "the last sync failed; what was answered is on disk already");
        }
        answer(reply, ());
    }
}

/// A waiter that has gone has no answer to get; what was stored is stored all the same.
fn answer<T>(reply: oneshot::Sender<T>, value: T) {
    if reply.send(value).is_err() {
        tracing::trace!("a waiter went away before its answer");
    }
}
