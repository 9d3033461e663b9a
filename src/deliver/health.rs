//! Health checks of targets: a page of each is requested on an interval, and a 2xx is healthy.
//!
//! The rounds and the thresholds are pingora's, the requests our own client's. Every target counts as healthy until
//! `unhealthy_after` checks in a row have failed, and then as unhealthy until `healthy_after` in a row have not. The
//! state belongs to the destination and not to one balancer: a reload that adds a target or changes a weight keeps it,
//! as long as the parameters of the checks stay the same.
//!
//! A change is reported once, and only for targets in force. Not here: the attempts of an unhealthy target (`balance`).

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
use super::redirect;
use crate::outcome::AttemptOutcome;
use crate::telemetry::Telemetry;

/// The most bytes read of a health page, of which only the status counts; a longer one costs its connection.
const PAGE_BYTES_MAX: usize = 16 * 1024;
/// The time for the body of a health page; a slower one costs its connection.
const PAGE_TIME: Duration = Duration::from_secs(1);

/// The parameters of health checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthParams {
    /// The page, from `/` on; host, port and scheme are the target's.
    pub path: String,
    /// The time from one round to the next.
    pub interval: Duration,
    /// The time for one check.
    pub timeout: Duration,
    /// The failures in a row that make a healthy target unhealthy.
    pub unhealthy_after: u32,
    /// The successes in a row that make an unhealthy target healthy.
    pub healthy_after: u32,
    /// The destination's own headers, which every check carries as every attempt does.
    pub headers: HeaderMap,
}

/// The health of one destination's targets.
pub(super) struct Health {
    params: HealthParams,
    registry: Arc<HealthRegistry>,
    board: Arc<Board>,
    /// Dropped with the last balancer that needs the checks, which ends them.
    needed: watch::Sender<()>,
}

impl Health {
    /// Makes the state in which every target is healthy.
    pub(super) fn new(
        params: HealthParams,
        destination: &Arc<str>,
        client: Arc<dyn Transport>,
        telemetry: Telemetry,
    ) -> Self {
        let board = Board { destination: Arc::clone(destination), telemetry, shown: Mutex::default() };
        let board = Arc::new(board);
        // The weight does not count for a target's identity. Other certificates do: results under the old ones say
        // nothing.
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

    /// Reports these targets as in force, and no others.
    pub(super) fn show(&self, targets: impl FnOnce() -> Vec<(Arc<Target>, bool)>) {
        self.board.show(targets);
    }

    /// Checks all targets on their interval, until `stop` or until no balancer needs the checks any more.
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
                    // Nothing is ever sent: a change is the end of the sender.
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
    /// Checks a target and returns its trouble, if there is any.
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

/// The reported targets of a destination; a check that ends after its target was removed finds no entry.
struct Board {
    destination: Arc<str>,
    telemetry: Telemetry,
    /// The targets by label, with their last trouble.
    shown: Mutex<BTreeMap<String, String>>,
}

impl Board {
    fn show(&self, targets: impl FnOnce() -> Vec<(Arc<Target>, bool)>) {
        let mut shown = self.lock();
        let mut before = std::mem::take(&mut *shown);
        // Read under the lock: a change of a target meanwhile is reported afterwards.
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

/// Returns the target of pingora's backend.
pub(super) fn target_of(backend: &Backend) -> Option<Arc<Target>> {
    backend.ext.get::<Arc<Target>>().cloned()
}
