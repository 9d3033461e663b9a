//! Stored events, captured requests and the results of commands as JSON.

use std::sync::Arc;

use data_encoding::BASE64;
use serde_json::{Value, json};

use super::{hidden, kept};
use crate::archive::{DeliveryState, Job, JudgedQuarantine, Plan, QuarantineVerdict, state_of, states_of};
use crate::buffer::{AttemptRecord, Counters, DeadLetter, Ending, EventStatus, Parked, StoredEvent};
use crate::capture::Captured;
use crate::clock::Timestamp;
use crate::credential::{CredentialPlace, REDACTED, is_secret_name};
use crate::event::{Dispatch, EventData, HeaderBytes};
use crate::payload::Payload;
use crate::redact::Redaction;

fn moment(ms: u64) -> String {
    Timestamp::from_unix_ms(ms).to_string()
}

fn tried(tried: &AttemptRecord) -> Value {
    json!({
        "at": moment(tried.at_ms),
        "outcome": tried.outcome.label(),
        "status": tried.status,
        "took_ms": tried.took_ms,
        "detail": tried.detail,
    })
}

fn delivery(found: &StoredEvent, event: &EventData, at: usize, whole: Option<&Redaction>) -> Value {
    let fate = found.fate.as_ref().and_then(|fate| fate.copies.get(at));
    let (copy, end) = (event.copies.get(at), fate.and_then(|fate| fate.end));
    let cause = end.and_then(|(ending, _)| match ending {
        Ending::Delivered => None,
        Ending::Dead(cause) | Ending::Discarded(cause) => Some(cause.label()),
    });
    let mut sheet = json!({
        "copy": at,
        "route": copy.map(|copy| &copy.route),
        "destination": copy.map(|copy| &copy.destination),
        "outcome": state_of(found, at).label(),
        "attempts": fate.map_or(0, |fate| fate.tries_total),
        "next_at": fate.and_then(|fate| fate.next_ms).map(moment),
        "ended_at": end.map(|(_, ms)| moment(ms)),
        "cause": cause,
        "replays": fate.map_or(0, |fate| fate.replays),
        "order_key": copy.and_then(|copy| copy.order.as_ref()).map(|key| &key.label),
        "last": fate.and_then(|fate| fate.tries.last()).map(tried),
    });
    if let (Some(redaction), Some(sheet)) = (whole, sheet.as_object_mut()) {
        let tries: Vec<Value> = fate.map_or_else(Vec::new, |fate| fate.tries.iter().map(tried).collect());
        sheet.insert("tries".into(), tries.into());
        sheet.insert("answer".into(), kept(found, at, redaction).into());
    }
    sheet
}

/// Returns the outcome of an event: that of its worst delivery.
fn outcome(found: &StoredEvent) -> &'static str {
    states_of(found).into_iter().max().unwrap_or(DeliveryState::Queued).label()
}

/// Not yet without what is hidden. With a redaction it holds each try and each answer.
fn event_sheet(found: &StoredEvent, whole: Option<&Redaction>) -> Value {
    let Some(event) = &found.event else {
        let id = found.fate.as_ref().map(|fate| fate.id.to_string());
        return json!({ "id": id, "outcome": outcome(found), "deliveries": [] });
    };
    let is_at_rest = |fate: &&EventStatus| fate.is_over() || found.is_quarantined;
    let kept_until = found.fate.as_ref().filter(is_at_rest).map_or(0, |fate| fate.keep_until_ms);
    let deliveries: Vec<Value> = (0..event.copies.len()).map(|at| delivery(found, event, at, whole)).collect();
    json!({
        "id": event.id.to_string(),
        "source": event.source,
        "type": event.event_type,
        "delivery_id": event.delivery_id,
        "received_at": event.received_at().to_string(),
        "bytes": event.body.len(),
        "verified": event.verified_by,
        "unverified": event.unverified,
        "outcome": outcome(found),
        "same_id_as": found.same_id_as.map(|id| id.to_string()),
        "kept_until": (kept_until > 0).then(|| moment(kept_until)),
        "deliveries": if found.is_quarantined { Vec::new() } else { deliveries },
    })
}

/// A sheet about an event, as it is shown.
fn shown(sheet: Value, found: &StoredEvent, redaction: &Redaction) -> Value {
    match &found.event {
        Some(event) => hidden::shown(sheet, event, redaction),
        None => sheet,
    }
}

/// One line of a list.
pub(super) fn event(found: &StoredEvent, redaction: &Redaction) -> Value {
    shown(event_sheet(found, None), found, redaction)
}

/// Returns a JSON object with further members.
pub(super) fn with(mut sheet: Value, more: Value) -> Value {
    if let (Some(sheet), Value::Object(more)) = (sheet.as_object_mut(), more) {
        sheet.extend(more);
    }
    sheet
}

fn problems(event: Option<&Arc<EventData>>) -> Value {
    json!(event.map(|event| &event.problems))
}

/// One line of the quarantine.
pub(super) fn quarantined(found: &StoredEvent, redaction: &Redaction) -> Value {
    let sheet = with(event_sheet(found, None), json!({ "problems": problems(found.event.as_ref()) }));
    shown(sheet, found, redaction)
}

/// Returns all that is known of an event, redacted.
pub(super) fn whole(found: &StoredEvent, redaction: &Redaction) -> Value {
    let sheet = event_sheet(found, Some(redaction));
    let Some(event) = &found.event else { return sheet };
    whole_request(sheet, event, redaction)
}

/// A sheet with the request itself, but what is not to be seen.
fn whole_request(sheet: Value, event: &EventData, redaction: &Redaction) -> Value {
    let sheet = with(sheet, request(event, redaction));
    let before = sheet.get("body").cloned();
    let mut sheet = hidden::shown(sheet, event, redaction);
    if before.as_ref() != sheet.get("body") {
        sheet = with(sheet, json!({ "redacted": true }));
    }
    sheet
}

/// The request itself.
fn request(event: &EventData, redaction: &Redaction) -> Value {
    let shown = |(name, value): &(String, HeaderBytes)| {
        let value = String::from_utf8_lossy(&value.0);
        json!([name, if redaction.hides_header(name) { REDACTED } else { &*value }])
    };
    let headers: Vec<Value> = event.headers.iter().map(shown).collect();
    let param =
        |(name, value): &(String, String)| json!([name, if is_secret_name(name) { REDACTED } else { value.as_str() }]);
    let params: Vec<Value> = event.params.iter().map(param).collect();
    let chosen = event.headers.iter().any(|(name, _)| redaction.chose_header(name))
        || parameters(&event.target).any(|name| redaction.chose_query(&name));
    let host = event.host.as_deref().map(|host| if redaction.hides_host() { REDACTED } else { host });
    json!({
        "host": host,
        "sender": sender(event, redaction),
        "method": event.method,
        "target": redaction.target(&event.target),
        "params": params,
        "headers": headers,
        "body": body(event, redaction),
        "redacted": redaction.touches_bodies() || chosen,
        "hidden": hidden(event, redaction),
        "problems": event.problems,
    })
}

/// Returns the headers and query parameters of this request that are not shown.
fn hidden(event: &EventData, redaction: &Redaction) -> Vec<String> {
    let headers = event.headers.iter().map(|(name, _)| name).filter(|name| redaction.hides_header(name));
    let headers = headers.map(|name| CredentialPlace::Header(name.to_ascii_lowercase()).to_string());
    let in_target = redaction.hidden_in(&event.target).into_iter().map(|place| place.to_string());
    // Of a path that the source does not have any more, what was stored.
    let params = event.params.iter().filter(|(name, _)| is_secret_name(name)).map(|(name, _)| format!("path:{name}"));
    let mut hidden: Vec<String> = headers.chain(in_target).chain(params).collect();
    hidden.sort();
    hidden.dedup();
    hidden
}

/// Returns the names of the query's parameters.
fn parameters(target: &str) -> impl Iterator<Item = String> {
    let query = target.split_once('?').map_or("", |(_, query)| query);
    form_urlencoded::parse(query.as_bytes()).map(|(name, _)| name.into_owned())
}

fn sender(event: &EventData, redaction: &Redaction) -> Option<String> {
    let is_hidden = redaction.hides_sender();
    event.sender.map(|sender| if is_hidden { REDACTED.to_owned() } else { sender.to_string() })
}

fn body(event: &EventData, redaction: &Redaction) -> Value {
    let body = &*event.body;
    if let Some(form) = std::str::from_utf8(body).ok().and_then(|body| redaction.form(body)) {
        return json!({ "text": form });
    }
    if redaction.touches_bodies() {
        // A body that is not JSON cannot be redacted, so it is not shown.
        let mut json = Payload::lenient(body).unwrap_or_else(|| Value::from(REDACTED));
        redaction.apply(&mut json);
        return json!({ "text": json.to_string() });
    }
    match std::str::from_utf8(body) {
        Ok(text) => json!({ "text": text }),
        Err(_) if hidden::credentials_of(event, redaction).stand_in(body) => json!({ "text": REDACTED }),
        Err(_) => json!({ "base64": BASE64.encode(body) }),
    }
}

/// Makes the line of a request that was not stored, with more members.
pub(super) fn captured(captured: &Captured, redaction: &Redaction, more: Value) -> Value {
    hidden::shown(with(captured_sheet(captured, redaction), more), &captured.event, redaction)
}

/// Makes the page of a request that was not stored, with more members.
pub(super) fn whole_captured(captured: &Captured, redaction: &Redaction, more: Value) -> Value {
    whole_request(with(captured_sheet(captured, redaction), more), &captured.event, redaction)
}

/// Makes the members of a request that was not stored, hidden parts included.
fn captured_sheet(captured: &Captured, redaction: &Redaction) -> Value {
    let event = &captured.event;
    json!({
        "id": event.id.to_string(),
        "source": event.source,
        "type": event.event_type,
        "delivery_id": event.delivery_id,
        "received_at": event.received_at().to_string(),
        "bytes": captured.body_bytes,
        "body_kept": captured.kept.label(),
        "verified": event.verified_by,
        "unverified": captured.outcome.is_for_signature().then_some(&captured.why),
        "outcome": captured.outcome.label(),
        "why": captured.why,
        "status": captured.status,
        "sender": sender(event, redaction),
        "deliveries": [],
    })
}

/// One dead letter.
pub(super) fn dead_letter(dead: &DeadLetter, redaction: &Redaction) -> Value {
    let at = usize::from(dead.copy);
    let copy = dead.found.event.as_ref().and_then(|event| event.copies.get(at));
    let fate = dead.found.fate.as_ref().and_then(|fate| fate.copies.get(at));
    let sheet = json!({
        "event": event_sheet(&dead.found, None),
        "copy": dead.copy,
        "route": copy.map(|copy| &copy.route),
        "destination": dead.destination,
        "died_at": dead.died_at.to_string(),
        "cause": dead.cause.label(),
        "attempts": fate.map_or(0, |fate| fate.tries_total),
        "last": fate.and_then(|fate| fate.tries.last()).map(tried),
        "answer": kept(&dead.found, at, redaction),
    });
    shown(sheet, &dead.found, redaction)
}

/// Returns the kept answer to one of an event's deliveries.
fn kept(found: &StoredEvent, at: usize, redaction: &Redaction) -> Option<Value> {
    let answer = found.fate.as_ref()?.copies.get(at)?.answer.as_ref()?;
    Some(kept::answer(answer, found.event.as_deref(), redaction))
}

/// Returns a parked order key for a list.
pub(super) fn parked(parked: &Parked) -> Value {
    json!({
        "key": parked.key.to_string(),
        "destination": parked.destination,
        "label": parked.label,
        "waiting": parked.len,
        "since": parked.since.to_string(),
        "cause": parked.cause.label(),
        "head": parked.head.map(|id| id.to_string()),
    })
}

/// Returns a replay.
pub(super) fn job(job: &Job) -> Value {
    json!({
        "id": job.id,
        "state": job.state.label(),
        "started_at": job.started_at.to_string(),
        "ended_at": job.ended_at.as_ref().map(Timestamp::to_string),
        "rate": job.rate.map(|rate| format!("{rate}/s")),
        "events": job.events,
        "deliveries": job.deliveries,
        "skipped": job.skipped,
        "why": job.why,
    })
}

/// Returns the plan of a replay.
pub(super) fn plan(plan: &Plan) -> Value {
    json!({
        "events": plan.events,
        "deliveries": plan.deliveries,
        "by_destination": plan.by_destination,
        "bytes": plan.bytes,
        "complete": plan.is_complete,
        "samples": plan.samples.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}

/// Returns the route and the destination of a delivery, with further members.
pub(super) fn copy(copy: &Dispatch, more: Value) -> Value {
    with(json!({ "route": copy.route, "destination": copy.destination }), more)
}

/// Returns the result of re-evaluating the quarantine.
pub(super) fn judged(judged: &JudgedQuarantine, dry_run: bool) -> Value {
    let count = |verdict| judged.counts.values().filter_map(|of| of.get(&verdict)).sum::<u64>();
    let by_source: serde_json::Map<String, Value> = judged
        .counts
        .iter()
        .map(|(source, counts)| {
            let of = |verdict| counts.get(&verdict).copied().unwrap_or_default();
            let (admitted, unwanted, kept) =
                (of(QuarantineVerdict::Admitted), of(QuarantineVerdict::Unwanted), of(QuarantineVerdict::Kept));
            let judged = admitted + unwanted + kept;
            let sheet = json!({ "judged": judged, "admitted": admitted, "unwanted": unwanted, "kept": kept });
            (source.to_string(), sheet)
        })
        .collect();
    let samples: Vec<Value> = judged
        .samples
        .iter()
        .map(|one| {
            let (id, verdict) = (one.id.to_string(), one.verdict.label());
            json!({ "id": id, "source": one.source, "verdict": verdict, "problems": one.problems })
        })
        .collect();
    let (admitted, unwanted, kept) =
        (count(QuarantineVerdict::Admitted), count(QuarantineVerdict::Unwanted), count(QuarantineVerdict::Kept));
    json!({
        "dry_run": dry_run,
        "judged": admitted + unwanted + kept,
        "admitted": admitted,
        "unwanted": unwanted,
        "kept": kept,
        "deliveries": judged.granted.queued,
        "by_source": by_source,
        "samples": samples,
    })
}

/// Returns the counters of a destination; one without URLs is not configured any more.
pub(super) fn counters(name: &str, urls: Option<&[String]>, book: &Counters) -> Value {
    json!({
        "name": name,
        "configured": urls.is_some(),
        "urls": urls.unwrap_or_default(),
        "queued": book.queued,
        "rescheduled": book.rescheduled,
        "waiting": book.waiting,
        "parked": book.parked,
        "dead": book.dead,
        "accepted": book.accepted,
        "delivered": book.delivered,
        "dead_lettered": book.dead_lettered,
        "expired": book.expired,
        "discarded": book.discarded,
    })
}
