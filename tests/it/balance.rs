//! Destinations with several targets: shares, health, keys, and a reload in the middle of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::{Gateway, Receiver, Reply, SOON, Seen, Site, eventually, github};

/// Returns the source `github` and one route to `app`, with `targets` and these settings.
fn rest(targets: &str, settings: &str) -> String {
    Site::plain_rest("http://unused/", settings).replace("url: \"http://unused/\"", &format!("targets: [{targets}]"))
}

/// Returns a target for the list in the file.
fn target(receiver: &Receiver, weight: u32) -> String {
    format!("{{url: \"{}\", weight: {weight}}}", receiver.url("/app"))
}

/// Health checks with a short interval, so that a test need not wait.
const HEALTH: &str = ", health: {path: /healthz, interval: 20ms, unhealthy_after: 2, healthy_after: 2}";

fn send(gateway: &Gateway, events: usize) {
    let mut connection = gateway.connect();
    for _ in 0..events {
        assert_eq!(connection.send(&github("{}")).unwrap().status, 200);
    }
}

fn delivered(gateway: &Gateway, count: usize) {
    let labels = [("destination", "app"), ("result", "delivered")];
    gateway.wait_for_metric("hookgate_deliveries_total", &labels, count as u64);
}

fn got(receivers: &[&Receiver]) -> Vec<usize> {
    receivers.iter().map(|receiver| receiver.seen_at("/app").len()).collect()
}

/// Waits until this number of targets counts as healthy.
fn healthy(gateway: &Gateway, targets: u64) {
    gateway.wait_for_metric("hookgate_target_healthy", &[("destination", "app")], targets);
}

/// Counts the occurrences of a text in the log.
fn logged(gateway: &Gateway, line: &str) -> usize {
    gateway.log().matches(line).count()
}

#[test]
fn each_target_gets_what_its_weight_says() {
    let (one, other) = (Receiver::start(), Receiver::start());
    let rest = rest(&format!("{}, {}", target(&one, 3), target(&other, 1)), "");
    let gateway = Site::new(&rest).start();
    send(&gateway, 400);
    delivered(&gateway, 400);
    assert_eq!(got(&[&one, &other]), [300, 100]);
    let ids = |receiver: &Receiver| receiver.seen().iter().map(Seen::event_id).collect::<BTreeSet<_>>();
    assert_eq!(ids(&one).union(&ids(&other)).count(), 400, "each once");
    assert!(!gateway.metrics().0.contains("hookgate_target_healthy{"), "nobody asks for health");
}

#[test]
fn a_target_whose_health_page_fails_gets_nothing_until_it_is_well_again() {
    let (well, ill) = (Receiver::start(), Receiver::start());
    ill.always("/healthz", Reply::status(503));
    let rest = rest(&format!("{}, {}", target(&well, 1), target(&ill, 1)), HEALTH);
    let gateway = Site::new(&rest).start();
    healthy(&gateway, 1);
    send(&gateway, 50);
    delivered(&gateway, 50);
    assert_eq!(got(&[&well, &ill]), [50, 0]);
    ill.always("/healthz", Reply::status(204));
    healthy(&gateway, 2);
    send(&gateway, 50);
    delivered(&gateway, 100);
    assert_eq!(got(&[&well, &ill]), [75, 25]);
    let asked = ill.seen_at("/healthz");
    assert!(asked.iter().all(|seen| seen.method == "GET" && seen.header("hookgate-event-id").is_none()));
    assert_eq!((logged(&gateway, "a target is unhealthy"), logged(&gateway, "a target is healthy again")), (1, 1));
    assert_eq!(logged(&gateway, "\"trouble\":\"status 503\""), 1, "the line says what was wrong");
    let labels = [("destination", "app"), ("target", &*ill.address.to_string())];
    assert_eq!(gateway.metrics().sum("hookgate_target_healthy", &labels), 1);
}

#[test]
fn a_target_that_does_not_listen_is_passed_over() {
    let (well, gone) = (Receiver::start(), Receiver::start());
    let rest = rest(&format!("{}, {}", target(&well, 1), target(&gone, 1)), HEALTH);
    let gateway = Site::new(&rest).start();
    healthy(&gateway, 2);
    let port = gone.address.port();
    drop(gone);
    healthy(&gateway, 1);
    send(&gateway, 20);
    delivered(&gateway, 20);
    assert_eq!(
        gateway.metrics().sum("hookgate_delivery_attempts_total", &[("destination", "app")]),
        20,
        "no try failed"
    );
    let back = Receiver::start_on(port);
    healthy(&gateway, 2);
    send(&gateway, 20);
    delivered(&gateway, 40);
    assert_eq!(got(&[&well, &back]), [30, 10]);
}

#[test]
fn when_every_target_is_unhealthy_events_are_delivered_all_the_same() {
    let (one, other) = (Receiver::start(), Receiver::start());
    for receiver in [&one, &other] {
        receiver.always("/healthz", Reply::status(404));
    }
    let rest = rest(&format!("{}, {}", target(&one, 1), target(&other, 1)), HEALTH);
    let gateway = Site::new(&rest).start();
    eventually("both are unhealthy", SOON, || (logged(&gateway, "a target is unhealthy") == 2).then_some(()));
    healthy(&gateway, 0);
    send(&gateway, 20);
    delivered(&gateway, 20);
    assert_eq!(got(&[&one, &other]), [10, 10]);
}

/// Returns the customers whose events came to each receiver.
fn places(receivers: &[&Receiver]) -> BTreeMap<String, BTreeSet<usize>> {
    let mut places: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
    for (place, receiver) in receivers.iter().enumerate() {
        for seen in receiver.seen_at("/app") {
            let body: serde_json::Value = serde_json::from_slice(&seen.body).unwrap();
            places.entry(body["customer"].to_string()).or_default().insert(place);
        }
    }
    places
}

#[test]
fn events_with_the_same_key_go_to_the_same_target() {
    let receivers = [Receiver::start(), Receiver::start(), Receiver::start()];
    let receivers: Vec<&Receiver> = receivers.iter().collect();
    // A failed attempt is repeated at the same target.
    for receiver in &receivers {
        receiver.script("/app", [Reply::status(500), Reply::status(500)]);
    }
    let targets: Vec<String> = receivers.iter().map(|receiver| target(receiver, 1)).collect();
    let settings = ", balance: {by: consistent_hash, key: body.customer}";
    let site = Site::new(&rest(&targets.join(", "), settings));
    let customers = 60;
    let mut gateway = site.start();
    let round = |gateway: &Gateway| {
        let mut connection = gateway.connect();
        for customer in 0..customers {
            // A number is a key as a text is.
            let customer = if customer % 2 == 0 { customer.to_string() } else { format!("\"cus_{customer}\"") };
            let answer = connection.send(&github(format!("{{\"customer\":{customer}}}"))).unwrap();
            assert_eq!(answer.status, 200);
        }
    };
    for sent in 1..=3 {
        round(&gateway);
        delivered(&gateway, sent * customers);
    }
    assert!(gateway.stop().success());
    let gateway = site.start();
    round(&gateway);
    delivered(&gateway, customers);
    let places = places(&receivers);
    assert_eq!(places.len(), customers);
    for (customer, places) in &places {
        assert_eq!(places.len(), 1, "{customer} was sent to {places:?}");
    }
    assert_eq!(places.values().flatten().collect::<BTreeSet<_>>().len(), 3, "all three have some");
}

#[test]
fn an_event_without_a_key_is_delivered_by_its_id() {
    let (one, other) = (Receiver::start(), Receiver::start());
    let targets = format!("{}, {}", target(&one, 1), target(&other, 1));
    let rest = rest(&targets, ", balance: {by: consistent_hash, key: body.?customer}");
    let gateway = Site::new(&rest).start();
    send(&gateway, 100);
    delivered(&gateway, 100);
    let got = got(&[&one, &other]);
    assert!(got.iter().all(|count| *count > 0) && got.iter().sum::<usize>() == 100, "{got:?}");
}

#[test]
fn a_reload_adds_and_removes_targets_without_a_failed_delivery() {
    let (one, other) = (Receiver::start(), Receiver::start());
    let alone = rest(&target(&one, 1), HEALTH);
    let both = rest(&format!("{}, {}", target(&one, 1), target(&other, 1)), HEALTH);
    let site = Site::new(&alone);
    let gateway = site.start();
    healthy(&gateway, 1);
    let stop = AtomicBool::new(false);
    let sent: usize = std::thread::scope(|scope| {
        let sender = scope.spawn(|| {
            let mut sent = 0;
            while !stop.load(Ordering::Relaxed) {
                send(&gateway, 10);
                sent += 10;
            }
            sent
        });
        for _ in 0..3 {
            let before = got(&[&other])[0];
            site.rewrite(&both);
            gateway.reload();
            eventually("the new target gets events", SOON, || (got(&[&other])[0] > before + 5).then_some(()));
            healthy(&gateway, 2);
            site.rewrite(&alone);
            gateway.reload();
            healthy(&gateway, 1);
        }
        stop.store(true, Ordering::Relaxed);
        sender.join().unwrap()
    });
    delivered(&gateway, sent);
    assert_eq!(gateway.metrics().sum("hookgate_delivery_attempts_total", &[("destination", "app")]), sent as u64);
    assert_eq!(got(&[&one, &other]).iter().sum::<usize>(), sent);
    assert!(!gateway.metrics().0.contains(&other.address.to_string()), "a target that has gone is not shown");
    let settled = got(&[&other]);
    send(&gateway, 20);
    delivered(&gateway, sent + 20);
    assert_eq!(got(&[&other]), settled);
}

#[test]
fn a_reload_during_trouble_keeps_what_is_known_of_health() {
    let (well, ill, new) = (Receiver::start(), Receiver::start(), Receiver::start());
    ill.always("/healthz", Reply::status(500));
    // `unhealthy_after` is high, so that a reload that forgot the health could not learn it again in time.
    let health = ", health: {path: /healthz, interval: 10ms, unhealthy_after: 100, healthy_after: 1}";
    let listed = |weight| format!("{}, {}", target(&well, weight), target(&ill, 1));
    let site = Site::new(&rest(&listed(1), health));
    let gateway = site.start();
    healthy(&gateway, 1);
    site.rewrite(&rest(&format!("{}, {}", listed(2), target(&new, 1)), health));
    gateway.reload();
    healthy(&gateway, 2);
    send(&gateway, 40);
    delivered(&gateway, 40);
    assert_eq!(got(&[&ill]), [0]);
    assert!(got(&[&new])[0] > 0);
    assert_eq!(logged(&gateway, "a target is unhealthy"), 1);
}

#[test]
fn a_synchronous_source_asks_each_target_in_its_turn() {
    let (one, other) = (Receiver::start(), Receiver::start());
    let rest = rest(&format!("{}, {}", target(&one, 1), target(&other, 1)), "")
        .replace("path: /in/github,", "path: /in/github, mode: sync, deadline: 5s,");
    let gateway = Site::new(&rest).start();
    for _ in 0..10 {
        assert_eq!(gateway.send(&github("{}")).status, 200);
    }
    assert_eq!(got(&[&one, &other]), [5, 5]);
}
