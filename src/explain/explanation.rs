//! The explanation of one request: a value with names for its parts, as the API gives it.

use bytes::Bytes;
use http::HeaderMap;
use serde::Serialize;
use serde_json::Value;

use super::Question;
use super::outgoing::{self, BodyShown, Sent, shown_body};
use super::routes::RouteSays;
use crate::credential::{Credentials, REDACTED};
use crate::deliver::Destinations;
use crate::event::{EventData, EventId};
use crate::redact::Redaction;
use crate::refusal::PayloadProblem;
use crate::reply::Reply;
use crate::rules::SourceRules;

/// All decisions about one request.
#[derive(Debug, Serialize)]
pub struct Explanation {
    /// The outcome of the request.
    pub outcome: &'static str,
    /// Its source.
    pub source: Option<String>,
    /// The reason for the refusal, for operators.
    pub why: Option<String>,
    /// The moment of receipt.
    pub received_at: String,
    /// The method and address of the request.
    pub request: RequestTarget,
    /// The result of verifying its signature; `None` where the gates stopped before.
    pub verification: Option<Verification>,
    /// The event's type.
    pub event_type: Option<String>,
    /// The provider's own id of the delivery.
    pub delivery_id: Option<String>,
    /// The format that the body was read as; `None` when the body was not kept.
    pub body: Option<String>,
    /// The problems of the payload.
    pub problems: Vec<PayloadProblem>,
    /// The schema that the payload fails.
    pub schema: Option<String>,
    /// The limits that apply to the request, and the rest of each.
    pub limits: Vec<Limit>,
    /// The decision of each route of the source.
    pub routes: Vec<RouteSays>,
    /// Near misses: small differences that would have changed the outcome.
    pub near_misses: Vec<String>,
    /// The answer to the sender; `None` where it is not decided.
    pub answer: Option<AnswerSays>,
    /// The requests to services.
    pub outgoing: Vec<Sent>,
    /// The event as it would be stored; not shown.
    #[serde(skip)]
    pub event: Option<EventData>,
}

/// The method, the address and the sender of a request.
#[derive(Clone, Debug, Serialize)]
pub struct RequestTarget {
    /// The method.
    pub method: String,
    /// The host that was called, where it is known.
    pub host: Option<String>,
    /// Path and query.
    pub target: String,
    /// The address of the sender, where it is known.
    pub sender: Option<String>,
}

impl RequestTarget {
    fn of(question: &Question<'_>) -> Self {
        let head = &question.head;
        Self {
            method: head.method.to_owned(),
            host: (!head.host.is_empty()).then(|| head.host.to_owned()),
            target: head.target(),
            sender: question.has_sender.then(|| head.sender.to_string()),
        }
    }

    fn redact(&mut self, redaction: &Redaction) {
        let hide = |text: &mut Option<String>, is_hidden: bool| {
            if let Some(text) = text.as_mut().filter(|_| is_hidden) {
                REDACTED.clone_into(text);
            }
        };
        hide(&mut self.host, redaction.hides_host());
        hide(&mut self.sender, redaction.hides_sender());
        self.target = redaction.target(&self.target).into_owned();
    }
}

/// The result of verifying a signature.
#[derive(Clone, Debug, Serialize)]
pub struct Verification {
    /// `verified`, `not_configured`, the reason of a failure, or [`TAKEN`](super::TAKEN) for a signature taken as
    /// recorded.
    pub verdict: &'static str,
    /// The secret under which the signature is right.
    pub secret: Option<String>,
    /// The seconds from signing to receipt.
    pub signed_before_secs: Option<u64>,
    /// The URL that was verified, where the scheme signs one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// A limit on requests.
#[derive(Clone, Debug, Serialize)]
pub struct Limit {
    /// Its scope: each `sender`, the `total` of all requests, or the verified requests of a `source`.
    pub of: &'static str,
    /// Requests a second, in the long run.
    pub per_second: f64,
    /// The number of requests that may come at once.
    pub burst: u32,
    /// True if each sender's address has a limit of its own.
    pub per_ip: bool,
    /// The requests that may come at once now; `None` for an unknown sender, and outside the gateway that counts.
    pub left: Option<u32>,
}

/// The answer to the sender.
#[derive(Clone, Debug, Serialize)]
pub struct AnswerSays {
    /// The status.
    pub status: u16,
    /// Its headers without the length and the event's id.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: String,
    /// The origin of the answer.
    pub because: &'static str,
}

impl Explanation {
    /// Creates an explanation with the outcome only.
    pub(super) fn new(question: &Question<'_>, outcome: &'static str, lane: Option<&SourceRules>) -> Self {
        Self {
            outcome,
            source: lane.map(|lane| lane.source.name.to_string()),
            why: None,
            received_at: question.now.to_string(),
            request: RequestTarget::of(question),
            verification: None,
            event_type: None,
            delivery_id: None,
            body: None,
            problems: Vec::new(),
            schema: None,
            limits: Vec::new(),
            routes: Vec::new(),
            near_misses: Vec::new(),
            answer: None,
            outgoing: Vec::new(),
            event: None,
        }
    }

    /// Removes the levels of limits: only the gateway that counts knows them.
    pub fn without_levels(&mut self) {
        for limit in &mut self.limits {
            limit.left = None;
        }
    }

    /// Replaces the id of an event by the one under which it is stored, and renews the requests to services.
    pub fn rename(&mut self, id: EventId, destinations: &Destinations) {
        if let Some(event) = &mut self.event {
            event.id = id;
            if event.problems.is_empty() {
                self.outgoing = outgoing::all(event, destinations, event.received_at());
            }
        }
    }

    /// Returns the explanation as JSON without hidden values: the places that `redaction` names, the credentials of the
    /// request wherever they appear, and the values of variables.
    pub fn shown(mut self, redaction: &Redaction, credentials: &Credentials, received: &Bytes) -> Value {
        self.redact(redaction, received);
        let mut shown = serde_json::to_value(&self).unwrap_or_default();
        // `to_value` writes exponents anew.
        for (place, sent) in self.outgoing.iter().enumerate() {
            let at = shown.pointer_mut(&format!("/outgoing/{place}/body/json"));
            if let (Some(at), Some(BodyShown::Json(json))) = (at, &sent.body) {
                at.clone_from(json);
            }
        }
        credentials.hide_in_json(&mut shown);
        redaction.hide_values(&mut shown);
        shown
    }

    /// Hides the values that people may not see.
    fn redact(&mut self, redaction: &Redaction, received: &Bytes) {
        self.request.redact(redaction);
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
            sent.body = sent.body.take().map(|body| redacted(body, redaction, &as_it_came));
            if redaction.hides_anything() {
                // A script's error may quote its input.
                sent.error = sent.error.take().map(|error| match error.strip_prefix("transform.js") {
                    Some(_) => format!("transform.js: {REDACTED}"),
                    None => error,
                });
                sent.path = sent.path.take().map(|_path| REDACTED.to_owned());
                sent.order_key = sent.order_key.take().map(|_key| REDACTED.to_owned());
            }
        }
    }
}

/// Returns a body with its hidden places redacted. A body that differs from the received one is not shown when the
/// operator chose to hide anything, because a transform may have put hidden values elsewhere.
fn redacted(body: BodyShown, redaction: &Redaction, as_it_came: &BodyShown) -> BodyShown {
    let is_same = body == *as_it_came;
    let nothing = || BodyShown::Text(REDACTED.to_owned());
    match body {
        BodyShown::Json(mut json) if is_same => {
            redaction.apply(&mut json);
            BodyShown::Json(json)
        }
        _ if !is_same && redaction.hides_anything() => nothing(),
        BodyShown::Text(text) if redaction.touches_bodies() => {
            redaction.form(&text).map_or_else(nothing, BodyShown::Text)
        }
        BodyShown::Base64(_) if redaction.touches_bodies() => nothing(),
        body => body,
    }
}

impl AnswerSays {
    pub(super) fn of(reply: &Reply, because: &'static str) -> Self {
        Self {
            status: reply.status,
            headers: shown_headers(&reply.headers),
            body: String::from_utf8_lossy(&reply.body).into_owned(),
            because,
        }
    }
}

pub(super) fn shown_headers(headers: &HeaderMap) -> Vec<(String, String)> {
    let shown = headers
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()));
    let mut shown: Vec<_> = shown.collect();
    shown.sort();
    shown
}
