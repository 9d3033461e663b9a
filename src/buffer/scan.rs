//! Scans for due deliveries on disk.
//!
//! A scan reads a snapshot of the queue from the window's lower bound. It stops at the first record that is not due, or
//! when it holds enough. It runs on a blocking thread. A missing or damaged record costs that record only. Where the
//! engine itself meets damage, no event counts as missing yet: the store is rebuilt first, and what is missing then is
//! lost.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::engine::{EngineError, Space};
use super::keys::{DestinationId, QueueKey, QueueValue};
use super::store::Store;
use super::window::{ScanEnd, Window};
use super::{Delivery, Shared, record};
use crate::event::EventData;

/// The most deliveries that one scan takes from disk.
const SCAN_EVENTS: usize = 128;
const SCAN_BYTES: usize = 4 * 1024 * 1024;

/// Reads the next due deliveries of one destination into its window.
pub(super) fn scan(shared: &Shared, id: DestinationId, window: &Window, low_ms: u64) -> Result<(), EngineError> {
    let Some(store) = shared.store.load_full() else { return Err(EngineError::Failed("the store is closed".into())) };
    let now_ms = shared.timeline.now().unix_ms();
    let from = QueueKey::first_of(id, low_ms).to_bytes();
    let to = QueueKey::first_of(DestinationId(id.0.saturating_add(1)), 0).to_bytes();
    let mut found = Vec::new();
    let mut bytes = 0;
    let mut end = ScanEnd::Complete { next_due_ms: None };
    for pair in store.scan(Space::Queue, &from, Some(&to)) {
        let (key, value) = pair?;
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
        let value = QueueValue::parse(&value);
        match read_event(shared, &store, key.seq)? {
            Some(event) => {
                bytes += event.body.len();
                found.push(Delivery::new(key, value, Arc::new(event)));
            }
            // The worker settles it as a dead letter: that costs this delivery only, and is visible.
            None => found.push(Delivery::unreadable(key, value)),
        }
    }
    window.scanned(found, end, now_ms);
    Ok(())
}

/// Reads one event; `None` when its record is missing or damaged, which costs that record only.
pub(super) fn read_event(shared: &Shared, store: &Store, seq: u64) -> Result<Option<EventData>, EngineError> {
    let why = match store.get(Space::Events, &seq.to_be_bytes()) {
        Ok(None) => "missing".to_owned(),
        Ok(Some(record)) => match record::decode(&record) {
            Ok(event) => return Ok(Some(event)),
            Err(corrupt) => corrupt.to_string(),
        },
        Err(error) => {
            shared.met(&error);
            return Err(error);
        }
    };
    shared.corrupt.fetch_add(1, Ordering::Relaxed);
    tracing::error!(seq, why, "a stored event cannot be read");
    Ok(None)
}
