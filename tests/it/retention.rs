//! Retention of events and delivery ids.

use serde_json::Value;

use crate::support::{Gateway, Receiver, SOON, Site, eventually, github};

fn stored(gateway: &Gateway) -> Vec<Value> {
    gateway.admin("/api/v1/events?limit=500").json()["events"].as_array().unwrap().clone()
}

#[test]
fn delivered_events_are_kept_as_long_as_the_file_says() {
    let receiver = Receiver::start();
    let rest = Site::plain_rest(&receiver.url("/app"), "") + "buffer: {keep_delivered: 2s}\n";
    let gateway = Site::new(&rest).start();
    let id = gateway.accept(&github("{}"));
    gateway.wait_for_metric("hookgate_deliveries_total", &[("result", "delivered")], 1);
    assert_eq!(stored(&gateway)[0]["id"], id);
    eventually("it is gone", SOON, || stored(&gateway).is_empty().then_some(()));
    gateway.wait_for_metric("hookgate_buffer_used_bytes", &[], 0);
    assert_eq!(gateway.admin(&format!("/api/v1/events/{id}")).status, 404);
    // The event's delivery id is still remembered.
    gateway.wait_for_metric("hookgate_dedup_entries", &[], 1);
}

#[test]
fn when_space_runs_short_what_was_delivered_goes_first_and_what_waits_for_a_person_stays() {
    let receiver = Receiver::start();
    receiver.script("/app", [crate::support::Reply::status(400)]);
    let rest = Site::plain_rest(&receiver.url("/app"), "") + "buffer: {max_size: 1MiB}\n";
    let gateway = Site::new(&rest).start();
    let dead = gateway.accept(&github("{}"));
    gateway.wait_for_metric("hookgate_dead_letter_events", &[], 1);
    let body = format!("{{\"fill\":\"{}\"}}", "x".repeat(50_000));
    let mut last = String::new();
    for _ in 0..35 {
        // Nearly twice the buffer's size: a sender that gets a 503 sends again.
        let request = github(body.clone());
        last = eventually("there is room again", SOON, || gateway.send(&request).event_id());
    }
    let ids: Vec<Value> = stored(&gateway).iter().map(|event| event["id"].clone()).collect();
    assert!(ids.contains(&dead.into()) && ids.contains(&last.into()) && ids.len() < 25, "{} are kept", ids.len());
    gateway.wait_for_metric("hookgate_deliveries_total", &[("result", "delivered")], 35);
}
