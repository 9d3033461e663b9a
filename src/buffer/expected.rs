//! Expected redeliveries: duplicates that an operator asked for and that are allowed, once each.
//!
//! A provider repeats a delivery under its old id when somebody presses its button, and the duplicate check takes it
//! for a duplicate like any other. An expected redelivery allows it. Expected redeliveries live in memory, bounded in
//! number and time. They are lost on a restart, because a lost one costs only another press of the button.
//!
//! Only the committer uses them up, where it detects duplicates; a failed batch gives them back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Timestamp;

/// The most expected redeliveries, all sources together.
pub const PASSES_MAX: u32 = 10_000;
/// The longest time for which a redelivery is expected.
pub const PASS_LONGEST: Duration = Duration::from_hours(24);

/// The duplicates that are allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExpectedIds {
    /// One duplicate of this delivery id.
    Id(String),
    /// One duplicate of every delivery id, up to `most` in all.
    Any {
        /// The number of duplicates.
        most: u32,
    },
}

/// The error of too many expected redeliveries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyExpected;

#[derive(Debug)]
struct AnyExpected {
    until: Timestamp,
    left: u32,
    /// The delivery ids that were allowed once; another duplicate of one is refused.
    used: BTreeSet<[u8; 16]>,
}

#[derive(Debug, Default)]
struct State {
    ids: BTreeMap<(Arc<str>, String), Timestamp>,
    any: BTreeMap<Arc<str>, AnyExpected>,
}

/// The expected redeliveries in force.
#[derive(Debug, Default)]
pub(super) struct ExpectedRedeliveries(Mutex<State>);

/// An expected redelivery that was used up, to be given back when the batch fails.
#[derive(Debug)]
pub(super) struct Used {
    source: Arc<str>,
    pass: UsedExpectation,
}

#[derive(Debug)]
enum UsedExpectation {
    Id(String, Timestamp),
    Any([u8; 16]),
}

impl State {
    fn expire(&mut self, now: Timestamp) {
        self.ids.retain(|_, until| now < *until);
        self.any.retain(|_, pass| now < pass.until);
    }

    fn count(&self) -> u64 {
        let any = self.any.values().map(|pass| u64::from(pass.left) + pass.used.len() as u64);
        any.sum::<u64>() + self.ids.len() as u64
    }
}

impl ExpectedRedeliveries {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Allows duplicates for the time `long` and returns the end. A second request for the same ones replaces the
    /// first.
    pub(super) fn allow(
        &self,
        source: &Arc<str>,
        wanted: ExpectedIds,
        long: Duration,
        now: Timestamp,
    ) -> Result<Timestamp, TooManyExpected> {
        let until = now.after(long.min(PASS_LONGEST));
        let mut state = self.state();
        state.expire(now);
        match wanted {
            ExpectedIds::Id(id) => {
                let key = (Arc::clone(source), id);
                if !state.ids.contains_key(&key) && state.count() >= u64::from(PASSES_MAX) {
                    return Err(TooManyExpected);
                }
                state.ids.insert(key, until);
            }
            ExpectedIds::Any { most: left } => {
                let before = state.any.remove(source);
                if state.count() + u64::from(left) > u64::from(PASSES_MAX) {
                    state.any.extend(before.map(|pass| (Arc::clone(source), pass)));
                    return Err(TooManyExpected);
                }
                state.any.insert(Arc::clone(source), AnyExpected { until, left, used: BTreeSet::new() });
            }
        }
        Ok(until)
    }

    /// Uses up the expected redelivery for a duplicate with this delivery id and key, if there is one.
    pub(super) fn take(&self, source: &Arc<str>, id: Option<&str>, key: [u8; 16], now: Timestamp) -> Option<Used> {
        let mut state = self.state();
        if state.ids.is_empty() && state.any.is_empty() {
            return None;
        }
        state.expire(now);
        let used = |pass| Some(Used { source: Arc::clone(source), pass });
        if let Some(id) = id
            && let Some(until) = state.ids.remove(&(Arc::clone(source), id.to_owned()))
        {
            return used(UsedExpectation::Id(id.to_owned(), until));
        }
        let any = state.any.get_mut(source).filter(|pass| pass.left > 0)?;
        if !any.used.insert(key) {
            return None;
        }
        any.left -= 1;
        used(UsedExpectation::Any(key))
    }

    /// Gives back an expected redelivery whose event was not stored.
    pub(super) fn give_back(&self, used: Used) {
        let Used { source, pass } = used;
        let mut state = self.state();
        match pass {
            UsedExpectation::Id(id, until) => {
                state.ids.insert((source, id), until);
            }
            UsedExpectation::Any(key) => {
                if let Some(any) = state.any.get_mut(&source)
                    && any.used.remove(&key)
                {
                    any.left += 1;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffer::engine::Space;
    use crate::buffer::{Buffer, BufferParams, Committed, Fsync, keys};
    use crate::clock::SystemClock;
    use crate::event::{DedupKey, Event, EventData, EventId};
    use crate::provider::Verified;

    const NOW: Timestamp = Timestamp::from_unix_secs(1_000_000);
    const MINUTE: Duration = Duration::from_mins(1);

    fn source() -> Arc<str> {
        "github".into()
    }

    fn id(id: &str) -> ExpectedIds {
        ExpectedIds::Id(id.to_owned())
    }

    fn takes(passes: &ExpectedRedeliveries, id: &str, now: Timestamp) -> bool {
        let mut key = [0; 16];
        key[0] = id.as_bytes()[0];
        passes.take(&source(), Some(id), key, now).is_some()
    }

    #[test]
    fn a_pass_is_good_for_one_repetition_of_its_id_and_until_its_end() {
        let passes = ExpectedRedeliveries::default();
        passes.allow(&source(), id("a"), MINUTE, NOW).unwrap();
        assert!(!takes(&passes, "b", NOW));
        assert!(passes.take(&"other".into(), Some("a"), [0; 16], NOW).is_none());
        assert!(takes(&passes, "a", NOW) && !takes(&passes, "a", NOW));
        assert_eq!(passes.allow(&source(), id("a"), MINUTE, NOW), Ok(NOW.after(MINUTE)));
        assert!(!takes(&passes, "a", NOW.after(MINUTE)));
    }

    #[test]
    fn a_pass_for_any_is_good_for_so_many_and_for_each_once() {
        let passes = ExpectedRedeliveries::default();
        passes.allow(&source(), ExpectedIds::Any { most: 2 }, MINUTE, NOW).unwrap();
        assert!(takes(&passes, "a", NOW) && !takes(&passes, "a", NOW));
        assert!(takes(&passes, "b", NOW) && !takes(&passes, "c", NOW));
    }

    #[test]
    fn what_a_failed_batch_used_up_is_given_back() {
        for wanted in [id("a"), ExpectedIds::Any { most: 1 }] {
            let passes = ExpectedRedeliveries::default();
            passes.allow(&source(), wanted, MINUTE, NOW).unwrap();
            let used = passes.take(&source(), Some("a"), [7; 16], NOW).unwrap();
            assert!(passes.take(&source(), Some("a"), [7; 16], NOW).is_none());
            passes.give_back(used);
            assert!(passes.take(&source(), Some("a"), [7; 16], NOW).is_some());
        }
    }

    #[test]
    fn passes_are_bounded_in_number_and_in_time() {
        let passes = ExpectedRedeliveries::default();
        let allow = |wanted, now| passes.allow(&source(), wanted, MINUTE, now);
        assert_eq!(allow(ExpectedIds::Any { most: PASSES_MAX + 1 }, NOW), Err(TooManyExpected));
        allow(ExpectedIds::Any { most: PASSES_MAX }, NOW).unwrap();
        assert_eq!(allow(id("a"), NOW), Err(TooManyExpected));
        // Used-up ones still count until their end.
        assert!(takes(&passes, "b", NOW));
        assert_eq!(allow(id("a"), NOW), Err(TooManyExpected));
        // A second request replaces the first; expired ones make room.
        allow(ExpectedIds::Any { most: PASSES_MAX - 1 }, NOW).unwrap();
        allow(id("a"), NOW).unwrap();
        assert_eq!(allow(id("c"), NOW), Err(TooManyExpected));
        allow(ExpectedIds::Any { most: PASSES_MAX }, NOW.after(MINUTE)).unwrap();
        let longest = ExpectedRedeliveries::default().allow(&source(), id("a"), PASS_LONGEST * 2, NOW);
        assert_eq!(longest, Ok(NOW.after(PASS_LONGEST)));
    }

    #[tokio::test]
    async fn what_is_let_through_is_what_is_recognised_from_then_on() {
        let folder = tempfile::tempdir().unwrap();
        let params = BufferParams {
            dir: folder.path().to_owned(),
            bytes_max: 1 << 30,
            fsync: Fsync::Os,
            quarantine_keep: MINUTE,
        };
        let buffer = Buffer::open(params, &["app".into()], Arc::new(SystemClock), Box::new(|_| {})).unwrap();
        let dedup = DedupKey { key: [1; 16], body: Some([9; 16]), window: MINUTE };
        let known = || {
            let store = buffer.shared.store.load_full().unwrap();
            let value = store.get(Space::Dedup, &crate::buffer::generations::key(1, [1; 16])).unwrap().unwrap();
            keys::parse_pair(&value[..16]).unwrap().1
        };
        assert_eq!(buffer.append(delivery(dedup)).await, Ok(Committed::Stored));
        let first: u64 = known();
        assert_eq!(buffer.append(delivery(dedup)).await, Ok(Committed::Duplicate));
        // The same id with another body is another event, and is recognised as well.
        let other = DedupKey { body: Some([8; 16]), ..dedup };
        assert_eq!(buffer.append(delivery(other)).await, Ok(Committed::SameId));
        assert_eq!(buffer.append(delivery(other)).await, Ok(Committed::Duplicate));
        assert_eq!(buffer.append(delivery(dedup)).await, Ok(Committed::Duplicate));
        // Where the body is not signed, the id alone decides.
        let alone = DedupKey { body: None, ..dedup };
        assert_eq!(buffer.append(delivery(alone)).await, Ok(Committed::Duplicate));
        buffer.let_through(&source(), id("a"), MINUTE).unwrap();
        assert_eq!(buffer.append(delivery(dedup)).await, Ok(Committed::Stored));
        let second: u64 = known();
        assert!(first < second, "{first} {second}");
        assert_eq!((buffer.stats().dedup_entries, buffer.depth("app").ready), (1, 3));
        assert_eq!(buffer.append(delivery(dedup)).await, Ok(Committed::Duplicate));
        buffer.close().await;
    }

    fn delivery(dedup: DedupKey) -> Event {
        let sample = EventData::sample(EventId::at(NOW, [0; 10]), NOW);
        let data = EventData { delivery_id: Some("a".into()), ..sample };
        Event::new(Verified::by_choice("tests"), data, Some(dedup))
    }
}
