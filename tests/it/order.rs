//! `order_by`: strict order per key; a final failure parks its key only, until a person releases or skips it.

use serde_json::Value;

use crate::support::{Gateway, Receiver, Reply, SOON, Site, eventually, github, text_of};

fn ordered(receiver: &Receiver, tries: usize) -> (Site, Gateway) {
    let rest = Site::plain_rest(&receiver.url("/app"), "")
        .replace("to: app}", "to: app, order_by: body.key}")
        .replace("max_attempts: 1000", &format!("max_attempts: {tries}"))
        .replace("initial: 50ms, max: 200ms", "initial: 10ms, max: 20ms");
    let site = Site::new(&rest);
    let gateway = site.start();
    (site, gateway)
}

fn event(key: &str, number: usize) -> crate::support::Request {
    github(format!("{{\"key\":\"{key}\",\"n\":{number}}}"))
}

/// Returns the numbers under a key, in the order of their delivery.
fn taken(receiver: &Receiver, key: &str) -> Vec<u64> {
    let bodies = receiver.seen().into_iter().map(|seen| serde_json::from_str::<Value>(&text_of(&seen.body)).unwrap());
    bodies.filter(|body| body["key"] == key).map(|body| body["n"].as_u64().unwrap()).collect()
}

fn parked(gateway: &Gateway) -> Vec<Value> {
    gateway.admin("/api/v1/parked").json()["parked"].as_array().unwrap().clone()
}

#[test]
fn events_of_one_key_arrive_in_the_order_of_their_acceptance_over_retries_and_a_restart() {
    let receiver = Receiver::start();
    receiver.script("/app", (0..120).map(|at| Reply::status(if at % 3 == 0 { 500 } else { 200 })));
    let (site, mut gateway) = ordered(&receiver, 1000);
    let mut connection = gateway.connect();
    for number in 0..60 {
        for key in ["a", "b", "c"] {
            assert_eq!(connection.send(&event(key, number)).unwrap().status, 200);
        }
    }
    assert!(gateway.stop().success());
    let gateway = site.start();
    gateway.wait_for_metric("hookgate_queue_events", &[], 0);
    for key in ["a", "b", "c"] {
        let mut numbers = taken(&receiver, key);
        let is_in_order = numbers.windows(2).all(|pair| pair[0] <= pair[1]);
        assert!(is_in_order, "{key}: {numbers:?}");
        numbers.dedup();
        assert_eq!(numbers, (0..60).collect::<Vec<u64>>());
    }
}

#[test]
fn a_head_that_fails_for_good_parks_its_key_and_the_others_flow() {
    let receiver = Receiver::start();
    receiver.script("/app", (0..3).map(|_| Reply::status(500)));
    let (site, mut gateway) = ordered(&receiver, 3);
    gateway.accept(&event("poisoned", 0));
    eventually("the key is parked", SOON, || (!parked(&gateway).is_empty()).then_some(()));
    for number in 1..4 {
        gateway.accept(&event("poisoned", number));
        gateway.accept(&event("well", number));
    }
    gateway.wait_for_metric("hookgate_deliveries_total", &[("result", "delivered")], 3);
    assert_eq!((taken(&receiver, "well"), taken(&receiver, "poisoned")), (vec![1, 2, 3], vec![0, 0, 0]));
    gateway.wait_for_metric("hookgate_queue_events", &[("state", "parked")], 4);
    // The key is still parked after a restart, with its cause.
    assert!(gateway.stop().success());
    let gateway = site.start();
    let waits = &parked(&gateway)[0];
    assert_eq!(
        (&waits["label"], &waits["waiting"], &waits["cause"], &waits["destination"]),
        (&"poisoned".into(), &4.into(), &"attempts_exhausted".into(), &"app".into())
    );
    let key = waits["key"].as_str().unwrap();
    let released = gateway.change("POST", &format!("/api/v1/parked/{key}/release"), "{}");
    assert_eq!((released.status, released.json()["queued"].as_u64()), (200, Some(1)));
    gateway.wait_for_metric("hookgate_queue_events", &[], 0);
    assert_eq!(taken(&receiver, "poisoned"), [0, 0, 0, 0, 1, 2, 3]);
    assert!(parked(&gateway).is_empty());
    assert_eq!(gateway.change("POST", &format!("/api/v1/parked/{key}/release"), "{}").status, 404);
}

#[test]
fn a_parked_head_can_be_skipped_and_is_on_record() {
    let receiver = Receiver::start();
    receiver.script("/app", [Reply::status(400)]);
    let (_site, gateway) = ordered(&receiver, 3);
    let head = gateway.accept(&event("k", 0));
    gateway.accept(&event("k", 1));
    eventually("the key is parked", SOON, || (!parked(&gateway).is_empty()).then_some(()));
    let key = parked(&gateway)[0]["key"].as_str().unwrap().to_owned();
    let skipped = gateway.change("POST", &format!("/api/v1/parked/{key}/skip"), "{}");
    assert_eq!((skipped.status, skipped.json()["ended"].as_u64()), (200, Some(1)));
    gateway.wait_for_metric("hookgate_queue_events", &[], 0);
    assert_eq!(taken(&receiver, "k"), [0, 1]);
    gateway.wait_for_metric("hookgate_deliveries_total", &[("result", "discarded")], 1);
    gateway.wait_for_metric("hookgate_deliveries_accepted_total", &[], 2);
    let event = gateway.admin(&format!("/api/v1/events/{head}")).json();
    assert_eq!(event["event"]["outcome"], "discarded", "{event}");
    let book = &gateway.admin("/api/v1/destinations").json()["destinations"][0];
    assert_eq!(
        (book["accepted"].as_u64(), book["delivered"].as_u64(), book["discarded"].as_u64()),
        (Some(2), Some(1), Some(1))
    );
}

#[test]
fn a_service_that_gives_an_event_up_itself_does_not_park_its_key() {
    let receiver = Receiver::start();
    receiver.script("/app", [Reply::status(410)]);
    let (_site, gateway) = ordered(&receiver, 3);
    gateway.accept(&event("k", 0));
    gateway.accept(&event("k", 1));
    gateway.wait_for_metric("hookgate_deliveries_total", &[("result", "delivered")], 1);
    gateway.wait_for_metric("hookgate_deliveries_total", &[("result", "dead_lettered")], 1);
    assert_eq!((taken(&receiver, "k"), parked(&gateway).len()), (vec![0, 1], 0));
}
