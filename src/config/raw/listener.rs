//! `admin` and `listeners`: the addresses at which connections are accepted.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Address, Secret};
use crate::config::units::{ByteSize, Count, Duration};

/// The listener for operators: console, API, metrics.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Admin {
    /// The address and port. Any address but loopback needs a token. Default: 127.0.0.1:8900.
    pub listen: Option<Address>,
    /// The token that callers must show as `Authorization: Bearer`.
    pub token: Option<Secret>,
}

/// A listener for events, or, with `serve`, for the pages of the platform.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    /// The address and port.
    pub address: Address,
    /// The certificates and protocol versions. Default: none; the listener speaks plain HTTP.
    pub tls: Option<Tls>,
    /// The limits of connections and requests.
    pub limits: Option<Limits>,
    /// The pages for the platform that this listener answers. A listener with `serve` answers nothing else and takes no
    /// events.
    #[serde(default)]
    pub serve: Vec<Serve>,
}

/// The certificates and protocol versions. Files are read again when they change.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The certificate chain (PEM).
    pub cert: Option<FileRef>,
    /// The private key (PEM).
    pub key: Option<FileRef>,
    /// More certificates with their keys, for several server names. The names in the certificates decide which one a
    /// client gets.
    #[serde(default)]
    pub certificates: Vec<Certificate>,
    /// The oldest TLS version that is accepted: "1.2" or "1.3". Default: "1.2".
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

/// A file, by its path.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileRef {
    /// The path of the file.
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

/// The limits of connections and requests.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// The most connections at a time. Default: 20000.
    pub connections: Option<Count>,
    /// The most connections at a time from one address. Default: 20000.
    pub connections_per_ip: Option<Count>,
    /// The maximum size of all headers of a request, at most 256KiB. More is answered 431. Default: 16KiB.
    pub headers: Option<ByteSize>,
    /// The maximum number of header fields of a request, at most 256. More is answered 431. Default: 100.
    pub header_fields: Option<Count>,
    /// The maximum size of a request's target (path and query), 64B to 32KiB. More is answered 414. Default: 8KiB.
    pub target: Option<ByteSize>,
    /// The largest body of sources without `body_max`, at most 64MiB. The largest value of all listeners counts.
    /// Default: 1MiB.
    pub body: Option<ByteSize>,
    /// The time within which the headers of a request must arrive. Default: 5s.
    pub header_timeout: Option<Duration>,
    /// The time within which a body must arrive. Default: 20s.
    pub body_timeout: Option<Duration>,
    /// The time for a TLS handshake, from the first moment of the connection; a silent connection ends then. Default:
    /// 10s.
    pub tls_handshake: Option<Duration>,
    /// The time for which an idle connection is kept open, also before its first request; at most 1h. Set it longer
    /// than the idle timeout of the load balancer in front. `0s` closes a connection after its first answer. Default:
    /// 75s.
    pub keep_alive: Option<Duration>,
}

/// A page for the platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Serve {
    /// `/livez`: the process runs.
    Livez,
    /// `/readyz`: the gateway can take requests.
    Readyz,
    /// `/metrics`: the metrics, for Prometheus.
    Metrics,
}
