//! Odd bodies and odd ways to send them: the service gets the same bytes.

use std::time::Duration;

use crate::support::{Gateway, Receiver, Request, SOON, Site, eventually, github, hmac_hex, unique};

const MIB: usize = 1024 * 1024;

/// Returns an own source with the default cap of 1 MiB, beside GitHub with its 25 MiB.
fn rest(receiver: &Receiver) -> String {
    Site::plain_rest(&receiver.url("/app"), "")
        .replace(
            "sources:",
            "sources:
  own:
    path: /in/own
    verify: {type: hmac, algorithm: sha256, header: X-Sign, encoding: hex, signed: \"{body}\"}
    secrets: [{name: own, env: GITHUB_SECRET}]",
        )
        .replace("from: github", "from: [github, own]")
}

fn own(body: impl Into<Vec<u8>>) -> Request {
    let body = body.into();
    let signature = hmac_hex(crate::support::SECRET, &body);
    Request::new("POST", "/in/own", body).with("X-Sign", signature).with("X-Unique", unique())
}

fn arrives(receiver: &Receiver, id: &str, body: &[u8]) {
    let seen = eventually("the delivery", SOON, || receiver.seen().into_iter().find(|seen| seen.event_id() == id));
    assert!(seen.body == body, "the body is changed: {} bytes became {}", body.len(), seen.body.len());
}

fn refused(gateway: &Gateway, wire: &[u8]) -> u16 {
    let mut connection = gateway.connect();
    // The gateway may answer and close before the whole request is written.
    drop(connection.write(wire));
    connection.answer().unwrap().status
}

#[test]
fn odd_bodies_arrive_as_they_were_sent() {
    let receiver = Receiver::start();
    let gateway = Site::new(&rest(&receiver)).start();
    let every_byte: Vec<u8> = (0..=255).collect();
    let bodies: [&[u8]; 9] = [
        b"",
        b"\xff\xfe\x00not UTF-8\x80",
        b"{\r\n  \"a\": 1\r\n}\r\n",
        b"\xef\xbb\xbf{\"a\":1}",
        b"{\"a\":1,\"a\":2}",
        b" {\"n\": 1.0, \"e\": 1e400, \"u\": \"\\ud800\"} ",
        b"0\r\n\r\n",
        b"a=1&b=2+3",
        &every_byte,
    ];
    for body in bodies {
        let plain = own(body).with("Content-Type", "application/octet-stream");
        arrives(&receiver, &gateway.accept(&plain), body);
        let mut connection = gateway.connect();
        connection.write(&plain.wire_chunked(1)).unwrap();
        let answer = connection.answer().unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
        arrives(&receiver, &answer.event_id().unwrap(), body);
    }
}

#[test]
fn a_body_of_exactly_the_cap_is_taken_and_one_byte_more_is_not() {
    let receiver = Receiver::start();
    let gateway = Site::new(&rest(&receiver)).start();
    for size in [MIB - 1, MIB] {
        let body: Vec<u8> = (0..size).map(|at| u8::try_from(at % 251).unwrap()).collect();
        arrives(&receiver, &gateway.accept(&own(body.clone())), &body);
        let mut connection = gateway.connect();
        connection.write(&own(body.clone()).wire_chunked(1000)).unwrap();
        arrives(&receiver, &connection.answer().unwrap().event_id().unwrap(), &body);
    }
    let over = own(vec![b'x'; MIB + 1]);
    // Only the head is sent: the gateway answers without the body.
    let head_only = [over.head(), format!("Content-Length: {}\r\n\r\n", MIB + 1).into_bytes()].concat();
    assert_eq!(refused(&gateway, &head_only), 413);
    assert_eq!(refused(&gateway, &over.wire_chunked(4096)), 413);
    let huge = [over.head(), b"Content-Length: 99999999999999999999999\r\n\r\n".to_vec()].concat();
    assert_eq!(refused(&gateway, &huge), 400);
    let big = vec![b' '; 2 * MIB];
    arrives(&receiver, &gateway.accept(&github(big.clone()).without("Content-Type")), &big);
    gateway.wait_for_outcomes("own", "too_large", 413, 2);
}

#[test]
fn a_body_in_many_tiny_chunks_arrives_whole() {
    let receiver = Receiver::start();
    let gateway = Site::new(&rest(&receiver)).start();
    let body: Vec<u8> = (0..20_000_u32).map(|at| u8::try_from(at % 256).unwrap()).collect();
    let mut connection = gateway.connect();
    for piece in own(body.clone()).wire_chunked(3).chunks(7000) {
        connection.write(piece).unwrap();
        std::thread::sleep(Duration::from_millis(1));
    }
    let answer = connection.answer().unwrap();
    assert_eq!(answer.header("connection"), Some("close"), "what follows a chunked body is never a request");
    arrives(&receiver, &answer.event_id().unwrap(), &body);
}

#[test]
fn expect_100_continue_is_answered_and_the_connection_goes_on() {
    let receiver = Receiver::start();
    let gateway = Site::new(&rest(&receiver)).start();
    let mut connection = gateway.connect();
    for round in 0..3 {
        let request = own(format!("body {round}")).with("Expect", "100-continue");
        let wire = request.wire();
        let head = wire.len() - request.body.len();
        connection.write(&wire[..head]).unwrap();
        assert_eq!(connection.any_answer().unwrap().status, 100);
        connection.write(&wire[head..]).unwrap();
        let answer = connection.any_answer().unwrap();
        assert_eq!(answer.status, 200);
        arrives(&receiver, &answer.event_id().unwrap(), &request.body);
    }
    // A request that is refused by its head gets no `100 Continue`.
    let over = own(vec![b'x'; MIB + 1]).with("Expect", "100-continue");
    connection.write(&over.wire()[..over.wire().len() - over.body.len()]).unwrap();
    assert_eq!(connection.any_answer().unwrap().status, 413);
}

#[test]
fn pipelined_requests_are_answered_in_their_order() {
    let receiver = Receiver::start();
    let gateway = Site::new(&rest(&receiver)).start();
    let first = own("first");
    let second = own("second").without("X-Sign");
    let third = own("third");
    let mut connection = gateway.connect();
    connection.write(&[first.wire(), third.wire()].concat()).unwrap();
    let (one, two) = (connection.answer().unwrap(), connection.answer().unwrap());
    assert_eq!((one.status, two.status), (200, 200));
    arrives(&receiver, &one.event_id().unwrap(), b"first");
    arrives(&receiver, &two.event_id().unwrap(), b"third");
    let mut connection = gateway.connect();
    connection.write(&[second.wire(), own("fourth").wire()].concat()).unwrap();
    assert_eq!(connection.answer().unwrap().status, 401);
    if let Ok(answer) = connection.answer() {
        arrives(&receiver, &answer.event_id().unwrap(), b"fourth");
    }
}

#[test]
fn an_empty_content_encoding_is_none_and_a_compressed_body_is_told_so() {
    let receiver = Receiver::start();
    let gateway = Site::new(&rest(&receiver)).start();
    for lines in [&[""][..], &[" "], &[","], &["identity, identity"], &["", "Identity", ",,"]] {
        let request = lines.iter().fold(own("plain"), |request, line| request.with("Content-Encoding", line));
        let answer = gateway.send(&request);
        assert_eq!(answer.status, 200, "{lines:?}: {}", answer.text());
        arrives(&receiver, &answer.event_id().unwrap(), b"plain");
    }
    for (lines, name) in
        [(&["gzip"][..], "gzip"), (&["", "identity, br"], "br"), (&["\u{1}\u{7f}x"], "in an unknown way")]
    {
        let answer = gateway.send(&lines.iter().fold(own("x"), |request, line| request.with("Content-Encoding", line)));
        if name == "in an unknown way" && answer.status == 400 {
            continue;
        }
        let body = answer.json();
        assert_eq!((answer.status, answer.header("accept-encoding")), (415, Some("identity")), "{body}");
        assert_eq!(body["title"].as_str(), Some("Content coding not accepted"));
        assert!(body["detail"].as_str().unwrap().contains(&format!("compressed ({name})")), "{body}");
    }
    let typed = own("x").without("Content-Type").with("Content-Type", "no type");
    assert_eq!(gateway.send(&typed).header("accept-encoding"), None);
}

#[test]
fn http_1_0_with_a_length_is_taken_and_closed() {
    let receiver = Receiver::start();
    let gateway = Site::new(&rest(&receiver)).start();
    let wire = String::from_utf8(own("old").wire()).unwrap().replace("HTTP/1.1", "HTTP/1.0");
    let mut connection = gateway.connect();
    connection.write(wire.as_bytes()).unwrap();
    let answer = connection.answer().unwrap();
    assert_eq!(answer.status, 200);
    assert!(connection.is_ended(SOON), "an HTTP/1.0 connection without keep-alive ends");
    arrives(&receiver, &answer.event_id().unwrap(), b"old");
}

#[test]
fn a_sender_that_goes_away_in_its_body_leaves_nothing_behind() {
    let receiver = Receiver::start();
    let gateway = Site::new(&rest(&receiver)).start();
    let request = own("the whole body");
    for cut in [1, 8] {
        for wire in [request.wire(), request.wire_chunked(5)] {
            let mut connection = gateway.connect();
            connection.write(&wire[..wire.len() - cut]).unwrap();
        }
    }
    gateway.wait_for_metric("hookgate_requests_total", &[("source", "own"), ("outcome", "malformed")], 4);
    assert_eq!(receiver.count(), 0);
}
