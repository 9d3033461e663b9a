//! Requests as a gateway shows them, read back to be judged here: for `diff`, and for `explain` under another file.
//!
//! Parts that the gateway hides are unknown here: a redacted host or sender is not judged, and a body that is hidden as
//! a whole counts as not kept.

use bytes::Bytes;
use data_encoding::BASE64;
use serde_json::Value;

use crate::credential::{Credentials, REDACTED};
use crate::event::{EventData, EventId, HeaderBytes};
use crate::explain::{self, Explanation, Signature, Verification, explain_recorded};
use crate::provider::NoKeys;
use crate::redact::Redaction;
use crate::refusal::RequestOutcome;
use crate::server::Live;

/// One request, as it was shown.
#[derive(Debug)]
pub(super) struct RecordedRequest {
    pub(super) event: EventData,
    /// The outcome of a request that was not stored.
    pub(super) aside: Option<RequestOutcome>,
    /// True if a part of the request was hidden.
    pub(super) is_redacted: bool,
    /// True if a credential of the sender was hidden.
    pub(super) hides_credentials: bool,
    has_body: bool,
    body_bytes: u64,
}

impl RecordedRequest {
    /// Reads the answer of `GET /api/v1/events/{id}`.
    pub(super) fn read(sheet: &Value) -> Option<Self> {
        let text = |name: &str| sheet.get(name).and_then(Value::as_str);
        let received: jiff::Timestamp = text("received_at")?.parse().ok()?;
        let header = |pair: &Value| {
            let (name, value) = (pair.get(0)?.as_str()?, pair.get(1)?.as_str()?);
            Some((name.to_owned(), HeaderBytes(Bytes::from(value.to_owned()))))
        };
        let body = sheet.get("body")?;
        let body = match (body.get("text"), body.get("base64")) {
            (Some(text), _) => Bytes::from(text.as_str()?.to_owned()),
            (None, encoded) => Bytes::from(BASE64.decode(encoded?.as_str()?.as_bytes()).ok()?),
        };
        let is_hidden = |name: &str| text(name) == Some(REDACTED);
        let is_redacted = sheet.get("redacted").and_then(Value::as_bool).unwrap_or(false)
            || ["host", "sender"].into_iter().any(is_hidden);
        // Only a request that was not stored has a member for the kept part of its body.
        let kept = text("body_kept");
        let hides_body = is_redacted && body == Value::from(REDACTED).to_string();
        let event = EventData {
            id: EventId::parse(text("id")?)?,
            source: text("source")?.into(),
            received_at_ms: u64::try_from(received.as_millisecond()).ok()?,
            event_type: text("type").map(str::to_owned),
            delivery_id: text("delivery_id").map(str::to_owned),
            verified_by: text("verified").map(str::to_owned),
            method: text("method")?.to_owned(),
            target: text("target")?.to_owned(),
            params: sheet
                .get("params")
                .and_then(|params| serde_json::from_value(params.clone()).ok())
                .unwrap_or_default(),
            headers: sheet.get("headers")?.as_array()?.iter().filter_map(header).collect(),
            copies: Vec::new(),
            problems: Vec::new(),
            unverified: text("unverified").map(str::to_owned),
            host: text("host").filter(|_| !is_hidden("host")).map(str::to_owned),
            sender: text("sender").and_then(|sender| sender.parse().ok()),
            body,
        };
        Some(Self {
            aside: kept.and(text("outcome")).and_then(RequestOutcome::of_label),
            is_redacted,
            hides_credentials: sheet.get("hidden").and_then(Value::as_array).is_some_and(|hidden| !hidden.is_empty()),
            has_body: kept.is_none_or(|kept| kept == "whole") && !hides_body,
            body_bytes: sheet.get("bytes").and_then(Value::as_u64).unwrap_or(event.body.len() as u64),
            event,
        })
    }

    /// Returns the credentials in the request, as far as they were shown.
    pub(super) fn credentials(&self, redaction: &Redaction) -> Credentials {
        let headers = self.event.headers.iter().map(|(name, value)| (name.as_str(), &*value.0));
        redaction.credentials_in((&self.event.target, &self.event.params), headers, &self.event.body)
    }

    /// Explains the request under these rules. A signature that is not judged is taken for right.
    pub(super) fn explained(&self, live: &Live, is_judged: bool) -> Explanation {
        let signature = if is_judged { Signature::Judged } else { Signature::Taken(self.event.verified_by.as_deref()) };
        let Self { event, has_body, body_bytes, .. } = self;
        let recorded =
            explain::Replayed { event, has_body: *has_body, body_bytes: *body_bytes, signature, keys: &NoKeys };
        explain_recorded(&live.rules, &live.destinations, &recorded)
    }

    /// Explains the request, and returns whether its signature was judged. A signature that was right at receipt and is
    /// wrong here, because the secret is elsewhere or has expired, is taken as it was judged then. One that was wrong
    /// is judged as it came.
    pub(super) fn explained_as_recorded(&self, live: &Live) -> (Explanation, bool) {
        let told = self.explained(live, true);
        if self.is_contradicted(&told) { (self.explained(live, false), false) } else { (told, true) }
    }

    /// Returns whether the signature was right at receipt and is wrong here.
    pub(super) fn is_contradicted(&self, told: &Explanation) -> bool {
        let is_wrong = |says: &Verification| says.secret.is_none() && says.verdict != "not_configured";
        self.event.verified_by.is_some() && told.verification.as_ref().is_some_and(is_wrong)
    }
}
