//! What the buffer asks of a storage engine: ordered keyspaces, atomic batches over all of them, and a sync.
//!
//! [`Engine`] is an open store, [`Medium`] what a store is opened on. The one that ships is fjall on a disk (`disk`); the
//! simulation puts a disk of its own in its place, which fails, fills up and forgets what was not synced (`fake`).
//!
//! Invariants: a batch is in the store as a whole or not at all. After [`Durability::Synced`] it survives a power cut.
//! After a failed commit the engine takes nothing more; whoever owns it drops it and opens the medium anew.
//!
//! A medium whose files are damaged mends them when it is opened (`salvage`), and says so ([`Mended`]).
//!
//! Deliberately not here: what keys and values mean (`keys`, `record`, `fate`).

mod disk;
#[cfg(test)]
pub(crate) mod fake;
mod journal;
mod reach;
mod salvage;

use std::fmt;
use std::sync::Arc;

use super::{DiskSpace, OpenError};

pub(crate) use disk::Disk;

/// A shared run of bytes; short ones are held in place.
pub(crate) type Slice = fjall::Slice;
/// What a scan gives, pair by pair.
pub(crate) type Pairs<'a> = Box<dyn DoubleEndedIterator<Item = Result<(Slice, Slice), EngineError>> + 'a>;

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
    /// Format 1 only.
    DedupExpiry,
    /// Format 1 only.
    Pending,
}

impl Space {
    pub(crate) const ALL: [Self; 16] = [
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
        Self::DedupExpiry,
        Self::Pending,
    ];

    /// Its name on disk.
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
            Self::DedupExpiry => "dedup_expiry",
            Self::Books => "books",
            Self::Meta => "meta",
            Self::Pending => "pending",
        }
    }
}

/// How far a commit goes before it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durability {
    /// Into our own memory.
    Held,
    /// To the operating system.
    Written,
    /// To the disk.
    Synced,
}

/// One change of a batch; without a value the key goes.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) space: Space,
    pub(crate) key: Slice,
    pub(crate) value: Option<Slice>,
}

/// Changes that are made together or not at all. A later change of a key counts over an earlier one.
#[derive(Debug, Default)]
pub(crate) struct Batch(pub(crate) Vec<Change>);

impl Batch {
    pub(crate) fn insert(&mut self, space: Space, key: impl Into<Slice>, value: impl Into<Slice>) {
        self.0.push(Change { space, key: key.into(), value: Some(value.into()) });
    }

    pub(crate) fn remove(&mut self, space: Space, key: impl Into<Slice>) {
        self.0.push(Change { space, key: key.into(), value: None });
    }
}

/// Why the engine did not do what it was asked.
#[derive(Debug)]
pub enum EngineError {
    /// Bytes on disk are not what was written: found by the engine's own checksums. Concerns what was read, not the rest.
    Damaged(String),
    /// It could not read or write.
    Failed(String),
    /// It met something earlier and writes no more; what, it does not say.
    Stopped,
    /// Somebody else has the store open.
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
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Slice>, EngineError>;

    /// All pairs from `from` on, up to before `to`.
    fn scan(&self, space: Space, from: &[u8], to: Option<&[u8]>) -> Pairs<'_>;

    /// The last key, without its value.
    fn last_key(&self, space: Space) -> Result<Option<Slice>, EngineError>;

    fn commit(&self, batch: Batch, durability: Durability) -> Result<(), EngineError>;

    /// Everything that was committed is on the disk afterwards.
    fn sync(&self) -> Result<(), EngineError>;

    /// Lets go of the space that removed events still take.
    fn give_space_back(&self) -> Result<(), EngineError>;

    fn contains(&self, space: Space, key: &[u8]) -> Result<bool, EngineError> {
        Ok(self.get(space, key)?.is_some())
    }

    /// Writes what a keyspace holds in memory to a file, and does not wait for it.
    #[cfg(test)]
    fn flush(&self, _space: Space) -> Result<(), EngineError> {
        Ok(())
    }
}

/// What an opening found damaged and did about it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mended {
    /// Files in which damage was found, or stretches of them.
    pub(crate) damages: u64,
    /// Events that were put back from damaged stretches.
    pub(crate) saved: u64,
    /// Event records that are lost for certain.
    pub(crate) lost: u64,
    /// The store was built anew.
    pub(crate) rebuilt: bool,
}

/// What a store lies on.
pub(crate) trait Medium: fmt::Debug + Send + Sync {
    /// Opens the store, or makes it. Where files were mended, events may have no place in it and its books may be wrong:
    /// whoever opens it sets that right (`restore`) and calls [`Medium::restored`], or is told again at the next opening.
    fn open(&self) -> Result<(Arc<dyn Engine>, Option<Mended>), OpenError>;

    /// What was mended has its place.
    fn restored(&self) -> Result<(), OpenError> {
        Ok(())
    }

    /// Damage was met: the next opening builds the store anew.
    fn suspect(&self) {}

    /// Whether all bytes are what was written. Reads them all.
    fn is_whole(&self) -> bool {
        true
    }

    /// Opens it after a failed write or sync: what is written from now on does not lie behind what may be missing.
    fn reopen(&self) -> Result<(Arc<dyn Engine>, Option<Mended>), OpenError> {
        self.open()
    }

    /// The space of the disk that it lies on, where that is known.
    fn space(&self) -> Option<DiskSpace>;
}
