//! The health of destinations' targets: a gauge for each target with health checks, and a line for each change.

use super::Telemetry;

impl Telemetry {
    /// Sets the health of a target.
    pub fn target(&self, destination: &str, target: &str, is_healthy: bool) {
        self.0.target_healthy.with_label_values(&[destination, target]).set(i64::from(is_healthy));
    }

    /// Records a change of a target's health; `trouble` is its last error.
    pub fn target_turned(&self, destination: &str, target: &str, is_healthy: bool, trouble: &str) {
        self.target(destination, target, is_healthy);
        if is_healthy {
            tracing::info!(target: "hookgate::delivery", destination, address = target, "a target is healthy again");
        } else {
            tracing::warn!(target: "hookgate::delivery", destination, address = target, trouble, "a target is unhealthy");
        }
    }

    /// Ends the series of a target without health checks.
    pub fn target_gone(&self, destination: &str, target: &str) {
        let gone = self.0.target_healthy.remove_label_values(&[destination, target]).is_ok();
        tracing::debug!(target: "hookgate::delivery", destination, address = target, gone, "a target is no longer in force");
    }
}
