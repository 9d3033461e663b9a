//! Limits on requests, by governor (GCRA).
//!
//! Before verification: by sender address and in total ([`Gatekeeper`]). After verification: the source's own quota
//! ([`SourceQuota`]), spent by verified traffic only, so that strangers cannot starve a provider. Addresses are keys that
//! strangers can make up: IPv6 counts by /64, and [`Gatekeeper::shrink`] forgets keys that are as good as new.
//!
//! Outward: what a destination is given at most ([`Pace`]).

use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use governor::clock::{Clock, DefaultClock, QuantaInstant, Reference};
use governor::middleware::{NoOpMiddleware, StateInformationMiddleware, StateSnapshot};
use governor::state::{InMemoryState, NotKeyed};
use governor::{DefaultDirectRateLimiter, DefaultKeyedRateLimiter, NotUntil, Quota, RateLimiter};

/// So many per period, and so many at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Time between two requests in the long run.
    pub interval: Duration,
    /// How many may come at once.
    pub burst: NonZeroU32,
}

impl Rate {
    /// `count` per `period`; without `burst`, as many at once as in one period.
    pub fn new(count: NonZeroU32, period: Duration, burst: Option<NonZeroU32>) -> Self {
        Self { interval: period / count.get(), burst: burst.unwrap_or(count) }
    }

    fn quota(self) -> Quota {
        // A rate above one in a nanosecond is no limit that a machine could reach.
        let interval = self.interval.max(Duration::from_nanos(1));
        Quota::with_period(interval).map_or(Quota::per_second(self.burst), |quota| quota.allow_burst(self.burst))
    }
}

/// Over the limit; come back after this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait(pub Duration);

impl Wait {
    /// Whole seconds, at least one, for `Retry-After`.
    pub fn secs(self) -> u32 {
        u32::try_from(self.0.as_millis().div_ceil(1000)).unwrap_or(u32::MAX).max(1)
    }
}

/// The limits before verification.
pub struct Gatekeeper {
    senders: DefaultKeyedRateLimiter<IpAddr>,
    total: DefaultDirectRateLimiter,
    rates: (Rate, Rate),
    clock: DefaultClock,
}

/// What it allows; what was spent of it is nobody's business.
impl fmt::Debug for Gatekeeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gatekeeper").field("rates", &self.rates).finish_non_exhaustive()
    }
}

impl fmt::Debug for SourceQuota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let per_sender = self.is_per_sender();
        f.debug_struct("SourceQuota").field("rate", &self.rate).field("per_sender", &per_sender).finish_non_exhaustive()
    }
}

impl Gatekeeper {
    /// Limits by sender address and in total.
    pub fn new(per_sender: Rate, total: Rate) -> Self {
        Self {
            senders: RateLimiter::dashmap(per_sender.quota()),
            total: RateLimiter::direct(total.quota()),
            rates: (per_sender, total),
            clock: DefaultClock::default(),
        }
    }

    /// One request by `sender`.
    pub fn check(&self, sender: IpAddr) -> Result<(), Wait> {
        let now = self.clock.now();
        self.senders.check_key(&network(sender)).map_err(|until| Wait(until.wait_time_from(now)))?;
        self.total.check().map_err(|until| Wait(until.wait_time_from(now)))
    }

    /// By sender, and in total.
    pub fn rates(&self) -> (Rate, Rate) {
        self.rates
    }

    /// Whether both limit alike.
    pub fn has_rates_of(&self, other: &Self) -> bool {
        self.rates == other.rates
    }

    /// Forgets senders that have been quiet long enough to start anew. To be called every few seconds.
    pub fn shrink(&self) {
        self.senders.retain_recent();
        self.senders.shrink_to_fit();
    }

    /// How many senders are remembered.
    pub fn senders(&self) -> usize {
        self.senders.len()
    }
}

/// The quota of one source, spent after verification.
pub struct SourceQuota {
    rate: Rate,
    spent: Arc<Spent>,
    clock: DefaultClock,
}

/// By whom a quota is spent.
enum Spent {
    /// By all; what was left when it was last asked is remembered, for people.
    Together(RateLimiter<NotKeyed, InMemoryState, DefaultClock, StateInformationMiddleware>, Left),
    BySender(DefaultKeyedRateLimiter<IpAddr>),
}

#[derive(Debug)]
struct Left {
    requests: AtomicU32,
    begun: QuantaInstant,
    /// When it was last asked, nanoseconds since then.
    at: AtomicU64,
}

/// How much of a quota is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    /// What it allows.
    pub rate: Rate,
    /// How many may come at once now; `None` where each sender has a quota of its own.
    pub left: Option<u32>,
}

impl SourceQuota {
    /// One quota for all of the source's traffic.
    pub fn whole(rate: Rate) -> Self {
        let left = Left {
            requests: AtomicU32::new(rate.burst.get()),
            begun: DefaultClock::default().now(),
            at: AtomicU64::new(0),
        };
        let limiter = RateLimiter::direct(rate.quota()).with_middleware::<StateInformationMiddleware>();
        Self::new(rate, Spent::Together(limiter, left))
    }

    /// One quota per address.
    pub fn per_sender(rate: Rate) -> Self {
        Self::new(rate, Spent::BySender(RateLimiter::dashmap(rate.quota())))
    }

    fn new(rate: Rate, spent: Spent) -> Self {
        Self { rate, spent: Arc::new(spent), clock: DefaultClock::default() }
    }

    /// Keeps what was spent under old rules, when they limit alike: a reload gives nobody a second burst.
    pub fn take_over(&mut self, old: &Self) {
        let is_alike = matches!(
            (&*self.spent, &*old.spent),
            (Spent::Together(..), Spent::Together(..)) | (Spent::BySender(_), Spent::BySender(_))
        );
        if is_alike && self.rate == old.rate {
            self.spent = Arc::clone(&old.spent);
        }
    }

    /// One verified request.
    pub fn check(&self, sender: IpAddr) -> Result<(), Wait> {
        let wait = |until: NotUntil<QuantaInstant>| Wait(until.wait_time_from(self.clock.now()));
        match &*self.spent {
            Spent::Together(limiter, left) => {
                let checked = limiter.check();
                let requests = checked.as_ref().map_or(0, StateSnapshot::remaining_burst_capacity);
                left.requests.store(requests, Ordering::Relaxed);
                left.at.store(left.nanos(self.clock.now()), Ordering::Relaxed);
                checked.map(|_level| ()).map_err(wait)
            }
            Spent::BySender(limiter) => limiter.check_key(&network(sender)).map_err(wait),
        }
    }

    /// How much is left, without spending any of it.
    pub fn level(&self) -> Level {
        let left = match &*self.spent {
            Spent::Together(_, left) => {
                let since = left.nanos(self.clock.now()).saturating_sub(left.at.load(Ordering::Relaxed));
                let regained = u128::from(since) / self.rate.interval.as_nanos().max(1);
                let left = u128::from(left.requests.load(Ordering::Relaxed)) + regained;
                Some(u32::try_from(left).unwrap_or(u32::MAX).min(self.rate.burst.get()))
            }
            Spent::BySender(_) => None,
        };
        Level { rate: self.rate, left }
    }

    /// Whether each sender has a quota of its own.
    pub fn is_per_sender(&self) -> bool {
        matches!(&*self.spent, Spent::BySender(_))
    }

    /// Forgets quiet senders.
    pub fn shrink(&self) {
        if let Spent::BySender(limiter) = &*self.spent {
            limiter.retain_recent();
            limiter.shrink_to_fit();
        }
    }
}

impl Left {
    fn nanos(&self, now: QuantaInstant) -> u64 {
        now.duration_since(self.begun).as_u64()
    }
}

/// The network a sender is counted as: the address itself for IPv4, the /64 for IPv6, of which a host has all.
fn network(sender: IpAddr) -> IpAddr {
    match sender.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) & (u128::MAX << 64)).into()),
    }
}

/// What a destination is given at most.
#[derive(Debug)]
pub struct Pace(RateLimiter<NotKeyed, InMemoryState, TokioClock, NoOpMiddleware<std::time::Instant>>);

impl Pace {
    /// A pace that nothing was spent of yet.
    pub fn new(rate: Rate) -> Self {
        Self(RateLimiter::direct_with_clock(rate.quota(), TokioClock))
    }

    /// One delivery.
    pub fn check(&self) -> Result<(), Wait> {
        self.0.check().map_err(|until| Wait(until.wait_time_from(TokioClock.now())))
    }
}

/// The clock that waiting goes by.
#[derive(Clone, Copy, Debug)]
struct TokioClock;

impl Clock for TokioClock {
    type Instant = std::time::Instant;

    fn now(&self) -> Self::Instant {
        tokio::time::Instant::now().into_std()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(count: u32, burst: u32) -> Rate {
        Rate::new(NonZeroU32::new(count).unwrap(), Duration::from_mins(1), NonZeroU32::new(burst))
    }

    #[test]
    fn one_sender_cannot_spend_what_another_has() {
        let gate = Gatekeeper::new(rate(1, 2), rate(1000, 1000));
        let (loud, quiet) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        assert!(gate.check(loud).is_ok() && gate.check(loud).is_ok());
        let wait = gate.check(loud).unwrap_err();
        assert!(wait.secs() > 50 && wait.secs() <= 60, "{wait:?}");
        assert!(gate.check(quiet).is_ok());
    }

    #[test]
    fn all_addresses_of_one_ipv6_host_are_one_sender() {
        let gate = Gatekeeper::new(rate(1, 1), rate(1000, 1000));
        assert!(gate.check("2001:db8::1".parse().unwrap()).is_ok());
        assert!(gate.check("2001:db8::ffff:1".parse().unwrap()).is_err());
        assert!(gate.check("2001:db8:0:1::1".parse().unwrap()).is_ok());
    }

    #[test]
    fn senders_that_have_been_quiet_are_forgotten() {
        let fast = Rate::new(NonZeroU32::new(1_000_000).unwrap(), Duration::from_secs(1), NonZeroU32::new(1000));
        let gate = Gatekeeper::new(fast, fast);
        for last in 0..200_u8 {
            assert!(gate.check(IpAddr::from([192, 0, 2, last])).is_ok());
        }
        std::thread::sleep(Duration::from_millis(1));
        gate.shrink();
        assert_eq!(gate.senders(), 0);
    }

    #[test]
    fn new_rules_with_the_same_limit_go_on_with_what_is_spent() {
        let sender = "192.0.2.1".parse().unwrap();
        for made in [SourceQuota::whole, SourceQuota::per_sender] {
            let old = made(rate(1, 1));
            assert!(old.check(sender).is_ok());
            let (mut same, mut other) = (made(rate(1, 1)), made(rate(1, 2)));
            same.take_over(&old);
            other.take_over(&old);
            assert!(same.check(sender).is_err(), "a second burst");
            assert!(other.check(sender).is_ok(), "another limit begins anew");
        }
        let (mut whole, per_sender) = (SourceQuota::whole(rate(1, 1)), SourceQuota::per_sender(rate(1, 1)));
        assert!(per_sender.check(sender).is_ok());
        whole.take_over(&per_sender);
        assert!(whole.check(sender).is_ok());
    }
}
