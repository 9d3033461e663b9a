//! Queries of people: stored events, dead letters, the quarantine, parked keys.
//!
//! Queries read a snapshot and never wait for the committer. Every result is a page: bounded in entries looked at and
//! in bytes, with a cursor to go on from. Queries read the disk: not for async threads.

use std::sync::{Arc, PoisonError};

use super::commands::ParkedKey;
use super::engine::{EngineError, Space, Value};
use super::keys::{self, DestinationId, OrderQueueKey, QueueKey};
use super::order_queues::OrderQueue;
use super::status::{Ending, EventStatus};
use super::store::Store;
use super::{Buffer, NotStored, scan};
use crate::clock::Timestamp;
use crate::event::{EventData, EventId};
use crate::outcome::DeathCause;

/// The most entries that one page looks at.
const LOOK_ENTRIES: usize = 4096;
const LOOK_BYTES: usize = 8 * 1024 * 1024;

/// The sequence of an event in the store: the order of acceptance.
pub type Seq = u64;

/// A stored event and its status.
#[derive(Clone, Debug)]
pub struct StoredEvent {
    /// The sequence.
    pub seq: Seq,
    /// The stored event; `None` when it cannot be read any more.
    pub event: Option<Arc<EventData>>,
    /// The status of its deliveries; `None` while all of them wait for their first attempt.
    pub fate: Option<EventStatus>,
    /// True while the event is quarantined.
    pub is_quarantined: bool,
    /// An earlier event with the same delivery id and another body, while it is kept.
    pub same_id_as: Option<EventId>,
}

impl StoredEvent {
    fn body_bytes(&self) -> usize {
        self.event.as_ref().map_or(0, |event| event.body.len())
    }
}

/// A delivery that ended without success.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    /// The destination that did not take the event.
    pub destination: Arc<str>,
    /// The number of the event's dispatch.
    pub copy: u16,
    /// The time of its end.
    pub died_at: Timestamp,
    /// The cause of its end.
    pub cause: DeathCause,
    /// The event.
    pub found: StoredEvent,
}

/// An order key that is parked and waits for a person.
#[derive(Clone, Debug)]
pub struct Parked {
    /// The key, as an opaque name for commands.
    pub key: ParkedKey,
    /// The destination of its deliveries.
    pub destination: Arc<str>,
    /// The beginning of the key.
    pub label: String,
    /// The number of deliveries under it, the failed head included.
    pub len: u64,
    /// The time since which it is parked.
    pub since: Timestamp,
    /// The cause of the head's failure.
    pub cause: DeathCause,
    /// The event of the head.
    pub head: Option<EventId>,
}

/// Some entries, and a cursor for the next ones.
#[derive(Clone, Debug)]
pub struct Page<T> {
    /// The entries.
    pub entries: Vec<T>,
    /// The cursor of the next page; `None` after the last one.
    pub next: Option<Vec<u8>>,
}

impl<T> Page<T> {
    const EMPTY: Self = Self { entries: Vec::new(), next: None };

    /// Reads a page of at most `most` entries from a scan. `entry` makes an entry of a pair, unless it is not wanted,
    /// and adds the bytes that it read. The cursor is the key of the first pair that was not looked at.
    fn read(
        pairs: impl Iterator<Item = Result<(Value, Value), EngineError>>,
        most: usize,
        mut entry: impl FnMut(&[u8], &[u8], &mut usize) -> Result<Option<T>, EngineError>,
    ) -> Result<Self, EngineError> {
        let mut page = Self::EMPTY;
        let mut bytes = 0;
        for (looked_at, pair) in pairs.enumerate() {
            let (key, value) = pair?;
            if page.entries.len() >= most || looked_at >= LOOK_ENTRIES || bytes >= LOOK_BYTES {
                page.next = Some(key.to_vec());
                break;
            }
            page.entries.extend(entry(&key, &value, &mut bytes)?);
        }
        Ok(page)
    }
}

impl Buffer {
    pub(super) fn look<T>(&self, look: impl FnOnce(&Store) -> Result<T, EngineError>) -> Result<T, NotStored> {
        let Some(store) = self.shared.store.load_full() else { return Err(NotStored::Failed) };
        look(&store).map_err(|error| {
            tracing::error!(%error, "the buffer cannot be read");
            NotStored::Failed
        })
    }

    fn found(&self, store: &Store, seq: Seq, fate: Option<EventStatus>) -> Result<StoredEvent, EngineError> {
        let event = scan::read_event(&self.shared, store, seq)?.map(Arc::new);
        let is_quarantined = store.contains(Space::Quarantine, &seq.to_be_bytes())?;
        let same_id_as = match fate.as_ref().and_then(|fate| fate.same_id_as) {
            // The earlier event may have been removed.
            Some(earlier) if store.contains(Space::Events, &earlier.to_be_bytes())? => {
                scan::read_event(&self.shared, store, earlier)?.map(|event| event.id)
            }
            Some(_) | None => None,
        };
        Ok(StoredEvent { seq, event, fate, is_quarantined, same_id_as })
    }

    /// Finds the event of a key that is its sequence, and adds the bytes of its body.
    fn listed(&self, store: &Store, key: &[u8], bytes: &mut usize) -> Result<Option<StoredEvent>, EngineError> {
        let Some(seq) = keys::parse_sequence(key) else { return Ok(None) };
        let found = self.found(store, seq, status_of(store, seq)?)?;
        *bytes += found.body_bytes();
        Ok(Some(found))
    }

    /// Returns the id of the event with this sequence, while it is kept.
    pub(super) fn id_of(&self, store: &Store, seq: Seq) -> Result<Option<EventId>, EngineError> {
        if !store.contains(Space::Events, &seq.to_be_bytes())? {
            return Ok(None);
        }
        match status_of(store, seq)? {
            Some(fate) => Ok(Some(fate.id)),
            None => Ok(scan::read_event(&self.shared, store, seq)?.map(|event| event.id)),
        }
    }

    /// Finds one event by its id.
    pub fn find(&self, id: EventId) -> Result<Option<StoredEvent>, NotStored> {
        self.look(|store| {
            let seq = store.get(Space::Ids, &id.as_bytes())?;
            let Some(seq) = seq.and_then(|seq| keys::parse_sequence(&seq)) else { return Ok(None) };
            if !store.contains(Space::Events, &seq.to_be_bytes())? {
                return Ok(None);
            }
            let fate = status_of(store, seq)?;
            self.found(store, seq, fate).map(Some)
        })
    }

    /// Returns the ids between these two, both included, of events that are kept, the oldest first; at most `most`.
    pub fn ids_within(&self, (first, last): (EventId, EventId), most: usize) -> Result<Vec<EventId>, NotStored> {
        self.look(|store| {
            let mut ids = Vec::new();
            let end = [last.as_bytes().as_slice(), &[0]].concat();
            for pair in store.scan(Space::Ids, &first.as_bytes(), Some(&end)).take(LOOK_ENTRIES) {
                let (key, seq) = pair?;
                if ids.len() >= most {
                    break;
                }
                // An id may be left behind after its event has gone.
                if store.contains(Space::Events, &seq)? {
                    ids.extend(EventId::from_bytes(&key));
                }
            }
            Ok(ids)
        })
    }

    /// Events from the newest to the oldest, back to `since`, that pass `wanted`; at most `most` of them.
    pub fn events(
        &self,
        cursor: Option<&[u8]>,
        since: Timestamp,
        most: usize,
        wanted: &dyn Fn(&StoredEvent) -> bool,
    ) -> Result<Page<StoredEvent>, NotStored> {
        let from = self.first_since(since);
        // The cursor belongs to the page, and a scan ends before its upper bound.
        let to = cursor.map(|key| [key, &[0]].concat());
        self.look(|store| {
            let pairs = store.scan(Space::Events, &from, to.as_deref()).rev();
            Page::read(pairs, most, |key, _, bytes| Ok(self.listed(store, key, bytes)?.filter(wanted)))
        })
    }

    /// Lists events from the oldest to the newest, from `since` to the moment `until` on the buffer's time line, that
    /// pass `wanted`; at most `most` of them.
    pub fn events_forward(
        &self,
        cursor: Option<&[u8]>,
        (since, until): (Timestamp, Timestamp),
        most: usize,
        wanted: &dyn Fn(&StoredEvent) -> bool,
    ) -> Result<Page<StoredEvent>, NotStored> {
        let from = cursor.map_or_else(|| self.first_since(since).to_vec(), <[u8]>::to_vec);
        let to = keys::first_sequence(until.unix_ms().saturating_add(1)).to_be_bytes();
        self.look(|store| {
            let pairs = store.scan(Space::Events, &from, Some(&to));
            Page::read(pairs, most, |key, _, bytes| Ok(self.listed(store, key, bytes)?.filter(wanted)))
        })
    }

    /// Returns the first sequence for a wall time. Sequences follow the buffer's own time line.
    fn first_since(&self, since: Timestamp) -> [u8; 8] {
        let ahead = self.now().since(self.shared.clock.now());
        let behind = self.shared.clock.now().since(self.now());
        let on_line = since.after(ahead).unix_ms().saturating_sub(u64::try_from(behind.as_millis()).unwrap_or(0));
        keys::first_sequence(on_line).to_be_bytes()
    }

    /// Lists dead letters of one destination or of all, oldest first for each destination.
    pub fn dead_letters(
        &self,
        destination: Option<&str>,
        cursor: Option<&[u8]>,
        most: usize,
    ) -> Result<Page<DeadLetter>, NotStored> {
        let Some((first, end)) = self.span(destination) else {
            return Ok(Page::EMPTY);
        };
        let names = self.names_by_id();
        let from = cursor.map_or_else(|| QueueKey::first_of(first, 0).to_bytes().to_vec(), <[u8]>::to_vec);
        let to = QueueKey::first_of(end, 0).to_bytes();
        self.look(|store| {
            Page::read(store.scan(Space::Dead, &from, Some(&to)), most, |key, _, bytes| {
                let Some(dead) = QueueKey::parse(key) else { return Ok(None) };
                let Some(name) = names.get(&dead.destination) else { return Ok(None) };
                let fate = status_of(store, dead.seq)?;
                let end = fate.as_ref().and_then(|fate| fate.copies.get(usize::from(dead.copy))?.end);
                let Some((Ending::Dead(cause), _)) = end else { return Ok(None) };
                let found = self.found(store, dead.seq, fate)?;
                *bytes += found.body_bytes();
                let died_at = Timestamp::from_unix_ms(dead.due_ms);
                Ok(Some(DeadLetter { destination: Arc::clone(name), copy: dead.copy, died_at, cause, found }))
            })
        })
    }

    /// Lists quarantined events, oldest first.
    pub fn quarantine(&self, cursor: Option<&[u8]>, most: usize) -> Result<Page<StoredEvent>, NotStored> {
        self.look(|store| {
            let pairs = store.scan(Space::Quarantine, cursor.unwrap_or_default(), None);
            Page::read(pairs, most, |key, _, bytes| self.listed(store, key, bytes))
        })
    }

    /// Lists parked order keys of one destination or of all.
    pub fn parked(
        &self,
        destination: Option<&str>,
        cursor: Option<&[u8]>,
        most: usize,
    ) -> Result<Page<Parked>, NotStored> {
        let Some((first, end)) = self.span(destination) else {
            return Ok(Page::EMPTY);
        };
        let names = self.names_by_id();
        let from = cursor.map_or_else(|| first.0.to_be_bytes().to_vec(), <[u8]>::to_vec);
        self.look(|store| {
            Page::read(store.scan(Space::Lanes, &from, Some(&end.0.to_be_bytes())), most, |key, value, _| {
                let (Some(lane_key), Some(lane)) = (OrderQueueKey::parse(key), OrderQueue::parse(value)) else {
                    return Ok(None);
                };
                let Some(parking) = lane.parked else { return Ok(None) };
                let Some(name) = names.get(&lane_key.destination) else { return Ok(None) };
                let head = scan::read_event(&self.shared, store, parking.seq)?.map(|event| event.id);
                Ok(Some(Parked {
                    key: ParkedKey(lane_key),
                    destination: Arc::clone(name),
                    label: lane.label,
                    len: lane.len,
                    since: Timestamp::from_unix_ms(parking.since_ms),
                    cause: parking.cause,
                    head,
                }))
            })
        })
    }

    /// Returns the range of numbers of one destination, or of all.
    fn span(&self, destination: Option<&str>) -> Option<(DestinationId, DestinationId)> {
        let first = match destination {
            Some(name) => self.shared.window(name)?.0,
            None => return Some((DestinationId(0), DestinationId(u32::MAX))),
        };
        Some((first, DestinationId(first.0.saturating_add(1))))
    }

    fn names_by_id(&self) -> std::collections::BTreeMap<DestinationId, Arc<str>> {
        let table = self.shared.destinations.read().unwrap_or_else(PoisonError::into_inner);
        let mut names: Vec<_> = table.iter().map(|(name, (id, _))| (*id, Arc::clone(name))).collect();
        names.sort_unstable();
        names.into_iter().collect()
    }
}

fn status_of(store: &Store, seq: Seq) -> Result<Option<EventStatus>, EngineError> {
    Ok(store.get(Space::Fate, &seq.to_be_bytes())?.and_then(|value| EventStatus::parse(&value)))
}
