//! The due deliveries of one destination: a bounded window over the queue on disk.
//!
//! Memory holds at most [`WINDOW_EVENTS`] deliveries and [`WINDOW_BYTES`] of bodies per destination, never the backlog.
//! While a destination keeps up, the committer hands new deliveries straight into the window and the disk is not read.
//! Once the window overflows, range scans over the queue find the rest, oldest due time first.
//!
//! Invariants:
//! - A delivery in the window or in flight is *claimed*, and is nowhere twice. It stays claimed until the record of its
//!   end is stored, or until its [`Claim`] is dropped unsettled, which offers it again.
//! - Every unclaimed record on disk is due at or after `low_ms`, so a scan may begin there.
//! - A scan reads a snapshot while others commit. Deliveries that end meanwhile are remembered and dropped from its
//!   result; deliveries that are added meanwhile wait beside it. One scan runs at a time.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Delivery;

pub(crate) const WINDOW_EVENTS: usize = 512;
pub(crate) const WINDOW_BYTES: usize = 8 * 1024 * 1024;

/// The id of one delivery: the event's sequence, the number of its dispatch.
pub(crate) type CopyId = (u64, u16);

/// The changes while a scan is reading.
#[derive(Debug, Default)]
struct Meanwhile {
    /// Ended or rescheduled deliveries, which the snapshot may still show.
    gone: HashSet<CopyId>,
    /// Committed deliveries within the bounds, taken in if the scan has seen everything before them.
    fresh: Vec<Delivery>,
    fresh_bytes: usize,
    /// The earliest due time of the deliveries that were added on disk only.
    low_ms: Option<u64>,
}

#[derive(Debug, Default)]
struct State {
    ready: VecDeque<Delivery>,
    ready_bytes: usize,
    claimed: HashSet<CopyId>,
    /// True while no due delivery is on disk only.
    caught_up: bool,
    low_ms: u64,
    /// The due time of the next record that no scan has taken yet.
    next_due_ms: Option<u64>,
    scan: Option<Meanwhile>,
    /// Deliveries in flight.
    in_flight: u64,
    /// Retried deliveries that are in the window or in flight.
    come_back: u64,
}

/// A destination's window and the bell that rings when there is work.
#[derive(Debug, Default)]
pub(crate) struct Window {
    state: Mutex<State>,
    pub(crate) bell: Arc<tokio::sync::Notify>,
}

/// The answer to a worker that asks for work.
#[derive(Debug)]
pub(crate) enum Taken {
    /// The deliveries to make now.
    Deliveries(Vec<Delivery>),
    /// The disk is to be scanned first.
    Refill,
    /// No delivery before this time, or before the bell rings.
    Nothing { until_ms: Option<u64> },
}

/// The end of a scan.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ScanEnd {
    /// All due records were seen; the due time of the first later one.
    Complete { next_due_ms: Option<u64> },
    /// The scan stopped early at a record with this due time.
    Partial { last_due_ms: u64 },
}

/// A delivery in flight. Dropped unsettled (a cut-off attempt, a panic), the delivery is offered again.
#[derive(Debug)]
pub(crate) struct Claim {
    window: Arc<Window>,
    id: CopyId,
    due_ms: u64,
    is_rescheduled: bool,
}

impl Claim {
    /// Releases the claim after the end of the delivery was stored.
    pub(crate) fn ended(self) {
        self.window.release(&self, |_| {});
        self.disarm();
    }

    /// Releases the claim after the delivery's next due time was stored.
    pub(crate) fn rescheduled(self, due_ms: u64) {
        self.window.release(&self, |state| state.falls_due(due_ms));
        self.window.bell.notify_one();
        self.disarm();
    }

    /// Releases the claim of a delivery that the store does not know under its key. A batch that seemed to have failed
    /// has ended or rescheduled it; rescheduled, it is on disk with an unknown due time.
    pub(crate) fn stale(self) {
        self.window.release(&self, |state| {
            state.caught_up = false;
            state.on_disk_only(0);
        });
        self.window.bell.notify_one();
        self.disarm();
    }

    fn disarm(mut self) {
        // The drop below then finds a window without the claim.
        self.window = Arc::default();
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if self.window.state().claimed.contains(&self.id) {
            self.window.release(self, |state| {
                state.caught_up = false;
                state.on_disk_only(self.due_ms);
            });
            self.window.bell.notify_one();
        }
    }
}

impl State {
    /// Notes an unclaimed record with this due time.
    fn on_disk_only(&mut self, due_ms: u64) {
        self.low_ms = self.low_ms.min(due_ms);
        if let Some(meanwhile) = &mut self.scan {
            meanwhile.low_ms = Some(meanwhile.low_ms.map_or(due_ms, |low| low.min(due_ms)));
        }
    }

    /// Notes an unclaimed record on disk with this due time, and when to scan for it.
    fn falls_due(&mut self, due_ms: u64) {
        self.on_disk_only(due_ms);
        self.next_due_ms = Some(self.next_due_ms.map_or(due_ms, |next| next.min(due_ms)));
    }

    fn has_room(&self, bytes: usize) -> bool {
        let (count, held) = match &self.scan {
            Some(meanwhile) => (meanwhile.fresh.len(), meanwhile.fresh_bytes),
            None => (0, 0),
        };
        self.ready.len() + count < WINDOW_EVENTS && self.ready_bytes.saturating_add(held + bytes) <= WINDOW_BYTES
    }

    fn queue(&mut self, delivery: Delivery) {
        self.claimed.insert(delivery.id());
        self.ready_bytes += delivery.body_bytes();
        self.come_back += u64::from(delivery.is_rescheduled());
        self.ready.push_back(delivery);
    }
}

impl Window {
    fn state(&self) -> MutexGuard<'_, State> {
        // A panic while the lock is held leaves counters at worst; the records are on disk.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends a claim; `what` updates the window for what is left of the delivery.
    fn release(&self, claim: &Claim, what: impl FnOnce(&mut State)) {
        let mut state = self.state();
        state.claimed.remove(&claim.id);
        state.in_flight = state.in_flight.saturating_sub(1);
        state.come_back = state.come_back.saturating_sub(u64::from(claim.is_rescheduled));
        if let Some(meanwhile) = &mut state.scan {
            meanwhile.gone.insert(claim.id);
        }
        what(&mut state);
    }

    /// Resets the window after the store was opened. Deliveries in flight or in the window stay claimed.
    pub(crate) fn reset(&self) {
        let mut state = self.state();
        state.caught_up = false;
        state.on_disk_only(0);
        state.next_due_ms = None;
        drop(state);
        self.bell.notify_one();
    }

    /// Notes a delivery that entered the queue on disk with this due time.
    pub(crate) fn woken(&self, due_ms: u64) {
        self.state().falls_due(due_ms);
        self.bell.notify_one();
    }

    /// Hands a committed delivery to a request; `None` when a scan was faster, and the worker has the delivery.
    pub(crate) fn hand_out(self: &Arc<Self>, mut delivery: Delivery) -> Option<Delivery> {
        let mut state = self.state();
        if !state.claimed.insert(delivery.id()) {
            return None;
        }
        state.in_flight += 1;
        drop(state);
        delivery.claimed_by(Claim {
            window: Arc::clone(self),
            id: delivery.id(),
            due_ms: delivery.due_ms(),
            is_rescheduled: false,
        });
        Some(delivery)
    }

    /// Adds a committed delivery.
    pub(crate) fn push(&self, delivery: Delivery) {
        let mut state = self.state();
        let bytes = delivery.body_bytes();
        let due_ms = delivery.due_ms();
        // A scan may have found the record between its commit and this call.
        if !state.claimed.contains(&delivery.id()) {
            let (has_room, caught_up) = (state.has_room(bytes), state.caught_up);
            match &mut state.scan {
                Some(meanwhile) if has_room => {
                    meanwhile.fresh_bytes += bytes;
                    meanwhile.fresh.push(delivery);
                }
                None if caught_up && has_room => state.queue(delivery),
                _ => {
                    state.caught_up = false;
                    state.on_disk_only(due_ms);
                }
            }
        }
        drop(state);
        self.bell.notify_one();
    }

    /// Takes up to `max` deliveries.
    pub(crate) fn take(self: &Arc<Self>, max: usize, now_ms: u64) -> Taken {
        let mut state = self.state();
        let is_due = state.next_due_ms.is_some_and(|due| due <= now_ms);
        // Due retries must not starve behind a steady flow of new events.
        if state.scan.is_none()
            && (is_due || (state.ready.is_empty() && !state.caught_up))
            && state.ready.len() < WINDOW_EVENTS
        {
            return Taken::Refill;
        }
        if state.ready.is_empty() {
            return Taken::Nothing { until_ms: state.next_due_ms.filter(|_| state.scan.is_none()) };
        }
        let count = max.min(state.ready.len());
        let mut taken: Vec<Delivery> = state.ready.drain(..count).collect();
        let bytes: usize = taken.iter().map(Delivery::body_bytes).sum();
        state.ready_bytes = state.ready_bytes.saturating_sub(bytes);
        state.in_flight += taken.len() as u64;
        drop(state);
        for delivery in &mut taken {
            let (id, due_ms, is_rescheduled) = (delivery.id(), delivery.due_ms(), delivery.is_rescheduled());
            delivery.claimed_by(Claim { window: Arc::clone(self), id, due_ms, is_rescheduled });
        }
        Taken::Deliveries(taken)
    }

    /// Starts a scan and returns its lower bound; `None` while another one reads.
    pub(crate) fn scan_start(&self) -> Option<u64> {
        let mut state = self.state();
        if state.scan.is_some() {
            return None;
        }
        state.scan = Some(Meanwhile::default());
        Some(state.low_ms)
    }

    pub(crate) fn is_claimed(&self, id: CopyId) -> bool {
        self.state().claimed.contains(&id)
    }

    /// Takes in the result of a scan, and the deliveries added meanwhile.
    pub(crate) fn scanned(&self, found: Vec<Delivery>, end: ScanEnd, now_ms: u64) {
        let mut state = self.state();
        let meanwhile = state.scan.take().unwrap_or_default();
        for delivery in found {
            if meanwhile.gone.contains(&delivery.id()) || state.claimed.contains(&delivery.id()) {
                continue;
            }
            state.queue(delivery);
        }
        let fresh_low_ms = meanwhile.fresh.iter().map(Delivery::due_ms).min();
        match end {
            ScanEnd::Complete { next_due_ms } => {
                for delivery in meanwhile.fresh {
                    if !state.claimed.contains(&delivery.id()) {
                        state.queue(delivery);
                    }
                }
                state.caught_up = meanwhile.low_ms.is_none();
                state.next_due_ms = next_due_ms;
                state.low_ms = next_due_ms.unwrap_or(now_ms);
            }
            ScanEnd::Partial { last_due_ms } => {
                state.caught_up = false;
                state.low_ms = last_due_ms.min(fresh_low_ms.unwrap_or(u64::MAX));
            }
        }
        if let Some(low_ms) = meanwhile.low_ms {
            state.low_ms = state.low_ms.min(low_ms);
            state.next_due_ms = Some(state.next_due_ms.map_or(low_ms, |next| next.min(low_ms)));
        }
        drop(state);
        self.bell.notify_one();
    }

    /// Ends a scan that could not read; deliveries added meanwhile are on disk.
    pub(crate) fn scan_failed(&self) {
        let mut state = self.state();
        if let Some(meanwhile) = state.scan.take() {
            state.caught_up = false;
            let low_ms = meanwhile.fresh.iter().map(Delivery::due_ms).chain(meanwhile.low_ms).min();
            state.low_ms = state.low_ms.min(low_ms.unwrap_or(u64::MAX));
        }
        drop(state);
        self.bell.notify_one();
    }

    /// Returns the number of deliveries in flight, and of retried deliveries in the window or in flight.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let state = self.state();
        (state.in_flight, state.come_back)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffer::keys::{DestinationId, QueueKey, QueueValue};
    use crate::clock::Timestamp;
    use crate::event::{EventData, EventId};

    fn delivery(seq: u64, due_ms: u64) -> Delivery {
        let at = Timestamp::from_unix_ms(due_ms);
        let event = EventData::sample(EventId::at(at, [0; 10]), at);
        let value = QueueValue { attempts: 0, bytes: 2, since_ms: due_ms, lane: None };
        Delivery::new(QueueKey { destination: DestinationId(1), due_ms, seq, copy: 0 }, value, Arc::new(event))
    }

    fn caught_up() -> Arc<Window> {
        let window = Arc::new(Window::default());
        assert!(window.scan_start().is_some());
        window.scanned(Vec::new(), ScanEnd::Complete { next_due_ms: None }, 100);
        window
    }

    fn take(window: &Arc<Window>, now_ms: u64) -> Vec<Delivery> {
        match window.take(100, now_ms) {
            Taken::Deliveries(taken) => taken,
            Taken::Refill | Taken::Nothing { .. } => Vec::new(),
        }
    }

    #[test]
    fn what_a_scan_and_the_committer_both_found_is_delivered_once() {
        let window = Arc::new(Window::default());
        window.scan_start();
        window.scanned(vec![delivery(1, 10)], ScanEnd::Complete { next_due_ms: None }, 20);
        window.push(delivery(1, 10));
        assert_eq!(take(&window, 20).len(), 1);
        assert!(take(&window, 20).is_empty());
    }

    #[test]
    fn what_ended_while_a_scan_was_reading_does_not_come_back() {
        let window = caught_up();
        window.push(delivery(1, 10));
        let mut taken = take(&window, 20);
        window.scan_start();
        taken.pop().unwrap().into_claim().unwrap().ended();
        window.scanned(vec![delivery(1, 10)], ScanEnd::Complete { next_due_ms: None }, 20);
        assert!(take(&window, 20).is_empty());
        assert_eq!(window.counts(), (0, 0));
    }

    #[test]
    fn what_was_pushed_during_a_scan_is_not_left_behind_its_bound() {
        let window = Arc::new(Window::default());
        window.scan_start();
        window.push(delivery(2, 10));
        window.scanned(vec![delivery(1, 20)], ScanEnd::Partial { last_due_ms: 20 }, 30);
        assert_eq!(take(&window, 30).len(), 1);
        assert_eq!(window.scan_start(), Some(10));
    }

    #[test]
    fn what_was_pushed_during_a_complete_scan_follows_without_another_one() {
        let window = Arc::new(Window::default());
        window.scan_start();
        window.push(delivery(2, 10));
        window.scanned(vec![delivery(1, 5)], ScanEnd::Complete { next_due_ms: None }, 30);
        let taken = take(&window, 30);
        assert_eq!(taken.len(), 2);
        assert!(matches!(window.take(1, 30), Taken::Nothing { until_ms: None }));
    }

    #[test]
    fn a_delivery_that_is_dropped_unsettled_is_offered_again() {
        let window = caught_up();
        window.push(delivery(1, 10));
        drop(take(&window, 20));
        assert!(matches!(window.take(1, 20), Taken::Refill));
        assert_eq!(window.scan_start(), Some(10));
        assert_eq!(window.counts().0, 0);
    }

    #[test]
    fn a_rescheduled_delivery_is_looked_for_when_it_falls_due() {
        let window = caught_up();
        window.push(delivery(1, 10));
        take(&window, 20).pop().unwrap().into_claim().unwrap().rescheduled(500);
        assert!(matches!(window.take(1, 20), Taken::Nothing { until_ms: Some(500) }));
        assert!(matches!(window.take(1, 500), Taken::Refill));
    }
}
