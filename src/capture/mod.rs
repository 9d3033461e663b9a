//! Captured requests: filtered and refused ones that were not stored, kept for debugging and for `hookgate refused
//! admit`.
//!
//! They live in memory, bounded in number and bytes, and are lost on a restart. They stand on four shelves that cannot
//! push each other out: verified requests, failed ones from a sender that was verified before, failed ones from anybody
//! else, and the heads of requests refused before their verification. Each shelf divides its room fairly among sources,
//! and within a source among senders (`shelf`), so no flood pushes out another's requests. Requests without a source
//! count as one source. Of heads only a few a second are kept, because further ones show nothing new.
//!
//! Not here: the choice of captured requests (`ingress`), their admission (`refused`).

mod shelf;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use crate::clock::Timestamp;
use crate::event::{EventData, EventId, IdPrefix};
use crate::redact::Redaction;
use crate::refusal::RequestOutcome;
use crate::sender::Sender;

use shelf::{Room, Shelf};

/// The bytes of one shelf of whole requests.
const BYTES_MAX: usize = 32 * 1024 * 1024;
/// The bytes of all heads.
const HEADS_BYTES_MAX: usize = 8 * 1024 * 1024;
/// The overhead counted for an entry, on top of the bytes of its request and its reason.
const ENTRY_BYTES: usize = 512;
/// Heads of one source and reason that are kept in a second: by one sender, and by all.
const HEADS_PER_SEC_MAX: (u32, u32) = (5, 50);

/// The settings of the capture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaptureParams {
    /// The number of requests that each shelf keeps at most; with 0 nothing is captured.
    pub events_max: usize,
    /// True when bodies are kept.
    pub bodies: bool,
    /// The redaction that applies wherever captured requests and stored events are shown.
    pub redaction: Redaction,
}

/// The part of a body that is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyKept {
    /// The whole body.
    Whole,
    /// The body's beginning.
    Part,
    /// No byte.
    Nothing,
}

impl BodyKept {
    /// Returns the name in the API.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Part => "part",
            Self::Nothing => "nothing",
        }
    }
}

/// The part of a request that is captured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worth {
    /// The whole request: its body was read.
    Whole,
    /// The head: the request was refused early.
    Head,
}

/// One request that was not stored.
#[derive(Clone, Debug)]
pub struct Captured {
    /// The request, as it would have been stored, with as much of its body as is kept.
    pub event: EventData,
    /// The outcome of the request.
    pub outcome: RequestOutcome,
    /// The reason for the outcome, for operators.
    pub why: String,
    /// The status of the answer.
    pub status: u16,
    /// The part of the body that is kept.
    pub kept: BodyKept,
    /// The length of the body: what came of it, or what its head said.
    pub body_bytes: u64,
    /// True when requests of this sender were verified at this source before.
    pub is_known_sender: bool,
}

/// The requests that were not stored.
#[derive(Debug)]
pub struct Capture {
    shelves: Mutex<Shelves>,
}

#[derive(Debug)]
struct Shelves {
    params: CaptureParams,
    verified: Shelf,
    known: Shelf,
    strangers: Shelf,
    heads: Shelf,
    /// The second that is counted, and the heads in it by source and reason.
    in_second: (u64, BTreeMap<(Arc<str>, RequestOutcome), Heads>),
}

/// Heads of one source and reason in this second; a sender is in it once one of its heads was kept.
#[derive(Debug, Default)]
struct Heads {
    kept: u32,
    by_sender: BTreeMap<Sender, u32>,
}

impl Capture {
    /// Makes empty shelves.
    pub fn new(params: CaptureParams) -> Self {
        let [verified, known, strangers, heads] = std::array::from_fn(|_| Shelf::default());
        let in_second = (0, BTreeMap::new());
        Self { shelves: Mutex::new(Shelves { params, verified, known, strangers, heads, in_second }) }
    }

    /// Applies other bounds from now on.
    pub fn set(&self, params: CaptureParams) {
        let mut shelves = self.lock();
        let (room, heads) = (Room::of(&params), Room::of_heads(&params));
        shelves.params = params;
        let Shelves { verified, known, strangers, .. } = &mut *shelves;
        for shelf in [verified, known, strangers] {
            shelf.shrink(room);
        }
        shelves.heads.shrink(heads);
    }

    /// Returns the redaction that people's views of requests need.
    pub fn redaction(&self) -> Redaction {
        self.lock().params.redaction.clone()
    }

    /// Returns whether bodies are kept.
    pub fn keeps_bodies(&self) -> bool {
        self.lock().params.bodies
    }

    /// Returns whether one more request of this outcome is kept, before anything is copied. The place counts as taken.
    pub fn has_place(
        &self,
        source: &Arc<str>,
        (outcome, worth): (RequestOutcome, Worth),
        sender: Sender,
        now: Timestamp,
    ) -> bool {
        let mut shelves = self.lock();
        if shelves.params.events_max == 0 {
            return false;
        }
        if worth == Worth::Whole {
            return true;
        }
        let (second, heads) = &mut shelves.in_second;
        if *second != now.unix_secs() {
            *second = now.unix_secs();
            heads.clear();
        }
        heads.entry((Arc::clone(source), outcome)).or_default().has_place(sender)
    }

    /// Keeps a request; a full shelf removes others.
    pub fn keep(&self, mut captured: Captured, worth: Worth) {
        let mut shelves = self.lock();
        if !shelves.params.bodies {
            (captured.event.body, captured.kept) = (Bytes::new(), BodyKept::Nothing);
        }
        let (room, heads) = (Room::of(&shelves.params), Room::of_heads(&shelves.params));
        let is_verified = captured.outcome == RequestOutcome::Filtered || captured.event.verified_by.is_some();
        match worth {
            Worth::Head => shelves.heads.put(captured, heads),
            Worth::Whole if is_verified => shelves.verified.put(captured, room),
            Worth::Whole if captured.is_known_sender => shelves.known.put(captured, room),
            Worth::Whole => shelves.strangers.put(captured, room),
        }
    }

    /// Returns the request with this id.
    pub fn find(&self, id: EventId) -> Option<Arc<Captured>> {
        self.lock().all().find_map(|shelf| shelf.get(id)).cloned()
    }

    /// Returns the ids of the requests that `wanted` selects and whose id begins so, the oldest first.
    pub fn ids_beginning(&self, prefix: &IdPrefix, wanted: impl Fn(&Captured) -> bool) -> Vec<EventId> {
        let shelves = self.lock();
        let requests = shelves.all().flat_map(Shelf::iter);
        let mut ids: Vec<EventId> =
            requests.filter(|it| wanted(it)).map(|it| it.event.id).filter(|id| prefix.fits(*id)).collect();
        ids.sort_unstable();
        ids
    }

    /// Removes a request that is stored now.
    pub fn remove(&self, id: EventId) {
        let mut shelves = self.lock();
        let Shelves { verified, known, strangers, heads, .. } = &mut *shelves;
        for shelf in [verified, known, strangers, heads] {
            shelf.take(id);
        }
    }

    /// Returns all requests, the newest first. The lock is not held while the caller reads them.
    pub fn all(&self) -> Vec<Arc<Captured>> {
        let mut all: Vec<_> = self.lock().all().flat_map(Shelf::iter).cloned().collect();
        all.sort_by_key(|captured| std::cmp::Reverse(captured.event.id));
        all
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Shelves> {
        self.shelves.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shelves {
    fn all(&self) -> impl Iterator<Item = &Shelf> {
        [&self.verified, &self.known, &self.strangers, &self.heads].into_iter()
    }
}

impl Room {
    const fn of(params: &CaptureParams) -> Self {
        Self { events: params.events_max, bytes: BYTES_MAX }
    }

    const fn of_heads(params: &CaptureParams) -> Self {
        Self { events: params.events_max, bytes: HEADS_BYTES_MAX }
    }
}

impl Heads {
    fn has_place(&mut self, sender: Sender) -> bool {
        let (by_sender_max, by_all_max) = HEADS_PER_SEC_MAX;
        if self.kept >= by_all_max {
            return false;
        }
        let of_sender = self.by_sender.entry(sender).or_default();
        let has_place = *of_sender < by_sender_max;
        if has_place {
            *of_sender += 1;
            self.kept += 1;
        }
        has_place
    }
}

impl Captured {
    fn bytes(&self) -> usize {
        let headers: usize = self.event.headers.iter().map(|(name, value)| name.len() + value.0.len() + 64).sum();
        let params: usize = self.event.params.iter().map(|(name, value)| name.len() + value.len() + 64).sum();
        let host = self.event.host.as_ref().map_or(0, String::len);
        let id = self.event.delivery_id.as_ref().map_or(0, String::len);
        ENTRY_BYTES + headers + params + host + id + self.event.body.len() + self.event.target.len() + self.why.len()
    }
}

#[cfg(test)]
mod tests;
