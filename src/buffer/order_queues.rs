//! Order queues: of the deliveries to one destination under one order key, only the first is in the queue; the others
//! wait behind it.
//!
//! `ordered` holds every delivery of the key, the head included, in the order of acceptance; `lanes` holds their number
//! and whether the key is parked. When the head ends, the next one enters the queue in the same batch. A head that
//! fails for good parks its key, and no other: none of its deliveries is attempted until a person releases or skips the
//! head.
//!
//! Invariants: an order queue that is not parked has exactly one delivery in the queue; a parked one has none.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::{Deserialize, Serialize};

use super::batch::{Batch, Effect};
use super::engine::{EngineError, Space};
use super::keys::{OrderQueueKey, QueueKey, QueueValue};
use super::window::CopyId;
use crate::outcome::DeathCause;

/// The state of one order queue.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OrderQueue {
    /// The number of deliveries, the head included.
    pub(crate) len: u64,
    /// The lowest sequence that its deliveries can have: the search for the next one skips what was removed before it.
    pub(crate) floor: u64,
    pub(crate) parked: Option<Parking>,
    /// The beginning of the key, for people.
    pub(crate) label: String,
}

/// A head that failed for good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Parking {
    pub(crate) seq: u64,
    pub(crate) copy: u16,
    pub(crate) since_ms: u64,
    pub(crate) cause: DeathCause,
}

impl OrderQueue {
    pub(crate) fn parse(value: &[u8]) -> Option<Self> {
        rmp_serde::from_slice(value).ok()
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        rmp_serde::to_vec(self).unwrap_or_default()
    }
}

/// The order queues of a batch under construction: its changes are not in the store yet.
#[derive(Default)]
pub(super) struct OrderQueueChanges {
    lanes: HashMap<OrderQueueKey, OrderQueue>,
    added: HashMap<OrderQueueKey, BTreeMap<CopyId, QueueValue>>,
    gone: HashMap<OrderQueueKey, BTreeSet<CopyId>>,
}

impl Batch<'_> {
    fn lane(&mut self, key: OrderQueueKey) -> Result<&mut OrderQueue, EngineError> {
        if !self.lanes.lanes.contains_key(&key) {
            let stored = self.store.get(Space::Lanes, &key.to_bytes())?;
            let lane = stored.and_then(|value| OrderQueue::parse(&value)).unwrap_or_default();
            self.lanes.lanes.insert(key, lane);
        }
        Ok(self.lanes.lanes.entry(key).or_default())
    }

    /// Writes the order queue as it is now, or removes an empty one.
    fn keep_lane(&mut self, key: OrderQueueKey) {
        let Some(lane) = self.lanes.lanes.get(&key) else { return };
        if lane.len == 0 {
            self.writes.remove(Space::Lanes, key.to_bytes());
        } else {
            self.writes.insert(Space::Lanes, key.to_bytes(), lane.to_bytes());
        }
    }

    /// Adds a delivery to its order queue. Returns true when it is the head and belongs into the queue.
    pub(super) fn enter_lane(
        &mut self,
        key: OrderQueueKey,
        label: &str,
        id: CopyId,
        value: QueueValue,
    ) -> Result<bool, EngineError> {
        let lane = self.lane(key)?;
        let is_head = lane.len == 0;
        let is_parked = lane.parked.is_some();
        lane.len += 1;
        lane.floor = if is_head { id.0 } else { lane.floor.min(id.0) };
        if lane.label.is_empty() {
            label.clone_into(&mut lane.label);
        }
        self.keep_lane(key);
        self.writes.insert(Space::Ordered, key.place(id), value.to_bytes());
        self.lanes.added.entry(key).or_default().insert(id, value);
        if let Some(gone) = self.lanes.gone.get_mut(&key) {
            gone.remove(&id);
        }
        let book = self.counters(key.destination);
        match (is_head, is_parked) {
            (true, _) => {}
            (false, true) => book.parked += 1,
            (false, false) => book.waiting += 1,
        }
        Ok(is_head)
    }

    /// Removes the head, which has ended; the next delivery enters the queue.
    pub(super) fn leave_lane(&mut self, key: OrderQueueKey, id: CopyId) -> Result<(), EngineError> {
        self.writes.remove(Space::Ordered, key.place(id));
        if let Some(added) = self.lanes.added.get_mut(&key) {
            added.remove(&id);
        }
        self.lanes.gone.entry(key).or_default().insert(id);
        let lane = self.lane(key)?;
        lane.len = lane.len.saturating_sub(1);
        let next = if lane.len == 0 { None } else { self.first_of_lane(key)? };
        if let Some((next_id, value)) = next {
            self.lane(key)?.floor = next_id.0;
            let book = self.counters(key.destination);
            book.waiting = book.waiting.saturating_sub(1);
            self.queue_next(key, next_id, value);
        } else if self.lane(key)?.len > 0 {
            tracing::error!("an order key counted deliveries that are not there; it begins anew");
            self.lane(key)?.len = 0;
        }
        self.keep_lane(key);
        Ok(())
    }

    fn first_of_lane(&mut self, key: OrderQueueKey) -> Result<Option<(CopyId, QueueValue)>, EngineError> {
        let floor = self.lane(key)?.floor;
        let from = key.place((floor, 0));
        let to = key.place((u64::MAX, u16::MAX));
        let gone = self.lanes.gone.get(&key);
        let mut stored = None;
        for pair in self.store.scan(Space::Ordered, &from, Some(&to)) {
            let (place, value) = pair?;
            let Some(id) = OrderQueueKey::parse_place(&place) else { continue };
            if gone.is_none_or(|gone| !gone.contains(&id)) {
                stored = Some((id, QueueValue::parse(&value)));
                break;
            }
        }
        let added =
            self.lanes.added.get(&key).and_then(|added| added.first_key_value()).map(|(id, value)| (*id, *value));
        Ok(match (stored, added) {
            (Some(stored), Some(added)) => Some(if stored.0 <= added.0 { stored } else { added }),
            (stored, added) => stored.or(added),
        })
    }

    /// Queues a delivery, due now. Its `give_up_after` begins now: the destination did not cause its wait behind
    /// another one.
    fn queue_next(&mut self, key: OrderQueueKey, (seq, copy): CopyId, value: QueueValue) {
        let due_ms = self.now.unix_ms();
        let value = QueueValue { attempts: 0, since_ms: due_ms, ..value };
        let queued = QueueKey { destination: key.destination, due_ms, seq, copy };
        self.writes.insert(Space::Queue, queued.to_bytes(), value.to_bytes());
        self.effects.push(Effect::Woken { destination: key.destination, due_ms });
    }

    /// Parks a key whose head failed for good, until a person decides. The caller has taken the head out of the queue.
    pub(super) fn park(
        &mut self,
        key: OrderQueueKey,
        (seq, copy): CopyId,
        cause: DeathCause,
    ) -> Result<(), EngineError> {
        let since_ms = self.now.unix_ms();
        let lane = self.lane(key)?;
        lane.parked = Some(Parking { seq, copy, since_ms, cause });
        let len = lane.len;
        self.keep_lane(key);
        let book = self.counters(key.destination);
        book.waiting = book.waiting.saturating_sub(len.saturating_sub(1));
        book.parked += len;
        Ok(())
    }

    /// Ends the parking and returns the head. The key's other deliveries count as waiting again.
    pub(super) fn unpark(&mut self, key: OrderQueueKey) -> Result<Option<Parking>, EngineError> {
        let lane = self.lane(key)?;
        let Some(parking) = lane.parked.take() else { return Ok(None) };
        let len = lane.len;
        self.keep_lane(key);
        let book = self.counters(key.destination);
        book.parked = book.parked.saturating_sub(len);
        book.waiting += len.saturating_sub(1);
        Ok(Some(parking))
    }

    /// Queues the head of a released key for a new attempt.
    pub(super) fn release_head(&mut self, key: OrderQueueKey, parking: &Parking) -> Result<bool, EngineError> {
        let id = (parking.seq, parking.copy);
        let stored = match self.lanes.added.get(&key).and_then(|added| added.get(&id)) {
            Some(value) => Some(*value),
            None => self.store.get(Space::Ordered, &key.place(id))?.map(|value| QueueValue::parse(&value)),
        };
        let Some(value) = stored else { return Ok(false) };
        self.queue_next(key, id, value);
        Ok(true)
    }
}
