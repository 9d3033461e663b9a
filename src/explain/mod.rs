//! Why: all that is decided about one request, in the words of the operator.
//!
//! [`explain`] sends the request through the very gates of `accept`, under the rules it is given, and writes down what
//! they said; where they stopped early, it looks on as if they had not, so that a refused event also shows which routes
//! would have had it. Nothing is stored, sent or spent, and nothing is fetched.

mod near;
mod outgoing;
mod routes;

use bytes::Bytes;
use http::HeaderMap;
use serde::Serialize;
use serde_json::Value;

use crate::accept::{self, Accepted, Admitted, Notes, World};
use crate::again;
use crate::clock::Timestamp;
use crate::deliver::Destinations;
use crate::event::{EventData, EventId};
use crate::inbound::Head;
use crate::lane::{Lane, Rules};
use crate::limit::{Gatekeeper, Rate};
use crate::provider::KeyRing;
use crate::redact::{REDACTED, Redaction};
use crate::refusal::{PayloadProblem, Refusal, RequestOutcome};
use crate::reply::Reply;

use outgoing::shown_body;
pub use outgoing::{BodyShown, Sent};
pub use routes::{RouteSays, Verdict};

/// What is to be explained: a request, as it came or as it would come.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The head; of a stored event, host and sender are not known.
    pub head: Head<'a>,
    /// The body.
    pub body: &'a Bytes,
    /// The source that took it in, where it is known: then host and limits are not judged again.
    pub source: Option<&'a str>,
    /// Whether the head says who sent it; a stored event does not.
    pub has_sender: bool,
    /// The moment of receipt.
    pub now: Timestamp,
    /// Makes the event's id unique.
    pub random: [u8; 10],
    /// The keys of providers that were fetched.
    pub keys: &'a dyn KeyRing,
}

/// All that was decided.
#[derive(Debug, Serialize)]
pub struct Explanation {
    /// How the request ends.
    pub outcome: &'static str,
    /// Its source.
    pub source: Option<String>,
    /// Why it was turned away, for operators.
    pub why: Option<String>,
    /// When it was received.
    pub received_at: String,
    /// What the gates made of its signature; nothing where they stopped before.
    pub verification: Option<Verification>,
    /// The event's type.
    pub event_type: Option<String>,
    /// The provider's own id of the delivery.
    pub delivery_id: Option<String>,
    /// What is wrong with the payload.
    pub problems: Vec<PayloadProblem>,
    /// The schema that the payload fails.
    pub schema: Option<String>,
    /// The source's own quota.
    pub limit: Option<Limit>,
    /// What each route of the source says.
    pub routes: Vec<RouteSays>,
    /// What nearly went otherwise.
    pub near_misses: Vec<String>,
    /// What the sender is answered.
    pub answer: AnswerSays,
    /// What services are sent.
    pub outgoing: Vec<Sent>,
    /// The event as it would be stored; not shown.
    #[serde(skip)]
    pub event: Option<EventData>,
}

/// What the gates made of a signature.
#[derive(Clone, Debug, Serialize)]
pub struct Verification {
    /// `verified`, `not_configured`, or why it failed.
    pub verdict: &'static str,
    /// The secret under which it is right.
    pub secret: Option<String>,
    /// How long after it was signed the request came, seconds.
    pub signed_before_secs: Option<u64>,
}

/// The source's own quota, spent by verified requests.
#[derive(Clone, Debug, Serialize)]
pub struct Limit {
    /// Requests a second, in the long run.
    pub per_second: f64,
    /// How many may come at once.
    pub burst: u32,
    /// Whether each sender's address has a quota of its own.
    pub per_ip: bool,
    /// How many may come at once now; unknown per address.
    pub left: Option<u32>,
}

/// The answer to the sender.
#[derive(Clone, Debug, Serialize)]
pub struct AnswerSays {
    /// The status.
    pub status: u16,
    /// Its headers, but the length and the event's id.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: String,
    /// Where it comes from.
    pub because: &'static str,
}

impl Explanation {
    /// The event is one that has an id already.
    pub fn rename(&mut self, id: EventId, destinations: &Destinations) {
        if let Some(event) = &mut self.event {
            event.id = id;
            if event.problems.is_empty() {
                self.outgoing = outgoing::all(event, destinations, event.received_at());
            }
        }
    }

    /// Takes out what people do not get to see. A body that was made of the one that came may say it elsewhere, and is not
    /// shown then.
    pub fn redact(&mut self, redaction: &Redaction, received: &Bytes) {
        for says in &mut self.routes {
            says.redact(redaction);
        }
        let as_it_came = shown_body(received);
        for sent in &mut self.outgoing {
            for (name, value) in &mut sent.headers {
                if redaction.hides_header(name) {
                    REDACTED.clone_into(value);
                }
            }
            if redaction.hides_anything() {
                // A script may say what it was given.
                sent.error = sent.error.take().map(|error| match error.strip_prefix("transform.js") {
                    Some(_) => format!("transform.js: {REDACTED}"),
                    None => error,
                });
                sent.path = sent.path.take().map(|_path| REDACTED.to_owned());
                sent.body = sent.body.take().map(|body| match body {
                    BodyShown::Json(mut json) if BodyShown::Json(json.clone()) == as_it_came => {
                        redaction.apply(&mut json);
                        BodyShown::Json(json)
                    }
                    body if body == as_it_came && !redaction.touches_bodies() => body,
                    _ => BodyShown::Text(REDACTED.to_owned()),
                });
                sent.order_key = sent.order_key.take().map(|_key| REDACTED.to_owned());
            }
        }
    }
}

/// Explains one request under these rules.
pub fn explain(rules: &Rules, destinations: &Destinations, question: &Question<'_>) -> Explanation {
    let known = question.source.and_then(|name| rules.lanes.iter().find(|lane| *lane.source.name == *name));
    let admitted = match known {
        Some(lane) if question.has_sender => {
            accept::admit_aside(lane, question.head).map_err(|refusal| (Some(lane), refusal))
        }
        Some(lane) => Ok(accept::admit_again(lane, question.head)),
        None => accept::admit(rules, &no_limits(), question.head),
    };
    match admitted {
        Ok(admitted) => explain_admitted(rules, destinations, question, &admitted),
        Err((lane, refusal)) => {
            let mut told = blank(question, &refusal, lane);
            told.near_misses = near::to_a_source(rules, &question.head);
            if let Some(lane) = lane {
                look_on(&mut told, lane, destinations, question, &Notes::default());
            }
            told
        }
    }
}

/// Explains an event whose signature was judged elsewhere, or is not to be.
pub fn explain_verified(lane: &Lane, destinations: &Destinations, event: &EventData) -> Explanation {
    let headers = event.header_map();
    let head = again::stored_head(event, &headers);
    let looked = routes::look(lane, &head, &event.body);
    let mut event = event.clone();
    (event.event_type, event.delivery_id) = (looked.event_type, looked.delivery_id);
    let judged = again::judge_again(lane, &event);
    (event.problems, event.copies) = (judged.problems, judged.copies);
    let now = event.received_at();
    let question = Question {
        head,
        body: &event.body.clone(),
        source: None,
        has_sender: false,
        now,
        random: [0; 10],
        keys: &crate::provider::NoKeys,
    };
    let outcome = match (event.problems.is_empty(), event.copies.is_empty()) {
        (false, _) => RequestOutcome::Quarantined,
        (true, true) => RequestOutcome::Filtered,
        (true, false) => RequestOutcome::Accepted,
    };
    let is_sent = outcome != RequestOutcome::Filtered;
    let mut told = match &judged.refusal {
        Some(refusal) => blank(&question, refusal, Some(lane)),
        None => accepted_as(outcome, &question, lane, is_sent.then_some(event)),
    };
    look_on(&mut told, lane, destinations, &question, &Notes::default());
    told
}

fn explain_admitted(
    rules: &Rules,
    destinations: &Destinations,
    question: &Question<'_>,
    admitted: &Admitted<'_, '_>,
) -> Explanation {
    let (lane, mut notes) = (admitted.lane(), Notes::default());
    let world = World { now: question.now, random: question.random, keys: question.keys, spends: false };
    let accepted = accept::accept(admitted, question.body.clone(), world, &mut notes);
    let mut told = match accepted {
        Ok(Accepted::Event(event)) => accepted_as(RequestOutcome::Accepted, question, lane, Some(event.into_data())),
        Ok(Accepted::Quarantined(event)) => {
            accepted_as(RequestOutcome::Quarantined, question, lane, Some(event.into_data()))
        }
        Ok(Accepted::Filtered { .. }) => accepted_as(RequestOutcome::Filtered, question, lane, None),
        Ok(Accepted::Handshake(reply)) => {
            let answer = answer_of(&Reply::handshake(*reply), "the provider's handshake");
            Explanation { answer, ..accepted_as(RequestOutcome::Handshake, question, lane, None) }
        }
        Err(refusal) => blank(question, &refusal, Some(lane)),
    };
    told.verification = (!notes.verdict.is_empty()).then(|| Verification {
        verdict: notes.verdict,
        secret: notes.secret.clone(),
        signed_before_secs: notes.lag.map(|lag| lag.as_secs()),
    });
    if told.verification.as_ref().is_some_and(|says| says.secret.is_none() && says.verdict != "not_configured") {
        told.near_misses.extend(near::to_a_secret(rules, lane, question));
    }
    if told.outcome != RequestOutcome::Handshake.label() {
        look_on(&mut told, lane, destinations, question, &notes);
    }
    told
}

/// What the gates after the signature say, whether or not the request came so far.
fn look_on(told: &mut Explanation, lane: &Lane, destinations: &Destinations, question: &Question<'_>, notes: &Notes) {
    let looked = routes::look(lane, &question.head, question.body);
    told.near_misses.extend(routes::near_misses(&looked.says));
    told.event_type = looked.event_type;
    told.delivery_id = looked.delivery_id;
    told.routes = looked.says;
    told.schema.clone_from(&notes.schema_failed);
    told.limit = lane.quota.as_ref().map(|quota| {
        let level = quota.level();
        let per_second = 1.0 / level.rate.interval.as_secs_f64().max(1e-9);
        Limit { per_second, burst: level.rate.burst.get(), per_ip: level.left.is_none(), left: level.left }
    });
    if let Some(event) = &told.event {
        told.problems.clone_from(&event.problems);
        // What is kept back is not sent.
        if event.problems.is_empty() {
            told.outgoing = outgoing::all(event, destinations, question.now);
        }
    }
}

fn accepted_as(outcome: RequestOutcome, question: &Question<'_>, lane: &Lane, event: Option<EventData>) -> Explanation {
    let reply = Reply::accepted(outcome, &lane.source, None);
    let because = match lane.source.answers.get(outcome) {
        Some(_) => "the provider's row, or `answers:` of the source",
        None => "the default",
    };
    let empty = Refusal::new(crate::refusal::Class::Internal, "");
    Explanation {
        outcome: outcome.label(),
        why: None,
        answer: answer_of(&reply, because),
        event,
        ..blank(question, &empty, Some(lane))
    }
}

fn blank(question: &Question<'_>, refusal: &Refusal, lane: Option<&Lane>) -> Explanation {
    let source = lane.map(|lane| &lane.source);
    let outcome = RequestOutcome::Refused(refusal.class);
    let is_own = source.is_some_and(|source| source.answers.get(outcome).is_some());
    let because = if is_own { "the provider's row, or `answers:` of the source" } else { "the default of its class" };
    Explanation {
        outcome: outcome.label(),
        source: source.map(|source| source.name.to_string()),
        why: Some(refusal.why.to_string()),
        received_at: question.now.to_string(),
        verification: None,
        event_type: None,
        delivery_id: None,
        problems: refusal.problems.clone(),
        schema: None,
        limit: None,
        routes: Vec::new(),
        near_misses: Vec::new(),
        answer: answer_of(&Reply::refusal(refusal, source), because),
        outgoing: Vec::new(),
        event: None,
    }
}

fn answer_of(reply: &Reply, because: &'static str) -> AnswerSays {
    AnswerSays {
        status: reply.status,
        headers: shown_headers(&reply.headers),
        body: String::from_utf8_lossy(&reply.body).into_owned(),
        because,
    }
}

fn shown_headers(headers: &HeaderMap) -> Vec<(String, String)> {
    let shown = headers
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()));
    let mut shown: Vec<_> = shown.collect();
    shown.sort();
    shown
}

/// One request among none.
fn no_limits() -> Gatekeeper {
    let plenty = Rate { interval: std::time::Duration::from_nanos(1), burst: std::num::NonZeroU32::MAX };
    Gatekeeper::new(plenty, plenty)
}

/// A short form of a JSON value, for a line.
pub(crate) fn short(value: &Value) -> String {
    const CHARS_MAX: usize = 120;
    let text = value.to_string();
    match text.char_indices().nth(CHARS_MAX) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text,
    }
}
