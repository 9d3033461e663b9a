//! Handshakes: every recorded one gets its exact reply, and what must not be answered is not.

use std::path::Path;

use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};

use super::laws::{NOW, secret};
use crate::clock::Timestamp;
use crate::provider::{
    HandshakeAnswer, HandshakeReply, Handshakes, Message, RowSpec, Verifier, builtin, context_label,
};
use crate::refusal::{Class, RequestOutcome};

/// Recorded without a signature that could be verified: placeholders, or only the question itself.
const TAKEN_AS_VERIFIED: [(&str, &str); 6] = [
    ("discord", "ping_interaction"),
    ("discord", "ping_webhook_events"),
    ("front", "challenge"),
    ("aws_sns", "subscription_confirmation"),
    ("eventgrid", "validation"),
    ("adyen", "ack"),
];

struct Request {
    method: String,
    url: String,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Request {
    fn of(case: &Value) -> Self {
        let request = &case["request"];
        let text = |key: &str| request[key].as_str().unwrap().to_owned();
        let mut headers = HeaderMap::new();
        for pair in request["headers"].as_array().unwrap() {
            let (name, value) = (pair[0].as_str().unwrap(), pair[1].as_str().unwrap());
            headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap());
        }
        Self { method: text("method"), url: text("url"), headers, body: text("body").into_bytes() }
    }

    fn message(&self) -> Message<'_> {
        Message { method: &self.method, url: &self.url, headers: &self.headers, body: &self.body }
    }
}

fn desk(provider: &str, secrets: &[&str]) -> Handshakes {
    let row = builtin().get(provider).unwrap_or_else(|| panic!("no row {provider}"));
    // Braintree's first secret is its public key, which is no secret.
    let (context, secrets) = match (provider, secrets) {
        ("braintree", [public, private]) => (vec![("public key", *public)], vec![*private]),
        ("ebay", _) => (vec![("endpoint", "https://hooks.example.com/in/ebay")], secrets.to_vec()),
        _ => (Vec::new(), secrets.to_vec()),
    };
    Handshakes {
        all: row.handshakes().to_vec(),
        secrets: secrets.iter().map(|value| secret("s", value)).collect(),
        token: None,
        context: context.into_iter().map(|(name, value)| (context_label(name), value.to_owned())).collect(),
        armed_until: Some(Timestamp::from_unix_ms(u64::MAX)),
        capture_to: None,
    }
}

/// Returns status, content type, headers and body, as the gates and the ingress would make them.
fn answer(
    provider: &str,
    case: &str,
    request: &Request,
    desk: &Handshakes,
) -> (u16, Vec<(String, String)>, Option<String>) {
    let row = builtin().get(provider).unwrap();
    let message = request.message();
    let json: Option<Value> = serde_json::from_slice(&request.body).ok();
    if let Some(shaken) = desk.answer(false, &message, json.as_ref(), NOW) {
        return written(shaken);
    }
    let is_verified = TAKEN_AS_VERIFIED.contains(&(provider, case))
        || Verifier::new(row.scheme().clone(), desk.secrets.clone(), desk.context.clone())
            .is_ok_and(|verifier| verifier.verify(&message, NOW).is_ok());
    let outcome = if is_verified {
        if let Some(shaken) = desk.answer(true, &message, json.as_ref(), NOW) {
            return written(shaken);
        }
        RequestOutcome::Accepted
    } else {
        RequestOutcome::Refused(Class::BadSignature)
    };
    let answer = row.answers().get(outcome);
    let headers = answer.iter().flat_map(|answer| &answer.headers);
    let headers = headers.map(|(name, value)| (name.as_str().to_owned(), value.to_str().unwrap().to_owned())).collect();
    let body = answer.and_then(|answer| answer.body.clone());
    (row.answers().status(outcome), headers, body.or(is_verified.then(String::new)))
}

fn written(shaken: HandshakeAnswer) -> (u16, Vec<(String, String)>, Option<String>) {
    let reply = match shaken {
        HandshakeAnswer::Reply(reply) => reply,
        HandshakeAnswer::Refused(status) => return (status, Vec::new(), None),
    };
    let HandshakeReply { status, content_type, headers, body, .. } = *reply;
    let mut all: Vec<_> =
        headers.iter().map(|(name, value)| (name.as_str().to_owned(), value.to_str().unwrap().to_owned())).collect();
    all.extend(content_type.map(|text| ("content-type".to_owned(), text.to_owned())));
    // Every handshake goes out with it.
    all.push(("x-content-type-options".to_owned(), "nosniff".to_owned()));
    (status, all, Some(String::from_utf8(body).unwrap()))
}

#[test]
fn every_recorded_handshake_gets_its_exact_reply() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/handshakes.json");
    let cases: Vec<Value> = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let mut wrong = Vec::new();
    for case in &cases {
        let (provider, name) = (case["provider"].as_str().unwrap(), case["case"].as_str().unwrap());
        let request = Request::of(case);
        let secrets: Vec<&str> = case["secrets"].as_array().unwrap().iter().map(|it| it.as_str().unwrap()).collect();
        let (status, headers, body) = answer(provider, name, &request, &desk(provider, &secrets));
        let wanted = &case["reply"];
        let has = |name: &String, value: &Value| {
            let value = value.as_str().unwrap();
            headers.iter().any(|(n, v)| n == name && v == value)
        };
        let headers_fit = wanted["headers"].as_object().unwrap().iter().all(|(name, value)| has(name, value));
        let body_fits = wanted["body"].is_null() || body.as_deref() == wanted["body"].as_str();
        if u64::from(status) != wanted["status"] || !headers_fit || !body_fits {
            wrong.push(format!("{provider}/{name}: {status} {headers:?} {body:?}\n  wanted {wanted}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    assert!(cases.len() >= 37, "only {} cases were read", cases.len());
}

#[test]
fn nothing_that_is_reflected_is_html() {
    for row in builtin().rows() {
        for (_, answer) in row.answers().iter() {
            let html = answer.headers.iter().any(|(_, value)| value.to_str().unwrap_or_default().contains("html"));
            assert!(!html, "{}", row.id());
        }
    }
    let html = "when: {method: GET, present: [\"query:c\"]}\nverified: false\nreply: {headers: {Content-Type: text/html}, text: x}";
    assert!(spec(html).contains("gateway's own"), "{}", spec(html));
}

#[test]
fn a_secret_is_taken_over_while_armed_only_and_never_twice() {
    let mut headers = HeaderMap::new();
    headers.insert("x-hook-secret", HeaderValue::from_static("b537207f20cbfa02357cf448134da559"));
    let message = Message { method: "POST", url: "/in/asana", headers: &headers, body: b"{}" };
    let armed = desk("asana", &[]);
    let Some(HandshakeAnswer::Reply(reply)) = armed.answer(false, &message, None, NOW) else {
        panic!("armed and not answered")
    };
    assert_eq!(reply.captured.unwrap().0.as_slice(), b"b537207f20cbfa02357cf448134da559");
    let unarmed = Handshakes { armed_until: None, ..desk("asana", &[]) };
    assert_eq!(unarmed.answer(false, &message, None, NOW), None);
    let over = Handshakes { armed_until: Some(NOW), ..desk("asana", &[]) };
    assert_eq!(over.answer(false, &message, None, NOW), None);
    assert_eq!(desk("asana", &["known"]).answer(false, &message, None, NOW), None);
}

#[test]
fn a_short_or_odd_secret_is_not_taken_over() {
    let long = "x".repeat(1025);
    for value in ["short", "has a space in it, and more", long.as_str()] {
        let mut headers = HeaderMap::new();
        headers.insert("x-hook-secret", HeaderValue::from_str(value).unwrap());
        let message = Message { method: "POST", url: "/in/asana", headers: &headers, body: b"{}" };
        assert_eq!(desk("asana", &[]).answer(false, &message, None, NOW), None, "{value}");
    }
}

/// X, LinkedIn and Smartcar sign the question with the key that signs their events: an event as the question would come
/// back signed.
#[test]
fn no_handshake_signs_an_event_for_a_stranger() {
    let event = r#"{"eventName":"x","payload":{}}"#;
    let escaped: String = form_urlencoded::byte_serialize(event.as_bytes()).collect();
    let questions = [
        ("x_twitter", "GET", format!("/in/x?crc_token={escaped}"), String::new()),
        ("linkedin", "GET", format!("/in/x?challengeCode=hmacsha256%3D{escaped}"), String::new()),
        (
            "smartcar",
            "POST",
            "/in/x".to_owned(),
            json!({"eventName": "verify", "payload": {"challenge": event}}).to_string(),
        ),
    ];
    for (provider, method, url, body) in &questions {
        let headers = HeaderMap::new();
        let message = Message { method, url, headers: &headers, body: body.as_bytes() };
        let json = serde_json::from_str(body).ok();
        assert_eq!(
            desk(provider, &["a-long-client-secret"]).answer(false, &message, json.as_ref(), NOW),
            None,
            "{provider}"
        );
    }
    let free = "when: {method: GET, present: [\"query:c\"]}\nverified: false\nsign: {type: hmac, algorithm: sha256, encoding: hex, over: \"{query:c}\"}\nreply: {text: \"{sign}\"}";
    assert!(spec(free).contains("needs a `pattern`"), "{}", spec(free));
}

/// Returns the problem of a handshake as it is written.
fn spec(handshake: &str) -> String {
    let indented = handshake.replace('\n', "\n  ");
    let row = format!("verify: {{type: token, header: X-T}}\nsource: x\nhandshake:\n  {indented}");
    match serde_yaml::from_str::<RowSpec>(&row).map(|spec| crate::provider::Row::of("x", spec)) {
        Ok(Err(problem)) => problem.to_string(),
        Ok(Ok(_)) => "nothing is wrong".to_owned(),
        Err(problem) => problem.to_string(),
    }
}
