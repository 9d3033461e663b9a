//! Damage on disk: found by checksum, limited to the record that it hit, counted, and never a silent wrong body.
//!
//! **Before the engine opens** the directory, its journals and roots are checked and repaired (`journal.rs`,
//! `roots.rs`): the engine would cut a damaged journal off silently, and delete files that a damaged manifest no longer
//! names.
//!
//! **While it runs**, a checksum that does not match ([`is_damage`]) puts a mark into the directory ([`mark_damaged`]). The
//! next opening finds the mark and rebuilds the store from its readable records (`copy_readable.rs`): the engine would meet
//! the damage again in every compaction, and stop writing each time.
//!
//! **Afterwards** whole event records from damaged stretches are put back (`reinsert.rs`), if the store does not have
//! them. An event may be delivered twice by that; an answered one is not lost unless its own record was hit.
//!
//! Deliberately not here: read errors of the disk itself (they are reported as such), the place of an event that was
//! put back (`reindex`, once the store is open), and the end of a delivery whose event is gone (`scan`).

mod copy_readable;
mod frames;
mod journal;
mod read_around;
mod reinsert;
mod roots;
#[cfg(test)]
mod tests;

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use super::disk::Fjall;
use super::{Engine, EngineError, Mended, Space};
use crate::buffer::{Fsync, OpenError};
use journal::JournalFix;

/// The gateway's own folder in the directory; the engine does not look at it.
const FOLDER: &str = "salvage";
/// The mark in it that the next opening rebuilds the store.
const SUSPECTED: &str = "suspected";
/// The folder in it with journals as they were before their repair.
const JOURNALS: &str = "journals";
/// The file in it with events of a damaged journal that are not yet back in the store.
const SAVED: &str = "saved";
/// The mark in it that files were repaired, and events may have no place in the store yet.
const MENDED: &str = "mended";

type KeyValue = (Vec<u8>, Vec<u8>);

/// A whole event record from a damaged stretch.
#[derive(Debug)]
pub(super) struct Saved {
    /// The sequence that seems to be its own.
    seq: Option<u64>,
    record: Vec<u8>,
    /// The `dedup` records that detect its duplicate, where they are known.
    dedup: Vec<KeyValue>,
}

impl Saved {
    fn to_bytes(&self) -> Vec<u8> {
        [&self.seq.unwrap_or(0).to_be_bytes()[..], &self.record].concat()
    }

    /// Returns the whole records in a stretch of bytes, each with the number before it.
    fn all_in(bytes: &[u8]) -> Vec<Self> {
        let all = frames::find(bytes).map(|frame| {
            let seq =
                bytes.get(..frame.start).and_then(|before| before.last_chunk().map(|seq| u64::from_be_bytes(*seq)));
            Self { seq, record: bytes.get(frame).unwrap_or_default().to_vec(), dedup: Vec::new() }
        });
        all.collect()
    }
}

/// Opens the engine and repairs damage.
pub(super) fn open(dir: &Path, fsync: Fsync) -> Result<(Fjall, Option<Mended>), OpenError> {
    let io_error = |source| OpenError::Io { path: dir.to_owned(), source };
    let (mut mended, mut found) = (Mended::default(), Found::default());
    if dir.join("keyspaces").exists() || dir.join(FOLDER).exists() {
        // No other process may have it open during the repair; the engine takes the lock after us.
        let lock = lock(dir)?;
        found = prepare(dir, &mut mended).map_err(io_error)?;
        drop(lock);
    }
    let mut opened = if is_marked_damaged(dir) { None } else { Some(guarded(dir, fsync)) };
    if let Some(Err(OpenError::Engine(EngineError::Damaged(what)))) = &opened {
        tracing::error!(what, "the store cannot be opened; it is built anew from what can be read");
        mark_damaged(dir);
        opened = None;
    }
    let mut engine = match opened {
        Some(opened) => opened?,
        None => copy_readable::copy_readable(dir, fsync, &mut mended)?,
    };
    if !found.saved.is_empty() {
        // From here on an interrupted opening leaves the events in the store, without a place there.
        remember_mended(dir).map_err(io_error)?;
    }
    let mut brought = bring_back(&engine, &found, mended);
    if matches!(brought, Err(EngineError::Damaged(_))) && !mended.rebuilt {
        drop(engine);
        mark_damaged(dir);
        engine = copy_readable::copy_readable(dir, fsync, &mut mended)?;
        brought = bring_back(&engine, &found, mended);
    }
    mended = brought?;
    if mended != Mended::default() {
        let Mended { damages, saved, lost, rebuilt } = mended;
        tracing::error!(damages, saved, lost, rebuilt, "the buffer's files were damaged and are mended");
        remember_mended(dir).map_err(io_error)?;
    }
    forget_saved(dir).map_err(io_error)?;
    roots::remember_names(dir).map_err(io_error)?;
    Ok((engine, dir.join(FOLDER).join(MENDED).exists().then_some(mended)))
}

/// Puts the events of the journals' damaged stretches into the store.
fn bring_back(engine: &Fjall, found: &Found, mut mended: Mended) -> Result<Mended, EngineError> {
    mended.saved += reinsert::put_back(engine, &found.saved)?;
    for seq in &found.lost {
        mended.lost += u64::from(!engine.contains(Space::Events, &seq.to_be_bytes())?);
    }
    Ok(mended)
}

/// Marks the store: each opening asks for a reindex until one was done.
fn remember_mended(dir: &Path) -> io::Result<()> {
    write_synced(&dir.join(FOLDER).join(MENDED), b"")
}

/// Removes that mark after the reindex.
pub(super) fn forget_mended(dir: &Path) -> Result<(), OpenError> {
    remove_file(&dir.join(FOLDER).join(MENDED)).map_err(|source| OpenError::Io { path: dir.to_owned(), source })
}

/// Takes the engine's lock for as long as the file lives.
fn lock(dir: &Path) -> Result<File, OpenError> {
    let path = dir.join("lock");
    let opened = File::options().create(true).truncate(false).write(true).open(&path);
    let file = opened.map_err(|source| OpenError::Io { path: path.clone(), source })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked(dir.to_owned())),
        Err(TryLockError::Error(source)) => Err(OpenError::Io { path, source }),
    }
}

/// The events of the journals' damaged stretches.
#[derive(Debug, Default)]
struct Found {
    saved: Vec<Saved>,
    /// Sequences of damaged event records; the store may have them in other files.
    lost: Vec<u64>,
}

/// Repairs journals and roots.
fn prepare(dir: &Path, mended: &mut Mended) -> io::Result<Found> {
    fs::create_dir_all(dir.join(FOLDER))?;
    if copy_readable::is_under_way(dir) {
        return Ok(Found { saved: saved_earlier(dir)?, lost: Vec::new() });
    }
    let damaged = roots::damaged(dir)?;
    if !damaged.is_empty() {
        // The mark comes first: without it the engine would make the keyspaces anew, empty.
        write_synced(&dir.join(FOLDER).join(SUSPECTED), b"")?;
        for folder in damaged {
            tracing::error!(folder = %folder.display(), "the root of a keyspace is damaged; its files are searched for events");
            mended.damages += 1;
            copy_readable::set_aside(dir, &folder)?;
        }
    }
    mend_journals(dir, mended)
}

fn mend_journals(dir: &Path, so_far: &mut Mended) -> io::Result<Found> {
    let mut found = Found { saved: saved_earlier(dir)?, lost: Vec::new() };
    let mut before = None;
    for path in journals(dir)? {
        let bytes = read_filled(&path)?;
        let mended = journal::mend(&bytes, before);
        before = mended.last.or(before);
        let has_saved = !mended.saved.is_empty();
        found.lost.extend(mended.lost);
        if has_saved {
            found.saved.extend(mended.saved);
            // Written before the journal loses them, because the process may end here too.
            let flat: Vec<_> = found.saved.iter().map(Saved::to_bytes).collect();
            write_synced(&dir.join(FOLDER).join(SAVED), &flat.concat())?;
        }
        match mended.change {
            JournalFix::Nothing => {}
            // Also the rest of a write that a crash cut off.
            JournalFix::Cut(length) => {
                if has_saved {
                    keep_copy(dir, &path)?;
                    so_far.damages += 1;
                }
                let file = File::options().write(true).open(&path)?;
                file.set_len(length as u64)?;
                file.sync_all()?;
            }
            JournalFix::Write(content) => {
                keep_copy(dir, &path)?;
                so_far.damages += 1;
                write_synced(&path, &content)?;
            }
        }
    }
    Ok(found)
}

/// Reads a journal without the zeros at its end: journals are preallocated and filled later.
fn read_filled(path: &Path) -> io::Result<Vec<u8>> {
    static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];
    let mut bytes = fs::read(path)?;
    let filled = bytes.chunks(ZEROS.len()).rposition(|chunk| !ZEROS.starts_with(chunk)).map_or(0, |last| last + 1);
    bytes.truncate(filled * ZEROS.len());
    Ok(bytes)
}

/// Reads the events that an interrupted opening had saved.
fn saved_earlier(dir: &Path) -> io::Result<Vec<Saved>> {
    match fs::read(dir.join(FOLDER).join(SAVED)) {
        Ok(bytes) => Ok(Saved::all_in(&bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

fn forget_saved(dir: &Path) -> io::Result<()> {
    remove_file(&dir.join(FOLDER).join(SAVED))
}

/// Removes a file, if it exists.
fn remove_file(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Lists the engine's journals, oldest first.
fn journals(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let number = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".jnl")?.parse::<u64>().ok());
        if let Some(number) = number {
            found.push((number, path));
        }
    }
    found.sort_unstable();
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

/// Keeps a copy of a journal before its repair, for people to look at; the last one of each number.
fn keep_copy(dir: &Path, journal: &Path) -> io::Result<()> {
    let folder = dir.join(FOLDER).join(JOURNALS);
    fs::create_dir_all(&folder)?;
    if let Some(name) = journal.file_name() {
        fs::copy(journal, folder.join(name))?;
    }
    Ok(())
}

/// Opens the engine; a panic in it, at a state that it takes for impossible, is damage.
fn guarded(dir: &Path, fsync: Fsync) -> Result<Fjall, OpenError> {
    catch_unwind(AssertUnwindSafe(|| Fjall::open(dir, fsync)))
        .unwrap_or_else(|_panic| Err(OpenError::Engine(EngineError::Damaged("the engine panicked".into()))))
}

fn is_marked_damaged(dir: &Path) -> bool {
    dir.join(FOLDER).join(SUSPECTED).exists() || copy_readable::is_under_way(dir)
}

/// Checks whether all files of the store are as they were written. Reads them all.
pub(super) fn is_whole(dir: &Path) -> bool {
    let folders = roots::folders(&dir.join("keyspaces")).unwrap_or_default();
    folders.iter().all(|folder| roots::is_whole(folder).unwrap_or(true))
}

/// Marks the store as damaged: the next opening rebuilds it.
pub(super) fn mark_damaged(dir: &Path) {
    let folder = dir.join(FOLDER);
    let marked = fs::create_dir_all(&folder).and_then(|()| write_synced(&folder.join(SUSPECTED), b""));
    if let Err(error) = marked {
        tracing::error!(%error, "the damaged store could not be marked");
    }
}

/// Checks whether an error means that bytes are not what was written, and not that they could not be read.
pub(super) fn is_damage(error: &fjall::Error) -> bool {
    use fjall::LsmError;
    match error {
        fjall::Error::Storage(error) => match error {
            LsmError::Io(error) => is_short(error),
            LsmError::Decompress(_)
            | LsmError::InvalidVersion(_)
            | LsmError::Unrecoverable
            | LsmError::ChecksumMismatch { .. }
            | LsmError::InvalidTag(_)
            | LsmError::InvalidTrailer
            | LsmError::InvalidHeader(_)
            | LsmError::Utf8(_) => true,
            _ => false,
        },
        fjall::Error::Io(error) => is_short(error),
        fjall::Error::JournalRecovery(_)
        | fjall::Error::InvalidVersion(_)
        | fjall::Error::Decompress(_)
        | fjall::Error::InvalidTrailer
        | fjall::Error::InvalidTag(_)
        | fjall::Error::Unrecoverable => true,
        _ => false,
    }
}

/// Checks whether an error means a file that ends too early, is gone or holds invalid data.
fn is_short(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::NotFound | io::ErrorKind::InvalidData)
}

/// Writes a file whole or not at all.
fn write_synced(path: &Path, content: &[u8]) -> io::Result<()> {
    let fresh = path.with_extension("new");
    let mut file = File::create(&fresh)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&fresh, path)?;
    path.parent().map_or(Ok(()), sync_folder)
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
