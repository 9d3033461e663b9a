//! Readings of the buffer, and observations of the process: commits, space on the disk, queues, reloads.
//!
//! Gauges are set at each scrape; counters are raised to the buffer's counters, and never lowered.

use std::time::Duration;

use super::Telemetry;
use crate::clock::Timestamp;

/// The labels of a reload's result.
const APPLIED: &str = "applied";
const REFUSED: &str = "refused";

/// Readings of the buffer and observations of the process.
impl Telemetry {
    /// Records one commit.
    pub fn commit(&self, took: Duration, events: usize, failed: bool) {
        self.0.commit_seconds.observe(took.as_secs_f64());
        #[expect(clippy::cast_precision_loss, reason = "a batch holds at most a thousand events")]
        self.0.commit_events.observe(events as f64);
        if failed {
            self.0.buffer_errors.with_label_values(&["commit"]).inc();
        }
    }

    /// Raises the count of records that could not be read since the start.
    pub fn unreadable_records(&self, records: u64) {
        let counter = self.0.buffer_errors.with_label_values(&["read"]);
        counter.inc_by(records.saturating_sub(counter.get()));
    }

    /// Sets the buffer's current size.
    pub fn buffer(&self, used_bytes: u64, limit_bytes: u64, dedup_entries: u64) {
        self.0.buffer_used.set(i64::try_from(used_bytes).unwrap_or(i64::MAX));
        self.0.buffer_limit.set(i64::try_from(limit_bytes).unwrap_or(i64::MAX));
        self.0.dedup_entries.set(i64::try_from(dedup_entries).unwrap_or(i64::MAX));
    }

    /// Sets the disk's free bytes, where they are known, and the reasons why the buffer refuses events now.
    pub fn disk<const N: usize>(&self, free_bytes: Option<u64>, refusing: [(&'static str, bool); N]) {
        if let Some(free_bytes) = free_bytes {
            self.0.disk_free.set(i64::try_from(free_bytes).unwrap_or(i64::MAX));
        }
        for (reason, refuses) in refusing {
            self.0.buffer_refusing.with_label_values(&[reason]).set(i64::from(refuses));
        }
    }

    /// Logs that the buffer begins to refuse events.
    #[expect(clippy::unused_self, reason = "a happening is told to telemetry, whether it counts or only logs")]
    pub fn buffer_refuses(&self, reason: &'static str, why: &str) {
        tracing::error!(reason, why, "the buffer refuses events; senders get 503 and deliveries go on");
    }

    /// Logs that the buffer takes events again.
    #[expect(clippy::unused_self, reason = "a happening is told to telemetry, whether it counts or only logs")]
    pub fn buffer_accepts(&self, refused_for: Duration) {
        let refused_secs = refused_for.as_secs();
        tracing::info!(refused_secs, "the buffer takes events again");
    }

    /// Raises the counts since the start: deliveries that entered a destination's queue or were found in it, and
    /// discarded ones.
    pub fn deliveries_accounted(&self, destination: &str, accepted: u64, discarded: u64) {
        let raise = |counter: prometheus::IntCounter, to: u64| counter.inc_by(to.saturating_sub(counter.get()));
        raise(self.0.accepted.with_label_values(&[destination]), accepted);
        if discarded > 0 {
            raise(self.0.deliveries.with_label_values(&[destination, "discarded"]), discarded);
        }
    }

    /// Sets a destination's current queue: events by state, age of the oldest, dead letters.
    pub fn queue(&self, destination: &str, states: [(&'static str, u64); 4], oldest: Duration, dead_letters: u64) {
        for (state, events) in states {
            self.0.queue_events.with_label_values(&[destination, state]).set(i64::try_from(events).unwrap_or(i64::MAX));
        }
        self.0.queue_oldest.with_label_values(&[destination]).set(i64::try_from(oldest.as_secs()).unwrap_or(i64::MAX));
        self.0.dead_letters.with_label_values(&[destination]).set(i64::try_from(dead_letters).unwrap_or(i64::MAX));
    }

    /// Records that the rules on disk are in force, from a start or a reload.
    pub fn rules_in_force(&self, now: Timestamp) {
        self.0.reload_ok.set(1);
        self.0.reload_time.set(i64::try_from(now.unix_secs()).unwrap_or(i64::MAX));
        for result in [APPLIED, REFUSED] {
            // Naming a series begins it.
            self.0.reloads.with_label_values(&[result]);
        }
    }

    /// Records a reload that was applied or refused.
    pub fn reload(&self, applied: bool, now: Timestamp) {
        self.0.reloads.with_label_values(&[if applied { APPLIED } else { REFUSED }]).inc();
        if applied {
            self.rules_in_force(now);
        } else {
            self.0.reload_ok.set(0);
        }
    }
}
