//! The state that the committer loads when the buffer is opened: destinations and counters. Loading never walks over
//! the queue, so that a deep backlog does not hold up a start.

use std::sync::{Arc, PoisonError};

use super::committer::Committer;
use super::counters::CountersByDestination;
use super::engine::{Durability, EngineError, Space, Writes};
use super::keys::{self, DestinationId, sequence_time};
use super::reopening::Reopening;
use super::store::Store;
use super::{OpenError, Shared, generations};

/// The prefix under which `meta` keeps the numbers of destinations.
pub(super) const DESTINATION_PREFIX: &[u8] = b"destination/";
/// The end of the prefix's key range.
pub(super) const DESTINATION_END: &[u8] = b"destination0";

impl Committer {
    /// Loads the committer's state from the store.
    pub(crate) fn recover(shared: Arc<Shared>, store: Store, destinations: &[Arc<str>]) -> Result<Self, OpenError> {
        let mut committer = Self {
            shared,
            deferred: Vec::new(),
            next_destination: 1,
            compactions_owed: 0,
            compacted_at: None,
            reopening: Reopening::default(),
        };
        committer.shared.look_at_disk();
        match committer.recover_all(store, destinations) {
            Err(EngineError::Damaged(what)) => {
                tracing::error!(what, "the buffer's files are damaged; it is built anew from what can be read");
                committer.shared.store.store(None);
                committer.shared.medium.mark_damaged();
                let store = committer.shared.reopen_store()?;
                committer.recover_all(store, destinations)?;
            }
            other => other?,
        }
        Ok(committer)
    }

    fn recover_all(&mut self, store: Store, destinations: &[Arc<str>]) -> Result<(), EngineError> {
        self.recover_destinations(&store)?;
        self.register(&store, destinations)?;
        self.load_counters(&store)?;
        self.shared.store.store(Some(Arc::new(store)));
        generations::recover(&self.shared)
    }

    fn recover_destinations(&mut self, store: &Store) -> Result<(), EngineError> {
        let mut table = self.shared.destinations.write().unwrap_or_else(PoisonError::into_inner);
        for pair in store.scan(Space::Meta, DESTINATION_PREFIX, Some(DESTINATION_END)) {
            let (key, value) = pair?;
            let name = key.get(DESTINATION_PREFIX.len()..).and_then(|name| std::str::from_utf8(name).ok());
            let id = value.as_ref().try_into().map(u32::from_be_bytes);
            if let (Some(name), Ok(id)) = (name, id) {
                table.insert(Arc::from(name), (DestinationId(id), Arc::default()));
                self.next_destination = self.next_destination.max(id.saturating_add(1));
            }
        }
        Ok(())
    }

    /// Loads the counters from the store.
    pub(super) fn load_counters(&self, store: &Store) -> Result<(), EngineError> {
        let mut books = CountersByDestination::read(&**store)?;
        // The counters have it; the events are read as well, because a sequence must never be used twice.
        let last = store.last_key(Space::Events)?.and_then(|key| keys::parse_sequence(&key));
        books.total.next_seq = books.total.next_seq.max(last.map_or(0, |last| last.saturating_add(1)));
        self.shared.timeline.not_before(sequence_time(books.total.next_seq));
        self.shared.counters(|known| *known = books);
        for name in self.shared.names() {
            if let Some((_, window)) = self.shared.window(&name) {
                window.reset();
            }
        }
        self.shared.unverified_counts(|ledger| ledger.recover(store))
    }

    /// Gives each new name a number of its own, synced before use.
    pub(super) fn register(&mut self, store: &Store, names: &[Arc<str>]) -> Result<(), EngineError> {
        let mut table = self.shared.destinations.write().unwrap_or_else(PoisonError::into_inner);
        let mut batch = Writes::default();
        let mut made = Vec::new();
        for name in names.iter().filter(|name| !table.contains_key(*name)) {
            let id = self.next_destination;
            batch.insert(Space::Meta, [DESTINATION_PREFIX, name.as_bytes()].concat(), id.to_be_bytes());
            self.next_destination = id.saturating_add(1);
            made.push((Arc::clone(name), DestinationId(id)));
        }
        if !made.is_empty() {
            store.commit(batch, Durability::Synced)?;
        }
        table.extend(made.into_iter().map(|(name, id)| (name, (id, Arc::default()))));
        Ok(())
    }
}
