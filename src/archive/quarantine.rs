//! Re-evaluation of quarantined events by today's schemas, hygiene and routes. Their signatures were verified at
//! receipt.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Archive, lane_of};
use crate::accept;
use crate::buffer::{AppliedCommands, Command, NotStored, StoredEvent, WISHES_MAX};
use crate::event::{EventData, EventId};
use crate::refusal::PayloadProblem;
use crate::rules::Rules;

/// The most verdicts that are shown.
const SAMPLES: usize = 20;
/// The most events that are evaluated at once.
const PAGE: usize = WISHES_MAX;

/// The verdict of today's rules about a quarantined event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum QuarantineVerdict {
    /// The event has no problem any more, and routes want it.
    Admitted,
    /// The event has no problem any more, and no route wants it. It stays, because the fault may be a missing route.
    Unwanted,
    /// The event still has a problem, or its source is removed: it stays.
    Kept,
}

impl QuarantineVerdict {
    /// Returns the name in the API.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Admitted => "admitted",
            Self::Unwanted => "unwanted",
            Self::Kept => "kept",
        }
    }
}

/// One event and its verdict.
#[derive(Clone, Debug)]
pub struct JudgedOne {
    /// The event.
    pub id: EventId,
    /// The source.
    pub source: Arc<str>,
    /// The verdict.
    pub verdict: QuarantineVerdict,
    /// The problems that keep it.
    pub problems: Vec<PayloadProblem>,
}

/// The result of a re-evaluation.
#[derive(Clone, Debug, Default)]
pub struct JudgedQuarantine {
    /// The numbers of events, by source and verdict.
    pub counts: BTreeMap<Arc<str>, BTreeMap<QuarantineVerdict, u64>>,
    /// The applied commands; none in a dry run.
    pub granted: AppliedCommands,
    /// Some of the verdicts.
    pub samples: Vec<JudgedOne>,
}

fn judge(rules: &Rules, found: &StoredEvent) -> Option<(JudgedOne, Option<Command>)> {
    let event = found.event.as_ref()?;
    let one = |verdict, problems| JudgedOne { id: event.id, source: Arc::clone(&event.source), verdict, problems };
    let Some(lane) = lane_of(rules, &event.source) else {
        let message = "its source is not configured any more".to_owned();
        return Some((one(QuarantineVerdict::Kept, vec![PayloadProblem { pointer: String::new(), message }]), None));
    };
    let today = accept::judge_again(lane, event);
    if !today.problems.is_empty() {
        return Some((one(QuarantineVerdict::Kept, today.problems), None));
    }
    if today.copies.is_empty() {
        return Some((one(QuarantineVerdict::Unwanted, Vec::new()), None));
    }
    let released = EventData {
        problems: Vec::new(),
        copies: today.copies,
        event_type: today.named.event_type,
        delivery_id: today.named.delivery_id,
        ..EventData::clone(event)
    };
    Some((
        one(QuarantineVerdict::Admitted, Vec::new()),
        Some(Command::Admit { seq: found.seq, event: Arc::new(released) }),
    ))
}

impl Archive {
    /// Re-evaluates quarantined events, oldest first, of one source or all, or just one; a dry run changes nothing.
    pub async fn judge(
        &self,
        source: Option<String>,
        id: Option<EventId>,
        dry_run: bool,
    ) -> Result<JudgedQuarantine, NotStored> {
        let mut judged = JudgedQuarantine::default();
        let mut cursor = None;
        loop {
            let (source, from) = (source.clone(), cursor.clone());
            let page = self.off_thread(move |archive| {
                let rules = archive.rules();
                let page = archive.buffer.quarantine(from.as_deref(), PAGE)?;
                let is_meant = |found: &&StoredEvent| {
                    found.event.as_ref().is_some_and(|event| {
                        source.as_ref().is_none_or(|source| **source == *event.source)
                            && id.is_none_or(|id| id == event.id)
                    })
                };
                let verdicts: Vec<_> =
                    page.entries.iter().filter(is_meant).filter_map(|found| judge(&rules, found)).collect();
                Ok((verdicts, page.next))
            });
            let (verdicts, next) = page.await?;
            let mut wishes = Vec::new();
            for (one, wish) in verdicts {
                *judged.counts.entry(Arc::clone(&one.source)).or_default().entry(one.verdict).or_default() += 1;
                wishes.extend(wish);
                if judged.samples.len() < SAMPLES {
                    judged.samples.push(one);
                }
            }
            if !dry_run && !wishes.is_empty() {
                let granted = self.buffer.command(wishes).await?;
                judged.granted.queued += granted.queued;
                judged.granted.missed += granted.missed;
                judged.granted.ended += granted.ended;
            }
            let Some(next) = next else { return Ok(judged) };
            cursor = Some(next);
        }
    }
}
