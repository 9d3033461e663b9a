//! Orderly stops with a backlog and under load; two processes with the same data directory or port.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::process::Signal;

use crate::support::{Connection, Receiver, SOON, Seen, Site, alone, eventually, free_port, github};

#[test]
fn a_backlog_survives_a_restart_and_is_delivered_when_the_service_is_back() {
    let _alone = alone();
    let port = free_port();
    let site = Site::new(&Site::plain_rest(&format!("http://127.0.0.1:{port}/app"), ""));
    let mut gateway = site.start();
    let mut connection = gateway.connect();
    let mut ids: Vec<String> =
        (0..500).map(|at| connection.send(&github(format!("{{\"at\":{at}}}"))).unwrap().event_id().unwrap()).collect();
    assert_eq!(gateway.stop().code(), Some(0));
    let gateway = site.start();
    gateway.wait_for_metric("hookgate_queue_events", &[("destination", "app")], 500);
    let receiver = Receiver::start_on(port);
    receiver.wait_for(500);
    gateway.wait_for_metric("hookgate_queue_events", &[], 0);
    let mut seen: Vec<String> = receiver.seen().iter().map(Seen::event_id).collect();
    seen.sort_unstable();
    ids.sort_unstable();
    assert_eq!(seen, ids, "each once");
}

/// Sends on one connection until an answer closes it.
fn send_until_told_to_close(mut connection: Connection, started: &AtomicBool) -> Vec<String> {
    let mut ids = Vec::new();
    loop {
        let answer = connection.send(&github("{\"load\":1}"));
        let answer = answer.unwrap_or_else(|error| panic!("an event in flight was not answered: {error}"));
        assert_eq!(answer.status, 200, "{}", answer.text());
        ids.push(answer.event_id().unwrap());
        started.store(true, Ordering::Relaxed);
        if answer.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close")) {
            return ids;
        }
    }
}

#[test]
fn a_stop_under_load_answers_what_is_in_flight_and_loses_nothing() {
    let _alone = alone();
    let receiver = Receiver::start();
    let site = Site::plain(&receiver);
    let mut gateway = site.start();
    let slow = github("{\"slow\":true}");
    let wire = slow.wire();
    let (head, tail) = wire.split_at(wire.len() - 4);
    let mut slow = gateway.connect();
    slow.write(head).unwrap();
    let started: Vec<AtomicBool> = (0..4).map(|_| AtomicBool::new(false)).collect();
    let mut ids: Vec<String> = std::thread::scope(|scope| {
        let senders: Vec<_> = started
            .iter()
            .map(|started| {
                let connection = gateway.connect();
                scope.spawn(move || send_until_told_to_close(connection, started))
            })
            .collect();
        let all = || started.iter().all(|started| started.load(Ordering::Relaxed));
        eventually("the load runs", SOON, || all().then_some(()));
        let in_flight = || gateway.metrics().sum("hookgate_requests_in_flight", &[]) > 0;
        eventually("a request is in flight", SOON, || in_flight().then_some(()));
        assert_eq!(gateway.admin("/readyz").status, 200);
        gateway.signal(Signal::TERM);
        eventually("it is not ready any more", SOON, || (gateway.admin("/readyz").status == 503).then_some(()));
        assert_eq!(gateway.admin("/livez").status, 200);
        senders.into_iter().flat_map(|sender| sender.join().unwrap()).collect()
    });
    slow.write(tail).unwrap();
    let answer = slow.answer().unwrap();
    assert_eq!(answer.status, 200, "a request that began before the stop is answered");
    ids.push(answer.event_id().unwrap());
    assert_eq!(gateway.wait().code(), Some(0));
    let log = gateway.log();
    assert!(log.contains("\"stopped\"") && !log.contains("ERROR"), "{log}");
    let gateway = site.start();
    gateway.wait_for_metric("hookgate_queue_events", &[], 0);
    let seen: std::collections::HashSet<String> = receiver.seen().iter().map(Seen::event_id).collect();
    let lost: Vec<&String> = ids.iter().filter(|id| !seen.contains(*id)).collect();
    assert!(lost.is_empty(), "{} of {} lost", lost.len(), ids.len());
}

#[test]
fn an_idle_gateway_with_open_connections_stops_at_once() {
    let receiver = Receiver::start();
    let mut gateway = Site::plain(&receiver).start();
    let mut used = gateway.connect();
    assert_eq!(used.send(&github("{}")).unwrap().status, 200);
    let _silent = gateway.connect();
    let started = std::time::Instant::now();
    assert_eq!(gateway.stop().code(), Some(0));
    // The grace of five seconds is for requests, and there is none. The silent connection gets the header timeout.
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
    assert!(used.is_ended(Duration::from_secs(1)));
}

#[test]
fn a_second_process_on_the_same_data_says_so_and_ends() {
    let receiver = Receiver::start();
    let site = Site::plain(&receiver);
    let gateway = site.start();
    let second = site.run_to_its_end();
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert_eq!(second.status.code(), Some(1), "{said}");
    assert!(said.contains("another process uses the buffer") && said.contains("data"), "{said}");
    assert!(!said.contains("panicked"), "{said}");
    gateway.accept(&github("{}"));
    receiver.wait_for(1);
}

#[test]
fn a_port_in_use_is_said_and_ends_the_start() {
    let receiver = Receiver::start();
    let rest = Site::plain_rest(&receiver.url("/app"), "");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let _holder = std::net::TcpListener::bind(taken).unwrap();
    let ended = Site::new(&rest).address(&taken.to_string(), &rest).run_to_its_end();
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(1), "{said}");
    assert!(said.contains("public") && said.contains(&taken.to_string()), "{said}");
}

#[test]
fn a_file_with_mistakes_starts_nothing() {
    let receiver = Receiver::start();
    let rest = Site::plain_rest(&receiver.url("/app"), "").replace("to: app", "to: ap");
    let site = Site::new(&rest);
    let ended = site.run_to_its_end();
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(78), "{said}");
    assert!(said.contains("did you mean `app`?"), "{said}");
    assert!(!site.root().join("data").exists(), "nothing is made");
}
