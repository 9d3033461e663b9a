//! fjall on a disk.
//!
//! The data directory and its parents are synced after every open, because a file whose name was not synced can be gone
//! after a power cut although its content was.

use std::fs::File;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fjall::config::CompressionPolicy;
use fjall::{CompressionType, Database, Keyspace, KeyspaceCreateOptions, KvSeparationOptions, PersistMode};

use super::{Batch, Durability, Engine, EngineError, Medium, Pairs, Slice, Space};
use crate::buffer::{Fsync, OpenError, space};

/// What the engine may keep in memory of what it has read.
const CACHE_BYTES: u64 = 16 * 1024 * 1024;
/// What the engine's journals may grow to before it flushes.
const JOURNAL_BYTES_MAX: u64 = 128 * 1024 * 1024;
/// A memtable this full is written out; several keyspaces have one each.
const MEMTABLE_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// A folder on a disk.
#[derive(Clone, Debug)]
pub(crate) struct Disk {
    pub(crate) dir: PathBuf,
    pub(crate) fsync: Fsync,
}

impl Medium for Disk {
    fn open(&self) -> Result<Arc<dyn Engine>, OpenError> {
        Ok(Arc::new(Fjall::open(&self.dir, self.fsync)?))
    }

    fn is_low(&self) -> bool {
        space::is_low(&self.dir)
    }
}

struct Fjall {
    db: Database,
    /// In the order of [`Space::ALL`].
    keyspaces: Vec<Keyspace>,
}

impl Fjall {
    fn open(dir: &Path, fsync: Fsync) -> Result<Self, OpenError> {
        let io = |source| OpenError::Io { path: dir.to_owned(), source };
        // Events are confidential: nobody else reads them.
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
        let store = Self { db, keyspaces };
        store.db.persist(PersistMode::SyncAll).map_err(|error| opening(error, dir))?;
        sync_tree(dir).map_err(io)?;
        Ok(store)
    }

    fn keyspace(&self, space: Space) -> Result<&Keyspace, EngineError> {
        self.keyspaces.get(space as usize).ok_or_else(|| EngineError::Failed(format!("no keyspace {}", space.name())))
    }
}

fn options(space: Space) -> KeyspaceCreateOptions {
    let plain = KeyspaceCreateOptions::default()
        .max_memtable_size(MEMTABLE_BYTES_MAX)
        .data_block_compression_policy(CompressionPolicy::disabled());
    // Bodies lie in files of their own, which compaction does not rewrite.
    let bodies = KvSeparationOptions::default().compression(CompressionType::None);
    if space == Space::Events { plain.with_kv_separation(Some(bodies)) } else { plain }
}

impl Engine for Fjall {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Slice>, EngineError> {
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

    fn last_key(&self, space: Space) -> Result<Option<Slice>, EngineError> {
        Ok(self.keyspace(space)?.last_key_value().map(fjall::Guard::key).transpose()?)
    }

    fn contains(&self, space: Space, key: &[u8]) -> Result<bool, EngineError> {
        Ok(self.keyspace(space)?.contains_key(key)?)
    }

    fn commit(&self, batch: Batch, durability: Durability) -> Result<(), EngineError> {
        let mut written = self.db.batch();
        for change in batch.0 {
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
        Ok(written.durability(mode).commit()?)
    }

    fn sync(&self) -> Result<(), EngineError> {
        Ok(self.db.persist(PersistMode::SyncAll)?)
    }

    /// Memtables out, so that journals end, and the bodies' files rewritten.
    fn give_space_back(&self) -> Result<(), EngineError> {
        for space in Space::ALL {
            self.keyspace(space)?.rotate_memtable_and_wait()?;
        }
        Ok(self.keyspace(Space::Events)?.major_compact()?)
    }
}

impl From<fjall::Error> for EngineError {
    fn from(error: fjall::Error) -> Self {
        match error {
            fjall::Error::Locked => Self::Locked,
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
