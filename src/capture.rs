//! Requests that were not stored: filtered and refused ones, kept for a look.
//!
//! They live in memory, in the order in which they came, bounded in number and bytes; a restart forgets them. They lie in
//! rings that cannot push each other out: what was verified, what was judged and refused, and one ring for each reason to
//! turn a request away before it is judged. Of those only the head is worth a place, and a few a second: a stranger can send
//! any number of them, and more of the same tell no more.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use crate::clock::Timestamp;
use crate::event::{EventData, EventId};
use crate::redact::Redaction;
use crate::refusal::RequestOutcome;

/// All that is kept in the ring of what was verified, and in that of what was judged.
const BYTES_MAX: usize = 32 * 1024 * 1024;
/// What an entry costs beside its body and headers.
const ENTRY_BYTES: usize = 512;
/// Heads that are kept of each reason: in all, a second, and their bytes.
const HEADS_MAX: usize = 100;
const HEADS_PER_SEC_MAX: u32 = 5;
const HEADS_BYTES_MAX: usize = 1024 * 1024;

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

/// How much of a body is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyKept {
    /// All of it.
    Whole,
    /// How it began.
    Part,
    /// Nothing.
    Nothing,
}

impl BodyKept {
    /// As the API writes it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Part => "part",
            Self::Nothing => "nothing",
        }
    }
}

/// What a request that was not stored is worth keeping of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worth {
    /// All: it was read and judged.
    Whole,
    /// Its head: it was turned away before.
    Head,
}

/// One request that was not stored.
#[derive(Clone, Debug)]
pub struct Captured {
    /// The request, as it would have been stored, with as much of its body as is kept.
    pub event: EventData,
    /// How it ended.
    pub outcome: RequestOutcome,
    /// Why, for operators.
    pub why: String,
    /// What was answered.
    pub status: u16,
    /// How much of the body is kept.
    pub kept: BodyKept,
    /// The length of the body: what came of it, or what its head said.
    pub body_bytes: u64,
}

/// The requests that were not stored.
#[derive(Debug)]
pub struct Capture {
    rings: Mutex<Rings>,
}

#[derive(Debug)]
struct Rings {
    params: CaptureParams,
    verified: Ring,
    judged: Ring,
    heads: BTreeMap<RequestOutcome, Heads>,
}

#[derive(Debug, Default)]
struct Ring {
    entries: VecDeque<Arc<Captured>>,
    bytes: usize,
}

/// A ring that takes a few a second.
#[derive(Debug, Default)]
struct Heads {
    ring: Ring,
    second: u64,
    in_second: u32,
}

impl Capture {
    /// Nothing yet.
    pub fn new(params: CaptureParams) -> Self {
        let (verified, judged, heads) = (Ring::default(), Ring::default(), BTreeMap::new());
        Self { rings: Mutex::new(Rings { params, verified, judged, heads }) }
    }

    /// Keeps so much from now on.
    pub fn set(&self, params: CaptureParams) {
        let mut rings = self.lock();
        rings.params = params;
        rings.shrink();
    }

    /// What people do not get to see.
    pub fn redaction(&self) -> Redaction {
        self.lock().params.redaction.clone()
    }

    /// Whether there is a place for one more that ended so; asked before anything is copied. The place counts as taken.
    pub fn has_place(&self, outcome: RequestOutcome, worth: Worth, now: Timestamp) -> bool {
        let mut rings = self.lock();
        rings.params.events_max > 0
            && (worth == Worth::Whole || rings.heads.entry(outcome).or_default().has_place(now.unix_secs()))
    }

    /// Keeps a request; the oldest go.
    pub fn keep(&self, mut captured: Captured, worth: Worth) {
        let mut rings = self.lock();
        if !rings.params.bodies {
            (captured.event.body, captured.kept) = (Bytes::new(), BodyKept::Nothing);
        }
        let ring = match (worth, captured.outcome) {
            (Worth::Head, outcome) => &mut rings.heads.entry(outcome).or_default().ring,
            (Worth::Whole, RequestOutcome::Filtered) => &mut rings.verified,
            (Worth::Whole, _) => &mut rings.judged,
        };
        ring.bytes += captured.bytes();
        ring.entries.push_back(Arc::new(captured));
        rings.shrink();
    }

    /// The one with this id.
    pub fn find(&self, id: EventId) -> Option<Arc<Captured>> {
        self.lock().entries().find(|captured| captured.event.id == id).cloned()
    }

    /// All of them, the newest first. Whoever looks through them holds nobody up.
    pub fn all(&self) -> Vec<Arc<Captured>> {
        let mut all: Vec<_> = self.lock().entries().cloned().collect();
        all.sort_by_key(|captured| std::cmp::Reverse(captured.event.id));
        all
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Rings> {
        self.rings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rings {
    fn entries(&self) -> impl Iterator<Item = &Arc<Captured>> {
        let heads = self.heads.values().map(|heads| &heads.ring);
        [&self.verified, &self.judged].into_iter().chain(heads).flat_map(|ring| &ring.entries)
    }

    fn shrink(&mut self) {
        let events_max = self.params.events_max;
        self.verified.shrink(events_max, BYTES_MAX);
        self.judged.shrink(events_max, BYTES_MAX);
        for heads in self.heads.values_mut() {
            heads.ring.shrink(events_max.min(HEADS_MAX), HEADS_BYTES_MAX);
        }
    }
}

impl Ring {
    fn shrink(&mut self, events_max: usize, bytes_max: usize) {
        while self.entries.len() > events_max || self.bytes > bytes_max {
            let Some(oldest) = self.entries.pop_front() else { break };
            self.bytes = self.bytes.saturating_sub(oldest.bytes());
        }
    }
}

impl Heads {
    fn has_place(&mut self, second: u64) -> bool {
        if self.second != second {
            (self.second, self.in_second) = (second, 0);
        }
        self.in_second = self.in_second.saturating_add(1);
        self.in_second <= HEADS_PER_SEC_MAX
    }
}

impl Captured {
    fn bytes(&self) -> usize {
        let headers: usize = self.event.headers.iter().map(|(name, value)| name.len() + value.0.len() + 64).sum();
        let params: usize = self.event.params.iter().map(|(name, value)| name.len() + value.len() + 64).sum();
        let host = self.event.host.as_ref().map_or(0, String::len);
        ENTRY_BYTES + headers + params + host + self.event.body.len() + self.event.target.len() + self.why.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refusal::Class;

    fn captured(number: u64, outcome: RequestOutcome, bytes: usize) -> Captured {
        let at = Timestamp::from_unix_ms(number);
        let sample = EventData::sample(EventId::at(at, [0; 10]), at);
        let event = EventData { body: Bytes::from(vec![0; bytes]), ..sample };
        let (kept, body_bytes) = (BodyKept::Whole, bytes as u64);
        Captured { event, outcome, why: String::new(), status: 401, kept, body_bytes }
    }

    fn capture(events_max: usize) -> Capture {
        Capture::new(CaptureParams { events_max, bodies: true, redaction: Redaction::default() })
    }

    #[test]
    fn strangers_cannot_push_out_what_was_verified() {
        let capture = capture(3);
        capture.keep(captured(1, RequestOutcome::Filtered, 1), Worth::Whole);
        for number in 2..100 {
            capture.keep(captured(number, RequestOutcome::Refused(Class::BadSignature), 1), Worth::Whole);
        }
        let all = capture.all();
        let numbers: Vec<u64> = all.iter().map(|captured| captured.event.received_at_ms).collect();
        assert_eq!(numbers, [99, 98, 97, 1]);
    }

    #[test]
    fn a_flood_of_one_kind_takes_a_few_places_a_second_and_none_of_another_kind() {
        let capture = capture(1000);
        capture.keep(captured(1, RequestOutcome::Refused(Class::BadSignature), 1), Worth::Whole);
        let (lost, limited) = (RequestOutcome::Refused(Class::NotFound), RequestOutcome::Refused(Class::RateLimited));
        let flood = |outcome: RequestOutcome, ms: u64| {
            let is_kept = capture.has_place(outcome, Worth::Head, Timestamp::from_unix_ms(ms));
            if is_kept {
                capture.keep(captured(ms, outcome, 2000), Worth::Head);
            }
            usize::from(is_kept)
        };
        assert_eq!(flood(limited, 1), 1);
        let in_a_second: usize = (2..900).map(|ms| flood(lost, ms)).sum();
        assert_eq!(in_a_second, 5);
        let in_a_day: usize = (1..86_400).map(|second| flood(lost, second * 1000)).sum();
        assert_eq!(in_a_day, 86_399);
        let all = capture.all();
        let count = |outcome| all.iter().filter(|captured| captured.outcome == outcome).count();
        assert_eq!((count(lost), count(limited), all.len()), (100, 1, 102));
    }

    #[test]
    fn large_bodies_make_it_fewer() {
        let capture = capture(1000);
        for number in 0..100 {
            capture.keep(captured(number, RequestOutcome::Filtered, 1024 * 1024), Worth::Whole);
        }
        let kept = capture.all().len();
        assert!((28..=32).contains(&kept), "{kept}");
    }

    #[test]
    fn a_long_host_and_long_parameters_count() {
        for is_host in [true, false] {
            let capture = capture(1000);
            for number in 0..100 {
                let mut captured = captured(number, RequestOutcome::Refused(Class::NotFound), 0);
                let long = "a".repeat(60 * 1024);
                if is_host {
                    captured.event.host = Some(long);
                } else {
                    captured.event.params = vec![("tenant".to_owned(), long)];
                }
                capture.keep(captured, Worth::Head);
            }
            let kept = capture.all().len();
            assert!((15..=17).contains(&kept), "{kept} of 100");
        }
    }

    #[test]
    fn without_bodies_there_are_none() {
        let capture = Capture::new(CaptureParams { events_max: 5, bodies: false, redaction: Redaction::default() });
        capture.keep(captured(1, RequestOutcome::Filtered, 10), Worth::Whole);
        let id = EventId::at(Timestamp::from_unix_ms(1), [0; 10]);
        let kept = capture.find(id).unwrap();
        assert!(kept.event.body.is_empty() && kept.kept == BodyKept::Nothing);
    }
}
