//! Requests that were not stored: filtered and refused ones, kept for a look.
//!
//! They live in memory, in the order in which they came, bounded in number and bytes; a restart forgets them. What was
//! verified and what was not are kept apart, so that strangers cannot push out what a provider sent. What reached no source
//! is not kept.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use crate::event::{EventData, EventId};
use crate::redact::Redaction;
use crate::refusal::RequestOutcome;

/// All that is kept, in each of the two halves.
const BYTES_MAX: usize = 32 * 1024 * 1024;
/// What an entry costs beside its body and headers.
const ENTRY_BYTES: usize = 512;

/// What is kept, and what is shown of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaptureParams {
    /// How many requests are kept.
    pub events_max: usize,
    /// Whether their bodies are.
    pub bodies: bool,
    /// What people do not get to see, of these and of stored events.
    pub redaction: Redaction,
}

/// One request that was not stored.
#[derive(Clone, Debug)]
pub struct Captured {
    /// The request, as it would have been stored.
    pub event: EventData,
    /// How it ended.
    pub outcome: RequestOutcome,
    /// Why, for operators.
    pub why: String,
    /// What was answered.
    pub status: u16,
}

/// The requests that were not stored.
#[derive(Debug)]
pub struct Capture {
    halves: Mutex<Halves>,
}

#[derive(Debug)]
struct Halves {
    params: CaptureParams,
    verified: Half,
    refused: Half,
}

#[derive(Debug, Default)]
struct Half {
    entries: VecDeque<Arc<Captured>>,
    bytes: usize,
}

impl Capture {
    /// Nothing yet.
    pub fn new(params: CaptureParams) -> Self {
        Self { halves: Mutex::new(Halves { params, verified: Half::default(), refused: Half::default() }) }
    }

    /// Keeps so much from now on.
    pub fn set(&self, params: CaptureParams) {
        let mut halves = self.lock();
        let Halves { params: now, verified, refused } = &mut *halves;
        *now = params;
        verified.shrink(now.events_max);
        refused.shrink(now.events_max);
    }

    /// What people do not get to see.
    pub fn redaction(&self) -> Redaction {
        self.lock().params.redaction.clone()
    }

    /// Whether anything is kept at all.
    pub fn is_on(&self) -> bool {
        self.lock().params.events_max > 0
    }

    /// Keeps a request; the oldest go.
    pub fn keep(&self, mut captured: Captured) {
        let mut halves = self.lock();
        let Halves { params, verified, refused } = &mut *halves;
        if !params.bodies {
            captured.event.body = bytes::Bytes::new();
        }
        let half = if captured.outcome == RequestOutcome::Filtered { verified } else { refused };
        half.bytes += captured.bytes();
        half.entries.push_back(Arc::new(captured));
        half.shrink(params.events_max);
    }

    /// The one with this id.
    pub fn find(&self, id: EventId) -> Option<Arc<Captured>> {
        let halves = self.lock();
        let mut all = halves.verified.entries.iter().chain(&halves.refused.entries);
        all.find(|captured| captured.event.id == id).cloned()
    }

    /// All of them, the newest first. Whoever looks through them holds nobody up.
    pub fn all(&self) -> Vec<Arc<Captured>> {
        let halves = self.lock();
        let mut all: Vec<_> = halves.verified.entries.iter().chain(&halves.refused.entries).cloned().collect();
        drop(halves);
        all.sort_by_key(|captured| std::cmp::Reverse(captured.event.id));
        all
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Halves> {
        self.halves.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Half {
    fn shrink(&mut self, events_max: usize) {
        while self.entries.len() > events_max || self.bytes > BYTES_MAX {
            let Some(oldest) = self.entries.pop_front() else { break };
            self.bytes = self.bytes.saturating_sub(oldest.bytes());
        }
    }
}

impl Captured {
    fn bytes(&self) -> usize {
        let headers: usize = self.event.headers.iter().map(|(name, value)| name.len() + value.0.len() + 64).sum();
        ENTRY_BYTES + headers + self.event.body.len() + self.event.target.len() + self.why.len()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::clock::Timestamp;
    use crate::refusal::Class;

    fn captured(number: u64, outcome: RequestOutcome, bytes: usize) -> Captured {
        let at = Timestamp::from_unix_ms(number);
        let sample = EventData::sample(EventId::at(at, [0; 10]), at);
        let event = EventData { body: Bytes::from(vec![0; bytes]), ..sample };
        Captured { event, outcome, why: String::new(), status: 401 }
    }

    fn capture(events_max: usize) -> Capture {
        Capture::new(CaptureParams { events_max, bodies: true, redaction: Redaction::default() })
    }

    #[test]
    fn strangers_cannot_push_out_what_was_verified() {
        let capture = capture(3);
        capture.keep(captured(1, RequestOutcome::Filtered, 1));
        for number in 2..100 {
            capture.keep(captured(number, RequestOutcome::Refused(Class::BadSignature), 1));
        }
        let all = capture.all();
        let numbers: Vec<u64> = all.iter().map(|captured| captured.event.received_at_ms).collect();
        assert_eq!(numbers, [99, 98, 97, 1]);
    }

    #[test]
    fn large_bodies_make_it_fewer() {
        let capture = capture(1000);
        for number in 0..100 {
            capture.keep(captured(number, RequestOutcome::Filtered, 1024 * 1024));
        }
        let kept = capture.all().len();
        assert!((28..=32).contains(&kept), "{kept}");
    }

    #[test]
    fn without_bodies_there_are_none() {
        let capture = Capture::new(CaptureParams { events_max: 5, bodies: false, redaction: Redaction::default() });
        capture.keep(captured(1, RequestOutcome::Filtered, 10));
        let id = EventId::at(Timestamp::from_unix_ms(1), [0; 10]);
        assert!(capture.find(id).unwrap().event.body.is_empty());
    }
}
