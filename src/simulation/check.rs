//! Checks of a run's end.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::target::Came;
use super::world::{CONCURRENCY, NAMES, OPEN_FOR, ORDERED, PACE_PER_SECOND, PACED, Said, SentEvent, Simulation};
use crate::buffer::{Ending, EventStatus, Space};
use crate::event::EventId;

/// Runs all checks and notes what is broken.
pub(super) fn all(world: &mut Simulation) {
    let mut broken = Vec::new();
    counters(world, &mut broken);
    let came: BTreeMap<&str, Vec<Came>> = NAMES.iter().map(|name| (*name, world.services.came(name))).collect();
    world.story.sum.deliveries = came.values().map(|came| came.len() as u64).sum();
    world.story.sum.repeated = world.sent.iter().filter(|sent| sent.said == Said::Repeated).count() as u64;
    nothing_is_lost(world, &came, &mut broken);
    nothing_is_made_up(world, &came, &mut broken);
    nothing_is_taken_twice(world, &mut broken);
    order_is_kept(world, &came[ORDERED], &mut broken);
    bounds_hold(world, &came, &mut broken);
    world.story.broken = broken;
}

/// Checks the accounting identity, and the counters against the records in the store.
fn counters(world: &Simulation, broken: &mut Vec<String>) {
    let (buffer, disk) = (world.buffer(), world.disk());
    let mut queued = 0;
    for name in NAMES {
        let book = buffer.counters(name);
        queued += book.queued;
        if !book.is_balanced() {
            broken.push(format!("the books of {name} do not balance: {book:?}"));
        }
        if book.rescheduled + book.waiting + book.parked > book.queued {
            broken.push(format!("the books of {name} count more states than deliveries: {book:?}"));
        }
    }
    if queued > 0 {
        broken.push(format!(
            "{queued} deliveries are left in the queue for days: {:?}",
            NAMES.map(|name| buffer.counters(name))
        ));
    }
    let fates: Vec<EventStatus> =
        disk.all(Space::Fate).iter().map(|(_, value)| EventStatus::parse(value).unwrap()).collect();
    let records: u64 = disk.all(Space::Events).iter().map(|(_, record)| record.len() as u64).sum();
    let kept = fates.iter().flat_map(|fate| &fate.copies).filter_map(|copy| copy.answer.as_ref());
    let bytes = records + kept.map(|answer| u64::from(answer.stored_bytes())).sum::<u64>();
    let (in_queue, in_lanes) = (disk.all(Space::Queue).len(), disk.all(Space::Ordered).len());
    let dead = fates.iter().flat_map(|fate| &fate.copies).filter(|copy| copy.is_dead()).count();
    let counted_dead: u64 = NAMES.iter().map(|name| buffer.counters(name).dead).sum();
    let stats = buffer.stats();
    for (what, counted, there) in [
        ("dead letters in fates", counted_dead, dead as u64),
        ("dead letters in the index", counted_dead, disk.all(Space::Dead).len() as u64),
        ("bytes", stats.used_bytes, bytes),
        ("delivery ids", stats.dedup_entries, disk.all(Space::Dedup).len() as u64),
        ("expiries of events", disk.all(Space::Events).len() as u64, disk.all(Space::Expiry).len() as u64),
        ("queue records", queued, in_queue as u64),
        ("deliveries in lanes", 0, in_lanes as u64),
        ("lanes", 0, disk.all(Space::Lanes).len() as u64),
    ] {
        if counted != there && queued == 0 {
            broken.push(format!("{what}: counted {counted}, there are {there}"));
        }
    }
    // The id of an unreadable event is not known at its removal; its index entry stays.
    let (events, ids) = (disk.all(Space::Events).len() as u64, disk.all(Space::Ids).len() as u64);
    if ids < events || ids > events + world.story.sum.damaged {
        broken.push(format!("there are {events} events and {ids} ids"));
    }
}

fn fate_of(world: &Simulation, id: &str) -> Option<(Option<EventStatus>, bool)> {
    let found = world.buffer().find(EventId::parse(id)?).ok()??;
    Some((found.fate, found.event.is_some()))
}

/// Checks that every dispatch of every event that was answered as stored arrived, or has a recorded end.
fn nothing_is_lost(world: &Simulation, came: &BTreeMap<&str, Vec<Came>>, broken: &mut Vec<String>) {
    for sent in world.sent.iter().filter(|sent| sent.said == Said::Stored) {
        let known = fate_of(world, &sent.id);
        for (at, copy) in sent.copies.iter().enumerate() {
            let arrived = came[&*copy.destination].iter().any(|one| one.event == sent.id && one.status == Some(200));
            let end = known.as_ref().and_then(|(fate, _)| fate.as_ref()?.copies.get(at)?.end);
            match end {
                Some((Ending::Delivered, _)) if arrived => {}
                Some((Ending::Dead(_) | Ending::Discarded(_), _)) => {}
                // A dropped dead letter leaves with its event; a disk that runs low removes delivered events.
                None if known.is_none() && (world.given_up > 0 || arrived) => {}
                other => broken.push(format!(
                    "{} to {}: answered as stored, {} and on record as {other:?}",
                    sent.id,
                    copy.destination,
                    if arrived { "arrived" } else { "never arrived" }
                )),
            }
        }
    }
    // A duplicate is answered as the first was: the first must be there, arrive or be on record.
    for sent in world.sent.iter().filter(|sent| sent.said == Said::Repeated) {
        let same = |other: &&SentEvent| other.delivery_id == sent.delivery_id && other.body == sent.body;
        let has_first = world.sent.iter().filter(same).any(|other| {
            let arrived = came.values().flatten().any(|one| one.event == other.id);
            other.said == Said::Stored || arrived || fate_of(world, &other.id).is_some()
        });
        if !has_first && world.given_up == 0 {
            broken.push(format!("{} was answered as a repetition of nothing", sent.delivery_id));
        }
    }
}

fn nothing_is_made_up(world: &Simulation, came: &BTreeMap<&str, Vec<Came>>, broken: &mut Vec<String>) {
    let sent: BTreeMap<&str, &SentEvent> = world.sent.iter().map(|sent| (sent.id.as_str(), sent)).collect();
    for (name, came) in came {
        for one in came {
            match sent.get(one.event.as_str()) {
                None => broken.push(format!("{name} got {}, which nobody sent", one.event)),
                Some(sent) if sent.body != one.body => {
                    broken.push(format!("{name} got a changed body of {}", one.event));
                }
                Some(sent) if !sent.copies.iter().any(|copy| &*copy.destination == *name) => {
                    broken.push(format!("{name} got {}, which is not for it", one.event));
                }
                Some(_) => {}
            }
        }
    }
}

/// Checks that no delivery is answered as newly stored twice.
fn nothing_is_taken_twice(world: &Simulation, broken: &mut Vec<String>) {
    let mut taken = BTreeSet::new();
    for sent in world.sent.iter().filter(|sent| sent.said == Said::Stored) {
        if !taken.insert((&sent.delivery_id, &sent.body)) {
            broken.push(format!("{} was stored twice", sent.delivery_id));
        }
    }
}

/// Checks that under one key no event arrives for the first time behind a later one.
fn order_is_kept(world: &Simulation, came: &[Came], broken: &mut Vec<String>) {
    let seq = |id: &str| Some(world.buffer().find(EventId::parse(id)?).ok()??.seq);
    let keys: BTreeMap<&str, [u8; 16]> = world
        .sent
        .iter()
        .filter_map(|sent| {
            let order = sent.copies.iter().find(|copy| &*copy.destination == ORDERED)?.order.as_ref()?;
            Some((sent.id.as_str(), order.hash))
        })
        .collect();
    let mut last: BTreeMap<[u8; 16], (u64, String)> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    // Any status counts: an end that a power cut took (a 410, say) is made again behind later events.
    for one in came {
        let Some(key) = keys.get(one.event.as_str()) else { continue };
        let (true, Some(seq)) = (seen.insert(one.event.clone()), seq(&one.event)) else { continue };
        if let Some((before, event)) = last.get(key)
            && *before > seq
            && world.given_up == 0
            && world.story.sum.wishes == 0
        {
            broken.push(format!("{} arrived behind {event}, which was accepted later", one.event));
        }
        last.insert(*key, (seq, one.event.clone()));
    }
}

fn bounds_hold(world: &Simulation, came: &BTreeMap<&str, Vec<Came>>, broken: &mut Vec<String>) {
    let crashes = usize::try_from(world.story.sum.crashes).unwrap();
    for name in NAMES {
        let most = world.services.most_under_way(name);
        if most > CONCURRENCY + 1 {
            broken.push(format!("{name} had {most} tries under way at once"));
        }
        for (since, until, tries) in world.services.illnesses(name) {
            // Attempts go out until the breaker has opened, and once for every new start of the machine.
            let quiet_from = since + Duration::from_mins(1);
            let probes = tries.iter().filter(|at| **at > quiet_from && **at < until).count();
            let length = until.duration_since(since).as_secs();
            let probes_due = usize::try_from(length.div_ceil(OPEN_FOR.as_secs())).unwrap();
            // Before a breaker opens, ten attempts fail, and as many as the concurrency allows are in flight.
            let allowed = probes_due + (11 + CONCURRENCY) * (crashes + 1);
            if probes > allowed {
                broken.push(format!("{name} was ill for {length} s and had {probes} probes"));
            }
        }
    }
    let mut window = std::collections::VecDeque::new();
    for one in &came[PACED] {
        window.push_back(one.at);
        while window.front().is_some_and(|first| one.at.duration_since(*first) >= Duration::from_secs(1)) {
            window.pop_front();
        }
        if window.len() > PACE_PER_SECOND as usize + CONCURRENCY + 2 {
            broken.push(format!("{PACED} had {} tries within a second", window.len()));
            break;
        }
    }
}
