//! Connections as load balancers and blocking senders use them: opened early, kept open, and read only after the whole
//! request is written.

use std::time::{Duration, Instant};

use crate::support::{Answer, Connection, Gateway, Receiver, Request, SOON, Site, eventually, github, pass};

fn start(receiver: &Receiver, listener: &str) -> (Site, Gateway) {
    let rest = Site::plain_rest(&receiver.url("/app"), "");
    let site = Site::new(&rest).listener(listener, &rest);
    let gateway = site.start();
    (site, gateway)
}

#[test]
fn a_connection_is_kept_for_keep_alive_before_its_first_request_and_between_requests() {
    let receiver = Receiver::start();
    let (_site, gateway) = start(&receiver, "limits: {header_timeout: 1s, keep_alive: 4s}");
    let mut connection = gateway.connect();
    for _ in 0..2 {
        // Longer than the header timeout, shorter than the idle timeout.
        pass(Duration::from_millis(1800));
        assert_eq!(connection.send(&github("{}")).unwrap().status, 200);
    }
    let idle = Instant::now();
    assert!(connection.is_ended(SOON));
    let idle = idle.elapsed();
    assert!(idle > Duration::from_millis(3500) && idle < Duration::from_secs(9), "{idle:?}");
    let (silent, opened) = (&mut gateway.connect(), Instant::now());
    assert!(silent.is_ended(SOON));
    assert!(opened.elapsed() > Duration::from_millis(3500), "{:?}", opened.elapsed());
}

#[test]
fn without_keep_alive_a_connection_ends_with_its_first_answer() {
    let receiver = Receiver::start();
    let (_site, gateway) = start(&receiver, "limits: {keep_alive: 0s}");
    let mut connection = gateway.connect();
    let answer = connection.send(&github("{}")).unwrap();
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
    assert!(connection.is_ended(SOON));
}

/// Old senders write a line end after a body; it belongs to no request.
#[test]
fn a_line_end_behind_a_body_does_not_spoil_the_next_request() {
    let receiver = Receiver::start();
    let (_site, gateway) = start(&receiver, "limits: {connections: 10}");
    let mut connection = gateway.connect();
    let wire = [github("{}").wire(), b"\r\n".to_vec()].concat();
    for _ in 0..2 {
        connection.write(&wire).unwrap();
        assert_eq!(connection.answer().unwrap().status, 200);
    }
}

#[test]
fn a_head_over_a_limit_is_told_which_one_and_the_log_has_its_key() {
    let receiver = Receiver::start();
    let (_site, gateway) = start(&receiver, "limits: {headers: 4KiB, header_fields: 20, target: 1KiB}");
    let large = github("{}").with("X-Large", "a".repeat(4096));
    let many = (0..30).fold(github("{}"), |request, at| request.with(&format!("X-{at}"), "a"));
    let very_many = (0..400).fold(github("{}"), |request, at| request.with(&format!("X-{at}"), "a"));
    let target = |bytes: usize| github("{}").to(&format!("/in/github?{}", "a".repeat(bytes)));
    let cases = [
        (large, 431, "Headers too large", "4096 bytes", "limits.headers"),
        (github("{}").with("X-Large", "a".repeat(2_000_000)), 431, "Headers too large", "4096 bytes", "limits.headers"),
        (many, 431, "Too many header fields", "20 header fields", "limits.header_fields"),
        (very_many, 431, "Too many header fields", "20 header fields", "limits.header_fields"),
        (target(1024), 414, "Request target too long", "1024 bytes", "limits.target"),
        (target(200_000), 414, "Request target too long", "1024 bytes", "limits.target"),
    ];
    for (count, (request, status, title, number, key)) in cases.iter().enumerate() {
        let mut connection = gateway.connect();
        connection.write(&request.wire()).unwrap();
        let answer = connection.answer().unwrap();
        let body = answer.json();
        assert_eq!((answer.status, body["title"].as_str()), (*status, Some(*title)), "{body}");
        assert_eq!(body["outcome"].as_str(), Some("headers_too_large"));
        let detail = body["detail"].as_str().unwrap();
        assert!(detail.contains(number) && !detail.contains("limits"), "{detail}");
        assert!(connection.is_ended(SOON));
        let told = format!("{number} (listeners.public.{key})");
        gateway.wait_for_metric("hookgate_requests_total", &[("outcome", "headers_too_large")], count as u64 + 1);
        eventually(&told, SOON, || gateway.log().contains(&told).then_some(()));
    }
    assert_eq!(gateway.send(&github("{}")).status, 200);
}

/// Writes the whole request before reading the answer, as a blocking sender does.
fn write_then_read(gateway: &Gateway, wire: &[u8]) -> std::io::Result<(Answer, Connection)> {
    let mut connection = gateway.connect();
    for piece in wire.chunks(64 * 1024) {
        connection.write(piece)?;
    }
    connection.answer().map(|answer| (answer, connection))
}

#[test]
fn a_refusal_arrives_at_a_sender_that_is_still_writing() {
    let receiver = Receiver::start();
    let rest = Site::plain_rest(&receiver.url("/app"), "");
    let rest = rest.replace("provider: github,", "provider: github, body: 1MiB, content_types: [application/json],");
    let gateway = Site::new(&rest).start();
    let one_over = github(vec![b' '; 1024 * 1024 + 1]);
    let large = github(vec![b' '; 8 * 1024 * 1024]);
    let typed = |request: &Request, value: &str| request.clone().without("Content-Type").with("Content-Type", value);
    let cases = [
        ("one byte over the limit", one_over.wire(), 413),
        ("one byte over the limit, in chunks", one_over.wire_chunked(10_000), 413),
        ("over the limit", large.wire(), 413),
        ("over the limit, in chunks", large.wire_chunked(100_000), 413),
        ("no source", large.clone().to("/in/nobody").wire(), 404),
        ("no source, in chunks", large.clone().to("/in/nobody").wire_chunked(100_000), 404),
        ("another method", Request { method: "PUT".into(), ..large.clone() }.wire(), 405),
        ("another type", typed(&github(vec![b' '; 1024 * 1024]), "text/plain").wire(), 415),
        ("compressed", github(vec![b' '; 1024 * 1024]).with("Content-Encoding", "gzip").wire(), 415),
        ("two lengths", large.clone().with("Content-Length", "5").with("Content-Length", "5").wire(), 400),
        ("no host", large.clone().with("Host", "").wire(), 400),
        ("too many fields", (0..120).fold(large.clone(), |all, at| all.with(&format!("X-{at}"), "")).wire(), 431),
        ("a bad head", [b"POST  /in/github HTTP/1.1\r\n".to_vec(), large.wire()].concat(), 400),
        (
            "a bad chunk",
            [one_over.head(), b"Transfer-Encoding: chunked\r\n\r\n5;\0\r\n".to_vec(), large.body].concat(),
            400,
        ),
    ];
    let mut wrong = Vec::new();
    for (name, wire, status) in &cases {
        for _ in 0..3 {
            match write_then_read(&gateway, wire) {
                Ok((answer, mut connection)) if answer.status == *status => {
                    assert!(connection.is_ended(SOON), "{name}: the connection goes on");
                }
                Ok((answer, _)) => wrong.push(format!("{name}: {}", answer.status)),
                Err(error) => wrong.push(format!("{name}: {error}")),
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    gateway.wait_for_metric("hookgate_connections", &[], 0);
}

/// Reading after an answer is bounded in bytes, and in time.
#[test]
fn a_sender_that_never_stops_writing_is_cut() {
    let receiver = Receiver::start();
    let (_site, gateway) = start(&receiver, "limits: {body_timeout: 1s}");
    let head = github("").to("/in/nobody").with("Content-Length", "1000000000000").wire();
    // At full speed the bound on bytes cuts; with a byte now and then the bound on time.
    for (piece, pause) in [(vec![b' '; 256 * 1024], Duration::ZERO), (vec![b' '], Duration::from_millis(50))] {
        let mut connection = gateway.connect();
        connection.write(&head).unwrap();
        let started = Instant::now();
        while connection.write(&piece).is_ok() {
            assert!(started.elapsed() < SOON, "a sender writes for ever");
            pass(pause);
        }
    }
    gateway.wait_for_metric("hookgate_connections", &[], 0);
}
