//! Destinations: addresses and delivery settings, each over the defaults, field by field.

use std::sync::Arc;
use std::time::Duration;

use super::shape::Transforms;
use super::{Checker, path};
use crate::buffer::Keep;
use crate::config::problem::Code;
use crate::config::spans::Seg;
use crate::config::{raw, units};
use crate::deliver::{BalanceParams, BreakerParams, Destination, Destinations, Jitter, Policy, RetryOn};
use crate::limit::Rate;
use crate::shape::Shape;

/// In less, nothing happens.
pub(super) const SHORTEST: Duration = Duration::from_millis(10);
/// The shortest time between attempts.
const RETRY_SHORTEST: Duration = Duration::from_millis(1);
const TIMEOUT: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const CONCURRENCY: u32 = 64;
const KEEP_ANSWER: usize = 2 * 1024;
const KEEP_ANSWER_MAX: u64 = 64 * 1024;
const ATTEMPTS: u32 = 12;
const INITIAL: Duration = Duration::from_secs(2);
const LONGEST: Duration = Duration::from_hours(1);
const GIVE_UP_AFTER: Duration = Duration::from_hours(24);
pub(super) const DEAD_KEEP: Duration = Duration::from_hours(14 * 24);
pub(in crate::config) const DELIVERED_KEEP: Duration = Duration::from_hours(72);

impl<'a> Checker<'a> {
    pub(super) fn destinations(&mut self, transforms: &Transforms<'a>) -> Destinations {
        let raw = self.raw;
        let mut destinations = Destinations::new();
        for (name, written) in &raw.destinations {
            let headers = self.destination_headers(name.as_str(), written);
            let Some(mut balance) = self.balance(name.as_str(), written) else { continue };
            if let Some(health) = &mut balance.health {
                health.headers = headers.sent.clone();
            }
            let shape = self.shape((name.as_str(), headers), written, transforms);
            let destination = self.destination(name.as_str(), (balance, shape), written);
            destinations.insert(Arc::clone(&destination.name), Arc::new(destination));
        }
        destinations
    }

    fn destination(
        &mut self,
        name: &str,
        (balance, shape): (BalanceParams, Shape),
        written: &raw::Destination,
    ) -> Destination {
        let raw = self.raw;
        let defaults = &raw.defaults.destination;
        let keep = |dead_letter: &Option<raw::DeadLetter>| dead_letter.as_ref().and_then(|dead| dead.keep);
        let timeouts = [
            ("timeout", written.timeout, defaults.timeout),
            ("connect_timeout", written.connect_timeout, defaults.connect_timeout),
        ];
        for (key, own, usual) in timeouts {
            self.not_zero(&path!["destinations", name, key], own);
            self.not_zero(&path!["defaults", "destination", key], usual);
        }
        self.times_of_retries(&path!["destinations", name], written.retry.as_ref());
        self.times_of_retries(&path!["defaults", "destination"], defaults.retry.as_ref());
        self.keeps_dead_letters(&path!["destinations", name], written.dead_letter.as_ref());
        self.keeps_dead_letters(&path!["defaults", "destination"], defaults.dead_letter.as_ref());
        let timeout = written.timeout.or(defaults.timeout).map_or(TIMEOUT, |timeout| timeout.0);
        Destination {
            name: Arc::from(name),
            balance,
            shape,
            timeout,
            connect_timeout: written
                .connect_timeout
                .or(defaults.connect_timeout)
                .map_or(CONNECT_TIMEOUT, |timeout| timeout.0)
                .min(timeout),
            policy: policy(written.retry.as_ref(), defaults.retry.as_ref()),
            keep: Keep {
                delivered: raw.buffer.keep_delivered.map_or(DELIVERED_KEEP, |keep| keep.0),
                dead: keep(&written.dead_letter).or(keep(&defaults.dead_letter)).map_or(DEAD_KEEP, |keep| keep.0),
            },
            concurrency: written.concurrency.or(defaults.concurrency).map_or(CONCURRENCY, |count| count.0.get())
                as usize,
            breaker: self.breaker(name, written.circuit_breaker.as_ref(), defaults.circuit_breaker.as_ref()),
            rate: written.rate_limit.as_ref().or(defaults.rate_limit.as_ref()).map(pace),
            keep_answer: self.keep_answer(name, written),
        }
    }

    /// Returns the maximum size of an answer that is kept, in bytes: the destination's own, the default's or
    /// [`KEEP_ANSWER`]. Reports a size above [`KEEP_ANSWER_MAX`].
    fn keep_answer(&mut self, name: &str, written: &raw::Destination) -> usize {
        let own = written.keep_answer.map(|kept| (path!["destinations", name, "keep_answer"], kept));
        let default = self.raw.defaults.destination.keep_answer;
        let default = default.map(|kept| (path!["defaults", "destination", "keep_answer"], kept));
        let Some((at, kept)) = own.or(default) else { return KEEP_ANSWER };
        if kept.0 > KEEP_ANSWER_MAX {
            let help = "the most is `64KiB`; `0B` keeps nothing".to_owned();
            self.error(Code::LimitExceeded, &at, "more of an answer is not kept", Some(help));
        }
        usize::try_from(kept.0).unwrap_or(KEEP_ANSWER)
    }

    fn breaker(
        &mut self,
        name: &str,
        own: Option<&raw::CircuitBreaker>,
        defaults: Option<&raw::CircuitBreaker>,
    ) -> Option<BreakerParams> {
        let none = raw::Breaker::default();
        let (own, defaults) = match (own, defaults) {
            (Some(raw::CircuitBreaker::Off), _) | (None, Some(raw::CircuitBreaker::Off)) => return None,
            (Some(raw::CircuitBreaker::On(own)), Some(raw::CircuitBreaker::On(defaults))) => (own, defaults),
            (Some(raw::CircuitBreaker::On(own)), _) => (own, &none),
            (None, Some(raw::CircuitBreaker::On(defaults))) => (&none, defaults),
            (None, None) => (&none, &none),
        };
        for (key, written) in [("within", own.within), ("open_for", own.open_for)] {
            self.not_zero(&path!["destinations", name, "circuit_breaker", key], written);
        }
        for (key, written) in [("within", defaults.within), ("open_for", defaults.open_for)] {
            self.not_zero(&path!["defaults", "destination", "circuit_breaker", key], written);
        }
        let usual = BreakerParams::default();
        Some(BreakerParams {
            failures: own.failures.or(defaults.failures).map_or(usual.failures, |count| count.0.get()),
            within: own.within.or(defaults.within).map_or(usual.within, |time| time.0),
            open_for: own.open_for.or(defaults.open_for).map_or(usual.open_for, |time| time.0),
        })
    }

    fn times_of_retries(&mut self, at: &[Seg<'_>], written: Option<&raw::Retry>) {
        let Some(raw::Retry { initial, max, give_up_after, .. }) = written else { return };
        for (key, time) in [("initial", initial), ("max", max), ("give_up_after", give_up_after)] {
            self.not_shorter(&[at, &path!["retry", key]].concat(), *time, (RETRY_SHORTEST, "1ms"));
        }
    }

    /// Warns of dead letters that nobody can see or replay.
    fn keeps_dead_letters(&mut self, at: &[Seg<'_>], written: Option<&raw::DeadLetter>) {
        if written.and_then(|dead_letter| dead_letter.keep).is_some_and(|keep| keep.0.is_zero()) {
            let message = "what fails for good is gone at once: nobody can see or replay it";
            let help = "leave `keep` out for the default of 14 days".to_owned();
            self.warning(Code::WeakDurability, &[at, &path!["dead_letter", "keep"]].concat(), message, Some(help));
        }
    }

    /// A time in which nothing can happen is a mistake.
    pub(super) fn not_zero(&mut self, at: &[Seg<'_>], written: Option<units::Duration>) {
        self.not_shorter(at, written, (SHORTEST, "10ms"));
    }

    fn not_shorter(&mut self, at: &[Seg<'_>], written: Option<units::Duration>, (least, text): (Duration, &str)) {
        if written.is_some_and(|time| time.0 < least) {
            let help = format!("the least is `{text}`");
            self.error(Code::InvalidValue, at, "this is too short", Some(help));
        }
    }
}

fn pace(written: &raw::Throughput) -> Rate {
    let raw::Throughput { rate, burst } = *written;
    Rate::new(rate.count, rate.per, burst.map(|burst| burst.0))
}

fn policy(own: Option<&raw::Retry>, defaults: Option<&raw::Retry>) -> Policy {
    fn pick<T>(
        own: Option<&raw::Retry>,
        defaults: Option<&raw::Retry>,
        field: impl Fn(&raw::Retry) -> Option<T>,
    ) -> Option<T> {
        own.and_then(&field).or_else(|| defaults.and_then(&field))
    }
    let initial = pick(own, defaults, |retry| retry.initial).map_or(INITIAL, |step| step.0);
    Policy {
        attempts_max: pick(own, defaults, |retry| retry.max_attempts).map_or(ATTEMPTS, |count| count.0.get()),
        initial,
        max: pick(own, defaults, |retry| retry.max).map_or(LONGEST, |step| step.0).max(initial),
        jitter: match pick(own, defaults, |retry| retry.jitter) {
            Some(raw::Jitter::None) => Jitter::None,
            Some(raw::Jitter::Full) | None => Jitter::Full,
        },
        give_up_after: pick(own, defaults, |retry| retry.give_up_after).map_or(GIVE_UP_AFTER, |age| age.0),
        retry_on: pick(own, defaults, |retry| retry.retry_on.clone()).map_or_else(usual, |classes| retry_on(&classes)),
        respect_retry_after: pick(own, defaults, |retry| retry.respect_retry_after).unwrap_or(true),
    }
}

fn usual() -> RetryOn {
    RetryOn { connect: true, timeout: true, any_5xx: true, any_4xx: false, statuses: vec![408, 425, 429] }
}

fn retry_on(classes: &[raw::RetryOn]) -> RetryOn {
    let mut retry_on = RetryOn { connect: false, timeout: false, any_5xx: false, any_4xx: false, statuses: Vec::new() };
    for class in classes {
        match class {
            raw::RetryOn::Connect => retry_on.connect = true,
            raw::RetryOn::Timeout => retry_on.timeout = true,
            raw::RetryOn::Any4xx => retry_on.any_4xx = true,
            raw::RetryOn::Any5xx => retry_on.any_5xx = true,
            raw::RetryOn::Status(status) => retry_on.statuses.push(*status),
        }
    }
    retry_on
}
