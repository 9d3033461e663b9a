//! Delivery ids lie on disk in generations: so many ids each, one after the other, swept as a whole when their time is
//! over.
//!
//! Ids scatter, and a store that keeps what scatters in order rewrites the old with the new again and again: with ten
//! million of them that costs more than everything else. Within a generation little is rewritten, and between generations
//! nothing. A look for an id asks a filter in memory for each generation, and the disk only where a filter says "perhaps".
//!
//! Invariants: only the newest generation of a class gets ids; a filter never says "no" to an id that is there. Filters are
//! not stored: after a start they are built in the background, and a generation without one is looked for on disk.
//!
//! Bounds: two bytes of memory an id for the generations that have a filter (`filters`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::Shared;
use super::engine::{EngineError, Space};
use super::filters::{FILTERS_MAX, Filter};
use super::store::Store;

/// Ids in a generation.
pub(super) const GENERATION_KEYS: u32 = 512 * 1024;
/// A generation with fewer ids is gone on with after a start; its filter is built at once.
const GOES_ON: u32 = 64 * 1024;

/// Ids that are remembered for about as long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Generation {
    pub(crate) class: u8,
    /// Ids that were put into it.
    pub(crate) count: u32,
    /// When the last of them is over; zero when the generation is gone.
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

/// Windows of about the same length share generations, so that a short one does not stay for a long one.
pub(crate) fn class_of(window: Duration) -> u8 {
    let hours = window.as_secs().div_ceil(3600).max(1);
    u8::try_from(hours.next_power_of_two().trailing_zeros()).unwrap_or(u8::MAX)
}

/// A generation's number and an id, as a key.
pub(crate) fn key(generation: u32, digest: [u8; 16]) -> [u8; 20] {
    let mut key = [0; 20];
    key[..4].copy_from_slice(&generation.to_be_bytes());
    key[4..].copy_from_slice(&digest);
    key
}

/// Builds a generation's filter; `None` when the store it reads is not the open one any more.
fn build(shared: &Shared, store: &Arc<Store>, generation: u32) -> Result<Option<Filter>, EngineError> {
    let mut filter = Filter::new();
    let end = key(generation.saturating_add(1), [0; 16]);
    for (at, pair) in store.scan(Space::Dedup, &key(generation, [0; 16]), Some(&end)).enumerate() {
        if let Some(digest) = pair?.0.get(4..).and_then(|digest| digest.try_into().ok()) {
            filter.insert(digest);
        }
        // Whoever reopens the store waits for its last reader.
        if at % 1024 == 0 && shared.store.load().as_ref().is_none_or(|open| !Arc::ptr_eq(open, store)) {
            return Ok(None);
        }
    }
    Ok(Some(filter))
}

/// After an opening: the newest generations go on if they are small, the others get their filters in the background, the
/// newest first. To be called when the store is in its place.
pub(crate) fn recover(shared: &Arc<Shared>) -> Result<(), EngineError> {
    let Some(store) = shared.store.load_full() else { return Ok(()) };
    shared.filters.forget_all();
    let mut known = shared.books(|books| books.generations.clone());
    known.retain(|_, generation| generation.until_ms > 0);
    let mut newest: BTreeMap<u8, u32> = BTreeMap::new();
    for (id, generation) in &known {
        newest.insert(generation.class, *id);
    }
    let mut others: Vec<u32> = Vec::new();
    for (id, generation) in known.iter().rev() {
        let is_newest = newest.get(&generation.class) == Some(id);
        if shared.is_inline || (is_newest && generation.count < GOES_ON) {
            if let Some(filter) = build(shared, &store, *id)? {
                shared.filters.put(*id, &filter);
            }
        } else {
            others.push(*id);
        }
    }
    others.truncate(FILTERS_MAX);
    if others.is_empty() {
        return Ok(());
    }
    let (shared, spawned) = (Arc::clone(shared), std::thread::Builder::new().name("filters".into()));
    let built = spawned.spawn(move || {
        for id in others {
            match build(&shared, &store, id) {
                Ok(Some(filter)) => shared.filters.put(id, &filter),
                Ok(None) => return,
                Err(error) => {
                    tracing::warn!(%error, "a filter over delivery ids cannot be built; the disk is asked instead");
                }
            }
        }
    });
    // Without a thread, without filters: slower, and right.
    drop(built);
    Ok(())
}

/// Whether a generation can get ids: it is not full, and its filter is there.
pub(crate) fn goes_on(shared: &Shared, id: u32, generation: &Generation) -> bool {
    !generation.is_full() && shared.filters.has(id)
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
