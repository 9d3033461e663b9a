//! Requests that were not stored are laid aside for a look (`capture`), where a look may help: what the gateway was too
//! busy for is not.

use bytes::Bytes;
use pingora::http::RequestHeader;

use super::{Decision, Seen, Shared};
use crate::accept::Notes;
use crate::capture::Captured;
use crate::clock::Timestamp;
use crate::event::{EventData, EventId, kept_headers};
use crate::refusal::{Class, RequestOutcome};

/// Lays a request aside, and gives it an id to be found by.
pub(super) fn lay(shared: &Shared, request: &RequestHeader, seen: &Seen<'_>, notes: &Notes, decision: &mut Decision) {
    let Some(lane) = seen.lane.filter(|_| is_worth_it(decision.outcome) && shared.capture.is_on()) else { return };
    let now: Timestamp = shared.clock.now();
    let id = EventId::at(now, (shared.random)());
    let target = request.uri.path_and_query().map_or_else(String::new, |target| target.as_str().to_owned());
    let event = EventData {
        id,
        source: std::sync::Arc::clone(&lane.source.name),
        received_at_ms: now.unix_ms(),
        event_type: notes.event_type.clone(),
        delivery_id: None,
        verified_by: notes.secret.clone(),
        method: request.method.as_str().to_owned(),
        target,
        params: lane.source.path.values(request.uri.path()),
        headers: kept_headers(&request.headers),
        copies: Vec::new(),
        problems: Vec::new(),
        unverified: None,
        host: super::framing::host(request).ok(),
        sender: Some(seen.sender),
        // A copy, because the bytes may be a part of something larger.
        body: Bytes::copy_from_slice(&seen.body),
    };
    let (outcome, why, status) = (decision.outcome, decision.why.clone(), decision.reply.status);
    shared.capture.keep(Captured { event, outcome, why, status });
    decision.event = Some(id);
    if outcome == RequestOutcome::Filtered {
        decision.reply.name(id);
    }
}

fn is_worth_it(outcome: RequestOutcome) -> bool {
    match outcome {
        RequestOutcome::Filtered => true,
        RequestOutcome::Refused(class) => match class {
            Class::MethodNotAllowed
            | Class::IpDenied
            | Class::BadContentType
            | Class::Malformed
            | Class::SchemaRejected
            | Class::MissingSignature
            | Class::BadSignature
            | Class::StaleTimestamp => true,
            Class::NotFound
            | Class::TooLarge
            | Class::HeadersTooLarge
            | Class::BodyTimeout
            | Class::RateLimited
            | Class::BufferFull
            | Class::Overloaded
            | Class::Draining
            | Class::Internal
            | Class::UpstreamError
            | Class::UpstreamTimeout => false,
        },
        RequestOutcome::Accepted
        | RequestOutcome::Duplicate
        | RequestOutcome::Handshake
        | RequestOutcome::Quarantined => false,
    }
}
