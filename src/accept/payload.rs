//! The payload gate: malformed content and schemas, and the source's policy for a body that fails.
//!
//! A body that no schema can check is handled by the source's `on_invalid`, whatever its event type: the type may stand
//! in the body, and is unknown when the body was not read.

use super::policy::{Kept, keep_or_refuse};
use super::routes::Named;
use crate::body::Document;
use crate::clock::Timestamp;
use crate::inbound::Head;
use crate::refusal::{Class, OnFailure, PROBLEMS_MAX, PayloadProblem, Refusal};
use crate::rules::SourceRules;
use crate::schema::SchemaVerdict;

/// The label of `schema_failures_total` for a body that no schema can check.
const UNREAD: &str = "_unread";

/// The result of a check.
#[derive(Debug)]
pub(crate) struct CheckedPayload {
    /// The schema that the body failed, or [`UNREAD`].
    pub(crate) schema: Option<String>,
    /// The problems for which the event is kept, or the refusal.
    pub(crate) kept: Result<Kept, Refusal>,
}

/// A body that fails: the policy for its fault, its problems, and the refusal.
struct Failed {
    on: OnFailure,
    problems: Vec<PayloadProblem>,
    refusal: Refusal,
}

/// Reads a body as its source says.
pub(crate) fn read<'b>(lane: &SourceRules, head: &Head<'_>, body: &'b [u8]) -> Document<'b> {
    lane.body.read(head.media_type(), body, &lane.reading)
}

/// Checks a body for malformed content and against the schemas of its source. `brake_at` is as in [`keep_or_refuse`].
pub(crate) fn check(
    lane: &SourceRules,
    named: &Named,
    document: &Document<'_>,
    brake_at: Option<Timestamp>,
) -> CheckedPayload {
    let event_type = named.event_type.as_deref().unwrap_or_default();
    let (schema, failed) = match document.malformed() {
        Some(problem) => (None, Some(malformed(lane, problem))),
        None => against_schema(lane, event_type, document),
    };
    let kept = failed.map_or_else(
        || Ok(Kept::default()),
        |Failed { on, problems, refusal }| {
            let refusal = refusal.with_problems(problems.clone());
            keep_or_refuse(lane, on, (problems, refusal), brake_at)
        },
    );
    CheckedPayload { schema, kept }
}

/// Applies `on_invalid` to a body that is not in the format that it claims to have.
fn malformed(lane: &SourceRules, problem: &PayloadProblem) -> Failed {
    let refusal = Refusal::new(Class::Malformed, problem.message.clone());
    Failed { on: lane.source.on_malformed, problems: vec![problem.clone()], refusal }
}

/// Returns the schema that a body fails, and its failure; nothing where there is nothing to check.
fn against_schema(lane: &SourceRules, event_type: &str, document: &Document<'_>) -> (Option<String>, Option<Failed>) {
    let Some(schemas) = &lane.schemas else { return (None, None) };
    let verdict = match document.checked() {
        Some(checked) => schemas.check(event_type, &checked),
        // Without a schema there is none that a body could break; what has none is missing one.
        None if schemas.is_empty() => SchemaVerdict::NoSchema,
        None => {
            let problem = document.unchecked();
            let refusal = Refusal::new(Class::SchemaRejected, problem.message.clone());
            let failed = Failed { on: schemas.on_invalid(), problems: vec![problem], refusal };
            return (Some(UNREAD.to_owned()), Some(failed));
        }
    };
    match verdict {
        SchemaVerdict::Valid { .. } => (None, None),
        SchemaVerdict::NoSchema => {
            let why = "no schema for this event type";
            let problem = PayloadProblem { pointer: String::new(), message: why.to_owned() };
            let refusal = Refusal::new(Class::SchemaRejected, why);
            (None, Some(Failed { on: schemas.on_missing(), problems: vec![problem], refusal }))
        }
        SchemaVerdict::Invalid { schema, problems, .. } => {
            let problems = problems.into_iter().take(PROBLEMS_MAX);
            let problems =
                problems.map(|error| PayloadProblem { pointer: error.instance_path, message: error.message }).collect();
            let refusal = Refusal::new(Class::SchemaRejected, "payload does not match its schema");
            (Some(schema.to_string()), Some(Failed { on: schemas.on_invalid(), problems, refusal }))
        }
    }
}
