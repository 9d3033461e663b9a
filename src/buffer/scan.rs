//! Looking on disk for what is due.
//!
//! A scan reads a snapshot of the queue from the window's lower bound and stops at the first record that is not due, or
//! when it holds enough. It runs on a blocking thread. An event whose record is missing or damaged costs its own
//! deliveries only: they end as dead letters with the cause `corrupt`. What the engine cannot read is not judged here: the
//! store is marked and built anew (`salvage`), and what is missing then is gone.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::committer::Settle;
use super::keys::{DestinationId, QueueKey, QueueValue};
use super::store::Store;
use super::window::{ScanEnd, Window};
use super::{Delivery, Keep, Shared, record};
use crate::event::EventData;
use crate::outcome::{DeathCause, Settled};

/// A scan takes at most this many deliveries from disk at once.
const SCAN_EVENTS: usize = 128;
const SCAN_BYTES: usize = 4 * 1024 * 1024;

/// How long the dead letter of a delivery stays whose event is gone.
const CORRUPT_KEPT: Keep = Keep { delivered: Duration::ZERO, dead: Duration::from_hours(30 * 24) };

/// Reads the next due deliveries of one destination into its window. Gives the ends of those whose event is gone.
pub(super) fn scan(
    shared: &Shared,
    id: DestinationId,
    window: &Arc<Window>,
    low_ms: u64,
) -> Result<Vec<Settle>, fjall::Error> {
    let Some(store) = shared.store.load_full() else { return Err(fjall::Error::Poisoned) };
    let now_ms = shared.clock.now().unix_ms();
    let from = QueueKey::first_of(id, low_ms).to_bytes();
    let to = QueueKey::first_of(DestinationId(id.0.saturating_add(1)), 0).to_bytes();
    let (mut found, mut corrupt) = (Vec::new(), Vec::new());
    let mut bytes = 0;
    let mut end = ScanEnd::Complete { next_due_ms: None };
    for entry in store.queue.range(from..to) {
        let (key, value) = entry.into_inner()?;
        let Some(key) = QueueKey::parse(&key) else { continue };
        if key.due_ms > now_ms {
            end = ScanEnd::Complete { next_due_ms: Some(key.due_ms) };
            break;
        }
        if found.len() + corrupt.len() >= SCAN_EVENTS || bytes >= SCAN_BYTES {
            end = ScanEnd::Partial { last_due_ms: key.due_ms };
            break;
        }
        if window.is_claimed((key.seq, key.copy)) {
            continue;
        }
        let QueueValue { attempts, bytes: stored } = QueueValue::parse(&value);
        let Some(event) = read_event(shared, &store, key.seq)? else {
            // An event with several copies has a record of them.
            let copies = if store.pending.contains_key(key.seq.to_be_bytes())? { 2 } else { 1 };
            corrupt.push(Settle {
                key,
                attempts,
                bytes: stored,
                copies,
                settled: Settled::Dead(DeathCause::Corrupt),
                keep: CORRUPT_KEPT,
                detail: "the stored event is damaged or missing".to_owned(),
                claim: Some(window.claim_unread((key.seq, key.copy), key.due_ms, attempts > 0)),
            });
            continue;
        };
        bytes += event.body.len();
        found.push(Delivery::new(key, attempts, stored, Arc::new(event)));
    }
    window.scanned(found, end, now_ms);
    Ok(corrupt)
}

/// Reads one event; `None` when its record is missing or damaged, which costs that record only.
pub(super) fn read_event(shared: &Shared, store: &Store, seq: u64) -> Result<Option<EventData>, fjall::Error> {
    let why = match store.events.get(seq.to_be_bytes())? {
        None => "missing".to_owned(),
        Some(record) => match record::decode(&record) {
            Ok(event) => return Ok(Some(event)),
            Err(corrupt) => corrupt.to_string(),
        },
    };
    shared.corrupt.fetch_add(1, Ordering::Relaxed);
    tracing::error!(seq, why, "a stored event cannot be read and is not delivered");
    Ok(None)
}
