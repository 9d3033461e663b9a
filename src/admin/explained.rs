//! `GET /api/v1/events/{id}/explain`: the decisions of the rules in force about a stored event or a captured request;
//! and the list of captured requests.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde_json::{Value, json};

use super::api::{Answered, answer, problem};
use super::asked::Which;
use super::{Desk, refused, sheet, stored};
use crate::archive::Filter;
use crate::capture::{BodyKept, Captured};
use crate::event::{EventData, EventId};
use crate::explain::{Recorded, Signature, explain_recorded};
use crate::redact::Redaction;
use crate::refusal::RequestOutcome;
use crate::refused::as_found;

/// The selection of captured requests by outcome.
#[derive(Clone, Copy, Debug)]
pub(super) enum Aside {
    /// All refused requests.
    Refused,
    /// Requests with this outcome.
    With(RequestOutcome),
}

impl Aside {
    /// Parses an `outcome` that selects captured requests; `None` for an outcome of stored events.
    pub(super) fn of(outcome: &str) -> Option<Self> {
        match RequestOutcome::of_label(outcome) {
            _ if outcome == "refused" => Some(Self::Refused),
            Some(outcome @ (RequestOutcome::Filtered | RequestOutcome::Refused(_))) => Some(Self::With(outcome)),
            _ => None,
        }
    }

    pub(super) fn wants(self, outcome: RequestOutcome) -> bool {
        match self {
            Self::Refused => matches!(outcome, RequestOutcome::Refused(_)),
            Self::With(wanted) => outcome == wanted,
        }
    }
}

/// Returns a page of captured requests, selected by outcome (`wanted`) and by `filter`.
pub(super) async fn list(desk: &Desk, wanted: Aside, filter: Filter, which: &Which) -> Answered {
    let cursor = which.cursor()?.and_then(|bytes| String::from_utf8(bytes).ok()).and_then(|id| EventId::parse(&id));
    let limit = which.limit();
    let panel = Arc::clone(&desk.panel);
    let looking = move || {
        let all = panel.capture.all().into_iter().filter(|it| cursor.is_none_or(|before| it.event.id < before));
        // A refused request was not read at its receipt; its claimed type and delivery id are read here.
        let named = all.filter(|it| wanted.wants(it.outcome)).map(|it| {
            let event = panel.refused.named(&it);
            Captured { event, ..Captured::clone(&it) }
        });
        named.filter(|it| filter.wants(&as_found(it.event.clone()))).take(limit).collect::<Vec<_>>()
    };
    let listed = tokio::task::spawn_blocking(looking).await.unwrap_or_default();
    let next = listed.last().filter(|_| listed.len() == limit).map(|last| last.event.id.to_string().into_bytes());
    let redaction = desk.panel.capture.redaction();
    let entries: Vec<Value> = listed.iter().map(|captured| sheet::captured(captured, &redaction)).collect();
    Ok(stored::page("events", entries, next.as_ref()))
}

/// Returns the redaction for a request of this source: the operator's, and the places of its sender's credentials.
pub(super) fn redaction(desk: &Desk, source: &str) -> Redaction {
    desk.panel.capture.redaction().with_credentials(&desk.panel.archive.rules().credentials(source))
}

/// Returns the captured request with this id.
pub(super) fn aside(desk: &Desk, id: &str) -> Option<Arc<Captured>> {
    EventId::parse(id).and_then(|id| desk.panel.capture.find(id))
}

pub(super) async fn explain(State(desk): State<Desk>, Path(id): Path<String>) -> Answered {
    let mut notes = Vec::new();
    let (event, body, recorded) = if let Some(captured) = aside(&desk, &id) {
        notes.extend(refused::hint(&desk, &captured).await);
        let body = (captured.kept == BodyKept::Whole, captured.body_bytes);
        let recorded = json!({
            "outcome": captured.outcome.label(), "why": captured.why, "status": captured.status,
            "verified": captured.event.verified_by, "body": captured.kept.label(),
        });
        (Arc::new(captured.event.clone()), body, recorded)
    } else {
        let found = stored::find(&desk, &id).await?;
        let Some(event) = &found.event else {
            return Err(problem(StatusCode::CONFLICT, "what was stored of this event cannot be read any more"));
        };
        let recorded = json!({ "verified": event.verified_by, "unverified": event.unverified });
        (Arc::clone(event), (true, event.body.len() as u64), recorded)
    };
    let told = tokio::task::spawn_blocking(move || told(&desk, &event, body)).await;
    let told = told.map_err(|_broke_off| problem(StatusCode::INTERNAL_SERVER_ERROR, "the explanation broke off"))?;
    let told = sheet::with(told, json!({ "notes": notes }));
    Ok(answer(&json!({ "explanation": told, "recorded": recorded })))
}

fn told(desk: &Desk, event: &EventData, (has_body, body_bytes): (bool, u64)) -> Value {
    let panel = &desk.panel;
    let (rules, destinations) = (panel.archive.rules(), panel.archive.destinations());
    let (signature, keys) = (Signature::Judged, &*panel.keys);
    let recorded = Recorded { event, has_body, body_bytes, signature, keys };
    let told = explain_recorded(&rules, &destinations, &recorded);
    let redaction = redaction(desk, &event.source);
    told.shown(&redaction, &sheet::credentials_of(event, &redaction), &event.body)
}
