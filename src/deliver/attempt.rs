//! One HTTP attempt: the only outgoing client, on pingora's connections.
//!
//! A request goes out with a fresh header block, exactly one `Content-Length` and HTTP/1.1, over a pooled connection.
//! Redirects are not followed, no proxy variables are read, nothing is decompressed. When a pooled connection turns out
//! to be dead before any answer came, the request is made once more on a fresh one. That may repeat a request the other
//! side has read, which "at least once" allows and the event id makes visible. A fresh connection goes to the first of
//! the name's addresses that takes one (`connect`), TLS included; nothing is sent before.
//!
//! Bounds: `connect_timeout` for all addresses together, a total `timeout` for the head of the answer, and time and
//! bytes for the answer's body, which has no effect on the outcome (`exchange`).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::HeaderMap;
use pingora::connectors::TransportConnector;
use pingora::protocols::Stream;
use pingora::upstreams::peer::{HttpPeer, Peer};
use tokio::time::{Instant, timeout_at};

use super::connect::{self, Loss, Ready};
use super::exchange::{self, Begun};
use super::resolve::{Lookup, Resolver, SystemLookup};
use super::tls::TlsSettings;
use crate::outcome::AttemptOutcome;

/// The idle time after which a pooled connection is closed.
const IDLE: Duration = Duration::from_secs(55);
/// The most dead connections of the pool that one request puts up with.
const STALE_MAX: usize = 16;

/// The target of requests: a parsed URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// True for `https`.
    pub tls: bool,
    /// The host's name or address.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The path, at least `/`.
    pub path: String,
    /// The query without `?`.
    pub query: Option<String>,
    /// The TLS settings of an `https` target, where they are not the default ones.
    pub settings: Option<Arc<TlsSettings>>,
}

impl Target {
    /// Parses a URL; `None` when it is not an absolute http or https URL without user information and fragment, or has
    /// an invalid port.
    pub fn parse(url: &str) -> Option<Self> {
        let uri: http::Uri = url.parse().ok()?;
        let tls = match uri.scheme_str()? {
            "http" => false,
            "https" => true,
            _ => return None,
        };
        let authority = uri.authority()?;
        if authority.as_str().contains('@') || authority.host().is_empty() || url.contains('#') {
            return None;
        }
        // An invalid port must not become the default one.
        let has_port = authority.as_str().len() > authority.host().len();
        if has_port && authority.port_u16().is_none_or(|port| port == 0) {
            return None;
        }
        Some(Self {
            tls,
            host: authority.host().to_owned(),
            port: authority.port_u16().unwrap_or(if tls { 443 } else { 80 }),
            path: if uri.path().is_empty() { "/".to_owned() } else { uri.path().to_owned() },
            query: uri.query().map(str::to_owned),
            settings: None,
        })
    }

    /// Sets the TLS settings; an `http` target has none.
    #[must_use]
    pub fn with_tls(self, settings: Option<Arc<TlsSettings>>) -> Self {
        Self { settings: settings.filter(|_| self.tls), ..self }
    }

    /// Builds pingora's peer for a connection to one of the target's addresses.
    fn peer(&self, address: SocketAddr) -> HttpPeer {
        // A certificate names an address without the brackets of a URL.
        let name = self.host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let mut peer = HttpPeer::new(address, self.tls, name);
        if let Some(settings) = &self.settings {
            settings.put_on(&mut peer);
        }
        peer
    }

    /// Returns the `Host` header.
    pub fn authority(&self) -> String {
        match (self.tls, self.port) {
            (true, 443) | (false, 80) => self.host.clone(),
            _ => format!("{}:{}", self.host, self.port),
        }
    }

    /// Returns host and port, for people and metrics, without the path, which may hold a secret.
    pub fn label(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// Returns the whole URL.
    pub fn url(&self) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        format!("{scheme}://{}{}", self.authority(), self.request_target(None))
    }

    /// Returns the request target: the target's path, and both queries.
    pub fn request_target(&self, received_query: Option<&str>) -> String {
        match (&self.query, received_query) {
            (None, None) => self.path.clone(),
            (Some(query), None) => format!("{}?{query}", self.path),
            (None, Some(query)) => format!("{}?{query}", self.path),
            (Some(own), Some(query)) => format!("{}?{own}&{query}", self.path),
        }
    }
}

/// An outgoing request.
#[derive(Clone, Debug)]
pub struct Outgoing<'a> {
    /// The method.
    pub method: &'a str,
    /// The query as received.
    pub query: Option<&'a str>,
    /// All headers but `Host` and `Content-Length`.
    pub headers: &'a HeaderMap,
    /// The body.
    pub body: &'a Bytes,
}

/// The bounds of one attempt in time and bytes.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// The time for a connection, TLS included.
    pub connect: Duration,
    /// The time for the whole attempt.
    pub total: Duration,
    /// The time for the body of the answer, once its status is known; `total` bounds it too.
    pub answer_time: Duration,
    /// The bytes of the answer's body that are kept; as many more are read and dropped.
    pub answer_bytes_max: usize,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, cut at the bound.
    pub body: Bytes,
    /// True when the body is complete: not broken off, within the bound, and in time.
    pub is_whole: bool,
}

/// The error of an attempt without an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoAnswer {
    /// The class.
    pub outcome: AttemptOutcome,
    /// A text for the log, without payload.
    pub detail: String,
}

/// The client: a pool of connections and a cache of resolved names.
pub struct Client {
    connector: TransportConnector,
    resolver: Resolver,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Client")
    }
}

/// A carrier of requests: the [`Client`], or the simulation's own.
#[async_trait]
pub trait Transport: Send + Sync {
    /// Sends one request and reads the answer.
    async fn send(&self, target: &Target, out: &Outgoing<'_>, bounds: Bounds) -> Result<Answer, NoAnswer>;
}

#[async_trait]
impl Transport for Client {
    async fn send(&self, target: &Target, out: &Outgoing<'_>, bounds: Bounds) -> Result<Answer, NoAnswer> {
        let deadline = Instant::now() + bounds.total;
        let mut asked = None;
        let begun = timeout_at(deadline, self.begin(target, out, bounds, &mut asked)).await;
        let (begun, key) = begun.unwrap_or_else(|_elapsed| {
            let from = asked.map_or_else(|| target.label(), |address: SocketAddr| address.to_string());
            if let Some(address) = asked {
                self.resolver.failed(&target.host, target.port, address);
            }
            let detail = format!("no answer from {from} within {:?}", bounds.total);
            Err(NoAnswer { outcome: AttemptOutcome::Timeout, detail })
        })?;
        let (answer, connection) = begun.finish(bounds, deadline).await;
        if let Some(connection) = connection {
            self.connector.release_stream(connection, key, Some(IDLE));
        }
        Ok(answer)
    }
}

impl Default for Client {
    fn default() -> Self {
        Self::new()
    }
}

impl Client {
    /// Makes a client with an empty pool.
    pub fn new() -> Self {
        Self::with_lookup(Arc::new(SystemLookup))
    }

    /// Makes a client with its own lookup of names.
    pub fn with_lookup(lookup: Arc<dyn Lookup>) -> Self {
        Self { connector: TransportConnector::new(None), resolver: Resolver::new(lookup) }
    }

    /// Sends the request and waits for the head of an answer. `asked` is the address that has the request.
    async fn begin(
        &self,
        target: &Target,
        out: &Outgoing<'_>,
        bounds: Bounds,
        asked: &mut Option<SocketAddr>,
    ) -> Result<(Begun, u64), NoAnswer> {
        let addresses = self.resolver.addresses(&target.host, target.port).await?;
        if let Some(first) = addresses.first() {
            *asked = Some(*first);
            if let Some(begun) = self.begin_on_pooled(target, out, *first).await? {
                return Ok(begun);
            }
            *asked = None;
        }
        let (stream, address) = self.connect(target, addresses, bounds).await?;
        *asked = Some(address);
        let begun = exchange::begin(stream, target, out).await.map_err(|fault| {
            self.resolver.failed(&target.host, target.port, address);
            fault.told(address)
        })?;
        Ok((begun, target.peer(address).reuse_hash()))
    }

    /// Sends the request on pooled connections, while there are any: one may have died since its last use, which says
    /// nothing of the service. Returns `None` when a fresh connection is needed.
    async fn begin_on_pooled(
        &self,
        target: &Target,
        out: &Outgoing<'_>,
        address: SocketAddr,
    ) -> Result<Option<(Begun, u64)>, NoAnswer> {
        let peer = target.peer(address);
        for _ in 0..STALE_MAX {
            let Some(stream) = self.connector.reused_stream(&peer).await else { break };
            match exchange::begin(stream, target, out).await {
                Ok(begun) => {
                    self.resolver.worked(&target.host, target.port, address);
                    return Ok(Some((begun, peer.reuse_hash())));
                }
                Err(fault) if fault.is_answered => return Err(fault.told(address)),
                Err(_stale) => {}
            }
        }
        Ok(None)
    }

    /// Connects to the first of the addresses that answers, TLS included.
    async fn connect(
        &self,
        target: &Target,
        mut addresses: Vec<SocketAddr>,
        bounds: Bounds,
    ) -> Result<(Stream, SocketAddr), NoAnswer> {
        let within = bounds.connect.min(bounds.total);
        let deadline = Instant::now() + within;
        let mut lost: Vec<Loss> = Vec::new();
        let mut of_tls: Option<NoAnswer> = None;
        while !addresses.is_empty() {
            let race = connect::race(&addresses, deadline).await;
            addresses.retain(|address| !race.lost.iter().any(|loss| loss.address == *address));
            lost.extend(race.lost);
            let Some((stream, address)) = race.winner else { break };
            let mut peer = target.peer(address);
            peer.options.custom_l4 = Some(Arc::new(Ready::new(stream)));
            match timeout_at(deadline, self.connector.new_stream(&peer)).await {
                Ok(Ok(stream)) => {
                    self.prefer(target, address, &lost);
                    return Ok((stream, address));
                }
                Ok(Err(error)) => of_tls = Some(exchange::no_answer(&error, address)),
                Err(_elapsed) => of_tls = Some(exchange::no_handshake(address, within)),
            }
            // Another server may listen there: a name's other addresses may still be the service.
            addresses.retain(|other| *other != address);
            lost.push(Loss { address, why: "TLS failed".into() });
        }
        for loss in &lost {
            self.resolver.failed(&target.host, target.port, loss.address);
        }
        self.resolver.forget(&target.host, target.port);
        let refused = || NoAnswer {
            outcome: AttemptOutcome::Connect,
            detail: format!("no connection to {}", connect::told(&lost)),
        };
        Err(of_tls.unwrap_or_else(refused))
    }

    /// Remembers the address that worked, and logs those that did not.
    fn prefer(&self, target: &Target, address: SocketAddr, lost: &[Loss]) {
        self.resolver.worked(&target.host, target.port, address);
        for Loss { address: dead, why } in lost {
            if self.resolver.failed(&target.host, target.port, *dead) {
                let host = target.host.as_str();
                tracing::warn!(
                    target: "hookgate::delivery", host, address = %dead, why, used = %address,
                    "an address of this name does not work; another one is used"
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart() {
        let target = Target::parse("https://svc.internal/hooks?a=1").unwrap();
        assert_eq!((target.tls, target.port, target.authority().as_str()), (true, 443, "svc.internal"));
        assert_eq!(target.request_target(Some("b=2")), "/hooks?a=1&b=2");
        assert_eq!(Target::parse("http://h:8080").unwrap().request_target(None), "/");
    }

    #[test]
    fn a_certificate_is_for_the_host_and_for_an_address_without_brackets() {
        let address: SocketAddr = "[::1]:8443".parse().unwrap();
        let name = |url| Target::parse(url).unwrap().peer(address).sni;
        assert_eq!(name("https://[::1]:8443/"), "::1");
        assert_eq!(name("https://svc.internal/"), "svc.internal");
    }

    #[test]
    fn what_is_no_http_url_is_refused() {
        for url in ["svc/hooks", "ftp://h/", "http://user:pw@h/", "http:///x", "http://h/#f", ""] {
            assert!(Target::parse(url).is_none(), "{url}");
        }
    }
}
