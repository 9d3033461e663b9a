//! Throttle of one destination: its running state, shared by its worker and by `mode: sync`.
//!
//! A [`Permit`] is one attempt in flight: at most `concurrency` of them, fewer in a slow start, one while the breaker
//! is half open, none during a pause that the destination asked for, and no more of them than `rate_limit` says. A
//! permit that is dropped unended counts as a failure, so that an aborted probe cannot hold the breaker.
//!
//! The state survives a reload that changes none of its parameters.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::breaker::{Admission, Breaker, BreakerParams, Circuit, EndedAttempt, Signal};
use super::trouble::{LastError, Observation, Trouble, TroubleReport};
use crate::limit::{Pace, Rate};
use crate::telemetry::{Deferral, Telemetry};

/// The longest time for which a requested pause holds up all deliveries of a destination; the delivery that was
/// answered with it waits as long as was asked.
const PAUSE_MAX: Duration = Duration::from_mins(1);
/// The shortest pause that a slow start follows: after a shorter one no backlog worth it waits.
const PAUSE_WITH_SLOW_START: Duration = Duration::from_secs(5);

/// The bounds on attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PostParams {
    pub(super) concurrency: usize,
    pub(super) breaker: Option<BreakerParams>,
    pub(super) rate: Option<Rate>,
}

#[derive(Debug)]
struct State {
    breaker: Breaker,
    under_way: usize,
    /// True when the rate has granted an attempt that was not made yet.
    has_cell: bool,
    paused_until: Option<Instant>,
    trouble: Trouble,
}

/// The current state of a destination, for people.
#[derive(Clone, Debug)]
pub struct Standing {
    /// The circuit.
    pub circuit: Circuit,
    /// The reason why nothing goes out now; `None` where something may go out.
    pub waits_for: Option<Deferral>,
    /// The end of the wait, where it is known; for an open circuit the next probe.
    pub until: Option<Instant>,
    /// The time since which the destination is in trouble.
    pub in_trouble_since: Option<Instant>,
    /// The last attempt that failed and is made again.
    pub last_error: Option<LastError>,
}

#[derive(Debug)]
pub(super) struct Throttle {
    name: Arc<str>,
    pub(super) params: PostParams,
    pace: Option<Pace>,
    state: Mutex<State>,
    /// Rings when an attempt has ended.
    pub(super) bell: Notify,
    telemetry: Telemetry,
}

/// The number of deliveries that may be taken from the queue now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    UpTo(usize),
    /// None before this time, or before the bell rings.
    Wait(Option<Instant>, Deferral),
}

impl Throttle {
    /// Makes a state with new bounds; the state of health, pause and trouble is taken over from the one before.
    pub(super) fn new(name: Arc<str>, params: PostParams, telemetry: Telemetry, before: Option<&Arc<Self>>) -> Self {
        let mut breaker = Breaker::new(params.breaker);
        let (mut paused_until, mut trouble) = (None, Trouble::default());
        if let Some(before) = before {
            let mut before = before.state();
            trouble = std::mem::take(&mut before.trouble);
            paused_until = before.paused_until;
            breaker.take_over(&before.breaker);
            if before.breaker.is_open() && !breaker.is_open() {
                telemetry.circuit(&name, false);
            }
        }
        let state = State { breaker, under_way: 0, has_cell: false, paused_until, trouble };
        let pace = params.rate.map(Pace::new);
        Self { name, params, pace, state: Mutex::new(state), bell: Notify::new(), telemetry }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns how many attempts may begin now.
    pub(super) fn turn(&self, now: Instant) -> Turn {
        self.turn_in(&mut self.state(), now)
    }

    fn turn_in(&self, state: &mut State, now: Instant) -> Turn {
        if let Some(until) = state.paused_until.filter(|until| now < *until) {
            return Turn::Wait(Some(until), Deferral::RetryAfter);
        }
        let free = self.params.concurrency.saturating_sub(state.under_way);
        let most = match state.breaker.admission(now) {
            Admission::Wait(until) => return Turn::Wait(until, Deferral::Breaker),
            // The probe does not count attempts in flight, because they may hang.
            Admission::Probe => 1,
            Admission::UpTo(ramp) if free > 0 && ramp <= state.under_way => return Turn::Wait(None, Deferral::Breaker),
            Admission::UpTo(_) if free == 0 => return Turn::Wait(None, Deferral::Concurrency),
            Admission::UpTo(ramp) => free.min(ramp - state.under_way),
        };
        let Some(pace) = &self.pace else { return Turn::UpTo(most) };
        if !state.has_cell {
            if let Err(wait) = pace.check() {
                return Turn::Wait(Some(now + wait.0), Deferral::Rate);
            }
            state.has_cell = true;
        }
        Turn::UpTo(1)
    }

    /// Begins an attempt, if one may begin.
    pub(super) fn begin(self: &Arc<Self>, now: Instant) -> Result<Permit, Deferral> {
        let mut state = self.state();
        match self.turn_in(&mut state, now) {
            Turn::Wait(_, deferral) => Err(deferral),
            Turn::UpTo(_) => {
                let is_probe = state.breaker.admission(now) == Admission::Probe;
                if is_probe {
                    state.breaker.probing();
                }
                state.under_way += 1;
                state.has_cell = false;
                Ok(Permit { post: Arc::clone(self), is_probe, began: now, health: Signal::Ill })
            }
        }
    }

    /// Checks whether no attempt may begin, even with free concurrency: open circuit, requested pause, or used-up rate.
    pub(super) fn is_closed(&self, now: Instant) -> bool {
        let mut state = self.state();
        let is_open = state.breaker.is_open();
        match self.turn_in(&mut state, now) {
            Turn::Wait(_, Deferral::Rate | Deferral::RetryAfter) => true,
            Turn::Wait(_, Deferral::Breaker) => is_open,
            Turn::Wait(_, Deferral::Concurrency) | Turn::UpTo(_) => false,
        }
    }

    /// Notes an attempt that succeeded.
    pub(super) fn succeeded(&self, now: Instant) {
        self.state().trouble.succeeded(now);
    }

    /// Notes an attempt that failed and is retried.
    pub(super) fn failed(&self, error: LastError, now: Instant) {
        self.state().trouble.failed(error, now);
    }

    /// Returns the report on the destination that is due now, and the time of its next probe where its circuit is open.
    pub(super) fn look(&self, mut observation: Observation, now: Instant) -> Option<(TroubleReport, Option<Instant>)> {
        let mut state = self.state();
        observation.is_open = state.breaker.is_open();
        let report = state.trouble.look(observation, now)?;
        let next_probe = match state.breaker.circuit() {
            Circuit::Open(until) => Some(until),
            Circuit::Closed | Circuit::Recovering(_) | Circuit::Probing => None,
        };
        Some((report, next_probe))
    }

    /// Returns the current state of the destination. The rate limit is not checked, because a check uses it up.
    pub(super) fn standing(&self, now: Instant) -> Standing {
        let state = self.state();
        let circuit = state.breaker.circuit();
        let paused = state.paused_until.filter(|until| now < *until);
        let (waits_for, until) = match (paused, circuit) {
            (Some(until), _) => (Some(Deferral::RetryAfter), Some(until)),
            (None, Circuit::Open(until)) if now < until => (Some(Deferral::Breaker), Some(until)),
            // The probe is due, and goes out with the next delivery.
            (None, Circuit::Open(_)) => (None, None),
            (None, Circuit::Probing) => (Some(Deferral::Breaker), None),
            (None, Circuit::Recovering(limit)) if limit <= state.under_way => (Some(Deferral::Breaker), None),
            (None, _) if self.params.concurrency <= state.under_way => (Some(Deferral::Concurrency), None),
            (None, Circuit::Closed | Circuit::Recovering(_)) => (None, None),
        };
        let (in_trouble_since, last_error) = (state.trouble.since(), state.trouble.last_error().cloned());
        Standing { circuit, waits_for, until, in_trouble_since, last_error }
    }

    /// Begins a pause that the destination asked for. After a longer one a slow start spreads the waiting deliveries.
    pub(super) fn pause(&self, wait: Duration, now: Instant) {
        let until = now + wait.min(PAUSE_MAX);
        let mut state = self.state();
        state.paused_until = Some(state.paused_until.map_or(until, |known| known.max(until)));
        if wait >= PAUSE_WITH_SLOW_START {
            state.breaker.start_slowly(until);
        }
    }

    /// Begins a slow start, because a backlog waits for the first attempts of this process.
    pub(super) fn starts_with_backlog(&self, now: Instant) {
        self.state().breaker.start_slowly(now);
    }
}

/// One attempt in flight.
#[derive(Debug)]
pub(super) struct Permit {
    post: Arc<Throttle>,
    is_probe: bool,
    began: Instant,
    health: Signal,
}

impl Permit {
    /// Ends the attempt with its signal about the destination.
    pub(super) fn ended(mut self, health: Signal) -> Arc<Throttle> {
        self.health = health;
        Arc::clone(&self.post)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let post = &self.post;
        let mut state = post.state();
        state.under_way = state.under_way.saturating_sub(1);
        let was_open = state.breaker.is_open();
        let ended =
            EndedAttempt { health: self.health, is_probe: self.is_probe, began: self.began, now: Instant::now() };
        state.breaker.record(ended, post.params.concurrency);
        let is_open = state.breaker.is_open();
        drop(state);
        if was_open != is_open {
            post.telemetry.circuit(&post.name, is_open);
        }
        post.bell.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_circuit_is_no_reason_to_wait_any_more_once_its_probe_is_due() {
        let breaker = BreakerParams { failures: 1, ..BreakerParams::default() };
        let params = PostParams { concurrency: 8, breaker: Some(breaker), rate: None };
        let post = Arc::new(Throttle::new("app".into(), params, Telemetry::new(), None));
        let now = Instant::now();
        drop(post.begin(now).unwrap().ended(Signal::Ill));
        let open = post.standing(Instant::now());
        let Some(until) = open.until else { panic!("{open:?}") };
        assert_eq!(open.waits_for, Some(Deferral::Breaker));
        let due = post.standing(until);
        assert_eq!((due.circuit, due.waits_for, due.until), (Circuit::Open(until), None, None));
        let probe = post.begin(until).unwrap();
        assert_eq!(post.standing(until).waits_for, Some(Deferral::Breaker), "the probe is under way");
        drop(probe);
    }
}
