//! The counts of deliveries add up: accepted is delivered, ended without success, or still queued.

use std::time::Duration;

use crate::support::{Metrics, Receiver, Reply, SOON, Site, eventually, free_port, github};

fn copies_accounted_for(metrics: &Metrics) -> u64 {
    metrics.sum("hookgate_deliveries_total", &[]) + metrics.sum("hookgate_queue_events", &[])
}

#[test]
fn accepted_is_delivered_and_dead_and_expired_and_queued() {
    let receiver = Receiver::start();
    receiver.always("/final", Reply::status(400));
    receiver.always("/late", Reply::status(500));
    receiver.script("/good", (0..7).map(|_| Reply::status(500)));
    let destination = |name: &str, url: String, more: &str| {
        format!("  {name}: {{url: \"{url}\", retry: {{initial: 20ms, max: 50ms, max_attempts: 1000{more}}}}}\n")
    };
    let rest = "sources:
  github: {path: /in/github, provider: github, secrets: [{name: main, env: GITHUB_SECRET}]}
routes:
  a: {from: github, to: [good, final]}
  b: {from: github, events: [push], to: [late, down]}
  c: {from: github, events: [star], to: good}
destinations:
"
    .to_owned()
        + &destination("good", receiver.url("/good"), "")
        + &destination("final", receiver.url("/final"), "")
        + &destination("late", receiver.url("/late"), ", give_up_after: 500ms")
        + &destination("down", format!("http://127.0.0.1:{}/", free_port()), "");
    let gateway = Site::new(&rest).start();
    for at in 0..60 {
        let event = ["push", "star", "issues"][at % 3];
        let request = github(format!("{{\"at\":{at}}}")).without("X-GitHub-Event").with("X-GitHub-Event", event);
        gateway.accept(&request);
        if at % 10 == 0 {
            assert_eq!(gateway.send(&request.clone().without("X-Hub-Signature-256")).status, 401);
            assert_eq!(gateway.send(&request).event_id(), None);
        }
    }
    // push: good, final, late, down; star: good, final, good; issues: good, final.
    let copies = 20 * 4 + 20 * 3 + 20 * 2;
    eventually("all but the copies for `down` have ended", SOON + Duration::from_secs(10), || {
        (gateway.metrics().sum("hookgate_queue_events", &[]) == 20).then_some(())
    });
    gateway.wait_for_metric("hookgate_requests_total", &[("outcome", "accepted")], 60);
    gateway.wait_for_metric("hookgate_requests_total", &[("outcome", "duplicate")], 6);
    let ended = |destination: &str, result: &str| {
        gateway.metrics().sum("hookgate_deliveries_total", &[("destination", destination), ("result", result)])
    };
    eventually("the identity holds", SOON, || (copies_accounted_for(&gateway.metrics()) == copies).then_some(()));
    eventually("they are counted", SOON, || (ended("good", "delivered") == 80).then_some(()));
    eventually("they are counted", SOON, || (ended("final", "dead_lettered") == 60).then_some(()));
    eventually("they are counted", SOON, || (ended("late", "expired") == 20).then_some(()));
    gateway.wait_for_metric("hookgate_queue_events", &[("destination", "down")], 20);
    gateway.wait_for_metric("hookgate_dead_letter_events", &[], 80);
    assert_eq!(receiver.seen_at("/good").len(), 87);
}
