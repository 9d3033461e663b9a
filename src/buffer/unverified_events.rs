//! Re-evaluation of unverified events: they are read back in slices, and judgements go to the committer.
//!
//! A [`Judgement`] is about a [`UnverifiedEvent`] read from here, and "verified" takes a [`Reverified`], which only a proof
//! makes. A read is bounded by entries, events and bytes, so that a caller can yield between slices.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::committer::Message;
use super::engine::{EngineError, Space};
use super::store::Store;
use super::unverified::{Unverified, UnverifiedEntry};
use super::{Buffer, NotStored, keys, record, scan};
use crate::event::{EventData, Reverified, RulesFingerprint};

/// The bounds of one slice: entries looked at, events and bytes read.
const SLICE_ENTRIES: usize = 8192;
const SLICE_EVENTS: usize = 128;
const SLICE_BYTES: usize = 4 * 1024 * 1024;

/// A list of judgements for the committer.
pub(crate) struct Rejudge {
    pub(super) judgements: Vec<Judgement>,
    pub(super) reply: oneshot::Sender<Result<(), NotStored>>,
}

/// An unverified event, read back for re-evaluation.
#[derive(Debug)]
pub struct UnverifiedEvent {
    seq: u64,
    source: Arc<str>,
    event: Option<EventData>,
}

/// The result of re-evaluating one event.
#[derive(Debug)]
pub struct Judgement {
    pub(super) seq: u64,
    pub(super) judged_by: RulesFingerprint,
    /// The verified event's new record; `None` when it failed again.
    pub(super) record: Option<Vec<u8>>,
}

impl UnverifiedEvent {
    /// Returns the event's source.
    pub fn source(&self) -> &Arc<str> {
        &self.source
    }

    /// Returns the event; `None` when its record cannot be read.
    pub fn event(&self) -> Option<&EventData> {
        self.event.as_ref()
    }

    /// Builds the judgement under these rules; `verified` is the event's proof, if it passed.
    pub fn judged(&self, judged_by: RulesFingerprint, verified: Option<&Reverified>) -> Judgement {
        let record = verified.and_then(|event| record::encode(event.data()));
        Judgement { seq: self.seq, judged_by, record }
    }
}

/// A part of the events to re-evaluate.
#[derive(Debug)]
pub struct UnverifiedPage {
    /// The events.
    pub suspects: Vec<UnverifiedEvent>,
    /// The beginning of the next slice; `None` after the last one.
    pub next: Option<u64>,
}

impl Buffer {
    /// Returns the numbers of unverified events, by source.
    pub fn unverified(&self) -> BTreeMap<Arc<str>, Unverified> {
        self.shared.unverified_counts(|ledger| ledger.by_source.clone())
    }

    /// Reads the next of the unverified events that are `wanted`. Reads the disk: not for async threads.
    pub fn unverified_events(
        &self,
        from: u64,
        wanted: &dyn Fn(&str, RulesFingerprint) -> bool,
    ) -> Result<UnverifiedPage, NotStored> {
        let Some(store) = self.shared.store.load_full() else { return Err(NotStored::Failed) };
        self.read_unverified(&store, from, wanted).map_err(|error| {
            tracing::error!(%error, "the index of unverified events cannot be read");
            NotStored::Failed
        })
    }

    fn read_unverified(
        &self,
        store: &Store,
        from: u64,
        wanted: &dyn Fn(&str, RulesFingerprint) -> bool,
    ) -> Result<UnverifiedPage, EngineError> {
        let mut slice = UnverifiedPage { suspects: Vec::new(), next: None };
        let mut bytes = 0;
        for (looked_at, found) in store.scan(Space::Unverified, &from.to_be_bytes(), None).enumerate() {
            let (key, value) = found?;
            let Some(seq) = keys::parse_sequence(&key) else { continue };
            if looked_at >= SLICE_ENTRIES || slice.suspects.len() >= SLICE_EVENTS || bytes >= SLICE_BYTES {
                slice.next = Some(seq);
                break;
            }
            let Some(entry) = UnverifiedEntry::parse(&value).filter(|entry| wanted(&entry.source, entry.judged_by))
            else {
                continue;
            };
            let event = scan::read_event(&self.shared, store, seq)?;
            bytes += event.as_ref().map_or(0, |event| event.body.len());
            slice.suspects.push(UnverifiedEvent { seq, source: entry.source, event });
        }
        Ok(slice)
    }

    /// Records judgements; those whose event was removed meanwhile are dropped. Answers after the commit.
    pub async fn rejudge(&self, judgements: Vec<Judgement>) -> Result<(), NotStored> {
        let (reply, done) = oneshot::channel();
        let rejudge = Rejudge { judgements, reply };
        self.commands.send(Message::Rejudge(rejudge)).await.map_err(|_closed| NotStored::Failed)?;
        done.await.unwrap_or(Err(NotStored::Failed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffer::{BufferParams, Fsync, Opening};
    use crate::clock::{SystemClock, Timestamp};
    use crate::event::{Event, EventId};
    use crate::provider::{Failure, Verified};
    use bytes::Bytes;

    const OLD: RulesFingerprint = RulesFingerprint(*b"the old.");
    const NEW: RulesFingerprint = RulesFingerprint(*b"the new.");

    fn open(dir: &std::path::Path, most: u64) -> Buffer {
        let quarantine_keep = std::time::Duration::from_hours(1);
        let params = BufferParams { dir: dir.to_owned(), bytes_max: 1 << 30, fsync: Fsync::Os, quarantine_keep };
        let (clock, on_commit) = (Arc::new(SystemClock), Box::new(|_| {}));
        Buffer::start(Opening { params, destinations: &["app".into()], clock, on_commit, unverified_max: most })
            .unwrap()
    }

    fn failed(number: u8) -> Event {
        let at = Timestamp::from_unix_ms(7);
        let sample = EventData::sample(EventId::at(at, [number; 10]), at);
        let data = EventData { body: Bytes::from(vec![number]), ..sample };
        Event::new(Verified::observed(&Failure::WrongSecretOrBody), data, None).judged_under(|| OLD)
    }

    fn bodies(buffer: &Buffer, wanted: RulesFingerprint) -> Vec<u8> {
        let slice = buffer.unverified_events(0, &|_, by| by == wanted).unwrap();
        slice.suspects.iter().map(|suspect| suspect.event().unwrap().body[0]).collect()
    }

    #[tokio::test]
    async fn the_oldest_fall_out_when_there_are_too_many_and_are_counted() {
        let folder = tempfile::tempdir().unwrap();
        let buffer = open(folder.path(), 5);
        for number in 0..8 {
            buffer.append(failed(number)).await.unwrap();
        }
        let numbers = buffer.unverified().remove("github").unwrap();
        assert_eq!((numbers.stored(), numbers.forgotten), (5, 3));
        assert_eq!(bodies(&buffer, OLD), [3, 4, 5, 6, 7]);
        // Events themselves stay.
        assert_eq!(buffer.depth("app").ready, 8);
        buffer.close().await;
    }

    #[tokio::test]
    async fn judgements_are_in_the_store_and_in_the_ledger() {
        let folder = tempfile::tempdir().unwrap();
        let buffer = open(folder.path(), 5);
        for number in 0..3 {
            buffer.append(failed(number)).await.unwrap();
        }
        let suspects = buffer.unverified_events(0, &|_, _| true).unwrap().suspects;
        let labels: Vec<_> = suspects.iter().map(|of| of.event().unwrap().unverified.clone().unwrap()).collect();
        assert_eq!(labels, ["wrong_secret_or_body"; 3]);
        let judgements = suspects.iter().map(|suspect| suspect.judged(NEW, None)).collect();
        buffer.rejudge(judgements).await.unwrap();
        assert_eq!((bodies(&buffer, OLD), bodies(&buffer, NEW)), (Vec::new(), vec![0, 1, 2]));
        buffer.close().await;
        drop(buffer);
        let buffer = open(folder.path(), 5);
        assert_eq!(buffer.unverified()["github"].by_rules, [(NEW, 3)].into());
        buffer.close().await;
    }
}
