//! One case: the request goes through the real gates, and the result is compared.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use bytes::Bytes;
use serde_json::Value;

use super::compare;
use super::file::{Case, Expect, Given, SignedCase, TamperCase};
use crate::cli::sample_request::{NoRequest, SampleParts, SampleRequest};
use crate::cli::{sample, send};
use crate::clock::Timestamp;
use crate::config::raw::Moment;
use crate::explain::{Explanation, Question, RouteVerdict, Signature, explain};
use crate::payload::Payload;
use crate::provider::NoKeys;
use crate::refusal::RequestOutcome;
use crate::rules::SourceRules;
use crate::server::Live;
use crate::shape::{BadPath, BodyPlace};

/// The result of a case.
#[derive(Debug)]
pub(super) struct Ran {
    /// The differences from the expected result; empty when there are none.
    pub(super) differences: Vec<String>,
    /// The explanation, unless the case could not be run.
    pub(super) told: Option<Explanation>,
}

/// The default time of the frozen clock: 2026-01-01T12:00:00Z.
pub(super) const NOW: Timestamp = Timestamp::from_unix_secs(1_767_268_800);
/// Fixed random bytes, which make every event's id the same.
const RANDOM: [u8; 10] = [0; 10];

pub(super) fn moment(moment: Moment) -> Timestamp {
    Timestamp::from_unix_ms(u64::try_from(moment.0.as_millisecond()).unwrap_or(0))
}

/// The reason for which a case cannot be run.
#[derive(Debug)]
enum NotRun {
    NoSource(String),
    NoBody(String),
    Unreadable(std::path::PathBuf, std::io::Error),
    NotJson,
    Place(String, BadPath),
    NoPlace(String),
    TwoBodies,
    Request(NoRequest),
}

impl fmt::Display for NotRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSource(known) => write!(f, "given.source: there is no such source; known: {known}"),
            Self::NoBody(known) => write!(f, "given: say `body`, `file`, or the `event` of a recorded one{known}"),
            Self::Unreadable(file, error) => write!(f, "given.file: cannot read {}: {error}", file.display()),
            Self::NotJson => f.write_str("given: `set` and `remove` change JSON, and the body is none"),
            Self::Place(place, bad) => write!(f, "given: `{place}` is no place in a body: {bad}"),
            Self::NoPlace(place) => write!(f, "given.set: there is no place `{place}` in the body"),
            Self::TwoBodies => {
                f.write_str("given: `form` is the whole body; leave `body`, `file`, `set` and `remove` out")
            }
            Self::Request(none) => write!(f, "given: {none}"),
        }
    }
}

/// Runs a case that stands in a file of `folder`.
pub(super) fn run(case: &Case, live: &Live, now: Timestamp, folder: &Path) -> Ran {
    match decide(&case.given, live, now, folder) {
        Ok(told) => Ran { differences: differences(&case.expect, &told), told: Some(told) },
        Err(why) => Ran { differences: vec![why.to_string()], told: None },
    }
}

fn decide(given: &Given, live: &Live, now: Timestamp, folder: &Path) -> Result<Explanation, NotRun> {
    let rules = &live.rules;
    let names = || rules.lanes.iter().map(|lane| &*lane.source.name).collect::<Vec<_>>().join(", ");
    let lane = rules.lanes.iter().find(|lane| *lane.source.name == *given.source);
    let lane = lane.ok_or_else(|| NotRun::NoSource(names()))?;
    let body = body(given, lane, folder)?;
    let mut headers: Vec<(String, String)> = given.headers.clone().into_iter().collect();
    if !given.form.is_empty() && !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
        headers.push(("content-type".to_owned(), "application/x-www-form-urlencoded".to_owned()));
    }
    let now = given.at.map_or(now, moment);
    let parts = SampleParts {
        event: given.event.as_deref().unwrap_or_default(),
        target: given.target.as_deref(),
        method: given.method.as_deref().unwrap_or("POST"),
        body,
        headers: &headers,
        sender: given.sender,
        now,
        is_signed: given.signed.is_none_or(|signed| signed == SignedCase::Yes),
        tamper: given.tamper.map(|tamper| match tamper {
            TamperCase::Body => send::Tamper::Body,
            TamperCase::Signature => send::Tamper::Signature,
            TamperCase::Time => send::Tamper::Time,
        }),
    };
    let request = SampleRequest::new(lane, &parts).map_err(NotRun::Request)?;
    let signature = match given.signed {
        Some(SignedCase::Skipped) => Signature::Taken(None),
        Some(SignedCase::Yes | SignedCase::No) | None => Signature::Judged,
    };
    let question = Question {
        head: request.head(),
        body: Some(&request.body),
        source: None,
        has_sender: true,
        signature,
        now,
        random: RANDOM,
        keys: &NoKeys,
    };
    Ok(explain(rules, &live.destinations, &question))
}

fn body(given: &Given, lane: &SourceRules, folder: &Path) -> Result<Bytes, NotRun> {
    let provider = lane.provider.as_ref().map_or("", |row| row.id());
    if !given.form.is_empty() {
        if given.body.is_some() || given.file.is_some() || !given.set.is_empty() || !given.remove.is_empty() {
            return Err(NotRun::TwoBodies);
        }
        return Ok(form(&given.form));
    }
    let received = match (&given.body, &given.file) {
        (Some(body), _) => Bytes::from(body.to_string()),
        (None, Some(file)) => {
            let path = folder.join(file);
            std::fs::read(&path).map(Bytes::from).map_err(|error| NotRun::Unreadable(path, error))?
        }
        (None, None) => match sample::find(provider, given.event.as_deref()) {
            Some(sample) => Bytes::from_static(sample.body.as_bytes()),
            None => return Err(NotRun::NoBody(recorded(provider))),
        },
    };
    if given.set.is_empty() && given.remove.is_empty() {
        return Ok(received);
    }
    let mut json: Value = Payload::lenient(&received).ok_or(NotRun::NotJson)?;
    let place = |text: &String| BodyPlace::parse(text).map_err(|bad| NotRun::Place(text.clone(), bad));
    for (text, value) in &given.set {
        if !place(text)?.set(&mut json, value.clone()) {
            return Err(NotRun::NoPlace(text.clone()));
        }
    }
    for text in &given.remove {
        place(text)?.remove(&mut json);
    }
    Ok(Bytes::from(json.to_string()))
}

fn form(fields: &BTreeMap<String, Value>) -> Bytes {
    let mut form = form_urlencoded::Serializer::new(String::new());
    for (name, value) in fields {
        match value {
            Value::String(text) => form.append_pair(name, text),
            json => form.append_pair(name, &json.to_string()),
        };
    }
    Bytes::from(form.finish())
}

fn recorded(provider: &str) -> String {
    let of_provider = sample::SAMPLES.iter().filter(|sample| sample.provider == provider);
    let known: Vec<&str> = of_provider.map(|sample| sample.event).collect();
    if known.is_empty() { String::new() } else { format!(": {}", known.join(", ")) }
}

fn differences(expect: &Expect, told: &Explanation) -> Vec<String> {
    let mut found = Vec::new();
    let mut same = |what: &str, wanted: Option<&str>, got: Option<&str>| {
        if let Some(wanted) = wanted.filter(|wanted| Some(*wanted) != got) {
            found.push(format!("{what}: expected {wanted}, got {}", got.unwrap_or("nothing")));
        }
    };
    let got = told.answer.as_ref().map(|answer| answer.status.to_string());
    same("status", expect.status.map(|status| status.to_string()).as_deref(), got.as_deref());
    same("outcome", expect.outcome.map(RequestOutcome::label), Some(told.outcome));
    same("verdict", expect.verdict.as_deref(), told.verification.as_ref().map(|says| says.verdict));
    same("event_type", expect.event_type.as_deref(), told.event_type.as_deref());
    let (wanted, got) = (expect.routes.as_deref().map(sorted), sorted(&routes(told)));
    same("routes", wanted.as_deref(), Some(&got));
    let (wanted, got) = (expect.destinations.as_deref().map(sorted), sorted(&destinations(told)));
    same("destinations", wanted.as_deref(), Some(&got));
    if found.iter().any(|difference| difference.starts_with("routes") || difference.starts_with("destinations")) {
        found.extend(told.near_misses.iter().map(|miss| format!("  {miss}")));
    }
    if let Some(why) = told.why.as_ref().filter(|_| !found.is_empty()) {
        found.push(format!("  why: {why}"));
    }
    found.extend(expect.quarantine.iter().flat_map(|wanted| compare::problems(wanted, &told.problems)));
    for (name, wanted) in &expect.outgoing {
        found.extend(compare::outgoing(name, wanted, &told.outgoing));
    }
    found
}

/// Returns the routes that accept the event; none when it was refused before its routes.
pub(super) fn routes(told: &Explanation) -> Vec<String> {
    let is_routed = matches!(told.outcome, "accepted" | "quarantined");
    let wanting = told.routes.iter().filter(|says| is_routed && says.verdict == RouteVerdict::Matched);
    wanting.map(|says| says.route.clone()).collect()
}

/// Returns the destinations that get the event.
pub(super) fn destinations(told: &Explanation) -> Vec<String> {
    let is_sent = told.outcome == "accepted";
    let mut names: Vec<String> =
        told.outgoing.iter().filter(|_| is_sent).map(|sent| sent.destination.clone()).collect();
    names.sort();
    names.dedup();
    names
}

fn sorted(names: &[String]) -> String {
    let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
    names.sort_unstable();
    format!("[{}]", names.join(", "))
}
