//! What a seed decides beforehand: how much is sent, what goes wrong, and how often.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// One run's world.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// Events that are sent.
    pub(super) events: u32,
    /// Senders; each sends one after another.
    pub(super) senders: u32,
    /// The longest pause between two events of a sender, milliseconds.
    pub(super) pause_ms: u64,
    /// Of a hundred disturbances, so many are of each kind.
    pub(super) disturbances: u32,
    /// The longest pause between two disturbances, milliseconds.
    pub(super) disturb_ms: u64,
    /// How much of a dead machine's unsynced work survives: never all, or all.
    pub(super) power_cuts: bool,
    /// Of a hundred events, so many are poison to their targets.
    pub(super) poison: u32,
}

impl Plan {
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
