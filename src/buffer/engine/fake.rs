//! A fake disk for the simulation: it fails when told to, fills up, and loses unsynced data when the power goes.
//!
//! Committed and unsynced batches lie in a list behind the durable state. A crash keeps all of them (the process died,
//! the system lives) or the first ones (the power went); a commit whose sync failed may survive or not. After a failed
//! commit nothing more is taken until the store is opened anew, as in fjall. Every other opening claims that files were
//! repaired, so that reindexing runs over stores whose content is known.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use super::{Durability, Engine, EngineError, Medium, Mended, Pairs, Space, Value, Writes};
use crate::buffer::{DiskSpace, OpenError};

type Map = BTreeMap<(Space, Vec<u8>), Value>;

/// A failure of the next commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InjectedFault {
    /// Nothing of the batch is written.
    Write,
    /// The batch is written, and its sync fails; `survives` says whether the batch outlives that.
    Sync { survives: bool },
}

#[derive(Debug, Default)]
struct Platter {
    durable: Map,
    /// The state that readers see.
    live: Map,
    unsynced: Vec<Writes>,
    fault: Option<InjectedFault>,
    is_low: bool,
    is_poisoned: bool,
    /// The number of the last opening; older ones may not write any more.
    generation: u64,
    /// The counters at an opening that claimed a repair.
    to_restore: Option<Vec<(Vec<u8>, Value)>>,
    openings: u64,
    commits: u64,
    syncs: u64,
}

/// The fake disk; clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct FakeDisk(Arc<Mutex<Platter>>);

#[derive(Debug)]
struct FakeStore {
    disk: FakeDisk,
    generation: u64,
}

fn apply(map: &mut Map, batch: &Writes) {
    for change in &batch.0 {
        let key = (change.space, change.key.to_vec());
        match &change.value {
            Some(value) => drop(map.insert(key, value.clone())),
            None => drop(map.remove(&key)),
        }
    }
}

impl Platter {
    /// Makes the first `keep` unsynced batches durable and drops the rest.
    fn settle_unsynced(&mut self, keep: usize) {
        let unsynced = std::mem::take(&mut self.unsynced);
        for batch in unsynced.iter().take(keep) {
            apply(&mut self.durable, batch);
        }
        if keep < unsynced.len() {
            self.live = self.durable.clone();
        }
    }
}

impl FakeDisk {
    fn platter(&self) -> MutexGuard<'_, Platter> {
        self.0.lock().unwrap()
    }

    /// Makes the next commit fail.
    pub(crate) fn fail_next(&self, fault: InjectedFault) {
        self.platter().fault = Some(fault);
    }

    pub(crate) fn run_low(&self, is_low: bool) {
        self.platter().is_low = is_low;
    }

    /// Returns the number of batches that a power cut may take.
    pub(crate) fn unsynced(&self) -> usize {
        self.platter().unsynced.len()
    }

    /// Stops the machine; the first `keep` unsynced batches survive.
    pub(crate) fn crash(&self, keep: usize) {
        let mut platter = self.platter();
        platter.settle_unsynced(keep);
        platter.generation += 1;
        platter.fault = None;
    }

    /// Flips a bit of a stored value.
    pub(crate) fn damage(&self, space: Space, nth: usize, at: usize) -> bool {
        let mut platter = self.platter();
        let keys: Vec<_> = platter.live.keys().filter(|(of, _)| *of == space).cloned().collect();
        let Some(key) = keys.get(nth % keys.len().max(1)) else { return false };
        let mut value = platter.live[key].to_vec();
        let at = at % value.len().max(1);
        if let Some(byte) = value.get_mut(at) {
            *byte ^= 0x40;
        }
        platter.live.insert(key.clone(), value.clone().into());
        platter.durable.insert(key.clone(), value.into());
        true
    }

    /// Returns all keys and values of a keyspace.
    pub(crate) fn all(&self, space: Space) -> Vec<(Vec<u8>, Value)> {
        let platter = self.platter();
        platter
            .live
            .iter()
            .filter(|((of, _), _)| *of == space)
            .map(|((_, key), value)| (key.clone(), value.clone()))
            .collect()
    }
}

impl Medium for FakeDisk {
    /// Checks that reindexing found the store right, because nothing is ever damaged here.
    fn restored(&self) -> Result<(), OpenError> {
        let before = self.platter().to_restore.take();
        let now = self.all(Space::Books);
        assert!(before.is_none_or(|before| before == now), "books that were right are counted differently");
        Ok(())
    }

    fn open(&self) -> Result<(Arc<dyn Engine>, Option<Mended>), OpenError> {
        let mut platter = self.platter();
        platter.generation += 1;
        platter.is_poisoned = false;
        platter.openings += 1;
        let (says_mended, generation) = (platter.openings.is_multiple_of(2), platter.generation);
        drop(platter);
        let books = self.all(Space::Books);
        self.platter().to_restore = Some(books).filter(|books| says_mended && !books.is_empty());
        Ok((Arc::new(FakeStore { disk: self.clone(), generation }), says_mended.then(Mended::default)))
    }

    fn space(&self) -> Option<DiskSpace> {
        let total_bytes = 1 << 30;
        let free_bytes = if self.platter().is_low { 0 } else { total_bytes };
        Some(DiskSpace { free_bytes, total_bytes })
    }
}

/// A scan that searches anew for every pair, from both ends.
struct Walk<'a> {
    store: &'a FakeStore,
    space: Space,
    from: Vec<u8>,
    /// True when `from` was returned already.
    is_after: bool,
    to: Option<Vec<u8>>,
}

impl Walk<'_> {
    fn pick(&self, from_end: bool) -> Option<(Vec<u8>, Value)> {
        let platter = self.store.disk.platter();
        let in_range = platter
            .live
            .range((self.space, self.from.clone())..)
            .take_while(|((space, key), _)| *space == self.space && self.to.as_ref().is_none_or(|to| key < to));
        let mut in_range = in_range.filter(|((_, key), _)| !self.is_after || *key != self.from);
        let found = if from_end { in_range.last() } else { in_range.next() };
        found.map(|((_, key), value)| (key.clone(), value.clone()))
    }
}

impl Iterator for Walk<'_> {
    type Item = Result<(Value, Value), EngineError>;

    fn next(&mut self) -> Option<Self::Item> {
        let (key, value) = self.pick(false)?;
        self.from.clone_from(&key);
        self.is_after = true;
        Some(Ok((key.into(), value)))
    }
}

impl DoubleEndedIterator for Walk<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        let (key, value) = self.pick(true)?;
        self.to = Some(key.clone());
        Some(Ok((key.into(), value)))
    }
}

impl Engine for FakeStore {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Value>, EngineError> {
        Ok(self.disk.platter().live.get(&(space, key.to_vec())).cloned())
    }

    fn scan(&self, space: Space, from: &[u8], to: Option<&[u8]>) -> Pairs<'_> {
        Box::new(Walk { store: self, space, from: from.to_vec(), is_after: false, to: to.map(<[u8]>::to_vec) })
    }

    fn last_key(&self, space: Space) -> Result<Option<Value>, EngineError> {
        let platter = self.disk.platter();
        let last = platter.live.range((space, Vec::new())..).take_while(|((of, _), _)| *of == space).last();
        Ok(last.map(|((_, key), _)| key.clone().into()))
    }

    fn commit(&self, batch: Writes, durability: Durability) -> Result<(), EngineError> {
        let mut platter = self.disk.platter();
        if platter.is_poisoned || platter.generation != self.generation {
            return Err(EngineError::Failed("poisoned".into()));
        }
        platter.commits += 1;
        match platter.fault.take() {
            Some(InjectedFault::Write) => {
                platter.is_poisoned = true;
                return Err(EngineError::Failed("the write failed".into()));
            }
            Some(InjectedFault::Sync { survives }) => {
                platter.is_poisoned = true;
                if survives {
                    apply(&mut platter.live, &batch);
                    platter.unsynced.push(batch);
                }
                return Err(EngineError::Failed("the sync failed".into()));
            }
            None => {}
        }
        apply(&mut platter.live, &batch);
        platter.unsynced.push(batch);
        if durability == Durability::Synced {
            platter.syncs += 1;
            let all = platter.unsynced.len();
            platter.settle_unsynced(all);
        }
        Ok(())
    }

    fn sync(&self) -> Result<(), EngineError> {
        let mut platter = self.disk.platter();
        let all = platter.unsynced.len();
        platter.settle_unsynced(all);
        Ok(())
    }

    fn give_space_back(&self) -> Result<(), EngineError> {
        Ok(())
    }
}
