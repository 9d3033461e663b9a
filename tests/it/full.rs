//! A full buffer refuses before any event is lost, and accepts again without help.

use std::time::Duration;

use crate::support::{Receiver, SOON, Seen, Site, eventually, free_port, github};

#[test]
fn a_full_buffer_answers_503_loses_nothing_and_recovers_by_itself() {
    let port = free_port();
    let rest = Site::plain_rest(&format!("http://127.0.0.1:{port}/app"), "") + "buffer: {max_size: 1MiB}\n";
    let site = Site::new(&rest);
    let gateway = site.start();
    let body = format!("\"{}\"", "x".repeat(49_998)).into_bytes();
    let mut ids = Vec::new();
    let refused = eventually("the buffer is full", SOON, || {
        let answer = gateway.send(&github(body.clone()));
        if answer.status == 200 {
            ids.push(answer.event_id().unwrap());
            return None;
        }
        Some(answer)
    });
    assert_eq!((refused.status, refused.json()["outcome"].as_str()), (503, Some("buffer_full")));
    assert_eq!(refused.header("retry-after"), Some("30"));
    assert!((10..=21).contains(&ids.len()), "{} events of 50 kB in 1 MiB", ids.len());
    gateway.wait_for_outcomes("github", "buffer_full", 503, 1);
    let metrics = gateway.metrics();
    assert_eq!(metrics.sum("hookgate_buffer_refusing", &[("reason", "disk")]), 0);
    assert!(metrics.sum("hookgate_buffer_used_bytes", &[]) <= 1024 * 1024);
    assert_eq!(metrics.sum("hookgate_buffer_limit_bytes", &[]), 1024 * 1024);
    // A small event may still fit; a forged one is still refused for its signature.
    assert_eq!(gateway.send(&github(body.clone()).without("X-Hub-Signature-256")).status, 401);
    let line = eventually("a line says that it refuses", SOON, || {
        gateway.log().lines().find(|line| line.contains("the buffer refuses events")).map(str::to_owned)
    });
    for part in ["ERROR", "\"reason\":\"size\"", "the buffer is full: ", "of 1 MiB are used (buffer.max_size)"] {
        assert!(line.contains(part), "{part} in {line}");
    }
    let receiver = Receiver::start_on(port);
    receiver.wait_for(ids.len());
    ids.push(eventually("the buffer takes again", SOON + Duration::from_secs(10), || {
        gateway.send(&github(body.clone())).event_id()
    }));
    receiver.wait_for(ids.len());
    gateway.wait_for_metric("hookgate_queue_events", &[], 0);
    let mut seen: Vec<String> = receiver.seen().iter().map(Seen::event_id).collect();
    seen.sort_unstable();
    ids.sort_unstable();
    assert_eq!(seen, ids, "each once, and none that was refused");
    assert_eq!(gateway.admin("/readyz").status, 200);
    eventually("a line says that it takes events again", SOON, || {
        gateway.log().contains("the buffer takes events again").then_some(())
    });
    assert_eq!(gateway.log().matches("the buffer refuses events").count(), 1, "once an episode: {}", gateway.log());
}
