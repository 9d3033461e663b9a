//! `hookgate answers PROVIDER`: the answer for each outcome, and its reason.

use serde_json::{Value, json};

use super::providers::{OutputFormat, find, retries, sets, waits};
use super::{Exit, terminal};
use crate::answer::{Answer, default_reason};
use crate::provider::Row;
use crate::refusal::RequestOutcome;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n\
    \x20 hookgate answers stripe\n\
    \x20 hookgate answers github --format json")]
pub(crate) struct Args {
    /// The name of the provider, as in `hookgate providers`.
    provider: String,
    /// The format of the output.
    #[arg(long, value_enum, default_value_t, env = "HOOKGATE_FORMAT")]
    format: OutputFormat,
}

pub(crate) fn run(args: &Args) -> Exit {
    let Some(row) = find(&args.provider) else { return Exit::Failed };
    if args.format == OutputFormat::Json {
        let lines: Vec<Value> = RequestOutcome::ALL.iter().map(|outcome| line(row, *outcome)).collect();
        terminal::say(Value::from(lines).to_string());
        return Exit::Ok;
    }
    terminal::say(format!("{:18}  {:6}  {:28}  WHY", "OUTCOME", "STATUS", "WITH"));
    for outcome in RequestOutcome::ALL {
        let (label, status) = (outcome.label(), row.answers().status(outcome));
        terminal::say(format!("{label:18}  {status:<6}  {:28}  {}", with(row, outcome), why(row, outcome)));
    }
    let facts = [
        ("waits", waits(row)),
        ("tries again", retries(row)),
        ("success", sets(row.success())),
        ("never again after", sets(row.is_final())),
        (
            "stops",
            row.disable().iter().map(|it| format!("after {}: {}", it.rule, it.then)).collect::<Vec<_>>().join("; "),
        ),
    ];
    terminal::tell(format!("\n{} as a sender:", row.title()));
    for (label, text) in facts.iter().filter(|(_, text)| !text.is_empty()) {
        terminal::tell(format!("  {label}: {text}"));
    }
    terminal::tell("A source may answer otherwise: `answers: {OUTCOME: STATUS}` in routes.yaml.");
    Exit::Ok
}

fn why(row: &Row, outcome: RequestOutcome) -> String {
    let own = row.answers().get(outcome).and_then(|answer| answer.because.clone());
    own.unwrap_or_else(|| default_reason(outcome).to_owned())
}

/// Returns headers and body of an answer, beside the status.
fn with(row: &Row, outcome: RequestOutcome) -> String {
    let retry_after = match outcome {
        RequestOutcome::Refused(class) => class.retry_after_secs().map(|secs| format!("Retry-After: {secs}")),
        _ => None,
    };
    let body = match (row.answers().get(outcome), outcome) {
        (Some(Answer { body: Some(body), .. }), _) if body.is_empty() => "empty".to_owned(),
        (Some(Answer { body: Some(body), .. }), _) => body.clone(),
        (_, RequestOutcome::Refused(_)) => "problem+json".to_owned(),
        (_, RequestOutcome::Handshake) => "as asked".to_owned(),
        _ => "empty".to_owned(),
    };
    let own = row.answers().get(outcome).into_iter().flat_map(|answer| &answer.headers);
    let own = own.filter(|(name, _)| name.as_str() != "content-type");
    let own = own.map(|(name, value)| format!("{name}: {}", value.to_str().unwrap_or_default()));
    [Some(body), retry_after].into_iter().flatten().chain(own).collect::<Vec<_>>().join(", ")
}

fn line(row: &Row, outcome: RequestOutcome) -> Value {
    let own = row.answers().get(outcome);
    let headers: serde_json::Map<String, Value> = own
        .iter()
        .flat_map(|answer| &answer.headers)
        .map(|(name, value)| (name.as_str().to_owned(), value.to_str().unwrap_or_default().into()))
        .collect();
    json!({
        "outcome": outcome.label(),
        "status": row.answers().status(outcome),
        "headers": headers,
        "body": own.and_then(|answer| answer.body.clone()),
        "because": why(row, outcome),
        "default": own.is_none(),
    })
}
