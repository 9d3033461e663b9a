//! The circuit breaker of a destination: when to leave a service alone that fails.
//!
//! Only its parameters yet.

use std::time::Duration;

/// When the breaker opens, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerParams {
    /// So many failed tries…
    pub failures: u32,
    /// …within this open it.
    pub within: Duration,
    /// For so long nothing is tried.
    pub open_for: Duration,
}

impl Default for BreakerParams {
    fn default() -> Self {
        Self { failures: 10, within: Duration::from_secs(30), open_for: Duration::from_secs(20) }
    }
}
