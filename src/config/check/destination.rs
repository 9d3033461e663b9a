//! Destinations: where deliveries go and how hard we try, each over the defaults, field by field.

use std::sync::Arc;
use std::time::Duration;

use super::{Checker, path};
use crate::buffer::Keep;
use crate::config::problem::{Code, quoted};
use crate::config::raw;
use crate::deliver::{BreakerParams, Destination, Destinations, Jitter, Policy, RetryOn, Target};

const BREAKER: BreakerParams =
    BreakerParams { failures: 10, within: Duration::from_secs(30), open_for: Duration::from_secs(20) };
const TIMEOUT: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const CONCURRENCY: u32 = 64;
const ATTEMPTS: u32 = 12;
const INITIAL: Duration = Duration::from_secs(2);
const LONGEST: Duration = Duration::from_hours(1);
const GIVE_UP_AFTER: Duration = Duration::from_hours(24);
pub(super) const DEAD_KEEP: Duration = Duration::from_hours(14 * 24);
const DELIVERED_KEEP: Duration = Duration::from_hours(72);

impl Checker<'_> {
    pub(super) fn destinations(&mut self) -> Destinations {
        let raw = self.raw;
        let mut destinations = Destinations::new();
        for (name, written) in &raw.destinations {
            let Some(target) = Target::parse(written.url.as_str()) else {
                let message = format!("{} is not a URL to send to", quoted(written.url.as_str()));
                let help =
                    "write `http://service:8080/path`: scheme, host, a port from 1 to 65535, no user, no fragment"
                        .to_owned();
                self.error(Code::InvalidValue, &path!["destinations", name, "url"], message, Some(help));
                continue;
            };
            let destination = self.destination(name.as_str(), target, written);
            destinations.insert(Arc::clone(&destination.name), Arc::new(destination));
        }
        destinations
    }

    fn destination(&self, name: &str, target: Target, written: &raw::Destination) -> Destination {
        let defaults = &self.raw.defaults.destination;
        let keep = |dead_letter: &Option<raw::DeadLetter>| dead_letter.as_ref().and_then(|dead| dead.keep);
        let timeout = written.timeout.or(defaults.timeout).map_or(TIMEOUT, |timeout| timeout.0);
        Destination {
            name: Arc::from(name),
            target,
            timeout,
            connect_timeout: written
                .connect_timeout
                .or(defaults.connect_timeout)
                .map_or(CONNECT_TIMEOUT, |timeout| timeout.0)
                .min(timeout),
            policy: policy(written.retry.as_ref(), defaults.retry.as_ref()),
            keep: Keep {
                delivered: self.raw.buffer.keep_delivered.map_or(DELIVERED_KEEP, |keep| keep.0),
                dead: keep(&written.dead_letter).or(keep(&defaults.dead_letter)).map_or(DEAD_KEEP, |keep| keep.0),
            },
            concurrency: written.concurrency.or(defaults.concurrency).map_or(CONCURRENCY, |count| count.0.get())
                as usize,
            rate: None,
            breaker: Some(BREAKER),
        }
    }
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
