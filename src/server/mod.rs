//! The assembly of all rooms: configuration in, running services out, and the order in which they stop.
//!
//! **Start**: certificates, sockets, buffer, then deliveries, admin, listeners. When a step fails, nothing listens yet
//! or the process ends. **Reload** is all or nothing: rules, destinations, limits and certificates are replaced
//! together; settings that need a restart (listeners, data directory, buffer) are named and left. **Stop**: readiness
//! 503 and `Connection: close`, then no new connections, in-flight requests answered, attempts finished, buffer synced
//! and closed.

mod private;
mod refusing;
mod reload;
mod setup;
mod sockets;
mod sources;

use reload::Fixed;
pub use reload::{Applied, NotApplied};
pub use setup::{Live, PageListener, ProcessParams, Setup, StartError};

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::admin::{self, Backlog, Panel, ReloadAsk, Served};
use crate::archive::{Archive, RulesNow};
use crate::buffer::{Buffer, BufferParams, CommitReport};
use crate::capture::Capture;
use crate::clock::Clock;
use crate::deliver::{Client, Deliverer, Destinations};
use crate::ingress::{self, BodyBudget, BoundListener, Certificates};
use crate::keyring::Keyring;
use crate::refusal::{Class, RequestOutcome};
use crate::refused::Refused;
use crate::rejudge;
use crate::rules::{Rules, SourceRules};
use crate::schema::SchemaSet;
use crate::secret::ListedSecret;
use crate::source::Mode;
use crate::telemetry::{ConfiguredNames, Export, KnownSource, Telemetry};

/// The most bytes of bodies of requests in flight, all together.
const BODIES_IN_FLIGHT_BYTES: usize = 256 * 1024 * 1024;
const TIDY_EVERY: Duration = Duration::from_secs(1);
const SHRINK_EVERY: Duration = Duration::from_secs(5);
/// The longest wait for the export of the last spans.
const FLUSH_SPANS: Duration = Duration::from_secs(3);
const TEND_KEYS_EVERY: Duration = Duration::from_mins(1);

/// Sources of time and randomness, handed in.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// The source of random bytes for event ids.
    pub random: fn() -> [u8; 10],
    /// Draws from [0, 1).
    pub chance: fn() -> f64,
}

impl Default for Surroundings {
    fn default() -> Self {
        Self { clock: Arc::new(crate::clock::SystemClock), random: rand::random, chance: rand::random }
    }
}

/// A running gateway.
#[derive(Debug)]
pub struct Server {
    shared: Arc<ingress::Registry>,
    panel: Arc<Panel>,
    destinations: Arc<ArcSwap<Destinations>>,
    destinations_changed: Arc<Notify>,
    judge_again: Arc<Notify>,
    certificates: Vec<(Arc<str>, Arc<Certificates>)>,
    addresses: BTreeMap<Arc<str>, SocketAddr>,
    fixed: Fixed,
    stop_listeners: watch::Sender<bool>,
    stop_deliveries: watch::Sender<bool>,
    stop_pages: watch::Sender<bool>,
    listeners: JoinSet<()>,
    deliveries: JoinSet<()>,
    pages: JoinSet<()>,
    spans: Option<Export>,
}

impl Server {
    /// Starts all services. Must run on a tokio runtime.
    pub async fn start(setup: Setup, telemetry: Telemetry, surroundings: Surroundings) -> Result<Self, StartError> {
        let fixed = Fixed::of(&setup);
        let (telemetry, spans) = match &setup.process.tracing {
            Some(params) => telemetry.traced(params, surroundings.random),
            None => (telemetry, None),
        };
        let bound = sockets::bind_listeners(setup.listeners)?;
        let page_sockets = sockets::bind_pages(&setup.pages).await?;
        private::keep(&setup.process.data_dir, &setup.buffer.dir);
        let buffer = open_buffer(&setup.buffer, &setup.live.destinations, &surroundings, &telemetry)?;
        let destinations = Arc::new(ArcSwap::from_pointee(setup.live.destinations));
        let (clock, chance) = (Arc::clone(&surroundings.clock), surroundings.chance);
        let (client, timing) = (Arc::new(Client::new()), (clock, chance));
        let deliverer = Deliverer::new(buffer.clone(), client, Arc::clone(&destinations), telemetry.clone(), timing);
        let shared = Arc::new(ingress::Registry {
            rules: ArcSwap::from_pointee(setup.live.rules),
            buffer: buffer.clone(),
            deliverer: deliverer.clone(),
            telemetry: telemetry.clone(),
            clock: Arc::clone(&surroundings.clock),
            random: surroundings.random,
            draining: false.into(),
            keyring: Arc::new(Keyring::new(Arc::new(Client::new()), Arc::clone(&surroundings.clock))),
            rules_changed: Notify::new(),
            rules_are_stale: Notify::new(),
            bodies: BodyBudget::new(BODIES_IN_FLIGHT_BYTES),
            capture: Arc::new(Capture::new(setup.live.capture)),
        });
        let in_force = Arc::clone(&shared);
        let rules: RulesNow = Arc::new(move || in_force.rules.load_full());
        let (capture, keys) = (Arc::clone(&shared.capture), Arc::clone(&shared.keyring));
        let refused = Refused::new(
            (Arc::clone(&capture), buffer.clone()),
            Arc::clone(&rules),
            Arc::clone(&keys),
            telemetry.clone(),
        );
        let archive = Archive::new(buffer, rules, Arc::clone(&destinations), Arc::clone(&shared.clock));
        let sets = (capture, keys as _, refused);
        let panel = Arc::new(Panel::new(archive, sets, deliverer.clone(), telemetry, setup.buffer.fsync));
        let mut server = Self {
            shared,
            panel,
            destinations,
            destinations_changed: Arc::default(),
            judge_again: Arc::default(),
            certificates: Vec::new(),
            addresses: BTreeMap::new(),
            fixed,
            stop_listeners: watch::Sender::new(false),
            stop_deliveries: watch::Sender::new(false),
            stop_pages: watch::Sender::new(false),
            listeners: JoinSet::new(),
            deliveries: JoinSet::new(),
            pages: JoinSet::new(),
            spans,
        };
        let (known, in_force) = (server.buffer().clone(), server.shared.rules.load_full());
        server.pages.spawn_blocking(move || sources::learn(&known, &in_force));
        server.serve_deliveries(deliverer);
        server.tend_keys();
        server.panel.ask_for(setup.admin_token);
        server.serve_pages(page_sockets);
        server.serve_listeners(bound);
        server.report(&setup.live.secrets);
        server.shared.telemetry.rules_in_force(server.shared.clock.now());
        Ok(server)
    }

    /// Returns the address of each listener, with its real port.
    pub fn addresses(&self) -> &BTreeMap<Arc<str>, SocketAddr> {
        &self.addresses
    }

    /// Waits until the configuration should be read anew, because the gateway has changed a file that it names.
    pub async fn rules_are_stale(&self) {
        self.shared.rules_are_stale.notified().await;
    }

    /// Returns the requests for a reload that come to the admin listener.
    pub fn reload_asks(&self) -> mpsc::Receiver<ReloadAsk> {
        self.panel.reload_asks()
    }

    /// Returns the buffer.
    pub fn buffer(&self) -> &Buffer {
        &self.shared.buffer
    }

    fn serve_deliveries(&mut self, deliverer: Deliverer) {
        let stop = self.stop_deliveries.subscribe();
        let grace = self.fixed.process.shutdown_grace;
        self.deliveries.spawn(deliverer.run(stop, Arc::clone(&self.destinations_changed), grace));
        let (shared, ring, changed) =
            (Arc::clone(&self.shared), Arc::clone(&self.shared.keyring), Arc::clone(&self.judge_again));
        let (buffer, stop) = (self.buffer().clone(), self.stop_deliveries.subscribe());
        self.deliveries.spawn(rejudge::run(buffer, move || shared.rules.load_full(), ring, changed, stop));
        let (shared, mut stop) = (Arc::clone(&self.shared), self.stop_deliveries.subscribe());
        self.deliveries.spawn(async move {
            let mut tidy = tokio::time::interval(TIDY_EVERY);
            tidy.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let mut shrink = tokio::time::interval(SHRINK_EVERY);
            let mut refusing = refusing::RefusingWatch::default();
            loop {
                tokio::select! {
                    stopped = stop.changed() => if stopped.is_err() || *stop.borrow() { break },
                    _ = tidy.tick() => {
                        sources::tend(&shared);
                        shared.buffer.tidy_up().await;
                        refusing.look(&shared.buffer.stats(), shared.clock.monotonic(), &shared.telemetry);
                    }
                    _ = shrink.tick() => {
                        shared.rules.load().gatekeeper.shrink();
                        shared.rules.load().lanes.iter().filter_map(|lane| lane.quota.as_ref()).for_each(crate::limit::SourceQuota::shrink);
                    }
                }
            }
        });
    }

    /// Fetches keys at known places before a request needs them, and renews them.
    fn tend_keys(&mut self) {
        self.pages.spawn(Arc::clone(&self.shared.keyring).run(self.stop_pages.subscribe()));
        let (shared, mut stop) = (Arc::clone(&self.shared), self.stop_pages.subscribe());
        self.pages.spawn(async move {
            let mut tick = tokio::time::interval(TEND_KEYS_EVERY);
            tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    stopped = stop.changed() => if stopped.is_err() || *stop.borrow() { break },
                    _ = tick.tick() => {}
                    () = shared.rules_changed.notified() => {}
                }
                let known: Vec<_> =
                    shared.rules.load().lanes.iter().flat_map(|lane| lane.verifier.prefetch()).collect();
                tokio::select! {
                    _ = stop.changed() => break,
                    () = shared.keyring.tend(&known) => {}
                }
            }
        });
    }

    fn serve_pages(&mut self, sockets: Vec<(Arc<str>, TcpListener, BTreeSet<Served>)>) {
        for (name, socket, pages) in sockets {
            let address = socket.local_addr().ok();
            let is_loopback = address.is_some_and(|address| address.ip().is_loopback());
            let wants_token = &*name == ADMIN && !is_loopback;
            if let Some(address) = address {
                self.addresses.insert(Arc::clone(&name), address);
            }
            let (panel, stop) = (Arc::clone(&self.panel), self.stop_pages.subscribe());
            self.pages.spawn(admin::serve(socket, panel, pages, wants_token, stop));
        }
    }

    fn serve_listeners(&mut self, bound: Vec<BoundListener>) {
        for listener in bound {
            if let Ok(address) = listener.local_addr() {
                self.addresses.insert(Arc::clone(listener.name()), address);
            }
            self.shared.telemetry.known_listener(listener.name(), listener.certificates().is_some());
            if let Some(certificates) = listener.certificates() {
                self.shared.telemetry.certificate(listener.name(), certificates.not_after());
                self.certificates.push((Arc::clone(listener.name()), Arc::clone(certificates)));
            }
            let (shared, stop) = (Arc::clone(&self.shared), self.stop_listeners.subscribe());
            self.listeners.spawn(ingress::serve(listener, shared, stop, self.fixed.process.shutdown_grace));
        }
        let (watched, telemetry) = (self.certificates.clone(), self.shared.telemetry.clone());
        let mut stop = self.stop_pages.subscribe();
        self.pages.spawn(async move {
            let mut tick = tokio::time::interval(SHRINK_EVERY);
            loop {
                tokio::select! {
                    stopped = stop.changed() => if stopped.is_err() || *stop.borrow() { break },
                    _ = tick.tick() => reload_certificates(&watched, &telemetry),
                }
            }
        });
    }

    fn report(&self, secrets: &[ListedSecret]) {
        for Backlog { destination, events } in self.panel.backlogs() {
            tracing::warn!(%destination, events, "deliveries wait for a destination that is not configured; they are kept");
        }
        let rules = self.shared.rules.load();
        self.panel.show(&rules, secrets);
        self.shared.telemetry.known(&known(&rules, &self.destinations.load()));
        let quarantined: u64 = self.shared.buffer.quarantined().values().sum();
        if quarantined > 0 {
            tracing::info!(
                quarantined,
                "events are in quarantine; `hookgate quarantine judge --dry-run` says what these rules make of them"
            );
        }
        self.judge_again.notify_one();
    }

    /// Stops in order; ends when every accepted event is on disk and nothing runs.
    pub async fn stop(mut self) {
        let grace = self.fixed.process.shutdown_grace;
        self.panel.drain();
        self.shared.draining.store(true, Ordering::Relaxed);
        // Long enough for the next request on each busy connection to get `Connection: close`.
        tokio::time::sleep((grace / 10).min(Duration::from_millis(500))).await;
        self.stop_listeners.send_replace(true);
        while self.listeners.join_next().await.is_some() {}
        self.shared.telemetry.sum_up_all_refusals();
        self.stop_deliveries.send_replace(true);
        while self.deliveries.join_next().await.is_some() {}
        self.shared.buffer.close().await;
        if let Some(spans) = self.spans.take() {
            spans.flush(grace.min(FLUSH_SPANS)).await;
        }
        self.stop_pages.send_replace(true);
        let ending = async { while self.pages.join_next().await.is_some() {} };
        if tokio::time::timeout(Duration::from_secs(1), ending).await.is_err() {
            tracing::debug!("a reader of the admin pages was cut off");
        }
    }
}

/// Returns the names in force, which label series.
fn known<'a>(rules: &'a Rules, destinations: &'a Destinations) -> ConfiguredNames<'a> {
    let sources = rules.lanes.iter().map(|lane| KnownSource {
        name: &lane.source.name,
        answers: answers(lane),
        schemas: lane.schemas.iter().flat_map(SchemaSet::names).collect(),
        is_sync: matches!(lane.source.mode, Mode::Sync { .. }),
    });
    let routes: BTreeSet<&str> = rules.lanes.iter().flat_map(|lane| &lane.routes).map(|route| &*route.name).collect();
    let destinations: BTreeSet<&str> = destinations.keys().map(|name| &**name).collect();
    ConfiguredNames { sources: sources.collect(), routes, destinations }
}

/// Every outcome with its status, and that of a handshake with the wrong token.
fn answers(lane: &SourceRules) -> Vec<(RequestOutcome, u16)> {
    let wrong_token = lane.desk.refusals().map(|status| (RequestOutcome::Refused(Class::BadSignature), status));
    RequestOutcome::ALL
        .map(|outcome| (outcome, lane.source.answers.status(outcome)))
        .into_iter()
        .chain(wrong_token)
        .collect()
}

/// The name of the admin listener among the page listeners.
pub const ADMIN: &str = "admin";

fn open_buffer(
    params: &BufferParams,
    destinations: &Destinations,
    surroundings: &Surroundings,
    telemetry: &Telemetry,
) -> Result<Buffer, StartError> {
    let mut names: Vec<Arc<str>> = destinations.keys().cloned().collect();
    names.sort_unstable();
    let counted = telemetry.clone();
    let on_commit = Box::new(move |report: CommitReport| counted.commit(report.took, report.events, report.failed));
    Buffer::open(params.clone(), &names, Arc::clone(&surroundings.clock), on_commit).map_err(StartError::Buffer)
}

/// Reads certificates anew where their files have changed. Files that cannot be used change nothing.
fn reload_certificates(watched: &[(Arc<str>, Arc<Certificates>)], telemetry: &Telemetry) {
    for (listener, certificates) in watched {
        match certificates.reload() {
            Ok(true) => {
                tracing::info!(%listener, "new certificates are in force");
                telemetry.certificate(listener, certificates.not_after());
            }
            Ok(false) => {}
            Err(error) => {
                tracing::error!(%listener, %error, "the certificates on disk cannot be used; the old ones stay in force");
            }
        }
    }
}
