//! Tests of many conditions over one request.

use serde_json::{Value as Json, json};

use super::problem::WRONG_TYPE;
use super::request::over;
use super::*;

pub(super) fn body() -> Json {
    json!({
        "repository": {"full_name": "acme/web", "topics": ["a", "b"], "stars": 7, "score": 1.5, "owner": null},
        "pull_request": {"draft": false, "labels": [{"name": "bug", "n": 1}, {"name": "ui", "n": 2}]},
        "data": {"object": {"amount_paid": 1_000_000, "customer_name": "Ann"}},
        "livemode": true, "big": u64::MAX, "type": "x", "empty": {}, "nothing": [], "pair": {"a": 1, "b": [2]}
    })
}

fn on(text: &str, body: Option<&Json>) -> Result<bool, ConditionError> {
    let condition = Condition::compile(text).unwrap_or_else(|problem| panic!("{text}: {problem}"));
    over(body, |view| condition.matches(view)).map_err(ConditionError::bare)
}

fn answer(text: &str) -> Result<bool, ConditionError> {
    on(text, Some(&body()))
}

#[test]
fn the_conditions_of_the_example_file_work() {
    for text in [
        r#"body.repository.full_name.startsWith("acme/") && !body.?pull_request.draft.orValue(false)"#,
        "body.data.object.amount_paid >= 1000000 && body.livemode",
        "!body.?missing.draft.orValue(false)",
        "!body.?x.y.orValue(false)",
    ] {
        assert_eq!(answer(text), Ok(true), "{text}");
    }
}

/// Conditions that are all true.
pub(super) const PROMISES: &[&str] = &[
    "params.tenant == 'acme'",
    "params['tenant'] == 'acme' && 'tenant' in params && size(params) == 1",
    "has(params.tenant) && !has(params.other) && params.?other.orValue('none') == 'none'",
    "params.exists(name, params[name] == 'acme')",
    "body.repository.stars == 7",
    "body.repository.stars < 7.5",
    "body.repository.score > 1",
    "body.repository.score == 1.5",
    "7.0 == body.repository.stars",
    "body.big > 9223372036854775807",
    "body.big == 18446744073709551615u",
    "body.big > 1.5",
    "body.repository.stars + 1 == 8",
    "body.repository.owner == null",
    "body['livemode']",
    "body.repository['stars'] == 7",
    "has(body.livemode)",
    "!has(body.nope)",
    "!has(body.empty.nope)",
    "has(body.repository.owner)",
    "'a' in body.repository.topics",
    "!('c' in body.repository.topics)",
    "'livemode' in body",
    "7 in [6, body.repository.stars]",
    "body.repository.topics[1] == 'b'",
    "body.repository.topics[1u] == 'b'",
    "size(body.repository.topics) == 2",
    "body.repository.topics.size() == 2",
    "body.repository.full_name.size() == 8",
    "size(body.empty) == 0",
    "body.repository.topics == ['a', 'b']",
    "['a', 'b'] == body.repository.topics",
    "body.repository.topics != ['a']",
    "body.pair == {'a': 1, 'b': [2]}",
    "{'a': 1, 'b': [2.0]} == body.pair",
    "body.pair != body.empty",
    "body.pair == body.pair",
    "body.nothing == []",
    "body.pull_request.labels.exists(l, l.name == 'bug')",
    "body.pull_request.labels.all(l, l.n > 0)",
    "body.pull_request.labels.exists_one(l, l.n == 2)",
    "body.pull_request.labels.map(l, l.name) == ['bug', 'ui']",
    "body.pull_request.labels.filter(l, l.n == 2).size() == 1",
    "body.pull_request.labels.filter(l, l.n == 2)[0].name == 'ui'",
    "body.pull_request.labels.map(l, l.n > 1, l.n * 10) == [20]",
    "body.pair.all(k, k in ['a', 'b'])",
    "body.pull_request.labels.exists(l, body.repository.topics.exists(t, t + 'ug' == l.name || t == 'a'))",
    "type(body.repository.stars) == int",
    "type(body.pair) == map",
    "type(body.nothing) == list",
    "string(body.repository.stars) == '7'",
    "body.repository.full_name.matches('^acme/[a-z]+$')",
    "matches(body.repository.full_name, 'web')",
    "body.repository.topics.exists(t, t.matches('^b$'))",
    "!body.repository.full_name.contains('zzz')",
    "body.?repository.full_name.orValue('') == 'acme/web'",
    "body.?repository.?nope.hasValue() == false",
    "body[?'type'] == optional.of('x')",
    "body.?nope == optional.none()",
    "body.repository.topics[?5].orValue('z') == 'z'",
    "body.?livemode.optMap(x, !x).orValue(true) == false",
    "body.livemode ? true : body.nope",
    "body.nope || body.livemode",
    "headers['x-shop-topic'] == 'orders/create'",
    "headers['X-SHOP-TOPIC'].startsWith('orders/')",
    "'x-shop-topic' in headers",
    "!('x-none' in headers)",
    "headers.exists(h, h == 'x-shop-topic')",
    "headers[?'x-none'].orValue('d') == 'd'",
    "size(headers) == 1",
    "event.type == 'push' && event.id == 'e1' && event['id'] == 'e1'",
    "source == 'github' && method == 'POST'",
    "path == '/in/github' && query == 'a=1'",
    "has(event.id)",
    "optional.ofNonZeroValue(body.nothing) == optional.none()",
];

#[test]
fn what_cel_promises_holds_for_json() {
    for text in PROMISES {
        assert_eq!(answer(text), Ok(true), "{text}");
    }
}

#[test]
fn what_goes_wrong_is_no_match_and_says_why_without_values() {
    let missing = |name: &str| ConditionError::MissingKey { name: Some(name.to_owned()) };
    for (text, expected) in [
        ("body.nope == 1", missing("nope")),
        ("body.repository.nope.x == 1", missing("nope")),
        ("headers['x-none'] == ''", missing("x-none")),
        ("body[body.repository.full_name] == 1", ConditionError::MissingKey { name: None }),
        ("body.repository.topics[9] == ''", ConditionError::MissingKey { name: None }),
        ("body.repository.full_name > 5", WRONG_TYPE),
        ("body.repository.full_name + 1 == 2", WRONG_TYPE),
        ("body.repository.topics['a'] == 1", WRONG_TYPE),
        ("body.livemode.x", WRONG_TYPE),
        ("body.repository.stars.matches('7')", WRONG_TYPE),
        ("body.repository.stars / 0 == 1", ConditionError::Arithmetic),
        ("int(body.repository.full_name) == 1", ConditionError::FunctionFailed { name: Some("int") }),
        ("body.repository.full_name", ConditionError::NotBool("a text")),
        ("body.livemode ? body.repository : true", ConditionError::NotBool("an object")),
        ("body.pair", ConditionError::NotBool("an object")),
    ] {
        assert_eq!(answer(text), Err(expected), "{text}");
    }
    let found = |text: &str| {
        let condition = Condition::compile(text).unwrap();
        over(Some(&body()), |view| condition.matches(view)).unwrap_err().to_string()
    };
    for (text, told) in [
        ("body.repository.full_name + 1 == 2", "`+` cannot use a text and a number"),
        ("body.livemode.x", "a boolean has no members"),
        ("body.type.name == 'x'", "a text has no members"),
        ("body.repository.topics['a'] == 1", "`[…]` cannot use a list and a text"),
        ("body.repository.stars.startsWith('7')", "`startsWith()` cannot use a number and a text"),
        ("body.repository.full_name", "the condition gives a text, neither true nor false"),
    ] {
        assert_eq!(found(text), told, "{text}");
    }
    assert_eq!(on("body.x == 1", None), Err(ConditionError::NoBody));
    assert_eq!(on("event.type == 'push'", None), Ok(true));
    assert_eq!(on("body == 'text'", Some(&json!("text"))), Ok(true));
}

#[test]
fn a_payload_cannot_make_us_work_without_end() {
    let many: Vec<u32> = (0..300).collect();
    let body = json!({"many": many, "huge": vec![0; LIST_LENGTH_MAX + 1], "text": "x".repeat(1 << 20), "one": [1]});
    for text in [
        "body.many.all(x, body.many.all(y, true))",
        "body.many.map(x, body.many.map(y, y)).size() > 0",
        "body.many.filter(x, body.many.filter(y, false).size() > 0).size() == 0",
        "body.many.map(x, x).all(x, body.many.map(x, x).all(y, true))",
        "body.many.all(x, body.many == body.many)",
        "body.many.all(x, !(-1 in body.many))",
        "body.huge.all(x, true)",
        "body.huge.exists(x, x == 0) || true",
        "body.many.all(x, !body.text.contains('y'))",
        "body.many.exists_one(x, body.many.exists_one(y, false))",
    ] {
        assert_eq!(on(text, Some(&body)), Err(ConditionError::TooLarge), "{text}");
    }
    for text in [
        "body.many.all(x, x in body.many || x < 300)",
        "body.many.all(x, body.one.all(y, true))",
        "body.huge.size() > 0",
    ] {
        assert_eq!(on(text, Some(&body)), Ok(true), "{text}");
    }
}

#[test]
fn problems_name_the_place_and_the_nearest_name() {
    for (text, offset, line, column, says) in [
        ("body.x == ", 10, 1, 11, "Syntax error"),
        ("true &&\n  body.x = 1", 17, 2, 10, "Syntax error"),
        ("true && 'é' == ]", 16, 1, 16, "Syntax error"),
        ("bdy.x == 1", 0, 1, 1, "there is no variable \"bdy\"; did you mean \"body\"?"),
        ("true && 'é' == zzzzzz", 16, 1, 16, "there is no variable \"zzzzzz\""),
        ("body.x.all(y, z)", 14, 1, 15, "there is no variable \"z\""),
        ("body.x.all(y, true) && y", 23, 1, 24, "there is no variable \"y\""),
        ("event.typ == 'x'", 5, 1, 6, "there is no variable \"event.typ\"; did you mean \"event.type\"?"),
        ("body.x.startWith('a')", 16, 1, 17, "there is no function \"startWith\"; did you mean \"startsWith\"?"),
        ("now() == 1", 3, 1, 4, "there is no function \"now\""),
        ("body.a.all(x, x.all(y, y.all(z, true)))", 28, 1, 29, "may be nested 2 deep"),
        ("Foo{a: 1} == 1", 3, 1, 4, "there are no message types"),
        ("body.x.matches(body.y)", 14, 1, 15, "must be a literal"),
        ("body.x.matches('(?=a)')", 14, 1, 15, "look-around"),
        ("body.x && 1", 10, 1, 11, "this gives a number, never true or false; compare it: … > 0"),
    ] {
        let problem = Condition::compile(text).unwrap_err();
        assert!(problem.to_string().contains(says), "{text}: {problem}");
        assert_eq!(problem.place(), Some(ConditionPlace { offset, line, column }), "{text}: {problem}");
    }
}

#[test]
fn texts_that_are_too_long_or_too_deep_are_refused_without_harm() {
    let long = format!("'{}' == ''", "x".repeat(TEXT_BYTES_MAX));
    assert!(matches!(Condition::compile(&long), Err(ConditionProblem::TooLong { .. })));
    let deep = [
        "(".repeat(2000) + "1" + &")".repeat(2000),
        "[".repeat(2000) + &"]".repeat(2000),
        "!".repeat(4000) + "true",
        "-".repeat(4000) + "1",
        "! ".repeat(2000) + "true",
        "1".to_owned() + &"+1".repeat(2000),
        "body".to_owned() + &".a".repeat(2000),
        "body".to_owned() + &"[0]".repeat(1300),
        "true ? 1 : ".repeat(370) + "1",
        "body".to_owned() + &".size()".repeat(500),
        "{1:".repeat(1000) + "1" + &"}".repeat(1000),
    ];
    for text in deep {
        let problem = Condition::compile(&text).unwrap_err();
        let expected = matches!(problem, ConditionProblem::TooComplex { .. } | ConditionProblem::Syntax { .. });
        assert!(expected, "{} {problem}", text.chars().take(10).collect::<String>());
    }
    let wide = vec!["body.livemode"; 200].join(" && ");
    assert_eq!(answer(&wide), Ok(true));
}

#[test]
fn every_function_that_is_announced_exists() {
    for text in [
        "bool('true')",
        "bytes('a') == b'a'",
        "double(1) == 1.0",
        "dyn(1) == 1",
        "'ab'.endsWith('b')",
        "int('1') == 1",
        "uint(1) == 1u",
        "optional.of(1).value() == 1",
        "optional.none().or(optional.of(1)).hasValue()",
        "optional.of(1).optFlatMap(x, optional.of(x)) == optional.of(1)",
    ] {
        assert_eq!(answer(text), Ok(true), "{text}");
    }
}

#[test]
fn no_text_makes_us_panic() {
    const TOKENS: [&str; 40] = [
        "body",
        ".x",
        ".?x",
        "[0]",
        "[?'a']",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        "'a'",
        "1",
        "1u",
        "1.5",
        "-",
        "!",
        "+",
        "&&",
        "||",
        "==",
        "<",
        " in ",
        "?",
        ":",
        ",",
        ".all(x, ",
        ".map(x, ",
        ".exists(y, ",
        "x",
        "has(body.x)",
        "size(",
        "matches(",
        ".matches('a')",
        "headers",
        "event.type",
        "optional.none()",
        ".orValue(1)",
        "null",
        "é",
    ];
    let mut state = 7_u64;
    let mut next = |bound: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % bound
    };
    let body = body();
    let rounds: usize = option_env!("FUZZ_ROUNDS").map_or(3_000, |rounds| rounds.parse().unwrap());
    let mut compiled = 0;
    for _ in 0..rounds {
        let text: String = (0..=next(7)).map(|_| TOKENS[next(TOKENS.len())]).collect();
        if let Ok(condition) = Condition::compile(&text) {
            compiled += 1;
            let gave = over(Some(&body), |view| condition.matches(view));
            assert!(!format!("{gave:?}").is_empty());
        }
    }
    assert!(compiled > rounds / 100, "{compiled}");
}

#[test]
fn a_condition_is_shared_by_all_workers() {
    fn shared<T: Send + Sync>() {}
    shared::<Condition>();
}
