//! Delivery: takes what is due from the buffer, and from nowhere else, tries it, and settles it.
//!
//! One worker per destination, so that a hanging destination holds nobody else; each has at most `concurrency` attempts
//! under way. A delivery that is taken and not settled (a crash, a stop) stays in the buffer and is made again: at least
//! once, with the event id as idempotency key.
//!
//! Not here yet: breaker, rates, order by key.

mod attempt;
mod backoff;
mod balance;
mod balancers;
mod breaker;
mod health;
mod outgoing;
mod pace;
mod resolve;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::buffer::{Buffer, Delivery, Keep};
use crate::clock::Clock;
use crate::event::{Copy, EventData};
use crate::outcome::{Attempt, AttemptOutcome, Settled};
use crate::refusal::{Class, Refusal};
use crate::telemetry::{DeliveryResult, Ended, Telemetry};

pub use attempt::{Answer, Bounds, Client, NoAnswer, Outgoing, Target};
pub use backoff::{Jitter, Policy, RetryOn};
pub use balance::{BalanceParams, Selection, Targets, WeightedTarget};
pub use breaker::BreakerParams;
pub use health::HealthParams;
pub use pace::PaceParams;

use balancers::Balancers;

/// Of an answer to a buffered delivery nothing but its beginning is kept, for the dead letter.
const ANSWER_BYTES_MAX: usize = 16 * 1024;
/// The largest answer that `mode: sync` passes back.
const SYNC_ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// An internal service that gets events.
#[derive(Clone, Debug)]
pub struct Destination {
    /// Its name in routes.yaml.
    pub name: Arc<str>,
    /// Where it listens, and which of its targets gets what.
    pub balance: BalanceParams,
    /// For one try, from the first byte out to the last byte in.
    pub timeout: Duration,
    /// For a connection.
    pub connect_timeout: Duration,
    /// What happens after a failed try.
    pub policy: Policy,
    /// How long ended deliveries stay readable.
    pub keep: Keep,
    /// Tries under way at once.
    pub concurrency: usize,
    /// When it is left alone; `None` is never.
    pub breaker: Option<BreakerParams>,
    /// How many tries it is given in a time; `None` is any number.
    pub pace: Option<PaceParams>,
}

/// The destinations in force, by name.
pub type Destinations = HashMap<Arc<str>, Arc<Destination>>;

/// A task that panicked is said; its delivery is offered again by its claim.
fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a delivery task broke off");
    }
}

/// Everything a worker needs.
#[derive(Clone)]
pub struct Deliverer {
    buffer: Buffer,
    client: Arc<Client>,
    balancers: Arc<Balancers>,
    destinations: Arc<ArcSwap<Destinations>>,
    telemetry: Telemetry,
    clock: Arc<dyn Clock>,
    /// Draws from [0, 1) for jitter.
    chance: fn() -> f64,
}

impl std::fmt::Debug for Deliverer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Deliverer")
    }
}

impl Deliverer {
    /// Delivers from `buffer` to `destinations`, which may be replaced while it runs.
    pub fn new(
        buffer: Buffer,
        destinations: Arc<ArcSwap<Destinations>>,
        telemetry: Telemetry,
        clock: Arc<dyn Clock>,
        chance: fn() -> f64,
    ) -> Self {
        let client = Arc::new(Client::new());
        let balancers = Arc::new(Balancers::new(Arc::clone(&client), telemetry.clone()));
        Self { buffer, client, balancers, destinations, telemetry, clock, chance }
    }

    /// Runs until `stop` says so, then lets the tries under way finish for `grace`. `changed` rings after a reload.
    pub async fn run(self, mut stop: watch::Receiver<bool>, changed: Arc<tokio::sync::Notify>, grace: Duration) {
        let mut workers = JoinSet::new();
        let mut running: HashMap<Arc<str>, tokio::task::AbortHandle> = HashMap::new();
        while !*stop.borrow() {
            let table = self.destinations.load_full();
            for health in self.balancers.adopt(&table) {
                workers.spawn(health.watch(stop.clone()));
            }
            let mut names: Vec<Arc<str>> = table.keys().cloned().collect();
            names.sort_unstable();
            for name in names {
                if running.get(&name).is_none_or(tokio::task::AbortHandle::is_finished) {
                    let worker = self.clone().work(Arc::clone(&name), stop.clone(), grace);
                    running.insert(name, workers.spawn(worker));
                }
            }
            tokio::select! {
                () = changed.notified() => {}
                // A worker that ended: its destination may be back, or it broke off.
                Some(ended) = workers.join_next() => report(ended),
                stopped = stop.changed() => if stopped.is_err() { break },
            }
        }
        while let Some(ended) = workers.join_next().await {
            report(ended);
        }
    }

    /// One destination's worker; ends when the destination is gone from the configuration or at `stop`.
    async fn work(self, name: Arc<str>, mut stop: watch::Receiver<bool>, grace: Duration) {
        let mut tries = JoinSet::new();
        loop {
            let Some(destination) = self.destinations.load().get(&name).cloned() else { break };
            let slots = Arc::new(Semaphore::new(destination.concurrency));
            if self.work_with(&destination, &slots, &mut tries, &mut stop).await {
                break;
            }
        }
        let finishing = async { while tries.join_next().await.is_some() {} };
        if tokio::time::timeout(grace, finishing).await.is_err() {
            tracing::warn!(destination = %name, "attempts were cut off at the end of the grace period; they will be made again");
        }
    }

    /// Works under one configuration; true when it is time to stop.
    async fn work_with(
        &self,
        destination: &Arc<Destination>,
        slots: &Arc<Semaphore>,
        tries: &mut JoinSet<()>,
        stop: &mut watch::Receiver<bool>,
    ) -> bool {
        loop {
            let slot = tokio::select! {
                biased;
                _ = stop.wait_for(|stopping| *stopping) => return true,
                slot = Arc::clone(slots).acquire_owned() => slot,
            };
            let Ok(slot) = slot else { return true };
            while let Some(ended) = tries.try_join_next() {
                report(ended);
            }
            let max = slots.available_permits().saturating_add(1);
            let taken = tokio::select! {
                biased;
                _ = stop.wait_for(|stopping| *stopping) => return true,
                taken = self.buffer.take(&destination.name, max) => taken,
                () = tokio::time::sleep(Duration::from_secs(1)) => Vec::new(),
            };
            let mut slot = Some(slot);
            for delivery in taken {
                // `max` counted free slots, and nobody else takes them.
                let slot = slot.take().or_else(|| Arc::clone(slots).try_acquire_owned().ok());
                tries.spawn(self.clone().deliver(Arc::clone(destination), delivery, slot));
            }
            let current = self.destinations.load();
            if !current.get(&destination.name).is_some_and(|now| Arc::ptr_eq(now, destination)) {
                return false;
            }
        }
    }

    /// One delivery: one try, and what becomes of it.
    async fn deliver(self, destination: Arc<Destination>, delivery: Delivery, _slot: Option<OwnedSemaphorePermit>) {
        let name = &*destination.name;
        let event = Arc::clone(delivery.event());
        let in_flight = self.telemetry.attempt_in_flight(name);
        let started = Instant::now();
        let tried = delivery.attempts().saturating_add(1);
        let route = delivery.copy().map(|copy| Arc::clone(&copy.route)).unwrap_or_default();
        let attempt = self.attempt(&destination, &event, delivery.copy(), tried).await;
        drop(in_flight);
        self.telemetry.attempt(name, event.id, &attempt, started.elapsed());
        let age = self.clock.now().since(event.received_at());
        let settled = destination.policy.decide(&attempt, delivery.attempts(), age, (self.chance)());
        let result = match &settled {
            Settled::Delivered => Some(DeliveryResult::Delivered),
            Settled::Dead(cause) => Some(DeliveryResult::Dead(*cause)),
            Settled::Again { wait, counts } => {
                if !counts {
                    self.telemetry.deferred_by_destination(name);
                }
                self.telemetry.retrying(name, event.id, &attempt, *wait);
                None
            }
        };
        self.buffer.settle(delivery, settled, destination.keep, attempt.detail).await;
        if let Some(result) = result {
            let ended =
                Ended { destination: name, route: &route, event: event.id, attempts: tried, result, latency: age };
            self.telemetry.delivery(&ended);
        }
    }

    async fn attempt(&self, destination: &Destination, event: &EventData, copy: Option<&Copy>, tried: u32) -> Attempt {
        let headers = outgoing::headers(event, copy.map(|copy| &*copy.route).unwrap_or_default(), tried);
        let query = event.target.split_once('?').map(|(_, query)| query);
        let out = Outgoing { method: &event.method, query, headers: &headers, body: &event.body };
        let bounds = Bounds {
            connect: destination.connect_timeout,
            total: destination.timeout,
            answer_bytes_max: ANSWER_BYTES_MAX,
        };
        let key = copy.and_then(|copy| copy.balance).unwrap_or(event.id.as_key());
        let target = self.balancers.pick(destination, key);
        match self.client.send(&target, &out, bounds).await {
            Ok(answer) => outgoing::judge(&answer, self.clock.now()),
            Err(NoAnswer { outcome, detail }) => {
                Attempt { outcome, status: None, retry_after: None, abort: false, detail }
            }
        }
    }

    /// `mode: sync`: forwards a verified event to its first destination and passes the answer back.
    pub async fn forward(&self, event: &EventData, deadline: Duration) -> Result<Answer, Refusal> {
        let Some(copy) = event.copies.first() else {
            return Err(Refusal::new(Class::NotFound, "no route wants this event"));
        };
        let Some(destination) = self.destinations.load().get(&copy.destination).cloned() else {
            return Err(Refusal::new(Class::Internal, "the route's destination is gone"));
        };
        let headers = outgoing::headers(event, &copy.route, 1);
        let query = event.target.split_once('?').map(|(_, query)| query);
        let out = Outgoing { method: &event.method, query, headers: &headers, body: &event.body };
        let bounds = Bounds {
            connect: destination.connect_timeout.min(deadline),
            total: destination.timeout.min(deadline),
            answer_bytes_max: SYNC_ANSWER_BYTES_MAX,
        };
        let in_flight = self.telemetry.attempt_in_flight(&destination.name);
        let started = Instant::now();
        let target = self.balancers.pick(&destination, copy.balance.unwrap_or(event.id.as_key()));
        let answered = self.client.send(&target, &out, bounds).await;
        drop(in_flight);
        let attempt = match &answered {
            Ok(answer) => outgoing::judge(answer, self.clock.now()),
            Err(NoAnswer { outcome, detail }) => {
                Attempt { outcome: *outcome, status: None, retry_after: None, abort: false, detail: detail.clone() }
            }
        };
        self.telemetry.attempt(&destination.name, event.id, &attempt, started.elapsed());
        match answered {
            Ok(answer) if answer.is_whole => Ok(answer),
            Ok(_) => Err(Refusal::new(
                Class::UpstreamError,
                format!("the answer is larger than {SYNC_ANSWER_BYTES_MAX} bytes"),
            )),
            Err(NoAnswer { outcome: AttemptOutcome::Timeout, detail }) => {
                Err(Refusal::new(Class::UpstreamTimeout, detail))
            }
            Err(NoAnswer { detail, .. }) => Err(Refusal::new(Class::UpstreamError, detail)),
        }
    }
}
