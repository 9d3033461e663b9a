//! The index of unverified events: events that failed their signature check and were accepted by `enforce: false`. With
//! the index they are re-evaluated when the rules change, without a look at every stored event.
//!
//! Invariants: an entry exists only while its event does, so an entry's record may be rewritten. At most
//! [`UNVERIFIED_MAX`] events are in the index; the oldest are dropped first and counted. Only the committer writes, in
//! the same batches as everything else. The [`UnverifiedCounts`] in memory counts the entries by source and by the rules
//! fingerprint of their last judgement, so that nobody reads the index to learn that nothing is to be done.
//!
//! `unverified_events` reads events back and takes judgements. The rules and the judge are outside the buffer.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::Shared;
use super::batch::{Batch, Effect};
use super::committer::Append;
use super::engine::{EngineError, Space};
use super::keys;
use super::record;
use super::store::Store;
use super::unverified_events::{Judgement, Rejudge};
use crate::event::RulesFingerprint;

/// The most events in the index; about 4 MiB on disk.
pub(crate) const UNVERIFIED_MAX: u64 = 100_000;

/// The index entry of one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct UnverifiedEntry {
    pub(super) judged_by: RulesFingerprint,
    pub(super) source: Arc<str>,
}

impl UnverifiedEntry {
    fn to_bytes(&self) -> Vec<u8> {
        [self.judged_by.0.as_slice(), self.source.as_bytes()].concat()
    }

    pub(super) fn parse(value: &[u8]) -> Option<Self> {
        let (judged_by, source) = value.split_first_chunk::<8>()?;
        Some(Self { judged_by: RulesFingerprint(*judged_by), source: Arc::from(std::str::from_utf8(source).ok()?) })
    }
}

/// The unverified events of one source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unverified {
    /// Events in the index, by the rules fingerprint of their last judgement.
    pub by_rules: BTreeMap<RulesFingerprint, u64>,
    /// Events that passed a re-evaluation, since the start.
    pub reverified: u64,
    /// Events that were dropped from the index because it was full, since the start.
    pub forgotten: u64,
}

impl Unverified {
    /// Returns the number of events in the index.
    pub fn stored(&self) -> u64 {
        self.by_rules.values().sum()
    }
}

/// The counters of the index, in memory.
#[derive(Debug, Default)]
pub(crate) struct UnverifiedCounts {
    pub(super) by_source: BTreeMap<Arc<str>, Unverified>,
    total: u64,
    /// The sequence before which the index is empty: a scan for the oldest entry skips what was removed.
    floor: u64,
}

impl UnverifiedCounts {
    /// Counts the index from nothing; the numbers since the start stay.
    pub(crate) fn recover(&mut self, store: &Store) -> Result<(), EngineError> {
        self.total = 0;
        self.floor = 0;
        self.by_source.values_mut().for_each(|of_source| of_source.by_rules.clear());
        for pair in store.scan(Space::Unverified, &[], None) {
            if let Some(entry) = UnverifiedEntry::parse(&pair?.1) {
                self.add(&entry);
            }
        }
        Ok(())
    }

    fn add(&mut self, entry: &UnverifiedEntry) {
        let of_source = self.by_source.entry(Arc::clone(&entry.source)).or_default();
        *of_source.by_rules.entry(entry.judged_by).or_default() += 1;
        self.total += 1;
    }

    /// Takes an entry out and returns the counters of its source.
    fn take(&mut self, entry: &UnverifiedEntry) -> &mut Unverified {
        let of_source = self.by_source.entry(Arc::clone(&entry.source)).or_default();
        if let Some(count) = of_source.by_rules.get_mut(&entry.judged_by) {
            *count = count.saturating_sub(1);
            self.total = self.total.saturating_sub(1);
        }
        of_source.by_rules.retain(|_, count| *count > 0);
        of_source
    }

    fn apply(&mut self, change: IndexChange) {
        match change {
            IndexChange::Failed(entry) => self.add(&entry),
            IndexChange::Removed(entry) => {
                self.take(&entry);
            }
            IndexChange::Verified(entry) => self.take(&entry).reverified += 1,
            IndexChange::FailedAgain(entry, judged_by) => {
                self.take(&entry);
                self.add(&UnverifiedEntry { judged_by, ..entry });
            }
            IndexChange::Forgotten { seq, entry } => {
                let of_source = self.take(&entry);
                of_source.forgotten += 1;
                if of_source.forgotten == 1 {
                    tracing::warn!(source = %entry.source, most = UNVERIFIED_MAX, "too many unverified events are stored; the oldest will not be judged again");
                }
                self.floor = seq.saturating_add(1);
            }
        }
    }
}

/// A batch's change to the index, counted once the batch is stored.
pub(super) enum IndexChange {
    Failed(UnverifiedEntry),
    Removed(UnverifiedEntry),
    Forgotten { seq: u64, entry: UnverifiedEntry },
    Verified(UnverifiedEntry),
    FailedAgain(UnverifiedEntry, RulesFingerprint),
}

/// The index in a batch under construction.
#[derive(Default)]
pub(super) struct IndexChanges {
    pub(super) changes: Vec<IndexChange>,
    /// The entries that this batch removes.
    gone: HashSet<u64>,
    added: u64,
    /// The floor of the ledger, as this batch leaves it.
    floor: u64,
}

impl Batch<'_> {
    /// Adds an unverified event to the index; a full index drops the oldest.
    pub(super) fn remember(&mut self, seq: u64, append: &Append) -> Result<(), EngineError> {
        let Some(judged_by) = append.failed_by else { return Ok(()) };
        let entry = UnverifiedEntry { judged_by, source: Arc::clone(&append.data.source) };
        self.writes.insert(Space::Unverified, seq.to_be_bytes(), entry.to_bytes());
        self.index.changes.push(IndexChange::Failed(entry));
        self.index.added += 1;
        let (total, floor) = self.shared.unverified_counts(|ledger| (ledger.total, ledger.floor));
        let remaining = (total + self.index.added).saturating_sub(self.index.gone.len() as u64);
        if remaining > self.shared.unverified_max {
            self.forget_oldest(floor.max(self.index.floor))?;
        }
        Ok(())
    }

    fn forget_oldest(&mut self, floor: u64) -> Result<(), EngineError> {
        let store = self.store;
        for oldest in store.scan(Space::Unverified, &floor.to_be_bytes(), None) {
            let (key, value) = oldest?;
            let (Some(seq), Some(entry)) = (keys::parse_sequence(&key), UnverifiedEntry::parse(&value)) else {
                continue;
            };
            if self.index.gone.insert(seq) {
                self.writes.remove(Space::Unverified, key);
                self.index.changes.push(IndexChange::Forgotten { seq, entry });
                self.index.floor = seq.saturating_add(1);
                break;
            }
        }
        Ok(())
    }

    /// Removes the entry of an event that leaves the store.
    pub(super) fn forget(&mut self, seq: u64) -> Result<(), EngineError> {
        if self.shared.unverified_counts(|ledger| ledger.total) == 0 {
            return Ok(());
        }
        if let Some(entry) = self.entry(seq)? {
            self.index.gone.insert(seq);
            self.writes.remove(Space::Unverified, seq.to_be_bytes());
            self.index.changes.push(IndexChange::Removed(entry));
        }
        Ok(())
    }

    fn entry(&self, seq: u64) -> Result<Option<UnverifiedEntry>, EngineError> {
        if self.index.gone.contains(&seq) {
            return Ok(None);
        }
        Ok(self.store.get(Space::Unverified, &seq.to_be_bytes())?.and_then(|value| UnverifiedEntry::parse(&value)))
    }

    /// Records judgements. They come last in a batch, so that what the batch removes stays removed.
    pub(super) fn rejudge(&mut self, rejudge: Rejudge) -> Result<(), EngineError> {
        let mut result = Ok(());
        for judgement in rejudge.judgements {
            result = result.and_then(|()| self.rejudge_one(judgement));
        }
        self.effects.push(Effect::Rejudged(rejudge.reply));
        result
    }

    fn rejudge_one(&mut self, judgement: Judgement) -> Result<(), EngineError> {
        let Judgement { seq, judged_by, record } = judgement;
        let Some(entry) = self.entry(seq)? else { return Ok(()) };
        // An event that got more dispatches since it was read is re-evaluated once more.
        let is_outdated = |record: &Vec<u8>| -> Result<bool, EngineError> {
            let copies = |record: &[u8]| record::decode(record).ok().map(|event| event.copies.len());
            let stored = self.store.get(Space::Events, &seq.to_be_bytes())?;
            Ok(self.rewritten.contains(&seq) || stored.is_none_or(|stored| copies(&stored) != copies(record)))
        };
        if let Some(record) = record {
            if is_outdated(&record)? {
                return Ok(());
            }
            // The stored size stays the one in queue and expiry: it differs by a few bytes, and the sums must match.
            self.writes.insert(Space::Events, seq.to_be_bytes(), record);
            self.writes.remove(Space::Unverified, seq.to_be_bytes());
            self.index.gone.insert(seq);
            self.index.changes.push(IndexChange::Verified(entry));
            self.has_removed = true;
        } else {
            let judged = UnverifiedEntry { judged_by, ..entry.clone() };
            self.writes.insert(Space::Unverified, seq.to_be_bytes(), judged.to_bytes());
            self.index.changes.push(IndexChange::FailedAgain(entry, judged_by));
        }
        Ok(())
    }
}

impl Shared {
    pub(super) fn unverified_counts<T>(&self, look: impl FnOnce(&mut UnverifiedCounts) -> T) -> T {
        look(&mut self.ledger.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    /// Counts a batch's changes to the index.
    pub(super) fn count_changes(&self, changes: Vec<IndexChange>) {
        if !changes.is_empty() {
            self.unverified_counts(|ledger| changes.into_iter().for_each(|change| ledger.apply(change)));
        }
    }
}
