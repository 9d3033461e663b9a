//! The balance of deliveries of every destination.

use std::time::Instant;

use super::{Gateway, Metrics, SOON};

/// Asserts for every destination: deliveries found in the queue at the start plus those accepted since equal those that
/// ended plus those still queued. `rows` are (route, its destination, found).
///
/// A commit and its count are not one step, so this waits until they agree.
#[track_caller]
pub(crate) fn accounts(gateway: &Gateway, rows: &[(&str, &str, u64)]) {
    for (route, destination, found) in rows {
        let started = Instant::now();
        loop {
            let metrics = gateway.metrics();
            let owed = found + metrics.sum("hookgate_route_matches_total", &[("route", route)]);
            let (ended, queued) = (ended(&metrics, destination), queued(&metrics, destination));
            if owed == ended + queued {
                break;
            }
            let said = format!("{destination}: {owed} owed, {ended} ended, {queued} queued");
            assert!(started.elapsed() < SOON, "the accounts do not agree: {said}");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}

/// Counts the deliveries that ended, with any result.
fn ended(metrics: &Metrics, destination: &str) -> u64 {
    let results = ["delivered", "dead_lettered", "expired", "discarded"];
    let of = |result| metrics.sum("hookgate_deliveries_total", &[("destination", destination), ("result", result)]);
    results.into_iter().map(of).sum()
}

/// Counts the deliveries that are still queued.
pub(crate) fn queued(metrics: &Metrics, destination: &str) -> u64 {
    metrics.sum("hookgate_queue_events", &[("destination", destination)])
}
