//! Slow senders are cut at absolute deadlines, and do not delay other senders.

use std::time::{Duration, Instant};

use crate::support::{Connection, Gateway, Receiver, SOON, Site, eventually, github};

fn start(receiver: &Receiver, limits: &str) -> (Site, Gateway) {
    let rest = Site::plain_rest(&receiver.url("/app"), "");
    let site = Site::new(&rest).listener(&format!("limits: {{{limits}}}"), &rest);
    let gateway = site.start();
    (site, gateway)
}

/// Writes a byte every 50 ms until the other side ends the connection or answers; returns the time that took.
fn drip(connection: &mut Connection, bytes: &[u8]) -> Duration {
    let started = Instant::now();
    for byte in bytes {
        if connection.write(&[*byte]).is_err() || connection.has_something(Duration::from_millis(50)) {
            break;
        }
    }
    started.elapsed()
}

#[test]
fn a_dripping_head_and_a_silent_connection_are_cut() {
    let receiver = Receiver::start();
    let (_site, gateway) = start(&receiver, "header_timeout: 1s, keep_alive: 1s");
    let head = github("{}").with("X-Long", vec![b'a'; 400]).wire();
    let cuts: Vec<Duration> = std::thread::scope(|scope| {
        let drips: Vec<_> = (0..20)
            .map(|at| {
                let (gateway, head) = (&gateway, if at % 4 == 0 { &[] } else { &head[..] });
                scope.spawn(move || {
                    let mut connection = gateway.connect();
                    let took = drip(&mut connection, head);
                    let rest = Instant::now();
                    assert!(connection.is_ended(Duration::from_secs(10)), "a slow head is not cut");
                    took + rest.elapsed()
                })
            })
            .collect();
        for _ in 0..20 {
            gateway.accept(&github("{}"));
        }
        drips.into_iter().map(|drip| drip.join().unwrap()).collect()
    });
    for cut in cuts {
        assert!(cut >= Duration::from_millis(900) && cut < Duration::from_secs(6), "{cut:?}");
    }
    gateway.wait_for_metric("hookgate_connections", &[], 0);
    receiver.wait_for(20);
}

#[test]
fn a_slow_body_is_answered_408_at_the_deadline() {
    let receiver = Receiver::start();
    let (_site, gateway) = start(&receiver, "body_timeout: 1s");
    let request = github(vec![b' '; 1000]);
    for wire in [request.wire(), request.wire_chunked(1)] {
        let head = request.wire().len() - request.body.len();
        let mut connection = gateway.connect();
        let started = Instant::now();
        connection.write(&wire[..head]).unwrap();
        drip(&mut connection, &wire[head..]);
        let answer = connection.answer().unwrap();
        let took = started.elapsed();
        assert_eq!((answer.status, answer.json()["outcome"].as_str()), (408, Some("body_timeout")));
        assert!(took >= Duration::from_millis(950) && took < Duration::from_secs(5), "{took:?}");
        assert!(connection.is_ended(SOON));
    }
    gateway.wait_for_outcomes("github", "body_timeout", 408, 2);
    assert_eq!(receiver.connections(), 0);
}

#[test]
fn one_address_cannot_take_all_connections() {
    let receiver = Receiver::start();
    let (_site, gateway) = start(&receiver, "connections_per_ip: 4");
    let mut held: Vec<Connection> = (0..4).map(|_| gateway.connect()).collect();
    for connection in &mut held {
        assert_eq!(connection.send(&github("{}")).unwrap().status, 200);
    }
    assert!(gateway.connect().send(&github("{}")).is_err(), "the fifth connection is closed");
    held.pop();
    eventually("a place is free", SOON, || gateway.connect().send(&github("{}")).ok());
}
