//! Ends of deliveries and removal of events: an attempt's outcome, the end of the last delivery, retention.

use std::sync::PoisonError;

use super::batch::{Batch, Effect};
use super::committer::Settle;
use super::engine::{EngineError, Space, Value};
use super::keys::{self, QueueKey, QueueValue};
use super::status::{Ending, EventStatus};
use crate::clock::Timestamp;
use crate::outcome::{DeathCause, Settled};

/// The most records that one tidy-up removes, so that commits are not held up.
const TIDY_RECORDS: usize = 20_000;
/// The free space to win back when the disk runs short.
const ASKED_BYTES: u64 = super::space::RESERVE_BYTES;

impl Batch<'_> {
    /// Records the end of an attempt.
    pub(super) fn settle(&mut self, mut settle: Settle) -> Result<(), EngineError> {
        let key = settle.key;
        if !self.store.contains(Space::Queue, &key.to_bytes())? {
            self.effects.push(Effect::Stale(settle));
            return Ok(());
        }
        self.writes.remove(Space::Queue, key.to_bytes());
        if settle.is_rescheduled() {
            let book = self.counters(key.destination);
            book.rescheduled = book.rescheduled.saturating_sub(1);
        }
        let (now, tried, answer) = (self.now, settle.tried.take(), settle.answer.take());
        let mut grown = 0;
        let mut over_at = None;
        let fate = self.status(key.seq, || EventStatus::new(settle.event, settle.value.bytes, settle.copies))?;
        let copy = fate.and_then(|fate| {
            // The number of an unreadable event's dispatches shows only as they end: it may have counted as over too
            // early.
            if fate.copies.len() < settle.copies {
                over_at = Some(fate.keep_until_ms).filter(|_| fate.is_over());
                fate.copies.resize_with(settle.copies, Default::default);
            }
            grown = answer.map_or(0, |answer| fate.keep_answer(key.copy, answer));
            fate.copies.get_mut(usize::from(key.copy))
        });
        if let Some(copy) = copy {
            copy.destination = key.destination.0;
            copy.next_ms = None;
            if let Some(tried) = tried {
                copy.remember(tried);
            }
        }
        self.books.total.bytes = self.books.total.bytes.saturating_add_signed(grown);
        if let Some(keep_until_ms) = over_at {
            self.writes.remove(Space::Expiry, keys::pair(keep_until_ms, key.seq));
        }
        match settle.settled {
            Settled::Again { wait, counts } => {
                let due_ms = now.after(wait).unix_ms();
                self.reschedule(&settle, due_ms, counts)?;
                self.effects.push(Effect::Rescheduled { settle, due_ms });
            }
            Settled::Delivered => {
                let keep_until = now.after(settle.keep.delivered);
                self.end(&settle, Ending::Delivered, keep_until)?;
                self.effects.push(Effect::Ended(settle));
            }
            Settled::Parked(cause) if settle.lane().is_some() => {
                self.park_head(&settle, cause)?;
                self.effects.push(Effect::Ended(settle));
            }
            Settled::Dead(cause) | Settled::Parked(cause) => {
                let keep_until = now.after(settle.keep.dead);
                self.end(&settle, Ending::Dead(cause), keep_until)?;
                self.effects.push(Effect::Ended(settle));
            }
        }
        Ok(())
    }

    fn reschedule(&mut self, settle: &Settle, due_ms: u64, counts: bool) -> Result<(), EngineError> {
        let key = settle.key;
        let attempts = settle.value.attempts.saturating_add(u32::from(counts));
        let value = QueueValue { attempts, ..settle.value };
        self.writes.insert(Space::Queue, QueueKey { due_ms, ..key }.to_bytes(), value.to_bytes());
        if due_ms != value.since_ms {
            self.counters(key.destination).rescheduled += 1;
        }
        let fate = self.status(key.seq, || EventStatus::new(settle.event, settle.value.bytes, settle.copies))?;
        if let Some(copy) = fate.and_then(|fate| fate.copies.get_mut(usize::from(key.copy))) {
            copy.next_ms = Some(due_ms);
        }
        Ok(())
    }

    fn park_head(&mut self, settle: &Settle, cause: DeathCause) -> Result<(), EngineError> {
        let (key, Some(lane)) = (settle.key, settle.lane()) else { return Ok(()) };
        let fate = self.status(key.seq, || EventStatus::new(settle.event, settle.value.bytes, settle.copies))?;
        if let Some(copy) = fate.and_then(|fate| fate.copies.get_mut(usize::from(key.copy))) {
            copy.parked = true;
        }
        self.park(lane, (key.seq, key.copy), cause)
    }

    /// Ends one delivery; the last one also sets the event's own end.
    fn end(&mut self, settle: &Settle, ending: Ending, keep_until: Timestamp) -> Result<(), EngineError> {
        let key = settle.key;
        self.count_end(key, ending);
        self.end_copy(key, ending, keep_until)?;
        match settle.lane() {
            Some(lane) => self.leave_lane(lane, (key.seq, key.copy)),
            None => Ok(()),
        }
    }

    /// Counts a delivery that left the queue by its ending.
    pub(super) fn count_end(&mut self, key: QueueKey, ending: Ending) {
        let died_ms = self.now.unix_ms();
        let book = self.counters(key.destination);
        book.queued = book.queued.saturating_sub(1);
        match ending {
            Ending::Delivered => book.delivered += 1,
            Ending::Dead(DeathCause::Expired) => book.expired += 1,
            Ending::Dead(_) => book.dead_lettered += 1,
            Ending::Discarded(_) => book.discarded += 1,
        }
        if matches!(ending, Ending::Dead(_)) {
            book.dead += 1;
            self.writes.insert(Space::Dead, key.to_dead_bytes(died_ms), []);
        }
    }

    /// Records the end in the event's status; the last delivery also sets the event's own end.
    pub(super) fn end_copy(&mut self, key: QueueKey, ending: Ending, keep_until: Timestamp) -> Result<(), EngineError> {
        let now_ms = self.now.unix_ms();
        let Some(Some(fate)) = self.fates.get_mut(&key.seq) else { return Ok(()) };
        if let Some(copy) = fate.copies.get_mut(usize::from(key.copy)) {
            copy.end = Some((ending, now_ms));
            copy.next_ms = None;
            copy.parked = false;
        }
        fate.keep_until_ms = fate.keep_until_ms.max(keep_until.unix_ms());
        if !fate.is_over() {
            return Ok(());
        }
        if fate.keep_until_ms <= now_ms {
            return self.remove(key.seq);
        }
        let value = keys::expiry_value(fate.bytes, fate.has_dead());
        self.writes.insert(Space::Expiry, keys::pair(fate.keep_until_ms, key.seq), value);
        Ok(())
    }

    /// Removes an event and all its records. The caller has looked up its status.
    pub(super) fn remove(&mut self, seq: u64) -> Result<(), EngineError> {
        let fate = self.fates.insert(seq, None).flatten();
        self.writes.remove(Space::Events, seq.to_be_bytes());
        self.has_removed = true;
        if let Some(fate) = fate {
            self.books.total.bytes = self.books.total.bytes.saturating_sub(u64::from(fate.bytes));
            self.writes.remove(Space::Ids, fate.id.as_bytes());
            for (copy, of_copy) in (0_u16..).zip(&fate.copies) {
                if let Some((Ending::Dead(_), died_ms)) = of_copy.end {
                    let destination = of_copy.destination();
                    let key = QueueKey { destination, due_ms: died_ms, seq, copy };
                    self.writes.remove(Space::Dead, key.to_bytes());
                    let book = self.counters(destination);
                    book.dead = book.dead.saturating_sub(1);
                }
            }
        }
        self.forget(seq)
    }

    /// Removes events that were kept long enough, and, when space runs short, events that are kept for replay only.
    pub(super) fn tidy_up(&mut self) -> Result<(), EngineError> {
        if std::mem::replace(&mut self.is_tidied, true) {
            return Ok(());
        }
        let now_ms = self.now.unix_ms();
        let mut to_free = self.books.total.bytes.saturating_sub(self.shared.params.bytes_max / 10 * 9);
        if self.shared.is_disk_short() {
            to_free = to_free.max(ASKED_BYTES);
        }
        let (store, now) = (self.store, keys::pair(now_ms.saturating_add(1), 0));
        for pair in store.scan(Space::Expiry, &[], Some(&now)).take(TIDY_RECORDS) {
            let (key, value) = pair?;
            to_free = to_free.saturating_sub(self.expire(key, &value)?);
        }
        if to_free > 0 {
            self.make_room(to_free, now)?;
        }
        self.sweep_dedup(TIDY_RECORDS)
    }

    /// Removes delivered events when space runs short, the first to expire first; events that a person may still want
    /// stay. Goes on where it stopped the last time, so that many of the latter do not stand in the way for ever.
    fn make_room(&mut self, mut to_free: u64, now: [u8; 16]) -> Result<(), EngineError> {
        let (store, shared) = (self.store, self.shared);
        let mut cursor = shared.room_cursor.lock().unwrap_or_else(PoisonError::into_inner);
        let from = (*cursor).max(now);
        *cursor = now;
        for (looked_at, pair) in store.scan(Space::Expiry, &from, None).enumerate() {
            let (key, value) = pair?;
            if to_free == 0 {
                break;
            }
            if looked_at >= TIDY_RECORDS {
                *cursor = key.as_ref().try_into().unwrap_or(now);
                break;
            }
            if !keys::is_wanted(&value) {
                to_free = to_free.saturating_sub(self.expire(key, &value)?);
            }
        }
        Ok(())
    }

    /// Removes the event of an `expiry` record and returns its stored bytes.
    fn expire(&mut self, key: Value, value: &[u8]) -> Result<u64, EngineError> {
        let Some((keep_until_ms, seq)) = keys::parse_pair(&key) else { return Ok(0) };
        // A command of this batch may have changed the event: its expiry has another key then.
        if !self.status_for_removal(seq, keep_until_ms)? {
            return Ok(0);
        }
        self.writes.remove(Space::Expiry, key);
        self.leave_quarantine(seq, value)?;
        self.remove(seq)?;
        Ok(keys::parse_bytes(value))
    }

    fn status_for_removal(&mut self, seq: u64, keep_until_ms: u64) -> Result<bool, EngineError> {
        if let Some(known) = self.fates.get(&seq) {
            let is_due = |fate: &EventStatus| fate.keep_until_ms == keep_until_ms && fate.is_over();
            let is_kept_back = || self.store.contains(Space::Quarantine, &seq.to_be_bytes());
            return match known {
                Some(fate) if is_due(fate) => Ok(true),
                Some(fate) => Ok(fate.keep_until_ms == keep_until_ms && is_kept_back()?),
                None => Ok(false),
            };
        }
        if let Some(stored) =
            self.store.get(Space::Fate, &seq.to_be_bytes())?.and_then(|value| EventStatus::parse(&value))
        {
            self.fates.insert(seq, Some(stored));
        }
        Ok(true)
    }

    /// Counts an event that leaves the quarantine for its age.
    fn leave_quarantine(&mut self, seq: u64, expiry: &[u8]) -> Result<(), EngineError> {
        if !keys::is_wanted(expiry) {
            return Ok(());
        }
        if let Some(kept) = self.store.get(Space::Quarantine, &seq.to_be_bytes())? {
            self.writes.remove(Space::Quarantine, seq.to_be_bytes());
            let source = keys::source_of_quarantine(&kept);
            let count = self.quarantined(&source);
            *count = count.saturating_sub(1);
        }
        Ok(())
    }
}
