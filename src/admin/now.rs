//! The page of one stored event with what is true of it now: why its deliveries wait, and which routes fail on it under
//! the rules in force.

use serde_json::{Value, json};
use tokio::time::Instant;

use super::hidden::{self, Redactions};
use super::{PageState, json, standing};
use crate::accept::route_again;
use crate::archive::state_of;
use crate::buffer::StoredEvent;
use crate::clock::Timestamp;
use crate::event::EventData;

/// Returns the page. Evaluates the routes: not for async threads.
pub(super) fn sheet(desk: &PageState, found: &StoredEvent) -> Value {
    let mut redactions = Redactions::of(desk);
    let redaction = redactions.event(found.event.as_ref());
    let mut sheet = json::whole(found, redaction);
    let Some(event) = &found.event else { return sheet };
    let waits = waits(desk, found, event);
    if let Some(deliveries) = sheet.get_mut("deliveries").and_then(Value::as_array_mut) {
        for (delivery, waits) in deliveries.iter_mut().zip(waits) {
            if let Some(members) = delivery.as_object_mut() {
                members.insert("waits".to_owned(), waits);
            }
        }
    }
    // What is kept back says by its problems which routes failed.
    let mut failing = if found.is_quarantined { Value::from(Vec::<Value>::new()) } else { failing(desk, event) };
    redaction.hide_values(&mut failing);
    json::with(sheet, json!({ "failing_routes": hidden::shown(failing, event, redaction) }))
}

/// The reasons why its deliveries wait, one for each.
fn waits(desk: &PageState, found: &StoredEvent, event: &EventData) -> Vec<Value> {
    let now = (Instant::now(), desk.panel.archive.clock().now());
    let of = |(at, copy): (usize, &crate::event::Dispatch)| {
        let standing = desk.panel.deliverer.standing(&copy.destination);
        let next = found.fate.as_ref().and_then(|fate| fate.copies.get(at)?.next_ms).map(Timestamp::from_unix_ms);
        standing::waits(standing.as_ref(), (state_of(found, at), next, copy.order.is_some()), now)
    };
    event.copies.iter().enumerate().map(of).collect()
}

/// The routes in force that fail on the event, each with its error.
fn failing(desk: &PageState, event: &EventData) -> Value {
    let rules = desk.panel.archive.rules();
    let errors = rules.lane(&event.source).map(|lane| route_again(lane, event).errors).unwrap_or_default();
    errors.iter().map(|error| json!({ "route": error.route, "why": error.fault.to_string() })).collect()
}
