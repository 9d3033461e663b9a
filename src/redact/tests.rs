//! Tests of what is hidden and how.

use serde_json::json;

use super::*;

fn redaction(texts: &[&str]) -> Redaction {
    let mut redaction = Redaction::default();
    for text in texts {
        redaction.add(text).unwrap();
    }
    redaction
}

#[test]
fn places_are_replaced_wherever_they_are() {
    let mut body = json!({
        "email": "a@b", "data": {"object": {"card": {"number": "4242", "brand": "visa"}, "email": {"deep": 1}}},
        "items": [{"email": "c@d", "n": 1}, {"n": 2}],
    });
    redaction(&["/data/object/card/number", "/**/email", "/items/*/n"]).apply(&mut body);
    let wanted = json!({
        "email": REDACTED, "data": {"object": {"card": {"number": REDACTED, "brand": "visa"}, "email": REDACTED}},
        "items": [{"email": REDACTED, "n": REDACTED}, {"n": REDACTED}],
    });
    assert_eq!(body, wanted);
}

#[test]
fn a_place_below_a_hidden_one_is_hidden() {
    let redaction = redaction(&["/customer", "/**/email"]);
    assert!(redaction.hides(&["customer", "name"]));
    assert!(redaction.hides(&["a", "b", "email"]));
    assert!(!redaction.hides(&["customers"]));
    assert!(!redaction.hides(&[]));
}

#[test]
fn headers_are_named_in_any_case() {
    let redaction = redaction(&["header:Authorization"]);
    assert!(redaction.hides_header("authorization"));
    assert!(!redaction.touches_bodies());
}

#[test]
fn credentials_are_hidden_and_the_rest_of_the_request_is_not() {
    let places = [
        CredentialPlace::Header("x-gitlab-token".to_owned()),
        CredentialPlace::Query("token".to_owned()),
        CredentialPlace::Json("/value/*/clientState".to_owned()),
        CredentialPlace::Path("/hooks/{api_key}".to_owned()),
    ];
    let redaction = Redaction::default().with_credentials(&places);
    assert!(!redaction.hides_anything(), "nobody chose it");
    assert!(redaction.hides_header("X-Gitlab-Token") && redaction.hides_header("Authorization"));
    assert_eq!(redaction.target("/in?a=1&token=s3cr3t"), "/in?a=1&token=[redacted]");
    let body = br#"{"value": [{"clientState": "of the body", "n": "kept"}]}"#;
    let mut shown = serde_json::from_slice(body).unwrap();
    redaction.apply(&mut shown);
    assert_eq!(shown, json!({"value": [{"clientState": REDACTED, "n": "kept"}]}));
    let headers = [("x-gitlab-token", &b"of the header"[..]), ("x-other", b"kept")];
    let params = [("token".to_owned(), "of-a-path-of-then".to_owned()), ("tenant".to_owned(), "kept".to_owned())];
    let target = "/hooks/of-the-path?token=of%20the%20query";
    assert_eq!(redaction.target(target), "/hooks/{api_key}?token=[redacted]");
    let hidden: Vec<String> = redaction.hidden_in(target).iter().map(ToString::to_string).collect();
    assert_eq!(hidden, ["query:token", "path:api_key"]);
    let credentials = redaction.credentials_in((target, &params), headers, body);
    let mut said = json!(["of the body", "of the header", "of the query", "of-the-path", "of-a-path-of-then", "kept"]);
    credentials.hide_in_json(&mut said);
    assert_eq!(said, json!([REDACTED, REDACTED, REDACTED, REDACTED, REDACTED, "kept"]));
}

#[test]
fn what_is_neither_is_refused() {
    let mut redaction = Redaction::default();
    for text in ["", "email", "header:", "header:a b", "query:", "query: ", &"/a".repeat(65)] {
        assert!(redaction.add(text).is_err(), "{text}");
    }
}
