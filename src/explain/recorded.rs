//! A request that was recorded, explained under other rules than those it met: the rules of now, or those of a draft.
//!
//! What was not recorded of it is not judged: the host and the sender of an event of an earlier version, a body of which
//! only the head was laid aside.

use super::{Explanation, Question, Signature, explain, look_on};
use crate::accept::{self, Notes};
use crate::deliver::Destinations;
use crate::event::EventData;
use crate::inbound::Head;
use crate::lane::Rules;
use crate::provider::KeyRing;

/// A stored event, or a request that was laid aside.
#[derive(Clone, Copy, Debug)]
pub struct Recorded<'a> {
    /// The request.
    pub event: &'a EventData,
    /// Whether its body is all there.
    pub has_body: bool,
    /// The length of its body, however much of it was kept.
    pub body_bytes: u64,
    /// What is done about its signature.
    pub signature: Signature<'a>,
    /// The keys of providers that were fetched.
    pub keys: &'a dyn KeyRing,
}

/// Explains a recorded request under these rules. It keeps its name.
pub fn explain_recorded(rules: &Rules, destinations: &Destinations, recorded: &Recorded<'_>) -> Explanation {
    let event = recorded.event;
    let headers = event.header_map();
    let head = Head { content_length: Some(recorded.body_bytes), ..accept::stored_head(event, &headers) };
    let lane = rules.lane(&event.source);
    // A source that has another path by now is not called any more; without the host that is all that can be said.
    let is_called = lane.is_some_and(|lane| lane.source.path.matches(head.path));
    let question = Question {
        head,
        body: recorded.has_body.then_some(&event.body),
        source: (event.host.is_none() && is_called).then_some(&*event.source),
        has_sender: event.sender.is_some(),
        signature: recorded.signature,
        now: event.received_at(),
        random: [0; 10],
        keys: recorded.keys,
    };
    let mut told = explain(rules, destinations, &question);
    if let (None, Some(lane)) = (&told.source, lane) {
        look_on(&mut told, lane, destinations, &question, &Notes::default());
    }
    told.rename(event.id, destinations);
    told
}
