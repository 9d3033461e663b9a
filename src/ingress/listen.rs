//! The listeners' sockets, bound before anything else starts: a port in use is an error at once, and port 0 has a
//! number.
//!
//! The accept loop is ours too; pingora gets the stream. So the caps on connections, the deadline of the TLS handshake
//! and the log of failed handshakes are ours. HTTP/2 is spoken on TLS only: pingora would wait without limit for the
//! preface of a silent plain connection.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use pingora::apps::{HttpServerApp, HttpServerOptions, ServerApp};
use pingora::listeners::tls::Acceptor;
use pingora::protocols::http::v2::server::{H2Options, default_h2_options};
use pingora::protocols::l4::stream::Stream as L4Stream;
use pingora::protocols::{ALPN, GetSocketDigest, SocketDigest, Stream};
use pingora::proxy::HttpProxy;
use pingora::server::configuration::ServerConf;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::guard::{ConnectionCount, Guarded};
use super::tls::{Certificates, TlsParams, server_config};
use super::{ListenerGateway, Registry};
use crate::telemetry::TlsFailure;

const BACKLOG: u32 = 4096;
pub(super) const REQUESTS_PER_CONNECTION: u32 = 100_000;
const H2_STREAMS: u32 = 32;
const H2_WINDOW_BYTES: u32 = 256 * 1024;

/// The bounds of one listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerLimits {
    /// The most open connections.
    pub connections: usize,
    /// The most open connections of one address.
    pub connections_per_ip: usize,
    /// The most bytes of a head's fields.
    pub header_bytes_max: usize,
    /// The most fields of a head.
    pub header_fields_max: usize,
    /// The most bytes of a request target.
    pub target_bytes_max: usize,
    /// The time for a whole head.
    pub header_timeout: Duration,
    /// The time for a whole body.
    pub body_timeout: Duration,
    /// For a TLS handshake, and the silence before it.
    pub tls_handshake: Duration,
    /// For an idle connection; zero: a connection ends with its first answer.
    pub keep_alive: Duration,
}

/// The parameters of one listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerParams {
    /// The name in routes.yaml.
    pub name: Arc<str>,
    /// The address to bind.
    pub address: SocketAddr,
    /// The TLS parameters of a TLS listener.
    pub tls: Option<TlsParams>,
    /// The bounds.
    pub limits: ListenerLimits,
}

/// A listener whose socket is bound and whose certificates are read.
#[derive(Debug)]
pub struct BoundListener {
    params: ListenerParams,
    socket: TcpListener,
    certificates: Option<Arc<Certificates>>,
}

impl BoundListener {
    /// Returns the bound address, with its real port.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Returns the listener's name.
    pub fn name(&self) -> &Arc<str> {
        &self.params.name
    }

    /// Returns the certificates, for a reload.
    pub fn certificates(&self) -> Option<&Arc<Certificates>> {
        self.certificates.as_ref()
    }
}

/// Binds a listener. Needs a tokio runtime.
pub fn bind(params: ListenerParams, certificates: Option<Arc<Certificates>>) -> io::Result<BoundListener> {
    let socket = if params.address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(params.address)?;
    Ok(BoundListener { socket: socket.listen(BACKLOG)?, params, certificates })
}

/// Serves a listener until `stop` turns true, then waits up to `grace` for its connections.
pub async fn serve(bound: BoundListener, shared: Arc<Registry>, mut stop: watch::Receiver<bool>, grace: Duration) {
    let BoundListener { params, socket, certificates } = bound;
    let acceptor = certificates.and_then(|certificates| {
        let only_tls13 = params.tls.as_ref().is_some_and(|tls| tls.only_tls13);
        let config = server_config(certificates, only_tls13);
        config.inspect_err(|error| tracing::error!(%error, "TLS cannot be set up")).ok()
    });
    if params.tls.is_some() && acceptor.is_none() {
        return;
    }
    let listener = Arc::new(Listening {
        proxy: proxy(&params, &shared),
        limits: params.limits.clone(),
        closing: watch::Sender::new(false),
        acceptor: acceptor.map(Acceptor::from_server_config),
        name: Arc::clone(&params.name),
        shared,
        stop: stop.clone(),
    });
    let count = ConnectionCount::new(params.limits.connections, params.limits.connections_per_ip);
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stop.wait_for(|stopping| *stopping) => break,
            accepted = socket.accept() => accepted,
        };
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok(taken) => enter(&mut connections, &count, &listener, taken),
            Err(error) => {
                tracing::warn!(listener = %listener.name, %error, "accept failed");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    // Connected clients are answered; closing the socket would reset them.
    while let Ok(Ok(taken)) = tokio::time::timeout(Duration::ZERO, socket.accept()).await {
        enter(&mut connections, &count, &listener, taken);
    }
    drop(socket);
    // Wakes connections that wait for a next request.
    listener.closing.send_replace(true);
    listener.proxy.http_cleanup().await;
    let finishing = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(grace, finishing).await.is_err() {
        tracing::warn!(listener = %listener.name, "connections were cut off at the end of the grace period");
    }
}

/// Serves a connection; over the cap it is closed at once, and the sender retries.
fn enter(
    connections: &mut JoinSet<()>,
    count: &Arc<ConnectionCount>,
    listener: &Arc<Listening>,
    (stream, peer): (TcpStream, SocketAddr),
) {
    let Some(counted) = count.enter(address_of(peer)) else { return };
    let listener = Arc::clone(listener);
    connections.spawn(async move {
        listener.connection(stream, peer).await;
        drop(counted);
    });
}

fn address_of(peer: SocketAddr) -> IpAddr {
    peer.ip().to_canonical()
}

fn proxy(params: &ListenerParams, shared: &Arc<Registry>) -> Arc<HttpProxy<ListenerGateway>> {
    let gateway = ListenerGateway {
        shared: Arc::clone(shared),
        listener: Arc::clone(&params.name),
        limits: params.limits.clone(),
    };
    let mut proxy = HttpProxy::new(gateway, Arc::new(ServerConf::default()));
    let mut options = HttpServerOptions::default();
    options.keepalive_request_limit = Some(REQUESTS_PER_CONNECTION);
    options.h2_idle_timeout = Some(params.limits.patience());
    proxy.server_options = Some(options);
    proxy.h2_options = Some(h2_options(&params.limits));
    proxy.handle_init_modules();
    Arc::new(proxy)
}

fn h2_options(limits: &ListenerLimits) -> H2Options {
    // Room for our own refusals, which name the limit: pseudo-headers and 32 bytes a field count here.
    let list = limits.header_bytes_max + limits.target_bytes_max + 64 * (limits.header_fields_max + 8);
    let mut options = default_h2_options();
    options.max_concurrent_streams(H2_STREAMS);
    options.max_header_list_size(u32::try_from(list).unwrap_or(u32::MAX));
    options.initial_window_size(H2_WINDOW_BYTES);
    options.initial_connection_window_size(H2_WINDOW_BYTES * 4);
    options
}

/// A running listener.
pub(super) struct Listening {
    pub(super) proxy: Arc<HttpProxy<ListenerGateway>>,
    pub(super) limits: ListenerLimits,
    acceptor: Option<Acceptor>,
    pub(super) name: Arc<str>,
    pub(super) shared: Arc<Registry>,
    pub(super) stop: watch::Receiver<bool>,
    /// Turns true when connections that wait for a next request are to end.
    pub(super) closing: watch::Sender<bool>,
}

impl Listening {
    async fn connection(&self, stream: TcpStream, peer: SocketAddr) {
        let open = self.shared.telemetry.connection(&self.name);
        if let Some(stream) = self.prepare(stream, peer).await {
            if matches!(stream.selected_alpn_proto(), Some(ALPN::H2)) {
                self.http2(stream).await;
            } else {
                self.http1(stream, address_of(peer)).await;
            }
        }
        drop(open);
    }

    async fn http2(&self, stream: Stream) {
        let (proxy, patience) = (Arc::clone(&self.proxy), self.limits.patience());
        let guarded = Arc::new(Guarded { proxy, patience, begun: AtomicBool::new(false) });
        tokio::select! {
            biased;
            _ended = guarded.process_new(stream, &self.stop) => {}
            () = guarded.silence() => {}
        }
    }

    async fn prepare(&self, stream: TcpStream, peer: SocketAddr) -> Option<Stream> {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "the connection is gone already");
            return None;
        }
        let digest = SocketDigest::from_raw_fd(stream.as_raw_fd());
        if digest.peer_addr.set(Some(pingora::protocols::l4::socket::SocketAddr::Inet(peer))).is_err() {
            tracing::trace!("the peer's address was known");
        }
        let mut stream = L4Stream::from(stream);
        stream.set_socket_digest(digest);
        let Some(acceptor) = &self.acceptor else { return Some(Box::new(stream)) };
        match tokio::time::timeout(self.limits.tls_handshake, acceptor.tls_handshake(stream)).await {
            Ok(Ok(stream)) => Some(Box::new(stream)),
            Ok(Err(error)) => {
                self.shared.telemetry.tls_failure(&self.name, TlsFailure::Protocol);
                tracing::debug!(listener = %self.name, %peer, %error, "TLS handshake failed");
                None
            }
            Err(_elapsed) => {
                self.shared.telemetry.tls_failure(&self.name, TlsFailure::Timeout);
                tracing::debug!(listener = %self.name, %peer, "TLS handshake did not end within `limits.tls_handshake`");
                None
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Returns the default bounds.
    pub(in crate::ingress) fn limits() -> ListenerLimits {
        ListenerLimits {
            connections: 20_000,
            connections_per_ip: 20_000,
            header_bytes_max: 16 * 1024,
            header_fields_max: 100,
            target_bytes_max: 8 * 1024,
            header_timeout: Duration::from_secs(5),
            body_timeout: Duration::from_secs(20),
            tls_handshake: Duration::from_secs(10),
            keep_alive: Duration::from_secs(75),
        }
    }
}
