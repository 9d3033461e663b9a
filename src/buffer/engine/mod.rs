//! The storage engine's interface: ordered keyspaces, atomic batches over all of them, and a sync.
//!
//! [`Engine`] is an open store, [`Medium`] the place that a store is opened on. The one that ships is fjall on a disk
//! (`disk`). The simulation has a disk of its own, which fails, fills up and loses unsynced data (`fake`).
//!
//! Invariants: a batch is in the store as a whole or not at all. After [`Durability::Synced`] it survives a power cut.
//! After a failed commit the engine takes nothing more; its owner drops it and opens the medium anew.
//!
//! A medium repairs damaged files when it is opened (`salvage`), and reports that ([`Mended`]).
//!
//! Deliberately not here: what keys and values mean (`keys`, `record`, `status`).

mod disk;
#[cfg(test)]
pub(crate) mod fake;
mod journal;
mod overlap;
mod salvage;

use std::fmt;
use std::sync::Arc;

use super::{DiskSpace, OpenError};

pub(crate) use disk::Disk;

/// A shared run of bytes; short ones are held in place.
pub(crate) type Value = fjall::Slice;
/// The pairs of a scan.
pub(crate) type Pairs<'a> = Box<dyn DoubleEndedIterator<Item = Result<(Value, Value), EngineError>> + 'a>;

/// The keyspaces. `keys` says what lies in each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Space {
    Events,
    Ids,
    Queue,
    Fate,
    Expiry,
    Dead,
    Quarantine,
    Unverified,
    Lanes,
    Ordered,
    Dedup,
    Filters,
    Books,
    Meta,
}

impl Space {
    pub(crate) const ALL: [Self; 14] = [
        Self::Events,
        Self::Ids,
        Self::Queue,
        Self::Fate,
        Self::Expiry,
        Self::Dead,
        Self::Quarantine,
        Self::Unverified,
        Self::Lanes,
        Self::Ordered,
        Self::Dedup,
        Self::Filters,
        Self::Books,
        Self::Meta,
    ];

    /// Returns the name on disk.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Ids => "ids",
            Self::Queue => "queue",
            Self::Fate => "fate",
            Self::Expiry => "expiry",
            Self::Dead => "dead",
            Self::Quarantine => "quarantine",
            Self::Unverified => "unverified",
            Self::Lanes => "lanes",
            Self::Ordered => "ordered",
            Self::Dedup => "dedup",
            Self::Filters => "filters",
            Self::Books => "books",
            Self::Meta => "meta",
        }
    }
}

/// The state of a commit when it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durability {
    /// In our own memory.
    Held,
    /// With the operating system.
    Written,
    /// On the disk.
    Synced,
}

/// One change of a batch; a change without a value removes the key.
#[derive(Clone, Debug)]
pub(crate) struct Write {
    pub(crate) space: Space,
    pub(crate) key: Value,
    pub(crate) value: Option<Value>,
}

/// Changes that are made together or not at all. A later change of a key replaces an earlier one.
#[derive(Debug, Default)]
pub(crate) struct Writes(pub(crate) Vec<Write>);

impl Writes {
    pub(crate) fn insert(&mut self, space: Space, key: impl Into<Value>, value: impl Into<Value>) {
        self.0.push(Write { space, key: key.into(), value: Some(value.into()) });
    }

    pub(crate) fn remove(&mut self, space: Space, key: impl Into<Value>) {
        self.0.push(Write { space, key: key.into(), value: None });
    }
}

/// The error of a storage engine.
#[derive(Debug)]
pub enum EngineError {
    /// Bytes on disk are not what was written, by the engine's own checksums. Concerns what was read, not the rest.
    Damaged(String),
    /// The engine could not read or write.
    Failed(String),
    /// The engine has met an earlier error, which it does not name, and writes no more.
    Stopped,
    /// Another process has the store open.
    Locked,
}

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Damaged(what) => write!(f, "bytes on disk are damaged: {what}"),
            Self::Failed(what) => f.write_str(what),
            Self::Stopped => f.write_str("the engine has stopped writing"),
            Self::Locked => f.write_str("the store is open elsewhere"),
        }
    }
}

impl std::error::Error for EngineError {}

/// An open store.
pub(crate) trait Engine: Send + Sync {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Value>, EngineError>;

    /// Returns all pairs from `from` on, up to before `to`.
    fn scan(&self, space: Space, from: &[u8], to: Option<&[u8]>) -> Pairs<'_>;

    /// Returns the last key, without its value.
    fn last_key(&self, space: Space) -> Result<Option<Value>, EngineError>;

    fn commit(&self, batch: Writes, durability: Durability) -> Result<(), EngineError>;

    /// Syncs everything that was committed to the disk.
    fn sync(&self) -> Result<(), EngineError>;

    /// Frees the space that removed events still take.
    fn give_space_back(&self) -> Result<(), EngineError>;

    fn contains(&self, space: Space, key: &[u8]) -> Result<bool, EngineError> {
        Ok(self.get(space, key)?.is_some())
    }

    /// Writes a keyspace's memory to a file, without waiting for the end.
    #[cfg(test)]
    fn flush(&self, _space: Space) -> Result<(), EngineError> {
        Ok(())
    }
}

/// The damage that an opening found, and its repair.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mended {
    /// Damaged files, or stretches of files.
    pub(crate) damages: u64,
    /// Events that were put back from damaged stretches.
    pub(crate) saved: u64,
    /// Event records that are lost for certain.
    pub(crate) lost: u64,
    /// True when the store was rebuilt.
    pub(crate) rebuilt: bool,
}

/// The place that a store lies on.
pub(crate) trait Medium: fmt::Debug + Send + Sync {
    /// Opens the store, or makes it. After a repair, events may lack a place and the counters may be wrong: the caller
    /// reindexes the store (`reindex`) and calls [`Medium::restored`], or gets the same answer at the next opening.
    fn open(&self) -> Result<(Arc<dyn Engine>, Option<Mended>), OpenError>;

    /// Notes that the store was reindexed after a repair.
    fn restored(&self) -> Result<(), OpenError> {
        Ok(())
    }

    /// Marks the store as damaged: the next opening rebuilds it.
    fn mark_damaged(&self) {}

    /// Checks whether all bytes are as they were written. Reads them all.
    fn is_whole(&self) -> bool {
        true
    }

    /// Opens the store after a failed write or sync, so that new writes do not lie behind a gap.
    fn reopen(&self) -> Result<(Arc<dyn Engine>, Option<Mended>), OpenError> {
        self.open()
    }

    /// Returns the space of the medium's disk, where it is known.
    fn space(&self) -> Option<DiskSpace>;
}
