//! Checks of a body that was read: malformed content and schemas, and the source's policy for a body that fails.
//!
//! A body that no schema can check is handled by the source's `on_invalid`, whatever its event type: the type may stand
//! in the body, and is unknown if the body was not read.
//!
//! With `enforce: false` every body passes, and the failed schema is still reported. While the failure brake is on, a
//! body that would be refused is quarantined instead; the caller says whether the brake is on.

use crate::body::Document;
use crate::lane::Lane;
use crate::refusal::{Class, PROBLEMS_MAX, PayloadProblem, Refusal};
use crate::schema::{OnInvalid, OnMissing, SchemaVerdict};
use crate::source::OnMalformed;

/// The label of `schema_failures_total` for a body that no schema can check.
const UNREAD: &str = "_unread";

/// The result of a check.
#[derive(Debug)]
pub(crate) struct Checked {
    /// The schema that the body failed, or [`UNREAD`].
    pub(crate) schema: Option<String>,
    /// The problems for which the event is quarantined, none where it passes; or the refusal.
    pub(crate) problems: Result<Vec<PayloadProblem>, Refusal>,
}

/// The treatment of a body with problems, by the source's policy.
#[derive(Clone, Copy)]
enum Then {
    Goes,
    IsKept,
    IsRefused,
}

/// Checks a body. `brakes` tells whether the failure brake is on; it is called only for a body that would be refused.
pub(crate) fn check(lane: &Lane, event_type: &str, document: &Document<'_>, brakes: impl FnOnce() -> bool) -> Checked {
    let (schema, found) = match document.malformed() {
        Some(problem) => (None, Some(malformed(lane, problem))),
        None => against_schema(lane, event_type, document),
    };
    let Some((then, problems, refusal)) = found else { return Checked { schema, problems: Ok(Vec::new()) } };
    let problems = match then {
        Then::Goes => Ok(Vec::new()),
        Then::IsKept | Then::IsRefused if !lane.source.enforce => Ok(Vec::new()),
        Then::IsKept => Ok(problems),
        Then::IsRefused if brakes() => Ok(problems),
        Then::IsRefused => Err(refusal.with_problems(problems)),
    };
    Checked { schema, problems }
}

/// The treatment of a body, its problems, and the refusal for a body that is refused.
type Found = (Then, Vec<PayloadProblem>, Refusal);

/// Applies the source's `on_malformed` to a body that is not in the format that it claims to have.
fn malformed(lane: &Lane, problem: &PayloadProblem) -> Found {
    let then = match lane.source.on_malformed {
        OnMalformed::Allow => Then::Goes,
        OnMalformed::Quarantine => Then::IsKept,
        OnMalformed::Reject => Then::IsRefused,
    };
    (then, vec![problem.clone()], Refusal::new(Class::Malformed, problem.message.clone()))
}

/// Returns the schema that a body fails, and its treatment; nothing if the body passes or there is no schema check.
fn against_schema(lane: &Lane, event_type: &str, document: &Document<'_>) -> (Option<String>, Option<Found>) {
    let Some(schemas) = &lane.schemas else { return (None, None) };
    let invalid = || match schemas.on_invalid() {
        OnInvalid::Allow => Then::Goes,
        OnInvalid::Quarantine => Then::IsKept,
        OnInvalid::Reject => Then::IsRefused,
    };
    let verdict = match document.checked() {
        Some(checked) => schemas.check(event_type, &checked),
        // A source without schemas has none that a body could fail: the event type has no schema.
        None if schemas.is_empty() => SchemaVerdict::NoSchema,
        None => {
            let problem = document.unchecked();
            let refusal = Refusal::new(Class::SchemaRejected, problem.message.clone());
            return (Some(UNREAD.to_owned()), Some((invalid(), vec![problem], refusal)));
        }
    };
    match verdict {
        SchemaVerdict::Valid { .. } => (None, None),
        SchemaVerdict::NoSchema => {
            let then = match schemas.on_missing() {
                OnMissing::Allow => Then::Goes,
                OnMissing::Quarantine => Then::IsKept,
                OnMissing::Reject => Then::IsRefused,
            };
            let why = "no schema for this event type";
            let problem = PayloadProblem { pointer: String::new(), message: why.to_owned() };
            (None, Some((then, vec![problem], Refusal::new(Class::SchemaRejected, why))))
        }
        SchemaVerdict::Invalid { schema, problems, .. } => {
            let problems = problems.into_iter().take(PROBLEMS_MAX);
            let problems =
                problems.map(|error| PayloadProblem { pointer: error.instance_path, message: error.message }).collect();
            let refusal = Refusal::new(Class::SchemaRejected, "payload does not match its schema");
            (Some(schema.to_string()), Some((invalid(), problems, refusal)))
        }
    }
}
