//! The admin listener: `/livez`, `/readyz`, `/metrics`, and the API (`api`).
//!
//! It is a listener of its own, on loopback by default. Off loopback `/metrics` and `/readyz?verbose` want the token;
//! `/livez` and `/readyz` do not, because orchestrators have none. Gauges about the buffer are read at each scrape.
//!
//! Not here: the console.

mod api;
mod explained;
mod hidden;
mod json;
mod kept;
mod named;
mod now;
mod query;
mod redeliveries;
mod refused;
mod reload;
mod replays;
mod standing;
mod stored;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::{ArcSwap, ArcSwapOption};
use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use subtle::ConstantTimeEq;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

use crate::archive::{Archive, Jobs};
use crate::buffer::{Buffer, Counters, Fsync, HumanBytes, QueueDepth, Refusing};
use crate::capture::Capture;
use crate::clock::Timestamp;
use crate::deliver::Deliverer;
use crate::provider::KeyRing;
use crate::refused::Refused;
use crate::rules::Rules;
use crate::secret::{ListedSecret, Secret};
use crate::telemetry::{SourceStanding, Telemetry};

use api::SourceSheet;

pub use reload::{Backlog, ReloadAsk, Reloaded};

/// A page that a listener may serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Served {
    /// `/livez`: the process runs.
    Livez,
    /// `/readyz`: the gateway takes requests.
    Readyz,
    /// `/metrics`, for Prometheus.
    Metrics,
    /// `/api/v1/…`.
    Api,
}

/// The state behind all pages.
#[derive(Debug)]
pub struct Panel {
    buffer: Buffer,
    telemetry: Telemetry,
    fsync: Fsync,
    draining: AtomicBool,
    /// The time at which counting began.
    since: Timestamp,
    sources: ArcSwap<Vec<SourceSheet>>,
    secrets: ArcSwap<Vec<ListedSecret>>,
    archive: Archive,
    capture: Arc<Capture>,
    keys: Arc<dyn KeyRing>,
    refused: Refused,
    jobs: Jobs,
    deliverer: Deliverer,
    /// The token that pages with `Desk::wants_token` ask for.
    token: ArcSwapOption<Secret>,
    reloads: ArcSwapOption<mpsc::Sender<ReloadAsk>>,
    /// The counters of each destination when counting began.
    before: BTreeMap<Arc<str>, Counters>,
}

impl Panel {
    /// Creates a panel without sources; counting begins now.
    pub fn new(
        archive: Archive,
        (capture, keys, refused): (Arc<Capture>, Arc<dyn KeyRing>, Refused),
        deliverer: Deliverer,
        telemetry: Telemetry,
        fsync: Fsync,
    ) -> Self {
        let buffer = archive.buffer();
        let before =
            buffer.destinations().into_iter().map(|name| (Arc::clone(&name), buffer.counters(&name))).collect();
        Self {
            buffer: buffer.clone(),
            before,
            telemetry,
            fsync,
            draining: false.into(),
            since: archive.clock().now(),
            sources: ArcSwap::default(),
            secrets: ArcSwap::default(),
            archive,
            capture,
            keys,
            refused,
            jobs: Jobs::default(),
            deliverer,
            token: ArcSwapOption::empty(),
            reloads: ArcSwapOption::empty(),
        }
    }

    /// Makes `/readyz` answer 503, because the gateway is stopping.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Shows these sources and secrets from now on.
    pub fn show(&self, rules: &Rules, secrets: &[ListedSecret]) {
        self.telemetry.secrets(secrets);
        self.show_sources(rules);
        self.secrets.store(Arc::new(secrets.to_vec()));
        self.sources.store(Arc::new(api::sheets(rules, secrets)));
    }

    /// Sets one series for each source, and removes those of others.
    fn show_sources(&self, rules: &Rules) {
        let now = self.archive.clock().now();
        self.telemetry.sources(rules.lanes.iter().map(|lane| SourceStanding {
            name: &lane.source.name,
            budget: lane.budget.level_now(now),
            verification: lane.watch.standing(),
        }));
    }

    /// Sets the token to ask for. With `None` the old token stays valid, because a listener off loopback keeps its
    /// address until a restart.
    pub fn ask_for(&self, token: Option<Secret>) {
        if let Some(token) = token {
            self.token.store(Some(Arc::new(token)));
        }
    }
}

/// The state of one listener's pages.
#[derive(Clone, Debug)]
struct PageState {
    panel: Arc<Panel>,
    /// True for the listener `admin` off loopback; listeners with `serve` want no token.
    wants_token: bool,
}

/// Serves `pages` until `stop` turns true.
pub async fn serve(
    listener: TcpListener,
    panel: Arc<Panel>,
    pages: BTreeSet<Served>,
    wants_token: bool,
    mut stop: watch::Receiver<bool>,
) {
    let desk = PageState { panel, wants_token };
    let serves_api = pages.contains(&Served::Api);
    let mut router: Router<PageState> = Router::new();
    for page in pages {
        router = match page {
            Served::Livez => router.route("/livez", get(|| async { "ok\n" })),
            Served::Readyz => router.route("/readyz", get(readyz)),
            Served::Metrics => router.route("/metrics", get(metrics)),
            Served::Api => router.merge(api::router(&desk)),
        };
    }
    if !serves_api {
        router = router.fallback(|| async { (StatusCode::NOT_FOUND, NO_EVENTS) });
    }
    let app = router.with_state(desk).layer(map_response(shut_in));
    let stopped = async move {
        // The sender lives as long as the server; its end is a stop too.
        drop(stop.wait_for(|stopping| *stopping).await);
    };
    if let Err(error) = axum::serve(listener, app).with_graceful_shutdown(stopped).await {
        tracing::error!(%error, "the admin listener ended");
    }
}

/// The body of the 404 of a listener with `serve` and without the API.
const NO_EVENTS: &str = "no such page: this listener has `serve`; events go to a listener without it\n";

/// Adds the headers of every answer, also of errors and unknown pages: no cache, no frame, no sniffing, no referrer. A
/// header that the page set itself stays.
async fn shut_in(mut response: Response) -> Response {
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
    ] {
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

impl PageState {
    fn knows(&self, headers: &HeaderMap) -> bool {
        if !self.wants_token {
            return true;
        }
        let (token, given) = (self.panel.token.load(), headers.get(header::AUTHORIZATION));
        let given = given.and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
        token.as_ref().zip(given).is_some_and(|(token, given)| given.ct_eq(token.expose()).into())
    }
}

fn token_wanted() -> Response {
    (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Bearer")], "token wanted\n").into_response()
}

async fn readyz(State(desk): State<PageState>, RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
    let panel = &desk.panel;
    let stats = panel.buffer.stats();
    let draining = panel.draining.load(Ordering::Relaxed);
    let ready = stats.open && stats.shortage.is_none() && !draining;
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let verbose = query.is_some_and(|query| query.split('&').any(|part| part == "verbose"));
    if !verbose || !desk.knows(&headers) {
        return (status, if ready { "ok\n" } else { "not ready\n" }).into_response();
    }
    let word = |is_good: bool| if is_good { "ok" } else { "FAILED" };
    let short = stats.shortage.map(|shortage| format!(": {shortage}")).unwrap_or_default();
    let disk = stats.disk.map_or_else(
        || "unknown".to_owned(),
        |disk| {
            let (free, reserve) = (HumanBytes(disk.free_bytes), HumanBytes(disk.reserve_bytes()));
            format!("{free} of {} are free, {reserve} are kept for the engine", HumanBytes(disk.total_bytes))
        },
    );
    let text = format!(
        "buffer open: {}\nbuffer has room: {}{short} ({} of {} bytes)\ndisk: {disk}\nnot draining: {}\ndurability: {}\n",
        word(stats.open),
        word(stats.shortage.is_none()),
        stats.used_bytes,
        stats.limit_bytes,
        word(!draining),
        panel.fsync.durability(),
    );
    (status, text).into_response()
}

async fn metrics(State(desk): State<PageState>, headers: HeaderMap) -> Response {
    if !desk.knows(&headers) {
        return token_wanted();
    }
    let panel = Arc::clone(&desk.panel);
    // Reading the age of queues may touch the disk.
    match tokio::task::spawn_blocking(move || panel.scrape()).await {
        Ok(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "a scrape broke off");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

impl Panel {
    fn scrape(&self) -> Vec<u8> {
        // A request that began before a reload may have counted for a secret that has gone.
        self.telemetry.secrets(&self.secrets.load());
        self.show_sources(&self.archive.rules());
        let stats = self.buffer.stats();
        self.telemetry.buffer(stats.used_bytes, stats.limit_bytes, stats.dedup_entries);
        let refusing = Refusing::ALL.map(|reason| (reason.label(), stats.refuses_for(reason)));
        self.telemetry.disk(stats.disk.map(|disk| disk.free_bytes), refusing);
        self.telemetry.unreadable_records(stats.corrupt);
        for (source, events) in self.buffer.quarantined() {
            self.telemetry.quarantined(&source, events);
        }
        for name in self.buffer.destinations() {
            let (book, before) = (self.buffer.counters(&name), self.before.get(&name).copied().unwrap_or_default());
            // Counters begin with the process; deliveries that were queued at its start count as accepted by it.
            let ended_before = before.accepted.saturating_sub(before.queued);
            let accepted = book.accepted.saturating_sub(ended_before);
            let discarded = book.discarded.saturating_sub(before.discarded);
            self.telemetry.deliveries_accounted(&name, accepted, discarded);
            let QueueDepth { ready, scheduled, in_flight, parked } = self.buffer.depth(&name);
            let states = [("ready", ready), ("scheduled", scheduled), ("in_flight", in_flight), ("parked", parked)];
            self.telemetry.queue(&name, states, self.buffer.oldest_age(&name), self.buffer.counters(&name).dead);
        }
        self.telemetry.render()
    }
}
