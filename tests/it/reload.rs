//! SIGHUP: all of the new rules or none, and nobody who sends at that moment notices.

use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::Signal;

use crate::support::{Gateway, Receiver, SOON, Site, eventually, github};

fn successful(gateway: &Gateway) -> u64 {
    gateway.metrics().sum("hookgate_config_last_reload_successful", &[])
}

#[test]
fn a_good_file_puts_new_sources_routes_and_destinations_in_force() {
    let receiver = Receiver::start();
    let rest = Site::plain_rest(&receiver.url("/app"), "");
    let site = Site::new(&rest);
    let gateway = site.start();
    assert_eq!(gateway.send(&github("{}").to("/in/more")).status, 404);
    let more = rest
        .replace("routes:", "  more: {path: /in/more, provider: github, secrets: [{name: main, env: GITHUB_SECRET}]}\nroutes:\n  more: {from: more, to: more}")
        + &format!("  more: {{url: \"{}\"}}\n", receiver.url("/more"));
    site.rewrite(&more);
    gateway.reload();
    assert_eq!(successful(&gateway), 1);
    let id = gateway.accept(&github("{}").to("/in/more"));
    let seen = receiver.wait_for(1);
    assert_eq!((seen[0].target.as_str(), seen[0].event_id()), ("/more", id));
    // And away again.
    site.rewrite(&rest);
    gateway.reload();
    assert_eq!(gateway.send(&github("{}").to("/in/more")).status, 404);
    gateway.accept(&github("{}"));
}

#[test]
fn a_bad_file_changes_nothing_and_says_so() {
    let receiver = Receiver::start();
    let rest = Site::plain_rest(&receiver.url("/app"), "");
    let site = Site::new(&rest);
    let gateway = site.start();
    assert_eq!(successful(&gateway), 1);
    let bad = [
        rest.replace("/in/github", "/in/other").replace("to: app", "to: nobody"),
        rest.replace("/in/github", "/in/other").replace("GITHUB_SECRET", "NOT_SET_ANYWHERE"),
        "sources: [".to_owned(),
    ];
    for (at, bad) in bad.iter().enumerate() {
        site.rewrite(bad);
        gateway.reload();
        assert_eq!(successful(&gateway), 0, "file {at}");
        assert_eq!(gateway.send(&github("{}").to("/in/other")).status, 404, "file {at}");
        gateway.accept(&github("{}"));
        assert!(gateway.log().contains("the old rules stay in force"));
    }
    std::fs::remove_file(site.path("routes.yaml")).unwrap();
    gateway.reload();
    assert_eq!((successful(&gateway), gateway.send(&github("{}")).status), (0, 200));
    site.rewrite(&rest.replace("/in/github", "/in/other"));
    gateway.reload();
    assert_eq!(successful(&gateway), 1);
    assert_eq!(gateway.send(&github("{}")).status, 404);
    gateway.accept(&github("{}").to("/in/other"));
    gateway.wait_for_metric("hookgate_config_reloads_total", &[("result", "refused")], 4);
}

#[test]
fn no_request_fails_while_rules_are_replaced() {
    let receiver = Receiver::start();
    let rest = Site::plain_rest(&receiver.url("/app"), "");
    let site = Site::new(&rest);
    let gateway = site.start();
    let stop = AtomicBool::new(false);
    let sent: usize = std::thread::scope(|scope| {
        let senders: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    let mut connection = gateway.connect();
                    let mut sent = 0;
                    while !stop.load(Ordering::Relaxed) {
                        let answer = connection.send(&github("{}")).unwrap();
                        assert_eq!(answer.status, 200, "{}", answer.text());
                        sent += 1;
                    }
                    sent
                })
            })
            .collect();
        for round in 0..10 {
            let changed = rest.replace("max_attempts: 1000", &format!("max_attempts: {}", 1000 + round));
            site.rewrite(if round % 3 == 2 { "sources: [" } else { &changed });
            gateway.reload();
        }
        stop.store(true, Ordering::Relaxed);
        senders.into_iter().map(|sender| sender.join().unwrap()).sum()
    });
    receiver.wait_for(sent);
    gateway.wait_for_metric("hookgate_deliveries_total", &[("result", "delivered")], sent as u64);
    assert!(sent >= 30, "{sent}");
}

#[test]
fn a_request_in_flight_finishes_under_the_rules_it_began_with() {
    let receiver = Receiver::start();
    let rest = Site::plain_rest(&receiver.url("/app"), "");
    let site = Site::new(&rest);
    let gateway = site.start();
    let wire = github("{\"began\":1}").wire();
    let mut connection = gateway.connect();
    connection.write(&wire[..wire.len() - 3]).unwrap();
    let in_flight = || gateway.metrics().sum("hookgate_requests_in_flight", &[]) == 1;
    eventually("the request is in flight", SOON, || in_flight().then_some(()));
    site.rewrite(&rest.replace("/in/github", "/in/other"));
    gateway.reload();
    connection.write(&wire[wire.len() - 3..]).unwrap();
    let answer = connection.answer().unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(receiver.wait_for(1)[0].event_id(), answer.event_id().unwrap());
    gateway.signal(Signal::HUP);
}
