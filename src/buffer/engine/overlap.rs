//! Overlap between tables of events, so that the engine merges them.
//!
//! Events come in the order of their keys, so their tables do not overlap, and the engine keeps such tables as they
//! are: a thousand at ten million events, and each is compared with all others in everything the engine does. So each
//! memtable of events reaches back over the last one, and the engine merges its tables as it merges others. (A memtable
//! that began during a commit does not; it is merged with the next.)
//!
//! Invariant: no tombstone that is written for this has the key of an event.

use std::sync::atomic::{AtomicU64, Ordering};

/// The state of the overlap. A memtable of events reaches back over the last one by a tombstone between the two events
/// before it, under a key that no event has.
pub(super) struct Overlap {
    /// The memtable that reaches back already.
    memtable: AtomicU64,
    /// The last event's sequence.
    last: AtomicU64,
}

impl Overlap {
    pub(super) fn new() -> Self {
        Self { memtable: AtomicU64::new(u64::MAX), last: AtomicU64::new(0) }
    }

    /// Returns the key to remove in a memtable that does not reach back yet.
    pub(super) fn back(&self, memtable: u64) -> Option<[u8; 9]> {
        let is_new = self.memtable.swap(memtable, Ordering::Relaxed) != memtable;
        let before = self.last.load(Ordering::Relaxed).checked_sub(1).filter(|_| is_new)?;
        let mut key = [u8::MAX; 9];
        key[..8].copy_from_slice(&before.to_be_bytes());
        Some(key)
    }

    /// Notes an event that is written.
    pub(super) fn comes(&self, event: &[u8]) {
        if let Ok(seq) = event.try_into().map(u64::from_be_bytes) {
            self.last.fetch_max(seq, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::buffer::Fsync;
    use crate::buffer::engine::disk::{Fjall, NEARLY_IN_ORDER_TABLES};
    use crate::buffer::engine::{Durability, Engine, Space, Writes};
    use fjall::AbstractTree;

    /// Guards the cost at ten million events: without a merge each of a thousand tables is compared with all others.
    #[test]
    fn tables_of_events_are_merged_although_events_come_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Fjall::open(dir.path(), Fsync::Memory).unwrap();
        let tables = 6 * u64::from(NEARLY_IN_ORDER_TABLES);
        for table in 0..tables {
            // The last event is known after an opening, too.
            if table == tables / 2 {
                drop(store);
                store = Fjall::open(dir.path(), Fsync::Memory).unwrap();
            }
            for event in [2 * table, 2 * table + 1] {
                let mut batch = Writes::default();
                batch.insert(Space::Events, event.to_be_bytes(), b"event".as_slice());
                store.commit(batch, Durability::Written).unwrap();
            }
            store.keyspace(Space::Events).unwrap().rotate_memtable_and_wait().unwrap();
        }
        let left = || store.keyspace(Space::Events).unwrap().tree.table_count();
        let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
        while left() > 2 * usize::from(NEARLY_IN_ORDER_TABLES) {
            assert!(tokio::time::Instant::now() < deadline, "{} tables of {tables}", left());
            std::thread::sleep(Duration::from_millis(5));
        }
        let events: Vec<u64> = store
            .scan(Space::Events, &[], None)
            .map(|pair| u64::from_be_bytes(pair.unwrap().0.as_ref().try_into().unwrap()))
            .collect();
        assert_eq!(events, (0..2 * tables).collect::<Vec<_>>());
    }
}
