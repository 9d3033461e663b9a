//! Spans: the record of a request and of each attempt, when `server.tracing` is set and the event is sampled.
//!
//! A span is made at its end, and handed to the exporter's queue; at a full queue the span is dropped and counted,
//! without a wait. A span has names of the configuration, closed enums, numbers, ids and the event's type only: no
//! payload, no header, no secret.

use std::time::{Duration, SystemTime};

use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use prometheus::IntCounter;
use tokio::sync::mpsc;

use super::trace::{AttemptTrace, RequestTrace, SampledShare, TRACEPARENT};
use super::{AnsweredRequest, NO_SOURCE, Telemetry};
use crate::clock::Timestamp;
use crate::event::{EventData, EventId};
use crate::outcome::{Attempt, AttemptOutcome};
use crate::refusal::RequestOutcome;

/// The most characters of an event's type, which comes from the payload and may have any length.
const TYPE_CHARS_MAX: usize = 200;

/// The parameters of tracing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TracingParams {
    /// The address of a collector for OTLP over gRPC: `http://host:4317`.
    pub collector: String,
    /// The share of events that is recorded.
    pub sample: SampledShare,
}

/// The recorder of spans.
#[derive(Clone, Debug)]
pub(super) struct SpanSink {
    pub(super) queue: mpsc::Sender<SpanData>,
    pub(super) sample: SampledShare,
    pub(super) random: fn() -> [u8; 10],
    /// The count of spans that found no room in the queue.
    pub(super) dropped: IntCounter,
    pub(super) scope: InstrumentationScope,
}

/// One attempt that has ended.
#[derive(Debug)]
pub struct TracedAttempt<'a> {
    /// The destination.
    pub destination: &'a str,
    /// The route.
    pub route: &'a str,
    /// The event.
    pub event: &'a EventData,
    /// The number of the attempt, from one.
    pub number: u32,
    /// The result of the attempt.
    pub attempt: &'a Attempt,
    /// The duration of the attempt.
    pub took: Duration,
}

/// The parts that every span has.
struct Frame {
    trace: [u8; 16],
    span: [u8; 8],
    parent: Option<[u8; 8]>,
    is_parent_remote: bool,
    kind: SpanKind,
    name: String,
    began: SystemTime,
    took: Duration,
}

/// Traces.
impl Telemetry {
    /// Returns the trace of an attempt that begins; `None` where tracing is off.
    pub fn attempt_trace(&self, event: &EventData) -> Option<AttemptTrace> {
        let spans = self.1.as_ref()?;
        let named = event.headers.iter().filter(|(name, _)| name == TRACEPARENT).map(|(_, value)| &*value.0);
        let request = RequestTrace::of(event.id, named);
        Some(AttemptTrace {
            trace: request.trace,
            span: spans.new_span(),
            parent: request.span,
            is_continued: request.parent.is_some(),
            is_sampled: spans.sample.takes(event.id),
        })
    }

    /// Records the end of an attempt.
    pub fn attempt_traced(&self, trace: &AttemptTrace, ended: &TracedAttempt<'_>, now: Timestamp) {
        let Some(spans) = self.1.as_ref().filter(|_| trace.is_sampled) else { return };
        let TracedAttempt { destination, route, event, number, attempt, took } = *ended;
        let mut attributes = vec![
            KeyValue::new("hookgate.destination", destination.to_owned()),
            KeyValue::new("hookgate.route", route.to_owned()),
            KeyValue::new("hookgate.event_id", event.id.to_string()),
            KeyValue::new("hookgate.attempt", i64::from(number)),
            KeyValue::new("hookgate.outcome", attempt.outcome.label()),
        ];
        attributes.extend(attempt.status.map(|status| KeyValue::new("http.response.status_code", i64::from(status))));
        let frame = Frame {
            trace: trace.trace,
            span: trace.span,
            parent: Some(trace.parent),
            is_parent_remote: false,
            kind: SpanKind::Client,
            name: format!("deliver {destination}"),
            began: moment(now, took),
            took,
        };
        let is_success = attempt.outcome == AttemptOutcome::Success;
        let status = if is_success { Status::Unset } else { Status::error(attempt.outcome.label()) };
        spans.ended(frame, attributes, status);
    }

    /// Records an answered request.
    pub(super) fn request_traced(&self, request: &AnsweredRequest<'_>, now: Timestamp) {
        let Some(spans) = &self.1 else { return };
        // A request without an event gets an id too, for its trace alone.
        let event = request.event.unwrap_or_else(|| EventId::at(now, (spans.random)()));
        if !spans.sample.takes(event) {
            return;
        }
        let named = request.headers.get_all(TRACEPARENT).iter().map(http::HeaderValue::as_bytes);
        let trace = RequestTrace::of(event, named);
        let source = request.source.unwrap_or(NO_SOURCE);
        let mut attributes = vec![
            KeyValue::new("hookgate.source", source.to_owned()),
            KeyValue::new("hookgate.outcome", request.outcome.label()),
            KeyValue::new("http.response.status_code", i64::from(request.status)),
        ];
        attributes.extend(request.event.map(|id| KeyValue::new("hookgate.event_id", id.to_string())));
        attributes.extend(request.notes.event_type.as_deref().map(|name| {
            let name: String = name.chars().take(TYPE_CHARS_MAX).collect();
            KeyValue::new("hookgate.event_type", name)
        }));
        let frame = Frame {
            trace: trace.trace,
            span: trace.span,
            parent: trace.parent,
            is_parent_remote: true,
            kind: SpanKind::Server,
            name: format!("receive {source}"),
            began: moment(now, request.took),
            took: request.took,
        };
        let status = match request.outcome {
            RequestOutcome::Refused(class) if class.status() >= 500 => Status::error(class.label()),
            RequestOutcome::Accepted
            | RequestOutcome::Duplicate
            | RequestOutcome::Handshake
            | RequestOutcome::Filtered
            | RequestOutcome::Quarantined
            | RequestOutcome::Refused(_) => Status::Unset,
        };
        let commit = request.commit.map(|commit| Frame {
            trace: trace.trace,
            span: spans.new_span(),
            parent: Some(trace.span),
            is_parent_remote: false,
            kind: SpanKind::Internal,
            name: "commit".to_owned(),
            began: frame.began + commit.after,
            took: commit.took,
        });
        spans.ended(frame, attributes, status);
        if let Some(commit) = commit {
            spans.ended(commit, Vec::new(), Status::Unset);
        }
    }
}

impl SpanSink {
    fn new_span(&self) -> [u8; 8] {
        let mut span: [u8; 8] = (self.random)().first_chunk().copied().unwrap_or_default();
        // Zero is not a valid span id.
        if let Some(last) = span.last_mut() {
            *last |= 1;
        }
        span
    }

    fn ended(&self, frame: Frame, attributes: Vec<KeyValue>, status: Status) {
        let (trace, span) = (TraceId::from_bytes(frame.trace), SpanId::from_bytes(frame.span));
        let span = SpanData {
            span_context: SpanContext::new(trace, span, TraceFlags::SAMPLED, false, TraceState::default()),
            parent_span_id: frame.parent.map_or(SpanId::INVALID, SpanId::from_bytes),
            parent_span_is_remote: frame.parent.is_some() && frame.is_parent_remote,
            span_kind: frame.kind,
            name: frame.name.into(),
            start_time: frame.began,
            end_time: frame.began + frame.took,
            attributes,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status,
            instrumentation_scope: self.scope.clone(),
        };
        if self.queue.try_send(span).is_err() {
            self.dropped.inc();
        }
    }
}

/// Returns the begin of something that took the time `took` and has just ended.
fn moment(now: Timestamp, took: Duration) -> SystemTime {
    let ended = Duration::from_millis(now.unix_ms());
    SystemTime::UNIX_EPOCH + ended.saturating_sub(took)
}
