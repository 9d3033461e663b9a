//! Bloom filters over delivery ids, in memory: one for each generation (`generations`).
//!
//! Every new id is looked up in every filter, and memory that was not read lately is slow. So filters lie in groups of
//! eight, one bit of each byte for each: the bits of all eight for one id lie within two lines of the processor's
//! cache.
//!
//! Invariant: a filter never denies an id that was put into it, and a generation without a filter may hold every id.
//!
//! Bounds: 12 MiB for each eight generations, which is three bytes an id, and at most [`GROUPS_MAX`] such groups.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::generations::GENERATION_KEYS;

/// Filters in a group: one for each bit of a byte.
const PLANES: u32 = u8::BITS;
/// The places of a filter in which one id may set bits: two cache lines for the whole group.
const BLOCK_PLACES: usize = 128;
/// The blocks of a filter: 24 bits an id, a false positive in 3,000 look-ups. With 16 bits it is one in 500, and over
/// twenty generations one event in 25 reads the disk in vain.
const BLOCKS: usize = GENERATION_KEYS as usize * 24 / BLOCK_PLACES;
/// The most groups in memory: 96 MiB.
const GROUPS_MAX: usize = 8;
/// The most generations that can have a filter.
pub(super) const FILTERS_MAX: usize = GROUPS_MAX * PLANES as usize;

/// Returns an id's block and the eight places in it where the id sets bits. Digests are random already.
fn places(digest: [u8; 16]) -> (usize, [usize; 8]) {
    let bits = u128::from_be_bytes(digest);
    let block = usize::try_from((bits >> 64) % BLOCKS as u128).unwrap_or(0);
    let place = |nth: u32| usize::try_from((bits >> (nth * 7)) & 127).unwrap_or(0);
    (block, [place(0), place(1), place(2), place(3), place(4), place(5), place(6), place(7)])
}

/// A blocked Bloom filter over the ids of one generation, outside of a group: for building and storing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BloomFilter(Vec<u128>);

impl BloomFilter {
    pub(super) fn new() -> Self {
        Self(vec![0; BLOCKS])
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(|block| block.to_be_bytes()).collect()
    }

    /// Parses a stored filter; `None` for one of another size.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let (blocks, rest) = bytes.as_chunks::<16>();
        let is_whole = blocks.len() == BLOCKS && rest.is_empty();
        is_whole.then(|| Self(blocks.iter().map(|block| u128::from_be_bytes(*block)).collect()))
    }

    pub(super) fn insert(&mut self, digest: [u8; 16]) {
        let (block, places) = places(digest);
        if let Some(block) = self.0.get_mut(block) {
            for place in places {
                *block |= 1 << place;
            }
        }
    }
}

/// One block of a group. An array of zeros takes no memory before it is written to.
type Block = [u8; BLOCK_PLACES];

/// The filters of [`PLANES`] generations, one bit of every byte for each.
struct Group {
    /// The planes whose filter is complete.
    whole: u8,
    /// The planes whose bits are those of a removed generation.
    stale: u8,
    blocks: Vec<Block>,
}

impl Group {
    fn new() -> Self {
        Self { whole: 0, stale: 0, blocks: vec![[0; BLOCK_PLACES]; BLOCKS] }
    }

    /// Begins a filter. Numbers of generations are used again, so bits of a removed generation are cleared.
    fn begin(&mut self, plane: u8) {
        if self.stale & plane != 0 {
            self.blocks.iter_mut().flatten().for_each(|byte| *byte &= !plane);
            self.stale &= !plane;
        }
        self.whole |= plane;
    }

    fn insert(&mut self, plane: u8, digest: [u8; 16]) {
        let (block, places) = places(digest);
        if let Some(bytes) = self.blocks.get_mut(block) {
            for place in places {
                if let Some(byte) = bytes.get_mut(place) {
                    *byte |= plane;
                }
            }
        }
    }

    fn take_over(&mut self, plane: u8, filter: &BloomFilter) {
        for (bytes, set) in self.blocks.iter_mut().zip(&filter.0).filter(|(_, set)| **set != 0) {
            for (place, byte) in bytes.iter_mut().enumerate() {
                *byte |= plane * u8::from(set >> place & 1 == 1);
            }
        }
        self.whole |= plane;
    }

    /// Extracts the filter of one plane.
    fn plane(&self, plane: u8) -> BloomFilter {
        let set = |bytes: &[u8]| bytes.iter().rev().fold(0_u64, |bits, byte| bits << 1 | u64::from(byte & plane != 0));
        let block = |bytes: &Block| {
            let (low, high) = bytes.split_at(BLOCK_PLACES / 2);
            u128::from(set(high)) << 64 | u128::from(set(low))
        };
        BloomFilter(self.blocks.iter().map(block).collect())
    }

    /// Reads a byte of each cache line that belongs to the id.
    fn touch(&self, digest: [u8; 16]) -> u8 {
        let block = self.blocks.get(places(digest).0);
        block.map_or(0, |bytes| bytes[0] ^ bytes[BLOCK_PLACES / 2])
    }

    /// Returns the planes whose generation may hold the id.
    fn may_hold(&self, digest: [u8; 16]) -> u8 {
        let (block, places) = places(digest);
        let Some(bytes) = self.blocks.get(block) else { return u8::MAX };
        let all_set = places.into_iter().fold(u8::MAX, |all, place| all & bytes.get(place).unwrap_or(&u8::MAX));
        all_set | !self.whole
    }
}

/// Returns a generation's group, and its bit there.
fn place_of(generation: u32) -> (u32, u8) {
    (generation / PLANES, 1 << (generation % PLANES))
}

/// The filters in memory, by group.
#[derive(Default)]
pub(crate) struct Filters(Mutex<BTreeMap<u32, Group>>);

impl Filters {
    fn groups(&self) -> MutexGuard<'_, BTreeMap<u32, Group>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns those of the generations `of` that may hold the id. Consecutive generations of one group are read once.
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

    /// Reads ahead the memory that [`Filters::candidates`] will read for these ids. Many reads that do not wait for
    /// each other take slow memory as long as one.
    pub(super) fn warm(&self, digests: impl Iterator<Item = [u8; 16]>) {
        let groups = self.groups();
        let of_one = |digest| groups.values().fold(0, |sum, group| sum ^ group.touch(digest));
        std::hint::black_box(digests.fold(0, |sum, digest| sum ^ of_one(digest)));
    }

    pub(super) fn forget_all(&self) {
        self.groups().clear();
    }

    pub(super) fn has(&self, generation: u32) -> bool {
        let (at, plane) = place_of(generation);
        self.groups().get(&at).is_some_and(|group| group.whole & plane != 0)
    }

    /// Returns a generation's filter, if all its ids are in it.
    pub(super) fn of(&self, generation: u32) -> Option<BloomFilter> {
        let (at, plane) = place_of(generation);
        self.groups().get(&at).filter(|group| group.whole & plane != 0).map(|group| group.plane(plane))
    }

    pub(super) fn put(&self, generation: u32, filter: &BloomFilter) {
        let (at, plane) = place_of(generation);
        Self::group(&mut self.groups(), at, |group| group.take_over(plane, filter));
    }

    /// Changes a group, and makes a missing one. Beyond [`GROUPS_MAX`] the oldest group is dropped for good.
    fn group(groups: &mut BTreeMap<u32, Group>, at: u32, change: impl FnOnce(&mut Group)) {
        change(groups.entry(at).or_insert_with(Group::new));
        while groups.len() > GROUPS_MAX {
            groups.pop_first();
        }
    }

    /// Adds an id to the newest generation before its commit. A failed batch leaves a false positive behind, which does
    /// no harm.
    pub(crate) fn insert(&self, generation: u32, is_new: bool, digest: [u8; 16]) {
        let (at, plane) = place_of(generation);
        let mut groups = self.groups();
        if is_new {
            Self::group(&mut groups, at, |group| group.begin(plane));
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
            group.stale |= plane;
            if group.whole == 0 {
                groups.remove(&at);
            }
        }
    }
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
        let mut filter = BloomFilter::new();
        ids_of(3).for_each(|id| filter.insert(id));
        filters.put(3, &filter);
        assert_eq!(filters.of(3), Some(filter.clone()));
        assert_eq!(BloomFilter::parse(&filter.to_bytes()), Some(filter));
        assert_eq!(filters.of(2), None);
        let asked = |id| filters.candidates([8, 7, 3, 2].into_iter(), id);
        assert!(ids_of(7).all(|id| asked(id).contains(&7)));
        assert!(ids_of(3).all(|id| asked(id).contains(&3)));
        // A generation without a filter is always looked up: in another group, and in another plane.
        let wrong: Vec<Vec<u32>> = (1_u64 << 60..(1 << 60) + 20_000).map(|id| asked(digest(id))).collect();
        assert!(wrong.iter().all(|said| said.contains(&8) && said.contains(&2)));
        for full in [7, 3] {
            let perhaps = wrong.iter().filter(|said| said.contains(&full)).count();
            assert!(perhaps < 16, "{perhaps} of 20,000");
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
    fn a_generation_whose_number_comes_again_begins_empty() {
        let filters = Filters::default();
        filters.insert(2, true, digest(0));
        for number in 1..1000 {
            filters.insert(3, number == 1, digest(number));
        }
        filters.forget(3);
        filters.insert(3, true, digest(1000));
        assert!(filters.candidates([3, 2].into_iter(), digest(1)).is_empty());
        assert_eq!(filters.candidates([3, 2].into_iter(), digest(1000)), [3]);
        assert_eq!(filters.candidates([3, 2].into_iter(), digest(0)), [2]);
    }
}
