//! The notes of the gates: what is worth counting, logging or explaining, and did not end the request.
//!
//! Each gate's result passes through here once, is noted, and goes on.

use std::sync::Arc;
use std::time::Duration;

use super::policy::Kept;
use super::routes::{Named, RouteError, Routed};
use super::{payload, signature};
use crate::body::Document;
use crate::clock::Timestamp;
use crate::event::Dispatch;
use crate::provider::{SignatureVerdict, Verified};
use crate::refusal::{PayloadProblem, Refusal};
use crate::rules::NeedsKeys;

/// Observations of the gates on one request, for metrics, the log and explanations.
#[derive(Debug, Default)]
pub struct Notes {
    /// The verdict on the signature; `None` where it was not judged.
    pub verdict: Option<SignatureVerdict>,
    /// The name of the secret that matched.
    pub secret: Option<String>,
    /// The label of the format in which the body was read, for the log; `None` before it is read.
    pub body_read: Option<&'static str>,
    /// The schema that the payload failed, or what stands for all where it cannot be read.
    pub schema_failed: Option<String>,
    /// Routes that matched.
    pub matched: Vec<Arc<str>>,
    /// Routes that failed with an error: their condition, a key, or the event's type that they need.
    pub route_errors: Vec<RouteError>,
    /// The event's type.
    pub event_type: Option<String>,
    /// The provider's own id of the delivery.
    pub delivery_id: Option<String>,
    /// The time between signing and receipt, where the scheme says it.
    pub lag: Option<Duration>,
    /// The keys under which the same request may verify.
    pub needs_keys: NeedsKeys,
    /// In `mode: sync`, who answered the sender.
    pub answered_by: Option<&'static str>,
    /// True when the event was kept instead of refused because the provider is about to give the source up.
    pub braked: bool,
}

impl Notes {
    /// Returns the label of the verdict for logs; empty where the signature was not judged.
    pub fn verdict_label(&self) -> &'static str {
        self.verdict.map_or("", SignatureVerdict::label)
    }

    pub(super) fn signature(
        &mut self,
        now: Timestamp,
        checked: signature::CheckedSignature,
    ) -> Result<Verified, Refusal> {
        (self.verdict, self.needs_keys) = (Some(checked.verdict), checked.needs_keys);
        if let Ok(proof) = &checked.proof {
            let lag = |at: Timestamp| Duration::from_millis(now.unix_ms().saturating_sub(at.unix_ms()));
            self.secret = proof.secret().map(|name| name.as_str().to_owned());
            self.lag = proof.signed_at().map(lag);
        }
        checked.proof
    }

    pub(super) fn kept(&mut self, kept: Result<Kept, Refusal>) -> Result<Vec<PayloadProblem>, Refusal> {
        let Kept { problems, is_braked } = kept?;
        self.braked |= is_braked;
        Ok(problems)
    }

    pub(super) fn payload(&mut self, checked: payload::CheckedPayload) -> Result<Vec<PayloadProblem>, Refusal> {
        self.schema_failed = checked.schema;
        self.kept(checked.kept)
    }

    pub(super) fn document<'b>(&mut self, document: Document<'b>) -> Document<'b> {
        self.body_read = Some(document.label());
        document
    }

    pub(super) fn named(&mut self, named: Named) -> Named {
        self.event_type.clone_from(&named.event_type);
        self.delivery_id.clone_from(&named.delivery_id);
        named
    }

    pub(super) fn routed(&mut self, routed: Routed) -> Vec<Dispatch> {
        (self.matched, self.route_errors) = (routed.matched, routed.errors);
        routed.copies
    }
}
