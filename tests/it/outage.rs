//! A short outage of a service: first nothing listens, then the service hangs, then it works again.
//!
//! By hand, closer to a real one: `OUTAGE_SECS=600 cargo test --test it outage`. In CI it lasts 10 seconds.

use std::time::{Duration, Instant};

use crate::support::{
    Flow, Gateway, Load, Receiver, Reply, SOON, Seen, Site, accounts, alone, eventually, free_port, number, pass,
    queued,
};

/// The number of deliveries of a destination that may be in flight.
const IN_FLIGHT_MOST: usize = 64;
/// The number of failed attempts before the breaker opens.
const FAILURES: u64 = 10;

fn tries(gateway: &Gateway) -> u64 {
    gateway.metrics().sum("hookgate_delivery_attempts_total", &[("destination", "app")])
}

/// Checks that an open breaker lets through at most two probes a second.
fn is_probed_only(gateway: &Gateway, time: Duration) {
    let open = || gateway.metrics().sum("hookgate_circuit_open", &[("destination", "app")]) == 1;
    eventually("the breaker opens", SOON, || open().then_some(()));
    let (before, began) = (tries(gateway), Instant::now());
    pass(time);
    // Attempts in flight at the opening end within the time, and one probe may fall on either end.
    let allowed = 2 * began.elapsed().as_secs() + 2 + IN_FLIGHT_MOST as u64;
    let probes = tries(gateway) - before;
    assert!(probes <= allowed, "{probes} tries in {:?} of a dead service", began.elapsed());
}

/// Returns the distance from first-in-first-out order: the mean distance of an event from its place, as a share of all.
fn disorder(taken: &[Seen]) -> f64 {
    let mut sorted: Vec<(String, usize)> = taken.iter().enumerate().map(|(at, seen)| (seen.event_id(), at)).collect();
    // Ids begin with the time of receipt.
    sorted.sort();
    let distance: usize = sorted.iter().enumerate().map(|(at, (_, came))| at.abs_diff(*came)).sum();
    #[expect(clippy::cast_precision_loss, reason = "a share")]
    let share = distance as f64 / (taken.len() * taken.len()) as f64;
    share
}

#[test]

fn an_outage_costs_no_sender_anything_and_ends_without_a_herd() {
    let _alone = alone();
    let outage = Duration::from_secs(number("OUTAGE_SECS", 10) as u64);
    let port = free_port();
    let breaker = format!(", circuit_breaker: {{failures: {FAILURES}, within: 30s, open_for: 1s}}, timeout: 1s");
    let site = Site::new(&Site::plain_rest(&format!("http://127.0.0.1:{port}/app"), &breaker));
    let gateway = site.start();
    let load = Load::start(gateway.address(), Flow::of(200, 4));
    let began = Instant::now();
    is_probed_only(&gateway, outage / 2);
    let receiver = Receiver::start_on(port);
    receiver.always("/app", Reply::status(500).after(Duration::from_mins(1)));
    is_probed_only(&gateway, outage / 2);
    let (lasted, backlog) = (began.elapsed(), queued(&gateway.metrics(), "app"));
    assert!(receiver.in_flight_most("/app") <= IN_FLIGHT_MOST);
    receiver.well("/app");
    let back = Instant::now();
    // The load goes on: the backlog is delivered beside new events.
    let what = "the backlog is worked off in half of the outage's time";
    eventually(what, lasted / 2 + Duration::from_secs(2), || (queued(&gateway.metrics(), "app") < 200).then_some(()));
    let sent = load.stop();
    eventually("the queue is empty", SOON, || (queued(&gateway.metrics(), "app") == 0).then_some(()));
    assert_eq!((sent.refused.len(), sent.broken), (0, 0), "a sender felt the outage");
    let seen = receiver.seen();
    sent.all_arrived(&seen);
    assert!(receiver.in_flight_most("/app") <= IN_FLIGHT_MOST);
    let after: Vec<Seen> = seen.into_iter().filter(|seen| seen.at > back).collect();
    let first: Vec<usize> = after.iter().take(4).map(|seen| seen.under_way).collect();
    assert!(first.iter().all(|under_way| *under_way <= 8), "a herd at the door: {first:?} at once");
    let disorder = disorder(&after);
    eprintln!("{backlog} waited after {lasted:?}; drained in {:?}; disorder {disorder:.3}", back.elapsed());
    assert!(disorder < 0.15, "what waited longest does not come first: {disorder:.3}");
    accounts(&gateway, &[("all", "app", 0)]);
}
