//! The failure budget: how near a provider is to giving this endpoint up, as the provider sees it.
//!
//! Some senders stop for good after too many failures: eight in a row at Shopify, 95 % within an hour at Slack. The
//! rules are data of the provider's row; the answers of one source are counted against them here. A failure is an
//! answer that the provider does not take for success, or one that came after the provider's time.
//!
//! One step before a limit the brake is on: refusals *of our own making* (schema, hygiene, the source's quota) become
//! quarantine-and-accept, so that a wrong schema does not cost the subscription; a synchronous source is answered from
//! the buffer and its event delivered. A bad signature is refused whether the brake is on or not.
//!
//! Requests that end before the signature are not counted: strangers can send them. Bad signatures, which strangers can
//! send too, have a level of their own, because a wrong secret on our side looks the same; the alarm and the brake
//! count verified requests only, so that no stranger can move them. A source that only fails is detected by
//! `only_failing`.
//!
//! Counts live in memory: a restart begins at zero, a reload keeps them. Time is handed in.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::clock::Timestamp;
use crate::patience::{Limit, Rule};
use crate::refusal::{Class, RequestOutcome};

/// The number of parts into which the shortest window is cut.
const PARTS: u32 = 60;
/// The most parts that are kept; a longer window is counted over these.
const PARTS_MAX: usize = 1440;
/// The least number of requests over which a share counts.
const SHARE_OF_AT_LEAST: u32 = 10;

/// The limits and the time of a source's provider, and the use of the brake.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Patience {
    /// The rules.
    pub limits: Vec<Limit>,
    /// The time that the provider waits for an answer.
    pub time: Option<Duration>,
    /// True if the brake may come on.
    pub brake: bool,
}

/// The failure budget of one source.
#[derive(Debug, Default)]
pub struct Budget {
    patience: Patience,
    state: Mutex<Counts>,
}

/// The counts of all answers, and of those to verified requests.
#[derive(Clone, Debug, Default)]
struct Counts {
    seen: State,
    verified: State,
    was_near: bool,
}

#[derive(Clone, Debug, Default)]
struct State {
    consecutive: u32,
    failing_since: Option<Timestamp>,
    /// The parts of the window, oldest first: number of the part, requests, failures.
    parts: VecDeque<(u64, u32, u32)>,
}

/// The used part of the failure budget, by the rule that is nearest to its limit. Verified requests decide which rule
/// is nearest; all requests decide between rules that verified requests leave equal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Level {
    /// By verified requests, in the rule's own measure: failures, a share from 0 to 1, or seconds.
    pub verified: f64,
    /// By all requests, as if those that failed verification came from the provider too.
    pub unverified: f64,
    /// The value at which the provider gives up.
    pub limit: f64,
}

/// One answer.
#[derive(Clone, Copy, Debug)]
pub struct Answered {
    /// True if the provider takes its status for success.
    pub is_success: bool,
    /// True if the request was verified.
    pub is_verified: bool,
    /// The time that it took.
    pub took: Duration,
}

/// The changes by one answer.
#[derive(Clone, Debug, PartialEq)]
pub struct BudgetChange {
    /// The level of the rule that is nearest to its limit; `None` without rules.
    pub level: Option<Level>,
    /// The alarm for the operator: one step before a limit, or out of danger again.
    pub alarm: Option<Alarm>,
}

/// A message to the operator, which is sent once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Alarm {
    /// One step before the limit.
    Near {
        /// The rule in words.
        rule: String,
        /// The consequence at the limit.
        then: String,
    },
    /// No limit is near any more.
    Over,
}

impl Budget {
    /// Makes a budget at zero.
    pub fn new(patience: Patience) -> Self {
        Self { patience, state: Mutex::default() }
    }

    /// Returns whether the brake may come on.
    pub fn has_brake(&self) -> bool {
        self.patience.brake
    }

    /// Takes over the counts under the old rules of the same source, if the limits are equal.
    pub fn take_over(&self, old: &Self) {
        if self.patience.limits == old.patience.limits {
            let counted = old.lock().clone();
            *self.lock() = counted;
        }
    }

    /// Returns how long the provider waits for an answer.
    pub fn time(&self) -> Option<Duration> {
        self.patience.time
    }

    /// Returns whether refusals of our own making become quarantine.
    pub fn brakes(&self, now: Timestamp) -> bool {
        let counts = self.lock();
        let mut limits = self.patience.limits.iter();
        self.patience.brake && limits.any(|limit| counts.verified.is_near(limit.rule, self.part_ms(), now))
    }

    /// Counts one answer.
    pub fn record(&self, answered: Answered, now: Timestamp) -> BudgetChange {
        let Answered { is_success, is_verified, took } = answered;
        let is_success = is_success && self.patience.time.is_none_or(|time| took <= time);
        let part_ms = self.part_ms();
        let mut counts = self.lock();
        counts.seen.count(is_success, part_ms, now);
        if is_verified {
            counts.verified.count(is_success, part_ms, now);
        }
        let near = self.patience.limits.iter().find(|limit| counts.verified.is_near(limit.rule, part_ms, now));
        let alarm = match (near, counts.was_near) {
            (Some(limit), false) => Some(Alarm::Near { rule: limit.rule.to_string(), then: limit.then.clone() }),
            (None, true) => Some(Alarm::Over),
            (Some(_), true) | (None, false) => None,
        };
        counts.was_near = near.is_some();
        BudgetChange { level: self.level(&counts, now), alarm }
    }

    /// Returns how much is used now; `None` without rules.
    pub fn level_now(&self, now: Timestamp) -> Option<Level> {
        self.level(&self.lock(), now)
    }

    fn level(&self, counts: &Counts, now: Timestamp) -> Option<Level> {
        let part_ms = self.part_ms();
        let levels = self.patience.limits.iter().map(|limit| {
            let (verified, limit_at) = counts.verified.level(limit.rule, part_ms, now);
            let (unverified, _) = counts.seen.level(limit.rule, part_ms, now);
            Level { verified, unverified, limit: limit_at }
        });
        levels.max_by(|one, other| {
            let (of_verified, of_all) = (one.verified / one.limit, one.unverified / one.limit);
            of_verified
                .total_cmp(&(other.verified / other.limit))
                .then(of_all.total_cmp(&(other.unverified / other.limit)))
        })
    }

    /// Returns the length of a part, after the shortest window of the rules; `None` without a window.
    fn part_ms(&self) -> Option<u64> {
        let windows = self.patience.limits.iter().filter_map(|limit| match limit.rule {
            Rule::Share { within, .. } => Some(within),
            Rule::Consecutive(_) | Rule::Lasting(_) => None,
        });
        windows.min().map(|window| u64::try_from(window.as_millis() / u128::from(PARTS)).unwrap_or(u64::MAX).max(1))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Counts> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn count(&mut self, is_success: bool, part_ms: Option<u64>, now: Timestamp) {
        if is_success {
            self.consecutive = 0;
            self.failing_since = None;
        } else {
            self.consecutive = self.consecutive.saturating_add(1);
            self.failing_since.get_or_insert(now);
        }
        let Some(part_ms) = part_ms else { return };
        let part = now.unix_ms() / part_ms;
        match self.parts.back_mut() {
            // A clock that goes back counts into the part that is open.
            Some((last, all, failed)) if *last >= part => {
                *all = all.saturating_add(1);
                *failed = failed.saturating_add(u32::from(!is_success));
            }
            _ => self.parts.push_back((part, 1, u32::from(!is_success))),
        }
        if self.parts.len() > PARTS_MAX {
            self.parts.pop_front();
        }
    }

    /// Returns requests and failures of the window.
    fn sums(&self, within: Duration, part_ms: Option<u64>, now: Timestamp) -> (u32, u32) {
        let window_ms = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
        let first = now.unix_ms().saturating_sub(window_ms) / part_ms.unwrap_or(1);
        let inside = self.parts.iter().filter(|(part, ..)| *part > first);
        inside.fold((0, 0), |(all, failed): (u32, u32), (_, more, worse)| {
            (all.saturating_add(*more), failed.saturating_add(*worse))
        })
    }

    /// Returns the current value of a rule and its limit, both in the rule's measure: failures, a share, or seconds.
    fn level(&self, rule: Rule, part_ms: Option<u64>, now: Timestamp) -> (f64, f64) {
        match rule {
            Rule::Consecutive(limit) => (f64::from(self.consecutive), f64::from(limit)),
            Rule::Share { share, within, at_least } => {
                let (all, failed) = self.sums(within, part_ms, now);
                let counts = all >= at_least.max(SHARE_OF_AT_LEAST);
                (if counts { f64::from(failed) / f64::from(all) } else { 0.0 }, share)
            }
            Rule::Lasting(limit) => {
                let since = self.failing_since.map_or(0, |since| now.unix_ms().saturating_sub(since.unix_ms()));
                (Duration::from_millis(since).as_secs_f64(), limit.as_secs_f64())
            }
        }
    }

    /// Returns whether one more failure reaches the limit; with a span of time, whether nine tenths of it are over.
    fn is_near(&self, rule: Rule, part_ms: Option<u64>, now: Timestamp) -> bool {
        match rule {
            Rule::Consecutive(limit) => self.consecutive.saturating_add(1) >= limit && self.consecutive > 0,
            Rule::Share { share, within, at_least } => {
                let (all, failed) = self.sums(within, part_ms, now);
                all.saturating_add(1) >= at_least.max(SHARE_OF_AT_LEAST)
                    && (f64::from(failed) + 1.0) / (f64::from(all) + 1.0) >= share
            }
            Rule::Lasting(_) => {
                let (used, limit) = self.level(rule, part_ms, now);
                used / limit >= 0.9
            }
        }
    }
}

/// Returns whether an outcome counts: it answered a request that the provider may have sent.
pub fn counts(outcome: RequestOutcome) -> bool {
    match outcome {
        RequestOutcome::Accepted
        | RequestOutcome::Duplicate
        | RequestOutcome::Filtered
        | RequestOutcome::Quarantined => true,
        RequestOutcome::Handshake => false,
        RequestOutcome::Refused(class) => match class {
            Class::SchemaRejected
            | Class::Malformed
            | Class::BadSignature
            | Class::StaleTimestamp
            | Class::RateLimited
            | Class::BufferFull
            | Class::Overloaded
            | Class::Draining
            | Class::Internal
            | Class::UpstreamError
            | Class::UpstreamTimeout => true,
            Class::NotFound
            | Class::TooLarge
            | Class::BadContentType
            | Class::BodyTimeout
            | Class::MethodNotAllowed
            | Class::IpDenied
            | Class::HeadersTooLarge
            | Class::MissingSignature => false,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_millis(10);

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_unix_secs(1_760_000_000 + secs)
    }

    fn answered(is_success: bool, took: Duration) -> Answered {
        Answered { is_success, is_verified: true, took }
    }

    fn budget(rule: Rule) -> Budget {
        let limits = vec![Limit { rule, then: "gone".into() }];
        Budget::new(Patience { limits, time: Some(Duration::from_secs(5)), brake: true })
    }

    #[test]
    fn the_brake_is_on_one_failure_before_the_limit() {
        let shopify = budget(Rule::Consecutive(8));
        for n in 1..7 {
            assert_eq!(shopify.record(answered(false, SOON), at(n)).alarm, None);
            assert!(!shopify.brakes(at(n)), "{n}");
        }
        let seventh = shopify.record(answered(false, SOON), at(7));
        assert_eq!(seventh.level, Some(Level { verified: 7.0, unverified: 7.0, limit: 8.0 }));
        assert!(matches!(seventh.alarm, Some(Alarm::Near { .. })));
        assert!(shopify.brakes(at(7)));
        assert_eq!(shopify.record(answered(true, SOON), at(8)).alarm, Some(Alarm::Over));
        assert!(!shopify.brakes(at(8)));
    }

    #[test]
    fn an_answer_after_the_provider_s_time_is_a_failure() {
        let shopify = budget(Rule::Consecutive(8));
        let late = shopify.record(answered(true, Duration::from_secs(6)), at(0));
        assert_eq!(late.level, Some(Level { verified: 1.0, unverified: 1.0, limit: 8.0 }));
    }

    #[test]
    fn a_share_is_taken_over_its_window_only() {
        let slack = budget(Rule::Share { share: 0.95, within: Duration::from_hours(1), at_least: 20 });
        for n in 0..18 {
            slack.record(answered(false, SOON), at(n));
            assert!(!slack.brakes(at(n)), "too few: {n}");
        }
        slack.record(answered(false, SOON), at(19));
        assert!(slack.brakes(at(19)));
        assert!(!slack.brakes(at(19 + 3660)), "an hour later nothing of it counts");
        for n in 0..20 {
            slack.record(answered(true, SOON), at(30 + n));
        }
        assert!(!slack.brakes(at(60)));
    }

    #[test]
    fn failures_for_long_without_a_success_are_timed() {
        let svix = budget(Rule::Lasting(Duration::from_hours(120)));
        svix.record(answered(false, SOON), at(0));
        assert!(!svix.brakes(at(100 * 3600)));
        assert!(svix.brakes(at(109 * 3600)));
    }

    #[test]
    fn a_brake_that_is_off_stays_off() {
        let limits = vec![Limit { rule: Rule::Consecutive(2), then: String::new() }];
        let budget = Budget::new(Patience { limits, time: None, brake: false });
        budget.record(answered(false, SOON), at(0));
        assert!(!budget.brakes(at(0)));
    }

    #[test]
    fn a_reload_keeps_the_count() {
        let old = budget(Rule::Consecutive(8));
        old.record(answered(false, SOON), at(0));
        let new = budget(Rule::Consecutive(8));
        new.take_over(&old);
        let level = new.record(answered(false, SOON), at(1)).level;
        assert_eq!(level, Some(Level { verified: 2.0, unverified: 2.0, limit: 8.0 }));
    }

    #[test]
    fn the_window_is_bounded() {
        let slack = budget(Rule::Share { share: 0.95, within: Duration::from_hours(1), at_least: 1 });
        for n in 0..10_000 {
            slack.record(answered(true, SOON), at(n * 61));
        }
        assert!(slack.lock().seen.parts.len() <= PARTS_MAX);
    }

    #[test]
    fn bad_signatures_have_a_level_of_their_own_and_move_neither_the_alarm_nor_the_brake() {
        for rule in [Rule::Consecutive(8), Rule::Lasting(Duration::from_secs(10))] {
            let shopify = budget(rule);
            for n in 0..=20_u32 {
                let forged = Answered { is_success: false, is_verified: false, took: SOON };
                let recorded = shopify.record(forged, at(u64::from(n)));
                let level = recorded.level.unwrap();
                assert!(level.unverified >= f64::from(n) && level.verified < 0.5, "{level:?}");
                assert_eq!(recorded.alarm, None);
            }
            assert!(!shopify.brakes(at(21)));
        }
    }

    #[test]
    fn the_level_is_that_of_the_rule_which_verified_requests_are_nearest_to() {
        let limit = |rule| Limit { rule, then: String::new() };
        let limits = vec![limit(Rule::Consecutive(100)), limit(Rule::Consecutive(8))];
        let budget = Budget::new(Patience { limits, time: None, brake: true });
        assert_eq!(budget.level_now(at(0)).map(|level| level.verified), Some(0.0));
        budget.record(answered(false, SOON), at(0));
        assert_eq!(budget.level_now(at(0)).map(|level| level.limit), Some(8.0));
    }

    #[test]
    fn a_share_within_a_shorter_window_than_the_longest_is_counted() {
        let share = |share, minutes| Limit {
            rule: Rule::Share { share, within: Duration::from_mins(minutes), at_least: 10 },
            then: String::new(),
        };
        let budget = Budget::new(Patience { limits: vec![share(0.99, 60), share(0.4, 5)], time: None, brake: true });
        for n in 0..100 {
            budget.record(answered(n % 2 == 0, SOON), at(1));
        }
        assert!(budget.brakes(at(1)), "half of a hundred failed, and 40 % is the limit");
    }
}
