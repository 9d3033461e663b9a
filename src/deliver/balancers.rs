//! The balancers in force, one for each destination that needs one.
//!
//! A destination with one target and no health check needs none. A reload that changes nothing about a destination's
//! targets leaves its balancer and its state as they are. A reload that does puts another balancer in its place at
//! once, which takes over the state of health. An attempt that has begun keeps its target.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::attempt::{Target, Transport};
use super::balance::Balancer;
use super::health::Health;
use super::{Destination, Destinations};
use crate::event::KeyHash;
use crate::telemetry::Telemetry;

type Running = HashMap<Arc<str>, Arc<Balancer>>;

/// The balancers in force.
pub(super) struct Balancers {
    client: Arc<dyn Transport>,
    telemetry: Telemetry,
    running: ArcSwap<Running>,
}

impl Balancers {
    /// Makes the set without any balancer.
    pub(super) fn new(client: Arc<dyn Transport>, telemetry: Telemetry) -> Self {
        Self { client, telemetry, running: ArcSwap::default() }
    }

    /// Returns the target for the next attempt of a dispatch with this key.
    pub(super) fn pick(&self, destination: &Destination, key: KeyHash) -> Arc<Target> {
        let targets = &destination.balance.targets;
        if let Some(only) = targets.only() {
            return Arc::clone(only);
        }
        // A new destination may get an attempt before its balancer exists.
        self.running.load().get(&destination.name).map_or_else(|| Arc::clone(targets.first()), |it| it.pick(key))
    }

    /// Puts the balancers of `destinations` in force, and returns the health checks to start. Called by one task only.
    pub(super) fn adopt(&self, destinations: &Destinations) -> Vec<Arc<Health>> {
        let before = self.running.load_full();
        let needs_one = |one: &&Arc<Destination>| one.balance.targets.only().is_none() || one.balance.health.is_some();
        let running: Running = destinations
            .values()
            .filter(needs_one)
            .map(|destination| (Arc::clone(&destination.name), self.balancer(destination, &before)))
            .collect();
        for gone in health_in(&before, &running) {
            gone.show(Vec::new);
        }
        let is_same = |(name, now): &(&Arc<str>, &Arc<Balancer>)| {
            before.get(*name).is_some_and(|before| Arc::ptr_eq(before, now))
        };
        running.iter().filter(|one| !is_same(one)).for_each(|(_, now)| {
            if let Some(health) = now.health() {
                health.show(|| now.state());
            }
        });
        let new = health_in(&running, &before);
        self.running.store(Arc::new(running));
        new
    }

    fn balancer(&self, destination: &Destination, before: &Running) -> Arc<Balancer> {
        let before = before.get(&destination.name);
        if let Some(same) = before.filter(|before| *before.params() == destination.balance) {
            return Arc::clone(same);
        }
        let health = destination.balance.health.as_ref().map(|params| {
            let known = before.and_then(|before| before.health()).filter(|known| known.params() == params);
            known.cloned().unwrap_or_else(|| {
                let (client, telemetry) = (Arc::clone(&self.client), self.telemetry.clone());
                Arc::new(Health::new(params.clone(), &destination.name, client, telemetry))
            })
        });
        Arc::new(Balancer::new(destination.balance.clone(), health))
    }
}

/// Returns the health states in `here` that are not in `there`.
fn health_in(here: &Running, there: &Running) -> Vec<Arc<Health>> {
    let known = |(name, balancer): (&Arc<str>, &Arc<Balancer>)| {
        let health = balancer.health()?;
        let there = there.get(name).and_then(|there| there.health());
        there.is_none_or(|there| !Arc::ptr_eq(there, health)).then(|| Arc::clone(health))
    };
    here.iter().filter_map(known).collect()
}
