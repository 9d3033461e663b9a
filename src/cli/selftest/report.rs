//! The output of a self-test: the same facts for people and for programs.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::accounts::Balance;
use super::disk::{SyncTimes, percentile};
use super::gateway::Figures;
use crate::buffer::Fsync;

/// All results of a self-test.
#[derive(Debug)]
pub(super) struct SelftestReport<'a> {
    pub(super) folder: &'a Path,
    pub(super) disk: SyncTimes,
    pub(super) fsync: Fsync,
    pub(super) rate: u32,
    pub(super) kills: u32,
    pub(super) took: Duration,
    /// The time of each start after a kill, until the gateway listened.
    pub(super) restarts: Vec<Duration>,
    /// The commits of all gateways together.
    pub(super) commits: Figures,
    pub(super) balance: Balance,
}

impl SelftestReport<'_> {
    /// Returns whether the promise was kept, and there were events to prove it.
    pub(super) fn is_kept(&self) -> bool {
        self.balance.answered > 0 && self.balance.lost == 0 && self.balance.changed == 0
    }

    /// Returns the failures that an answered event survives here.
    fn durability(&self) -> String {
        match self.fsync {
            Fsync::Group => self.disk.class.to_string(),
            Fsync::Os | Fsync::Memory => self.fsync.durability().to_owned(),
        }
    }

    fn verdict(&self) -> &'static str {
        match self.balance {
            Balance { answered: 0, .. } => "nothing was answered, so nothing was shown",
            Balance { lost: 0, changed: 0, .. } => "every answered event arrived, byte for byte",
            Balance { lost: 0, .. } => "events arrived with other bytes than were sent",
            Balance { .. } => "EVENTS WERE LOST that had been answered as accepted",
        }
    }

    fn restart(&self) -> (Duration, Duration) {
        let mut sorted = self.restarts.clone();
        sorted.sort_unstable();
        (percentile(&sorted, 50), percentile(&sorted, 100))
    }

    pub(super) fn text(&self) -> String {
        let Self { disk, balance, commits, .. } = self;
        let (usual, longest) = self.restart();
        let rows = [
            ("folder", self.folder.display().to_string()),
            (
                "sync",
                format!(
                    "write + fdatasync of 4 KiB: p50 {}, p99 {} ({} measured)",
                    spelled(disk.p50),
                    spelled(disk.p99),
                    disk.samples
                ),
            ),
            ("durability", self.durability()),
            ("load", format!("{} events/s for {:.1} s", self.rate, self.took.as_secs_f64())),
            ("kills", format!("{} (SIGKILL at random moments)", self.kills)),
            ("restart", format!("p50 {}, longest {}", spelled(usual), spelled(longest))),
            (
                "commits",
                format!(
                    "{:.0}, {:.1} events each, {:.2} ms each",
                    commits.commits,
                    per(commits.events, commits.commits),
                    1000.0 * per(commits.commit_secs, commits.commits)
                ),
            ),
            ("answered", format!("{} events", balance.answered)),
            ("lost", balance.lost.to_string()),
            ("changed", balance.changed.to_string()),
            ("delivered twice", format!("{} (a kill between a delivery and its record)", balance.again)),
            ("verdict", self.verdict().to_owned()),
        ];
        let lines: Vec<String> = rows.iter().map(|(name, value)| format!("{name:<16} {value}")).collect();
        lines.join("\n")
    }

    pub(super) fn json(&self) -> Value {
        let Self { disk, balance, commits, .. } = self;
        let (usual, longest) = self.restart();
        json!({
            "ok": self.is_kept(),
            "folder": self.folder.display().to_string(),
            "sync": {
                "p50_seconds": disk.p50.as_secs_f64(),
                "p99_seconds": disk.p99.as_secs_f64(),
                "samples": disk.samples,
            },
            "durability": {
                "class": match self.fsync {
                    Fsync::Group => disk.class.label(),
                    Fsync::Os => "kill_only",
                    Fsync::Memory => "clean_stop_only",
                },
                "text": self.durability(),
            },
            "rate": self.rate,
            "kills": self.kills,
            "seconds": self.took.as_secs_f64(),
            "restart": { "p50_seconds": usual.as_secs_f64(), "max_seconds": longest.as_secs_f64() },
            "commits": {
                "count": whole(commits.commits),
                "events_per_commit": per(commits.events, commits.commits),
                "mean_seconds": per(commits.commit_secs, commits.commits),
            },
            "answered": balance.answered,
            "lost": balance.lost,
            "changed": balance.changed,
            "delivered_twice": balance.again,
        })
    }
}

/// Converts a count from a metric.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts are whole and not negative")]
fn whole(count: f64) -> u64 {
    count as u64
}

fn per(sum: f64, count: f64) -> f64 {
    if count > 0.0 { sum / count } else { 0.0 }
}

fn spelled(time: Duration) -> String {
    let ms = time.as_secs_f64() * 1000.0;
    if ms < 1.0 { format!("{:.0} µs", ms * 1000.0) } else { format!("{ms:.1} ms") }
}
