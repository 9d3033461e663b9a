//! Looking on disk for what is due.
//!
//! A scan reads a snapshot of the queue from the window's lower bound and stops at the first record that is not due, or
//! when it holds enough. It runs on a blocking thread. A record that cannot be read costs that record only.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::keys::{DestinationId, QueueKey, QueueValue};
use super::store::Store;
use super::window::{ScanEnd, Window};
use super::{Delivery, Shared, record};
use crate::event::EventData;

/// A scan takes at most this many deliveries from disk at once.
const SCAN_EVENTS: usize = 128;
const SCAN_BYTES: usize = 4 * 1024 * 1024;

/// Reads the next due deliveries of one destination into its window.
pub(super) fn scan(shared: &Shared, id: DestinationId, window: &Window, low_ms: u64) -> Result<(), fjall::Error> {
    let Some(store) = shared.store.load_full() else { return Err(fjall::Error::Poisoned) };
    let now_ms = shared.clock.now().unix_ms();
    let from = QueueKey::first_of(id, low_ms).to_bytes();
    let to = QueueKey::first_of(DestinationId(id.0.saturating_add(1)), 0).to_bytes();
    let mut found = Vec::new();
    let mut bytes = 0;
    let mut end = ScanEnd::Complete { next_due_ms: None };
    for entry in store.queue.range(from..to) {
        let (key, value) = entry.into_inner()?;
        let Some(key) = QueueKey::parse(&key) else { continue };
        if key.due_ms > now_ms {
            end = ScanEnd::Complete { next_due_ms: Some(key.due_ms) };
            break;
        }
        if found.len() >= SCAN_EVENTS || bytes >= SCAN_BYTES {
            end = ScanEnd::Partial { last_due_ms: key.due_ms };
            break;
        }
        if window.is_claimed((key.seq, key.copy)) {
            continue;
        }
        let Some(event) = read_event(shared, &store, key.seq)? else {
            window.skip_forever((key.seq, key.copy));
            continue;
        };
        bytes += event.body.len();
        let QueueValue { attempts, bytes: stored } = QueueValue::parse(&value);
        found.push(Delivery::new(key, attempts, stored, Arc::new(event)));
    }
    window.scanned(found, end, now_ms);
    Ok(())
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
