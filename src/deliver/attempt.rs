//! One HTTP try: the only outgoing client, on pingora's connections.
//!
//! A request goes out with a fresh header block, exactly one `Content-Length` and HTTP/1.1, over a pooled connection.
//! Redirects are not followed, no proxy variables are read, nothing is decompressed. When a pooled connection turns out
//! to be dead before any answer came, the request is made once more on a fresh one: that may repeat a request the other
//! side has read, which "at least once" allows and the event id makes visible. A fresh connection goes to the first of the
//! name's addresses that takes one (`connect`), TLS included; nothing is sent before.
//!
//! Bounds: `connect_timeout` for all addresses together, a total `timeout` for the head of the answer, and time and bytes
//! for the answer's body, which decides nothing (`exchange`).

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

/// Pooled connections are closed after this much idleness.
const IDLE: Duration = Duration::from_secs(55);
/// The dead connections of the pool that one request puts up with.
const STALE_MAX: usize = 16;

/// Where requests go: a URL taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Whether it is `https`.
    pub tls: bool,
    /// Name or address.
    pub host: String,
    /// The port.
    pub port: u16,
    /// Path, at least `/`.
    pub path: String,
    /// Query without `?`.
    pub query: Option<String>,
    /// How it is spoken to, when it is `https` and not spoken to as anybody is.
    pub settings: Option<Arc<TlsSettings>>,
}

impl Target {
    /// Takes a URL apart; `None` when it is not an absolute http or https URL without user information and fragment, or its port is none.
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
        // A port that is none must not become the usual one.
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

    /// Spoken to in this way; says nothing of `http`.
    #[must_use]
    pub fn with_tls(self, settings: Option<Arc<TlsSettings>>) -> Self {
        Self { settings: settings.filter(|_| self.tls), ..self }
    }

    /// What a connection to it needs, at one of its addresses.
    fn peer(&self, address: SocketAddr) -> HttpPeer {
        // A certificate is for an address as it is, without the brackets of a URL.
        let name = self.host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let mut peer = HttpPeer::new(address, self.tls, name);
        if let Some(settings) = &self.settings {
            settings.put_on(&mut peer);
        }
        peer
    }

    /// The `Host` header.
    pub fn authority(&self) -> String {
        match (self.tls, self.port) {
            (true, 443) | (false, 80) => self.host.clone(),
            _ => format!("{}:{}", self.host, self.port),
        }
    }

    /// Host and port, for people and metrics: nothing of the path, which may hold a secret.
    pub fn label(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// Put together again.
    pub fn url(&self) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        format!("{scheme}://{}{}", self.authority(), self.request_target(None))
    }

    /// The request target: this path, and both queries.
    pub fn request_target(&self, received_query: Option<&str>) -> String {
        match (&self.query, received_query) {
            (None, None) => self.path.clone(),
            (Some(query), None) => format!("{}?{query}", self.path),
            (None, Some(query)) => format!("{}?{query}", self.path),
            (Some(own), Some(query)) => format!("{}?{own}&{query}", self.path),
        }
    }
}

/// What goes out.
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

/// How long and how much.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// For a connection, TLS included.
    pub connect: Duration,
    /// For everything.
    pub total: Duration,
    /// For the body of the answer, once its status is known; `total` bounds it too.
    pub answer_time: Duration,
    /// Bytes of the answer's body that are kept; what comes after is read away, up to the same again.
    pub answer_bytes_max: usize,
}

/// What came back.
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

/// Why nothing came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoAnswer {
    /// The class.
    pub outcome: AttemptOutcome,
    /// For the log; no payload.
    pub detail: String,
}

/// The client: a pool of connections and a memory of names.
pub struct Client {
    connector: TransportConnector,
    resolver: Resolver,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Client")
    }
}

/// Whoever carries a request to a target: the [`Client`], or a target of the simulation's own.
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
    /// A client with an empty pool.
    pub fn new() -> Self {
        Self::with_lookup(Arc::new(SystemLookup))
    }

    /// A client that finds names in its own way.
    pub fn with_lookup(lookup: Arc<dyn Lookup>) -> Self {
        Self { connector: TransportConnector::new(None), resolver: Resolver::new(lookup) }
    }

    /// Sends the request until the head of an answer comes. `asked` is the address that has the request.
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

    /// The same on connections of the pool, while it has any: one may have died since its last use, which says nothing of
    /// the service. `None` when a fresh connection is needed.
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
            // Somebody else may listen there: a name's other addresses may still be the service.
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

    /// Remembers which of the addresses worked, and says it of those that did not.
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
