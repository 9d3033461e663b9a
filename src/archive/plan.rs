//! What a replay would do: which deliveries are made again, which are new under today's rules, which are left alone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Archive, DeliveryState, Filter, lane_of, state_of};
use crate::accept::{self, RouteError, Routed};
use crate::buffer::{DeadLetter, Found, NotStored, Wish};
use crate::clock::Timestamp;
use crate::deliver::Destinations;
use crate::event::{Copy, EventData, EventId};
use crate::lane::Rules;

/// So many ids are shown of a plan.
const SAMPLES: usize = 5;
/// A plan looks at so many pages at most; beyond that it says that there is more.
const PAGES_MAX: usize = 250;
const PAGE: usize = 200;

/// Whose rules say where events go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RulesOf {
    /// Where they went when they came.
    Original,
    /// Where today's routes would send them.
    Today,
}

/// What is gone through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All stored events.
    Events,
    /// Dead letters only.
    DeadLetters,
}

/// What a person asks for.
#[derive(Debug)]
pub struct Choice {
    /// What is gone through.
    pub scope: Scope,
    /// Which of it.
    pub filter: Filter,
    /// Whose rules count.
    pub rules: RulesOf,
    /// Only these destinations; empty is all.
    pub to: Vec<String>,
}

/// What is done about one event.
#[derive(Debug, Default)]
pub struct Chosen {
    /// To be granted.
    pub wishes: Vec<Wish>,
    /// Deliveries that will be made: the copy, and whether it is a new one.
    pub deliveries: Vec<(Copy, bool)>,
    /// What is left alone, and why.
    pub skipped: Vec<(Copy, &'static str)>,
    /// Routes of today that fail on the event, and so send it nowhere.
    pub failed: Vec<RouteError>,
}

/// What would be done about all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Events with something to do.
    pub events: u64,
    /// Deliveries that would be made.
    pub deliveries: u64,
    /// The same by destination.
    pub by_destination: BTreeMap<Arc<str>, u64>,
    /// Bytes of their bodies, once for each delivery.
    pub bytes: u64,
    /// Whether all of it was looked at.
    pub is_complete: bool,
    /// Some of the events.
    pub samples: Vec<EventId>,
}

impl Chosen {
    /// No more deliveries than these.
    pub(super) fn at_most(&mut self, mut left: u64) {
        self.wishes.retain_mut(|wish| {
            let room = usize::try_from(left).unwrap_or(usize::MAX);
            let wanted = match wish {
                Wish::Replay { copies, .. } => {
                    copies.truncate(room);
                    copies.len()
                }
                Wish::Extend { from, event, .. } => {
                    let most = usize::from(*from).saturating_add(room);
                    if event.copies.len() > most {
                        Arc::make_mut(event).copies.truncate(most);
                    }
                    event.copies.len().saturating_sub(usize::from(*from))
                }
                Wish::Drop { .. } | Wish::Release(_) | Wish::Skip(_) | Wish::Admit { .. } => 0,
            };
            left = left.saturating_sub(wanted as u64);
            wanted > 0
        });
    }
}

impl Choice {
    /// What is done about one event, or about one dead letter of it.
    pub fn of(&self, (rules, destinations): (&Rules, &Destinations), found: &Found, only: Option<u16>) -> Chosen {
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
        let is_gone = |copy: &Copy| !destinations.contains_key(&copy.destination);
        let is_asked_for = |copy: &Copy| self.to.is_empty() || self.to.iter().any(|to| **to == *copy.destination);
        let (mut again, mut new) = (Vec::new(), Vec::new());
        for copy in today.into_iter().filter(is_asked_for) {
            let known = event.copies.iter().position(|it| it.route == copy.route && it.destination == copy.destination);
            match known {
                None if self.scope == Scope::Events && self.filter.outcome.is_none() => new.push(copy),
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
        chosen.wishes = wishes(found, event, again, new);
        chosen
    }
}

/// What the deliveries take: the same copies again, and new ones behind them.
fn wishes(found: &Found, event: &Arc<EventData>, again: Vec<u16>, new: Vec<Copy>) -> Vec<Wish> {
    let (seq, mut wishes) = (found.seq, Vec::new());
    if !again.is_empty() {
        wishes.push(Wish::Replay { seq, copies: again, event: Arc::clone(event) });
    }
    if let Some(from) = u16::try_from(event.copies.len()).ok().filter(|_| !new.is_empty()) {
        let mut extended = EventData::clone(event);
        extended.copies.extend(new);
        wishes.push(Wish::Extend { seq, from, event: Arc::new(extended) });
    }
    wishes
}

/// A page of what a choice goes through, oldest first: events, or dead letters of them.
pub(super) struct Walk {
    pub(super) found: Vec<(Found, Option<u16>)>,
    pub(super) next: Option<Vec<u8>>,
}

impl Archive {
    /// The next page of what `choice` goes through; what came or died after `began` is left out, so that a walk ends.
    pub(super) fn walk(&self, choice: &Choice, cursor: Option<&[u8]>, began: Timestamp) -> Result<Walk, NotStored> {
        let since = choice.filter.since.unwrap_or(Timestamp::from_unix_ms(0));
        match choice.scope {
            Scope::Events => {
                let wanted = |found: &Found| choice.filter.wants(found);
                let page = self.buffer.events_forward(cursor, (since, began), PAGE, &wanted)?;
                Ok(Walk { found: page.entries.into_iter().map(|found| (found, None)).collect(), next: page.next })
            }
            Scope::DeadLetters => {
                let page = self.buffer.dead_letters(choice.filter.destination.as_deref(), cursor, PAGE)?;
                let is_meant = |dead: &DeadLetter| dead.died_at <= began && choice.filter.wants_dead(dead);
                let meant = page.entries.into_iter().filter(is_meant);
                let found = meant.map(|dead| (dead.found, Some(dead.copy))).collect();
                Ok(Walk { found, next: page.next })
            }
        }
    }

    /// What `choice` would do. Reads the disk: not for async threads.
    pub fn plan(&self, choice: &Choice) -> Result<Plan, NotStored> {
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
