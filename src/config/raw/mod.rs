//! What the configuration file may say, key by key. The doc comments are what an editor shows.
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

use super::units::{Bytes, Count, Duration, Rate, Share};
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

/// The configuration of Hookgate. Reading order is the life of a request: listeners, sources, routes, destinations.
/// Keys that begin with `x-` are yours: they are ignored, and are a good place for YAML anchors.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Hookgate configuration", extend("patternProperties" = {"^x-": true}))]
pub struct File {
    /// The version of the format of this file: 1.
    #[schemars(required)]
    pub version: Option<Version>,
    /// Files with more of the same sections: paths, or globs of file names, relative to this file's folder. A name that
    /// stands in two files is an error. Paths in an included file are relative to this file's folder too.
    #[serde(default)]
    pub include: Vec<String>,
    /// The process: threads, shutdown, data directory, log.
    #[serde(default)]
    pub server: Server,
    /// The listener for operators: console, API, metrics. Default: 127.0.0.1:8900.
    pub admin: Option<Admin>,
    /// Where requests come in, by name.
    #[serde(default)]
    pub listeners: BTreeMap<Name, Listener>,
    /// Who may call us, by name.
    #[serde(default)]
    pub sources: BTreeMap<Name, Source>,
    /// What goes where, by name. Every route that matches gets its own copy; order never matters.
    #[serde(default)]
    pub routes: BTreeMap<Name, Route>,
    /// What entries start from.
    #[serde(default)]
    pub defaults: Defaults,
    /// The services that receive events, by name.
    #[serde(default)]
    pub destinations: BTreeMap<Name, Destination>,
    /// The durable buffer between acceptance and delivery.
    #[serde(default)]
    pub buffer: Buffer,
    /// What is kept of requests that are not stored, and what people see of all requests.
    #[serde(default)]
    pub capture: Capture,
    /// Providers of your own, by name, in the form of the built-in ones.
    #[serde(default)]
    #[schemars(with = "BTreeMap<Name, RowSpec>")]
    pub providers: BTreeMap<Name, serde_yaml::Value>,
}

/// The process.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// Worker threads for each listener: `auto` (one for each core) or a number.
    pub threads: Option<Threads>,
    /// How long requests and deliveries in flight may take to finish after SIGTERM. `0s` ends them at once.
    pub shutdown_grace: Option<Duration>,
    /// The directory of the buffer and of all other state.
    pub data_dir: Option<PathBuf>,
    /// Addresses of proxies in front of us: only from them are `X-Forwarded-For` and the PROXY protocol believed.
    #[serde(default)]
    pub trusted_proxies: Vec<Cidr>,
    /// The log.
    pub log: Option<Log>,
    /// Spans of requests and deliveries, for a collector.
    pub tracing: Option<Tracing>,
    /// The URL under which the world reaches us; some providers sign it.
    pub public_url: Option<Url>,
    /// Limits on requests before anything is verified.
    pub limits: Option<ServerLimits>,
}

/// Limits on requests before anything is verified.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServerLimits {
    /// For each sender address (IPv6: each /64). Default: 50000/s, burst 100000.
    pub per_sender: Option<Throughput>,
    /// For all senders together. Default: 200000/s.
    pub total: Option<Throughput>,
}

/// So many in a time, and so many at once.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Throughput {
    /// In the long run: `100/s`, `10/m`.
    pub rate: Rate,
    /// At once. Default: as many as the rate allows in its time.
    pub burst: Option<Count>,
}

/// Spans of requests and deliveries, for a collector. Set for as long as the process runs.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tracing {
    /// Where a collector takes OTLP by gRPC, such as `http://otel-collector:4317`.
    pub otlp: Url,
    /// Which part of the events is recorded: `5%`, `0.5%`, `100%`. Default: 5%.
    pub sample: Option<Share>,
}

/// The log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// `json` for machines, `human` for a terminal.
    pub format: Option<LogFormat>,
    /// The least level that is logged.
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
    /// Only what failed.
    Error,
    /// And what may fail soon.
    Warn,
    /// And what happened.
    #[default]
    Info,
    /// And why.
    Debug,
    /// And every step.
    Trace,
}

/// The durable buffer between acceptance and delivery.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Buffer {
    /// The most that it may hold. When it is full, senders are told to come back (503); nothing is lost.
    pub max_size: Option<Bytes>,
    /// When an event counts as kept.
    pub fsync: Option<Fsync>,
    /// How long delivered events are kept for replay. `0s` keeps none.
    pub keep_delivered: Option<Duration>,
}

/// When an event counts as kept, and is answered as accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Fsync {
    /// After a sync to disk that is shared with others: survives power loss. The default.
    Group,
    /// When the operating system has it: survives a crash of the process only.
    Os,
    /// When it is in memory: survives nothing.
    Memory,
}

/// What is kept of requests that are not stored (filtered and refused ones), and what people see of all requests.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Capture {
    /// What people see of bodies, and whether those of requests that are not stored are kept at all.
    pub bodies: Option<CaptureBodies>,
    /// How many requests that were not stored are kept, in memory. Default: 1000.
    pub max_events: Option<Count>,
    /// What `redacted` hides: places in JSON bodies such as `/data/object/card/number` and `/**/email`, and
    /// `header:authorization`.
    #[serde(default)]
    pub redact: Vec<String>,
}

/// What people see of bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CaptureBodies {
    /// Nothing; and those of requests that are not stored are not kept.
    Off,
    /// All but what `redact` names. The default.
    Redacted,
    /// All of it.
    Full,
}
