//! Headers of outgoing requests, and the meaning of answers.
//!
//! A request carries the original headers (already without hop-by-hop ones and without look-alikes of ours) plus the
//! `Hookgate-…` headers of the contract. An answer has a status: 2xx is success, 3xx is not followed (`redirect`),
//! `Retry-After` is a wait (`retry_after`), 410 and `webhook-delivery: abort-message` (Standard Webhooks) end the
//! delivery.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::attempt::{Answer, Target};
use super::redirect;
use super::retry_after::{self, RetryAfter};
use crate::clock::Timestamp;
use crate::event::EventData;
use crate::outcome::{Attempt, AttemptOutcome};
use crate::telemetry::AttemptTrace;

/// Builds the header block of one attempt, but `Host` and `Content-Length`.
pub(crate) fn headers(event: &EventData, route: &str, attempt: u32) -> HeaderMap {
    let mut headers = event.header_map();
    let mut ours = |name: &'static str, value: &str| {
        // Names and types may hold what a header cannot; such a header is left out, and the delivery is made.
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    };
    let id = event.id.to_string();
    ours("hookgate-event-id", &id);
    ours("hookgate-source", &event.source);
    ours("hookgate-route", route);
    ours("hookgate-attempt", &attempt.to_string());
    ours("hookgate-received-at", &event.received_at().to_string());
    ours("hookgate-verified", event.verified_by.as_deref().unwrap_or("none"));
    if let Some(event_type) = &event.event_type {
        ours("hookgate-event-type", event_type);
    }
    if !event.headers.iter().any(|(name, _)| name == "traceparent") {
        let trace: String = id.chars().filter(|c| *c != '-').collect();
        let span = trace.get(16..).unwrap_or("0000000000000001");
        ours("traceparent", &format!("00-{trace}-{span}-00"));
    }
    headers
}

/// Names the span of this attempt in place of the sender's.
pub(crate) fn name_span(headers: &mut HeaderMap, trace: &AttemptTrace) {
    if let Some(value) = trace.traceparent() {
        headers.insert(HeaderName::from_static("traceparent"), value);
    }
    if !trace.keeps_tracestate() {
        headers.remove("tracestate");
    }
}

/// Interprets an answer of `target`: its outcome, its wait, and whether it ends the delivery.
pub(crate) fn judge(answer: &Answer, target: &Target, now: Timestamp) -> Attempt {
    let outcome = AttemptOutcome::of_status(answer.status);
    let text = |name: &str| answer.headers.get(name).and_then(|value| value.to_str().ok());
    let abort = answer.status == 410 || text("webhook-delivery").is_some_and(|value| value.trim() == "abort-message");
    let (retry_after, unread_retry_after) = match retry_after::read(&answer.headers, now) {
        // A wait of zero is no deferral: repeated for ever, it would never count as an attempt.
        RetryAfter::Absent | RetryAfter::Wait(Duration::ZERO) => (None, None),
        RetryAfter::Wait(wait) => (Some(wait), None),
        RetryAfter::Unreadable(value) => (None, Some(value)),
    };
    Attempt {
        outcome,
        status: Some(answer.status),
        retry_after,
        unread_retry_after,
        abort: abort && outcome != AttemptOutcome::Success,
        detail: redirect::told(answer, target).unwrap_or_else(|| format!("status {}", answer.status)),
    }
}

#[cfg(test)]
mod tests {

    use bytes::Bytes;

    use super::*;

    fn judged(status: u16, headers: &[(&'static str, &'static str)]) -> Attempt {
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        let answer = Answer { status, headers, body: Bytes::new(), is_whole: true };
        judge(&answer, &Target::parse("http://svc/").unwrap(), Timestamp::from_unix_secs(784_111_777))
    }

    #[test]
    fn retry_after_is_a_wait_or_told_as_unreadable() {
        let wait = |value| {
            let attempt = judged(503, &[("retry-after", value)]);
            (attempt.retry_after, attempt.unread_retry_after)
        };
        assert_eq!(wait("120"), (Some(Duration::from_mins(2)), None));
        assert_eq!(wait("Sun, 06 Nov 1994 08:50:37 GMT"), (Some(Duration::from_mins(1)), None));
        assert_eq!(wait("soon"), (None, Some("soon".to_owned())));
        for none in ["0", "Thu, 01 Jan 1970 00:00:00 GMT"] {
            assert_eq!(wait(none), (None, None), "{none} asks for no wait, and the attempt counts");
        }
    }

    #[test]
    fn a_destination_can_end_a_delivery_for_good() {
        assert!(judged(410, &[]).abort);
        assert!(judged(500, &[("webhook-delivery", "abort-message")]).abort);
        assert!(!judged(500, &[]).abort);
    }
}
