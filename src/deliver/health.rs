//! Whether targets are well: a page of each is asked for on an interval, and 2xx is well.
//!
//! The rounds and the thresholds are pingora's, the requests our own client's. Every target counts as healthy until
//! `unhealthy_after` checks in a row have failed, and as unhealthy until `healthy_after` in a row have not. What is known
//! belongs to the destination and not to one balancer: a reload that adds a target or changes a weight keeps it, as long as
//! health is asked for in the same way.
//!
//! A change is told once; only targets that are in force are told of. Not here: what an unhealthy target gets (`balance`).

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use pingora::lb::health_check::HealthCheck;
use pingora::lb::{Backend, HealthRegistry};
use pingora::{Error, ErrorType};
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use super::attempt::{Bounds, NoAnswer, Outgoing, Target, Transport};
use super::balance::target_of;
use super::redirect;
use crate::outcome::AttemptOutcome;
use crate::telemetry::Telemetry;

/// Of a health page nothing is read but its status; a longer one costs its connection.
const PAGE_BYTES_MAX: usize = 16 * 1024;
/// The same for a page that does not end.
const PAGE_TIME: Duration = Duration::from_secs(1);

/// How health is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthParams {
    /// The page, from `/` on; host, port and scheme are the target's.
    pub path: String,
    /// From one round to the next.
    pub interval: Duration,
    /// For one check.
    pub timeout: Duration,
    /// So many failures in a row make a healthy target unhealthy.
    pub unhealthy_after: u32,
    /// So many successes in a row make an unhealthy target healthy.
    pub healthy_after: u32,
    /// The destination's own headers, which every check carries as every attempt does.
    pub headers: HeaderMap,
}

/// What is known of the health of one destination's targets.
pub(super) struct Health {
    params: HealthParams,
    registry: Arc<HealthRegistry>,
    board: Arc<Board>,
    /// Gone with the last balancer that needs it, which ends the watch.
    needed: watch::Sender<()>,
}

impl Health {
    /// Nothing is known yet: every target is healthy.
    pub(super) fn new(
        params: HealthParams,
        destination: &Arc<str>,
        client: Arc<dyn Transport>,
        telemetry: Telemetry,
    ) -> Self {
        let board = Board { destination: Arc::clone(destination), telemetry, shown: Mutex::default() };
        let board = Arc::new(board);
        // A weight is no part of what a target is. Other certificates are: what was seen under the old ones says nothing.
        let registry = HealthRegistry::with_equivalence(|backend: &Backend| {
            let mut hasher = DefaultHasher::new();
            backend.addr.hash(&mut hasher);
            let settings = target_of(backend).and_then(|target| target.settings.clone());
            settings.map(|settings| settings.digest()).hash(&mut hasher);
            hasher.finish()
        });
        let check = Check { params: params.clone(), client, board: Arc::clone(&board) };
        registry.set_health_check(Box::new(check));
        Self { params, registry: Arc::new(registry), board, needed: watch::Sender::new(()) }
    }

    pub(super) fn params(&self) -> &HealthParams {
        &self.params
    }

    pub(super) fn registry(&self) -> &Arc<HealthRegistry> {
        &self.registry
    }

    /// These targets are in force, and no others.
    pub(super) fn show(&self, targets: impl FnOnce() -> Vec<(Arc<Target>, bool)>) {
        self.board.show(targets);
    }

    /// Checks all targets on their interval, until `stop` or until no balancer needs it any more.
    pub(super) fn watch(&self, mut stop: watch::Receiver<bool>) -> impl Future<Output = ()> + Send + use<> {
        let (registry, interval) = (Arc::clone(&self.registry), self.params.interval);
        let mut needed = self.needed.subscribe();
        async move {
            let mut tick = tokio::time::interval(interval);
            tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                let round = async {
                    tick.tick().await;
                    registry.run_health_check(true).await;
                };
                tokio::select! {
                    _ = stop.wait_for(|stopping| *stopping) => break,
                    // Nothing is ever sent: this is the end of the sender.
                    _ = needed.changed() => break,
                    () = round => {}
                }
            }
        }
    }
}

struct Check {
    params: HealthParams,
    client: Arc<dyn Transport>,
    board: Arc<Board>,
}

impl Check {
    /// What is wrong with a target, if anything is.
    async fn trouble(&self, target: &Target) -> Option<String> {
        let page = Target { path: self.params.path.clone(), query: None, ..target.clone() };
        let agent = (header::USER_AGENT, HeaderValue::from_static("hookgate-health"));
        let mut headers = HeaderMap::from_iter([agent]);
        headers.extend(self.params.headers.clone());
        let out = Outgoing { method: "GET", query: None, headers: &headers, body: &Bytes::new() };
        let timeout = self.params.timeout;
        let answer_time = timeout.min(PAGE_TIME);
        let bounds = Bounds { connect: timeout, total: timeout, answer_time, answer_bytes_max: PAGE_BYTES_MAX };
        match self.client.send(&page, &out, bounds).await {
            Ok(answer) if AttemptOutcome::of_status(answer.status) == AttemptOutcome::Success => None,
            Ok(answer) => Some(redirect::told(&answer, &page).unwrap_or_else(|| format!("status {}", answer.status))),
            Err(NoAnswer { outcome: _, detail }) => Some(detail),
        }
    }
}

#[async_trait]
impl HealthCheck for Check {
    async fn check(&self, backend: &Backend) -> Result<(), Box<Error>> {
        let Some(target) = target_of(backend) else { return Ok(()) };
        let Some(trouble) = self.trouble(&target).await else { return Ok(()) };
        self.board.failed(&target.label(), &trouble);
        Error::e_explain(ErrorType::InternalError, trouble)
    }

    async fn health_status_change(&self, backend: &Backend, is_healthy: bool) {
        if let Some(target) = target_of(backend) {
            self.board.turned(&target.label(), is_healthy);
        }
    }

    fn health_threshold(&self, is_success: bool) -> usize {
        (if is_success { self.params.healthy_after } else { self.params.unhealthy_after }) as usize
    }
}

/// What is shown of a destination's targets; a check that ends after its target has gone finds nothing to write on.
struct Board {
    destination: Arc<str>,
    telemetry: Telemetry,
    /// By label, with what was wrong last.
    shown: Mutex<BTreeMap<String, String>>,
}

impl Board {
    fn show(&self, targets: impl FnOnce() -> Vec<(Arc<Target>, bool)>) {
        let mut shown = self.lock();
        let mut before = std::mem::take(&mut *shown);
        // Read under the lock: a target that turns meanwhile is told of afterwards.
        for (target, is_healthy) in targets() {
            let label = target.label();
            self.telemetry.target(&self.destination, &label, is_healthy);
            let trouble = before.remove(&label).unwrap_or_default();
            shown.insert(label, trouble);
        }
        // Two targets may have one label.
        before.keys().filter(|label| !shown.contains_key(*label)).for_each(|label| {
            self.telemetry.target_gone(&self.destination, label);
        });
    }

    fn failed(&self, label: &str, why: &str) {
        if let Some(trouble) = self.lock().get_mut(label) {
            why.clone_into(trouble);
        }
    }

    fn turned(&self, label: &str, is_healthy: bool) {
        if let Some(trouble) = self.lock().get(label) {
            self.telemetry.target_turned(&self.destination, label, is_healthy, trouble);
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
