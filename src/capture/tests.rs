//! Tests of the shelves: the requests that are kept and those that are removed.

use super::*;
use crate::refusal::Class;

const BAD: RequestOutcome = RequestOutcome::Refused(Class::BadSignature);

fn captured(number: u64, outcome: RequestOutcome, bytes: usize) -> Captured {
    let at = Timestamp::from_unix_ms(number);
    let sample = EventData::sample(EventId::at(at, [0; 10]), at);
    let event = EventData { body: Bytes::from(vec![0; bytes]), ..sample };
    let (kept, body_bytes) = (BodyKept::Whole, bytes as u64);
    Captured { event, outcome, why: String::new(), status: 401, kept, body_bytes, is_known_sender: false }
}

fn from(number: u64, source: &str, sender: &str) -> Captured {
    let mut one = captured(number, BAD, 1);
    one.event.source = source.into();
    one.event.sender = Some(sender.parse().unwrap());
    one
}

fn capture(events_max: usize) -> Capture {
    Capture::new(CaptureParams { events_max, bodies: true, redaction: Redaction::default() })
}

fn numbers(capture: &Capture) -> Vec<u64> {
    capture.all().iter().map(|captured| captured.event.received_at_ms).collect()
}

#[test]
fn strangers_cannot_push_out_what_was_verified() {
    let capture = capture(3);
    capture.keep(captured(1, RequestOutcome::Filtered, 1), Worth::Whole);
    for number in 2..100 {
        capture.keep(captured(number, BAD, 1), Worth::Whole);
    }
    assert_eq!(numbers(&capture), [99, 98, 97, 1]);
    let verified = EventData { verified_by: Some("main".into()), ..captured(100, BAD, 1).event };
    let rejected = RequestOutcome::Refused(Class::SchemaRejected);
    capture.keep(Captured { event: verified, ..captured(100, rejected, 1) }, Worth::Whole);
    assert_eq!(numbers(&capture), [100, 99, 98, 97, 1]);
}

#[test]
fn a_flood_at_one_source_pushes_out_nothing_of_another_one() {
    let capture = capture(100);
    for number in 1..=3 {
        capture.keep(from(number, "shopify", "203.0.113.9"), Worth::Whole);
    }
    for number in 10..3000 {
        capture.keep(from(number, "stripe", "203.0.113.9"), Worth::Whole);
    }
    let numbers = numbers(&capture);
    assert_eq!((numbers.len(), &numbers[97..]), (100, &[3, 2, 1][..]));
    assert_eq!((numbers[0], numbers[96]), (2999, 2903), "and the flood keeps its newest");
}

#[test]
fn a_flood_from_many_addresses_does_not_push_out_the_only_real_request() {
    type Address = fn(u64) -> String;
    let floods: [(&str, Address); 4] = [
        ("one address", |_| "198.51.100.7".into()),
        ("a network", |n| format!("203.{}.{}.{}", n % 256, n / 256 % 256, n % 251)),
        ("a /32 of /64s", |n| format!("2001:db8:{:x}:{:x}::1", n / 7, n)),
        ("many networks", |n| format!("{}.{}.{}.{}", 1 + n % 100, n * 7 % 256, n * 31 % 256, n * 17 % 256)),
    ];
    for (what, address) in floods {
        let capture = capture(1000);
        capture.keep(from(1, "stripe", "192.0.2.1"), Worth::Whole);
        for number in 2..5000 {
            capture.keep(from(number, "stripe", &address(number)), Worth::Whole);
        }
        assert!(capture.find(from(1, "stripe", "192.0.2.1").event.id).is_some(), "{what}");
        assert_eq!(capture.all().len(), 1000, "{what}");
    }
}

#[test]
fn a_sender_that_was_verified_before_has_a_shelf_of_its_own() {
    let capture = capture(10);
    for number in 1..=5 {
        capture.keep(Captured { is_known_sender: true, ..from(number, "a", "192.0.2.1") }, Worth::Whole);
    }
    for number in 10..500 {
        capture.keep(from(number, "a", "192.0.2.1"), Worth::Whole);
    }
    assert_eq!(numbers(&capture)[10..], [5, 4, 3, 2, 1]);
}

#[test]
fn large_bodies_push_out_nothing_of_a_source_with_small_ones() {
    let capture = capture(1000);
    for number in 1..=50 {
        capture.keep(from(number, "small", "192.0.2.1"), Worth::Whole);
    }
    for number in 100..200 {
        let mut large = from(number, "large", "198.51.100.7");
        large.event.body = Bytes::from(vec![0; 1024 * 1024]);
        capture.keep(large, Worth::Whole);
    }
    let count = |source| capture.all().iter().filter(|one| &*one.event.source == source).count();
    assert_eq!((count("small"), count("large")), (50, 31));
}

#[test]
fn what_is_a_week_old_has_no_share_any_more() {
    let capture = capture(10);
    for number in 0..10 {
        capture.keep(from(number, "a", &format!("10.0.{number}.1")), Worth::Whole);
    }
    let later = 8 * 24 * 3600 * 1000;
    for number in 0..10 {
        capture.keep(from(later + number, "a", "192.0.2.1"), Worth::Whole);
    }
    assert!(numbers(&capture).iter().all(|number| *number >= later), "{:?}", numbers(&capture));
}

#[test]
fn a_flood_of_one_kind_takes_a_few_places_a_second_and_none_of_another_kind() {
    let capture = capture(1000);
    capture.keep(captured(1, BAD, 1), Worth::Whole);
    let (lost, limited) = (RequestOutcome::Refused(Class::NotFound), RequestOutcome::Refused(Class::RateLimited));
    let sender = Sender::of("192.0.2.1".parse().unwrap());
    let flood = |outcome: RequestOutcome, ms: u64| {
        let source = captured(ms, outcome, 1).event.source;
        let is_kept = capture.has_place(&source, (outcome, Worth::Head), sender, Timestamp::from_unix_ms(ms));
        if is_kept {
            capture.keep(captured(ms, outcome, 2000), Worth::Head);
        }
        usize::from(is_kept)
    };
    assert_eq!(flood(limited, 1), 1);
    let in_a_second: usize = (2..900).map(|ms| flood(lost, ms)).sum();
    assert_eq!(in_a_second, 5);
    let in_a_day: usize = (1..86_400).map(|second| flood(lost, second * 1000)).sum();
    assert_eq!(in_a_day, 86_399);
    let all = capture.all();
    let count = |outcome| all.iter().filter(|captured| captured.outcome == outcome).count();
    assert_eq!((count(lost), count(limited), all.len()), (999, 1, 1001));
}

#[test]
fn heads_of_many_senders_are_kept_up_to_fifty_a_second() {
    let capture = capture(1000);
    let outcome = RequestOutcome::Refused(Class::IpDenied);
    let source: Arc<str> = "a".into();
    let has_place = |n: u32| {
        let sender = Sender::of(std::net::Ipv4Addr::from(n).into());
        capture.has_place(&source, (outcome, Worth::Head), sender, Timestamp::from_unix_ms(1))
    };
    assert_eq!((1..10_000).filter(|n| has_place(*n)).count(), 50);
    assert!(capture.lock().in_second.1.values().all(|heads| heads.by_sender.len() <= 50));
}

#[test]
fn large_bodies_make_it_fewer() {
    let capture = capture(1000);
    for number in 0..100 {
        capture.keep(captured(number, RequestOutcome::Filtered, 1024 * 1024), Worth::Whole);
    }
    let kept = capture.all().len();
    assert!((28..=32).contains(&kept), "{kept}");
}

#[test]
fn a_long_host_and_long_parameters_count() {
    for is_host in [true, false] {
        let capture = capture(1000);
        for number in 0..500 {
            let mut captured = captured(number, RequestOutcome::Refused(Class::NotFound), 0);
            let long = "a".repeat(60 * 1024);
            if is_host {
                captured.event.host = Some(long);
            } else {
                captured.event.params = vec![("tenant".to_owned(), long)];
            }
            capture.keep(captured, Worth::Head);
        }
        let kept = capture.all().len();
        assert!((130..=136).contains(&kept), "{kept} of 500");
    }
}

#[test]
fn without_bodies_there_are_none() {
    let capture = Capture::new(CaptureParams { events_max: 5, bodies: false, redaction: Redaction::default() });
    capture.keep(captured(1, RequestOutcome::Filtered, 10), Worth::Whole);
    let id = EventId::at(Timestamp::from_unix_ms(1), [0; 10]);
    let kept = capture.find(id).unwrap();
    assert!(kept.event.body.is_empty() && kept.kept == BodyKept::Nothing);
}
