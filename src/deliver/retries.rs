//! A bound on retries over all destinations. In any two [`PERIOD`]s there are at most as many retries as first
//! attempts, plus twice the attempts that succeeded, plus [`FREE_PER_PERIOD`] for each period. A retry over the bound
//! is deferred, not given up. So failing services never get several times their usual load, and a recovered one gets
//! its backlog at once.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

const PERIOD: Duration = Duration::from_secs(10);
/// The retries in a period that need no first attempt: a hundred a second.
const FREE_PER_PERIOD: u64 = 1000;

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    firsts: u64,
    successes: u64,
    retries: u64,
}

#[derive(Debug, Default)]
struct State {
    began: Option<Instant>,
    now: Count,
    before: Count,
}

/// The counter of all destinations' attempts.
#[derive(Debug, Default)]
pub(super) struct Retries(Mutex<State>);

impl Retries {
    fn state(&self, now: Instant) -> MutexGuard<'_, State> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let periods = state.began.map_or(u128::MAX, |began| now.duration_since(began).as_nanos() / PERIOD.as_nanos());
        if periods > 0 {
            state.before = if periods == 1 { state.now } else { Count::default() };
            state.now = Count::default();
            state.began = Some(now);
        }
        state
    }

    /// Checks whether an attempt may go out; counts it if so.
    pub(super) fn admit(&self, is_retry: bool, now: Instant) -> bool {
        let mut state = self.state(now);
        if !is_retry {
            state.now.firsts += 1;
            return true;
        }
        let earned = |count: Count| count.firsts + 2 * count.successes + FREE_PER_PERIOD;
        let is_admitted = state.now.retries + state.before.retries < earned(state.now) + earned(state.before);
        state.now.retries += u64::from(is_admitted);
        is_admitted
    }

    /// Counts an attempt that succeeded.
    pub(super) fn succeeded(&self, now: Instant) {
        self.state(now).now.successes += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_are_at_most_as_many_as_first_tries_and_some_more() {
        let (retries, now) = (Retries::default(), Instant::now());
        (0..1000).for_each(|_| assert!(retries.admit(false, now)));
        assert_eq!((0..5000).filter(|_| retries.admit(true, now)).count(), 3000);
        // Counts of the period before still hold; older ones do not.
        assert!(!retries.admit(true, now + PERIOD));
        assert!(retries.admit(false, now + PERIOD), "a first try is never held back");
        assert!(retries.admit(true, now + PERIOD * 3));
    }

    #[test]
    fn what_succeeds_earns_more() {
        let (retries, now) = (Retries::default(), Instant::now());
        while retries.admit(true, now) {}
        retries.succeeded(now);
        assert_eq!((0..10).filter(|_| retries.admit(true, now)).count(), 2);
    }
}
