//! Rebuild of a damaged store from its readable records.
//!
//! The damaged store is moved to `salvage/before`, a new one is opened in its place, and every readable record is
//! copied over. Unreadable events that another record names are searched in the raw files. `reindex` queues events that
//! no record names any more. A query for a lost body finds it missing, and says so.
//!
//! A rebuild can be interrupted at any point: `salvage/rebuilding` holds its progress, and the next opening goes on
//! from there. It takes as much space again as the store has, and as long as copying it takes.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use fjall::{CompressionType, Database, Keyspace, KeyspaceCreateOptions};

use super::reinsert::{PutBack, is_plausible, wanted};
use super::{
    FOLDER, SUSPECTED, Saved, frames, is_damage, journals, read_around, remember_mended, remove_file, roots,
    sync_folder, write_synced,
};
use crate::buffer::engine::disk::Fjall;
use crate::buffer::engine::{Durability, Engine, EngineError, Mended, Space, Value, Writes};
use crate::buffer::keys::sequence_time;
use crate::buffer::record;
use crate::buffer::{Fsync, OpenError, space};
use crate::event::{EventData, EventId};

const PROGRESS: &str = "rebuilding";
const MOVING: &[u8] = b"moving";
const COPYING: &[u8] = b"copying";
/// The folder of the damaged store.
const BEFORE: &str = "before";
/// The folder of keyspaces that the engine cannot open.
const ASIDE: &str = "aside";
/// The size at which a batch of copied records ends.
const BATCH_BYTES: usize = 4 * 1024 * 1024;

pub(super) fn is_under_way(dir: &Path) -> bool {
    dir.join(FOLDER).join(PROGRESS).exists()
}

/// Moves a keyspace with a damaged root out of the engine's sight.
pub(super) fn set_aside(dir: &Path, folder: &Path) -> io::Result<()> {
    let aside = dir.join(FOLDER).join(ASIDE);
    fs::create_dir_all(&aside)?;
    let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let free = (0_u32..1000).map(|number| aside.join(format!("{name}.{number}"))).find(|path| !path.exists());
    fs::rename(folder, free.ok_or(io::ErrorKind::AlreadyExists)?)?;
    sync_folder(&aside)?;
    folder.parent().map_or(Ok(()), sync_folder)
}

/// Rebuilds the store and opens it.
pub(super) fn copy_readable(dir: &Path, fsync: Fsync, mended: &mut Mended) -> Result<Fjall, OpenError> {
    tracing::warn!("the damaged buffer is being rebuilt from its readable records; this copies the whole buffer");
    let io_error = |source| OpenError::Io { path: dir.to_owned(), source };
    let before = dir.join(FOLDER).join(BEFORE);
    let bytes = bytes_in(if before.exists() { &before } else { dir }).map_err(io_error)?;
    if !space::has_room(dir, bytes) {
        // Nothing is moved: the next opening tries again.
        let needed =
            format!("it is damaged and has to be built anew, which takes {bytes} bytes more than the disk has free");
        return Err(io_error(io::Error::new(io::ErrorKind::StorageFull, needed)));
    }
    move_away(dir, &before).map_err(io_error)?;
    let store = Fjall::open(dir, fsync)?;
    let mut copy =
        Copy { store: &store, copied: BTreeSet::new(), ids: HashSet::new(), gaps: BTreeMap::new(), unread: 0 };
    let is_copied = match open_damaged(&before) {
        Some(old) => {
            let copied = catch_unwind(AssertUnwindSafe(|| copy.everything(&old)));
            match copied {
                Ok(copied) => {
                    copied?;
                    true
                }
                Err(_panic) => false,
            }
        }
        None => false,
    };
    if !is_copied {
        tracing::error!(
            "the damaged store cannot be read as a store; every event found in its files is delivered again"
        );
    }
    let mut put = PutBack::new(&store)?;
    let missing: BTreeSet<u64> = wanted(&store)?.difference(&copy.copied).copied().collect();
    // Where the queue and the events both have gaps, an event may be missing in both.
    let takes_all = !is_copied
        || [Space::Events, Space::Queue].iter().all(|space| copy.gaps.get(space).is_some_and(|gaps| *gaps > 0));
    let mut search = Search { missing, takes_all, ids: copy.ids, put: &mut put };
    let mut files = journals(&before).map_err(io_error)?;
    for folder in [dir.join(FOLDER).join(ASIDE), before.join("keyspaces")] {
        files.extend(values_in(&folder).map_err(io_error)?);
    }
    for path in files {
        if search.takes_all || !search.missing.is_empty() {
            search.file(&fs::read(path).map_err(io_error)?)?;
        }
    }
    let lost = search.missing.len() as u64;
    let found = put.finish()?;
    store.sync()?;
    let (gaps, unread) = (copy.gaps.values().sum::<u64>(), copy.unread);
    tracing::error!(gaps, unread, found, lost, "the buffer was built anew");
    mended.damages += (gaps + unread).max(1);
    mended.saved += found;
    mended.lost += lost;
    mended.rebuilt = true;
    remember_mended(dir).map_err(io_error)?;
    finish(dir, &before).map_err(io_error)?;
    Ok(store)
}

/// Returns a folder's size on disk; a preallocated journal that is not yet full takes less than its length.
fn bytes_in(folder: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() { bytes_in(&entry.path())? } else { metadata.blocks() * 512 };
    }
    Ok(bytes)
}

/// Moves all but our own folder, or goes on with that; the copies of an interrupted rebuild are removed.
fn move_away(dir: &Path, before: &Path) -> io::Result<()> {
    let progress = dir.join(FOLDER).join(PROGRESS);
    let is_copying = fs::read(&progress).is_ok_and(|content| content == COPYING);
    if !progress.exists() {
        roots::remove(before)?;
        write_synced(&progress, MOVING)?;
    }
    fs::create_dir_all(before)?;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_name() == FOLDER {
            continue;
        }
        match (is_copying, entry.file_type()?.is_dir()) {
            (true, true) => fs::remove_dir_all(&path)?,
            (true, false) => fs::remove_file(&path)?,
            (false, _) => fs::rename(&path, before.join(entry.file_name()))?,
        }
    }
    sync_folder(before)?;
    sync_folder(dir)?;
    write_synced(&progress, COPYING)
}

fn finish(dir: &Path, before: &Path) -> io::Result<()> {
    let folder = dir.join(FOLDER);
    for mark in [SUSPECTED, PROGRESS] {
        remove_file(&folder.join(mark))?;
    }
    sync_folder(&folder)?;
    roots::remove(before)?;
    roots::remove(&folder.join(ASIDE))
}

/// Opens the damaged store without its workers: they would compact, and stop at the damage.
fn open_damaged(before: &Path) -> Option<Database> {
    let open = || {
        let builder = Database::builder(before).journal_compression(CompressionType::None);
        catch_unwind(AssertUnwindSafe(|| builder.worker_threads_unchecked(0).open()))
    };
    if !before.join("keyspaces").exists() {
        return None;
    }
    if let Ok(Ok(database)) = open() {
        return Some(database);
    }
    // A table with a damaged root of its own keeps its keyspace from opening, and with it the whole store.
    for folder in roots::folders(&before.join("keyspaces")).ok()? {
        if !roots::is_whole(&folder).unwrap_or(false) && !folder.ends_with("0") {
            tracing::error!(folder = %folder.display(), "a keyspace cannot be opened; its files are searched for events");
            set_aside(before.parent()?.parent()?, &folder).ok()?;
        }
    }
    open().ok()?.inspect_err(|error| tracing::error!(%error, "the damaged store cannot be opened")).ok()
}

struct Copy<'a> {
    store: &'a Fjall,
    /// Sequences of the events that were copied.
    copied: BTreeSet<u64>,
    ids: HashSet<EventId>,
    /// The number of gaps by keyspace; a missing keyspace counts as one gap.
    gaps: BTreeMap<Space, u64>,
    /// The number of events that could not be read.
    unread: u64,
}

impl Copy<'_> {
    fn everything(&mut self, old: &Database) -> Result<(), EngineError> {
        // Filters are built again later.
        for space in Space::ALL.into_iter().filter(|space| *space != Space::Filters) {
            if !old.keyspace_exists(space.name()) {
                self.gaps.insert(space, 1);
                continue;
            }
            let from = old.keyspace(space.name(), KeyspaceCreateOptions::default)?;
            let gaps = if space == Space::Events { self.events(&from)? } else { self.records(&from, space)? };
            self.gaps.insert(space, gaps);
        }
        Ok(())
    }

    fn records(&mut self, from: &Keyspace, to: Space) -> Result<u64, EngineError> {
        let mut copying = Copying { store: self.store, batch: Writes::default(), bytes: 0 };
        let gaps = read_around::read(from, true, |key, value| copying.add(to, key, value.unwrap_or_default()))?;
        copying.end()?;
        Ok(gaps)
    }

    fn events(&mut self, from: &Keyspace) -> Result<u64, EngineError> {
        let mut copying = Copying { store: self.store, batch: Writes::default(), bytes: 0 };
        let (mut copied, mut ids, mut unread) = (BTreeSet::new(), HashSet::new(), 0);
        let gaps = read_around::read(from, false, |key, _| {
            let record = match from.get(&key) {
                Ok(record) => record,
                Err(error) if is_damage(&error) => None,
                Err(error) => return Err(error.into()),
            };
            let event = record.as_ref().and_then(|record| record::decode(record).ok());
            let (Some(record), Some(event), Ok(seq)) = (record, event, <[u8; 8]>::try_from(&*key)) else {
                unread += 1;
                return Ok(());
            };
            copied.insert(u64::from_be_bytes(seq));
            ids.insert(event.id);
            copying.add(Space::Events, key, record)
        })?;
        copying.end()?;
        (self.copied, self.ids) = (copied, ids);
        self.unread += unread;
        Ok(gaps)
    }
}

/// Records on their way into the new store, in batches of a bounded size.
struct Copying<'a> {
    store: &'a Fjall,
    batch: Writes,
    bytes: usize,
}

impl Copying<'_> {
    fn add(&mut self, to: Space, key: Value, value: Value) -> Result<(), EngineError> {
        self.bytes += key.len() + value.len() + 64;
        self.batch.insert(to, key, value);
        if self.bytes >= BATCH_BYTES {
            self.bytes = 0;
            return self.store.commit(std::mem::take(&mut self.batch), Durability::Written);
        }
        Ok(())
    }

    fn end(self) -> Result<(), EngineError> {
        self.store.commit(self.batch, Durability::Written)
    }
}

/// The search for missing events in raw files.
struct Search<'a, 'b> {
    missing: BTreeSet<u64>,
    /// True when no record says which events are missing.
    takes_all: bool,
    ids: HashSet<EventId>,
    put: &'a mut PutBack<'b>,
}

impl Search<'_, '_> {
    /// Finds the sequence of an event in a table, which holds only the part of a key that differs from the one before
    /// it. Of the missing sequences that fit, the one closest to the event's receipt is taken.
    fn key_in_table(&self, before: &[u8], length: usize, event: &EventData) -> Option<u64> {
        let fit = self.missing.iter().copied().filter(|seq| is_plausible(*seq, event));
        let fit = fit.filter(|seq| is_key_of_table(before, length, *seq));
        fit.min_by_key(|seq| sequence_time(*seq).unix_ms().abs_diff(event.received_at_ms))
    }

    fn file(&mut self, bytes: &[u8]) -> Result<(), EngineError> {
        for frame in frames::find(bytes) {
            let Some(record) = bytes.get(frame.clone()) else { continue };
            let Ok(event) = record::decode(record) else { continue };
            let before = bytes.get(..frame.start).unwrap_or_default();
            if self.ids.contains(&event.id) {
                continue;
            }
            let own = key_before(before).filter(|seq| is_plausible(*seq, &event));
            let seq = own.or_else(|| self.key_in_table(before, record.len(), &event));
            if seq.is_some_and(|seq| self.missing.remove(&seq)) || self.takes_all {
                self.ids.insert(event.id);
                self.put.event(&Saved { seq, record: record.to_vec(), dedup: Vec::new() })?;
            }
        }
        Ok(())
    }
}

/// Lists blob files and tables of all keyspaces in a folder.
fn values_in(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    if folder.exists() {
        for keyspace in roots::folders(folder)? {
            for kind in ["blobs", "tables"].map(|kind| keyspace.join(kind)).iter().filter(|kind| kind.exists()) {
                let mut of_kind = fs::read_dir(kind)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
                of_kind.sort();
                files.extend(of_kind);
            }
        }
    }
    Ok(files)
}

/// Returns the key right before a value, as blob files and journals have it.
fn key_before(before: &[u8]) -> Option<u64> {
    before.last_chunk().map(|key| u64::from_be_bytes(*key))
}

/// Checks for a table's key: its own part stands before the length of the value, and before that the lengths of both
/// parts.
fn is_key_of_table(before: &[u8], length: usize, seq: u64) -> bool {
    let mut varint = Vec::new();
    let mut rest = length;
    while rest >= 0x80 {
        varint.push(u8::try_from(rest & 0x7f).unwrap_or_default() | 0x80);
        rest >>= 7;
    }
    varint.push(u8::try_from(rest).unwrap_or_default());
    let Some(before) = before.strip_suffix(varint.as_slice()) else { return false };
    let key = seq.to_be_bytes();
    (1..=8_u8).any(|own| {
        let tail = key.get(usize::from(8 - own)..).unwrap_or_default();
        let is_full = own == 8 && before.strip_suffix(tail).is_some_and(|head| head.last() == Some(&8));
        is_full || before.strip_suffix(tail).is_some_and(|head| head.ends_with(&[8 - own, own]))
    })
}
