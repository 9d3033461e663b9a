//! Metrics and logs.
//!
//! [`Telemetry`] has one method per observation, which counts and logs in one place. Label values are configured names
//! and closed enums only; a sender can choose neither. Secrets, signatures, bodies and query strings are not among the
//! parameters, so they cannot get into a line.

#![warn(clippy::wildcard_enum_match_arm)]

mod collector;
mod deliveries;
mod families;
mod known;
mod process;
#[cfg(test)]
mod reference;
mod refusals;
mod routes;
mod secrets;
mod sources;
mod spans;
mod trace;

pub use collector::Export;
pub use deliveries::{AnsweredBy, Deferral, DeliveryLine, DeliveryResult, EndedDelivery, Troubled, WellAgain};
pub use families::Described;
pub use known::{ConfiguredNames, KnownSource};
pub use sources::SourceStanding;
pub use spans::{TracedAttempt, TracingParams};
pub use trace::{AttemptTrace, SampledShare};
mod targets;

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use prometheus::{Encoder, IntGauge, TextEncoder};

use families::Families;
use refusals::RefusalLines;
use routes::RouteLines;
use spans::SpanSink;

use crate::accept::Notes;
use crate::clock::Timestamp;
use crate::event::EventId;
use crate::refusal::RequestOutcome;

/// The label of requests that reached no source.
pub const NO_SOURCE: &str = "_none";

/// Counts, logs, and records spans where tracing is on; clones share the metrics, and the state of limited log lines.
#[derive(Clone, Debug)]
pub struct Telemetry(Families, Option<SpanSink>, Arc<RefusalLines>, Arc<RouteLines>);

impl Default for Telemetry {
    fn default() -> Self {
        Self::new()
    }
}

impl Telemetry {
    /// Registers all metrics in a registry of its own.
    pub fn new() -> Self {
        Self(Families::new(), None, Arc::default(), Arc::default())
    }

    /// Renders the metrics in Prometheus' text format.
    pub fn render(&self) -> Vec<u8> {
        let mut text = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&self.0.registry.gather(), &mut text) {
            tracing::error!(%error, "the metrics could not be written");
        }
        text
    }

    /// Lists our own metrics in alphabetical order.
    pub fn described(&self) -> Vec<Described> {
        let mut described = self.0.described.to_vec();
        described.sort_unstable();
        described
    }

    /// Counts log lines that could not be written.
    pub fn log_lines_dropped(&self, lines: u64) {
        self.0.log_dropped.inc_by(lines);
    }
}

/// One answered request.
#[derive(Debug)]
pub struct AnsweredRequest<'a> {
    /// The source, or `None` when no source was found.
    pub source: Option<&'a str>,
    /// The outcome.
    pub outcome: RequestOutcome,
    /// The status that was answered; zero when the sender went away first.
    pub status: u16,
    /// The reason of a refusal, for the operator.
    pub why: &'a str,
    /// The stored event, if there is one.
    pub event: Option<EventId>,
    /// For a duplicate, the event that was stored first, where it is known.
    pub first_event: Option<EventId>,
    /// The method, host and path that were called.
    pub called: Called<'a>,
    /// The notes of the gates.
    pub notes: &'a Notes,
    /// The sender's address.
    pub sender: IpAddr,
    /// True when requests of this sender were verified at this source before.
    pub is_known_sender: bool,
    /// The size of the body that was read.
    pub body_bytes: usize,
    /// The time from the head to the answer.
    pub took: Duration,
    /// The headers as received; only `traceparent` is read.
    pub headers: &'a HeaderMap,
    /// The time of storing the event, if the request waited for it.
    pub commit: Option<Commit>,
}

/// The request line, as the log shows it. It has no query, which may hold a token.
#[derive(Clone, Copy, Debug, Default)]
pub struct Called<'a> {
    /// The method.
    pub method: &'a str,
    /// The host, where it is clear.
    pub host: Option<&'a str>,
    /// The path.
    pub path: &'a str,
}

/// The time in which an event was stored.
#[derive(Clone, Copy, Debug)]
pub struct Commit {
    /// The time from the request's begin to the begin of storing.
    pub after: Duration,
    /// The duration of storing.
    pub took: Duration,
}

/// Observations at the ingress.
impl Telemetry {
    /// Records an answered request: counters, histograms and the one access line.
    pub fn request(&self, request: &AnsweredRequest<'_>, now: Timestamp) {
        let source = request.source.unwrap_or(NO_SOURCE);
        let outcome = request.outcome.label();
        let mut code = [0; 3];
        self.0.requests.with_label_values(&[source, outcome, code_text(request.status, &mut code)]).inc();
        self.0.request_seconds.with_label_values(&[source]).observe(request.took.as_secs_f64());
        let notes = request.notes;
        if let Some(verdict) = notes.verdict {
            self.0.verifications.with_label_values(&[source, verdict.metric_label()]).inc();
            #[expect(clippy::cast_precision_loss, reason = "sizes are far below 2^52")]
            self.0.request_bytes.with_label_values(&[source]).observe(request.body_bytes as f64);
        }
        if let Some(secret) = &notes.secret {
            self.secret_used(source, secret, now);
        }
        if let Some(lag) = notes.lag {
            self.0.provider_lag.with_label_values(&[source]).observe(lag.as_secs_f64());
        }
        // A duplicate was counted the first time.
        let is_new = request.outcome != RequestOutcome::Duplicate;
        if let Some(schema) = notes.schema_failed.as_ref().filter(|_| is_new) {
            self.0.schema_failures.with_label_values(&[source, schema.as_str()]).inc();
        }
        let is_sent = request.outcome == RequestOutcome::Accepted;
        for route in notes.matched.iter().filter(|_| is_sent) {
            self.0.route_matches.with_label_values(&[&**route]).inc();
        }
        if is_new {
            self.route_errors(source, request, now);
        }
        match request.outcome {
            RequestOutcome::Duplicate => self.0.duplicates.with_label_values(&[source]).inc(),
            RequestOutcome::Handshake => self.0.handshakes.with_label_values(&[source]).inc(),
            RequestOutcome::Filtered => self.0.unrouted.with_label_values(&[source]).inc(),
            RequestOutcome::Accepted | RequestOutcome::Quarantined | RequestOutcome::Refused(_) => {}
        }
        if self.has_line(source, request, now) {
            log_request(source, outcome, request);
        }
        self.request_traced(request, now);
    }

    /// Counts a request in flight, for as long as the guard lives.
    pub fn in_flight(&self, listener: &str) -> InFlight {
        InFlight::of(self.0.in_flight.with_label_values(&[listener]))
    }

    /// Counts an open connection, for as long as the guard lives.
    pub fn connection(&self, listener: &str) -> InFlight {
        InFlight::of(self.0.connections.with_label_values(&[listener]))
    }

    /// Counts a failed TLS handshake.
    pub fn tls_failure(&self, listener: &str, reason: TlsFailure) {
        self.0.tls_failures.with_label_values(&[listener, reason.label()]).inc();
    }

    /// Sets the time at which the first of a listener's certificates expires.
    pub fn certificate(&self, listener: &str, not_after: Timestamp) {
        let secs = i64::try_from(not_after.unix_secs()).unwrap_or(i64::MAX);
        self.0.certificate_not_after.with_label_values(&[listener]).set(secs);
    }

    /// Counts an event that came under the delivery id of another one.
    pub fn same_id(&self, source: &str) {
        self.0.same_ids.with_label_values(&[source]).inc();
    }

    /// Sets the number of a source's quarantined events.
    pub fn quarantined(&self, source: &str, events: u64) {
        self.0.quarantined.with_label_values(&[source]).set(i64::try_from(events).unwrap_or(i64::MAX));
    }
}

/// The most characters of a sender's text in a line.
const SHOWN_CHARS_MAX: usize = 256;

/// Returns a sender's text as a line shows it: bounded, and without control characters that a terminal would obey.
fn shown(text: &str) -> Cow<'_, str> {
    if text.len() <= SHOWN_CHARS_MAX && !text.contains(char::is_control) {
        return Cow::Borrowed(text);
    }
    let plain = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
    let mut shown: String = text.chars().take(SHOWN_CHARS_MAX).map(plain).collect();
    if text.chars().nth(SHOWN_CHARS_MAX).is_some() {
        shown.push('…');
    }
    Cow::Owned(shown)
}

fn log_request(source: &str, outcome: &'static str, request: &AnsweredRequest<'_>) {
    let event = request.event.map(|id| id.to_string());
    let first_event = request.first_event.map(|id| id.to_string());
    let Called { method, host, path } = request.called;
    let (method, host, path) = (shown(method), host.map(shown), shown(path));
    let took_ms = u64::try_from(request.took.as_millis()).unwrap_or(u64::MAX);
    let failed_routes = failed_routes(request.notes);
    macro_rules! line {
        ($level:ident) => {
            tracing::$level!(
                target: "hookgate::access",
                source,
                outcome,
                status = request.status,
                event = event.as_deref(),
                first_event = first_event.as_deref(),
                delivery_id = request.notes.delivery_id.as_deref(),
                event_type = request.notes.event_type.as_deref(),
                method = (!method.is_empty()).then_some(&*method),
                host = host.as_deref(),
                path = (!path.is_empty()).then_some(&*path),
                verdict = request.notes.verdict_label(),
                secret = request.notes.secret.as_deref(),
                body_read = request.notes.body_read,
                answered_by = request.notes.answered_by,
                braked = request.notes.braked.then_some(true),
                failed_routes = failed_routes.as_deref(),
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

/// Lists the names of the routes that failed on the event; of many only the first ones.
fn failed_routes(notes: &Notes) -> Option<String> {
    const NAMES_MAX: usize = 8;
    let names: Vec<&str> = notes.route_errors.iter().take(NAMES_MAX).map(|error| &*error.route).collect();
    let more = if notes.route_errors.len() > NAMES_MAX { ", …" } else { "" };
    (!names.is_empty()).then(|| names.join(", ") + more)
}

/// Writes a status as three digits, without an allocation per request.
fn code_text(status: u16, buffer: &mut [u8; 3]) -> &str {
    let digit = |value: u16| b'0' + u8::try_from(value % 10).unwrap_or(0);
    *buffer = [digit(status / 100), digit(status / 10), digit(status)];
    std::str::from_utf8(buffer).unwrap_or("000")
}

/// The reason why a TLS handshake failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsFailure {
    /// The handshake did not end in time.
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

/// A guard that counts one while it lives.
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
    fn a_text_of_a_stranger_is_bounded_and_commands_nothing() {
        assert_eq!(shown("/in/a"), "/in/a");
        assert_eq!(shown("/\u{1b}[31m\u{9b}2J\n"), "/\u{fffd}[31m\u{fffd}2J\u{fffd}");
        let long = "ö".repeat(300);
        let long = shown(&long);
        assert_eq!((long.chars().count(), long.ends_with('…')), (257, true));
        assert_eq!(shown(&"a".repeat(256)).len(), 256);
    }

    #[test]
    fn a_status_is_three_digits() {
        let mut buffer = [0; 3];
        assert_eq!(code_text(204, &mut buffer), "204");
        assert_eq!(code_text(0, &mut buffer), "000");
    }
}
