//! Helpers that the tests share.

mod accounts;
mod client;
mod collector;
mod event;
mod faults;
mod gateway;
mod https;
mod journal;
mod load;
mod metrics;
mod raw;
mod receiver;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub(crate) use accounts::{accounts, queued};
pub(crate) use client::{Answer, Connection, Request, send};
pub(crate) use collector::{Collector, attribute};
pub(crate) use event::{github, header_of, hmac, hmac_hex, text_of, unique};
pub(crate) use faults::{Fault, SmallDisk, WallClock, number};
pub(crate) use gateway::{Gateway, Site};
pub(crate) use https::{Authority, Https, Pair};
pub(crate) use journal::{Journal, Tail};
pub(crate) use load::{Flow, Load, Sent, pass, send_many};
pub(crate) use metrics::Metrics;
pub(crate) use raw::{Raw, Script, head_of, whole};
pub(crate) use receiver::{Receiver, Reply, Seen, free_port};

/// The secret of the source `github` in every test.
pub(crate) const SECRET: &str = "it-secret-0123456789";

/// The usual deadline, long enough for a loaded machine.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// Polls `condition` until it returns a value; fails after `deadline`.
pub(crate) fn eventually<T>(what: &str, deadline: Duration, mut condition: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(started.elapsed() < deadline, "not within {deadline:?}: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Returns a lock for tests that load the machine, so that they run one after another.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static HEAVY: Mutex<()> = Mutex::new(());
    HEAVY.lock().unwrap_or_else(PoisonError::into_inner)
}
