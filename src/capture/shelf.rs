//! A bounded shelf of captured requests that divides its room fairly.
//!
//! When the shelf is full, the place that holds the most loses its oldest request. Places are compared level by level:
//! first the sources, within the heaviest source the outcomes, then the regions, networks and addresses of senders. So
//! each source keeps its fair share under any load of another one. Within a source a sender loses nothing to one that
//! sends more, however many addresses that one has in its networks. Among equals the oldest goes.
//!
//! Bounds: requests and bytes of the whole shelf. The number of places is bounded by the number of requests, because a
//! place without a request is removed. A request older than [`STALE_AFTER`] goes first.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use super::Captured;
use crate::event::EventId;
use crate::refusal::RequestOutcome;
use crate::sender::{Network, Sender};

/// The age above which a request is removed first when a new one needs room.
const STALE_AFTER: Duration = Duration::from_hours(24 * 7);

/// The bounds of a shelf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Room {
    pub(super) events: usize,
    pub(super) bytes: usize,
}

/// Captured requests within bounds.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    requests: BTreeMap<EventId, Shelved>,
    shares: Share,
}

#[derive(Debug)]
struct Shelved {
    captured: Arc<Captured>,
    place: Place,
    bytes: usize,
}

/// The place of a request on the shelf: one part for each level.
type Place = [Part; 5];

/// One level of a place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Source(Arc<str>),
    Outcome(RequestOutcome),
    Network(Network),
    Sender(Sender),
}

/// The requests of one place, counted, with the places below it.
#[derive(Debug, Default)]
struct Share {
    events: usize,
    bytes: usize,
    oldest: Option<EventId>,
    /// The places of the next level; none at the last one.
    places: BTreeMap<Part, Share>,
    /// At the last level: the requests.
    ids: BTreeMap<EventId, usize>,
}

/// The measure by which shares are compared: that of the bound which is exceeded.
#[derive(Clone, Copy, Debug)]
enum Measure {
    Events,
    Bytes,
}

impl Shelf {
    /// Adds a request, and removes those that no longer have room.
    pub(super) fn put(&mut self, captured: Captured, room: Room) {
        let (id, bytes, now) = (captured.event.id, captured.bytes(), captured.event.received_at());
        let place = place(&captured);
        self.shares.add(&place, id, bytes);
        self.requests.insert(id, Shelved { captured: Arc::new(captured), place, bytes });
        while self.is_over(room) {
            let oldest = self.requests.first_key_value().map(|(id, shelved)| (*id, &shelved.captured.event));
            let stale = oldest.filter(|(_, event)| now.since(event.received_at()) > STALE_AFTER).map(|(id, _)| id);
            let Some(loses) = stale.or_else(|| self.loses(room)) else { break };
            self.take(loses);
        }
    }

    /// Removes requests that no longer have room.
    pub(super) fn shrink(&mut self, room: Room) {
        while self.is_over(room) {
            let Some(loses) = self.loses(room) else { break };
            self.take(loses);
        }
    }

    /// Removes a request.
    pub(super) fn take(&mut self, id: EventId) -> Option<Arc<Captured>> {
        let Shelved { captured, place, bytes } = self.requests.remove(&id)?;
        self.shares.remove(&place, id, bytes);
        Some(captured)
    }

    pub(super) fn get(&self, id: EventId) -> Option<&Arc<Captured>> {
        self.requests.get(&id).map(|shelved| &shelved.captured)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Captured>> {
        self.requests.values().map(|shelved| &shelved.captured)
    }

    fn is_over(&self, room: Room) -> bool {
        self.shares.events > room.events || self.shares.bytes > room.bytes
    }

    /// Returns the oldest request of the place that holds the most.
    fn loses(&self, room: Room) -> Option<EventId> {
        let measure = if self.shares.events > room.events { Measure::Events } else { Measure::Bytes };
        let mut share = &self.shares;
        while let Some((_, heaviest)) =
            share.places.iter().max_by_key(|(_, share)| (share.weight(measure), Reverse(share.oldest)))
        {
            share = heaviest;
        }
        share.ids.first_key_value().map(|(id, _)| *id)
    }
}

fn place(captured: &Captured) -> Place {
    let sender = Sender::of(captured.event.sender.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)));
    [
        Part::Source(Arc::clone(&captured.event.source)),
        Part::Outcome(captured.outcome),
        Part::Network(sender.region()),
        Part::Network(sender.network()),
        Part::Sender(sender),
    ]
}

impl Share {
    const fn weight(&self, measure: Measure) -> usize {
        match measure {
            Measure::Events => self.events,
            Measure::Bytes => self.bytes,
        }
    }

    fn add(&mut self, place: &[Part], id: EventId, bytes: usize) {
        self.events += 1;
        self.bytes += bytes;
        self.oldest = Some(self.oldest.map_or(id, |oldest| oldest.min(id)));
        match place.split_first() {
            Some((part, rest)) => self.places.entry(part.clone()).or_default().add(rest, id, bytes),
            None => drop(self.ids.insert(id, bytes)),
        }
    }

    fn remove(&mut self, place: &[Part], id: EventId, bytes: usize) {
        self.events = self.events.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
        match place.split_first() {
            Some((part, rest)) => {
                if let Some(share) = self.places.get_mut(part) {
                    share.remove(rest, id, bytes);
                    if share.events == 0 {
                        self.places.remove(part);
                    }
                }
            }
            None => drop(self.ids.remove(&id)),
        }
        if self.oldest == Some(id) {
            let inside = self.places.values().filter_map(|share| share.oldest);
            self.oldest = inside.chain(self.ids.keys().next().copied()).min();
        }
    }
}
