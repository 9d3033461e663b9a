//! Load: events at an even pace over several connections, and their answers.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::{Connection, Seen, github, hmac_hex, text_of, unique};

/// The requests of a sender and their answers.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    /// Events that were answered as accepted: their ids, and digests of their bodies.
    pub(crate) answered: BTreeMap<String, String>,
    /// Refused requests: status and `Retry-After`.
    pub(crate) refused: Vec<(u16, Option<String>)>,
    /// The number of requests without an answer.
    pub(crate) broken: usize,
    /// The latency of each answer.
    pub(crate) took: Vec<Duration>,
}

impl Sent {
    /// Adds the numbers of another sender.
    pub(crate) fn add(&mut self, other: Self) {
        for (id, print) in other.answered {
            assert!(self.answered.insert(id, print).is_none(), "an id was given twice");
        }
        self.refused.extend(other.refused);
        self.broken += other.broken;
        self.took.extend(other.took);
    }

    /// Sends one event, and records its answer.
    fn one(&mut self, connection: &mut Option<Connection>, address: SocketAddr, flow: Flow) {
        let Some(mut open) = connection.take().or_else(|| Connection::open(address).ok()) else {
            // Nothing listens between a kill and a start.
            std::thread::sleep(Duration::from_millis(2));
            return;
        };
        let body = format!(
            "{{\"unique\":\"{}\",\"fill\":\"{}\"}}",
            unique(),
            "x".repeat((self.took.len() * 7 + 1) * 131 % flow.body_bytes)
        );
        let began = Instant::now();
        let Ok(answer) = open.send(&github(body.clone()).to(flow.path)) else {
            self.broken += 1;
            return;
        };
        self.took.push(began.elapsed());
        match (answer.status, answer.event_id()) {
            (200, Some(id)) => {
                let is_new = self.answered.insert(id, hmac_hex("", body.as_bytes())).is_none();
                assert!(is_new, "an id was given twice");
            }
            (status, _) => self.refused.push((status, answer.header("retry-after").map(str::to_owned))),
        }
        if answer.header("connection").is_none_or(|value| !value.eq_ignore_ascii_case("close")) {
            *connection = Some(open);
        }
    }

    /// Asserts that the receiver took every answered event byte for byte; returns the number of repeated deliveries.
    #[track_caller]
    pub(crate) fn all_arrived(&self, seen: &[Seen]) -> usize {
        let mut count: BTreeMap<String, usize> = BTreeMap::new();
        for delivery in seen {
            let id = delivery.event_id();
            if let Some(print) = self.answered.get(&id) {
                let body = text_of(&delivery.body);
                assert_eq!(
                    &hmac_hex("", &delivery.body),
                    print,
                    "the body is changed: {body:.100}, {} bytes",
                    body.len()
                );
            }
            if delivery.taken {
                *count.entry(id).or_default() += 1;
            }
        }
        let lost: Vec<&String> = self.answered.keys().filter(|id| !count.contains_key(*id)).collect();
        let few = &lost[..lost.len().min(5)];
        assert!(lost.is_empty(), "{} of {} answered events are lost: {few:?}", lost.len(), self.answered.len());
        count.values().map(|times| times - 1).sum()
    }

    /// Checks whether the receiver took every answered event.
    pub(crate) fn have_arrived(&self, seen: &[Seen]) -> bool {
        let taken: BTreeSet<String> = seen.iter().filter(|delivery| delivery.taken).map(Seen::event_id).collect();
        self.answered.keys().all(|id| taken.contains(id))
    }

    /// Asserts that every refusal was 503 with `Retry-After`.
    #[track_caller]
    pub(crate) fn refused_in_order(&self) {
        let other = self.refused.iter().find(|(status, retry_after)| *status != 503 || retry_after.is_none());
        assert!(other.is_none(), "an answer that is neither 200 nor 503 with Retry-After: {other:?}");
    }

    /// Returns a percentile of the latencies.
    pub(crate) fn percentile(&self, of_hundred: usize) -> Duration {
        let mut sorted = self.took.clone();
        sorted.sort_unstable();
        sorted[(sorted.len() * of_hundred / 100).min(sorted.len() - 1)]
    }
}

/// The parameters of a load.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flow {
    pub(crate) path: &'static str,
    pub(crate) per_second: u32,
    pub(crate) connections: u32,
    /// The approximate largest length of a body.
    pub(crate) body_bytes: usize,
}

impl Flow {
    /// Returns a load for the source `github`, with bodies of a few kilobytes.
    pub(crate) fn of(per_second: u32, connections: u32) -> Self {
        Self { path: "/in/github", per_second, connections, body_bytes: 3000 }
    }
}

/// Senders that run until they are stopped.
#[derive(Debug)]
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    exchanges: Arc<AtomicUsize>,
    senders: Vec<std::thread::JoinHandle<Sent>>,
}

impl Load {
    pub(crate) fn start(address: SocketAddr, flow: Flow) -> Self {
        let (stop, exchanges) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let pause = Duration::from_secs(1) * flow.connections / flow.per_second;
        let senders = (0..flow.connections).map(|_| {
            let (stop, exchanges) = (Arc::clone(&stop), Arc::clone(&exchanges));
            std::thread::spawn(move || {
                let (mut sent, mut connection, mut next) = (Sent::default(), None, Instant::now());
                while !stop.load(Ordering::Relaxed) {
                    sent.one(&mut connection, address, flow);
                    exchanges.fetch_add(1, Ordering::Relaxed);
                    // Events that are late are skipped: the pace is an upper bound.
                    next = (next + pause).max(Instant::now());
                    std::thread::sleep(next.saturating_duration_since(Instant::now()));
                }
                sent
            })
        });
        Self { senders: senders.collect(), stop, exchanges }
    }

    /// Returns the number of requests that ended so far, with any result.
    pub(crate) fn exchanges(&self) -> usize {
        self.exchanges.load(Ordering::Relaxed)
    }

    /// Stops the senders, and returns their records.
    pub(crate) fn stop(self) -> Sent {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Sent::default();
        for sender in self.senders {
            all.add(sender.join().unwrap());
        }
        all
    }
}

/// Sends `count` events, one after another.
pub(crate) fn send_many(address: SocketAddr, count: usize) -> Sent {
    let (mut sent, mut connection) = (Sent::default(), None);
    for _ in 0..count {
        sent.one(&mut connection, address, Flow::of(1, 1));
    }
    sent
}

/// Sleeps on purpose, while a load runs or an outage lasts.
pub(crate) fn pass(time: Duration) {
    std::thread::sleep(time);
}
