//! Happenings at the deliveries.

use std::time::Duration;

use super::{InFlight, Telemetry};
use crate::event::EventId;
use crate::outcome::{Attempt, DeathCause};

/// Why a delivery was put off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deferral {
    /// The destination's rate, or the ratio of retries, is used up.
    Rate,
    /// So many are under way.
    Concurrency,
    /// The circuit breaker is open, or closes slowly.
    Breaker,
    /// The destination asked for it.
    RetryAfter,
}

impl Deferral {
    pub(super) const ALL: [Self; 4] = [Self::Rate, Self::Concurrency, Self::Breaker, Self::RetryAfter];

    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Rate => "rate",
            Self::Concurrency => "concurrency",
            Self::Breaker => "breaker",
            Self::RetryAfter => "retry_after",
        }
    }
}

/// Who answered the sender of a source in `mode: sync`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnsweredBy {
    /// The service, in time.
    Service,
    /// The gateway: the event is stored, and its delivery goes on.
    Gateway,
}

impl AnsweredBy {
    pub(super) const ALL: [Self; 2] = [Self::Service, Self::Gateway];

    /// Metric label and log field.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Gateway => "gateway",
        }
    }
}

/// How a delivery ended, for `deliveries_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryResult {
    /// The destination has it.
    Delivered,
    /// It became a dead letter.
    Dead(DeathCause),
}

impl DeliveryResult {
    /// Every label; a delivery that a person gave up is `discarded`.
    pub(super) const LABELS: [&'static str; 4] = ["delivered", "dead_lettered", "expired", "discarded"];

    const fn label(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Dead(DeathCause::Expired) => "expired",
            Self::Dead(
                DeathCause::Final
                | DeathCause::Aborted
                | DeathCause::AttemptsExhausted
                | DeathCause::Corrupt
                | DeathCause::Unshaped,
            ) => "dead_lettered",
        }
    }
}

/// Happenings at the deliveries.
impl Telemetry {
    /// A route's transform, or the destination's format or signature, could not be made; nothing was sent.
    pub fn unshaped(&self, destination: &str, route: &str, event: EventId, error: &dyn std::fmt::Display) {
        self.0.route_errors.with_label_values(&[route, "transform"]).inc();
        tracing::warn!(destination, route, %event, %error, "the event could not be transformed; nothing was sent");
    }

    /// A try is under way; the guard ends it.
    pub fn attempt_in_flight(&self, destination: &str) -> InFlight {
        InFlight::of(self.0.delivery_in_flight.with_label_values(&[destination]))
    }

    /// A try ended.
    pub fn attempt(&self, destination: &str, event: EventId, attempt: &Attempt, took: Duration) {
        self.0.attempts.with_label_values(&[destination, attempt.outcome.label()]).inc();
        self.0.attempt_seconds.with_label_values(&[destination]).observe(took.as_secs_f64());
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let detail = attempt.detail.as_str();
        tracing::debug!(
            target: "hookgate::delivery", destination, %event, outcome = attempt.outcome.label(), status = attempt.status, detail, took_ms, "attempt"
        );
    }

    /// A delivery was put off without a try.
    pub fn deferred(&self, destination: &str, cause: Deferral) {
        self.0.deferrals.with_label_values(&[destination, cause.label()]).inc();
    }

    /// A circuit breaker opened or closed.
    pub fn circuit(&self, destination: &str, is_open: bool) {
        self.0.circuit_open.with_label_values(&[destination]).set(i64::from(is_open));
        if is_open {
            tracing::warn!(target: "hookgate::delivery", destination, "the circuit is open: only single probes go out until one succeeds");
        } else {
            tracing::info!(target: "hookgate::delivery", destination, "the circuit is closed again");
        }
    }

    /// A delivery failed for good and its order key waits for a person.
    #[expect(clippy::unused_self, reason = "a happening is told to telemetry, whether it counts or only logs")]
    pub fn parked(&self, destination: &str, event: EventId, key: &str, cause: DeathCause) {
        let cause = cause.label();
        tracing::error!(target: "hookgate::delivery", destination, %event, key, cause, "parked: what follows under this order key waits for a person");
    }

    /// A source in `mode: sync` was answered, by its service or by the gateway.
    pub fn sync_answer(&self, source: &str, by: AnsweredBy) {
        self.0.sync_answers.with_label_values(&[source, by.label()]).inc();
    }

    /// A delivery waits for its next try.
    #[expect(clippy::unused_self, reason = "a happening is told to telemetry, whether it counts or only logs")]
    pub fn retrying(&self, destination: &str, event: EventId, attempt: &Attempt, wait: Duration) {
        let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        let detail = attempt.detail.as_str();
        tracing::info!(target: "hookgate::delivery", destination, %event, outcome = attempt.outcome.label(), detail, wait_ms, "retry");
    }

    /// A delivery ended.
    pub fn delivery(&self, ended: &Ended<'_>) {
        self.0.deliveries.with_label_values(&[ended.destination, ended.result.label()]).inc();
        let Ended { destination, route, event, attempts, result, latency } = *ended;
        let latency_ms = u64::try_from(latency.as_millis()).unwrap_or(u64::MAX);
        match result {
            DeliveryResult::Delivered => {
                self.0.latency.with_label_values(&[route]).observe(latency.as_secs_f64());
                tracing::info!(target: "hookgate::delivery", destination, route, %event, attempts, latency_ms, "delivered");
            }
            DeliveryResult::Dead(cause) => {
                let cause = cause.label();
                tracing::warn!(target: "hookgate::delivery", destination, route, %event, attempts, latency_ms, cause, "dead letter");
            }
        }
    }
}

/// One ended delivery.
#[derive(Clone, Copy, Debug)]
pub struct Ended<'a> {
    /// Where it went.
    pub destination: &'a str,
    /// Which route sent it.
    pub route: &'a str,
    /// The event.
    pub event: EventId,
    /// Tries, the last one included.
    pub attempts: u32,
    /// How it ended.
    pub result: DeliveryResult,
    /// From accepted to now.
    pub latency: Duration,
}
