//! Plans of replays: the deliveries that are made again, those that are new under today's rules, and those left alone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Archive, DeliveryState, EventFilter, lane_of, state_of};
use crate::accept::{self, RouteError, Routed};
use crate::buffer::{Command, DeadLetter, NotStored, StoredEvent};
use crate::clock::Timestamp;
use crate::deliver::Destinations;
use crate::event::{Dispatch, EventData, EventId};
use crate::rules::Rules;

/// The most event ids that a plan shows.
const SAMPLES: usize = 5;
/// The most pages that a plan reads; beyond them the plan is incomplete.
const PAGES_MAX: usize = 250;
const PAGE: usize = 200;

/// The rules that choose destinations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RulesOf {
    /// The rules of the receipt.
    Original,
    /// Today's routes.
    Today,
}

/// The records that are gone through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplayScope {
    /// All stored events.
    Events,
    /// Dead letters only.
    DeadLetters,
}

/// A person's choice of a replay.
#[derive(Debug)]
pub struct ReplayChoice {
    /// The records that are gone through.
    pub scope: ReplayScope,
    /// The filter of those records.
    pub filter: EventFilter,
    /// The rules that choose destinations.
    pub rules: RulesOf,
    /// The only destinations; empty for all.
    pub to: Vec<String>,
}

/// The part of a replay that concerns one event.
#[derive(Debug, Default)]
pub struct Chosen {
    /// The commands to apply.
    pub wishes: Vec<Command>,
    /// The deliveries that will be made: the dispatch, and whether it is a new one.
    pub deliveries: Vec<(Dispatch, bool)>,
    /// The dispatches that are left alone, each with the reason.
    pub skipped: Vec<(Dispatch, &'static str)>,
    /// Today's routes that fail on the event, and so send it nowhere.
    pub failed: Vec<RouteError>,
}

/// The plan of a whole replay.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The number of events with deliveries to make.
    pub events: u64,
    /// The number of deliveries that would be made.
    pub deliveries: u64,
    /// The number of deliveries, by destination.
    pub by_destination: BTreeMap<Arc<str>, u64>,
    /// The bytes of their bodies, once for each delivery.
    pub bytes: u64,
    /// True when all records were read.
    pub is_complete: bool,
    /// Some of the events.
    pub samples: Vec<EventId>,
}

impl Chosen {
    /// Cuts the deliveries to `left`.
    pub(super) fn at_most(&mut self, mut left: u64) {
        self.wishes.retain_mut(|wish| {
            let room = usize::try_from(left).unwrap_or(usize::MAX);
            let wanted = match wish {
                Command::Replay { copies, .. } => {
                    copies.truncate(room);
                    copies.len()
                }
                Command::Extend { from, event, .. } => {
                    let most = usize::from(*from).saturating_add(room);
                    if event.copies.len() > most {
                        Arc::make_mut(event).copies.truncate(most);
                    }
                    event.copies.len().saturating_sub(usize::from(*from))
                }
                Command::Drop { .. } | Command::Release(_) | Command::Skip(_) | Command::Admit { .. } => 0,
            };
            left = left.saturating_sub(wanted as u64);
            wanted > 0
        });
    }
}

impl ReplayChoice {
    /// Chooses what is done about one event, or about one dead letter of it.
    pub fn of(&self, (rules, destinations): (&Rules, &Destinations), found: &StoredEvent, only: Option<u16>) -> Chosen {
        let mut chosen = Chosen::default();
        let Some(event) = found.event.as_ref().filter(|_| !found.is_quarantined) else { return chosen };
        let today = match self.rules {
            RulesOf::Original => event.copies.clone(),
            RulesOf::Today => {
                let routed = lane_of(rules, &event.source).map(|lane| accept::route_again(lane, event));
                let Routed { copies, errors, .. } = routed.unwrap_or_default();
                chosen.failed = errors;
                copies
            }
        };
        let is_gone = |copy: &Dispatch| !destinations.contains_key(&copy.destination);
        let is_asked_for = |copy: &Dispatch| self.to.is_empty() || self.to.iter().any(|to| **to == *copy.destination);
        let (mut again, mut new) = (Vec::new(), Vec::new());
        for copy in today.into_iter().filter(is_asked_for) {
            let known = event.copies.iter().position(|it| it.route == copy.route && it.destination == copy.destination);
            match known {
                None if self.scope == ReplayScope::Events && self.filter.outcome.is_none() => new.push(copy),
                None => {}
                Some(at) if only.is_some_and(|only| usize::from(only) != at) => {}
                Some(at) if !self.filter.wants_copy(found, event, at) => {}
                Some(_) if is_gone(&copy) => chosen.skipped.push((copy, "there is no such destination any more")),
                Some(at) => match state_of(found, at) {
                    DeliveryState::Delivered | DeliveryState::DeadLettered | DeliveryState::Discarded => {
                        again.extend(u16::try_from(at));
                        chosen.deliveries.push((copy, false));
                    }
                    DeliveryState::Queued => chosen.skipped.push((copy, "it is still under way")),
                    DeliveryState::Parked => chosen.skipped.push((copy, "its order key is parked: release it")),
                    DeliveryState::Quarantined | DeliveryState::Unreadable => {}
                },
            }
        }
        chosen.deliveries.extend(new.iter().map(|copy| (copy.clone(), true)));
        chosen.wishes = commands(found, event, again, new);
        chosen
    }
}

/// Builds the commands of the deliveries: `again` for existing dispatches, `new` for added ones.
fn commands(found: &StoredEvent, event: &Arc<EventData>, again: Vec<u16>, new: Vec<Dispatch>) -> Vec<Command> {
    let (seq, mut wishes) = (found.seq, Vec::new());
    if !again.is_empty() {
        wishes.push(Command::Replay { seq, copies: again, event: Arc::clone(event) });
    }
    if let Some(from) = u16::try_from(event.copies.len()).ok().filter(|_| !new.is_empty()) {
        let mut extended = EventData::clone(event);
        extended.copies.extend(new);
        wishes.push(Command::Extend { seq, from, event: Arc::new(extended) });
    }
    wishes
}

/// A page of the records that a choice goes through, oldest first: events, or dead letters of them.
pub(super) struct Walk {
    pub(super) found: Vec<(StoredEvent, Option<u16>)>,
    pub(super) next: Option<Vec<u8>>,
}

impl Archive {
    /// Reads the next page of `choice`; later arrivals and deaths than `began` are left out, so that a walk ends.
    pub(super) fn walk(
        &self,
        choice: &ReplayChoice,
        cursor: Option<&[u8]>,
        began: Timestamp,
    ) -> Result<Walk, NotStored> {
        let since = choice.filter.since.unwrap_or(Timestamp::from_unix_ms(0));
        match choice.scope {
            ReplayScope::Events => {
                let wanted = |found: &StoredEvent| choice.filter.wants(found);
                let page = self.buffer.events_forward(cursor, (since, began), PAGE, &wanted)?;
                Ok(Walk { found: page.entries.into_iter().map(|found| (found, None)).collect(), next: page.next })
            }
            ReplayScope::DeadLetters => {
                let page = self.buffer.dead_letters(choice.filter.destination.as_deref(), cursor, PAGE)?;
                let is_meant = |dead: &DeadLetter| dead.died_at <= began && choice.filter.wants_dead(dead);
                let meant = page.entries.into_iter().filter(is_meant);
                let found = meant.map(|dead| (dead.found, Some(dead.copy))).collect();
                Ok(Walk { found, next: page.next })
            }
        }
    }

    /// Plans `choice`. Reads the disk: not for async threads.
    pub fn plan(&self, choice: &ReplayChoice) -> Result<Plan, NotStored> {
        let (rules, destinations, began) = (self.rules(), self.destinations(), self.buffer.now());
        let mut plan = Plan { is_complete: true, ..Plan::default() };
        let (mut cursor, mut events) = (None, BTreeSet::new());
        for page in 0.. {
            if page >= PAGES_MAX {
                plan.is_complete = false;
                break;
            }
            let walk = self.walk(choice, cursor.as_deref(), began)?;
            for (found, only) in &walk.found {
                let chosen = choice.of((&rules, &destinations), found, *only);
                if let Some(event) = found.event.as_ref().filter(|_| !chosen.deliveries.is_empty()) {
                    plan.add(event, &chosen, events.insert(found.seq));
                }
            }
            let Some(next) = walk.next else { break };
            cursor = Some(next);
        }
        Ok(plan)
    }
}

impl Plan {
    fn add(&mut self, event: &EventData, chosen: &Chosen, is_new: bool) {
        self.events += u64::from(is_new);
        if is_new && self.samples.len() < SAMPLES {
            self.samples.push(event.id);
        }
        for (copy, _) in &chosen.deliveries {
            self.deliveries += 1;
            self.bytes += event.body.len() as u64;
            *self.by_destination.entry(Arc::clone(&copy.destination)).or_default() += 1;
        }
    }
}
