//! The product in one file: the gates a request passes, in order.
//!
//! ```text
//! admit(head):  source → method → declared length → content type → address → limits by sender and in total
//! accept(body): handshake ← verify → the source's own quota → JSON hygiene, parse → type and id → schema → routes → Event
//! ```
//! Nothing here does DNS, talks to anybody or waits; the only thing that leaves is a value. [`Admitted`] is made by
//! [`admit`] only, `Verified` by `provider` only, [`Event`] from a `Verified` only: what was not verified cannot reach the
//! buffer. The order is the contract's; a gate that costs more stands behind one that costs less, and nothing that needs
//! trust stands before the signature.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::body::Document;
use crate::checks;
use crate::clock::Timestamp;
use crate::event::{Event, EventData, EventId, kept_headers};
use crate::inbound::Head;
use crate::lane::{Lane, NeedsKeys, Rules};
use crate::limit::Gatekeeper;
use crate::payload::Payload;
use crate::provider::{Failure, HandshakeReply, KeyLocation, KeyRing, Message, Shaken, Verified};
use crate::refusal::{Class, PayloadProblem, Refusal};
use crate::routing::{Named, RouteError, route};
use crate::source::Source;

/// A request that may send its body.
#[derive(Debug)]
pub struct Admitted<'r, 'h> {
    lane: &'r Lane,
    head: Head<'h>,
}

impl<'r> Admitted<'r, '_> {
    /// The lane it is in.
    pub fn lane(&self) -> &'r Lane {
        self.lane
    }
}

/// What the gates made of a request.
#[derive(Debug)]
pub enum Accepted {
    /// To be stored, then answered as accepted.
    Event(Box<Event>),
    /// To be stored and kept back, then answered as accepted.
    Quarantined(Box<Event>),
    /// Verified, and no route wants it.
    Filtered {
        /// The event's type, for the log.
        event_type: Option<String>,
    },
    /// Answered here; nothing is stored.
    Handshake(Box<HandshakeReply>),
}

/// The longest body that is parsed before it is verified.
const GREETING_BYTES_MAX: usize = 16 * 1024;

/// What happened on the way that is worth counting and did not end the request.
#[derive(Debug, Default)]
pub struct Notes {
    /// The verdict's label for `verifications_total`.
    pub verdict: &'static str,
    /// The name of the secret that matched.
    pub secret: Option<String>,
    /// The label of the format in which the body was read, for the log; `None` before it is read.
    pub body_read: Option<&'static str>,
    /// The schema that the payload failed, or what stands for all where it cannot be read.
    pub schema_failed: Option<String>,
    /// Routes that matched.
    pub matched: Vec<Arc<str>>,
    /// Routes that failed with an error: their condition, a key, or the event's type that they need.
    pub route_errors: Vec<RouteError>,
    /// The event's type.
    pub event_type: Option<String>,
    /// The provider's own id of the delivery.
    pub delivery_id: Option<String>,
    /// How long after it was signed the request came, where the scheme says.
    pub lag: Option<Duration>,
    /// Where there may be keys under which the same request verifies.
    pub needs_keys: NeedsKeys,
    /// In `mode: sync`, who answered the sender.
    pub answered_by: Option<&'static str>,
    /// Why the event was kept instead of refused: the provider is about to give the source up.
    pub braked: bool,
}

/// The first half for a request that is only looked at: it counts against no limit, and what is not known of it is not
/// judged. A `source` that is given stands for host and path.
pub fn admit_aside<'r, 'h>(
    rules: &'r Rules,
    head: Head<'h>,
    source: Option<&str>,
    has_sender: bool,
) -> Result<Admitted<'r, 'h>, (Option<&'r Lane>, Refusal)> {
    let lane = source.and_then(|name| rules.lane(name)).or_else(|| find(rules, &head));
    let lane = lane.ok_or_else(|| (None, no_source()))?;
    let judged = admit_to(lane, &head).and_then(|()| if has_sender { check_address(lane, &head) } else { Ok(()) });
    judged.map(|()| Admitted { lane, head }).map_err(|refusal| (Some(lane), refusal))
}

/// The first half: what can be said from the head alone.
pub fn admit<'r, 'h>(
    rules: &'r Rules,
    gate: &Gatekeeper,
    head: Head<'h>,
) -> Result<Admitted<'r, 'h>, (Option<&'r Lane>, Refusal)> {
    let Some(lane) = find(rules, &head) else {
        // Strangers who look for sources spend the same quota as those who found one.
        check_sender(gate, &head).map_err(|refusal| (None, refusal))?;
        return Err((None, no_source()));
    };
    let judged = admit_to(lane, &head).and_then(|()| check_address(lane, &head));
    judged.and_then(|()| check_sender(gate, &head)).map_err(|refusal| (Some(lane), refusal))?;
    Ok(Admitted { lane, head })
}

fn find<'r>(rules: &'r Rules, head: &Head<'_>) -> Option<&'r Lane> {
    rules.table.find(head.host, head.path).and_then(|index| rules.lanes.get(index))
}

fn no_source() -> Refusal {
    Refusal::new(Class::NotFound, "no source at this host and path")
}

fn admit_to(lane: &Lane, head: &Head<'_>) -> Result<(), Refusal> {
    let source = &lane.source;
    let brings_events = source.takes(head.method);
    if !brings_events && !lane.desk.takes(head.method) {
        return Err(wrong_method(source));
    }
    if head.content_length.is_some_and(|length| length > source.body_bytes_max) {
        let why = format!("declared body is larger than {} bytes", source.body_bytes_max);
        return Err(Refusal::new(Class::TooLarge, why));
    }
    if let Some(coding) = head.compression() {
        return Err(compressed(&coding));
    }
    if brings_events && !source.content_types.is_empty() {
        let media_type = head.media_type().unwrap_or_default();
        if !source.content_types.contains(&media_type) {
            return Err(Refusal::new(Class::BadContentType, "content type is not on the source's list"));
        }
    }
    Ok(())
}

fn compressed(coding: &str) -> Refusal {
    let why =
        format!("the body is compressed ({coding}); bodies are read and forwarded as they come, so send it plain");
    let refusal = Refusal::new(Class::BadContentType, why.clone()).telling("Content coding not accepted", why);
    refusal.with_header("accept-encoding", "identity")
}

fn check_address(lane: &Lane, head: &Head<'_>) -> Result<(), Refusal> {
    if lane.source.allows(head.sender) {
        return Ok(());
    }
    Err(Refusal::new(Class::IpDenied, "sender's address is not on the source's list"))
}

fn wrong_method(source: &Source) -> Refusal {
    Refusal::new(Class::MethodNotAllowed, format!("method is not one of {}", source.methods.join(", ")))
}

fn check_sender(gate: &Gatekeeper, head: &Head<'_>) -> Result<(), Refusal> {
    gate.check(head.sender).map_err(|wait| {
        let mut refusal = Refusal::new(Class::RateLimited, "limit by sender address or in total, before verification");
        refusal.retry_after_secs = Some(wait.secs());
        refusal
    })
}

/// What the second half is given beside the request.
#[derive(Clone, Copy, Debug)]
pub struct World<'a> {
    /// The moment of receipt.
    pub now: Timestamp,
    /// Makes the event's id unique.
    pub random: [u8; 10],
    /// The keys that were fetched so far.
    pub keys: &'a dyn KeyRing,
    /// Whether it counts against the source's quota; what is only explained does not.
    pub spends: bool,
}

/// The second half: the whole body is here.
pub fn accept(
    admitted: &Admitted<'_, '_>,
    body: Bytes,
    world: World<'_>,
    notes: &mut Notes,
) -> Result<Accepted, Refusal> {
    let Admitted { lane, head } = admitted;
    let params = lane.source.path.values(head.path);
    let head = &Head { params: &params, ..*head };
    let World { now, random, keys, spends } = world;
    let url = lane.source.signed_url(&head.target());
    let message = Message { method: head.method, url: &url, headers: head.headers, body: &body };
    // Before the signature nothing is parsed but a short body that may be a handshake of this provider.
    let may_greet = body.len() <= GREETING_BYTES_MAX && lane.desk.needs_json(false, head.method, now);
    let early = may_greet.then(|| Payload::parse(&body).ok()).flatten();
    if let Some(shaken) = lane.desk.shake(false, &message, early.map(Payload::into_value).as_ref(), now) {
        return handshake(shaken);
    }
    if !lane.source.takes(head.method) {
        return Err(wrong_method(&lane.source));
    }
    let proof = verify(lane, &message, keys, now, notes)?;
    let mut problems = if spends { spend(lane, head, now, notes)? } else { Vec::new() };
    let document = read(lane, head, &body);
    notes.body_read = Some(document.label());
    // What `enforce: false` lets in is not verified: to answer it could mean to sign for a stranger.
    let greets = if proof.secret().is_some() { lane.desk.shake(true, &message, document.json(), now) } else { None };
    if let Some(shaken) = greets {
        return handshake(shaken);
    }
    let named = Named::read(lane, head.headers, &document, &body);
    notes.event_type.clone_from(&named.event_type);
    notes.delivery_id.clone_from(&named.delivery_id);
    problems.extend(check_body(lane, named.event_type.as_deref().unwrap_or_default(), &document, now, notes)?);
    let routed = route(lane, head, (&document, &body), &named);
    // What is wrong with the payload comes first: a condition often fails because of it.
    if problems.is_empty() {
        problems = routed.problems();
    }
    (notes.matched, notes.route_errors) = (routed.matched, routed.errors);
    let (Named { event_type, delivery_id, .. }, copies) = (named, routed.copies);
    if copies.is_empty() && problems.is_empty() {
        return Ok(Accepted::Filtered { event_type });
    }
    let dedup = lane.dedup_key(&proof, delivery_id.as_deref(), &body);
    let quarantined = !problems.is_empty();
    let data = EventData {
        id: EventId::at(now, random),
        source: Arc::clone(&lane.source.name),
        received_at_ms: now.unix_ms(),
        event_type,
        delivery_id,
        verified_by: None,
        method: head.method.to_owned(),
        target: head.target(),
        headers: kept_headers(head.headers),
        copies,
        problems,
        unverified: None,
        host: Some(head.host.to_owned()),
        sender: Some(head.sender),
        params,
        body,
    };
    let event = Box::new(Event::new(proof, data, dedup).judged_by(|| lane.judged_by()));
    Ok(if quarantined { Accepted::Quarantined(event) } else { Accepted::Event(event) })
}

fn handshake(shaken: Shaken) -> Result<Accepted, Refusal> {
    match shaken {
        Shaken::Reply(reply) => Ok(Accepted::Handshake(reply)),
        Shaken::Refused(status) => {
            let refusal = Refusal::new(Class::BadSignature, "a handshake with another token than the configured one");
            Err(Refusal { status: Some(status), ..refusal })
        }
    }
}

fn verify(
    lane: &Lane,
    message: &Message<'_>,
    keys: &dyn KeyRing,
    now: Timestamp,
    notes: &mut Notes,
) -> Result<Verified, Refusal> {
    let verdict = lane.verifier.verify_with(message, keys, now);
    match verdict.and_then(|proof| lane.desk.refuse_greetings(message, proof)) {
        Ok(proof) => {
            notes.verdict = if proof.secret().is_some() { "verified" } else { "not_configured" };
            notes.secret = proof.secret().map(|name| name.as_str().to_owned());
            notes.lag = proof.signed_at().map(|at| Duration::from_millis(now.unix_ms().saturating_sub(at.unix_ms())));
            Ok(proof)
        }
        Err(failure) => {
            notes.verdict = failure.label();
            match &failure {
                // Whoever asked has the keys fetched and asks again.
                Failure::KeyNotHere(at) => {
                    notes.needs_keys = NeedsKeys { places: vec![KeyLocation::clone(at)], are_missing: true };
                }
                Failure::UnknownKey => {
                    notes.needs_keys = NeedsKeys { places: lane.verifier.prefetch(), are_missing: false };
                }
                _ => {}
            }
            if !lane.source.enforce {
                return Ok(Verified::observed(&failure));
            }
            let class = match failure {
                Failure::Missing(_) => Class::MissingSignature,
                Failure::TooOld { .. } | Failure::InFuture { .. } => Class::StaleTimestamp,
                Failure::MalformedHeader(_)
                | Failure::WrongSecretOrBody
                | Failure::UnknownKey
                | Failure::KeyNotHere(_) => Class::BadSignature,
            };
            Err(Refusal::new(class, failure.to_string()))
        }
    }
}

/// One step before the provider gives the source up, refusals of our own making are kept instead.
fn is_braked(lane: &Lane, now: Timestamp, notes: &mut Notes) -> bool {
    let brakes = lane.budget.brakes(now);
    notes.braked |= brakes;
    brakes
}

fn spend(lane: &Lane, head: &Head<'_>, now: Timestamp, notes: &mut Notes) -> Result<Vec<PayloadProblem>, Refusal> {
    match lane.quota.as_ref().map(|quota| quota.check(head.sender)) {
        Some(Err(_)) if lane.source.enforce && is_braked(lane, now, notes) => {
            let message = "over the source's quota; kept because the provider is about to give the source up";
            Ok(vec![PayloadProblem { pointer: String::new(), message: message.into() }])
        }
        Some(Err(wait)) if lane.source.enforce => {
            let mut refusal = Refusal::new(Class::RateLimited, "the source's own quota");
            refusal.retry_after_secs = Some(wait.secs());
            Err(refusal)
        }
        _ => Ok(Vec::new()),
    }
}

/// The body as its source reads it.
pub(crate) fn read<'b>(lane: &Lane, head: &Head<'_>, body: &'b [u8]) -> Document<'b> {
    lane.body.read(head.media_type(), body, &lane.reading)
}

/// Checks a body for malformed content and against the schemas of its source.
///
/// Returns the problems for which the event is quarantined, none where it passes; the error is the refusal. Records the
/// failed schema and the use of the failure brake in `notes`.
pub(crate) fn check_body(
    lane: &Lane,
    event_type: &str,
    document: &Document<'_>,
    now: Timestamp,
    notes: &mut Notes,
) -> Result<Vec<PayloadProblem>, Refusal> {
    let mut braked = false;
    let checked = checks::check(lane, event_type, document, || {
        braked = lane.budget.brakes(now);
        braked
    });
    notes.braked |= braked;
    notes.schema_failed = checked.schema.or(notes.schema_failed.take());
    checked.problems
}
