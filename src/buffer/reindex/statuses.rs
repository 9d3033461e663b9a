//! The stored statuses of events, read along with the events.

use crate::buffer::engine::{EngineError, Pairs};
use crate::buffer::keys;
use crate::buffer::status::EventStatus;

/// A cursor over the statuses, beside the events.
pub(super) struct Statuses<'a> {
    pub(super) pairs: Pairs<'a>,
    pub(super) ahead: Option<(u64, EventStatus)>,
}

impl Statuses<'_> {
    /// Returns the next status up to this sequence.
    pub(super) fn up_to(&mut self, seq: u64) -> Result<Option<(u64, EventStatus)>, EngineError> {
        while self.ahead.is_none() {
            let Some(pair) = self.pairs.next() else { return Ok(None) };
            let (key, value) = pair?;
            self.ahead = keys::parse_sequence(&key).zip(EventStatus::parse(&value));
        }
        Ok(self.ahead.take_if(|(next, _)| *next <= seq))
    }
}
