//! The counts of a self-test: the answered events, the arrived ones, and those that arrived byte for byte.
//!
//! A body is made of its number alone, so that the receiver can tell whether it is whole. Memory: [`EVENTS_MAX`] events
//! of a few dozen bytes.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::event::EventId;

/// The limit of events.
const EVENTS_MAX: u64 = 2_000_000;
const FILL_BYTES_MAX: u64 = 3000;

/// The arrivals of one event at the receiver.
#[derive(Clone, Copy, Debug)]
struct Arrived {
    number: u64,
    times: u32,
}

/// The events of a self-test.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    next: AtomicU64,
    answered: Mutex<HashMap<EventId, u64>>,
    arrived: Mutex<HashMap<EventId, Arrived>>,
    changed: AtomicU64,
    /// True if the receiver takes events now; refused ones wait in the gateway and have to survive there.
    pub(super) is_taking: AtomicBool,
}

/// The result of a self-test.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Balance {
    pub(super) answered: u64,
    pub(super) lost: u64,
    /// Events that arrived with other bytes than were sent.
    pub(super) changed: u64,
    /// Repeated arrivals, each counted.
    pub(super) again: u64,
}

impl Accounts {
    /// Returns the next event to send; `None` when enough were made.
    pub(super) fn next(&self) -> Option<(u64, Bytes)> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        (number < EVENTS_MAX).then(|| (number, body(number)))
    }

    /// Notes that the gateway answered this event as accepted.
    pub(super) fn answered(&self, id: EventId, number: u64) {
        lock(&self.answered).insert(id, number);
    }

    /// Notes a delivery; returns whether it was taken.
    pub(super) fn arrives(&self, id: &str, bytes: &[u8]) -> bool {
        if !self.is_taking.load(Ordering::Relaxed) {
            return false;
        }
        let number = number(bytes).filter(|number| body(*number) == bytes);
        if let (Some(id), Some(number)) = (EventId::parse(id), number) {
            lock(&self.arrived).entry(id).or_insert(Arrived { number, times: 0 }).times += 1;
        } else {
            self.changed.fetch_add(1, Ordering::Relaxed);
        }
        true
    }

    pub(super) fn balance(&self) -> Balance {
        let (answered, arrived) = (lock(&self.answered), lock(&self.arrived));
        let is_there = |(id, number): (&EventId, &u64)| arrived.get(id).is_some_and(|there| there.number == *number);
        let lost = answered.iter().filter(|event| !is_there(*event)).count();
        Balance {
            answered: answered.len() as u64,
            lost: lost as u64,
            changed: self.changed.load(Ordering::Relaxed),
            again: arrived.values().map(|there| u64::from(there.times.saturating_sub(1))).sum(),
        }
    }
}

/// Returns the body of an event: between one line and a few kilobytes, and different from every other.
fn body(number: u64) -> Bytes {
    let mut text = format!("{{\"number\":{number},\"fill\":\"");
    let mut state = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    for _ in 0..state.wrapping_mul(0x2545_f491_4f6c_dd1d) % FILL_BYTES_MAX {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let letter = u8::try_from(state >> 60).unwrap_or_default();
        text.push(char::from(b'a' + letter));
    }
    text.push_str("\"}");
    Bytes::from(text)
}

/// Returns the number in a body.
fn number(body: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(body).ok()?;
    text.strip_prefix("{\"number\":")?.split_once(',')?.0.parse().ok()
}

fn lock<T>(book: &Mutex<T>) -> MutexGuard<'_, T> {
    book.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    fn id(number: u8) -> EventId {
        EventId::at(Timestamp::from_unix_ms(1_760_000_000_000), [number; 10])
    }

    #[test]
    fn what_was_answered_and_did_not_arrive_is_lost() {
        let ledger = Accounts::default();
        let (number, bytes) = ledger.next().unwrap();
        ledger.answered(id(1), number);
        assert!(!ledger.arrives(&id(1).to_string(), &bytes), "it takes nothing yet");
        assert_eq!(ledger.balance(), Balance { answered: 1, lost: 1, ..Balance::default() });
        ledger.is_taking.store(true, Ordering::Relaxed);
        assert!(ledger.arrives(&id(1).to_string(), &bytes));
        assert!(ledger.arrives(&id(1).to_string(), &bytes));
        assert_eq!(ledger.balance(), Balance { answered: 1, again: 1, ..Balance::default() });
    }

    #[test]
    fn other_bytes_are_not_the_event() {
        let ledger = Accounts::default();
        ledger.is_taking.store(true, Ordering::Relaxed);
        let (first, bytes) = ledger.next().unwrap();
        let (_, others) = ledger.next().unwrap();
        ledger.answered(id(1), first);
        ledger.arrives(&id(1).to_string(), &[&bytes[..], b" "].concat());
        assert_eq!(ledger.balance(), Balance { answered: 1, lost: 1, changed: 1, again: 0 });
        ledger.arrives(&id(1).to_string(), &others);
        assert_eq!(ledger.balance().lost, 1, "another event's body under this id");
    }

    #[test]
    fn bodies_differ_and_say_their_number() {
        assert!((0..200).all(|at| number(&body(at)) == Some(at)));
        assert_ne!(body(1), body(2));
    }
}
