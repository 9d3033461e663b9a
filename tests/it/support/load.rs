//! Load: events at an even pace over several connections, and what each was answered.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::{Connection, Seen, github, hmac_hex, text_of, unique};

/// What was sent, as the sender knows it.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    /// Answered as accepted: id, and a print of the body.
    pub(crate) answered: BTreeMap<String, String>,
    /// Refused: the status, and `Retry-After`.
    pub(crate) refused: Vec<(u16, Option<String>)>,
    /// No answer at all.
    pub(crate) broken: usize,
    /// How long each answer took.
    pub(crate) took: Vec<Duration>,
}

impl Sent {
    /// Both together.
    pub(crate) fn add(&mut self, other: Self) {
        for (id, print) in other.answered {
            assert!(self.answered.insert(id, print).is_none(), "an id was given twice");
        }
        self.refused.extend(other.refused);
        self.broken += other.broken;
        self.took.extend(other.took);
    }

    /// One event after another on one connection, whatever it is answered.
    fn one(&mut self, connection: &mut Option<Connection>, address: SocketAddr, flow: Flow) {
        let Some(mut open) = connection.take().or_else(|| Connection::open(address).ok()) else {
            // Nobody listens: between a kill and a start.
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

    /// Every answered event was taken by the receiver, with the very bytes that were sent; gives how many came again.
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

    /// Returns whether the receiver took every answered event.
    pub(crate) fn have_arrived(&self, seen: &[Seen]) -> bool {
        let taken: BTreeSet<String> = seen.iter().filter(|delivery| delivery.taken).map(Seen::event_id).collect();
        self.answered.keys().all(|id| taken.contains(id))
    }

    /// Nothing was refused but with 503 and `Retry-After`.
    #[track_caller]
    pub(crate) fn refused_in_order(&self) {
        let other = self.refused.iter().find(|(status, retry_after)| *status != 503 || retry_after.is_none());
        assert!(other.is_none(), "an answer that is neither 200 nor 503 with Retry-After: {other:?}");
    }

    /// The time below which so many of a hundred answers came.
    pub(crate) fn percentile(&self, of_hundred: usize) -> Duration {
        let mut sorted = self.took.clone();
        sorted.sort_unstable();
        sorted[(sorted.len() * of_hundred / 100).min(sorted.len() - 1)]
    }
}

/// What a load is made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flow {
    pub(crate) path: &'static str,
    pub(crate) per_second: u32,
    pub(crate) connections: u32,
    /// Bodies are up to this long, and a little.
    pub(crate) body_bytes: usize,
}

impl Flow {
    /// To the source `github`, with bodies of a few kilobytes.
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
                    // What could not be sent in time is left out: the pace is a bound and no debt.
                    next = (next + pause).max(Instant::now());
                    std::thread::sleep(next.saturating_duration_since(Instant::now()));
                }
                sent
            })
        });
        Self { senders: senders.collect(), stop, exchanges }
    }

    /// How many requests have ended so far, however they did.
    pub(crate) fn exchanges(&self) -> usize {
        self.exchanges.load(Ordering::Relaxed)
    }

    /// Stops and tells.
    pub(crate) fn stop(self) -> Sent {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Sent::default();
        for sender in self.senders {
            all.add(sender.join().unwrap());
        }
        all
    }
}

/// So many events, one after another.
pub(crate) fn send_many(address: SocketAddr, count: usize) -> Sent {
    let (mut sent, mut connection) = (Sent::default(), None);
    for _ in 0..count {
        sent.one(&mut connection, address, Flow::of(1, 1));
    }
    sent
}

/// Lets this much time pass on purpose: a load runs, an outage lasts.
pub(crate) fn pass(time: Duration) {
    std::thread::sleep(time);
}
