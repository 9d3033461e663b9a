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
//! Bounds: two bytes of memory an id, for at most [`FILTERS_MAX`] generations; older ones go without.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Shared;
use super::engine::{EngineError, Space};
use super::store::Store;

/// Ids in a generation.
const GENERATION_KEYS: u32 = 512 * 1024;
/// Sixteen bits an id: about one wrong "perhaps" in a thousand.
const FILTER_BLOCKS: usize = GENERATION_KEYS as usize * 16 / 512;
/// So many generations have a filter: 64 MiB.
const FILTERS_MAX: usize = 64;
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

/// A blocked Bloom filter over digests, which are random already: one cache line a look.
pub(crate) struct Filter(Vec<[u64; 8]>);

impl Filter {
    fn new() -> Self {
        Self(vec![[0; 8]; FILTER_BLOCKS])
    }

    /// The block, and six of its bits.
    fn bits(digest: [u8; 16]) -> (usize, [(usize, u64); 6]) {
        let (block, bits) = (u128::from_be_bytes(digest) >> 64, u128::from_be_bytes(digest));
        let block = usize::try_from(block % FILTER_BLOCKS as u128).unwrap_or(0);
        let bit = |nth: u32| {
            let at = usize::try_from((bits >> (nth * 9)) & 511).unwrap_or(0);
            (at / 64, 1_u64 << (at % 64))
        };
        (block, [bit(0), bit(1), bit(2), bit(3), bit(4), bit(5)])
    }

    fn insert(&mut self, digest: [u8; 16]) {
        let (block, bits) = Self::bits(digest);
        if let Some(block) = self.0.get_mut(block) {
            for (word, bit) in bits {
                if let Some(word) = block.get_mut(word) {
                    *word |= bit;
                }
            }
        }
    }

    fn may_hold(&self, digest: [u8; 16]) -> bool {
        let (block, bits) = Self::bits(digest);
        let Some(block) = self.0.get(block) else { return true };
        bits.into_iter().all(|(word, bit)| block.get(word).is_none_or(|word| word & bit != 0))
    }
}

/// The filters that are there.
#[derive(Default)]
pub(crate) struct Filters(Mutex<BTreeMap<u32, Filter>>);

impl Filters {
    fn filters(&self) -> MutexGuard<'_, BTreeMap<u32, Filter>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Which of these generations may hold the id.
    pub(crate) fn candidates(&self, of: impl Iterator<Item = u32>, digest: [u8; 16]) -> Vec<u32> {
        let filters = self.filters();
        of.filter(|id| filters.get(id).is_none_or(|filter| filter.may_hold(digest))).collect()
    }

    /// An id is about to be in the newest generation. A batch that fails leaves a "perhaps" behind, which does no harm.
    pub(crate) fn insert(&self, generation: u32, is_new: bool, digest: [u8; 16]) {
        let mut filters = self.filters();
        if is_new {
            filters.insert(generation, Filter::new());
            while filters.len() > FILTERS_MAX {
                filters.pop_first();
            }
        }
        if let Some(filter) = filters.get_mut(&generation) {
            filter.insert(digest);
        }
    }

    pub(crate) fn forget(&self, generation: u32) {
        self.filters().remove(&generation);
    }
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
    *shared.filters.filters() = BTreeMap::new();
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
                shared.filters.filters().insert(*id, filter);
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
                Ok(Some(filter)) => drop(shared.filters.filters().insert(id, filter)),
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
    !generation.is_full() && shared.filters.filters().contains_key(&id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(number: u64) -> [u8; 16] {
        crate::provider::digest(&[&number.to_be_bytes()])
    }

    #[test]
    fn a_filter_never_denies_what_it_holds_and_seldom_says_perhaps() {
        let mut filter = Filter::new();
        let held = 0..u64::from(GENERATION_KEYS) / 4;
        held.clone().for_each(|number| filter.insert(digest(number)));
        assert!(held.into_iter().all(|number| filter.may_hold(digest(number))));
        let wrong = (1_000_000..1_020_000).filter(|number| filter.may_hold(digest(*number))).count();
        assert!(wrong < 40, "{wrong} of 20,000");
    }

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
