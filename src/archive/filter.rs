//! Filters of events: by time, source, route, destination, type, outcome, and a condition over the stored request.

use std::sync::Arc;

use crate::body::Bodies;
use crate::buffer::{DeadLetter, Ending, StoredEvent};
use crate::clock::Timestamp;
use crate::condition::Condition;
use crate::event::EventData;
use crate::route::EventGlobs;

/// The state of one delivery: a closed list, for filters and for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DeliveryState {
    /// The destination has taken the event.
    Delivered,
    /// A person gave the delivery up.
    Discarded,
    /// The delivery waits, or is in flight.
    Queued,
    /// The delivery's order key is parked and waits for a person.
    Parked,
    /// The delivery ended without success.
    DeadLettered,
    /// The event is quarantined.
    Quarantined,
    /// The event cannot be read any more.
    Unreadable,
}

impl DeliveryState {
    /// All states.
    pub const ALL: [Self; 7] = [
        Self::Delivered,
        Self::Discarded,
        Self::Queued,
        Self::Parked,
        Self::DeadLettered,
        Self::Quarantined,
        Self::Unreadable,
    ];

    /// Returns the name in the API.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Discarded => "discarded",
            Self::Queued => "queued",
            Self::Parked => "parked",
            Self::DeadLettered => "dead_lettered",
            Self::Quarantined => "quarantined",
            Self::Unreadable => "unreadable",
        }
    }

    /// Parses the name in the API.
    pub fn parse(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.label() == label)
    }
}

/// Returns the state of the event's dispatch at `at`.
pub fn state_of(found: &StoredEvent, at: usize) -> DeliveryState {
    if found.is_quarantined {
        return DeliveryState::Quarantined;
    }
    if found.event.is_none() {
        return DeliveryState::Unreadable;
    }
    let Some(copy) = found.fate.as_ref().and_then(|fate| fate.copies.get(at)) else { return DeliveryState::Queued };
    match copy.end {
        Some((Ending::Delivered, _)) => DeliveryState::Delivered,
        Some((Ending::Dead(_), _)) => DeliveryState::DeadLettered,
        Some((Ending::Discarded(_), _)) => DeliveryState::Discarded,
        None if copy.parked => DeliveryState::Parked,
        None => DeliveryState::Queued,
    }
}

/// Returns the states of all of an event's deliveries; at least one state.
pub fn states_of(found: &StoredEvent) -> Vec<DeliveryState> {
    let copies = found.event.as_ref().map_or(0, |event| event.copies.len());
    (0..copies.max(1)).map(|at| state_of(found, at)).collect()
}

/// A filter of events; without any condition it takes all.
#[derive(Debug, Default)]
pub struct EventFilter {
    /// The earliest time of receipt.
    pub since: Option<Timestamp>,
    /// The time before which the event was received.
    pub until: Option<Timestamp>,
    /// The source.
    pub source: Option<String>,
    /// A route that took the event.
    pub route: Option<String>,
    /// A destination of the event.
    pub destination: Option<String>,
    /// The event types.
    pub event_type: Option<EventGlobs>,
    /// The state of at least one delivery.
    pub outcome: Option<DeliveryState>,
    /// A condition over the stored request.
    pub condition: Option<Condition>,
    /// The body rules of each source, by which the condition reads stored bodies.
    pub bodies: Bodies,
}

impl EventFilter {
    /// Checks whether the filter takes this event.
    pub fn wants(&self, found: &StoredEvent) -> bool {
        let Some(event) = &found.event else {
            return self.says_nothing_of_events()
                && self.outcome.is_none_or(|outcome| outcome == DeliveryState::Unreadable);
        };
        self.wants_event(event) && self.wants_a_copy(found, event)
    }

    /// Checks whether the filter takes this dead letter: the event, and just this delivery of it.
    pub fn wants_dead(&self, dead: &DeadLetter) -> bool {
        match &dead.found.event {
            None => self.says_nothing_of_events(),
            Some(event) => self.wants_copy(&dead.found, event, usize::from(dead.copy)) && self.wants_event(event),
        }
    }

    /// Checks whether the filter has no condition that needs a readable event.
    fn says_nothing_of_events(&self) -> bool {
        let Self { since, until, source, route, destination: _, event_type, outcome: _, condition, bodies: _ } = self;
        since.is_none()
            && until.is_none()
            && source.is_none()
            && route.is_none()
            && event_type.is_none()
            && condition.is_none()
    }

    fn wants_event(&self, event: &Arc<EventData>) -> bool {
        let at = event.received_at();
        self.since.is_none_or(|since| at >= since)
            && self.until.is_none_or(|until| at < until)
            && self.source.as_ref().is_none_or(|source| *source == *event.source)
            && self
                .event_type
                .as_ref()
                .is_none_or(|globs| event.event_type.as_ref().is_some_and(|of| globs.matches(of)))
            && self.condition.as_ref().is_none_or(|condition| self.holds(condition, event))
    }

    fn wants_a_copy(&self, found: &StoredEvent, event: &EventData) -> bool {
        if event.copies.is_empty() {
            let is_open = self.route.is_none() && self.destination.is_none();
            return is_open && self.outcome.is_none_or(|outcome| states_of(found).contains(&outcome));
        }
        (0..event.copies.len()).any(|at| self.wants_copy(found, event, at))
    }

    /// Checks whether the filter takes the dispatch at `at`.
    pub fn wants_copy(&self, found: &StoredEvent, event: &EventData, at: usize) -> bool {
        event.copies.get(at).is_some_and(|copy| {
            self.route.as_ref().is_none_or(|route| *route == *copy.route)
                && self.destination.as_ref().is_none_or(|destination| *destination == *copy.destination)
                && self.outcome.is_none_or(|outcome| outcome == state_of(found, at))
        })
    }

    /// Checks the condition. One that fails with an error is false, as in a route.
    fn holds(&self, condition: &Condition, event: &EventData) -> bool {
        let headers = event.header_map();
        let document = self.bodies.read(&event.source, &headers, &event.body);
        condition.matches(&event.view(&document, &headers)).unwrap_or(false)
    }
}
