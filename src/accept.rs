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
use serde_json::Value;

use crate::clock::Timestamp;
use crate::event::{Copy, Event, EventData, EventId, KeyHash, OrderKey, kept_headers};
use crate::inbound::Head;
use crate::lane::{Lane, NeedsKeys, Reading, Rules};
use crate::limit::Gatekeeper;
use crate::payload::{Malformed, Payload};
use crate::provider::{EventTemplate, Failure, HandshakeReply, KeyLocation, KeyRing, Message, Shaken, Verified};
use crate::refusal::{Class, PROBLEMS_MAX, PayloadProblem, Refusal};
use crate::schema::{OnInvalid, OnMissing, SchemaVerdict};
use crate::source::{OnMalformed, Source};

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
    /// The schema that the payload failed.
    pub schema_failed: Option<String>,
    /// Routes that matched.
    pub matched: Vec<Arc<str>>,
    /// Routes whose condition failed with an error.
    pub route_errors: Vec<Arc<str>>,
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
    let mut encodings = head.headers.get_all(http::header::CONTENT_ENCODING).iter();
    if encodings.any(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Err(Refusal::new(
            Class::BadContentType,
            "the body is compressed, and signatures cover the plain bytes",
        ));
    }
    if brings_events && !source.content_types.is_empty() {
        let media_type = head.media_type().unwrap_or_default();
        if !source.content_types.contains(&media_type) {
            return Err(Refusal::new(Class::BadContentType, "content type is not on the source's list"));
        }
    }
    Ok(())
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
    let document = parse(lane, head, &body);
    let json = document.as_ref().ok().and_then(Option::as_ref);
    // What `enforce: false` lets in is not verified: to answer it could mean to sign for a stranger.
    let greets = if proof.secret().is_some() { lane.desk.shake(true, &message, json, now) } else { None };
    if let Some(shaken) = greets {
        return handshake(shaken);
    }
    let find =
        |template: &Option<EventTemplate>| template.as_ref().and_then(|found| found.render(head.headers, json, &body));
    let (event_type, delivery_id) = (find(&lane.event_type), find(&lane.delivery_id));
    notes.event_type.clone_from(&event_type);
    notes.delivery_id.clone_from(&delivery_id);
    if let Err(problem) = &document {
        problems.extend(hygiene(lane, problem, now, notes)?);
    } else if let Some(json) = json {
        problems.extend(check_schema(lane, event_type.as_deref().unwrap_or_default(), json, now, notes)?);
    }
    let copies = route(lane, head, json, (event_type.as_deref(), delivery_id.as_deref()), notes);
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

/// The body as JSON, when it says that it is JSON; any other type is carried as it is.
pub(crate) fn parse(lane: &Lane, head: &Head<'_>, body: &[u8]) -> Result<Option<Value>, PayloadProblem> {
    let media_type = head.media_type();
    let is_json = match media_type.as_deref() {
        Some(media_type) if media_type == "application/json" || media_type.ends_with("+json") => true,
        Some(media_type) if media_type != "text/plain" || !lane.json_as_text => false,
        Some(_) | None => matches!(body.trim_ascii_start().first(), Some(b'{' | b'[')),
    };
    if !is_json || body.is_empty() {
        return Ok(None);
    }
    let read = match &lane.reading {
        Reading::Nothing => return Ok(None),
        Reading::Scalars(pointers) => Payload::sketch(body, pointers),
        Reading::Tree => Payload::parse(body).map(Payload::into_value),
    };
    match read {
        Ok(json) => Ok(Some(json)),
        Err(malformed) => {
            let message = malformed.to_string();
            let pointer = if let Malformed::DuplicateKey { pointer, .. } = malformed { pointer } else { String::new() };
            Err(PayloadProblem { pointer, message })
        }
    }
}

/// What the source says about JSON that is none.
pub(crate) fn hygiene(
    lane: &Lane,
    problem: &PayloadProblem,
    now: Timestamp,
    notes: &mut Notes,
) -> Result<Vec<PayloadProblem>, Refusal> {
    match lane.source.on_malformed {
        OnMalformed::Allow => Ok(Vec::new()),
        OnMalformed::Quarantine | OnMalformed::Reject if !lane.source.enforce => Ok(Vec::new()),
        OnMalformed::Quarantine => Ok(vec![problem.clone()]),
        OnMalformed::Reject if is_braked(lane, now, notes) => Ok(vec![problem.clone()]),
        OnMalformed::Reject => {
            Err(Refusal::new(Class::Malformed, problem.message.clone()).with_problems(vec![problem.clone()]))
        }
    }
}

pub(crate) fn check_schema(
    lane: &Lane,
    event_type: &str,
    json: &Value,
    now: Timestamp,
    notes: &mut Notes,
) -> Result<Vec<PayloadProblem>, Refusal> {
    let Some(schemas) = &lane.schemas else { return Ok(Vec::new()) };
    match schemas.check(event_type, json) {
        SchemaVerdict::Valid { .. } => Ok(Vec::new()),
        SchemaVerdict::NoSchema => {
            let problem = PayloadProblem { pointer: String::new(), message: "no schema for this event type".into() };
            match schemas.on_missing() {
                OnMissing::Allow => Ok(Vec::new()),
                OnMissing::Quarantine | OnMissing::Reject if !lane.source.enforce => Ok(Vec::new()),
                OnMissing::Quarantine => Ok(vec![problem]),
                OnMissing::Reject if is_braked(lane, now, notes) => Ok(vec![problem]),
                OnMissing::Reject => {
                    Err(Refusal::new(Class::SchemaRejected, "no schema for this event type")
                        .with_problems(vec![problem]))
                }
            }
        }
        SchemaVerdict::Invalid { schema, problems, .. } => {
            notes.schema_failed = Some(schema.to_string());
            let problems: Vec<PayloadProblem> = problems
                .into_iter()
                .take(PROBLEMS_MAX)
                .map(|error| PayloadProblem { pointer: error.instance_path, message: error.message })
                .collect();
            match schemas.on_invalid() {
                OnInvalid::Allow => Ok(Vec::new()),
                OnInvalid::Quarantine | OnInvalid::Reject if !lane.source.enforce => Ok(Vec::new()),
                OnInvalid::Quarantine => Ok(problems),
                OnInvalid::Reject if is_braked(lane, now, notes) => Ok(problems),
                OnInvalid::Reject => {
                    Err(Refusal::new(Class::SchemaRejected, "payload does not match its schema")
                        .with_problems(problems))
                }
            }
        }
    }
}

/// One copy for every destination of every route that wants the event.
pub(crate) fn route(
    lane: &Lane,
    head: &Head<'_>,
    json: Option<&Value>,
    (event_type, delivery_id): (Option<&str>, Option<&str>),
    notes: &mut Notes,
) -> Vec<Copy> {
    let view = head.view(&lane.source.name, json, (event_type, delivery_id));
    let mut copies = Vec::new();
    for route in &lane.routes {
        match route.wants(event_type, &view) {
            Ok(true) => {
                notes.matched.push(Arc::clone(&route.name));
                let order = route.order_by.as_ref().and_then(|by| by.key(&view)).map(|key| OrderKey::of(&key));
                copies.extend(route.to.iter().map(|to| Copy {
                    route: Arc::clone(&route.name),
                    destination: Arc::clone(&to.destination),
                    balance: to.balance_by.as_ref().and_then(|by| by.key(&view)).map(|key| KeyHash::of(&key)),
                    order: order.clone(),
                    shaped: route.shapes,
                }));
            }
            Ok(false) => {}
            Err(error) => {
                tracing::debug!(route = %route.name, %error, "a condition failed; no match");
                notes.route_errors.push(Arc::clone(&route.name));
            }
        }
    }
    copies
}
