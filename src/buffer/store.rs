//! The embedded engine: a fjall database and its keyspaces, opened, closed and looked into.
//!
//! Only the committer writes. The data directory and its parents are synced after every open, because a file whose name
//! was not synced can be gone after a power cut although its content was.

use std::fs::File;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use fjall::config::CompressionPolicy;
use fjall::{CompressionType, Database, Keyspace, KeyspaceCreateOptions, KvSeparationOptions, PersistMode};

use super::salvage::{self, Salvage};
use super::{Fsync, OpenError};

/// The version of what this file lays out on disk.
const FORMAT: &str = "1";
const FORMAT_KEY: &str = "format";
/// What the engine may keep in memory of what it has read.
const CACHE_BYTES: u64 = 16 * 1024 * 1024;
/// What the engine's journals may grow to before it flushes.
const JOURNAL_BYTES_MAX: u64 = 128 * 1024 * 1024;
/// A memtable this full is written out; several keyspaces have one each.
const MEMTABLE_BYTES_MAX: u64 = 8 * 1024 * 1024;

pub(crate) struct Store {
    pub(crate) db: Database,
    pub(crate) events: Keyspace,
    pub(crate) queue: Keyspace,
    pub(crate) pending: Keyspace,
    pub(crate) expiry: Keyspace,
    pub(crate) dead: Keyspace,
    pub(crate) quarantine: Keyspace,
    pub(crate) unverified: Keyspace,
    pub(crate) dedup: Keyspace,
    pub(crate) dedup_expiry: Keyspace,
    pub(crate) meta: Keyspace,
}

impl Store {
    /// Opens the store, mending what is damaged.
    pub(crate) fn open(dir: &Path, fsync: Fsync) -> Result<(Self, Salvage), OpenError> {
        salvage::open(dir, fsync)
    }

    /// Opens the engine and nothing else.
    pub(super) fn open_engine(dir: &Path, fsync: Fsync) -> Result<Self, OpenError> {
        // Events are confidential: nobody else reads them.
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
        made.map_err(|source| OpenError::Io { path: dir.to_owned(), source })?;
        let db = Database::builder(dir)
            .cache_size(CACHE_BYTES)
            .max_journaling_size(JOURNAL_BYTES_MAX)
            .manual_journal_persist(matches!(fsync, Fsync::Memory))
            .journal_compression(CompressionType::None)
            // With two workers fjall 3.1.13 spins: one hands every compaction on to the other, which is busy with one.
            .worker_threads(1)
            .open()?;
        let plain = || {
            KeyspaceCreateOptions::default()
                .max_memtable_size(MEMTABLE_BYTES_MAX)
                .data_block_compression_policy(CompressionPolicy::disabled())
        };
        // Bodies lie in files of their own, which compaction does not rewrite.
        let bodies = KvSeparationOptions::default().compression(CompressionType::None);
        let keyspace = |name: &str| db.keyspace(name, plain);
        let store = Self {
            events: db.keyspace("events", || plain().with_kv_separation(Some(bodies.clone())))?,
            queue: keyspace("queue")?,
            pending: keyspace("pending")?,
            expiry: keyspace("expiry")?,
            dead: keyspace("dead")?,
            quarantine: keyspace("quarantine")?,
            unverified: keyspace("unverified")?,
            dedup: keyspace("dedup")?,
            dedup_expiry: keyspace("dedup_expiry")?,
            meta: keyspace("meta")?,
            db,
        };
        store.check_format()?;
        store.db.persist(PersistMode::SyncAll)?;
        sync_tree(dir).map_err(|source| OpenError::Io { path: dir.to_owned(), source })?;
        Ok(store)
    }

    fn check_format(&self) -> Result<(), OpenError> {
        match self.meta.get(FORMAT_KEY)? {
            Some(found) if *found == *FORMAT.as_bytes() => Ok(()),
            Some(found) => Err(OpenError::Format(String::from_utf8_lossy(&found).into_owned())),
            None => Ok(self.meta.insert(FORMAT_KEY, FORMAT)?),
        }
    }

    /// All keyspaces by name.
    pub(super) fn keyspaces(&self) -> [(&'static str, &Keyspace); 10] {
        [
            ("meta", &self.meta),
            ("events", &self.events),
            ("queue", &self.queue),
            ("pending", &self.pending),
            ("expiry", &self.expiry),
            ("dead", &self.dead),
            ("quarantine", &self.quarantine),
            ("unverified", &self.unverified),
            ("dedup", &self.dedup),
            ("dedup_expiry", &self.dedup_expiry),
        ]
    }

    /// Makes the engine let go of what was removed: memtables out, so that journals end, and the bodies' files rewritten.
    pub(crate) fn give_space_back(&self) -> Result<(), fjall::Error> {
        let small = [&self.queue, &self.pending, &self.expiry, &self.dead, &self.quarantine, &self.unverified];
        for keyspace in small.into_iter().chain([&self.dedup, &self.dedup_expiry, &self.events]) {
            keyspace.rotate_memtable_and_wait()?;
        }
        self.events.major_compact()
    }

    /// The highest sequence that is in use.
    pub(crate) fn last_sequence(&self) -> Result<u64, fjall::Error> {
        let Some(last) = self.events.last_key_value() else { return Ok(0) };
        Ok(last.key()?.as_ref().try_into().map_or(0, u64::from_be_bytes))
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
