//! One batch under construction: its writes, the state that later commands of the same batch must see, and the effects
//! in memory once it is stored.
//!
//! A batch only reads the disk until [`Batch::commit`] writes all or nothing. Records that commands change repeatedly
//! (statuses, counters) are held until then and written once. Ends of deliveries are in `settle`, commands of people in
//! `commands`, order per key in `order_queues`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::oneshot;

use super::commands::AppliedCommands;
use super::committer::{Append, Settle};
use super::counters::{Counters, CountersByDestination};
use super::dedup::DedupChanges;
use super::engine::{Durability, EngineError, Space, Writes};
use super::expected::Used;
use super::keys::{self, DestinationId, OrderQueueKey, QueueKey, QueueValue};
use super::order_queues::OrderQueueChanges;
use super::status::EventStatus;
use super::store::Store;
use super::unverified::{IndexChange, IndexChanges};
use super::window::CopyId;
use super::{Fsync, NotStored, Shared};
use crate::clock::Timestamp;
use crate::event::{EventData, OrderKey};

/// A change in memory, applied once the batch is stored.
pub(super) enum Effect {
    Stored {
        append: Append,
        /// The deliveries that are in the queue; the others wait in their order queues.
        placed: Vec<(QueueKey, QueueValue)>,
        /// The expected redelivery that allowed this duplicate.
        pass: Option<Used>,
        /// True when its delivery id was seen with another body.
        same_id: bool,
    },
    Repeated(Append),
    /// The delivery has left the queue, for good or because its order key is parked.
    Ended(Settle),
    Rescheduled {
        settle: Settle,
        due_ms: u64,
    },
    /// The store does not know the delivery: it ended before, in a batch that seemed to have failed.
    Stale(Settle),
    /// A delivery entered the queue that no window holds.
    Woken {
        destination: DestinationId,
        due_ms: u64,
    },
    Rejudged(oneshot::Sender<Result<(), NotStored>>),
    Granted(oneshot::Sender<Result<AppliedCommands, NotStored>>, AppliedCommands),
}

pub(super) struct Batch<'a> {
    pub(super) shared: &'a Shared,
    pub(super) store: &'a Store,
    pub(super) writes: Writes,
    pub(super) now: Timestamp,
    pub(super) effects: Vec<Effect>,
    pub(super) index: IndexChanges,
    pub(super) lanes: OrderQueueChanges,
    pub(super) dedup: DedupChanges,
    /// The statuses of events as this batch leaves them; `None` removes one.
    pub(super) fates: BTreeMap<u64, Option<EventStatus>>,
    /// The counters that this batch has changed, as it leaves them.
    pub(super) books: CountersByDestination,
    pub(super) events: usize,
    pub(super) is_tidied: bool,
    /// Events whose record this batch rewrites.
    pub(super) rewritten: BTreeSet<u64>,
    /// True when events, or old forms of events, were removed: they take space until the engine compacts.
    pub(super) has_removed: bool,
}

impl<'a> Batch<'a> {
    pub(super) fn new(shared: &'a Shared, store: &'a Store) -> Self {
        let total = shared.counters(|books| books.total);
        Self {
            shared,
            store,
            writes: Writes::default(),
            now: shared.timeline.now(),
            effects: Vec::new(),
            index: IndexChanges::default(),
            lanes: OrderQueueChanges::default(),
            dedup: DedupChanges::new(),
            fates: BTreeMap::new(),
            books: CountersByDestination { total, ..CountersByDestination::default() },
            events: 0,
            is_tidied: false,
            rewritten: BTreeSet::new(),
            has_removed: false,
        }
    }

    /// Returns the counters of a destination for a change.
    pub(super) fn counters(&mut self, id: DestinationId) -> &mut Counters {
        let shared = self.shared;
        let known = || shared.counters(|books| books.by_destination.get(&id).copied().unwrap_or_default());
        self.books.by_destination.entry(id).or_insert_with(known)
    }

    /// Returns the number of a source's quarantined events for a change.
    pub(super) fn quarantined(&mut self, source: &Arc<str>) -> &mut u64 {
        let shared = self.shared;
        let known = || shared.counters(|books| books.quarantined.get(source).copied().unwrap_or_default());
        self.books.quarantined.entry(Arc::clone(source)).or_insert_with(known)
    }

    /// Stores an event and its deliveries, unless it is a duplicate.
    pub(super) fn append(&mut self, append: Append) -> Result<(), EngineError> {
        let mut pass = None;
        let mut seen = None;
        if let Some(dedup) = append.dedup {
            let found = self.look_up(&dedup)?;
            if found.is_repeated {
                let (source, id) = (&append.data.source, append.data.delivery_id.as_deref());
                pass = self.shared.passes.take(source, id, dedup.key, self.now);
                if pass.is_none() {
                    self.effects.push(Effect::Repeated(append));
                    return Ok(());
                }
            }
            seen = Some((dedup, found));
        }
        let same_id_as = seen.as_ref().and_then(|(_, found)| found.same_id_as);
        let seq = keys::first_sequence(self.now.unix_ms()).max(self.books.total.next_seq);
        self.books.total.next_seq = seq.saturating_add(1);
        if let Some((dedup, found)) = seen {
            self.recognise(&dedup, found, seq);
        }
        let bytes = append.bytes();
        self.writes.insert(Space::Events, seq.to_be_bytes(), append.record.as_slice());
        self.writes.insert(Space::Ids, append.data.id.as_bytes(), seq.to_be_bytes());
        self.books.total.bytes += u64::from(bytes);
        self.events += 1;
        self.remember(seq, &append)?;
        if let Some(earlier) = same_id_as {
            let fate = EventStatus::new(append.data.id, bytes, append.data.copies.len());
            self.fates.insert(seq, Some(EventStatus { same_id_as: Some(earlier), ..fate }));
        }
        let mut placed = Vec::new();
        if append.data.is_kept_back() {
            self.keep_back(seq, bytes, &append.data);
        } else {
            for (copy, target) in (0_u16..).zip(&append.data.copies) {
                // `Buffer::append` has checked that every destination is known.
                if let Some((destination, _)) = self.shared.window(&target.destination) {
                    placed.extend(self.enter(destination, (seq, copy), target.order.as_ref(), bytes)?);
                }
            }
        }
        self.effects.push(Effect::Stored { append, placed, pass, same_id: same_id_as.is_some() });
        Ok(())
    }

    /// Puts an event into the quarantine, until a person or a rule releases it, or it is too old.
    fn keep_back(&mut self, seq: u64, bytes: u32, data: &EventData) {
        let keep_until_ms = self.now.after(self.shared.params.quarantine_keep).unix_ms();
        self.writes.insert(Space::Quarantine, seq.to_be_bytes(), keys::quarantine_value(bytes, &data.source));
        self.writes.insert(Space::Expiry, keys::pair(keep_until_ms, seq), keys::expiry_value(bytes, true));
        let fate = self.fates.entry(seq).or_default();
        fate.get_or_insert_with(|| EventStatus::new(data.id, bytes, data.copies.len())).keep_until_ms = keep_until_ms;
        *self.quarantined(&data.source) += 1;
    }

    /// Adds a delivery that is due now to the queue, or to its order queue behind others. Returns the queue record, if
    /// there is one.
    pub(super) fn enter(
        &mut self,
        destination: DestinationId,
        (seq, copy): CopyId,
        order: Option<&OrderKey>,
        bytes: u32,
    ) -> Result<Option<(QueueKey, QueueValue)>, EngineError> {
        let due_ms = self.now.unix_ms();
        let value = QueueValue { attempts: 0, bytes, since_ms: due_ms, lane: order.map(|order| order.hash) };
        let book = self.counters(destination);
        book.accepted += 1;
        book.queued += 1;
        if let Some(order) = order
            && !self.enter_lane(OrderQueueKey { destination, hash: order.hash }, &order.label, (seq, copy), value)?
        {
            return Ok(None);
        }
        let key = QueueKey { destination, due_ms, seq, copy };
        self.writes.insert(Space::Queue, key.to_bytes(), value.to_bytes());
        Ok(Some((key, value)))
    }

    /// Returns the status of an event for a change.
    pub(super) fn status(
        &mut self,
        seq: u64,
        make: impl FnOnce() -> EventStatus,
    ) -> Result<Option<&mut EventStatus>, EngineError> {
        if !self.fates.contains_key(&seq) {
            let stored = self.store.get(Space::Fate, &seq.to_be_bytes())?;
            let fate = stored.and_then(|value| EventStatus::parse(&value)).unwrap_or_else(make);
            self.fates.insert(seq, Some(fate));
        }
        Ok(self.fates.get_mut(&seq).and_then(Option::as_mut))
    }

    /// Writes the batch, and syncs when it holds an event. Returns the effects to apply in memory.
    pub(super) fn commit(mut self) -> (Result<Tally, EngineError>, Vec<Effect>) {
        for (seq, fate) in std::mem::take(&mut self.fates) {
            match fate {
                Some(fate) => self.writes.insert(Space::Fate, seq.to_be_bytes(), fate.to_bytes()),
                None => self.writes.remove(Space::Fate, seq.to_be_bytes()),
            }
        }
        let index = std::mem::take(&mut self.index.changes);
        if self.writes.0.is_empty() {
            return (Ok(Tally { books: self.books, index }), self.effects);
        }
        self.books.write(&mut self.writes);
        let durability = match (self.shared.params.fsync, self.events) {
            (Fsync::Memory, _) => Durability::Held,
            // Ends of deliveries get no sync of their own: a lost end is a repeated delivery.
            (Fsync::Os, _) | (Fsync::Group, 0) => Durability::Written,
            (Fsync::Group, _) => Durability::Synced,
        };
        let committed = self.store.commit(self.writes, durability);
        (committed.map(|()| Tally { books: self.books, index }), self.effects)
    }

    /// Returns the effects of a batch that failed; none of its writes is in the store.
    pub(super) fn into_effects(self) -> Vec<Effect> {
        self.effects
    }
}

/// The changes of a committed batch to the counters.
pub(super) struct Tally {
    pub(super) books: CountersByDestination,
    pub(super) index: Vec<IndexChange>,
}
