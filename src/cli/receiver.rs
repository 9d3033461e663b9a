//! Internal services for the demo and the self-test. The demo's is one small HTTP server that remembers its requests;
//! its `/billing` fails the first two attempts of an event and takes the third, as a service does while it restarts.
//! The self-test's is [`listen`].

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::any;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::Instant;

const FAILING: &str = "billing";
const FAILURES: u32 = 2;

/// The requests of one event to one service.
#[derive(Clone, Debug)]
pub(crate) struct ReceivedEvent {
    pub(crate) service: String,
    pub(crate) route: String,
    pub(crate) tries: u32,
    pub(crate) delivered: bool,
    pub(crate) body: Bytes,
}

impl ReceivedEvent {
    /// Returns the text for the event's line.
    pub(crate) fn told(&self) -> String {
        let state = if self.delivered { "delivered" } else { "waiting" };
        let tries = if self.tries == 1 { String::new() } else { format!(" at try {}", self.tries) };
        format!("{} {state}{tries}", self.service)
    }
}

type ReceivedByService = Arc<Mutex<BTreeMap<String, Vec<ReceivedEvent>>>>;

/// A running receiver, which ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Receiver {
    address: SocketAddr,
    book: ReceivedByService,
    _serving: JoinSet<()>,
}

impl Receiver {
    pub(crate) async fn start() -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let book = ReceivedByService::default();
        let app = Router::new().route("/{service}", any(receive)).with_state(Arc::clone(&book));
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            if let Err(error) = axum::serve(listener, app).await {
                tracing::error!(%error, "the receiver ended");
            }
        });
        Ok(Self { address, book, _serving: serving })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until every expected delivery has arrived; returns those that did.
    pub(crate) async fn settle(
        &self,
        expected: &BTreeMap<String, usize>,
        patience: Duration,
    ) -> BTreeMap<String, Vec<ReceivedEvent>> {
        let deadline = Instant::now() + patience;
        loop {
            let book = self.book.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let arrived = |id: &String| book.get(id).map_or(0, |seen| seen.iter().filter(|one| one.delivered).count());
            if expected.iter().all(|(id, count)| arrived(id) >= *count) || Instant::now() >= deadline {
                return book;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Listens for deliveries until it is dropped. `take` gets the id and the body of each and returns whether it takes the
/// delivery. Others are answered 503, so that they come again.
pub(crate) async fn listen(
    take: impl Fn(&str, &[u8]) -> bool + Clone + Send + Sync + 'static,
) -> std::io::Result<(SocketAddr, JoinSet<()>)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let answer = move |headers: HeaderMap, body: Bytes| {
        let id = headers.get("hookgate-event-id").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let taken = take(id, &body);
        std::future::ready(if taken { StatusCode::NO_CONTENT } else { StatusCode::SERVICE_UNAVAILABLE })
    };
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        if let Err(error) = axum::serve(listener, Router::new().fallback(answer)).await {
            tracing::error!(%error, "the receiver ended");
        }
    });
    Ok((address, serving))
}

async fn receive(
    State(book): State<ReceivedByService>,
    Path(service): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let (id, route) = (text("hookgate-event-id"), text("hookgate-route"));
    let mut book = book.lock().unwrap_or_else(PoisonError::into_inner);
    let seen = book.entry(id).or_default();
    let known = seen.iter().position(|one| one.service == service && one.route == route);
    let at = known.unwrap_or_else(|| {
        seen.push(ReceivedEvent { service: service.clone(), route, tries: 0, delivered: false, body });
        seen.len() - 1
    });
    let Some(one) = seen.get_mut(at) else { return StatusCode::INTERNAL_SERVER_ERROR };
    one.tries += 1;
    one.delivered = service != FAILING || one.tries > FAILURES;
    if one.delivered { StatusCode::NO_CONTENT } else { StatusCode::SERVICE_UNAVAILABLE }
}
