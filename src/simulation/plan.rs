//! The decisions of a seed before a run: how much is sent, and how often something goes wrong.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// The parameters of one run.
#[derive(Clone, Debug)]
pub(super) struct RunPlan {
    /// The number of events to send.
    pub(super) events: u32,
    /// The most events that are sent at once.
    pub(super) senders: u32,
    /// The longest pause after sending, in milliseconds.
    pub(super) pause_ms: u64,
    /// The number of disturbances.
    pub(super) disturbances: u32,
    /// The longest pause after a disturbance while events are sent, in milliseconds; four times as long afterwards.
    pub(super) disturb_ms: u64,
    /// True when a crash keeps a random number of unsynced batches; otherwise it keeps all of them.
    pub(super) power_cuts: bool,
    /// The percentage of events that always fail at their targets.
    pub(super) poison: u32,
}

impl RunPlan {
    pub(super) fn of(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed ^ 0x9e37_79b9);
        Self {
            events: rng.random_range(30..250),
            senders: rng.random_range(1..6),
            pause_ms: rng.random_range(1..400),
            disturbances: rng.random_range(0..40),
            disturb_ms: rng.random_range(50..8000),
            power_cuts: rng.random_bool(0.5),
            poison: rng.random_range(0..8),
        }
    }
}
