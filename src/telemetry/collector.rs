//! Export of spans to a collector: OTLP over gRPC, in batches, beside all other work.
//!
//! At most [`QUEUE_MAX`] spans wait, and one batch is in flight. A collector that is down or slow costs the spans, a
//! count and one log line a minute. At the end the waiting spans are sent, for as long as the caller allows.
//!
//! Headers for the collector are taken from `OTEL_EXPORTER_OTLP_HEADERS`, attributes of this instance from
//! `OTEL_RESOURCE_ATTRIBUTES`, by the library. Not here: the content of a span (`spans`), TLS to a collector.

use std::time::Duration;

use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};
use prometheus::IntCounter;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::Telemetry;
use super::spans::{SpanSink, TracingParams};

/// The most spans that wait, about a kilobyte each.
const QUEUE_MAX: usize = 4096;
const BATCH_MAX: usize = 512;
/// The time for which a batch that is not full waits for more.
const GATHER: Duration = Duration::from_secs(1);
/// The time for one batch, with the retries of the library.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);
const COMPLAIN_EVERY: Duration = Duration::from_mins(1);

/// The running export.
#[derive(Debug)]
pub struct Export {
    stop: watch::Sender<bool>,
    running: JoinSet<()>,
}

impl Export {
    /// Sends the waiting spans, for the time `within` at most, and ends.
    pub async fn flush(mut self, within: Duration) {
        self.stop.send_replace(true);
        let ending = async { while self.running.join_next().await.is_some() {} };
        if tokio::time::timeout(within, ending).await.is_err() {
            tracing::warn!("the last spans were not taken by the collector in time");
        }
    }
}

impl Telemetry {
    /// Records spans from now on, in this clone and its own clones. Must run on a tokio runtime.
    pub fn traced(self, params: &TracingParams, random: fn() -> [u8; 10]) -> (Self, Option<Export>) {
        let built =
            SpanExporter::builder().with_tonic().with_endpoint(&params.collector).with_timeout(EXPORT_TIMEOUT).build();
        let mut exporter = match built {
            Ok(exporter) => exporter,
            Err(error) => {
                tracing::error!(%error, "no spans are sent: the collector cannot be reached in this way");
                return (self, None);
            }
        };
        let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
        exporter.set_resource(&Resource::builder().with_service_name("hookgate").with_attribute(version).build());
        let (queue, spans) = mpsc::channel(QUEUE_MAX);
        let (no_room, not_taken) = (self.spans_dropped("queue"), self.spans_dropped("export"));
        let complaint = Complaint { no_room: no_room.clone(), not_taken, told: 0, last: None };
        let (stop, stopped) = watch::channel(false);
        let mut running = JoinSet::new();
        running.spawn(Exporting { spans, exporter, complaint, stop: stopped, is_stopping: false }.run());
        let scope = InstrumentationScope::builder("hookgate").build();
        let spans = SpanSink { queue, sample: params.sample, random, dropped: no_room, scope };
        (Self(self.0, Some(spans), self.2, self.3), Some(Export { stop, running }))
    }

    fn spans_dropped(&self, reason: &'static str) -> IntCounter {
        self.0.spans_dropped.with_label_values(&[reason])
    }
}

struct Exporting {
    spans: mpsc::Receiver<SpanData>,
    exporter: SpanExporter,
    complaint: Complaint,
    stop: watch::Receiver<bool>,
    is_stopping: bool,
}

impl Exporting {
    async fn run(mut self) {
        loop {
            let mut batch = Vec::with_capacity(BATCH_MAX);
            self.gather(&mut batch).await;
            if batch.is_empty() {
                break;
            }
            let spans = batch.len() as u64;
            let sent = self.exporter.export(batch).await;
            if sent.is_err() {
                self.complaint.not_taken.inc_by(spans);
            }
            self.complaint.say(sent.err().map(|error| error.to_string()), Instant::now());
        }
    }

    /// Waits for spans; returns an empty batch only at the end.
    async fn gather(&mut self, batch: &mut Vec<SpanData>) {
        let mut until = None;
        while batch.len() < BATCH_MAX {
            let room = BATCH_MAX - batch.len();
            tokio::select! {
                biased;
                // A closed channel gives its remaining spans and then none.
                _ = self.stop.wait_for(|stopping| *stopping), if !self.is_stopping => {
                    self.is_stopping = true;
                    self.spans.close();
                }
                read = self.spans.recv_many(batch, room) => {
                    if read == 0 {
                        break;
                    }
                    until = until.or(Some(Instant::now() + GATHER));
                }
                () = sleep_until(until.unwrap_or_else(Instant::now)), if until.is_some() => break,
            }
        }
    }
}

/// The log line about lost spans, at most once in [`COMPLAIN_EVERY`].
struct Complaint {
    no_room: IntCounter,
    not_taken: IntCounter,
    /// The number of lost spans that were reported.
    told: u64,
    last: Option<Instant>,
}

impl Complaint {
    fn say(&mut self, error: Option<String>, now: Instant) {
        let dropped = self.no_room.get() + self.not_taken.get();
        let is_due = self.last.is_none_or(|last| now.duration_since(last) >= COMPLAIN_EVERY);
        if dropped > self.told && is_due {
            let spans = dropped - self.told;
            tracing::warn!(spans, error, "spans did not reach the collector; nothing else is affected");
            (self.told, self.last) = (dropped, Some(now));
        }
    }
}
