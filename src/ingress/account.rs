//! Facts about an answered request: its path and delivery id for the log, the event that it repeats, and the
//! verification state of its source.

use std::borrow::Cow;

use http::HeaderMap;

use super::{Seen, Shared};
use crate::accept::{Notes, SignatureVerdict};
use crate::buffer::Repetition;
use crate::clock::Timestamp;
use crate::event::{DedupKey, EventId};
use crate::lane::Lane;
use crate::sender::Sender;

/// Parts of a path parameter's name that mark the parameter as a secret.
const SECRET_NAMES: [&str; 4] = ["token", "secret", "key", "password"];

/// Returns the path for the log: as received, but for parameters that are named like a secret.
pub(super) fn path<'p>(lane: Option<&Lane>, path: &'p str) -> Cow<'p, str> {
    let Some(pattern) = lane.map(|lane| &lane.source.path) else { return Cow::Borrowed(path) };
    let is_secret = |name: &str| SECRET_NAMES.iter().any(|secret| name.to_ascii_lowercase().contains(secret));
    if !pattern.parameters().any(is_secret) {
        return Cow::Borrowed(path);
    }
    let segments = pattern.as_str().split('/').zip(path.split('/')).map(|(written, sent)| {
        let name = written.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
        if name.is_some_and(is_secret) { written } else { sent }
    });
    Cow::Owned(segments.collect::<Vec<_>>().join("/"))
}

/// Notes the delivery id that a refused request claims, where its head or the bytes of its body contain it: unverified
/// bytes are never parsed.
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
pub(super) async fn first_event(shared: &Shared, repeats: Option<DedupKey>) -> Option<EventId> {
    let (dedup, buffer) = (repeats?, shared.buffer.clone());
    let found = tokio::task::spawn_blocking(move || buffer.repeated(&dedup)).await;
    found.ok()?.ok()?.and_then(|Repetition { first }| first)
}

/// Records whether a request verified, and tells what that changes about its source.
pub(super) fn verification(
    shared: &Shared,
    lane: &Lane,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_without_a_source_is_shown_as_it_came() {
        assert_eq!(path(None, "/in/abc"), "/in/abc");
    }
}
