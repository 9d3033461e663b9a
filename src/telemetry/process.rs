//! Readings of the buffer, and happenings of the process: commits, room on the disk, queues, reloads.
//!
//! Gauges are set when somebody scrapes; counters are raised to what the books say, and never lowered.

use std::time::Duration;

use super::Telemetry;
use crate::clock::Timestamp;

/// The labels of a reload's result.
const APPLIED: &str = "applied";
const REFUSED: &str = "refused";

/// Readings of the buffer and happenings of the process.
impl Telemetry {
    /// One commit.
    pub fn commit(&self, took: Duration, events: usize, failed: bool) {
        self.0.commit_seconds.observe(took.as_secs_f64());
        #[expect(clippy::cast_precision_loss, reason = "a batch holds at most a thousand events")]
        self.0.commit_events.observe(events as f64);
        if failed {
            self.0.buffer_errors.with_label_values(&["commit"]).inc();
        }
    }

    /// Records that could not be read, since the start.
    pub fn unreadable_records(&self, records: u64) {
        let counter = self.0.buffer_errors.with_label_values(&["read"]);
        counter.inc_by(records.saturating_sub(counter.get()));
    }

    /// The buffer's size now.
    pub fn buffer(&self, used_bytes: u64, limit_bytes: u64, dedup_entries: u64) {
        self.0.buffer_used.set(i64::try_from(used_bytes).unwrap_or(i64::MAX));
        self.0.buffer_limit.set(i64::try_from(limit_bytes).unwrap_or(i64::MAX));
        self.0.dedup_entries.set(i64::try_from(dedup_entries).unwrap_or(i64::MAX));
    }

    /// The disk's free bytes, where they are known, and why the buffer refuses events now.
    pub fn disk<const N: usize>(&self, free_bytes: Option<u64>, refusing: [(&'static str, bool); N]) {
        if let Some(free_bytes) = free_bytes {
            self.0.disk_free.set(i64::try_from(free_bytes).unwrap_or(i64::MAX));
        }
        for (reason, refuses) in refusing {
            self.0.buffer_refusing.with_label_values(&[reason]).set(i64::from(refuses));
        }
    }

    /// The buffer begins to refuse events.
    #[expect(clippy::unused_self, reason = "a happening is told to telemetry, whether it counts or only logs")]
    pub fn buffer_refuses(&self, reason: &'static str, why: &str) {
        tracing::error!(reason, why, "the buffer refuses events; senders get 503 and deliveries go on");
    }

    /// The buffer takes events again.
    #[expect(clippy::unused_self, reason = "a happening is told to telemetry, whether it counts or only logs")]
    pub fn buffer_accepts(&self, refused_for: Duration) {
        let refused_secs = refused_for.as_secs();
        tracing::info!(refused_secs, "the buffer takes events again");
    }

    /// Deliveries that entered a destination's queue or were found in it, and those that a person gave up, since the start.
    pub fn deliveries_accounted(&self, destination: &str, accepted: u64, discarded: u64) {
        let raise = |counter: prometheus::IntCounter, to: u64| counter.inc_by(to.saturating_sub(counter.get()));
        raise(self.0.accepted.with_label_values(&[destination]), accepted);
        if discarded > 0 {
            raise(self.0.deliveries.with_label_values(&[destination, "discarded"]), discarded);
        }
    }

    /// A destination's queue now: events by state, age of the oldest, dead letters.
    pub fn queue(&self, destination: &str, states: [(&'static str, u64); 4], oldest: Duration, dead_letters: u64) {
        for (state, events) in states {
            self.0.queue_events.with_label_values(&[destination, state]).set(i64::try_from(events).unwrap_or(i64::MAX));
        }
        self.0.queue_oldest.with_label_values(&[destination]).set(i64::try_from(oldest.as_secs()).unwrap_or(i64::MAX));
        self.0.dead_letters.with_label_values(&[destination]).set(i64::try_from(dead_letters).unwrap_or(i64::MAX));
    }

    /// The rules on disk are in force, from a start or a reload.
    pub fn rules_in_force(&self, now: Timestamp) {
        self.0.reload_ok.set(1);
        self.0.reload_time.set(i64::try_from(now.unix_secs()).unwrap_or(i64::MAX));
        for result in [APPLIED, REFUSED] {
            // To name a series is to begin it.
            self.0.reloads.with_label_values(&[result]);
        }
    }

    /// Rules were read anew, or could not be.
    pub fn reload(&self, applied: bool, now: Timestamp) {
        self.0.reloads.with_label_values(&[if applied { APPLIED } else { REFUSED }]).inc();
        if applied {
            self.rules_in_force(now);
        } else {
            self.0.reload_ok.set(0);
        }
    }
}
