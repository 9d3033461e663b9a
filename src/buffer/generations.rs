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
//! Every new id asks every filter, and memory is slow where nothing was read before. So filters lie in groups, eight to the
//! byte: what all eight say of an id is within two lines of the processor's cache.
//!
//! Bounds: two bytes of memory an id, for at most [`GROUPS_MAX`] groups of [`PLANES`] generations; older ones go without.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Shared;
use super::engine::{EngineError, Space};
use super::store::Store;

/// Ids in a generation.
const GENERATION_KEYS: u32 = 512 * 1024;
/// Filters in a group: one for each bit of a byte.
const PLANES: u32 = u8::BITS;
/// The places of a filter in which one id may set bits: two lines of the cache for the whole group.
const BLOCK_PLACES: usize = 128;
/// Sixteen bits an id: about one wrong "perhaps" in 1,500.
const BLOCKS: usize = GENERATION_KEYS as usize * 16 / BLOCK_PLACES;
/// So many groups are held: 64 MiB.
const GROUPS_MAX: usize = 8;
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

/// Where an id sets its bits: its block, and eight places in it. Digests are random already.
fn places(digest: [u8; 16]) -> (usize, [usize; 8]) {
    let bits = u128::from_be_bytes(digest);
    let block = usize::try_from((bits >> 64) % BLOCKS as u128).unwrap_or(0);
    let place = |nth: u32| usize::try_from((bits >> (nth * 7)) & 127).unwrap_or(0);
    (block, [place(0), place(1), place(2), place(3), place(4), place(5), place(6), place(7)])
}

/// A blocked Bloom filter over the ids of one generation, before it has its place in a group.
struct Filter(Vec<u128>);

impl Filter {
    fn new() -> Self {
        Self(vec![0; BLOCKS])
    }

    fn insert(&mut self, digest: [u8; 16]) {
        let (block, places) = places(digest);
        if let Some(block) = self.0.get_mut(block) {
            for place in places {
                *block |= 1 << place;
            }
        }
    }
}

#[derive(Clone)]
#[repr(align(128))]
struct Block([u8; BLOCK_PLACES]);

/// The filters of [`PLANES`] generations, each with a bit of every byte.
struct Group {
    /// Whose bits are all there.
    whole: u8,
    blocks: Vec<Block>,
}

impl Group {
    fn new() -> Self {
        Self { whole: 0, blocks: vec![Block([0; BLOCK_PLACES]); BLOCKS] }
    }

    fn insert(&mut self, plane: u8, digest: [u8; 16]) {
        let (block, places) = places(digest);
        if let Some(Block(bytes)) = self.blocks.get_mut(block) {
            for place in places {
                if let Some(byte) = bytes.get_mut(place) {
                    *byte |= plane;
                }
            }
        }
    }

    fn take_over(&mut self, plane: u8, filter: &Filter) {
        for (Block(bytes), set) in self.blocks.iter_mut().zip(&filter.0) {
            for (place, byte) in bytes.iter_mut().enumerate() {
                *byte |= plane * u8::from(set >> place & 1 == 1);
            }
        }
        self.whole |= plane;
    }

    /// Whose generation may hold the id.
    fn may_hold(&self, digest: [u8; 16]) -> u8 {
        let (block, places) = places(digest);
        let Some(Block(bytes)) = self.blocks.get(block) else { return u8::MAX };
        let all_set = places.into_iter().fold(u8::MAX, |all, place| all & bytes.get(place).unwrap_or(&u8::MAX));
        all_set | !self.whole
    }
}

/// A generation's group, and its bit there.
fn place_of(generation: u32) -> (u32, u8) {
    (generation / PLANES, 1 << (generation % PLANES))
}

/// The filters that are there.
#[derive(Default)]
pub(crate) struct Filters(Mutex<BTreeMap<u32, Group>>);

impl Filters {
    fn groups(&self) -> MutexGuard<'_, BTreeMap<u32, Group>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Which of these generations may hold the id. Those of one group stand together.
    pub(crate) fn candidates(&self, of: impl Iterator<Item = u32>, digest: [u8; 16]) -> Vec<u32> {
        let groups = self.groups();
        let mut asked = None;
        of.filter(|id| {
            let (at, plane) = place_of(*id);
            let said = match asked {
                Some((group, said)) if group == at => said,
                _ => groups.get(&at).map_or(u8::MAX, |group| group.may_hold(digest)),
            };
            asked = Some((at, said));
            said & plane != 0
        })
        .collect()
    }

    fn has(&self, generation: u32) -> bool {
        let (at, plane) = place_of(generation);
        self.groups().get(&at).is_some_and(|group| group.whole & plane != 0)
    }

    fn put(&self, generation: u32, filter: &Filter) {
        let (at, plane) = place_of(generation);
        Self::group(&mut self.groups(), at, |group| group.take_over(plane, filter));
    }

    /// Changes a group, which is made if it is not there. The oldest makes room, and does not come back for itself.
    fn group(groups: &mut BTreeMap<u32, Group>, at: u32, change: impl FnOnce(&mut Group)) {
        change(groups.entry(at).or_insert_with(Group::new));
        while groups.len() > GROUPS_MAX {
            groups.pop_first();
        }
    }

    /// An id is about to be in the newest generation. A batch that fails leaves a "perhaps" behind, which does no harm.
    pub(crate) fn insert(&self, generation: u32, is_new: bool, digest: [u8; 16]) {
        let (at, plane) = place_of(generation);
        let mut groups = self.groups();
        if is_new {
            Self::group(&mut groups, at, |group| group.whole |= plane);
        }
        if let Some(group) = groups.get_mut(&at).filter(|group| group.whole & plane != 0) {
            group.insert(plane, digest);
        }
    }

    pub(crate) fn forget(&self, generation: u32) {
        let (at, plane) = place_of(generation);
        let mut groups = self.groups();
        if let Some(group) = groups.get_mut(&at) {
            group.whole &= !plane;
            if group.whole == 0 {
                groups.remove(&at);
            }
        }
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
    shared.filters.groups().clear();
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
    others.truncate(GROUPS_MAX * PLANES as usize);
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

    fn digest(number: u64) -> [u8; 16] {
        crate::provider::digest(&[&number.to_be_bytes()])
    }

    #[test]
    fn a_filter_never_denies_what_it_holds_and_seldom_says_perhaps() {
        let filters = Filters::default();
        let ids_of =
            |generation: u32| (0..u64::from(GENERATION_KEYS)).map(move |id| digest(id << 8 | u64::from(generation)));
        for (nth, id) in ids_of(7).enumerate() {
            filters.insert(7, nth == 0, id);
        }
        // Built after a start, in the middle of the other's group.
        let mut filter = Filter::new();
        ids_of(3).for_each(|id| filter.insert(id));
        filters.put(3, &filter);
        let asked = |id| filters.candidates([8, 7, 3, 2].into_iter(), id);
        assert!(ids_of(7).all(|id| asked(id).contains(&7)));
        assert!(ids_of(3).all(|id| asked(id).contains(&3)));
        // What has no filter is always looked for: another group, and another plane.
        let wrong: Vec<Vec<u32>> = (1_u64 << 60..(1 << 60) + 20_000).map(|id| asked(digest(id))).collect();
        assert!(wrong.iter().all(|said| said.contains(&8) && said.contains(&2)));
        for full in [7, 3] {
            let perhaps = wrong.iter().filter(|said| said.contains(&full)).count();
            assert!(perhaps < 60, "{perhaps} of 20,000");
        }
    }

    #[test]
    fn filters_take_a_bounded_number_of_groups_and_the_oldest_goes() {
        let filters = Filters::default();
        let most = u32::try_from(GROUPS_MAX).unwrap();
        for group in 0..=most {
            filters.insert(group * PLANES, true, digest(1));
        }
        assert!(!filters.has(0) && filters.has(PLANES) && filters.has(most * PLANES));
        filters.forget(PLANES);
        assert_eq!(filters.groups().len(), GROUPS_MAX - 1);
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
