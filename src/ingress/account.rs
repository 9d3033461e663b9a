//! Facts about an answered request: its delivery id for the log, the event that it repeats, and the verification state of
//! its source.

use http::HeaderMap;

use super::{Registry, Seen};
use crate::accept::{Notes, SignatureVerdict};
use crate::buffer::Repetition;
use crate::clock::Timestamp;
use crate::event::{DedupKey, EventId};
use crate::rules::SourceRules;
use crate::sender::Sender;

/// Notes the delivery id that a refused request claims, where its head or the bytes of its body say it: nothing that was not
/// verified is parsed.
pub(super) fn name(notes: &mut Notes, seen: &Seen<'_>, headers: &HeaderMap) {
    let Some(template) = seen.lane.and_then(|lane| lane.delivery_id.as_ref()).filter(|_| notes.delivery_id.is_none())
    else {
        return;
    };
    if !template.needs_json() && (seen.body.is_some() || !template.needs_body()) {
        notes.delivery_id = template.render(headers, None, (None, seen.body.as_deref().unwrap_or_default()));
    }
}

/// Returns the event that a duplicate repeats, where it is still known.
pub(super) async fn first_event(shared: &Registry, repeats: Option<DedupKey>) -> Option<EventId> {
    let (dedup, buffer) = (repeats?, shared.buffer.clone());
    let found = tokio::task::spawn_blocking(move || buffer.repeated(&dedup)).await;
    found.ok()?.ok()?.and_then(|Repetition { first }| first)
}

/// Records whether a request verified, and tells what that changes about its source.
pub(super) fn verification(
    shared: &Registry,
    lane: &SourceRules,
    (verdict, sender): (Option<SignatureVerdict>, Sender),
    now: Timestamp,
) {
    let change = match verdict {
        // Not judged, or nothing to judge by.
        None | Some(SignatureVerdict::NotConfigured) => return,
        Some(SignatureVerdict::Verified) => lane.watch.verified(sender, now),
        Some(SignatureVerdict::Failed(kind)) => lane.watch.failed(sender, kind, now),
    };
    shared.telemetry.verification(&lane.source.name, lane.watch.standing(), change);
}
