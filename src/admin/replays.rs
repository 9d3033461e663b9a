//! `/api/v1/replays`: replays of many events: plan, start at a rate, list, cancel.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde_json::json;

use super::api::{Answered, answer, problem, unavailable};
use super::query::{Kind, ReplayRules, UnknownName, Which, parse, rate};
use super::{PageState, json};
use crate::archive::{ReplayChoice, ReplayScope};

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum From {
    #[default]
    Events,
    DeadLetters,
}

/// The body that starts or plans a replay.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Ask {
    from: From,
    filter: Which,
    rules: ReplayRules,
    to: Vec<String>,
    rate: Option<String>,
    max: Option<u64>,
    dry_run: bool,
}

pub(super) async fn begin(State(desk): State<PageState>, body: Bytes) -> Answered {
    let example = "{\"from\": \"events\", \"filter\": {\"since\": \"24h\"}, \"rules\": \"original\", \"rate\": \"50/s\", \"dry_run\": true}";
    let asked: Ask = parse(&body, example)?;
    let archive = &desk.panel.archive;
    let filter = asked.filter.without_pages()?.filter(archive)?;
    let wanted = match &asked.rate {
        None => None,
        Some(text) => Some(
            rate(text)
                .ok_or_else(|| problem(StatusCode::BAD_REQUEST, "`rate` is a number and its time, such as 50/s"))?,
        ),
    };
    let scope = match asked.from {
        From::Events => ReplayScope::Events,
        From::DeadLetters => ReplayScope::DeadLetters,
    };
    let mut unknown = asked.filter.unknown(archive);
    unknown.extend(asked.to.iter().filter_map(|to| UnknownName::of(Kind::Destination, to, archive)));
    let choice = ReplayChoice { scope, filter, rules: asked.rules.into(), to: asked.to };
    if asked.dry_run {
        let choice = Arc::new(choice);
        let plan = archive.off_thread(move |archive| archive.plan(&choice)).await;
        let plan = plan.map_err(unavailable)?;
        return Ok(answer(&json!({ "plan": json::plan(&plan), "unknown": unknown })));
    }
    let job = desk.panel.jobs.begin(archive, choice, (wanted, asked.max));
    let job = job.map_err(|error| problem(StatusCode::TOO_MANY_REQUESTS, &error.to_string()))?;
    tracing::info!(replay = job.id, "a replay has begun, as asked");
    Ok(answer(&json!({ "replay": json::job(&job), "unknown": unknown })))
}

pub(super) async fn list(State(desk): State<PageState>) -> Response {
    let jobs: Vec<_> = desk.panel.jobs.list().iter().map(json::job).collect();
    answer(&json!({ "replays": jobs }))
}

fn none() -> Response {
    problem(StatusCode::NOT_FOUND, "there is no such replay; a restart forgets them")
}

pub(super) async fn get(State(desk): State<PageState>, Path(id): Path<String>) -> Response {
    desk.panel.jobs.get(&id).map_or_else(none, |job| answer(&json!({ "replay": json::job(&job) })))
}

pub(super) async fn cancel(State(desk): State<PageState>, Path(id): Path<String>) -> Response {
    let now = desk.panel.archive.clock().now();
    desk.panel.jobs.cancel(&id, now).map_or_else(none, |job| answer(&json!({ "replay": json::job(&job) })))
}
