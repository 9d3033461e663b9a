//! `GET /api/v1/events/{id}/explain`: what is decided about a stored event, or one that was laid aside, under the rules in
//! force; and the list of what was laid aside.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde_json::{Value, json};

use super::api::{Answered, answer, problem};
use super::asked::Which;
use super::{Desk, sheet, stored};
use crate::archive::Filter;
use crate::buffer::Found;
use crate::capture::Captured;
use crate::event::{EventData, EventId};
use crate::explain::{Question, explain as explain_question};
use crate::provider::NoKeys;
use crate::refusal::RequestOutcome;

/// Whether `outcome` asks for what was laid aside, and for which.
pub(super) fn asks_aside(outcome: &str) -> Option<Option<RequestOutcome>> {
    match (outcome, RequestOutcome::of_label(outcome)) {
        ("refused", _) => Some(None),
        (_, Some(outcome @ (RequestOutcome::Filtered | RequestOutcome::Refused(_)))) => Some(Some(outcome)),
        _ => None,
    }
}

/// A page of what was laid aside; `filter` says which, but for the outcome.
pub(super) fn list(desk: &Desk, wanted: Option<RequestOutcome>, filter: &Filter, which: &Which) -> Answered {
    let cursor = which.cursor()?.and_then(|bytes| String::from_utf8(bytes).ok()).and_then(|id| EventId::parse(&id));
    let limit = which.limit();
    let wants = |captured: &Captured| {
        let fits = match wanted {
            Some(outcome) => captured.outcome == outcome,
            None => matches!(captured.outcome, RequestOutcome::Refused(_)),
        };
        fits && filter.wants(&found(captured))
    };
    let listed = desk.panel.capture.list(wants, cursor, limit);
    let next = listed.last().filter(|_| listed.len() == limit).map(|last| last.event.id.to_string().into_bytes());
    let entries: Vec<Value> = listed.iter().map(|captured| sheet::captured(captured)).collect();
    Ok(stored::page("events", entries, next.as_ref()))
}

/// As if it had been stored.
fn found(captured: &Captured) -> Found {
    let event = Some(Arc::new(captured.event.clone()));
    Found { seq: 0, event, fate: None, is_quarantined: false, same_id_as: None }
}

/// What was laid aside under this id.
pub(super) fn aside(desk: &Desk, id: &str) -> Option<Arc<Captured>> {
    EventId::parse(id).and_then(|id| desk.panel.capture.find(id))
}

pub(super) async fn explain(State(desk): State<Desk>, Path(id): Path<String>) -> Answered {
    if let Some(captured) = aside(&desk, &id) {
        let kept = !desk.panel.capture.redaction().shows_bodies();
        if kept {
            return Err(problem(StatusCode::CONFLICT, "its body was not kept: `capture.bodies` is off"));
        }
        let mut told = told(&desk, &captured.event);
        told["recorded"] =
            json!({ "outcome": captured.outcome.label(), "why": captured.why, "status": captured.status });
        return Ok(answer(&json!({ "explanation": told })));
    }
    let found = stored::find(&desk, &id).await?;
    let Some(event) = &found.event else {
        return Err(problem(StatusCode::CONFLICT, "what was stored of this event cannot be read any more"));
    };
    let (desk, event) = (desk.clone(), Arc::clone(event));
    let recorded = json!({ "outcome": sheet::event(&found)["outcome"], "verified": event.verified_by, "unverified": event.unverified });
    let told = tokio::task::spawn_blocking(move || told(&desk, &event)).await;
    let mut told =
        told.map_err(|_broke_off| problem(StatusCode::INTERNAL_SERVER_ERROR, "the explanation broke off"))?;
    told["recorded"] = recorded;
    Ok(answer(&json!({ "explanation": told })))
}

fn told(desk: &Desk, event: &EventData) -> Value {
    let panel = &desk.panel;
    let (rules, destinations) = (panel.archive.rules(), panel.archive.destinations());
    let headers = event.header_map();
    let question = Question {
        head: crate::again::stored_head(event, &headers),
        body: &event.body,
        source: Some(&event.source),
        now: event.received_at(),
        random: [0; 10],
        keys: &NoKeys,
    };
    let mut told = explain_question(&rules, &destinations, &question);
    // The event keeps its name.
    told.rename(event.id, &destinations);
    told.redact(&panel.capture.redaction(), &event.body);
    serde_json::to_value(&told).unwrap_or_default()
}
