//! The committer: the one thread that writes.
//!
//! It takes whatever waits, builds one batch over all keyspaces, commits it with one sync, then answers every waiter
//! (group commit): the batch fills itself while the last sync runs. Sequences are given here, so their order is the order
//! of commit; a sequence begins with the wall time in milliseconds and never goes back.
//!
//! After a failed write or sync nothing is retried: all waiters hear "not stored", the store is dropped and opened anew,
//! and until that works the buffer answers [`NotStored::Failed`]. Ends of deliveries are kept and ride in the first batch
//! after it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use fjall::PersistMode;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use super::draft::{Draft, Effect, Tally, placements};
use super::keys::QueueKey;
use super::store::Store;
use super::suspects::Rejudge;
use super::window::Claim;
use super::{CommitReport, Committed, Delivery, Keep, NotStored, OpenError, Shared, salvage, space};
use crate::event::{DedupKey, EventData, JudgedBy};
use crate::outcome::Settled;

/// A batch ends here, so that a burst cannot make one commit arbitrarily long.
const BATCH_COMMANDS: usize = 1024;
const BATCH_BYTES: usize = 8 * 1024 * 1024;
/// Space is asked back from the engine at most this often.
const COMPACT_EVERY: Duration = Duration::from_secs(5);
/// The first compaction learns what is stale, the next one rewrites it, another one meets what was removed meanwhile.
const COMPACTIONS: u8 = 3;
pub(crate) struct Append {
    pub(crate) data: Arc<EventData>,
    pub(crate) record: Vec<u8>,
    pub(crate) dedup: Option<DedupKey>,
    /// The rules that it failed, where it is stored all the same.
    pub(crate) failed_by: Option<JudgedBy>,
    pub(crate) reply: oneshot::Sender<Result<Committed, NotStored>>,
    pub(crate) _permit: OwnedSemaphorePermit,
}

impl Append {
    /// What it takes on disk.
    pub(crate) fn bytes(&self) -> u32 {
        u32::try_from(self.record.len()).unwrap_or(u32::MAX)
    }

    /// What its queue records say of that: with several copies, `pending` says it.
    pub(crate) fn queued_bytes(&self) -> u32 {
        if self.data.copies.len() > 1 { 0 } else { self.bytes() }
    }
}

pub(crate) struct Settle {
    pub(crate) key: QueueKey,
    pub(crate) attempts: u32,
    pub(crate) bytes: u32,
    pub(crate) copies: usize,
    pub(crate) settled: Settled,
    pub(crate) keep: Keep,
    pub(crate) detail: String,
    /// Held until the end is in the store.
    pub(crate) claim: Option<Claim>,
}

pub(crate) enum Command {
    Append(Append),
    Settle(Settle),
    Rejudge(Rejudge),
    Register { names: Vec<Arc<str>>, reply: oneshot::Sender<Result<(), NotStored>> },
    TidyUp,
    Close(oneshot::Sender<()>),
}

pub(crate) struct Committer {
    pub(super) shared: Arc<Shared>,
    pub(super) inbox: mpsc::Receiver<Command>,
    /// Ends of deliveries that a failed batch held.
    pub(super) deferred: Vec<Settle>,
    pub(super) next_seq: u64,
    pub(super) next_destination: u32,
    /// Events were removed; so often is space still to be asked back.
    pub(super) compactions_owed: u8,
    /// When space was last asked back.
    pub(super) compacted_at: Option<tokio::time::Instant>,
}

impl Committer {
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
            self.shared.busy_since_ms.store(self.shared.clock.now().unix_ms(), Ordering::Relaxed);
            let is_closed = self.handle(commands);
            self.shared.busy_since_ms.store(0, Ordering::Relaxed);
            if is_closed {
                break;
            }
        }
        self.shared.store.store(None);
    }

    /// One batch. True when the buffer was closed.
    fn handle(&mut self, commands: Vec<Command>) -> bool {
        if self.shared.suspected.load(Ordering::Relaxed) && self.shared.store.load().is_some() {
            self.shared.store.store(None);
            self.reopen();
        }
        let Some(store) = self.shared.store.load_full() else { return self.handle_closed(commands) };
        let shared = Arc::clone(&self.shared);
        let mut draft = Draft::new(&shared, &store);
        let mut result = Ok(());
        for settle in std::mem::take(&mut self.deferred) {
            result = result.and(draft.settle(settle));
        }
        let (mut closing, mut judged) = (None, Vec::new());
        // Looked at before every batch: a fast sender fills a disk in less than a second.
        shared.disk_low.store(space::is_low(&shared.params.dir), Ordering::Relaxed);
        for command in commands {
            let drafted = match command {
                Command::Append(append) if shared.is_full_for(u64::from(append.bytes())) => {
                    answer(append.reply, Err(NotStored::Full));
                    Ok(())
                }
                Command::Append(append) => draft.append(&mut self.next_seq, append),
                Command::Settle(settle) => draft.settle(settle),
                Command::Rejudge(rejudge) => {
                    judged.push(rejudge);
                    Ok(())
                }
                Command::TidyUp => draft.tidy_up(),
                Command::Register { names, reply } => {
                    let registered = self.register(&store, &names);
                    answer(reply, registered.as_ref().copied().map_err(|_failed| NotStored::Failed));
                    registered
                }
                Command::Close(reply) => {
                    closing = Some(reply);
                    Ok(())
                }
            };
            result = result.and(drafted);
        }
        for rejudge in judged {
            result = result.and(draft.rejudge(rejudge));
        }
        if draft.has_removed() {
            self.compactions_owed = COMPACTIONS;
        }
        let is_whole = self.commit(draft, result);
        if is_whole && self.compactions_owed > 0 && shared.disk_low.load(Ordering::Relaxed) {
            self.give_space_back(&store);
        }
        drop(store);
        if !is_whole {
            self.shared.store.store(None);
            self.reopen();
        }
        closing.map(|reply| self.close(reply)).is_some()
    }

    /// On a disk that runs short: what was removed is still in the engine's files until it compacts them. Nothing is taken
    /// in meanwhile, so this may hold the batches up, once in a while.
    fn give_space_back(&mut self, store: &Store) {
        if self.compacted_at.is_some_and(|at| at.elapsed() < COMPACT_EVERY) {
            return;
        }
        self.compacted_at = Some(tokio::time::Instant::now());
        match store.give_space_back() {
            Ok(()) => self.compactions_owed -= 1,
            Err(error) => {
                tracing::warn!(%error, "the disk runs short, and the engine could not give space back");
                self.shared.met(&error);
            }
        }
    }

    /// The store is not open: refuse, keep the ends, try to reopen.
    fn handle_closed(&mut self, commands: Vec<Command>) -> bool {
        for command in commands {
            match command {
                Command::Append(append) => answer(append.reply, Err(NotStored::Failed)),
                Command::Settle(settle) => self.deferred.push(settle),
                Command::Rejudge(rejudge) => answer(rejudge.reply, Err(NotStored::Failed)),
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

    /// Writes, syncs, answers; false when it failed. Whatever happened, nobody is left waiting.
    fn commit(&mut self, draft: Draft<'_>, drafted: Result<(), fjall::Error>) -> bool {
        let events = draft.events;
        let started = tokio::time::Instant::now();
        let (committed, effects) = match drafted {
            Ok(()) => draft.commit(),
            Err(error) => (Err(error), draft.into_effects()),
        };
        let report = CommitReport { took: started.elapsed(), events, failed: committed.is_err() };
        if events > 0 || report.failed {
            (self.shared.on_commit)(report);
        }
        match committed {
            Ok(tally) => {
                self.count(&tally);
                self.shared.count_changes(tally.index);
                for effect in effects {
                    self.apply(effect);
                }
                true
            }
            Err(error) => {
                tracing::error!(%error, "a commit failed; the buffer is closed until it can be reopened");
                self.shared.met(&error);
                if matches!(error, fjall::Error::Poisoned) {
                    self.look_closer();
                }
                for effect in effects {
                    self.refuse(effect);
                }
                false
            }
        }
    }

    /// The engine stopped writing and does not say why. On a full disk that is known; else its files are looked at.
    fn look_closer(&self) {
        let shared = &self.shared;
        if !shared.disk_low.load(Ordering::Relaxed) && !salvage::is_whole(&shared.params.dir) {
            shared.met(&fjall::Error::Unrecoverable);
        }
    }

    /// Only this thread writes these counters.
    fn count(&self, tally: &Tally) {
        let shared = &self.shared;
        let used = shared.used_bytes.load(Ordering::Relaxed).saturating_add(tally.bytes_added);
        shared.used_bytes.store(used.saturating_sub(tally.bytes_removed), Ordering::Relaxed);
        let known = shared.dedup_entries.load(Ordering::Relaxed).saturating_add(tally.dedup_added);
        shared.dedup_entries.store(known.saturating_sub(tally.dedup_removed), Ordering::Relaxed);
    }

    fn apply(&self, effect: Effect) {
        match effect {
            Effect::Stored { append, seq, pass } => {
                if pass.is_some() {
                    let EventData { source, id, .. } = &*append.data;
                    tracing::info!(%source, event = %id, "a repetition was let through, as asked");
                }
                if append.data.is_kept_back() {
                    self.count_quarantined(&append.data.source);
                } else {
                    let bytes = append.queued_bytes();
                    for (key, window) in placements(&self.shared, &append.data, seq) {
                        window.push(Delivery::new(key, 0, bytes, Arc::clone(&append.data)));
                    }
                }
                answer(append.reply, Ok(Committed::Stored));
            }
            Effect::Repeated(append) => answer(append.reply, Ok(Committed::Duplicate)),
            Effect::Ended { settle, is_dead } => {
                if is_dead {
                    self.count_dead(settle.key.destination);
                }
                if let Some(claim) = settle.claim {
                    claim.ended();
                }
            }
            Effect::Rescheduled { settle, due_ms } => {
                if let Some(claim) = settle.claim {
                    claim.rescheduled(due_ms);
                }
            }
            Effect::Rejudged(reply) => answer(reply, Ok(())),
            Effect::Stale(settle) => {
                if let Some(claim) = settle.claim {
                    claim.stale();
                }
            }
        }
    }

    /// Of a failed batch: tells the waiter; the end of a delivery is kept for the next batch.
    fn refuse(&mut self, effect: Effect) {
        match effect {
            Effect::Stored { append, pass, .. } => {
                if let Some(pass) = pass {
                    self.shared.passes.give_back(pass);
                }
                answer(append.reply, Err(NotStored::Failed));
            }
            Effect::Repeated(append) => answer(append.reply, Err(NotStored::Failed)),
            Effect::Ended { settle, .. } | Effect::Rescheduled { settle, .. } | Effect::Stale(settle) => {
                self.deferred.push(settle);
            }
            Effect::Rejudged(reply) => answer(reply, Err(NotStored::Failed)),
        }
    }

    /// Opens the store anew; on failure the next tidy-up tries again.
    fn reopen(&mut self) {
        for _ in 0..20 {
            match Store::open(&self.shared.params.dir, self.shared.params.fsync) {
                Ok((store, salvage)) => {
                    self.shared.suspected.store(false, Ordering::Relaxed);
                    self.shared.corrupt.fetch_add(salvage.lost, Ordering::Relaxed);
                    return self.reopened(store);
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

    /// A batch whose sync failed may be in the journal all the same, and its events with it: what the store holds is learnt
    /// anew, so that they are delivered and not only recognised as duplicates.
    fn reopened(&mut self, store: Store) {
        if let Err(error) = self.recover_counts(&store) {
            tracing::error!(%error, "the buffer was reopened and cannot be read");
            self.shared.met(&error);
            return;
        }
        self.next_seq = self.next_seq.max(store.last_sequence().map_or(0, |last| last.saturating_add(1)));
        self.shared.store.store(Some(Arc::new(store)));
        for name in self.shared.names() {
            if let Some((_, window)) = self.shared.window(&name) {
                window.bell.notify_one();
            }
        }
        tracing::warn!("the buffer is open again");
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
