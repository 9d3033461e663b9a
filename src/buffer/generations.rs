//! Generations of delivery ids: the ids lie on disk in generations of bounded size, one after the other, each swept as
//! a whole when its time is over.
//!
//! Ids are scattered, and a store that keeps scattered keys sorted rewrites the old with the new again and again: with
//! ten million ids that costs more than everything else. Within a generation little is rewritten, and between
//! generations nothing. A look-up asks a filter in memory for each generation, and the disk only where a filter may
//! hold the id.
//!
//! Invariants: only the newest generation of a class gets ids; a filter never denies an id that is there. A filter is
//! stored when its generation is full, and when the buffer is closed. After a start, filters are read in the
//! background, or built there where no stored one fits. Until then a generation without a filter is looked up on disk.
//!
//! Bounds: three bytes of memory an id for the generations that have a filter (`filters`), and as many on disk.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::Shared;
use super::engine::{Durability, EngineError, Space, Writes};
use super::filters::{BloomFilter, FILTERS_MAX};
use super::store::Store;

/// Ids in a generation.
pub(super) const GENERATION_KEYS: u32 = 512 * 1024;
/// The size below which a generation's filter is not stored, but built at once after a start, so that it can get more
/// ids.
const GOES_ON: u32 = 64 * 1024;

/// Ids that are remembered for about the same time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Generation {
    pub(crate) class: u8,
    /// The number of ids that were put into it.
    pub(crate) count: u32,
    /// The time at which the last of its ids expires, in milliseconds; zero when the generation is removed.
    pub(crate) until_ms: u64,
}

impl Generation {
    pub(crate) fn to_bytes(self) -> Vec<u8> {
        [&[self.class][..], &self.count.to_be_bytes(), &self.until_ms.to_be_bytes()].concat()
    }

    pub(crate) fn parse(value: &[u8]) -> Option<Self> {
        let (&class, rest) = value.split_first()?;
        let (count, rest) = rest.split_first_chunk::<4>()?;
        Some(Self { class, count: u32::from_be_bytes(*count), until_ms: u64::from_be_bytes(rest.try_into().ok()?) })
    }

    pub(crate) fn is_full(&self) -> bool {
        self.count >= GENERATION_KEYS
    }
}

/// Returns the class of a window. Windows of about the same length share generations, so that an id with a short window
/// is not kept for one with a long window.
pub(crate) fn class_of(window: Duration) -> u8 {
    let hours = window.as_secs().div_ceil(3600).max(1);
    u8::try_from(hours.next_power_of_two().trailing_zeros()).unwrap_or(u8::MAX)
}

/// Builds the key of an id in a generation.
pub(crate) fn key(generation: u32, digest: [u8; 16]) -> [u8; 20] {
    let mut key = [0; 20];
    key[..4].copy_from_slice(&generation.to_be_bytes());
    key[4..].copy_from_slice(&digest);
    key
}

/// Builds a generation's filter; `None` when the store it reads is not the open one any more.
fn build(shared: &Shared, store: &Arc<Store>, generation: u32) -> Result<Option<BloomFilter>, EngineError> {
    let mut filter = BloomFilter::new();
    let end = key(generation.saturating_add(1), [0; 16]);
    for (at, pair) in store.scan(Space::Dedup, &key(generation, [0; 16]), Some(&end)).enumerate() {
        if let Some(digest) = pair?.0.get(4..).and_then(|digest| digest.try_into().ok()) {
            filter.insert(digest);
        }
        // Reopening waits for the old store's last reader.
        if at % 1024 == 0 && shared.store.load().as_ref().is_none_or(|open| !Arc::ptr_eq(open, store)) {
            return Ok(None);
        }
    }
    Ok(Some(filter))
}

/// Returns the prefix of a stored filter: the generation as it was then. A generation that got more ids since, or whose
/// number was used again, has another prefix.
fn stored_as(generation: &Generation) -> Vec<u8> {
    generation.to_bytes()
}

/// Puts a generation's filter into the batch, if it has one.
pub(super) fn store_filter(shared: &Shared, batch: &mut Writes, id: u32, generation: &Generation) {
    if let Some(filter) = shared.filters.of(id) {
        batch.insert(Space::Filters, id.to_be_bytes(), [stored_as(generation), filter.to_bytes()].concat());
    }
}

/// Stores the filters that are not stored yet, when the buffer is closed. The newest generations then get more ids
/// after the next start. A generation that a kill -9 left without a stored filter gets one too, so that it is not built
/// at every start. Generations of fewer than [`GOES_ON`] ids are left out.
pub(super) fn store_filters(shared: &Shared, store: &Store) -> Result<(), EngineError> {
    let known = shared.counters(|books| books.generations.clone());
    for (id, generation) in known.into_iter().filter(|(_, of)| of.count >= GOES_ON) {
        if load(store, id, &generation).is_none() {
            let mut batch = Writes::default();
            store_filter(shared, &mut batch, id, &generation);
            store.commit(batch, Durability::Written)?;
        }
    }
    store.sync()
}

/// Reads the stored filter of a generation, if it fits. An unreadable filter is built again.
fn load(store: &Store, id: u32, generation: &Generation) -> Option<BloomFilter> {
    let stored = store.get(Space::Filters, &id.to_be_bytes()).inspect_err(|error| {
        tracing::warn!(%error, "a stored filter over delivery ids cannot be read; it is built again");
    });
    BloomFilter::parse(stored.ok()??.strip_prefix(stored_as(generation).as_slice())?)
}

/// Returns the newest generation of each class, which gets the new ids.
fn newest(known: &BTreeMap<u32, Generation>) -> BTreeMap<u8, u32> {
    known.iter().map(|(id, generation)| (generation.class, *id)).collect()
}

/// Loads the filters after an opening, once the store is in its place. The newest generations get theirs at once if it
/// is stored or quickly built; the others get theirs in the background, the newest first.
pub(crate) fn recover(shared: &Arc<Shared>) -> Result<(), EngineError> {
    let Some(store) = shared.store.load_full() else { return Ok(()) };
    shared.filters.forget_all();
    let mut known = shared.counters(|books| books.generations.clone());
    known.retain(|_, generation| generation.until_ms > 0);
    let newest = newest(&known);
    let mut others: Vec<(u32, Generation)> = Vec::new();
    for (id, generation) in known.into_iter().rev() {
        let goes_on = newest.get(&generation.class) == Some(&id) && !generation.is_full();
        let mut filter = None;
        if shared.is_inline || goes_on {
            filter = load(&store, id, &generation);
        }
        if filter.is_none() && (shared.is_inline || (goes_on && generation.count < GOES_ON)) {
            filter = build(shared, &store, id)?;
        }
        match filter {
            Some(filter) => shared.filters.put(id, &filter),
            None => others.push((id, generation)),
        }
    }
    others.truncate(FILTERS_MAX);
    if others.is_empty() {
        return Ok(());
    }
    let (shared, spawned) = (Arc::clone(shared), std::thread::Builder::new().name("filters".into()));
    let built = spawned.spawn(move || {
        for (id, generation) in others {
            let loaded = load(&store, id, &generation);
            match loaded.map_or_else(|| build(&shared, &store, id), |loaded| Ok(Some(loaded))) {
                Ok(Some(filter)) => shared.filters.put(id, &filter),
                Ok(None) => return,
                Err(error) => {
                    tracing::warn!(%error, "a filter over delivery ids cannot be built; the disk is asked instead");
                }
            }
        }
    });
    // Without a thread there are no filters: slower, and still correct.
    drop(built);
    Ok(())
}

/// Checks whether a generation can get ids: it is not full, and its filter is there.
pub(crate) fn goes_on(shared: &Shared, id: u32, generation: &Generation) -> bool {
    !generation.is_full() && shared.filters.has(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffer::{Buffer, BufferParams, Committed, Fsync};
    use crate::clock::{Clock, SystemClock};
    use crate::event::{DedupKey, Event, EventData, EventId};
    use crate::provider::Verified;

    #[test]
    fn windows_of_about_the_same_length_share_a_class() {
        let class = |hours| class_of(Duration::from_hours(hours));
        assert_eq!((class(72), class(100), class(128)), (7, 7, 7));
        assert_eq!((class(24 * 30), class_of(Duration::from_secs(5))), (10, 0));
    }

    #[test]
    fn a_generation_reads_back() {
        let generation = Generation { class: 7, count: 300, until_ms: 9 };
        assert_eq!(Generation::parse(&generation.to_bytes()), Some(generation));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_generation_goes_on_after_a_clean_stop_with_the_filter_that_was_stored() {
        let folder = tempfile::tempdir().unwrap();
        let open = || {
            let (dir, quarantine_keep) = (folder.path().to_owned(), Duration::from_mins(1));
            let params = BufferParams { dir, bytes_max: 1 << 30, fsync: Fsync::Memory, quarantine_keep };
            Buffer::open(params, &["app".into()], Arc::new(SystemClock), Box::new(|_| {})).unwrap()
        };
        let key = |id: u32| {
            let mut key = crate::provider::digest(&[&id.to_be_bytes()]);
            key[..4].copy_from_slice(&id.to_be_bytes());
            key
        };
        let append = |buffer: &Buffer, id: u32| {
            let now = SystemClock.now();
            let data = EventData::sample(EventId::at(now, rand::random()), now);
            let dedup = DedupKey { key: key(id), body: None, window: Duration::from_hours(1) };
            let (buffer, event) = (buffer.clone(), Event::new(Verified::by_choice("tests"), data, Some(dedup)));
            async move { buffer.append(event).await.unwrap() }
        };
        let generations = |buffer: &Buffer| buffer.shared.counters(|books| books.generations.clone());
        let buffer = open();
        for ids in (0..GOES_ON).collect::<Vec<_>>().chunks(4096) {
            ids.iter().map(|id| append(&buffer, *id)).collect::<tokio::task::JoinSet<_>>().join_all().await;
        }
        assert_eq!(generations(&buffer)[&1].count, GOES_ON);
        buffer.close().await;
        drop(buffer);

        let buffer = open();
        assert!(buffer.shared.filters.has(1), "it was to be there at once");
        assert_eq!(append(&buffer, 7).await, Committed::Duplicate);
        assert_eq!(append(&buffer, GOES_ON).await, Committed::Stored);
        assert_eq!((generations(&buffer).len(), generations(&buffer)[&1].count), (1, GOES_ON + 1));
        // The stored filter does not know the last id, and its generation is another one than it was.
        let store = buffer.shared.store.load_full().unwrap();
        assert_eq!(load(&store, 1, &generations(&buffer)[&1]), None);
        assert_eq!(build(&buffer.shared, &store, 1).unwrap(), buffer.shared.filters.of(1));
        drop(store);
        buffer.close().await;
        drop(buffer);
        let buffer = open();
        assert_eq!(append(&buffer, GOES_ON).await, Committed::Duplicate);
        buffer.close().await;
    }
}
