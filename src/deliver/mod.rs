//! Delivery: takes due deliveries from the buffer only, attempts them, and settles them.
//!
//! One worker per destination (`worker`), so that a hanging destination delays no other. Each destination has a bound
//! on its attempts in flight (`throttle`: concurrency, rate, circuit breaker, slow start), and all of them together have
//! one on retries (`retries`). A delivery that is taken and not settled (a crash, a stop) stays in the buffer and is
//! made again: at least once, with the event id as idempotency key.
//!
//! Throttle, open breaker and a destination's 429 or 503 with `Retry-After` are deferrals, not attempts; a delivery
//! that can only be deferred is given up at `give_up_after`.

mod attempt;
mod backoff;
mod balance;
mod balancers;
mod breaker;
mod connect;
mod duplex;
mod exchange;
mod health;
mod outgoing;
mod redirect;
mod resolve;
mod retries;
mod retry_after;
mod settled;
mod sync;
mod throttle;
mod tls;
mod trouble;
mod worker;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::buffer::{AttemptRecord, Buffer, Delivery, Keep};
use crate::clock::{Clock, Timestamp};
use crate::event::{Dispatch, EventData};
use crate::limit::Rate;
use crate::outcome::{Attempt, AttemptOutcome, DeathCause, Settled};
use crate::shape::{ErrorShown, Shape, ShapeError, Shaped};
use crate::telemetry::{Deferral, DeliveryLine, DeliveryResult, EndedDelivery, Telemetry, TracedAttempt};

pub use attempt::{Answer, Bounds, Client, NoAnswer, Outgoing, Target, Transport};
pub use backoff::{Jitter, Policy, RetryOn};
pub use balance::{BalanceParams, Selection, Targets, WeightedTarget};
pub use breaker::{BreakerParams, Circuit};
pub use health::HealthParams;
pub use resolve::Lookup;
pub use sync::{Forwarded, SyncAnswer};
pub use throttle::Standing;
pub use tls::{Authorities, Identity, PemProblem, ServiceName, TlsSettings};
pub use trouble::LastError;

use balancers::Balancers;
use breaker::Signal;
use retries::Retries;
use throttle::{Permit, PostParams, Throttle};

/// The bytes of an answer to a buffered delivery that are read at least.
const ANSWER_BYTES_MAX: usize = 16 * 1024;
/// The time for the body of an answer where no sender waits for it; a longer one costs its connection.
const ANSWER_TIME: Duration = Duration::from_secs(5);
/// The least time until a retry over the bound on retries is looked at again, and the spread added to it: each look
/// rewrites a record.
const HELD_BACK: Duration = Duration::from_secs(1);
const HELD_BACK_SPREAD: Duration = Duration::from_secs(14);

/// An internal service that gets events.
#[derive(Debug)]
pub struct Destination {
    /// The name in routes.yaml.
    pub name: Arc<str>,
    /// The targets, and the rule of selection.
    pub balance: BalanceParams,
    /// The time for one attempt, from the first byte out to the last byte in.
    pub timeout: Duration,
    /// The time for a connection.
    pub connect_timeout: Duration,
    /// The retry policy.
    pub policy: Policy,
    /// The times for which ended deliveries stay readable.
    pub keep: Keep,
    /// The most attempts in flight at once.
    pub concurrency: usize,
    /// The rate limit on attempts.
    pub rate: Option<Rate>,
    /// The circuit breaker; `None` for none.
    pub breaker: Option<BreakerParams>,
    /// The shape of outgoing requests.
    pub shape: Shape,
    /// The bytes of an answer's beginning that are kept with the delivery; zero keeps no answer.
    pub keep_answer: usize,
}

impl Destination {
    /// Returns the URLs of the targets, as they are configured.
    pub fn urls(&self) -> Vec<String> {
        self.balance.targets.iter().map(|weighted| weighted.target.url()).collect()
    }

    /// Returns host and port of the targets.
    pub fn labels(&self) -> Vec<String> {
        self.balance.targets.iter().map(|weighted| weighted.target.label()).collect()
    }

    /// Builds all that a target is sent at an attempt, but `Host` and `Content-Length`.
    pub fn outgoing(
        &self,
        event: &EventData,
        copy: Option<&Dispatch>,
        attempt: u32,
        now: Timestamp,
    ) -> Result<Shaped, ShapeError> {
        let (route, is_shaped) = copy.map_or(("", false), |copy| (&*copy.route, copy.shaped));
        self.shape.apply(event, (route, is_shaped), outgoing::headers(event, route, attempt), now)
    }

    /// Returns `outgoing` as people see it: the request, or the error because of which there is none. `outgoing` is
    /// what [`Destination::outgoing`] returned for the same attempt.
    pub fn outgoing_shown(
        &self,
        event: &EventData,
        copy: Option<&Dispatch>,
        attempt: u32,
        outgoing: &Result<Shaped, ShapeError>,
    ) -> Result<Shaped, ErrorShown> {
        let route = copy.map_or("", |copy| &*copy.route);
        let headers = outgoing::headers(event, route, attempt);
        match outgoing {
            Ok(sent) => Ok(self.shape.shown(event, route, headers, sent)),
            Err(error) => Err(self.shape.error_shown(event, route, headers, error)),
        }
    }

    /// Returns the target, with the parts of its URL that come from the event.
    pub fn address(&self, event: &EventData, target: Arc<Target>) -> Result<Arc<Target>, ShapeError> {
        let Some((path, query)) = self.shape.address(event, || target.url())? else { return Ok(target) };
        Ok(Arc::new(Target { path, query, ..(*target).clone() }))
    }

    /// Returns the URL with its parts from the event, for people.
    pub fn address_shown(&self, event: &EventData, target: &Target) -> Result<Option<String>, ShapeError> {
        self.shape.address_shown(event, &target.url())
    }

    /// Returns the event as it is forwarded, without the sender's credentials that are withheld.
    fn forwarded(&self, event: Arc<EventData>) -> Arc<EventData> {
        let withheld = match self.shape.withheld.forwarded(&event) {
            Cow::Owned(forwarded) => Some(forwarded),
            Cow::Borrowed(_) => None,
        };
        withheld.map_or(event, Arc::new)
    }

    fn post_params(&self) -> PostParams {
        PostParams { concurrency: self.concurrency, breaker: self.breaker, rate: self.rate }
    }
}

/// The destinations in force, by name.
pub type Destinations = HashMap<Arc<str>, Arc<Destination>>;

/// Logs a panicked task; its delivery is offered again by its claim.
fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a delivery task broke off");
    }
}

/// The state that all workers share.
#[derive(Clone)]
pub struct Deliverer {
    buffer: Buffer,
    client: Arc<dyn Transport>,
    balancers: Arc<Balancers>,
    destinations: Arc<ArcSwap<Destinations>>,
    telemetry: Telemetry,
    clock: Arc<dyn Clock>,
    /// Draws from [0, 1) for jitter.
    chance: fn() -> f64,
    posts: Arc<Mutex<HashMap<Arc<str>, Arc<Throttle>>>>,
    retries: Arc<Retries>,
    /// Attempts that no worker began.
    errands: Arc<Mutex<JoinSet<()>>>,
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
        client: Arc<dyn Transport>,
        destinations: Arc<ArcSwap<Destinations>>,
        telemetry: Telemetry,
        (clock, chance): (Arc<dyn Clock>, fn() -> f64),
    ) -> Self {
        let (posts, retries, errands) = (Arc::default(), Arc::default(), Arc::default());
        let balancers = Arc::new(Balancers::new(Arc::clone(&client), telemetry.clone()));
        Self { buffer, client, balancers, destinations, telemetry, clock, chance, posts, retries, errands }
    }

    /// Runs until `stop`, then lets the attempts in flight finish for `grace`. `changed` rings after a reload.
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
                biased;
                stopped = stop.changed() => if stopped.is_err() { break },
                () = changed.notified() => {}
                // A worker has ended: its destination may be back, or the worker panicked.
                Some(ended) = workers.join_next() => report(ended),
            }
        }
        while let Some(ended) = workers.join_next().await {
            report(ended);
        }
        let mut errands = std::mem::take(&mut *self.errands.lock().unwrap_or_else(PoisonError::into_inner));
        let finishing = async { while errands.join_next().await.is_some() {} };
        if tokio::time::timeout(grace, finishing).await.is_err() {
            tracing::warn!(
                "synchronous deliveries were cut off at the end of the grace period; they will be made again"
            );
        }
    }

    /// Returns the running state of a destination; a new one when its bounds have changed.
    fn throttle(&self, destination: &Destination) -> Arc<Throttle> {
        let params = destination.post_params();
        let mut posts = self.posts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(post) = posts.get(&destination.name).filter(|post| post.params == params) {
            return Arc::clone(post);
        }
        let post =
            Throttle::new(Arc::clone(&destination.name), params, self.telemetry.clone(), posts.get(&destination.name));
        let post = Arc::new(post);
        posts.insert(Arc::clone(&destination.name), Arc::clone(&post));
        post
    }

    /// Makes one attempt of a delivery and settles it. Returns the answer and the decision.
    async fn deliver(
        self,
        destination: Arc<Destination>,
        delivery: Delivery,
        permit: Permit,
        bounds: Bounds,
    ) -> Option<(Answer, Settled)> {
        let name = &*destination.name;
        let Some(event) = delivery.event().cloned() else {
            permit.ended(Signal::Unknown);
            self.bury(&destination, delivery, DeathCause::Corrupt).await;
            return None;
        };
        let event = destination.forwarded(event);
        let tried = delivery.attempts().saturating_add(1);
        let route = delivery.copy().map(|copy| Arc::clone(&copy.route)).unwrap_or_default();
        let line =
            DeliveryLine { source: &event.source, route: &route, destination: name, event: event.id, attempt: tried };
        let key = delivery.copy().and_then(|copy| copy.balance).unwrap_or(event.id.as_key());
        let target = self.balancers.pick(&destination, key);
        let shaped = self.shaped(&destination, &event, delivery.copy(), tried).await;
        let (mut shaped, target) = match shaped.and_then(|shaped| Ok((shaped, destination.address(&event, target)?))) {
            Ok(ready) => ready,
            Err(error) => {
                permit.ended(Signal::Unknown);
                self.telemetry.unshaped(line, &error.brief());
                self.bury(&destination, delivery, DeathCause::Unshaped).await;
                return None;
            }
        };
        let in_flight = self.telemetry.attempt_in_flight(name);
        let started = Instant::now();
        let trace = self.telemetry.attempt_trace(&event);
        if let Some(trace) = &trace {
            outgoing::name_span(&mut shaped.headers, trace);
        }
        let (attempt, answer) = self.attempt(&target, (&event, &shaped), bounds).await;
        drop(in_flight);
        let post = permit.ended(health(&attempt));
        if attempt.outcome == AttemptOutcome::Success {
            self.retries.succeeded(Instant::now());
        }
        let took = started.elapsed();
        self.telemetry.attempt(line, &attempt, took);
        if let Some(trace) = &trace {
            let ended = TracedAttempt {
                destination: name,
                route: &route,
                event: &event,
                number: tried,
                attempt: &attempt,
                took,
            };
            self.telemetry.attempt_traced(trace, &ended, self.clock.now());
        }
        let settled = destination.policy.decide(&attempt, delivery.attempts(), self.age(&delivery), (self.chance)());
        let settled = in_order(settled, delivery.is_ordered());
        self.note(&post, (&attempt, &settled), &target);
        let record = AttemptRecord::new(&attempt, self.clock.now(), took);
        let kept = answer.as_ref().and_then(|answer| self.kept(&destination, answer));
        self.say(&destination, &delivery, (&attempt, &settled, tried));
        self.buffer.settle(delivery, settled.clone(), destination.keep, Some((record, kept))).await;
        answer.map(|answer| (answer, settled))
    }

    /// Counts and logs the result of an attempt.
    fn say(
        &self,
        destination: &Destination,
        delivery: &Delivery,
        (attempt, settled, tried): (&Attempt, &Settled, u32),
    ) {
        let (Some(event), name) = (delivery.event(), &*destination.name) else { return };
        let copy = delivery.copy();
        let line = DeliveryLine {
            source: &event.source,
            route: copy.map(|copy| &*copy.route).unwrap_or_default(),
            destination: name,
            event: event.id,
            attempt: tried,
        };
        let result = match settled {
            Settled::Delivered => DeliveryResult::Delivered,
            Settled::Dead(cause) => DeliveryResult::Dead(*cause),
            Settled::Parked(cause) => {
                let key = copy.and_then(|copy| copy.order.as_ref()).map(|key| key.label.as_str()).unwrap_or_default();
                self.telemetry.parked(line, key, (*cause, Some(attempt)));
                return;
            }
            Settled::Again { wait, counts } => {
                if !counts {
                    self.telemetry.deferred(name, Deferral::RetryAfter);
                }
                self.telemetry.retrying(line, attempt, *wait);
                return;
            }
        };
        self.telemetry.delivery(&EndedDelivery { line, result, latency: self.latency(delivery), last: Some(attempt) });
    }

    /// Ends a delivery without an attempt.
    async fn bury(&self, destination: &Destination, delivery: Delivery, cause: DeathCause) {
        let settled = in_order(Settled::Dead(cause), delivery.is_ordered());
        let (attempts, name) = (delivery.attempts(), &*destination.name);
        let event = delivery.event().map_or(crate::event::EventId::NIL, |event| event.id);
        let copy = delivery.copy();
        let line = DeliveryLine {
            source: delivery.event().map(|event| &*event.source).unwrap_or_default(),
            route: copy.map(|copy| &*copy.route).unwrap_or_default(),
            destination: name,
            event,
            attempt: attempts,
        };
        if settled == Settled::Parked(cause) {
            let key = copy.and_then(|copy| copy.order.as_ref()).map(|key| key.label.as_str()).unwrap_or_default();
            self.telemetry.parked(line, key, (cause, None));
        } else {
            let (result, latency) = (DeliveryResult::Dead(cause), self.latency(&delivery));
            self.telemetry.delivery(&EndedDelivery { line, result, latency, last: None });
        }
        self.buffer.settle(delivery, settled, destination.keep, None).await;
    }

    /// Shapes the request. A script runs on a thread of its own, so that it delays no other delivery.
    async fn shaped(
        &self,
        destination: &Arc<Destination>,
        event: &Arc<EventData>,
        copy: Option<&Dispatch>,
        tried: u32,
    ) -> Result<Shaped, ShapeError> {
        let now = self.clock.now();
        if !copy.is_some_and(|copy| destination.shape.is_heavy(&copy.route)) {
            return destination.outgoing(event, copy, tried, now);
        }
        let (destination, event, copy) = (Arc::clone(destination), Arc::clone(event), copy.cloned());
        let shaping = move || destination.outgoing(&event, copy.as_ref(), tried, now);
        tokio::task::spawn_blocking(shaping).await.unwrap_or(Err(ShapeError::BrokeOff))
    }

    async fn attempt(
        &self,
        target: &Target,
        (event, shaped): (&EventData, &Shaped),
        bounds: Bounds,
    ) -> (Attempt, Option<Answer>) {
        let query = event.target.split_once('?').map(|(_, query)| query);
        let out = Outgoing { method: &event.method, query, headers: &shaped.headers, body: &shaped.body };
        match self.client.send(target, &out, bounds).await {
            Ok(answer) => (outgoing::judge(&answer, target, self.clock.now()), Some(answer)),
            Err(NoAnswer { outcome, detail }) => (Attempt::without_answer(outcome, detail), None),
        }
    }
}

/// Parks a delivery under an order key that fails for good, except where the destination itself has aborted it.
fn in_order(settled: Settled, is_ordered: bool) -> Settled {
    match settled {
        Settled::Dead(cause) if is_ordered && cause != DeathCause::Aborted => Settled::Parked(cause),
        other => other,
    }
}

/// Returns the signal of an attempt about the destination. A refusal of this event shows a service that works.
fn health(attempt: &Attempt) -> Signal {
    match attempt.outcome {
        AttemptOutcome::Success | AttemptOutcome::Http3xx | AttemptOutcome::Http4xx => Signal::Well,
        AttemptOutcome::Http429 => Signal::Unknown,
        AttemptOutcome::Http5xx if attempt.retry_after.is_some() => Signal::Unknown,
        AttemptOutcome::Http5xx
        | AttemptOutcome::Timeout
        | AttemptOutcome::Connect
        | AttemptOutcome::Tls
        | AttemptOutcome::Dns => Signal::Ill,
    }
}
