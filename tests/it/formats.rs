//! Stores of a released format are opened with all their content.
//!
//! `tests/formats/*.tar.gz` are data folders that a gateway of that format left: three events each that were delivered,
//! went to two services of which one failed, were refused for good, and wait for a retry; one event in quarantine, one
//! that was stored unverified. `UPDATE=1 cargo test --test it formats` writes the one of today's format anew, which is
//! right only until that format is released.

use std::process::Command;

use crate::support::{Gateway, Receiver, Reply, Site, github};

const SOURCE: &str = "provider: github, secrets: [{name: main, env: GITHUB_SECRET}]";

/// A file with three destinations at the receiver, and these routes.
fn rest(receiver: &Receiver, routes: &str, settings: &str) -> String {
    let destination = |name: &str| format!("  {name}: {{url: \"{}\"{settings}}}\n", receiver.url(&format!("/{name}")));
    format!(
        "sources:\n  github: {{path: /in/github, {SOURCE}}}\n  watched: {{path: /in/watched, enforce: false, {SOURCE}}}\n\
         routes:\n{routes}destinations:\n{}{}{}",
        destination("ok"),
        destination("gone"),
        destination("busy"),
    )
}

fn archive(format: &str) -> String {
    format!("{}/tests/formats/{format}.tar.gz", env!("CARGO_MANIFEST_DIR"))
}

fn tar(site: &Site, args: &[&str]) {
    std::fs::create_dir_all(site.path("data")).unwrap();
    assert!(Command::new("tar").current_dir(site.path("data")).args(args).status().unwrap().success());
}

fn unpacked(format: &str, receiver: &Receiver) -> (Site, Gateway) {
    let routes = "  all: {from: [github, watched], to: [ok, gone, busy]}\n";
    let site = Site::new(&rest(receiver, routes, ", retry: {give_up_after: 1000000h}"));
    tar(&site, &["-xzf", &archive(format)]);
    let gateway = site.start();
    (site, gateway)
}

fn write(format: &str) {
    let receiver = Receiver::start();
    receiver.always("/gone", Reply::status(404));
    receiver.always("/busy", Reply::status(503));
    let routes = "  ok: {from: github, events: [ok], to: ok}\n  both: {from: github, events: [both], to: [ok, busy]}\n  \
                  gone: {from: github, events: [gone], to: gone}\n  busy: {from: [github, watched], events: [busy], to: busy}\n";
    let settings = ", circuit_breaker: off, retry: {give_up_after: 1000000h}";
    let kept = "buffer: {keep_delivered: 87600h}\ndefaults: {destination: {dead_letter: {keep: 87600h}}}\n";
    let site = Site::new(&(rest(&receiver, routes, settings) + kept));
    let mut gateway = site.start();
    let event = |kind: &str, body: &str| github(body).without("X-GitHub-Event").with("X-GitHub-Event", kind);
    for kind in ["ok", "both", "gone", "busy"] {
        for number in 0..3 {
            gateway.accept(&event(kind, &format!("{{\"n\": {number}, \"t\": \"{kind}\", \"text\": \"h\\u00e4h\"}}")));
        }
    }
    gateway.accept(&event("ok", "{"));
    let forged = event("busy", "{\"forged\": true}").without("X-Hub-Signature-256").to("/in/watched");
    gateway.accept(&forged.with("X-Hub-Signature-256", format!("sha256={}", "0".repeat(64))));
    gateway.wait_for_metric("hookgate_deliveries_total", &[("destination", "ok"), ("result", "delivered")], 6);
    gateway.wait_for_metric("hookgate_dead_letter_events", &[("destination", "gone")], 3);
    receiver.wait_for(6 + 3 + 7);
    gateway.wait_for_metric("hookgate_queue_events", &[("destination", "busy"), ("state", "scheduled")], 7);
    assert!(gateway.stop().success());
    tar(&site, &["-czf", &archive(format), "buffer"]);
}

fn holds_what_was_stored(gateway: &Gateway, receiver: &Receiver) {
    gateway.wait_for_metric("hookgate_deliveries_total", &[("destination", "busy"), ("result", "delivered")], 7);
    gateway.wait_for_metric("hookgate_queue_events", &[], 0);
    gateway.wait_for_metric("hookgate_dead_letter_events", &[("destination", "gone")], 3);
    gateway.wait_for_metric("hookgate_quarantined_events", &[("source", "github")], 1);
    let seen = receiver.seen();
    assert_eq!(seen.len(), 7, "what was delivered is not delivered again");
    assert!(seen.iter().any(|seen| seen.body == "{\"n\": 2, \"t\": \"busy\", \"text\": \"h\\u00e4h\"}".as_bytes()));
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
fn a_store_of_today_s_format_is_opened_as_it_is() {
    if std::env::var_os("UPDATE").is_some() {
        write("v1");
    }
    let receiver = Receiver::start();
    let (site, mut gateway) = unpacked("v1", &receiver);
    holds_what_was_stored(&gateway, &receiver);
    assert!(gateway.stop().success());
    let gateway = site.start();
    gateway.wait_for_metric("hookgate_quarantined_events", &[("source", "github")], 1);
}
