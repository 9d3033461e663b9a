//! Limits on requests, by governor (GCRA).
//!
//! Before verification: by sender address and in total ([`Gatekeeper`]). After verification: the source's own quota
//! ([`SourceQuota`]), spent by verified traffic only, so that strangers cannot starve a provider. Addresses are keys
//! that strangers can make up: IPv6 counts by /64, and [`Gatekeeper::shrink`] forgets senders whose limit is full
//! again.
//!
//! Outward: the throttle of a destination ([`Pace`]).

use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock, QuantaInstant, Reference};
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::keyed::{DashMapStateStore, ShrinkableKeyedStateStore};
use governor::state::{InMemoryState, NotKeyed, StateStore};
use governor::{NotUntil, Quota, RateLimiter};

use crate::sender::Sender;

/// A rate: the requests per period, and the requests at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// The time between two requests in the long run.
    pub interval: Duration,
    /// The number of requests that may come at once.
    pub burst: NonZeroU32,
}

impl Rate {
    /// Makes a rate of `count` per `period`; without `burst`, as many at once as in one period.
    pub fn new(count: NonZeroU32, period: Duration, burst: Option<NonZeroU32>) -> Self {
        Self { interval: period / count.get(), burst: burst.unwrap_or(count) }
    }

    fn quota(self) -> Quota {
        // A rate above one in a nanosecond is no limit that a machine could reach.
        let interval = self.interval.max(Duration::from_nanos(1));
        Quota::with_period(interval).map_or(Quota::per_second(self.burst), |quota| quota.allow_burst(self.burst))
    }
}

/// The time after which a request over the limit may come again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait(pub Duration);

impl Wait {
    /// Returns whole seconds, at least one, for `Retry-After`.
    pub fn secs(self) -> u32 {
        u32::try_from(self.0.as_millis().div_ceil(1000)).unwrap_or(u32::MAX).max(1)
    }
}

/// The limits before verification.
pub struct Gatekeeper {
    senders: Limiter<BySender>,
    total: Limiter<Together>,
}

/// Shows the rates only, not the spent part.
impl fmt::Debug for Gatekeeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gatekeeper").field("rates", &self.rates()).finish_non_exhaustive()
    }
}

impl Gatekeeper {
    /// Makes limits by sender address and in total.
    pub fn new(per_sender: Rate, total: Rate) -> Self {
        Self { senders: Limiter::new(per_sender), total: Limiter::new(total) }
    }

    /// Counts one request by `sender`.
    pub fn check(&self, sender: IpAddr) -> Result<(), Wait> {
        self.senders.check(sender)?;
        self.total.check()
    }

    /// Returns the rates by sender and in total.
    pub fn rates(&self) -> (Rate, Rate) {
        (self.senders.rate, self.total.rate)
    }

    /// Returns the rest of both limits, by `sender` and in total, without spending any of it.
    pub fn levels(&self, sender: Option<IpAddr>) -> (Level, Level) {
        (self.senders.level(sender), self.total.level())
    }

    /// Returns whether both limit alike.
    pub fn has_rates_of(&self, other: &Self) -> bool {
        self.rates() == other.rates()
    }

    /// Forgets senders whose limit is full again. Called every few seconds.
    pub fn shrink(&self) {
        self.senders.shrink();
    }

    /// Returns the number of senders that are remembered.
    pub fn senders(&self) -> usize {
        self.senders.governor.len()
    }
}

/// The quota of one source, spent after verification.
pub struct SourceQuota(Arc<Spent>);

impl fmt::Debug for SourceQuota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (rate, per_sender) = (self.rate(), self.is_per_sender());
        f.debug_struct("SourceQuota").field("rate", &rate).field("per_sender", &per_sender).finish_non_exhaustive()
    }
}

/// The limiter of a quota: for all senders together, or by sender.
enum Spent {
    Together(Limiter<Together>),
    BySender(Limiter<BySender>),
}

/// The rest of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    /// The rate of the limit.
    pub rate: Rate,
    /// The number that may come at once now; `None` if each sender has a limit of its own and the sender is not known.
    pub left: Option<u32>,
}

impl SourceQuota {
    /// Makes one quota for all of the source's traffic.
    pub fn whole(rate: Rate) -> Self {
        Self(Arc::new(Spent::Together(Limiter::new(rate))))
    }

    /// Makes one quota per address.
    pub fn per_sender(rate: Rate) -> Self {
        Self(Arc::new(Spent::BySender(Limiter::new(rate))))
    }

    fn rate(&self) -> Rate {
        match &*self.0 {
            Spent::Together(limiter) => limiter.rate,
            Spent::BySender(limiter) => limiter.rate,
        }
    }

    /// Takes over the spent part of the old quota if both limit alike: a reload gives nobody a second burst.
    pub fn take_over(&mut self, old: &Self) {
        if self.is_per_sender() == old.is_per_sender() && self.rate() == old.rate() {
            self.0 = Arc::clone(&old.0);
        }
    }

    /// Counts one verified request.
    pub fn check(&self, sender: IpAddr) -> Result<(), Wait> {
        match &*self.0 {
            Spent::Together(limiter) => limiter.check(),
            Spent::BySender(limiter) => limiter.check(sender),
        }
    }

    /// Returns the rest for `sender`, without spending any of it.
    pub fn level(&self, sender: Option<IpAddr>) -> Level {
        match &*self.0 {
            Spent::Together(limiter) => limiter.level(),
            Spent::BySender(limiter) => limiter.level(sender),
        }
    }

    /// Returns whether each sender has a quota of its own.
    pub fn is_per_sender(&self) -> bool {
        matches!(&*self.0, Spent::BySender(_))
    }

    /// Forgets senders whose quota is full again.
    pub fn shrink(&self) {
        if let Spent::BySender(limiter) = &*self.0 {
            limiter.shrink();
        }
    }
}

/// One limiter of governor's. Governor tells the rest of a limit only to callers that spend. To show the rest without
/// spending, the state is held here as well.
struct Limiter<S: StateStore> {
    rate: Rate,
    governor: RateLimiter<S::Key, S, DefaultClock>,
    state: S,
    clock: DefaultClock,
    begun: QuantaInstant,
}

impl<S: StateStore + Clone + Default> Limiter<S> {
    fn new(rate: Rate) -> Self {
        let (clock, state) = (DefaultClock::default(), S::default());
        // The limiter counts from a moment later, by less than it can matter.
        let begun = clock.now();
        Self { rate, governor: RateLimiter::new(rate.quota(), state.clone(), clock.clone()), state, clock, begun }
    }

    fn wait(&self, until: &NotUntil<QuantaInstant>) -> Wait {
        Wait(until.wait_time_from(self.clock.now()))
    }

    /// Returns how many may come at once, if all that came is spread out until `spent_until` (GCRA's theoretical
    /// arrival time).
    fn left(&self, spent_until: Option<Nanos>) -> u32 {
        let now = self.clock.now().duration_since(self.begun).as_u64();
        let ahead = spent_until.map_or(0, Nanos::as_u64).saturating_sub(now);
        let spent = u128::from(ahead).div_ceil(self.rate.interval.as_nanos().max(1));
        self.rate.burst.get().saturating_sub(u32::try_from(spent).unwrap_or(u32::MAX))
    }
}

impl Limiter<Together> {
    fn check(&self) -> Result<(), Wait> {
        self.governor.check().map_err(|until| self.wait(&until))
    }

    fn level(&self) -> Level {
        Level { rate: self.rate, left: Some(self.left(spent_until(&self.state.0))) }
    }
}

impl Limiter<BySender> {
    fn check(&self, sender: IpAddr) -> Result<(), Wait> {
        self.governor.check_key(&Sender::of(sender)).map_err(|until| self.wait(&until))
    }

    fn level(&self, sender: Option<IpAddr>) -> Level {
        let until = |sender| self.state.0.get(&Sender::of(sender)).and_then(|state| spent_until(&state));
        Level { rate: self.rate, left: sender.map(|sender| self.left(until(sender))) }
    }

    fn shrink(&self) {
        self.governor.retain_recent();
        self.governor.shrink_to_fit();
    }
}

/// Reads a state without changing it: an update that fails stores nothing.
fn spent_until(state: &InMemoryState) -> Option<Nanos> {
    state.measure_and_replace(&NotKeyed::NonKey, Err::<((), Nanos), _>).err().flatten()
}

/// A state of governor's that is held here as well.
#[derive(Default)]
struct Held<S>(Arc<S>);

/// One state for all senders.
type Together = Held<InMemoryState>;

/// One state for each sender.
type BySender = Held<DashMapStateStore<Sender>>;

impl<S> Clone for Held<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S: StateStore> StateStore for Held<S> {
    type Key = S::Key;

    fn measure_and_replace<T, F, E>(&self, key: &S::Key, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        self.0.measure_and_replace(key, decide)
    }
}

impl ShrinkableKeyedStateStore<Sender> for BySender {
    fn retain_recent(&self, drop_below: Nanos) {
        self.0.retain_recent(drop_below);
    }

    fn shrink_to_fit(&self) {
        ShrinkableKeyedStateStore::shrink_to_fit(&*self.0);
    }

    fn len(&self) -> usize {
        ShrinkableKeyedStateStore::len(&*self.0)
    }

    fn is_empty(&self) -> bool {
        ShrinkableKeyedStateStore::is_empty(&*self.0)
    }
}

/// The throttle of one destination.
#[derive(Debug)]
pub struct Pace(RateLimiter<NotKeyed, InMemoryState, TokioClock, NoOpMiddleware<std::time::Instant>>);

impl Pace {
    /// Makes a throttle of which nothing is spent yet.
    pub fn new(rate: Rate) -> Self {
        Self(RateLimiter::direct_with_clock(rate.quota(), TokioClock))
    }

    /// Counts one delivery.
    pub fn check(&self) -> Result<(), Wait> {
        self.0.check().map_err(|until| Wait(until.wait_time_from(TokioClock.now())))
    }
}

/// The clock of tokio, by which waits are measured.
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
    fn who_looks_at_a_limit_spends_nothing_of_it() {
        let (loud, quiet) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        for made in [SourceQuota::whole, SourceQuota::per_sender] {
            let quota = made(rate(1, 3));
            for left in (0..3).rev() {
                assert!(quota.check(loud).is_ok());
                assert_eq!(quota.level(Some(loud)).left, Some(left));
                assert_eq!(quota.level(Some(loud)).left, Some(left));
            }
            assert!(quota.check(loud).is_err());
            assert_eq!(quota.level(Some(loud)).left, Some(0));
        }
        let gate = Gatekeeper::new(rate(1, 2), rate(1, 10));
        assert!(gate.check(loud).is_ok());
        let left = |sender| (gate.levels(sender).0.left, gate.levels(sender).1.left);
        assert_eq!(
            (left(Some(loud)), left(Some(quiet)), left(None)),
            ((Some(1), Some(9)), (Some(2), Some(9)), (None, Some(9)))
        );
        assert_eq!(gate.senders(), 1, "a look is not remembered");
        let fast =
            SourceQuota::whole(Rate::new(NonZeroU32::new(1000).unwrap(), Duration::from_secs(1), NonZeroU32::new(5)));
        assert!((0..5).all(|_| fast.check(loud).is_ok()));
        std::thread::sleep(Duration::from_millis(6));
        assert_eq!(fast.level(None).left, Some(5), "what is regained is left again");
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
