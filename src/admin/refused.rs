//! `/api/v1/refused`: requests that were refused for their signature, their verdict under the rules in force, and their
//! admission.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::PageState;
use super::api::{Answered, answer, problem, problem_with, unavailable};
use super::explained::{self, CapturedRequest};
use super::named::{self, Among};
use super::query::{ListQuery, Which, parse};
use super::{hidden, json};
use crate::buffer::NotStored;
use crate::capture::{BodyKept, Captured};
use crate::event::EventId;
use crate::refusal::RequestOutcome;
use crate::refused::{Admission, AdmitChoice, RefusedSample, RefusedVerdict};

/// The labels of all verdicts, in the order of the counts.
const VERDICTS: [&str; 7] = ["verifies", "quarantined", "duplicate", "unwanted", "refused", "fails", "not_judged"];

fn verdict(verdict: &RefusedVerdict) -> Value {
    let first =
        if let RefusedVerdict::Duplicate { first: Some(first) } = verdict { Some(first.to_string()) } else { None };
    json!({ "verdict": verdict.label(), "secret": verdict.secret(), "why": verdict.why(), "first": first })
}

/// Returns the verdict of the rules in force as JSON. It is `null` for a request that was not refused for its
/// signature, and when the buffer cannot be read.
fn now(desk: &PageState, captured: &Captured) -> Value {
    let judged = captured.outcome.is_for_signature().then(|| desk.panel.refused.verdict(captured));
    judged.and_then(Result::ok).map_or(Value::Null, |judged| verdict(&judged))
}

/// Returns the line of an explanation that names `hookgate refused admit` or says why it would not help.
pub(super) async fn hint(desk: &PageState, captured: &Arc<Captured>) -> Option<String> {
    if !captured.outcome.is_for_signature() {
        return None;
    }
    let (panel, of, id) = (Arc::clone(&desk.panel), Arc::clone(captured), captured.event.id);
    let judged = tokio::task::spawn_blocking(move || panel.refused.verdict(&of)).await.ok()?.ok()?;
    match judged {
        RefusedVerdict::Verifies { secret } | RefusedVerdict::Quarantined { secret } => Some(format!(
            "it verifies now, by the secret `{secret}`; `hookgate refused admit {id}` stores and delivers it"
        )),
        RefusedVerdict::Duplicate { .. } => Some(judged.why().unwrap_or_default()),
        RefusedVerdict::NotJudged(why) if captured.kept != BodyKept::Whole => {
            Some(format!("it cannot be admitted: {why}"))
        }
        RefusedVerdict::Unwanted
        | RefusedVerdict::Refused(_)
        | RefusedVerdict::Fails(_)
        | RefusedVerdict::NotJudged(_) => None,
    }
}

/// Returns a page of refused requests, the newest first.
pub(super) async fn list(State(desk): State<PageState>, ListQuery(which): ListQuery) -> Answered {
    let wanted = match which.outcome.as_deref() {
        None => None,
        Some(outcome) => match CapturedRequest::of(outcome) {
            Some(CapturedRequest::With(RequestOutcome::Filtered)) | None => {
                return Err(problem(StatusCode::BAD_REQUEST, "`outcome` is `refused`, or why a request was refused"));
            }
            refused => refused,
        },
    };
    check_filter(&which)?;
    let wants = move |outcome: RequestOutcome| {
        wanted.map_or_else(|| outcome.is_for_signature(), |wanted| wanted.wants(outcome))
    };
    explained::list(&desk, "refused", &which, wants, |desk, it| json!({ "now": now(desk, it) })).await
}

/// Checks a filter over refused requests, which no route has taken.
#[expect(clippy::result_large_err, reason = "the answer itself, made once a request")]
fn check_filter(which: &Which) -> Result<(), Response> {
    if which.route.is_some() || which.destination.is_some() {
        let title = "`route` and `destination` have no meaning here: what was refused has gone nowhere";
        return Err(problem(StatusCode::BAD_REQUEST, title));
    }
    Ok(())
}

fn none() -> Response {
    problem(
        StatusCode::NOT_FOUND,
        "no captured request with this id: a restart or newer requests may have removed it, or it was admitted and is now an event",
    )
}

pub(super) async fn show(State(desk): State<PageState>, Path(id): Path<String>) -> Answered {
    let captured = named(&desk, &id).await?;
    if !matches!(captured.outcome, RequestOutcome::Refused(_)) {
        return Err(none());
    }
    let shown = tokio::task::spawn_blocking(move || {
        let redaction = hidden::redaction(&desk, &captured.event.source);
        let more = json!({ "now": now(&desk, &captured) });
        json::whole_captured(&desk.panel.refused.named(&captured), &redaction, more)
    });
    let shown = shown.await.map_err(|_broke_off| unavailable(NotStored::Failed))?;
    Ok(answer(&json!({ "refused": shown })))
}

/// The body of `POST /api/v1/refused/admit`: the requests to admit, one by its id or those that the filter selects.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Admit {
    id: Option<String>,
    filter: Which,
    dry_run: bool,
    cursor: Option<String>,
}

pub(super) async fn admit(State(desk): State<PageState>, body: Bytes) -> Answered {
    let example = "{\"id\": \"…\"} or {\"filter\": {\"source\": \"…\", \"since\": \"24h\"}, \"dry_run\": true}";
    let asked: Admit = parse(&body, example)?;
    let id = match &asked.id {
        Some(text) => Some(captured_id(&desk, text).await?),
        None => None,
    };
    let named = asked.filter.without_pages()?;
    check_filter(named)?;
    let filter = named.without_outcome().filter(&desk.panel.archive)?;
    let after = match &asked.cursor {
        Some(text) => {
            let cursor = EventId::parse(text);
            Some(cursor.ok_or_else(|| problem(StatusCode::BAD_REQUEST, "`cursor` is not one that an answer gave"))?)
        }
        None => None,
    };
    let choice = AdmitChoice { id, filter, after, dry_run: asked.dry_run };
    let done = desk.panel.refused.admit(choice).await.map_err(unavailable)?;
    let unknown = asked.filter.unknown(&desk.panel.archive);
    let told = json::with(admission(&done, asked.dry_run), json!({ "unknown": unknown }));
    match done.stopped {
        Some(why) if done.admitted == 0 => Err(problem_with(
            StatusCode::SERVICE_UNAVAILABLE,
            &format!("{why}; nothing was admitted, and nothing is lost"),
            told,
        )),
        _ => Ok(answer(&told)),
    }
}

/// Finds the captured request that a text names.
async fn named(desk: &PageState, text: &str) -> Result<Arc<Captured>, Response> {
    let id = named::id(desk, text, Among::Refused, none).await?;
    desk.panel.capture.find(id).ok_or_else(none)
}

async fn captured_id(desk: &PageState, text: &str) -> Result<EventId, Response> {
    let captured = named(desk, text).await?;
    if captured.outcome.is_for_signature() {
        return Ok(captured.event.id);
    }
    let title = format!("it was not refused for its signature, but as {}", captured.outcome.label());
    Err(problem(StatusCode::CONFLICT, &title))
}

fn admission(done: &Admission, dry_run: bool) -> Value {
    let sample = |sample: &RefusedSample| {
        json::with(json!({ "id": sample.id.to_string(), "source": sample.source }), verdict(&sample.verdict))
    };
    let total = |label: &&str| done.counts.values().filter_map(|counts| counts.get(*label)).sum::<u64>();
    let counts = |of: &dyn Fn(&&str) -> u64| -> Map<String, Value> {
        VERDICTS.iter().map(|label| ((*label).to_owned(), of(label).into())).collect()
    };
    let by_source: Map<String, Value> = done
        .counts
        .iter()
        .map(|(source, of)| (source.to_string(), counts(&|label| of.get(*label).copied().unwrap_or_default()).into()))
        .collect();
    let told = json!({
        "dry_run": dry_run,
        "judged": VERDICTS.iter().map(total).sum::<u64>(),
        "admitted": done.admitted,
        "by_source": by_source,
        "samples": done.samples.iter().map(sample).collect::<Vec<_>>(),
        "next": done.next.map(|next| next.to_string()),
        "stopped": done.stopped.as_ref().map(ToString::to_string),
    });
    json::with(told, Value::Object(counts(&total)))
}
