//! Selection of a target for each attempt.
//!
//! Selection is pingora's: weighted turns, or a ketama ring over the dispatch's key. A target is known by its
//! configured URL only: pingora knows it under an IPv6 address that is made of the URL's digest. So a key stays at its
//! target over restarts and changes of DNS, and a removed target moves its own keys only. The client resolves names at
//! each attempt.
//!
//! [`Balancer::pick`] never fails. When every target is unhealthy, all of them count as healthy: a broken health page
//! must not stop deliveries.
//!
//! Not here: the health of targets (`health`), the balancers in force (`balancers`), the outcome of an attempt.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::net::{Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use pingora::lb::discovery::Static;
use pingora::lb::selection::{BackendIter, BackendSelection, Consistent, RoundRobin};
use pingora::lb::{Backend, Backends, Extensions, LoadBalancer};
use pingora::protocols::l4::socket;

use super::attempt::Target;
use super::health::{Health, HealthParams, target_of};
use super::tls::TlsSettings;
use crate::event::KeyHash;

/// Points of a ketama ring for each unit of weight; pingora's, and nginx's.
const POINTS_PER_WEIGHT: usize = 160;

/// The parameters that spread a destination's attempts over its targets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BalanceParams {
    /// The targets.
    pub targets: Targets,
    /// The rule of selection.
    pub by: Selection,
    /// The health checks; with `None` every target counts as healthy.
    pub health: Option<HealthParams>,
}

impl BalanceParams {
    /// Builds the parameters of a single target.
    pub fn single(target: Target) -> Self {
        let first = WeightedTarget { target: Arc::new(target), weight: 1 };
        Self { targets: Targets { first, others: Vec::new() }, by: Selection::RoundRobin, health: None }
    }
}

/// The rules of selection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selection {
    /// Each target in its turn, as often as its weight says.
    RoundRobin,
    /// One target for each key.
    ConsistentHash,
}

/// A target and its share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeightedTarget {
    /// The target.
    pub target: Arc<Target>,
    /// Its share, in relation to the weights of the others.
    pub weight: u32,
}

/// One target or more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Targets {
    first: WeightedTarget,
    others: Vec<WeightedTarget>,
}

impl Targets {
    /// Keeps the targets in this order; `None` when there is none.
    pub fn new(targets: impl IntoIterator<Item = WeightedTarget>) -> Option<Self> {
        let mut targets = targets.into_iter();
        Some(Self { first: targets.next()?, others: targets.collect() })
    }

    /// Returns the first one of the file.
    pub fn first(&self) -> &Arc<Target> {
        &self.first.target
    }

    /// Returns the target, when there is only one.
    pub fn only(&self) -> Option<&Arc<Target>> {
        self.others.is_empty().then_some(&self.first.target)
    }

    /// Returns all targets, in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = &WeightedTarget> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// Sets the TLS settings of each target.
    #[must_use]
    pub fn with_tls(self, settings: Option<Arc<TlsSettings>>) -> Self {
        let spoken_to = |one: WeightedTarget| {
            let target = Arc::unwrap_or_clone(one.target).with_tls(settings.clone());
            WeightedTarget { target: Arc::new(target), weight: one.weight }
        };
        Self { first: spoken_to(self.first), others: self.others.into_iter().map(spoken_to).collect() }
    }

    fn weight(&self) -> usize {
        self.iter().map(|one| one.weight as usize).sum()
    }
}

/// The selection of one destination's targets.
pub(super) struct Balancer {
    params: BalanceParams,
    selector: Selector,
    health: Option<Arc<Health>>,
    /// The number of picks that went to another target than the one whose turn it was.
    detours: AtomicU64,
}

enum Selector {
    Turns(LoadBalancer<RoundRobin>),
    Ring(LoadBalancer<Consistent>),
}

impl Balancer {
    /// Builds a balancer that shares the state of `health`.
    pub(super) fn new(params: BalanceParams, health: Option<Arc<Health>>) -> Self {
        let selector = match params.by {
            Selection::RoundRobin => Selector::Turns(selecting(backends(&params), health.as_deref())),
            Selection::ConsistentHash => Selector::Ring(selecting(backends(&params), health.as_deref())),
        };
        Self { params, selector, health, detours: AtomicU64::new(0) }
    }

    pub(super) fn params(&self) -> &BalanceParams {
        &self.params
    }

    pub(super) fn health(&self) -> Option<&Arc<Health>> {
        self.health.as_ref()
    }

    /// Returns the target for the next attempt; `key` decides where selection is by key.
    pub(super) fn pick(&self, key: KeyHash) -> Arc<Target> {
        let (first, is_healthy) = match &self.selector {
            Selector::Turns(balancer) => first_choice(balancer, &key.0),
            Selector::Ring(balancer) => first_choice(balancer, &key.0),
        };
        let chosen = if is_healthy { first } else { self.healthy_instead(key).or(first) };
        chosen.unwrap_or_else(|| Arc::clone(self.params.targets.first()))
    }

    /// Returns a healthy target in place of an unhealthy one: the next one on the ring, or each in its turn.
    fn healthy_instead(&self, key: KeyHash) -> Option<Arc<Target>> {
        let healthy = self.healthy();
        let all: usize = healthy.iter().map(|backend| backend.weight).sum();
        if all == 0 {
            return None;
        }
        match &self.selector {
            Selector::Turns(_) => {
                let turn = self.detours.fetch_add(1, Ordering::Relaxed) % all as u64;
                let mut passed = 0;
                let mut taken = healthy.iter().skip_while(|backend| {
                    passed += backend.weight as u64;
                    passed <= turn
                });
                taken.next().and_then(target_of)
            }
            Selector::Ring(balancer) => {
                let points = self.params.targets.weight() * POINTS_PER_WEIGHT;
                balancer.select(&key.0, points).as_ref().and_then(target_of)
            }
        }
    }

    fn healthy(&self) -> Vec<Backend> {
        let all = self.backends().get_backend();
        all.iter().filter(|backend| self.backends().ready(backend)).cloned().collect()
    }

    /// Returns every target, and whether it counts as healthy.
    pub(super) fn state(&self) -> Vec<(Arc<Target>, bool)> {
        let all = self.backends().get_backend();
        let state = |backend: &Backend| Some((target_of(backend)?, self.backends().ready(backend)));
        all.iter().filter_map(state).collect()
    }

    fn backends(&self) -> &Backends {
        match &self.selector {
            Selector::Turns(balancer) => balancer.backends(),
            Selector::Ring(balancer) => balancer.backends(),
        }
    }
}

/// Returns the target of this turn or key, and whether it is healthy.
fn first_choice<S>(balancer: &LoadBalancer<S>, key: &[u8]) -> (Option<Arc<Target>>, bool)
where
    S: BackendSelection + 'static,
    S::Iter: BackendIter,
{
    let is_healthy = Cell::new(false);
    let first = balancer.select_with(key, 1, |_, healthy| {
        is_healthy.set(healthy);
        true
    });
    (first.as_ref().and_then(target_of), is_healthy.get())
}

fn selecting<S>(backends: BTreeSet<Backend>, health: Option<&Health>) -> LoadBalancer<S>
where
    S: BackendSelection + 'static,
    S::Iter: BackendIter,
{
    let listed = Static::new(backends);
    let view = match health {
        Some(health) => Backends::new_with_health_registry(listed, Arc::clone(health.registry())),
        None => Backends::new(listed),
    };
    let balancer = LoadBalancer::from_backends(view);
    let updated = futures_now(balancer.update());
    debug_assert!(updated, "a list that is here is read at once");
    balancer
}

/// Polls a future that has nothing to wait for.
fn futures_now<T, E>(future: impl Future<Output = Result<T, E>>) -> bool {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    matches!(std::pin::pin!(future).poll(&mut context), std::task::Poll::Ready(Ok(_)))
}

/// Returns the targets as pingora's backends.
fn backends(params: &BalanceParams) -> BTreeSet<Backend> {
    // Turns are taken weight by weight: small ones alternate where large ones would come in runs. A ring keeps the
    // weights as written, so that a target more or less leaves the points of the others where they are.
    let unit = match params.by {
        Selection::RoundRobin => params.targets.iter().map(|one| one.weight).fold(0, gcd).max(1),
        Selection::ConsistentHash => 1,
    };
    let backend = |one: &WeightedTarget| {
        let mut ext = Extensions::new();
        ext.insert(Arc::clone(&one.target));
        Backend { addr: socket::SocketAddr::Inet(address_of(&one.target)), weight: (one.weight / unit) as usize, ext }
    };
    params.targets.iter().map(backend).collect()
}

fn gcd(one: u32, other: u32) -> u32 {
    if other == 0 { one } else { gcd(other, one % other) }
}

/// Returns the address that stands for the URL; nothing is ever sent there.
fn address_of(target: &Target) -> SocketAddr {
    let Target { tls, host, port, path, query, settings: _ } = target;
    let scheme = if *tls { "https" } else { "http" };
    let url = format!("{scheme}://{host}:{port}{path}?{}", query.as_deref().unwrap_or_default());
    SocketAddr::new(Ipv6Addr::from(KeyHash::of(&url).0).into(), 0)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn params(by: Selection, targets: &[(&str, u32)]) -> BalanceParams {
        let weighted = targets.iter().map(|(name, weight)| {
            let target = Target::parse(&format!("http://{name}.internal:8080/hooks")).unwrap();
            WeightedTarget { target: Arc::new(target), weight: *weight }
        });
        BalanceParams { targets: Targets::new(weighted).unwrap(), by, health: None }
    }

    fn balancer(by: Selection, targets: &[(&str, u32)]) -> Balancer {
        Balancer::new(params(by, targets), None)
    }

    fn name(target: &Target) -> String {
        target.host.split('.').next().unwrap().to_owned()
    }

    fn count(balancer: &Balancer, picks: u32) -> BTreeMap<String, u32> {
        let mut counts = BTreeMap::new();
        for pick in 0..picks {
            *counts.entry(name(&balancer.pick(KeyHash::of(&pick.to_string())))).or_default() += 1;
        }
        counts
    }

    fn ill(balancer: &Balancer, ill: &[&str]) {
        let all = balancer.backends().get_backend();
        for backend in all.iter() {
            let is_ill = ill.contains(&name(&target_of(backend).unwrap()).as_str());
            balancer.backends().set_enable(backend, !is_ill);
        }
    }

    fn counts<const N: usize>(of: [(&str, u32); N]) -> BTreeMap<String, u32> {
        of.into_iter().map(|(name, count)| (name.to_owned(), count)).collect()
    }

    #[test]
    fn turns_are_taken_by_weight() {
        let turns = balancer(Selection::RoundRobin, &[("a", 3), ("b", 1)]);
        assert_eq!(count(&turns, 400), counts([("a", 300), ("b", 100)]));
        let alternating = balancer(Selection::RoundRobin, &[("a", 500), ("b", 500)]);
        assert_eq!(count(&alternating, 2), counts([("a", 1), ("b", 1)]));
    }

    #[test]
    fn an_unhealthy_target_gets_nothing_and_the_others_its_share_by_their_weights() {
        let turns = balancer(Selection::RoundRobin, &[("a", 600), ("b", 2), ("c", 1)]);
        ill(&turns, &["a"]);
        let counted = count(&turns, 603);
        assert_eq!(counted, counts([("b", 402), ("c", 201)]));
        ill(&turns, &[]);
        assert_eq!(count(&turns, 603), counts([("a", 600), ("b", 2), ("c", 1)]));
    }

    #[test]
    fn when_all_are_unhealthy_all_count_as_healthy() {
        for by in [Selection::RoundRobin, Selection::ConsistentHash] {
            let targets = [("a", 1), ("b", 1), ("c", 2)];
            let (well, unwell) = (balancer(by, &targets), balancer(by, &targets));
            ill(&unwell, &["a", "b", "c"]);
            assert_eq!(count(&unwell, 400), count(&well, 400), "{by:?}");
            assert_eq!(count(&unwell, 400).len(), 3, "{by:?}");
        }
    }

    /// Returns the target of each of a thousand keys.
    fn places(balancer: &Balancer) -> Vec<String> {
        (0..1000).map(|key: u32| name(&balancer.pick(KeyHash::of(&key.to_string())))).collect()
    }

    #[test]
    fn a_key_stays_at_its_target_over_restarts_and_in_any_order_of_the_file() {
        let one = balancer(Selection::ConsistentHash, &[("a", 2), ("b", 1), ("c", 1)]);
        let other = balancer(Selection::ConsistentHash, &[("c", 1), ("a", 2), ("b", 1)]);
        assert_eq!(places(&one), places(&one));
        assert_eq!(places(&one), places(&other));
        // A release that moves these keys moves the keys of every user.
        assert_eq!(places(&one)[..24].join(""), "caaaaccaaabaacbbbcacaabc");
        let counted = count(&one, 1000);
        assert!((400..600).contains(&counted["a"]) && (150..350).contains(&counted["b"]), "{counted:?}");
    }

    #[test]
    fn a_target_that_is_removed_moves_only_its_own_keys() {
        let before = places(&balancer(Selection::ConsistentHash, &[("a", 2), ("b", 1), ("c", 2)]));
        let after = places(&balancer(Selection::ConsistentHash, &[("a", 2), ("c", 2)]));
        for (key, (before, after)) in before.iter().zip(&after).enumerate() {
            assert!(before == after || before == "b", "key {key} moved from {before} to {after}");
        }
        assert!(after.iter().all(|place| place != "b"));
    }

    #[test]
    fn an_unhealthy_target_lends_its_keys_and_gets_them_back() {
        let ring = balancer(Selection::ConsistentHash, &[("a", 1), ("b", 300), ("c", 1)]);
        let before = places(&ring);
        ill(&ring, &["b"]);
        let meanwhile = places(&ring);
        for (before, meanwhile) in before.iter().zip(&meanwhile) {
            assert!(meanwhile != "b" && (before == "b" || before == meanwhile));
        }
        assert!(["a", "c"].iter().all(|name| meanwhile.iter().any(|place| place == name)));
        ill(&ring, &[]);
        assert_eq!(places(&ring), before);
    }

    #[test]
    fn targets_are_one_or_more() {
        assert!(Targets::new([]).is_none());
        let alone = params(Selection::RoundRobin, &[("a", 1)]);
        assert_eq!(alone.targets.only(), Some(alone.targets.first()));
        assert_eq!(params(Selection::RoundRobin, &[("a", 1), ("b", 1)]).targets.only(), None);
    }
}
