//! Counters, written in the same batch as the records they count. They are right after every crash, and opening a store
//! reads them instead of walking over millions of records.
//!
//! **The identity**: for every destination, `accepted = delivered + dead_lettered + expired + discarded + queued`,
//! after every batch. A replayed delivery is accepted again.
//!
//! Only the committer writes; readers take a copy.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::engine::{Engine, EngineError, Space, Writes};
use super::generations::Generation;
use super::keys::{self, DestinationId, OrderQueueKey, QueueKey, QueueValue};
use super::order_queues::OrderQueue;

/// The counters of one destination's deliveries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Deliveries that ever entered the queue.
    pub accepted: u64,
    /// Deliveries that the destination took.
    pub delivered: u64,
    /// Deliveries that ended without success, for another reason than their age.
    pub dead_lettered: u64,
    /// Deliveries that were given up for their age.
    pub expired: u64,
    /// Deliveries that a person skipped.
    pub discarded: u64,
    /// Deliveries that wait or are in flight.
    pub queued: u64,
    /// Of `queued`: deliveries that wait for their time after an attempt.
    pub rescheduled: u64,
    /// Of `queued`: deliveries that wait behind another one with the same order key.
    pub waiting: u64,
    /// Of `queued`: deliveries whose order key is parked.
    pub parked: u64,
    /// Dead letters that are kept now.
    pub dead: u64,
}

const NUMBERS: usize = 10;

impl Counters {
    /// Checks whether every accepted delivery is accounted for.
    pub const fn is_balanced(&self) -> bool {
        self.accepted == self.delivered + self.dead_lettered + self.expired + self.discarded + self.queued
    }

    fn numbers(&mut self) -> [&mut u64; NUMBERS] {
        let Self { accepted, delivered, dead_lettered, expired, discarded, queued, rescheduled, waiting, parked, dead } =
            self;
        [accepted, delivered, dead_lettered, expired, discarded, queued, rescheduled, waiting, parked, dead]
    }

    fn to_bytes(mut self) -> Vec<u8> {
        self.numbers().into_iter().flat_map(|number| number.to_be_bytes()).collect()
    }

    fn parse(value: &[u8]) -> Self {
        let mut book = Self::default();
        for (number, bytes) in book.numbers().into_iter().zip(value.as_chunks::<8>().0) {
            *number = u64::from_be_bytes(*bytes);
        }
        book
    }
}

/// All counters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CountersByDestination {
    pub(crate) by_destination: BTreeMap<DestinationId, Counters>,
    /// Quarantined events, by source.
    pub(crate) quarantined: BTreeMap<Arc<str>, u64>,
    /// The generations of delivery ids, by number.
    pub(crate) generations: BTreeMap<u32, Generation>,
    pub(crate) total: Total,
}

/// The counters of the whole store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Total {
    /// Bytes of stored events.
    pub(crate) bytes: u64,
    /// Delivery ids that are remembered.
    pub(crate) dedup: u64,
    /// The next sequence; no sequence at or after it was ever used.
    pub(crate) next_seq: u64,
}

const TOTAL_KEY: &[u8] = b"t";
const DESTINATION: u8 = b'd';
const QUARANTINE: u8 = b'q';
const GENERATION: u8 = b'g';

impl CountersByDestination {
    /// Reads the counters.
    pub(crate) fn read(engine: &dyn Engine) -> Result<Self, EngineError> {
        let mut books = Self::default();
        for pair in engine.scan(Space::Books, &[], None) {
            let (key, value) = pair?;
            match key.split_first() {
                Some((&DESTINATION, id)) => {
                    if let Ok(id) = id.try_into().map(u32::from_be_bytes) {
                        books.by_destination.insert(DestinationId(id), Counters::parse(&value));
                    }
                }
                Some((&QUARANTINE, source)) => {
                    let count = value.as_ref().try_into().map_or(0, u64::from_be_bytes);
                    books.quarantined.insert(String::from_utf8_lossy(source).into(), count);
                }
                Some((&GENERATION, id)) => {
                    if let (Ok(id), Some(generation)) =
                        (id.try_into().map(u32::from_be_bytes), Generation::parse(&value))
                    {
                        books.generations.insert(id, generation);
                    }
                }
                _ => {
                    let mut numbers = value.as_chunks::<8>().0.iter().map(|bytes| u64::from_be_bytes(*bytes));
                    let mut next = || numbers.next().unwrap_or_default();
                    books.total = Total { bytes: next(), dedup: next(), next_seq: next() };
                }
            }
        }
        Ok(books)
    }

    /// Counts the records of a store after damage; `bytes` are those of all events. Ended deliveries have no record to
    /// count, so their numbers stay as they were known. `accepted` follows from the identity.
    pub(crate) fn recount(engine: &dyn Engine, bytes: u64) -> Result<Self, EngineError> {
        let mut books = Self::read(engine)?;
        for book in books.by_destination.values_mut() {
            *book = Counters { queued: 0, rescheduled: 0, waiting: 0, parked: 0, dead: 0, ..*book };
        }
        books.quarantined.values_mut().for_each(|count| *count = 0);
        for pair in engine.scan(Space::Queue, &[], None) {
            let (key, value) = pair?;
            let Some(key) = QueueKey::parse(&key) else { continue };
            let book = books.by_destination.entry(key.destination).or_default();
            book.queued += 1;
            book.rescheduled += u64::from(key.due_ms != QueueValue::parse(&value).since_ms);
            books.total.next_seq = books.total.next_seq.max(key.seq.saturating_add(1));
        }
        for pair in engine.scan(Space::Lanes, &[], None) {
            let (key, value) = pair?;
            let (Some(key), Some(lane)) = (OrderQueueKey::parse(&key), OrderQueue::parse(&value)) else { continue };
            let book = books.by_destination.entry(key.destination).or_default();
            // The head of an order queue that is not parked was counted in the queue.
            let behind = lane.len.saturating_sub(u64::from(lane.parked.is_none()));
            book.queued += behind;
            *(if lane.parked.is_some() { &mut book.parked } else { &mut book.waiting }) += behind;
        }
        for pair in engine.scan(Space::Dead, &[], None) {
            if let Some(dead) = QueueKey::parse(&pair?.0) {
                books.by_destination.entry(dead.destination).or_default().dead += 1;
            }
        }
        for pair in engine.scan(Space::Quarantine, &[], None) {
            *books.quarantined.entry(keys::source_of_quarantine(&pair?.1)).or_default() += 1;
        }
        for book in books.by_destination.values_mut() {
            book.accepted = book.delivered + book.dead_lettered + book.expired + book.discarded + book.queued;
        }
        let last = engine.last_key(Space::Events)?.and_then(|key| keys::parse_sequence(&key));
        books.total.next_seq = books.total.next_seq.max(last.map_or(0, |last| last.saturating_add(1)));
        books.total.bytes = bytes;
        books.recount_ids(engine)?;
        Ok(books)
    }

    /// Counts the delivery ids. Ids of an unknown generation are still recognised and swept; such a generation gets no
    /// more ids.
    fn recount_ids(&mut self, engine: &dyn Engine) -> Result<(), EngineError> {
        let known: Vec<u32> = self.generations.keys().copied().collect();
        self.total.dedup = 0;
        for pair in engine.scan(Space::Dedup, &[], None) {
            let (key, value) = pair?;
            let Some(id) = key.first_chunk().map(|id| u32::from_be_bytes(*id)) else { continue };
            self.total.dedup += 1;
            if known.binary_search(&id).is_err() {
                let expires_ms = value.first_chunk().map_or(1, |expires| u64::from_be_bytes(*expires));
                let generation =
                    self.generations.entry(id).or_insert(Generation { class: u8::MAX, ..Generation::default() });
                generation.count = generation.count.saturating_add(1);
                generation.until_ms = generation.until_ms.max(expires_ms);
            }
        }
        Ok(())
    }

    /// Takes over the counters that a batch has changed.
    pub(crate) fn apply(&mut self, changed: Self) {
        self.by_destination.extend(changed.by_destination);
        self.quarantined.extend(changed.quarantined);
        self.generations.extend(changed.generations);
        self.generations.retain(|_, generation| generation.until_ms > 0);
        self.total = changed.total;
    }

    /// Writes these counters into a batch.
    pub(crate) fn write(&self, batch: &mut Writes) {
        for (id, book) in &self.by_destination {
            batch.insert(Space::Books, [&[DESTINATION], id.0.to_be_bytes().as_slice()].concat(), book.to_bytes());
        }
        for (source, count) in &self.quarantined {
            batch.insert(Space::Books, [&[QUARANTINE], source.as_bytes()].concat(), count.to_be_bytes().as_slice());
        }
        for (id, generation) in &self.generations {
            let key = [&[GENERATION], id.to_be_bytes().as_slice()].concat();
            if generation.until_ms == 0 {
                batch.remove(Space::Books, key);
            } else {
                batch.insert(Space::Books, key, generation.to_bytes());
            }
        }
        let Total { bytes, dedup, next_seq } = self.total;
        let total: Vec<u8> = [bytes, dedup, next_seq].into_iter().flat_map(u64::to_be_bytes).collect();
        batch.insert(Space::Books, TOTAL_KEY, total);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_book_reads_back_number_by_number() {
        let mut book = Counters::default();
        for (at, number) in (1..).zip(book.numbers()) {
            *number = at;
        }
        assert_eq!(Counters::parse(&book.to_bytes()), book);
        assert_eq!((book.accepted, book.dead), (1, 10));
    }

    #[test]
    fn a_delivery_that_is_nowhere_unbalances_the_book() {
        let book = Counters { accepted: 3, delivered: 1, queued: 2, ..Counters::default() };
        assert!(book.is_balanced() && !Counters { queued: 1, ..book }.is_balanced());
    }
}
