//! The policy for an event that fails a gate after the signature: it goes on, is kept in quarantine, or is refused.
//!
//! One decision for quota, hygiene and schemas. With `enforce: false` every event goes on. While the failure brake is on,
//! an event that would be refused is kept: one step before the provider gives the source up, refusals of our own making
//! cost more than they protect.

use crate::clock::Timestamp;
use crate::refusal::{OnFailure, PayloadProblem, Refusal};
use crate::rules::SourceRules;

/// The result of a gate that the event passed, or that it failed without being refused.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    /// The problems for which the event is kept in quarantine; none where it passes.
    pub(crate) problems: Vec<PayloadProblem>,
    /// True when the event is kept only because the failure brake is on.
    pub(crate) is_braked: bool,
}

/// Applies the policy to an event that failed a gate. `brake_at` is the moment as of which the failure brake is asked;
/// `None` for a stored event, which was answered long ago.
pub(super) fn keep_or_refuse(
    lane: &SourceRules,
    on: OnFailure,
    (problems, refusal): (Vec<PayloadProblem>, Refusal),
    brake_at: Option<Timestamp>,
) -> Result<Kept, Refusal> {
    if !lane.source.enforce {
        return Ok(Kept::default());
    }
    match on {
        OnFailure::Allow => Ok(Kept::default()),
        OnFailure::Quarantine => Ok(Kept { problems, is_braked: false }),
        OnFailure::Reject => {
            let is_braked = brake_at.is_some_and(|now| lane.budget.brakes(now));
            if is_braked { Ok(Kept { problems, is_braked }) } else { Err(refusal) }
        }
    }
}
