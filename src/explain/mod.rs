//! Explanation of one request: all decisions about it, in the words of the operator.
//!
//! [`explain`] runs the gates of `accept` on the request, under the rules it is given, and records their decisions.
//! Where a gate stops the request early, the later gates are evaluated all the same, so that a refused event also
//! shows the routes that would have matched. [`explain_recorded`] explains a stored or captured request. Unknown parts
//! of a request, such as a body that was not kept, are not judged, and the explanation says so. Nothing is stored,
//! sent, spent or fetched.

mod explanation;
mod near_misses;
mod outgoing;
mod recorded;
mod routes;

use bytes::Bytes;
use serde_json::Value;

use crate::accept::{self, Accepted, Admitted, Notes, Receipt, SignatureVerdict, record};
use crate::clock::Timestamp;
use crate::deliver::Destinations;
use crate::event::EventData;
use crate::inbound::Head;
use crate::limit::Level;
use crate::provider::KeyRing;
use crate::refusal::{Refusal, RequestOutcome};
use crate::reply::Reply;
use crate::rules::{Rules, SourceRules};

pub use explanation::{AnswerSays, Explanation, Limit, RequestTarget, Verification};
pub use outgoing::{BodyShown, ComparedRequest, Sent};
pub use recorded::{Replayed, explain_recorded};
pub use routes::{RouteSays, RouteVerdict};

/// The outcome of a request that cannot be judged to its end.
pub const UNDECIDED: &str = "undecided";
/// The verdict on a signature that was judged elsewhere.
pub const TAKEN: &str = "taken_as_recorded";

/// A request to be explained, as it came or as it would come.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The head.
    pub head: Head<'a>,
    /// The body, if all of it was kept.
    pub body: Option<&'a Bytes>,
    /// The source that takes the request in, where host and path do not name it.
    pub source: Option<&'a str>,
    /// True if the head holds the sender's address.
    pub has_sender: bool,
    /// The treatment of its signature.
    pub signature: Signature<'a>,
    /// The moment of receipt.
    pub now: Timestamp,
    /// Makes the event's id unique.
    pub random: [u8; 10],
    /// The keys of providers that were fetched.
    pub keys: &'a dyn KeyRing,
}

/// The treatment of a signature.
#[derive(Clone, Copy, Debug)]
pub enum Signature<'a> {
    /// A signature that is verified.
    Judged,
    /// A signature that is taken for right, by the secret of this name if one is known.
    Taken(Option<&'a str>),
}

/// Explains one request under these rules.
pub fn explain(rules: &Rules, destinations: &Destinations, question: &Question<'_>) -> Explanation {
    let admitted = accept::admit_recorded(rules, question.head, question.source, question.has_sender);
    let (mut told, lane) = match (admitted, question.body) {
        (Ok(admitted), Some(body)) => {
            (explain_admitted(rules, destinations, (question, body), &admitted), Some(admitted.lane()))
        }
        (Ok(admitted), None) => {
            let lane = admitted.lane();
            let mut told = Explanation::new(question, UNDECIDED, Some(lane));
            told.why = Some("its body was not kept, so nothing after its head can be judged".to_owned());
            look_on(&mut told, lane, destinations, question, &Notes::default());
            (told, Some(lane))
        }
        (Err((lane, refusal)), _) => {
            let mut told = refused(question, &refusal, lane);
            told.near_misses = near_misses::to_a_source(rules, &question.head);
            if let Some(lane) = lane {
                look_on(&mut told, lane, destinations, question, &Notes::default());
            }
            (told, lane)
        }
    };
    told.limits = limits(rules, lane, question);
    told
}

fn explain_admitted(
    rules: &Rules,
    destinations: &Destinations,
    (question, body): (&Question<'_>, &Bytes),
    admitted: &Admitted<'_, '_>,
) -> Explanation {
    let lane = admitted.lane();
    if let Signature::Taken(secret) = question.signature {
        return explain_taken(destinations, (question, body), lane, secret);
    }
    let receipt = Receipt { now: question.now, random: question.random, keys: question.keys, spends: false };
    let (accepted, notes) = accept::accept(admitted, body.clone(), receipt);
    let mut told = match accepted {
        Ok(Accepted::Event(event)) => accepted_as(RequestOutcome::Accepted, question, lane, Some(event.into_data())),
        Ok(Accepted::Quarantined(event)) => {
            accepted_as(RequestOutcome::Quarantined, question, lane, Some(event.into_data()))
        }
        Ok(Accepted::Filtered) => accepted_as(RequestOutcome::Filtered, question, lane, None),
        Ok(Accepted::Handshake(reply)) => {
            let answer = AnswerSays::of(&Reply::handshake(*reply), "the provider's handshake");
            Explanation { answer: Some(answer), ..accepted_as(RequestOutcome::Handshake, question, lane, None) }
        }
        Err(refusal) => refused(question, &refusal, Some(lane)),
    };
    told.verification = notes.verdict.map(|verdict| Verification {
        verdict: verdict.label(),
        secret: notes.secret.clone(),
        signed_before_secs: notes.lag.map(|lag| lag.as_secs()),
        url: signed_url(lane, question),
    });
    if matches!(notes.verdict, Some(SignatureVerdict::Failed(_))) {
        told.near_misses.extend(near_misses::to_a_secret(rules, lane, question, body));
    }
    if told.outcome != RequestOutcome::Handshake.label() {
        look_on(&mut told, lane, destinations, question, &notes);
    }
    told
}

/// Explains the gates after the signature, for a request that was verified elsewhere or is not to be verified.
fn explain_taken(
    destinations: &Destinations,
    (question, body): (&Question<'_>, &Bytes),
    lane: &SourceRules,
    secret: Option<&str>,
) -> Explanation {
    let looked = routes::look(lane, &question.head, Some(body));
    let mut event = event(question, lane, body);
    event.verified_by = secret.map(str::to_owned);
    (event.event_type, event.delivery_id) = (looked.event_type, looked.delivery_id);
    let judged = accept::judge_again(lane, &event);
    (event.problems, event.copies) = (judged.problems, judged.copies);
    let outcome = match (event.problems.is_empty(), event.copies.is_empty()) {
        (false, _) => RequestOutcome::Quarantined,
        (true, true) => RequestOutcome::Filtered,
        (true, false) => RequestOutcome::Accepted,
    };
    let is_sent = outcome != RequestOutcome::Filtered;
    let mut told = match &judged.refusal {
        Some(refusal) => refused(question, refusal, Some(lane)),
        None => accepted_as(outcome, question, lane, is_sent.then_some(event)),
    };
    let by = |name: &str| Verification {
        verdict: TAKEN,
        secret: Some(name.to_owned()),
        signed_before_secs: None,
        url: signed_url(lane, question),
    };
    told.verification = secret.map(by);
    look_on(&mut told, lane, destinations, question, &Notes::default());
    told
}

/// Returns the URL that is verified, where the scheme signs one.
fn signed_url(lane: &SourceRules, question: &Question<'_>) -> Option<String> {
    let is_signed = lane.verifier.scheme().signs_url();
    is_signed.then(|| lane.source.signed_url(&question.head.target()))
}

/// Returns the request as it would be stored.
fn event(question: &Question<'_>, lane: &SourceRules, body: &Bytes) -> EventData {
    let head = &question.head;
    EventData {
        params: lane.source.path.values(head.path),
        sender: question.has_sender.then_some(head.sender),
        ..record(lane, head, (question.now, question.random), body.clone())
    }
}

/// Adds the results of the gates after the signature, whether or not the request came so far.
fn look_on(
    told: &mut Explanation,
    lane: &SourceRules,
    destinations: &Destinations,
    question: &Question<'_>,
    notes: &Notes,
) {
    let looked = routes::look(lane, &question.head, question.body);
    told.near_misses.extend(routes::near_misses(&looked));
    told.body = looked.body;
    told.event_type = looked.event_type;
    told.delivery_id = looked.delivery_id;
    told.routes = looked.says;
    // A name with `_` stands for all schemas: it is a label of a metric.
    told.schema = notes.schema_failed.clone().filter(|schema| !schema.starts_with('_'));
    if let Some(event) = &told.event {
        told.problems.clone_from(&event.problems);
        // A quarantined event is not sent.
        if event.problems.is_empty() {
            told.outgoing = outgoing::all(event, destinations, question.now);
        }
    }
}

/// Returns the limits in the order in which a request meets them.
fn limits(rules: &Rules, lane: Option<&SourceRules>, question: &Question<'_>) -> Vec<Limit> {
    let sender = question.has_sender.then_some(question.head.sender);
    let limit = |of: &'static str, per_ip: bool, level: Level| Limit {
        of,
        per_second: 1.0 / level.rate.interval.as_secs_f64().max(1e-9),
        burst: level.rate.burst.get(),
        per_ip,
        left: level.left,
    };
    let (by_sender, total) = rules.gatekeeper.levels(sender);
    let mut limits = vec![limit("sender", true, by_sender), limit("total", false, total)];
    let quota = lane.and_then(|lane| lane.quota.as_ref());
    limits.extend(quota.map(|quota| limit("source", quota.is_per_sender(), quota.level(sender))));
    limits
}

fn accepted_as(
    outcome: RequestOutcome,
    question: &Question<'_>,
    lane: &SourceRules,
    event: Option<EventData>,
) -> Explanation {
    let reply = Reply::accepted(outcome, &lane.source, None);
    let because = match lane.source.answers.get(outcome) {
        Some(_) => "the provider's row, or `answers:` of the source",
        None => "the default",
    };
    let answer = Some(AnswerSays::of(&reply, because));
    Explanation { answer, event, ..Explanation::new(question, outcome.label(), Some(lane)) }
}

fn refused(question: &Question<'_>, refusal: &Refusal, lane: Option<&SourceRules>) -> Explanation {
    let source = lane.map(|lane| &lane.source);
    let outcome = RequestOutcome::Refused(refusal.class);
    let is_own = source.is_some_and(|source| source.answers.get(outcome).is_some());
    let because = if is_own { "the provider's row, or `answers:` of the source" } else { "the default of its class" };
    Explanation {
        why: Some(refusal.why.to_string()),
        problems: refusal.problems.clone(),
        answer: Some(AnswerSays::of(&Reply::refusal(refusal, source), because)),
        ..Explanation::new(question, outcome.label(), lane)
    }
}

/// Returns a short form of a JSON value, for one line.
pub(crate) fn short(value: &Value) -> String {
    const CHARS_MAX: usize = 120;
    let text = value.to_string();
    match text.char_indices().nth(CHARS_MAX) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text,
    }
}
