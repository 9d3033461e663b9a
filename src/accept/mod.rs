//! The product on one screen: the gates a request passes, in order.
//!
//! ```text
//! admit(head):  source → method → declared length → compression → content type → address → limits by sender and in total
//! accept(body): handshake ← signature → the source's own quota → payload (hygiene, type and id, schema) → routes → Event
//! ```
//! No gate does DNS, network I/O or waiting. [`Admitted`] is made by [`admit`] only, `Verified` by `provider` only,
//! [`Event`] from a `Verified` only: no request reaches the buffer without a verdict. The order is the contract's: a
//! gate that costs more stands behind one that costs less, and nothing that needs trust stands before the signature.
//!
//! Each gate has a file of its own. The policy for an event that fails a gate after the signature is in `policy`.

mod head;
mod notes;
mod payload;
mod policy;
mod quota;
mod record;
mod routes;
mod signature;
mod stored;

use bytes::Bytes;

use crate::clock::Timestamp;
use crate::event::{Event, EventData};
use crate::inbound::Head;
use crate::limit::Gatekeeper;
use crate::provider::{HandshakeReply, KeyRing, Message};
use crate::refusal::Refusal;
use crate::rules::{Rules, SourceRules};

pub use crate::provider::SignatureVerdict;
pub use notes::Notes;
pub use routes::{Named, RouteError, Routed};
pub use stored::{Again, judge_again, route_again};

pub(crate) use payload::read;
pub(crate) use record::record;
pub(crate) use stored::stored_head;

/// A request that may send its body.
#[derive(Debug)]
pub struct Admitted<'r, 'h> {
    lane: &'r SourceRules,
    head: Head<'h>,
}

impl<'r> Admitted<'r, '_> {
    /// Returns the rules of the source that the request is for.
    pub fn lane(&self) -> &'r SourceRules {
        self.lane
    }
}

/// The result of the gates for a request that is not refused.
#[derive(Debug)]
pub enum Accepted {
    /// An event to be stored, then answered as accepted.
    Event(Box<Event>),
    /// An event to be quarantined, then answered as accepted.
    Quarantined(Box<Event>),
    /// An event without problems that no route takes.
    Filtered,
    /// A handshake, which is answered here; nothing is stored.
    Handshake(Box<HandshakeReply>),
}

/// The circumstances under which a request is judged.
#[derive(Clone, Copy, Debug)]
pub struct Receipt<'a> {
    /// The moment of receipt.
    pub now: Timestamp,
    /// Random bytes that make the event's id unique.
    pub random: [u8; 10],
    /// The keys that were fetched so far.
    pub keys: &'a dyn KeyRing,
    /// True when the request counts against the source's quota; a request that is only explained does not.
    pub spends: bool,
}

/// Checks what the head alone shows, and spends the limits before verification. The error names the source, if known.
pub fn admit<'r, 'h>(
    rules: &'r Rules,
    gate: &Gatekeeper,
    head: Head<'h>,
) -> Result<Admitted<'r, 'h>, (Option<&'r SourceRules>, Refusal)> {
    let Some(lane) = rules.find(head.host, head.path) else {
        // Requests without a source spend the same limits as those with one.
        head::check_sender(gate, &head).map_err(|refusal| (None, refusal))?;
        return Err((None, head::no_source()));
    };
    let judged = head::check(lane, &head)
        .and_then(|()| head::check_address(lane, &head))
        .and_then(|()| head::check_sender(gate, &head));
    judged.map(|()| Admitted { lane, head }).map_err(|refusal| (Some(lane), refusal))
}

/// Checks the head of a recorded request. It spends no limit, and an unknown sender is not checked. A known `source`
/// replaces the look-up by host and path.
pub fn admit_recorded<'r, 'h>(
    rules: &'r Rules,
    head: Head<'h>,
    source: Option<&str>,
    has_sender: bool,
) -> Result<Admitted<'r, 'h>, (Option<&'r SourceRules>, Refusal)> {
    let lane = source.and_then(|name| rules.lane(name)).or_else(|| rules.find(head.host, head.path));
    let lane = lane.ok_or_else(|| (None, head::no_source()))?;
    let judged =
        head::check(lane, &head).and_then(|()| if has_sender { head::check_address(lane, &head) } else { Ok(()) });
    judged.map(|()| Admitted { lane, head }).map_err(|refusal| (Some(lane), refusal))
}

/// Checks an admitted request with its whole body, and makes the event. The notes are complete up to the gate that refused.
pub fn accept(admitted: &Admitted<'_, '_>, body: Bytes, receipt: Receipt<'_>) -> (Result<Accepted, Refusal>, Notes) {
    let mut notes = Notes::default();
    let result = pass(admitted, body, receipt, &mut notes);
    (result, notes)
}

fn pass(
    admitted: &Admitted<'_, '_>,
    body: Bytes,
    receipt: Receipt<'_>,
    notes: &mut Notes,
) -> Result<Accepted, Refusal> {
    let (lane, now) = (admitted.lane, receipt.now);
    let params = lane.source.path.values(admitted.head.path);
    let head = &Head { params: &params, ..admitted.head };
    let url = lane.source.signed_url(&head.target());
    let message = Message { method: head.method, url: &url, headers: head.headers, body: &body };

    if let Some(answer) = signature::unsigned_handshake(lane, &message, now) {
        return answer.map(Accepted::Handshake);
    }
    head::check_brings_events(lane, head)?;
    let proof = notes.signature(now, signature::verify(lane, &message, receipt))?;
    let over_quota = notes.kept(quota::spend(lane, head, receipt))?;
    let document = notes.document(read(lane, head, &body));
    if let Some(answer) = signature::signed_handshake(lane, &message, (&proof, document.json()), now) {
        return answer.map(Accepted::Handshake);
    }
    let named = notes.named(Named::read(lane, head.headers, &document, &body));
    let invalid = notes.payload(payload::check(lane, &named, &document, Some(now)))?;
    let routed = routes::route(lane, head, (&document, &body), &named);

    // Problems of the payload come first: they are often why a condition fails.
    let mut problems = [over_quota, invalid].concat();
    if problems.is_empty() {
        problems = routed.problems();
    }
    let (Named { event_type, delivery_id, .. }, copies) = (named, notes.routed(routed));
    if copies.is_empty() && problems.is_empty() {
        return Ok(Accepted::Filtered);
    }
    let is_kept = !problems.is_empty();
    let dedup = lane.dedup_key(&proof, delivery_id.as_deref(), &body);
    let data =
        EventData { event_type, delivery_id, copies, problems, ..record(lane, head, (now, receipt.random), body) };
    let event = Box::new(Event::new(proof, data, dedup).judged_under(|| lane.fingerprint()));
    Ok(if is_kept { Accepted::Quarantined(event) } else { Accepted::Event(event) })
}
