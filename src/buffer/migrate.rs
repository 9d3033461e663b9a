//! Migration of older formats to today's.
//!
//! **Format 1** has no counters, no index of event ids and no statuses: events with several deliveries have a record in
//! `pending`, and a queue record has eight bytes. Its delivery ids are dropped: a duplicate of an event from before the
//! migration is delivered once more. One walk over the store writes what is missing, in batches. The format's own
//! record is written last, so that an interrupted migration starts again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::books::Books;
use super::engine::{Batch, Durability, Engine, EngineError, Space};
use super::fate::{Ending, Fate};
use super::keys::{self, DestinationId, QueueKey, QueueValue, sequence_time};
use super::record;
use super::store::{FORMAT, FORMAT_KEY};
use crate::clock::Timestamp;
use crate::outcome::DeathCause;

const BATCH_CHANGES: usize = 10_000;
/// The time for which format 1's quarantine is kept from now on.
const QUARANTINE_KEEP: Duration = Duration::from_hours(14 * 24);

/// The deliveries of format 1, by sequence.
#[derive(Default)]
struct Known {
    queued: BTreeMap<u64, BTreeSet<u16>>,
    dead: BTreeMap<(u64, u16), (DestinationId, u64, DeathCause)>,
    /// The keep-until time of events whose deliveries have ended.
    over: BTreeMap<u64, u64>,
}

struct Writer<'a> {
    engine: &'a dyn Engine,
    batch: Batch,
}

impl Writer<'_> {
    fn flush_when_full(&mut self) -> Result<(), EngineError> {
        if self.batch.0.len() >= BATCH_CHANGES {
            self.engine.commit(std::mem::take(&mut self.batch), Durability::Written)?;
        }
        Ok(())
    }
}

/// Migrates a store of format 1.
pub(super) fn from_1(engine: &dyn Engine, now: Timestamp) -> Result<(), EngineError> {
    tracing::warn!("the buffer has format 1; it is brought up to format {FORMAT} once");
    let mut writer = Writer { engine, batch: Batch::default() };
    let mut books = Books::default();
    let known = deliveries(&mut writer, &mut books)?;
    events(&mut writer, &mut books, (&known, now))?;
    // Format 1's ids are digests of something else, and useless here.
    for space in [Space::Pending, Space::Dedup, Space::DedupExpiry] {
        for pair in engine.scan(space, &[], None) {
            writer.batch.remove(space, pair?.0);
            writer.flush_when_full()?;
        }
    }
    books.write(&mut writer.batch);
    writer.batch.insert(Space::Meta, FORMAT_KEY, FORMAT.as_bytes());
    engine.commit(writer.batch, Durability::Synced)?;
    engine.sync()
}

fn deliveries(writer: &mut Writer<'_>, books: &mut Books) -> Result<Known, EngineError> {
    let mut known = Known::default();
    let engine = writer.engine;
    for pair in engine.scan(Space::Queue, &[], None) {
        let (key, value) = pair?;
        let Some(queued) = QueueKey::parse(&key) else { continue };
        known.queued.entry(queued.seq).or_default().insert(queued.copy);
        let old = QueueValue::parse(&value);
        let bytes = match (old.bytes, engine.get(Space::Pending, &queued.seq.to_be_bytes())?) {
            (0, Some(pending)) => {
                pending.get(12..16).map_or(0, |bytes| u32::try_from(keys::parse_bytes(bytes)).unwrap_or(0))
            }
            (bytes, _) => bytes,
        };
        // Without an attempt, the delivery has been due since its acceptance.
        let since_ms = if old.attempts == 0 { queued.due_ms } else { sequence_time(queued.seq).unix_ms() };
        let value = QueueValue { bytes, since_ms, lane: None, ..old };
        let book = books.by_destination.entry(queued.destination).or_default();
        book.accepted += 1;
        book.queued += 1;
        book.rescheduled += u64::from(queued.due_ms != since_ms);
        writer.batch.insert(Space::Queue, key, value.to_bytes());
        writer.flush_when_full()?;
    }
    for pair in engine.scan(Space::Dead, &[], None) {
        let (key, value) = pair?;
        let Some(dead) = QueueKey::parse(&key) else { continue };
        let facts: Option<(String, u32, String)> = rmp_serde::from_slice(&value).ok();
        let cause = facts.map_or(DeathCause::Final, |(cause, _, _)| match cause.as_str() {
            "aborted" => DeathCause::Aborted,
            "attempts_exhausted" => DeathCause::AttemptsExhausted,
            "expired" => DeathCause::Expired,
            _ => DeathCause::Final,
        });
        known.dead.insert((dead.seq, dead.copy), (dead.destination, dead.due_ms, cause));
        let book = books.by_destination.entry(dead.destination).or_default();
        book.accepted += 1;
        book.dead += 1;
        *(if cause == DeathCause::Expired { &mut book.expired } else { &mut book.dead_lettered }) += 1;
    }
    for pair in engine.scan(Space::Expiry, &[], None) {
        if let Some((keep_until_ms, seq)) = keys::parse_pair(&pair?.0) {
            known.over.insert(seq, keep_until_ms);
        }
    }
    Ok(known)
}

fn events(writer: &mut Writer<'_>, books: &mut Books, (known, now): (&Known, Timestamp)) -> Result<(), EngineError> {
    let engine = writer.engine;
    for pair in engine.scan(Space::Events, &[], None) {
        let (key, stored) = pair?;
        let (Ok(seq), Ok(event)) = (key.as_ref().try_into().map(u64::from_be_bytes), record::decode(&stored)) else {
            continue;
        };
        let bytes = u32::try_from(stored.len()).unwrap_or(u32::MAX);
        books.total.bytes += u64::from(bytes);
        books.total.next_seq = seq.saturating_add(1);
        writer.batch.insert(Space::Ids, event.id.as_bytes(), key);
        let mut fate = Fate::new(event.id, bytes, event.copies.len());
        if let Some(kept) = engine.get(Space::Quarantine, &seq.to_be_bytes())? {
            fate.keep_until_ms = now.after(QUARANTINE_KEEP).unix_ms();
            let expiry = keys::pair(fate.keep_until_ms, seq);
            writer.batch.insert(Space::Expiry, expiry, keys::expiry_value(bytes, true));
            *books.quarantined.entry(keys::source_of_quarantine(&kept)).or_default() += 1;
            writer.batch.insert(Space::Fate, seq.to_be_bytes(), fate.to_bytes());
        } else if known.over.contains_key(&seq) || engine.contains(Space::Pending, &seq.to_be_bytes())? {
            fate.keep_until_ms = known.over.get(&seq).copied().unwrap_or_default();
            end_copies(&mut fate, seq, known);
            if known.over.contains_key(&seq) && fate.has_dead() {
                let expiry = keys::pair(fate.keep_until_ms, seq);
                writer.batch.insert(Space::Expiry, expiry, keys::expiry_value(bytes, true));
            }
            writer.batch.insert(Space::Fate, seq.to_be_bytes(), fate.to_bytes());
        }
        writer.flush_when_full()?;
    }
    Ok(())
}

fn end_copies(fate: &mut Fate, seq: u64, known: &Known) {
    for (copy, of_copy) in (0_u16..).zip(&mut fate.copies) {
        if known.queued.get(&seq).is_some_and(|queued| queued.contains(&copy)) {
            continue;
        }
        // Format 1 does not hold the time of delivery.
        of_copy.end = Some((Ending::Delivered, sequence_time(seq).unix_ms()));
        if let Some((destination, died_ms, cause)) = known.dead.get(&(seq, copy)) {
            of_copy.destination = destination.0;
            of_copy.end = Some((Ending::Dead(*cause), *died_ms));
        }
    }
}
