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
    const fn label(self) -> &'static str {
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

/// Which delivery a line is about.
#[derive(Clone, Copy, Debug)]
pub struct DeliveryLine<'a> {
    /// The source of the event; empty where the event cannot be read.
    pub source: &'a str,
    /// Which route sent it.
    pub route: &'a str,
    /// Where it goes.
    pub destination: &'a str,
    /// The event.
    pub event: EventId,
    /// Which attempt it is, from one; the number of attempts where there was none.
    pub attempt: u32,
}

/// Happenings at the deliveries.
impl Telemetry {
    /// A route's transform, or the destination's format or signature, could not be made; nothing was sent.
    pub fn unshaped(&self, line: DeliveryLine<'_>, error: &dyn std::fmt::Display) {
        let DeliveryLine { source, route, destination, event, attempt } = line;
        self.0.route_errors.with_label_values(&[route, "transform"]).inc();
        tracing::warn!(source, route, destination, attempt, %event, %error, "the event could not be transformed; nothing was sent");
    }

    /// A try is under way; the guard ends it.
    pub fn attempt_in_flight(&self, destination: &str) -> InFlight {
        InFlight::of(self.0.delivery_in_flight.with_label_values(&[destination]))
    }

    /// A try ended.
    pub fn attempt(&self, line: DeliveryLine<'_>, ended: &Attempt, took: Duration) {
        let DeliveryLine { source, route, destination, event, attempt } = line;
        self.0.attempts.with_label_values(&[destination, ended.outcome.label()]).inc();
        self.0.attempt_seconds.with_label_values(&[destination]).observe(took.as_secs_f64());
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let detail = ended.detail.as_str();
        tracing::debug!(
            target: "hookgate::delivery", source, route, destination, attempt, %event, outcome = ended.outcome.label(), status = ended.status, detail, took_ms, "attempt"
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
    pub fn parked(&self, line: DeliveryLine<'_>, status: Option<u16>, key: &str, cause: DeathCause) {
        let DeliveryLine { source, route, destination, event, attempt } = line;
        let cause = cause.label();
        tracing::error!(target: "hookgate::delivery", source, route, destination, attempt, status, %event, key, cause, "parked: what follows under this order key waits for a person");
    }

    /// A source in `mode: sync` was answered, by its service or by the gateway.
    pub fn sync_answer(&self, source: &str, by: AnsweredBy) {
        self.0.sync_answers.with_label_values(&[source, by.label()]).inc();
    }

    /// A delivery waits for its next try.
    #[expect(clippy::unused_self, reason = "a happening is told to telemetry, whether it counts or only logs")]
    pub fn retrying(&self, line: DeliveryLine<'_>, ended: &Attempt, wait: Duration) {
        let DeliveryLine { source, route, destination, event, attempt } = line;
        let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        let detail = ended.detail.as_str();
        tracing::info!(target: "hookgate::delivery", source, route, destination, attempt, status = ended.status, %event, outcome = ended.outcome.label(), detail, wait_ms, "retry");
    }

    /// A delivery ended.
    pub fn delivery(&self, ended: &Ended<'_>) {
        let Ended { line, status, result, latency } = *ended;
        let DeliveryLine { source, route, destination, event, attempt } = line;
        self.0.deliveries.with_label_values(&[destination, result.label()]).inc();
        let latency_ms = u64::try_from(latency.as_millis()).unwrap_or(u64::MAX);
        match result {
            DeliveryResult::Delivered => {
                self.0.latency.with_label_values(&[route]).observe(latency.as_secs_f64());
                tracing::info!(target: "hookgate::delivery", source, route, destination, attempt, status, %event, latency_ms, "delivered");
            }
            DeliveryResult::Dead(cause) => {
                let cause = cause.label();
                tracing::warn!(target: "hookgate::delivery", source, route, destination, attempt, status, %event, latency_ms, cause, "dead letter");
            }
        }
    }
}

/// One ended delivery.
#[derive(Clone, Copy, Debug)]
pub struct Ended<'a> {
    /// Which delivery.
    pub line: DeliveryLine<'a>,
    /// What the service answered at last, if it did.
    pub status: Option<u16>,
    /// How it ended.
    pub result: DeliveryResult,
    /// From accepted to now.
    pub latency: Duration,
}
