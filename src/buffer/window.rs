//! What is due, per destination: a bounded window over the queue on disk.
//!
//! Memory holds at most [`WINDOW_EVENTS`] deliveries and [`WINDOW_BYTES`] of bodies per destination, never the backlog.
//! While a destination keeps up, the committer hands new deliveries straight into the window and disk is not read; once
//! the window overflows, the rest is found by range scans over the queue, oldest due time first.
//!
//! Invariant: a delivery in the window or in an attempt is `claimed`, and a scan skips it. It stays claimed until the
//! record of its end is in the store.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use super::Delivery;

pub(crate) const WINDOW_EVENTS: usize = 512;
pub(crate) const WINDOW_BYTES: usize = 8 * 1024 * 1024;

/// How a destination's backlog divides, for the `queue_events` gauge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueDepth {
    /// Due and waiting for a free attempt.
    pub ready: u64,
    /// Waiting for their time: retries and deferrals.
    pub scheduled: u64,
    /// In an attempt now.
    pub in_flight: u64,
}

#[derive(Debug, Default)]
struct State {
    ready: VecDeque<Delivery>,
    ready_bytes: usize,
    claimed: HashSet<(u64, u16)>,
    /// Nothing that is due is on disk only.
    caught_up: bool,
    /// Every unclaimed queue record of this destination is due at or after this.
    low_ms: u64,
    /// When the next record falls due that no scan has taken yet.
    next_due_ms: Option<u64>,
    /// Counts what was added, so that a scan notices what came meanwhile.
    generation: u64,
    depth: u64,
    scheduled: u64,
    in_flight: u64,
}

/// A destination's window and the bell that rings when there is something to do.
#[derive(Debug, Default)]
pub(crate) struct Window {
    state: Mutex<State>,
    pub(crate) bell: Arc<tokio::sync::Notify>,
}

/// What a worker gets when it asks for work.
#[derive(Debug)]
pub(crate) enum Taken {
    /// These, now.
    Deliveries(Vec<Delivery>),
    /// The window is empty; look on disk.
    Refill,
    /// Nothing before this time, or before the bell rings.
    Nothing { until_ms: Option<u64> },
}

/// Where a scan begins, and how it notices what came meanwhile.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ScanStart {
    pub(crate) low_ms: u64,
    generation: u64,
}

/// How far a scan came.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ScanEnd {
    /// All that is due was seen; the first record that is not.
    Complete { next_due_ms: Option<u64> },
    /// Stopped early at a record due then.
    Partial { last_due_ms: u64 },
}

impl Window {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        // A panic while the lock is held leaves counters at worst; the records are on disk.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A delivery found on disk when the buffer was opened.
    pub(crate) fn count_found(&self, is_due: bool) {
        let mut state = self.state();
        state.depth += 1;
        if !is_due {
            state.scheduled += 1;
        }
    }

    /// A delivery was committed.
    pub(crate) fn push(&self, delivery: Delivery) {
        let mut state = self.state();
        state.depth += 1;
        state.generation += 1;
        let bytes = delivery.event.body.len();
        let fits = state.ready.len() < WINDOW_EVENTS && state.ready_bytes.saturating_add(bytes) <= WINDOW_BYTES;
        if state.caught_up && fits {
            state.claimed.insert((delivery.key.seq, delivery.key.copy));
            state.ready_bytes += bytes;
            state.ready.push_back(delivery);
        } else {
            state.caught_up = false;
            state.low_ms = state.low_ms.min(delivery.key.due_ms);
        }
        drop(state);
        self.bell.notify_one();
    }

    /// Up to `max` deliveries.
    pub(crate) fn take(&self, max: usize, now_ms: u64) -> Taken {
        let mut state = self.state();
        if state.ready.is_empty() {
            let due = state.next_due_ms.is_some_and(|due| due <= now_ms);
            if !state.caught_up || due {
                return Taken::Refill;
            }
            return Taken::Nothing { until_ms: state.next_due_ms };
        }
        let count = max.min(state.ready.len());
        let taken: Vec<Delivery> = state.ready.drain(..count).collect();
        let bytes: usize = taken.iter().map(|delivery| delivery.event.body.len()).sum();
        state.ready_bytes = state.ready_bytes.saturating_sub(bytes);
        state.in_flight += taken.len() as u64;
        Taken::Deliveries(taken)
    }

    pub(crate) fn scan_start(&self) -> ScanStart {
        let state = self.state();
        ScanStart { low_ms: state.low_ms, generation: state.generation }
    }

    pub(crate) fn is_claimed(&self, seq: u64, copy: u16) -> bool {
        self.state().claimed.contains(&(seq, copy))
    }

    /// Takes in what a scan found.
    pub(crate) fn scanned(&self, start: ScanStart, found: Vec<Delivery>, end: ScanEnd, now_ms: u64) {
        let mut state = self.state();
        for delivery in found {
            if !state.claimed.insert((delivery.key.seq, delivery.key.copy)) {
                continue;
            }
            if delivery.key.due_ms != delivery.event.received_at_ms {
                state.scheduled = state.scheduled.saturating_sub(1);
            }
            state.ready_bytes += delivery.event.body.len();
            state.ready.push_back(delivery);
        }
        match end {
            ScanEnd::Partial { last_due_ms } => state.low_ms = last_due_ms,
            ScanEnd::Complete { next_due_ms } if state.generation == start.generation => {
                state.caught_up = true;
                state.next_due_ms = next_due_ms;
                state.low_ms = next_due_ms.unwrap_or(now_ms).min(now_ms);
            }
            // Something was committed while we looked; look again.
            ScanEnd::Complete { .. } => state.caught_up = false,
        }
    }

    /// A record that cannot be read is left where it is and not offered again.
    pub(crate) fn skip_forever(&self, seq: u64, copy: u16) {
        self.state().claimed.insert((seq, copy));
    }

    /// A delivery's end is in the store.
    pub(crate) fn ended(&self, seq: u64, copy: u16) {
        let mut state = self.state();
        state.claimed.remove(&(seq, copy));
        state.in_flight = state.in_flight.saturating_sub(1);
        state.depth = state.depth.saturating_sub(1);
    }

    /// A delivery's next time is in the store.
    pub(crate) fn rescheduled(&self, seq: u64, copy: u16, due_ms: u64) {
        let mut state = self.state();
        state.claimed.remove(&(seq, copy));
        state.in_flight = state.in_flight.saturating_sub(1);
        state.scheduled += 1;
        state.generation += 1;
        state.low_ms = state.low_ms.min(due_ms);
        state.next_due_ms = Some(state.next_due_ms.map_or(due_ms, |next| next.min(due_ms)));
        drop(state);
        self.bell.notify_one();
    }

    pub(crate) fn depth(&self) -> QueueDepth {
        let state = self.state();
        let scheduled = state.scheduled.min(state.depth);
        let in_flight = state.in_flight.min(state.depth - scheduled);
        QueueDepth { ready: state.depth - scheduled - in_flight, scheduled, in_flight }
    }
}
