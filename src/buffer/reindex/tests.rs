//! Tests on stores that lost some of their records.

use super::*;
use crate::buffer::engine::Medium;
use crate::buffer::engine::fake::FakeDisk;
use crate::buffer::status::Ending;
use crate::event::{Dispatch, EventId, OrderKey};

const NOW: Timestamp = Timestamp::from_unix_ms(1_800_000_000_000);

fn event(number: u8, order: Option<&str>) -> EventData {
    let copy = Dispatch { order: order.map(OrderKey::of), ..Dispatch::plain("r", "app") };
    let sample = EventData::sample(EventId::at(NOW, [number; 10]), NOW);
    EventData { copies: vec![copy], body: vec![number; 100].into(), ..sample }
}

fn seq(number: u8) -> u64 {
    keys::first_sequence(NOW.unix_ms()) + u64::from(number)
}

/// Makes a store that holds only these events.
fn bare(events: &[EventData]) -> (FakeDisk, std::sync::Arc<dyn Engine>) {
    let disk = FakeDisk::default();
    let (engine, _) = disk.open().unwrap();
    let mut batch = Writes::default();
    for (number, event) in (0..).zip(events) {
        batch.insert(Space::Events, seq(number).to_be_bytes(), record::encode(event).unwrap());
    }
    engine.commit(batch, Durability::Synced).unwrap();
    (disk, engine)
}

fn count(disk: &FakeDisk, space: Space) -> usize {
    disk.all(space).len()
}

fn queued(disk: &FakeDisk) -> Vec<u64> {
    disk.all(Space::Queue).iter().map(|(key, _)| QueueKey::parse(key).unwrap().seq).collect()
}

#[test]
fn events_without_a_place_are_queued_once_and_in_order() {
    let (disk, engine) = bare(&[event(0, Some("k")), event(1, None), event(2, Some("k")), event(3, Some("k"))]);
    for _ in 0..2 {
        reindex(&*engine, NOW).unwrap();
        assert_eq!(queued(&disk), [seq(0), seq(1)]);
        assert_eq!((count(&disk, Space::Ordered), count(&disk, Space::Lanes), count(&disk, Space::Ids)), (3, 1, 4));
        let books = CountersByDestination::read(&*engine).unwrap();
        let book = books.by_destination.values().next().unwrap();
        assert!(book.is_balanced() && (book.queued, book.waiting, book.accepted) == (4, 2, 4), "{book:?}");
        let stored: usize = disk.all(Space::Events).iter().map(|(_, record)| record.len()).sum();
        assert_eq!(books.total.bytes, stored as u64);
        assert_eq!(books.total.next_seq, seq(4));
    }
}

#[test]
fn a_lane_whose_head_left_the_queue_has_a_head_again() {
    let (disk, engine) = bare(&[event(0, Some("k")), event(1, Some("k"))]);
    reindex(&*engine, NOW).unwrap();
    let [(head, _)] = disk.all(Space::Queue).try_into().unwrap();
    let (place, _) = disk.all(Space::Ordered).into_iter().next().unwrap();
    let mut batch = Writes::default();
    // The first event is lost with all its records.
    batch.remove(Space::Queue, head);
    batch.remove(Space::Ordered, place);
    batch.remove(Space::Events, seq(0).to_be_bytes());
    engine.commit(batch, Durability::Synced).unwrap();
    reindex(&*engine, NOW).unwrap();
    assert_eq!((queued(&disk), count(&disk, Space::Ordered)), (vec![seq(1)], 1));
    assert_eq!(CountersByDestination::read(&*engine).unwrap().by_destination.values().next().unwrap().waiting, 0);
}

#[test]
fn what_has_ended_is_not_made_again_and_leaves_one_day() {
    let ended = event(0, None);
    let (disk, engine) = bare(std::slice::from_ref(&ended));
    let mut fate = EventStatus::new(ended.id, 1, 1);
    fate.copies[0].end = Some((Ending::Delivered, NOW.unix_ms()));
    fate.keep_until_ms = NOW.unix_ms() + 5;
    let stray = QueueKey { destination: DestinationId(1), due_ms: 7, seq: seq(0), copy: 0 };
    let mut batch = Writes::default();
    batch.insert(Space::Fate, seq(0).to_be_bytes(), fate.to_bytes());
    batch.insert(Space::Meta, [DESTINATION_PREFIX, b"app"].concat(), 1_u32.to_be_bytes());
    batch.insert(Space::Queue, stray.to_bytes(), QueueValue::default().to_bytes());
    engine.commit(batch, Durability::Synced).unwrap();
    reindex(&*engine, NOW).unwrap();
    assert_eq!(queued(&disk), Vec::<u64>::new());
    let expiry = disk.all(Space::Expiry);
    assert_eq!(
        expiry.iter().map(|(key, _)| keys::parse_pair(key)).collect::<Vec<_>>(),
        [Some((NOW.unix_ms() + 5, seq(0)))]
    );
}

#[test]
fn what_is_kept_back_stays_kept_back() {
    let mut kept = event(0, None);
    kept.copies.clear();
    let (disk, engine) = bare(&[kept]);
    reindex(&*engine, NOW).unwrap();
    assert_eq!((count(&disk, Space::Queue), count(&disk, Space::Quarantine), count(&disk, Space::Expiry)), (0, 1, 1));
    assert_eq!(CountersByDestination::read(&*engine).unwrap().quarantined.values().sum::<u64>(), 1);
}
