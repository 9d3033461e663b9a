//! `/api/v1/…`: the HTTP API for programs. Requests and answers are JSON; problems have the form of RFC 9457.
//!
//! Only listeners with the page `api` serve it. On `admin` off loopback every request needs the token. Names of sources
//! and secrets are shown, as in the metrics; this module has no access to the bytes of a secret.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};

use super::redeliveries::redeliveries;
use super::{PageState, Panel, explained, json, refused, reload, replays, stored, token_wanted};
use crate::buffer::NotStored;
use crate::clock::Timestamp;
use crate::rules::{Rules, SourceRules};
use crate::secret::ListedSecret;

/// The largest body of a request to the API.
const BODY_BYTES_MAX: usize = 16 * 1024;

/// The settings of a source that are shown beside its counts.
#[derive(Debug)]
pub(super) struct SourceSheet {
    pub(super) name: Arc<str>,
    provider: Option<String>,
    enforce: bool,
    /// True when the source recognises repetitions.
    pub(super) recognises: bool,
    secrets: Vec<ListedSecret>,
}

/// Returns the settings of every source.
pub(super) fn sheets(rules: &Rules, secrets: &[ListedSecret]) -> Vec<SourceSheet> {
    let sheet = |lane: &SourceRules| SourceSheet {
        name: Arc::clone(&lane.source.name),
        provider: lane.provider.as_ref().map(|row| row.id().to_owned()),
        enforce: lane.source.enforce,
        recognises: !lane.source.dedup_window.is_zero(),
        secrets: secrets.iter().filter(|secret| secret.source == lane.source.name).cloned().collect(),
    };
    rules.lanes.iter().map(sheet).collect()
}

/// Checks a request before its handler runs. The token is checked first. A listener that wants no token answers only
/// when `Host` is an address or `localhost`, because DNS rebinding would let a web page read stored events. All but GET
/// need `Content-Type: application/json`, which a page of another origin cannot send without a preflight.
async fn guard(State(desk): State<PageState>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    if !desk.knows(headers) {
        return token_wanted();
    }
    if !desk.wants_token && !names_an_address(headers) {
        return problem(
            StatusCode::FORBIDDEN,
            "use an IP address or `localhost` in the URL: a listener without a token accepts no other `Host`",
        );
    }
    let media_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()?.split(';').next());
    let is_json = media_type.is_some_and(|media_type| media_type.trim().eq_ignore_ascii_case("application/json"));
    if request.method() != Method::GET && !is_json {
        return problem(StatusCode::UNSUPPORTED_MEDIA_TYPE, "send `Content-Type: application/json`");
    }
    next.run(request).await
}

pub(super) fn router(desk: &PageState) -> Router<PageState> {
    Router::new()
        .route("/api/v1/sources", get(sources))
        .route("/api/v1/sources/{source}/redeliveries", post(redeliveries))
        .route("/api/v1/events", get(stored::events))
        .route("/api/v1/events/{id}", get(stored::event))
        .route("/api/v1/events/{id}/explain", get(explained::explain))
        .route("/api/v1/events/{id}/replay", post(stored::replay))
        .route("/api/v1/refused", get(refused::list))
        .route("/api/v1/refused/admit", post(refused::admit))
        .route("/api/v1/refused/{id}", get(refused::show))
        .route("/api/v1/replays", get(replays::list).post(replays::begin))
        .route("/api/v1/replays/{id}", get(replays::get).delete(replays::cancel))
        .route("/api/v1/dead-letters", get(stored::dead_letters))
        .route("/api/v1/dead-letters/drop", post(stored::drop_dead))
        .route("/api/v1/quarantine", get(stored::quarantine))
        .route("/api/v1/quarantine/judge", post(stored::judge))
        .route("/api/v1/parked", get(stored::parked))
        .route("/api/v1/parked/{key}/release", post(stored::release))
        .route("/api/v1/parked/{key}/skip", post(stored::skip))
        .route("/api/v1/destinations", get(stored::destinations))
        .route("/api/v1/reload", post(reload::reload))
        .layer(middleware::from_fn_with_state(desk.clone(), guard))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
}

async fn sources(State(desk): State<PageState>) -> Response {
    answer(&desk.panel.sources_json())
}

/// An answer, or a problem as the answer.
pub(super) type Answered = Result<Response, Response>;

pub(super) fn answer(value: &Value) -> Response {
    ([(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")], format!("{value}\n"))
        .into_response()
}

/// Returns a problem (RFC 9457) with its title.
pub(super) fn problem(status: StatusCode, title: &str) -> Response {
    problem_with(status, title, json!({}))
}

/// Returns a problem with its title and further members.
pub(super) fn problem_with(status: StatusCode, title: &str, more: Value) -> Response {
    let body = json::with(json!({ "type": "about:blank", "title": title, "status": status.as_u16() }), more);
    (status, [(header::CONTENT_TYPE, "application/problem+json")], format!("{body}\n")).into_response()
}

/// No, because the buffer cannot do it now.
pub(super) fn unavailable(error: NotStored) -> Response {
    problem(StatusCode::SERVICE_UNAVAILABLE, &error.to_string())
}

/// Returns whether `Host` is an address or `localhost`.
fn names_an_address(headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|host| Authority::try_from(host.as_bytes()).ok());
    host.is_some_and(|host| {
        let name = host.host().trim_start_matches('[').trim_end_matches(']');
        name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
    })
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

    fn secret_json(&self, secret: &ListedSecret) -> Value {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_by_name_is_not_here() {
        let names = |host: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, host.parse().unwrap());
            names_an_address(&headers)
        };
        assert!(names("127.0.0.1:8900") && names("localhost:8900") && names("[::1]:8900") && names("[::1]"));
        assert!(!names("evil.example:8900") && !names("localhost.evil.example") && !names("127.0.0.1.evil.example"));
        assert!(!names_an_address(&HeaderMap::new()));
    }
}
