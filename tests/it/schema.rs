//! Quarantine: events that are answered as accepted, stored with their problems, and not delivered.

use crate::support::{Receiver, Site, github};

#[test]
fn an_event_that_breaks_its_schema_is_kept_back_and_not_delivered() {
    let receiver = Receiver::start();
    let rest = Site::plain_rest(&receiver.url("/app"), "").replace(
        "provider: github,",
        "provider: github, schemas: {events: {push: schemas/push.json}, on_invalid: quarantine},",
    );
    let site = Site::new(&rest);
    site.file("schemas/push.json", br#"{"type":"object","required":["ref"]}"#);
    let mut gateway = site.start();
    let bad: [&[u8]; 5] = [b"{}", b"[1]", b"{\"ref\":", b"{\"ref\":1,\"ref\":2}", b"\xff{\"ref\":1}"];
    for body in bad {
        let request = github(body);
        assert!(gateway.send(&request).event_id().is_some(), "a quarantined event has an id to find it by");
        assert_eq!(gateway.send(&request).status, 200, "its repetition is a duplicate");
    }
    let id = gateway.accept(&github("{\"ref\":\"main\"}"));
    assert_eq!(receiver.wait_for(1)[0].event_id(), id);
    gateway.wait_for_metric("hookgate_quarantined_events", &[("source", "github")], 5);
    // Two of the five are valid JSON; their repetitions do not count again.
    gateway.wait_for_metric("hookgate_schema_failures_total", &[("source", "github")], 2);
    gateway.wait_for_outcomes("github", "quarantined", 200, 5);
    gateway.wait_for_outcomes("github", "duplicate", 200, 5);
    gateway.wait_for_metric("hookgate_queue_events", &[], 0);
    assert!(gateway.stop().success());
    assert_eq!(receiver.count(), 1);
}

#[test]
fn the_count_of_quarantined_events_survives_a_restart() {
    let receiver = Receiver::start();
    let site = Site::plain(&receiver);
    let mut gateway = site.start();
    assert!(gateway.send(&github("{")).event_id().is_some());
    gateway.wait_for_metric("hookgate_quarantined_events", &[("source", "github")], 1);
    assert!(gateway.stop().success());
    let gateway = site.start();
    gateway.wait_for_metric("hookgate_quarantined_events", &[("source", "github")], 1);
}

#[test]
fn an_event_without_a_schema_goes_as_the_source_says() {
    for (on_missing, status, outcome) in
        [("allow", 200, "accepted"), ("reject", 422, "schema_rejected"), ("quarantine", 200, "quarantined")]
    {
        let receiver = Receiver::start();
        let rest = Site::plain_rest(&receiver.url("/app"), "").replace(
            "provider: github,",
            &format!("provider: github, schemas: {{events: {{star: schemas/star.json}}, on_missing: {on_missing}}},"),
        );
        let site = Site::new(&rest);
        site.file("schemas/star.json", b"{}");
        let gateway = site.start();
        assert_eq!(gateway.send(&github("{}")).status, status);
        gateway.wait_for_outcomes("github", outcome, status, 1);
    }
}
