//! The buffer: an accepted event survives, and leaves only when a destination has it or its time to be kept is over.
//!
//! **The promise.** [`Buffer::append`] answers `Stored` after the commit that holds the event was written and, with
//! `fsync: group`, synced. One committer thread owns all writes: it takes the waiting commands, writes them as one
//! batch, syncs once, then answers everybody (group commit). A failed write or sync answers every waiter with
//! [`NotStored::Failed`], closes the buffer and reopens the store; the failed write is never retried.
//!
//! **Bounds.** Waiting appends: [`WAITING_BYTES`] and [`WAITING_COUNT`]. Stored bytes: `max_size`. Free space on the
//! disk: a reserve is left for settling deliveries. Memory: a window per destination, whatever the backlog. Ends of
//! deliveries ride in the next batch without a sync of their own: a lost end is a duplicate, which "at least once"
//! allows.
//!
//! **The boundary.** `append`, `take`, `settle`, `depth`, `stats` are what the gateway needs of an engine, so that a
//! second one (JetStream) can stand beside the embedded one. Queries and commands of people stand in `look` and
//! `commands`.
//!
//! Deliberately not here: HTTP, retry policy, metrics. The layout on disk is in `keys` and `record`.

mod answer;
mod batch;
mod commands;
mod committer;
mod counters;
mod dedup;
mod delivery;
mod engine;
mod expected;
mod filters;
mod generations;
mod keys;
mod load;
mod look;
mod order_queues;
mod record;
mod reindex;
mod reopening;
mod scan;
mod settle;
mod shared;
mod space;
mod status;
mod store;
mod terms;
mod timeline;
mod unverified;
mod unverified_events;
mod window;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use crate::clock::{Clock, Timestamp};
use crate::event::{Event, EventId};
use crate::outcome::Settled;

pub use answer::KeptAnswer;
pub use commands::{AppliedCommands, Command, ParkedKey, WISHES_MAX};
pub use counters::Counters;
pub use dedup::Repetition;
pub use delivery::Delivery;
pub use engine::EngineError;
pub use expected::{ExpectedIds, PASS_LONGEST, PASSES_MAX, TooManyExpected};
pub use keys::DestinationId;
pub use look::{DeadLetter, Page, Parked, Seq, StoredEvent};
pub use record::Corrupt;
pub use space::{DiskSpace, HumanBytes};
pub use status::{AttemptRecord, DeliveryStatus, Ending, EventStatus, TRIES_KEPT};
pub use terms::{
    BufferParams, CommitReport, Committed, Fsync, Keep, NotStored, OnCommit, OpenError, Refusing, Shortage, Stats,
};
pub use unverified::Unverified;
pub use unverified_events::{Judgement, UnverifiedEvent, UnverifiedPage};

#[cfg(test)]
pub(crate) use engine::{
    Space,
    fake::{FakeDisk, InjectedFault},
};

use committer::{Append, Committer, Message, Settle, Stored};
#[cfg(not(test))]
use engine::Space;
use engine::{Disk, Medium};
use expected::ExpectedRedeliveries;
use filters::Filters;
use keys::QueueKey;
use shared::Shared;
use store::Store;
use timeline::Timeline;
use unverified::UNVERIFIED_MAX;
use window::{Taken, Window};

/// The most bytes of appends that wait for a commit, together.
pub const WAITING_BYTES: usize = 64 * 1024 * 1024;
/// The most commands that wait for the committer.
pub const WAITING_COUNT: usize = 16 * 1024;
/// The time after which a commit counts as hanging: its waiters get "not stored", and appends are refused until it
/// ends.
const STALL: Duration = Duration::from_secs(10);

/// A destination's backlog by state, for the `queue_events` gauge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueDepth {
    /// Deliveries that are due and wait for a free attempt.
    pub ready: u64,
    /// Deliveries that wait for their time, or behind another one of their order key.
    pub scheduled: u64,
    /// Deliveries that are in an attempt.
    pub in_flight: u64,
    /// Deliveries whose order key is parked.
    pub parked: u64,
}

/// A handle to the buffer; clones share it.
#[derive(Clone)]
pub struct Buffer {
    shared: Arc<Shared>,
    commands: mpsc::Sender<Message>,
    waiting: Arc<Semaphore>,
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffer").field("dir", &self.shared.params.dir).finish_non_exhaustive()
    }
}

/// The parameters of an opening, without the medium.
struct Opening<'a> {
    params: BufferParams,
    destinations: &'a [Arc<str>],
    clock: Arc<dyn Clock>,
    on_commit: OnCommit,
    unverified_max: u64,
}

/// The pause after a scan that could not read, such as while the store is closed.
const SCAN_PAUSE: Duration = Duration::from_millis(500);

impl Buffer {
    /// Opens the buffer, loads its state and starts the committer.
    pub fn open(
        params: BufferParams,
        destinations: &[Arc<str>],
        clock: Arc<dyn Clock>,
        on_commit: OnCommit,
    ) -> Result<Self, OpenError> {
        Self::start(Opening { params, destinations, clock, on_commit, unverified_max: UNVERIFIED_MAX })
    }

    fn start(opening: Opening<'_>) -> Result<Self, OpenError> {
        let medium = Arc::new(Disk { dir: opening.params.dir.clone(), fsync: opening.params.fsync });
        let (buffer, committer, inbox) = Self::prepare(opening, medium, false)?;
        std::thread::Builder::new()
            .name("committer".into())
            .spawn(move || committer.run(inbox))
            .map_err(|source| OpenError::Io { path: buffer.shared.params.dir.clone(), source })?;
        Ok(buffer)
    }

    /// Opens the buffer on the caller's disk, for the simulation; the caller runs the committer as a task.
    #[cfg(test)]
    pub(crate) fn open_inline(
        params: BufferParams,
        destinations: &[Arc<str>],
        clock: Arc<dyn Clock>,
        medium: FakeDisk,
    ) -> Result<(Self, impl Future<Output = ()> + Send + 'static), OpenError> {
        let on_commit: OnCommit = Box::new(|_| {});
        let opening = Opening { params, destinations, clock, on_commit, unverified_max: UNVERIFIED_MAX };
        let (buffer, committer, inbox) = Self::prepare(opening, Arc::new(medium), true)?;
        Ok((buffer, committer.run_inline(inbox)))
    }

    /// Opens the store and loads its state; the caller runs the committer.
    fn prepare(
        opening: Opening<'_>,
        medium: Arc<dyn Medium>,
        is_inline: bool,
    ) -> Result<(Self, Committer, mpsc::Receiver<Message>), OpenError> {
        let Opening { params, destinations, clock, on_commit, unverified_max } = opening;
        let (store, mended) = Store::open(&*medium, clock.now())?;
        let shared = Arc::new(Shared {
            params,
            medium,
            timeline: Timeline::new(Arc::clone(&clock)),
            clock,
            store: ArcSwapOption::empty(),
            destinations: RwLock::default(),
            books: Mutex::default(),
            room_cursor: Mutex::default(),
            filters: Filters::default(),
            ledger: Mutex::default(),
            unverified_max,
            passes: ExpectedRedeliveries::default(),
            corrupt: AtomicU64::new(mended.lost),
            too_large: Mutex::default(),
            disk: Mutex::default(),
            suspected: AtomicBool::new(false),
            busy_since_ms: AtomicU64::new(0),
            on_commit,
            is_inline,
        });
        let (commands, inbox) = mpsc::channel(WAITING_COUNT);
        let committer = Committer::recover(Arc::clone(&shared), store, destinations)?;
        Ok((Self { shared, commands, waiting: Arc::new(Semaphore::new(WAITING_BYTES)) }, committer, inbox))
    }

    /// Returns the buffer's time, on which due times and ages are measured.
    pub fn now(&self) -> Timestamp {
        self.shared.timeline.now()
    }

    async fn send(&self, command: Message) -> Result<(), NotStored> {
        self.commands.send(command).await.map_err(|_closed| NotStored::Failed)
    }

    /// Stores an event and its deliveries, one per dispatch. Answers after the commit that covers the event.
    pub async fn append(&self, event: Event) -> Result<Committed, NotStored> {
        self.append_as(event, false).await.map(|(committed, _)| committed)
    }

    /// Stores an event as [`Buffer::append`] does, and hands the first delivery to the caller instead of the worker, if
    /// it is its turn. A delivery dropped unsettled is offered again.
    pub async fn append_and_hold(&self, event: Event) -> Result<(Committed, Option<Delivery>), NotStored> {
        self.append_as(event, true).await
    }

    async fn append_as(&self, event: Event, hands_over: bool) -> Result<Stored, NotStored> {
        let (dedup, failed_by) = (event.dedup(), event.failed_by());
        let data = Arc::new(event.into_data());
        let record = record::encode(&data).ok_or(NotStored::Failed)?;
        if let Some(stray) = data.copies.iter().find(|copy| self.shared.window(&copy.destination).is_none()) {
            tracing::error!(destination = %stray.destination, "a route names a destination that the buffer does not know");
            return Err(NotStored::Failed);
        }
        if !self.shared.is_open() {
            return Err(NotStored::Failed);
        }
        if let Some(shortage) = self.shared.refuse_for(record.len() as u64) {
            return Err(NotStored::Full(shortage));
        }
        let permit = self.reserve(record.len())?;
        let (reply, committed) = oneshot::channel();
        let append = Append { data, record, dedup, failed_by, hands_over, reply, _permit: permit };
        self.commands.try_send(Message::Append(append)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => NotStored::Busy,
            mpsc::error::TrySendError::Closed(_) => NotStored::Failed,
        })?;
        // The sender's timeout is shorter than a hang of the disk. The event may still be stored.
        match tokio::time::timeout(STALL, committed).await {
            Ok(answered) => answered.unwrap_or(Err(NotStored::Failed)),
            Err(_elapsed) => Err(NotStored::Failed),
        }
    }

    fn reserve(&self, bytes: usize) -> Result<OwnedSemaphorePermit, NotStored> {
        let bytes = u32::try_from(bytes.min(WAITING_BYTES)).unwrap_or(u32::MAX);
        Arc::clone(&self.waiting).try_acquire_many_owned(bytes).map_err(|_all_taken| NotStored::Busy)
    }

    /// Waits until the destination has something due and takes up to `max` of it.
    pub async fn take(&self, destination: &str, max: usize) -> Vec<Delivery> {
        let Some((id, window)) = self.shared.window(destination) else { return std::future::pending().await };
        let bell = Arc::clone(&window.bell);
        loop {
            let rung = bell.notified();
            let now_ms = self.now().unix_ms();
            match window.take(max, now_ms) {
                Taken::Deliveries(deliveries) => return deliveries,
                Taken::Refill => {
                    if !self.refill(id, Arc::clone(&window)).await {
                        rung.await;
                    }
                }
                Taken::Nothing { until_ms: None } => rung.await,
                Taken::Nothing { until_ms: Some(until_ms) } => {
                    let wait = Duration::from_millis(until_ms.saturating_sub(now_ms));
                    if tokio::time::timeout(wait, rung).await.is_err() {
                        tracing::trace!(destination, "a delivery falls due");
                    }
                }
            }
        }
    }

    /// Takes up to `max` due deliveries, without waiting for more.
    pub async fn take_now(&self, destination: &str, max: usize) -> Vec<Delivery> {
        let Some((id, window)) = self.shared.window(destination) else { return Vec::new() };
        for _ in 0..2 {
            match window.take(max, self.now().unix_ms()) {
                Taken::Deliveries(deliveries) => return deliveries,
                Taken::Nothing { .. } => break,
                Taken::Refill => {
                    if !self.refill(id, Arc::clone(&window)).await {
                        break;
                    }
                }
            }
        }
        Vec::new()
    }

    /// Reads the next due deliveries from disk, off the async threads. Returns false while another scan reads; the end
    /// of that scan rings the bell.
    async fn refill(&self, id: DestinationId, window: Arc<Window>) -> bool {
        let Some(low_ms) = window.scan_start() else { return false };
        let shared = Arc::clone(&self.shared);
        if shared.is_inline {
            if scan::scan(&shared, id, &window, low_ms).is_err() {
                window.scan_failed();
                tokio::time::sleep(SCAN_PAUSE).await;
            }
            return true;
        }
        // A scan that has begun runs to its end, also when its caller has gone.
        let scan = tokio::task::spawn_blocking(move || {
            let failed = |error: &EngineError| {
                window.scan_failed();
                shared.met(error);
            };
            scan::scan(&shared, id, &window, low_ms).inspect_err(failed).is_ok()
        });
        if !scan.await.unwrap_or(false) {
            tracing::error!("the buffer could not be read; trying again");
            // The committer repairs a damaged store.
            self.tidy_up().await;
            tokio::time::sleep(SCAN_PAUSE).await;
        }
        true
    }

    /// Records how an attempt ended, with the answer that is kept. `tried` is `None` where no attempt was made.
    pub async fn settle(
        &self,
        delivery: Delivery,
        settled: Settled,
        keep: Keep,
        tried: Option<(AttemptRecord, Option<Box<KeptAnswer>>)>,
    ) {
        let Delivery { key, value, event, claim } = delivery;
        let (id, copies) =
            event.map_or((EventId::NIL, usize::from(key.copy) + 1), |event| (event.id, event.copies.len()));
        let (tried, answer) = tried.map_or((None, None), |(tried, answer)| (Some(tried), answer));
        let settle = Settle { key, value, event: id, copies, settled, tried, answer, keep, claim };
        if self.commands.send(Message::Settle(settle)).await.is_err() {
            // Only at a stop of the process: the delivery stays in the queue and is made again after the restart.
            tracing::debug!("an end of a delivery came after the buffer was closed");
        }
    }

    /// Makes destinations known, so that events can be routed to them.
    pub async fn register(&self, names: Vec<Arc<str>>) -> Result<(), NotStored> {
        let (reply, done) = oneshot::channel();
        self.commands.send(Message::Register { names, reply }).await.map_err(|_closed| NotStored::Failed)?;
        done.await.unwrap_or(Err(NotStored::Failed))
    }

    /// Allows the expected redeliveries of a source for the time `long`; each becomes a new event. Lost on a restart.
    pub fn let_through(
        &self,
        source: &Arc<str>,
        wanted: ExpectedIds,
        long: Duration,
    ) -> Result<Timestamp, TooManyExpected> {
        let now = self.shared.clock.now();
        self.shared.passes.allow(source, wanted, long, now)
    }

    /// Removes events that were kept long enough and checks the disk. To be called about once a second.
    pub async fn tidy_up(&self) {
        if self.commands.send(Message::TidyUp).await.is_err() {
            tracing::debug!("the buffer is closed");
        }
    }

    /// Writes and syncs all that waits, then closes the buffer. Later appends fail.
    pub async fn close(&self) {
        let (reply, closed) = oneshot::channel();
        if self.commands.send(Message::Close(reply)).await.is_ok() && closed.await.is_err() {
            tracing::error!("the committer ended without closing the store");
        }
    }

    /// Returns a destination's backlog by state.
    pub fn depth(&self, destination: &str) -> QueueDepth {
        let Some((id, window)) = self.shared.window(destination) else { return QueueDepth::default() };
        let book = self.shared.counters(|books| books.by_destination.get(&id).copied().unwrap_or_default());
        let (in_flight, come_back) = window.counts();
        let parked = book.parked.min(book.queued);
        let in_flight = in_flight.min(book.queued - parked);
        let scheduled =
            (book.rescheduled.saturating_sub(come_back) + book.waiting).min(book.queued - parked - in_flight);
        QueueDepth { ready: book.queued - parked - in_flight - scheduled, scheduled, in_flight, parked }
    }

    /// Returns the counters of a destination's deliveries since the store was made.
    pub fn counters(&self, destination: &str) -> Counters {
        let Some((id, _)) = self.shared.window(destination) else { return Counters::default() };
        self.shared.counters(|books| books.by_destination.get(&id).copied().unwrap_or_default())
    }

    /// Returns the known destinations in the order of their names.
    pub fn destinations(&self) -> Vec<Arc<str>> {
        self.shared.names()
    }

    /// Returns the age of the oldest event that is queued for a destination.
    pub fn oldest_age(&self, destination: &str) -> Duration {
        let Some((id, _)) = self.shared.window(destination) else { return Duration::ZERO };
        let Some(store) = self.shared.store.load_full() else { return Duration::ZERO };
        let from = QueueKey::first_of(id, 0).to_bytes();
        let to = QueueKey::first_of(DestinationId(id.0.saturating_add(1)), 0).to_bytes();
        // Retries lie behind younger events; among the first records is the oldest, or one nearly as old.
        let first = store.scan(Space::Queue, &from, Some(&to)).take(64);
        let oldest = first.filter_map(|pair| QueueKey::parse(&pair.ok()?.0)).map(|key| key.seq).min();
        oldest.map_or(Duration::ZERO, |seq| self.now().since(keys::sequence_time(seq)))
    }

    /// Returns the number of quarantined events, by source.
    pub fn quarantined(&self) -> BTreeMap<Arc<str>, u64> {
        self.shared.counters(|books| books.quarantined.clone())
    }

    /// Returns the numbers of the whole buffer.
    pub fn stats(&self) -> Stats {
        let total = self.shared.counters(|books| books.total);
        Stats {
            used_bytes: total.bytes,
            limit_bytes: self.shared.params.bytes_max,
            dedup_entries: total.dedup,
            corrupt: self.shared.corrupt.load(Ordering::Relaxed),
            open: self.shared.is_open(),
            shortage: self.shared.shortage_for(1),
            refusing: self.shared.shortage(),
            disk: self.shared.disk(),
        }
    }
}
