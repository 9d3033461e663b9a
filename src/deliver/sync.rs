//! `mode: sync`: the event is stored first, then forwarded while its sender waits.
//!
//! Exactly one answers the sender: the service, when its answer comes before the deadline and is the last word on this
//! delivery; otherwise the gateway, with the provider's accepted answer, and the delivery goes on by itself: the same try
//! until the destination's own timeout, then the worker. Both ends are recorded: the delivery's in its fate, the answer's
//! in `hookgate_sync_answers_total` and the log.

use std::sync::{Arc, PoisonError};

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::Deliverer;
use super::attempt::{Answer, Bounds};
use crate::buffer::{Committed, NotStored};
use crate::event::Event;
use crate::outcome::Settled;

/// The largest answer that is passed back.
const SYNC_ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// What became of an event whose sender waits.
#[derive(Debug)]
pub struct Forwarded {
    /// It is stored, or it was already.
    pub committed: Committed,
    /// The service's own answer; without one the gateway answers.
    pub answer: Option<Answer>,
}

impl Deliverer {
    /// Stores a verified event, forwards its first copy and waits for the answer, until `deadline` at most.
    pub async fn forward(&self, event: Event, deadline: Instant) -> Result<Forwarded, NotStored> {
        let destination = event.data().copies.first().map(|copy| Arc::clone(&copy.destination));
        let destination = destination.and_then(|name| self.destinations.load().get(&name).cloned());
        let permit = destination.as_ref().and_then(|destination| self.post(destination).begin(Instant::now()).ok());
        let (Some(destination), Some(permit)) = (destination, permit) else {
            let committed = self.buffer.append(event).await?;
            return Ok(Forwarded { committed, answer: None });
        };
        let (committed, delivery) = self.buffer.append_and_hold(event).await?;
        let Some(delivery) = delivery else {
            permit.ended(super::Verdict::Unknown);
            return Ok(Forwarded { committed, answer: None });
        };
        let bounds = Bounds {
            connect: destination.connect_timeout,
            total: destination.timeout,
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
        // Dropped at the deadline, it takes nothing any more: what comes later is late for certain.
        let answer = tokio::time::timeout_at(deadline, told).await.ok().and_then(Result::ok);
        Ok(Forwarded { committed, answer })
    }

    /// What a crash does to tries under way. For the simulation.
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

/// The answer, when the delivery has ended with it: anything else will be tried again, and is not for the sender.
fn last_word((answer, settled): (Answer, Settled)) -> Option<Answer> {
    match settled {
        Settled::Delivered | Settled::Dead(_) | Settled::Parked(_) if answer.is_whole => Some(answer),
        Settled::Delivered | Settled::Dead(_) | Settled::Parked(_) | Settled::Again { .. } => None,
    }
}
