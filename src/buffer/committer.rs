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

use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use super::answer::KeptAnswer;
use super::draft::{Draft, Effect, Tally};
use super::engine::EngineError;
use super::fate::Tried;
use super::keys::{LaneKey, QueueKey, QueueValue};
use super::reopening::Reopening;
use super::store::Store;
use super::suspects::Rejudge;
use super::window::Claim;
use super::wishes::Wishes;
use super::{CommitReport, Committed, Delivery, Keep, NotStored, OpenError, Shared, generations};
use crate::event::{DedupKey, EventData, EventId, JudgedBy};
use crate::outcome::Settled;

/// A batch ends here, so that a burst cannot make one commit arbitrarily long.
const BATCH_COMMANDS: usize = 1024;
const BATCH_BYTES: usize = 8 * 1024 * 1024;
/// Space is asked back from the engine at most this often.
const COMPACT_EVERY: Duration = Duration::from_secs(2);
/// The first compaction learns what is stale, the next one rewrites it, another one meets what was removed meanwhile.
const COMPACTIONS: u8 = 3;
/// A store that others still hold is tried again so often, and so long after each time.
const REOPEN_TRIES: usize = 20;
const REOPEN_PAUSE: Duration = Duration::from_millis(50);

pub(crate) struct Append {
    pub(crate) data: Arc<EventData>,
    pub(crate) record: Vec<u8>,
    pub(crate) dedup: Option<DedupKey>,
    /// The rules that it failed, where it is stored all the same.
    pub(crate) failed_by: Option<JudgedBy>,
    /// The first delivery goes to whoever waits for the answer, and not to the worker.
    pub(crate) hands_over: bool,
    pub(crate) reply: oneshot::Sender<Result<Stored, NotStored>>,
    pub(crate) _permit: OwnedSemaphorePermit,
}

/// What became of an append, and the delivery that was asked for.
pub(crate) type Stored = (Committed, Option<Delivery>);

impl Append {
    /// What it takes on disk.
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
    pub(crate) tried: Option<Tried>,
    pub(crate) answer: Option<Box<KeptAnswer>>,
    pub(crate) keep: Keep,
    /// Held until the end is in the store.
    pub(crate) claim: Option<Claim>,
}

impl Settle {
    /// The lane it stands at the head of.
    pub(super) fn lane(&self) -> Option<LaneKey> {
        let destination = self.key.destination;
        self.value.lane.map(|hash| LaneKey { destination, hash })
    }

    /// Whether it was waiting for a later try.
    pub(super) fn is_rescheduled(&self) -> bool {
        self.key.due_ms != self.value.since_ms
    }
}

pub(crate) enum Command {
    Append(Append),
    Settle(Settle),
    Rejudge(Rejudge),
    Wishes(Wishes),
    Register { names: Vec<Arc<str>>, reply: oneshot::Sender<Result<(), NotStored>> },
    TidyUp,
    Close(oneshot::Sender<()>),
}

impl Command {
    /// The delivery id that will be looked for.
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
    /// Events were removed; so often is space still to be asked back.
    pub(super) compactions_owed: u8,
    /// When space was last asked back, on the monotonic clock.
    pub(super) compacted_at: Option<Duration>,
    /// The pauses of a store that fails again and again.
    pub(super) reopening: Reopening,
}

impl Committer {
    /// The thread's life.
    pub(crate) fn run(mut self, mut inbox: mpsc::Receiver<Command>) {
        while let Some(first) = inbox.blocking_recv() {
            if self.step(first, &mut inbox) {
                break;
            }
        }
        self.shared.store.store(None);
    }

    /// The same as a task, for the simulation.
    #[cfg(test)]
    pub(crate) async fn run_inline(mut self, mut inbox: mpsc::Receiver<Command>) {
        while let Some(first) = inbox.recv().await {
            if self.step(first, &mut inbox) {
                break;
            }
            tokio::task::yield_now().await;
        }
        self.shared.store.store(None);
    }

    /// Takes whatever waits and commits it. True when the buffer was closed.
    fn step(&mut self, first: Command, inbox: &mut mpsc::Receiver<Command>) -> bool {
        let mut commands = vec![first];
        let mut bytes = 0;
        while commands.len() < BATCH_COMMANDS && bytes < BATCH_BYTES {
            let Ok(next) = inbox.try_recv() else { break };
            if let Command::Append(append) = &next {
                bytes += append.record.len();
            }
            commands.push(next);
        }
        self.shared.begin_batch();
        let is_closed = self.handle(commands);
        self.shared.end_batch();
        is_closed
    }

    /// One batch. True when the buffer was closed.
    fn handle(&mut self, commands: Vec<Command>) -> bool {
        if self.shared.suspected.load(Ordering::Relaxed) && self.shared.store.swap(None).is_some() {
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
        shared.filters.warm(commands.iter().filter_map(Command::delivery_id));
        // Looked at before every batch: a fast sender fills a disk in less than a second.
        shared.look_at_disk();
        for command in commands {
            let drafted = match command {
                Command::Append(append) => match shared.refuse_for(u64::from(append.bytes())) {
                    Some(shortage) => {
                        answer(append.reply, Err(NotStored::Full(shortage)));
                        Ok(())
                    }
                    None => draft.append(append),
                },
                Command::Settle(settle) => draft.settle(settle),
                Command::Rejudge(rejudge) => {
                    judged.push(rejudge);
                    Ok(())
                }
                Command::Wishes(wishes) => draft.grant(wishes),
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

    /// On a disk that runs short: what was removed is still in the engine's files until it compacts them. Nothing is taken
    /// in meanwhile, so this may hold the batches up, once in a while. False when it failed: then the engine may have stopped,
    /// and what it has half written takes space until it is opened anew.
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

    /// The store is not open: refuse, keep the ends, try to reopen.
    fn handle_closed(&mut self, commands: Vec<Command>) -> bool {
        for command in commands {
            match command {
                Command::Append(append) => answer(append.reply, Err(NotStored::Failed)),
                Command::Settle(settle) => self.deferred.push(settle),
                Command::Rejudge(rejudge) => answer(rejudge.reply, Err(NotStored::Failed)),
                Command::Wishes(wishes) => answer(wishes.reply, Err(NotStored::Failed)),
                Command::Register { reply, .. } => answer(reply, Err(NotStored::Failed)),
                Command::TidyUp => self.reopen_when_due(),
                Command::Close(reply) => {
                    answer(reply, ());
                    return true;
                }
            }
        }
        false
    }

    /// Writes, syncs, answers; false when it failed. Whatever happened, nobody is left waiting.
    fn commit(&mut self, draft: Draft<'_>, drafted: Result<(), EngineError>) -> bool {
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
                self.shared.books(|known| known.apply(books));
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

    /// An engine that stopped does not say why. On a full disk that is known; else its files are looked at.
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
                    tracing::info!(%source, event = %id, "a repetition was let through, as asked");
                }
                if same_id {
                    tracing::warn!(%source, event = %id, "its delivery id was seen before with another body; both are kept");
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

    /// A batch whose sync failed may be in the journal all the same, and its events with it: what the store holds is learnt
    /// anew, so that they are delivered and not only recognised as duplicates.
    fn reopened(&mut self, store: Store) {
        if let Err(error) = self.recover_books(&store) {
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

/// A waiter that has gone has no answer to get; what was stored is stored all the same.
fn answer<T>(reply: oneshot::Sender<T>, value: T) {
    if reply.send(value).is_err() {
        tracing::trace!("a waiter went away before its answer");
    }
}
