//! Tests with damage of every kind, on real files.
//!
//! `FLIPS` is the number of random flips, `SEED` their first seed. `EVERY=1` opens the engine over a journal damaged at
//! every byte instead of at every 61st, and flips more bits of each.
#![expect(clippy::print_stdout, reason = "a seed is worth nothing unless it is shown")]

mod journals;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;
use crate::buffer::{Buffer, BufferParams, Fsync, Keep, QueueDepth, record};
use crate::clock::{Clock, SystemClock};
use crate::event::{Dispatch, Event, EventData, EventId};
use crate::outcome::{DeathCause, Settled};
use crate::provider::Verified;

pub(super) fn event(number: u32, bytes: usize) -> EventData {
    let now = SystemClock.now();
    let [a, b, c, d] = number.to_be_bytes();
    // Bodies tell what they are, and bodies of senders can hold anything.
    let start = [&number.to_le_bytes()[..], &record::MAGIC, b"BLOB\x01\x02\x03"].concat();
    EventData {
        id: EventId::at(now, [a, b, c, d, 0, 0, 0, 0, 0, 0]),
        source: "github".into(),
        received_at_ms: now.unix_ms(),
        event_type: None,
        delivery_id: Some(number.to_string()),
        verified_by: None,
        method: "POST".into(),
        target: "/in/github".into(),
        headers: Vec::new(),
        copies: copies(number),
        problems: Vec::new(),
        unverified: None,
        params: Vec::new(),
        host: None,
        sender: None,
        body: start.into_iter().cycle().take(bytes).collect::<Vec<_>>().into(),
    }
}

/// Returns the dispatches of an event; every fifth has two.
fn copies(number: u32) -> Vec<Dispatch> {
    let copy = |destination: &str| Dispatch {
        route: "r".into(),
        destination: destination.into(),
        balance: None,
        order: None,
        shaped: false,
    };
    if number.is_multiple_of(5) { vec![copy("app"), copy("other")] } else { vec![copy("app")] }
}

/// Rounds in which the committer did all that it was told and nothing came: what is still due then never comes.
const IDLE_ROUNDS_MAX: usize = 100;
/// For a store that never opens again.
const DRAIN_MAX: Duration = Duration::from_mins(2);

const DESTINATIONS: [&str; 2] = ["app", "other"];

fn open(dir: &Path) -> Result<Buffer, OpenError> {
    let params = BufferParams {
        dir: dir.to_owned(),
        bytes_max: 1 << 30,
        fsync: Fsync::Os,
        quarantine_keep: Duration::from_hours(1),
    };
    let destinations = DESTINATIONS.map(Arc::from);
    Buffer::open(params, &destinations, Arc::new(SystemClock), Box::new(|_| {}))
}

/// The identity of a delivery: the event's number and its destination.
type Key = (u32, &'static str);

/// A store on disk and the deliveries that it must give.
struct Template {
    folder: tempfile::TempDir,
    bodies: BTreeMap<u32, Bytes>,
    due: BTreeSet<Key>,
}

impl Template {
    async fn new(sizes: &[usize], settled: usize, with_tables: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let buffer = open(folder.path()).unwrap();
        let (mut bodies, mut due) = (BTreeMap::new(), BTreeSet::new());
        for (number, bytes) in (0..).zip(sizes) {
            let data = event(number, *bytes);
            bodies.insert(number, data.body.clone());
            due.extend(data.copies.iter().map(|copy| (number, name(&copy.destination))));
            buffer.append(Event::new(Verified::by_choice("a test"), data, None)).await.unwrap();
            if with_tables && number as usize == sizes.len() * 2 / 3 {
                for delivery in buffer.take("app", settled).await {
                    due.remove(&(number_of(&delivery), "app"));
                    buffer.settle(delivery, Settled::Delivered, KEEP, None).await;
                }
                buffer.shared.store.load_full().unwrap().give_space_back().unwrap();
            }
        }
        buffer.close().await;
        drop(buffer);
        for journal in journals(folder.path()).unwrap() {
            let bytes = fs::read(&journal).unwrap();
            let length = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
            File::options().write(true).open(&journal).unwrap().set_len(length as u64).unwrap();
        }
        Self { folder, bodies, due }
    }

    fn copy(&self) -> tempfile::TempDir {
        let copy = tempfile::tempdir().unwrap();
        copy_all(self.folder.path(), copy.path());
        copy
    }

    /// Opens a damaged copy, takes all deliveries, and returns the missing ones.
    async fn missing(&self, dir: &Path, what: &str) -> BTreeSet<Key> {
        let buffer = open(dir).unwrap_or_else(|error| panic!("{what}: {error}"));
        let missing = self.drain(&buffer, what).await;
        buffer.append(Event::new(Verified::by_choice("a test"), event(1 << 20, 10), None)).await.unwrap();
        buffer.close().await;
        missing
    }

    async fn drain(&self, buffer: &Buffer, what: &str) -> BTreeSet<Key> {
        let mut missing = self.due.clone();
        let started = tokio::time::Instant::now();
        let mut idle = 0;
        while idle < IDLE_ROUNDS_MAX && started.elapsed() < DRAIN_MAX {
            let mut is_idle = true;
            for destination in DESTINATIONS {
                for delivery in buffer.take_now(destination, 256).await {
                    is_idle = false;
                    let Some(event) = delivery.event().cloned() else {
                        buffer.settle(delivery, Settled::Dead(DeathCause::Corrupt), KEEP, None).await;
                        continue;
                    };
                    let number = number_of(&delivery);
                    if let Some(body) = self.bodies.get(&number) {
                        assert_eq!(&event.body, body, "{what}: a wrong body");
                    }
                    missing.remove(&(number, destination));
                    buffer.settle(delivery, Settled::Delivered, KEEP, None).await;
                }
            }
            // The committer answers after all that it was told before, however long that takes on a busy machine.
            let is_open = buffer.register(DESTINATIONS.map(Arc::from).into()).await.is_ok() && buffer.stats().open;
            let waiting =
                DESTINATIONS.map(|name| buffer.depth(name)).iter().any(|depth| *depth != QueueDepth::default());
            match (is_idle, is_open) {
                (true, true) if !waiting => break,
                (true, true) => idle += 1,
                (true, false) => buffer.tidy_up().await,
                (false, _) => idle = 0,
            }
            if is_idle {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        for name in DESTINATIONS {
            let book = buffer.counters(name);
            assert!(book.is_balanced() && book.queued == 0, "{what}: the book of {name} is wrong: {book:?}");
        }
        if !missing.is_empty() {
            let dead: u64 = DESTINATIONS.iter().map(|name| buffer.counters(name).dead).sum();
            assert!(buffer.stats().corrupt > 0 || dead > 0, "{what}: {} are lost and not counted", missing.len());
        }
        missing
    }
}

const KEEP: Keep = Keep { delivered: Duration::from_hours(1), dead: Duration::from_hours(1) };

fn name(destination: &str) -> &'static str {
    DESTINATIONS.into_iter().find(|name| *name == destination).unwrap()
}

fn number_of(delivery: &crate::buffer::Delivery) -> u32 {
    delivery.event().unwrap().delivery_id.as_ref().unwrap().parse().unwrap()
}

fn copy_all(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_all(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).unwrap();
        }
    }
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
}

fn flip(path: &Path, at: usize, bit: u8) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 1 << bit;
    fs::write(path, bytes).unwrap();
}

#[expect(clippy::disallowed_methods, reason = "how long a test runs is said by hand")]
fn number_from(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

#[tokio::test]
async fn a_damaged_root_of_any_keyspace_costs_no_event() {
    let sizes: Vec<_> = (0..300).map(|number| if number % 3 == 0 { 3_000 } else { 300 }).collect();
    let template = Template::new(&sizes, 20, true).await;
    for folder in roots::folders(&template.folder.path().join("keyspaces")).unwrap() {
        let inside = folder.strip_prefix(template.folder.path()).unwrap();
        let copy = template.copy();
        let mut all = Vec::new();
        files(&copy.path().join(inside), &mut all);
        for manifest in all.iter().filter(|path| path.file_name().unwrap().to_string_lossy().starts_with('v')) {
            let bytes = fs::read(manifest).unwrap();
            fs::write(manifest, &bytes[..bytes.len() / 2]).unwrap();
        }
        let missing = template.missing(copy.path(), &format!("{}", inside.display())).await;
        assert!(missing.is_empty(), "{}: {} are lost", inside.display(), missing.len());
    }
}

#[tokio::test]
async fn a_damaged_end_of_any_file_costs_no_event() {
    let sizes: Vec<_> = (0..60).map(|number| if number % 3 == 0 { 3_000 } else { 300 }).collect();
    let template = Template::new(&sizes, 10, true).await;
    // Events, the queue, fates.
    for folder in ["1/tables", "1/blobs", "3/tables", "4/tables"] {
        let folder = template.folder.path().join("keyspaces").join(folder);
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            let length = fs::read(&path).unwrap().len();
            // Of the trailer, of the contents' count and before them.
            let contents = fs::read(&path).unwrap().windows(4).rposition(|window| window == b"TOC!").unwrap();
            for (at, bit) in [(length - 1, 0), (length - 20, 7), (contents + 7, 7), (contents - 20, 3)] {
                let copy = template.copy();
                let inside = path.strip_prefix(template.folder.path()).unwrap();
                flip(&copy.path().join(inside), at, bit);
                let what = format!("byte {at} of {length} of {}", inside.display());
                assert_eq!(template.missing(copy.path(), &what).await, BTreeSet::new(), "{what}");
            }
        }
    }
}

#[tokio::test]
async fn random_flips_in_a_store_cost_one_event_at_most() {
    let sizes: Vec<_> = (0..2000).map(|number| if number % 3 == 0 { 12_000 } else { 300 + number % 700 }).collect();
    let template = Template::new(&sizes, 200, true).await;
    let seed = number_from("SEED", 1);
    let flips = number_from("FLIPS", 16);
    let mut random = StdRng::seed_from_u64(seed);
    let mut files_of = Vec::new();
    files(template.folder.path(), &mut files_of);
    files_of.sort();
    let sizes: Vec<u64> = files_of.iter().map(|path| path.metadata().unwrap().len()).collect();
    println!("seed {seed}, {flips} flips in {} bytes, {} due", sizes.iter().sum::<u64>(), template.due.len());
    let mut lost = 0;
    for number in 0..flips {
        // Half of them anywhere by size, half of them in any file, or small files would hardly ever be hit.
        let index = if number % 2 == 0 {
            let mut at = random.random_range(0..sizes.iter().sum::<u64>());
            sizes.iter().position(|size| at.checked_sub(*size).map(|rest| at = rest).is_none()).unwrap()
        } else {
            random.random_range(0..sizes.len())
        };
        if sizes[index] == 0 {
            continue;
        }
        let inside = files_of[index].strip_prefix(template.folder.path()).unwrap();
        let at = usize::try_from(random.random_range(0..sizes[index])).unwrap();
        let bit = random.random_range(0..8);
        let what = format!("flip {number} of seed {seed}: bit {bit} of byte {at} of {}", inside.display());
        let copy = template.copy();
        flip(&copy.path().join(inside), at, bit);
        let started = tokio::time::Instant::now();
        let missing = template.missing(copy.path(), &what).await;
        let events: BTreeSet<u32> = missing.iter().map(|(number, _)| *number).collect();
        println!("{what}: {} lost, {} ms", events.len(), started.elapsed().as_millis());
        assert!(events.len() <= 1, "{what}: {} are lost", events.len());
        lost += events.len();
    }
    println!("{lost} events lost");
}

#[tokio::test]
async fn a_compaction_that_meets_damage_stops_the_buffer_for_a_moment_only() {
    let template = Template::new(&[300; 300], 20, true).await;
    let copy = template.copy();
    let buffer = open(copy.path()).unwrap();
    let table = fs::read_dir(copy.path().join("keyspaces/3/tables")).unwrap().next().unwrap().unwrap().path();
    flip(&table, 100, 1);
    let append = |number| buffer.append(Event::new(Verified::by_choice("a test"), event(number, 10), None));
    let deadline = tokio::time::Instant::now() + Duration::from_mins(1);
    let mut number = 1000;
    loop {
        number += 1;
        if append(number).await.is_err() {
            break;
        }
        if let Some(store) = buffer.shared.store.load_full() {
            store.flush(Space::Queue).unwrap();
        }
        assert!(tokio::time::Instant::now() < deadline, "the engine compacted over the damage");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    while append(number).await.is_err() {
        assert!(tokio::time::Instant::now() < deadline, "the buffer did not come back");
        buffer.tidy_up().await;
    }
    assert_eq!(template.drain(&buffer, "compaction").await, BTreeSet::new());
    buffer.close().await;
}

#[tokio::test]
async fn a_rebuild_that_was_interrupted_goes_on() {
    let template = Template::new(&[300; 60], 10, true).await;
    for (progress, moved) in [("moving", 0), ("moving", 3), ("copying", usize::MAX)] {
        let copy = template.copy();
        let before = copy.path().join("salvage/before");
        fs::create_dir_all(&before).unwrap();
        for entry in fs::read_dir(copy.path()).unwrap().map(Result::unwrap).take(moved) {
            if entry.file_name() != FOLDER {
                fs::rename(entry.path(), before.join(entry.file_name())).unwrap();
            }
        }
        if progress == "copying" {
            // The leftovers of an interrupted rebuild.
            open_and_close_empty(copy.path()).await;
        }
        fs::write(copy.path().join("salvage/rebuilding"), progress).unwrap();
        let missing = template.missing(copy.path(), progress).await;
        assert_eq!(missing, BTreeSet::new(), "{progress} {moved}");
        assert!(!copy.path().join("salvage/rebuilding").exists());
    }
}

async fn open_and_close_empty(dir: &Path) {
    let other = tempfile::tempdir().unwrap();
    open(other.path()).unwrap().close().await;
    for entry in fs::read_dir(other.path()).unwrap().map(Result::unwrap).filter(|entry| entry.file_name() != FOLDER) {
        let target = dir.join(entry.file_name());
        if entry.path().is_dir() { copy_all(&entry.path(), &target) } else { drop(fs::copy(entry.path(), target)) }
    }
}

#[tokio::test]
async fn many_flips_at_once_cost_only_the_events_that_they_hit() {
    let sizes: Vec<_> = (0..2000).map(|number| if number % 3 == 0 { 12_000 } else { 300 + number % 700 }).collect();
    let template = Template::new(&sizes, 200, true).await;
    let mut all = Vec::new();
    files(template.folder.path(), &mut all);
    // Not the names of keyspaces: they and their copy together are too small to be hit at once by chance.
    all.retain(|path| path.metadata().unwrap().len() > 1000 && !path.to_string_lossy().contains("names"));
    all.sort();
    let mut random = StdRng::seed_from_u64(number_from("SEED", 1));
    let copy = template.copy();
    let mut hit = BTreeSet::new();
    let total: u64 = all.iter().map(|path| path.metadata().unwrap().len()).sum();
    for path in all {
        let whole = fs::read(&path).unwrap();
        let frames: Vec<_> = frames::find(&whole).collect();
        let mut bytes = whole.clone();
        for _ in 0..number_from("TOGETHER", 100) * whole.len() as u64 / total {
            let at = random.random_range(0..whole.len());
            bytes[at] ^= 1 << random.random_range(0..8);
            let frame = frames.iter().find(|frame| frame.contains(&at));
            hit.extend(frame.map(|frame| {
                let event = record::decode(&whole[frame.clone()]).unwrap();
                event.delivery_id.unwrap().parse::<u32>().unwrap()
            }));
        }
        fs::write(copy.path().join(path.strip_prefix(template.folder.path()).unwrap()), bytes).unwrap();
    }
    let missing = template.missing(copy.path(), "many flips").await;
    let events: BTreeSet<u32> = missing.iter().map(|(number, _)| *number).collect();
    println!("{} events hit, {} lost", hit.len(), events.len());
    assert_eq!(events.difference(&hit).collect::<Vec<_>>(), Vec::<&u32>::new());
}

#[test]
fn damage_is_told_from_a_disk_that_cannot_be_read() {
    let storage = |error| fjall::Error::Storage(error);
    assert!(is_damage(&storage(fjall::LsmError::InvalidHeader("Block"))));
    assert!(is_damage(&fjall::Error::JournalRecovery(fjall::JournalRecoveryError::ChecksumMismatch)));
    assert!(is_damage(&storage(fjall::LsmError::Io(io::ErrorKind::UnexpectedEof.into()))));
    assert!(!is_damage(&storage(fjall::LsmError::Io(io::Error::from_raw_os_error(5)))));
    assert!(!is_damage(&fjall::Error::Io(io::ErrorKind::StorageFull.into())));
    assert!(!is_damage(&fjall::Error::Locked));
    assert!(!is_damage(&fjall::Error::Poisoned));
}
