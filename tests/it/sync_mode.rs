//! `mode: sync`: the event is stored, the sender gets the service's answer or, when that is late, the gateway's; and no
//! unverified request opens a connection to the service.

use std::time::{Duration, Instant};

use crate::support::{Gateway, Receiver, Reply, Site, free_port, github};

fn start(url: &str) -> (Site, Gateway) {
    let rest = Site::plain_rest(url, "").replace("provider: github,", "provider: github, mode: sync, deadline: 1s,");
    let site = Site::new(&rest);
    let gateway = site.start();
    (site, gateway)
}

#[test]
fn the_service_s_own_answer_is_passed_back() {
    let receiver = Receiver::start();
    let (_site, gateway) = start(&receiver.url("/app"));
    let answer = Reply { body: "{\"text\":\"hi\"}".into(), ..Reply::status(201) };
    receiver.script("/app", [answer.with("Content-Type", "application/json").with("X-Own", "1"), Reply::status(418)]);
    let mut connection = gateway.connect();
    let got = connection.send(&github("{\"q\":1}").to("/in/github?a=b")).unwrap();
    assert_eq!((got.status, got.text().as_str()), (201, "{\"text\":\"hi\"}"));
    assert_eq!((got.header("content-type"), got.header("x-own")), (Some("application/json"), Some("1")));
    let seen = &receiver.wait_for(1)[0];
    assert_eq!((seen.target.as_str(), seen.body.as_slice()), ("/app?a=b", &b"{\"q\":1}"[..]));
    assert_eq!(got.event_id(), Some(seen.event_id()));
    assert_eq!(connection.send(&github("{}")).unwrap().status, 418, "the service's errors are its own");
}

#[test]
fn nothing_unverified_gets_as_far_as_a_connection() {
    let receiver = Receiver::start();
    let (_site, gateway) = start(&receiver.url("/app"));
    for _ in 0..20 {
        assert_eq!(gateway.send(&github("{}").without("X-Hub-Signature-256")).status, 401);
        let mut tampered = github("{\"a\":1}");
        tampered.body[1] = b' ';
        assert_eq!(gateway.send(&tampered).status, 401);
    }
    assert_eq!(receiver.connections(), 0);
    assert_eq!(gateway.send(&github("{}")).status, 200);
    assert_eq!(receiver.connections(), 1);
}

#[test]
fn a_service_that_is_late_is_answered_for_and_gets_the_event_once() {
    let receiver = Receiver::start();
    receiver.script("/app", [Reply::status(200).after(Duration::from_secs(3))]);
    let (_site, gateway) = start(&receiver.url("/app"));
    let started = Instant::now();
    let late = gateway.send(&github("{}"));
    assert_eq!((late.status, late.text().as_str()), (200, ""));
    assert!(
        (Duration::from_millis(990)..Duration::from_millis(2900)).contains(&started.elapsed()),
        "{:?}",
        started.elapsed()
    );
    gateway.wait_for_metric("hookgate_deliveries_total", &[("result", "delivered")], 1);
    assert_eq!(receiver.wait_for(1)[0].event_id(), late.event_id().unwrap());
    gateway.wait_for_metric("hookgate_sync_answers_total", &[("by", "gateway")], 1);
    gateway.wait_for_metric("hookgate_queue_events", &[], 0);
    assert_eq!(receiver.count(), 1, "the try that was late is the one that counts");
}

#[test]
fn a_service_that_is_away_or_fails_gets_the_event_later() {
    let port = free_port();
    let (_site, gateway) = start(&format!("http://127.0.0.1:{port}/app"));
    let id = gateway.accept(&github("{}"));
    let receiver = Receiver::start_on(port);
    receiver.script("/app", [Reply::status(500)]);
    gateway.wait_for_metric("hookgate_deliveries_total", &[("result", "delivered")], 1);
    assert!(receiver.seen().iter().all(|seen| seen.event_id() == id));
    let failed = gateway.send(&github("{}"));
    assert_eq!(failed.status, 200, "the first of these was answered with 500, if not before");
    gateway.wait_for_metric("hookgate_deliveries_total", &[("result", "delivered")], 2);
}

#[test]
fn what_was_answered_for_a_late_service_survives_a_kill() {
    let receiver = Receiver::start();
    receiver.script("/app", [Reply::status(200).after(Duration::from_mins(1))]);
    let (site, gateway) = start(&receiver.url("/app"));
    let id = gateway.accept(&github("{}"));
    gateway.kill();
    let gateway = site.start();
    gateway.wait_for_metric("hookgate_deliveries_total", &[("result", "delivered")], 1);
    assert_eq!(receiver.seen().last().unwrap().event_id(), id);
}

#[test]
fn a_repetition_is_answered_and_not_forwarded_again() {
    let receiver = Receiver::start();
    let (_site, gateway) = start(&receiver.url("/app"));
    let request = github("{}");
    assert_eq!((gateway.send(&request).status, gateway.send(&request).status), (200, 200));
    gateway.wait_for_outcomes("github", "duplicate", 200, 1);
    assert_eq!(receiver.count(), 1);
}
