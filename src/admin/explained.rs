//! `GET /api/v1/events/{id}/explain`: the decisions of the rules in force about a stored event or a captured request;
//! and the list of captured requests.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde_json::{Value, json};

use super::api::{Answered, answer, problem};
use super::hidden::{Redactions, credentials_of, redaction};
use super::named::{self, Among};
use super::query::Which;
use super::{PageState, json, refused, stored};
use crate::capture::{BodyKept, Captured};
use crate::event::{EventData, EventId};
use crate::explain::{Explanation, Replayed, Signature, explain_recorded};
use crate::refusal::RequestOutcome;
use crate::refused::as_found;

/// The selection of captured requests by outcome.
#[derive(Clone, Copy, Debug)]
pub(super) enum CapturedRequest {
    /// All refused requests.
    Refused,
    /// Requests with this outcome.
    With(RequestOutcome),
}

impl CapturedRequest {
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

/// A page of what was laid aside, the newest first: what ended as `wants` says, each with the members that `more` adds.
pub(super) async fn list(
    desk: &PageState,
    name: &str,
    which: &Which,
    wants: impl Fn(RequestOutcome) -> bool + Send + 'static,
    more: impl Fn(&PageState, &Captured) -> Value + Send + 'static,
) -> Answered {
    let filter = which.without_outcome().filter(&desk.panel.archive)?;
    let cursor = which.cursor()?.and_then(|bytes| String::from_utf8(bytes).ok()).and_then(|id| EventId::parse(&id));
    let (asked, limit) = (desk.clone(), which.limit());
    let looking = move || {
        let panel = &asked.panel;
        let all = panel.capture.all().into_iter().filter(|it| cursor.is_none_or(|before| it.event.id < before));
        // A refused request was not read when it came; what it claims is read now.
        let named = all.filter(|it| wants(it.outcome)).map(|it| panel.refused.named(&it));
        let listed: Vec<Captured> = named.filter(|it| filter.wants(&as_found(it.event.clone()))).take(limit).collect();
        let next = listed.last().filter(|_| listed.len() == limit).map(|last| last.event.id.to_string().into_bytes());
        let mut redactions = Redactions::of(&asked);
        let mut sheet = |it: &Captured| json::captured(it, redactions.source(&it.event.source), more(&asked, it));
        (listed.iter().map(&mut sheet).collect::<Vec<_>>(), next)
    };
    let (entries, next) = tokio::task::spawn_blocking(looking).await.unwrap_or_default();
    Ok(stored::page(name, entries, next.as_ref(), (desk, which)))
}

pub(super) async fn explain(State(desk): State<PageState>, Path(id): Path<String>) -> Answered {
    let mut notes = Vec::new();
    let id = named::id(&desk, &id, Among::All, stored::none).await?;
    let (event, body, recorded) = if let Some(captured) = desk.panel.capture.find(id) {
        notes.extend(refused::hint(&desk, &captured).await);
        let body = (captured.kept == BodyKept::Whole, captured.body_bytes);
        let recorded = json!({
            "outcome": captured.outcome.label(), "why": captured.why, "status": captured.status,
            "verified": captured.event.verified_by, "body": captured.kept.label(),
        });
        (Arc::new(captured.event.clone()), body, recorded)
    } else {
        let found = stored::find(&desk, id).await?;
        let Some(event) = &found.event else {
            return Err(problem(StatusCode::CONFLICT, "the stored record of this event is damaged and cannot be read"));
        };
        let recorded = json!({ "verified": event.verified_by, "unverified": event.unverified });
        (Arc::clone(event), (true, event.body.len() as u64), recorded)
    };
    let explaining = move || {
        let redaction = redaction(&desk, &event.source);
        let credentials = credentials_of(&event, &redaction);
        let told = told(&desk, &event, body).shown(&redaction, &credentials, &event.body);
        let (mut notes, mut recorded) = (json!(notes), recorded);
        for said in [&mut notes, &mut recorded] {
            credentials.hide_in_json(said);
        }
        let told = json::with(told, json!({ "notes": notes }));
        // Through `json!` it would be serialised, which writes exponents anew.
        let explanation = serde_json::Map::from_iter([("explanation".to_owned(), told)]);
        json::with(Value::Object(explanation), json!({ "recorded": recorded }))
    };
    let explained = tokio::task::spawn_blocking(explaining).await;
    let explained =
        explained.map_err(|_broke_off| problem(StatusCode::INTERNAL_SERVER_ERROR, "the explanation broke off"))?;
    Ok(answer(&explained))
}

fn told(desk: &PageState, event: &EventData, (has_body, body_bytes): (bool, u64)) -> Explanation {
    let panel = &desk.panel;
    let (rules, destinations) = (panel.archive.rules(), panel.archive.destinations());
    let (signature, keys) = (Signature::Judged, &*panel.keys);
    let recorded = Replayed { event, has_body, body_bytes, signature, keys };
    explain_recorded(&rules, &destinations, &recorded)
}
