//! The retry policy as a pure function.
//!
//! Exponential backoff with full jitter (the AWS Architecture Blog's "Exponential Backoff And Jitter"): the wait before
//! attempt n is drawn from zero to `initial · 2ⁿ`, at most `max`. A destination's 429 or 503 with `Retry-After` is a
//! deferral: the wait is kept, up to `max`, and does not count as an attempt; `give_up_after` bounds it.

use std::time::Duration;

use crate::outcome::{Attempt, AttemptOutcome, DeathCause, Settled};

/// The kinds of jitter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Jitter {
    /// The wait is drawn from zero to the step.
    Full,
    /// The wait is the step.
    None,
}

/// The outcomes that are retried.
#[expect(clippy::struct_excessive_bools, reason = "one for each class that `retry_on` can name")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryOn {
    /// Attempts without a connection: refused, TLS failed, or the name did not resolve.
    pub connect: bool,
    /// Attempts without a complete answer in time.
    pub timeout: bool,
    /// Answers with any 5xx.
    pub any_5xx: bool,
    /// Answers with any 4xx.
    pub any_4xx: bool,
    /// Answers with one of these statuses.
    pub statuses: Vec<u16>,
}

impl RetryOn {
    fn wants(&self, attempt: &Attempt) -> bool {
        let by_status = attempt.status.is_some_and(|status| self.statuses.contains(&status));
        match attempt.outcome {
            AttemptOutcome::Success => false,
            AttemptOutcome::Connect | AttemptOutcome::Tls | AttemptOutcome::Dns => self.connect,
            AttemptOutcome::Timeout => self.timeout,
            AttemptOutcome::Http3xx => by_status,
            AttemptOutcome::Http4xx | AttemptOutcome::Http429 => by_status || self.any_4xx,
            AttemptOutcome::Http5xx => by_status || self.any_5xx,
        }
    }
}

/// The retry policy of a destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The most attempts that count, the first included.
    pub attempts_max: u32,
    /// The first step.
    pub initial: Duration,
    /// The longest step.
    pub max: Duration,
    /// The jitter of waits.
    pub jitter: Jitter,
    /// The age at which an event is given up.
    pub give_up_after: Duration,
    /// The outcomes that are retried; every other one that is not 2xx is final.
    pub retry_on: RetryOn,
    /// True when `Retry-After` is honoured.
    pub respect_retry_after: bool,
}

impl Policy {
    /// Decides about a delivery after `attempt`, when `counted` attempts came before and the delivery is `age` old.
    /// `chance` is drawn from [0, 1).
    pub fn decide(&self, attempt: &Attempt, counted: u32, age: Duration, chance: f64) -> Settled {
        if attempt.outcome == AttemptOutcome::Success {
            return Settled::Delivered;
        }
        if attempt.abort {
            return Settled::Dead(DeathCause::Aborted);
        }
        if !self.retry_on.wants(attempt) {
            return Settled::Dead(DeathCause::Final);
        }
        let asked = attempt.retry_after.filter(|_| self.respect_retry_after).map(|asked| asked.min(self.max));
        let deferral = asked.is_some() && matches!(attempt.status, Some(429 | 503));
        if !deferral && counted.saturating_add(1) >= self.attempts_max {
            return Settled::Dead(DeathCause::AttemptsExhausted);
        }
        // A deferral waits the first step at least: it does not count as an attempt, so nothing else would slow it
        // down.
        let drawn = if deferral { self.initial } else { self.step(counted).mul_f64(self.drawn(chance)) };
        let wait = drawn.max(asked.unwrap_or(Duration::ZERO));
        if self.is_too_old(age.saturating_add(wait)) {
            return Settled::Dead(DeathCause::Expired);
        }
        Settled::Again { wait, counts: !deferral }
    }

    /// Checks whether a delivery of this age is given up.
    pub fn is_too_old(&self, age: Duration) -> bool {
        age > self.give_up_after
    }

    fn step(&self, counted: u32) -> Duration {
        let factor = 2_u32.checked_pow(counted.min(31)).unwrap_or(u32::MAX);
        self.initial.saturating_mul(factor).min(self.max)
    }

    fn drawn(&self, chance: f64) -> f64 {
        match self.jitter {
            Jitter::Full => chance.clamp(0.0, 1.0),
            Jitter::None => 1.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> Policy {
        Policy {
            attempts_max: 4,
            initial: Duration::from_secs(2),
            max: Duration::from_secs(10),
            jitter: Jitter::Full,
            give_up_after: Duration::from_secs(100),
            retry_on: RetryOn {
                connect: true,
                timeout: true,
                any_5xx: true,
                any_4xx: false,
                statuses: vec![408, 425, 429],
            },
            respect_retry_after: true,
        }
    }

    fn answered(status: u16) -> Attempt {
        let outcome = AttemptOutcome::of_status(status);
        let (status, detail) = (Some(status), String::new());
        Attempt { outcome, status, retry_after: None, unread_retry_after: None, abort: false, detail }
    }

    #[test]
    fn steps_double_up_to_the_longest() {
        let waits: Vec<_> =
            (0..3).map(|counted| policy().decide(&answered(500), counted, Duration::ZERO, 1.0)).collect();
        let again = |secs| Settled::Again { wait: Duration::from_secs(secs), counts: true };
        assert_eq!(waits, [again(2), again(4), again(8)]);
    }

    #[test]
    fn full_jitter_draws_from_zero() {
        let settled = policy().decide(&answered(500), 2, Duration::ZERO, 0.25);
        assert_eq!(settled, Settled::Again { wait: Duration::from_secs(2), counts: true });
    }

    #[test]
    fn what_is_not_in_retry_on_is_final() {
        for status in [301, 400, 404] {
            assert_eq!(
                policy().decide(&answered(status), 0, Duration::ZERO, 0.0),
                Settled::Dead(DeathCause::Final),
                "{status}"
            );
        }
    }

    #[test]
    fn the_last_attempt_ends_it() {
        assert_eq!(
            policy().decide(&answered(500), 3, Duration::ZERO, 0.0),
            Settled::Dead(DeathCause::AttemptsExhausted)
        );
    }

    #[test]
    fn a_503_with_retry_after_waits_without_counting_and_is_capped() {
        let mut attempt = answered(503);
        attempt.retry_after = Some(Duration::from_hours(1));
        let settled = policy().decide(&attempt, 3, Duration::ZERO, 0.5);
        assert_eq!(settled, Settled::Again { wait: Duration::from_secs(10), counts: false });
        assert_eq!(policy().decide(&attempt, 0, Duration::from_secs(99), 0.5), Settled::Dead(DeathCause::Expired));
    }

    #[test]
    fn a_short_deferral_still_waits_the_first_step() {
        let attempt = Attempt { retry_after: Some(Duration::from_millis(1)), ..answered(503) };
        let settled = policy().decide(&attempt, 0, Duration::ZERO, 0.0);
        assert_eq!(settled, Settled::Again { wait: Duration::from_secs(2), counts: false });
    }

    #[test]
    fn a_destination_that_says_never_is_believed() {
        let attempt = Attempt { abort: true, ..answered(410) };
        assert_eq!(policy().decide(&attempt, 0, Duration::ZERO, 0.0), Settled::Dead(DeathCause::Aborted));
    }
}
