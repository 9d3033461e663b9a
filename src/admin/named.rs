//! Events by the ids that people write: whole, or a beginning that no other id has.

use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::Response;
use serde_json::json;

use super::PageState;
use super::api::{problem, problem_with, unavailable};
use crate::capture::Captured;
use crate::event::{EventId, IdPrefix, NotAnId};
use crate::refusal::RequestOutcome;

/// The ids that are listed when several begin so.
const LISTED_MAX: usize = 5;

/// The ids among which a beginning has to be the only one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Among {
    /// Stored events and captured requests.
    All,
    /// Captured requests that were refused.
    Refused,
}

impl Among {
    fn takes(self, captured: &Captured) -> bool {
        self == Self::All || matches!(captured.outcome, RequestOutcome::Refused(_))
    }
}

/// Finds the id that `text` names. A whole id is returned whether or not anything has it; `none` answers where nothing
/// begins so.
pub(super) async fn id(
    desk: &PageState,
    text: &str,
    among: Among,
    none: fn() -> Response,
) -> Result<EventId, Response> {
    let prefix: IdPrefix = text.parse().map_err(|NotAnId| problem(StatusCode::BAD_REQUEST, &NotAnId.to_string()))?;
    if let Some(id) = prefix.whole() {
        return Ok(id);
    }
    let (panel, written) = (Arc::clone(&desk.panel), prefix.to_string());
    let looking = tokio::task::spawn_blocking(move || {
        let mut ids = panel.capture.ids_beginning(&prefix, |captured| among.takes(captured));
        if among == Among::All {
            ids.extend(panel.buffer.ids_within(prefix.bounds(), LISTED_MAX + 1)?);
        }
        ids.sort_unstable();
        ids.dedup();
        Ok(ids)
    });
    let ids = looking.await.unwrap_or(Err(crate::buffer::NotStored::Failed)).map_err(unavailable)?;
    match ids.as_slice() {
        [] => Err(none()),
        [id] => Ok(*id),
        several => Err(ambiguous(&written, several)),
    }
}

fn ambiguous(written: &str, several: &[EventId]) -> Response {
    let listed: Vec<String> = several.iter().take(LISTED_MAX).map(ToString::to_string).collect();
    let more = if several.len() > LISTED_MAX { " and more" } else { "" };
    let title = format!("several ids begin with `{written}`, write more of it: {}{more}", listed.join(", "));
    problem_with(StatusCode::CONFLICT, &title, json!({ "ids": listed }))
}
