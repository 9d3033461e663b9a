//! `mode: sync`: the event is stored first, then forwarded while its sender waits.
//!
//! Exactly one party answers the sender. It is the service, when its answer comes before the deadline and ends this
//! delivery. Otherwise it is the gateway, with the provider's accepted answer, and the delivery goes on: the same
//! attempt until the destination's own timeout, then the worker. The gateway also answers in two cases in which the
//! service's answer ends the delivery: a body that did not come whole, and a redirect, which the sender could not follow
//! and whose Location names an internal address. Both ends are recorded: the delivery's in its status, the answer's in
//! `hookgate_sync_answers_total` and the log.

use std::sync::{Arc, PoisonError};

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::Deliverer;
use super::attempt::{Answer, Bounds};
use crate::buffer::{Committed, NotStored};
use crate::event::Event;
use crate::outcome::Settled;

/// The largest answer that is passed back, in bytes.
const SYNC_ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// The result of an event whose sender waits.
#[derive(Debug)]
pub struct Forwarded {
    /// The result of storing the event.
    pub committed: Committed,
    /// The party that answers the sender.
    pub answer: SyncAnswer,
}

/// The party that answers a waiting sender. The service's answer comes with it.
#[derive(Debug)]
pub enum SyncAnswer {
    /// The service, with its own answer.
    Service(Answer),
    /// The gateway: the service's answer ended the delivery, and its body did not come whole.
    Cut,
    /// The gateway: the service's answer was the last word on the delivery, and a redirect.
    Redirect,
    /// The gateway: the service has not said the last word.
    Gateway,
}

impl Deliverer {
    /// Stores a verified event, forwards its first dispatch and waits for the answer, until `deadline` at most.
    pub async fn forward(&self, event: Event, deadline: Instant) -> Result<Forwarded, NotStored> {
        let destination = event.data().copies.first().map(|copy| Arc::clone(&copy.destination));
        let destination = destination.and_then(|name| self.destinations.load().get(&name).cloned());
        let (committed, delivery) = self.buffer.append_and_hold(event).await?;
        let (Some(destination), Some(delivery)) = (destination, delivery) else {
            return Ok(Forwarded { committed, answer: SyncAnswer::Gateway });
        };
        // Asked for only now: a failure to store says nothing of the service.
        let Ok(permit) = self.throttle(&destination).begin(Instant::now()) else {
            // The delivery is dropped here, and its claim offers it to the worker.
            return Ok(Forwarded { committed, answer: SyncAnswer::Gateway });
        };
        let bounds = Bounds {
            connect: destination.connect_timeout,
            total: destination.timeout,
            answer_time: destination.timeout,
            answer_bytes_max: SYNC_ANSWER_BYTES_MAX,
        };
        let (tell, told) = oneshot::channel();
        let trying = self.clone().deliver(destination, delivery, permit, bounds);
        let errand = async move {
            if let Some(last_word) = trying.await.and_then(last_word)
                && tell.send(last_word).is_err()
            {
                tracing::debug!("a service answered after the deadline; the gateway had answered");
            }
        };
        self.spawn(errand);
        // Dropped at the deadline, the receiver takes no answer any more: a later one is late for certain.
        let answer = tokio::time::timeout_at(deadline, told).await.ok().and_then(Result::ok);
        let answer = answer.unwrap_or(SyncAnswer::Gateway);
        Ok(Forwarded { committed, answer })
    }

    /// Aborts the attempts in flight as a crash does, for the simulation.
    #[cfg(test)]
    pub(crate) fn cut_off(&self) {
        self.errands.lock().unwrap_or_else(PoisonError::into_inner).abort_all();
    }

    fn spawn(&self, errand: impl Future<Output = ()> + Send + 'static) {
        let mut errands = self.errands.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(ended) = errands.try_join_next() {
            super::report(ended);
        }
        errands.spawn(errand);
    }
}

/// Returns the answer, when the delivery has ended with it: any other answer is retried, and is not for the sender.
fn last_word((answer, settled): (Answer, Settled)) -> Option<SyncAnswer> {
    match settled {
        Settled::Dead(_) | Settled::Parked(_) if matches!(answer.status, 300..=399) => Some(SyncAnswer::Redirect),
        Settled::Delivered | Settled::Dead(_) | Settled::Parked(_) if answer.is_whole => {
            Some(SyncAnswer::Service(answer))
        }
        Settled::Delivered | Settled::Dead(_) | Settled::Parked(_) => Some(SyncAnswer::Cut),
        Settled::Again { .. } => None,
    }
}
