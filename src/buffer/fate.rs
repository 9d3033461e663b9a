//! What became of an event's deliveries so far: written when a first try has ended, and with whatever happens after.
//!
//! An event without a fate has all its deliveries in the queue, untried. A fate is small and bounded: the last
//! [`TRIES_KEPT`] tries of each delivery, each with a short detail, and one answer, whose bytes count as the event's.

use serde::{Deserialize, Serialize};

use super::answer::KeptAnswer;
use super::keys::DestinationId;
use crate::clock::Timestamp;
use crate::event::EventId;
use crate::outcome::{Attempt, AttemptOutcome, DeathCause};

/// So many tries of one delivery are remembered, the last ones.
pub const TRIES_KEPT: usize = 20;
const DETAIL_BYTES_MAX: usize = 200;

/// One HTTP try, as it is remembered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tried {
    /// When it ended, milliseconds since 1970.
    pub at_ms: u64,
    /// What the wire gave.
    pub outcome: AttemptOutcome,
    /// The status, when there was an answer.
    pub status: Option<u16>,
    /// How long it took.
    pub took_ms: u32,
    /// For people; no payload, no secrets.
    pub detail: String,
}

impl Tried {
    /// What is worth remembering of an attempt.
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

/// How a delivery ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ending {
    /// The destination has it.
    Delivered,
    /// It is a dead letter.
    Dead(DeathCause),
    /// It was a dead letter and a person has dropped it, or it was skipped in its order.
    Discarded(DeathCause),
}

/// One delivery.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyFate {
    /// The number of the destination that it ended at; 0 before.
    pub destination: u32,
    /// The last tries.
    pub tries: Vec<Tried>,
    /// All tries, remembered or not.
    pub tries_total: u32,
    /// When it is due next, milliseconds on the buffer's time line; `None` while untried, parked or ended.
    pub next_ms: Option<u64>,
    /// How it ended, and when.
    pub end: Option<(Ending, u64)>,
    /// How often a person had it made again.
    pub replays: u32,
    /// Its order key waits for a person.
    pub parked: bool,
    /// The last answer that said something. Records of earlier versions end before it.
    #[serde(default)]
    pub answer: Option<Box<KeptAnswer>>,
}

impl CopyFate {
    pub(crate) fn destination(&self) -> DestinationId {
        DestinationId(self.destination)
    }

    pub(crate) fn remember(&mut self, tried: Tried) {
        if self.tries.len() >= TRIES_KEPT {
            self.tries.remove(0);
        }
        self.tries.push(tried);
        self.tries_total = self.tries_total.saturating_add(1);
    }

    /// Whether it is a dead letter.
    pub fn is_dead(&self) -> bool {
        matches!(self.end, Some((Ending::Dead(_), _)))
    }
}

/// What became of an event so far.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fate {
    /// The event.
    pub id: EventId,
    /// Stored bytes.
    pub bytes: u32,
    /// Until when it is kept, once nothing is under way; zero while something is.
    pub keep_until_ms: u64,
    /// An earlier event with the same delivery id and another body.
    pub same_id_as: Option<u64>,
    /// Its deliveries, in the order of the event's copies.
    pub copies: Vec<CopyFate>,
}

impl Fate {
    pub(crate) fn new(id: EventId, bytes: u32, copies: usize) -> Self {
        Self { id, bytes, keep_until_ms: 0, same_id_as: None, copies: vec![CopyFate::default(); copies] }
    }

    /// Keeps the answer to a try of this copy, in the place of an earlier one. Gives by how many bytes the event has grown.
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

    /// Whether every delivery has ended.
    pub fn is_over(&self) -> bool {
        self.copies.iter().all(|copy| copy.end.is_some())
    }

    pub(crate) fn has_dead(&self) -> bool {
        self.copies.iter().any(CopyFate::is_dead)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    /// A copy as an earlier version wrote it.
    #[derive(Serialize)]
    struct Earlier(u32, Vec<Tried>, u32, Option<u64>, Option<(Ending, u64)>, u32, bool);

    #[test]
    fn records_of_earlier_versions_are_read() {
        let earlier =
            rmp_serde::to_vec(&Earlier(3, Vec::new(), 1, None, Some((Ending::Delivered, 5)), 0, false)).unwrap();
        let read: CopyFate = rmp_serde::from_slice(&earlier).unwrap();
        assert_eq!((read.destination, read.end, read.answer), (3, Some((Ending::Delivered, 5)), None));
    }

    #[test]
    fn the_bytes_of_a_kept_answer_count_as_the_events() {
        let answer = |text: &'static str| {
            let body = Bytes::from_static(text.as_bytes());
            Box::new(KeptAnswer::new((500, Timestamp::from_unix_ms(7)), (&body, true), 100))
        };
        let mut fate = Fate::new(EventId::NIL, 100, 1);
        let grown = fate.keep_answer(0, answer("0123456789"));
        assert_eq!((i64::from(fate.bytes), grown > 10), (100 + grown, true));
        assert_eq!(fate.keep_answer(0, answer("01234")), -5);
        assert_eq!(fate.keep_answer(9, answer("no such copy")), 0);
        let read = Fate::parse(&fate.to_bytes()).unwrap();
        assert_eq!(read, fate);
        assert_eq!(&read.copies[0].answer.as_ref().unwrap().body()[..], b"01234");
    }
}
