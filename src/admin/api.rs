//! `/api/v1/…`: what programs ask the gateway. JSON both ways; problems as RFC 9457 says.
//!
//! Only the admin listener serves it, and off loopback every request needs the token. Names of sources and secrets are
//! shown, as the metrics show them; the bytes of a secret are not even in reach.

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};

use super::redeliveries::redeliveries;
use super::{Desk, Panel, token_wanted};
use crate::clock::Timestamp;
use crate::lane::{Lane, Rules};
use crate::secret::Listed;

/// What is asked is short.
const BODY_BYTES_MAX: usize = 16 * 1024;

/// What is shown of a source beside its counts.
#[derive(Debug)]
pub(super) struct SourceSheet {
    pub(super) name: Arc<str>,
    provider: Option<String>,
    enforce: bool,
    /// Whether repetitions are recognised.
    pub(super) recognises: bool,
    secrets: Vec<Listed>,
}

/// One sheet a source.
pub(super) fn sheets(rules: &Rules, secrets: &[Listed]) -> Vec<SourceSheet> {
    let sheet = |lane: &Lane| SourceSheet {
        name: Arc::clone(&lane.source.name),
        provider: lane.provider.as_ref().map(|row| row.id().to_owned()),
        enforce: lane.source.enforce,
        recognises: !lane.source.dedup_window.is_zero(),
        secrets: secrets.iter().filter(|secret| secret.source == lane.source.name).cloned().collect(),
    };
    rules.lanes.iter().map(sheet).collect()
}

pub(super) fn router() -> Router<Desk> {
    Router::new()
        .route("/api/v1/sources", get(sources))
        .route("/api/v1/sources/{source}/redeliveries", post(redeliveries))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
}

async fn sources(State(desk): State<Desk>, headers: HeaderMap) -> Response {
    if !desk.knows(&headers) {
        return token_wanted();
    }
    answer(&desk.panel.sources_json())
}

pub(super) fn answer(value: &Value) -> Response {
    ([(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")], format!("{value}\n"))
        .into_response()
}

/// No, and why.
pub(super) fn problem(status: StatusCode, title: &str) -> Response {
    let body = json!({ "type": "about:blank", "title": title, "status": status.as_u16() });
    (status, [(header::CONTENT_TYPE, "application/problem+json")], format!("{body}\n")).into_response()
}

impl Panel {
    fn sources_json(&self) -> Value {
        let unverified = self.buffer.unverified();
        let sources = self.sources.load();
        let sources = sources.iter().map(|source| {
            let of_source = unverified.get(&source.name).cloned().unwrap_or_default();
            json!({
                "name": source.name,
                "provider": source.provider,
                "enforce": source.enforce,
                "unverified": of_source.stored(),
                "reverified": of_source.reverified,
                "forgotten": of_source.forgotten,
                "secrets": source.secrets.iter().map(|secret| self.secret_json(secret)).collect::<Vec<_>>(),
            })
        });
        json!({ "since": self.since.to_string(), "sources": sources.collect::<Vec<_>>() })
    }

    fn secret_json(&self, secret: &Listed) -> Value {
        let (used_total, last_used) = self.telemetry.secret_use(secret);
        json!({
            "name": secret.name.as_str(),
            "not_before": secret.validity.first_day(),
            "not_after": secret.validity.last_day(),
            "used_total": used_total,
            "last_used": last_used.as_ref().map(Timestamp::to_string),
        })
    }
}
