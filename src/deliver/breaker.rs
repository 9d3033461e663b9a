//! The circuit breaker of a destination, as a pure state machine: closed, open, half open with a single probe, and slow
//! after that.
//!
//! It opens after so many failures in a row within a time: in a row, because a destination that answers some events and
//! fails others has a problem with those events, and the others must flow. Open, nothing goes out until its time is over;
//! then one probe. A probe that succeeds closes it, and the number of tries under way grows from two, by one a success: a
//! destination that comes back is not met by everything that waited for it.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// When a breaker opens, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerParams {
    /// So many failures in a row.
    pub failures: u32,
    /// All of them within this time.
    pub within: Duration,
    /// Until the next probe.
    pub open_for: Duration,
}

impl Default for BreakerParams {
    fn default() -> Self {
        Self { failures: 10, within: Duration::from_secs(30), open_for: Duration::from_secs(20) }
    }
}

/// Tries under way right after a probe has succeeded.
const RAMP_START: usize = 2;

#[derive(Debug)]
enum State {
    /// The last failures in a row; how many tries may be under way, `None` without a limit of its own.
    Closed {
        failures: VecDeque<Instant>,
        ramp: Option<usize>,
    },
    Open {
        until: Instant,
    },
    /// One probe is under way.
    HalfOpen,
}

/// What may go out now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// So many tries under way.
    UpTo(usize),
    /// One, to see.
    Probe,
    /// Nothing before this; without a time, nothing before the probe's end.
    Wait(Option<Instant>),
}

/// What an attempt said of the destination's health.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Well,
    Ill,
    /// Nothing: it asked for a pause.
    Unknown,
}

#[derive(Debug)]
pub(super) struct Breaker {
    params: Option<BreakerParams>,
    state: State,
}

impl Breaker {
    /// Closed; without parameters it never opens.
    pub(super) fn new(params: Option<BreakerParams>) -> Self {
        Self { params, state: State::Closed { failures: VecDeque::new(), ramp: None } }
    }

    pub(super) fn is_open(&self) -> bool {
        !matches!(self.state, State::Closed { .. })
    }

    pub(super) fn admission(&self, now: Instant) -> Admission {
        match &self.state {
            State::Closed { ramp, .. } => Admission::UpTo(ramp.unwrap_or(usize::MAX)),
            State::Open { until } if now >= *until => Admission::Probe,
            State::Open { until } => Admission::Wait(Some(*until)),
            State::HalfOpen => Admission::Wait(None),
        }
    }

    /// The probe is on its way.
    pub(super) fn probing(&mut self) {
        self.state = State::HalfOpen;
    }

    /// An attempt has ended. `full` is how many tries may be under way when all is well.
    pub(super) fn record(&mut self, health: Verdict, is_probe: bool, now: Instant, full: usize) {
        let Some(params) = self.params else { return };
        match (&mut self.state, health) {
            (State::HalfOpen, Verdict::Well) if is_probe => {
                let ramp = Some(RAMP_START).filter(|start| *start < full);
                self.state = State::Closed { failures: VecDeque::new(), ramp };
            }
            (State::HalfOpen, Verdict::Ill | Verdict::Unknown) if is_probe => {
                self.state = State::Open { until: now + params.open_for };
            }
            (State::Closed { failures, ramp }, Verdict::Well) => {
                failures.clear();
                *ramp = ramp.map(|ramp| ramp + 1).filter(|ramp| *ramp < full);
            }
            (State::Closed { failures, ramp }, Verdict::Ill) => {
                *ramp = ramp.map(|ramp| (ramp / 2).max(1));
                failures.push_back(now);
                while failures.front().is_some_and(|first| now.duration_since(*first) > params.within) {
                    failures.pop_front();
                }
                if failures.len() >= params.failures as usize {
                    self.state = State::Open { until: now + params.open_for };
                }
            }
            // What ends late says nothing new.
            (State::Closed { .. }, Verdict::Unknown) | (State::Open { .. } | State::HalfOpen, _) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn breaker() -> (Breaker, Instant) {
        let params = BreakerParams { failures: 3, within: SECOND * 10, open_for: SECOND * 5 };
        (Breaker::new(Some(params)), Instant::now())
    }

    fn fail(breaker: &mut Breaker, times: usize, now: Instant) {
        (0..times).for_each(|_| breaker.record(Verdict::Ill, false, now, 8));
    }

    #[test]
    fn it_opens_after_so_many_failures_in_a_row_and_a_success_between_starts_anew() {
        let (mut breaker, now) = breaker();
        fail(&mut breaker, 2, now);
        breaker.record(Verdict::Well, false, now, 8);
        fail(&mut breaker, 2, now);
        assert_eq!(breaker.admission(now), Admission::UpTo(usize::MAX));
        fail(&mut breaker, 1, now);
        assert_eq!(breaker.admission(now), Admission::Wait(Some(now + SECOND * 5)));
    }

    #[test]
    fn failures_that_lie_far_apart_do_not_open_it() {
        let (mut breaker, now) = breaker();
        fail(&mut breaker, 2, now);
        fail(&mut breaker, 2, now + SECOND * 11);
        assert!(!breaker.is_open());
    }

    #[test]
    fn one_probe_goes_out_and_its_failure_opens_it_again() {
        let (mut breaker, now) = breaker();
        fail(&mut breaker, 3, now);
        let later = now + SECOND * 5;
        assert_eq!(breaker.admission(later), Admission::Probe);
        breaker.probing();
        assert_eq!(breaker.admission(later), Admission::Wait(None));
        // Stragglers from before count for nothing.
        breaker.record(Verdict::Well, false, later, 8);
        assert_eq!(breaker.admission(later), Admission::Wait(None));
        breaker.record(Verdict::Ill, true, later, 8);
        assert_eq!(breaker.admission(later), Admission::Wait(Some(later + SECOND * 5)));
    }

    #[test]
    fn after_an_outage_it_starts_slowly_and_a_failure_slows_it_down_again() {
        let (mut breaker, now) = breaker();
        fail(&mut breaker, 3, now);
        breaker.probing();
        breaker.record(Verdict::Well, true, now, 8);
        assert_eq!(breaker.admission(now), Admission::UpTo(2));
        breaker.record(Verdict::Well, false, now, 8);
        breaker.record(Verdict::Well, false, now, 8);
        assert_eq!(breaker.admission(now), Admission::UpTo(4));
        fail(&mut breaker, 1, now);
        assert_eq!(breaker.admission(now), Admission::UpTo(2));
        (0..6).for_each(|_| breaker.record(Verdict::Well, false, now, 8));
        assert_eq!(breaker.admission(now), Admission::UpTo(usize::MAX));
    }

    #[test]
    fn without_parameters_it_never_opens() {
        let mut breaker = Breaker::new(None);
        fail(&mut breaker, 1000, Instant::now());
        assert!(!breaker.is_open());
    }
}
