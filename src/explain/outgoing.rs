//! What services are sent, as it would go out at the first try.

use std::sync::Arc;

use bytes::Bytes;
use data_encoding::BASE64;
use serde::Serialize;
use serde_json::Value;

use super::told::shown_headers;
use crate::clock::Timestamp;
use crate::deliver::Destinations;
use crate::event::{Copy, EventData, KeyHash};

/// What one service is sent.
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
    /// Digests of the whole URLs: whether it goes elsewhere can be told without saying where.
    #[serde(skip)]
    pub addresses: Vec<KeyHash>,
    /// The method.
    pub method: String,
    /// The order key, as people see it.
    pub order_key: Option<String>,
    /// The headers, but `Host` and the length.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Option<BodyShown>,
    /// Why nothing would be sent.
    pub error: Option<String>,
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

/// A body as JSON where it is JSON, as text where it is text.
pub(super) fn shown_body(body: &Bytes) -> BodyShown {
    if let Ok(json) = serde_json::from_slice(body) {
        return BodyShown::Json(json);
    }
    std::str::from_utf8(body)
        .map_or_else(|_bytes| BodyShown::Base64(BASE64.encode(body)), |text| BodyShown::Text(text.to_owned()))
}

pub(super) fn all(event: &EventData, destinations: &Destinations, now: Timestamp) -> Vec<Sent> {
    event.copies.iter().map(|copy| one(event, copy, destinations, now)).collect()
}

fn one(event: &EventData, copy: &Copy, destinations: &Destinations, now: Timestamp) -> Sent {
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
    match destination.outgoing(event, Some(copy), 1, now) {
        Ok(shaped) => {
            sent.headers = shown_headers(&shaped.headers);
            sent.body = Some(shown_body(&shaped.body));
        }
        Err(error) => sent.error = Some(error.to_string()),
    }
    sent
}
