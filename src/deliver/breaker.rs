//! The circuit breaker of a destination, as a pure state machine: closed, open, half open with a single probe, and a
//! slow start after that.
//!
//! It opens after a number of failures in a row within a time: in a row, because a destination that answers some events
//! and fails others has a problem with those events, and the others must flow. Open, nothing goes out until its time is
//! over; then one probe does. A probe that succeeds closes it, and a slow start follows ([`Ramp`]), so that a recovered
//! destination does not get its whole backlog at once. The same slow start follows a pause that the destination asked
//! for, and the start of the gateway when a backlog waits.
//!
//! Time is handed in. Without parameters there is neither a breaker nor a slow start.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// The parameters of a breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerParams {
    /// The failures in a row that open it.
    pub failures: u32,
    /// The time within which all of them must fall.
    pub within: Duration,
    /// The time until the next probe.
    pub open_for: Duration,
}

impl Default for BreakerParams {
    fn default() -> Self {
        Self { failures: 10, within: Duration::from_secs(30), open_for: Duration::from_secs(20) }
    }
}

/// The limit on attempts in flight right after a probe has succeeded.
const RAMP_START: usize = 2;
/// The shortest time between two raises of a limit.
const RAMP_STEP: Duration = Duration::from_secs(1);

/// The failures under a proven limit after which the limit does not count as their cause. Without this bound an event
/// that always fails, or one dead target of several, would hold a destination back for ever.
const UNEXPLAINED_MAX: u32 = 3;

/// The growth of a limit on attempts in flight, up to the whole concurrency. A success raises the limit, at most once
/// in [`RAMP_STEP`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Growth {
    /// The limit doubles: no attempt has failed yet.
    Doubling,
    /// The limit grows by one: it was too high before.
    ByOne,
    /// The limit doubles, and single failures do not lower it: they came under limits that had been proven, so the
    /// limit is not their cause.
    Undeterred,
}

/// A slow start. A failure halves the limit at once; of the attempts in flight then, only the first to fail does.
#[derive(Clone, Copy, Debug)]
struct Ramp {
    limit: usize,
    growth: Growth,
    changed_at: Instant,
    lowered_at: Option<Instant>,
    /// The highest limit under which no attempt failed for a whole step.
    proven: usize,
    /// The failures under a limit that was proven before, or under the least one.
    unexplained: u32,
}

impl Ramp {
    const fn starting(at: Instant) -> Self {
        let (limit, growth) = (RAMP_START, Growth::Doubling);
        Self { limit, growth, changed_at: at, lowered_at: None, proven: 0, unexplained: 0 }
    }

    fn succeeded(&mut self, now: Instant) {
        if now.saturating_duration_since(self.changed_at) < RAMP_STEP {
            return;
        }
        self.proven = self.proven.max(self.limit);
        self.limit = match self.growth {
            Growth::Doubling | Growth::Undeterred => self.limit.saturating_mul(2),
            Growth::ByOne => self.limit.saturating_add(1),
        };
        self.changed_at = now;
    }

    fn failed(&mut self, began: Instant, now: Instant) {
        let is_known = self.lowered_at.is_some_and(|lowered_at| began < lowered_at);
        if is_known || self.growth == Growth::Undeterred {
            return;
        }
        if self.limit <= self.proven || self.limit == 1 {
            self.unexplained += 1;
            self.proven = self.limit.saturating_sub(1);
        }
        if self.unexplained >= UNEXPLAINED_MAX {
            self.growth = Growth::Undeterred;
        } else {
            self.growth = Growth::ByOne;
            self.limit = (self.limit / 2).max(1);
        }
        (self.changed_at, self.lowered_at) = (now, Some(now));
    }
}

#[derive(Debug)]
enum State {
    /// The circuit is closed, with the last failures in a row, and the slow start, while there is one.
    Closed {
        failures: VecDeque<Instant>,
        ramp: Option<Ramp>,
    },
    Open {
        until: Instant,
    },
    /// One probe is in flight.
    HalfOpen,
}

/// The attempts that may go out now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// Up to this many attempts in flight.
    UpTo(usize),
    /// One probe.
    Probe,
    /// No attempt before this time; without a time, none before the probe's end.
    Wait(Option<Instant>),
}

/// The signal of an attempt about the destination's health.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    Well,
    Ill,
    /// No signal: the destination asked for a pause.
    Unknown,
}

/// An attempt that has ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct EndedAttempt {
    pub(super) health: Signal,
    pub(super) is_probe: bool,
    pub(super) began: Instant,
    pub(super) now: Instant,
}

/// The state of a breaker for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Circuit {
    /// All attempts may go out.
    Closed,
    /// The circuit is closed again, and this many attempts may be in flight.
    Recovering(usize),
    /// No attempt goes out before this time.
    Open(Instant),
    /// One probe is in flight.
    Probing,
}

impl Circuit {
    /// Returns the API field.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Recovering(_) => "recovering",
            Self::Open(_) => "open",
            Self::Probing => "probing",
        }
    }
}

#[derive(Debug)]
pub(super) struct Breaker {
    params: Option<BreakerParams>,
    state: State,
}

impl Breaker {
    /// Makes a closed breaker; without parameters it never opens.
    pub(super) fn new(params: Option<BreakerParams>) -> Self {
        Self { params, state: State::Closed { failures: VecDeque::new(), ramp: None } }
    }

    /// Takes over the state of another one; a probe in flight there counts as failed.
    pub(super) fn take_over(&mut self, before: &Self) {
        self.state = match (&before.state, self.params) {
            (_, None) | (State::Closed { .. }, _) => return,
            (State::Open { until }, Some(_)) => State::Open { until: *until },
            (State::HalfOpen, Some(params)) => State::Open { until: Instant::now() + params.open_for },
        };
    }

    /// Begins a slow start at this moment: a backlog waits, or a pause is over then.
    pub(super) fn start_slowly(&mut self, at: Instant) {
        if let (Some(_), State::Closed { ramp, .. }) = (self.params, &mut self.state)
            && ramp.is_none()
        {
            *ramp = Some(Ramp::starting(at));
        }
    }

    pub(super) fn is_open(&self) -> bool {
        !matches!(self.state, State::Closed { .. })
    }

    pub(super) fn circuit(&self) -> Circuit {
        match &self.state {
            State::Closed { ramp: None, .. } => Circuit::Closed,
            State::Closed { ramp: Some(ramp), .. } => Circuit::Recovering(ramp.limit),
            State::Open { until } => Circuit::Open(*until),
            State::HalfOpen => Circuit::Probing,
        }
    }

    pub(super) fn admission(&self, now: Instant) -> Admission {
        match &self.state {
            State::Closed { ramp, .. } => Admission::UpTo(ramp.map_or(usize::MAX, |ramp| ramp.limit)),
            State::Open { until } if now >= *until => Admission::Probe,
            State::Open { until } => Admission::Wait(Some(*until)),
            State::HalfOpen => Admission::Wait(None),
        }
    }

    /// Notes that the probe is in flight.
    pub(super) fn probing(&mut self) {
        self.state = State::HalfOpen;
    }

    /// Records the end of an attempt. `full` is the concurrency without a slow start.
    pub(super) fn record(&mut self, ended: EndedAttempt, full: usize) {
        let Some(params) = self.params else { return };
        let EndedAttempt { health, is_probe, began, now } = ended;
        match (&mut self.state, health) {
            (State::HalfOpen, Signal::Well) if is_probe => {
                let ramp = Some(Ramp::starting(now)).filter(|ramp| ramp.limit < full);
                self.state = State::Closed { failures: VecDeque::new(), ramp };
            }
            (State::HalfOpen, Signal::Ill | Signal::Unknown) if is_probe => {
                self.state = State::Open { until: now + params.open_for };
            }
            (State::Closed { failures, ramp }, Signal::Well) => {
                failures.clear();
                if let Some(ramp) = ramp {
                    ramp.succeeded(now);
                }
                *ramp = ramp.filter(|ramp| ramp.limit < full);
            }
            (State::Closed { failures, ramp }, Signal::Ill) => {
                if let Some(ramp) = ramp {
                    ramp.failed(began, now);
                }
                failures.push_back(now);
                while failures.front().is_some_and(|first| now.duration_since(*first) > params.within) {
                    failures.pop_front();
                }
                if failures.len() >= params.failures as usize {
                    self.state = State::Open { until: now + params.open_for };
                }
            }
            // Late ends are no news.
            (State::Closed { .. }, Signal::Unknown) | (State::Open { .. } | State::HalfOpen, _) => {}
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

    fn ended(breaker: &mut Breaker, health: Signal, now: Instant) {
        breaker.record(EndedAttempt { health, is_probe: false, began: now, now }, 64);
    }

    fn well(breaker: &mut Breaker, times: usize, now: Instant) {
        (0..times).for_each(|_| ended(breaker, Signal::Well, now));
    }

    fn fail(breaker: &mut Breaker, times: usize, now: Instant) {
        (0..times).for_each(|_| ended(breaker, Signal::Ill, now));
    }

    fn probe(breaker: &mut Breaker, health: Signal, now: Instant) {
        breaker.record(EndedAttempt { health, is_probe: true, began: now, now }, 64);
    }

    /// Makes a breaker whose circuit has just closed again.
    fn closed_again() -> (Breaker, Instant) {
        let (mut breaker, now) = breaker();
        fail(&mut breaker, 3, now);
        breaker.probing();
        probe(&mut breaker, Signal::Well, now);
        (breaker, now)
    }

    #[test]
    fn it_opens_after_failures_in_a_row_and_a_success_between_starts_anew() {
        let (mut breaker, now) = breaker();
        fail(&mut breaker, 2, now);
        well(&mut breaker, 1, now);
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
        // Late ends from before count for nothing.
        well(&mut breaker, 1, later);
        assert_eq!(breaker.admission(later), Admission::Wait(None));
        probe(&mut breaker, Signal::Ill, later);
        assert_eq!(breaker.admission(later), Admission::Wait(Some(later + SECOND * 5)));
    }

    #[test]
    fn after_an_outage_ten_thousand_successes_of_a_millisecond_double_the_limit_once_a_second() {
        let (mut breaker, mut now) = closed_again();
        assert_eq!(breaker.admission(now), Admission::UpTo(2));
        let mut limits = Vec::new();
        for _ in 0..5 {
            for _ in 0..1000 {
                now += Duration::from_millis(1);
                well(&mut breaker, 10, now);
            }
            limits.push(breaker.admission(now));
        }
        assert_eq!(limits, [4, 8, 16, 32, usize::MAX].map(Admission::UpTo));
    }

    #[test]
    fn time_alone_raises_nothing() {
        let (mut breaker, now) = closed_again();
        assert_eq!(breaker.admission(now + SECOND * 60), Admission::UpTo(2));
        well(&mut breaker, 1, now + SECOND * 60);
        assert_eq!(breaker.admission(now + SECOND * 60), Admission::UpTo(4));
    }

    #[test]
    fn the_first_failure_halves_the_limit_and_it_grows_by_one_a_second_from_then_on() {
        let (mut breaker, mut now) = closed_again();
        for _ in 0..2 {
            now += SECOND;
            well(&mut breaker, 1, now);
        }
        assert_eq!(breaker.admission(now), Admission::UpTo(8));
        let began = now;
        now += SECOND / 2;
        // Two of the eight are reset at once: the second one is no news.
        for _ in 0..2 {
            breaker.record(EndedAttempt { health: Signal::Ill, is_probe: false, began, now }, 64);
        }
        assert_eq!(breaker.admission(now), Admission::UpTo(4));
        for limit in [5, 6] {
            now += SECOND;
            well(&mut breaker, 5, now);
            assert_eq!(breaker.admission(now), Admission::UpTo(limit));
        }
        fail(&mut breaker, 1, now);
        assert_eq!(breaker.admission(now), Admission::UpTo(3));
    }

    #[test]
    fn an_event_that_always_fails_does_not_keep_a_destination_slow_for_ever() {
        let (mut breaker, mut now) = closed_again();
        for tick in 1..6000_u32 {
            now += SECOND / 100;
            well(&mut breaker, 1, now);
            if tick.is_multiple_of(70) {
                fail(&mut breaker, 1, now);
            }
        }
        assert_eq!(breaker.admission(now), Admission::UpTo(usize::MAX));
    }

    #[test]
    fn a_destination_that_takes_five_at_once_stays_near_five() {
        let (mut breaker, mut now) = closed_again();
        breaker.params = Some(BreakerParams::default());
        let mut resets = 0;
        for _ in 0..60_000 {
            now += Duration::from_millis(1);
            let Admission::UpTo(limit) = breaker.admission(now) else { panic!("it opened after {resets} resets") };
            well(&mut breaker, limit.min(5), now);
            for _ in 5..limit.max(5) {
                resets += 1;
                breaker.record(EndedAttempt { health: Signal::Ill, is_probe: false, began: now, now }, 64);
            }
        }
        assert!(resets < 30, "{resets} resets in a minute");
    }

    #[test]
    fn a_backlog_at_the_start_and_a_pause_begin_slowly_too() {
        let (mut breaker, now) = breaker();
        breaker.start_slowly(now);
        assert_eq!(breaker.circuit(), Circuit::Recovering(2));
        assert!(!breaker.is_open());
        let mut off = Breaker::new(None);
        off.start_slowly(now);
        assert_eq!(off.admission(now), Admission::UpTo(usize::MAX));
    }

    #[test]
    fn without_parameters_it_never_opens() {
        let mut breaker = Breaker::new(None);
        fail(&mut breaker, 1000, Instant::now());
        assert!(!breaker.is_open());
    }
}
