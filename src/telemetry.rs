//! What is counted and what is logged.
//!
//! A happening is a value: [`Telemetry`] has one method per happening, which counts and logs in one place. Label values
//! are configured names and closed enums only; a stranger can make up neither. Secrets, signatures, bodies and query
//! strings are not among the parameters, so they cannot get into a line.

#![warn(clippy::wildcard_enum_match_arm)]

use std::net::IpAddr;
use std::time::Duration;

use prometheus::{
    Encoder, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};

use crate::accept::Notes;
use crate::clock::Timestamp;
use crate::event::EventId;
use crate::outcome::{Attempt, DeathCause};
use crate::refusal::RequestOutcome;

/// The label of requests that reached no source.
pub const NO_SOURCE: &str = "_none";

/// Seconds; from half a millisecond to ten, with the senders' real budgets.
const REQUEST_SECONDS: [f64; 16] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 1.25, 2.5, 3.0, 5.0, 10.0];
/// Bytes; from 256 B to 25 MiB.
const BODY_BYTES: [f64; 9] =
    [256.0, 1024.0, 4096.0, 16_384.0, 65_536.0, 262_144.0, 1_048_576.0, 5_242_880.0, 26_214_400.0];
const COMMIT_SECONDS: [f64; 12] = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0];
const COMMIT_EVENTS: [f64; 10] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 1024.0];
/// Seconds from accepted to delivered; up to the longest retry schedule.
const LATENCY_SECONDS: [f64; 14] =
    [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 60.0, 600.0, 3600.0, 21_600.0, 86_400.0];

/// Every metric, registered once.
#[derive(Clone, Debug)]
pub struct Telemetry {
    registry: Registry,
    requests: IntCounterVec,
    request_seconds: HistogramVec,
    request_bytes: HistogramVec,
    in_flight: IntGaugeVec,
    connections: IntGaugeVec,
    tls_failures: IntCounterVec,
    verifications: IntCounterVec,
    secret_used: IntCounterVec,
    secret_last_used: IntGaugeVec,
    secret_not_after: IntGaugeVec,
    certificate_not_after: IntGaugeVec,
    schema_failures: IntCounterVec,
    handshakes: IntCounterVec,
    duplicates: IntCounterVec,
    route_matches: IntCounterVec,
    unrouted: IntCounterVec,
    route_errors: IntCounterVec,
    queue_events: IntGaugeVec,
    queue_oldest: IntGaugeVec,
    buffer_used: IntGauge,
    buffer_limit: IntGauge,
    commit_seconds: prometheus::Histogram,
    commit_events: prometheus::Histogram,
    buffer_errors: IntCounterVec,
    attempts: IntCounterVec,
    deferrals: IntCounterVec,
    attempt_seconds: HistogramVec,
    delivery_in_flight: IntGaugeVec,
    deliveries: IntCounterVec,
    latency: HistogramVec,
    dead_letters: IntGaugeVec,
    quarantined: IntGaugeVec,
    reload_ok: IntGauge,
    reload_time: IntGauge,
    reloads: IntCounterVec,
    dedup_entries: IntGauge,
    log_dropped: IntCounter,
}

/// Registers one family after another; a name that is registered twice is a bug that the first start shows.
struct Maker<'a>(&'a Registry);

impl Maker<'_> {
    fn add<C: prometheus::core::Collector + Clone + 'static>(&self, made: prometheus::Result<C>) -> C {
        let collector = made.expect("metric names and labels are valid constants");
        self.0.register(Box::new(collector.clone())).expect("each metric is registered once");
        collector
    }

    fn counter(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.add(IntCounterVec::new(Opts::new(format!("hookgate_{name}"), help), labels))
    }

    fn gauge(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        self.add(IntGaugeVec::new(Opts::new(format!("hookgate_{name}"), help), labels))
    }

    fn single(&self, name: &str, help: &str) -> IntGauge {
        self.add(IntGauge::new(format!("hookgate_{name}"), help))
    }

    fn histogram(&self, name: &str, help: &str, labels: &[&str], buckets: &[f64]) -> HistogramVec {
        let opts = HistogramOpts::new(format!("hookgate_{name}"), help).buckets(buckets.to_vec());
        self.add(HistogramVec::new(opts, labels))
    }

    fn plain_histogram(&self, name: &str, help: &str, buckets: &[f64]) -> prometheus::Histogram {
        let opts = HistogramOpts::new(format!("hookgate_{name}"), help).buckets(buckets.to_vec());
        self.add(prometheus::Histogram::with_opts(opts))
    }
}

impl Default for Telemetry {
    fn default() -> Self {
        Self::new()
    }
}

impl Telemetry {
    /// Registers all metrics in a registry of its own.
    #[expect(clippy::too_many_lines, reason = "a table: one line a metric, in the order of the contract")]
    pub fn new() -> Self {
        let registry = Registry::new();
        let make = Maker(&registry);
        let build = make.gauge("build_info", "Always 1; the version is a label.", &["version"]);
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        let process = prometheus::process_collector::ProcessCollector::for_self();
        registry.register(Box::new(process)).expect("the process collector is registered once");
        Self {
            requests: make.counter("requests_total", "Requests answered.", &["source", "outcome", "code"]),
            request_seconds: make.histogram(
                "request_duration_seconds",
                "Time from the request's head to the end of the answer.",
                &["source"],
                &REQUEST_SECONDS,
            ),
            request_bytes: make.histogram("request_body_bytes", "Size of request bodies.", &["source"], &BODY_BYTES),
            in_flight: make.gauge("requests_in_flight", "Requests being handled.", &["listener"]),
            connections: make.gauge("connections", "Open connections.", &["listener"]),
            tls_failures: make.counter(
                "tls_handshake_failures_total",
                "TLS handshakes that failed.",
                &["listener", "reason"],
            ),
            verifications: make.counter("verifications_total", "Signature checks.", &["source", "verdict"]),
            secret_used: make.counter("secret_used_total", "Requests verified by this secret.", &["source", "secret"]),
            secret_last_used: make.gauge(
                "secret_last_used_timestamp_seconds",
                "When this secret last verified a request, Unix time.",
                &["source", "secret"],
            ),
            secret_not_after: make.gauge(
                "secret_not_after_timestamp_seconds",
                "When this secret stops being accepted, Unix time.",
                &["source", "secret"],
            ),
            certificate_not_after: make.gauge(
                "tls_certificate_not_after_timestamp_seconds",
                "When the first of the listener's certificates expires, Unix time.",
                &["listener"],
            ),
            schema_failures: make.counter(
                "schema_failures_total",
                "Payloads that failed their schema.",
                &["source", "schema"],
            ),
            handshakes: make.counter("handshakes_total", "Handshakes answered.", &["source"]),
            duplicates: make.counter("duplicates_total", "Events recognised as already stored.", &["source"]),
            route_matches: make.counter("route_matches_total", "Events that a route wanted.", &["route"]),
            unrouted: make.counter("events_unrouted_total", "Verified events that no route wanted.", &["source"]),
            route_errors: make.counter(
                "route_errors_total",
                "Conditions that failed with an error; no match.",
                &["route", "stage"],
            ),
            queue_events: make.gauge("queue_events", "Deliveries in the queue.", &["destination", "state"]),
            queue_oldest: make.gauge(
                "queue_oldest_event_age_seconds",
                "Age of the oldest event that waits for this destination.",
                &["destination"],
            ),
            buffer_used: make.single("buffer_used_bytes", "Bytes of stored events."),
            buffer_limit: make.single("buffer_limit_bytes", "Bytes at which the buffer refuses (buffer.max_size)."),
            commit_seconds: make.plain_histogram(
                "buffer_commit_duration_seconds",
                "Write and sync of one commit.",
                &COMMIT_SECONDS,
            ),
            commit_events: make.plain_histogram("buffer_commit_events", "Events in one commit.", &COMMIT_EVENTS),
            buffer_errors: make.counter("buffer_errors_total", "Failed buffer operations.", &["operation"]),
            attempts: make.counter("delivery_attempts_total", "HTTP tries.", &["destination", "outcome"]),
            deferrals: make.counter(
                "delivery_deferrals_total",
                "Deliveries put off without counting a try.",
                &["destination", "cause"],
            ),
            attempt_seconds: make.histogram(
                "delivery_attempt_duration_seconds",
                "Time of one HTTP try.",
                &["destination"],
                &REQUEST_SECONDS,
            ),
            delivery_in_flight: make.gauge("delivery_in_flight", "HTTP tries under way.", &["destination"]),
            deliveries: make.counter("deliveries_total", "Deliveries that ended.", &["destination", "result"]),
            latency: make.histogram(
                "event_latency_seconds",
                "Time from accepted to delivered.",
                &["route"],
                &LATENCY_SECONDS,
            ),
            dead_letters: make.gauge("dead_letter_events", "Dead letters kept.", &["destination"]),
            quarantined: make.gauge("quarantined_events", "Events kept back.", &["source"]),
            reload_ok: make.single("config_last_reload_successful", "1 when the last reload was applied."),
            reload_time: make.single(
                "config_last_reload_success_timestamp_seconds",
                "When the rules in force were read, Unix time.",
            ),
            reloads: make.counter("config_reloads_total", "Reloads.", &["result"]),
            dedup_entries: make.single("dedup_entries", "Delivery ids remembered."),
            log_dropped: make
                .add(IntCounter::new("hookgate_log_lines_dropped_total", "Log lines that could not be written.")),
            registry,
        }
    }

    /// The metrics in Prometheus' text format.
    pub fn render(&self) -> Vec<u8> {
        let mut text = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&self.registry.gather(), &mut text) {
            tracing::error!(%error, "the metrics could not be written");
        }
        text
    }

    /// The counter of log lines that could not be written.
    pub fn log_dropped(&self) -> IntCounter {
        self.log_dropped.clone()
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
}

/// Happenings at the ingress.
impl Telemetry {
    /// A request was answered: counters, histograms and the one access line.
    pub fn request(&self, request: &Request<'_>, now: Timestamp) {
        let source = request.source.unwrap_or(NO_SOURCE);
        let outcome = request.outcome.label();
        let mut code = [0; 3];
        self.requests.with_label_values(&[source, outcome, code_text(request.status, &mut code)]).inc();
        self.request_seconds.with_label_values(&[source]).observe(request.took.as_secs_f64());
        let notes = request.notes;
        if !notes.verdict.is_empty() {
            let verdict = if matches!(notes.verdict, "verified" | "not_configured") { notes.verdict } else { "failed" };
            self.verifications.with_label_values(&[source, verdict]).inc();
            #[expect(clippy::cast_precision_loss, reason = "sizes are far below 2^52")]
            self.request_bytes.with_label_values(&[source]).observe(request.body_bytes as f64);
        }
        if let Some(secret) = &notes.secret {
            self.secret_used.with_label_values(&[source, secret.as_str()]).inc();
            let now = i64::try_from(now.unix_secs()).unwrap_or(i64::MAX);
            self.secret_last_used.with_label_values(&[source, secret.as_str()]).set(now);
        }
        if let Some(schema) = &notes.schema_failed {
            self.schema_failures.with_label_values(&[source, schema.as_str()]).inc();
        }
        for route in &notes.matched {
            self.route_matches.with_label_values(&[&**route]).inc();
        }
        for route in &notes.route_errors {
            self.route_errors.with_label_values(&[&**route, "when"]).inc();
        }
        match request.outcome {
            RequestOutcome::Duplicate => self.duplicates.with_label_values(&[source]).inc(),
            RequestOutcome::Handshake => self.handshakes.with_label_values(&[source]).inc(),
            RequestOutcome::Filtered => self.unrouted.with_label_values(&[source]).inc(),
            RequestOutcome::Accepted | RequestOutcome::Quarantined | RequestOutcome::Refused(_) => {}
        }
        log_request(source, outcome, request);
    }

    /// A request begins; the guard ends it.
    pub fn in_flight(&self, listener: &str) -> InFlight {
        InFlight::of(self.in_flight.with_label_values(&[listener]))
    }

    /// A connection begins; the guard ends it.
    pub fn connection(&self, listener: &str) -> InFlight {
        InFlight::of(self.connections.with_label_values(&[listener]))
    }

    /// A TLS handshake failed.
    pub fn tls_failure(&self, listener: &str, reason: TlsFailure) {
        self.tls_failures.with_label_values(&[listener, reason.label()]).inc();
    }

    /// When the first of a listener's certificates expires.
    pub fn certificate(&self, listener: &str, not_after: Timestamp) {
        let secs = i64::try_from(not_after.unix_secs()).unwrap_or(i64::MAX);
        self.certificate_not_after.with_label_values(&[listener]).set(secs);
    }

    /// When a secret stops being accepted.
    pub fn secret_ends(&self, source: &str, secret: &str, not_after: Timestamp) {
        let secs = i64::try_from(not_after.unix_secs()).unwrap_or(i64::MAX);
        self.secret_not_after.with_label_values(&[source, secret]).set(secs);
    }

    /// An event was kept back.
    pub fn quarantined(&self, source: &str) {
        self.quarantined.with_label_values(&[source]).inc();
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
            Self::Dead(DeathCause::Final | DeathCause::Aborted | DeathCause::AttemptsExhausted) => "dead_lettered",
        }
    }
}

/// Happenings at the deliveries.
impl Telemetry {
    /// A try is under way; the guard ends it.
    pub fn attempt_in_flight(&self, destination: &str) -> InFlight {
        InFlight::of(self.delivery_in_flight.with_label_values(&[destination]))
    }

    /// A try ended.
    pub fn attempt(&self, destination: &str, event: EventId, attempt: &Attempt, took: Duration) {
        self.attempts.with_label_values(&[destination, attempt.outcome.label()]).inc();
        self.attempt_seconds.with_label_values(&[destination]).observe(took.as_secs_f64());
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let detail = attempt.detail.as_str();
        tracing::debug!(
            target: "hookgate::delivery", destination, %event, outcome = attempt.outcome.label(), status = attempt.status, detail, took_ms, "attempt"
        );
    }

    /// A delivery was put off because the destination asked for it.
    pub fn deferred_by_destination(&self, destination: &str) {
        self.deferrals.with_label_values(&[destination, "retry_after"]).inc();
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
        self.deliveries.with_label_values(&[ended.destination, ended.result.label()]).inc();
        let Ended { destination, route, event, attempts, result, latency } = *ended;
        let latency_ms = u64::try_from(latency.as_millis()).unwrap_or(u64::MAX);
        match result {
            DeliveryResult::Delivered => {
                self.latency.with_label_values(&[route]).observe(latency.as_secs_f64());
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

/// Readings of the buffer and happenings of the process.
impl Telemetry {
    /// One commit.
    pub fn commit(&self, took: Duration, events: usize, failed: bool) {
        self.commit_seconds.observe(took.as_secs_f64());
        #[expect(clippy::cast_precision_loss, reason = "a batch holds at most a thousand events")]
        self.commit_events.observe(events as f64);
        if failed {
            self.buffer_errors.with_label_values(&["commit"]).inc();
        }
    }

    /// Records that could not be read, since the start.
    pub fn unreadable_records(&self, records: u64) {
        let counter = self.buffer_errors.with_label_values(&["read"]);
        counter.inc_by(records.saturating_sub(counter.get()));
    }

    /// The buffer's size now.
    pub fn buffer(&self, used_bytes: u64, limit_bytes: u64, dedup_entries: u64) {
        self.buffer_used.set(i64::try_from(used_bytes).unwrap_or(i64::MAX));
        self.buffer_limit.set(i64::try_from(limit_bytes).unwrap_or(i64::MAX));
        self.dedup_entries.set(i64::try_from(dedup_entries).unwrap_or(i64::MAX));
    }

    /// A destination's queue now: events by state, age of the oldest, dead letters.
    pub fn queue(&self, destination: &str, states: [(&'static str, u64); 4], oldest: Duration, dead_letters: u64) {
        for (state, events) in states {
            self.queue_events.with_label_values(&[destination, state]).set(i64::try_from(events).unwrap_or(i64::MAX));
        }
        self.queue_oldest.with_label_values(&[destination]).set(i64::try_from(oldest.as_secs()).unwrap_or(i64::MAX));
        self.dead_letters.with_label_values(&[destination]).set(i64::try_from(dead_letters).unwrap_or(i64::MAX));
    }

    /// Rules were read, or could not be.
    pub fn reload(&self, applied: bool, now: Timestamp) {
        self.reload_ok.set(i64::from(applied));
        self.reloads.with_label_values(&[if applied { "applied" } else { "refused" }]).inc();
        if applied {
            self.reload_time.set(i64::try_from(now.unix_secs()).unwrap_or(i64::MAX));
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
