//! What hygiene and schemas say of a body that was read, and what their source does about it.
//!
//! A gate applies or refuses: what a schema cannot check is not passed over, but goes as the source's `on_invalid` says,
//! whatever the event's type, because a type that is read from the body is not known when the body was not read.
//!
//! `enforce: false` and the failure brake turn a refusal into an event; whoever asks says whether the brake is on.

use crate::body::Document;
use crate::lane::Lane;
use crate::refusal::{Class, PROBLEMS_MAX, PayloadProblem, Refusal};
use crate::schema::{OnInvalid, OnMissing, SchemaVerdict};
use crate::source::OnMalformed;

/// The label of `schema_failures_total` for a body that no schema can check.
const UNREAD: &str = "_unread";

/// What was found.
#[derive(Debug)]
pub(crate) struct Checked {
    /// The schema that the body failed, or [`UNREAD`].
    pub(crate) schema: Option<String>,
    /// What is wrong with it, for an event that is kept back; or why it is refused.
    pub(crate) problems: Result<Vec<PayloadProblem>, Refusal>,
}

/// What becomes of a body with problems.
#[derive(Clone, Copy)]
enum Then {
    Goes,
    IsKept,
    IsRefused,
}

/// Checks a body. `brakes` says whether what would be refused is kept instead, and is asked only when it would be.
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

/// What would become of a body, its problems, and the refusal where it is refused.
type Found = (Then, Vec<PayloadProblem>, Refusal);

/// What the source says about a body that is not what it claims to be.
fn malformed(lane: &Lane, problem: &PayloadProblem) -> Found {
    let then = match lane.source.on_malformed {
        OnMalformed::Allow => Then::Goes,
        OnMalformed::Quarantine => Then::IsKept,
        OnMalformed::Reject => Then::IsRefused,
    };
    (then, vec![problem.clone()], Refusal::new(Class::Malformed, problem.message.clone()))
}

/// The schema that a body fails, and what becomes of it; nothing where there is nothing to check.
fn against_schema(lane: &Lane, event_type: &str, document: &Document<'_>) -> (Option<String>, Option<Found>) {
    let Some(schemas) = &lane.schemas else { return (None, None) };
    let invalid = || match schemas.on_invalid() {
        OnInvalid::Allow => Then::Goes,
        OnInvalid::Quarantine => Then::IsKept,
        OnInvalid::Reject => Then::IsRefused,
    };
    let verdict = match document.checked() {
        Some(checked) => schemas.check(event_type, &checked),
        // Without a schema there is none that a body could break; what has none is missing one.
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
