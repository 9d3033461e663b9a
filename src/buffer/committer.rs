//! The committer: the one thread that writes.
//!
//! The committer takes the waiting commands, builds one batch over all keyspaces, commits the batch with one sync, then
//! answers every waiter (group commit). The next batch fills while a sync runs. The committer also assigns the
//! sequences, so their order is the order of commit. A sequence begins with the wall time in milliseconds and never
//! goes back.
//!
//! After a failed write or sync nothing is retried. All waiters get "not stored", and the store is dropped and opened
//! anew. Until that works the buffer answers [`NotStored::Failed`]. Ends of deliveries are kept for the first batch
//! afterwards.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use super::answer::KeptAnswer;
use super::batch::{Batch, Effect, Tally};
use super::commands::Commands;
use super::engine::EngineError;
use super::keys::{OrderQueueKey, QueueKey, QueueValue};
use super::reopening::Reopening;
use super::status::AttemptRecord;
use super::store::Store;
use super::unverified_events::Rejudge;
use super::window::Claim;
use super::{CommitReport, Committed, Delivery, Keep, NotStored, OpenError, Shared, generations};
use crate::event::{DedupKey, EventData, EventId, RulesFingerprint};
use crate::outcome::Settled;

/// The most commands in a batch, so that a burst cannot make one commit arbitrarily long.
const BATCH_COMMANDS: usize = 1024;
const BATCH_BYTES: usize = 8 * 1024 * 1024;
/// The shortest time between two requests to the engine to compact.
const COMPACT_EVERY: Duration = Duration::from_secs(2);
/// The compactions after a removal: the first finds what is stale, the second rewrites it, the third covers what was
/// removed meanwhile.
const COMPACTIONS: u8 = 3;
/// The most attempts to open a store that others still hold, with [`REOPEN_PAUSE`] after each.
const REOPEN_TRIES: usize = 20;
const REOPEN_PAUSE: Duration = Duration::from_millis(50);

pub(crate) struct Append {
    pub(crate) data: Arc<EventData>,
    pub(crate) record: Vec<u8>,
    pub(crate) dedup: Option<DedupKey>,
    /// The rules fingerprint under which the event failed its verification and is stored anyway.
    pub(crate) failed_by: Option<RulesFingerprint>,
    /// True when the first delivery goes to the request that waits for the answer, and not to the worker.
    pub(crate) hands_over: bool,
    pub(crate) reply: oneshot::Sender<Result<Stored, NotStored>>,
    pub(crate) _permit: OwnedSemaphorePermit,
}

/// The result of an append, and the delivery that was asked for.
pub(crate) type Stored = (Committed, Option<Delivery>);

impl Append {
    /// Returns the stored size of the record, in bytes.
    pub(crate) fn bytes(&self) -> u32 {
        u32::try_from(self.record.len()).unwrap_or(u32::MAX)
    }
}

pub(crate) struct Settle {
    pub(crate) key: QueueKey,
    pub(crate) value: QueueValue,
    pub(crate) event: EventId,
    pub(crate) copies: usize,
    pub(crate) settled: Settled,
    pub(crate) tried: Option<AttemptRecord>,
    pub(crate) answer: Option<Box<KeptAnswer>>,
    pub(crate) keep: Keep,
    /// The claim on the delivery, held until the end is stored.
    pub(crate) claim: Option<Claim>,
}

impl Settle {
    /// Returns the order queue that the delivery heads.
    pub(super) fn lane(&self) -> Option<OrderQueueKey> {
        let destination = self.key.destination;
        self.value.lane.map(|hash| OrderQueueKey { destination, hash })
    }

    /// Checks whether the delivery was due later than it began.
    pub(super) fn is_rescheduled(&self) -> bool {
        self.key.due_ms != self.value.since_ms
    }
}

pub(crate) enum Message {
    Append(Append),
    Settle(Settle),
    Rejudge(Rejudge),
    Wishes(Commands),
    Register { names: Vec<Arc<str>>, reply: oneshot::Sender<Result<(), NotStored>> },
    TidyUp,
    Close(oneshot::Sender<()>),
}

impl Message {
    /// Returns the delivery id that the duplicate check will look for.
    fn delivery_id(&self) -> Option<[u8; 16]> {
        match self {
            Self::Append(append) => append.dedup.as_ref().map(|dedup| dedup.key),
            _ => None,
        }
    }
}

pub(crate) struct Committer {
    pub(super) shared: Arc<Shared>,
    /// Ends of deliveries that a failed batch held.
    pub(super) deferred: Vec<Settle>,
    pub(super) next_destination: u32,
    /// Compactions still to be asked for since events were removed.
    pub(super) compactions_owed: u8,
    /// The time of the last compaction, on the monotonic clock.
    pub(super) compacted_at: Option<Duration>,
    /// The pauses of a store that fails again and again.
    pub(super) reopening: Reopening,
}

impl Committer {
    /// Handles commands until the buffer is closed; the body of the committer's thread.
    pub(crate) fn run(mut self, mut inbox: mpsc::Receiver<Message>) {
        while let Some(first) = inbox.blocking_recv() {
            if self.step(first, &mut inbox) {
                break;
            }
        }
        self.shared.store.store(None);
    }

    /// Handles commands until the buffer is closed, as a task for the simulation.
    #[cfg(test)]
    pub(crate) async fn run_inline(mut self, mut inbox: mpsc::Receiver<Message>) {
        while let Some(first) = inbox.recv().await {
            if self.step(first, &mut inbox) {
                break;
            }
            tokio::task::yield_now().await;
        }
        self.shared.store.store(None);
    }

    /// Takes the waiting commands and commits them. Returns true when the buffer was closed.
    fn step(&mut self, first: Message, inbox: &mut mpsc::Receiver<Message>) -> bool {
        let mut commands = vec![first];
        let mut bytes = 0;
        while commands.len() < BATCH_COMMANDS && bytes < BATCH_BYTES {
            let Ok(next) = inbox.try_recv() else { break };
            if let Message::Append(append) = &next {
                bytes += append.record.len();
            }
            commands.push(next);
        }
        self.shared.begin_batch();
        let is_closed = self.handle(commands);
        self.shared.end_batch();
        is_closed
    }

    /// Handles one batch. Returns true when the buffer was closed.
    fn handle(&mut self, commands: Vec<Message>) -> bool {
        if self.shared.suspected.load(Ordering::Relaxed) && self.shared.store.swap(None).is_some() {
            self.reopen();
        }
        let Some(store) = self.shared.store.load_full() else { return self.handle_closed(commands) };
        let shared = Arc::clone(&self.shared);
        let mut draft = Batch::new(&shared, &store);
        let mut result = Ok(());
        for settle in std::mem::take(&mut self.deferred) {
            result = result.and(draft.settle(settle));
        }
        let (mut closing, mut judged) = (None, Vec::new());
        shared.filters.warm(commands.iter().filter_map(Message::delivery_id));
        // Checked before every batch: a fast sender fills a disk in less than a second.
        shared.look_at_disk();
        for command in commands {
            let drafted = match command {
                Message::Append(append) => match shared.refuse_for(u64::from(append.bytes())) {
                    Some(shortage) => {
                        answer(append.reply, Err(NotStored::Full(shortage)));
                        Ok(())
                    }
                    None => draft.append(append),
                },
                Message::Settle(settle) => draft.settle(settle),
                Message::Rejudge(rejudge) => {
                    judged.push(rejudge);
                    Ok(())
                }
                Message::Wishes(wishes) => draft.apply_all(wishes),
                Message::TidyUp => draft.tidy_up(),
                Message::Register { names, reply } => {
                    let registered = self.register(&store, &names);
                    answer(reply, registered.as_ref().copied().map_err(|_failed| NotStored::Failed));
                    registered
                }
                Message::Close(reply) => {
                    closing = Some(reply);
                    Ok(())
                }
            };
            result = result.and(drafted);
        }
        for rejudge in judged {
            result = result.and(draft.rejudge(rejudge));
        }
        if draft.has_removed {
            self.compactions_owed = COMPACTIONS;
        }
        let mut is_whole = self.commit(draft, result);
        if is_whole && self.compactions_owed > 0 && shared.is_disk_short() {
            is_whole = self.give_space_back(&store);
        }
        drop(store);
        if !is_whole {
            self.shared.store.store(None);
            self.reopening.failed(self.shared.clock.monotonic());
            self.reopen_when_due();
        }
        closing.map(|reply| self.close(reply)).is_some()
    }

    /// Asks the engine to compact when the disk runs short: until then removed records still take space in its files.
    /// No events are taken in meanwhile, so batches may wait for it, at most once per [`COMPACT_EVERY`]. Returns false
    /// when it failed: the engine may have stopped then, and a half-written file takes space until the store is opened
    /// anew.
    fn give_space_back(&mut self, store: &Store) -> bool {
        let now = self.shared.clock.monotonic();
        if self.compacted_at.is_some_and(|at| now.saturating_sub(at) < COMPACT_EVERY) {
            return true;
        }
        self.compacted_at = Some(now);
        match store.give_space_back() {
            Ok(()) => self.compactions_owed -= 1,
            Err(error) => {
                tracing::warn!(%error, "the disk runs short, and the engine could not give space back");
                self.shared.met(&error);
                return false;
            }
        }
        true
    }

    /// Refuses commands while the store is closed, keeps ends of deliveries, and reopens the store on a tidy-up.
    fn handle_closed(&mut self, commands: Vec<Message>) -> bool {
        for command in commands {
            match command {
                Message::Append(append) => answer(append.reply, Err(NotStored::Failed)),
                Message::Settle(settle) => self.deferred.push(settle),
                Message::Rejudge(rejudge) => answer(rejudge.reply, Err(NotStored::Failed)),
                Message::Wishes(wishes) => answer(wishes.reply, Err(NotStored::Failed)),
                Message::Register { reply, .. } => answer(reply, Err(NotStored::Failed)),
                Message::TidyUp => self.reopen_when_due(),
                Message::Close(reply) => {
                    answer(reply, ());
                    return true;
                }
            }
        }
        false
    }

    /// Writes, syncs and answers every waiter, in every case. Returns false when the commit failed.
    fn commit(&mut self, draft: Batch<'_>, drafted: Result<(), EngineError>) -> bool {
        let events = draft.events;
        let started = self.shared.clock.monotonic();
        let (committed, effects) = match drafted {
            Ok(()) => draft.commit(),
            Err(error) => (Err(error), draft.into_effects()),
        };
        let took = self.shared.clock.monotonic().saturating_sub(started);
        let report = CommitReport { took, events, failed: committed.is_err() };
        if events > 0 || report.failed {
            (self.shared.on_commit)(report);
        }
        match committed {
            Ok(Tally { books, index }) => {
                self.shared.counters(|known| known.apply(books));
                self.shared.count_changes(index);
                for effect in effects {
                    self.apply(effect);
                }
                true
            }
            Err(error) => {
                tracing::error!(%error, "a commit failed; the buffer is closed until it can be reopened");
                self.look_closer(error);
                for effect in effects {
                    self.refuse(effect);
                }
                false
            }
        }
    }

    /// Finds the cause of a failed commit. A stopped engine names none: unless the disk is full, its files are checked.
    fn look_closer(&self, error: EngineError) {
        let shared = &self.shared;
        let is_silent = matches!(error, EngineError::Stopped) && !shared.is_disk_short();
        if is_silent && !shared.medium.is_whole() {
            shared.met(&EngineError::Damaged("a file is not what was written".into()));
        } else {
            shared.met(&error);
        }
    }

    fn apply(&self, effect: Effect) {
        match effect {
            Effect::Stored { append, placed, pass, same_id } => {
                let EventData { source, id, .. } = &*append.data;
                if pass.is_some() {
                    tracing::info!(%source, event = %id, "an expected redelivery was accepted");
                }
                if same_id {
                    tracing::warn!(%source, event = %id, "the event's delivery id was already used with another body; both events are stored");
                }
                let mut handed = None;
                for (key, value) in placed {
                    let delivery = Delivery::new(key, value, Arc::clone(&append.data));
                    let Some(window) = self.shared.window_by_id(key.destination) else { continue };
                    if append.hands_over && key.copy == 0 && !append.reply.is_closed() {
                        handed = window.hand_out(delivery);
                    } else {
                        window.push(delivery);
                    }
                }
                let committed = if same_id { Committed::SameId } else { Committed::Stored };
                answer(append.reply, Ok((committed, handed)));
            }
            Effect::Repeated(append) => answer(append.reply, Ok((Committed::Duplicate, None))),
            Effect::Ended(settle) => {
                if let Some(claim) = settle.claim {
                    claim.ended();
                }
            }
            Effect::Stale(settle) => {
                if let Some(claim) = settle.claim {
                    claim.stale();
                }
            }
            Effect::Rescheduled { settle, due_ms } => {
                if let Some(claim) = settle.claim {
                    claim.rescheduled(due_ms);
                }
            }
            Effect::Woken { destination, due_ms } => {
                if let Some(window) = self.shared.window_by_id(destination) {
                    window.woken(due_ms);
                }
            }
            Effect::Rejudged(reply) => answer(reply, Ok(())),
            Effect::Granted(reply, granted) => answer(reply, Ok(granted)),
        }
    }

    /// Undoes an effect of a failed batch: answers the waiter, and keeps the end of a delivery for the next batch.
    fn refuse(&mut self, effect: Effect) {
        match effect {
            Effect::Stored { append, pass, .. } => {
                if let Some(pass) = pass {
                    self.shared.passes.give_back(pass);
                }
                answer(append.reply, Err(NotStored::Failed));
            }
            Effect::Repeated(append) => answer(append.reply, Err(NotStored::Failed)),
            Effect::Ended(settle) | Effect::Rescheduled { settle, .. } | Effect::Stale(settle) => {
                self.deferred.push(settle);
            }
            Effect::Woken { .. } => {}
            Effect::Rejudged(reply) => answer(reply, Err(NotStored::Failed)),
            Effect::Granted(reply, _) => answer(reply, Err(NotStored::Failed)),
        }
    }

    /// Opens the store anew, unless the disk has no room and a store that was opened lately failed: then in its turn, or at
    /// the first tidy-up that finds room.
    fn reopen_when_due(&mut self) {
        self.shared.look_at_disk();
        if !self.shared.is_disk_short() || self.reopening.is_due(self.shared.clock.monotonic()) {
            self.reopen();
        }
    }

    /// Opens the store anew; on failure the next tidy-up tries again.
    fn reopen(&mut self) {
        for _ in 0..REOPEN_TRIES {
            match self.shared.reopen_store() {
                Ok(store) => return self.reopened(store),
                // Readers may still hold the old store for a moment.
                Err(OpenError::Locked(_)) => std::thread::sleep(REOPEN_PAUSE),
                Err(error) => {
                    tracing::error!(%error, "the buffer cannot be reopened yet");
                    return;
                }
            }
        }
    }

    /// Loads the state of a reopened store. A batch whose sync failed may still be in the journal with its events; they
    /// are then delivered, and not only recognised as duplicates.
    fn reopened(&mut self, store: Store) {
        if let Err(error) = self.load_counters(&store) {
            tracing::error!(%error, "the buffer was reopened and cannot be read");
            self.shared.met(&error);
            return;
        }
        self.reopening.opened(self.shared.clock.monotonic());
        self.shared.store.store(Some(Arc::new(store)));
        if let Err(error) = generations::recover(&self.shared) {
            tracing::warn!(%error, "filters over delivery ids cannot be built; the disk is asked instead");
        }
        for name in self.shared.names() {
            if let Some((_, window)) = self.shared.window(&name) {
                window.bell.notify_one();
            }
        }
        tracing::warn!("the buffer is open again");
    }

    fn close(&self, reply: oneshot::Sender<()>) {
        if let Some(store) = self.shared.store.swap(None) {
            if let Err(error) = store.sync() {
                tracing::error!(%error, "the last sync failed; with fsync: group what was answered is on disk already");
            } else if !self.shared.is_disk_short()
                && let Err(error) = generations::store_filters(&self.shared, &store)
            {
                tracing::warn!(%error, "filters over delivery ids could not be stored; they are built again at the next start");
            }
        }
        answer(reply, ());
    }
}

/// Sends an answer. A waiter that has gone gets none; the event stays stored.
fn answer<T>(reply: oneshot::Sender<T>, value: T) {
    if reply.send(value).is_err() {
        tracing::trace!("a waiter went away before its answer");
    }
}
