//! Deliveries: retried until they end, as the policy says, without blocking each other.

use std::time::Duration;

use crate::support::{Gateway, Receiver, Reply, SOON, Seen, Site, alone, eventually, free_port, github};

/// Starts a gateway with one destination, `/app` at the receiver, and this retry policy.
fn start(receiver: &Receiver, retry: &str, settings: &str) -> (Site, Gateway) {
    let rest = Site::plain_rest(&receiver.url("/app"), settings)
        .replace("{initial: 50ms, max: 200ms, max_attempts: 1000}", &format!("{{{retry}}}"));
    let site = Site::new(&rest);
    let gateway = site.start();
    (site, gateway)
}

fn ended(gateway: &Gateway, result: &str, count: u64) {
    gateway.wait_for_metric("hookgate_deliveries_total", &[("destination", "app"), ("result", result)], count);
    gateway.wait_for_metric("hookgate_queue_events", &[("destination", "app")], 0);
}

fn attempts(gateway: &Gateway, outcome: &str) -> u64 {
    gateway.metrics().sum("hookgate_delivery_attempts_total", &[("destination", "app"), ("outcome", outcome)])
}

fn gaps(seen: &[Seen]) -> Vec<Duration> {
    seen.windows(2).map(|pair| pair[1].at - pair[0].at).collect()
}

#[test]
fn a_failing_delivery_is_made_again_with_backoff_until_it_succeeds() {
    let receiver = Receiver::start();
    receiver.script("/app", [Reply::status(500), Reply::status(503)]);
    let (_site, gateway) = start(&receiver, "initial: 200ms, max: 10s, jitter: none", "");
    let id = gateway.accept(&github("{\"try\":1}"));
    ended(&gateway, "delivered", 1);
    let seen = receiver.seen();
    let tried: Vec<String> = seen.iter().map(|seen| seen.header("hookgate-attempt").unwrap()).collect();
    assert_eq!(tried, ["1", "2", "3"]);
    assert!(seen.iter().all(|seen| seen.event_id() == id && seen.body == b"{\"try\":1}"));
    let gaps = gaps(&seen);
    assert!(gaps[0] >= Duration::from_millis(195) && gaps[1] >= Duration::from_millis(395), "{gaps:?}");
    assert_eq!((attempts(&gateway, "http_5xx"), attempts(&gateway, "success")), (2, 1));
}

#[test]
fn an_answer_that_is_not_worth_another_try_ends_the_delivery() {
    for (reply, outcome) in [
        (Reply::status(400), "http_4xx"),
        (Reply::status(302).with("Location", "/elsewhere"), "http_3xx"),
        (Reply::status(307).with("Location", "/elsewhere"), "http_3xx"),
        (Reply::status(304), "http_3xx"),
    ] {
        let receiver = Receiver::start();
        receiver.always("/app", reply);
        let (_site, gateway) = start(&receiver, "initial: 10ms, max: 10ms", "");
        gateway.accept(&github("{}"));
        ended(&gateway, "dead_lettered", 1);
        gateway.wait_for_metric("hookgate_dead_letter_events", &[("destination", "app")], 1);
        assert_eq!((attempts(&gateway, outcome), receiver.count()), (1, 1), "one try, nothing followed");
    }
}

#[test]
fn a_destination_can_end_a_delivery_for_good() {
    for reply in [Reply::status(410), Reply::status(503).with("webhook-delivery", "abort-message")] {
        let receiver = Receiver::start();
        receiver.always("/app", reply);
        let (_site, gateway) = start(&receiver, "initial: 10ms, max: 10ms, retry_on: [4xx, 5xx]", "");
        gateway.accept(&github("{}"));
        ended(&gateway, "dead_lettered", 1);
        assert_eq!(receiver.count(), 1);
    }
}

#[test]
fn tries_and_age_are_bounded() {
    let receiver = Receiver::start();
    receiver.always("/app", Reply::status(500));
    let (_site, gateway) = start(&receiver, "initial: 10ms, max: 20ms, max_attempts: 3", "");
    gateway.accept(&github("{}"));
    ended(&gateway, "dead_lettered", 1);
    assert_eq!(receiver.count(), 3);
    let (_site, gateway) = start(&receiver, "initial: 50ms, max: 50ms, max_attempts: 1000, give_up_after: 1s", "");
    gateway.accept(&github("{}"));
    ended(&gateway, "expired", 1);
}

#[test]
fn retry_after_puts_a_delivery_off_without_counting_a_try() {
    let receiver = Receiver::start();
    let date = jiff::fmt::rfc2822::DateTimePrinter::new();
    let in_two_seconds = jiff::Timestamp::now() + Duration::from_secs(3);
    let in_two_seconds = date.timestamp_to_rfc9110_string(&in_two_seconds).unwrap();
    receiver.script(
        "/app",
        [
            Reply::status(503).with("Retry-After", "1"),
            Reply::status(429).with("Retry-After", &in_two_seconds),
            Reply::status(429).with("Retry-After", "86400"),
        ],
    );
    let (_site, gateway) = start(&receiver, "initial: 1ms, max: 1500ms, max_attempts: 1", "");
    gateway.accept(&github("{}"));
    ended(&gateway, "delivered", 1);
    let seen = receiver.seen();
    let gaps = gaps(&seen);
    assert!(gaps[0] >= Duration::from_secs(1), "{gaps:?}");
    // A `Retry-After` of a day is cut to the policy's longest pause.
    assert!(gaps[2] >= Duration::from_millis(1490) && gaps[2] < Duration::from_secs(10), "{gaps:?}");
    assert!(seen.iter().all(|seen| seen.header("hookgate-attempt").as_deref() == Some("1")));
    gateway.wait_for_metric("hookgate_delivery_deferrals_total", &[("cause", "retry_after")], 3);
}

#[test]
fn a_slow_answer_is_a_timeout_and_is_tried_again() {
    let receiver = Receiver::start();
    receiver.script("/app", [Reply::status(200).after(Duration::from_secs(30))]);
    let (_site, gateway) = start(&receiver, "initial: 10ms, max: 10ms", ", timeout: 300ms");
    gateway.accept(&github("{}"));
    ended(&gateway, "delivered", 1);
    assert_eq!((attempts(&gateway, "timeout"), attempts(&gateway, "success")), (1, 1));
    assert_eq!(receiver.count(), 2);
}

#[test]
fn a_service_that_comes_up_late_gets_its_events() {
    let port = free_port();
    let rest = Site::plain_rest(&format!("http://127.0.0.1:{port}/app"), "");
    let gateway = Site::new(&rest).start();
    let mut ids: Vec<String> = (0..10).map(|_| gateway.accept(&github("{}"))).collect();
    ids.sort_unstable();
    eventually("two failed tries each", SOON, || (attempts(&gateway, "connect") >= 20).then_some(()));
    let receiver = Receiver::start_on(port);
    ended(&gateway, "delivered", 10);
    let mut seen: Vec<String> = receiver.seen().iter().map(Seen::event_id).collect();
    seen.sort_unstable();
    assert_eq!(seen, ids, "each once");
}

#[test]
fn a_destination_that_is_down_does_not_hold_the_others() {
    let receiver = Receiver::start();
    let rest = Site::plain_rest(&receiver.url("/app"), "")
        .replace("to: app}", "to: [app, down]}\n  more: {from: github, to: [also, app]}")
        + &format!(
            "  down: {{url: \"http://127.0.0.1:{}/down\", circuit_breaker: off, retry: {{initial: 1h, max: 1h}}}}\n",
            free_port()
        )
        + &format!("  also: {{url: \"{}\"}}\n", receiver.url("/also"));
    let gateway = Site::new(&rest).start();
    let ids: Vec<String> = (0..20).map(|_| gateway.accept(&github("{}"))).collect();
    receiver.wait_for(60);
    gateway.wait_for_metric("hookgate_queue_events", &[("destination", "down"), ("state", "scheduled")], 20);
    gateway.wait_for_metric("hookgate_deliveries_total", &[("result", "delivered")], 60);
    for id in ids {
        let mut copies: Vec<(String, String)> = receiver
            .seen()
            .iter()
            .filter(|seen| seen.event_id() == id)
            .map(|seen| (seen.target.clone(), seen.header("hookgate-route").unwrap()))
            .collect();
        copies.sort_unstable();
        let copy = |path: &str, route: &str| (path.to_owned(), route.to_owned());
        assert_eq!(copies, [copy("/also", "more"), copy("/app", "all"), copy("/app", "more")]);
    }
}

#[test]
fn concurrency_is_used_and_never_exceeded() {
    let receiver = Receiver::start();
    receiver.always("/app", Reply::status(200).after(Duration::from_millis(100)));
    let (_site, gateway) = start(&receiver, "initial: 10ms", ", concurrency: 4");
    let mut connection = gateway.connect();
    for _ in 0..60 {
        assert_eq!(connection.send(&github("{}")).unwrap().status, 200);
    }
    ended(&gateway, "delivered", 60);
    let most = receiver.in_flight_most("/app");
    assert!((3..=4).contains(&most), "{most}");
}

#[test]
fn a_hanging_destination_does_not_slow_another() {
    let receiver = Receiver::start();
    receiver.always("/hang", Reply::status(200).after(Duration::from_mins(5)));
    let rest = Site::plain_rest(&receiver.url("/app"), "").replace("to: app}", "to: [app, hang]}")
        + &format!("  hang: {{url: \"{}\", concurrency: 2, timeout: 5m}}\n", receiver.url("/hang"));
    let gateway = Site::new(&rest).start();
    let mut connection = gateway.connect();
    for _ in 0..50 {
        assert_eq!(connection.send(&github("{}")).unwrap().status, 200);
    }
    ended(&gateway, "delivered", 50);
    assert_eq!((receiver.seen_at("/app").len(), receiver.seen_at("/hang").len()), (50, 2));
    let latency = gateway.metrics();
    let within = latency.sum("hookgate_event_latency_seconds_bucket", &[("route", "all"), ("le", "1")]);
    assert!(within >= 45, "{within} of 50 events were delivered within a second");
}

#[test]
fn nothing_is_delivered_twice_without_a_reason() {
    let _alone = alone();
    let receiver = Receiver::start();
    let failures = 300;
    receiver.script("/app", (0..failures).map(|_| Reply::status(500)));
    let rest = Site::plain_rest(&receiver.url("/app"), ", concurrency: 16")
        .replace("initial: 50ms, max: 200ms", "initial: 1ms, max: 20ms")
        .replace("to: app}", "to: [app, also]}")
        + &format!("  also: {{url: \"{}\"}}\n", receiver.url("/also"));
    let gateway = Site::new(&rest).start();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut connection = gateway.connect();
                for _ in 0..150 {
                    assert_eq!(connection.send(&github("{}")).unwrap().status, 200);
                }
            });
        }
    });
    gateway.wait_for_metric("hookgate_deliveries_total", &[("result", "delivered")], 1200);
    gateway.wait_for_metric("hookgate_queue_events", &[], 0);
    assert_eq!((receiver.seen_at("/app").len(), receiver.seen_at("/also").len()), (600 + failures, 600));
}

#[test]
fn a_rate_is_kept_and_what_it_holds_back_counts_no_try() {
    let receiver = Receiver::start();
    let (_site, gateway) = start(&receiver, "initial: 10ms, max_attempts: 1", ", rate_limit: {rate: 20/s, burst: 1}");
    let mut connection = gateway.connect();
    for _ in 0..40 {
        assert_eq!(connection.send(&github("{}")).unwrap().status, 200);
    }
    ended(&gateway, "delivered", 40);
    let seen = receiver.seen();
    // Forty at twenty a second take almost two seconds, however fast the machine.
    let took = seen.last().unwrap().at.duration_since(seen.first().unwrap().at);
    assert!(took >= Duration::from_millis(1900), "{took:?}");
    assert!(seen.iter().all(|seen| seen.header("hookgate-attempt").as_deref() == Some("1")));
    assert!(gateway.metrics().sum("hookgate_delivery_deferrals_total", &[("cause", "rate")]) > 0);
}
