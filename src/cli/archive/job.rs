//! A replay of many events, from its plan to its end.
//!
//! The gateway runs the replay and goes on when this command is killed; Ctrl-C cancels the replay there. The plan goes
//! to stdout with `--dry-run`, and to stderr before the question.

use std::time::Duration;

use clap::ValueEnum;
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::admin::Admin;
use super::filter::QueryPairs;
use super::interrupt::Interrupt;
use super::json::{self, read};
use super::plan::PlanJson;
use super::{Asked, consent};
use crate::cli::unknown::{self, Unknown};
use crate::cli::{Exit, terminal};

const REPLAYS: &str = "/api/v1/replays";
/// The time between two requests for the progress.
const PAUSE: Duration = Duration::from_millis(500);

/// The rules that decide which deliveries an event gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum RulesArg {
    /// The deliveries that the event had.
    #[default]
    Original,
    /// The deliveries of the routes in force.
    Today,
}

impl RulesArg {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Original => "original",
            Self::Today => "today",
        }
    }
}

/// The limits of a replay of many events.
#[derive(Debug, clap::Args)]
pub(super) struct Many {
    /// The maximum rate, such as 50/s.
    #[arg(long, value_name = "RATE", env = "HOOKGATE_RATE")]
    pub(super) rate: Option<String>,
    /// The maximum number of deliveries.
    #[arg(long, value_name = "N", env = "HOOKGATE_MAX", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) max: Option<u64>,
    /// Do not ask for confirmation.
    #[arg(long, env = "HOOKGATE_YES")]
    pub(super) yes: bool,
}

/// The parameters of a replay of many events.
pub(super) struct Order {
    /// `events` or `dead_letters`.
    pub(super) from: &'static str,
    pub(super) wanted: QueryPairs,
    pub(super) rules: RulesArg,
    /// Only deliveries to these destinations; none means all.
    pub(super) to: Vec<String>,
    pub(super) dry_run: bool,
}

impl Order {
    fn body(&self, many: &Many, dry_run: bool) -> Value {
        let mut body = json!({
            "from": self.from, "filter": self.wanted.json(), "rules": self.rules.word(), "to": self.to, "dry_run": dry_run,
        });
        if let Some(members) = body.as_object_mut() {
            members.extend(many.rate.iter().map(|rate| ("rate".to_owned(), Value::from(rate.as_str()))));
            members.extend(many.max.iter().map(|max| ("max".to_owned(), Value::from(*max))));
        }
        body
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Job {
    id: String,
    state: String,
    events: u64,
    deliveries: u64,
    skipped: u64,
    why: String,
}

impl Job {
    fn told(&self, planned: Option<u64>) -> String {
        let of = planned.map_or_else(String::new, |planned| format!(" of {planned}"));
        format!("{}: events {}{of}, deliveries {}, skipped {}", self.id, self.events, self.deliveries, self.skipped)
    }

    fn is_running(&self) -> bool {
        self.state == "running"
    }
}

/// Shows the plan, asks, replays, and waits for the end.
pub(super) fn run(asked: &Asked, order: &Order, many: &Many) -> Result<Exit, Exit> {
    let admin = asked.gateway()?;
    let answer = admin.post(REPLAYS, &order.body(many, true)).map_err(|problem| problem.told())?;
    let plan: PlanJson = json::member(&admin, &answer, "plan").map_err(|problem| problem.told())?;
    if plan.deliveries == 0 && plan.is_complete() {
        unknown::tell(&Unknown::listed(&answer))?;
    }
    let mut lines = plan.lines();
    lines.extend(many.max.map(|max| format!("of these at most {max} deliveries")));
    match (order.dry_run, asked.is_json()) {
        (true, true) => terminal::say_json(answer.get("plan").unwrap_or(&Value::Null)),
        (true, false) => lines.iter().for_each(terminal::say),
        (false, _) => lines.iter().for_each(terminal::tell),
    }
    if order.dry_run {
        return Ok(Exit::Ok);
    }
    if plan.deliveries == 0 && plan.is_complete() {
        terminal::tell("nothing to replay");
        return Ok(Exit::Ok);
    }
    consent::consent(many.yes, "replay them")?;
    let answer = start(&admin, &order.body(many, false), plan.is_complete().then_some(plan.events))?;
    end(asked, &answer)
}

/// Starts the job and watches it; returns the job as it ended.
fn start(admin: &Admin, body: &Value, planned: Option<u64>) -> Result<Value, Exit> {
    // Ctrl-C is caught before the job begins, so that an early Ctrl-C leaves no job behind.
    let interrupt = Interrupt::catch().map_err(|error| {
        terminal::tell(format!("hookgate: cannot listen for Ctrl-C: {error}"));
        Exit::Failed
    })?;
    let mut answer = admin.post(REPLAYS, body).map_err(|problem| problem.told())?;
    let mut job: Job = json::member(admin, &answer, "replay").map_err(|problem| problem.told())?;
    // The id becomes part of a path.
    if job.id.is_empty() || !job.id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        return Err(admin.not_ours().told());
    }
    let path = format!("{REPLAYS}/{}", job.id);
    while job.is_running() {
        terminal::progress(&job.told(planned));
        let asked = if interrupt.within(PAUSE) { admin.delete(&path) } else { admin.get(&path) };
        answer = asked.map_err(|problem| {
            terminal::progress("");
            terminal::tell(format!("hookgate: no word of the replay {} any more; it may go on", job.id));
            problem.told()
        })?;
        job = json::member(admin, &answer, "replay").map_err(|problem| problem.told())?;
    }
    terminal::progress("");
    Ok(answer)
}

fn end(asked: &Asked, answer: &Value) -> Result<Exit, Exit> {
    let raw = answer.get("replay").unwrap_or(&Value::Null);
    let job: Job = read(raw).unwrap_or_default();
    if asked.is_json() {
        terminal::say_json(raw);
    } else {
        let why = if job.why.is_empty() { String::new() } else { format!(": {}", job.why) };
        terminal::say(format!("{}, {}{why}", job.told(None), job.state));
    }
    if job.state == "done" { Ok(Exit::Ok) } else { Err(Exit::Failed) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_says_how_far_it_came() {
        let job: Job =
            read(&json!({"id": "r1", "state": "running", "events": 3, "deliveries": 6, "skipped": 1, "why": null}))
                .unwrap();
        assert!(job.is_running());
        assert_eq!(job.told(Some(10)), "r1: events 3 of 10, deliveries 6, skipped 1");
        assert_eq!(job.told(None), "r1: events 3, deliveries 6, skipped 1");
    }
}
