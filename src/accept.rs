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

use bytes::Bytes;
use serde_json::Value;

use crate::clock::Timestamp;
use crate::condition::View;
use crate::event::{Copy, DedupKey, Event, EventData, EventId, HeaderBytes};
use crate::inbound::Head;
use crate::limit::{Gatekeeper, SourceQuota};
use crate::payload::{Malformed, Payload, Pointer};
use crate::provider::{EventTemplate, Failure, HandshakeReply, Message, Row, Verified, Verifier};
use crate::refusal::{Class, PROBLEMS_MAX, PayloadProblem, Refusal};
use crate::route::Route;
use crate::schema::{OnInvalid, OnMissing, SchemaSet, SchemaVerdict};
use crate::source::{OnMalformed, Source, SourceTable};

/// The longest delivery id that is remembered; longer ones are cut, which the digest in the dedup key makes harmless.
const DELIVERY_ID_BYTES_MAX: usize = 256;

/// The rules in force: everything the gates need, compiled. Replaced as a whole on reload.
#[derive(Debug)]
pub struct Rules {
    /// One lane per source.
    pub lanes: Vec<Lane>,
    /// Finds a lane by host and path.
    pub table: SourceTable,
}

/// All that belongs to one source.
#[derive(Debug)]
pub struct Lane {
    /// The source.
    pub source: Source,
    /// Its signature scheme and secrets.
    pub verifier: Verifier,
    /// The provider; `None` for a source that spells its scheme out.
    pub provider: Option<Row>,
    /// Where the event type stands.
    pub event_type: Option<EventTemplate>,
    /// Where the provider's delivery id stands.
    pub delivery_id: Option<EventTemplate>,
    /// Schemas by event type.
    pub schemas: Option<SchemaSet>,
    /// Spent by verified requests.
    pub quota: Option<SourceQuota>,
    /// The routes that listen to this source.
    pub routes: Vec<Arc<Route>>,
    /// How much of the JSON these need.
    pub reading: Reading,
}

/// How much of a JSON body is read. Every way but `Nothing` checks all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reading {
    /// Nothing looks into it.
    Nothing,
    /// Event type and delivery id only: a scan, a third of the cost of a tree.
    Scalars(Vec<Pointer>),
    /// A tree, for schemas, conditions and handshakes.
    Tree,
}

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
    Handshake(HandshakeReply),
}

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
}

/// The first half: what can be said from the head alone.
pub fn admit<'r, 'h>(
    rules: &'r Rules,
    gate: &Gatekeeper,
    head: Head<'h>,
) -> Result<Admitted<'r, 'h>, (Option<&'r Source>, Refusal)> {
    let lane = rules.table.find(head.host, head.path).and_then(|index| rules.lanes.get(index));
    let Some(lane) = lane else {
        // Strangers who look for sources spend the same quota as those who found one.
        check_sender(gate, &head).map_err(|refusal| (None, refusal))?;
        return Err((None, Refusal::new(Class::NotFound, "no source at this host and path")));
    };
    let source = &lane.source;
    admit_to(source, &head).and_then(|()| check_sender(gate, &head)).map_err(|refusal| (Some(source), refusal))?;
    Ok(Admitted { lane, head })
}

fn admit_to(source: &Source, head: &Head<'_>) -> Result<(), Refusal> {
    if !source.methods.iter().any(|method| method == head.method) {
        return Err(Refusal::new(
            Class::MethodNotAllowed,
            format!("method is not one of {}", source.methods.join(", ")),
        ));
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
    if !source.content_types.is_empty() {
        let media_type = head.media_type().unwrap_or_default();
        if !source.content_types.contains(&media_type) {
            return Err(Refusal::new(Class::BadContentType, "content type is not on the source's list"));
        }
    }
    if !source.allows(head.sender) {
        return Err(Refusal::new(Class::IpDenied, "sender's address is not on the source's list"));
    }
    Ok(())
}

fn check_sender(gate: &Gatekeeper, head: &Head<'_>) -> Result<(), Refusal> {
    gate.check(head.sender).map_err(|wait| {
        let mut refusal = Refusal::new(Class::RateLimited, "limit by sender address or in total, before verification");
        refusal.retry_after_secs = Some(wait.secs());
        refusal
    })
}

/// The second half: the whole body is here. `random` makes the event's id unique.
pub fn accept(
    admitted: &Admitted<'_, '_>,
    body: Bytes,
    now: Timestamp,
    random: [u8; 10],
    notes: &mut Notes,
) -> Result<Accepted, Refusal> {
    let Admitted { lane, head } = admitted;
    let proof = verify(lane, head, &body, now, notes)?;
    if let Some(quota) = &lane.quota {
        spend(quota, lane, head)?;
    }
    let document = parse(lane, head, &body);
    let json = document.as_ref().ok().and_then(Option::as_ref);
    if let Some(reply) = json.and_then(|json| lane.provider.as_ref().and_then(|row| row.handshake_reply(json))) {
        return Ok(Accepted::Handshake(reply));
    }
    let find =
        |template: &Option<EventTemplate>| template.as_ref().and_then(|found| found.render(head.headers, json, &body));
    let (event_type, delivery_id) = (find(&lane.event_type), find(&lane.delivery_id));
    notes.event_type.clone_from(&event_type);
    let mut problems = Vec::new();
    if let Err(problem) = &document {
        problems = hygiene(lane, problem)?;
    } else if let Some(json) = json {
        problems = check_schema(lane, event_type.as_deref().unwrap_or_default(), json, notes)?;
    }
    let copies = route(lane, head, json, (event_type.as_deref(), delivery_id.as_deref()), notes);
    if copies.is_empty() && problems.is_empty() {
        return Ok(Accepted::Filtered { event_type });
    }
    let dedup = dedup_key(lane, &proof, delivery_id.as_deref(), &body);
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
        headers: kept_headers(head),
        copies,
        problems,
        body,
    };
    let event = Box::new(Event::new(proof, data, dedup));
    Ok(if quarantined { Accepted::Quarantined(event) } else { Accepted::Event(event) })
}

fn verify(lane: &Lane, head: &Head<'_>, body: &Bytes, now: Timestamp, notes: &mut Notes) -> Result<Verified, Refusal> {
    let url = lane.source.signed_url(&head.target());
    let message = Message { method: head.method, url: &url, headers: head.headers, body };
    match lane.verifier.verify(&message, now) {
        Ok(proof) => {
            notes.verdict = if proof.secret().is_some() { "verified" } else { "not_configured" };
            notes.secret = proof.secret().map(|name| name.as_str().to_owned());
            Ok(proof)
        }
        Err(failure) => {
            notes.verdict = failure.label();
            if !lane.source.enforce {
                return Ok(Verified::by_choice("enforce: false"));
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

fn spend(quota: &SourceQuota, lane: &Lane, head: &Head<'_>) -> Result<(), Refusal> {
    match quota.check(head.sender) {
        Err(wait) if lane.source.enforce => {
            let mut refusal = Refusal::new(Class::RateLimited, "the source's own quota");
            refusal.retry_after_secs = Some(wait.secs());
            Err(refusal)
        }
        _ => Ok(()),
    }
}

/// The body as JSON, when it says that it is JSON; any other type is carried as it is.
fn parse(lane: &Lane, head: &Head<'_>, body: &[u8]) -> Result<Option<Value>, PayloadProblem> {
    let media_type = head.media_type();
    let is_json = match media_type.as_deref() {
        Some(media_type) => media_type == "application/json" || media_type.ends_with("+json"),
        None => matches!(body.trim_ascii_start().first(), Some(b'{' | b'[')),
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

impl Lane {
    /// How much of the JSON this lane's parts need; to be set when they are all there.
    pub fn reading_needed(&self) -> Reading {
        let has_handshake = self.provider.as_ref().is_some_and(Row::has_handshake);
        if has_handshake || self.schemas.is_some() || self.routes.iter().any(|route| route.when.is_some()) {
            return Reading::Tree;
        }
        let templates = [&self.event_type, &self.delivery_id].into_iter().flatten();
        let pointers: Vec<_> = templates.flat_map(EventTemplate::pointers).map(Pointer::parse).collect();
        if pointers.is_empty() && self.source.on_malformed == OnMalformed::Allow {
            return Reading::Nothing;
        }
        // A pointer that the scan cannot follow is left to the tree.
        pointers.into_iter().collect::<Result<_, _>>().map_or(Reading::Tree, Reading::Scalars)
    }
}

/// What the source says about JSON that is none.
fn hygiene(lane: &Lane, problem: &PayloadProblem) -> Result<Vec<PayloadProblem>, Refusal> {
    match lane.source.on_malformed {
        OnMalformed::Allow => Ok(Vec::new()),
        OnMalformed::Quarantine | OnMalformed::Reject if !lane.source.enforce => Ok(Vec::new()),
        OnMalformed::Quarantine => Ok(vec![problem.clone()]),
        OnMalformed::Reject => {
            Err(Refusal::new(Class::Malformed, problem.message.clone()).with_problems(vec![problem.clone()]))
        }
    }
}

fn check_schema(
    lane: &Lane,
    event_type: &str,
    json: &Value,
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
                OnInvalid::Reject => {
                    Err(Refusal::new(Class::SchemaRejected, "payload does not match its schema")
                        .with_problems(problems))
                }
            }
        }
    }
}

/// One copy for every destination of every route that wants the event.
fn route(
    lane: &Lane,
    head: &Head<'_>,
    json: Option<&Value>,
    (event_type, delivery_id): (Option<&str>, Option<&str>),
    notes: &mut Notes,
) -> Vec<Copy> {
    let view = View {
        body: json,
        headers: head.headers,
        event_type: event_type.unwrap_or_default(),
        event_id: delivery_id.unwrap_or_default(),
        source: &lane.source.name,
        method: head.method,
        path: head.path,
        query: head.query.unwrap_or_default(),
    };
    let mut copies = Vec::new();
    for route in &lane.routes {
        match route.wants(event_type, &view) {
            Ok(true) => {
                notes.matched.push(Arc::clone(&route.name));
                let to =
                    route.to.iter().map(|name| Copy { route: Arc::clone(&route.name), destination: Arc::clone(name) });
                copies.extend(to);
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

/// What recognises a repetition: the source and the provider's id; where the id is not under the signature, the body too,
/// so that a forged id cannot swallow a real event.
fn dedup_key(lane: &Lane, proof: &Verified, delivery_id: Option<&str>, body: &[u8]) -> Option<DedupKey> {
    let id = delivery_id.filter(|_| !lane.source.dedup_window.is_zero())?;
    let id = id.as_bytes().get(..DELIVERY_ID_BYTES_MAX).unwrap_or(id.as_bytes());
    let fingerprint = if proof.signs_id() { [0; 16] } else { proof.fingerprint(body) };
    let key = crate::provider::digest(&[lane.source.name.as_bytes(), id, &fingerprint]);
    Some(DedupKey { key, window: lane.source.dedup_window })
}

/// The headers that travel with the event: as received, less hop-by-hop ones and any look-alike of ours.
fn kept_headers(head: &Head<'_>) -> Vec<(String, HeaderBytes)> {
    let connection: Vec<String> = head
        .headers
        .get_all(http::header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        .collect();
    let kept = head.headers.iter().filter(|(name, _)| {
        let name = name.as_str();
        !is_hop_by_hop(name) && !is_ours(name) && !connection.iter().any(|nominated| nominated == name)
    });
    kept.map(|(name, value)| (name.as_str().to_owned(), HeaderBytes(Bytes::copy_from_slice(value.as_bytes()))))
        .collect()
}

/// RFC 9110 §7.6.1, and what belongs to one hop by its meaning: `Host`, `Content-Length`, `Expect`.
fn is_hop_by_hop(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
            | "http2-settings"
            | "host"
            | "content-length"
            | "expect"
    )
}

/// Headers that only Hookgate may say; `_` counts as `-`, because many servers read it so.
fn is_ours(name: &str) -> bool {
    name.bytes().take(9).map(|byte| if byte == b'_' { b'-' } else { byte }).eq(*b"hookgate-")
}
