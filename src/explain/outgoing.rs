//! Requests to services, as they would be sent at the first attempt.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use data_encoding::BASE64;
use serde::Serialize;
use serde_json::Value;

use crate::clock::Timestamp;
use crate::credential::REDACTED;
use crate::deliver::Destinations;
use crate::event::{Dispatch, EventData, KeyHash};
use crate::payload::Payload;
use crate::shape::is_credential;
use http::HeaderMap;

/// A request to one service.
#[derive(Clone, Debug, Serialize)]
pub struct Sent {
    /// The route.
    pub route: String,
    /// The destination.
    pub destination: String,
    /// Host and port of its targets. Paths may hold secrets.
    pub targets: Vec<String>,
    /// Places of the sender's credentials that are not forwarded, such as `query:token`.
    pub withheld: Vec<String>,
    /// The values of the event in path and query, where the URL holds some.
    pub path: Option<String>,
    /// Digests of the whole URLs: they show a changed address without the address.
    #[serde(skip)]
    pub addresses: Vec<KeyHash>,
    /// The method.
    pub method: String,
    /// The order key, as people see it.
    pub order_key: Option<String>,
    /// The headers without `Host` and the length, and without the values of variables, secrets and credentials.
    pub headers: Vec<(String, String)>,
    /// The body, without the values of variables.
    pub body: Option<BodyShown>,
    /// Headers, body and order key for comparisons, because the shown ones lack values.
    #[serde(skip)]
    pub compared: ComparedRequest,
    /// The reason for which nothing would be sent.
    pub error: Option<String>,
}

/// Headers, body and order key with all their values, to be compared and never shown.
#[derive(Clone, Default, PartialEq)]
pub struct ComparedRequest {
    /// Digests of the values, by the header's name.
    pub headers: Vec<(String, KeyHash)>,
    /// The body.
    pub body: Option<BodyShown>,
    /// The digest of the order key.
    pub order_key: Option<[u8; 16]>,
}

impl fmt::Debug for ComparedRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Compared")
    }
}

/// A body for people.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BodyShown {
    /// JSON.
    Json(Value),
    /// Other text.
    Text(String),
    /// Other bytes.
    Base64(String),
}

/// Returns a body as JSON where it is JSON, as text where it is text, else as base64.
pub(super) fn shown_body(body: &Bytes) -> BodyShown {
    if let Some(json) = Payload::lenient(body) {
        return BodyShown::Json(json);
    }
    std::str::from_utf8(body)
        .map_or_else(|_bytes| BodyShown::Base64(BASE64.encode(body)), |text| BodyShown::Text(text.to_owned()))
}

pub(super) fn all(event: &EventData, destinations: &Destinations, now: Timestamp) -> Vec<Sent> {
    event.copies.iter().map(|copy| one(event, copy, destinations, now)).collect()
}

fn one(event: &EventData, copy: &Dispatch, destinations: &Destinations, now: Timestamp) -> Sent {
    let mut sent = Sent {
        route: copy.route.to_string(),
        destination: copy.destination.to_string(),
        targets: Vec::new(),
        withheld: Vec::new(),
        path: None,
        addresses: Vec::new(),
        method: event.method.clone(),
        order_key: copy.order.as_ref().map(|key| key.label.clone()),
        headers: Vec::new(),
        body: None,
        compared: ComparedRequest { order_key: copy.order.as_ref().map(|key| key.hash), ..ComparedRequest::default() },
        error: None,
    };
    let Some(destination) = destinations.get(&copy.destination) else {
        sent.error = Some("there is no such destination in these rules".to_owned());
        return sent;
    };
    sent.targets = destination.labels();
    sent.withheld = destination.shape.withheld.of(event);
    let event = &*destination.shape.withheld.forwarded(event);
    for weighted in destination.balance.targets.iter() {
        match destination.address(event, Arc::clone(&weighted.target)) {
            Ok(filled) => {
                sent.addresses.push(KeyHash::of(&filled.url()));
                sent.path = destination.address_shown(event, &weighted.target).ok().flatten().or(sent.path);
            }
            Err(error) => {
                sent.error = Some(error.to_string());
                return sent;
            }
        }
    }
    let outgoing = destination.outgoing(event, Some(copy), 1, now);
    match destination.outgoing_shown(event, Some(copy), 1, &outgoing) {
        Ok(shown) => {
            sent.headers = shown_headers(&shown.headers);
            sent.body = Some(shown_body(&shown.body));
        }
        Err(error) => sent.error = Some(error.to_string()),
    }
    if let Ok(shaped) = outgoing {
        let digest = |(name, value): (String, String)| (name, KeyHash::of(&value));
        sent.compared.headers = texts(&shaped.headers).map(digest).collect();
        sent.compared.headers.sort();
        sent.compared.body = Some(shown_body(&shaped.body));
    }
    sent
}

fn shown_headers(headers: &HeaderMap) -> Vec<(String, String)> {
    let shown = texts(headers).map(|(name, value)| {
        // A text with a variable is shown: it says more than that a value is hidden.
        let is_hidden = is_credential(&name) && !value.contains("${");
        (name, if is_hidden { REDACTED.to_owned() } else { value })
    });
    let mut shown: Vec<_> = shown.collect();
    shown.sort();
    shown
}

fn texts(headers: &HeaderMap) -> impl Iterator<Item = (String, String)> {
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    headers.iter().map(move |(name, value)| (name.as_str().to_owned(), text(value)))
}
