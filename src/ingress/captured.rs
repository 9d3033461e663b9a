//! Captures filtered and refused requests for debugging (`capture`); refusals under overload are not captured.
//!
//! Of a request that was refused before its verification the head is kept, and the beginning of a body that grew too
//! large.

use bytes::Bytes;
use pingora::http::RequestHeader;

use super::{Decision, Registry, Seen, framing};
use crate::accept::Notes;
use crate::capture::{BodyKept, Captured, Worth};
use crate::clock::Timestamp;
use crate::event::{EventData, EventId, kept_headers};
use crate::refusal::{Class, RequestOutcome};
use crate::sender::Sender;
use crate::telemetry::NO_SOURCE;

/// Captures a request, and gives it an id.
pub(super) fn lay(shared: &Registry, request: &RequestHeader, seen: &Seen<'_>, notes: &Notes, decision: &mut Decision) {
    // Signatures are verified as of the receipt, also later.
    let now: Timestamp = seen.received.unwrap_or_else(|| shared.clock.now());
    let Some(worth) = worth(decision.outcome, seen) else { return };
    let source = seen.lane.map(|lane| &lane.source);
    let name = source.map_or_else(|| NO_SOURCE.into(), |source| std::sync::Arc::clone(&source.name));
    let sender = Sender::of(seen.sender);
    if !shared.capture.has_place(&name, (decision.outcome, worth), sender, now) {
        return;
    }
    let id = EventId::at(now, (shared.random)());
    let target = request.uri.path_and_query().map_or_else(String::new, |target| target.as_str().to_owned());
    let (body, kept, body_bytes) = body(request, seen, worth);
    let event = EventData {
        id,
        source: name,
        received_at_ms: now.unix_ms(),
        event_type: notes.event_type.clone(),
        delivery_id: notes.delivery_id.clone(),
        verified_by: notes.secret.clone(),
        method: request.method.as_str().to_owned(),
        target,
        params: source.map_or_else(Vec::new, |source| source.path.values(request.uri.path())),
        headers: kept_headers(&request.headers),
        copies: Vec::new(),
        problems: Vec::new(),
        unverified: None,
        host: framing::host(request).ok(),
        sender: Some(seen.sender),
        body,
    };
    let (outcome, why, status) = (decision.outcome, decision.why.clone(), decision.reply.status);
    let is_known_sender = seen.lane.is_some_and(|lane| lane.watch.knows(sender));
    shared.capture.keep(Captured { event, outcome, why, status, kept, body_bytes, is_known_sender }, worth);
    decision.event = Some(id);
    if outcome == RequestOutcome::Filtered {
        decision.reply.name(id);
    }
}

/// Returns the part of the body that is kept, and the body's length as far as it is known.
fn body(request: &RequestHeader, seen: &Seen<'_>, worth: Worth) -> (Bytes, BodyKept, u64) {
    match (&seen.body, &seen.begun) {
        // A copy, because the bytes may be a part of a larger buffer.
        (Some(body), _) if worth == Worth::Whole => (Bytes::copy_from_slice(body), BodyKept::Whole, body.len() as u64),
        (Some(body), _) => (Bytes::new(), BodyKept::Nothing, body.len() as u64),
        (None, Some(begun)) => (begun.bytes.clone(), BodyKept::Part, begun.came),
        (None, None) => {
            let declared = request.headers.get(http::header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
            (Bytes::new(), BodyKept::Nothing, declared.and_then(|length| length.parse().ok()).unwrap_or(0))
        }
    }
}

fn worth(outcome: RequestOutcome, seen: &Seen<'_>) -> Option<Worth> {
    match outcome {
        RequestOutcome::Filtered => Some(Worth::Whole),
        RequestOutcome::Refused(class) => match class {
            Class::NotFound | Class::RateLimited => Some(Worth::Head),
            Class::MethodNotAllowed
            | Class::IpDenied
            | Class::BadContentType
            | Class::TooLarge
            | Class::Malformed
            | Class::SchemaRejected
            | Class::MissingSignature
            | Class::BadSignature
            | Class::StaleTimestamp => {
                // A request without clear framing has no source, and is not captured.
                seen.lane.map(|_| if seen.body.is_some() { Worth::Whole } else { Worth::Head })
            }
            Class::HeadersTooLarge
            | Class::BodyTimeout
            | Class::BufferFull
            | Class::Overloaded
            | Class::Draining
            | Class::Internal
            | Class::UpstreamError
            | Class::UpstreamTimeout => None,
        },
        RequestOutcome::Accepted
        | RequestOutcome::Duplicate
        | RequestOutcome::Handshake
        | RequestOutcome::Quarantined => None,
    }
}
