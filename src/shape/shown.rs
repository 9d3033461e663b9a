//! Outgoing requests as people see them: without the values of variables and secrets.
//!
//! Expressions and headers with such values have a twin with `${NAME}` in the place of each value. A transform that has any
//! is run for both readers. Of the body that is sent, only those members are shown that come out alike under both, so a value
//! cannot be read off what an expression made of it.
//!
//! The sent request is not changed here. Not here: redaction of received values (`redact`).

use std::fmt;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Map, Value};

use super::Shaped;
use crate::credential::REDACTED;

/// The headers that hold a credential under any service; their values are never shown.
const CREDENTIALS: &[&str] = &[
    "authorization",
    "proxy-authorization",
    "cookie",
    "x-api-key",
    "api-key",
    "apikey",
    "x-auth-token",
    "x-access-token",
    "x-functions-key",
];

/// Returns whether a header of this name holds a credential, by the name alone.
pub fn is_credential(name: &str) -> bool {
    CREDENTIALS.iter().any(|known| known.eq_ignore_ascii_case(name))
}

/// The reader of what is worked out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Audience {
    /// Is sent it.
    Service,
    /// Sees no values of variables and secrets.
    Person,
}

/// Headers that are set: by a transform, or by a destination on every attempt.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SetHeaders {
    /// The headers as they are sent.
    pub sent: HeaderMap,
    /// The headers as they are shown.
    pub shown: HeaderMap,
}

impl SetHeaders {
    /// Adds a header, of which people see `shown`.
    pub fn add(&mut self, name: HeaderName, value: HeaderValue, shown: Option<HeaderValue>) {
        self.shown.insert(name.clone(), shown.unwrap_or_else(|| value.clone()));
        self.sent.insert(name, value);
    }

    pub(super) const fn of(&self, reader: Audience) -> &HeaderMap {
        match reader {
            Audience::Service => &self.sent,
            Audience::Person => &self.shown,
        }
    }
}

/// The reason why nothing is sent, without the values of variables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorShown(pub(super) String);

impl fmt::Display for ErrorShown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ErrorShown {}

/// Sets the headers over those that are there.
pub(super) fn put(set: &HeaderMap, headers: &mut HeaderMap) {
    for name in set.keys() {
        headers.remove(name);
    }
    for (name, value) in set {
        headers.append(name.clone(), value.clone());
    }
}

impl Shaped {
    /// Returns this request for people, where a run without the values gave `masked`; an error there hides the whole
    /// result.
    pub(super) fn masked_by<E>(&self, masked: Result<Self, E>) -> Self {
        let Ok(masked) = masked else {
            let headers = self.headers.iter().map(|(name, value)| (name.clone(), hidden_if_sensitive(value)));
            let body = if self.is_made { hidden_body() } else { self.body.clone() };
            return Self { headers: headers.collect(), body, is_made: self.is_made };
        };
        let mut headers = masked.headers;
        let signature = self.headers.iter().filter(|(name, _)| is_of_signature(name));
        let signature: Vec<_> = signature.map(|(name, value)| (name.clone(), value.clone())).collect();
        for (name, value) in signature {
            headers.insert(name, value);
        }
        let body = if self.body == masked.body { self.body.clone() } else { alike_body(&self.body, &masked.body) };
        Self { headers, body, is_made: self.is_made }
    }
}

fn is_of_signature(name: &HeaderName) -> bool {
    name.as_str().starts_with("webhook-")
}

fn hidden_if_sensitive(value: &HeaderValue) -> HeaderValue {
    if value.is_sensitive() { HeaderValue::from_static(REDACTED) } else { value.clone() }
}

fn hidden_body() -> Bytes {
    Bytes::from(Value::from(REDACTED).to_string())
}

fn alike_body(sent: &[u8], masked: &[u8]) -> Bytes {
    match (serde_json::from_slice(sent), serde_json::from_slice(masked)) {
        (Ok(sent), Ok(masked)) => Bytes::from(alike(&sent, &masked).to_string()),
        _ => hidden_body(),
    }
}

/// Returns what is the same in both. Where they differ, it returns the masked text if that names a variable, otherwise
/// [`REDACTED`].
fn alike(sent: &Value, masked: &Value) -> Value {
    match (sent, masked) {
        _ if sent == masked => sent.clone(),
        (Value::Object(sent), Value::Object(masked)) => {
            let mut shown = Map::new();
            for (name, value) in sent {
                match masked.get(name) {
                    Some(other) => shown.insert(name.clone(), alike(value, other)),
                    // The name itself may be the value.
                    None => shown.insert(REDACTED.to_owned(), Value::from(REDACTED)),
                };
            }
            Value::Object(shown)
        }
        (Value::Array(sent), Value::Array(masked)) if sent.len() == masked.len() => {
            Value::Array(sent.iter().zip(masked).map(|(sent, masked)| alike(sent, masked)).collect())
        }
        (_, Value::String(text)) if text.contains("${") => Value::from(text.as_str()),
        _ => Value::from(REDACTED),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_is_the_same_without_the_value_is_shown() {
        let sent = json!({"a": 1, "token": "Bearer s3cr3t", "env": "live", "list": [1, "s3cr3t"], "s3cr3t": 2, "n": 6});
        let masked =
            json!({"a": 1, "token": "Bearer ${TOK}", "env": "test", "list": [1, "${TOK}"], "${TOK}": 2, "n": 9});
        let wanted = json!({"a": 1, "token": "Bearer ${TOK}", "env": REDACTED, "list": [1, "${TOK}"], REDACTED: REDACTED, "n": REDACTED});
        assert_eq!(alike(&sent, &masked), wanted);
    }

    #[test]
    fn a_header_that_is_set_replaces_those_of_its_name() {
        let mut headers = HeaderMap::new();
        headers.append("authorization", HeaderValue::from_static("of the sender"));
        headers.append("authorization", HeaderValue::from_static("another"));
        let set = HeaderMap::from_iter([(http::header::AUTHORIZATION, HeaderValue::from_static("ours"))]);
        put(&set, &mut headers);
        assert_eq!(headers.get_all("authorization").iter().collect::<Vec<_>>(), ["ours"]);
    }
}
