//! One HTTP try: the only outgoing client, on pingora's `Connector`.
//!
//! A request goes out with a fresh header block, exactly one `Content-Length` and HTTP/1.1, over a pooled connection.
//! Redirects are not followed, no proxy variables are read, nothing is decompressed. When a pooled connection turns out
//! to be dead before any answer came, the request is made once more on a fresh one: that may repeat a request the other
//! side has read, which "at least once" allows and the event id makes visible.
//!
//! Bounds: `connect_timeout`, a total `timeout`, and the bytes read of an answer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use pingora::connectors::http::Connector;
use pingora::http::RequestHeader;
use pingora::protocols::http::client::HttpSession;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType};

use super::resolve::Resolver;
use super::tls::TlsSettings;
use crate::outcome::AttemptOutcome;

/// Pooled connections are closed after this much idleness.
const IDLE: Duration = Duration::from_secs(55);

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
    fn peer(&self, address: SocketAddr, bounds: Bounds) -> HttpPeer {
        // A certificate is for an address as it is, without the brackets of a URL.
        let name = self.host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let mut peer = HttpPeer::new(address, self.tls, name);
        peer.options.connection_timeout = Some(bounds.connect);
        peer.options.total_connection_timeout = Some(bounds.connect);
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
    /// Whether the body is whole.
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
    connector: Connector,
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
        let sent = tokio::time::timeout(bounds.total, self.send_untimed(target, out, bounds));
        sent.await.unwrap_or_else(|_elapsed| {
            Err(NoAnswer { outcome: AttemptOutcome::Timeout, detail: format!("no answer within {:?}", bounds.total) })
        })
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
        Self { connector: Connector::new(None), resolver: Resolver::default() }
    }

    async fn send_untimed(&self, target: &Target, out: &Outgoing<'_>, bounds: Bounds) -> Result<Answer, NoAnswer> {
        let address = self.resolver.resolve(&target.host, target.port).await?;
        let peer = target.peer(address, bounds);
        let mut fresh_tries = 0;
        loop {
            let (mut session, reused) = match self.connector.get_http_session(&peer).await {
                Ok(got) => got,
                Err(error) => {
                    self.resolver.forget(&target.host, target.port);
                    return Err(no_answer(&error));
                }
            };
            match exchange(&mut session, target, out, bounds.answer_bytes_max).await {
                Ok((answer, reusable)) => {
                    if reusable {
                        self.connector.release_http_session(session, &peer, Some(IDLE)).await;
                    } else {
                        session.shutdown().await;
                    }
                    return Ok(answer);
                }
                Err(error) => {
                    let answered = session.response_header().is_some();
                    session.shutdown().await;
                    // A connection from the pool may have died since its last use, which says nothing of the server.
                    if !reused || answered || fresh_tries > 16 {
                        return Err(no_answer(&error));
                    }
                    fresh_tries += 1;
                }
            }
        }
    }
}

/// Writes the request and reads the answer. True when the connection can be used again.
async fn exchange(
    session: &mut HttpSession,
    target: &Target,
    out: &Outgoing<'_>,
    answer_bytes_max: usize,
) -> Result<(Answer, bool), Box<Error>> {
    session.write_request_header(Box::new(header_block(target, out)?)).await?;
    if !out.body.is_empty() {
        session.write_request_body(out.body.clone(), true).await?;
    }
    session.finish_request_body().await?;
    let (status, headers) = loop {
        session.read_response_header().await?;
        let Some(head) = session.response_header() else { return Error::e_explain(ErrorType::ReadError, "no answer") };
        let status = head.status.as_u16();
        if !(100..200).contains(&status) {
            break (status, head.headers.clone());
        }
    };
    let mut body = BytesMut::new();
    let mut read = 0_usize;
    while let Some(chunk) = session.read_response_body().await? {
        read = read.saturating_add(chunk.len());
        let room = answer_bytes_max.saturating_sub(body.len());
        body.extend_from_slice(chunk.get(..room).unwrap_or(&chunk));
        if read > answer_bytes_max.saturating_mul(2) {
            return Ok((Answer { status, headers, body: body.freeze(), is_whole: false }, false));
        }
    }
    let is_whole = read <= answer_bytes_max;
    Ok((Answer { status, headers, body: body.freeze(), is_whole }, true))
}

fn header_block(target: &Target, out: &Outgoing<'_>) -> Result<RequestHeader, Box<Error>> {
    let path = target.request_target(out.query);
    let mut head = RequestHeader::build(out.method, path.as_bytes(), Some(out.headers.len() + 2))?;
    head.insert_header(http::header::HOST, target.authority())?;
    for (name, value) in out.headers {
        head.append_header(name.clone(), value.clone())?;
    }
    head.insert_header(http::header::CONTENT_LENGTH, out.body.len())?;
    Ok(head)
}

fn no_answer(error: &Error) -> NoAnswer {
    let outcome = match &error.etype {
        ErrorType::ReadTimedout | ErrorType::WriteTimedout => AttemptOutcome::Timeout,
        // A service that wants another certificate of ours says so after the handshake has ended for us (TLS 1.3).
        _ if is_of_tls(error) => AttemptOutcome::Tls,
        ErrorType::TLSHandshakeFailure
        | ErrorType::TLSHandshakeTimedout
        | ErrorType::InvalidCert
        | ErrorType::HandshakeError
        | ErrorType::TLSWantX509Lookup => AttemptOutcome::Tls,
        _ => AttemptOutcome::Connect,
    };
    let cause = error.root_cause().to_string();
    NoAnswer { outcome, detail: format!("{}: {cause}", error.etype.as_str()) }
}

/// Whether the connection ended with a word of TLS.
fn is_of_tls(error: &Error) -> bool {
    let io = error.root_cause().downcast_ref::<std::io::Error>();
    io.and_then(std::io::Error::get_ref).is_some_and(<dyn std::error::Error + Send + Sync>::is::<rustls::Error>)
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
        let bounds = Bounds { connect: Duration::ZERO, total: Duration::ZERO, answer_bytes_max: 0 };
        let name = |url| Target::parse(url).unwrap().peer(address, bounds).sni;
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
