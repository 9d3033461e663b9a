//! The source's own quota, spent by verified requests only.

use super::Receipt;
use super::policy::{Kept, keep_or_refuse};
use crate::inbound::Head;
use crate::refusal::{Class, OnFailure, PayloadProblem, Refusal};
use crate::rules::SourceRules;

/// Spends the quota for one request.
pub(super) fn spend(lane: &SourceRules, head: &Head<'_>, receipt: Receipt<'_>) -> Result<Kept, Refusal> {
    let quota = lane.quota.as_ref().filter(|_| receipt.spends);
    let Some(Err(wait)) = quota.map(|quota| quota.check(head.sender)) else { return Ok(Kept::default()) };
    let mut refusal = Refusal::new(Class::RateLimited, "the source's own quota");
    refusal.retry_after_secs = Some(wait.secs());
    let message = "over the source's quota; kept because the provider is about to give the source up";
    let problem = PayloadProblem { pointer: String::new(), message: message.to_owned() };
    keep_or_refuse(lane, OnFailure::Reject, (vec![problem], refusal), Some(receipt.now))
}
