//! A small service that recovers: its backlog does not overload it again.

use std::time::Duration;

use crate::support::{Gateway, Receiver, Reply, Site, alone, eventually, free_port, send_many};

/// The requests that the service takes at once; the destination has the default concurrency of 64.
const AT_ONCE: usize = 5;
/// The bound of failed attempts: one at each limit that is too high; without a slow start 59 fail at once.
const BROKEN_MOST: usize = 15;
const LONG: Duration = Duration::from_mins(1);

const BREAKER: &str = ", circuit_breaker: {failures: 10, within: 30s, open_for: 1s}";

fn logged(gateway: &Gateway, line: &str) -> usize {
    gateway.log().matches(line).count()
}

/// Starts the recovered service, slow enough that its backlog lasts for seconds.
fn small_service(port: u16) -> Receiver {
    let receiver = Receiver::start_on(port);
    receiver.at_most("/app", AT_ONCE);
    receiver.always("/app", Reply::status(200).after(Duration::from_millis(15)));
    receiver
}

fn delivered(gateway: &Gateway, count: u64) {
    let labels = [("destination", "app"), ("result", "delivered")];
    eventually("everything is delivered", LONG, || {
        (gateway.metrics().sum("hookgate_deliveries_total", &labels) == count).then_some(())
    });
}

#[test]
fn a_small_service_that_comes_back_is_not_reset_by_what_waited_for_it() {
    let _alone = alone();
    let port = free_port();
    let gateway = Site::new(&Site::plain_rest(&format!("http://127.0.0.1:{port}/app"), BREAKER)).start();
    let sent = send_many(gateway.address(), 1200);
    assert_eq!((sent.refused.len(), sent.broken), (0, 0));
    gateway.wait_for_metric("hookgate_circuit_open", &[("destination", "app")], 1);
    let waits = gateway.admin("/api/v1/destinations").json()["destinations"][0].clone();
    assert!(matches!(waits["circuit"].as_str(), Some("open" | "probing")), "{waits}");
    assert_eq!(waits["waits"]["for"], "breaker", "{waits}");
    assert_eq!(waits["last_error"]["target"], format!("127.0.0.1:{port}"), "{waits}");
    assert!(waits["last_error"]["detail"].as_str().is_some_and(|detail| detail.contains("refused")), "{waits}");
    let receiver = small_service(port);
    delivered(&gateway, 1200);
    let broken = receiver.broken("/app");
    assert!(broken <= BROKEN_MOST, "{broken} resets after the circuit had closed");
    assert_eq!(logged(&gateway, "the circuit is open"), 1, "it opened again");
    eventually("the end is said", LONG, || (logged(&gateway, "the destination has recovered") == 1).then_some(()));
    let well = gateway.admin("/api/v1/destinations").json()["destinations"][0].clone();
    assert_eq!((&well["waits"], &well["in_trouble_secs"]), (&serde_json::Value::Null, &serde_json::Value::Null));
}

#[test]
fn a_gateway_that_starts_with_a_backlog_does_not_knock_a_small_service_over() {
    let _alone = alone();
    let port = free_port();
    let site = Site::new(&Site::plain_rest(&format!("http://127.0.0.1:{port}/app"), BREAKER));
    let mut gateway = site.start();
    let sent = send_many(gateway.address(), 600);
    assert_eq!((sent.refused.len(), sent.broken), (0, 0));
    assert!(gateway.stop().success());
    let receiver = small_service(port);
    let gateway = site.start();
    delivered(&gateway, 600);
    let broken = receiver.broken("/app");
    assert!(broken <= BROKEN_MOST, "{broken} resets at the start");
    assert_eq!(logged(&gateway, "the circuit is open"), 0);
}
