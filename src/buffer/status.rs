//! The status of an event's deliveries: written when a first attempt has ended, and at every change afterwards.
//!
//! An event without a status has all its deliveries in the queue, without an attempt. A status is small and bounded:
//! the last [`TRIES_KEPT`] attempts of each delivery, each with a short detail, and one answer, whose bytes count as
//! the event's.

use serde::{Deserialize, Serialize};

use super::answer::KeptAnswer;
use super::keys::DestinationId;
use crate::clock::Timestamp;
use crate::event::EventId;
use crate::outcome::{Attempt, AttemptOutcome, DeathCause};

/// The most attempts of one delivery that are remembered, the last ones.
pub const TRIES_KEPT: usize = 20;
const DETAIL_BYTES_MAX: usize = 200;

/// One HTTP attempt, as it is remembered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptRecord {
    /// The time of its end, in milliseconds since 1970.
    pub at_ms: u64,
    /// The outcome on the wire.
    pub outcome: AttemptOutcome,
    /// The status of the answer, if one came.
    pub status: Option<u16>,
    /// Its duration in milliseconds.
    pub took_ms: u32,
    /// A text for people, without payload and secrets.
    pub detail: String,
}

impl AttemptRecord {
    /// Summarises an attempt; cuts a long detail.
    pub fn new(attempt: &Attempt, at: Timestamp, took: std::time::Duration) -> Self {
        let mut detail = attempt.detail.clone();
        detail.truncate(detail.floor_char_boundary(DETAIL_BYTES_MAX));
        Self {
            at_ms: at.unix_ms(),
            outcome: attempt.outcome,
            status: attempt.status,
            took_ms: u32::try_from(took.as_millis()).unwrap_or(u32::MAX),
            detail,
        }
    }
}

/// The end of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ending {
    /// The destination has taken the event.
    Delivered,
    /// The delivery is a dead letter.
    Dead(DeathCause),
    /// A person discarded the dead letter, or skipped the delivery in its order.
    Discarded(DeathCause),
}

/// The status of one delivery.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryStatus {
    /// The number of the destination that it ended at; 0 before.
    pub destination: u32,
    /// The last attempts.
    pub tries: Vec<AttemptRecord>,
    /// The number of all attempts, remembered or not.
    pub tries_total: u32,
    /// The time at which it is due next, in milliseconds on the buffer's time line; `None` while without an attempt,
    /// parked or ended.
    pub next_ms: Option<u64>,
    /// Its end, and the time of it in milliseconds.
    pub end: Option<(Ending, u64)>,
    /// The number of replays by people.
    pub replays: u32,
    /// True while its order key is parked and waits for a person.
    pub parked: bool,
    /// The last answer that was not a success with an empty body.
    pub answer: Option<Box<KeptAnswer>>,
}

impl DeliveryStatus {
    pub(crate) fn destination(&self) -> DestinationId {
        DestinationId(self.destination)
    }

    pub(crate) fn remember(&mut self, tried: AttemptRecord) {
        if self.tries.len() >= TRIES_KEPT {
            self.tries.remove(0);
        }
        self.tries.push(tried);
        self.tries_total = self.tries_total.saturating_add(1);
    }

    /// Checks whether the delivery is a dead letter.
    pub fn is_dead(&self) -> bool {
        matches!(self.end, Some((Ending::Dead(_), _)))
    }
}

/// The status of an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventStatus {
    /// The event's id.
    pub id: EventId,
    /// The event's stored size, in bytes.
    pub bytes: u32,
    /// The time until which the event is kept, in milliseconds; zero while a delivery is pending.
    pub keep_until_ms: u64,
    /// The sequence of an earlier event with the same delivery id and another body.
    pub same_id_as: Option<u64>,
    /// The statuses of its deliveries, in the order of the event's dispatches.
    pub copies: Vec<DeliveryStatus>,
}

impl EventStatus {
    pub(crate) fn new(id: EventId, bytes: u32, copies: usize) -> Self {
        Self { id, bytes, keep_until_ms: 0, same_id_as: None, copies: vec![DeliveryStatus::default(); copies] }
    }

    /// Keeps the answer to an attempt of this delivery in place of an earlier one. Returns the event's growth in bytes.
    pub(crate) fn keep_answer(&mut self, copy: u16, answer: Box<KeptAnswer>) -> i64 {
        let Some(of_copy) = self.copies.get_mut(usize::from(copy)) else { return 0 };
        let before = self.bytes;
        let gone = of_copy.answer.as_ref().map_or(0, |answer| answer.stored_bytes());
        self.bytes = before.saturating_sub(gone).saturating_add(answer.stored_bytes());
        of_copy.answer = Some(answer);
        i64::from(self.bytes) - i64::from(before)
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        rmp_serde::to_vec(self).unwrap_or_default()
    }

    pub(crate) fn parse(value: &[u8]) -> Option<Self> {
        rmp_serde::from_slice(value).ok()
    }

    /// Checks whether every delivery has ended.
    pub fn is_over(&self) -> bool {
        self.copies.iter().all(|copy| copy.end.is_some())
    }

    pub(crate) fn has_dead(&self) -> bool {
        self.copies.iter().any(DeliveryStatus::is_dead)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn the_bytes_of_a_kept_answer_count_as_the_events() {
        let answer = |text: &'static str| {
            let body = Bytes::from_static(text.as_bytes());
            Box::new(KeptAnswer::new((500, Timestamp::from_unix_ms(7)), (&body, true), 100))
        };
        let mut fate = EventStatus::new(EventId::NIL, 100, 1);
        let grown = fate.keep_answer(0, answer("0123456789"));
        assert_eq!((i64::from(fate.bytes), grown > 10), (100 + grown, true));
        assert_eq!(fate.keep_answer(0, answer("01234")), -5);
        assert_eq!(fate.keep_answer(9, answer("no such copy")), 0);
        let read = EventStatus::parse(&fate.to_bytes()).unwrap();
        assert_eq!(read, fate);
        assert_eq!(&read.copies[0].answer.as_ref().unwrap().body()[..], b"01234");
    }
}
