//! A destination that stays down: it is told once a minute, with what waits, and once more when it has recovered.

use std::time::Duration;

use serde_json::Value;

use crate::support::{Receiver, Site, eventually, free_port, github};

/// A line comes after a minute; the rest is for slow machines.
const OVER_A_MINUTE: Duration = Duration::from_secs(100);

#[test]
fn a_destination_that_stays_down_has_a_line_a_minute_that_says_what_waits_and_why() {
    let port = free_port();
    let breaker = ", circuit_breaker: {failures: 2, within: 30s, open_for: 5s}";
    let site = Site::new(&Site::plain_rest(&format!("http://127.0.0.1:{port}/app"), breaker));
    let gateway = site.start();
    for _ in 0..3 {
        gateway.accept(&github("{}"));
    }
    let line = |text: &str| {
        let log = gateway.log();
        log.lines().filter(|line| line.contains(text)).find_map(|line| serde_json::from_str::<Value>(line).ok())
    };
    let told = eventually("the trouble is told", OVER_A_MINUTE, || line("the destination is failing; deliveries wait"));
    assert_eq!((&told["level"], &told["destination"], &told["waiting"]), (&"WARN".into(), &"app".into(), &3.into()));
    assert!(told["oldest_secs"].as_u64().unwrap() >= 50, "{told}");
    assert_eq!(told["last_target"], format!("127.0.0.1:{port}"), "{told}");
    assert!(!told["last_error"].as_str().unwrap().is_empty() && told["next_probe_secs"].is_u64(), "{told}");

    let receiver = Receiver::start_on(port);
    receiver.wait_for(3);
    eventually("the end is told", OVER_A_MINUTE, || line("the destination has recovered"));
}
