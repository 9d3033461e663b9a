//! Guards that pingora lacks: a deadline for the first request under HTTP/2, and counts of connections.
//!
//! `http1` and `wire` keep the deadlines of HTTP/1; the heads of HTTP/2 are bounded by its own limits.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use pingora::apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream};
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v2::server::H2Options;
use pingora::proxy::HttpProxy;
use pingora::server::ShutdownWatch;

use super::ListenerGateway;

/// The proxy for one connection of HTTP/2, which ends when no request begins in time.
pub(super) struct Guarded {
    pub(super) proxy: Arc<HttpProxy<ListenerGateway>>,
    pub(super) patience: Duration,
    /// True once a request has begun on this connection.
    pub(super) begun: AtomicBool,
}

impl Guarded {
    /// Returns when no request has begun on the connection in time: nothing else ends a client that agrees on HTTP/2
    /// and then stays silent.
    pub(super) async fn silence(&self) {
        tokio::time::sleep(self.patience).await;
        if self.begun.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    }
}

#[async_trait]
impl HttpServerApp for Guarded {
    async fn process_new_http(
        self: &Arc<Self>,
        session: ServerSession,
        shutdown: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        self.begun.store(true, Ordering::Relaxed);
        self.proxy.process_new_http(session, shutdown).await
    }

    fn h2_options(&self) -> Option<H2Options> {
        self.proxy.h2_options()
    }

    fn server_options(&self) -> Option<&HttpServerOptions> {
        self.proxy.server_options()
    }

    async fn http_cleanup(&self) {
        self.proxy.http_cleanup().await;
    }
}

/// A counter of connections, in all and by address.
#[derive(Debug)]
pub(super) struct ConnectionCount {
    by_address: Mutex<(usize, HashMap<IpAddr, usize>)>,
    total_max: usize,
    per_address_max: usize,
}

/// One counted connection.
#[derive(Debug)]
pub(super) struct Counted {
    count: Arc<ConnectionCount>,
    address: IpAddr,
}

impl ConnectionCount {
    pub(super) fn new(total_max: usize, per_address_max: usize) -> Arc<Self> {
        Arc::new(Self { by_address: Mutex::default(), total_max, per_address_max })
    }

    /// Counts one more connection; `None` over a cap.
    pub(super) fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Counted> {
        let mut guard = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        let (total, by_address) = &mut *guard;
        let of_address = by_address.get(&address).copied().unwrap_or(0);
        if *total >= self.total_max || of_address >= self.per_address_max {
            return None;
        }
        *total += 1;
        by_address.insert(address, of_address + 1);
        Some(Counted { count: Arc::clone(self), address })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut guard = self.count.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        let (total, by_address) = &mut *guard;
        *total = total.saturating_sub(1);
        match by_address.get_mut(&self.address) {
            Some(of_address) if *of_address > 1 => *of_address -= 1,
            _ => drop(by_address.remove(&self.address)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_counted_in_all_and_by_address() {
        let count = ConnectionCount::new(3, 2);
        let (a, b): (IpAddr, IpAddr) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let first = count.enter(a);
        let second = count.enter(a);
        assert!(first.is_some() && second.is_some() && count.enter(a).is_none());
        let third = count.enter(b);
        assert!(third.is_some() && count.enter(b).is_none());
        drop(first);
        assert!(count.enter(b).is_some());
    }
}
