//! `admin` and `listeners`: where connections come in.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Address, Secret};
use crate::config::units::{Bytes, Count, Duration};

/// The listener for operators: console, API, metrics.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Admin {
    /// The address and port; default 127.0.0.1:8900. Anything but loopback needs a token.
    pub listen: Option<Address>,
    /// The token that callers must show.
    pub token: Option<Secret>,
}

/// A listener for events, or, with `serve`, one for the platform.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    /// The address and port.
    pub address: Address,
    /// Certificates; without this the listener speaks plain HTTP.
    pub tls: Option<Tls>,
    /// What a connection may take before it is cut.
    pub limits: Option<Limits>,
    /// The pages for the platform that this listener answers. It answers nothing else: a listener with `serve` takes no
    /// events.
    #[serde(default)]
    pub serve: Vec<Serve>,
}

/// Certificates and protocol versions. Files are read again when they change.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The certificate chain (PEM).
    pub cert: Option<FileRef>,
    /// The private key (PEM).
    pub key: Option<FileRef>,
    /// More pairs, for several server names; the one that a client asks for is picked by the names in the certificates.
    #[serde(default)]
    pub certificates: Vec<Certificate>,
    /// The oldest TLS version that is accepted: "1.2" (default) or "1.3".
    pub min_version: Option<TlsVersion>,
}

/// A certificate with its key.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// The certificate chain (PEM).
    pub cert: FileRef,
    /// The private key (PEM).
    pub key: FileRef,
}

/// A file, named.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileRef {
    /// Its path.
    pub file: PathBuf,
}

/// A TLS version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum TlsVersion {
    /// TLS 1.2.
    #[serde(rename = "1.2")]
    V12,
    /// TLS 1.3.
    #[serde(rename = "1.3")]
    V13,
}

/// What connections and requests may take.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Connections at a time.
    pub connections: Option<Count>,
    /// Connections at a time from one address.
    pub connections_per_ip: Option<Count>,
    /// The size of all headers of a request; more is answered 431.
    pub headers: Option<Bytes>,
    /// The number of header fields of a request, at most 256; more is answered 431.
    pub header_fields: Option<Count>,
    /// The size of a request's target, its path and query, at most 32KiB; more is answered 414.
    pub target: Option<Bytes>,
    /// The size of a body, for sources that set none.
    pub body: Option<Bytes>,
    /// How long the headers of a request may take to arrive.
    pub header_timeout: Option<Duration>,
    /// How long a body may take to arrive.
    pub body_timeout: Option<Duration>,
    /// How long a TLS handshake may take, from the connection's first moment on; a silent connection ends then. Default:
    /// 10s.
    pub tls_handshake: Option<Duration>,
    /// The time for which an idle connection is kept open, also before its first request; at most 1h. Set it longer
    /// than the idle timeout of the load balancer in front. `0s` closes a connection after its first answer. Default:
    /// 75s.
    pub keep_alive: Option<Duration>,
}

/// An endpoint for the platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Serve {
    /// `/livez`: the process runs.
    Livez,
    /// `/readyz`: it can take requests.
    Readyz,
    /// `/metrics`: Prometheus.
    Metrics,
}
