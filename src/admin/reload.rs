//! `POST /api/v1/reload`: the gateway reads its file again, and the answer is the result.
//!
//! This module knows no file. It queues reloads ([`Panel::reload_asks`]); the code that started the gateway makes them,
//! one after another, together with those by signal. A gateway that is stopping refuses reloads.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

use super::api::{Answered, answer, problem, problem_with};
use super::query::parse;
use super::{PageState, Panel};

/// The number of reloads that may wait.
const ASKS_MAX: usize = 16;

/// A reload with a caller that waits for its result.
#[derive(Debug)]
pub struct ReloadAsk(oneshot::Sender<Reloaded>);

impl ReloadAsk {
    /// Sends the result to the caller.
    pub fn answer(self, reloaded: Reloaded) {
        if self.0.send(reloaded).is_err() {
            tracing::debug!("who asked for a reload has gone");
        }
    }
}

/// The result of a reload. Problems have the form of `check --format json`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reloaded {
    /// The new rules are in force.
    InForce {
        /// Settings that differ from the file until a restart, by their keys in the file.
        changes: Vec<String>,
        /// The number of warnings.
        warnings: usize,
        /// The warnings.
        problems: Value,
        /// Deliveries for destinations that are not configured any more.
        backlogs: Vec<Backlog>,
    },
    /// The file cannot be used, and nothing has changed.
    Invalid {
        /// The reason, in a sentence.
        title: String,
        /// The problems with their places; none when the file cannot be read.
        problems: Value,
    },
    /// The rules could not be put in force, and nothing has changed.
    Failed {
        /// The reason, in a sentence.
        title: String,
    },
    /// The gateway is stopping.
    Stopping,
}

/// Deliveries for a destination that is not configured any more; kept until it is configured again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backlog {
    /// The destination's name.
    pub destination: Arc<str>,
    /// The number of deliveries.
    pub events: u64,
}

impl Panel {
    /// Returns the receiver of all further reloads. Reloads are refused until this is called.
    pub fn reload_asks(&self) -> mpsc::Receiver<ReloadAsk> {
        let (asks, asked) = mpsc::channel(ASKS_MAX);
        self.reloads.store(Some(Arc::new(asks)));
        asked
    }

    /// Returns every backlog without a configured destination.
    pub fn backlogs(&self) -> Vec<Backlog> {
        let configured = self.archive.destinations();
        let names = self.buffer.destinations().into_iter().filter(|name| !configured.contains_key(name));
        let backlogs =
            names.map(|destination| Backlog { events: self.buffer.counters(&destination).queued, destination });
        backlogs.filter(|backlog| backlog.events > 0).collect()
    }
}

/// The body of the request: `{}`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

pub(super) async fn reload(State(desk): State<PageState>, body: Bytes) -> Answered {
    let Nothing {} = parse(&body, "{}")?;
    let stopping = || problem(StatusCode::SERVICE_UNAVAILABLE, "the gateway is stopping and takes no new rules");
    if desk.panel.draining.load(Ordering::Relaxed) {
        return Err(stopping());
    }
    let asks = desk.panel.reloads.load_full();
    let asks = asks.ok_or_else(|| {
        problem(StatusCode::CONFLICT, "this gateway cannot reload: it was started without a configuration file")
    })?;
    let (ask, reloaded) = oneshot::channel();
    match asks.try_send(ReloadAsk(ask)) {
        Ok(()) => {}
        Err(mpsc::error::TrySendError::Full(_)) => {
            return Err(problem(
                StatusCode::TOO_MANY_REQUESTS,
                "too many reloads wait for their turn; try again later",
            ));
        }
        Err(mpsc::error::TrySendError::Closed(_)) => return Err(stopping()),
    }
    match reloaded.await.unwrap_or(Reloaded::Stopping) {
        Reloaded::InForce { changes, warnings, problems, backlogs } => Ok(answer(&json!({
            "reloaded": true,
            "changes": changes,
            "warnings": warnings,
            "problems": problems,
            "backlogs": backlogs.iter().map(Backlog::json).collect::<Vec<_>>(),
        }))),
        Reloaded::Invalid { title, problems } => {
            let problems = json!({ "reloaded": false, "problems": problems });
            Err(problem_with(StatusCode::UNPROCESSABLE_ENTITY, &title, problems))
        }
        Reloaded::Failed { title } => Err(problem(StatusCode::SERVICE_UNAVAILABLE, &title)),
        Reloaded::Stopping => Err(stopping()),
    }
}

impl Backlog {
    fn json(&self) -> Value {
        json!({ "destination": self.destination, "events": self.events })
    }
}
