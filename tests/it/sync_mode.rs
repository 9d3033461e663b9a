//! `mode: sync`: the sender gets the service's own answer, and nothing unverified gets as far as a connection.

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
fn a_service_that_is_late_or_away_is_said_in_time() {
    let receiver = Receiver::start();
    receiver.always("/app", Reply::status(200).after(Duration::from_mins(1)));
    let (_site, gateway) = start(&receiver.url("/app"));
    let started = Instant::now();
    let late = gateway.send(&github("{}"));
    assert_eq!((late.status, late.json()["outcome"].as_str()), (504, Some("upstream_timeout")));
    assert!(
        (Duration::from_millis(990)..Duration::from_secs(5)).contains(&started.elapsed()),
        "{:?}",
        started.elapsed()
    );
    gateway.wait_for_outcomes("github", "upstream_timeout", 504, 1);
    let (_site, gateway) = start(&format!("http://127.0.0.1:{}/app", free_port()));
    let away = gateway.send(&github("{}"));
    assert_eq!((away.status, away.json()["outcome"].as_str()), (502, Some("upstream_error")));
    assert!(!away.text().contains("127.0.0.1"), "{}", away.text());
    gateway.wait_for_outcomes("github", "upstream_error", 502, 1);
}
