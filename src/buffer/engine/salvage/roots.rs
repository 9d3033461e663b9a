//! The engine's roots: the files that say which other files count, and the ends of those, which hold their tables of
//! contents. They are checked before the engine reads them. The engine checks no manifest's checksum and deletes files
//! that a damaged manifest no longer names. It aborts the process over some damaged numbers: a panic while it opens
//! becomes a second one when it is dropped, and a count that it believes can ask for more memory than there is.
//!
//! ```text
//! DIR/version                  'F' 'J' 'L' 3
//! DIR/keyspaces/N/current      number of the manifest u64 le │ its XXH3-128 u128 le │ 0
//! DIR/keyspaces/N/vNUMBER      the manifest: sections `tables`, `blob_files` and others
//! end of manifest, table, blob file: 'T' 'O' 'C' '!' │ count u32 le │ (place u64 le │ length u64 le │ name) …
//!                              │ 'S' 'F' 'A' '!' │ 1 │ 0 │ XXH3-128 of the contents u128 le │ their place u64 le │ length u64 le
//! ```
//! Keyspace 0 holds the names of the others, and none of them can be read without it. It is small and changes only when
//! a keyspace is made, so a copy of it is kept.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use twox_hash::XxHash3_128;

use super::{FOLDER, sync_folder, write_synced};

const VERSION: &[u8] = b"FJL\x03";
/// The most wrong bits of a damaged checksum; a checksum of other bytes differs in about half of its bits.
const CHECKSUM_BITS_WRONG: u32 = 16;
const TRAILER_BYTES: usize = 38;
/// The longest table of contents.
const CONTENTS_BYTES_MAX: u64 = 64 * 1024;
/// The copy of keyspace 0.
const NAMES: &str = "names";

/// The files that a manifest names, with their checksums.
#[derive(Debug, Default)]
pub(super) struct Manifest {
    pub(super) tables: Vec<(u64, u128)>,
    pub(super) blobs: Vec<(u64, u128)>,
}

/// Repairs roots where possible, and returns the folders of keyspaces whose root is damaged.
pub(super) fn damaged(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let keyspaces = dir.join("keyspaces");
    if !keyspaces.join("0").join("current").exists() && !dir.join(FOLDER).join(NAMES).exists() {
        // A new store, or one that was never whole.
        return Ok(Vec::new());
    }
    if fs::read(dir.join("version")).ok().as_deref() != Some(VERSION) {
        tracing::error!("the mark of the engine's version was damaged and is written anew");
        write_synced(&dir.join("version"), VERSION)?;
    }
    let names = keyspaces.join("0");
    if !is_whole(&names)? {
        restore_names(dir, &names)?;
    }
    let mut damaged = Vec::new();
    for folder in folders(&keyspaces)? {
        if folder == names || is_unfinished(&folder) {
            continue;
        }
        let is_sound = match manifest(&folder)? {
            Some(manifest) => files(&folder, &manifest).all(|(path, _)| has_sound_end(&path)),
            None => false,
        };
        if !is_sound {
            damaged.push(folder);
        }
    }
    Ok(damaged)
}

/// Lists the folders in a folder, sorted.
pub(super) fn folders(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

/// Checks for a keyspace that was being made when the process ended: the engine removes it.
fn is_unfinished(folder: &Path) -> bool {
    let is_empty = |name: &str| fs::read_dir(folder.join(name)).map_or(true, |mut entries| entries.next().is_none());
    !folder.join("current").exists() && is_empty("tables") && is_empty("blobs")
}

/// Checks whether the root and all files that it names are as they were written. Reads them all.
pub(super) fn is_whole(folder: &Path) -> io::Result<bool> {
    let Some(manifest) = manifest(folder)? else { return Ok(false) };
    Ok(files(folder, &manifest).all(|(path, checksum)| checksum_of(&path).is_ok_and(|found| found == checksum)))
}

/// Lists tables and blob files, with their checksums.
fn files(folder: &Path, manifest: &Manifest) -> impl Iterator<Item = (PathBuf, u128)> {
    let in_folder = |name: &str, files: &[(u64, u128)]| {
        let folder = folder.join(name);
        files.iter().map(move |(id, checksum)| (folder.join(id.to_string()), *checksum)).collect::<Vec<_>>()
    };
    in_folder("tables", &manifest.tables).into_iter().chain(in_folder("blobs", &manifest.blobs))
}

/// Reads the manifest in force; `None` when it is damaged or missing. A damaged file that points to a whole manifest is
/// written anew.
pub(super) fn manifest(folder: &Path) -> io::Result<Option<Manifest>> {
    let path = folder.join("current");
    let current = match fs::read(&path) {
        Ok(current) => current,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let Some(stored) = number_128(&current, 8) else { return Ok(None) };
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(number) = name.to_str().and_then(|name| name.strip_prefix('v')?.parse::<u64>().ok()) else { continue };
        let bytes = fs::read(entry.path())?;
        let checksum = XxHash3_128::oneshot(&bytes);
        if (checksum ^ stored).count_ones() <= CHECKSUM_BITS_WRONG {
            let right = [&number.to_le_bytes()[..], &checksum.to_le_bytes(), &[0]].concat();
            if right != current {
                tracing::error!(path = %path.display(), "a file of the engine was damaged and is written anew");
                write_synced(&path, &right)?;
            }
            return Ok(parse(&bytes));
        }
    }
    Ok(None)
}

/// Checks whether the end of a table or a blob file is as it was written.
fn has_sound_end(path: &Path) -> bool {
    let looked = || {
        let file = File::open(path).ok()?;
        let end = file.metadata().ok()?.len();
        let read = |at: u64, len: u64| {
            let mut bytes = vec![0; usize::try_from(len).ok()?];
            file.read_exact_at(&mut bytes, at).ok()?;
            Some(bytes)
        };
        let trailer_at = end.checked_sub(TRAILER_BYTES as u64)?;
        let trailer = read(trailer_at, TRAILER_BYTES as u64)?;
        let contents_at = contents_at(&trailer)?;
        let length = trailer_at.checked_sub(contents_at).filter(|length| *length <= CONTENTS_BYTES_MAX)?;
        let contents = read(contents_at, length)?;
        if Some(XxHash3_128::oneshot(&contents)) != number_128(&trailer, 6) {
            return None;
        }
        // The one section that has a count and no checksum.
        sections(&contents)?.into_iter().filter(|section| section.name == b"linked_blob_files").try_for_each(|linked| {
            let count = u32::from_le_bytes(read(linked.at, 4)?.try_into().ok()?);
            (linked.len == 4 + 32 * u64::from(count)).then_some(())
        })
    };
    looked().is_some()
}

fn contents_at(trailer: &[u8]) -> Option<u64> {
    number(trailer.strip_prefix(b"SFA!\x01\x00")?, 16)
}

struct Section<'a> {
    name: &'a [u8],
    at: u64,
    len: u64,
}

/// Parses a table of contents.
fn sections(contents: &[u8]) -> Option<Vec<Section<'_>>> {
    let (count, mut rest) = contents.strip_prefix(b"TOC!")?.split_first_chunk::<4>()?;
    let mut found = Vec::new();
    for _ in 0..u32::from_le_bytes(*count) {
        let name_len = usize::from(u16::from_le_bytes(rest.get(16..18)?.try_into().ok()?));
        found.push(Section { name: rest.get(18..18 + name_len)?, at: number(rest, 0)?, len: number(rest, 8)? });
        rest = rest.get(18 + name_len..)?;
    }
    Some(found)
}

fn parse(bytes: &[u8]) -> Option<Manifest> {
    let (before, trailer) = bytes.split_at_checked(bytes.len().checked_sub(TRAILER_BYTES)?)?;
    let contents = before.get(usize::try_from(contents_at(trailer)?).ok()?..)?;
    let mut manifest = Manifest::default();
    for Section { name, at, len } in sections(contents)? {
        let at = usize::try_from(at).ok()?;
        let section = bytes.get(at..at.checked_add(usize::try_from(len).ok()?)?)?;
        match name {
            b"tables" => manifest.tables = tables(section)?,
            b"blob_files" => manifest.blobs = entries(&mut Some(section), 25)?,
            _ => {}
        }
    }
    Some(manifest)
}

/// Parses the tables of a manifest: levels, runs in them, tables in those.
fn tables(section: &[u8]) -> Option<Vec<(u64, u128)>> {
    let (&levels, rest) = section.split_first()?;
    let (mut rest, mut found) = (Some(rest), Vec::new());
    for _ in 0..levels {
        let (&runs, runs_of_level) = rest?.split_first()?;
        rest = Some(runs_of_level);
        for _ in 0..runs {
            found.extend(entries(&mut rest, 33)?);
        }
    }
    Some(found)
}

/// Parses a count and its entries of `size` bytes each: id, kind of checksum, checksum, and a rest.
fn entries(rest: &mut Option<&[u8]>, size: usize) -> Option<Vec<(u64, u128)>> {
    let (count, mut bytes) = rest.take()?.split_first_chunk::<4>()?;
    let mut found = Vec::new();
    for _ in 0..u32::from_le_bytes(*count) {
        let (entry, behind) = bytes.split_at_checked(size)?;
        found.push((number(entry, 0)?, number_128(entry, 9)?));
        bytes = behind;
    }
    *rest = Some(bytes);
    Some(found)
}

/// Reads a number as the engine writes it.
pub(super) fn number(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes)
}

fn number_128(bytes: &[u8], at: usize) -> Option<u128> {
    bytes.get(at..at + 16)?.try_into().ok().map(u128::from_le_bytes)
}

fn checksum_of(path: &Path) -> io::Result<u128> {
    let (mut file, mut hasher) = (File::open(path)?, XxHash3_128::new());
    let mut chunk = vec![0; 256 * 1024];
    loop {
        match file.read(&mut chunk)? {
            0 => return Ok(hasher.finish_128()),
            read => hasher.write(chunk.get(..read).unwrap_or_default()),
        }
    }
}

/// Keeps a copy of keyspace 0, once the engine is open and has all its keyspaces.
pub(super) fn remember_names(dir: &Path) -> io::Result<()> {
    let (names, copy) = (dir.join("keyspaces").join("0"), dir.join(FOLDER).join(NAMES));
    let current = |folder: &Path| fs::read(folder.join("current")).ok();
    if current(&names).is_some() && current(&names) == current(&copy) {
        return Ok(());
    }
    let fresh = dir.join(FOLDER).join("names.new");
    remove(&fresh)?;
    copy_folder(&names, &fresh)?;
    remove(&copy)?;
    fs::rename(&fresh, &copy)?;
    sync_folder(&dir.join(FOLDER))
}

/// Puts the copy in the place of a damaged keyspace 0. Without a whole copy the keyspace is left to the engine.
fn restore_names(dir: &Path, names: &Path) -> io::Result<()> {
    let copy = dir.join(FOLDER).join(NAMES);
    if !copy.exists() || !is_whole(&copy)? {
        return Ok(());
    }
    tracing::error!("the names of the engine's keyspaces were damaged; the copy takes their place");
    remove(names)?;
    copy_folder(&copy, names)?;
    sync_folder(&dir.join("keyspaces"))
}

fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target)?;
            File::open(&target)?.sync_all()?;
        }
    }
    sync_folder(to)
}

/// Removes a folder, if it exists.
pub(super) fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
