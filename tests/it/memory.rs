//! A backlog lies on disk and not in memory; only the engine's write buffers grow, to their bound.

use crate::support::{Site, alone, free_port, github};

#[test]
fn four_hundred_megabytes_of_backlog_stay_out_of_memory() {
    let _alone = alone();
    let rest = Site::plain_rest(&format!("http://127.0.0.1:{}/app", free_port()), "");
    let gateway = Site::new(&rest).start();
    let idle = gateway.resident_bytes();
    let body = format!("\"{}\"", "x".repeat(99_998)).into_bytes();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut connection = gateway.connect();
                for _ in 0..1000 {
                    let answer = connection.send(&github(body.clone())).unwrap();
                    assert_eq!(answer.status, 200, "{}", answer.text());
                }
            });
        }
    });
    let metrics = gateway.metrics();
    assert_eq!(metrics.sum("hookgate_queue_events", &[]), 4000);
    assert!(metrics.sum("hookgate_buffer_used_bytes", &[]) > 400_000_000);
    let grown = gateway.resident_bytes().saturating_sub(idle) / 1_000_000;
    eprintln!("resident memory: {} MB idle, {grown} MB more with 400 MB of backlog", idle / 1_000_000);
    assert!(grown < 250, "{grown} MB");
}
