//! Every recorded GitHub delivery arrives once, byte for byte.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use crate::support::{Gateway, Receiver, Request, Seen, Site, github, text_of};

/// Returns event types and raw bodies: all 329 of octokit when available, otherwise the committed dozen.
fn payloads() -> Vec<(String, Vec<u8>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    match std::fs::read_to_string(root.join("../shared/payloads/github_examples.ndjson")) {
        Ok(text) => text.lines().map(of_line).collect(),
        Err(_) => committed(&root.join("tests/payloads/github")),
    }
}

/// Splits `{"event":"push","payload":…}`; the payload keeps its own bytes.
fn of_line(line: &str) -> (String, Vec<u8>) {
    let rest = line.strip_prefix("{\"event\":\"").unwrap();
    let (event, rest) = rest.split_once("\",\"payload\":").unwrap();
    (event.to_owned(), rest.trim_end().strip_suffix('}').unwrap().as_bytes().to_vec())
}

fn committed(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = files.filter(|path| path.extension().is_some_and(|end| end == "json")).collect();
    files.sort();
    let event = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().split('.').next().unwrap().to_owned();
    files.iter().map(|path| (event(path), std::fs::read(path).unwrap())).collect()
}

fn request(event: &str, body: &[u8]) -> Request {
    github(body)
        .without("X-GitHub-Event")
        .with("X-GitHub-Event", event)
        .to(&format!("/in/github?event={event}&x=%2F%20+%C3%A9&empty"))
}

#[test]
fn every_github_payload_is_delivered_byte_for_byte_and_once() {
    let receiver = Receiver::start();
    let mut gateway = Site::plain(&receiver).start();
    let payloads = payloads();
    assert!(payloads.len() == 12 || payloads.len() == 329, "{}", payloads.len());
    let mut connection = gateway.connect();
    let mut sent: HashMap<String, (Request, String)> = HashMap::new();
    for (event, body) in &payloads {
        let request = request(event, body);
        let answer = connection.send(&request).unwrap();
        assert_eq!((answer.status, answer.text().as_str()), (200, ""), "{event}");
        let id = answer.event_id().unwrap();
        assert!(sent.insert(id, (request, event.clone())).is_none(), "an id was given twice");
    }
    receiver.wait_for(payloads.len());
    gateway.wait_for_outcomes("github", "accepted", 200, payloads.len() as u64);
    gateway.wait_for_metric("hookgate_deliveries_total", &[("result", "delivered")], payloads.len() as u64);
    assert!(gateway.stop().success());
    let seen = receiver.seen();
    assert_eq!(seen.len(), payloads.len(), "each is delivered once");
    for delivery in &seen {
        let (request, event) = &sent[&delivery.event_id()];
        let action = serde_json::from_slice::<serde_json::Value>(&request.body).unwrap();
        let event_type = match action["action"].as_str() {
            Some(action) => format!("{event}.{action}"),
            None => event.clone(),
        };
        check(delivery, request, &event_type);
    }
    let ids: std::collections::HashSet<String> = seen.iter().map(Seen::event_id).collect();
    assert_eq!(ids.len(), payloads.len());
}

fn check(delivery: &Seen, request: &Request, event_type: &str) {
    assert!(delivery.body == request.body, "{event_type}: the body is changed");
    assert_eq!(delivery.method, "POST");
    assert_eq!(delivery.target, request.target.replace("/in/github", "/app"));
    let id = uuid::Uuid::parse_str(&delivery.event_id()).unwrap();
    assert_eq!(id.get_version_num(), 7);
    let ours = |name: &str| delivery.header(name).unwrap_or_else(|| panic!("no {name}"));
    assert_eq!(ours("hookgate-source"), "github");
    assert_eq!(ours("hookgate-route"), "all");
    assert_eq!(ours("hookgate-event-type"), event_type);
    assert_eq!(ours("hookgate-attempt"), "1");
    assert_eq!(ours("hookgate-verified"), "main");
    let received: jiff::Timestamp = ours("hookgate-received-at").parse().unwrap();
    let age = jiff::Timestamp::now().duration_since(received).as_secs();
    assert!((0..120).contains(&age), "{received}");
    let trace = ours("traceparent");
    let parts: Vec<&str> = trace.split('-').collect();
    assert_eq!(parts.iter().map(|part| part.len()).collect::<Vec<_>>(), [2, 32, 16, 2], "{trace}");
    for (name, value) in &request.headers {
        assert_eq!(delivery.header(&name.to_lowercase()), Some(text_of(value)), "{name}");
    }
    assert_eq!(ours("content-length"), request.body.len().to_string());
}

/// The headers that [`hop`] sends beside the usual ones.
const FOR_THE_HOP_OR_FORGED: [(&str, &str); 12] = [
    ("Connection", "keep-alive, X-Private"),
    ("Keep-Alive", "timeout=5"),
    ("Proxy-Connection", "keep-alive"),
    ("Proxy-Authorization", "Basic eDp5"),
    ("TE", "trailers"),
    ("Trailer", "X-End"),
    ("Upgrade", "h2c"),
    ("X-Private", "of this hop"),
    ("Hookgate-Verified", "forged"),
    ("Hookgate-Forged", "forged"),
    ("hookgate_source", "forged"),
    ("HOOKGATE-EVENT-ID", "forged"),
];

fn hop(gateway: &Gateway) {
    let mut request = github("{}").with("User-Agent", "GitHub-Hookshot/044aadd");
    for (name, value) in FOR_THE_HOP_OR_FORGED {
        request = request.with(name, value);
    }
    request = request.with("X-Twice", "one").with("X-Twice", "two").with("X-Bytes", b"caf\xe9");
    gateway.accept(&request);
}

#[test]
fn hop_by_hop_headers_and_look_alikes_of_ours_do_not_reach_the_service() {
    let receiver = Receiver::start();
    let gateway = Site::plain(&receiver).start();
    hop(&gateway);
    let delivery = &receiver.wait_for(1)[0];
    for (name, value) in FOR_THE_HOP_OR_FORGED {
        let same = |(known, is): &&(String, Vec<u8>)| known.eq_ignore_ascii_case(name) && is == value.as_bytes();
        assert_eq!(delivery.headers.iter().find(same), None, "{name} came through");
    }
    assert!(!delivery.headers.iter().any(|(_, value)| value == b"forged"), "{:?}", delivery.headers);
    assert_eq!(delivery.header("hookgate-verified").unwrap(), "main");
    assert_eq!(delivery.header("user-agent").unwrap(), "GitHub-Hookshot/044aadd");
    let values = |name: &str| {
        let found = delivery.headers.iter().filter(|(known, _)| known == name);
        found.map(|(_, value)| value.clone()).collect::<Vec<_>>()
    };
    assert_eq!(values("x-twice"), [b"one".to_vec(), b"two".to_vec()]);
    assert_eq!(values("x-bytes"), [b"caf\xe9".to_vec()]);
    assert_eq!(values("host"), [receiver.address.to_string().into_bytes()]);
}

#[test]
fn method_and_query_arrive_as_they_were_sent() {
    let receiver = Receiver::start();
    let rest = Site::plain_rest(&receiver.url("/app?own=1"), "")
        .replace("provider: github,", "provider: github, methods: [PUT, PATCH],");
    let gateway = Site::new(&rest).start();
    for (method, query) in [("PUT", "?a=1&a=2&b=%00%2e&c"), ("PATCH", "?"), ("PUT", "")] {
        let mut request = github("{}").to(&format!("/in/github{query}"));
        method.clone_into(&mut request.method);
        let id = gateway.accept(&request);
        let seen = crate::support::eventually("the delivery", crate::support::SOON, || {
            receiver.seen().into_iter().find(|seen| seen.event_id() == id)
        });
        assert_eq!(seen.method, method);
        // The destination's own query stands first.
        let expected = if query.is_empty() { "/app?own=1".to_owned() } else { format!("/app?own=1&{}", &query[1..]) };
        assert_eq!(seen.target, expected);
    }
}

#[test]
fn a_traceparent_of_the_sender_is_kept() {
    let receiver = Receiver::start();
    let gateway = Site::plain(&receiver).start();
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    gateway.accept(&github("{}").with("traceparent", trace));
    assert_eq!(receiver.wait_for(1)[0].header("traceparent").unwrap(), trace);
}
