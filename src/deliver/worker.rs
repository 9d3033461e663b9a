//! The worker of a destination: asks its throttle how many attempts may begin, takes as many deliveries, and begins
//! them.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::attempt::Bounds;
use super::throttle::{Throttle, Turn};
use super::trouble::{Observation, TroubleReport};
use super::{ANSWER_BYTES_MAX, ANSWER_TIME, Deliverer, Destination, HELD_BACK, HELD_BACK_SPREAD, report};
use crate::buffer::Delivery;
use crate::outcome::{DeathCause, Settled};
use crate::telemetry::Deferral;

/// The longest time between two looks at the configuration and at overdue deliveries.
const LOOK_UP: Duration = Duration::from_secs(1);
/// The most overdue deliveries that are given up at a time.
const OVERDUE_MAX: usize = 64;

impl Deliverer {
    /// Runs one destination's worker; ends when the destination is removed from the configuration or at `stop`.
    pub(super) async fn work(self, name: Arc<str>, mut stop: watch::Receiver<bool>, grace: Duration) {
        let mut tries = JoinSet::new();
        if let Some(destination) = self.destinations.load().get(&name)
            && self.buffer.counters(&name).queued > 0
        {
            self.throttle(destination).starts_with_backlog(Instant::now());
        }
        loop {
            let Some(destination) = self.destinations.load().get(&name).cloned() else { break };
            if self.work_with(&destination, &mut tries, &mut stop).await {
                break;
            }
        }
        let finishing = async { while tries.join_next().await.is_some() {} };
        if tokio::time::timeout(grace, finishing).await.is_err() {
            tracing::warn!(destination = %name, "attempts were cut off at the end of the grace period; they will be made again");
        }
    }

    /// Works under one configuration; returns true when it is time to stop.
    async fn work_with(
        &self,
        destination: &Arc<Destination>,
        tries: &mut JoinSet<()>,
        stop: &mut watch::Receiver<bool>,
    ) -> bool {
        let post = self.throttle(destination);
        let mut looked_up = Instant::now();
        loop {
            while let Some(ended) = tries.try_join_next() {
                report(ended);
            }
            let bell = post.bell.notified();
            let now = Instant::now();
            match post.turn(now) {
                Turn::UpTo(max) => {
                    let taken = tokio::select! {
                        biased;
                        _ = stop.wait_for(|stopping| *stopping) => return true,
                        taken = self.buffer.take(&destination.name, max) => taken,
                        () = tokio::time::sleep(LOOK_UP) => Vec::new(),
                    };
                    for delivery in taken {
                        // A reload came during the wait. Dropped deliveries are offered again, under the new rules.
                        if !self.is_current(destination) {
                            return false;
                        }
                        self.begin(destination, &post, delivery, tries).await;
                    }
                }
                Turn::Wait(until, deferral) => {
                    if self.buffer.depth(&destination.name).ready > 0 {
                        self.telemetry.deferred(&destination.name, deferral);
                    }
                    let soon = now + LOOK_UP;
                    tokio::select! {
                        biased;
                        _ = stop.wait_for(|stopping| *stopping) => return true,
                        () = bell => {}
                        () = tokio::time::sleep_until(until.map_or(soon, |until| until.min(soon))) => {}
                    }
                }
            }
            if looked_up.elapsed() >= LOOK_UP {
                looked_up = Instant::now();
                if post.is_closed(looked_up) {
                    self.give_up_overdue(destination).await;
                }
                self.tell_trouble(destination, &post, looked_up);
            }
            if !self.is_current(destination) {
                return false;
            }
        }
    }

    /// Logs that a destination is in trouble, or well again, when that is due.
    fn tell_trouble(&self, destination: &Destination, post: &Throttle, now: Instant) {
        let (name, depth) = (&destination.name, self.buffer.depth(&destination.name));
        let observation = Observation {
            is_open: false,
            waiting: depth.ready + depth.scheduled,
            ready: depth.ready,
            concurrency: destination.concurrency as u64,
        };
        match post.look(observation, now) {
            Some((TroubleReport::Troubled(troubled), next_probe)) => {
                let next_probe = next_probe.map(|until| until.saturating_duration_since(now));
                self.telemetry.in_trouble(name, &troubled, self.buffer.oldest_age(name), next_probe);
            }
            Some((TroubleReport::WellAgain(well), _)) => self.telemetry.well_again(name, &well),
            None => {}
        }
    }

    /// Checks whether no reload has replaced or removed the destination.
    fn is_current(&self, destination: &Arc<Destination>) -> bool {
        self.destinations.load().get(&destination.name).is_some_and(|now| Arc::ptr_eq(now, destination))
    }

    /// Begins the attempt of one delivery, or defers it.
    async fn begin(
        &self,
        destination: &Arc<Destination>,
        post: &Arc<Throttle>,
        delivery: Delivery,
        tries: &mut JoinSet<()>,
    ) {
        let now = Instant::now();
        if !self.retries.admit(delivery.is_retry(), now) {
            if destination.policy.is_too_old(self.age(&delivery)) {
                return self.bury(destination, delivery, DeathCause::Expired).await;
            }
            self.telemetry.deferred(&destination.name, Deferral::Rate);
            let wait = HELD_BACK + HELD_BACK_SPREAD.mul_f64((self.chance)());
            let settled = Settled::Again { wait, counts: false };
            return self.buffer.settle(delivery, settled, destination.keep, None).await;
        }
        match post.begin(now) {
            // The delivery goes back unchanged, and is offered again.
            Err(deferral) => self.telemetry.deferred(&destination.name, deferral),
            Ok(permit) => {
                let bounds = Bounds {
                    connect: destination.connect_timeout,
                    total: destination.timeout,
                    answer_time: ANSWER_TIME,
                    answer_bytes_max: ANSWER_BYTES_MAX.max(destination.keep_answer),
                };
                let trying = self.clone().deliver(Arc::clone(destination), delivery, permit, bounds);
                tries.spawn(async move {
                    drop(trying.await);
                });
            }
        }
    }

    /// Gives up deliveries that cannot be attempted now and are older than `give_up_after`.
    async fn give_up_overdue(&self, destination: &Destination) {
        if !destination.policy.is_too_old(self.buffer.oldest_age(&destination.name)) {
            return;
        }
        for delivery in self.buffer.take_now(&destination.name, OVERDUE_MAX).await {
            if destination.policy.is_too_old(self.age(&delivery)) {
                self.bury(destination, delivery, DeathCause::Expired).await;
            }
        }
    }
}
