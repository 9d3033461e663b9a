//! Reports about sources that are due although no request comes, and their verification times from stored events.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::buffer::{Buffer, StoredEvent};
use crate::clock::Timestamp;
use crate::ingress::Registry;
use crate::rules::Rules;
use crate::sender::Sender;

/// The most pages of stored events that are read at a start, each of 8 MiB at most.
const PAGES_MAX: usize = 16;

/// The time of the last verified event, by source and sender.
type Verified = BTreeMap<(Arc<str>, Option<Sender>), Timestamp>;

/// Reports changes that only time brings: sources that only fail, and sums of refusals. To be called about once a
/// second.
pub(super) fn tend(shared: &Registry) {
    let now = shared.clock.now();
    for lane in &shared.rules.load().lanes {
        if let Some(change) = lane.watch.tick(now) {
            shared.telemetry.verification(&lane.source.name, lane.watch.standing(), Some(change));
        }
    }
    shared.telemetry.sum_up_refusals(now);
}

/// Finds in the newest stored events when each source was verified last, and by whom. Reads the disk: not for async
/// threads.
pub(super) fn learn(buffer: &Buffer, rules: &Rules) {
    let mut cursor = None;
    for _ in 0..PAGES_MAX {
        let verified = RefCell::new(Verified::new());
        let note = |found: &StoredEvent| {
            if let Some(event) = found.event.as_ref().filter(|event| event.verified_by.is_some()) {
                let key = (Arc::clone(&event.source), event.sender.map(Sender::of));
                let mut verified = verified.borrow_mut();
                let at = verified.entry(key).or_insert(event.received_at());
                *at = (*at).max(event.received_at());
            }
            false
        };
        let Ok(page) = buffer.events(cursor.as_deref(), Timestamp::from_unix_ms(0), 1, &note) else { return };
        for ((source, sender), at) in verified.into_inner() {
            if let Some(lane) = rules.lane(&source) {
                lane.watch.learn(sender, at);
            }
        }
        let is_known = |rules: &Rules| rules.lanes.iter().all(|lane| lane.watch.standing().last_verified.is_some());
        if page.next.is_none() || is_known(rules) {
            return;
        }
        cursor = page.next;
    }
}
