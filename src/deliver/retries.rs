//! A bound on retries over all destinations: at most as many as first tries, and [`FREE_PER_PERIOD`] more, in any
//! [`PERIOD`]. What is over it is put off, not given up, so that failing services never get several times the load that
//! well ones would.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

const PERIOD: Duration = Duration::from_secs(10);
/// Retries that need no first try beside them: ten a second.
const FREE_PER_PERIOD: u64 = 100;

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    firsts: u64,
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
    /// Whether a try may go out; counts it if so.
    pub(super) fn admit(&self, is_retry: bool, now: Instant) -> bool {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let periods = state.began.map_or(u128::MAX, |began| now.duration_since(began).as_nanos() / PERIOD.as_nanos());
        if periods > 0 {
            state.before = if periods == 1 { state.now } else { Count::default() };
            state.now = Count::default();
            state.began = Some(now);
        }
        if !is_retry {
            state.now.firsts += 1;
            return true;
        }
        let firsts = state.now.firsts + state.before.firsts;
        let is_admitted = state.now.retries + state.before.retries < firsts + 2 * FREE_PER_PERIOD;
        state.now.retries += u64::from(is_admitted);
        is_admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_are_at_most_as_many_as_first_tries_and_some_more() {
        let (retries, now) = (Retries::default(), Instant::now());
        (0..1000).for_each(|_| assert!(retries.admit(false, now)));
        assert_eq!((0..5000).filter(|_| retries.admit(true, now)).count(), 1200);
        // What was counted in the period before counts, and what was before that does not.
        assert!(!retries.admit(true, now + PERIOD));
        assert!(retries.admit(false, now + PERIOD), "a first try is never held back");
        assert!(retries.admit(true, now + PERIOD * 3));
    }
}
