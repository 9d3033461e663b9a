//! The table of all metrics: name, help, labels and buckets, as the contract lists them.
//!
//! Each metric is registered once; the methods of [`Telemetry`](super::Telemetry) say when it is counted.

use std::cell::RefCell;
use std::sync::Arc;

use prometheus::core::Collector;
use prometheus::{
    GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

/// Seconds, from half a millisecond to ten, with the senders' real timeouts.
const REQUEST_SECONDS: [f64; 16] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 1.25, 2.5, 3.0, 5.0, 10.0];
/// Bytes, from 256 B to 25 MiB.
const BODY_BYTES: [f64; 9] =
    [256.0, 1024.0, 4096.0, 16_384.0, 65_536.0, 262_144.0, 1_048_576.0, 5_242_880.0, 26_214_400.0];
const COMMIT_SECONDS: [f64; 12] = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0];
const COMMIT_EVENTS: [f64; 10] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 1024.0];
/// Seconds from acceptance to delivery, up to the longest retry schedule.
const LATENCY_SECONDS: [f64; 14] =
    [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 60.0, 600.0, 3600.0, 21_600.0, 86_400.0];

/// All metrics, registered once.
#[derive(Clone, Debug)]
pub(super) struct Families {
    pub(super) registry: Registry,
    pub(super) described: Arc<[Described]>,
    pub(super) requests: IntCounterVec,
    pub(super) request_seconds: HistogramVec,
    pub(super) request_bytes: HistogramVec,
    pub(super) in_flight: IntGaugeVec,
    pub(super) connections: IntGaugeVec,
    pub(super) tls_failures: IntCounterVec,
    pub(super) verifications: IntCounterVec,
    pub(super) secret_used: IntCounterVec,
    pub(super) secret_last_used: IntGaugeVec,
    pub(super) secret_not_after: IntGaugeVec,
    pub(super) certificate_not_after: IntGaugeVec,
    pub(super) budget_used: GaugeVec,
    pub(super) budget_limit: GaugeVec,
    pub(super) provider_lag: HistogramVec,
    pub(super) schema_failures: IntCounterVec,
    pub(super) handshakes: IntCounterVec,
    pub(super) duplicates: IntCounterVec,
    pub(super) route_matches: IntCounterVec,
    pub(super) unrouted: IntCounterVec,
    pub(super) route_errors: IntCounterVec,
    pub(super) queue_events: IntGaugeVec,
    pub(super) queue_oldest: IntGaugeVec,
    pub(super) buffer_used: IntGauge,
    pub(super) buffer_limit: IntGauge,
    pub(super) buffer_refusing: IntGaugeVec,
    pub(super) disk_free: IntGauge,
    pub(super) commit_seconds: prometheus::Histogram,
    pub(super) commit_events: prometheus::Histogram,
    pub(super) buffer_errors: IntCounterVec,
    pub(super) attempts: IntCounterVec,
    pub(super) deferrals: IntCounterVec,
    pub(super) circuit_open: IntGaugeVec,
    pub(super) sync_answers: IntCounterVec,
    pub(super) same_ids: IntCounterVec,
    pub(super) accepted: IntCounterVec,
    pub(super) attempt_seconds: HistogramVec,
    pub(super) delivery_in_flight: IntGaugeVec,
    pub(super) target_healthy: IntGaugeVec,
    pub(super) deliveries: IntCounterVec,
    pub(super) latency: HistogramVec,
    pub(super) dead_letters: IntGaugeVec,
    pub(super) quarantined: IntGaugeVec,
    pub(super) reload_ok: IntGauge,
    pub(super) reload_time: IntGauge,
    pub(super) reloads: IntCounterVec,
    pub(super) dedup_entries: IntGauge,
    pub(super) log_dropped: IntCounter,
    pub(super) last_verified: IntGaugeVec,
    pub(super) only_failing: IntGaugeVec,
    pub(super) lines_suppressed: IntCounterVec,
    pub(super) refused_admitted: IntCounterVec,
    pub(super) spans_dropped: IntCounterVec,
}

/// A metric as the reference lists it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Described {
    /// The name, with our prefix.
    pub name: String,
    /// `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
    /// The names of its labels.
    pub labels: Vec<String>,
    /// The help text.
    pub help: String,
}

/// The registration of one family after another; a name that is registered twice is a bug that the first start shows.
struct Maker<'a> {
    registry: &'a Registry,
    described: RefCell<Vec<Described>>,
}

impl Maker<'_> {
    fn add<C: Collector + Clone + 'static>(&self, kind: &'static str, made: prometheus::Result<C>) -> C {
        let collector = made.expect("metric names and labels are valid constants");
        self.registry.register(Box::new(collector.clone())).expect("each metric is registered once");
        let described = collector.desc().into_iter().map(|of| Described {
            name: of.fq_name.clone(),
            kind,
            labels: of.variable_labels.clone(),
            help: of.help.clone(),
        });
        self.described.borrow_mut().extend(described);
        collector
    }

    fn counter(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.add("counter", IntCounterVec::new(Opts::new(format!("hookgate_{name}"), help), labels))
    }

    fn gauge(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        self.add("gauge", IntGaugeVec::new(Opts::new(format!("hookgate_{name}"), help), labels))
    }

    fn level(&self, name: &str, help: &str, labels: &[&str]) -> GaugeVec {
        self.add("gauge", GaugeVec::new(Opts::new(format!("hookgate_{name}"), help), labels))
    }

    fn single(&self, name: &str, help: &str) -> IntGauge {
        self.add("gauge", IntGauge::new(format!("hookgate_{name}"), help))
    }

    fn histogram(&self, name: &str, help: &str, labels: &[&str], buckets: &[f64]) -> HistogramVec {
        let opts = HistogramOpts::new(format!("hookgate_{name}"), help).buckets(buckets.to_vec());
        self.add("histogram", HistogramVec::new(opts, labels))
    }

    fn plain_histogram(&self, name: &str, help: &str, buckets: &[f64]) -> prometheus::Histogram {
        let opts = HistogramOpts::new(format!("hookgate_{name}"), help).buckets(buckets.to_vec());
        self.add("histogram", prometheus::Histogram::with_opts(opts))
    }
}

impl Families {
    /// Registers all metrics in a registry of its own.
    #[expect(clippy::too_many_lines, reason = "a table: one line a metric, in the order of the contract")]
    pub(super) fn new() -> Self {
        let registry = Registry::new();
        let make = Maker { registry: &registry, described: RefCell::default() };
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
            budget_used: make.level(
                "provider_failure_budget_used",
                "Level of the provider's failure rule that is nearest to its limit, in that rule's unit. Label `proof`: from verified requests only, or from all requests.",
                &["source", "proof"],
            ),
            budget_limit: make.level(
                "provider_failure_budget_limit",
                "Limit of the nearest failure rule: at this level the provider disables the endpoint.",
                &["source"],
            ),
            provider_lag: make.histogram(
                "provider_lag_seconds",
                "Time from the provider's signature to the request.",
                &["source"],
                &LATENCY_SECONDS,
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
                "Events on which a route failed with an error, by the part that did (event, when, order_by, balance; transform: a dead letter).",
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
            buffer_refusing: make.gauge(
                "buffer_refusing",
                "1 while events are refused for this reason: buffer.max_size, the disk's reserve, or an engine that failed.",
                &["reason"],
            ),
            disk_free: make.single("disk_free_bytes", "Free bytes of the file system that the buffer lies on."),
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
                "Deliveries deferred without counting an attempt, by cause.",
                &["destination", "cause"],
            ),
            circuit_open: make.gauge(
                "circuit_open",
                "1 while the destination's circuit breaker is open or half open.",
                &["destination"],
            ),
            sync_answers: make.counter(
                "sync_answers_total",
                "Answers in `mode: sync`, by who gave them: `service`, or the gateway because the service was late (`gateway`), its answer did not come whole (`cut`) or was a redirect (`redirect`).",
                &["source", "by"],
            ),
            same_ids: make.counter(
                "delivery_id_conflicts_total",
                "Events whose delivery id was already used with another body; both events are stored.",
                &["source"],
            ),
            accepted: make.counter(
                "deliveries_accepted_total",
                "Deliveries that entered the queue, including replays and deliveries queued at the start.",
                &["destination"],
            ),
            attempt_seconds: make.histogram(
                "delivery_attempt_duration_seconds",
                "Duration of one delivery attempt.",
                &["destination"],
                &REQUEST_SECONDS,
            ),
            delivery_in_flight: make.gauge("delivery_in_flight", "Delivery attempts in flight.", &["destination"]),
            target_healthy: make.gauge(
                "target_healthy",
                "1 while a target counts as healthy, 0 while it does not.",
                &["destination", "target"],
            ),
            deliveries: make.counter("deliveries_total", "Deliveries that ended.", &["destination", "result"]),
            latency: make.histogram(
                "event_latency_seconds",
                "Time from accepted to delivered.",
                &["route"],
                &LATENCY_SECONDS,
            ),
            dead_letters: make.gauge("dead_letter_events", "Dead letters kept.", &["destination"]),
            quarantined: make.gauge("quarantined_events", "Events in quarantine.", &["source"]),
            reload_ok: make.single("config_last_reload_successful", "1 when the last reload was applied."),
            reload_time: make.single(
                "config_last_reload_success_timestamp_seconds",
                "Time of the last successful load of the configuration, Unix time.",
            ),
            reloads: make.counter("config_reloads_total", "Reloads.", &["result"]),
            dedup_entries: make.single("dedup_entries", "Delivery ids remembered."),
            spans_dropped: make.counter("spans_dropped_total", "Spans that did not reach the collector.", &["reason"]),
            last_verified: make.gauge(
                "source_last_verified_timestamp_seconds",
                "Time of the last verified request to this source, Unix time; 0 if none is known.",
                &["source"],
            ),
            only_failing: make.gauge(
                "source_only_failing",
                "1 while a source that verified before has only failed verifications for five minutes or longer.",
                &["source"],
            ),
            lines_suppressed: make.counter(
                "refusal_log_lines_suppressed_total",
                "Log lines of refusals and unsigned handshakes that were summed up instead of written.",
                &["source", "outcome"],
            ),
            refused_admitted: make.counter(
                "refused_admitted_total",
                "Refused requests that were admitted by `hookgate refused admit`.",
                &["source"],
            ),
            log_dropped: make
                .add("counter", IntCounter::new("hookgate_log_lines_dropped_total", "Log lines that could not be written.")),
            described: make.described.into_inner().into(),
            registry,
        }
    }
}
