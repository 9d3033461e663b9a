//! What the committer learns from the store when the buffer is opened: destinations, depths, sizes.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use fjall::PersistMode;
use tokio::sync::mpsc;

use super::committer::{Command, Committer};
use super::keys::{self, DestinationId, Pending, QueueKey, QueueValue};
use super::store::Store;
use super::{OpenError, Shared, salvage, space};

/// Under this prefix `meta` keeps the numbers of destinations.
pub(super) const DESTINATION_PREFIX: &str = "destination/";

impl Committer {
    /// Learns what the store holds: destinations, depths, sizes.
    pub(crate) fn recover(
        shared: Arc<Shared>,
        store: Store,
        inbox: mpsc::Receiver<Command>,
        destinations: &[Arc<str>],
    ) -> Result<Self, OpenError> {
        let mut committer = Self {
            shared,
            inbox,
            deferred: Vec::new(),
            next_seq: 0,
            next_destination: 1,
            compactions_owed: 0,
            compacted_at: None,
        };
        let store = match committer.recover_all(&store, destinations) {
            Ok(()) => store,
            Err(error) if salvage::is_damage(&error) => {
                tracing::error!(%error, "the buffer's files are damaged; it is built anew from what can be read");
                let Shared { params, corrupt, .. } = &*committer.shared;
                drop(store);
                salvage::suspect(&params.dir);
                let (store, salvage) = Store::open(&params.dir, params.fsync)?;
                corrupt.fetch_add(salvage.lost, Ordering::Relaxed);
                committer.recover_all(&store, destinations)?;
                store
            }
            Err(error) => return Err(error.into()),
        };
        committer.shared.disk_low.store(space::is_low(&committer.shared.params.dir), Ordering::Relaxed);
        committer.shared.store.store(Some(Arc::new(store)));
        Ok(committer)
    }

    fn recover_all(&mut self, store: &Store, destinations: &[Arc<str>]) -> Result<(), fjall::Error> {
        self.next_seq = store.last_sequence()?.saturating_add(1);
        self.recover_destinations(store)?;
        self.register(store, destinations)?;
        self.recover_counts(store)
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

    /// Counts what the store holds, from nothing.
    pub(super) fn recover_counts(&self, store: &Store) -> Result<(), fjall::Error> {
        let now_ms = self.shared.clock.now().unix_ms();
        let mut bytes = 0_u64;
        for name in self.shared.names() {
            if let Some((_, window)) = self.shared.window(&name) {
                window.reset();
            }
        }
        self.shared.dead.write().unwrap_or_else(PoisonError::into_inner).clear();
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
        for entry in store.expiry.iter() {
            bytes += keys::parse_bytes(&entry.value()?);
        }
        self.shared.quarantined.write().unwrap_or_else(PoisonError::into_inner).clear();
        for entry in store.quarantine.iter() {
            let value = entry.value()?;
            bytes += keys::parse_bytes(&value);
            self.count_quarantined(&String::from_utf8_lossy(value.get(4..).unwrap_or_default()));
        }
        self.shared.used_bytes.store(bytes, Ordering::Relaxed);
        self.shared.ledger(|ledger| ledger.recover(store))?;
        self.shared.dedup_entries.store(store.dedup.approximate_len() as u64, Ordering::Relaxed);
        for entry in store.dead.iter() {
            if let Some((id, _)) = entry.key()?.split_first_chunk::<4>() {
                self.count_dead(DestinationId(u32::from_be_bytes(*id)));
            }
        }
        Ok(())
    }

    pub(super) fn count_quarantined(&self, source: &str) {
        let mut quarantined = self.shared.quarantined.write().unwrap_or_else(PoisonError::into_inner);
        *quarantined.entry(Arc::from(source)).or_default() += 1;
    }

    pub(super) fn count_dead(&self, id: DestinationId) {
        *self.shared.dead.write().unwrap_or_else(PoisonError::into_inner).entry(id).or_default() += 1;
    }

    /// Gives each new name a number of its own, synced before it is used.
    pub(super) fn register(&mut self, store: &Store, names: &[Arc<str>]) -> Result<(), fjall::Error> {
        let mut table = self.shared.destinations.write().unwrap_or_else(PoisonError::into_inner);
        for name in names {
            if !table.contains_key(name) {
                let id = self.next_destination;
                store.meta.insert(format!("{DESTINATION_PREFIX}{name}"), id.to_be_bytes())?;
                self.next_destination = id.saturating_add(1);
                table.insert(Arc::clone(name), (DestinationId(id), Arc::default()));
            }
        }
        store.db.persist(PersistMode::SyncData)
    }
}
