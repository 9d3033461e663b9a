//! What is counted and what is logged.
//!
//! A happening is a value: [`Telemetry`] has one method per happening, which counts and logs in one place. Label values
//! are configured names and closed enums only; a stranger can make up neither. Secrets, signatures, bodies and query
//! strings are not among the parameters, so they cannot get into a line.

#![warn(clippy::wildcard_enum_match_arm)]

mod collector;
mod deliveries;
mod families;
mod known;
#[cfg(test)]
mod reference;
mod secrets;
mod spans;
mod trace;

pub use collector::Export;
pub use deliveries::{AnsweredBy, Deferral, DeliveryResult, Ended};
pub use families::Described;
pub use known::{Known, KnownSource};
pub use spans::{TracedAttempt, TracingParams};
pub use trace::{AttemptTrace, Share};
mod targets;

use std::net::IpAddr;
use std::time::Duration;

use http::HeaderMap;
use prometheus::{Encoder, IntGauge, TextEncoder};

use families::Families;
use spans::Spans;

use crate::accept::Notes;
use crate::budget::{Alarm, Recorded};
use crate::clock::Timestamp;
use crate::event::EventId;
use crate::refusal::RequestOutcome;

/// The label of requests that reached no source.
pub const NO_SOURCE: &str = "_none";

/// Counts and logs, and records spans where they are wanted; clones share the metrics.
#[derive(Clone, Debug)]
pub struct Telemetry(Families, Option<Spans>);

impl Default for Telemetry {
    fn default() -> Self {
        Self::new()
    }
}

impl Telemetry {
    /// Registers all metrics in a registry of its own.
    pub fn new() -> Self {
        Self(Families::new(), None)
    }

    /// The metrics in Prometheus' text format.
    pub fn render(&self) -> Vec<u8> {
        let mut text = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&self.0.registry.gather(), &mut text) {
            tracing::error!(%error, "the metrics could not be written");
        }
        text
    }

    /// Every metric of ours, in the order of the alphabet.
    pub fn described(&self) -> Vec<Described> {
        let mut described = self.0.described.to_vec();
        described.sort_unstable();
        described
    }

    /// Log lines could not be written.
    pub fn log_lines_dropped(&self, lines: u64) {
        self.0.log_dropped.inc_by(lines);
    }
}

/// One answered request.
#[derive(Debug)]
pub struct Request<'a> {
    /// The source, or `None` when no source was found.
    pub source: Option<&'a str>,
    /// How it ended.
    pub outcome: RequestOutcome,
    /// The status that was answered; zero when the sender went away first.
    pub status: u16,
    /// What the operator reads about a refusal.
    pub why: &'a str,
    /// The stored event, if there is one.
    pub event: Option<EventId>,
    /// What the gates noted.
    pub notes: &'a Notes,
    /// Who sent it.
    pub sender: IpAddr,
    /// Size of the body that was read.
    pub body_bytes: usize,
    /// From head to answer.
    pub took: Duration,
    /// As they came; nothing but `traceparent` is read.
    pub headers: &'a HeaderMap,
    /// When the event was stored, if it was waited for.
    pub commit: Option<Commit>,
}

/// The time in which an event was stored.
#[derive(Clone, Copy, Debug)]
pub struct Commit {
    /// From the request's begin.
    pub after: Duration,
    /// How long it took.
    pub took: Duration,
}

/// Happenings at the ingress.
impl Telemetry {
    /// A request was answered: counters, histograms and the one access line.
    pub fn request(&self, request: &Request<'_>, now: Timestamp) {
        let source = request.source.unwrap_or(NO_SOURCE);
        let outcome = request.outcome.label();
        let mut code = [0; 3];
        self.0.requests.with_label_values(&[source, outcome, code_text(request.status, &mut code)]).inc();
        self.0.request_seconds.with_label_values(&[source]).observe(request.took.as_secs_f64());
        let notes = request.notes;
        if !notes.verdict.is_empty() {
            let verdict = if matches!(notes.verdict, "verified" | "not_configured") { notes.verdict } else { "failed" };
            self.0.verifications.with_label_values(&[source, verdict]).inc();
            #[expect(clippy::cast_precision_loss, reason = "sizes are far below 2^52")]
            self.0.request_bytes.with_label_values(&[source]).observe(request.body_bytes as f64);
        }
        if let Some(secret) = &notes.secret {
            self.secret_used(source, secret, now);
        }
        if let Some(lag) = notes.lag {
            self.0.provider_lag.with_label_values(&[source]).observe(lag.as_secs_f64());
        }
        // What is recognised as a repetition was counted the first time.
        let is_new = request.outcome != RequestOutcome::Duplicate;
        if let Some(schema) = notes.schema_failed.as_ref().filter(|_| is_new) {
            self.0.schema_failures.with_label_values(&[source, schema.as_str()]).inc();
        }
        let is_sent = request.outcome == RequestOutcome::Accepted;
        for route in notes.matched.iter().filter(|_| is_sent) {
            self.0.route_matches.with_label_values(&[&**route]).inc();
        }
        for route in &notes.route_errors {
            self.0.route_errors.with_label_values(&[&**route, "when"]).inc();
        }
        match request.outcome {
            RequestOutcome::Duplicate => self.0.duplicates.with_label_values(&[source]).inc(),
            RequestOutcome::Handshake => self.0.handshakes.with_label_values(&[source]).inc(),
            RequestOutcome::Filtered => self.0.unrouted.with_label_values(&[source]).inc(),
            RequestOutcome::Accepted | RequestOutcome::Quarantined | RequestOutcome::Refused(_) => {}
        }
        log_request(source, outcome, request);
        self.request_traced(request, now);
    }

    /// An answer was counted against the provider's patience.
    pub fn budget(&self, source: &str, recorded: &Recorded) {
        if let Some(level) = recorded.level {
            self.0.budget_used.with_label_values(&[source]).set(level.used);
            self.0.budget_limit.with_label_values(&[source]).set(level.limit);
        }
        match &recorded.alarm {
            Some(Alarm::Near { rule, then }) => {
                tracing::error!(source, rule, then, "the provider is about to give this source up");
            }
            Some(Alarm::Over) => tracing::warn!(source, "the provider's patience is no longer in danger"),
            None => {}
        }
    }

    /// A request begins; the guard ends it.
    pub fn in_flight(&self, listener: &str) -> InFlight {
        InFlight::of(self.0.in_flight.with_label_values(&[listener]))
    }

    /// A connection begins; the guard ends it.
    pub fn connection(&self, listener: &str) -> InFlight {
        InFlight::of(self.0.connections.with_label_values(&[listener]))
    }

    /// A TLS handshake failed.
    pub fn tls_failure(&self, listener: &str, reason: TlsFailure) {
        self.0.tls_failures.with_label_values(&[listener, reason.label()]).inc();
    }

    /// When the first of a listener's certificates expires.
    pub fn certificate(&self, listener: &str, not_after: Timestamp) {
        let secs = i64::try_from(not_after.unix_secs()).unwrap_or(i64::MAX);
        self.0.certificate_not_after.with_label_values(&[listener]).set(secs);
    }

    /// An event came under the delivery id of another one.
    pub fn same_id(&self, source: &str) {
        self.0.same_ids.with_label_values(&[source]).inc();
    }

    /// How many events of a source are kept back.
    pub fn quarantined(&self, source: &str, events: u64) {
        self.0.quarantined.with_label_values(&[source]).set(i64::try_from(events).unwrap_or(i64::MAX));
    }
}

fn log_request(source: &str, outcome: &'static str, request: &Request<'_>) {
    let event = request.event.map(|id| id.to_string());
    let took_ms = u64::try_from(request.took.as_millis()).unwrap_or(u64::MAX);
    macro_rules! line {
        ($level:ident) => {
            tracing::$level!(
                target: "hookgate::access",
                source,
                outcome,
                status = request.status,
                event = event.as_deref(),
                event_type = request.notes.event_type.as_deref(),
                verdict = request.notes.verdict,
                secret = request.notes.secret.as_deref(),
                answered_by = request.notes.answered_by,
                braked = request.notes.braked.then_some(true),
                why = (!request.why.is_empty()).then_some(request.why),
                sender = %request.sender,
                bytes = request.body_bytes,
                took_ms,
                "request"
            )
        };
    }
    match request.outcome {
        RequestOutcome::Refused(class) if class.status() >= 500 => line!(warn),
        RequestOutcome::Accepted
        | RequestOutcome::Duplicate
        | RequestOutcome::Handshake
        | RequestOutcome::Filtered
        | RequestOutcome::Quarantined
        | RequestOutcome::Refused(_) => line!(info),
    }
}

/// Three digits, without an allocation a request.
fn code_text(status: u16, buffer: &mut [u8; 3]) -> &str {
    let digit = |value: u16| b'0' + u8::try_from(value % 10).unwrap_or(0);
    *buffer = [digit(status / 100), digit(status / 10), digit(status)];
    std::str::from_utf8(buffer).unwrap_or("000")
}

/// Why a TLS handshake failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsFailure {
    /// It did not end in time.
    Timeout,
    /// The other side did not speak TLS as we do, or broke off.
    Protocol,
}

impl TlsFailure {
    pub(super) const ALL: [Self; 2] = [Self::Timeout, Self::Protocol];

    const fn label(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Protocol => "protocol",
        }
    }
}

/// Counts one while it lives.
#[derive(Debug)]
pub struct InFlight(IntGauge);

impl InFlight {
    fn of(gauge: IntGauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// What came of a reload.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_has_help_and_our_prefix() {
        let telemetry = Telemetry::new();
        telemetry.reload(true, Timestamp::from_unix_secs(1));
        let text = String::from_utf8(telemetry.render()).unwrap();
        for line in text.lines().filter(|line| line.starts_with("# TYPE")) {
            let name = line.split(' ').nth(2).unwrap();
            assert!(name.starts_with("hookgate_") || name.starts_with("process_"), "{name}");
        }
        assert!(text.contains("hookgate_config_last_reload_successful 1"));
    }

    #[test]
    fn a_status_is_three_digits() {
        let mut buffer = [0; 3];
        assert_eq!(code_text(204, &mut buffer), "204");
        assert_eq!(code_text(0, &mut buffer), "000");
    }
}
