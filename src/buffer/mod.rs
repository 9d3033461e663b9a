//! The buffer: what it took in survives, and leaves only when somebody else has it.
//!
//! **The promise.** [`Buffer::append`] answers `Stored` after the commit that holds the event was written and, with
//! `fsync: group`, synced. One committer thread owns all writes: it takes whatever waits, writes it as one batch, syncs
//! once, then answers everybody (group commit). A failed write or sync answers every waiter with [`NotStored::Failed`],
//! closes the door and reopens the store; it is never retried and hoped for.
//!
//! **Bounds.** Waiting appends: [`WAITING_BYTES`] and [`WAITING_COUNT`]. Stored bytes: `max_size`. Free space on the
//! disk: [`space::RESERVE_BYTES`] are left for settling deliveries. Memory: a window per destination, whatever the
//! backlog. Deliveries that end ride in the next batch without a sync of their own: a lost end is a duplicate, which "at
//! least once" allows.
//!
//! **The boundary.** `append`, `take`, `settle`, `depth`, `stats` are what the gateway needs of an engine, and no more, so
//! that a second one (JetStream) can stand beside the embedded one.
//!
//! Deliberately not here: HTTP, retry policy, metrics. The layout on disk is in `keys` and `record`.

mod committer;
mod draft;
mod keys;
mod passes;
mod record;
mod recover;
mod salvage;
mod scan;
mod space;
mod store;
mod suspects;
mod terms;
mod unverified;
mod window;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use crate::clock::{Clock, Timestamp};
use crate::event::{Event, EventData};
use crate::outcome::Settled;

pub use keys::DestinationId;
pub use passes::{PASS_LONGEST, PASSES_MAX, TooManyPasses, Wanted};
pub use record::Corrupt;
pub use suspects::{Judgement, Slice, Suspect};
pub use terms::{BufferParams, CommitReport, Committed, Fsync, Keep, NotStored, OnCommit, OpenError, Stats};
pub use unverified::Unverified;
pub use window::QueueDepth;

use committer::{Append, Command, Committer, Settle};
use keys::QueueKey;
use passes::Passes;
use store::Store;
use unverified::{Ledger, UNVERIFIED_MAX};
use window::{Claim, CopyId, Taken, Window};

/// Appends that wait for a commit hold at most this many bytes together.
pub const WAITING_BYTES: usize = 64 * 1024 * 1024;
/// At most this many commands wait for the committer.
pub const WAITING_COUNT: usize = 16 * 1024;
/// A commit that takes longer than this hangs: appends are refused until it ends.
const STALL: Duration = Duration::from_secs(10);
/// One copy of an event, due now, claimed by whoever holds it.
#[derive(Debug)]
pub struct Delivery {
    key: QueueKey,
    bytes: u32,
    attempts: u32,
    event: Arc<EventData>,
    claim: Option<Claim>,
}

impl Delivery {
    fn new(key: QueueKey, attempts: u32, bytes: u32, event: Arc<EventData>) -> Self {
        Self { key, bytes, attempts, event, claim: None }
    }

    fn id(&self) -> CopyId {
        (self.key.seq, self.key.copy)
    }

    fn due_ms(&self) -> u64 {
        self.key.due_ms
    }

    /// A first try is due when the event was received.
    fn is_rescheduled(&self) -> bool {
        self.key.due_ms != self.event.received_at_ms
    }

    fn claimed_by(&mut self, claim: Claim) {
        self.claim = Some(claim);
    }

    fn into_claim(self) -> Option<Claim> {
        self.claim
    }

    /// Attempts that counted so far.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// The event.
    pub fn event(&self) -> &Arc<EventData> {
        &self.event
    }

    /// Which of the event's copies this is.
    pub fn copy(&self) -> Option<&crate::event::Copy> {
        self.event.copies.get(usize::from(self.key.copy))
    }
}

/// A handle to the buffer; clones share it.
#[derive(Clone)]
pub struct Buffer {
    shared: Arc<Shared>,
    commands: mpsc::Sender<Command>,
    waiting: Arc<Semaphore>,
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffer").field("dir", &self.shared.params.dir).finish_non_exhaustive()
    }
}

/// Destinations by name: their number on disk, their window in memory.
type Destinations = HashMap<Arc<str>, (DestinationId, Arc<Window>)>;

/// What the handle and the committer both see.
pub(crate) struct Shared {
    params: BufferParams,
    clock: Arc<dyn Clock>,
    store: ArcSwapOption<Store>,
    destinations: RwLock<Destinations>,
    used_bytes: AtomicU64,
    quarantined: RwLock<BTreeMap<Arc<str>, u64>>,
    ledger: Mutex<Ledger>,
    unverified_max: u64,
    dedup_entries: AtomicU64,
    passes: Passes,
    dead: RwLock<HashMap<DestinationId, u64>>,
    corrupt: AtomicU64,
    disk_low: AtomicBool,
    /// The store's files are damaged: it is to be opened anew, which mends them.
    suspected: AtomicBool,
    /// When the batch under way began, 0 between batches: an engine that hangs is noticed by this.
    busy_since_ms: AtomicU64,
    on_commit: OnCommit,
}

impl Shared {
    /// An error of the engine was met. Where it says that the files are damaged, the store is opened anew.
    fn met(&self, error: &fjall::Error) {
        if salvage::is_damage(error) && !self.suspected.swap(true, Ordering::Relaxed) {
            tracing::error!(%error, "the buffer's files are damaged; it is closed and built anew from what can be read");
            salvage::suspect(&self.params.dir);
        }
    }

    fn window(&self, name: &str) -> Option<(DestinationId, Arc<Window>)> {
        let table = self.destinations.read().unwrap_or_else(PoisonError::into_inner);
        table.get(name).map(|(id, window)| (*id, Arc::clone(window)))
    }

    fn window_by_id(&self, id: DestinationId) -> Option<Arc<Window>> {
        let table = self.destinations.read().unwrap_or_else(PoisonError::into_inner);
        table.values().find(|(known, _)| *known == id).map(|(_, window)| Arc::clone(window))
    }

    /// Whether appends are worth trying: the store is open, and no batch has hung for [`STALL`].
    fn is_open(&self) -> bool {
        let since_ms = self.busy_since_ms.load(Ordering::Relaxed);
        let is_stalled = since_ms != 0 && self.clock.now().since(Timestamp::from_unix_ms(since_ms)) > STALL;
        self.store.load().is_some() && !is_stalled
    }

    fn names(&self) -> Vec<Arc<str>> {
        let table = self.destinations.read().unwrap_or_else(PoisonError::into_inner);
        let mut names: Vec<_> = table.keys().cloned().collect();
        names.sort_unstable();
        names
    }

    fn is_full_for(&self, bytes: u64) -> bool {
        let used = self.used_bytes.load(Ordering::Relaxed);
        self.disk_low.load(Ordering::Relaxed) || used.saturating_add(bytes) > self.params.bytes_max
    }
}

impl Buffer {
    /// Opens the buffer, recovers what was in it and starts the committer.
    pub fn open(
        params: BufferParams,
        destinations: &[Arc<str>],
        clock: Arc<dyn Clock>,
        on_commit: OnCommit,
    ) -> Result<Self, OpenError> {
        Self::open_remembering(params, destinations, clock, on_commit, UNVERIFIED_MAX)
    }

    fn open_remembering(
        params: BufferParams,
        destinations: &[Arc<str>],
        clock: Arc<dyn Clock>,
        on_commit: OnCommit,
        unverified_max: u64,
    ) -> Result<Self, OpenError> {
        let (store, salvage) = Store::open(&params.dir, params.fsync).map_err(|error| match error {
            OpenError::Engine(fjall::Error::Locked) => OpenError::Locked(params.dir.clone()),
            other => other,
        })?;
        let shared = Arc::new(Shared {
            params,
            clock,
            store: ArcSwapOption::empty(),
            destinations: RwLock::default(),
            used_bytes: AtomicU64::new(0),
            quarantined: RwLock::default(),
            ledger: Mutex::default(),
            unverified_max,
            dedup_entries: AtomicU64::new(0),
            passes: Passes::default(),
            dead: RwLock::default(),
            corrupt: AtomicU64::new(salvage.lost),
            disk_low: AtomicBool::new(false),
            suspected: AtomicBool::new(false),
            busy_since_ms: AtomicU64::new(0),
            on_commit,
        });
        let (commands, inbox) = mpsc::channel(WAITING_COUNT);
        let committer = Committer::recover(Arc::clone(&shared), store, inbox, destinations)?;
        std::thread::Builder::new()
            .name("committer".into())
            .spawn(move || committer.run())
            .map_err(|source| OpenError::Io { path: shared.params.dir.clone(), source })?;
        Ok(Self { shared, commands, waiting: Arc::new(Semaphore::new(WAITING_BYTES)) })
    }

    /// Stores an event and its deliveries, one per copy. Answers after the commit that covers it.
    pub async fn append(&self, event: Event) -> Result<Committed, NotStored> {
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
        if self.shared.is_full_for(record.len() as u64) {
            return Err(NotStored::Full);
        }
        let permit = self.reserve(record.len())?;
        let (reply, committed) = oneshot::channel();
        let append = Append { data, record, dedup, failed_by, reply, _permit: permit };
        self.commands.try_send(Command::Append(append)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => NotStored::Busy,
            mpsc::error::TrySendError::Closed(_) => NotStored::Failed,
        })?;
        // The sender's patience is shorter than a disk that hangs. The event may come through after all.
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
            let now_ms = self.shared.clock.now().unix_ms();
            match window.take(max, now_ms) {
                Taken::Deliveries(deliveries) => return deliveries,
                Taken::Refill => {
                    if !self.refill(id, Arc::clone(&window)).await {
                        rung.await;
                    }
                }
                Taken::Nothing { until_ms: None } => rung.await,
                Taken::Nothing { until_ms: Some(until_ms) } => {
                    // At most a minute at once, so that a clock that jumps is noticed.
                    let wait = Duration::from_millis(until_ms.saturating_sub(now_ms)).min(Duration::from_mins(1));
                    if tokio::time::timeout(wait, rung).await.is_err() {
                        tracing::trace!(destination, "a delivery falls due");
                    }
                }
            }
        }
    }

    /// Reads the next due deliveries from disk, off the async threads. False while another scan reads; its end rings.
    async fn refill(&self, id: DestinationId, window: Arc<Window>) -> bool {
        let Some(low_ms) = window.scan_start() else { return false };
        let shared = Arc::clone(&self.shared);
        // Once begun it ends by itself, also when nobody waits for it any more.
        let scan = tokio::task::spawn_blocking(move || {
            scan::scan(&shared, id, &window, low_ms).inspect_err(|error| {
                window.scan_failed();
                shared.met(error);
            })
        });
        if let Ok(Ok(corrupt)) = scan.await {
            for settle in corrupt {
                if self.commands.send(Command::Settle(settle)).await.is_err() {
                    tracing::debug!("an end of a delivery came after the buffer was closed");
                }
            }
        } else {
            tracing::error!("the buffer could not be read; trying again");
            // Where the store is damaged, the committer is to see it.
            self.tidy_up().await;
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        true
    }

    /// Records how an attempt ended. `detail` is kept with a dead letter.
    pub async fn settle(&self, delivery: Delivery, settled: Settled, keep: Keep, detail: String) {
        let settle = Settle {
            key: delivery.key,
            attempts: delivery.attempts,
            bytes: delivery.bytes,
            copies: delivery.event.copies.len(),
            settled,
            keep,
            detail,
            claim: delivery.into_claim(),
        };
        if self.commands.send(Command::Settle(settle)).await.is_err() {
            // Only while the process stops: the delivery stays in the queue and is made again after the restart.
            tracing::debug!("an end of a delivery came after the buffer was closed");
        }
    }

    /// Makes destinations known, so that events can be routed to them.
    pub async fn register(&self, names: Vec<Arc<str>>) -> Result<(), NotStored> {
        let (reply, done) = oneshot::channel();
        self.commands.send(Command::Register { names, reply }).await.map_err(|_closed| NotStored::Failed)?;
        done.await.unwrap_or(Err(NotStored::Failed))
    }

    /// Lets repetitions that are wanted through, for so long; each is then a new event. Forgotten with the process.
    pub fn let_through(&self, source: &Arc<str>, wanted: Wanted, long: Duration) -> Result<Timestamp, TooManyPasses> {
        let now = self.shared.clock.now();
        self.shared.passes.allow(source, wanted, long, now)
    }

    /// Expires what was kept long enough and looks at the disk. To be called about once a second.
    pub async fn tidy_up(&self) {
        if self.commands.send(Command::TidyUp).await.is_err() {
            tracing::debug!("the buffer is closed");
        }
    }

    /// Writes and syncs all that waits, then closes. Appends after this fail.
    pub async fn close(&self) {
        let (reply, closed) = oneshot::channel();
        if self.commands.send(Command::Close(reply)).await.is_ok() && closed.await.is_err() {
            tracing::error!("the committer ended without closing the store");
        }
    }

    /// How a destination's backlog divides.
    pub fn depth(&self, destination: &str) -> QueueDepth {
        self.shared.window(destination).map(|(_, window)| window.depth()).unwrap_or_default()
    }

    /// Destinations that have something queued or had it, in the order of their names.
    pub fn destinations(&self) -> Vec<Arc<str>> {
        self.shared.names()
    }

    /// Dead letters of a destination.
    pub fn dead_letters(&self, destination: &str) -> u64 {
        let Some((id, _)) = self.shared.window(destination) else { return 0 };
        self.shared.dead.read().unwrap_or_else(PoisonError::into_inner).get(&id).copied().unwrap_or(0)
    }

    /// Age of the oldest event that is queued for a destination.
    pub fn oldest_age(&self, destination: &str) -> Duration {
        let Some((id, _)) = self.shared.window(destination) else { return Duration::ZERO };
        let Some(store) = self.shared.store.load_full() else { return Duration::ZERO };
        let from = QueueKey::first_of(id, 0).to_bytes();
        let to = QueueKey::first_of(DestinationId(id.0.saturating_add(1)), 0).to_bytes();
        // Retries lie behind younger events; among the first records is the oldest, or one nearly as old.
        let oldest = store
            .queue
            .range(from..to)
            .take(64)
            .filter_map(|entry| QueueKey::parse(&entry.key().ok()?))
            .map(|key| key.seq)
            .min();
        oldest.map_or(Duration::ZERO, |seq| self.shared.clock.now().since(keys::sequence_time(seq)))
    }

    /// Events kept back, by source.
    pub fn quarantined(&self) -> BTreeMap<Arc<str>, u64> {
        self.shared.quarantined.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Numbers about the whole buffer.
    pub fn stats(&self) -> Stats {
        Stats {
            used_bytes: self.shared.used_bytes.load(Ordering::Relaxed),
            limit_bytes: self.shared.params.bytes_max,
            dedup_entries: self.shared.dedup_entries.load(Ordering::Relaxed),
            corrupt: self.shared.corrupt.load(Ordering::Relaxed),
            open: self.shared.is_open(),
            full: self.shared.is_full_for(1),
        }
    }
}
