//! The form in which a destination gets the body: as received, as a CloudEvent, or in an envelope of ours.
//!
//! A JSON body becomes a member of the new one with its bytes unchanged, so that numbers keep their digits and objects
//! their order; any other body is base64.

use std::fmt::Write;

use data_encoding::BASE64;
use serde_json::{Map, Value, json};

use super::Shaped;
use crate::event::EventData;
use crate::payload::{Payload, without_mark};

/// The form of a body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BodyFormat {
    /// The bytes as received.
    #[default]
    Raw,
    /// CloudEvents 1.0, structured JSON (<https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md>).
    CloudEvents,
    /// Our own envelope: the request with its headers in one JSON object.
    Envelope,
}

/// The type of events whose provider names none; CloudEvents asks for one.
const NO_TYPE: &str = "event";
const OCTETS: &str = "application/octet-stream";

impl BodyFormat {
    pub(super) fn apply(self, event: &EventData, route: &str, shaped: &mut Shaped) {
        match self {
            Self::Raw => {}
            Self::CloudEvents => {
                let body = with_body(cloud_event(event, shaped), ("data", "data_base64"), &shaped.body);
                shaped.replace(body, "application/cloudevents+json");
            }
            Self::Envelope => {
                let body = with_body(envelope(event, route, shaped), ("body", "body_base64"), &shaped.body);
                shaped.replace(body, "application/json");
            }
        }
    }
}

fn content_type(shaped: &Shaped) -> &str {
    shaped.headers.get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or(OCTETS)
}

fn cloud_event(event: &EventData, shaped: &Shaped) -> Map<String, Value> {
    let mut members = Map::new();
    let mut set = |name: &str, value: &str| drop(members.insert(name.to_owned(), Value::from(value)));
    set("specversion", "1.0");
    set("id", &event.id.to_string());
    // A URI reference: the source as its name, below the gateway.
    set("source", &format!("/hookgate/sources/{}", event.source));
    set("type", event.event_type.as_deref().filter(|name| !name.is_empty()).unwrap_or(NO_TYPE));
    set("time", &event.received_at().to_string());
    set("datacontenttype", content_type(shaped));
    if let Some(delivery_id) = &event.delivery_id {
        set("deliveryid", delivery_id);
    }
    members
}

fn envelope(event: &EventData, route: &str, shaped: &Shaped) -> Map<String, Value> {
    // The headers as the transform left them: removed ones must not show here either.
    let came = |name: &str| event.headers.iter().any(|(known, _)| known == name);
    let is_request = |name: &str| came(name) || !(name.starts_with("hookgate-") || name == "traceparent");
    let mut headers: Map<String, Value> = Map::new();
    for name in shaped.headers.keys().filter(|name| is_request(name.as_str())) {
        let values = shaped.headers.get_all(name).iter();
        let values: Vec<Value> = values.map(|value| String::from_utf8_lossy(value.as_bytes()).into()).collect();
        headers.insert(name.as_str().to_owned(), values.into());
    }
    let members = json!({
        "id": event.id.to_string(),
        "source": &*event.source,
        "route": route,
        "type": event.event_type,
        "delivery_id": event.delivery_id,
        "received_at": event.received_at().to_string(),
        "verified": event.verified_by,
        "request": { "method": event.method, "target": event.target, "headers": headers },
        "content_type": content_type(shaped),
    });
    if let Value::Object(members) = members { members } else { Map::new() }
}

/// Writes the object with the body as its last member.
fn with_body(members: Map<String, Value>, (as_json, as_text): (&str, &str), body: &[u8]) -> Vec<u8> {
    let mut text = Value::Object(members).to_string();
    text.truncate(text.len().saturating_sub("}".len()));
    // `Payload` takes exactly one JSON document, so it cannot end the object early.
    let is_json = Payload::parse(body).is_ok();
    let written = match std::str::from_utf8(without_mark(body)) {
        Ok(json) if is_json => write!(text, ",\"{as_json}\":{json}}}"),
        _ => write!(text, ",\"{as_text}\":\"{}\"}}", BASE64.encode(body)),
    };
    // Writing to a string does not fail.
    debug_assert!(written.is_ok(), "a string takes everything");
    text.into_bytes()
}
