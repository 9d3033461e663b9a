//! The storage engine on a disk: fjall.
//!
//! The data directory and its parents are synced after every open, because a file whose name was not synced can be gone
//! after a power cut although its content was.

use std::fs::File;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fjall::compaction::Leveled;
use fjall::config::{CompressionPolicy, FilterPolicy, PinningPolicy};
use fjall::{
    AbstractTree, CompressionType, Database, Keyspace, KeyspaceCreateOptions, KvSeparationOptions, PersistMode,
};

use super::overlap::Overlap;
use super::{Durability, Engine, EngineError, Medium, Mended, Pairs, Space, Value, Writes, journal, salvage};
use crate::buffer::{DiskSpace, Fsync, OpenError};

/// The most memory for data that the engine has read.
const CACHE_BYTES: u64 = 16 * 1024 * 1024;
/// The size of the engine's journals at which it flushes.
const JOURNAL_BYTES_MAX: u64 = 128 * 1024 * 1024;
/// The size at which a memtable is written out; each keyspace has one.
const MEMTABLE_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// The memtable size of events. A disk of 48 MiB has room for a journal and a table of this size. The engine keeps the
/// size with the keyspace, so a change of this number needs a mark in the store that tells which one it was made with.
const EVENTS_MEMTABLE_BYTES_MAX: u64 = 12 * 1024 * 1024;
/// The most memtables of events that wait to be written out; beyond it a commit waits for the worker.
const EVENTS_MEMTABLES_MAX: usize = 2;
/// The number of flushed tables of scattered keys that are merged at once, into tables of the size below.
const SCATTERED_TABLES: u8 = 8;
const SCATTERED_TABLE_BYTES: u64 = 8 * 1024 * 1024;
const SCATTERED_LEVEL_RATIO: f32 = 8.0;
/// The number of flushed tables of nearly ordered keys that are merged at once. Event ids grow but for those of one
/// millisecond, and events reach back (`overlap`), so each flushed table overlaps the last one a little. One table is
/// rewritten for that, so a smaller table is cheaper.
pub(super) const NEARLY_IN_ORDER_TABLES: u8 = 4;
const NEARLY_IN_ORDER_TABLE_BYTES: u64 = 8 * 1024 * 1024;
/// The number of flushed tables of delivery ids that are merged at once. Delivery ids scatter within their generation,
/// which is about seven flushed tables; merging more than that rewrites a generation about once. The tables are read
/// only where a filter may hold the id. At twenty the engine slows down writers.
const GENERATION_TABLES: u8 = 12;
const GENERATION_TABLE_BYTES: u64 = 16 * 1024 * 1024;
/// The most reports of a full memtable to the engine's worker, which has room for 1,000 such messages.
const REPORTS_MAX: u64 = 250;
/// The longest wait of a commit for the worker, which may never come.
const WORKER_WAIT_MAX: Duration = Duration::from_secs(1);
const WORKER_POLL: Duration = Duration::from_millis(1);
/// The longest wait for memtables to be written out before a compaction. It is shorter than the time after which a
/// batch counts as hanging.
const FLUSH_WAIT_MAX: Duration = Duration::from_secs(5);
const FLUSH_POLL: Duration = Duration::from_millis(10);

/// The key written before each compaction, so that there is something newer than what it may remove.
const COMPACTED_KEY: &str = "compacted";
/// The number of closed snapshots after which fjall 3.1.13 looks for its oldest one.
const SNAPSHOTS_UNTIL_GC: usize = 10_000;

/// A folder on a disk.
#[derive(Clone, Debug)]
pub(crate) struct Disk {
    pub(crate) dir: PathBuf,
    pub(crate) fsync: Fsync,
}

impl Medium for Disk {
    fn open(&self) -> Result<(Arc<dyn Engine>, Option<Mended>), OpenError> {
        let (engine, mended) = salvage::open(&self.dir, self.fsync)?;
        Ok((Arc::new(engine), mended))
    }

    fn restored(&self) -> Result<(), OpenError> {
        salvage::forget_mended(&self.dir)
    }

    fn mark_damaged(&self) {
        salvage::mark_damaged(&self.dir);
    }

    fn is_whole(&self) -> bool {
        salvage::is_whole(&self.dir)
    }

    fn reopen(&self) -> Result<(Arc<dyn Engine>, Option<Mended>), OpenError> {
        journal::write_again(&self.dir).map_err(|source| OpenError::Io { path: self.dir.clone(), source })?;
        self.open()
    }

    fn space(&self) -> Option<DiskSpace> {
        DiskSpace::of(&self.dir)
    }
}

pub(super) struct Fjall {
    pub(super) db: Database,
    /// The keyspaces, in the order of [`Space::ALL`].
    keyspaces: Vec<Keyspace>,
    /// The number of reports of full memtables since none was full.
    reports: AtomicU64,
    reach: Overlap,
}

impl Fjall {
    /// Opens the engine over the files in `dir`.
    pub(super) fn open(dir: &Path, fsync: Fsync) -> Result<Self, OpenError> {
        let io = |source| OpenError::Io { path: dir.to_owned(), source };
        // Events are confidential: only the owner reads them.
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(io)?;
        let db = Database::builder(dir)
            .cache_size(CACHE_BYTES)
            .max_journaling_size(JOURNAL_BYTES_MAX)
            .manual_journal_persist(matches!(fsync, Fsync::Memory))
            .journal_compression(CompressionType::None)
            // With two workers fjall 3.1.13 spins: one hands every compaction on to the other, which is busy with one.
            .worker_threads(1)
            .open()
            .map_err(|error| opening(error, dir))?;
        let mut keyspaces = Vec::with_capacity(Space::ALL.len());
        for space in Space::ALL {
            keyspaces.push(db.keyspace(space.name(), || options(space)).map_err(|error| opening(error, dir))?);
        }
        let reach = Overlap::new();
        let store = Self { db, keyspaces, reports: AtomicU64::new(0), reach };
        if let Some(last) = store.last_key(Space::Events).map_err(OpenError::Engine)? {
            store.reach.comes(&last);
        }
        store.db.persist(PersistMode::SyncAll).map_err(|error| opening(error, dir))?;
        sync_tree(dir).map_err(io)?;
        Ok(store)
    }

    pub(super) fn keyspace(&self, space: Space) -> Result<&Keyspace, EngineError> {
        self.keyspaces.get(space as usize).ok_or_else(|| EngineError::Failed(format!("no keyspace {}", space.name())))
    }
}

// The engine keeps these options with the keyspace: a change here affects only keyspaces that are made afterwards.

const fn memtable_bytes_max(space: Space) -> u64 {
    if matches!(space, Space::Events) { EVENTS_MEMTABLE_BYTES_MAX } else { MEMTABLE_BYTES_MAX }
}

fn options(space: Space) -> KeyspaceCreateOptions {
    let plain = KeyspaceCreateOptions::default()
        .max_memtable_size(memtable_bytes_max(space))
        .data_block_compression_policy(CompressionPolicy::disabled());
    match space {
        Space::Lanes => scattered(plain),
        // Bodies lie in files of their own, which compaction does not rewrite.
        Space::Events => nearly_in_order(plain)
            .with_kv_separation(Some(KvSeparationOptions::default().compression(CompressionType::None))),
        Space::Ids => nearly_in_order(plain),
        // A look-up of a delivery id has asked a filter before.
        Space::Dedup => in_order(plain).compaction_strategy(Arc::new(
            Leveled::default().with_l0_threshold(GENERATION_TABLES).with_table_target_size(GENERATION_TABLE_BYTES),
        )),
        Space::Queue
        | Space::Fate
        | Space::Expiry
        | Space::Dead
        | Space::Quarantine
        | Space::Unverified
        | Space::Ordered
        | Space::Filters
        | Space::Books
        | Space::Meta => in_order(plain),
    }
}

/// Returns the options of growing keys: written in order, read in order, and looked up only where they are. A filter
/// would stay in memory for as long as the backlog lasts, and only ever say yes.
fn in_order(plain: KeyspaceCreateOptions) -> KeyspaceCreateOptions {
    plain.filter_policy(FilterPolicy::disabled())
}

fn nearly_in_order(plain: KeyspaceCreateOptions) -> KeyspaceCreateOptions {
    in_order(plain).compaction_strategy(Arc::new(
        Leveled::default()
            .with_l0_threshold(NEARLY_IN_ORDER_TABLES)
            .with_table_target_size(NEARLY_IN_ORDER_TABLE_BYTES),
    ))
}

/// Returns the options of scattered keys, which are looked up before each write, nearly always in vain.
///
/// Filters are held in memory, 10 bits a key. By default a table has one filter, in the cache. A filter larger than a
/// part of the cache is never kept, and is read and checked whole at each lookup, which stops everything at two million
/// keys. Smaller tables and levels than the engine's own let a compaction rewrite less.
fn scattered(plain: KeyspaceCreateOptions) -> KeyspaceCreateOptions {
    let levels = Leveled::default()
        .with_l0_threshold(SCATTERED_TABLES)
        .with_table_target_size(SCATTERED_TABLE_BYTES)
        .with_level_ratio_policy(vec![SCATTERED_LEVEL_RATIO]);
    plain
        .filter_block_pinning_policy(PinningPolicy::all(true))
        .index_block_pinning_policy(PinningPolicy::all(true))
        .compaction_strategy(Arc::new(levels))
}

impl Fjall {
    fn full_memtables(&self) -> u64 {
        let is_full = |(space, keyspace): &(Space, &Keyspace)| {
            keyspace.tree.active_memtable().size() > memtable_bytes_max(*space)
        };
        Space::ALL.into_iter().zip(&self.keyspaces).filter(is_full).count() as u64
    }

    /// Waits until the memtables are written out. The engine's own wait never ends once its worker has stopped at a
    /// full disk, and the engine reports the stop only to the next writer.
    fn wait_for_flushes(&self) -> Result<(), EngineError> {
        let begun = tokio::time::Instant::now();
        while self.keyspaces.iter().any(|keyspace| keyspace.tree.sealed_memtable_count() > 0) {
            self.db.persist(PersistMode::Buffer)?;
            if begun.elapsed() >= FLUSH_WAIT_MAX {
                return Err(EngineError::Failed("memtables are not written out in time".into()));
            }
            std::thread::sleep(FLUSH_POLL);
        }
        Ok(())
    }

    fn waiting_memtables(&self) -> usize {
        self.keyspaces.get(Space::Events as usize).map_or(0, |keyspace| keyspace.tree.sealed_memtable_count())
    }

    /// Waits for the engine's worker after a commit.
    ///
    /// Memtables that wait to be written out are memory: a merge of one second is 200 MB of it at full speed.
    ///
    /// Each commit reports each full memtable, repeatedly while the worker compacts, and the worker sends to the same
    /// channel. Once that channel is full, fjall 3.1.13 with one worker stands still for ever, and memtables and
    /// journals grow without bound.
    fn wait_for_worker(&self) {
        let found = self.full_memtables();
        if found == 0 {
            self.reports.store(0, Ordering::Relaxed);
        }
        let reports = self.reports.fetch_add(found, Ordering::Relaxed);
        let is_behind = || self.waiting_memtables() > EVENTS_MEMTABLES_MAX;
        let is_full = || reports >= REPORTS_MAX && self.full_memtables() > 0;
        let begun = tokio::time::Instant::now();
        while (is_behind() || is_full()) && begun.elapsed() < WORKER_WAIT_MAX {
            std::thread::sleep(WORKER_POLL);
        }
    }
}

impl Engine for Fjall {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Value>, EngineError> {
        Ok(self.keyspace(space)?.get(key)?)
    }

    fn scan(&self, space: Space, from: &[u8], to: Option<&[u8]>) -> Pairs<'_> {
        let keyspace = match self.keyspace(space) {
            Ok(keyspace) => keyspace,
            Err(error) => return Box::new(std::iter::once(Err(error))),
        };
        let found = match to {
            Some(to) => keyspace.range(from..to),
            None => keyspace.range(from..),
        };
        Box::new(found.map(|pair| Ok(pair.into_inner()?)))
    }

    fn last_key(&self, space: Space) -> Result<Option<Value>, EngineError> {
        Ok(self.keyspace(space)?.last_key_value().map(fjall::Guard::key).transpose()?)
    }

    fn contains(&self, space: Space, key: &[u8]) -> Result<bool, EngineError> {
        Ok(self.keyspace(space)?.contains_key(key)?)
    }

    fn commit(&self, batch: Writes, durability: Durability) -> Result<(), EngineError> {
        let mut written = self.db.batch();
        let events = self.keyspace(Space::Events)?;
        if let Some(key) = self.reach.back(events.tree.active_memtable().id()) {
            written.remove(events, key);
        }
        for change in batch.0 {
            if change.space == Space::Events && change.value.is_some() {
                self.reach.comes(&change.key);
            }
            let keyspace = self.keyspace(change.space)?;
            match change.value {
                Some(value) => written.insert(keyspace, change.key, value),
                None => written.remove(keyspace, change.key),
            }
        }
        let mode = match durability {
            Durability::Held => None,
            Durability::Written => Some(PersistMode::Buffer),
            Durability::Synced => Some(PersistMode::SyncData),
        };
        let committed = written.durability(mode).commit();
        self.wait_for_worker();
        Ok(committed?)
    }

    fn sync(&self) -> Result<(), EngineError> {
        Ok(self.db.persist(PersistMode::SyncAll)?)
    }

    /// Writes out all memtables, so that journals end, and rewrites the files of bodies.
    fn give_space_back(&self) -> Result<(), EngineError> {
        for space in Space::ALL {
            self.keyspace(space)?.rotate_memtable()?;
        }
        self.wait_for_flushes()?;
        // Files are removed with the last version that names them. The engine drops versions older than its oldest
        // snapshot, which it looks for once in 10,000 closed ones. With few writes and reads, as on a full disk, that
        // never happens by itself.
        self.keyspace(Space::Meta)?.insert(COMPACTED_KEY, [])?;
        for _ in 0..SNAPSHOTS_UNTIL_GC {
            drop(self.db.snapshot());
        }
        Ok(self.keyspace(Space::Events)?.major_compact()?)
    }

    #[cfg(test)]
    fn flush(&self, space: Space) -> Result<(), EngineError> {
        self.keyspace(space)?.rotate_memtable()?;
        Ok(())
    }
}

impl From<fjall::Error> for EngineError {
    fn from(error: fjall::Error) -> Self {
        match error {
            fjall::Error::Locked => Self::Locked,
            fjall::Error::Poisoned => Self::Stopped,
            error if salvage::is_damage(&error) => Self::Damaged(format!("{error:?}")),
            other => Self::Failed(format!("{other:?}")),
        }
    }
}

fn opening(error: fjall::Error, dir: &Path) -> OpenError {
    match error {
        fjall::Error::Locked => OpenError::Locked(dir.to_owned()),
        other => OpenError::Engine(other.into()),
    }
}

/// Syncs the directory, its folders and its parent, so that the names in them survive a power cut.
fn sync_tree(dir: &Path) -> io::Result<()> {
    let mut folders: Vec<PathBuf> = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            }
        }
        File::open(&folder)?.sync_all()?;
    }
    match dir.canonicalize()?.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}
