//! The log: every line is JSON, whatever strangers send, and no line has a secret.

use crate::support::{Receiver, Request, SECRET, Site, github, header_of, hmac_hex, unique};

const BODY_MARK: &str = "body-marker-4417";
const QUERY_MARK: &str = "query-marker-9023";
/// A marker in a path, which may be shown.
const PATH_MARK: &str = "path-marker-1188";
const HEADER_MARK: &str = "header-marker-6630";

fn hostile(at: usize) -> Request {
    let body = format!("{{\"m\":\"{BODY_MARK}-{at}\\u001b[31m\\r\\n\"}}");
    let request = github(body)
        .with("X-Secret", SECRET)
        .with("Authorization", format!("Bearer {HEADER_MARK}"))
        .with("User-Agent", format!("{HEADER_MARK} \\x1b[2J"))
        .to(&format!("/in/github?q={QUERY_MARK}%0d%0a{{level:ERROR}}&s={SECRET}"));
    let forged = |value: &str| request.clone().without("X-Hub-Signature-256").with("X-Hub-Signature-256", value);
    match at % 9 {
        0 => request,
        1 => forged("sha256=zz\u{1b}[31m"),
        2 => forged(&format!("sha256={}", "ab".repeat(32))),
        3 => request.clone().without("X-Hub-Signature-256"),
        7 => request.with("X-Escape", format!("{HEADER_MARK}\u{1b}]0;owned\u{7}")),
        4 => request.to(&format!("/{}\u{1b}[31m{PATH_MARK}?{QUERY_MARK}", unique())),
        5 => request.clone().without("X-GitHub-Event").with("X-GitHub-Event", "push\u{9b}31m\u{202e}"),
        6 => Request { method: "G\u{1b}ET".into(), ..request },
        _ => forged(&format!("sha256={}", &hmac_hex(SECRET, &request.body)[..62])),
    }
}

#[test]
fn the_log_is_json_and_holds_no_secret_no_signature_and_no_body() {
    let receiver = Receiver::start();
    let mut gateway = Site::plain(&receiver).start();
    let mut signatures = vec!["ab".repeat(32)];
    let mut accepted = 0;
    for at in 0..200 {
        let request = hostile(at);
        signatures.push(hmac_hex(SECRET, &request.body));
        signatures.push(header_of(&request, "X-Hub-Signature-256").replace("sha256=", ""));
        let mut connection = gateway.connect();
        connection.write(&request.wire()).unwrap();
        accepted += usize::from(connection.answer().is_ok_and(|answer| answer.status == 200));
    }
    assert!(accepted >= 40, "{accepted}");
    receiver.wait_for(accepted);
    assert!(gateway.stop().success());
    let log = gateway.log();
    assert!(log.lines().count() >= 100, "two lines for each accepted event: {log}");
    assert!(log.contains("summed up"), "and a sum of what strangers sent: {log}");
    for line in log.lines() {
        let parsed: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(parsed["level"].is_string() && parsed["message"].is_string(), "{line}");
        assert_ne!(parsed["level"], "ERROR", "{line}");
        assert!(!line.chars().any(char::is_control), "{line:?}");
    }
    signatures.retain(|signature| signature.len() == 64);
    let held = [SECRET, BODY_MARK, QUERY_MARK, HEADER_MARK].into_iter().chain(signatures.iter().map(String::as_str));
    for secret in held {
        assert!(!log.contains(secret), "the log holds {secret}");
    }
}
