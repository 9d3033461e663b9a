//! Tests of the explanations of conditions.

use serde_json::json;

use super::super::request::over;
use super::super::tests::{PROMISES, body};
use super::*;

fn explained(text: &str) -> Explained {
    let condition = Condition::compile(text).unwrap_or_else(|problem| panic!("{text}: {problem}"));
    over(Some(&body()), |view| condition.explain(view))
}

/// Conditions, each with its explanation as text.
const SHOWN: &[(&str, &str)] = &[
    (
        "body.livemode && body.data.object.amount_paid >= 2000000 && event.type == 'push'",
        "does not match
> body.data.object.amount_paid >= 2000000: false
    body.data.object.amount_paid = 1000000
  body.livemode: true
    body.livemode = true
  event.type == 'push': not reached
    event.type = \"push\"",
    ),
    (
        r#"body.repository.full_name.startsWith("evil/") && !body.?pull_request.draft.orValue(false)"#,
        "does not match
> body.repository.full_name.startsWith(\"evil/\"): false
    body.repository.full_name = \"acme/web\"
  !body.?pull_request.draft.orValue(false): not reached
    body.?pull_request.draft = false",
    ),
    (
        "body.nope == 1 && body.livemode",
        "does not match: there is no \"nope\"; see has() and .?
> body.nope == 1: there is no \"nope\"; see has() and .?
    body.nope = missing
  body.livemode: true
    body.livemode = true",
    ),
    (
        "(body.big < 5 || headers['X-Shop-Topic'] == 'x') || size(body.repository.topics) > 2",
        "does not match
> body.big < 5: false
    body.big = 18446744073709551615
> headers['X-Shop-Topic'] == 'x': false
    headers[\"X-Shop-Topic\"] = \"orders/create\"
> size(body.repository.topics) > 2: false
    body.repository.topics = [\"a\",\"b\"]",
    ),
    (
        "!(body.livemode && source == 'github')",
        "does not match
> body.livemode: true
    body.livemode = true
> source == 'github': true
    source = \"github\"",
    ),
    (
        "body.livemode ? has(body.nope) : true",
        "does not match
> body.livemode: true
    body.livemode = true
> has(body.nope): false
    body.nope = missing
  true: not reached",
    ),
    (
        "body.nope || body.livemode",
        "matches
> body.livemode: true
    body.livemode = true
  body.nope: there is no \"nope\"; see has() and .?
    body.nope = missing",
    ),
    (
        "body.pull_request.labels.exists(l, l.name == body.type || l.n > 2)",
        "does not match
> body.pull_request.labels.exists(l, l.name == body.type || l.n > 2): false
    body.pull_request.labels = [{\"n\":1,\"name\":\"bug\"},{\"n\":2,\"name\":\"ui\"}]
    body.type = \"x\"",
    ),
    ("body", "does not match: the condition gives an object, neither true nor false"),
];

#[test]
fn the_part_that_was_false_comes_first_with_what_it_saw() {
    for (text, expected) in SHOWN {
        let shown = explained(text).to_string();
        assert!(shown.starts_with(expected) && (shown == *expected || *text == "body"), "{text}\n{shown}");
    }
}

#[test]
fn it_is_json_too() {
    let explained = serde_json::to_value(explained("body.nope || body.?x.hasValue() && query == ''")).unwrap();
    let error = "there is no \"nope\"; see has() and .?";
    assert_eq!(
        explained,
        json!({"matches": false, "error": error, "parts": [
            {"text": "body.nope", "gave": "error", "error": error, "decisive": true, "values": [{"path": "body.nope", "value": "missing"}]},
            {"text": "body.?x.hasValue()", "gave": "false", "decisive": false, "values": [{"path": "body.?x", "value": "missing"}]},
            {"text": "query == ''", "gave": "not_reached", "decisive": false, "values": [{"path": "query", "value": "\"a=1\""}]},
        ]})
    );
}

#[test]
fn a_text_is_taken_apart_outside_of_brackets_literals_and_comments_only() {
    for (text, expected) in [
        ("true", &["true"][..]),
        ("true&&false", &["true", "false"]),
        ("'a && b' == \"c || d\" && true", &["'a && b' == \"c || d\"", "true"]),
        (r"'it\'s && \\' == '' && true", &[r"'it\'s && \\' == ''", "true"]),
        (r"r'\' == '' && true", &[r"r'\' == ''", "true"]),
        ("'''a ' && '''  == '' && true", &["'''a ' && '''  == ''", "true"]),
        ("true // && false\n && false", &["true // && false", "false"]),
        (
            "[true && false] == [] && {'a': true || false} == {}",
            &["[true && false] == []", "{'a': true || false} == {}"],
        ),
        (
            "body.all(x, x && true) || (((true) && (false || true)))",
            &["body.all(x, x && true)", "true", "false", "true"],
        ),
        ("!(true || !(false))", &["true", "false"]),
        ("! !(true && false)", &["true", "false"]),
        ("!body.x && !(body.y).z", &["!body.x", "!(body.y).z"]),
        ("(body.a).b && (true)", &["(body.a).b", "true"]),
        ("(true) == (false) || true", &["(true) == (false)", "true"]),
        ("true ? false : true ? 1 == 1 : false", &["true", "false", "true", "1 == 1", "false"]),
        (
            "body.?a.b == 1 ? {'a': 1} == {} : body[?'x'].hasValue()",
            &["body.?a.b == 1", "{'a': 1} == {}", "body[?'x'].hasValue()"],
        ),
        ("(true ? false : true) && true", &["true", "false", "true", "true"]),
    ] {
        Condition::compile(text).unwrap_or_else(|problem| panic!("{text}: {problem}"));
        let mut parts = Vec::new();
        let logic = Logic::of(text, &mut parts);
        assert_eq!(parts.iter().map(|part| part.trim()).collect::<Vec<_>>(), expected, "{text}: {logic:?}");
    }
}

#[test]
fn long_values_are_cut_and_no_secret_header_is_shown_unasked() {
    let body = json!({"long": "é".repeat(10_000), "list": vec![1; 100_000], "fits": "x".repeat(SHOWN_CHARS_MAX - 2)});
    let condition = Condition::compile("body.long == '' || body.list == [] || body.fits == '' || size(headers) == 0");
    let values = over(Some(&body), |view| condition.unwrap().explain(view).parts);
    let values: Vec<_> = values.into_iter().flat_map(|part| part.values).map(|seen| seen.value).collect();
    let lengths: Vec<_> = values.iter().map(|value| value.chars().count()).collect();
    assert_eq!(lengths, [SHOWN_CHARS_MAX, SHOWN_CHARS_MAX, SHOWN_CHARS_MAX, r#"["x-shop-topic"]"#.len()]);
    assert!(values[0].ends_with('…') && values[1].ends_with('…') && !values[2].ends_with('…'), "{values:?}");
    assert_eq!(values[3], r#"["x-shop-topic"]"#);
}

#[test]
fn parts_share_the_budget_of_the_whole() {
    let body = json!({"many": (0..300).collect::<Vec<_>>()});
    let dear = "body.many.all(x, body.many.all(y, y < x + 1000 || x < 100))";
    let text = [dear; 3].join(" && ");
    let condition = Condition::compile(&text).unwrap();
    let explained = over(Some(&body), |view| condition.explain(view));
    assert_eq!(explained.error.as_deref(), Some("the payload asks for more than 50000 steps"), "{explained}");
    assert_eq!((explained.parts.len(), explained.parts[0].gave), (3, Gave::Error), "{explained}");
}

/// Compares the verdict of the parts with that of the whole, for `PROMISES` joined at random.
#[test]
fn the_parts_give_what_the_whole_gives() {
    const MORE: [&str; 12] = [
        "true",
        "false",
        "body.nope",
        "1",
        "body.livemode",
        "!body.livemode",
        "body.?x.orValue(false)",
        "1 / 0 == 1",
        "'&&' == '||'",
        "body.repository",
        "optional.of(true).optMap(x, !x).orValue(true)",
        "int('x') == 1 || true",
    ];
    let mut state = 11_u64;
    let mut next = |bound: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % bound
    };
    let body = body();
    let (mut split, mut failed) = (0, 0);
    for round in 0..1_500 {
        let mut text = String::new();
        for _ in 0..=next(5) {
            let part = if next(3) == 0 { PROMISES[next(PROMISES.len())] } else { MORE[next(MORE.len())] };
            text = match next(9) {
                0 | 1 => format!("{text}{part} && "),
                2 | 3 => format!("{text}{part} || "),
                4 => format!("!({text}{part}) && "),
                5 => format!("({text} ({part})) || "),
                6 => format!("({text}{part} ? {} : {}) && ", MORE[next(MORE.len())], MORE[next(MORE.len())]),
                7 => format!("!!({text}{part}) || "),
                _ => format!("{part} ? ({text}true) : "),
            };
        }
        text.push_str(MORE[next(MORE.len())]);
        // Some texts joined at random are no conditions, such as a boolean compared with a text.
        let Ok(condition) = Condition::compile(&text) else { continue };
        let body = Some(&body).filter(|_| round % 10 > 0);
        let (whole, (parts, list)) = over(body, |view| (condition.matches(view), taken_apart(&text, view)));
        assert_eq!(parts.as_ref().ok(), whole.as_ref().ok(), "{text}");
        let explained = over(body, |view| condition.explain(view));
        assert_eq!(explained.error, whole.as_ref().err().map(ToString::to_string), "{text}");
        assert_eq!(explained.matches, whole.clone().unwrap_or(false), "{text}");
        assert!(explained.parts[0].decisive, "{text}\n{explained}");
        split += usize::from(list.len() > 3);
        failed += usize::from(whole.is_err());
    }
    assert!(split > 300 && failed > 100, "{split} {failed}");
}

#[test]
fn what_is_shown_of_an_expression_in_a_log_is_short_and_without_what_stands_in_quotes() {
    for (text, shown) in [
        ("body.qty > 5", "body.qty > 5"),
        ("body.qty\n   > 5", "body.qty > 5"),
        (r#"headers["x-token"] == "s3cret" && body.a"#, r#"headers["…"] == "…" && body.a"#),
        (r"body.a == 'it\'s' || body.b == r'\' || true", r"body.a == '…' || body.b == r'…' || true"),
        ("body.a == '''x ' y'''", "body.a == '…'"),
    ] {
        assert_eq!(brief(text), shown, "{text}");
    }
    assert_eq!(brief(&"a + ".repeat(100)).chars().count(), 81);
}
