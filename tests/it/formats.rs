//! Stores of earlier formats are opened with all their content.
//!
//! `tests/formats/*.tar.gz` are data folders that a gateway of that format left: three events each that were delivered,
//! went to two services of which one failed, were refused for good, and wait for a retry; one event in quarantine, one
//! that was stored unverified.

use std::process::Command;

use crate::support::{Gateway, Receiver, Site};

fn unpacked(format: &str, receiver: &Receiver) -> (Site, Gateway) {
    let source = "provider: github, secrets: [{name: main, env: GITHUB_SECRET}]";
    let destination = |name: &str| {
        format!("  {name}: {{url: \"{}\", retry: {{give_up_after: 1000000h}}}}\n", receiver.url(&format!("/{name}")))
    };
    let rest = format!(
        "sources:\n  github: {{path: /in/github, {source}}}\n  watched: {{path: /in/watched, enforce: false, {source}}}\n\
         routes:\n  all: {{from: [github, watched], to: [ok, gone, busy]}}\ndestinations:\n{}{}{}",
        destination("ok"),
        destination("gone"),
        destination("busy"),
    );
    let site = Site::new(&rest);
    std::fs::create_dir_all(site.path("data")).unwrap();
    let archive = format!("{}/tests/formats/{format}.tar.gz", env!("CARGO_MANIFEST_DIR"));
    let unpacked = Command::new("tar").arg("-xzf").arg(archive).arg("-C").arg(site.path("data")).status().unwrap();
    assert!(unpacked.success());
    let gateway = site.start();
    (site, gateway)
}

fn holds_what_was_stored(gateway: &Gateway, receiver: &Receiver) {
    gateway.wait_for_metric("hookgate_deliveries_total", &[("destination", "busy"), ("result", "delivered")], 7);
    gateway.wait_for_metric("hookgate_queue_events", &[], 0);
    gateway.wait_for_metric("hookgate_dead_letter_events", &[("destination", "gone")], 3);
    gateway.wait_for_metric("hookgate_quarantined_events", &[("source", "github")], 1);
    let seen = receiver.seen();
    assert_eq!(seen.len(), 7, "what was delivered is not delivered again");
    assert!(seen.iter().any(|seen| seen.body == "{\"n\": 2, \"t\": \"ping\", \"text\": \"h\\u00e4h\"}".as_bytes()));
    let events = gateway.admin("/api/v1/events?limit=100").json();
    let outcomes = |outcome: &str| {
        let events = events["events"].as_array().unwrap();
        events.iter().filter(|event| event["outcome"] == outcome).count()
    };
    assert_eq!((outcomes("delivered"), outcomes("dead_lettered"), outcomes("quarantined")), (10, 3, 1));
    for book in gateway.admin("/api/v1/destinations").json()["destinations"].as_array().unwrap() {
        let of = |name: &str| book[name].as_u64().unwrap();
        let ended = of("delivered") + of("dead_lettered") + of("expired") + of("discarded");
        assert_eq!(of("accepted"), ended + of("queued"), "{book}");
    }
    let unverified = gateway.admin("/api/v1/sources").json();
    assert_eq!(unverified["sources"][1]["unverified"], 1, "{unverified}");
    // Dead letters of the old store can be replayed.
    let job = gateway.change("POST", "/api/v1/replays", "{\"from\":\"dead_letters\"}");
    assert_eq!(job.status, 200, "{}", job.text());
    gateway.wait_for_metric("hookgate_dead_letter_events", &[("destination", "gone")], 0);
    gateway.wait_for_metric("hookgate_deliveries_total", &[("destination", "gone"), ("result", "delivered")], 3);
}

#[test]
fn a_store_of_format_1_is_brought_up_to_date_with_all_that_is_in_it() {
    let receiver = Receiver::start();
    let (site, mut gateway) = unpacked("v1", &receiver);
    holds_what_was_stored(&gateway, &receiver);
    assert!(gateway.log().contains("the buffer has format 1"));
    assert!(gateway.stop().success());
    let gateway = site.start();
    assert!(!gateway.log().contains("the buffer has format 1"), "once");
    gateway.wait_for_metric("hookgate_quarantined_events", &[("source", "github")], 1);
}

#[test]
fn a_store_of_today_s_format_is_opened_as_it_is() {
    let receiver = Receiver::start();
    let (site, mut gateway) = unpacked("v2", &receiver);
    holds_what_was_stored(&gateway, &receiver);
    assert!(gateway.stop().success());
    let gateway = site.start();
    gateway.wait_for_metric("hookgate_quarantined_events", &[("source", "github")], 1);
    assert!(!gateway.log().contains("brought up to format"));
}
