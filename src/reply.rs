//! The replies to senders, all made here.
//!
//! A refusal is `application/problem+json` (RFC 9457) with the class of the closed list. It never says why a signature
//! failed and never repeats the payload. Its status is the refusal's own, that of the source's `answers:`, or the
//! class's default. Replies are written to the wire by `ingress/write.rs`.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use serde::Serialize;

use crate::answer::Answer;
use crate::event::EventId;
use crate::hop;
use crate::provider::HandshakeReply;
use crate::refusal::{PayloadProblem, Refusal, RequestOutcome};
use crate::source::Source;

/// The body of RFC 9457, with the outcome and, for a payload that does not fit, the problems.
#[derive(Serialize)]
struct Problem<'a> {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [PayloadProblem],
}

/// An answer, ready to be written.
#[derive(Debug)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The headers, without the length.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// True if the connection ends with this answer.
    pub closes: bool,
    /// True if the request's body may be unread; the connection cannot go on if it is.
    pub is_early: bool,
}

impl Reply {
    fn new(status: u16) -> Self {
        Self { status, headers: HeaderMap::new(), body: Bytes::new(), closes: false, is_early: false }
    }

    /// Makes the reply that is written for an outcome: status, headers, and a body of its own.
    fn written(status: u16, answer: Option<&Answer>) -> Self {
        let mut reply = Self::new(status);
        if let Some(answer) = answer {
            reply.headers.extend(answer.headers.iter().cloned());
            reply.body = answer.body.clone().map(Bytes::from).unwrap_or_default();
        }
        reply
    }

    /// Makes the reply to a request that is not refused, with the id of its event.
    pub fn accepted(outcome: RequestOutcome, source: &Source, event: Option<EventId>) -> Self {
        let mut reply = Self::written(source.answers.status(outcome), source.answers.get(outcome));
        if let Some(id) = event {
            reply.name(id);
        }
        reply
    }

    /// Sets the header `hookgate-event-id`.
    pub fn name(&mut self, event: EventId) {
        if let Ok(value) = HeaderValue::from_str(&event.to_string()) {
            self.headers.insert("hookgate-event-id", value);
        }
    }

    /// Makes the reply to a refusal.
    pub fn refusal(refusal: &Refusal, source: Option<&Source>) -> Self {
        let class = refusal.class;
        let answer = source.and_then(|source| source.answers.get(RequestOutcome::Refused(class)));
        let status = refusal.status.or(answer.map(|answer| answer.status)).unwrap_or(class.status());
        let mut reply = Self::written(status, answer);
        reply.closes = refusal.breaks_framing;
        reply.is_early = true;
        if status != 204 && status != 304 && answer.is_none_or(|answer| answer.body.is_none()) {
            let problem = Problem {
                r#type: "about:blank",
                title: refusal.told.as_ref().map_or(class.title(), |told| told.title),
                status,
                outcome: class.label(),
                detail: refusal.told.as_ref().map(|told| &*told.detail),
                errors: &refusal.problems,
            };
            reply.body = serde_json::to_vec(&problem).map(Bytes::from).unwrap_or_default();
            reply.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        }
        if let Some(secs) = refusal.retry_after_secs {
            reply.headers.insert(header::RETRY_AFTER, HeaderValue::from(secs));
        }
        if let Some((name, value)) = refusal.told.as_ref().and_then(|told| told.header) {
            reply.headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        if let (405, Some(source)) = (class.status(), source)
            && let Ok(allow) = HeaderValue::from_str(&source.methods.join(", "))
        {
            reply.headers.insert(header::ALLOW, allow);
        }
        reply
    }

    /// Makes the reply to a provider's handshake.
    pub fn handshake(handshake: HandshakeReply) -> Self {
        let mut reply = Self::new(handshake.status);
        reply.headers.extend(handshake.headers);
        if let Some(content_type) = handshake.content_type {
            reply.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        reply.headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        reply.body = Bytes::from(handshake.body);
        reply
    }

    /// Makes the reply of `mode: sync`: the internal service's own, without the headers of its connection and its
    /// framing.
    pub fn passed_back(status: u16, headers: &HeaderMap, body: Bytes, event: EventId) -> Self {
        let mut reply = Self::new(status);
        let passed = hop::end_to_end(headers).filter(|(name, _)| *name != header::CONTENT_LENGTH);
        reply.headers.extend(passed.map(|(name, value)| (name.clone(), value.clone())));
        reply.name(event);
        reply.body = body;
        reply
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refusal::Class;

    #[test]
    fn a_refusal_says_its_class_and_not_its_reason() {
        let refusal = Refusal::new(Class::BadSignature, "wrong secret, or the body was changed");
        let reply = Reply::refusal(&refusal, None);
        let text = std::str::from_utf8(&reply.body).unwrap();
        assert_eq!(
            text,
            r#"{"type":"about:blank","title":"Signature not accepted","status":401,"outcome":"bad_signature"}"#
        );
    }

    #[test]
    fn a_refusal_tells_the_sender_how_to_mend_the_request() {
        let refusal = Refusal::new(Class::BadContentType, "for the operator").telling("Title", "Detail");
        let refusal = refusal.with_header("accept-encoding", "identity");
        let reply = Reply::refusal(&refusal, None);
        let body: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
        assert_eq!((&body["title"], &body["detail"]), (&"Title".into(), &"Detail".into()));
        assert_eq!(reply.headers.get("accept-encoding").unwrap(), "identity");
    }

    #[test]
    fn headers_that_the_service_s_connection_names_are_not_passed_back() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "X-Session, close"),
            ("x-session", "of the hop"),
            ("keep-alive", "timeout=5"),
            ("content-length", "7"),
            ("set-cookie", "a=1"),
            ("set-cookie", "b=2"),
        ] {
            headers.append(name, HeaderValue::from_static(value));
        }
        let reply = Reply::passed_back(200, &headers, Bytes::new(), EventId::NIL);
        let names = ["connection", "x-session", "keep-alive", "content-length"];
        assert!(names.iter().all(|name| !reply.headers.contains_key(*name)), "{:?}", reply.headers);
        assert_eq!(reply.headers.get_all("set-cookie").iter().count(), 2);
    }

    #[test]
    fn a_source_may_answer_otherwise() {
        let mut source = crate::source::tests::source("s", "/s", None);
        let outcome = RequestOutcome::Refused(Class::RateLimited);
        source.answers = [(outcome, Answer::of_status(429))].into_iter().collect();
        let reply = Reply::refusal(&Refusal::new(Class::RateLimited, "x"), Some(&source));
        assert_eq!((reply.status, reply.headers.get("retry-after").unwrap().as_bytes()), (429, &b"30"[..]));
    }
}
