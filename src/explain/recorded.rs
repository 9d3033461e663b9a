//! A recorded request, explained under other rules than those it met: the rules in force, or those of a draft.
//!
//! Unrecorded parts are not judged: a host and a sender that are unknown or hidden, and a body that was captured in
//! part.

use super::{Explanation, Question, Signature, explain, look_on};
use crate::accept::{self, Notes};
use crate::deliver::Destinations;
use crate::event::EventData;
use crate::inbound::Head;
use crate::provider::KeyRing;
use crate::rules::Rules;

/// A stored event, or a captured request.
#[derive(Clone, Copy, Debug)]
pub struct Replayed<'a> {
    /// The request.
    pub event: &'a EventData,
    /// True if all of its body was kept.
    pub has_body: bool,
    /// The length of its body, whether or not all of it was kept.
    pub body_bytes: u64,
    /// The treatment of its signature.
    pub signature: Signature<'a>,
    /// The keys of providers that were fetched.
    pub keys: &'a dyn KeyRing,
}

/// Explains a recorded request under these rules. The event keeps its id.
pub fn explain_recorded(rules: &Rules, destinations: &Destinations, recorded: &Replayed<'_>) -> Explanation {
    let event = recorded.event;
    let headers = event.header_map();
    let head = Head { content_length: Some(recorded.body_bytes), ..accept::stored_head(event, &headers) };
    let lane = rules.lane(&event.source);
    // The path of a source may have changed since; then the source is not called any more. Without a host, the path
    // alone decides.
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
