//! `server.tracing`: the address for spans, and the sampled share of them.

use super::{Checker, path};
use crate::config::problem::Code;
use crate::deliver::Target;
use crate::telemetry::{SampledShare, TracingParams};

/// The default share of traces, one in twenty.
const SAMPLE_MILLIONTHS: u32 = 50_000;
/// The usual port on which collectors take OTLP over HTTP.
const PORT_OF_HTTP: u16 = 4318;

impl Checker<'_> {
    pub(super) fn tracing(&mut self) -> Option<TracingParams> {
        let raw = self.raw;
        let written = raw.server.tracing.as_ref()?;
        let at = path!["server", "tracing", "otlp"];
        let url = written.otlp.as_str();
        let collector = Target::parse(url).filter(|target| target.path == "/" && target.query.is_none());
        let Some(collector) = collector else {
            let message = format!("{} is not where a collector can be", self.quoted(&at));
            let help = "write scheme, host and port and nothing else: `http://otel-collector:4317`".to_owned();
            self.error(Code::InvalidValue, &at, message, Some(help));
            return None;
        };
        if collector.tls {
            let help = "write `http://` and the address of a collector beside the gateway, which can pass spans on";
            self.error(Code::InvalidValue, &at, "spans are not sent over TLS", Some(help.to_owned()));
            return None;
        }
        if collector.port == PORT_OF_HTTP {
            let message = "this is the usual port of OTLP over HTTP, and spans are sent by gRPC";
            self.warning(Code::Partial, &at, message, Some("the usual port for gRPC is 4317".to_owned()));
        }
        if written.sample.is_some_and(|share| share.millionths == 0) {
            let help = "leave `sample` out for the default of 5%, or take `tracing` away".to_owned();
            self.warning(Code::Unused, &path!["server", "tracing", "sample"], "no event is recorded", Some(help));
        }
        let millionths = written.sample.map_or(SAMPLE_MILLIONTHS, |share| share.millionths);
        let sample = SampledShare::of_millionths(millionths)?;
        Some(TracingParams { collector: collector.url(), sample })
    }
}
