//! Expressions and the JSON they make.

use serde_json::json;

use super::super::Expression;
use super::super::request::over;
use super::*;

fn value(text: &str, body: Option<&Value>) -> Result<Value, ConditionError> {
    let expression = ValueExpression::compile(text).unwrap_or_else(|problem| panic!("{text}: {problem}"));
    over(body, |view| expression.value(view))
}

#[test]
fn every_kind_of_value_becomes_json() {
    let body = json!({"name": "Ann", "paid": 250, "half": 1.5, "big": u64::MAX, "yes": true, "nothing": null,
        "items": [{"sku": "a", "n": 1}, {"sku": "b", "n": 2}], "é": {"z": [[]], "a": {}}});
    for (text, expected) in [
        ("body", body.clone()),
        ("body.items", body["items"].clone()),
        ("body['é']", json!({"a": {}, "z": [[]]})),
        ("body.nothing", json!(null)),
        ("body.big", json!(u64::MAX)),
        ("body.half", json!(1.5)),
        ("-body.paid", json!(-250)),
        (r#"{"text": body.name + " paid " + string(body.paid / 100)}"#, json!({"text": "Ann paid 2"})),
        (
            r#"{"b": [1, 2u, 3.0, null, true, "x"], "a": body.items[0]}"#,
            json!({"a": body["items"][0], "b": [1, 2, 3.0, null, true, "x"]}),
        ),
        ("body.items.map(i, i.sku)", json!(["a", "b"])),
        ("body.items.filter(i, i.n > 1)", json!([{"sku": "b", "n": 2}])),
        (
            "body.items.map(i, {'sku': i.sku, 'all': body.items.map(j, j.n)})",
            json!([{"sku": "a", "all": [1, 2]}, {"sku": "b", "all": [1, 2]}]),
        ),
        ("{'kept': 1, ?'gone': body.?nope, ?'name': body.?name}", json!({"kept": 1, "name": "Ann"})),
        ("[?body.?nope, ?body.?name]", json!(["Ann"])),
        ("body.?nope.orValue('none')", json!("none")),
        ("b'\\x00\\xff'", json!("AP8=")),
        ("bytes('hi')", json!("aGk=")),
        ("headers", json!({"x-shop-topic": "orders/create"})),
        (
            "{'type': event.type, 'source': source, 'yes': body.yes && true}",
            json!({"type": "push", "source": "github", "yes": true}),
        ),
        (r#"'"new"'"#, json!("\"new\"")),
        ("[]", json!([])),
        ("{}", json!({})),
    ] {
        assert_eq!(value(text, Some(&body)), Ok(expected), "{text}");
    }
}

#[test]
fn members_are_sorted_by_name_wherever_they_come_from() {
    let body = json!({"z": 1, "a": {"y": 1, "b": 2}});
    let text = value("{'z': body.z, 'c': body.a, 'b': 0, 'y': 1, 'x': 2}", Some(&body)).unwrap().to_string();
    assert_eq!(text, r#"{"b":0,"c":{"b":2,"y":1},"x":2,"y":1,"z":1}"#);
}

#[test]
fn what_json_cannot_say_is_an_error() {
    let body = json!({"a": 1});
    for (text, why) in [
        ("body.?a", NotJson::Optional),
        ("{'x': optional.none()}", NotJson::Optional),
        ("{1: 'x'}", NotJson::Key),
        ("{true: 'x'}", NotJson::Key),
        ("[{'x': {2u: 1}}]", NotJson::Key),
        ("1.0 / 0.0", NotJson::NotFinite),
        ("[double('NaN')]", NotJson::NotFinite),
        ("type(1)", NotJson::Type),
        ("[int]", NotJson::Type),
        ("event", NotJson::Type),
    ] {
        assert_eq!(value(text, Some(&body)), Err(ConditionError::NotJson(why)), "{text}");
    }
    assert_eq!(value("{'x': body.b}", Some(&body)), Err(ConditionError::MissingKey { name: Some("b".to_owned()) }));
    assert_eq!(value("[body]", None), Err(ConditionError::NoBody));
    let wrong = value("body.a + 'x'", Some(&body)).map_err(ConditionError::bare);
    assert_eq!(wrong, Err(crate::condition::problem::WRONG_TYPE));
}

#[test]
fn no_value_is_longer_than_it_was_counted() {
    let body = json!({"é\"\n": [null, true, false, 0, -1, i64::MIN, u64::MAX, 10, 9, -1.797e308, 5e-324, 0.1, ""], "x": {}, "y": [[], {"": {}}]});
    let expression = Expression::compile("[body, b'abcd', body.x]").unwrap();
    let mut copying = Copying::default();
    let copied = over(Some(&body), |view| expression.evaluate(view, |value| copying.copy(value))).unwrap().unwrap();
    let (written, counted) = (copied.to_string().len(), copying.bytes);
    assert!(written <= counted && counted < written * 2, "{written} {counted}");
}

fn nested(levels: usize) -> Value {
    (0..levels).fold(json!(1), |inner, _| json!([inner]))
}

#[test]
fn a_value_is_bounded_in_bytes_in_nodes_and_in_depth() {
    let body = json!({
        "ten": [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
        "text": "x".repeat(500_000), "quotes": "\"".repeat(VALUE_BYTES_MAX / 2),
        "flat": vec![0; VALUE_NODES_MAX - 1], "flatter": vec![0; VALUE_NODES_MAX],
        "wide": vec![u64::MAX; VALUE_NODES_MAX - 1],
        "deep": nested(VALUE_DEPTH_MAX), "deeper": nested(VALUE_DEPTH_MAX + 1),
        "bytes": "y".repeat(VALUE_BYTES_MAX / 4 * 3 + 3),
    });
    for text in ["body.text", "body.ten.filter(x, x < 8).map(x, body.text)", "body.deep", "body.flat"] {
        assert!(value(text, Some(&body)).is_ok(), "{text}");
    }
    for text in [
        "body.ten.map(x, body.text)",
        "[body.text, body.text, body.text, body.text, body.text, body.text, body.text, body.text, body.text]",
        "body.quotes",
        "bytes(body.bytes)",
        "body.flatter",
        "body.wide",
        "body.ten.map(x, body.ten.map(y, body.flat))",
        "body.deeper",
        "[body.deep]",
        "{'a': body.deep}",
    ] {
        assert_eq!(value(text, Some(&body)), Err(ConditionError::ValueTooLarge), "{text}");
    }
}

#[test]
fn a_list_longer_than_a_comprehension_may_go_through_can_be_taken_over() {
    let body = json!({"long": vec![7; super::super::LIST_LENGTH_MAX + 1]});
    assert_eq!(value("body.long", Some(&body)), Ok(body["long"].clone()));
    assert_eq!(value("body.long.map(x, x)", Some(&body)), Err(ConditionError::TooLarge));
}
