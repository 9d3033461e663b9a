//! Reindexing after damage: every event in the store gets its place again, and the counters match the store.
//!
//! It runs once after an opening that repaired files, over the whole store. An event's unended deliveries belong into
//! the queue or an order queue; a quarantined event belongs into the quarantine; an event without either gets an
//! expiry. Where no record says that a delivery has ended, it is made again: a repeated delivery is allowed, a lost one
//! is not. Queued records without an event stay, and the worker that takes one finds out.
//!
//! It can be interrupted at any point and is then done again. Its memory grows with the backlog, not with the kept
//! events.
//!
//! Deliberately not here: which bytes were damaged and how events were found (`engine`'s `salvage`).

mod statuses;
#[cfg(test)]
mod tests;

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use statuses::Statuses;

use super::counters::CountersByDestination;
use super::engine::{Durability, Engine, EngineError, Space, Writes};
use super::keys::{self, DestinationId, OrderQueueKey, QueueKey, QueueValue, sequence_time};
use super::load::{DESTINATION_END, DESTINATION_PREFIX};
use super::order_queues::OrderQueue;
use super::record;
use super::status::{DeliveryStatus, Ending, EventStatus};
use super::window::CopyId;
use crate::clock::Timestamp;
use crate::event::EventData;
use crate::outcome::DeathCause;

const BATCH_CHANGES: usize = 10_000;
/// The time for which a quarantined event is kept from its acceptance, where its expiry is lost.
const QUARANTINE_KEEP: Duration = Duration::from_hours(14 * 24);

/// Gives every event its place, and counts all records anew.
pub(super) fn reindex(engine: &dyn Engine, now: Timestamp) -> Result<(), EngineError> {
    let mut restore = Restore {
        engine,
        now_ms: now.unix_ms(),
        batch: Writes::default(),
        destinations: BTreeMap::new(),
        highest: 0,
        queued: HashMap::new(),
        lanes: BTreeMap::new(),
        keep_until: HashMap::new(),
        dead: HashMap::new(),
        unmet: HashMap::new(),
        bytes: 0,
        placed: 0,
    };
    restore.learn_destinations()?;
    restore.learn_deliveries()?;
    restore.learn_ends()?;
    restore.events()?;
    restore.quarantine()?;
    restore.set_lanes_right()?;
    let (placed, bytes, batch) = (restore.placed, restore.bytes, restore.batch);
    engine.commit(batch, Durability::Written)?;
    let mut batch = Writes::default();
    CountersByDestination::recount(engine, bytes)?.write(&mut batch);
    // Delivery ids were put back, and a filter must have them all: the filters are built again.
    for pair in engine.scan(Space::Filters, &[], None) {
        batch.remove(Space::Filters, pair?.0);
    }
    engine.commit(batch, Durability::Synced)?;
    tracing::warn!(placed, "deliveries were restored after damage to the buffer; they may be sent twice");
    engine.sync()
}

struct Restore<'a> {
    engine: &'a dyn Engine,
    now_ms: u64,
    batch: Writes,
    destinations: BTreeMap<String, DestinationId>,
    /// The highest number of a destination in any record.
    highest: u32,
    queued: HashMap<CopyId, QueueKey>,
    /// The deliveries that are in `ordered`, or should be.
    lanes: BTreeMap<OrderQueueKey, BTreeMap<CopyId, QueueValue>>,
    /// The keep-until times of `expiry`, by sequence.
    keep_until: HashMap<u64, u64>,
    dead: HashMap<CopyId, (DestinationId, u64)>,
    /// The stored bytes of pending deliveries whose event was not met yet.
    unmet: HashMap<u64, u32>,
    /// The stored bytes of all events, as they were counted.
    bytes: u64,
    /// The number of deliveries that had no place.
    placed: u64,
}

impl Restore<'_> {
    fn flush_when_full(&mut self) -> Result<(), EngineError> {
        if self.batch.0.len() < BATCH_CHANGES {
            return Ok(());
        }
        self.engine.commit(std::mem::take(&mut self.batch), Durability::Written)
    }

    fn learn_destinations(&mut self) -> Result<(), EngineError> {
        for pair in self.engine.scan(Space::Meta, DESTINATION_PREFIX, Some(DESTINATION_END)) {
            let (key, value) = pair?;
            let name = key.get(DESTINATION_PREFIX.len()..).and_then(|name| std::str::from_utf8(name).ok());
            if let (Some(name), Ok(id)) = (name, value.as_ref().try_into().map(u32::from_be_bytes)) {
                self.highest = self.highest.max(id);
                self.destinations.insert(name.to_owned(), DestinationId(id));
            }
        }
        Ok(())
    }

    /// Returns the number of a destination; a new one, where no record holds it.
    fn destination(&mut self, name: &str) -> DestinationId {
        if let Some(id) = self.destinations.get(name) {
            return *id;
        }
        self.highest = self.highest.saturating_add(1);
        let id = DestinationId(self.highest);
        self.batch.insert(Space::Meta, [DESTINATION_PREFIX, name.as_bytes()].concat(), id.0.to_be_bytes());
        self.destinations.insert(name.to_owned(), id);
        id
    }

    fn is_known(&self, id: DestinationId) -> bool {
        self.destinations.values().any(|known| *known == id)
    }

    /// Reads the queue and the order queues. Records of destinations without a name are removed: their events get a
    /// place under the destination's new number.
    fn learn_deliveries(&mut self) -> Result<(), EngineError> {
        let engine = self.engine;
        for pair in engine.scan(Space::Ordered, &[], None) {
            let (place, value) = pair?;
            let lane = place.get(..20).and_then(OrderQueueKey::parse);
            let (Some(lane), Some(id)) = (lane, OrderQueueKey::parse_place(&place)) else { continue };
            self.highest = self.highest.max(lane.destination.0);
            if self.is_known(lane.destination) {
                let value = QueueValue::parse(&value);
                self.unmet.insert(id.0, value.bytes);
                self.lanes.entry(lane).or_default().insert(id, value);
            } else {
                self.batch.remove(Space::Ordered, place);
            }
            self.flush_when_full()?;
        }
        for pair in engine.scan(Space::Queue, &[], None) {
            let (bytes, value) = pair?;
            let Some(key) = QueueKey::parse(&bytes) else { continue };
            self.highest = self.highest.max(key.destination.0);
            if self.is_known(key.destination) {
                self.learn_queued(key, QueueValue::parse(&value));
            } else {
                self.batch.remove(Space::Queue, bytes);
            }
            self.flush_when_full()?;
        }
        Ok(())
    }

    fn learn_queued(&mut self, key: QueueKey, value: QueueValue) {
        let id = (key.seq, key.copy);
        self.unmet.insert(key.seq, value.bytes);
        match self.queued.entry(id) {
            Entry::Vacant(free) => {
                free.insert(key);
            }
            // The removal of an older place was lost.
            Entry::Occupied(mut taken) => {
                let older = if taken.get().due_ms < key.due_ms { taken.insert(key) } else { key };
                self.batch.remove(Space::Queue, older.to_bytes());
            }
        }
        if let Some(hash) = value.lane {
            let lane = OrderQueueKey { destination: key.destination, hash };
            if self.lanes.entry(lane).or_default().insert(id, value).is_none() {
                self.batch.insert(Space::Ordered, lane.place(id), value.to_bytes());
            }
        }
    }

    fn learn_ends(&mut self) -> Result<(), EngineError> {
        for pair in self.engine.scan(Space::Expiry, &[], None) {
            if let Some((keep_until_ms, seq)) = keys::parse_pair(&pair?.0) {
                self.keep_until.insert(seq, keep_until_ms);
            }
        }
        for pair in self.engine.scan(Space::Dead, &[], None) {
            if let Some(dead) = QueueKey::parse(&pair?.0) {
                self.highest = self.highest.max(dead.destination.0);
                self.dead.insert((dead.seq, dead.copy), (dead.destination, dead.due_ms));
            }
        }
        Ok(())
    }

    /// Walks over events and statuses side by side.
    fn events(&mut self) -> Result<(), EngineError> {
        let engine = self.engine;
        let mut fates = Statuses { pairs: engine.scan(Space::Fate, &[], None), ahead: None };
        for pair in engine.scan(Space::Events, &[], None) {
            let (key, stored) = pair?;
            let (Some(seq), Ok(data)) = (keys::parse_sequence(&key), record::decode(&stored)) else { continue };
            let mut own = None;
            while let Some((of, fate)) = fates.up_to(seq)? {
                if of == seq {
                    own = Some(fate);
                } else {
                    self.without_event(of, fate);
                }
            }
            self.unmet.remove(&seq);
            let bytes = own.as_ref().map_or(u32::try_from(stored.len()).unwrap_or(u32::MAX), |fate| fate.bytes);
            self.bytes += u64::from(bytes);
            if engine.get(Space::Ids, &data.id.as_bytes())?.as_deref() != Some(&seq.to_be_bytes()[..]) {
                self.batch.insert(Space::Ids, data.id.as_bytes(), seq.to_be_bytes());
            }
            if data.is_kept_back() {
                self.keep_back(seq, bytes, &data, own)?;
            } else {
                self.deliveries(seq, bytes, &data, own)?;
            }
            self.flush_when_full()?;
        }
        while let Some((of, fate)) = fates.up_to(u64::MAX)? {
            self.without_event(of, fate);
        }
        self.bytes += self.unmet.values().map(|bytes| u64::from(*bytes)).sum::<u64>();
        Ok(())
    }

    fn is_to_be_delivered(&self, id: CopyId) -> bool {
        self.queued.contains_key(&id) || self.lanes.values().any(|lane| lane.contains_key(&id))
    }

    /// Handles a lost event. Its queued deliveries stay, and the worker that takes one finds out; the others are
    /// discarded.
    fn without_event(&mut self, seq: u64, mut fate: EventStatus) {
        let now_ms = self.now_ms;
        let has_live = self.unmet.remove(&seq).is_some();
        self.bytes += u64::from(fate.bytes);
        for copy in 0..u16::try_from(fate.copies.len()).unwrap_or(u16::MAX) {
            let is_live = has_live && self.is_to_be_delivered((seq, copy));
            if let Some(of_copy) = fate.copies.get_mut(usize::from(copy)).filter(|of| of.end.is_none() && !is_live) {
                of_copy.end = Some((Ending::Discarded(DeathCause::Corrupt), now_ms));
            }
        }
        self.end(seq, fate);
    }

    /// Writes a status. An event whose deliveries have all ended gets an expiry; no other event has one.
    fn end(&mut self, seq: u64, mut fate: EventStatus) {
        let known = self.keep_until.get(&seq).copied();
        if fate.is_over() {
            fate.keep_until_ms = known.unwrap_or_else(|| fate.keep_until_ms.max(self.now_ms));
            let value = keys::expiry_value(fate.bytes, fate.has_dead());
            self.batch.insert(Space::Expiry, keys::pair(fate.keep_until_ms, seq), value);
            self.keep_until.insert(seq, fate.keep_until_ms);
        } else if let Some(keep_until_ms) = known {
            self.batch.remove(Space::Expiry, keys::pair(keep_until_ms, seq));
        }
        self.batch.insert(Space::Fate, seq.to_be_bytes(), fate.to_bytes());
    }

    fn keep_back(
        &mut self,
        seq: u64,
        bytes: u32,
        data: &EventData,
        fate: Option<EventStatus>,
    ) -> Result<(), EngineError> {
        if !self.engine.contains(Space::Quarantine, &seq.to_be_bytes())? {
            self.batch.insert(Space::Quarantine, seq.to_be_bytes(), keys::quarantine_value(bytes, &data.source));
        }
        let mut fate = fate.unwrap_or_else(|| EventStatus::new(data.id, bytes, data.copies.len()));
        fate.keep_until_ms = self.stays_in_quarantine_until(seq, bytes);
        self.batch.insert(Space::Fate, seq.to_be_bytes(), fate.to_bytes());
        Ok(())
    }

    fn stays_in_quarantine_until(&mut self, seq: u64, bytes: u32) -> u64 {
        if let Some(known) = self.keep_until.get(&seq) {
            return *known;
        }
        let keep_until_ms = sequence_time(seq).after(QUARANTINE_KEEP).unix_ms();
        self.batch.insert(Space::Expiry, keys::pair(keep_until_ms, seq), keys::expiry_value(bytes, true));
        self.keep_until.insert(seq, keep_until_ms);
        keep_until_ms
    }

    /// Gives each delivery that has not ended a place, and no other.
    fn deliveries(
        &mut self,
        seq: u64,
        bytes: u32,
        data: &EventData,
        fate: Option<EventStatus>,
    ) -> Result<(), EngineError> {
        if self.engine.contains(Space::Quarantine, &seq.to_be_bytes())? {
            self.batch.remove(Space::Quarantine, seq.to_be_bytes());
        }
        let ended = fate.is_none() && self.keep_until.contains_key(&seq);
        let mut fate = fate.or_else(|| ended.then(|| EventStatus::new(data.id, bytes, data.copies.len())));
        if let Some(fate) = &mut fate {
            fate.copies.resize_with(fate.copies.len().max(data.copies.len()), Default::default);
        }
        for (copy, target) in (0_u16..).zip(&data.copies) {
            let destination = self.destination(&target.destination);
            let id = (seq, copy);
            let lane = target.order.as_ref().map(|order| OrderQueueKey { destination, hash: order.hash });
            let waits = lane.is_some_and(|lane| self.lanes.get(&lane).is_some_and(|lane| lane.contains_key(&id)));
            let is_live = waits || self.queued.contains_key(&id);
            let of_copy = fate.as_mut().and_then(|fate| fate.copies.get_mut(usize::from(copy)));
            match of_copy {
                // The delivery's removal from the queue was lost.
                Some(DeliveryStatus { end: Some((ending, ended_ms)), destination: at, .. }) => {
                    let dead = QueueKey { destination: DestinationId(*at), due_ms: *ended_ms, seq, copy };
                    if matches!(ending, Ending::Dead(_)) && !self.dead.contains_key(&id) {
                        self.batch.insert(Space::Dead, dead.to_bytes(), []);
                    }
                    self.take_out(id, lane);
                }
                // Only the end of all deliveries is known, not how each one ended.
                Some(of_copy) if ended && !is_live => of_copy.end = Some(self.some_end(id, of_copy)),
                _ if is_live => {}
                of_copy => {
                    if let Some(of_copy) = of_copy {
                        (of_copy.next_ms, of_copy.parked) = (None, false);
                    }
                    self.place(id, bytes, destination, lane);
                }
            }
        }
        if let Some(fate) = fate {
            self.end(seq, fate);
        }
        Ok(())
    }

    fn some_end(&self, id: CopyId, of_copy: &mut DeliveryStatus) -> (Ending, u64) {
        let Some((destination, died_ms)) = self.dead.get(&id) else {
            return (Ending::Delivered, sequence_time(id.0).unix_ms());
        };
        of_copy.destination = destination.0;
        (Ending::Dead(DeathCause::Final), *died_ms)
    }

    fn take_out(&mut self, id: CopyId, lane: Option<OrderQueueKey>) {
        if let Some(key) = self.queued.remove(&id) {
            self.batch.remove(Space::Queue, key.to_bytes());
        }
        if let Some(lane) = lane
            && self.lanes.get_mut(&lane).is_some_and(|waiting| waiting.remove(&id).is_some())
        {
            self.batch.remove(Space::Ordered, lane.place(id));
        }
    }

    /// Queues a delivery, due now. In an order queue its turn follows from its sequence.
    fn place(&mut self, (seq, copy): CopyId, bytes: u32, destination: DestinationId, lane: Option<OrderQueueKey>) {
        let due_ms = self.now_ms;
        let value = QueueValue { attempts: 0, bytes, since_ms: due_ms, lane: lane.map(|lane| lane.hash) };
        self.placed += 1;
        if let Some(lane) = lane {
            self.batch.insert(Space::Ordered, lane.place((seq, copy)), value.to_bytes());
            self.lanes.entry(lane).or_default().insert((seq, copy), value);
        } else {
            let key = QueueKey { destination, due_ms, seq, copy };
            self.batch.insert(Space::Queue, key.to_bytes(), value.to_bytes());
            self.queued.insert((seq, copy), key);
        }
    }

    /// Gives every quarantine record an expiry, also those whose event is lost.
    fn quarantine(&mut self) -> Result<(), EngineError> {
        for pair in self.engine.scan(Space::Quarantine, &[], None) {
            let (key, kept) = pair?;
            if let Some(seq) = keys::parse_sequence(&key) {
                self.stays_in_quarantine_until(seq, u32::try_from(keys::parse_bytes(&kept)).unwrap_or(u32::MAX));
            }
            self.flush_when_full()?;
        }
        Ok(())
    }

    /// Repairs the order queues: one that is not parked has one delivery in the queue, a parked one none.
    fn set_lanes_right(&mut self) -> Result<(), EngineError> {
        for pair in self.engine.scan(Space::Lanes, &[], None) {
            let (key, _) = pair?;
            if OrderQueueKey::parse(&key).is_none_or(|lane| self.lanes.get(&lane).is_none_or(BTreeMap::is_empty)) {
                self.batch.remove(Space::Lanes, key);
            }
        }
        for (lane, waiting) in std::mem::take(&mut self.lanes) {
            self.set_lane_right(lane, &waiting)?;
            self.flush_when_full()?;
        }
        Ok(())
    }

    fn set_lane_right(
        &mut self,
        key: OrderQueueKey,
        waiting: &BTreeMap<CopyId, QueueValue>,
    ) -> Result<(), EngineError> {
        let Some((first, _)) = waiting.first_key_value() else { return Ok(()) };
        let stored = self.engine.get(Space::Lanes, &key.to_bytes())?.and_then(|value| OrderQueue::parse(&value));
        let mut lane = stored.unwrap_or_default();
        lane.len = waiting.len() as u64;
        lane.floor = first.0;
        lane.parked = lane.parked.filter(|parking| waiting.contains_key(&(parking.seq, parking.copy)));
        if lane.label.is_empty() {
            lane.label = self.label(*first)?;
        }
        self.batch.insert(Space::Lanes, key.to_bytes(), lane.to_bytes());
        let mut is_headed = lane.parked.is_some();
        for id in waiting.keys().filter(|id| self.queued.contains_key(id)).copied().collect::<Vec<_>>() {
            if std::mem::replace(&mut is_headed, true)
                && let Some(queued) = self.queued.remove(&id)
            {
                self.batch.remove(Space::Queue, queued.to_bytes());
            }
        }
        if !is_headed && let Some((&(seq, copy), value)) = waiting.first_key_value() {
            let due_ms = self.now_ms;
            let value = QueueValue { attempts: 0, since_ms: due_ms, ..*value };
            let queued = QueueKey { destination: key.destination, due_ms, seq, copy };
            self.batch.insert(Space::Queue, queued.to_bytes(), value.to_bytes());
        }
        Ok(())
    }

    fn label(&self, (seq, copy): CopyId) -> Result<String, EngineError> {
        let stored = self.engine.get(Space::Events, &seq.to_be_bytes())?;
        let event = stored.and_then(|stored| record::decode(&stored).ok());
        let order = event.and_then(|event| event.copies.get(usize::from(copy))?.order.clone());
        Ok(order.map_or_else(String::new, |order| order.label))
    }
}
