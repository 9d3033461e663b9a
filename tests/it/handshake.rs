//! Handshakes through the real pipeline: answered here, stored nowhere, and never for another provider.

use crate::support::{Gateway, Receiver, Request, SECRET, SOON, Site, eventually, hmac_hex};

const REST: &str = "sources:
  meta: {path: /in/meta, provider: meta, secrets: [{env: GITHUB_SECRET}], handshake: {token: {file: verify-token}}}
  github: {path: /in/github, provider: github, secrets: [{env: GITHUB_SECRET}]}
  x: {path: /in/x, provider: x_twitter, secrets: [{env: GITHUB_SECRET}]}
  trello: {path: /in/trello, provider: trello, public_url: \"https://hooks.example.com/in/trello\", secrets: [{env: GITHUB_SECRET}]}
";

fn site(rest: &str, receiver: &Receiver) -> Site {
    let site = Site::new(
        &format!(
            "{rest}routes:\n  all: {{from: SOURCES, to: app}}\ndestinations:\n  app: {{url: \"{}\"}}\n",
            receiver.url("/app")
        )
        .replace("SOURCES", &names(rest)),
    );
    site.file("verify-token", b"meatyhamhock\n");
    site
}

/// Returns all sources of the file, as a list.
fn names(rest: &str) -> String {
    let lines = rest.lines().filter_map(|line| line.strip_prefix("  ")?.split_once(": {path").map(|(name, _)| name));
    format!("[{}]", lines.collect::<Vec<_>>().join(", "))
}

fn get(gateway: &Gateway, target: &str) -> crate::support::Answer {
    gateway.send(&Request::new("GET", target, ""))
}

#[test]
fn a_question_is_answered_by_the_source_of_its_provider_only() {
    let receiver = Receiver::start();
    let gateway = site(REST, &receiver).start();
    let question = "?hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=meatyhamhock";
    let answer = get(&gateway, &format!("/in/meta{question}"));
    assert_eq!((answer.status, answer.text().as_str()), (200, "1158201444"));
    assert_eq!(answer.header("content-type"), Some("text/plain"));
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(get(&gateway, &format!("/in/github{question}")).status, 405);
    gateway.wait_for_metric("hookgate_handshakes_total", &[("source", "meta")], 1);
    // The source's own token is configured in place of the secrets.
    let with_secret = question.replace("meatyhamhock", SECRET);
    assert_eq!(get(&gateway, &format!("/in/meta{with_secret}")).status, 403);
    assert_eq!(get(&gateway, "/in/meta").status, 405);
    let html = "/in/meta?hub.mode=subscribe&hub.challenge=%3Cscript%3E&hub.verify_token=meatyhamhock";
    assert_eq!(get(&gateway, html).header("content-type"), Some("text/plain"));
    let head = gateway.send(&Request::new("HEAD", "/in/trello", ""));
    assert_eq!(head.status, 200);
    assert_eq!(receiver.count(), 0);
}

#[test]
fn a_question_cannot_be_used_to_have_an_event_signed() {
    let receiver = Receiver::start();
    let gateway = site(REST, &receiver).start();
    let answer = get(&gateway, "/in/x?crc_token=MDU5ZDgxYTU&nonce=abc");
    assert_eq!(answer.status, 200);
    assert!(answer.json()["response_token"].as_str().unwrap().starts_with("sha256="));
    assert_eq!(get(&gateway, "/in/x?crc_token=%7B%22a%22%3A1%7D").status, 405);
}

#[test]
fn a_flood_of_questions_that_anybody_can_ask_writes_five_lines_and_their_sum() {
    let receiver = Receiver::start();
    let gateway = site(REST, &receiver).start();
    for _ in 0..40 {
        assert_eq!(get(&gateway, "/in/x?crc_token=MDU5ZDgxYTU&nonce=abc").status, 200);
    }
    let lines = || {
        let log = gateway.log();
        let lines = log.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        lines.filter(|line| line["outcome"] == "handshake").collect::<Vec<_>>()
    };
    // Without a further request.
    let sum = eventually("the sum is written", SOON, || lines().into_iter().find(|line| line["more"] == 35));
    assert_eq!((&sum["source"], &sum["senders"]), (&"x".into(), &1.into()), "{sum}");
    assert_eq!(lines().len(), 6, "five lines and their sum");
    let of = [("source", "x"), ("outcome", "handshake")];
    assert_eq!(gateway.metrics().sum("hookgate_refusal_log_lines_suppressed_total", &of), 35);
    gateway.wait_for_outcomes("x", "handshake", 200, 40);
}

const ASANA: &str = "sources:
  asana: {path: /in/asana, provider: asana, handshake: {armed_until: \"ARMED\", capture_to: asana.key}}
";
const HANDED_OVER: &str = "b537207f20cbfa02357cf448134da559e8bd39d61597dcd5631b8012eae53e81";

fn hook(secret: &str) -> Request {
    Request::new("POST", "/in/asana", "{}").with("Content-Type", "application/json").with("X-Hook-Secret", secret)
}

fn signed(body: &str) -> Request {
    let request = Request::new("POST", "/in/asana", body).with("Content-Type", "application/json");
    request.with("X-Hook-Signature", hmac_hex(HANDED_OVER, body.as_bytes()))
}

#[test]
fn a_secret_that_is_handed_over_is_kept_once_and_in_force_at_once() {
    let receiver = Receiver::start();
    let site = site(&ASANA.replace("ARMED", "2100-01-01T00:00:00Z"), &receiver);
    let mut gateway = site.start();
    let event = r#"{"events":[{"action":"added","resource":{"resource_type":"task"}}]}"#;
    assert_eq!(gateway.send(&signed(event)).status, 401, "nothing is right before there is a secret");
    let answer = gateway.send(&hook(HANDED_OVER));
    assert_eq!((answer.status, answer.header("x-hook-secret")), (200, Some(HANDED_OVER)));
    assert_eq!(std::fs::read_to_string(site.path("asana.key")).unwrap(), HANDED_OVER);
    assert!(!gateway.log().contains(HANDED_OVER), "a secret is never logged");
    eventually("the secret is in force", SOON, || (gateway.send(&signed(event)).status == 200).then_some(()));
    receiver.wait_for(1);
    assert_eq!(gateway.send(&hook("attacker-0123456789abcdef")).status, 401);
    assert_eq!(std::fs::read_to_string(site.path("asana.key")).unwrap(), HANDED_OVER);
    assert!(gateway.stop().success());
    let gateway = site.start();
    gateway.accept(&signed(r#"{"events":[{"action":"changed"}]}"#));
    assert_eq!(gateway.send(&hook("attacker-0123456789abcdef")).status, 401);
}

#[test]
fn a_source_that_is_not_armed_takes_no_secret() {
    let receiver = Receiver::start();
    for armed in ["2020-01-01T00:00:00Z", ""] {
        let rest = if armed.is_empty() {
            ASANA.replace("armed_until: \"ARMED\", ", "")
        } else {
            ASANA.replace("ARMED", armed)
        };
        let site = site(&rest, &receiver);
        let gateway = site.start();
        assert_eq!(gateway.send(&hook(HANDED_OVER)).status, 401, "{armed}");
        assert!(!site.path("asana.key").exists());
    }
}
