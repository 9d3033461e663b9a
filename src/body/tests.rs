//! Tests of what is read from a body, by its content type and by the rules of its source.

use serde_json::json;

use super::*;

fn rules(spec: BodySpec, takes_any: bool) -> BodyRules {
    BodyRules { spec, json_as_text: false, takes_any }
}

fn field(or_form: bool) -> BodySpec {
    BodySpec::Field { name: "payload".into(), or_form }
}

fn read<'b>(rules: &BodyRules, kind: &str, body: &'b [u8]) -> Document<'b> {
    rules.read((!kind.is_empty()).then(|| kind.to_owned()), body, &Reading::Tree)
}

#[test]
fn json_is_found_by_its_type_and_for_schemas_by_its_content() {
    let body = br#"{"n": 1}"#;
    for (kind, plainly, for_schemas) in [
        ("application/json", "json", "json"),
        ("application/vnd.acme+json", "json", "json"),
        ("text/json", "json", "json"),
        ("", "json", "json"),
        ("text/plain", "unread", "json"),
        ("text/html", "unread", "json"),
        ("image/png", "unread", "json"),
        ("multipart/form-data", "unread", "json"),
        (FORM, "form", "json"),
    ] {
        assert_eq!(read(&rules(BodySpec::Auto, false), kind, body).label(), plainly, "{kind}");
        assert_eq!(read(&rules(BodySpec::Auto, true), kind, body).label(), for_schemas, "{kind}");
        assert_eq!(read(&rules(BodySpec::Json, false), kind, body).json(), Some(&json!({"n": 1})), "{kind}");
    }
}

#[test]
fn what_is_neither_json_nor_a_form_says_what_came() {
    let document = read(&rules(BodySpec::Auto, true), "image/png", b"\x89PNG");
    let wanted = "JSON is expected, and the body is not JSON (content type image/png): the body is not UTF-8";
    assert!(document.unchecked().message.starts_with(wanted), "{}", document.unchecked().message);
    assert!(document.no_json().unwrap().starts_with("the body is not JSON (content type image/png)"));
    assert_eq!((document.checked(), document.malformed()), (None, None));
    let empty = read(&rules(BodySpec::Auto, true), "application/json", b"");
    assert!(empty.unchecked().message.contains("the body is empty"), "{}", empty.unchecked().message);
    let number = read(&rules(BodySpec::Auto, true), FORM, b"5");
    assert_eq!(number.label(), "form", "a form of one field is no number");
}

#[test]
fn a_field_of_a_form_is_the_body_and_json_beside_it_stays_json() {
    let rules = rules(field(false), false);
    let form = read(&rules, FORM, b"payload=%7B%22action%22%3A%22opened%22%7D&a=1");
    assert_eq!(form.json(), Some(&json!({"action": "opened"})));
    assert_eq!((form.fields()["a"].as_str(), form.label()), (Some("1"), "form_field"));
    assert!(form.told().starts_with("read as the JSON in form field \"payload\""), "{}", form.told());
    assert_eq!(read(&rules, "application/json", b"{}").json(), Some(&json!({})));
    for (body, why) in [
        (&b"payload=%7B"[..], "in the form field \"payload\": the body ends inside"),
        (b"payload=", "in the form field \"payload\": the body ends inside"),
        (b"payload=%22%FF%22", "in the form field \"payload\": the body is not UTF-8"),
        (b"payload=1&payload=2", "the form field \"payload\" is there twice"),
    ] {
        let message = read(&rules, FORM, body).malformed().unwrap().message.clone();
        assert!(message.starts_with(why), "{message}");
    }
}

#[test]
fn a_form_without_its_field_is_a_plain_form_where_the_row_says_so() {
    let command = b"command=%2Fdeploy&text=now";
    let strict = read(&rules(field(false), true), FORM, command);
    assert_eq!((strict.checked(), strict.label()), (None, "form"));
    assert!(strict.unchecked().message.contains("a form without the field \"payload\""));
    for spec in [field(true), BodySpec::Form] {
        let rules = rules(spec, true);
        let document = read(&rules, FORM, command);
        assert_eq!(document.checked().as_deref(), Some(&json!({"command": "/deploy", "text": "now"})));
        assert_eq!((document.json(), document.fields()["command"].as_str()), (None, Some("/deploy")));
    }
}

#[test]
fn where_forms_are_expected_a_vague_type_hides_none_and_a_picture_is_none() {
    let rules = rules(BodySpec::Form, false);
    for kind in ["", "text/plain", FORM] {
        assert_eq!(read(&rules, kind, b"a=1").fields()["a"].as_str(), Some("1"), "{kind}");
    }
    assert_eq!(read(&rules, "image/png", b"a=1").label(), "unread");
    assert_eq!(read(&rules, "application/xml", b"<a/>").label(), "unread");
    assert!(read(&rules, "", b"\x89PNG\0\x1a").malformed().is_some());
    assert_eq!(read(&rules, "application/json", b"{}").label(), "json");
    let many = "a&".repeat(2_000);
    assert!(read(&rules, FORM, many.as_bytes()).malformed().unwrap().message.contains("more than 1000 fields"));
}
