//! The backlog of a destination that is removed from the file: kept, shown, and delivered when the destination is back.

use serde_json::{Value, json};

use crate::support::{Gateway, Receiver, Reply, SOON, Seen, Site, eventually, github, queued, text_of};

const EVENTS: u64 = 5;

/// Returns a destination from the API.
fn sheet(gateway: &Gateway, name: &str) -> Value {
    let list = gateway.admin("/api/v1/destinations").json();
    list["destinations"].as_array().unwrap().iter().find(|one| one["name"] == *name).unwrap().clone()
}

/// Counts the log lines about the backlog.
fn told(gateway: &Gateway) -> usize {
    let log = gateway.log();
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line["destination"] == "gone" && line["events"] == EVENTS && line["level"] == "WARN").count()
}

#[test]
fn the_backlog_of_a_removed_destination_is_kept_shown_and_delivered_when_it_is_back() {
    let receiver = Receiver::start();
    receiver.always("/gone", Reply::status(503));
    let without = Site::plain_rest(&receiver.url("/app"), "");
    let gone = format!(
        "  gone: {{url: \"{}\", circuit_breaker: off, retry: {{initial: 50ms, max: 200ms, max_attempts: 1000}}}}\n",
        receiver.url("/gone")
    );
    let with = without.replace("to: app}", "to: [app, gone]}") + &gone;
    let site = Site::new(&with);
    let mut gateway = site.start();
    let ids: Vec<String> = (0..EVENTS).map(|_| gateway.accept(&github("{}"))).collect();
    eventually("all were tried", SOON, || (receiver.seen_at("/gone").len() as u64 >= EVENTS).then_some(()));
    assert_eq!(sheet(&gateway, "gone")["configured"], true);

    site.rewrite(&without);
    let answer = gateway.change("POST", "/api/v1/reload", "").json();
    assert_eq!(answer["backlogs"], json!([{"destination": "gone", "events": EVENTS}]));
    eventually("the log tells of it", SOON, || (told(&gateway) == 1).then_some(()));
    let admin = format!("http://{}", gateway.admin_address());
    let said = text_of(&site.cli(&["reload", "--admin", &admin]).stdout);
    assert!(said.contains("5 events wait for the destination gone, which is not configured"), "{said}");
    let checked = site.cli(&["check", "--admin", &admin, "--deny-warnings"]);
    let said = text_of(&checked.stdout);
    assert!(said.contains("warning[backlog]: 5 events wait for the destination `gone`"), "{said}");
    assert_eq!(checked.status.code(), Some(3));

    let is_kept = |gateway: &Gateway| {
        let shown = sheet(gateway, "gone");
        assert_eq!(
            (&shown["configured"], &shown["queued"], &shown["urls"]),
            (&json!(false), &json!(EVENTS), &json!([]))
        );
        assert_eq!(sheet(gateway, "app")["configured"], true);
        assert_eq!(queued(&gateway.metrics(), "gone"), EVENTS);
    };
    is_kept(&gateway);
    gateway.wait_for_metric("hookgate_queue_events", &[("destination", "gone"), ("state", "in_flight")], 0);
    let tries = receiver.seen_at("/gone").len();
    assert!(gateway.stop().success());
    let gateway = site.start();
    eventually("the start tells of it", SOON, || (told(&gateway) == 1).then_some(()));
    is_kept(&gateway);
    assert_eq!(receiver.seen_at("/gone").len(), tries, "nobody tries");

    receiver.well("/gone");
    site.rewrite(&with);
    assert_eq!(gateway.change("POST", "/api/v1/reload", "").json()["backlogs"], json!([]));
    gateway.wait_for_metric("hookgate_queue_events", &[], 0);
    let taken: Vec<String> = receiver.seen_at("/gone").iter().filter(|seen| seen.taken).map(Seen::event_id).collect();
    assert!(ids.iter().all(|id| taken.contains(id)), "{ids:?} {taken:?}");
    assert_eq!(sheet(&gateway, "gone")["delivered"], EVENTS);
}
