//! `POST /api/v1/reload`: the gateway reads its file anew, and the answer says what came of it.
//!
//! Only who started the gateway knows its file, so reloads are asked for here and made there ([`Panel::reload_asks`]), one
//! after another, together with those by signal. A gateway that stops takes no new rules, and says so.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

use super::api::{Answered, answer, problem, problem_with};
use super::asked::parse;
use super::{Desk, Panel};

/// So many may wait for their turn.
const ASKS_MAX: usize = 16;

/// A reload that somebody waits for.
#[derive(Debug)]
pub struct ReloadAsk(oneshot::Sender<Reloaded>);

impl ReloadAsk {
    /// Says what came of it.
    pub fn answer(self, reloaded: Reloaded) {
        if self.0.send(reloaded).is_err() {
            tracing::debug!("who asked for a reload has gone");
        }
    }
}

/// What came of a reload. Problems are written as `check --format json` writes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reloaded {
    /// The new rules are in force.
    InForce {
        /// What differs from the file until a restart, as the file calls it.
        changes: Vec<String>,
        /// Problems that are no errors.
        warnings: usize,
        /// These.
        problems: Value,
        /// What waits for nobody.
        backlogs: Vec<Backlog>,
    },
    /// The file cannot be used, and nothing has changed.
    Invalid {
        /// In a sentence.
        title: String,
        /// Each with its place; none when the file cannot be read.
        problems: Value,
    },
    /// The rules could not be put in force, and nothing has changed.
    Failed {
        /// Why, in a sentence.
        title: String,
    },
    /// The gateway is stopping.
    Stopping,
}

/// Deliveries for a destination that is not configured any more. They are kept until it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backlog {
    /// Its name.
    pub destination: Arc<str>,
    /// So many.
    pub events: u64,
}

impl Panel {
    /// Where reloads are asked for from now on. As long as nobody has called this, they are refused.
    pub fn reload_asks(&self) -> mpsc::Receiver<ReloadAsk> {
        let (asks, asked) = mpsc::channel(ASKS_MAX);
        self.reloads.store(Some(Arc::new(asks)));
        asked
    }

    /// Every backlog without a destination, by name.
    pub fn backlogs(&self) -> Vec<Backlog> {
        let configured = self.archive.destinations();
        let names = self.buffer.destinations().into_iter().filter(|name| !configured.contains_key(name));
        let backlogs = names.map(|destination| Backlog { events: self.buffer.book(&destination).queued, destination });
        backlogs.filter(|backlog| backlog.events > 0).collect()
    }
}

/// Nothing can be chosen.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

pub(super) async fn reload(State(desk): State<Desk>, body: Bytes) -> Answered {
    let Nothing {} = parse(&body, "{}")?;
    let stopping = || problem(StatusCode::SERVICE_UNAVAILABLE, "the gateway is stopping and takes no new rules");
    if desk.panel.draining.load(Ordering::Relaxed) {
        return Err(stopping());
    }
    let asks = desk.panel.reloads.load_full();
    let asks = asks.ok_or_else(|| problem(StatusCode::CONFLICT, "this gateway runs without a file of its own"))?;
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
