//! One delivery of an event to a destination, as the buffer hands it out.

use std::sync::Arc;

use super::keys::{QueueKey, QueueValue};
use super::window::{Claim, CopyId};
use crate::clock::Timestamp;
use crate::event::{Dispatch, EventData};

/// One due delivery of an event, claimed by its holder.
#[derive(Debug)]
pub struct Delivery {
    pub(super) key: QueueKey,
    pub(super) value: QueueValue,
    pub(super) event: Option<Arc<EventData>>,
    pub(super) claim: Option<Claim>,
}

impl Delivery {
    pub(super) fn new(key: QueueKey, value: QueueValue, event: Arc<EventData>) -> Self {
        Self { key, value, event: Some(event), claim: None }
    }

    /// Builds a delivery whose event cannot be read any more.
    pub(super) fn unreadable(key: QueueKey, value: QueueValue) -> Self {
        Self { key, value, event: None, claim: None }
    }

    pub(super) fn id(&self) -> CopyId {
        (self.key.seq, self.key.copy)
    }

    pub(super) fn due_ms(&self) -> u64 {
        self.key.due_ms
    }

    pub(super) fn body_bytes(&self) -> usize {
        self.event.as_ref().map_or(0, |event| event.body.len())
    }

    /// Checks whether the delivery was rescheduled: a first attempt is due when the delivery began.
    pub(super) fn is_rescheduled(&self) -> bool {
        self.key.due_ms != self.value.since_ms
    }

    pub(super) fn claimed_by(&mut self, claim: Claim) {
        self.claim = Some(claim);
    }

    #[cfg(test)]
    pub(super) fn into_claim(self) -> Option<Claim> {
        self.claim
    }

    /// Returns the number of attempts that counted so far.
    pub fn attempts(&self) -> u32 {
        self.value.attempts
    }

    /// Checks whether an earlier attempt of the delivery counted.
    pub fn is_retry(&self) -> bool {
        self.value.attempts > 0
    }

    /// Checks whether the delivery has an order key.
    pub fn is_ordered(&self) -> bool {
        self.value.lane.is_some()
    }

    /// Returns when the delivery began to be due, on the buffer's time line: acceptance, a replay, or its turn in the
    /// order.
    pub fn since(&self) -> Timestamp {
        Timestamp::from_unix_ms(self.value.since_ms)
    }

    /// Returns the event; `None` when its record cannot be read any more.
    pub fn event(&self) -> Option<&Arc<EventData>> {
        self.event.as_ref()
    }

    /// Returns the event's dispatch that this delivery makes.
    pub fn copy(&self) -> Option<&Dispatch> {
        self.event.as_ref()?.copies.get(usize::from(self.key.copy))
    }
}
