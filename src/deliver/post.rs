//! What goes out to one destination at a time: its running state, shared by its worker and by `mode: sync`.
//!
//! A [`Permit`] is one try under way: at most `concurrency` of them, fewer while the breaker closes slowly, one while it is
//! half open, none before a pause that the destination asked for is over, and no more of them than `rate_limit` says. A
//! permit that is dropped without a word counts as a failure, so that a probe that broke off cannot hold the breaker.
//!
//! Survives a reload that changes nothing about it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::breaker::{Admission, Breaker, BreakerParams, Verdict};
use crate::limit::{Pace, Rate};
use crate::telemetry::{Deferral, Telemetry};

/// A pause that a destination asks for holds all its deliveries up for so long at most; the one that was answered with
/// it waits as long as was asked.
const PAUSE_MAX: Duration = Duration::from_mins(1);

/// What bounds the tries.
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
    /// The rate has given one try that was not made yet.
    has_cell: bool,
    paused_until: Option<Instant>,
}

#[derive(Debug)]
pub(super) struct Post {
    name: Arc<str>,
    pub(super) params: PostParams,
    pace: Option<Pace>,
    state: Mutex<State>,
    /// Rings when a try has ended.
    pub(super) bell: Notify,
    telemetry: Telemetry,
}

/// What may be taken from the queue now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    UpTo(usize),
    /// Nothing before this time, or before the bell rings.
    Wait(Option<Instant>, Deferral),
}

impl Post {
    pub(super) fn new(name: Arc<str>, params: PostParams, telemetry: Telemetry) -> Self {
        let breaker = Breaker::new(params.breaker);
        let state = State { breaker, under_way: 0, has_cell: false, paused_until: None };
        let pace = params.rate.map(Pace::new);
        Self { name, params, pace, state: Mutex::new(state), bell: Notify::new(), telemetry }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many tries may begin now.
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
            // The probe waits for nobody: what is under way still may hang.
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

    /// Begins a try, if it is still the turn of one.
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
                Ok(Permit { post: Arc::clone(self), is_probe, health: Verdict::Ill })
            }
        }
    }

    /// The destination asked for a pause.
    pub(super) fn pause(&self, wait: Duration, now: Instant) {
        let until = now + wait.min(PAUSE_MAX);
        let mut state = self.state();
        state.paused_until = Some(state.paused_until.map_or(until, |known| known.max(until)));
    }
}

/// One try under way.
#[derive(Debug)]
pub(super) struct Permit {
    post: Arc<Post>,
    is_probe: bool,
    health: Verdict,
}

impl Permit {
    /// The try has ended and says this of the destination.
    pub(super) fn ended(mut self, health: Verdict) {
        self.health = health;
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let post = &self.post;
        let mut state = post.state();
        state.under_way = state.under_way.saturating_sub(1);
        let was_open = state.breaker.is_open();
        state.breaker.record(self.health, self.is_probe, Instant::now(), post.params.concurrency);
        let is_open = state.breaker.is_open();
        drop(state);
        if was_open != is_open {
            post.telemetry.circuit(&post.name, is_open);
        }
        post.bell.notify_one();
    }
}
