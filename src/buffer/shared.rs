//! State that the handle and the committer share.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use arc_swap::ArcSwapOption;

use super::counters::CountersByDestination;
use super::engine::{EngineError, Medium};
use super::expected::ExpectedRedeliveries;
use super::filters::Filters;
use super::keys::DestinationId;
use super::space::DiskSpace;
use super::store::Store;
use super::timeline::Timeline;
use super::unverified::UnverifiedCounts;
use super::window::Window;
use super::{BufferParams, OnCommit, OpenError, STALL, Shortage};
use crate::clock::Clock;

/// The time for which a buffer without room for an event counts as full for events of that size.
const TOO_LARGE_FOR: Duration = Duration::from_mins(1);

/// Destinations by name: their number on disk, their window in memory.
pub(super) type KnownDestinations = HashMap<Arc<str>, (DestinationId, Arc<Window>)>;

/// State that the handle and the committer share.
pub(crate) struct Shared {
    pub(super) params: BufferParams,
    pub(super) medium: Arc<dyn Medium>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) timeline: Timeline,
    pub(super) store: ArcSwapOption<Store>,
    pub(super) destinations: RwLock<KnownDestinations>,
    pub(super) books: Mutex<CountersByDestination>,
    /// The expiry key at which the last search for removable events stopped.
    pub(super) room_cursor: Mutex<[u8; 16]>,
    pub(super) filters: Filters,
    pub(super) ledger: Mutex<UnverifiedCounts>,
    pub(super) unverified_max: u64,
    pub(super) passes: ExpectedRedeliveries,
    pub(super) corrupt: AtomicU64,
    /// The last event that `max_size` had no room for: its bytes, and when it came.
    pub(super) too_large: Mutex<Option<(u64, Duration)>>,
    /// The disk's space at the last look.
    pub(super) disk: Mutex<Option<DiskSpace>>,
    /// True when the store's files are damaged: the next opening repairs them.
    pub(super) suspected: AtomicBool,
    /// The begin of the current batch in monotonic milliseconds plus one; 0 between batches. A hanging engine shows by
    /// it.
    pub(super) busy_since_ms: AtomicU64,
    pub(super) on_commit: OnCommit,
    /// True when reads run on the calling thread, and not on one of their own: for the simulation.
    pub(super) is_inline: bool,
}

impl Shared {
    /// Handles an error of the engine. An error of damaged files makes the committer open the store anew.
    pub(super) fn met(&self, error: &EngineError) {
        if matches!(error, EngineError::Damaged(_)) && !self.suspected.swap(true, Ordering::Relaxed) {
            tracing::error!(%error, "the buffer's files are damaged; it is closed and built anew from what can be read");
            self.medium.mark_damaged();
        }
    }

    /// Opens the store again.
    pub(super) fn reopen_store(&self) -> Result<Store, OpenError> {
        let (store, mended) = Store::reopen(&*self.medium, self.clock.now())?;
        self.suspected.store(false, Ordering::Relaxed);
        self.corrupt.fetch_add(mended.lost, Ordering::Relaxed);
        Ok(store)
    }

    pub(super) fn window(&self, name: &str) -> Option<(DestinationId, Arc<Window>)> {
        let table = self.destinations.read().unwrap_or_else(PoisonError::into_inner);
        table.get(name).map(|(id, window)| (*id, Arc::clone(window)))
    }

    pub(super) fn window_by_id(&self, id: DestinationId) -> Option<Arc<Window>> {
        let table = self.destinations.read().unwrap_or_else(PoisonError::into_inner);
        table.values().find(|(known, _)| *known == id).map(|(_, window)| Arc::clone(window))
    }

    /// Checks whether an append can succeed: the store is open, and no batch has hung for [`STALL`].
    pub(super) fn is_open(&self) -> bool {
        let since_ms = self.busy_since_ms.load(Ordering::Relaxed);
        let is_stalled = since_ms != 0
            && self.monotonic_ms().saturating_sub(since_ms) > u64::try_from(STALL.as_millis()).unwrap_or(0);
        self.store.load().is_some() && !is_stalled
    }

    pub(super) fn monotonic_ms(&self) -> u64 {
        u64::try_from(self.clock.monotonic().as_millis()).unwrap_or(u64::MAX).saturating_add(1)
    }

    pub(super) fn begin_batch(&self) {
        self.busy_since_ms.store(self.monotonic_ms(), Ordering::Relaxed);
    }

    pub(super) fn end_batch(&self) {
        self.busy_since_ms.store(0, Ordering::Relaxed);
    }

    pub(super) fn counters<T>(&self, look: impl FnOnce(&mut CountersByDestination) -> T) -> T {
        look(&mut self.books.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn names(&self) -> Vec<Arc<str>> {
        let table = self.destinations.read().unwrap_or_else(PoisonError::into_inner);
        let mut names: Vec<_> = table.keys().cloned().collect();
        names.sort_unstable();
        names
    }

    /// Reads the disk's space. To be called before every batch: a fast sender fills a disk in less than a second.
    pub(super) fn look_at_disk(&self) {
        *self.disk.lock().unwrap_or_else(PoisonError::into_inner) = self.medium.space();
    }

    /// Returns whether the disk ran short at the last look.
    pub(super) fn is_disk_short(&self) -> bool {
        self.disk().is_some_and(DiskSpace::is_short)
    }

    /// Returns the disk's space at the last look.
    pub(super) fn disk(&self) -> Option<DiskSpace> {
        *self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the shortage that keeps `bytes` more from being stored; `None` when there is room.
    pub(super) fn shortage_for(&self, bytes: u64) -> Option<Shortage> {
        let (used_bytes, limit_bytes) = (self.counters(|books| books.total.bytes), self.params.bytes_max);
        if let Some(space) = self.disk().filter(|space| space.is_short()) {
            return Some(Shortage::Disk(space));
        }
        (used_bytes.saturating_add(bytes) > limit_bytes).then_some(Shortage::Size { used_bytes, limit_bytes })
    }

    /// Returns the shortage for a received event; remembers the event's size when `max_size` leaves no room for it.
    pub(super) fn refuse_for(&self, bytes: u64) -> Option<Shortage> {
        let shortage = self.shortage_for(bytes);
        if matches!(shortage, Some(Shortage::Size { .. })) {
            let refused = Some((bytes, self.clock.monotonic()));
            *self.too_large.lock().unwrap_or_else(PoisonError::into_inner) = refused;
        }
        shortage
    }

    /// Returns the shortage at this moment: for as many bytes as were refused within [`TOO_LARGE_FOR`], otherwise for
    /// an event of one byte.
    pub(super) fn shortage(&self) -> Option<Shortage> {
        let refused = *self.too_large.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.monotonic();
        let recent = refused.filter(|(_, at)| now.saturating_sub(*at) < TOO_LARGE_FOR);
        self.shortage_for(recent.map_or(1, |(bytes, _)| bytes))
    }
}
