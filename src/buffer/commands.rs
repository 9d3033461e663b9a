//! Commands of people about stored events: deliveries replayed, dead letters discarded, parked keys released or
//! skipped, quarantined events released.
//!
//! A [`Command`] names its target by sequence and dispatch, as they were read from the store. When it is applied the event
//! may have left or changed; it is then not counted as applied. Commands ride in the committer's batches like
//! everything else, and are answered after the commit.

use std::fmt;
use std::sync::Arc;

use data_encoding::HEXLOWER;
use tokio::sync::oneshot;

use super::NotStored;
use super::batch::{Batch, Effect};
use super::engine::{EngineError, Space};
use super::keys::{self, DestinationId, OrderQueueKey, QueueKey};
use super::status::{Ending, EventStatus};
use super::window::CopyId;
use crate::event::{Dispatch, EventData, EventId};

/// The most commands in one batch.
pub const WISHES_MAX: usize = 256;

/// The results of applied commands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AppliedCommands {
    /// Deliveries that entered the queue.
    pub queued: u64,
    /// Commands whose target was no longer there.
    pub missed: u64,
    /// Deliveries that were discarded or skipped.
    pub ended: u64,
}

/// One command.
#[derive(Clone, Debug)]
pub enum Command {
    /// Replays ended deliveries of an event: those of these dispatches.
    Replay {
        /// The event's sequence.
        seq: u64,
        /// The numbers of the dispatches.
        copies: Vec<u16>,
        /// The stored event.
        event: Arc<EventData>,
    },
    /// Sends an event to further destinations. `event` has the new dispatches at the end.
    Extend {
        /// The event's sequence.
        seq: u64,
        /// The number of the first new dispatch.
        from: u16,
        /// The event to be stored.
        event: Arc<EventData>,
    },
    /// Discards a dead letter.
    Drop {
        /// The event's sequence.
        seq: u64,
        /// The number of the dispatch.
        copy: u16,
    },
    /// Releases a parked key: its head is attempted again.
    Release(ParkedKey),
    /// Skips the head of a parked key and goes on behind it.
    Skip(ParkedKey),
    /// Releases a quarantined event: `event` has no problems any more and has its dispatches.
    Admit {
        /// The event's sequence.
        seq: u64,
        /// The event to be stored.
        event: Arc<EventData>,
    },
}

/// An opaque name of a parked key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParkedKey(pub(crate) OrderQueueKey);

impl ParkedKey {
    /// Parses the text that [`Display`](fmt::Display) gives.
    pub fn parse(text: &str) -> Option<Self> {
        OrderQueueKey::parse(&HEXLOWER.decode(text.as_bytes()).ok()?).map(Self)
    }
}

impl fmt::Display for ParkedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0.to_bytes()))
    }
}

pub(crate) struct Commands {
    pub(super) wishes: Vec<Command>,
    pub(super) reply: oneshot::Sender<Result<AppliedCommands, NotStored>>,
}

impl Batch<'_> {
    /// Applies the commands whose target still exists.
    pub(super) fn apply_all(&mut self, wishes: Commands) -> Result<(), EngineError> {
        let mut granted = AppliedCommands::default();
        let mut result = Ok(());
        for wish in wishes.wishes {
            result = result.and_then(|()| self.apply_one(wish, &mut granted));
        }
        self.effects.push(Effect::Granted(wishes.reply, granted));
        result
    }

    fn apply_one(&mut self, wish: Command, granted: &mut AppliedCommands) -> Result<(), EngineError> {
        match wish {
            Command::Replay { seq, copies, event } => self.replay(seq, &copies, &event, granted),
            Command::Extend { seq, from, event } => self.extend(seq, from, &event, granted),
            Command::Drop { seq, copy } => self.drop_dead(seq, copy, granted),
            Command::Release(ParkedKey(lane)) => {
                let Some(parking) = self.unpark(lane)? else {
                    granted.missed += 1;
                    return Ok(());
                };
                if let Some(fate) = self.known_status(parking.seq)?
                    && let Some(copy) = fate.copies.get_mut(usize::from(parking.copy))
                {
                    copy.parked = false;
                }
                granted.queued += u64::from(self.release_head(lane, &parking)?);
                Ok(())
            }
            Command::Skip(ParkedKey(lane)) => self.skip(lane, granted),
            Command::Admit { seq, event } => self.admit(seq, &event, granted),
        }
    }

    /// Returns a status that is in the store or in this batch; `None` where the event is untouched or gone.
    fn known_status(&mut self, seq: u64) -> Result<Option<&mut EventStatus>, EngineError> {
        if !self.fates.contains_key(&seq) {
            let stored = self.store.get(Space::Fate, &seq.to_be_bytes())?.and_then(|value| EventStatus::parse(&value));
            let Some(fate) = stored else { return Ok(None) };
            self.fates.insert(seq, Some(fate));
        }
        Ok(self.fates.get_mut(&seq).and_then(Option::as_mut))
    }

    fn replay(
        &mut self,
        seq: u64,
        copies: &[u16],
        event: &EventData,
        granted: &mut AppliedCommands,
    ) -> Result<(), EngineError> {
        for &copy in copies {
            let Some(target) = event.copies.get(usize::from(copy)) else { continue };
            let Some((destination, _)) = self.shared.window(&target.destination) else { continue };
            let Some(fate) = self.known_status(seq)? else {
                granted.missed += 1;
                continue;
            };
            let was = fate.clone();
            let Some(of_copy) = fate.copies.get_mut(usize::from(copy)) else { continue };
            let Some((ending, ended_ms)) = of_copy.end.take() else {
                granted.missed += 1;
                continue;
            };
            of_copy.replays = of_copy.replays.saturating_add(1);
            if was.is_over() {
                self.writes.remove(Space::Expiry, keys::pair(was.keep_until_ms, seq));
            }
            if matches!(ending, Ending::Dead(_)) {
                self.no_longer_dead(QueueKey { destination, due_ms: ended_ms, seq, copy });
            }
            self.enter_woken(destination, (seq, copy), target, was.bytes)?;
            granted.queued += 1;
        }
        Ok(())
    }

    fn no_longer_dead(&mut self, key: QueueKey) {
        self.writes.remove(Space::Dead, key.to_bytes());
        let book = self.counters(key.destination);
        book.dead = book.dead.saturating_sub(1);
    }

    /// Adds a delivery that a person asked for; it is due now, and no window holds it.
    fn enter_woken(
        &mut self,
        destination: DestinationId,
        id: CopyId,
        target: &Dispatch,
        bytes: u32,
    ) -> Result<(), EngineError> {
        if let Some((key, _)) = self.enter(destination, id, target.order.as_ref(), bytes)? {
            self.effects.push(Effect::Woken { destination, due_ms: key.due_ms });
        }
        Ok(())
    }

    fn extend(
        &mut self,
        seq: u64,
        from: u16,
        event: &EventData,
        granted: &mut AppliedCommands,
    ) -> Result<(), EngineError> {
        // An untouched event has no status; it exists as long as its id does.
        if self.store.get(Space::Ids, &event.id.as_bytes())?.as_deref() != Some(&seq.to_be_bytes()[..]) {
            granted.missed += 1;
            return Ok(());
        }
        // The stored record, and not the caller's older copy of it: it may have been re-evaluated since.
        let Some(record) = self.store.get(Space::Events, &seq.to_be_bytes())? else { return Ok(()) };
        let stored = super::record::decode(&record).ok().filter(|stored| stored.copies.len() == usize::from(from));
        let bytes = u32::try_from(record.len()).unwrap_or(u32::MAX);
        let fate = self.status(seq, || EventStatus::new(event.id, bytes, usize::from(from)))?;
        let fate = fate.filter(|fate| fate.copies.len() == usize::from(from));
        let (Some(mut stored), Some(fate)) = (stored, fate) else {
            granted.missed += 1;
            return Ok(());
        };
        stored.copies.extend(event.copies.iter().skip(usize::from(from)).cloned());
        let was = fate.clone();
        fate.copies.resize_with(stored.copies.len(), Default::default);
        if was.is_over() {
            self.writes.remove(Space::Expiry, keys::pair(was.keep_until_ms, seq));
        }
        self.rewrite(seq, &stored);
        for (copy, target) in (0_u16..).zip(&stored.copies).skip(usize::from(from)) {
            if let Some((destination, _)) = self.shared.window(&target.destination) {
                self.enter_woken(destination, (seq, copy), target, was.bytes)?;
                granted.queued += 1;
            }
        }
        Ok(())
    }

    /// Rewrites the record. Its counted size stays, so that additions and removals match.
    fn rewrite(&mut self, seq: u64, event: &EventData) {
        if let Some(record) = super::record::encode(event) {
            self.writes.insert(Space::Events, seq.to_be_bytes(), record);
            self.rewritten.insert(seq);
            self.has_removed = true;
        }
    }

    fn drop_dead(&mut self, seq: u64, copy: u16, granted: &mut AppliedCommands) -> Result<(), EngineError> {
        let Some(fate) = self.known_status(seq)? else {
            granted.missed += 1;
            return Ok(());
        };
        let was_over = fate.is_over().then_some(fate.keep_until_ms);
        let Some(of_copy) = fate.copies.get_mut(usize::from(copy)) else { return Ok(()) };
        let Some((Ending::Dead(cause), died_ms)) = of_copy.end else {
            granted.missed += 1;
            return Ok(());
        };
        of_copy.end = Some((Ending::Discarded(cause), died_ms));
        let destination = of_copy.destination();
        // The number of dispatches of an unreadable event is not known for certain.
        let is_alone = fate.copies.len() == 1 && fate.id != EventId::NIL;
        let (bytes, has_dead) = (fate.bytes, fate.has_dead());
        self.no_longer_dead(QueueKey { destination, due_ms: died_ms, seq, copy });
        granted.ended += 1;
        if let Some(keep_until_ms) = was_over {
            let expiry = keys::pair(keep_until_ms, seq);
            if is_alone {
                self.writes.remove(Space::Expiry, expiry);
                return self.remove(seq);
            }
            self.writes.insert(Space::Expiry, expiry, keys::expiry_value(bytes, has_dead));
        }
        Ok(())
    }

    fn skip(&mut self, lane: OrderQueueKey, granted: &mut AppliedCommands) -> Result<(), EngineError> {
        let Some(parking) = self.unpark(lane)? else {
            granted.missed += 1;
            return Ok(());
        };
        let key = QueueKey { destination: lane.destination, due_ms: 0, seq: parking.seq, copy: parking.copy };
        let ending = Ending::Discarded(parking.cause);
        if self.known_status(parking.seq)?.is_some() {
            self.count_end(key, ending);
            let keep_until = self.now.after(self.shared.params.quarantine_keep);
            self.end_copy(key, ending, keep_until)?;
            granted.ended += 1;
        }
        self.leave_lane(lane, (parking.seq, parking.copy))
    }

    fn admit(&mut self, seq: u64, event: &EventData, granted: &mut AppliedCommands) -> Result<(), EngineError> {
        let Some(kept) = self.store.get(Space::Quarantine, &seq.to_be_bytes())? else {
            granted.missed += 1;
            return Ok(());
        };
        let bytes = u32::try_from(keys::parse_bytes(&kept)).unwrap_or(u32::MAX);
        let Some(fate) = self.status(seq, || EventStatus::new(event.id, bytes, 0))? else {
            granted.missed += 1;
            return Ok(());
        };
        let keep_until_ms = std::mem::take(&mut fate.keep_until_ms);
        // Another command of this batch has released it.
        if keep_until_ms == 0 {
            granted.missed += 1;
            return Ok(());
        }
        fate.copies = vec![super::status::DeliveryStatus::default(); event.copies.len()];
        self.rewrite(seq, event);
        self.writes.remove(Space::Quarantine, seq.to_be_bytes());
        self.writes.remove(Space::Expiry, keys::pair(keep_until_ms, seq));
        let count = self.quarantined(&event.source);
        *count = count.saturating_sub(1);
        for (copy, target) in (0_u16..).zip(&event.copies) {
            if let Some((destination, _)) = self.shared.window(&target.destination) {
                self.enter_woken(destination, (seq, copy), target, bytes)?;
                granted.queued += 1;
            }
        }
        Ok(())
    }
}

impl super::Buffer {
    /// Applies up to [`WISHES_MAX`] commands at once. Answers after the commit that covers them.
    pub async fn command(&self, wishes: Vec<Command>) -> Result<AppliedCommands, NotStored> {
        let (reply, done) = oneshot::channel();
        let wishes = Commands { wishes, reply };
        self.send(super::committer::Message::Wishes(wishes)).await?;
        done.await.unwrap_or(Err(NotStored::Failed))
    }
}
