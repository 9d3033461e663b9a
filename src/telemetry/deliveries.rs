//! Observations of deliveries.

use std::time::Duration;

use super::{InFlight, Telemetry};
use crate::event::EventId;
use crate::outcome::{Attempt, DeathCause};
use crate::route::Stage;

/// The reason why a delivery was deferred.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deferral {
    /// The destination's rate, or the bound on retries, is used up.
    Rate,
    /// All of the destination's concurrency is in use.
    Concurrency,
    /// The circuit breaker is open, or closes slowly.
    Breaker,
    /// The destination asked for a wait.
    RetryAfter,
}

impl Deferral {
    pub(super) const ALL: [Self; 4] = [Self::Rate, Self::Concurrency, Self::Breaker, Self::RetryAfter];

    /// Returns the metric label and API field.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Rate => "rate",
            Self::Concurrency => "concurrency",
            Self::Breaker => "breaker",
            Self::RetryAfter => "retry_after",
        }
    }
}

/// The party that answered the sender of a source in `mode: sync`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnsweredBy {
    /// The service, in time.
    Service,
    /// The gateway: the event is stored, and its delivery goes on.
    Gateway,
    /// The gateway, because the service's own answer was cut off, too long or too slow to be passed on.
    Cut,
    /// The gateway, because the service's own answer was a redirect, which is neither followed nor passed on.
    Redirect,
}

impl AnsweredBy {
    pub(super) const ALL: [Self; 4] = [Self::Service, Self::Gateway, Self::Cut, Self::Redirect];

    /// Returns the metric label and log field.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Gateway => "gateway",
            Self::Cut => "cut",
            Self::Redirect => "redirect",
        }
    }
}

/// The end of a delivery, for `deliveries_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryResult {
    /// The destination has taken the event.
    Delivered,
    /// The delivery became a dead letter.
    Dead(DeathCause),
}

impl DeliveryResult {
    /// All labels; a delivery that a person gave up is `discarded`.
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

/// The delivery that a log line is about.
#[derive(Clone, Copy, Debug)]
pub struct DeliveryLine<'a> {
    /// The source of the event; empty where the event cannot be read.
    pub source: &'a str,
    /// The route that sent the event.
    pub route: &'a str,
    /// The destination of the delivery.
    pub destination: &'a str,
    /// The event.
    pub event: EventId,
    /// The number of the attempt, from one. Without an attempt, the number of attempts that were made before.
    pub attempt: u32,
}

/// Observations of deliveries.
impl Telemetry {
    /// Records a failed transform of a route, or a failed format or signature of the destination; nothing was sent.
    pub fn unshaped(&self, line: DeliveryLine<'_>, error: &dyn std::fmt::Display) {
        let DeliveryLine { source, route, destination, event, attempt } = line;
        self.0.route_errors.with_label_values(&[route, Stage::Transform.label()]).inc();
        tracing::warn!(source, route, destination, attempt, %event, %error, "the event could not be transformed; nothing was sent");
    }

    /// Counts an attempt in flight, for as long as the guard lives.
    pub fn attempt_in_flight(&self, destination: &str) -> InFlight {
        InFlight::of(self.0.delivery_in_flight.with_label_values(&[destination]))
    }

    /// Records the end of an attempt.
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

    /// Counts a deferral.
    pub fn deferred(&self, destination: &str, cause: Deferral) {
        self.0.deferrals.with_label_values(&[destination, cause.label()]).inc();
    }

    /// Records that a circuit breaker opened or closed.
    pub fn circuit(&self, destination: &str, is_open: bool) {
        self.0.circuit_open.with_label_values(&[destination]).set(i64::from(is_open));
        if is_open {
            tracing::warn!(target: "hookgate::delivery", destination, "the circuit is open: only single probes go out until one succeeds");
        } else {
            tracing::info!(target: "hookgate::delivery", destination, "the circuit is closed again");
        }
    }

    /// Logs that a destination is still in trouble, once a minute. `oldest` is the age of the oldest delivery that
    /// waits.
    #[expect(clippy::unused_self, reason = "a happening is told to telemetry, whether it counts or only logs")]
    pub fn in_trouble(&self, destination: &str, troubled: &Troubled, oldest: Duration, next_probe: Option<Duration>) {
        let Troubled { lasts, waiting, target, status, error } = troubled;
        let (for_secs, oldest_secs) = (lasts.as_secs(), oldest.as_secs());
        let (target, last_error) = (target.as_deref(), error.as_deref());
        let next_probe_secs = next_probe.map(|wait| wait.as_secs());
        tracing::warn!(
            target: "hookgate::delivery", destination, waiting, oldest_secs, for_secs, last_target = target, last_status = *status, last_error,
            next_probe_secs, "the destination is failing; deliveries wait"
        );
    }

    /// Logs that the trouble of a destination is over.
    #[expect(clippy::unused_self, reason = "a happening is told to telemetry, whether it counts or only logs")]
    pub fn well_again(&self, destination: &str, well: &WellAgain) {
        let took_ms = u64::try_from(well.took.as_millis()).unwrap_or(u64::MAX);
        let (taken, lasted_secs) = (well.taken, well.lasted.as_secs());
        tracing::info!(target: "hookgate::delivery", destination, taken, took_ms, lasted_secs, "the destination has recovered");
    }

    /// Logs a delivery that failed for good and parked its order key.
    #[expect(clippy::unused_self, reason = "a happening is told to telemetry, whether it counts or only logs")]
    pub fn parked(&self, line: DeliveryLine<'_>, key: &str, (cause, last): (DeathCause, Option<&Attempt>)) {
        let DeliveryLine { source, route, destination, event, attempt } = line;
        let cause = cause.label();
        let (outcome, status, detail) = said(last);
        tracing::error!(target: "hookgate::delivery", source, route, destination, attempt, status, %event, key, cause, outcome, detail, "order key parked: later events with this key wait until an operator releases or skips it");
    }

    /// Counts an answer in `mode: sync`, of the service or of the gateway.
    pub fn sync_answer(&self, source: &str, by: AnsweredBy) {
        self.0.sync_answers.with_label_values(&[source, by.label()]).inc();
    }

    /// Logs a delivery that waits for its next attempt.
    #[expect(clippy::unused_self, reason = "a happening is told to telemetry, whether it counts or only logs")]
    pub fn retrying(&self, line: DeliveryLine<'_>, ended: &Attempt, wait: Duration) {
        let DeliveryLine { source, route, destination, event, attempt } = line;
        let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        let (outcome, status, detail) = said(Some(ended));
        let unread_retry_after = ended.unread_retry_after.as_deref();
        tracing::info!(target: "hookgate::delivery", source, route, destination, attempt, status, %event, outcome, detail, unread_retry_after, wait_ms, "retry");
    }

    /// Records the end of a delivery.
    pub fn delivery(&self, ended: &EndedDelivery<'_>) {
        let EndedDelivery { line, result, latency, last } = *ended;
        let DeliveryLine { source, route, destination, event, attempt } = line;
        self.0.deliveries.with_label_values(&[destination, result.label()]).inc();
        let (outcome, status, detail) = said(last);
        let latency_ms = u64::try_from(latency.as_millis()).unwrap_or(u64::MAX);
        match result {
            DeliveryResult::Delivered => {
                self.0.latency.with_label_values(&[route]).observe(latency.as_secs_f64());
                tracing::info!(target: "hookgate::delivery", source, route, destination, attempt, status, %event, latency_ms, "delivered");
            }
            DeliveryResult::Dead(cause) => {
                let cause = cause.label();
                tracing::warn!(target: "hookgate::delivery", source, route, destination, attempt, status, %event, outcome, detail, latency_ms, cause, "dead letter");
            }
        }
    }
}

/// A destination that is in trouble.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Troubled {
    /// The duration of the trouble so far.
    pub lasts: Duration,
    /// The number of deliveries that wait.
    pub waiting: u64,
    /// Host and port of the target that failed last.
    pub target: Option<String>,
    /// The status of that target's answer, if one came.
    pub status: Option<u16>,
    /// The detail of the last failure.
    pub error: Option<String>,
}

/// A destination whose trouble is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WellAgain {
    /// The number of deliveries that it took since its recovery began.
    pub taken: u64,
    /// The time in which it took them.
    pub took: Duration,
    /// The whole time that the trouble lasted.
    pub lasted: Duration,
}

/// One ended delivery.
#[derive(Clone, Copy, Debug)]
pub struct EndedDelivery<'a> {
    /// The delivery that ended.
    pub line: DeliveryLine<'a>,
    /// The end.
    pub result: DeliveryResult,
    /// The time from acceptance to now.
    pub latency: Duration,
    /// The last attempt; `None` when the delivery ended without one.
    pub last: Option<&'a Attempt>,
}

/// Returns outcome, status and detail of an attempt, for the log.
fn said(attempt: Option<&Attempt>) -> (Option<&'static str>, Option<u16>, Option<&str>) {
    let outcome = attempt.map(|attempt| attempt.outcome.label());
    (outcome, attempt.and_then(|attempt| attempt.status), attempt.map(|attempt| attempt.detail.as_str()))
}
