//! Records of an ended attempt, beside its health: the trouble of its destination, the kept answer, and the time that
//! the delivery took.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::attempt::{Answer, Target};
use super::throttle::{Standing, Throttle};
use super::trouble::LastError;
use super::{Deliverer, Destination};
use crate::buffer::{Delivery, KeptAnswer};
use crate::outcome::{Attempt, AttemptOutcome, Settled};

impl Deliverer {
    /// Notes the attempt's effect on its destination, beside its health.
    pub(super) fn note(&self, post: &Throttle, (attempt, settled): (&Attempt, &Settled), target: &Target) {
        let now = Instant::now();
        match settled {
            Settled::Delivered => post.succeeded(now),
            Settled::Again { wait, counts } => {
                if !counts {
                    post.pause(*wait, now);
                }
                let (at, target, detail) = (self.clock.now(), target.label(), attempt.detail.clone());
                post.failed(LastError { at, target, status: attempt.status, detail }, now);
            }
            // The destination has given a final answer, or the delivery is given up: no retry follows.
            Settled::Dead(_) | Settled::Parked(_) => {}
        }
    }

    /// Returns the part of an answer that is kept with the delivery; `None` where the destination keeps no answers, and
    /// for a success with an empty body.
    pub(super) fn kept(&self, destination: &Destination, answer: &Answer) -> Option<Box<KeptAnswer>> {
        let is_empty = answer.body.is_empty() && AttemptOutcome::of_status(answer.status) == AttemptOutcome::Success;
        if destination.keep_answer == 0 || is_empty {
            return None;
        }
        let (body, now) = ((&answer.body, answer.is_whole), self.clock.now());
        let text = |name: &str| answer.headers.get(name).and_then(|value| value.to_str().ok());
        let kept = KeptAnswer::new((answer.status, now), body, destination.keep_answer);
        Some(Box::new(kept.with_headers(text("content-type"), text("content-encoding"))))
    }

    /// Returns the time from the acceptance of a delivery's event to now. An unreadable event does not say when it was
    /// accepted: its delivery counts from when it was due.
    pub(super) fn latency(&self, delivery: &Delivery) -> Duration {
        match delivery.event() {
            Some(event) => self.clock.now().since(event.received_at()),
            None => self.age(delivery),
        }
    }

    /// Returns the time since a delivery began to be due, which `give_up_after` bounds.
    pub(super) fn age(&self, delivery: &Delivery) -> Duration {
        self.buffer.now().since(delivery.since())
    }

    /// Returns the current state of a destination; `None` before its first attempt, and for an unknown name.
    pub fn standing(&self, destination: &str) -> Option<Standing> {
        let posts = self.posts.lock().unwrap_or_else(PoisonError::into_inner);
        let post = Arc::clone(posts.get(destination)?);
        drop(posts);
        Some(post.standing(Instant::now()))
    }
}
