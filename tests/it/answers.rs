//! Answers of services: the status decides, also when it comes while the request is being written or the answer's body
//! breaks off. `Retry-After` is honoured; a redirect is reported.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::support::{
    Gateway, Raw, Receiver, Reply, SOON, Script, Site, alone, eventually, github, head_of, text_of, whole,
};

const REFUSED: &[u8] = b"HTTP/1.1 413 Payload Too Large\r\nContent-Length: 0\r\n\r\n";

/// Starts a gateway whose destination `app` is at `url`, with two attempts and these settings.
fn start(url: &str, settings: &str) -> (Site, Gateway) {
    let rest = Site::plain_rest(url, settings).replace("max_attempts: 1000", "max_attempts: 2");
    let site = Site::new(&rest);
    let gateway = site.start();
    (site, gateway)
}

fn attempts(gateway: &Gateway) -> Vec<(&'static str, u64)> {
    let outcomes =
        ["success", "http_3xx", "http_4xx", "http_429", "http_5xx", "timeout", "connect", "tls", "dns"].into_iter();
    let count = |outcome| gateway.metrics().sum("hookgate_delivery_attempts_total", &[("outcome", outcome)]);
    outcomes.map(|outcome| (outcome, count(outcome))).filter(|(_, count)| *count > 0).collect()
}

#[track_caller]
fn ends(gateway: &Gateway, result: &str, count: u64) {
    gateway.wait_for_metric("hookgate_deliveries_total", &[("result", result)], count);
}

/// Returns the log lines with this message.
fn lines(gateway: &Gateway, message: &str) -> Vec<serde_json::Value> {
    let log = gateway.log();
    let lines = log.lines().map(|line| serde_json::from_str(line).unwrap_or_default());
    lines.filter(|line: &serde_json::Value| line["message"] == message).collect()
}

/// Waits for the first such line: the log is written beside the work, and may come after the metric.
fn first_line(gateway: &Gateway, message: &str) -> serde_json::Value {
    eventually("it is logged", SOON, || lines(gateway, message).into_iter().next())
}

/// Returns a body that does not fit into the buffers of two sockets.
fn large() -> Vec<u8> {
    format!("{{\"large\":\"{}\"}}", "x".repeat(8 * 1024 * 1024)).into_bytes()
}

fn refuses_at_the_head(stream: &mut TcpStream) -> std::io::Result<()> {
    head_of(stream)?;
    stream.write_all(REFUSED)
}

fn refuses_unread(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.read_exact(&mut [0])?;
    stream.write_all(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 4\r\n\r\nnope")
}

fn refuses_after_interim_answers(stream: &mut TcpStream) -> std::io::Result<()> {
    head_of(stream)?;
    stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    std::thread::sleep(Duration::from_millis(50));
    stream.write_all(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")?;
    std::thread::sleep(Duration::from_millis(50));
    stream.write_all(REFUSED)
}

fn refuses_in_the_middle(stream: &mut TcpStream) -> std::io::Result<()> {
    head_of(stream)?;
    stream.read_exact(&mut vec![0; 300_000])?;
    stream.write_all(REFUSED)
}

#[test]
fn an_answer_that_comes_while_the_request_is_written_counts() {
    let _alone = alone();
    let early: [Script; 4] =
        [refuses_at_the_head, refuses_unread, refuses_after_interim_answers, refuses_in_the_middle];
    let services = early.iter().flat_map(|script| [Raw::closing(*script), Raw::holding(*script)]);
    for (at, service) in services.enumerate() {
        let (_site, gateway) = start(&service.url("/app"), ", timeout: 20s");
        let began = Instant::now();
        gateway.accept(&github(large()));
        ends(&gateway, "dead_lettered", 1);
        assert_eq!(attempts(&gateway), [("http_4xx", 1)], "case {at}");
        assert!(began.elapsed() < Duration::from_secs(10), "case {at}: {:?}", began.elapsed());
        // The connection is not reused: the service would read the rest of the body as a request.
        gateway.accept(&github(large()));
        ends(&gateway, "dead_lettered", 2);
        assert_eq!(service.connections(), 2, "case {at}");
    }
}

#[test]
fn early_refusals_of_large_events_do_not_open_the_circuit_for_the_others() {
    let _alone = alone();
    let service = Raw::closing(refuses_at_the_head);
    let (_site, gateway) = start(&service.url("/app"), ", circuit_breaker: {failures: 3, within: 30s, open_for: 20s}");
    for count in 1..=5 {
        gateway.accept(&github(large()));
        ends(&gateway, "dead_lettered", count);
    }
    assert_eq!(attempts(&gateway), [("http_4xx", 5)]);
    assert_eq!(gateway.metrics().sum("hookgate_circuit_open", &[]), 0);
}

#[test]
fn an_early_429_is_waited_out_as_it_says() {
    let _alone = alone();
    let service = Raw::holding(|stream| {
        head_of(stream)?;
        stream.write_all(b"HTTP/1.1 429 Slow Down\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n")
    });
    let (_site, gateway) = start(&service.url("/app"), ", timeout: 20s");
    gateway.accept(&github(large()));
    let deferred = || gateway.metrics().sum("hookgate_delivery_deferrals_total", &[("cause", "retry_after")]);
    eventually("it is put off", SOON, || (deferred() > 0).then_some(()));
    assert!(attempts(&gateway).iter().all(|(outcome, _)| *outcome == "http_429"), "{:?}", attempts(&gateway));
}

#[test]
fn a_service_that_takes_an_event_early_still_gets_all_of_it() {
    let _alone = alone();
    let service = Raw::holding(|stream| {
        head_of(stream)?;
        stream.write_all(b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\nok")?;
        // The service reads slower than the gateway, which has the answer all the time.
        let mut rest = large().len();
        let mut chunk = vec![0; 1024 * 1024];
        while rest > 0 {
            std::thread::sleep(Duration::from_millis(20));
            rest -= stream.read(&mut chunk)?.min(rest);
        }
        Ok(())
    });
    let (_site, gateway) = start(&service.url("/app"), ", timeout: 20s");
    gateway.accept(&github(large()));
    ends(&gateway, "delivered", 1);
    eventually("the service has all of the body", SOON, || (service.held() == 1).then_some(()));
    assert_eq!(attempts(&gateway), [("success", 1)]);
}

#[test]
fn a_service_that_takes_an_event_early_and_reads_no_more_of_it_has_taken_it() {
    let _alone = alone();
    let service = Raw::holding(|stream| {
        head_of(stream)?;
        stream.write_all(b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\nok")
    });
    let (_site, gateway) = start(&service.url("/app"), ", timeout: 20s");
    let began = Instant::now();
    gateway.accept(&github(large()));
    ends(&gateway, "delivered", 1);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert_eq!(attempts(&gateway), [("success", 1)]);
}

#[test]
fn a_kept_connection_that_dies_at_the_next_event_costs_no_attempt() {
    let service = Raw::closing(|stream| {
        whole(stream)?;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")?;
        stream.read_exact(&mut [0])
    });
    let (_site, gateway) = start(&service.url("/app"), "");
    for count in 1..=4 {
        gateway.accept(&github("{}"));
        ends(&gateway, "delivered", count);
    }
    assert_eq!(attempts(&gateway), [("success", 4)]);
    assert_eq!(service.connections(), 4, "each was used twice, and died at the second event");
}

fn cut_by_length(stream: &mut TcpStream) -> std::io::Result<()> {
    whole(stream)?;
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nnine byte")
}

fn endless(stream: &mut TcpStream) -> std::io::Result<()> {
    whole(stream)?;
    stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
    loop {
        stream.write_all(b"1\r\nx\r\n")?;
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn broken_chunk(stream: &mut TcpStream) -> std::io::Result<()> {
    whole(stream)?;
    stream.write_all(b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
}

fn silent_after_its_head(stream: &mut TcpStream) -> std::io::Result<()> {
    whole(stream)?;
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
}

fn much_too_long(stream: &mut TcpStream) -> std::io::Result<()> {
    whole(stream)?;
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")?;
    loop {
        stream.write_all(&[b'x'; 4096])?;
    }
}

#[test]
fn a_2xx_whose_body_breaks_or_does_not_end_is_a_delivery_and_is_sent_once() {
    let cases = [
        Raw::closing(cut_by_length),
        Raw::holding(cut_by_length),
        Raw::closing(endless),
        Raw::closing(broken_chunk),
        Raw::holding(silent_after_its_head),
        Raw::closing(much_too_long),
    ];
    for (at, service) in cases.iter().enumerate() {
        let (_site, gateway) = start(&service.url("/app"), ", timeout: 1s");
        gateway.accept(&github("{}"));
        ends(&gateway, "delivered", 1);
        assert_eq!((attempts(&gateway), service.connections()), (vec![("success", 1)], 1), "case {at}");
    }
}

#[test]
fn an_error_whose_body_breaks_is_that_error() {
    let service = Raw::closing(|stream| {
        whole(stream)?;
        stream.write_all(b"HTTP/1.1 422 No\r\nContent-Length: 100\r\n\r\nnine byte")
    });
    let (_site, gateway) = start(&service.url("/app"), "");
    gateway.accept(&github("{}"));
    ends(&gateway, "dead_lettered", 1);
    assert_eq!(attempts(&gateway), [("http_4xx", 1)]);
}

#[test]
fn a_cut_answer_is_not_passed_to_a_sender_that_waits() {
    for service in [Raw::closing(cut_by_length), Raw::closing(broken_chunk), Raw::holding(silent_after_its_head)] {
        let rest = Site::plain_rest(&service.url("/app"), ", timeout: 1s")
            .replace("provider: github,", "provider: github, mode: sync, deadline: 5s,");
        let gateway = Site::new(&rest).start();
        let answer = gateway.send(&github("{}"));
        assert_eq!((answer.status, answer.text().as_str()), (200, ""), "the provider's accepted answer");
        gateway.wait_for_metric("hookgate_sync_answers_total", &[("by", "cut")], 1);
        ends(&gateway, "delivered", 1);
        assert_eq!(service.connections(), 1);
    }
}

#[test]
fn a_redirect_is_not_passed_to_a_sender_that_waits() {
    for status in [301, 304, 308] {
        let receiver = Receiver::start();
        let place = "https://svc.internal/new/hooks?token=s3cret";
        receiver.always("/app", Reply::status(status).with("Location", place));
        let rest = Site::plain_rest(&receiver.url("/app"), "")
            .replace("provider: github,", "provider: github, mode: sync, deadline: 5s,");
        let gateway = Site::new(&rest).start();
        let answer = gateway.send(&github("{}"));
        assert_eq!((answer.status, answer.text().as_str()), (200, ""), "the provider's accepted answer");
        assert_eq!(answer.header("location"), None, "{status}");
        gateway.wait_for_metric("hookgate_sync_answers_total", &[("by", "redirect")], 1);
        ends(&gateway, "dead_lettered", 1);
        let dead = first_line(&gateway, "dead letter");
        assert_eq!((&dead["status"], &dead["outcome"]), (&status.into(), &"http_3xx".into()), "{dead}");
        if status != 304 {
            let told = format!("status {status}: redirect, not followed, to https://svc.internal/new/hooks");
            assert_eq!(dead["detail"], told, "{dead}");
        }
    }
}

#[test]
fn a_retry_after_in_any_form_is_waited_out_and_one_that_cannot_be_read_is_told() {
    let receiver = Receiver::start();
    let busy = |value: &str| Reply::status(503).with("Retry-After", value);
    receiver.script(
        "/app",
        [
            busy("Sunday, 06-Nov-94 08:49:37 GMT"),
            busy("Sun Nov  6 08:49:37 1994"),
            busy("Fri, 31 Dec 9999 23:59:59 GMT"),
            busy("99999999999999999999999"),
            busy("soon"),
        ],
    );
    let rest = Site::plain_rest(&receiver.url("/app"), "");
    let gateway = Site::new(&rest).start();
    gateway.accept(&github("{}"));
    ends(&gateway, "delivered", 1);
    gateway.wait_for_metric("hookgate_delivery_deferrals_total", &[("cause", "retry_after")], 2);
    let retries = lines(&gateway, "retry");
    let waits: Vec<u64> = retries.iter().map(|line| line["wait_ms"].as_u64().unwrap()).collect();
    // The policy's longest pause is 200 ms.
    assert_eq!(waits[2..4], [200, 200], "dates and numbers beyond all measure");
    // A date in the past asks for no wait: the policy's next pause applies, and the attempt counts.
    assert!(waits[..2].iter().all(|wait| *wait <= 200), "{waits:?}");
    let attempts: Vec<u64> = retries.iter().map(|line| line["attempt"].as_u64().unwrap()).collect();
    assert_eq!(attempts[..3], [1, 2, 3]);
    assert_eq!((&retries[4]["unread_retry_after"], &retries[4]["status"]), (&"soon".into(), &503.into()));
    assert!(retries[..4].iter().all(|line| line.get("unread_retry_after").is_none()));
}

#[test]
fn a_redirect_is_told_with_host_and_path_wherever_it_is_shown() {
    let receiver = Receiver::start();
    let place = "https://user:s3cret@svc.internal/new/hooks?token=s3cret#s3cret";
    receiver.always("/app", Reply::status(308).with("Location", place));
    let (site, gateway) = start(&receiver.url("/app"), "");
    let id = gateway.accept(&github("{}"));
    ends(&gateway, "dead_lettered", 1);
    let told = "status 308: redirect, not followed, to https://svc.internal/new/hooks";
    let dead = first_line(&gateway, "dead letter");
    assert_eq!((&dead["detail"], &dead["status"]), (&told.into(), &308.into()), "{dead}");
    assert_eq!((&dead["outcome"], &dead["cause"]), (&"http_3xx".into(), &"final".into()), "{dead}");
    let admin = format!("http://{}", gateway.admin_address());
    for args in [["events", "show", &id].as_slice(), &["dlq", "list", "--format", "json"]] {
        let shown = site.cli(&[args, &["--admin", &admin]].concat());
        let shown = text_of(&shown.stdout);
        assert!(shown.contains(told) && !shown.contains("s3cret"), "{args:?}: {shown}");
    }
    assert!(!gateway.log().contains("s3cret"));
}

#[test]
fn a_failure_names_the_address_and_says_it_once() {
    let cases: [(Raw, &str); 2] = [
        (Raw::closing(|stream| whole(stream).map(drop)), "closed the connection without an answer"),
        (
            Raw::closing(|stream| {
                whole(stream)?;
                stream.write_all(b"what is this body-marker\r\n\r\n")
            }),
            "is no answer of HTTP/1.1",
        ),
    ];
    for (service, what) in cases {
        let (_site, gateway) = start(&service.url("/app"), "");
        gateway.accept(&github("{}"));
        ends(&gateway, "dead_lettered", 1);
        let dead = first_line(&gateway, "dead letter");
        let detail = dead["detail"].as_str().unwrap();
        assert!(detail.contains(&service.address.to_string()) && detail.contains(what), "{detail}");
        assert!(!detail.contains("Connection") && !detail.contains("marker"), "{detail}");
    }
}
