//! Every refusal has its status and its problem document, is counted, shows no secret and forwards nothing.

use crate::support::{Gateway, Receiver, Request, SECRET, Site, github, hmac_hex, unique};

const MARK: &str = "payload-marker-7351";

/// Returns one source for each gate.
fn rest(receiver: &Receiver) -> String {
    let schema = "schemas: {events: {push: schemas/push.json}, on_invalid: reject}";
    let hmac =
        "verify: {type: hmac, algorithm: sha256, header: X-Sign, encoding: hex, signed: \"{header:X-Time}.{body}\"";
    let secrets = "secrets: [{name: main, env: GITHUB_SECRET}]";
    format!(
        "sources:
  github: {{path: /in/github, provider: github, {secrets}}}
  listed: {{path: /in/listed, provider: github, {secrets}, allow_ips: [192.0.2.0/24, 2001:db8::/32]}}
  typed: {{path: /in/typed, provider: github, {secrets}, content_types: [application/json]}}
  small: {{path: /in/small, provider: github, {secrets}, body: 1KiB}}
  strict: {{path: /in/strict, provider: github, {secrets}, {schema}}}
  hosted: {{path: /in/hosted, host: hooks.example.com, provider: github, {secrets}}}
  timed:
    path: /in/timed
    {hmac}, timestamp: {{header: X-Time, tolerance: 5m}}}}
    {secrets}
routes:
  all: {{from: [github, listed, typed, small, strict, hosted, timed], to: app}}
destinations:
  app: {{url: \"{}\"}}
",
        receiver.url("/app")
    )
}

fn start(receiver: &Receiver) -> (Site, Gateway) {
    let site = Site::new(&rest(receiver));
    let wants = r#"{"type":"object","required":["ref"],"properties":{"ref":{"type":"string"},"n":{"items":{"type":"integer"}}}}"#;
    site.file("schemas/push.json", wants.as_bytes());
    let gateway = site.start();
    (site, gateway)
}

/// Returns a request signed for the source `timed`, `offset` seconds from now.
fn timed(offset: i64) -> Request {
    let body = format!("{{\"m\":\"{MARK}\"}}");
    let time = (jiff::Timestamp::now().as_second() + offset).to_string();
    let signature = hmac_hex(SECRET, format!("{time}.{body}").as_bytes());
    Request::new("POST", "/in/timed", body).with("X-Time", time).with("X-Sign", signature)
}

/// A refusal: the request and its expected outcome.
struct Case {
    request: Request,
    source: &'static str,
    outcome: &'static str,
    status: u16,
}

fn case(request: Request, source: &'static str, outcome: &'static str, status: u16) -> Case {
    Case { request, source, outcome, status }
}

fn marked() -> Request {
    github(format!("{{\"m\":\"{MARK}\"}}"))
}

fn signed_as(value: impl AsRef<[u8]>) -> Request {
    marked().without("X-Hub-Signature-256").with("X-Hub-Signature-256", value)
}

fn before_the_signature() -> Vec<Case> {
    let get = Request { method: "GET".into(), ..marked() };
    let encoded = marked().with("Content-Encoding", "gzip");
    let mut cases = vec![
        case(get, "github", "method_not_allowed", 405),
        case(Request { method: "OPTIONS".into(), ..marked() }, "github", "method_not_allowed", 405),
        case(encoded, "github", "bad_content_type", 415),
        case(marked().to("/in/listed"), "listed", "ip_denied", 403),
        case(marked().to("/in/listed").with("X-Forwarded-For", "192.0.2.7"), "listed", "ip_denied", 403),
        case(marked().to("/in/typed").without("Content-Type"), "typed", "bad_content_type", 415),
        case(
            marked().to("/in/typed").without("Content-Type").with("Content-Type", "text/plain"),
            "typed",
            "bad_content_type",
            415,
        ),
        case(github(vec![b' '; 1025]).to("/in/small"), "small", "too_large", 413),
        case(marked().to("/in/hosted"), "_none", "not_found", 404),
        case(marked().with("X-Long", vec![b'a'; 17 * 1024]), "_none", "headers_too_large", 431),
        case(
            (0..101).fold(marked(), |request, at| request.with(&format!("X-{at}"), "")),
            "_none",
            "headers_too_large",
            431,
        ),
        case(marked().to(&format!("/in/github?{}", "q".repeat(9000))), "_none", "headers_too_large", 414),
    ];
    for path in [
        "/",
        "/in",
        "/in/github/",
        "/in//github",
        "/in/%67ithub",
        "/IN/github",
        "/in/github;a",
        "/in/./github",
        "/x/../in/github",
        "/in/github%00",
    ] {
        cases.push(case(marked().to(path), "_none", "not_found", 404));
    }
    cases
}

fn at_the_signature() -> Vec<Case> {
    let body = format!("{{\"m\":\"{MARK}\"}}");
    let right = hmac_hex(SECRET, body.as_bytes());
    let bad = |request| case(request, "github", "bad_signature", 401);
    let mut tampered = marked();
    tampered.body[2] ^= 1;
    let twice = marked().with("X-Hub-Signature-256", format!("sha256={right}"));
    let wrong_twice =
        signed_as(format!("sha256={}", "0".repeat(64))).with("X-Hub-Signature-256", format!("sha256={right}"));
    let stale = |offset| case(timed(offset), "timed", "stale_timestamp", 401);
    vec![
        case(marked().without("X-Hub-Signature-256"), "github", "missing_signature", 401),
        case(
            marked()
                .without("X-Hub-Signature-256")
                .with("X-Hub-Signature", "sha1=d7b5f2b0e8b8b5c5a1d6b8f0d2f2b0e8b8b5c5a1"),
            "github",
            "missing_signature",
            401,
        ),
        bad(tampered),
        bad(signed_as(format!("sha256={}", hmac_hex("another", body.as_bytes())))),
        bad(signed_as(format!("sha256={}", hmac_hex("", body.as_bytes())))),
        bad(signed_as(format!("sha256={}", &right[..62]))),
        bad(signed_as(format!("sha256={}", &right[..2]))),
        bad(signed_as(format!("sha256={right}00"))),
        bad(signed_as(format!("sha1={right}"))),
        bad(signed_as(&right)),
        bad(signed_as("sha256=")),
        bad(signed_as("sha256=zz")),
        bad(signed_as(b"sha256=\xff\xfe")),
        bad(twice),
        bad(wrong_twice),
        stale(-301),
        stale(-86_400),
        stale(302),
        stale(86_400),
        case(timed(0).without("X-Time").with("X-Time", "1700000000"), "timed", "bad_signature", 401),
        case(timed(0).without("X-Time").with("X-Time", "now"), "timed", "bad_signature", 401),
        case(timed(0).without("X-Sign").with("X-Sign", "00"), "timed", "bad_signature", 401),
    ]
}

fn after_the_signature() -> Vec<Case> {
    let strict = |body: &[u8]| github(body).to("/in/strict");
    vec![
        case(strict(b"{\"ref\":7}"), "strict", "schema_rejected", 422),
        case(strict(b"[]"), "strict", "schema_rejected", 422),
        case(strict(b"{\"ref\":\"a\""), "strict", "malformed", 400),
        case(strict(b"{\"ref\":\"a\",\"ref\":\"b\"}"), "strict", "malformed", 400),
        case(strict(b"\xef\xbb\xbf{\"ref\":7}"), "strict", "schema_rejected", 422),
        case(strict(b"{\"ref\":\"\xff\"}"), "strict", "malformed", 400),
        case(strict(&[b'['; 5000]), "strict", "malformed", 400),
    ]
}

fn check(gateway: &Gateway, case: &Case) {
    let Case { request, source, outcome, status } = case;
    let name = format!("{outcome}: {} {}", request.method, request.target.get(..60).unwrap_or(&request.target));
    let before = gateway.outcomes(source, outcome, *status);
    let answer = gateway.send(request);
    assert_eq!(answer.status, *status, "{name}: {answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{name}");
    assert_eq!(answer.event_id(), None, "{name}");
    let problem = answer.json();
    assert_eq!((&problem["status"], &problem["outcome"]), (&(*status).into(), &(*outcome).into()), "{name}");
    assert!(problem["type"].is_string() && !problem["title"].as_str().unwrap().is_empty(), "{name}");
    // The sender is told what it can correct: problems of the payload, a limit of the head, a compressed body.
    let is_compressed = request.headers.iter().any(|(name, _)| name == "Content-Encoding");
    let detailed = is_compressed || matches!(*outcome, "schema_rejected" | "malformed" | "headers_too_large");
    let keys = problem.as_object().unwrap().len();
    assert!(keys == 4 || (detailed && keys == 5), "{name}: {problem}");
    let whole = format!("{answer:?}{}", answer.text());
    let expected = hmac_hex(SECRET, &request.body);
    for secret in [SECRET, MARK, expected.as_str()] {
        assert!(!whole.contains(secret), "{name}: the answer holds {secret}");
    }
    if *status == 405 {
        assert_eq!(answer.header("allow"), Some("POST"), "{name}");
    }
    gateway.wait_for_outcomes(source, outcome, *status, before + 1);
}

#[test]
fn every_refusal_has_its_status_and_its_problem_and_is_counted() {
    let receiver = Receiver::start();
    let (_site, gateway) = start(&receiver);
    for case in before_the_signature().into_iter().chain(at_the_signature()).chain(after_the_signature()) {
        check(&gateway, &case);
    }
    assert_eq!(receiver.connections(), 0, "nothing that was refused reaches a service");
    // Valid requests pass the same gates.
    let good = [
        marked(),
        marked().to("/in/typed"),
        github("{}").to("/in/small"),
        github("{\"ref\":\"a\"}").to("/in/strict"),
        marked().to("/in/hosted").with("Host", "Hooks.Example.com:443"),
        timed(0),
        timed(-290),
        timed(290),
    ];
    for request in &good {
        gateway.accept(request);
    }
    receiver.wait_for(good.len());
    gateway.wait_for_metric("hookgate_queue_events", &[], 0);
}

#[test]
fn a_payload_that_breaks_its_schema_gets_pointers_and_at_most_twenty() {
    let receiver = Receiver::start();
    let (_site, gateway) = start(&receiver);
    let answer = gateway.send(&github("{\"ref\":7,\"n\":[1,\"two\"]}").to("/in/strict"));
    let pointers: Vec<String> = answer.json()["errors"].as_array().unwrap().iter().map(pointer).collect();
    assert_eq!(pointers.len(), 2, "{}", answer.text());
    assert!(pointers.contains(&"/ref".to_owned()) && pointers.contains(&"/n/1".to_owned()), "{pointers:?}");
    // In a large event only the first problem is searched for.
    for (count, expected) in [(500, 20), (50_000, 1)] {
        let many = format!("{{\"ref\":\"x\",\"n\":[{}]}}", vec![format!("\"{MARK}\""); count].join(","));
        let answer = gateway.send(&github(many).to("/in/strict"));
        assert_eq!(answer.status, 422);
        assert_eq!(answer.json()["errors"].as_array().unwrap().len(), expected);
        assert!(!answer.text().contains(MARK), "{}", answer.text());
    }
    gateway.wait_for_metric("hookgate_schema_failures_total", &[("source", "strict")], 3);
}

fn pointer(error: &serde_json::Value) -> String {
    assert!(!error["message"].as_str().unwrap().is_empty());
    error["pointer"].as_str().unwrap().to_owned()
}

#[test]
fn a_flood_of_strangers_does_not_spend_the_quota_of_a_source() {
    let receiver = Receiver::start();
    let rest = Site::plain_rest(&receiver.url("/app"), "")
        .replace("provider: github,", "provider: github, rate_limit: {rate: 1/h, burst: 3},");
    let gateway = Site::new(&rest).start();
    let mut connection = gateway.connect();
    for _ in 0..200 {
        let answer = connection.send(&signed_as(format!("sha256={}", "0".repeat(64)))).unwrap();
        assert_eq!(answer.status, 401);
    }
    for _ in 0..3 {
        gateway.accept(&marked());
    }
    let refused = gateway.send(&marked());
    assert_eq!((refused.status, refused.json()["outcome"].as_str()), (503, Some("rate_limited")));
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((3000..=3600).contains(&wait), "{wait}");
    gateway.wait_for_outcomes("github", "rate_limited", 503, 1);
    gateway.wait_for_outcomes("github", "bad_signature", 401, 200);
    receiver.wait_for(3);
}

#[test]
fn the_limit_by_sender_stands_before_verification() {
    let receiver = Receiver::start();
    let rest = Site::plain_rest(&receiver.url("/app"), "");
    let site = Site::new(&rest).server("limits: {per_sender: {rate: 1/h, burst: 5}}", &rest);
    let gateway = site.start();
    for at in 1..=5 {
        // Requests to unknown paths spend the same quota.
        let target = if at % 2 == 0 { "/in/github" } else { "/wp-login.php" };
        let status = gateway.send(&marked().without("X-Hub-Signature-256").to(target)).status;
        assert_eq!(status, if at % 2 == 0 { 401 } else { 404 });
    }
    for request in [marked(), marked().to("/nowhere").with("X-Forwarded-For", unique())] {
        let refused = gateway.send(&request);
        assert_eq!((refused.status, refused.json()["outcome"].as_str()), (503, Some("rate_limited")));
        assert!(refused.header("retry-after").unwrap().parse::<u64>().unwrap() > 3000);
    }
    gateway.wait_for_metric("hookgate_requests_total", &[("outcome", "rate_limited")], 2);
    let checks = gateway.metrics().sum("hookgate_verifications_total", &[]);
    assert_eq!(checks, 2, "what is over the limit costs no signature check");
    assert_eq!(receiver.connections(), 0);
}

#[test]
fn statuses_can_be_chosen_by_outcome() {
    let receiver = Receiver::start();
    let rest = Site::plain_rest(&receiver.url("/app"), "").replace(
        "provider: github,",
        "provider: github, answers: {accepted: 202, bad_signature: 404, missing_signature: 204},",
    );
    let gateway = Site::new(&rest).start();
    assert_eq!(gateway.send(&marked()).status, 202);
    let hidden = gateway.send(&signed_as("sha256=00"));
    assert_eq!((hidden.status, hidden.json()["status"].as_u64()), (404, Some(404)));
    let empty = gateway.send(&marked().without("X-Hub-Signature-256"));
    assert_eq!((empty.status, empty.text().as_str()), (204, ""));
    gateway.wait_for_outcomes("github", "bad_signature", 404, 1);
}

#[test]
fn a_verified_event_that_no_route_wants_is_answered_as_accepted_and_not_kept() {
    let receiver = Receiver::start();
    let rest = Site::plain_rest(&receiver.url("/app"), "").replace(
        "to: app}",
        "to: app, events: [\"issues.*\", push], when: body.repository.full_name.startsWith(\"acme/\")}",
    );
    let gateway = Site::new(&rest).start();
    let of = |event: &str, body: &str| github(body).without("X-GitHub-Event").with("X-GitHub-Event", event);
    let wanted = r#"{"action":"opened","repository":{"full_name":"acme/a"}}"#;
    let mut ids = Vec::new();
    for request in [of("star", wanted), of("push", r#"{"repository":{"full_name":"other/a"}}"#), of("issues", "{}")] {
        let answer = gateway.send(&request);
        assert_eq!(answer.status, 200);
        ids.extend(answer.event_id());
    }
    assert_eq!(ids.len(), 3, "laid aside under a name, and not stored");
    assert_eq!(gateway.admin("/api/v1/events").json()["events"], serde_json::json!([]));
    let id = gateway.accept(&of("issues", wanted));
    let seen = receiver.wait_for(1);
    assert_eq!(seen[0].event_id(), id);
    assert_eq!(seen[0].header("hookgate-event-type").unwrap(), "issues.opened");
    gateway.wait_for_metric("hookgate_events_unrouted_total", &[("source", "github")], 3);
    gateway.wait_for_outcomes("github", "filtered", 200, 3);
    assert_eq!(receiver.count(), 1);
}
