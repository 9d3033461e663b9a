//! What was answered as accepted survives kill -9 at any moment.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::support::{
    Connection, Gateway, Receiver, SOON, Site, alone, eventually, free_port, github, hmac_hex, unique,
};

const KILLS: usize = 20;

/// Sends events one after another until told to stop; gives the ids of those that were answered, with a hash of the body.
fn send_all_the_time(address: SocketAddr, stop: &AtomicBool) -> HashMap<String, String> {
    let mut answered = HashMap::new();
    let mut connection = None;
    while !stop.load(Ordering::Relaxed) {
        let Some(open) = connection.take().or_else(|| Connection::open(address).ok()) else {
            std::thread::sleep(Duration::from_millis(2));
            continue;
        };
        let mut open = open;
        let body = format!("{{\"unique\":\"{}\",\"fill\":\"{}\"}}", unique(), "x".repeat(answered.len() % 3000));
        let Ok(answer) = open.send(&github(body.clone())) else { continue };
        if let Some(id) = answer.event_id().filter(|_| answer.status == 200) {
            let is_new = answered.insert(id, hmac_hex("", body.as_bytes())).is_none();
            assert!(is_new, "an id was given twice");
        }
        connection = Some(open);
    }
    answered
}

fn drained(gateway: &Gateway) {
    let is_empty = || gateway.metrics().sum("hookgate_queue_events", &[]) == 0;
    eventually("the queue is empty", SOON * 2, || is_empty().then_some(()));
}

#[test]
fn every_answered_event_is_delivered_after_twenty_kills() {
    let _alone = alone();
    let receiver = Receiver::start();
    let rest = Site::plain_rest(&receiver.url("/app"), "");
    let port = free_port();
    let site = Site::new(&rest).address(&format!("127.0.0.1:{port}"), &rest);
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let stop = AtomicBool::new(false);
    let (answered, gateway) = std::thread::scope(|scope| {
        let senders: Vec<_> = (0..2).map(|_| scope.spawn(|| send_all_the_time(address, &stop))).collect();
        for _ in 0..KILLS {
            let gateway = site.start();
            let life = Duration::from_millis(rand::random_range(30..500));
            let born = Instant::now();
            // The moment is random on purpose; nothing is waited for.
            while born.elapsed() < life {
                std::thread::sleep(Duration::from_millis(1));
            }
            gateway.kill();
        }
        let gateway = site.start();
        stop.store(true, Ordering::Relaxed);
        let answered = senders.into_iter().flat_map(|sender| sender.join().unwrap());
        (answered.collect::<HashMap<_, _>>(), gateway)
    });
    drained(&gateway);
    let seen = receiver.seen();
    let mut count: HashMap<String, usize> = HashMap::new();
    for delivery in &seen {
        *count.entry(delivery.event_id()).or_default() += 1;
        if let Some(hash) = answered.get(&delivery.event_id()) {
            let body = crate::support::text_of(&delivery.body);
            assert_eq!(&hmac_hex("", &delivery.body), hash, "the body is changed: {body:.100}, {} bytes", body.len());
        }
    }
    let lost: Vec<&String> = answered.keys().filter(|id| !count.contains_key(*id)).collect();
    assert!(lost.is_empty(), "{} of {} answered events are lost: {lost:?}", lost.len(), answered.len());
    let again: usize = count.values().map(|times| times - 1).sum();
    let unanswered = count.len() - answered.len();
    eprintln!("{} answered, {again} delivered again, {unanswered} delivered whose answer was lost", answered.len());
    assert!(answered.len() >= KILLS, "the load was too small to show anything: {}", answered.len());
}
