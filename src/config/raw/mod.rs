//! The keys of the configuration file, with the types of their values. Editors show the doc comments.
//!
//! These types hold what is written, and nothing is filled in: a key that is absent is `None` or empty, and its default
//! is the business of whoever gives it a meaning. Names that point at each other are not looked up here.
//! No `flatten` and no `untagged`: both would lose the path of an error.

mod allow;
mod answer;
mod balance;
mod body;
mod destination;
mod header;
mod listener;
mod net;
mod route;
mod secret;
mod source;
mod words;

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::units::{ByteSize, Count, Duration, Percent, WrittenRate};
use crate::provider::RowSpec;

pub use allow::{AllowIps, Allowed};
pub use answer::Reply;
pub use balance::{Balance, BalanceBy, Breaker, CircuitBreaker, Health, Target};
pub use body::Body;
pub use destination::{
    DeadLetter, Defaults, Destination, DestinationDefaults, Format, Jitter, Retry, RetryOn, ServiceTls, Sign, SignType,
};
pub use header::HeaderText;
pub use listener::{Admin, Certificate, FileRef, Limits, Listener, Serve, Tls, TlsVersion};
pub use net::{Address, Cidr, TargetUrl, Url};
pub use route::{HeaderEdits, Numbers, OnError, OneOrMany, Route, Transform};
pub use secret::{ContextValue, Date, Moment, Secret, SecretPlace};
pub use source::{Assertion, Dedup, EventKeys, Handshake, Method, Mode, Per, RateLimit, Schemas, Source};
pub use words::{Name, Threads, Version};

/// The sections: keys of the top level whose value is a mapping.
pub(super) const SECTIONS: &[&str] = &[
    "server",
    "admin",
    "listeners",
    "sources",
    "routes",
    "defaults",
    "destinations",
    "buffer",
    "capture",
    "providers",
];

/// A configuration of Hookgate. A request passes the sections in this order: listeners, sources, routes, destinations.
/// Keys that begin with `x-` are ignored; they are a good place for YAML anchors.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Hookgate configuration", extend("patternProperties" = {"^x-": true}))]
pub struct File {
    /// The version of this file's format: 1.
    #[schemars(required)]
    pub version: Option<Version>,
    /// More files with the same sections: paths, or globs of file names, relative to this file's folder. Paths in an
    /// included file are relative to this file's folder too. A name that stands in two files is an error.
    #[serde(default)]
    pub include: Vec<String>,
    /// The settings of the process: threads, shutdown, data directory, log, limits.
    #[serde(default)]
    pub server: Server,
    /// The listener for operators: console, API, metrics. Default: 127.0.0.1:8900.
    pub admin: Option<Admin>,
    /// The listeners that accept requests, by name.
    #[serde(default)]
    pub listeners: BTreeMap<Name, Listener>,
    /// The senders whose webhooks are accepted, by name.
    #[serde(default)]
    pub sources: BTreeMap<Name, Source>,
    /// The rules that send events from sources to destinations, by name. Every route that matches gets its own copy.
    /// The order of routes does not matter.
    #[serde(default)]
    pub routes: BTreeMap<Name, Route>,
    /// The default values of other sections' entries.
    #[serde(default)]
    pub defaults: Defaults,
    /// The services that receive events, by name.
    #[serde(default)]
    pub destinations: BTreeMap<Name, Destination>,
    /// The durable buffer between acceptance and delivery.
    #[serde(default)]
    pub buffer: Buffer,
    /// The captured requests (filtered and refused ones), and the parts of all requests that people see.
    #[serde(default)]
    pub capture: Capture,
    /// Your own providers, by name, in the form of the built-in ones.
    #[serde(default)]
    #[schemars(with = "BTreeMap<Name, RowSpec>")]
    pub providers: BTreeMap<Name, serde_yaml::Value>,
}

/// The settings of the process.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// The number of worker threads of each listener: `auto` (one for each core) or a number. Default: auto.
    pub threads: Option<Threads>,
    /// The time in which requests and deliveries in flight may finish after SIGTERM. Default: 30s. `0s` ends them at once.
    pub shutdown_grace: Option<Duration>,
    /// The directory of the buffer and of all other state. Default: /var/lib/hookgate.
    pub data_dir: Option<PathBuf>,
    /// The addresses of proxies in front of the gateway. `X-Forwarded-For` counts only in requests from these
    /// addresses.
    #[serde(default)]
    pub trusted_proxies: Vec<Cidr>,
    /// The format and level of the log.
    pub log: Option<Log>,
    /// The spans of requests and deliveries, which are sent to an OpenTelemetry collector. Default: none.
    pub tracing: Option<Tracing>,
    /// The URL at which senders reach the gateway. Some providers sign the URL.
    pub public_url: Option<Url>,
    /// The limits on requests before anything is verified.
    pub limits: Option<ServerLimits>,
}

/// The limits on requests before anything is verified.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServerLimits {
    /// The limit for each sender address (IPv6: each /64). Default: 50000/s, burst 100000.
    pub per_sender: Option<Throughput>,
    /// The limit for all senders together. Default: 200000/s.
    pub total: Option<Throughput>,
}

/// A rate with a burst.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Throughput {
    /// The sustained rate: `100/s`, `10/m`.
    pub rate: WrittenRate,
    /// The most at once. Default: the number in `rate`, such as 100 for `100/s`.
    pub burst: Option<Count>,
}

/// The spans of requests and deliveries, for an OpenTelemetry collector. A change takes effect after a restart.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tracing {
    /// The URL at which a collector takes OTLP by gRPC: `http://`, host and port, such as `http://otel-collector:4317`.
    pub otlp: Url,
    /// The share of the events whose spans are recorded: `5%`, `0.5%`, `100%`. Default: 5%.
    pub sample: Option<Percent>,
}

/// The format and level of the log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// The form of a line: `json` for machines, `human` for a terminal. Default: json.
    pub format: Option<LogFormat>,
    /// The least level that is logged. Default: info.
    pub level: Option<LogLevel>,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// One JSON object a line.
    #[default]
    Json,
    /// Text for people.
    Human,
}

/// The level of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogLevel {
    /// Failures.
    Error,
    /// Also warnings of what may fail soon.
    Warn,
    /// Also what happened. The default.
    #[default]
    Info,
    /// Also the reasons.
    Debug,
    /// Also every step.
    Trace,
}

/// The durable buffer between acceptance and delivery.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Buffer {
    /// The maximum size of the buffer, at least 1MiB. While the buffer is full, requests are answered 503, so that
    /// senders try again; nothing is lost. Default: 20GiB.
    pub max_size: Option<ByteSize>,
    /// The point at which an event counts as stored and is answered as accepted. Default: group.
    pub fsync: Option<Fsync>,
    /// The time for which delivered events are kept for replay. Default: 72h. `0s` keeps none.
    pub keep_delivered: Option<Duration>,
}

/// The point at which an event counts as stored and is answered as accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Fsync {
    /// After a sync to disk that several events share: survives power loss. The default.
    Group,
    /// After the write to the operating system: survives a crash of the process only.
    Os,
    /// After the write to memory: survives nothing.
    Memory,
}

/// The captured requests (filtered and refused ones), and the parts of all requests that people see.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Capture {
    /// The parts of bodies that people see. `off` also keeps no bodies of captured requests. Default: redacted.
    pub bodies: Option<CaptureBodies>,
    /// The number of captured requests that are kept in memory, at most 100000. Default: 1000.
    pub max_events: Option<Count>,
    /// The places that `redacted` hides: in JSON bodies, such as `/data/object/card/number` and `/**/email`, in
    /// headers, such as `header:authorization`, and in the query, such as `query:token`.
    #[serde(default)]
    pub redact: Vec<String>,
}

/// The parts of bodies that people see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CaptureBodies {
    /// No part; the bodies of captured requests are not kept.
    Off,
    /// All parts but those that `redact` names. The default.
    Redacted,
    /// All parts.
    Full,
}
