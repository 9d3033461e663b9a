//! A bound on retries over all destinations: in any two [`PERIOD`]s at most as many as first tries, and twice as many as
//! tries that succeeded, and [`FREE_PER_PERIOD`] more for each. What is over it is put off, not given up. So services that
//! fail never get several times the load that well ones would, and one that is well again gets what waited for it at once.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

const PERIOD: Duration = Duration::from_secs(10);
/// Retries that need no first try beside them: a hundred a second.
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

/// Counts tries of all destinations.
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

    /// Whether a try may go out; counts it if so.
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

    /// A try has succeeded.
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
        // What was counted in the period before counts, and what was before that does not.
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
