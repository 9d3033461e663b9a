//! One run: its state, built from a seed, and its results.

use std::cell::RefCell;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::check;
use super::plan::RunPlan;
use super::target::Services;
use crate::buffer::{Buffer, BufferParams, Committed, FakeDisk, Fsync, Keep, NotStored};
use crate::clock::{Clock, Timestamp};
use crate::deliver::{
    BalanceParams, BreakerParams, Deliverer, Destination, Destinations, Jitter, Policy, RetryOn, Selection, Target,
    Targets, WeightedTarget,
};
use crate::event::{DedupKey, Dispatch, Event, EventData, EventId, OrderKey};
use crate::limit::Rate;
use crate::provider::{Verified, digest};
use crate::telemetry::Telemetry;

/// The services of deliveries: a plain one, one with a rate, one in order.
pub(super) const PLAIN: &str = "plain";
pub(super) const PACED: &str = "paced";
pub(super) const ORDERED: &str = "ordered";
pub(super) const NAMES: [&str; 3] = [PLAIN, PACED, ORDERED];
pub(super) const CONCURRENCY: usize = 8;
pub(super) const PACE_PER_SECOND: u32 = 20;
pub(super) const OPEN_FOR: Duration = Duration::from_secs(20);
const DEDUP_WINDOW: Duration = Duration::from_hours(1000);

thread_local! {
    /// The source of jitter, for the run on this thread.
    static CHANCE: RefCell<StdRng> = RefCell::new(StdRng::seed_from_u64(0));
}

fn chance() -> f64 {
    CHANCE.with(|rng| rng.borrow_mut().random())
}

/// The counts of runs, to be added up.
#[derive(Clone, Debug, Default)]
pub(super) struct Sum {
    pub(super) events: u64,
    pub(super) deliveries: u64,
    pub(super) crashes: u64,
    pub(super) failed_commits: u64,
    pub(super) parked: u64,
    pub(super) opened: u64,
    pub(super) repeated: u64,
    pub(super) wishes: u64,
    pub(super) damaged: u64,
}

impl Sum {
    pub(super) fn add(&mut self, other: &Self) {
        self.events += other.events;
        self.deliveries += other.deliveries;
        self.crashes += other.crashes;
        self.failed_commits += other.failed_commits;
        self.parked += other.parked;
        self.opened += other.opened;
        self.repeated += other.repeated;
        self.wishes += other.wishes;
        self.damaged += other.damaged;
    }
}

/// The results of a run.
#[derive(Debug, Default)]
pub(super) struct Story {
    pub(super) lines: Vec<String>,
    pub(super) broken: Vec<String>,
    pub(super) sum: Sum,
}

/// One event as its sender knows it.
#[derive(Clone, Debug)]
pub(super) struct SentEvent {
    pub(super) id: String,
    pub(super) delivery_id: String,
    pub(super) body: Bytes,
    pub(super) copies: Vec<Dispatch>,
    /// The buffer's last answer.
    pub(super) said: Said,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said {
    Stored,
    Repeated,
    /// Refused, or not answered: the event may be stored or not.
    Unknown,
}

/// A wall clock that jumps over a monotonic time.
#[derive(Debug)]
pub(super) struct WorldClock {
    began: Instant,
    pub(super) jumped_ms: AtomicI64,
}

impl Clock for WorldClock {
    fn now(&self) -> Timestamp {
        let passed = i64::try_from(self.began.elapsed().as_millis()).unwrap();
        let wall = 1_760_000_000_000 + passed + self.jumped_ms.load(Ordering::Relaxed);
        Timestamp::from_unix_ms(u64::try_from(wall).unwrap())
    }

    fn monotonic(&self) -> Duration {
        self.began.elapsed()
    }
}

/// The running machine; a crash removes it.
struct Machine {
    buffer: Buffer,
    deliverer: Deliverer,
    telemetry: Telemetry,
    _tasks: JoinSet<()>,
    _stop: watch::Sender<bool>,
}

pub(super) struct Simulation {
    pub(super) rng: StdRng,
    pub(super) clock: Arc<WorldClock>,
    pub(super) disk: FakeDisk,
    pub(super) services: Services,
    machine: Option<Machine>,
    pub(super) sent: Vec<SentEvent>,
    pub(super) story: Story,
    /// The number of events that a person dropped or skipped: they need not arrive.
    pub(super) given_up: u64,
}

fn destination(name: &str) -> Destination {
    let target = Arc::new(Target::parse(&format!("http://{name}/")).unwrap());
    let one = WeightedTarget { target, weight: 1.try_into().unwrap() };
    Destination {
        keep_answer: 64,
        name: name.into(),
        balance: BalanceParams { targets: Targets::new(vec![one]).unwrap(), by: Selection::RoundRobin, health: None },
        timeout: Duration::from_secs(5),
        connect_timeout: Duration::from_secs(1),
        policy: Policy {
            attempts_max: 6,
            initial: Duration::from_secs(1),
            max: Duration::from_mins(1),
            jitter: Jitter::Full,
            give_up_after: Duration::from_hours(2),
            retry_on: RetryOn { connect: true, timeout: true, any_5xx: true, any_4xx: false, statuses: vec![429] },
            respect_retry_after: true,
        },
        keep: Keep { delivered: Duration::from_hours(500), dead: Duration::from_hours(1000) },
        concurrency: CONCURRENCY,
        rate: (name == PACED).then(|| {
            Rate::new(PACE_PER_SECOND.try_into().unwrap(), Duration::from_secs(1), Some(1.try_into().unwrap()))
        }),
        shape: crate::shape::Shape::default(),
        breaker: Some(BreakerParams { failures: 10, within: Duration::from_secs(30), open_for: OPEN_FOR }),
    }
}

impl Simulation {
    fn new(seed: u64) -> Self {
        let names: Vec<Arc<str>> = NAMES.iter().map(|name| Arc::from(*name)).collect();
        CHANCE.with(|rng| *rng.borrow_mut() = StdRng::seed_from_u64(seed));
        Self {
            rng: StdRng::seed_from_u64(seed),
            clock: Arc::new(WorldClock { began: Instant::now(), jumped_ms: AtomicI64::new(0) }),
            disk: FakeDisk::default(),
            services: Services::new(&names, seed),
            machine: None,
            sent: Vec::new(),
            story: Story::default(),
            given_up: 0,
        }
    }

    pub(super) fn tell(&mut self, line: String) {
        self.story.lines.push(format!("{:>9.3} {line}", self.clock.began.elapsed().as_secs_f64()));
    }

    fn start(&mut self) {
        let names: Vec<Arc<str>> = NAMES.iter().map(|name| Arc::from(*name)).collect();
        let params = BufferParams {
            dir: "/nowhere".into(),
            bytes_max: 1 << 30,
            fsync: Fsync::Group,
            quarantine_keep: Duration::from_hours(1000),
        };
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        let (buffer, committer) =
            Buffer::open_inline(params, &names, Arc::clone(&clock), self.disk.clone()).expect("the store opens");
        let table: Destinations = NAMES.iter().map(|name| (Arc::from(*name), Arc::new(destination(name)))).collect();
        let (telemetry, destinations) = (Telemetry::new(), Arc::new(ArcSwap::from_pointee(table)));
        let client = Arc::new(self.services.clone());
        let deliverer =
            Deliverer::new(buffer.clone(), client, destinations, telemetry.clone(), (clock, chance as fn() -> f64));
        let stop = watch::Sender::new(false);
        let mut tasks = JoinSet::new();
        tasks.spawn(committer);
        tasks.spawn(deliverer.clone().run(stop.subscribe(), Arc::new(Notify::new()), Duration::from_secs(1)));
        let tidying = buffer.clone();
        tasks.spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_secs(1)).await;
                tidying.tidy_up().await;
            }
        });
        self.machine = Some(Machine { buffer, deliverer, telemetry, _tasks: tasks, _stop: stop });
    }

    pub(super) fn buffer(&self) -> Buffer {
        self.machine.as_ref().unwrap().buffer.clone()
    }

    pub(super) fn disk(&self) -> &FakeDisk {
        &self.disk
    }

    pub(super) async fn crash(&mut self, is_power_cut: bool) {
        let unsynced = self.disk.unsynced();
        let keep = if is_power_cut { self.rng.random_range(0..=unsynced) } else { unsynced };
        self.tell(format!("the machine stops; {keep} of {unsynced} unsynced batches survive"));
        self.note_opened();
        if let Some(machine) = self.machine.take() {
            machine.deliverer.cut_off();
        }
        self.disk.crash(keep);
        // The old machine's tasks end before it starts again.
        tokio::task::yield_now().await;
        self.story.sum.crashes += 1;
        self.start();
    }

    pub(super) fn note_opened(&mut self) {
        let Some(machine) = &self.machine else { return };
        let text = String::from_utf8(machine.telemetry.render()).unwrap();
        let deferred = text.lines().filter(|line| line.contains("deferrals_total") && line.contains("breaker"));
        self.story.sum.opened += deferred.count() as u64;
    }

    /// Makes the next event of a sender: sometimes one that was sent before, sometimes another body under an old id.
    fn compose(&mut self, plan: &RunPlan) -> SentEvent {
        let number = self.sent.len();
        let again = (self.rng.random_range(0..100) < 12 && number > 0).then(|| self.rng.random_range(0..number));
        if let Some(earlier) = again {
            let mut sent = self.sent[earlier].clone();
            if self.rng.random_bool(0.3) {
                sent.body = format!("other {number} {}", "x".repeat(self.rng.random_range(0..200))).into();
            }
            return SentEvent { said: Said::Unknown, ..sent };
        }
        let word = if self.rng.random_range(0..100) < plan.poison { "poison" } else { "fine" };
        let body = format!("{word} {number} {}", "y".repeat(self.rng.random_range(0..2000)));
        let key = format!("key {}", self.rng.random_range(0..4));
        let copy = |name: &str| Dispatch {
            route: "all".into(),
            destination: name.into(),
            balance: None,
            order: (name == ORDERED).then(|| OrderKey::of(&key)),
            shaped: false,
        };
        let mut copies: Vec<Dispatch> =
            NAMES.iter().filter(|_| self.rng.random_bool(0.5)).map(|name| copy(name)).collect();
        if copies.is_empty() {
            copies.push(copy(PLAIN));
        }
        SentEvent {
            id: String::new(),
            delivery_id: format!("d{number}"),
            body: body.into(),
            copies,
            said: Said::Unknown,
        }
    }

    fn event(&mut self, sent: &mut SentEvent) -> Event {
        let id = EventId::at(self.clock.now(), self.rng.random());
        sent.id = id.to_string();
        let data = EventData {
            delivery_id: Some(sent.delivery_id.clone()),
            copies: sent.copies.clone(),
            body: sent.body.clone(),
            ..EventData::sample(id, self.clock.now())
        };
        let key = digest(&[sent.delivery_id.as_bytes()]);
        let dedup = DedupKey { key, body: Some(digest(&[&sent.body])), window: DEDUP_WINDOW };
        Event::new(Verified::by_choice("simulation"), data, Some(dedup))
    }

    /// Sends some events at once and notes the answers; a machine that stops meanwhile gives none.
    async fn send(&mut self, plan: &RunPlan) {
        let mut waiting = JoinSet::new();
        for _ in 0..self.rng.random_range(1..=plan.senders) {
            let mut sent = self.compose(plan);
            let (event, buffer, at) = (self.event(&mut sent), self.buffer(), self.sent.len());
            self.sent.push(sent);
            // Some of them have a sender that waits for the service's own answer.
            if self.rng.random_range(0..100) < 15 {
                let deliverer = self.machine.as_ref().unwrap().deliverer.clone();
                let deadline = Instant::now() + Duration::from_secs(3);
                waiting.spawn(async move {
                    let forwarded = deliverer.forward(event, deadline).await;
                    (at, forwarded.map(|forwarded| forwarded.committed))
                });
            } else {
                waiting.spawn(async move { (at, buffer.append(event).await) });
            }
        }
        let stops = self.rng.random_range(0..100) < 2;
        if stops {
            for _ in 0..self.rng.random_range(0..4) {
                tokio::task::yield_now().await;
            }
            self.crash(plan.power_cuts).await;
        }
        while let Some(Ok((at, said))) = waiting.join_next().await {
            self.sent[at].said = match said {
                Ok(Committed::Stored | Committed::SameId) => Said::Stored,
                Ok(Committed::Duplicate) => Said::Repeated,
                Err(NotStored::Failed) => {
                    self.story.sum.failed_commits += 1;
                    Said::Unknown
                }
                Err(NotStored::Full(_) | NotStored::Busy) => Said::Unknown,
            };
            let SentEvent { id, delivery_id, said, .. } = &self.sent[at];
            let line = format!("{delivery_id} {id}: {said:?}");
            self.tell(line);
        }
    }
}

/// Runs the simulation under one seed.
pub(super) fn run(seed: u64, plan: &RunPlan) -> Story {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let mut story = runtime.block_on(live(seed, plan));
    runtime.shutdown_background();
    story.sum.events = story.sum.events.max(u64::from(plan.events));
    story
}

fn live(seed: u64, plan: &RunPlan) -> impl Future<Output = Story> {
    let plan = plan.clone();
    async move {
        let mut world = Simulation::new(seed);
        world.start();
        let mut disturbances = plan.disturbances;
        let mut next = Instant::now();
        while u32::try_from(world.sent.len()).unwrap() < plan.events {
            world.send(&plan).await;
            tokio::time::sleep(Duration::from_millis(world.rng.random_range(0..=plan.pause_ms))).await;
            if disturbances > 0 && Instant::now() >= next {
                disturbances -= 1;
                world.disturb(&plan).await;
                next = Instant::now() + Duration::from_millis(world.rng.random_range(0..=plan.disturb_ms));
            }
        }
        while disturbances > 0 {
            disturbances -= 1;
            world.disturb(&plan).await;
            tokio::time::sleep(Duration::from_millis(world.rng.random_range(0..=plan.disturb_ms * 4))).await;
        }
        world.heal().await;
        check::all(&mut world);
        world.story
    }
}
